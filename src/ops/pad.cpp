// Pad and CenterCropPad (ONNX).
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/movement.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

constexpr int64_t kTaskBytes = int64_t{32} << 10;

// ---- Pad --------------------------------------------------------------------------------------------------------

enum class Padding : uint8_t { Constant, Reflect, Edge, Wrap };

std::optional<Padding> padding_of(const Node& node) {
    const std::string_view mode = node.string("mode", "constant");
    if (mode == "constant") return Padding::Constant;
    if (mode == "reflect") return Padding::Reflect;
    if (mode == "edge") return Padding::Edge;
    if (mode == "wrap") return Padding::Wrap;
    return std::nullopt;
}

Status infer_pad(InferContext& context) {
    const ValueType& input = context.input(0);
    if (!padding_of(context.node())) {
        return context.fail("there is no mode '", context.node().string("mode", ""), "'");
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(3, {DType::I32, DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto pads, context.integers(1));
    QUOIN_ASSIGN_OR_RETURN(const auto axes, context.integers(3));
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    Dims dims = *input.dims;
    if (!pads || (context.has_input(3) && !axes)) {
        std::ranges::fill(dims, Dim{});
        context.set_output(0, input.dtype, std::move(dims));
        return {};
    }
    const size_t count = axes ? axes->size() : dims.size();
    if (pads->size() != 2 * count) return context.fail(pads->size(), " pads are given for ", count, " axes");
    std::vector<bool> seen(dims.size());
    for (size_t index = 0; index < count; ++index) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, axes ? (*axes)[index] : static_cast<int64_t>(index), dims.size()));
        if (seen[axis]) return context.fail("axis ", axis, " is named twice");
        seen[axis] = true;
        const int64_t begin = (*pads)[index];
        const int64_t end = (*pads)[count + index];
        if (begin == 0 && end == 0) continue;
        Dim& dim = dims[axis];
        if (!dim.known()) {
            dim = Dim{};
            continue;
        }
        const int64_t size = dim.size;
        if (__builtin_add_overflow(dim.size, begin, &dim.size) || __builtin_add_overflow(dim.size, end, &dim.size)) {
            return context.fail("the result is too large");
        }
        if (dim.size < 0 || size + std::min<int64_t>(begin, 0) + std::min<int64_t>(end, 0) < 0) {
            return context.fail("more than the ", size, " elements of axis ", axis, " are cut off");
        }
        const bool nothing = size + std::min<int64_t>(begin, 0) + std::min<int64_t>(end, 0) == 0;
        if (nothing && dim.size > 0 && padding_of(context.node()) != Padding::Constant) {
            return context.fail("axis ", axis, " has nothing to be padded with");
        }
    }
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

// One axis of the result: what is left of the input's, and what stands before it.
struct PadAxis {
    int64_t size = 0;   // of the result
    int64_t first = 0;  // of the input's elements that are kept
    int64_t kept = 0;
    int64_t before = 0;  // padding in front of them

    // The input's element at this place of the result; -1: the constant.
    int64_t source(int64_t place, Padding padding) const {
        int64_t index = place - before;
        if (index < 0 || index >= kept) {
            switch (padding) {
                case Padding::Constant: return -1;
                case Padding::Edge: index = std::clamp<int64_t>(index, 0, kept - 1); break;
                case Padding::Wrap:
                    index %= kept;
                    if (index < 0) index += kept;
                    break;
                case Padding::Reflect: {
                    if (kept == 1) return first;
                    const int64_t period = 2 * (kept - 1);
                    index %= period;
                    if (index < 0) index += period;
                    if (index >= kept) index = period - index;
                    break;
                }
            }
        }
        return first + index;
    }
};

struct PadAxes {
    std::array<PadAxis, Shape::kMaxRank> axes;
    size_t row_axis = 0;  // the last one with pads; behind it everything moves as a whole
    int64_t inner = 1;    // elements behind it
    int64_t rows = 1;     // of the result, before it
};

