// Attention over keys and values kept as floats of any width: multiplied in f32.

namespace quoin {
namespace {

// Loops over a register tile are unrolled by pragma: GCC keeps an array in registers only when no loop is left.

// A form says how keys or values lie and are multiplied. A step is what one multiply_add takes.
//   kStepTerms     terms that a step adds to a lane: of neighbouring channels for scores, of tokens for weighted sums
//   kStepRows      rows of a page that hold them
//   kBytes         of an element; with two rows to a step, in each row
//   kPrefetches    as in pages that are read once: memory is slow
//   kMostVectors   of a tile
// Prefetches go to the second-level cache, which keeps twice as many of them under way as the first: 34 instead of 18
// GB/s of two Zen 4 cores over f32 pages.
struct OneFloat {
    using Vector = Floats;
    static constexpr int64_t kStepTerms = 1;
    static constexpr int64_t kStepRows = 1;
    static constexpr bool kPrefetches = true;
    static constexpr int kMostVectors = 8;
    static QUOIN_INLINE Floats factor(const std::byte* p) { return broadcast(read<float>(p)); }
    static QUOIN_INLINE Floats multiply_add(Floats sum, Floats a, Floats b) { return fma(a, b, sum); }
};
struct F32Page : OneFloat {
    static constexpr int64_t kBytes = 4;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
    static QUOIN_INLINE float element(const std::byte* p) { return read<float>(p); }
};
struct F16Page : OneFloat {
    static constexpr int64_t kBytes = 2;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load_f16(p); }
    static QUOIN_INLINE float element(const std::byte* p) { return f16_to_float(read<uint16_t>(p)); }
};
struct Bf16Page : OneFloat {
    static constexpr int64_t kBytes = 2;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load_bf16(p); }
    static QUOIN_INLINE float element(const std::byte* p) { return bf16_to_float(read<uint16_t>(p)); }
};
// f32 that is in the processor's cache, as what was just widened is, or will be after the first of many tiles.
struct F32Near : F32Page {
    static constexpr bool kPrefetches = false;
    static constexpr int kMostVectors = 2;
};

template <int kVectors, class Form>
QUOIN_INLINE void load_step(const std::byte* p, int64_t row_bytes, typename Form::Vector* to) {
    if constexpr (Form::kStepRows == 1) {
        for (int v = 0; v < kVectors; ++v) to[v] = Form::vector(p + v * kLanes * Form::kBytes);
    } else {
        Form::template rows<kVectors>(p, row_bytes, to);
    }
}
template <int kVectors, class Form>
QUOIN_INLINE void prefetch_step(const std::byte* p, int64_t row_bytes) {
    for (int64_t row = 0; row < Form::kStepRows; ++row, p += row_bytes) {
        for (int64_t i = 0; i < kVectors * kLanes * Form::kBytes; i += 64) __builtin_prefetch(p + i, 0, 2);
    }
}

// As many vectors as there are registers for their sums, so that fewer passes go over memory.
template <int kQueries, class Form>
constexpr int tile_vectors(int most = Form::kMostVectors) {
    int vectors = 2;
    while (2 * vectors <= Form::kMostVectors && 2 * vectors <= most && vectors * kQueries <= kFloatTileQueries) {
        vectors *= 2;
    }
    return vectors;
}

struct ScoreTile {
    const std::byte* queries;
    int64_t query_bytes;    // of one, 4 for each step
    const std::byte* keys;  // of the tile's first token
    float* scores;
    const std::byte* prefetch;
};

