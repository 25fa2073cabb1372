// What quoin_bench and quoin_bench_kernels.so say to each other.
#pragma once

#include <string_view>

#include "core/cpu_info.h"
#include "kernels/kernels.h"

namespace quoin {

// Names and parameters of all kernels. Two builds understand each other where it is the same and no struct of arguments
// was changed.
inline constexpr char kKernelList[] =
#define QUOIN_KERNEL(result, name, isas, parameters) #result " " #name #parameters "\n"
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
    ;

}  // namespace quoin

// The kernels of `isa`; null where `list` is not the module's own.
extern "C" __attribute__((visibility("default"))) const quoin::KernelTable* quoin_bench_kernels(int isa,
                                                                                                const char* list);
