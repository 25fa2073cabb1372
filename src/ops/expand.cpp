// Expand, Tile and ConstantOfShape (ONNX): results larger than what they are made of.
#include <algorithm>
#include <cstring>
#include <string>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/movement.h"
#include "ops/packed_elements.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// ---- Expand -----------------------------------------------------------------------------------------------------

// What two dims broadcast to; nullopt when they do not.
std::optional<Dim> broadcast(const Dim& a, const Dim& b) {
    if (a == b || a.size == 1) return b;
    if (b.size == 1) return a;
    if (a.known() && b.known()) return std::nullopt;
    // n > 1 against something unknown can only be n; of two unknown dims either may be 1.
    if (a.known()) return a;
    return b.known() ? b : Dim{};
}

Status infer_expand(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    // The whole target where it is known, also longer ones than a shape can be.
    QUOIN_ASSIGN_OR_RETURN(const auto known, context.integers(1));
    QUOIN_ASSIGN_OR_RETURN(std::optional<Dims> target, context.elements(1));
    if (known && known->size() > Shape::kMaxRank) return context.fail("the result has ", known->size(), " dimensions");
    if (known) {
        target.emplace();
        for (const int64_t dim : *known) {
            if (dim < 0) return context.fail("the shape has the dimension ", dim);
            target->push_back({.size = dim});
        }
    }
    if (!target) {
        const auto& length = context.input(1).dims;
        if (length && length->size() == 1 && length->front().known() &&
            length->front().size <= static_cast<int64_t>(Shape::kMaxRank)) {
            target = Dims(static_cast<size_t>(length->front().size));
        }
    }
    if (!target || !input.dims || target->size() > Shape::kMaxRank) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    const size_t rank = std::max(target->size(), input.dims->size());
    Dims dims(rank);
    for (size_t back = 1; back <= rank; ++back) {
        const Dim left = back <= input.dims->size() ? (*input.dims)[input.dims->size() - back] : Dim{.size = 1};
        const Dim right = back <= target->size() ? (*target)[target->size() - back] : Dim{.size = 1};
        const std::optional<Dim> both = broadcast(left, right);
        if (!both) return context.fail("a dimension of ", left.size, " cannot be expanded to ", right.size);
        dims[rank - back] = *both;
    }
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

BoxCopy expand_box(const Shape& input, const Shape& output, DType dtype) {
    const Shape strides = dense_strides(input);
    const Shape target = dense_strides(output);
    const size_t added = output.rank() - input.rank();
    BoxCopy box;
    for (size_t axis = 0; axis < output.rank(); ++axis) {
        const bool repeated = axis < added || input[axis - added] == 1;
        box.add(output[axis], repeated ? 0 : strides[axis - added], target[axis]);
    }
    box.finish(dtype);
    return box;
}

class Expand final : public BoxNode {
public:
    explicit Expand(const Node& /*node*/) {}

protected:
    BoxCopy box(const Arguments& arguments) const override {
        return expand_box(arguments.inputs[0].shape, arguments.outputs[0].shape, arguments.inputs[0].dtype);
    }
};

// ---- Tile -------------------------------------------------------------------------------------------------------

Status infer_tile(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto repeats, context.integers(1));
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    Dims dims = *input.dims;
    if (repeats && repeats->size() != dims.size()) {
        return context.fail(repeats->size(), " repeats are given for ", dims.size(), " axes");
    }
    for (size_t axis = 0; axis < dims.size(); ++axis) {
        const int64_t times = repeats ? (*repeats)[axis] : -1;
        if (repeats && times < 0) return context.fail("an axis is repeated ", times, " times");
        if (times == 1) continue;
        if (!repeats || !dims[axis].known()) {
            dims[axis] = Dim{};
        } else if (__builtin_mul_overflow(dims[axis].size, times, &dims[axis].size)) {
            return context.fail("the result is too large");
        }
    }
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

class Tile final : public BoxNode {
public:
    explicit Tile(const Node& /*node*/) {}

protected:
    BoxCopy box(const Arguments& arguments) const override {
        const Shape& input = arguments.inputs[0].shape;
        const Shape& output = arguments.outputs[0].shape;
        const Shape strides = dense_strides(input);
        const Shape target = dense_strides(output);
        BoxCopy box;
        for (size_t axis = 0; axis < input.rank(); ++axis) {
            box.add(input[axis] == 0 ? 0 : output[axis] / input[axis], 0, target[axis] * input[axis]);
            box.add(input[axis], strides[axis], target[axis]);
        }
        box.finish(arguments.inputs[0].dtype);
        return box;
    }
};

// ---- ConstantOfShape --------------------------------------------------------------------------------------------

const Tensor* value_of(const Node& node) {
    const Attribute* const found = node.attribute("value");
    return found == nullptr ? nullptr : std::get_if<Tensor>(found);
}

Status infer_constant_of_shape(InferContext& context) {
    const Tensor* const value = value_of(context.node());
    if (value != nullptr && value->shape().element_count() != 1) return context.fail("'value' has not one element");
    const DType dtype = value == nullptr ? DType::F32 : value->dtype();
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto known, context.integers(0));
    if (known) {
        if (known->size() > Shape::kMaxRank) return context.fail("the result has ", known->size(), " dimensions");
        Dims dims;
        for (const int64_t dim : *known) {
            if (dim < 0) return context.fail("the shape has the dimension ", dim);
            dims.push_back({.size = dim});
        }
        // A small one may be the start of a shape that is computed from it.
        std::optional<Dims> elements;
        if (value != nullptr && (dtype == DType::I64 || dtype == DType::I32) && dims.size() <= 1 &&
            (dims.empty() || dims[0].size <= 64)) {
            elements.emplace(dims.empty() ? 1 : static_cast<size_t>(dims[0].size), Dim{.size = integer_at(*value, 0)});
        }
        context.set_output(0, dtype, std::move(dims), std::move(elements));
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(std::optional<Dims> partly, context.elements(0));
    const auto& length = context.input(0).dims;
    if (!partly && length && length->size() == 1 && length->front().known() &&
        length->front().size <= static_cast<int64_t>(Shape::kMaxRank)) {
        partly = Dims(static_cast<size_t>(length->front().size));
    }
    context.set_output(0, dtype, std::move(partly));
    return {};
}

Status compute_constant_of_shape(ComputeContext& context) {
    const Tensor& wanted = context.input(0);
    if (wanted.shape().rank() > 1 || wanted.as<const int64_t>().size() > Shape::kMaxRank) {
        return context.fail("the shape is no vector of sizes");
    }
    const Tensor* const value = value_of(context.node());
    const DType dtype = value == nullptr ? DType::F32 : value->dtype();
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, dtype, Shape(wanted.as<const int64_t>())));
    if (value == nullptr) {
        std::ranges::fill(result.as<float>(), 0.0F);
        return {};
    }
    if (shares_bytes(dtype)) {
        const std::vector<uint8_t> one = unpack_elements(*value);
        pack_elements(std::vector<uint8_t>(static_cast<size_t>(result.shape().element_count().value_or(0)), one[0]),
                      result);
        return {};
    }
    visit_sizes(dtype, [&]<class T>() { std::ranges::fill(result.as<T>(), value->as<const T>()[0]); });
    return {};
}

}  // namespace

extern const OpImplementation kExpandOp{infer_expand, prepare_movable<Expand>};
extern const OpImplementation kTileOp{infer_tile, prepare_movable<Tile>};
extern const OpImplementation kConstantOfShapeOp{infer_constant_of_shape, nullptr, compute_constant_of_shape};

}  // namespace quoin
