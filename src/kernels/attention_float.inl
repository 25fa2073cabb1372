// Attention over keys and values kept as floats of any width: multiplied in f32.

namespace quoin {
namespace {

// Loops over a register tile are unrolled by pragma: GCC keeps an array in registers only when no loop is left.

// How vectors of the cache are multiplied.
//   kTogether   products that a lane sums in one step: of neighbouring values of a head (scores) or tokens (sums)
//   kRows       rows of memory a step passes over
//   kAhead      memory is slow, so later chunks are asked for on the way
//   kVectors    of a tile, at most
// The request is for the second-level cache, which keeps twice as many of them under way as the first: 34 instead of 18
// GB/s of two Zen 4 cores over f32 pages.
struct OneFloat {
    using Vector = Floats;
    static constexpr int64_t kTogether = 1;
    static constexpr int64_t kRows = 1;
    static constexpr bool kAhead = true;
    static constexpr int kVectors = 8;
    static QUOIN_INLINE Floats factor(const std::byte* p) { return broadcast(read<float>(p)); }
    static QUOIN_INLINE Floats multiply_add(Floats sum, Floats a, Floats b) { return fma(a, b, sum); }
};
struct F32Cached : OneFloat {
    static constexpr int64_t kBytes = 4;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
    static QUOIN_INLINE float element(const std::byte* p) { return read<float>(p); }
};
struct F16Cached : OneFloat {
    static constexpr int64_t kBytes = 2;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load_f16(p); }
    static QUOIN_INLINE float element(const std::byte* p) { return f16_to_float(read<uint16_t>(p)); }
};
struct Bf16Cached : OneFloat {
    static constexpr int64_t kBytes = 2;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load_bf16(p); }
    static QUOIN_INLINE float element(const std::byte* p) { return bf16_to_float(read<uint16_t>(p)); }
};
// Floats that lie in a cache of the processor, or that many tiles will pass over.
struct Near : F32Cached {
    static constexpr bool kAhead = false;
    static constexpr int kVectors = 2;
};

// The V vectors of a step from p on.
template <int V, class Form>
QUOIN_INLINE void load_step(const std::byte* p, int64_t row_bytes, typename Form::Vector* to) {
    if constexpr (Form::kRows == 1) {
        for (int v = 0; v < V; ++v) to[v] = Form::vector(p + v * kLanes * Form::kBytes);
    } else {
        Form::template rows<V>(p, row_bytes, to);
    }
}
template <int V, class Form>
QUOIN_INLINE void prefetch_step(const std::byte* p, int64_t row_bytes) {
    for (int64_t row = 0; row < Form::kRows; ++row, p += row_bytes) {
        for (int64_t i = 0; i < V * kLanes * Form::kBytes; i += 64) __builtin_prefetch(p + i, 0, 2);
    }
}

// Vectors of a tile of R queries: as many as there are registers for its sums, so that memory is passed over once.
template <int R, class Form>
constexpr int tile_vectors(int most = Form::kVectors) {
    int vectors = 2;
    while (2 * vectors <= Form::kVectors && 2 * vectors <= most && vectors * R <= kTileQueries) vectors *= 2;
    return vectors;
}

struct ScoreTile {
    const std::byte* query;
    int64_t query_bytes;    // of one, 4 for each step
    const std::byte* keys;  // of the strip's first token
    float* scores;
    const std::byte* ahead;
};

// scores[r][32 tokens' strip] = query[r] * keys
template <int R, int V, class Form>
[[gnu::noinline]] void score_tile(const ScoreTile& tile) {
    constexpr int64_t kRow = kPageTokens * Form::kBytes;
    Floats sum[R][V];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = zeros();
    }
    const std::byte* keys = tile.keys;
    const std::byte* ahead = tile.ahead;
    const std::byte* query = tile.query;
    const int64_t stride = tile.query_bytes;
    for (int64_t left = stride; left > 0; left -= 4, keys += kRow * Form::kRows, query += 4) {
        if constexpr (Form::kAhead) {
            prefetch_step<V, Form>(ahead, kRow);
            ahead += kRow * Form::kRows;
        }
        typename Form::Vector key[V];
        load_step<V, Form>(keys, kRow, key);
#pragma GCC unroll 12
        for (int r = 0; r < R; ++r) {
            const typename Form::Vector q = Form::factor(query + r * stride);
            for (int v = 0; v < V; ++v) sum[r][v] = Form::multiply_add(sum[r][v], q, key[v]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) store(tile.scores + r * kScoreStride + v * kLanes, sum[r][v]);
    }
}

struct WeighTile {
    const std::byte* weights;  // of the block's first step, 4 bytes each
    const std::byte* const* pages;
    Range steps;  // tokens / kTogether
    int64_t row_bytes;
    int64_t column;  // of the strip
    float* sums;     // of the strip, read and written
    int64_t sum_stride;
    const std::byte* const* ahead;  // by page, like `pages`
};

