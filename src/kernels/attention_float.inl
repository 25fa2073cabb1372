// Attention over keys and values kept as floats of any width: multiplied in f32.

namespace quoin {
namespace {

// Loops over a register tile are unrolled by pragma: GCC keeps an array in registers only when no loop is left.

// How a vector of the cache becomes floats. kAhead: memory is slow, so later chunks are asked for on the way.
struct F32Cached {
    static constexpr int64_t kBytes = 4;
    static constexpr bool kAhead = true;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
    static QUOIN_INLINE float element(const std::byte* p) { return read<float>(p); }
};
struct F16Cached {
    static constexpr int64_t kBytes = 2;
    static constexpr bool kAhead = true;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load_f16(p); }
    static QUOIN_INLINE float element(const std::byte* p) { return f16_to_float(read<uint16_t>(p)); }
};
struct Bf16Cached {
    static constexpr int64_t kBytes = 2;
    static constexpr bool kAhead = true;
    static QUOIN_INLINE Floats vector(const std::byte* p) { return load_bf16(p); }
    static QUOIN_INLINE float element(const std::byte* p) { return bf16_to_float(read<uint16_t>(p)); }
};
// Floats that lie in a cache of the processor, or that many tiles will pass over.
struct Near : F32Cached {
    static constexpr bool kAhead = false;
};

struct ScoreTile {
    const float* query;
    int64_t inner;          // head_size, also floats from one query to the next
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
    const float* query = tile.query;
    const int64_t inner = tile.inner;
    for (int64_t k = inner; k > 0; --k, keys += kRow, ++query) {
        if constexpr (Form::kAhead) {
            for (int64_t i = 0; i < V * kLanes * Form::kBytes; i += 64) __builtin_prefetch(ahead + i);
            ahead += kRow;
        }
        Floats key[V];
        for (int v = 0; v < V; ++v) key[v] = Form::vector(keys + v * kLanes * Form::kBytes);
#pragma GCC unroll 12
        for (int r = 0; r < R; ++r) {
            const Floats q = broadcast(query[r * inner]);
            for (int v = 0; v < V; ++v) sum[r][v] = fma(q, key[v], sum[r][v]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) store(tile.scores + r * kScoreStride + v * kLanes, sum[r][v]);
    }
}

struct WeighTile {
    const float* weights;  // of the block's first token
    const std::byte* const* pages;
    Range tokens;
    int64_t row_bytes;
    int64_t column;  // of the strip
    float* sums;     // of the strip, read and written
    int64_t sum_stride;
    const std::byte* const* ahead;  // by page, like `pages`
};

// sums[r][strip] += sum over tokens of weights[r][t] * values[t], tokens rising
template <int R, int V, class Form>
[[gnu::noinline]] void weigh_tile(const WeighTile& tile) {
    Floats sum[R][V];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = load(tile.sums + r * tile.sum_stride + v * kLanes);
    }
    const int64_t row_bytes = tile.row_bytes;
    for (int64_t t = tile.tokens.first; t < tile.tokens.last;) {
        const int64_t end = smaller((t / kPageTokens + 1) * kPageTokens, tile.tokens.last);
        const std::byte* values =
            tile.pages[t / kPageTokens] + t % kPageTokens * row_bytes + tile.column * Form::kBytes;
        const std::byte* ahead = tile.ahead[t / kPageTokens] + tile.column * Form::kBytes;
        const float* weight = tile.weights + t;
        for (; t < end; ++t, values += row_bytes, ++weight) {
            if constexpr (Form::kAhead) {
                for (int64_t i = 0; i < V * kLanes * Form::kBytes; i += 64) __builtin_prefetch(ahead + i);
                ahead += row_bytes;
            }
            Floats value[V];
            for (int v = 0; v < V; ++v) value[v] = Form::vector(values + v * kLanes * Form::kBytes);
#pragma GCC unroll 12
            for (int r = 0; r < R; ++r) {
                const Floats w = broadcast(weight[r * kScoreStride]);
                for (int v = 0; v < V; ++v) sum[r][v] = fma(w, value[v], sum[r][v]);
            }
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) store(tile.sums + r * tile.sum_stride + v * kLanes, sum[r][v]);
    }
}

// Keys, values: how those of the block at hand lie. Cached: how the pages hold them.
template <class Keys, class Values, class Cached>
struct FloatCache {
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

