// Gather, GatherElements, GatherND (ONNX): elements by index. Indices are data, so each is checked where it is used.
#include <algorithm>
#include <cstring>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/movement.h"
#include "ops/packed_elements.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

constexpr int64_t kTaskBytes = int64_t{32} << 10;

Status out_of_range(const Node& node, int64_t index, int64_t limit) {
    return error(StatusCode::InvalidArgument, "node '", node.name, "' (", op_info(node.op).name, "): index ", index,
                 " is not below ", limit);
}

// An index from the front; negative ones count from the end.
bool resolve(int64_t& index, int64_t limit) {
    if (index < -limit || index >= limit) return false;
    if (index < 0) index += limit;
    return true;
}

// Moves `count` elements, whatever they are.
void move_elements(DType dtype, const std::byte* source, int64_t from, std::byte* target, int64_t to, int64_t count) {
    if (dtype == DType::String) {
        std::copy_n(reinterpret_cast<const std::string*>(source) + from, count,
                    reinterpret_cast<std::string*>(target) + to);
        return;
    }
    const int64_t bytes = dtype_info(dtype).block_bytes;
    std::memcpy(target + to * bytes, source + from * bytes, static_cast<size_t>(count * bytes));
}

int64_t task_elements(DType dtype) {
    return std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, dtype_info(dtype).block_bytes));
}

// ---- Gather -----------------------------------------------------------------------------------------------------

// Rows of `inner` elements, along one axis.
class Gather final : public PreparedNode {
public:
    explicit Gather(const Node& node) : node_(node) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const TensorView& data = arguments.inputs[0];
        QUOIN_RETURN_IF_ERROR(require_movable(data));
        const size_t axis = find_axis(node_.integer("axis", 0), data.shape.rank()).value_or(0);
        const int64_t inner = product(data.shape, axis + 1, data.shape.rank());
        const int64_t rows = product(data.shape, 0, axis) * arguments.inputs[1].elements();
        const int64_t grain = std::max<int64_t>(1, task_elements(data.dtype) / std::max<int64_t>(1, inner));
        return Work{.tasks = task_count(rows, grain), .grain = {grain, inner, rows}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& data = arguments.inputs[0];
        const auto [grain, inner, rows] = arguments.work.grain;
        const int64_t limit = data.shape[find_axis(node_.integer("axis", 0), data.shape.rank()).value_or(0)];
        const int64_t begin = task * grain;
        const int64_t end = std::min(begin + grain, rows);
        if (inner != 1) return gather_rows(arguments, begin, end, limit);
        Status status;
        visit_sizes(data.dtype, [&]<class T>() { status = gather_single<T>(arguments, begin, end, limit); });
        return status;
    }

private:
    Status gather_rows(const Arguments& arguments, int64_t begin, int64_t end, int64_t limit) const {
        const int64_t count = arguments.inputs[1].elements();
        const int64_t inner = arguments.work.grain[1];
        for (int64_t row = begin; row < end; ++row) {
            int64_t index = integer_at(arguments.inputs[1], row % count);
            if (!resolve(index, limit)) return out_of_range(node_, index, limit);
            move_elements(arguments.inputs[0].dtype, arguments.inputs[0].data, (row / count * limit + index) * inner,
                          arguments.outputs[0].data, row * inner, inner);
        }
        return {};
    }

    template <class T>
    Status gather_single(const Arguments& arguments, int64_t begin, int64_t end, int64_t limit) const {
        const int64_t count = arguments.inputs[1].elements();
        const T* source = arguments.inputs[0].as<const T>() + (count == 0 ? 0 : begin / count * limit);
        T* const target = arguments.outputs[0].as<T>();
        int64_t position = count == 0 ? 0 : begin % count;
        for (int64_t row = begin; row < end; ++row) {
            int64_t index = integer_at(arguments.inputs[1], position);
            if (!resolve(index, limit)) return out_of_range(node_, index, limit);
            target[row] = source[index];
            if (++position < count) continue;
            position = 0;
            source += limit;
        }
        return {};
    }

    const Node& node_;
};

