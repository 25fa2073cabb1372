// The two 16-bit float formats, as bits. Scalar and exact; kernels have vector forms of the same.
#pragma once

#include <bit>
#include <cstdint>

namespace quoin {

// IEEE 754 binary16 to binary32, every value exactly, NaN payloads kept.
constexpr float f16_to_f32(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
    const uint32_t exponent = (half >> 10) & 0x1FU;
    uint32_t mantissa = half & 0x3FFU;
    if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13));
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
    // Subnormal: mantissa x 2^-24, exact in binary32.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// Round to nearest even; overflow becomes infinity, NaN stays a quiet NaN.
constexpr uint16_t f32_to_f16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
    const uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U) return sign | 0x7E00U | static_cast<uint16_t>((magnitude >> 13) & 0x1FFU);
    if (magnitude >= 0x47800000U) return sign | 0x7C00U;
    if (magnitude < 0x38800000U) {  // below the smallest normal half: let the adder round at 2^-24
        const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
        return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3F000000U);
    }
    const uint32_t odd = (magnitude >> 13) & 1U;
    return sign | static_cast<uint16_t>((magnitude - 0x38000000U + 0xFFFU + odd) >> 13);
}

constexpr float bf16_to_f32(uint16_t half) {
    return std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
}

// Round to nearest even; NaN stays a quiet NaN.
constexpr uint16_t f32_to_bf16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
    return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace quoin
