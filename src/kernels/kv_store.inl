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
