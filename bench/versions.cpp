#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "kernels_module.h"
#include "pairs.h"

namespace quoin {
namespace {

[[noreturn]] void refuse(const char* why) {
    std::fprintf(stderr, "QUOIN_BENCH_BEFORE: %s\n", why);
    std::exit(2);
}

decltype(&quoin_bench_kernels) load_before() {
    const char* const file = std::getenv("QUOIN_BENCH_BEFORE");
    if (file == nullptr || *file == '\0') return nullptr;
    // Absolute, for a bare name would be looked for among the system's libraries. It stays: its kernels are called to
    // the end.
    void* const module = dlopen(std::filesystem::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) refuse(dlerror());
    void* const function = dlsym(module, "quoin_bench_kernels");
    if (function == nullptr) refuse(dlerror());
    return reinterpret_cast<decltype(&quoin_bench_kernels)>(function);
}

}  // namespace

Versions versions_of(Isa isa) {
    static const auto kBefore = load_before();
    if (kBefore == nullptr) return {kernels(isa), nullptr};
    const KernelTable* const before = kBefore(isa_name(isa).data(), kKernelList);
    if (before == nullptr) refuse("it has other kernels or instruction sets than this build");
    return {kernels(isa), before};
}

}  // namespace quoin
