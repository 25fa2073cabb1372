// Beginning of every groups/*.cpp. CMake compiles these once per instruction set with QUOIN_GROUP=<group>,
// QUOIN_ISA=<name>, QUOIN_ISA_<NAME> of it and of those it builds on, and that set's compiler flags. An object must
// export its table and nothing else: a function of a header that stays out of line would be a weak symbol, and the
// linker may then give the AVX-512 copy to everyone. So no standard header with code is included, everything is in an
// anonymous namespace, and a test looks with nm.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own AVX-512 headers: its bug 105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "kernels/isa_set.h"
#include "kernels/kernels.h"
#include "kernels/simd.h"
#include "kernels/simd_exponents.h"
