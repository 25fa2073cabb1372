// Preparation of constant weights for Linear, shared with the pass that packs them.
#pragma once

#include <functional>

#include "core/runtime.h"
#include "core/status.h"
#include "graph/constant.h"

namespace quoin {

// The weight [N, K] in panels (kernels/layout.h), made on all threads of the runtime's team. The source's pages are
// given back as soon as they are packed, so the peak is the packed size plus this one tensor.
// Unsupported when the dtype has no packed layout; OutOfMemory.
Result<Constant> pack_weight(const Runtime& runtime, const Constant& weight, std::string_view name);

// What Linear's left operand must be for this weight dtype: F32, or Q8Row; Undefined when Linear cannot read the dtype.
DType linear_activation(DType weight, Provider provider);

}  // namespace quoin
