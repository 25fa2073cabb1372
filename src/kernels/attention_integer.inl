// Attention over keys and values kept as q8_0 or q4_0: integer dot products.
//
// Scores: queries are quantised to int8 with a scale per 32 values, like activations of a Linear; an int32 dot product
// per block of 32, scaled by both sides, summed in f32.
// Values: their scale belongs to a token, so it goes into the probability: p * scale is quantised to 15 bits relative
// to the query's largest one in the block of positions, and the products of a whole block of positions are summed as
// integers: 256 * 32767 * 127 < 2^31. What rounding a probability costs is far below what q8_0 itself does.

namespace quoin {
namespace {

// Queries of an integer tile: two vectors of int32 sums for each beside what the dot product needs on the way.
constexpr int kIntegerQueries = kLanes == 16 ? 12 : kLanes == 8 ? 4 : 2;
constexpr int64_t kGroupOfKeys = kPageTokens * 4;  // bytes of 4 values of all tokens
constexpr int64_t kPairs = kPageTokens / 2;        // of tokens (i, i + 16) in a page
constexpr int64_t kPairStride = kScoreStride / 2;
constexpr float kProbabilityOne = 32767.0F;

// ---- How blocks of 32 key values of all tokens of a page lie --------------------------------------------------
// value(): what the dot product of this instruction set takes; kOffset: what it is too large by (simd.h, ByteDot).
struct ByteKeys {
    static constexpr int64_t kBlockBytes = kPageTokens * 34;
    static constexpr int64_t kScalesAt = 8 * kGroupOfKeys;
    static constexpr int kLoads = 8;
    static constexpr int kParts = 1;
    using Dot = ByteDot<kDotsAnyBytes ? Bytes::Any : Bytes::Signed, true>;
    static constexpr int kOffset = kAnyBytesOffset;
    static QUOIN_INLINE Ints value(Ints raw, int) { return kOffset == 0 ? xor_ints(raw, broadcast_byte(0x80)) : raw; }
};
struct NibbleKeys {
    static constexpr int64_t kBlockBytes = kPageTokens * 18;
    static constexpr int64_t kScalesAt = 4 * kGroupOfKeys;
    static constexpr int kLoads = 4;
    static constexpr int kParts = 2;
    using Dot = ByteDot<kDotsAnyBytes ? Bytes::Any : Bytes::UpTo15, true>;
    static constexpr int kOffset = kDotsAnyBytes ? kAnyBytesOffset : 8;
    static QUOIN_INLINE Ints value(Ints raw, int part) {
        const Ints code = and_ints(part == 0 ? raw : shift_words<-4>(raw), broadcast_byte(15));
        return kOffset == 8 ? code : add_bytes(code, broadcast_byte(kOffset - 8));
    }
};
// Nibbles spread to bytes as the dot product takes them, once for many queries.
struct SpreadKeys : NibbleKeys {
    static constexpr int64_t kBlockBytes = ByteKeys::kBlockBytes;
    static constexpr int64_t kScalesAt = ByteKeys::kScalesAt;
    static constexpr int kLoads = 8;
    static constexpr int kParts = 1;
    static QUOIN_INLINE Ints value(Ints raw, int) { return raw; }
    static QUOIN_INLINE void spread(const std::byte* src, std::byte* dst) {
        for (int64_t i = 0; i < NibbleKeys::kScalesAt; i += kVectorBytes) {
            const Ints raw = load_ints(src + i);
            store_ints(dst + i, NibbleKeys::value(raw, 0));
            store_ints(dst + i + NibbleKeys::kScalesAt, NibbleKeys::value(raw, 1));
        }
        __builtin_memcpy(dst + kScalesAt, src + NibbleKeys::kScalesAt, kPageTokens * 2);
    }
};

// ---- How blocks of 32 value columns of all tokens of a page lie -----------------------------------------------
// load(): vectors of pairs of 16-bit values, of columns strip * kLanes and 16 + strip * kLanes, for a pair of tokens.
struct ByteValues {
    static constexpr int64_t kBlockBytes = kPageTokens * 34;
    static constexpr int64_t kScalesAt = kPageTokens * 32;
    static constexpr int64_t kPairBytes = 64;
    static constexpr int32_t kOffset = 0;  // what stored values are too large by
    static constexpr bool kSignedScales = false;
    static QUOIN_INLINE void load(const std::byte* p, int64_t strip, Ints* values) {
        values[0] = widen_bytes(p + strip * kLanes * 2);
        values[1] = widen_bytes(p + 32 + strip * kLanes * 2);
    }
};
struct NibbleValues {
    static constexpr int64_t kBlockBytes = kPageTokens * 18;
    static constexpr int64_t kScalesAt = kPageTokens * 16;
    static constexpr int64_t kPairBytes = 32;
    static constexpr int32_t kOffset = 8;
    static constexpr bool kSignedScales = true;
    static QUOIN_INLINE void load(const std::byte* p, int64_t strip, Ints* values) {
        const Ints raw = widen_bytes(p + strip * kLanes * 2);
        const Ints mask = broadcast_int(0x000F000F);
        values[0] = and_ints(raw, mask);
        values[1] = and_ints(shift_right_arithmetic<4>(raw), mask);
    }
};
struct SpreadValues : ByteValues {
    static constexpr int32_t kOffset = 8;
    static constexpr bool kSignedScales = true;
    static QUOIN_INLINE void spread(const std::byte* src, std::byte* dst) {
        for (int64_t pair = 0; pair < kPairs; ++pair, src += NibbleValues::kPairBytes, dst += kPairBytes) {
            for (int64_t i = 0; i < NibbleValues::kPairBytes; ++i) {
                dst[i] = src[i] & std::byte{15};
                dst[i + NibbleValues::kPairBytes] = src[i] >> 4;
            }
        }
    }
};

// ---- Scores ---------------------------------------------------------------------------------------------------
constexpr int64_t kQueryBlock = 32;
constexpr int64_t kQueryBlockBytes = 40;

// A block of a quantised query: float scale, int32 -128 * sum of values, int8 values[32].
QUOIN_INLINE void quantize_query(const float* src, float scale, std::byte* dst) {
    constexpr int kVectors = static_cast<int>(kQueryBlock / kLanes);
    Floats x[kVectors];
    Floats high = zeros();
    for (int v = 0; v < kVectors; ++v) {
        x[v] = load(src + v * kLanes) * broadcast(scale);
        high = maximum(absolute(x[v]), high);
    }
    const float largest_value = largest(high);
    const bool usable = largest_value >= 0x1p-100F && largest_value < kInfinity;
    const Floats inverse = broadcast(usable ? 127.0F / largest_value : 0.0F);
    Ints sum = broadcast_int(0);
    Floats check = zeros();
    for (int v = 0; v < kVectors; ++v) {
        check = check + x[v];
        const Ints q = round_to_ints(maximum(x[v] * inverse, broadcast(-127.0F)));
        sum = add_ints(sum, q);
        store_as_bytes(dst + 8 + v * kLanes, q);
    }
    // A query that is not finite must show in its scores.
    const float total = sum_floats(check);
    const bool finite = total - total == 0;
    write<float>(dst, !finite ? __builtin_nanf("") : usable ? largest_value / 127.0F : 0.0F);
    write<int32_t>(dst + 4, -128 * sum_ints(sum));
}

struct IntegerScoreTile {
    const std::byte* query;
    int64_t query_bytes;
    int64_t blocks;         // of 32 values of a head
    const std::byte* keys;  // of the page
    int64_t column;         // first token of the strip
    float* scores;
    const std::byte* ahead;
};

template <int R, class Form, bool kAhead>
[[gnu::noinline]] void integer_score_tile(const IntegerScoreTile& tile) {
    constexpr int V = 2;
    const std::byte* keys = tile.keys;
    const std::byte* query = tile.query;
    const std::byte* ahead = tile.ahead;
    const int64_t stride = tile.query_bytes;
    for (int64_t b = 0; b < tile.blocks; ++b) {
        typename Form::Dot dot[R][V];
#pragma GCC unroll 12
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) dot[r][v].begin(query + r * stride + 4);
        }
        for_constant<Form::kLoads>([&](auto g) QUOIN_LAMBDA_INLINE {
            if constexpr (kAhead) {
                __builtin_prefetch(ahead + g * kGroupOfKeys, 0, 2);
                __builtin_prefetch(ahead + g * kGroupOfKeys + 64, 0, 2);
            }
            Ints raw[V];
            for (int v = 0; v < V; ++v)
                raw[v] = load_ints(keys + tile.column * 4 + g * kGroupOfKeys + v * kVectorBytes);
            for_constant<Form::kParts>([&](auto part) QUOIN_LAMBDA_INLINE {
                Ints key[V];
                for (int v = 0; v < V; ++v) key[v] = Form::value(raw[v], part);
                for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
                    const Ints q = broadcast_quad(query + r * stride + 8 + 4 * (g + part * Form::kLoads));
                    for (int v = 0; v < V; ++v) {
                        dot[r][v].template step<g * Form::kParts + part, Form::kLoads * Form::kParts>(key[v], q);
                    }
                });
            });
        });
        if constexpr (kAhead) __builtin_prefetch(ahead + Form::kScalesAt, 0, 2);
        Floats scale[V];
        for (int v = 0; v < V; ++v) {
            scale[v] = load_f16(keys + Form::kScalesAt + (tile.column + v * kLanes) * 2);
        }
