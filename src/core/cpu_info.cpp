#include "core/cpu_info.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace quoin {
namespace {

constexpr std::array<std::string_view, kIsaCount> kNames = {"baseline", "avx2", "avx512", "avx512vnni"};

#if defined(__x86_64__)
// Not every compiler knows this name in __builtin_cpu_supports.
bool has_f16c() {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

std::string read_cpu_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name")) {
            const size_t colon = line.find(": ");
            if (colon != std::string::npos) return line.substr(colon + 2);
        }
    }
    return "unknown";
}

}  // namespace

std::string_view isa_name(Isa isa) {
    return kNames[static_cast<size_t>(isa)];
}

std::optional<Isa> isa_from_name(std::string_view name) {
    const auto* const found = std::ranges::find(kNames, name);
    if (found == kNames.end()) return std::nullopt;
    return static_cast<Isa>(found - kNames.begin());
}

Isa detected_isa() {
#if defined(__x86_64__)
    static const Isa isa = [] {
        __builtin_cpu_init();
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
        const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
                          __builtin_cpu_supports("avx512bf16");
        if (vnni) return Isa::Avx512Vnni;
        if (avx512) return Isa::Avx512;
        return avx2 ? Isa::Avx2 : Isa::Baseline;
    }();
    return isa;
#else
    return Isa::Baseline;
#endif
}

Isa effective_isa(std::optional<Isa> cap) {
    Isa isa = detected_isa();
    if (const char* const name = std::getenv("QUOIN_ISA")) isa = std::min(isa, isa_from_name(name).value_or(isa));
    return cap ? std::min(isa, *cap) : isa;
}

int available_processors() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::string_view cpu_name() {
    static const std::string name = read_cpu_name();
    return name;
}

}  // namespace quoin
