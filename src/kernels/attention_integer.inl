// Attention over keys and values kept as q8_0 or q4_0: integer dot products. A scale block is 32 channels of one token,
// which share a scale.
//
// Scores: queries are quantised to int8 with a scale for each scale block, like activations of a Linear; an int32 dot
// product for each of them, scaled by both sides, summed in f32.
// Values: their scale belongs to a token, so it goes into the probability: p * scale is quantised to 15 bits relative
// to the query's largest one in the block of positions, and the products of a whole block of positions are summed as
// integers: 256 * 32767 * 127 < 2^31. What rounding a probability costs is far below what q8_0 itself does.

namespace quoin {
namespace {

// Two vectors of int32 sums for each query stay in registers, beside what the dot product needs on the way.
constexpr int kIntegerTileQueries = kLanes == 16 ? 12 : kLanes == 8 ? 4 : 2;
constexpr int64_t kScaleBlock = 32;
// Weighted sums take channels c and kHalfBlock + c of a scale block together: their nibbles share a byte.
constexpr int64_t kHalfBlock = kScaleBlock / 2;
// Keys lie as quads, 4 channels of a token, those of all tokens of a page side by side.
constexpr int64_t kQuadRowBytes = kPageTokens * 4;
constexpr int64_t kPairStride = kScoreStride / 2;
constexpr float kLargestProbability = 32767.0F;

// ---- How a scale block of the keys of a page lies -------------------------------------------------------------
// kLoads, kParts: rows of quads, and quads in each of their lanes. operand(): what the dot product of this instruction
// set takes; kOffset: what it is too large by (ByteDot in simd_*.h).
struct ByteKeys {
    static constexpr int64_t kBytes = kPageTokens * 34;
    static constexpr int64_t kScalesAt = 8 * kQuadRowBytes;
    static constexpr int kLoads = 8;
    static constexpr int kParts = 1;
    using Dot = ByteDot<kDotsAnyBytes ? Bytes::Any : Bytes::Signed, true>;
    static constexpr int kOffset = kAnyBytesOffset;
    static QUOIN_INLINE Ints operand(Ints raw, int) { return kOffset == 0 ? xor_ints(raw, broadcast_byte(0x80)) : raw; }
};
struct NibbleKeys {
    static constexpr int64_t kBytes = kPageTokens * 18;
    static constexpr int64_t kScalesAt = 4 * kQuadRowBytes;
    static constexpr int kLoads = 4;
    static constexpr int kParts = 2;
    using Dot = ByteDot<kDotsAnyBytes ? Bytes::Any : Bytes::UpTo15, true>;
    static constexpr int kOffset = kDotsAnyBytes ? kAnyBytesOffset : 8;
    static QUOIN_INLINE Ints operand(Ints raw, int part) {
        const Ints code = and_ints(part == 0 ? raw : shift_words<-4>(raw), broadcast_byte(15));
        return kOffset == 8 ? code : add_bytes(code, broadcast_byte(kOffset - 8));
    }
};
// Bytes as the dot product takes them.
struct WidenedKeys : NibbleKeys {
    static constexpr int64_t kBytes = ByteKeys::kBytes;
    static constexpr int64_t kScalesAt = ByteKeys::kScalesAt;
    static constexpr int kLoads = 8;
    static constexpr int kParts = 1;
    static QUOIN_INLINE Ints operand(Ints raw, int) { return raw; }
    static QUOIN_INLINE void widen(const std::byte* src, std::byte* dst) {
        for (int64_t i = 0; i < NibbleKeys::kScalesAt; i += kVectorBytes) {
            const Ints raw = load_ints(src + i);
            store_ints(dst + i, NibbleKeys::operand(raw, 0));
            store_ints(dst + i + NibbleKeys::kScalesAt, NibbleKeys::operand(raw, 1));
        }
        __builtin_memcpy(dst + kScalesAt, src + NibbleKeys::kScalesAt, kPageTokens * 2);
    }
};

// ---- How a scale block of the values of a page lies -----------------------------------------------------------
// load(): for a pair of tokens, vector v of each half of the channels; a lane is one channel of both tokens.
struct ByteValues {
    static constexpr int64_t kBytes = kPageTokens * 34;
    static constexpr int64_t kScalesAt = kPageTokens * 32;
    static constexpr int64_t kPairBytes = 64;
    static constexpr int32_t kOffset = 0;  // what stored values are too large by
    static constexpr bool kSignedScales = false;
    static QUOIN_INLINE void load(const std::byte* p, int64_t v, Ints* values) {
        values[0] = widen_bytes(p + v * kLanes * 2);
        values[1] = widen_bytes(p + 32 + v * kLanes * 2);
    }
};
struct NibbleValues {
    static constexpr int64_t kBytes = kPageTokens * 18;
    static constexpr int64_t kScalesAt = kPageTokens * 16;
    static constexpr int64_t kPairBytes = 32;
    static constexpr int32_t kOffset = 8;
    static constexpr bool kSignedScales = true;
    static QUOIN_INLINE void load(const std::byte* p, int64_t v, Ints* values) {
        const Ints raw = widen_bytes(p + v * kLanes * 2);
        const Ints mask = broadcast_int(0x000F000F);
        values[0] = and_ints(raw, mask);
        values[1] = and_ints(shift_right_arithmetic<4>(raw), mask);
    }
};
struct WidenedValues : ByteValues {
    static constexpr int32_t kOffset = 8;
    static constexpr bool kSignedScales = true;
    static QUOIN_INLINE void widen(const std::byte* src, std::byte* dst) {
        for (int64_t pair = 0; pair < kPagePairs; ++pair, src += NibbleValues::kPairBytes, dst += kPairBytes) {
            for (int64_t i = 0; i < NibbleValues::kPairBytes; ++i) {
                dst[i] = src[i] & std::byte{15};
                dst[i + NibbleValues::kPairBytes] = src[i] >> 4;
            }
        }
    }
};

// ---- Scores ---------------------------------------------------------------------------------------------------
// A scale block of a quantised query.
struct QueryScaleBlock {
    static constexpr int64_t kScale = 0;   // float
    static constexpr int64_t kOffset = 4;  // int32: -128 * sum of the values
    static constexpr int64_t kValues = 8;  // int8 [32]
    static constexpr int64_t kBytes = 40;
};

QUOIN_INLINE void quantize_query(const float* src, float scale, std::byte* dst) {
    constexpr int kVectors = static_cast<int>(kScaleBlock / kLanes);
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
        const Ints rounded = round_to_ints(maximum(x[v] * inverse, broadcast(-127.0F)));
        sum = add_ints(sum, rounded);
        store_as_bytes(dst + QueryScaleBlock::kValues + v * kLanes, rounded);
    }
    // A query that is not finite must show in its scores.
    const float total = sum_floats(check);
    const bool finite = total - total == 0;
    write<float>(dst + QueryScaleBlock::kScale, !finite ? __builtin_nanf("") : usable ? largest_value / 127.0F : 0.0F);
    write<int32_t>(dst + QueryScaleBlock::kOffset, -128 * sum_ints(sum));
}

struct IntegerScoreTile {
    const std::byte* queries;
    int64_t query_bytes;
    int64_t scale_blocks;
    const std::byte* keys;  // of the page
    int64_t token;          // the tile's first in the page
    float* scores;
    const std::byte* prefetch;
};

template <int kQueries, class Form, bool kPrefetches>
[[gnu::noinline]] void integer_score_tile(const IntegerScoreTile& tile) {
    constexpr int kVectors = 2;
    const std::byte* keys = tile.keys;
    const std::byte* query = tile.queries;
    const std::byte* prefetch = tile.prefetch;
    const int64_t stride = tile.query_bytes;
    for (int64_t b = 0; b < tile.scale_blocks; ++b) {
        typename Form::Dot dot[kQueries][kVectors];
#pragma GCC unroll 12
        for (int q = 0; q < kQueries; ++q) {
            for (int v = 0; v < kVectors; ++v) dot[q][v].begin(query + q * stride + QueryScaleBlock::kOffset);
        }
        for_constant<Form::kLoads>([&](auto row) QUOIN_LAMBDA_INLINE {
            if constexpr (kPrefetches) {
                __builtin_prefetch(prefetch + row * kQuadRowBytes, 0, 2);
                __builtin_prefetch(prefetch + row * kQuadRowBytes + 64, 0, 2);
            }
            Ints raw[kVectors];
            for (int v = 0; v < kVectors; ++v) {
                raw[v] = load_ints(keys + tile.token * 4 + row * kQuadRowBytes + v * kVectorBytes);
            }
            for_constant<Form::kParts>([&](auto part) QUOIN_LAMBDA_INLINE {
                Ints key[kVectors];
                for (int v = 0; v < kVectors; ++v) key[v] = Form::operand(raw[v], part);
                for_constant<kQueries>([&](auto q) QUOIN_LAMBDA_INLINE {
                    const Ints quad =
                        broadcast_quad(query + q * stride + QueryScaleBlock::kValues + 4 * (row + part * Form::kLoads));
                    for (int v = 0; v < kVectors; ++v) {
                        dot[q][v].template step<row * Form::kParts + part, Form::kLoads * Form::kParts>(key[v], quad);
                    }
                });
            });
        });
        if constexpr (kPrefetches) __builtin_prefetch(prefetch + Form::kScalesAt, 0, 2);
        Floats key_scale[kVectors];
        for (int v = 0; v < kVectors; ++v) {
            key_scale[v] = load_f16(keys + Form::kScalesAt + (tile.token + v * kLanes) * 2);
        }
#pragma GCC unroll 12
        for (int q = 0; q < kQueries; ++q) {
            const Floats query_scale = broadcast(read<float>(query + q * stride + QueryScaleBlock::kScale));
            for (int v = 0; v < kVectors; ++v) {
                float* const score = tile.scores + q * kScoreStride + v * kLanes;
                const Floats product =
                    to_floats(dot[q][v].end(query + q * stride + QueryScaleBlock::kOffset, Form::kOffset));
                store(score, fma(product, key_scale[v] * query_scale, b == 0 ? zeros() : load(score)));
            }
        }
        keys += Form::kBytes;
        query += QueryScaleBlock::kBytes;
        prefetch += Form::kBytes;
    }
}

// ---- Weighted sums --------------------------------------------------------------------------------------------
// Of one query and one scale block, in pairs of tokens (i, i + 16) of a page. Returns the sum of the integers where
// the offset of values asks for it; *unit is what an integer of 1 stands for.
template <class Form>
QUOIN_INLINE int32_t quantize_probabilities(const float* probabilities, const float* value_scales, Range pages,
                                            float* scaled, int32_t* pairs, float* unit) {
    Floats highs[2] = {zeros(), zeros()};  // two chains, for latency
    for (int64_t t = pages.first * kPageTokens; t < pages.last * kPageTokens; t += 2 * kLanes) {
        for (int v = 0; v < 2; ++v) {
            const Floats x = load(probabilities + t + v * kLanes) * load(value_scales + t + v * kLanes);
            store(scaled + t + v * kLanes, x);
            highs[v] = maximum(Form::kSignedScales ? absolute(x) : x, highs[v]);
        }
    }
    const float high = largest(maximum(highs[0], highs[1]));
    *unit = high * (1.0F / kLargestProbability);
    const Floats inverse = broadcast(high >= 0x1p-100F ? kLargestProbability / high : 0.0F);
    Ints sum = broadcast_int(0);
    for (int64_t p = pages.first; p < pages.last; ++p) {
        for (int64_t i = 0; i < kPagePairs; i += kLanes) {
            const float* const x = scaled + p * kPageTokens + i;
            Ints first = round_to_ints(load(x) * inverse);
            const Ints second = round_to_ints(load(x + kPagePairs) * inverse);
            if constexpr (Form::kOffset != 0) sum = add_ints(sum, add_ints(first, second));
            if constexpr (Form::kSignedScales) first = and_ints(first, broadcast_int(0xFFFF));
            store_ints(reinterpret_cast<std::byte*>(pairs + p * kPagePairs + i),
                       add_ints(first, shift_left<16>(second)));
        }
    }
    return Form::kOffset != 0 ? sum_ints(sum) : 0;
}

struct IntegerWeighTile {
    const int32_t* probability_pairs;
    const int32_t* initial_sums;  // [kQueries]: take the offset of values away again
    const float* units;           // [kQueries]
    const std::byte* const* pages;
    int64_t values_at;  // of the scale block in a page
    int64_t vector;     // of each half of its channels
    Range page_range;
    float* outputs;  // of the scale block
    int64_t output_stride;
    const std::byte* const* prefetch;  // by page, like `pages`
};

template <int kQueries, class Form, bool kPrefetches>
[[gnu::noinline]] void integer_weigh_tile(const IntegerWeighTile& tile) {
    constexpr int kVectors = 2;
    Ints sum[kQueries][kVectors];
#pragma GCC unroll 12
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) sum[q][v] = broadcast_int(tile.initial_sums[q]);
    }
    for (int64_t p = tile.page_range.first; p < tile.page_range.last; ++p) {
        const std::byte* values = tile.pages[p] + tile.values_at;
        const std::byte* prefetch = tile.prefetch[p] + tile.values_at;
        const int32_t* pairs = tile.probability_pairs + p * kPagePairs;
        if constexpr (kPrefetches) __builtin_prefetch(prefetch + Form::kScalesAt, 0, 2);
        for (int64_t i = kPagePairs; i > 0; --i, values += Form::kPairBytes, ++pairs) {
            if constexpr (kPrefetches) {
                __builtin_prefetch(prefetch, 0, 2);
                prefetch += Form::kPairBytes;
            }
            Ints value[kVectors];
            Form::load(values, tile.vector, value);
#pragma GCC unroll 12
            for (int q = 0; q < kQueries; ++q) {
                const Ints pair = broadcast_int(pairs[q * kPairStride]);
                for (int v = 0; v < kVectors; ++v) sum[q][v] = pair_dot(sum[q][v], value[v], pair);
            }
        }
    }
