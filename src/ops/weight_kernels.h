// The kernels of one weight dtype, looked up when a node is prepared.
#pragma once

#include "kernels/kernels.h"

namespace quoin {

struct WeightKernels {
    Kernel name;  // of `linear`, for labels
    void (*linear)(const LinearArgs&);
    void (*pack)(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner, std::byte* panel);
    void (*unpack_column)(const std::byte* panel, int64_t column, int64_t inner, float* dst);
    void (*dequantize)(const std::byte* row, int64_t count, float* dst);
};

// Null pointers for dtypes without kernels.
WeightKernels weight_kernels(const KernelTable& table, DType dtype);

}  // namespace quoin
