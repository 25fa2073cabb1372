// Names for sets of instruction sets, as kernel_list.inc uses them.
#pragma once

#include "core/cpu_info.h"
#include "kernels/block_format.h"

namespace quoin {

constexpr unsigned isa_bit(Isa isa) {
    return 1U << static_cast<unsigned>(isa);
}
// Baseline code is as good as any.
inline constexpr unsigned kOnce = isa_bit(Isa::Baseline);
// What gains from wider vectors alone.
inline constexpr unsigned kFloatIsas = isa_bit(Isa::Baseline) | isa_bit(Isa::Avx2) | isa_bit(Isa::Avx512);
// From dot products of bf16, too.
inline constexpr unsigned kBf16Isas = kFloatIsas | isa_bit(Isa::Avx512Bf16);
// From dot products of bytes.
inline constexpr unsigned kIntegerIsas =
    kFloatIsas | isa_bit(Isa::AvxVnni) | isa_bit(Isa::Avx512Vnni) | isa_bit(Isa::DotProd);
// And, where many rows are multiplied, from products of matrices of bytes.
inline constexpr unsigned kProductIsas = kIntegerIsas | isa_bit(Isa::AmxInt8) | isa_bit(Isa::I8mm);
// Linear over a block format: AMX gains nothing from scales for every 16 values.
constexpr unsigned linear_isas(DType weight) {
    return scale_values(find_block_format(weight)->scales) == 32 ? kProductIsas : kProductIsas & ~isa_bit(Isa::AmxInt8);
}

}  // namespace quoin
