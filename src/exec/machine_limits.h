// What this machine can do at most, measured now: the yardstick for every speed Quoin states.
#pragma once

#include "core/cpu_info.h"

namespace quoin {

struct MachineLimits {
    double dram_gb_per_s;  // reading memory far larger than the caches, 1e9 bytes
    double int8_tops;      // u8 x s8 multiply-adds, two operations each, 1e12
    double f32_tflops;
    double bf16_tflops;  // of the bf16 dot product where there is one, else of f32
};

// Best of several runs on `threads` threads (at least 1), with the instructions of `isa` (default: effective_isa).
// Takes about a second and, for the length of the call, 512 MiB. Zeros when threads or memory cannot be had.
MachineLimits measure_limits(int threads, Isa isa);
MachineLimits measure_limits(int threads);

// Its parts.
double measure_dram_gb_per_s(int threads, Isa isa);
double measure_int8_tops(int threads, Isa isa);
double measure_f32_tflops(int threads, Isa isa);
double measure_bf16_tflops(int threads, Isa isa);

}  // namespace quoin
