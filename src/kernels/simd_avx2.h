// The vocabulary of simd.h in AVX2, FMA and F16C, with AVX-VNNI when compiled for it. What the words mean stands in
// simd_avx512.h.
#pragma once

#include <immintrin.h>

#include "kernels/layout.h"

namespace quoin {
namespace {

#if defined(QUOIN_ISA_AVXVNNI)
constexpr Isa kThisIsa = Isa::AvxVnni;
#else
constexpr Isa kThisIsa = Isa::Avx2;
#endif

using Floats = __m256;
using Ints = __m256i;
constexpr int64_t kLanes = 8;

constexpr int kFloatTileRows = 6;
constexpr int kFloatTileVectors = 2;
// Rows of an integer tile over bytes of this form. Signed ones leave no sums of 16 bits in registers from one step to
// the next.
constexpr int integer_tile_rows(Bytes bytes) {
    return bytes == Bytes::Signed ? 4 : 3;
}
constexpr int kIntegerTileVectors = 2;

QUOIN_INLINE __m256i first_mask(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

QUOIN_INLINE Floats zeros() {
    return _mm256_setzero_ps();
}
QUOIN_INLINE Floats broadcast(float x) {
    return _mm256_set1_ps(x);
}
QUOIN_INLINE Floats load(const float* p) {
    return _mm256_loadu_ps(p);
}
QUOIN_INLINE Floats load_first(const float* p, int64_t n) {
    return _mm256_maskload_ps(p, first_mask(n));
}
QUOIN_INLINE void store(float* p, Floats x) {
    _mm256_storeu_ps(p, x);
}
QUOIN_INLINE void store_first(float* p, Floats x, int64_t n) {
    _mm256_maskstore_ps(p, first_mask(n), x);
}
QUOIN_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return _mm256_fmadd_ps(a, b, c);
}
QUOIN_INLINE Floats minimum(Floats a, Floats b) {
    return _mm256_min_ps(a, b);
}
QUOIN_INLINE Floats maximum(Floats a, Floats b) {
    return _mm256_max_ps(a, b);
}
QUOIN_INLINE Floats absolute(Floats a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
}
QUOIN_INLINE Floats copy_sign(Floats magnitude, Floats sign) {
    const __m256 mask = _mm256_set1_ps(-0.0F);
    return _mm256_or_ps(_mm256_andnot_ps(mask, magnitude), _mm256_and_ps(mask, sign));
}
QUOIN_INLINE Floats select_less(Floats a, Floats b, Floats x, Floats y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
QUOIN_INLINE Floats keep_range(Floats x, int64_t first, int64_t last, Floats other) {
    const int64_t low = first < 0 ? 0 : first > kLanes ? kLanes : first;
    const int64_t high = last < 0 ? 0 : last > kLanes ? kLanes : last;
    const __m256i keep = _mm256_andnot_si256(first_mask(low), first_mask(high));
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(keep));
}
QUOIN_INLINE float sum_floats(Floats x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
QUOIN_INLINE float first_lane(Floats x) {
    return _mm256_cvtss_f32(x);
}
QUOIN_INLINE float largest(Floats x) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

QUOIN_INLINE Ints broadcast_int(int32_t x) {
    return _mm256_set1_epi32(x);
}
QUOIN_INLINE Ints round_to_ints(Floats x) {
    return _mm256_cvtps_epi32(x);
}
QUOIN_INLINE Floats to_floats(Ints x) {
    return _mm256_cvtepi32_ps(x);
}
QUOIN_INLINE Ints as_ints(Floats x) {
    return _mm256_castps_si256(x);
}
QUOIN_INLINE Floats as_floats(Ints x) {
    return _mm256_castsi256_ps(x);
}
QUOIN_INLINE Ints add_ints(Ints a, Ints b) {
    return _mm256_add_epi32(a, b);
}
QUOIN_INLINE Ints subtract_ints(Ints a, Ints b) {
    return _mm256_sub_epi32(a, b);
}
QUOIN_INLINE Ints and_ints(Ints a, Ints b) {
    return _mm256_and_si256(a, b);
}
QUOIN_INLINE Ints max_ints(Ints a, Ints b) {
    return _mm256_max_epi32(a, b);
}
template <int kBits>
QUOIN_INLINE Ints shift_left(Ints x) {
    return _mm256_slli_epi32(x, kBits);
}
template <int kBits>
QUOIN_INLINE Ints shift_right_arithmetic(Ints x) {
    return _mm256_srai_epi32(x, kBits);
}
QUOIN_INLINE int32_t sum_ints(Ints x) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}
QUOIN_INLINE int32_t largest_int(Ints x) {
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}
QUOIN_INLINE Ints load_ints(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
QUOIN_INLINE void store_ints(std::byte* p, Ints x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
}
QUOIN_INLINE void store_as_bytes(std::byte* p, Ints x) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}

QUOIN_INLINE Ints or_ints(Ints a, Ints b) {
    return _mm256_or_si256(a, b);
}
QUOIN_INLINE Ints xor_ints(Ints a, Ints b) {
    return _mm256_xor_si256(a, b);
}
// kLanes bytes as lanes.
QUOIN_INLINE Ints load_bytes(const std::byte* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
QUOIN_INLINE Ints load_signed_bytes(const std::byte* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
// ---- Bytes ----
QUOIN_INLINE Ints broadcast_byte(int x) {
    return _mm256_set1_epi8(static_cast<char>(x));
}
QUOIN_INLINE Ints add_bytes(Ints a, Ints b) {
    return _mm256_add_epi8(a, b);
}
// 16-bit lanes to the left by kBits, or to the right by -kBits.
template <int kBits>
QUOIN_INLINE Ints shift_words(Ints x) {
    if constexpr (kBits > 0) return _mm256_slli_epi16(x, kBits);
    if constexpr (kBits < 0) return _mm256_srli_epi16(x, -kBits);
    return x;
}
template <int kBits>
QUOIN_INLINE Ints shift_words_arithmetic(Ints x) {
    return _mm256_srai_epi16(x, kBits);
}
// table[index] for every byte, index below 16.
QUOIN_INLINE Ints look_up(const int8_t* table, Ints index) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index);
}

// ---- Halves ----
QUOIN_INLINE Floats load_f16(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
QUOIN_INLINE void store_f16(std::byte* p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
QUOIN_INLINE Floats load_bf16(const std::byte* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
QUOIN_INLINE Floats low_bf16(Ints pairs) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}
QUOIN_INLINE Floats high_bf16(Ints pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int32_t>(0xFFFF0000U))));
}
QUOIN_INLINE float f16_to_float(uint16_t half) {
    return _cvtsh_ss(half);
}
QUOIN_INLINE uint16_t float_to_f16(float x) {
    // not _cvtss_sh: a macro that is no clean C++ in Clang
    const __m128i halves = _mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT);
    return static_cast<uint16_t>(_mm_cvtsi128_si32(halves));
}