template <int kQueries, int kVectors, class Form>
[[gnu::noinline]] void score_tile(const ScoreTile& tile) {
    constexpr int64_t kRowBytes = kPageTokens * Form::kBytes;
    Floats sum[kQueries][kVectors];
#pragma GCC unroll 12
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) sum[q][v] = zeros();
    }
    const std::byte* keys = tile.keys;
    const std::byte* prefetch = tile.prefetch;
    const std::byte* query = tile.queries;
    const int64_t stride = tile.query_bytes;
    for (int64_t left = stride; left > 0; left -= 4, keys += kRowBytes * Form::kStepRows, query += 4) {
        if constexpr (Form::kPrefetches) {
            prefetch_step<kVectors, Form>(prefetch, kRowBytes);
            prefetch += kRowBytes * Form::kStepRows;
        }
        typename Form::Vector key[kVectors];
        load_step<kVectors, Form>(keys, kRowBytes, key);
#pragma GCC unroll 12
        for (int q = 0; q < kQueries; ++q) {
            const typename Form::Vector factor = Form::factor(query + q * stride);
            for (int v = 0; v < kVectors; ++v) sum[q][v] = Form::multiply_add(sum[q][v], factor, key[v]);
        }
    }
#pragma GCC unroll 12
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) store(tile.scores + q * kScoreStride + v * kLanes, sum[q][v]);
    }
}

struct WeighTile {
    const std::byte* probabilities;  // from the block's first step on
    const std::byte* const* pages;
    Range steps;
    int64_t row_bytes;
    int64_t channel;  // the tile's first
    float* outputs;   // from this channel on, read and written
    int64_t output_stride;
    const std::byte* const* prefetch;  // by page, like `pages`
};

// Tokens are added in rising order, so a sum has the same bits however many calls they are shared out among.
template <int kQueries, int kVectors, class Form>
[[gnu::noinline]] void weigh_tile(const WeighTile& tile) {
    constexpr int64_t kPageSteps = kPageTokens / Form::kStepTerms;
    constexpr int64_t kProbabilityStride = kScoreStride / Form::kStepTerms * 4;
    Floats sum[kQueries][kVectors];
#pragma GCC unroll 12
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) sum[q][v] = load(tile.outputs + q * tile.output_stride + v * kLanes);
    }
    const int64_t row_bytes = tile.row_bytes;
    const int64_t step_bytes = row_bytes * Form::kStepRows;
    for (int64_t s = tile.steps.first; s < tile.steps.last;) {
        const int64_t end = smaller((s / kPageSteps + 1) * kPageSteps, tile.steps.last);
        const std::byte* values =
            tile.pages[s / kPageSteps] + s % kPageSteps * step_bytes + tile.channel * Form::kBytes;
        const std::byte* prefetch = tile.prefetch[s / kPageSteps] + tile.channel * Form::kBytes;
        const std::byte* probability = tile.probabilities + s * 4;
        for (; s < end; ++s, values += step_bytes, probability += 4) {
            if constexpr (Form::kPrefetches) {
                prefetch_step<kVectors, Form>(prefetch, row_bytes);
                prefetch += step_bytes;
            }
            typename Form::Vector value[kVectors];
            load_step<kVectors, Form>(values, row_bytes, value);
#pragma GCC unroll 12
            for (int q = 0; q < kQueries; ++q) {
                const typename Form::Vector factor = Form::factor(probability + q * kProbabilityStride);
                for (int v = 0; v < kVectors; ++v) sum[q][v] = Form::multiply_add(sum[q][v], factor, value[v]);
            }
        }
    }
#pragma GCC unroll 12
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) store(tile.outputs + q * tile.output_stride + v * kLanes, sum[q][v]);
    }
}

template <class Keys>
QUOIN_INLINE void score_pages(const AttentionState& state, const Block& block, int64_t first_query, int64_t queries,
                              Range pages) {
    for (int64_t p = pages.first; p < pages.last; ++p) {
        ScoreTile tile = {.queries = state.queries + first_query * state.query_bytes,
                          .query_bytes = state.query_bytes,
                          .keys = block.keys[p],
                          .scores = state.scores + p * kPageTokens,
                          .prefetch = block.read_order[p - block.pages.first + kPrefetchPages]};
        with_queries<kFloatTileQueries>(queries, [&]<int kQueries>() QUOIN_LAMBDA_INLINE {
            constexpr int kVectors = tile_vectors<kQueries, Keys>(kPageTokens / kLanes);
            for (int64_t token = 0; token < kPageTokens; token += kVectors * kLanes) {
                score_tile<kQueries, kVectors, Keys>(tile);
                tile.keys += kVectors * kLanes * Keys::kBytes;
                tile.scores += kVectors * kLanes;
                tile.prefetch += kVectors * kLanes * Keys::kBytes;
            }
        });
    }
}

