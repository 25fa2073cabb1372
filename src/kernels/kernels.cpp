#include "kernels/kernels.h"

#include "kernels/isa_set.h"

namespace quoin {

// Each defined by isa.cpp, compiled for that instruction set; null where it has no version of its own.
extern const KernelTable kernel_table_baseline;
#if defined(__x86_64__) || defined(_M_X64)
extern const KernelTable kernel_table_avx2;
extern const KernelTable kernel_table_avxvnni;
extern const KernelTable kernel_table_avx512;
extern const KernelTable kernel_table_avx512vnni;
#elif defined(__aarch64__)
extern const KernelTable kernel_table_dotprod;
#endif

namespace {

const KernelTable* own_table(Isa isa) {
    switch (isa) {
        case Isa::Baseline: return &kernel_table_baseline;
#if defined(__x86_64__) || defined(_M_X64)
        case Isa::Avx2: return &kernel_table_avx2;
        case Isa::AvxVnni: return &kernel_table_avxvnni;
        case Isa::Avx512: return &kernel_table_avx512;
        case Isa::Avx512Vnni: return &kernel_table_avx512vnni;
#elif defined(__aarch64__)
        case Isa::DotProd: return &kernel_table_dotprod;
#endif
        default: return nullptr;
    }
}

struct Tables {
    KernelTable table[kIsaCount];
    Isa origin[kIsaCount][kKernelCount];
};

Tables build_tables() {
    Tables tables = {};
    for (int i = 0; i < kIsaCount; ++i) {
        const Isa isa = static_cast<Isa>(i);
        const KernelTable* const own = own_table(isa);
        if (i > 0) {
            const int below = static_cast<int>(isa_below(isa));
            tables.table[i] = tables.table[below];
            for (int k = 0; k < kKernelCount; ++k) tables.origin[i][k] = tables.origin[below][k];
        }
        if (own == nullptr) continue;
#define QUOIN_KERNEL(result, name, isas, parameters)            \
    if (own->name != nullptr) {                                 \
        tables.table[i].name = own->name;                       \
        tables.origin[i][static_cast<int>(Kernel::name)] = isa; \
    }
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
    }
    return tables;
}

const Tables& tables() {
    static const Tables kTables = build_tables();
    return kTables;
}

constexpr std::string_view kKernelNames[] = {
#define QUOIN_KERNEL(result, name, isas, parameters) #name,
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
};

}  // namespace

const KernelTable& kernels(Isa isa) {
    return tables().table[static_cast<int>(isa)];
}

bool has_table(Isa isa) {
    return own_table(isa) != nullptr;
}

std::string_view kernel_name(Kernel kernel) {
    return kKernelNames[static_cast<int>(kernel)];
}

Isa kernel_isa(Kernel kernel, Isa isa) {
    return tables().origin[static_cast<int>(isa)][static_cast<int>(kernel)];
}

}  // namespace quoin
