// Numbers of 8 bits and less: the float8 kinds, f4e2m1, f8e8m0, and integers of 4 and 2 bits, several to a byte.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/dtype.h"

namespace quoin {

struct SmallFloat {
    enum class Specials : uint8_t { Ieee, NaNOnly, Unsigned, None };
    // Ieee: infinities and NaN as in IEEE 754. NaNOnly: all ones is NaN (FN). Unsigned: 0x80 is NaN, there is no -0
    // (FNUZ). None: every code is a number.
    Specials specials;
    int mantissa_bits;
    int exponent_bits;
    int bias;

    constexpr int most_exponent() const {
        return (1 << exponent_bits) - 1 - (specials == Specials::Ieee ? 1 : 0) - bias;
    }
    constexpr uint32_t sign_bit() const { return 1U << (mantissa_bits + exponent_bits); }
    // The code of the largest number.
    constexpr uint32_t largest() const {
        const uint32_t all = sign_bit() - 1;
        if (specials == Specials::Ieee) return all - (1U << mantissa_bits);
        return specials == Specials::NaNOnly ? all - 1 : all;
    }
};

// Of the float8 kinds with a sign and f4e2m1.
constexpr SmallFloat small_float(DType dtype) {
    using enum SmallFloat::Specials;
    switch (dtype) {
        case DType::F8E4M3FN: return {NaNOnly, 3, 4, 7};
        case DType::F8E4M3FNUZ: return {Unsigned, 3, 4, 8};
        case DType::F8E5M2: return {Ieee, 2, 5, 15};
        case DType::F8E5M2FNUZ: return {Unsigned, 2, 5, 16};
        default: return {None, 1, 2, 1};
    }
}

inline float decode_small_float(const SmallFloat& format, uint32_t code) {
    using enum SmallFloat::Specials;
    const bool negative = (code & format.sign_bit()) != 0;
    const uint32_t magnitude = code & (format.sign_bit() - 1);
    if (format.specials == Unsigned && negative && magnitude == 0) return std::numeric_limits<float>::quiet_NaN();
    if (magnitude > format.largest()) {
        const bool infinite = format.specials == Ieee && magnitude == format.largest() + 1;
        const float value = infinite ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
        return negative ? -value : value;
    }
    const auto fraction = static_cast<float>(magnitude & ((1U << format.mantissa_bits) - 1));
    const int exponent = static_cast<int>(magnitude >> format.mantissa_bits);
    const float one = exponent == 0 ? 0.0F : static_cast<float>(1U << format.mantissa_bits);
    const float value = std::ldexp(one + fraction, std::max(exponent, 1) - format.bias - format.mantissa_bits);
    return negative ? -value : value;
}

// Rounded to nearest, halves to even. What is too large becomes the largest number when it saturates, else infinity
// where there is one, else NaN.
inline uint8_t encode_small_float(const SmallFloat& format, double value, bool saturate) {
    using enum SmallFloat::Specials;
    const uint32_t sign = std::signbit(value) ? format.sign_bit() : 0;
    const auto not_a_number = [&]() -> uint32_t {
        if (format.specials == Unsigned || format.specials == None) return format.sign_bit();
        return sign | (format.sign_bit() - 1);
    };
    const auto too_large = [&]() -> uint32_t {
        if (saturate || format.specials == None) return sign | format.largest();
        return format.specials == Ieee ? sign | (format.largest() + 1) : not_a_number();
    };
    if (std::isnan(value)) return static_cast<uint8_t>(not_a_number());
    const double magnitude = std::abs(value);
    if (std::isinf(value)) return static_cast<uint8_t>(too_large());
    const int least = 1 - format.bias;
    const int exponent = magnitude == 0 ? least : std::max(std::ilogb(magnitude), least);
    if (exponent > format.most_exponent()) return static_cast<uint8_t>(too_large());
    // Steps of the last place; a carry into the exponent is the next code all the same.
    const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, format.mantissa_bits - exponent)));
    const auto code = (static_cast<uint32_t>(exponent - least) << format.mantissa_bits) + steps;
    if (code > format.largest()) return static_cast<uint8_t>(too_large());
    if (code == 0 && format.specials == Unsigned) return 0;
    return static_cast<uint8_t>(sign | code);
}

