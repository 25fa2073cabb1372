// The kernels of one weight dtype, looked up when a node is prepared.
#pragma once

#include "kernels/kernels.h"

namespace quoin {

struct WeightKernels {
    Kernel name{};  // of `linear`, for labels
    void (*linear)(const LinearArgs&) = nullptr;
    void (*pack)(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner,
                 std::byte* panel) = nullptr;
    void (*unpack_column)(const std::byte* panel, int64_t column, int64_t inner, float* dst) = nullptr;
    void (*dequantize)(const std::byte* row, int64_t count, float* dst) = nullptr;
};

// Null pointers for dtypes without kernels; codes (ops/code_weights.h) have the product alone.
WeightKernels weight_kernels(const KernelTable& table, DType dtype);

}  // namespace quoin
