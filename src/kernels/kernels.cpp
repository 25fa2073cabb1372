#include "kernels/kernels.h"

#include <algorithm>

namespace quoin {

// Each defined by groups/<group>.cpp, compiled for that instruction set. A kernel is null where the instruction set has
// no version of its own, or where it belongs to another group.
#define QUOIN_KERNEL_GROUP(group) extern const KernelTable kernel_table_baseline_##group;
#include "kernels/kernel_groups.inc"
#undef QUOIN_KERNEL_GROUP
#if defined(__x86_64__) || defined(_M_X64)
#define QUOIN_KERNEL_GROUP(group)                             \
    extern const KernelTable kernel_table_avx2_##group;       \
    extern const KernelTable kernel_table_avxvnni_##group;    \
    extern const KernelTable kernel_table_avx512_##group;     \
    extern const KernelTable kernel_table_avx512vnni_##group; \
    extern const KernelTable kernel_table_avx512bf16_##group; \
    extern const KernelTable kernel_table_amxint8_##group;
#include "kernels/kernel_groups.inc"
#undef QUOIN_KERNEL_GROUP
#elif defined(__aarch64__)
#define QUOIN_KERNEL_GROUP(group)                          \
    extern const KernelTable kernel_table_dotprod_##group; \
    extern const KernelTable kernel_table_i8mm_##group;
#include "kernels/kernel_groups.inc"
#undef QUOIN_KERNEL_GROUP
#endif

namespace {

struct GroupTable {
    Isa isa;
    const KernelTable* table;
};

constexpr GroupTable kGroupTables[] = {
#define QUOIN_KERNEL_GROUP(group) {Isa::Baseline, &kernel_table_baseline_##group},
#include "kernels/kernel_groups.inc"
#undef QUOIN_KERNEL_GROUP
#if defined(__x86_64__) || defined(_M_X64)
#define QUOIN_KERNEL_GROUP(group)                                                                         \
    {Isa::Avx2, &kernel_table_avx2_##group}, {Isa::AvxVnni, &kernel_table_avxvnni_##group},               \
        {Isa::Avx512, &kernel_table_avx512_##group}, {Isa::Avx512Vnni, &kernel_table_avx512vnni_##group}, \
        {Isa::Avx512Bf16, &kernel_table_avx512bf16_##group}, {Isa::AmxInt8, &kernel_table_amxint8_##group},
#include "kernels/kernel_groups.inc"
#undef QUOIN_KERNEL_GROUP
#elif defined(__aarch64__)
#define QUOIN_KERNEL_GROUP(group) \
    {Isa::DotProd, &kernel_table_dotprod_##group}, {Isa::I8mm, &kernel_table_i8mm_##group},
#include "kernels/kernel_groups.inc"
#undef QUOIN_KERNEL_GROUP
#endif
};

struct Tables {
    KernelTable table[kIsaCount];
    Isa origin[kIsaCount][kKernelCount];
};

Tables build_tables() {
    Tables tables = {};
    for (int i = 0; i < kIsaCount; ++i) {
        const Isa isa = static_cast<Isa>(i);
        if (i > 0) {
            const int below = static_cast<int>(isa_below(isa));
            tables.table[i] = tables.table[below];
            for (int k = 0; k < kKernelCount; ++k) tables.origin[i][k] = tables.origin[below][k];
        }
        for (const auto& [group_isa, own] : kGroupTables) {
            if (group_isa != isa) continue;
#define QUOIN_KERNEL(result, name, isas, parameters)            \
    if (own->name != nullptr) {                                 \
        tables.table[i].name = own->name;                       \
        tables.origin[i][static_cast<int>(Kernel::name)] = isa; \
    }
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
        }
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
    return std::ranges::any_of(kGroupTables, [&](const GroupTable& table) { return table.isa == isa; });
}

std::string_view kernel_name(Kernel kernel) {
    return kKernelNames[static_cast<int>(kernel)];
}

Isa kernel_isa(Kernel kernel, Isa isa) {
    return tables().origin[static_cast<int>(isa)][static_cast<int>(kernel)];
}

}  // namespace quoin
