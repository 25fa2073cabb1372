// Slice (ONNX).
#include <algorithm>
#include <array>
#include <limits>

#include "ops/axes.h"
#include "ops/movement.h"
#include "ops/packed_elements.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();

// What is taken of one axis.
struct Range {
    int64_t start = 0;
    int64_t step = 1;
    int64_t count = 0;
};

// The rule of the specification: negative bounds count from the end, then both are clamped to where `step` can go.
// Every combination of 64-bit numbers is safe.
Range slice_range(int64_t dim, int64_t start, int64_t end, int64_t step) {
    const auto from_front = [&](int64_t bound) { return bound < 0 ? (bound < -dim ? -1 : bound + dim) : bound; };
    Range range{0, step, 0};
    if (step > 0) {
        const int64_t first = std::clamp<int64_t>(from_front(start), 0, dim);
        const int64_t last = std::clamp<int64_t>(from_front(end), 0, dim);
        range.start = first;
        if (last > first) range.count = (last - first - 1) / step + 1;
    } else {
        if (dim == 0) return range;
        range.start = std::clamp<int64_t>(from_front(start), 0, dim - 1);
        const int64_t distance = range.start - std::clamp<int64_t>(from_front(end), -1, dim - 1);
        if (distance > 0) range.count = step == kSmallest ? 1 : (distance - 1) / -step + 1;
    }
    return range;
}

Status infer_slice(InferContext& context) {
    const ValueType& input = context.input(0);
    for (const size_t index : {1, 2, 3, 4})
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::I32, DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto starts, context.integers(1));
    QUOIN_ASSIGN_OR_RETURN(const auto ends, context.integers(2));
    QUOIN_ASSIGN_OR_RETURN(const auto axes, context.integers(3));
    QUOIN_ASSIGN_OR_RETURN(const auto steps, context.integers(4));
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    Dims dims = *input.dims;
    if ((context.has_input(3) && !axes) || (!axes && !starts && !ends)) {
        std::ranges::fill(dims, Dim{});
        context.set_output(0, input.dtype, std::move(dims));
        return {};
    }
    const size_t count = axes ? axes->size() : (starts ? starts->size() : ends->size());
    const auto fits = [&](const auto& list) { return !list || list->size() == count; };
    if (!fits(starts) || !fits(ends) || !fits(steps)) return context.fail("the inputs name different numbers of axes");
    // Without an axis the shape of the result would be known before the bounds are, which may be of another length.
    if (count == 0 && (!starts || !ends || (context.has_input(4) && !steps))) {
        std::ranges::fill(dims, Dim{});
        context.set_output(0, input.dtype, std::move(dims));
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(std::optional<Dims> elements, context.elements(0));
    std::vector<bool> seen(dims.size());
    for (size_t index = 0; index < count; ++index) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, axes ? (*axes)[index] : static_cast<int64_t>(index), dims.size()));
        if (seen[axis]) return context.fail("axis ", axis, " is named twice");
        seen[axis] = true;
        const bool whole = !context.has_input(4) || (steps && (*steps)[index] == 1);
        if (steps && (*steps)[index] == 0) return context.fail("a step is 0");
        if (!starts || !ends || (context.has_input(4) && !steps)) {
            dims[axis] = Dim{};
            elements.reset();
        } else if (dims[axis].known()) {
            const int64_t step = steps ? (*steps)[index] : 1;
            const Range range = slice_range(dims[axis].size, (*starts)[index], (*ends)[index], step);
            dims[axis] = {.size = range.count};
            if (!elements) continue;
            Dims taken;
            for (int64_t each = 0; each < range.count; ++each) {
                taken.push_back((*elements)[static_cast<size_t>(range.start + each * range.step)]);
            }
            elements = std::move(taken);
        } else if (!whole || (*starts)[index] != 0 || (*ends)[index] < std::numeric_limits<int32_t>::max()) {
            // All of an axis stays as it is named; of a part the size is not known.
            dims[axis] = Dim{};
            elements.reset();
        }
    }
    context.set_output(0, input.dtype, std::move(dims), std::move(elements));
    return {};
}

int64_t entry(const TensorView& list, int64_t index, int64_t otherwise) {
    return list.dtype == DType::Undefined ? otherwise : integer_at(list, index);
}

const TensorView& view_at(const Arguments& arguments, size_t index) {
    static const TensorView kNothing;
    return index < arguments.inputs.size() ? arguments.inputs[index] : kNothing;
}

BoxCopy slice_box(const Arguments& arguments, DType dtype) {
    const Shape& shape = arguments.inputs[0].shape;
    const Shape& result = arguments.outputs[0].shape;
    const Shape strides = dense_strides(shape);
    const Shape target = dense_strides(result);
    Shape steps = strides;
    int64_t offset = 0;
    const TensorView& starts = view_at(arguments, 1);
    for (int64_t index = 0; index < starts.elements(); ++index) {
        const size_t axis = find_axis(entry(view_at(arguments, 3), index, index), shape.rank()).value_or(0);
        const Range range = slice_range(shape[axis], integer_at(starts, index), entry(view_at(arguments, 2), index, 0),
                                        entry(view_at(arguments, 4), index, 1));
        if (range.count > 0) offset += range.start * strides[axis];
        if (range.count > 1) steps[axis] = range.step * strides[axis];
    }
    BoxCopy box(offset);
    for (size_t axis = 0; axis < shape.rank(); ++axis) box.add(result[axis], steps[axis], target[axis]);
    box.finish(dtype);
    return box;
}

// A node is only planned when its bounds are known, and those of a plan do not change.
class Slice final : public BoxNode {
public:
    explicit Slice(const Node& /*node*/) {}

protected:
    BoxCopy box(const Arguments& arguments) const override { return slice_box(arguments, arguments.inputs[0].dtype); }
};

Status compute_slice(ComputeContext& context) {
    const Tensor& input = context.input(0);
    std::vector<TensorView> views;
    for (const RuntimeValue& value : context.inputs()) {
        views.push_back({value.tensor().data(), value.dtype(), value.tensor().shape()});
    }
    Shape result = input.shape();
    const Arguments bounds{views, {}, {}};
    for (int64_t index = 0; index < view_at(bounds, 1).elements(); ++index) {
        const size_t axis = find_axis(entry(view_at(bounds, 3), index, index), result.rank()).value_or(0);
        result[axis] = slice_range(input.shape()[axis], entry(view_at(bounds, 1), index, 0),
                                   entry(view_at(bounds, 2), index, 0), entry(view_at(bounds, 4), index, 1))
                           .count;
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), result));
    const std::array outputs{TensorView{output.data(), output.dtype(), result}};
    return move_packed(context, input, output, slice_box({views, outputs, {}}, DType::U8));
}

}  // namespace

extern const OpImplementation kSliceOp{infer_slice, prepare_movable<Slice>, compute_slice};

}  // namespace quoin