#pragma GCC unroll 12
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) {
            store(tile.outputs + q * tile.output_stride + tile.vector * kLanes + v * kHalfBlock,
                  to_floats(sum[q][v]) * broadcast(tile.units[q]));
        }
    }
}

// PageKeys, PageValues: the forms in pages. Keys, Values: the forms that are multiplied.
template <class PageKeys, class PageValues, class Keys, class Values, bool kPrefetches>
struct IntegerCache {
    // More than a register tile takes, so that memory is passed over once for all of them.
    static constexpr int64_t kTileQueries = kAttentionTileQueries;
    static constexpr bool kWidens = Keys::kBytes != PageKeys::kBytes;

    static QUOIN_INLINE void prepare_queries(const AttentionArgs& args, AttentionState& state) {
        const int64_t size = args.head_size;
        state.query_bytes = size / kScaleBlock * QueryScaleBlock::kBytes;
        for (int64_t q = 0; q < args.rows * args.heads; ++q) {
            const float* const src = args.query + q / args.heads * args.query_stride + q % args.heads * size;
            std::byte* const query = state.queries + q * state.query_bytes;
            for (int64_t b = 0; b < size / kScaleBlock; ++b) {
                quantize_query(src + b * kScaleBlock, args.scale * kLog2E, query + b * QueryScaleBlock::kBytes);
            }
        }
    }

