// Shape rules that several ops share.
#pragma once

#include "ops/op_kernel.h"

namespace quoin {

// Output 0 has input 0's dtype and shape.
Status infer_same_as_first(InferContext& context);

// The one element type of inputs first .. first + count: Undefined where none is known yet. Fails when they differ.
Result<DType> common_dtype(const InferContext& context, size_t first, size_t count);

// False only when both are known and differ.
constexpr bool may_equal(const Dim& a, const Dim& b) {
    return !a.known() || !b.known() || a.size == b.size;
}

}  // namespace quoin
