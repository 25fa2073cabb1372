// Transpose, DepthToSpace, SpaceToDepth (ONNX): the same elements in another order of axes.
#include <algorithm>

#include "ops/axes.h"
#include "ops/movement.h"
#include "ops/packed_elements.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// ---- Transpose --------------------------------------------------------------------------------------------------

// The source axis of each result axis; reversed where the node names none.
Shape permutation_of(const Node& node, size_t rank) {
    const std::vector<int64_t>* const given = list_attribute(node, "perm");
    if (given != nullptr) return Shape(std::span<const int64_t>(*given));
    Shape order;
    for (size_t axis = rank; axis-- > 0;) order.push_back(static_cast<int64_t>(axis));
    return order;
}

Status infer_transpose(InferContext& context) {
    const ValueType& input = context.input(0);
    const std::vector<int64_t>* const given = list_attribute(context.node(), "perm");
    if (given != nullptr) {
        if (given->size() > Shape::kMaxRank) return context.fail("'perm' has ", given->size(), " axes");
        std::vector<bool> seen(given->size());
        for (const int64_t axis : *given) {
            if (axis < 0 || axis >= static_cast<int64_t>(seen.size()) || seen[static_cast<size_t>(axis)]) {
                return context.fail("'perm' is no order of the axes");
            }
            seen[static_cast<size_t>(axis)] = true;
        }
    }
    if (!input.dims) {
        context.set_output(0, input.dtype, given == nullptr ? std::nullopt : std::optional(Dims(given->size())));
        return {};
    }
    if (given != nullptr && given->size() != input.dims->size()) {
        return context.fail("'perm' orders ", given->size(), " axes of an input that has ", input.dims->size());
    }
    const Shape order = permutation_of(context.node(), input.dims->size());
    Dims dims;
    for (const int64_t axis : order.dims()) dims.push_back((*input.dims)[static_cast<size_t>(axis)]);
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

BoxCopy transpose_box(const Shape& order, const Shape& input, DType dtype) {
    const Shape source = dense_strides(input);
    Shape output = input;
    for (size_t axis = 0; axis < order.rank(); ++axis) output[axis] = input[static_cast<size_t>(order[axis])];
    const Shape target = dense_strides(output);
    BoxCopy box;
    for (size_t axis = 0; axis < order.rank(); ++axis) {
        box.add(output[axis], source[static_cast<size_t>(order[axis])], target[axis]);
    }
    box.finish(dtype);
    return box;
}

class Transpose final : public BoxNode {
public:
    explicit Transpose(const Node& node) : node_(node) {}

protected:
    BoxCopy box(const Arguments& arguments) const override {
        const Shape& shape = arguments.inputs[0].shape;
        return transpose_box(permutation_of(node_, shape.rank()), shape, arguments.inputs[0].dtype);
    }

private:
    const Node& node_;
};

Status compute_transpose(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Shape order = permutation_of(context.node(), input.shape().rank());
    Shape shape = input.shape();
    for (size_t axis = 0; axis < order.rank(); ++axis) shape[axis] = input.shape()[static_cast<size_t>(order[axis])];
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), shape));
    return move_packed(context, input, output, transpose_box(order, input.shape(), DType::U8));
}

// ---- DepthToSpace, SpaceToDepth ---------------------------------------------------------------------------------

// Both split each spatial dim of the wide side into [dim, block]; the small blocks are channels on the deep side.
Status infer_blocks(InferContext& context, bool to_space) {
    const ValueType& input = context.input(0);
    const int64_t block = context.node().integer("blocksize", 0);
    if (block <= 0 || block > (int64_t{1} << 20)) return context.fail("'blocksize' is ", block);
    const std::string_view mode = context.node().string("mode", "DCR");
    if (to_space && mode != "DCR" && mode != "CRD") return context.fail("there is no mode '", mode, "'");
    if (!input.dims) {
        context.set_output(0, input.dtype, Dims(4));
        return {};
    }
    if (input.dims->size() != 4) return context.fail("the input has ", input.dims->size(), " dimensions instead of 4");
    Dims dims = *input.dims;
    const auto scale = [&](Dim& dim, int64_t multiply, int64_t divide) -> Status {
        if (!dim.known()) {
            dim = Dim{};
        } else if (dim.size % divide != 0) {
            return context.fail("a dimension of ", dim.size, " cannot be cut into blocks of ", divide);
        } else if (__builtin_mul_overflow(dim.size / divide, multiply, &dim.size)) {
            return context.fail("the result is too large");
        }
        return {};
    };
    const int64_t area = block * block;
    QUOIN_RETURN_IF_ERROR(scale(dims[1], to_space ? 1 : area, to_space ? area : 1));
    QUOIN_RETURN_IF_ERROR(scale(dims[2], to_space ? block : 1, to_space ? 1 : block));
    QUOIN_RETURN_IF_ERROR(scale(dims[3], to_space ? block : 1, to_space ? 1 : block));
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}
Status infer_depth_to_space(InferContext& context) {
    return infer_blocks(context, true);
}
Status infer_space_to_depth(InferContext& context) {
    return infer_blocks(context, false);
}

BoxCopy depth_to_space_box(const Node& node, const Shape& input, DType dtype) {
    const int64_t block = node.integer("blocksize", 1);
    const bool depth_first = node.string("mode", "DCR") == "DCR";
    const int64_t channels = input[1] / (block * block);
    const int64_t plane = input[2] * input[3];
    // Where the small blocks and the channels lie among the input's channels.
    const int64_t channel = depth_first ? plane : plane * block * block;
    const int64_t column = depth_first ? plane * channels : plane;
    const int64_t width = input[3] * block;
    BoxCopy box;
    box.add(input[0], input[1] * plane, input[1] * plane);
    box.add(channels, channel, plane * block * block);
    box.add(input[2], input[3], block * width);
    box.add(block, column * block, width);
    box.add(input[3], 1, block);
    box.add(block, column, 1);
    box.finish(dtype);
    return box;
}

BoxCopy space_to_depth_box(const Node& node, const Shape& input, DType dtype) {
    const int64_t block = node.integer("blocksize", 1);
    const int64_t rows = input[2] / block;
    const int64_t columns = input[3] / block;
    const int64_t plane = rows * columns;
    BoxCopy box;
    box.add(input[0], input[1] * input[2] * input[3], input[1] * input[2] * input[3]);
    box.add(block, input[3], plane * input[1] * block);
    box.add(block, 1, plane * input[1]);
    box.add(input[1], input[2] * input[3], plane);
    box.add(rows, input[3] * block, columns);
    box.add(columns, block, 1);
    box.finish(dtype);
    return box;
}

template <BoxCopy (*MakeBox)(const Node&, const Shape&, DType)>
class Blocks final : public BoxNode {
public:
    explicit Blocks(const Node& node) : node_(node) {}

protected:
    BoxCopy box(const Arguments& arguments) const override {
        return MakeBox(node_, arguments.inputs[0].shape, arguments.inputs[0].dtype);
    }

private:
    const Node& node_;
};

}  // namespace

extern const OpImplementation kTransposeOp{infer_transpose, prepare_movable<Transpose>, compute_transpose};
extern const OpImplementation kDepthToSpaceOp{infer_depth_to_space, prepare_movable<Blocks<depth_to_space_box>>};
extern const OpImplementation kSpaceToDepthOp{infer_space_to_depth, prepare_movable<Blocks<space_to_depth_box>>};

}  // namespace quoin