// All channels, by the widest tiles that still fit: every tile reads all probabilities.
template <int kQueries, int kVectors, class Values>
QUOIN_INLINE void weigh_channels(WeighTile& tile, int64_t padded_size) {
    constexpr int64_t kChannels = kVectors * kLanes;
    for (; tile.channel + kChannels <= padded_size; tile.channel += kChannels, tile.outputs += kChannels) {
        weigh_tile<kQueries, kVectors, Values>(tile);
    }
    if constexpr (kVectors > 2 || (kVectors == 2 && Values::kStepRows == 1)) {
        weigh_channels<kQueries, kVectors / 2, Values>(tile, padded_size);
    }
}

// `tile` is that of all queries; first_query is counted within it.
template <class Values>
QUOIN_INLINE void weigh_steps(const AttentionState& state, WeighTile tile, int64_t first_query, int64_t queries,
                              Range steps) {
    constexpr int64_t kPageSteps = kPageTokens / Values::kStepTerms;
    constexpr int64_t kProbabilityStride = kScoreStride / Values::kStepTerms * 4;
    tile.probabilities += first_query * kProbabilityStride;
    float* const outputs = tile.outputs + first_query * state.padded_size;
    // Memory wants whole pages one after the other; what is near needs no such order, and its sums stay in registers.
    for (int64_t s = steps.first; s < steps.last; s = tile.steps.last) {
        tile.steps = {s, Values::kPrefetches ? smaller((s / kPageSteps + 1) * kPageSteps, steps.last) : steps.last};
        tile.channel = 0;
        tile.outputs = outputs;
        with_queries<kFloatTileQueries>(queries, [&]<int kQueries>() QUOIN_LAMBDA_INLINE {
            weigh_channels<kQueries, tile_vectors<kQueries, Values>(), Values>(tile, state.padded_size);
        });
    }
}

// Values of tokens that a query does not see are never multiplied, not even by 0: they may be infinite. So the tokens
// that all queries of a tile see go through it together, the rest for those alone who see the same ones. Calls
// weigh(first_query, queries, tokens); borders between calls are whole steps.
template <class Function>
QUOIN_INLINE void for_seen(const Range* seen, int64_t queries, int64_t step_tokens, Function weigh) {
    Range common = seen[0];
    for (int64_t q = 1; q < queries; ++q) {
        common = {larger(common.first, seen[q].first), smaller(common.last, seen[q].last)};
    }
    common = {(common.first + step_tokens - 1) / step_tokens * step_tokens, common.last / step_tokens * step_tokens};
    const bool none_common = common.empty();
    const auto weigh_rest = [&](bool before) QUOIN_LAMBDA_INLINE {
        for (int64_t q = 0; q < queries;) {
            int64_t end = q + 1;
            while (end < queries && seen[end].first == seen[q].first && seen[end].last == seen[q].last) ++end;
            const Range rest = none_common ? (before ? Range{0, 0} : seen[q])
                               : before    ? Range{seen[q].first, common.first}
                                           : Range{common.last, seen[q].last};
            if (!rest.empty()) weigh(q, end - q, rest);
            q = end;
        }
    };
    weigh_rest(true);
    if (!none_common) weigh(int64_t{0}, queries, common);
    weigh_rest(false);
}

// Keys, Values: the forms that are multiplied. Page: the form in pages.
template <class Keys, class Values, class Page>
struct FloatCache {
    static constexpr int64_t kTileQueries = kFloatTileQueries;

