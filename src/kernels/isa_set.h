// Names for sets of instruction sets, as kernel_list.inc uses them.
#pragma once

#include "core/cpu_info.h"

namespace quoin {

constexpr unsigned isa_bit(Isa isa) {
    return 1U << static_cast<unsigned>(isa);
}
inline constexpr unsigned kOnce = isa_bit(Isa::Baseline);
inline constexpr unsigned kFloatIsas = isa_bit(Isa::Baseline) | isa_bit(Isa::Avx2) | isa_bit(Isa::Avx512);
inline constexpr unsigned kBf16Isas = kFloatIsas | isa_bit(Isa::Avx512Bf16);  // products of bf16
inline constexpr unsigned kIntegerIsas =
    kFloatIsas | isa_bit(Isa::AvxVnni) | isa_bit(Isa::Avx512Vnni) | isa_bit(Isa::DotProd);
inline constexpr unsigned kProductIsas = kIntegerIsas | isa_bit(Isa::I8mm);

}  // namespace quoin
