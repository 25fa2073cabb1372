// Element types that share a byte with others (4 and 2 bits), moved by way of whole bytes: rare and not fast.
#pragma once

#include <vector>

#include "ops/movement.h"
#include "ops/op_kernel.h"

namespace quoin {

// Whether several elements of the type lie in one byte.
constexpr bool shares_bytes(DType dtype) {
    return dtype == DType::I4 || dtype == DType::U4 || dtype == DType::F4E2M1 || dtype == DType::I2 ||
           dtype == DType::U2;
}

// One byte for each element, its bits at the bottom; the first element lies in the lowest bits of a packed byte.
std::vector<uint8_t> unpack_elements(const Tensor& tensor);
void pack_elements(const std::vector<uint8_t>& elements, const Tensor& tensor);

// Moves all of `box`, which was finished for DType::U8, between tensors of any such type. Unsupported for others.
Status move_packed(ComputeContext& context, const Tensor& input, const Tensor& output, const BoxCopy& box);

}  // namespace quoin
