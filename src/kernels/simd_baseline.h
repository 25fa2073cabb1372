// The vocabulary of simd.h for any architecture, in the vector extensions of GCC and Clang; on x86-64 with SSE2 for the
// words that decide speed. What the words mean stands in simd_avx512.h.
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "kernels/layout.h"

namespace quoin {
namespace {

constexpr Isa kThisIsa = Isa::Baseline;

typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));
typedef uint32_t UnsignedInts __attribute__((vector_size(16)));
typedef int16_t Shorts __attribute__((vector_size(16)));
constexpr int64_t kLanes = 4;

constexpr int kFloatTileRows = 4;
constexpr int kFloatTileVectors = 2;
// Rows of an integer tile over bytes of this form.
constexpr int integer_tile_rows(Bytes /*bytes*/) {
    return 2;
}
constexpr int kIntegerTileVectors = 2;

QUOIN_INLINE Floats zeros() {
    return Floats{0, 0, 0, 0};
}
QUOIN_INLINE Floats broadcast(float x) {
    return Floats{x, x, x, x};
}
QUOIN_INLINE Floats load(const float* p) {
    Floats x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
}
QUOIN_INLINE Floats load_first(const float* p, int64_t n) {
    Floats x = zeros();
    for (int i = 0; i < 4; ++i) {
        if (i < n) x[i] = p[i];
    }
    return x;
}
QUOIN_INLINE void store(float* p, Floats x) {
    __builtin_memcpy(p, &x, sizeof(x));
}
QUOIN_INLINE void store_first(float* p, Floats x, int64_t n) {
    for (int i = 0; i < 4; ++i) {
        if (i < n) p[i] = x[i];
    }
}
QUOIN_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return a * b + c;
}
QUOIN_INLINE Ints as_ints(Floats x) {
    return (Ints)x;
}
QUOIN_INLINE Floats as_floats(Ints x) {
    return (Floats)x;
}
QUOIN_INLINE Floats choose(Ints mask, Floats x, Floats y) {
    return (Floats)((mask & (Ints)x) | (~mask & (Ints)y));
}
QUOIN_INLINE Floats minimum(Floats a, Floats b) {
    return choose(a < b, a, b);
}
QUOIN_INLINE Floats maximum(Floats a, Floats b) {
    return choose(a > b, a, b);
}
QUOIN_INLINE Ints broadcast_int(int32_t x) {
    return Ints{x, x, x, x};
}
QUOIN_INLINE Floats absolute(Floats a) {
    return as_floats(as_ints(a) & broadcast_int(INT32_MAX));
}
QUOIN_INLINE Floats copy_sign(Floats magnitude, Floats sign) {
    return choose(broadcast_int(INT32_MIN), sign, magnitude);
}
QUOIN_INLINE Floats select_less(Floats a, Floats b, Floats x, Floats y) {
    return choose(a < b, x, y);
}
QUOIN_INLINE Floats keep_range(Floats x, int64_t first, int64_t last, Floats other) {
    const auto clamp = [](int64_t n) { return static_cast<int32_t>(n < 0 ? 0 : n > kLanes ? kLanes : n); };
    const Ints lane = {0, 1, 2, 3};
    return choose((lane >= broadcast_int(clamp(first))) & (lane < broadcast_int(clamp(last))), x, other);
}
QUOIN_INLINE float sum_floats(Floats x) {
    return (x[0] + x[2]) + (x[1] + x[3]);
}
QUOIN_INLINE float first_lane(Floats x) {
    return x[0];
}
QUOIN_INLINE float largest(Floats x) {
    const auto max = [](float a, float b) { return a > b ? a : b; };
    return max(max(x[0], x[2]), max(x[1], x[3]));
}
QUOIN_INLINE Ints round_to_ints(Floats x) {
#if defined(__SSE2__)
    return (Ints)_mm_cvtps_epi32(x);
#else
    // Adding 1.5 * 2^23 leaves no bits for a fraction; exact for |x| < 2^22, and nothing here needs more.
    const Floats magic = broadcast(12582912.0F);
    const Floats inside = maximum(minimum(x, broadcast(4194303.0F)), broadcast(-4194303.0F));
    return as_ints(inside + magic) - as_ints(magic);
#endif
}
QUOIN_INLINE Floats to_floats(Ints x) {
    return __builtin_convertvector(x, Floats);
}
QUOIN_INLINE Ints add_ints(Ints a, Ints b) {
    return (Ints)((UnsignedInts)a + (UnsignedInts)b);
}
QUOIN_INLINE Ints subtract_ints(Ints a, Ints b) {
    return (Ints)((UnsignedInts)a - (UnsignedInts)b);
}
QUOIN_INLINE Ints and_ints(Ints a, Ints b) {
    return a & b;
}
QUOIN_INLINE Ints max_ints(Ints a, Ints b) {
    const Ints mask = a > b;
    return (mask & a) | (~mask & b);
}
template <int kBits>
QUOIN_INLINE Ints shift_left(Ints x) {
    return (Ints)((UnsignedInts)x << kBits);
}
template <int kBits>
QUOIN_INLINE Ints shift_right_arithmetic(Ints x) {
    return x >> kBits;
}
QUOIN_INLINE int32_t sum_ints(Ints x) {
    return x[0] + x[1] + x[2] + x[3];
}
QUOIN_INLINE int32_t largest_int(Ints x) {
    const auto max = [](int32_t a, int32_t b) { return a > b ? a : b; };
    return max(max(x[0], x[2]), max(x[1], x[3]));
}
QUOIN_INLINE Ints load_ints(const std::byte* p) {
    Ints x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
}
QUOIN_INLINE void store_ints(std::byte* p, Ints x) {
    __builtin_memcpy(p, &x, sizeof(x));
}
QUOIN_INLINE void store_as_bytes(std::byte* p, Ints x) {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<std::byte>(static_cast<int8_t>(x[i]));
}