    // [head_size / 32][block_tokens], behind the widened keys.
    static QUOIN_INLINE float* value_scales(const AttentionArgs& args, const AttentionState& state) {
        return reinterpret_cast<float*>(state.keys + args.head_size / kScaleBlock * state.block_tokens / kPageTokens *
                                                         ByteKeys::kBytes);
    }

    static QUOIN_INLINE void prepare_block(const AttentionArgs& args, AttentionState& state, Block& block) {
        const int64_t scale_blocks = args.head_size / kScaleBlock;
        float* const scales = value_scales(args, state);
        for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
            for (int64_t b = 0; b < scale_blocks; ++b) {
                const std::byte* const from = block.values[p] + b * PageValues::kBytes + PageValues::kScalesAt;
                float* const to = scales + b * state.block_tokens + p * kPageTokens;
                // Slots never written may hold NaN; infinity is what a token of infinities has. Finite, they do no harm
                // to queries that do not see them: their probability is 0.
                const Floats most = broadcast(kLargestFloat);
                for (int64_t t = 0; t < kPageTokens; t += kLanes) {
                    store(to + t, maximum(minimum(load_f16(from + t * 2), most), zeros() - most));
                }
            }
            if constexpr (kWidens) {
                std::byte* const keys = state.keys + p * scale_blocks * Keys::kBytes;
                std::byte* const values = state.values + p * scale_blocks * Values::kBytes;
                for (int64_t b = 0; b < scale_blocks; ++b) {
                    Keys::widen(block.keys[p] + b * PageKeys::kBytes, keys + b * Keys::kBytes);
                    Values::widen(block.values[p] + b * PageValues::kBytes, values + b * Values::kBytes);
                }
                block.keys[p] = keys;
                block.values[p] = values;
            }
        }
    }

    static QUOIN_INLINE void score(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t first_query, int64_t queries, Range pages) {
        for (int64_t p = pages.first; p < pages.last; ++p) {
            for (int64_t q = 0; q < queries; q += kIntegerTileQueries) {
                IntegerScoreTile tile = {.queries = state.queries + (first_query + q) * state.query_bytes,
                                         .query_bytes = state.query_bytes,
                                         .scale_blocks = args.head_size / kScaleBlock,
                                         .keys = block.keys[p],
                                         .token = 0,
                                         .scores = state.scores + q * kScoreStride + p * kPageTokens,
                                         .prefetch = block.read_order[p - block.pages.first + kPrefetchPages]};
                for (; tile.token < kPageTokens; tile.token += 2 * kLanes, tile.scores += 2 * kLanes) {
                    with_queries<kIntegerTileQueries>(smaller(queries - q, int64_t{kIntegerTileQueries}),
                                                      [&]<int kQueries>() QUOIN_LAMBDA_INLINE {
                                                          integer_score_tile<kQueries, Keys, kPrefetches>(tile);
                                                      });
                }
            }
        }
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, const AttentionState& state, const Block& block,
                                   int64_t queries, Range pages, const Range* /*seen*/) {
        int32_t initial_sums[kTileQueries];
        float units[kTileQueries];
        const int64_t key_pages = block.pages.last - block.pages.first;
        for (int64_t b = 0; b < args.head_size / kScaleBlock; ++b) {
            for (int64_t q = 0; q < queries; ++q) {
                const int32_t sum = quantize_probabilities<Values>(
                    state.scores + q * kScoreStride, value_scales(args, state) + b * state.block_tokens, pages,
                    state.scaled_probabilities, state.probability_pairs + q * kPairStride, units + q);
                initial_sums[q] = -Values::kOffset * sum;
            }
            for (int64_t q = 0; q < queries; q += kIntegerTileQueries) {
                IntegerWeighTile tile = {.probability_pairs = state.probability_pairs + q * kPairStride,
                                         .initial_sums = initial_sums + q,
                                         .units = units + q,
                                         .pages = block.values,
                                         .values_at = b * Values::kBytes,
                                         .vector = 0,
                                         .page_range = pages,
                                         .outputs = state.block_outputs + q * state.padded_size + b * kScaleBlock,
                                         .output_stride = state.padded_size,
                                         .prefetch = block.read_order + key_pages + kPrefetchPages - block.pages.first};
                for (; tile.vector < kHalfBlock / kLanes; ++tile.vector) {
                    with_queries<kIntegerTileQueries>(smaller(queries - q, int64_t{kIntegerTileQueries}),
                                                      [&]<int kQueries>() QUOIN_LAMBDA_INLINE {
                                                          integer_weigh_tile<kQueries, Values, kPrefetches>(tile);
                                                      });
                }
            }
        }
    }
};

void attention_q8_0(const AttentionArgs& args) {
    if (args.rows * args.heads > kMostQueriesInPlace) {
        attention<IntegerCache<ByteKeys, ByteValues, ByteKeys, ByteValues, false>>(args);
    } else {
        attention<IntegerCache<ByteKeys, ByteValues, ByteKeys, ByteValues, true>>(args);
    }
}
void attention_q4_0(const AttentionArgs& args) {
    if (args.rows * args.heads > kMostQueriesInPlace) {
        attention<IntegerCache<NibbleKeys, NibbleValues, WidenedKeys, WidenedValues, false>>(args);
    } else {
        attention<IntegerCache<NibbleKeys, NibbleValues, NibbleKeys, NibbleValues, true>>(args);
    }
}

}  // namespace
}  // namespace quoin