    static QUOIN_INLINE void score(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t begin, int64_t count, Range pages) {
        for (int64_t p = pages.first; p < pages.last; ++p) {
            for (int64_t column = 0; column < kPageTokens; column += 2 * kLanes) {
                const ScoreTile tile = {reinterpret_cast<const float*>(state.query) + begin * args.head_size,
                                        args.head_size, block.keys[p] + column * Keys::kBytes,
                                        state.scores + p * kPageTokens + column,
                                        block.stream[p - block.pages.first + kAheadChunks] + column * Keys::kBytes};
                with_rows<kTileQueries>(count, [&]<int R>() QUOIN_LAMBDA_INLINE { score_tile<R, 2, Keys>(tile); });
            }
        }
    }

    static QUOIN_INLINE void weigh_range(const AttentionState& state, WeighTile tile, int64_t query, int64_t count,
                                         Range tokens) {
        if (tokens.empty()) return;
        tile.tokens = tokens;
        tile.weights += query * kScoreStride;
        float* const sums = tile.sums + query * state.padded;
        for (int64_t column = 0; column < state.padded; column += 2 * kLanes) {
            tile.column = column;
            tile.sums = sums + column;
            with_rows<kTileQueries>(count, [&]<int R>() QUOIN_LAMBDA_INLINE {
                if (column + 2 * kLanes <= state.padded) {
                    weigh_tile<R, 2, Values>(tile);
                } else {
                    weigh_tile<R, 1, Values>(tile);
                }
            });
        }
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t count, Range /*pages*/, const Range* seen) {
        for (int64_t i = 0; i < count * state.padded; i += kLanes) store(state.block_sums + i, zeros());
        WeighTile tile = {};
        tile.weights = state.scores;
        tile.pages = block.values;
        tile.row_bytes = (widens_values(args.head_size) ? state.padded : args.head_size) * Values::kBytes;
        tile.sums = state.block_sums;
        tile.sum_stride = state.padded;
        const int64_t chunks = block.pages.last - block.pages.first;
        tile.ahead = block.stream + chunks + kAheadChunks - block.pages.first;
        // The tokens that all queries see go through the tile together. Values of tokens that a query does not see are
        // never multiplied, not even by 0: they may be infinite.
        Range common = seen[0];
        for (int64_t i = 1; i < count; ++i) {
            common = {larger(common.first, seen[i].first), smaller(common.last, seen[i].last)};
        }
        if (common.empty()) common = {0, 0};
        const auto alone = [&](bool before) QUOIN_LAMBDA_INLINE {
            for (int64_t i = 0; i < count;) {
                int64_t end = i + 1;
                while (end < count && seen[end].first == seen[i].first && seen[end].last == seen[i].last) ++end;
                const Range rest = common.empty() ? (before ? Range{0, 0} : seen[i])
                                   : before       ? Range{seen[i].first, common.first}
                                                  : Range{common.last, seen[i].last};
                weigh_range(state, tile, i, end - i, rest);
                i = end;
            }
        };
        alone(true);
        weigh_range(state, tile, 0, count, common);
        alone(false);
    }
};

template <class Cached>
QUOIN_INLINE void attention_floats(const AttentionArgs& args) {
    // Widening a block once for all queries pays from two tiles on; rows of values that are no whole vectors need it.
    if (args.rows * args.heads > kTileQueries) {
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
void attention_bf16(const AttentionArgs& args) {
    attention_floats<Bf16Cached>(args);
}

}  // namespace
}  // namespace quoin
