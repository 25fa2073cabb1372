// Keys and values of one token into their slot of a KV page: layout.h. Only the slot's own bytes are written, so tokens
// of one page may be stored at the same time.

namespace quoin {
namespace {

QUOIN_INLINE uint16_t float_to_bf16(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
    return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

struct F32Store {
    using Element = float;
    static QUOIN_INLINE float of(float x) { return x; }
};
struct F16Store {
    using Element = uint16_t;
    static QUOIN_INLINE uint16_t of(float x) { return float_to_f16(x); }
};
struct Bf16Store {
    using Element = uint16_t;
    static QUOIN_INLINE uint16_t of(float x) { return float_to_bf16(x); }
};

template <class Store>
QUOIN_INLINE void store_keys(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    constexpr int64_t kSize = sizeof(typename Store::Element);
    for (int64_t i = 0; i < kv_heads * head_size; ++i) {
        write(page + (i * kPageTokens + slot) * kSize, Store::of(key[i]));
    }
}
template <class Store>
QUOIN_INLINE void store_values(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    constexpr int64_t kSize = sizeof(typename Store::Element);
    for (int64_t h = 0; h < kv_heads; ++h, value += head_size) {
        std::byte* const row = page + (h * kPageTokens + slot) * head_size * kSize;
        for (int64_t i = 0; i < head_size; ++i) write(row + i * kSize, Store::of(value[i]));
    }
}

// ---- q8_0 and q4_0
// 32 values as integers of -127..127 or 0..15, and the scale as the bits of an f16. Values are divided by the scale as
// it is stored. What is not finite becomes the largest integer with the scale `broken`: NaN for keys, so that the
// score is NaN, infinity for values, which a probability of 0 takes away again.
template <bool kNibbles>
QUOIN_INLINE uint16_t quantize_cached(const float* src, uint16_t broken, int32_t* integers) {
    float lowest = 0;
    float highest = 0;
    float check = 0;
    for (int64_t i = 0; i < 32; ++i) {
        lowest = smaller(lowest, src[i]);
        highest = larger(highest, src[i]);
        check += src[i] - src[i];  // 0 unless it is NaN or infinity
    }
    const float extreme = -lowest > highest ? lowest : highest;
    // q4_0 has one step more below zero than above: the value of largest magnitude gets it.
    const uint16_t bits = float_to_f16(kNibbles ? extreme / -8.0F : (extreme < 0 ? -extreme : extreme) / 127.0F);
    const float scale = f16_to_float(bits);
    const bool finite = check == 0 && scale - scale == 0;
    const float inverse = finite && scale != 0 ? 1.0F / scale : 0.0F;
    const Floats least = broadcast(kNibbles ? -8.0F : -127.0F);
    const Floats most = broadcast(kNibbles ? 7.0F : 127.0F);
    const Ints offset = broadcast_int(kNibbles ? 8 : 0);
    for (int64_t i = 0; i < 32; i += kLanes) {
        const Floats x = finite ? load(src + i) * broadcast(inverse) : most;
        const Ints q = add_ints(round_to_ints(minimum(maximum(x, least), most)), offset);
        store_ints(reinterpret_cast<std::byte*>(integers + i), q);
    }
    return finite ? bits : broken;
}

template <bool kNibbles>
QUOIN_INLINE void store_keys_integer(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot,
                                     std::byte* page) {
    constexpr int64_t kBytes = kPageTokens * (kNibbles ? 16 : 32);
    int32_t q[32];
    for (int64_t b = 0; b < kv_heads * head_size / 32; ++b, page += kBytes + kPageTokens * 2) {
        write(page + kBytes + slot * 2, quantize_cached<kNibbles>(key + b * 32, 0x7E00, q));
        for (int64_t i = 0; i < (kNibbles ? 16 : 32); ++i) {
            const int32_t byte = kNibbles ? q[i] | q[i + 16 * kNibbles] << 4 : q[i] + 128;
            page[(i / 4 * kPageTokens + slot) * 4 + i % 4] = static_cast<std::byte>(byte);
        }
    }
}
template <bool kNibbles>
QUOIN_INLINE void store_values_integer(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot,
                                       std::byte* page) {
    constexpr int64_t kColumns = kNibbles ? 16 : 32;
    constexpr int64_t kBytes = kPageTokens * kColumns;
    int32_t q[32];
    for (int64_t b = 0; b < kv_heads * head_size / 32; ++b, page += kBytes + kPageTokens * 2) {
        write(page + kBytes + slot * 2, quantize_cached<kNibbles>(value + b * 32, 0x7C00, q));
        std::byte* const pairs = page + slot % 16 * kColumns * 2 + slot / 16;
        for (int64_t i = 0; i < kColumns; ++i) {
            pairs[i * 2] = static_cast<std::byte>(kNibbles ? q[i] | q[i + 16 * kNibbles] << 4 : q[i]);
        }
    }
}

void store_keys_q8_0(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys_integer<false>(key, kv_heads, head_size, slot, page);
}
void store_keys_q4_0(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys_integer<true>(key, kv_heads, head_size, slot, page);
}
void store_values_q8_0(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values_integer<false>(value, kv_heads, head_size, slot, page);
}
void store_values_q4_0(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values_integer<true>(value, kv_heads, head_size, slot, page);
}

void store_keys_f32(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys<F32Store>(key, kv_heads, head_size, slot, page);
}
void store_keys_f16(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys<F16Store>(key, kv_heads, head_size, slot, page);
}
void store_keys_bf16(const float* key, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_keys<Bf16Store>(key, kv_heads, head_size, slot, page);
}
void store_values_f32(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values<F32Store>(value, kv_heads, head_size, slot, page);
}
void store_values_f16(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values<F16Store>(value, kv_heads, head_size, slot, page);
}
void store_values_bf16(const float* value, int64_t kv_heads, int64_t head_size, int64_t slot, std::byte* page) {
    store_values<Bf16Store>(value, kv_heads, head_size, slot, page);
}

}  // namespace
}  // namespace quoin
