#include "ops/axis.h"

namespace quoin {

std::optional<AxisView> axis_view(const Shape& shape, int64_t axis) {
    if (shape.rank() == 0) return axis == 0 || axis == -1 ? std::optional(AxisView{}) : std::nullopt;
    const std::optional<size_t> at = find_axis(axis, shape.rank());
    if (!at) return std::nullopt;
    AxisView view;
    for (size_t each = 0; each < *at; ++each) view.outer *= shape[each];
    view.size = shape[*at];
    for (size_t each = *at + 1; each < shape.rank(); ++each) view.inner *= shape[each];
    return view;
}

Status infer_along_axis(InferContext& context, int64_t axis) {
    const ValueType& input = context.input(0);
    if (input.dims) {
        const size_t rank = std::max<size_t>(input.dims->size(), 1);
        if (!find_axis(axis, rank)) return context.fail("axis ", axis, " is none of the ", rank, " there are");
    }
    context.set_output(0, input.dtype, input.dims);
    return {};
}

}  // namespace quoin
