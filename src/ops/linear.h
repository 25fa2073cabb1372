// Preparation of constant weights for Linear, shared with the pass that packs them.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "core/runtime.h"
#include "core/status.h"
#include "graph/constant.h"

namespace quoin {

// Bytes of the weight [N, K] in panels (kernels/layout.h). Unsupported when its dtype has no packed layout.
Result<size_t> packed_bytes(const Constant& weight, std::string_view name);

// The weight in panels at `place`, which has packed_bytes(); made on all threads of the runtime's team. The source's
// pages are given back as soon as they are packed, so the peak is the packed size plus what the threads hold just then.
Result<Constant> pack_weight(const Runtime& runtime, const Constant& weight, std::shared_ptr<std::byte> place);

// What Linear's left operand must be for this weight dtype: F32, or Q8Row; Undefined when Linear cannot read the dtype.
DType linear_activation(DType weight, Provider provider);

}  // namespace quoin
