// What this machine can do at most, measured now: the yardstick for every speed Quoin states.
#pragma once

#include <memory>

#include "core/memory.h"
#include "core/runtime.h"
#include "core/status.h"

namespace quoin {

struct MachineLimits {
    double dram_gb_per_s;  // reading memory far larger than the caches, 1e9 bytes
    double int8_tops;      // u8 x s8 multiply-adds, two operations each, 1e12
    double f32_tflops;
    double bf16_tflops;  // of the bf16 dot product where there is one, else of f32
};

// Best of several runs on the team of the runtime, with its instruction set. Takes about a second and, for the length
// of the call, `bytes` of `memory`, which is not the runtime's: its budget is for models. OutOfMemory without them.
Result<MachineLimits> measure_limits(const Runtime& runtime,
                                     const std::shared_ptr<Memory>& memory = std::make_shared<Memory>(),
                                     int64_t bytes = int64_t{512} << 20);

}  // namespace quoin