    static QUOIN_INLINE void prepare_queries(const AttentionArgs& args, AttentionState& state) {
        const int64_t size = args.head_size;
        state.query_bytes = size * 4;
        const Floats scale = broadcast(args.scale * kLog2E);
        for (int64_t q = 0; q < args.rows * args.heads; ++q) {
            const float* const src = args.query + q / args.heads * args.query_stride + q % args.heads * size;
            float* const query = reinterpret_cast<float*>(state.queries) + q * size;
            for_vectors(size, [=](int64_t i, int64_t n)
                                  QUOIN_LAMBDA_INLINE { store_some(query + i, load_some(src + i, n) * scale, n); });
        }
    }

    // f32 in whole vectors is multiplied where it lies.
    static QUOIN_INLINE bool widens_values(int64_t size) {
        return !Values::kPrefetches && (Page::kBytes == 2 || size % kLanes != 0);
    }

    static QUOIN_INLINE void prepare_block(const AttentionArgs& args, AttentionState& state, Block& block) {
        const int64_t size = args.head_size;
        for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
            if constexpr (Keys::kBytes != Page::kBytes) {
                float* const keys = reinterpret_cast<float*>(state.keys) + p * kPageTokens * size;
                for (int64_t i = 0; i < size * kPageTokens; i += kLanes) {
                    store(keys + i, Page::vector(block.keys[p] + i * Page::kBytes));
                }
                block.keys[p] = reinterpret_cast<const std::byte*>(keys);
            }
            if (!widens_values(size)) continue;
            float* const values = reinterpret_cast<float*>(state.values) + p * kPageTokens * state.padded_size;
            for (int64_t t = 0; t < kPageTokens; ++t) {
                const std::byte* const src = block.values[p] + t * size * Page::kBytes;
                float* const value = values + t * state.padded_size;
                int64_t i = 0;
                for (; i + kLanes <= size; i += kLanes) store(value + i, Page::vector(src + i * Page::kBytes));
                for (; i < size; ++i) value[i] = Page::element(src + i * Page::kBytes);
                for (; i < state.padded_size; ++i) value[i] = 0;
            }
            block.values[p] = reinterpret_cast<const std::byte*>(values);
        }
    }

    static QUOIN_INLINE void score(const AttentionArgs& /*args*/, const AttentionState& state, const Block& block,
                                   int64_t first_query, int64_t queries, Range pages) {
        score_pages<Keys>(state, block, first_query, queries, pages);
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t queries, Range /*pages*/, const Range* seen) {
        for (int64_t i = 0; i < queries * state.padded_size; i += kLanes) store(state.block_outputs + i, zeros());
        WeighTile tile = {};
        tile.probabilities = reinterpret_cast<const std::byte*>(state.scores);
        tile.pages = block.values;
        tile.row_bytes = (widens_values(args.head_size) ? state.padded_size : args.head_size) * Values::kBytes;
        tile.outputs = state.block_outputs;
        tile.output_stride = state.padded_size;
        const int64_t key_pages = block.pages.last - block.pages.first;
        tile.prefetch = block.read_order + key_pages + kPrefetchPages - block.pages.first;
        for_seen(seen, queries, 1, [&](int64_t first_query, int64_t count, Range tokens) QUOIN_LAMBDA_INLINE {
            weigh_steps<Values>(state, tile, first_query, count, tokens);
        });
    }
};

template <class Page>
QUOIN_INLINE void attention_floats(const AttentionArgs& args) {
    if (args.rows * args.heads > kMostQueriesInPlace) {
        attention<FloatCache<F32Near, F32Near, Page>>(args);
    } else if (args.head_size % kLanes != 0) {
        // Values are padded to whole vectors, which needs a copy.
        attention<FloatCache<Page, F32Near, Page>>(args);
    } else {
        attention<FloatCache<Page, Page, Page>>(args);
    }
}

void attention_f32(const AttentionArgs& args) {
    attention_floats<F32Page>(args);
}
void attention_f16(const AttentionArgs& args) {
    attention_floats<F16Page>(args);
}

}  // namespace
}  // namespace quoin
