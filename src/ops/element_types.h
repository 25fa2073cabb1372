// Element types as C++ types, and one place that turns a dtype into one.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "core/dtype.h"
#include "core/half.h"
#include "core/status.h"

namespace quoin {

// Halves in memory; arithmetic is done in float.
struct F16 {
    uint16_t bits = 0;
    F16() = default;
    explicit F16(float value) : bits(f32_to_f16(value)) {}
    explicit operator float() const { return f16_to_f32(bits); }
};
struct BF16 {
    uint16_t bits = 0;
    BF16() = default;
    explicit BF16(float value) : bits(f32_to_bf16(value)) {}
    explicit operator float() const { return bf16_to_f32(bits); }
};

template <class T>
concept HalfElement = std::same_as<T, F16> || std::same_as<T, BF16>;
// Types that are only stored: their bits, and conversions from and to float.
template <class T>
concept NarrowElement = requires(const T& value) {
    value.bits;
};
template <class T>
concept FloatElement = std::floating_point<T> || HalfElement<T>;
template <class T>
concept IntegerElement = std::integral<T> && !std::same_as<T, bool>;

// What an element is computed in: float for halves and smaller ones, else its own type.
template <class T>
using Arithmetic = std::conditional_t<NarrowElement<T>, float, T>;

template <class T>
Arithmetic<T> to_arithmetic(const T& value) {
    return static_cast<Arithmetic<T>>(value);
}
template <class T>
T from_arithmetic(Arithmetic<T> value) {
    return static_cast<T>(value);
}

// The dtype is not among those that the caller handles.
inline constexpr bool kNotVisited = false;

// visitor.template operator()<T>() for the type of `dtype`; false, without a call, when the group does not have it.
template <class Visitor>
bool visit_floats(DType dtype, Visitor&& visitor) {
    switch (dtype) {
        case DType::F32: visitor.template operator()<float>(); return true;
        case DType::F64: visitor.template operator()<double>(); return true;
        case DType::F16: visitor.template operator()<F16>(); return true;
        case DType::BF16: visitor.template operator()<BF16>(); return true;
        default: return kNotVisited;
    }
}
template <class Visitor>
bool visit_integers(DType dtype, Visitor&& visitor) {
    switch (dtype) {
        case DType::I8: visitor.template operator()<int8_t>(); return true;
        case DType::I16: visitor.template operator()<int16_t>(); return true;
        case DType::I32: visitor.template operator()<int32_t>(); return true;
        case DType::I64: visitor.template operator()<int64_t>(); return true;
        case DType::U8: visitor.template operator()<uint8_t>(); return true;
        case DType::U16: visitor.template operator()<uint16_t>(); return true;
        case DType::U32: visitor.template operator()<uint32_t>(); return true;
        case DType::U64: visitor.template operator()<uint64_t>(); return true;
        default: return kNotVisited;
    }
}
// Floats and integers.
template <class Visitor>
bool visit_numbers(DType dtype, Visitor&& visitor) {
    return visit_floats(dtype, visitor) || visit_integers(dtype, visitor);
}
// Numbers and bool.
template <class Visitor>
bool visit_numbers_and_bool(DType dtype, Visitor&& visitor) {
    if (dtype != DType::Bool) return visit_numbers(dtype, visitor);
    visitor.template operator()<bool>();
    return true;
}

// For ops that only move elements: an unsigned integer of their size, or std::string.
template <class Visitor>
bool visit_sizes(DType dtype, Visitor&& visitor) {
    if (dtype == DType::String) {
        visitor.template operator()<std::string>();
        return true;
    }
    if (dtype_info(dtype).block_elements != 1) return kNotVisited;
    switch (dtype_info(dtype).block_bytes) {
        case 1: visitor.template operator()<uint8_t>(); return true;
        case 2: visitor.template operator()<uint16_t>(); return true;
        case 4: visitor.template operator()<uint32_t>(); return true;
        case 8: visitor.template operator()<uint64_t>(); return true;
        default: return kNotVisited;
    }
}

}  // namespace quoin
