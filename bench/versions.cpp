#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "kernels_module.h"
#include "pairs.h"

namespace quoin {
namespace {

[[noreturn]] void refuse(const char* file, const char* why) {
    std::fprintf(stderr, "QUOIN_BENCH_BEFORE=%s: %s\n", file, why);
    std::exit(2);
}

decltype(&quoin_bench_kernels) load_before() {
    const char* const file = std::getenv("QUOIN_BENCH_BEFORE");
    if (file == nullptr) return nullptr;
    void* const module = dlopen(file, RTLD_NOW | RTLD_LOCAL);  // stays: its kernels are called to the end
    if (module == nullptr) refuse(file, dlerror());
    void* const function = dlsym(module, "quoin_bench_kernels");
    if (function == nullptr) refuse(file, dlerror());
    return reinterpret_cast<decltype(&quoin_bench_kernels)>(function);
}

}  // namespace

Versions versions_of(Isa isa) {
    static const auto kBefore = load_before();
    if (kBefore == nullptr) return {kernels(isa), nullptr};
    const KernelTable* const before = kBefore(static_cast<int>(isa), kKernelList);
    if (before == nullptr) refuse(std::getenv("QUOIN_BENCH_BEFORE"), "its list of kernels is another one");
    return {kernels(isa), before};
}

}  // namespace quoin