#pragma GCC unroll 12
        for (int r = 0; r < R; ++r) {
            const Floats factor = broadcast(read<float>(query + r * stride));
            for (int v = 0; v < V; ++v) {
                float* const score = tile.scores + r * kScoreStride + v * kLanes;
                const Floats product = to_floats(dot[r][v].end(query + r * stride + 4, Form::kOffset));
                store(score, fma(product, scale[v] * factor, b == 0 ? zeros() : load(score)));
            }
        }
        keys += Form::kBlockBytes;
        query += kQueryBlockBytes;
        ahead += Form::kBlockBytes;
    }
}

// ---- Weighted sums --------------------------------------------------------------------------------------------
// Probabilities of one query, times the scales of a block of columns, as 15-bit integers and a sign in pairs of tokens
// (i, i + 16). Returns the sum of the integers when the values need it; *unit is what one of them stands for.
template <class Form>
QUOIN_INLINE int32_t quantize_probabilities(const float* weights, const float* scales, Range pages, float* products,
                                            int32_t* pairs, float* unit) {
    Floats highs[2] = {zeros(), zeros()};
    for (int64_t t = pages.first * kPageTokens; t < pages.last * kPageTokens; t += 2 * kLanes) {
        for (int v = 0; v < 2; ++v) {
            const Floats x = load(weights + t + v * kLanes) * load(scales + t + v * kLanes);
            store(products + t + v * kLanes, x);
            highs[v] = maximum(Form::kSignedScales ? absolute(x) : x, highs[v]);
        }
    }
    const float high = largest(maximum(highs[0], highs[1]));
    *unit = high * (1.0F / kProbabilityOne);
    const Floats inverse = broadcast(high >= 0x1p-100F ? kProbabilityOne / high : 0.0F);
    Ints sum = broadcast_int(0);
    for (int64_t p = pages.first; p < pages.last; ++p) {
        for (int64_t i = 0; i < kPairs; i += kLanes) {
            const float* const x = products + p * kPageTokens + i;
            Ints low = round_to_ints(load(x) * inverse);
            const Ints high_half = round_to_ints(load(x + kPairs) * inverse);
            if constexpr (Form::kOffset != 0) sum = add_ints(sum, add_ints(low, high_half));
            if constexpr (Form::kSignedScales) low = and_ints(low, broadcast_int(0xFFFF));
            store_ints(reinterpret_cast<std::byte*>(pairs + p * kPairs + i), add_ints(low, shift_left<16>(high_half)));
        }
    }
    return Form::kOffset != 0 ? sum_ints(sum) : 0;
}

