// The vocabulary of simd.h in AVX-512 (F, BW, VL, DQ), with VNNI and BF16 when compiled for them.
#pragma once

#include <immintrin.h>

#include "kernels/layout.h"

namespace quoin {
namespace {

#if defined(QUOIN_ISA_AMXINT8)
constexpr Isa kThisIsa = Isa::AmxInt8;
#elif defined(QUOIN_ISA_AVX512BF16)
constexpr Isa kThisIsa = Isa::Avx512Bf16;
#elif defined(QUOIN_ISA_AVX512VNNI)
constexpr Isa kThisIsa = Isa::Avx512Vnni;
#else
constexpr Isa kThisIsa = Isa::Avx512;
#endif

using Floats = __m512;
using Ints = __m512i;
constexpr int64_t kLanes = 16;

// Register tiles, rows x vectors: 24 float accumulators; 12 integer accumulators beside 12 float ones.
constexpr int kFloatTileRows = 12;
constexpr int kFloatTileVectors = 2;
// Rows of an integer tile over bytes of this form.
constexpr int integer_tile_rows(Bytes /*bytes*/) {
    return 6;
}
constexpr int kIntegerTileVectors = 2;

QUOIN_INLINE __mmask16 first_mask(int64_t n) {
    return static_cast<__mmask16>((1U << static_cast<unsigned>(n)) - 1U);
}

QUOIN_INLINE Floats zeros() {
    return _mm512_setzero_ps();
}
QUOIN_INLINE Floats broadcast(float x) {
    return _mm512_set1_ps(x);
}
QUOIN_INLINE Floats load(const float* p) {
    return _mm512_loadu_ps(p);
}
// The first n (0..kLanes) elements, the rest zero; memory behind them is not touched.
QUOIN_INLINE Floats load_first(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(first_mask(n), p);
}
QUOIN_INLINE void store(float* p, Floats x) {
    _mm512_storeu_ps(p, x);
}
QUOIN_INLINE void store_first(float* p, Floats x, int64_t n) {
    _mm512_mask_storeu_ps(p, first_mask(n), x);
}
// a * b + c; rounded once except on Baseline.
QUOIN_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
}
QUOIN_INLINE Floats minimum(Floats a, Floats b) {
    return _mm512_min_ps(a, b);
}
QUOIN_INLINE Floats maximum(Floats a, Floats b) {
    return _mm512_max_ps(a, b);
}
QUOIN_INLINE Floats absolute(Floats a) {
    return _mm512_abs_ps(a);
}
QUOIN_INLINE Floats copy_sign(Floats magnitude, Floats sign) {
    const __m512i mask = _mm512_set1_epi32(INT32_MIN);
    // bit by bit: mask ? sign : magnitude
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(mask, _mm512_castps_si512(sign), _mm512_castps_si512(magnitude), 0xCA));
}
// a < b ? x : y
QUOIN_INLINE Floats select_less(Floats a, Floats b, Floats x, Floats y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
// Lanes first <= i < last keep x, the others take `other`; any int64 bounds.
QUOIN_INLINE Floats keep_range(Floats x, int64_t first, int64_t last, Floats other) {
    const auto below = [](int64_t n) { return n <= 0 ? 0U : n >= kLanes ? 0xFFFFU : (1U << n) - 1U; };
    return _mm512_mask_blend_ps(static_cast<__mmask16>(below(last) & ~below(first)), other, x);
}
QUOIN_INLINE float sum_floats(Floats x) {
    return _mm512_reduce_add_ps(x);
}
QUOIN_INLINE float first_lane(Floats x) {
    return _mm512_cvtss_f32(x);
}
QUOIN_INLINE float largest(Floats x) {
    return _mm512_reduce_max_ps(x);
}

QUOIN_INLINE Ints broadcast_int(int32_t x) {
    return _mm512_set1_epi32(x);
}
// Round to nearest even; out of range and NaN give INT32_MIN.
QUOIN_INLINE Ints round_to_ints(Floats x) {
    return _mm512_cvtps_epi32(x);
}
QUOIN_INLINE Floats to_floats(Ints x) {
    return _mm512_cvtepi32_ps(x);
}
QUOIN_INLINE Ints as_ints(Floats x) {
    return _mm512_castps_si512(x);
}
QUOIN_INLINE Floats as_floats(Ints x) {
    return _mm512_castsi512_ps(x);
}
QUOIN_INLINE Ints add_ints(Ints a, Ints b) {
    return _mm512_add_epi32(a, b);
}
QUOIN_INLINE Ints subtract_ints(Ints a, Ints b) {
    return _mm512_sub_epi32(a, b);
}
QUOIN_INLINE Ints and_ints(Ints a, Ints b) {
    return _mm512_and_si512(a, b);
}
QUOIN_INLINE Ints max_ints(Ints a, Ints b) {
    return _mm512_max_epi32(a, b);
}
template <int kBits>
QUOIN_INLINE Ints shift_left(Ints x) {
    return _mm512_slli_epi32(x, kBits);
}
template <int kBits>
QUOIN_INLINE Ints shift_right_arithmetic(Ints x) {
    return _mm512_srai_epi32(x, kBits);
}
QUOIN_INLINE int32_t sum_ints(Ints x) {
    return _mm512_reduce_add_epi32(x);
}
QUOIN_INLINE int32_t largest_int(Ints x) {
    return _mm512_reduce_max_epi32(x);
}
QUOIN_INLINE Ints load_ints(const std::byte* p) {
    return _mm512_loadu_si512(p);
}
QUOIN_INLINE void store_ints(std::byte* p, Ints x) {
    _mm512_storeu_si512(p, x);
}
// kLanes int8 values <-> lanes; values must fit.
QUOIN_INLINE void store_as_bytes(std::byte* p, Ints x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
}

QUOIN_INLINE Ints or_ints(Ints a, Ints b) {
    return _mm512_or_si512(a, b);
}
QUOIN_INLINE Ints xor_ints(Ints a, Ints b) {
    return _mm512_xor_si512(a, b);
}
// kLanes bytes as lanes.
QUOIN_INLINE Ints load_bytes(const std::byte* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
QUOIN_INLINE Ints load_signed_bytes(const std::byte* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
// ---- Bytes ----
QUOIN_INLINE Ints broadcast_byte(int x) {
    return _mm512_set1_epi8(static_cast<char>(x));
}
QUOIN_INLINE Ints add_bytes(Ints a, Ints b) {
    return _mm512_add_epi8(a, b);
}
// 16-bit lanes to the left by kBits, or to the right by -kBits.
template <int kBits>
QUOIN_INLINE Ints shift_words(Ints x) {
    if constexpr (kBits > 0) return _mm512_slli_epi16(x, kBits);
    if constexpr (kBits < 0) return _mm512_srli_epi16(x, -kBits);
    return x;
}
// 16-bit lanes, signed, to the right.
template <int kBits>
QUOIN_INLINE Ints shift_words_arithmetic(Ints x) {
    return _mm512_srai_epi16(x, kBits);
}
// table[index] for every byte, index below 16.
QUOIN_INLINE Ints look_up(const int8_t* table, Ints index) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), index);
}