// f8e8m0: powers of two, 2^(code - 127), 255 is NaN.
enum class ScaleRounding : uint8_t { Up, Down, Nearest };
inline float decode_scale(uint8_t code) {
    return code == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, int{code} - 127);
}
inline uint8_t encode_scale(double value, bool saturate, ScaleRounding rounding) {
    constexpr uint8_t kNaN = 255;
    constexpr int kMost = 254;
    const double magnitude = std::abs(value);
    if (std::isnan(value)) return kNaN;
    if (std::isinf(value)) return saturate ? kMost : kNaN;
    if (magnitude == 0) return saturate ? 0 : kNaN;
    int code = std::ilogb(magnitude) + 127;
    const double rest = std::ldexp(magnitude, 127 - code);  // from 1 to 2
    if (rounding == ScaleRounding::Up && rest > 1) ++code;
    if (rounding == ScaleRounding::Nearest && rest >= 1.5) ++code;
    if (code < 0) return saturate ? 0 : kNaN;
    if (code > kMost) return saturate ? kMost : kNaN;
    return static_cast<uint8_t>(code);
}

constexpr bool is_small_float(DType dtype) {
    return dtype == DType::F8E4M3FN || dtype == DType::F8E4M3FNUZ || dtype == DType::F8E5M2 ||
           dtype == DType::F8E5M2FNUZ || dtype == DType::F4E2M1;
}

// A float8 with a sign as an element. Made from a float it saturates.
template <DType kType>
struct Float8 {
    uint8_t bits = 0;
    Float8() = default;
    explicit Float8(float value) : bits(encode_small_float(small_float(kType), static_cast<double>(value), true)) {}
    explicit operator float() const { return decode_small_float(small_float(kType), bits); }
};

template <class Visitor>
bool visit_float8(DType dtype, Visitor&& visitor) {
    switch (dtype) {
        case DType::F8E4M3FN: visitor.template operator()<Float8<DType::F8E4M3FN>>(); return true;
        case DType::F8E4M3FNUZ: visitor.template operator()<Float8<DType::F8E4M3FNUZ>>(); return true;
        case DType::F8E5M2: visitor.template operator()<Float8<DType::F8E5M2>>(); return true;
        case DType::F8E5M2FNUZ: visitor.template operator()<Float8<DType::F8E5M2FNUZ>>(); return true;
        default: return false;
    }
}

// ---- several elements to a byte, the first in the lowest bits

// Bits of an element, 0 for dtypes that fill bytes.
constexpr int packed_bits(DType dtype) {
    switch (dtype) {
        case DType::U4:
        case DType::I4:
        case DType::F4E2M1: return 4;
        case DType::U2:
        case DType::I2: return 2;
        default: return 0;
    }
}
inline uint8_t load_packed(const std::byte* data, int64_t index, int bits) {
    const int64_t per_byte = 8 / bits;
    const auto byte = static_cast<unsigned>(data[index / per_byte]);
    return static_cast<uint8_t>(byte >> (static_cast<int>(index % per_byte) * bits) & ((1U << bits) - 1));
}
// The integer that `code` stands for.
constexpr int8_t packed_value(DType dtype, uint8_t code) {
    if (dtype == DType::I4) return static_cast<int8_t>(code >= 8 ? code - 16 : code);
    if (dtype == DType::I2) return static_cast<int8_t>(code >= 2 ? code - 4 : code);
    return static_cast<int8_t>(code);
}
// Writes codes[0..count) from element `first` on, which begins a byte; bits behind the last element are zero.
inline void store_packed(std::byte* data, int64_t first, const uint8_t* codes, int64_t count, int bits) {
    const int64_t per_byte = 8 / bits;
    std::byte* to = data + first / per_byte;
    for (int64_t index = 0; index < count; index += per_byte, ++to) {
        unsigned byte = 0;
        for (int64_t part = 0; part < per_byte && index + part < count; ++part) {
            byte |= (codes[index + part] & ((1U << bits) - 1)) << (static_cast<int>(part) * bits);
        }
        *to = static_cast<std::byte>(byte);
    }
}

}  // namespace quoin
