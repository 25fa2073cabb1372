// What quoin_bench and quoin_bench_kernels.so say to each other.
#pragma once

#include "core/cpu_info.h"
#include "kernels/kernels.h"

namespace quoin {

// Names and parameters of all kernels. Two builds understand each other where it is the same and neither a struct of
// arguments nor a layout of weights or pages nor a size of scratch was changed.
inline constexpr char kKernelList[] =
#define QUOIN_KERNEL(result, name, isas, parameters) #result " " #name #parameters "\n"
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
    ;

}  // namespace quoin

// The kernels of the instruction set of this name; null where there is none, or `list` is not the module's own.
extern "C" __attribute__((visibility("default"))) const quoin::KernelTable* quoin_bench_kernels(const char* isa,
                                                                                                const char* list);