struct IntegerWeighTile {
    const int32_t* pairs;
    const int32_t* starts;  // [R]
    const float* units;     // [R]
    const std::byte* const* pages;
    int64_t offset;  // of the block of columns in a page
    int64_t strip;
    Range range;
    float* sums;  // of the block of columns, written
    int64_t sum_stride;
    const std::byte* const* ahead;  // by page
};

template <int R, class Form, bool kAhead>
[[gnu::noinline]] void integer_weigh_tile(const IntegerWeighTile& tile) {
    constexpr int V = 2;
    Ints sum[R][V];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = broadcast_int(tile.starts[r]);
    }
    for (int64_t p = tile.range.first; p < tile.range.last; ++p) {
        const std::byte* values = tile.pages[p] + tile.offset;
        const std::byte* ahead = tile.ahead[p] + tile.offset;
        const int32_t* pairs = tile.pairs + p * kPairs;
        if constexpr (kAhead) __builtin_prefetch(ahead + Form::kScalesAt, 0, 2);
        for (int64_t i = kPairs; i > 0; --i, values += Form::kPairBytes, ++pairs) {
            if constexpr (kAhead) {
                __builtin_prefetch(ahead, 0, 2);
                ahead += Form::kPairBytes;
            }
            Ints value[V];
            Form::load(values, tile.strip, value);
#pragma GCC unroll 12
            for (int r = 0; r < R; ++r) {
                const Ints weight = broadcast_int(pairs[r * kPairStride]);
                for (int v = 0; v < V; ++v) sum[r][v] = pair_dot(sum[r][v], value[v], weight);
            }
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) {
            store(tile.sums + r * tile.sum_stride + tile.strip * kLanes + v * kPairs,
                  to_floats(sum[r][v]) * broadcast(tile.units[r]));
        }
    }
}