// ---- Halves ----
QUOIN_INLINE Floats load_f16(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
QUOIN_INLINE void store_f16(std::byte* p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
QUOIN_INLINE Floats load_bf16(const std::byte* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
// Of lanes that hold two bf16 each: the first, the second.
QUOIN_INLINE Floats low_bf16(Ints pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
QUOIN_INLINE Floats high_bf16(Ints pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int32_t>(0xFFFF0000U))));
}
#if defined(QUOIN_ISA_AVX512BF16)
constexpr bool kHasBf16Dot = true;
// kLanes floats as bf16, rounded to nearest even; subnormal ones become zero.
QUOIN_INLINE void store_bf16(std::byte* p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
}
// [first, 32 + first, first + 1, 33 + first, ...]
QUOIN_INLINE Ints word_pairs(int32_t first) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i words = _mm512_add_epi32(lanes, _mm512_set1_epi32(first));
    return _mm512_or_si512(words, _mm512_slli_epi32(_mm512_add_epi32(words, _mm512_set1_epi32(32)), 16));
}
// acc + both products of each lane's pairs of bf16.
QUOIN_INLINE Floats bf16_dot(Floats acc, Ints a, Ints b) {
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
// [a0 b0 a1 b1 ...] of 16-bit words: of the lower, of the upper half of both.
QUOIN_INLINE Ints interleave_words_low(Ints a, Ints b) {
    return _mm512_permutex2var_epi16(a, word_pairs(0), b);
}
QUOIN_INLINE Ints interleave_words_high(Ints a, Ints b) {
    return _mm512_permutex2var_epi16(a, word_pairs(16), b);
}
#else
constexpr bool kHasBf16Dot = false;
#endif
QUOIN_INLINE float f16_to_float(uint16_t half) {
    return _cvtsh_ss(half);
}
QUOIN_INLINE uint16_t float_to_f16(float x) {
    // not _cvtss_sh: a macro that is no clean C++ in Clang
    const __m128i halves = _mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT);
    return static_cast<uint16_t>(_mm_cvtsi128_si32(halves));
}

// ---- Pairs (rotary) ----
// [x0 x0 x1 x1 ...] of the lower and of the upper half.
QUOIN_INLINE Floats twice_low(Floats x) {
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x);
}
QUOIN_INLINE Floats twice_high(Floats x) {
    return _mm512_permutexvar_ps(_mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), x);
}
QUOIN_INLINE Floats swap_pairs(Floats x) {
    return _mm512_permute_ps(x, 0xB1);
}
QUOIN_INLINE Floats negate_even(Floats x) {
    return _mm512_castsi512_ps(
        _mm512_xor_si512(_mm512_castps_si512(x), _mm512_set1_epi64(static_cast<int64_t>(0x80000000U))));
}