QUOIN_INLINE Ints or_ints(Ints a, Ints b) {
    return a | b;
}
QUOIN_INLINE Ints xor_ints(Ints a, Ints b) {
    return a ^ b;
}
QUOIN_INLINE Ints load_bytes(const std::byte* p) {
    uint8_t bytes[4];
    __builtin_memcpy(bytes, p, sizeof(bytes));
    return Ints{bytes[0], bytes[1], bytes[2], bytes[3]};
}
QUOIN_INLINE Ints load_signed_bytes(const std::byte* p) {
    int8_t bytes[4];
    __builtin_memcpy(bytes, p, sizeof(bytes));
    return Ints{bytes[0], bytes[1], bytes[2], bytes[3]};
}
// ---- Bytes ----
typedef uint8_t UnsignedBytes __attribute__((vector_size(16)));
typedef uint16_t UnsignedShorts __attribute__((vector_size(16)));
QUOIN_INLINE Ints broadcast_byte(int x) {
    return (Ints)((UnsignedInts)broadcast_int(x & 255) * 0x01010101U);
}
QUOIN_INLINE Ints add_bytes(Ints a, Ints b) {
    return (Ints)((UnsignedBytes)a + (UnsignedBytes)b);
}
template <int kBits>
QUOIN_INLINE Ints shift_words(Ints x) {
    if constexpr (kBits > 0) return (Ints)((UnsignedShorts)x << kBits);
    if constexpr (kBits < 0) return (Ints)((UnsignedShorts)x >> -kBits);
    return x;
}
template <int kBits>
QUOIN_INLINE Ints shift_words_arithmetic(Ints x) {
    return (Ints)((Shorts)x >> kBits);
}
QUOIN_INLINE Ints look_up(const int8_t* table, Ints index) {
    UnsignedBytes number;
    for (int i = 0; i < 16; ++i) number[i] = static_cast<uint8_t>(table[((UnsignedBytes)index)[i]]);
    return (Ints)number;
}

// ---- Halves ----
// The exponent of a half moved to a float's place is 112 too small; a multiplication repairs it, subnormals included.
QUOIN_INLINE Floats widen_f16(Ints halves) {
    const Ints magnitude = halves & broadcast_int(0x7FFF);
    const Ints sign = shift_left<16>(halves & broadcast_int(0x8000));
    const Ints special = (magnitude > broadcast_int(0x7BFF)) & broadcast_int(0x7F800000);
    const Floats value = as_floats(shift_left<13>(magnitude)) * broadcast(0x1p112F);
    return as_floats(as_ints(value) | sign | special);
}
QUOIN_INLINE Ints load_halves(const std::byte* p) {
    uint16_t halves[4];
    __builtin_memcpy(halves, p, sizeof(halves));
    return Ints{halves[0], halves[1], halves[2], halves[3]};
}
QUOIN_INLINE Floats load_f16(const std::byte* p) {
    return widen_f16(load_halves(p));
}
QUOIN_INLINE float f16_to_float(uint16_t half) {
    return widen_f16(Ints{half, 0, 0, 0})[0];
}
// The arithmetic of f32_to_f16 in core/half.h.
QUOIN_INLINE uint16_t float_to_f16(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const uint32_t magnitude = bits & 0x7FFFFFFFU;
    uint32_t half = 0;
    if (magnitude > 0x7F800000U) {
        half = 0x7E00U | ((magnitude >> 13) & 0x1FFU);
    } else if (magnitude >= 0x47800000U) {
        half = 0x7C00U;
    } else if (magnitude < 0x38800000U) {
        const float shifted = __builtin_bit_cast(float, magnitude) + 0.5F;
        half = __builtin_bit_cast(uint32_t, shifted) - 0x3F000000U;
    } else {
        half = (magnitude - 0x38000000U + 0xFFFU + ((magnitude >> 13) & 1U)) >> 13;
    }
    return static_cast<uint16_t>(sign | half);
}
QUOIN_INLINE void store_f16(std::byte* p, Floats x) {
    uint16_t halves[4];
    for (int i = 0; i < 4; ++i) halves[i] = float_to_f16(x[i]);
    __builtin_memcpy(p, halves, sizeof(halves));
}
QUOIN_INLINE Floats load_bf16(const std::byte* p) {
    return as_floats(shift_left<16>(load_halves(p)));
}
QUOIN_INLINE Floats low_bf16(Ints pairs) {
    return as_floats(shift_left<16>(pairs));
}
QUOIN_INLINE Floats high_bf16(Ints pairs) {
    return as_floats(pairs & broadcast_int(static_cast<int32_t>(0xFFFF0000U)));
}