const TensorView* view_at(const Arguments& arguments, size_t index) {
    if (index >= arguments.inputs.size() || arguments.inputs[index].dtype == DType::Undefined) return nullptr;
    return &arguments.inputs[index];
}

PadAxes pad_axes(const Arguments& arguments) {
    const Shape& shape = arguments.inputs[0].shape;
    const Shape& result = arguments.outputs[0].shape;
    PadAxes pads;
    for (size_t axis = 0; axis < shape.rank(); ++axis) pads.axes[axis] = {result[axis], 0, shape[axis], 0};
    const TensorView* const named = view_at(arguments, 3);
    const TensorView& sizes = arguments.inputs[1];
    const int64_t count = sizes.elements() / 2;
    for (int64_t index = 0; index < count; ++index) {
        const size_t axis = find_axis(named == nullptr ? index : integer_at(*named, index), shape.rank()).value_or(0);
        const int64_t begin = integer_at(sizes, index);
        const int64_t end = integer_at(sizes, count + index);
        if (begin != 0 || end != 0) pads.row_axis = std::max(pads.row_axis, axis);
        PadAxis& each = pads.axes[axis];
        each.first = std::max<int64_t>(0, -begin);
        each.kept = shape[axis] - each.first - std::max<int64_t>(0, -end);
        each.before = std::max<int64_t>(0, begin);
    }
    pads.inner = product(result, std::min(pads.row_axis + 1, result.rank()), result.rank());
    pads.rows = product(result, 0, std::min(pads.row_axis, result.rank()));
    return pads;
}

class Pad final : public PreparedNode {
public:
    explicit Pad(const Node& node) : padding_(padding_of(node).value_or(Padding::Constant)) {}

    // The pads are known when a node is planned, and do not change.
    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        QUOIN_RETURN_IF_ERROR(require_movable(arguments.inputs[0]));
        const PadAxes pads = pad_axes(arguments);
        const int64_t row_bytes = std::max<int64_t>(1, row_elements(arguments, pads)) *
                                  std::max<int32_t>(1, dtype_info(arguments.inputs[0].dtype).block_bytes);
        const int64_t grain = std::max<int64_t>(1, kTaskBytes / row_bytes);
        const int64_t rows = arguments.outputs[0].elements() == 0 ? 0 : pads.rows;
        return Work{.tasks = task_count(rows, grain), .grain = {grain}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const PadAxes pads = pad_axes(arguments);
        const int64_t begin = task * arguments.work.grain[0];
        const int64_t end = std::min(begin + arguments.work.grain[0], pads.rows);
        visit_sizes(arguments.inputs[0].dtype, [&]<class T>() {
            const TensorView* const constant = view_at(arguments, 2);
            const T fill = constant == nullptr || constant->elements() == 0 ? T{} : constant->as<const T>()[0];
            for (int64_t row = begin; row < end; ++row) pad_row(arguments, pads, row, fill);
        });
        return {};
    }

private:
    static int64_t row_elements(const Arguments& arguments, const PadAxes& pads) {
        return arguments.inputs[0].shape.rank() == 0 ? 1 : pads.axes[pads.row_axis].size * pads.inner;
    }

    template <class T>
    void pad_row(const Arguments& arguments, const PadAxes& pads, int64_t row, const T& fill) const {
        const Shape& shape = arguments.inputs[0].shape;
        const int64_t count = row_elements(arguments, pads);
        T* const target = arguments.outputs[0].as<T>() + row * count;
        const T* source = arguments.inputs[0].as<const T>();
        if (shape.rank() == 0) {
            *target = *source;
            return;
        }
        int64_t stride = shape[pads.row_axis] * pads.inner;
        for (size_t axis = pads.row_axis; axis-- > 0;) {
            const int64_t index = pads.axes[axis].source(row % pads.axes[axis].size, padding_);
            if (index < 0) {
                std::fill_n(target, count, fill);
                return;
            }
            source += index * stride;
            row /= pads.axes[axis].size;
            stride *= shape[axis];
        }
        const PadAxis& last = pads.axes[pads.row_axis];
        const auto pad = [&](int64_t from, int64_t to) {
            if (padding_ == Padding::Constant) {
                std::fill_n(target + from * pads.inner, (to - from) * pads.inner, fill);
                return;
            }
            for (int64_t place = from; place < to; ++place) {
                std::copy_n(source + last.source(place, padding_) * pads.inner, pads.inner,
                            target + place * pads.inner);
            }
        };
        pad(0, last.before);
        std::copy_n(source + last.first * pads.inner, last.kept * pads.inner, target + last.before * pads.inner);
        pad(last.before + last.kept, last.size);
    }