// sums[r][strip] += sum over steps of weights[r][t] * values[t], t rising
template <int R, int V, class Form>
[[gnu::noinline]] void weigh_tile(const WeighTile& tile) {
    constexpr int64_t kPageSteps = kPageTokens / Form::kTogether;
    constexpr int64_t kWeightStride = kScoreStride / Form::kTogether * 4;
    Floats sum[R][V];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = load(tile.sums + r * tile.sum_stride + v * kLanes);
    }
    const int64_t row_bytes = tile.row_bytes;
    const int64_t step_bytes = row_bytes * Form::kRows;
    for (int64_t t = tile.steps.first; t < tile.steps.last;) {
        const int64_t end = smaller((t / kPageSteps + 1) * kPageSteps, tile.steps.last);
        const std::byte* values = tile.pages[t / kPageSteps] + t % kPageSteps * step_bytes + tile.column * Form::kBytes;
        const std::byte* ahead = tile.ahead[t / kPageSteps] + tile.column * Form::kBytes;
        const std::byte* weight = tile.weights + t * 4;
        for (; t < end; ++t, values += step_bytes, weight += 4) {
            if constexpr (Form::kAhead) {
                prefetch_step<V, Form>(ahead, row_bytes);
                ahead += step_bytes;
            }
            typename Form::Vector value[V];
            load_step<V, Form>(values, row_bytes, value);
#pragma GCC unroll 12
            for (int r = 0; r < R; ++r) {
                const typename Form::Vector w = Form::factor(weight + r * kWeightStride);
                for (int v = 0; v < V; ++v) sum[r][v] = Form::multiply_add(sum[r][v], w, value[v]);
            }
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) store(tile.sums + r * tile.sum_stride + v * kLanes, sum[r][v]);
    }
}

template <class Keys>
QUOIN_INLINE void score_pages(const AttentionState& state, const Block& block, int64_t begin, int64_t count,
                              Range pages) {
    for (int64_t p = pages.first; p < pages.last; ++p) {
        ScoreTile tile = {state.query + begin * state.query_bytes, state.query_bytes, block.keys[p],
                          state.scores + p * kPageTokens, block.stream[p - block.pages.first + kAheadChunks]};
        with_rows<kTileQueries>(count, [&]<int R>() QUOIN_LAMBDA_INLINE {
            constexpr int V = tile_vectors<R, Keys>(kPageTokens / kLanes);
            for (int64_t column = 0; column < kPageTokens; column += V * kLanes) {
                score_tile<R, V, Keys>(tile);
                tile.keys += V * kLanes * Keys::kBytes;
                tile.scores += V * kLanes;
                tile.ahead += V * kLanes * Keys::kBytes;
            }
        });
    }
}

// All columns for `count` queries, strip by strip, the widest first.
template <int R, int V, class Values>
QUOIN_INLINE void weigh_strips(WeighTile& tile, int64_t padded) {
    for (; tile.column + V * kLanes <= padded; tile.column += V * kLanes, tile.sums += V * kLanes) {
        weigh_tile<R, V, Values>(tile);
    }
    if constexpr (V > 2 || (V == 2 && Values::kRows == 1)) weigh_strips<R, V / 2, Values>(tile, padded);
}

// The steps of all columns for `count` queries from `query` of the tile on.
template <class Values>
QUOIN_INLINE void weigh_steps(const AttentionState& state, WeighTile tile, int64_t query, int64_t count, Range steps) {
    constexpr int64_t kPageSteps = kPageTokens / Values::kTogether;
    tile.weights += query * (kScoreStride / Values::kTogether * 4);
    float* const sums = tile.sums + query * state.padded;
    // Memory is read page by page, what lies near strip by strip.
    for (int64_t t = steps.first; t < steps.last; t = tile.steps.last) {
        tile.steps = {t, Values::kAhead ? smaller((t / kPageSteps + 1) * kPageSteps, steps.last) : steps.last};
        tile.column = 0;
        tile.sums = sums;
        with_rows<kTileQueries>(count, [&]<int R>() QUOIN_LAMBDA_INLINE {
            weigh_strips<R, tile_vectors<R, Values>(), Values>(tile, state.padded);
        });
    }
}

// Values of tokens that a query does not see are never multiplied, not even by 0: they may be infinite. So the tokens
// that all queries of a tile see go through it together, the rest for those alone who see the same ones. Calls
// weigh(query, count, tokens); borders between calls are whole steps, `together` tokens each.
template <class Function>
QUOIN_INLINE void for_seen(const Range* seen, int64_t count, int64_t together, Function weigh) {
    Range common = seen[0];
    for (int64_t i = 1; i < count; ++i) {
        common = {larger(common.first, seen[i].first), smaller(common.last, seen[i].last)};
    }
    common = {(common.first + together - 1) / together * together, common.last / together * together};
    const bool nothing = common.empty();
    const auto alone = [&](bool before) QUOIN_LAMBDA_INLINE {
        for (int64_t i = 0; i < count;) {
            int64_t end = i + 1;
            while (end < count && seen[end].first == seen[i].first && seen[end].last == seen[i].last) ++end;
            const Range rest = nothing  ? (before ? Range{0, 0} : seen[i])
                               : before ? Range{seen[i].first, common.first}
                                        : Range{common.last, seen[i].last};
            if (!rest.empty()) weigh(i, end - i, rest);
            i = end;
        }
    };
    alone(true);
    if (!nothing) weigh(int64_t{0}, count, common);
    alone(false);
}

