// Attention over KV pages with a running softmax, and the stores into the pages.

namespace quoin {
namespace {

template <class Strip>
QUOIN_INLINE void write_cached(std::byte* p, float x) {
    if constexpr (Strip::kColumnBytes == 4) {
        write<float>(p, x);
    } else {
        write<uint16_t>(p, float_to_f16(x));
    }
}

template <class Strip>
QUOIN_INLINE void store_keys(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    constexpr int64_t kSize = Strip::kColumnBytes;
    for (int64_t i = 0; i < kv_heads * head_size; ++i) {
        write_cached<Strip>(page + (i * kPageTokens + slot) * kSize, key[i]);
    }
}
template <class Strip>
QUOIN_INLINE void store_values(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    constexpr int64_t kSize = Strip::kColumnBytes;
    for (int64_t h = 0; h < kv_heads; ++h, value += head_size) {
        std::byte* const row = page + (h * kPageTokens + slot) * head_size * kSize;
        int64_t i = 0;
        if constexpr (kSize == 2) {
            for (; i + kLanes <= head_size; i += kLanes) store_f16(row + i * kSize, load(value + i));
        }
        for (; i < head_size; ++i) write_cached<Strip>(row + i * kSize, value[i]);
    }
}

// What is known of every query so far; all in the caller's scratch.
struct AttentionState {
    float* query;    // [queries][head_size], scaled
    float* sums;     // [queries][padded]: weighted sum of values
    float* weights;  // [queries][32]: scores, then probabilities, of the page at hand
    float* highest;  // [queries]: largest score so far
    float* total;    // [queries]: sum of probabilities
    float* keys;     // [head_size][32]: the page at hand, widened
    float* values;   // [32][padded]
    int64_t padded;  // head_size in whole vectors
};

// The scores of slots [first, last) in `row` become probabilities; returns the factor for what was summed before.
QUOIN_INLINE float soften(float* row, int64_t first, int64_t last, float softcap, float* highest, float* total) {
    constexpr int kVectors = static_cast<int>(kPageTokens / kLanes);
    const Floats lowest = broadcast(-kInfinity);
    Floats score[kVectors];
    Floats high = lowest;
    for (int v = 0; v < kVectors; ++v) {
        score[v] = load(row + v * kLanes);
        if (softcap != 0) score[v] = broadcast(softcap) * tanh_of(score[v] / broadcast(softcap));
        score[v] = keep_range(score[v], first - v * kLanes, last - v * kLanes, lowest);
        high = maximum(high, score[v]);
    }
    // Never below the lowest float, or -inf - -inf would make a NaN of a row whose scores are all -inf.
    const float before = *highest;
    const float now = larger(larger(before, largest(high)), -kLargestFloat);
    const Floats top = broadcast(now);
    Floats sum = zeros();
    for (int v = 0; v < kVectors; ++v) {
        const Floats p = exp_of(score[v] - top);
        store(row + v * kLanes, p);
        sum = sum + p;
    }
    const float page_total = sum_floats(sum);
    *highest = now;
    if (before == now) {
        *total += page_total;
        return 1.0F;
    }
    const float factor = first_lane(exp_of(broadcast(before - now)));
    *total = *total * factor + page_total;
    return factor;
}

struct PageRef {
    const std::byte* keys;
    const std::byte* values;
    int64_t value_stride;          // bytes between tokens
    const std::byte* next_keys;    // as they lie in the cache: asked for while this page is worked on
    const std::byte* next_values;  // likewise
    int64_t next_stride;           // bytes between the cache's rows of values
};

// One page for queries [begin, begin + count), all of which see exactly its slots [first, last).
template <class CacheStrip, class KeyStrip, class ValueStrip>
QUOIN_INLINE void attend_page(const AttentionArgs& args, const AttentionState& state, int64_t begin, int64_t count,
                              int64_t first, int64_t last, const PageRef& page) {
    for (int64_t q = begin; q < begin + count; q += kFloatTileRows) {
        const int64_t rows = smaller(begin + count - q, int64_t{kFloatTileRows});
        float* const weights = state.weights + q * kPageTokens;
        for (int64_t i = 0; i < rows * kPageTokens; i += kLanes) store(weights + i, zeros());
        FloatTile tile = {};
        tile.src = state.query + q * args.head_size;
        tile.src_stride = args.head_size;
        tile.inner = args.head_size;
        tile.weights = page.keys;
        // Only the first tile of the page asks, the others repeat its last line.
        tile.ahead = page.next_keys;
        tile.ahead_stride = q == 0 ? kPageTokens * CacheStrip::kColumnBytes : 0;
        tile.weight_stride = kPageTokens * KeyStrip::kColumnBytes;
        tile.sums = weights;
        tile.sum_stride = kPageTokens;
        multiply_strip<KeyStrip>(rows, kPageTokens / kLanes, tile);
        for (int64_t r = 0; r < rows; ++r) {
            const float factor = soften(weights + r * kPageTokens, first, last, args.softcap, state.highest + q + r,
                                        state.total + q + r);
            if (factor == 1.0F) continue;
            float* const sums = state.sums + (q + r) * state.padded;
            for (int64_t i = 0; i < state.padded; i += kLanes) store(sums + i, load(sums + i) * broadcast(factor));
        }
        tile.src = weights + first;
        tile.src_stride = kPageTokens;
        tile.inner = last - first;
        tile.weights = page.values + first * page.value_stride;
        tile.weight_stride = page.value_stride;
        tile.ahead = page.next_values;
        tile.ahead_stride = q == 0 ? page.next_stride : 0;
        tile.sums = state.sums + q * state.padded;
        tile.sum_stride = state.padded;
        multiply_strip<ValueStrip>(rows, state.padded / kLanes, tile);
    }
}

template <class Strip>
QUOIN_INLINE void widen_row(const std::byte* src, int64_t count, float* dst) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(dst + i, Strip::weights(src + i * Strip::kColumnBytes));
    for (; i < count; ++i) {
        if constexpr (Strip::kColumnBytes == 4) {
            dst[i] = read<float>(src + i * 4);
        } else {
            dst[i] = f16_to_float(read<uint16_t>(src + i * 2));
        }
    }
}

struct Range {
    int64_t first;
    int64_t last;
};
// Positions row r sees.
QUOIN_INLINE Range seen_by(const AttentionArgs& args, int64_t r) {
    const int64_t last = int64_t{args.positions[r]} + 1;
    return {args.window > 0 ? larger(last - args.window, int64_t{0}) : 0, last};
}

template <class Strip>
QUOIN_INLINE void attention(const AttentionArgs& args) {
    const int64_t size = args.head_size;
    const int64_t queries = args.rows * args.heads;
    AttentionState state = {};
    state.padded = (size + 15) / 16 * 16;
    state.query = args.scratch;
    state.sums = state.query + queries * size;
    state.weights = state.sums + queries * state.padded;
    state.highest = state.weights + queries * kPageTokens;
    state.total = state.highest + queries;
    state.keys = state.total + queries;
    state.values = state.keys + kPageTokens * size;

    Range all = {INT64_MAX, 0};
    for (int64_t r = 0; r < args.rows; ++r) {
        const Range seen = seen_by(args, r);
        if (seen.first < seen.last) all = {smaller(all.first, seen.first), larger(all.last, seen.last)};
        for (int64_t h = 0; h < args.heads; ++h) {
            const float* const src = args.query + r * args.query_stride + h * size;
            float* const query = state.query + (r * args.heads + h) * size;
            for_vectors(size, [=, &args](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
                store_some(query + i, load_some(src + i, n) * broadcast(args.scale), n);
            });
        }
    }
    for (int64_t i = 0; i < queries * state.padded; i += kLanes) store(state.sums + i, zeros());
    for (int64_t q = 0; q < queries; ++q) {
        state.highest[q] = -kInfinity;
        state.total[q] = 0;
    }

    // Widening a page once for all queries pays from two tiles on; rows of values that are no whole vectors need it.
    const bool widen_keys = Strip::kColumnBytes == 2 && queries > kFloatTileRows;
    const bool widen_values = widen_keys || size % kLanes != 0;
    if (widen_values) {
        for (int64_t t = 0; t < kPageTokens; ++t) {  // the padding stays zero
            for (int64_t i = size; i < state.padded; ++i) state.values[t * state.padded + i] = 0;
        }
    }
    // Without widening a value row has whole vectors, but perhaps not whole groups of 16.
    if (!widen_values) state.padded = size;

    for (int64_t page = all.first / kPageTokens; page * kPageTokens < all.last; ++page) {
        const int64_t origin = page * kPageTokens;
        const int64_t next = (page + 1) * kPageTokens < all.last ? page + 1 : page;
        const int64_t cache_stride = size * Strip::kColumnBytes;
        PageRef ref = {args.key_base + args.pages[page] * args.key_page_stride,
                       args.value_base + args.pages[page] * args.value_page_stride,
                       cache_stride,
                       args.key_base + args.pages[next] * args.key_page_stride,
                       args.value_base + args.pages[next] * args.value_page_stride,
                       cache_stride};
        if (widen_keys) {
            widen_row<Strip>(ref.keys, size * kPageTokens, state.keys);
            ref.keys = reinterpret_cast<const std::byte*>(state.keys);
        }
        if (widen_values) {
            for (int64_t t = 0; t < kPageTokens; ++t) {
                widen_row<Strip>(ref.values + t * cache_stride, size, state.values + t * state.padded);
            }
            ref.values = reinterpret_cast<const std::byte*>(state.values);
            ref.value_stride = state.padded * 4;
        }
        const auto attend = [&](int64_t begin, int64_t count, int64_t first, int64_t last) QUOIN_LAMBDA_INLINE {
            if (widen_keys) {
                attend_page<Strip, F32Strip, F32Strip>(args, state, begin, count, first, last, ref);
            } else if (widen_values) {
                attend_page<Strip, Strip, F32Strip>(args, state, begin, count, first, last, ref);
            } else {
                attend_page<Strip, Strip, Strip>(args, state, begin, count, first, last, ref);
            }
        };
        // Neighbouring rows that see the same slots go together; the values of other slots are never multiplied.
        int64_t r = 0;
        while (r < args.rows) {
            const auto slots = [&](int64_t row) QUOIN_LAMBDA_INLINE {
                const Range seen = seen_by(args, row);
                return Range{larger(seen.first - origin, int64_t{0}), smaller(seen.last - origin, kPageTokens)};
            };
            const Range range = slots(r);
            int64_t end = r + 1;
            while (end < args.rows && slots(end).first == range.first && slots(end).last == range.last) ++end;
            if (range.first < range.last) {
                attend(r * args.heads, (end - r) * args.heads, range.first, range.last);
            }
            r = end;
        }
    }

    for (int64_t r = 0; r < args.rows; ++r) {
        for (int64_t h = 0; h < args.heads; ++h) {
            const int64_t q = r * args.heads + h;
            const float* const sums = state.sums + q * state.padded;
            float* const dst = args.dst + r * args.dst_stride + h * size;
            const Floats divisor = broadcast(state.total[q] == 0 ? 1.0F : state.total[q]);
            for_vectors(size, [=](int64_t i, int64_t n)
                                  QUOIN_LAMBDA_INLINE { store_some(dst + i, load_some(sums + i, n) / divisor, n); });
        }
    }
}

void store_keys_f32(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys<F32Strip>(key, kv_heads, head_size, slot, page);
}
void store_keys_f16(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys<F16Strip>(key, kv_heads, head_size, slot, page);
}
void store_values_f32(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values<F32Strip>(value, kv_heads, head_size, slot, page);
}
void store_values_f16(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values<F16Strip>(value, kv_heads, head_size, slot, page);
}
void attention_f32(const AttentionArgs& args) {
    attention<F32Strip>(args);
}
void attention_f16(const AttentionArgs& args) {
    attention<F16Strip>(args);
}

}  // namespace
}  // namespace quoin