    Padding padding_;
};

// ---- CenterCropPad ----------------------------------------------------------------------------------------------

// The axes that the target shape speaks of.
Result<std::vector<size_t>> cropped_axes(const InferContext& context, size_t rank) {
    std::vector<size_t> axes;
    const std::vector<int64_t>* const named = list_attribute(context.node(), "axes");
    for (size_t index = 0; index < (named == nullptr ? rank : named->size()); ++index) {
        QUOIN_ASSIGN_OR_RETURN(
            const size_t axis,
            require_axis(context, named == nullptr ? static_cast<int64_t>(index) : (*named)[index], rank));
        if (std::ranges::find(axes, axis) != axes.end()) return context.fail("axis ", axis, " is named twice");
        axes.push_back(axis);
    }
    return axes;
}

Status infer_center_crop_pad(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    Dims dims = *input.dims;
    QUOIN_ASSIGN_OR_RETURN(const std::vector<size_t> axes, cropped_axes(context, dims.size()));
    QUOIN_ASSIGN_OR_RETURN(const auto target, context.integers(1));
    if (target && target->size() != axes.size()) {
        return context.fail(target->size(), " sizes are given for ", axes.size(), " axes");
    }
    for (size_t index = 0; index < axes.size(); ++index) {
        if (target && (*target)[index] < 0) return context.fail("the shape has the dimension ", (*target)[index]);
        dims[axes[index]] = target ? Dim{.size = (*target)[index]} : Dim{};
    }
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

Status compute_center_crop_pad(ComputeContext& context) {
    const Tensor& input = context.input(0);
    if (!is_movable(input.dtype())) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ",
                            dtype_name(input.dtype()));
    }
    Shape shape = input.shape();
    const std::vector<int64_t>* const named = list_attribute(context.node(), "axes");
    for (int64_t index = 0; index < context.input(1).shape().element_count().value_or(0); ++index) {
        const int64_t axis = named == nullptr ? index : (*named)[static_cast<size_t>(index)];
        shape[find_axis(axis, shape.rank()).value_or(0)] = integer_at(context.input(1), index);
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), shape));
    visit_sizes(input.dtype(), [&]<class T>() { std::ranges::fill(output.as<T>(), T{}); });
    const Shape strides = dense_strides(input.shape());
    const Shape target = dense_strides(shape);
    int64_t from = 0;
    int64_t to = 0;
    for (size_t axis = 0; axis < shape.rank(); ++axis) {
        const int64_t cut = input.shape()[axis] - shape[axis];
        if (cut > 0) from += cut / 2 * strides[axis];
        if (cut < 0) to += -cut / 2 * target[axis];
    }
    BoxCopy box(from, to);
    for (size_t axis = 0; axis < shape.rank(); ++axis) {
        box.add(std::min(shape[axis], input.shape()[axis]), strides[axis], target[axis]);
    }
    box.finish(input.dtype());
    box.run_all(input.data(), output.data());
    return {};
}

}  // namespace

extern const OpImplementation kPadOp{infer_pad, prepare_movable<Pad>};
extern const OpImplementation kCenterCropPadOp{infer_center_crop_pad, nullptr, compute_center_crop_pad};

}  // namespace quoin