// Keys, values: how those of the block at hand lie. Cached: how the pages hold them.
template <class Keys, class Values, class Cached>
struct FloatCache {
    static constexpr int64_t kQueries = kTileQueries;
    static constexpr bool kWidenKeys = Keys::kBytes != Cached::kBytes;
    static constexpr bool kWidenValues = Values::kBytes != Cached::kBytes || (!Values::kAhead && Cached::kBytes == 4);

    static QUOIN_INLINE void prepare(const AttentionArgs& args, AttentionState& state) {
        const int64_t size = args.head_size;
        state.query_bytes = size * 4;
        const Floats scale = broadcast(args.scale * kLog2E);
        for (int64_t q = 0; q < args.rows * args.heads; ++q) {
            const float* const src = args.query + q / args.heads * args.query_stride + q % args.heads * size;
            float* const query = reinterpret_cast<float*>(state.query) + q * size;
            for_vectors(size, [=](int64_t i, int64_t n)
                                  QUOIN_LAMBDA_INLINE { store_some(query + i, load_some(src + i, n) * scale, n); });
        }
    }

    static QUOIN_INLINE bool widens_values(int64_t size) {
        return kWidenValues && (Cached::kBytes == 2 || size % kLanes != 0);
    }

    static QUOIN_INLINE void open(const AttentionArgs& args, AttentionState& state, Block& block) {
        const int64_t size = args.head_size;
        for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
            if constexpr (kWidenKeys) {
                float* const dst = reinterpret_cast<float*>(state.keys) + p * kPageTokens * size;
                for (int64_t i = 0; i < size * kPageTokens; i += kLanes) {
                    store(dst + i, Cached::vector(block.keys[p] + i * Cached::kBytes));
                }
                block.keys[p] = reinterpret_cast<const std::byte*>(dst);
            }
            if (!widens_values(size)) continue;
            float* const dst = reinterpret_cast<float*>(state.values) + p * kPageTokens * state.padded;
            for (int64_t t = 0; t < kPageTokens; ++t) {
                const std::byte* const src = block.values[p] + t * size * Cached::kBytes;
                float* const row = dst + t * state.padded;
                int64_t i = 0;
                for (; i + kLanes <= size; i += kLanes) store(row + i, Cached::vector(src + i * Cached::kBytes));
                for (; i < size; ++i) row[i] = Cached::element(src + i * Cached::kBytes);
                for (; i < state.padded; ++i) row[i] = 0;
            }
            block.values[p] = reinterpret_cast<const std::byte*>(dst);
        }
    }

    static QUOIN_INLINE void score(const AttentionArgs& /*args*/, const AttentionState& state, const Block& block,
                                   int64_t begin, int64_t count, Range pages) {
        score_pages<Keys>(state, block, begin, count, pages);
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t count, Range /*pages*/, const Range* seen) {
        for (int64_t i = 0; i < count * state.padded; i += kLanes) store(state.block_sums + i, zeros());
        WeighTile tile = {};
        tile.weights = reinterpret_cast<const std::byte*>(state.scores);
        tile.pages = block.values;
        tile.row_bytes = (widens_values(args.head_size) ? state.padded : args.head_size) * Values::kBytes;
        tile.sums = state.block_sums;
        tile.sum_stride = state.padded;
        const int64_t chunks = block.pages.last - block.pages.first;
        tile.ahead = block.stream + chunks + kAheadChunks - block.pages.first;
        for_seen(seen, count, 1, [&](int64_t query, int64_t queries, Range tokens) QUOIN_LAMBDA_INLINE {
            weigh_steps<Values>(state, tile, query, queries, tokens);
        });
    }
};

template <class Cached>
QUOIN_INLINE void attention_floats(const AttentionArgs& args) {
    // Rows of values that are no whole vectors are widened always.
    if (args.rows * args.heads > kFewQueries) {
        attention<FloatCache<Near, Near, Cached>>(args);
    } else if (args.head_size % kLanes != 0) {
        attention<FloatCache<Cached, Near, Cached>>(args);
    } else {
        attention<FloatCache<Cached, Cached, Cached>>(args);
    }
}

void attention_f32(const AttentionArgs& args) {
    attention_floats<F32Cached>(args);
}
void attention_f16(const AttentionArgs& args) {
    attention_floats<F16Cached>(args);
}

}  // namespace
}  // namespace quoin
