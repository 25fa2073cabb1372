// More of the vocabulary of simd.h: bytes under a mask, and the bytes of a lane brought together from four vectors.
// AVX-512 has them, and kHasByteMasks says so; elsewhere they are not declared, so who uses them does so with operands
// of a template's own type, behind `if constexpr (kHasByteMasks)`.
#pragma once

#include "kernels/simd.h"

#if defined(QUOIN_ISA_AVX512)

namespace quoin {
namespace {

constexpr bool kHasByteMasks = true;

QUOIN_INLINE __mmask64 first_bytes_mask(int64_t n) {
    return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << static_cast<unsigned>(n)) - 1U;
}
// The first n (0..64) bytes, the rest zero; memory behind them is not touched.
QUOIN_INLINE void load_first_bytes(Ints& x, const std::byte* p, int64_t n) {
    x = _mm512_maskz_loadu_epi8(first_bytes_mask(n), p);
}
QUOIN_INLINE void store_first_bytes(std::byte* p, Ints x, int64_t n) {
    _mm512_mask_storeu_epi8(p, first_bytes_mask(n), x);
}
// 32 bytes of p and of q; the first n (0..32).
QUOIN_INLINE void load_two_bytes(Ints& x, const std::byte* p, const std::byte* q) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
    x = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}
QUOIN_INLINE void load_two_first_bytes(Ints& x, const std::byte* p, const std::byte* q, int64_t n) {
    const auto mask = static_cast<__mmask32>(first_bytes_mask(n));
    x = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi8(mask, p)), _mm256_maskz_loadu_epi8(mask, q),
                           1);
}
QUOIN_INLINE void store_two_first_bytes(std::byte* p, std::byte* q, Ints x, int64_t n) {
    const auto mask = static_cast<__mmask32>(first_bytes_mask(n));
    _mm256_mask_storeu_epi8(p, mask, _mm512_castsi512_si256(x));
    _mm256_mask_storeu_epi8(q, mask, _mm512_extracti64x4_epi64(x, 1));
}
// The first kLanes bytes as lanes.
QUOIN_INLINE Ints low_bytes(Ints x, bool is_signed) {
    const __m128i bytes = _mm512_castsi512_si128(x);
    return is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
}
// Saturated to -128..127.
QUOIN_INLINE void store_first_lanes_as_bytes(std::byte* p, Ints x, int64_t n, unsigned flip) {
    const __m128i bytes = _mm_xor_si128(_mm512_cvtepi32_epi8(x), _mm_set1_epi8(static_cast<char>(flip)));
    if (n == kLanes) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    } else {
        _mm_mask_storeu_epi8(p, first_mask(n), bytes);
    }
}
QUOIN_INLINE Ints max_unsigned_bytes(Ints a, Ints b) {
    return _mm512_max_epu8(a, b);
}
// Bytes a0 b0 a1 b1 ... of every 16, of their lower and of their upper half; of 16-bit numbers likewise.
QUOIN_INLINE Ints zip_low_bytes(Ints a, Ints b) {
    return _mm512_unpacklo_epi8(a, b);
}
QUOIN_INLINE Ints zip_high_bytes(Ints a, Ints b) {
    return _mm512_unpackhi_epi8(a, b);
}
QUOIN_INLINE Ints zip_low_words(Ints a, Ints b) {
    return _mm512_unpacklo_epi16(a, b);
}
QUOIN_INLINE Ints zip_high_words(Ints a, Ints b) {
    return _mm512_unpackhi_epi16(a, b);
}
// Lanes that the four pairs of zips made, as bytes in the order in which they were before; saturated to -128..127.
QUOIN_INLINE Ints unzip_to_bytes(Ints a, Ints b, Ints c, Ints d) {
    return _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}

}  // namespace
}  // namespace quoin

#else

namespace quoin {
namespace {

constexpr bool kHasByteMasks = false;

}  // namespace
}  // namespace quoin

#endif