// ---- Integer dot products ----
// Four bytes of `p` in every lane.
QUOIN_INLINE Ints broadcast_quad(const std::byte* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, 4);
    return _mm512_set1_epi32(quad);
}

#if defined(QUOIN_ISA_AVX512VNNI)
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
    QUOIN_INLINE void any_step(Ints weights, Ints activations) {
        state = _mm512_dpbusd_epi32(state, weights, activations);
    }
    QUOIN_INLINE Ints end(const std::byte*, int) const { return state; }
};
#else
// Sums in the order in which they are written: GCC else makes parallel chains of them, and spills all the parts.
QUOIN_INLINE Ints in_order(Ints x) {
    asm("" : "+v"(x));
    return x;
}
QUOIN_INLINE Ints add_words(Ints a, Ints b) {
    return in_order(_mm512_add_epi16(a, b));
}
QUOIN_INLINE Ints add_pairs(Ints words) {
    return _mm512_madd_epi16(words, _mm512_set1_epi16(1));
}
QUOIN_INLINE Ints shift_right_by(Ints x, int bits) {
    return _mm512_sra_epi32(x, _mm_cvtsi32_si128(bits));
}
QUOIN_INLINE Ints multiply_signed(Ints weights, Ints activations) {
    const __mmask64 negative = _mm512_movepi8_mask(weights);
    const __m512i activation = _mm512_mask_sub_epi8(activations, negative, _mm512_setzero_si512(), activations);
    return _mm512_maddubs_epi16(_mm512_abs_epi8(weights), activation);
}
constexpr Bytes kWideBytes = Bytes::Signed;
constexpr int kAnyBytesOffset = 0;
template <Bytes kBytes, bool kOffset>
struct ByteDot {
    // Steps whose pairs of products stay below 32768 together.
    static constexpr int kFit = kBytes == Bytes::UpTo15   ? 8
                                : kBytes == Bytes::UpTo31 ? 4
                                : kBytes == Bytes::UpTo63 ? 2
                                                          : 1;
    Ints pairs;
    Ints sum;

    QUOIN_INLINE void begin(const std::byte*) { pairs = sum = broadcast_int(0); }
    template <int kStep, int kSteps>
    QUOIN_INLINE void step(Ints weights, Ints activations) {
        const Ints products = multiply(weights, activations);
        pairs = kStep % kFit == 0 ? products : add_words(pairs, products);
        if constexpr (kStep % kFit == kFit - 1 || kStep == kSteps - 1) sum = in_order(add_ints(sum, add_pairs(pairs)));
    }
    // Steps in any order.
    QUOIN_INLINE void any_step(Ints weights, Ints activations) {
        sum = in_order(add_ints(sum, add_pairs(multiply(weights, activations))));
    }
    // weight = byte - taken_off, a power of two.
    QUOIN_INLINE Ints end(const std::byte* offset, int taken_off) const {
        if constexpr (kBytes == Bytes::Signed || !kOffset) {
            return sum;
        } else {
            return add_ints(
                sum, shift_right_by(broadcast_quad(offset), 7 - __builtin_ctz(static_cast<unsigned>(taken_off))));
        }
    }

private:
    static QUOIN_INLINE Ints multiply(Ints weights, Ints activations) {
        if constexpr (kBytes == Bytes::Signed) {
            // |w| <= 128 times sign(w) * a: two products stay below 32768, so vpmaddubsw does not saturate.
            return multiply_signed(weights, activations);
        } else {
            return _mm512_maddubs_epi16(weights, activations);
        }
    }
};
#endif

// ---- Pairs of 16-bit integers (attention) ----
// 2 * kLanes int8 values as 16-bit ones, in order.
QUOIN_INLINE Ints widen_bytes(const std::byte* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// acc + both products of each lane's pairs.
QUOIN_INLINE Ints pair_dot(Ints acc, Ints a, Ints b) {
#if defined(QUOIN_ISA_AVX512VNNI)
    // Not the intrinsic: GCC 12 keeps an array of its sums in memory and copies it in every round of a loop.
    asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
#else
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}

// ---- Peaks ----
template <class T>
QUOIN_INLINE void opaque(T& x) {
    asm volatile("" : "+v"(x));
}
#if defined(QUOIN_ISA_AVX512VNNI)
QUOIN_INLINE Ints probe_int8_step(Ints acc, Ints a, Ints b) {
    return _mm512_dpbusd_epi32(acc, a, b);
}
#else
QUOIN_INLINE Ints probe_int8_step(Ints acc, Ints a, Ints b) {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1)));
}
#endif

}  // namespace
}  // namespace quoin