// A shape that is looked up in a shape: the elements that the indices name.
Result<std::optional<Dims>> gathered_elements(const InferContext& context) {
    const auto& dims = context.input(0).dims;
    const auto& index_dims = context.input(1).dims;
    std::optional<Dims> result;
    if (!dims || dims->size() != 1 || !index_dims || index_dims->size() > 1) return result;
    QUOIN_ASSIGN_OR_RETURN(const std::optional<Dims> elements, context.elements(0));
    if (!elements) return result;
    QUOIN_ASSIGN_OR_RETURN(const auto indices, context.integers(1));
    if (!indices || indices->size() > 64) return result;
    result.emplace();
    for (int64_t index : *indices) {
        if (!resolve(index, static_cast<int64_t>(elements->size()))) {
            return context.fail("index ", index, " is not below ", elements->size());
        }
        result->push_back((*elements)[static_cast<size_t>(index)]);
    }
    return result;
}

Status infer_gather(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    const auto& data = context.input(0).dims;
    const auto& indices = context.input(1).dims;
    if (!data || !indices) {
        context.set_output(0, context.input(0).dtype, std::nullopt);
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, require_axis(context, context.node().integer("axis", 0), data->size()));
    Dims dims(data->begin(), data->begin() + static_cast<std::ptrdiff_t>(axis));
    dims.insert(dims.end(), indices->begin(), indices->end());
    dims.insert(dims.end(), data->begin() + static_cast<std::ptrdiff_t>(axis) + 1, data->end());
    if (dims.size() > Shape::kMaxRank) return context.fail("the result has ", dims.size(), " dimensions");
    QUOIN_ASSIGN_OR_RETURN(auto elements, gathered_elements(context));
    context.set_output(0, context.input(0).dtype, std::move(dims), std::move(elements));
    return {};
}

// ---- GatherElements ---------------------------------------------------------------------------------------------

Status infer_gather_elements(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    const auto& data = context.input(0).dims;
    const auto& indices = context.input(1).dims;
    if (data && indices) {
        if (data->size() != indices->size()) {
            return context.fail("the data has rank ", data->size(), ", the indices ", indices->size());
        }
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, context.node().integer("axis", 0), data->size()));
        for (size_t each = 0; each < data->size(); ++each) {
            const Dim& limit = (*data)[each];
            const Dim& size = (*indices)[each];
            if (each != axis && limit.known() && size.known() && size.size > limit.size) {
                return context.fail("the indices have ", size.size, " along axis ", each, ", the data ", limit.size);
            }
        }
    }
    context.set_output(0, context.input(0).dtype, indices);
    return {};
}

class GatherElements final : public PreparedNode {
public:
    explicit GatherElements(const Node& node) : node_(node) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        QUOIN_RETURN_IF_ERROR(require_movable(arguments.inputs[0]));
        const int64_t columns = std::max<int64_t>(1, arguments.outputs[0].columns());
        const int64_t grain = std::max<int64_t>(1, task_elements(arguments.inputs[0].dtype) / columns);
        return Work{.tasks = task_count(arguments.outputs[0].rows(), grain), .grain = {grain}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t begin = task * arguments.work.grain[0];
        const int64_t end = std::min(begin + arguments.work.grain[0], arguments.outputs[0].rows());
        Status status;
        visit_sizes(arguments.inputs[0].dtype, [&]<class T>() { status = rows<T>(arguments, begin, end); });
        return status;
    }

private:
    template <class T>
    Status rows(const Arguments& arguments, int64_t begin, int64_t end) const {
        const Shape& shape = arguments.inputs[0].shape;
        const Shape& result = arguments.outputs[0].shape;
        const Shape strides = dense_strides(shape);
        const size_t rank = shape.rank();
        const size_t axis = find_axis(node_.integer("axis", 0), rank).value_or(0);
        const int64_t columns = arguments.outputs[0].columns();
        for (int64_t row = begin; row < end; ++row) {
            int64_t offset = 0;
            int64_t rest = row;
            for (size_t each = rank - 1; each-- > 0;) {
                if (each != axis) offset += rest % result[each] * strides[each];
                rest /= result[each];
            }
            const T* const source = arguments.inputs[0].as<const T>() + offset;
            T* const target = arguments.outputs[0].as<T>() + row * columns;
            const bool along = axis + 1 == rank;
            for (int64_t column = 0; column < columns; ++column) {
                int64_t index = integer_at(arguments.inputs[1], row * columns + column);
                if (!resolve(index, shape[axis])) return out_of_range(node_, index, shape[axis]);
                target[column] = source[index * strides[axis] + (along ? 0 : column)];
            }
        }
        return {};
    }

