// Instruction sets: what this machine has, and which of our kernel tables that allows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quoin {

// The later of two that a machine has is the better one. Not every machine has all before its best: AVX-VNNI is on
// desktops without AVX-512, and AVX-512 VNNI on servers without AVX-VNNI. What one builds on says isa_below().
enum class Isa : uint8_t {
    Baseline,    // what every CPU of the architecture has (x86-64: SSE2, 64-bit Arm: NEON)
    Avx2,        // AVX2, FMA, F16C
    AvxVnni,     // and the dot products of AVX-512 VNNI, 256 bits wide (VEX-encoded)
    Avx512,      // Avx2 and AVX-512 F, BW, VL, DQ
    Avx512Vnni,  // and VNNI
    Avx512Bf16,  // and BF16
    AmxInt8,     // Avx512Vnni and products of matrices of bytes in tile registers (AMX-TILE, AMX-INT8)
    DotProd,     // 64-bit Arm: SDOT (FEAT_DotProd)
    I8mm,        // and SMMLA (FEAT_I8MM)
};
inline constexpr int kIsaCount = 9;

// What every machine with `isa` has too, and whose kernels stand in where `isa` has none of its own.
constexpr Isa isa_below(Isa isa) {
    switch (isa) {
        case Isa::AvxVnni:
        case Isa::Avx512: return Isa::Avx2;
        case Isa::Avx512Vnni: return Isa::Avx512;
        case Isa::Avx512Bf16: return Isa::Avx512Vnni;
        case Isa::AmxInt8: return Isa::Avx512Vnni;
        case Isa::I8mm: return Isa::DotProd;
        default: return Isa::Baseline;
    }
}
// Whether `part` is `isa` or among those it builds on.
constexpr bool isa_includes(Isa isa, Isa part) {
    while (isa != part && isa != Isa::Baseline) isa = isa_below(isa);
    return isa == part;
}
// Whether the processor multiplies bf16 numbers. Those with AMX do, but an Emerald Rapids at half the speed of floats,
// so AmxInt8 does not build on Avx512Bf16.
constexpr bool has_bf16_products(Isa isa) {
    return isa == Isa::Avx512Bf16 || isa == Isa::AmxInt8;
}

// "baseline", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amxint8", "dotprod", "i8mm"
std::string_view isa_name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);
// All, and those of the architecture that this is compiled for.
std::span<const std::string_view> isa_names();
std::span<const std::string_view> own_isa_names();

// Whether this CPU and its operating system can run the table of `isa`. To ask for AmxInt8 asks Linux for the tile
// registers, for the whole process and for good: from then on signal stacks smaller than AT_MINSIGSTKSZ are refused.
bool machine_has(Isa isa);
// The best of them. Asks for nothing: AmxInt8 is among them unless Linux has refused it.
Isa detected_isa();

// The best that is not above the environment variable QUOIN_ISA nor above `cap`, with what machine_has() asks for;
// names of other architectures set no limit, and unknown ones neither: quoin_runtime_create() refuses them.
Isa effective_isa(std::optional<Isa> cap);

// Processors this process may run on (its affinity mask), at least 1.
int available_processors();
// What differs between processors of one instruction set, as far as it decides which of two ways is faster.
struct ProcessorTraits {
    // The hardware reads ahead of several streams of weights better than with requests for lines ahead: AMD. Four
    // streams of f16 bring one core of a Zen 3 27 GB/s, one stream with requests 20, likely because a request holds one
    // of the first-level cache's few places for lines on their way and the hardware's are in the second level. One core
    // of an Emerald Rapids reads one stream of q4_0 with requests at 0.95 of its bandwidth, without at 0.79.
    bool follows_streams;
    // Vectors of 64 bytes have more pipes than dot products of bytes take: AMD. Intel has two, for everything, so codes
    // that many rows meet are better taken apart once (Emerald Rapids: iq4_nl 1.15 times as fast, q4_0 1.10).
    bool spare_pipes;
};
const ProcessorTraits& processor_traits();
// Marketing name of the CPU, or "unknown".
std::string_view cpu_name();

}  // namespace quoin