// ---- Pairs (rotary) ----
QUOIN_INLINE Floats twice_low(Floats x) {
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}
QUOIN_INLINE Floats twice_high(Floats x) {
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
}
QUOIN_INLINE Floats swap_pairs(Floats x) {
    return _mm256_permute_ps(x, 0xB1);
}
QUOIN_INLINE Floats negate_even(Floats x) {
    return _mm256_xor_ps(x, _mm256_setr_ps(-0.0F, 0, -0.0F, 0, -0.0F, 0, -0.0F, 0));
}

// ---- Integer dot products ----
QUOIN_INLINE Ints broadcast_quad(const std::byte* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, 4);
    return _mm256_set1_epi32(quad);
}
// Sums in the order in which they are written: GCC else makes parallel chains of them, and spills all the parts.
QUOIN_INLINE Ints in_order(Ints x) {
    asm("" : "+x"(x));
    return x;
}
#if defined(QUOIN_ISA_AVXVNNI)
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
        state = _mm256_dpbusd_avx_epi32(state, weights, activations);
    }
    QUOIN_INLINE Ints end(const std::byte*, int) const { return state; }
};
#else
QUOIN_INLINE Ints add_words(Ints a, Ints b) {
    return in_order(_mm256_add_epi16(a, b));
}
QUOIN_INLINE Ints add_pairs(Ints words) {
    return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}
QUOIN_INLINE Ints shift_right_by(Ints x, int bits) {
    return _mm256_sra_epi32(x, _mm_cvtsi32_si128(bits));
}
constexpr Bytes kWideBytes = Bytes::Signed;
constexpr int kAnyBytesOffset = 0;

// Signed weights for many rows. a ^ sign is -a - 1 beside a negative weight, so the sum of magnitude x (a ^ sign) lacks
// the magnitudes of all negative weights, whatever the activations are, and may begin with them. With vpsignb, which
// would leave nothing lacking, the four instructions of a product take 0.43 ns on a Zen 3, with vpxor 0.38.
template <>
struct SplitBytes<Bytes::Signed> {
    Ints magnitudes;  // 0..128
    Ints signs;       // -1 where the weight is negative, else 0

    static QUOIN_INLINE SplitBytes split(Ints weights) {
        return {_mm256_abs_epi8(weights), _mm256_cmpgt_epi8(_mm256_setzero_si256(), weights)};
    }
    static QUOIN_INLINE SplitBytes load(const std::byte* magnitudes, const std::byte* signs) {
        SplitBytes x = {load_ints(magnitudes), load_ints(signs)};
        asm("" : "+x"(x.signs));  // once for all rows, not from memory for each
        return x;
    }
    // words + the magnitudes of negative weights, in 16-bit lanes of two neighbours; and what these come to in a lane.
    QUOIN_INLINE Ints add_negative(Ints words) const {
        const Ints pairs = _mm256_maddubs_epi16(_mm256_and_si256(magnitudes, signs), _mm256_set1_epi8(1));
        return _mm256_add_epi16(words, pairs);
    }
    static QUOIN_INLINE Ints lanes(Ints words) { return _mm256_madd_epi16(words, _mm256_set1_epi16(1)); }
};

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
    // With negative magnitudes.
    QUOIN_INLINE void begin(Ints lacking) { sum = lacking; }
    template <int kStep, int kSteps>
    QUOIN_INLINE void step(const SplitBytes<Bytes::Signed>& weights, Ints activations) {
        const Ints products = _mm256_maddubs_epi16(weights.magnitudes, xor_ints(activations, weights.signs));
        sum = in_order(add_ints(sum, add_pairs(products)));
    }
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
            return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(activations, weights));
        } else {
            return _mm256_maddubs_epi16(weights, activations);
        }
    }
};
#endif

// ---- Pairs of 16-bit integers (attention) ----
QUOIN_INLINE Ints widen_bytes(const std::byte* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
QUOIN_INLINE Ints pair_dot(Ints acc, Ints a, Ints b) {
    return _mm256_add_epi32(in_order(acc), _mm256_madd_epi16(a, b));
}

// ---- Peaks ----
template <class T>
QUOIN_INLINE void opaque(T& x) {
    asm volatile("" : "+x"(x));
}
QUOIN_INLINE Ints probe_int8_step(Ints acc, Ints a, Ints b) {
#if defined(QUOIN_ISA_AVXVNNI)
    return _mm256_dpbusd_avx_epi32(acc, a, b);
#else
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
#endif
}
constexpr bool kHasBf16Dot = false;

}  // namespace
}  // namespace quoin
