// Instruction sets: what this machine has, and which of our kernel tables that allows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quoin {

// In rising order: a machine with one of them has all before it.
enum class Isa : uint8_t {
    Baseline,    // what every CPU of the architecture has (x86-64: SSE2)
    Avx2,        // AVX2, FMA, F16C
    Avx512,      // AVX-512 F, BW, VL, DQ
    Avx512Vnni,  // and VNNI, VBMI, BF16
};
inline constexpr int kIsaCount = 4;

std::string_view isa_name(Isa isa);  // "baseline", "avx2", "avx512", "avx512vnni"
std::optional<Isa> isa_from_name(std::string_view name);

// The best table this CPU and its operating system can run.
Isa detected_isa();

// detected_isa(), capped by the environment variable QUOIN_ISA and then by `cap`; a cap above the machine changes
// nothing.
Isa effective_isa(std::optional<Isa> cap);

// Processors this process may run on (its affinity mask), at least 1.
int available_processors();
// Marketing name of the CPU, or "unknown".
std::string_view cpu_name();

}  // namespace quoin
