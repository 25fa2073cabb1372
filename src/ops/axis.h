// Ops along one axis see a tensor as [outer, size, inner].
#pragma once

#include <optional>

#include "ops/axes.h"
#include "ops/op_kernel.h"

namespace quoin {

struct AxisView {
    int64_t outer = 1;
    int64_t size = 1;
    int64_t inner = 1;
};

// `axis` from -rank to rank - 1; a scalar has one axis of size 1, of which 0 and -1 are names. nullopt: out of range.
std::optional<AxisView> axis_view(const Shape& shape, int64_t axis);

// Output 0 is like input 0; fails when the attribute 'axis' is out of range.
Status infer_along_axis(InferContext& context, int64_t axis);

}  // namespace quoin
