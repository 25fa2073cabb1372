#include "core/cpu_info.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace quoin {
namespace {

constexpr std::array<std::string_view, kIsaCount> kNames = {"baseline",   "avx2",    "avxvnni", "avx512", "avx512vnni",
                                                            "avx512bf16", "amxint8", "dotprod", "i8mm"};

constexpr bool is_for_this_architecture(Isa isa) {
    if (isa == Isa::Baseline) return true;
#if defined(__x86_64__)
    return isa != Isa::DotProd && isa != Isa::I8mm;
#elif defined(__aarch64__)
    return isa == Isa::DotProd || isa == Isa::I8mm;
#else
    return false;
#endif
}

// One bit for each that the machine has.
unsigned detect() {
    unsigned found = 1U << static_cast<unsigned>(Isa::Baseline);
    [[maybe_unused]] const auto add = [&found](Isa isa, bool has) {
        const bool all = has && (found >> static_cast<unsigned>(isa_below(isa)) & 1U) != 0;
        found |= static_cast<unsigned>(all) << static_cast<unsigned>(isa);
    };
#if defined(__x86_64__)
    // __builtin_cpu_supports asks the operating system too, but not every compiler knows F16C and AVX-VNNI there.
    __builtin_cpu_init();
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    const bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
    const bool avx_vnni = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && eax >= 1 &&
                          __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1U << 4U) != 0;
    add(Isa::Avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c);
    add(Isa::AvxVnni, avx_vnni);
    add(Isa::Avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"));
    add(Isa::Avx512Vnni, __builtin_cpu_supports("avx512vnni"));
    add(Isa::Avx512Bf16, __builtin_cpu_supports("avx512bf16"));
#elif defined(__aarch64__) && defined(__linux__)
    // HWCAP_ASIMDDP and HWCAP2_I8MM, which old headers lack
    constexpr unsigned long kHasDotProd = 1UL << 20U;
    constexpr unsigned long kHasI8mm = 1UL << 13U;
    add(Isa::DotProd, (getauxval(AT_HWCAP) & kHasDotProd) != 0);
    add(Isa::I8mm, (getauxval(AT_HWCAP2) & kHasI8mm) != 0);
#endif
    return found;
}

// Linux keeps room for the tile registers of a thread (8 KiB) from its first use on, so a process has to ask for them.
#if defined(__x86_64__) && defined(__linux__)
constexpr long kGetSupported = 0x1021;  // ARCH_GET_XCOMP_SUPP and ARCH_REQ_XCOMP_PERM, which old headers lack
constexpr long kRequestPermission = 0x1023;
constexpr long kTileData = 18;

bool machine_offers_tiles() {
    static const bool kOffers = [] {
        unsigned eax = 0;
        unsigned ebx = 0;
        unsigned ecx = 0;
        unsigned edx = 0;
        constexpr unsigned kTileAndInt8 = 3U << 24U;
        if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kTileAndInt8) != kTileAndInt8) return false;
        uint64_t supported = 0;
        return syscall(SYS_arch_prctl, kGetSupported, &supported) == 0 && (supported >> kTileData & 1U) != 0;
    }();
    return kOffers;
}
std::atomic<bool> tiles_refused{false};

bool request_tiles() {
    if (!machine_offers_tiles()) return false;
    static const bool kGranted = [] {
        const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
        tiles_refused = !granted;
        return granted;
    }();
    return kGranted;
}
#else
constexpr bool tiles_refused = false;
bool machine_offers_tiles() {
    return false;
}
bool request_tiles() {
    return false;
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

Isa best_up_to(Isa isa) {
    while (!machine_has(isa)) isa = static_cast<Isa>(static_cast<int>(isa) - 1);
    return isa;
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

std::span<const std::string_view> isa_names() {
    return kNames;
}

std::span<const std::string_view> own_isa_names() {
    static const std::vector<std::string_view> kOwn = [] {
        std::vector<std::string_view> names;
        for (size_t isa = 0; isa < kNames.size(); ++isa) {
            if (is_for_this_architecture(static_cast<Isa>(isa))) names.push_back(kNames[isa]);
        }
        return names;
    }();
    return kOwn;
}

bool machine_has(Isa isa) {
    static const unsigned found = detect();
    if (isa == Isa::AmxInt8) return machine_has(Isa::Avx512Bf16) && request_tiles();
    return (found >> static_cast<unsigned>(isa) & 1U) != 0;
}

Isa detected_isa() {
    if (machine_has(Isa::Avx512Bf16)) {
        return machine_offers_tiles() && !tiles_refused ? Isa::AmxInt8 : Isa::Avx512Bf16;
    }
    return best_up_to(static_cast<Isa>(kIsaCount - 1));
}

Isa effective_isa(std::optional<Isa> cap) {
    Isa most = static_cast<Isa>(kIsaCount - 1);
    const auto limit = [&most](std::optional<Isa> isa) {
        if (isa && is_for_this_architecture(*isa)) most = std::min(most, *isa);
    };
    if (const char* const name = std::getenv("QUOIN_ISA")) limit(isa_from_name(name));
    limit(cap);
    return best_up_to(most);
}

const ProcessorTraits& processor_traits() {
    static const ProcessorTraits kTraits = [] {
#if defined(__x86_64__)
        unsigned eax = 0;
        unsigned ebx = 0;
        unsigned ecx = 0;
        unsigned edx = 0;
        const bool amd = __get_cpuid(0, &eax, &ebx, &ecx, &edx) != 0 && ebx == signature_AMD_ebx &&
                         ecx == signature_AMD_ecx && edx == signature_AMD_edx;
#else
        constexpr bool amd = false;
#endif
        return ProcessorTraits{.follows_streams = amd, .spare_pipes = amd};
    }();
    return kTraits;
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