// ---- Pairs (rotary) ----
QUOIN_INLINE Floats twice_low(Floats x) {
    return Floats{x[0], x[0], x[1], x[1]};
}
QUOIN_INLINE Floats twice_high(Floats x) {
    return Floats{x[2], x[2], x[3], x[3]};
}
QUOIN_INLINE Floats swap_pairs(Floats x) {
    return Floats{x[1], x[0], x[3], x[2]};
}
QUOIN_INLINE Floats negate_even(Floats x) {
    return Floats{-x[0], x[1], -x[2], x[3]};
}

// ---- Integer dot products ----
QUOIN_INLINE Ints broadcast_quad(const std::byte* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, 4);
    return broadcast_int(quad);
}
// Bytes in even and odd places as 16-bit numbers, then two multiplications of pairs: exact for any bytes.
QUOIN_INLINE Ints byte_dot(Ints state, Ints weights, Ints activations) {
    const Shorts even = (Shorts)(weights & broadcast_int(0x00FF00FF));
    const Shorts odd = (Shorts)(((UnsignedInts)weights >> 8) & (UnsignedInts)broadcast_int(0x00FF00FF));
    const Shorts even_a = (Shorts)((Shorts)activations << 8) >> 8;
    const Shorts odd_a = (Shorts)activations >> 8;
#if defined(__SSE2__)
    const Ints first = (Ints)_mm_madd_epi16((__m128i)even, (__m128i)even_a);
    const Ints second = (Ints)_mm_madd_epi16((__m128i)odd, (__m128i)odd_a);
    return state + first + second;
#else
    for (int i = 0; i < 4; ++i) {
        state[i] += even[2 * i] * even_a[2 * i] + even[2 * i + 1] * even_a[2 * i + 1] + odd[2 * i] * odd_a[2 * i] +
                    odd[2 * i + 1] * odd_a[2 * i + 1];
    }
    return state;
#endif
}
// Dot products of 16 or 32 bytes of weights and activations in steps of 4 to a lane. `offset`: -128 x the sum of the
// activations, as it stands in Q8Row.
constexpr Bytes kWideBytes = Bytes::Any;
constexpr int kAnyBytesOffset = 128;  // unsigned bytes: number + 128
template <Bytes, bool>
struct ByteDot {
    Ints state;
    QUOIN_INLINE void begin(const std::byte* offset) { state = broadcast_quad(offset); }
    template <int, int>
    QUOIN_INLINE void step(Ints weights, Ints activations) {
        any_step(weights, activations);
    }
    QUOIN_INLINE void any_step(Ints weights, Ints activations) { state = byte_dot(state, weights, activations); }
    QUOIN_INLINE Ints end(const std::byte*, int) const { return state; }
};

// ---- Pairs of 16-bit integers (attention) ----
QUOIN_INLINE Ints widen_bytes(const std::byte* p) {
    int8_t bytes[8];
    __builtin_memcpy(bytes, p, sizeof(bytes));
    return (Ints)Shorts{bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]};
}
QUOIN_INLINE Ints pair_dot(Ints acc, Ints a, Ints b) {
#if defined(__SSE2__)
    return add_ints(acc, (Ints)_mm_madd_epi16((__m128i)a, (__m128i)b));
#else
    const Ints low = shift_right_arithmetic<16>(shift_left<16>(a)) * shift_right_arithmetic<16>(shift_left<16>(b));
    const Ints high = shift_right_arithmetic<16>(a) * shift_right_arithmetic<16>(b);
    return add_ints(acc, add_ints(low, high));
#endif
}

// ---- Peaks ----
template <class T>
QUOIN_INLINE void opaque(T& x) {
#if defined(__SSE2__)
    asm volatile("" : "+x"(x));
#else
    asm volatile("" : "+m"(x));
#endif
}
QUOIN_INLINE Ints probe_int8_step(Ints acc, Ints a, Ints b) {
    return byte_dot(acc, a, b);
}
constexpr bool kHasBf16Dot = false;

}  // namespace
}  // namespace quoin