    const Node& node_;
};

// ---- GatherND ---------------------------------------------------------------------------------------------------

Status infer_gather_nd(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    const auto& data = context.input(0).dims;
    const auto& indices = context.input(1).dims;
    const int64_t batch = context.node().integer("batch_dims", 0);
    if (!data || !indices || indices->empty() || !indices->back().known()) {
        if (indices && indices->empty()) return context.fail("the indices are a scalar");
        context.set_output(0, context.input(0).dtype, std::nullopt);
        return {};
    }
    const int64_t depth = indices->back().size;
    const auto rank = static_cast<int64_t>(data->size());
    if (batch < 0 || batch >= static_cast<int64_t>(indices->size()) || batch > rank) {
        return context.fail("'batch_dims' is ", batch);
    }
    if (depth > rank - batch) return context.fail("indices of ", depth, " axes into a tensor of rank ", rank);
    for (int64_t axis = 0; axis < batch; ++axis) {
        const auto at = static_cast<size_t>(axis);
        if (!may_equal((*data)[at], (*indices)[at])) return context.fail("the batch dimensions differ");
    }
    Dims dims(indices->begin(), indices->end() - 1);
    dims.insert(dims.end(), data->begin() + batch + depth, data->end());
    if (dims.size() > Shape::kMaxRank) return context.fail("the result has ", dims.size(), " dimensions");
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

class GatherND final : public PreparedNode {
public:
    explicit GatherND(const Node& node) : node_(node) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        QUOIN_RETURN_IF_ERROR(require_movable(arguments.inputs[0]));
        const int64_t grain =
            std::max<int64_t>(1, task_elements(arguments.inputs[0].dtype) / std::max<int64_t>(1, inner(arguments)));
        return Work{.tasks = task_count(arguments.inputs[1].rows(), grain), .grain = {grain}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& data = arguments.inputs[0];
        const TensorView& indices = arguments.inputs[1];
        const auto batch = static_cast<size_t>(node_.integer("batch_dims", 0));
        const int64_t depth = indices.columns();
        const int64_t slice = inner(arguments);
        const int64_t per_batch = product(indices.shape, batch, indices.shape.rank() - 1);
        const Shape strides = dense_strides(data.shape);
        const int64_t batch_stride = batch == 0 ? 0 : strides[batch - 1];
        const int64_t end = std::min((task + 1) * arguments.work.grain[0], indices.rows());
        for (int64_t row = task * arguments.work.grain[0]; row < end; ++row) {
            int64_t offset = row / per_batch * batch_stride;
            for (int64_t each = 0; each < depth; ++each) {
                const size_t axis = batch + static_cast<size_t>(each);
                int64_t index = integer_at(indices, row * depth + each);
                if (!resolve(index, data.shape[axis])) return out_of_range(node_, index, data.shape[axis]);
                offset += index * strides[axis];
            }
            move_elements(data.dtype, data.data, offset, arguments.outputs[0].data, row * slice, slice);
        }
        return {};
    }

private:
    int64_t inner(const Arguments& arguments) const {
        const Shape& shape = arguments.inputs[0].shape;
        const auto first = static_cast<size_t>(node_.integer("batch_dims", 0) + arguments.inputs[1].columns());
        return product(shape, first, shape.rank());
    }

    const Node& node_;
};

}  // namespace

extern const OpImplementation kGatherOp{infer_gather, prepare_movable<Gather>};
extern const OpImplementation kGatherElementsOp{infer_gather_elements, prepare_movable<GatherElements>};
extern const OpImplementation kGatherNDOp{infer_gather_nd, prepare_movable<GatherND>};

}  // namespace quoin