// CachedKeys, CachedValues: how the pages lie. Keys, Values: how the block at hand lies, spread or as it is.
template <class CachedKeys, class CachedValues, class Keys, class Values, bool kAhead>
struct IntegerCache {
    static constexpr int64_t kQueries = kAttentionTileQueries;
    static constexpr bool kSpread = Keys::kBlockBytes != CachedKeys::kBlockBytes;

    static QUOIN_INLINE void prepare(const AttentionArgs& args, AttentionState& state) {
        const int64_t size = args.head_size;
        state.query_bytes = size / kQueryBlock * kQueryBlockBytes;
        for (int64_t q = 0; q < args.rows * args.heads; ++q) {
            const float* const src = args.query + q / args.heads * args.query_stride + q % args.heads * size;
            std::byte* const dst = state.query + q * state.query_bytes;
            for (int64_t b = 0; b < size / kQueryBlock; ++b) {
                quantize_query(src + b * kQueryBlock, args.scale * kLog2E, dst + b * kQueryBlockBytes);
            }
        }
    }

    // Scales of values [head_size / 32][block tokens], behind the keys that are spread.
    static QUOIN_INLINE float* scales(const AttentionArgs& args, const AttentionState& state) {
        return reinterpret_cast<float*>(state.keys +
                                        args.head_size / 32 * state.block_tokens / kPageTokens * ByteKeys::kBlockBytes);
    }

