// All kernels in a module of their own, so that a later build can measure itself beside them: see Versions in pairs.h.
#include "kernels_module.h"

const quoin::KernelTable* quoin_bench_kernels(int isa, const char* list) {
    return std::string_view(list) == quoin::kKernelList ? &quoin::kernels(static_cast<quoin::Isa>(isa)) : nullptr;
}
