// Floats as they are, or rounded to sixteen bits.

namespace quoin {
namespace {

void encode_f32(const float* src, int64_t count, std::byte* dst) {
    __builtin_memcpy(dst, src, static_cast<size_t>(count) * sizeof(float));
}

__attribute__((flatten)) void encode_f16(const float* src, int64_t count, std::byte* dst) {
    for (int64_t i = 0; i < count; ++i) {
        const float value = src[i] > kMostHalf ? kMostHalf : src[i];
        const uint16_t half = f32_to_f16(value < -kMostHalf ? -kMostHalf : value);
        __builtin_memcpy(dst + 2 * i, &half, sizeof(half));
    }
}

__attribute__((flatten)) void encode_bf16(const float* src, int64_t count, std::byte* dst) {
    constexpr float kMostBf16 = 0x1.FEp127F;
    for (int64_t i = 0; i < count; ++i) {
        const float value = src[i] > kMostBf16 ? kMostBf16 : src[i];
        const uint16_t half = f32_to_bf16(value < -kMostBf16 ? -kMostBf16 : value);
        __builtin_memcpy(dst + 2 * i, &half, sizeof(half));
    }
}

}  // namespace
}  // namespace quoin