    static QUOIN_INLINE void open(const AttentionArgs& args, AttentionState& state, Block& block) {
        const int64_t blocks = args.head_size / 32;
        float* const value_scales = scales(args, state);
        for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
            for (int64_t b = 0; b < blocks; ++b) {
                const std::byte* const from = block.values[p] + b * CachedValues::kBlockBytes + CachedValues::kScalesAt;
                float* const to = value_scales + b * state.block_tokens + p * kPageTokens;
                // Slots never written may hold NaN; infinity is what a token of infinities has. Finite, they do no harm
                // to queries that do not see them: their probability is 0.
                const Floats most = broadcast(kLargestFloat);
                for (int64_t i = 0; i < kPageTokens; i += kLanes) {
                    store(to + i, maximum(minimum(load_f16(from + i * 2), most), zeros() - most));
                }
            }
            if constexpr (kSpread) {
                std::byte* const keys = state.keys + p * blocks * Keys::kBlockBytes;
                std::byte* const values = state.values + p * blocks * Values::kBlockBytes;
                for (int64_t b = 0; b < blocks; ++b) {
                    Keys::spread(block.keys[p] + b * CachedKeys::kBlockBytes, keys + b * Keys::kBlockBytes);
                    Values::spread(block.values[p] + b * CachedValues::kBlockBytes, values + b * Values::kBlockBytes);
                }
                block.keys[p] = keys;
                block.values[p] = values;
            }
        }
    }

    static QUOIN_INLINE void score(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t begin, int64_t count, Range pages) {
        for (int64_t p = pages.first; p < pages.last; ++p) {
            for (int64_t q = 0; q < count; q += kIntegerQueries) {
                IntegerScoreTile tile = {state.query + (begin + q) * state.query_bytes,
                                         state.query_bytes,
                                         args.head_size / 32,
                                         block.keys[p],
                                         0,
                                         state.scores + q * kScoreStride + p * kPageTokens,
                                         block.stream[p - block.pages.first + kAheadChunks]};
                for (; tile.column < kPageTokens; tile.column += 2 * kLanes, tile.scores += 2 * kLanes) {
                    with_rows<kIntegerQueries>(smaller(count - q, int64_t{kIntegerQueries}),
                                               [&]<int R>()
                                                   QUOIN_LAMBDA_INLINE { integer_score_tile<R, Keys, kAhead>(tile); });
                }
            }
        }
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t count, Range pages, const Range* /*seen*/) {
        int32_t starts[kQueries];
        float units[kQueries];
        const int64_t chunks = block.pages.last - block.pages.first;
        for (int64_t b = 0; b < args.head_size / 32; ++b) {
            for (int64_t i = 0; i < count; ++i) {
                const int32_t sum = quantize_probabilities<Values>(
                    state.scores + i * kScoreStride, scales(args, state) + b * state.block_tokens, pages,
                    state.products, state.pairs + i * kPairStride, units + i);
                starts[i] = -Values::kOffset * sum;
            }
            for (int64_t q = 0; q < count; q += kIntegerQueries) {
                IntegerWeighTile tile = {state.pairs + q * kPairStride,
                                         starts + q,
                                         units + q,
                                         block.values,
                                         b * Values::kBlockBytes,
                                         0,
                                         pages,
                                         state.block_sums + q * state.padded + b * 32,
                                         state.padded,
                                         block.stream + chunks + kAheadChunks - block.pages.first};
                for (; tile.strip < kPairs / kLanes; ++tile.strip) {
                    with_rows<kIntegerQueries>(
                        smaller(count - q, int64_t{kIntegerQueries}),
                        [&]<int R>() QUOIN_LAMBDA_INLINE { integer_weigh_tile<R, Values, kAhead>(tile); });
                }
            }
        }
    }
};

void attention_q8_0(const AttentionArgs& args) {
    if (args.rows * args.heads > kFewQueries) {
        attention<IntegerCache<ByteKeys, ByteValues, ByteKeys, ByteValues, false>>(args);
    } else {
        attention<IntegerCache<ByteKeys, ByteValues, ByteKeys, ByteValues, true>>(args);
    }
}
void attention_q4_0(const AttentionArgs& args) {
    if (args.rows * args.heads > kFewQueries) {
        attention<IntegerCache<NibbleKeys, NibbleValues, SpreadKeys, SpreadValues, false>>(args);
    } else {
        attention<IntegerCache<NibbleKeys, NibbleValues, NibbleKeys, NibbleValues, true>>(args);
    }
}

}  // namespace
}  // namespace quoin
