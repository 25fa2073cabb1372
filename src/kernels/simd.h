// The vocabulary the kernels are written in: vectors of floats and 32-bit integers of this instruction set's width,
// and the words no portable library has (u8 x s8 dot product, half loads, first-n loads and stores). Four files give it
// for SSE2/portable, AVX2, AVX-512 and NEON; only simd_bytes.h, simd_exponents.h and simd_amx.h
// beside them name intrinsics or instructions.
//
// Floats support + - * / by operator. min and max return their second operand when either is NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#define QUOIN_INLINE __attribute__((always_inline)) inline
// After the parameters of a lambda.
#define QUOIN_LAMBDA_INLINE __attribute__((always_inline))

namespace quoin {
namespace {

// What the bytes of a weight may be when they meet a dot product (integer_codes.inl). Any: what this instruction set
// multiplies without limits. The others are for instruction sets that add pairs of products in 16 bits: unsigned bytes
// up to a limit that says how many pairs fit, or signed ones.
enum class Bytes { Any, UpTo15, UpTo31, UpTo63, UpTo127, Signed };
// Products of two rows with two columns at once; defined where kHasPairDot, for pair_tile.inl.
template <Bytes>
struct PairDot;
// Signed bytes taken apart; defined where kSplitsSigns, for integer_tile.inl.
template <Bytes>
struct SplitBytes;

}  // namespace
}  // namespace quoin

#if defined(QUOIN_ISA_AVX512)
#include "kernels/simd_avx512.h"
#elif defined(QUOIN_ISA_AVX2)
#include "kernels/simd_avx2.h"
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#include "kernels/simd_neon.h"
#else
#include "kernels/simd_baseline.h"
#endif

namespace quoin {
namespace {

// Compile-time loops over intrinsics that want constants: body(Constant<0>{}) ... body(Constant<kCount - 1>{}).
template <int kValue>
struct Constant {
    constexpr operator int() const { return kValue; }  // NOLINT(google-explicit-constructor)
};
template <int kCount, int kNext = 0, class Body>
QUOIN_INLINE void for_constant(Body body) {
    if constexpr (kNext < kCount) {
        body(Constant<kNext>{});
        for_constant<kCount, kNext + 1>(body);
    }
}

constexpr bool kDotsAnyBytes = kWideBytes == Bytes::Any;
constexpr bool kHasPairDot = kThisIsa == Isa::I8mm;
constexpr bool kHasMatrixDot = kThisIsa == Isa::AmxInt8;
// Whether signed bytes that many rows meet are taken apart first (SplitBytes).
constexpr bool kSplitsSigns = kThisIsa == Isa::Avx2;

// Vectors that make one row of a panel, and bytes of a vector.
constexpr int kPanelVectors = static_cast<int>(kPanelColumns / kLanes);
constexpr int64_t kVectorBytes = kLanes * 4;

// The first n (1..kLanes) floats; those of a whole vector without a mask.
QUOIN_INLINE Floats load_some(const float* p, int64_t n) {
    return n == kLanes ? load(p) : load_first(p, n);
}
QUOIN_INLINE void store_some(float* p, Floats x, int64_t n) {
    if (n == kLanes) {
        store(p, x);
    } else {
        store_first(p, x, n);
    }
}
// function(i, n) for every vector of a row, the n of all but the last one a constant.
template <class Function>
QUOIN_INLINE void for_vectors(int64_t count, Function function) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) function(i, kLanes);
    if (i < count) function(i, count - i);
}

template <class T>
QUOIN_INLINE T read(const std::byte* p) {
    T value;
    __builtin_memcpy(&value, p, sizeof(T));
    return value;
}
template <class T>
QUOIN_INLINE void write(std::byte* p, T value) {
    __builtin_memcpy(p, &value, sizeof(T));
}
QUOIN_INLINE float bits_to_float(uint32_t bits) {
    return __builtin_bit_cast(float, bits);
}
QUOIN_INLINE float bf16_to_float(uint16_t half) {
    return bits_to_float(static_cast<uint32_t>(half) << 16);
}
template <class T>
QUOIN_INLINE T smaller(T a, T b) {
    return b < a ? b : a;
}
template <class T>
QUOIN_INLINE T larger(T a, T b) {
    return a < b ? b : a;
}

}  // namespace
}  // namespace quoin
