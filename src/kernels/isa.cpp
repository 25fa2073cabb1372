// All kernels for one instruction set. CMake compiles this file once per instruction set with QUOIN_ISA_<NAME>
// defined and that set's compiler flags. The object must export its table and nothing else: a function of a header
// that stays out of line would be a weak symbol, and the linker may then give the AVX-512 copy to everyone. So no
// standard header with code is included, everything is in an anonymous namespace, and a test looks with nm.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own AVX-512 headers: its bug 105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "kernels/isa_set.h"
#include "kernels/kernels.h"
#include "kernels/simd.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/tile.inl"
#include "kernels/linear.inl"
#include "kernels/linear_float.inl"
#include "kernels/norm.inl"
#include "kernels/elementwise.inl"
#include "kernels/rotary.inl"
#include "kernels/kv_store.inl"
#include "kernels/attention.inl"
#include "kernels/attention_float.inl"
#include "kernels/attention_integer.inl"
#include "kernels/convert.inl"
#include "kernels/pack.inl"
#include "kernels/block_decode.inl"
#include "kernels/grids.inl"
#include "kernels/block_decode_grid.inl"
#include "kernels/block_pack.inl"
#include "kernels/linear_integer.inl"
#include "kernels/quantize.inl"
#include "kernels/probe.inl"
// clang-format on

namespace quoin {

#define QUOIN_KERNEL(result, name, isas, parameters) (((isas)&isa_bit(kThisIsa)) != 0 ? &name : nullptr),
extern const KernelTable QUOIN_TABLE;
const KernelTable QUOIN_TABLE = {
#include "kernels/kernel_list.inc"
};
#undef QUOIN_KERNEL

}  // namespace quoin
