// All kernels in a module of their own, so that a later build can measure itself beside them: see Versions in pairs.h.
#include "kernels_module.h"

#include <optional>
#include <string_view>

const quoin::KernelTable* quoin_bench_kernels(const char* isa, const char* list) {
    const std::optional<quoin::Isa> found = quoin::isa_from_name(isa);
    return found && std::string_view(list) == quoin::kKernelList ? &quoin::kernels(*found) : nullptr;
}
