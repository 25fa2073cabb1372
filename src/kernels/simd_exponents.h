// More of the vocabulary of simd.h: exponents taken apart and put together in one instruction, and the beginning of a
// reciprocal. AVX-512 has them, and kHasExponents says so; elsewhere they are not declared, so who uses them does so
// with operands of a template's own type, behind `if constexpr (kHasExponents)`.
#pragma once

#include "kernels/simd.h"

#if defined(QUOIN_ISA_AVX512)

namespace quoin {
namespace {

constexpr bool kHasExponents = true;

// To whole numbers, halves to even.
QUOIN_INLINE Floats round_floats(Floats x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// x * 2^n for whole n, beyond the range of one exponent, too.
QUOIN_INLINE Floats scale_by_powers(Floats x, Floats n) {
    return _mm512_scalef_ps(x, n);
}
// 1 / x within 2^-14.
QUOIN_INLINE Floats near_reciprocal(Floats x) {
    return _mm512_rcp14_ps(x);
}

}  // namespace
}  // namespace quoin

#else

namespace quoin {
namespace {

constexpr bool kHasExponents = false;

}  // namespace
}  // namespace quoin

#endif
