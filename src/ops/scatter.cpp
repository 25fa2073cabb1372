// ScatterElements, ScatterND, TensorScatter (ONNX): a copy of a tensor with some elements changed.
#include <algorithm>
#include <cstring>
#include <string>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/movement.h"

namespace quoin {
namespace {

enum class Reduction : uint8_t { None, Add, Mul, Max, Min };

std::optional<Reduction> reduction_of(const Node& node) {
    const std::string_view name = node.string("reduction", "none");
    if (name == "none") return Reduction::None;
    if (name == "add") return Reduction::Add;
    if (name == "mul") return Reduction::Mul;
    if (name == "max") return Reduction::Max;
    if (name == "min") return Reduction::Min;
    return std::nullopt;
}

// Changes that are told element by element: combine(position in the data, position in the updates).
template <class T>
class Combiner {
public:
    Combiner(const Tensor& target, const Tensor& updates, Reduction reduction)
        : target_(target.as<T>()), updates_(updates.as<const T>()), reduction_(reduction) {}

    void operator()(int64_t to, int64_t from) const {
        T& old = target_[static_cast<size_t>(to)];
        const T& update = updates_[static_cast<size_t>(from)];
        if constexpr (std::same_as<T, std::string>) {
            old = update;
        } else {
            old = reduced(old, update);
        }
    }

private:
    T reduced(const T& old, const T& update) const {
        const Arithmetic<T> a = to_arithmetic(old);
        const Arithmetic<T> b = to_arithmetic(update);
        switch (reduction_) {
            case Reduction::None: return update;
            case Reduction::Max: return b > a ? update : old;
            case Reduction::Min: return b < a ? update : old;
            default: break;
        }
        if constexpr (IntegerElement<T>) {  // wraps around, as unsigned numbers do
            const auto x = static_cast<uint64_t>(a);
            const auto y = static_cast<uint64_t>(b);
            return static_cast<T>(reduction_ == Reduction::Add ? x + y : x * y);
        } else if constexpr (std::same_as<T, bool>) {
            return reduction_ == Reduction::Add ? a || b : a && b;
        } else {
            return from_arithmetic<T>(reduction_ == Reduction::Add ? a + b : a * b);
        }
    }

    std::span<T> target_;
    std::span<const T> updates_;
    Reduction reduction_;
};

// Calls body(combiner) for the type; types without arithmetic can only be replaced.
template <class Body>
Status with_combiner(ComputeContext& context, const Tensor& target, const Tensor& updates, Body&& body) {
    const Reduction reduction = reduction_of(context.node()).value_or(Reduction::None);
    Status status;
    const bool known =
        reduction == Reduction::None
            ? visit_sizes(target.dtype(),
                          [&]<class T>() { status = body(Combiner<T>(target, updates, Reduction::None)); })
            : visit_numbers_and_bool(target.dtype(),
                                     [&]<class T>() { status = body(Combiner<T>(target, updates, reduction)); });
    if (known) return status;
    return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(target.dtype()));
}

Result<Tensor> copied_output(ComputeContext& context) {
    const Tensor& data = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(Tensor output, context.output(0, data.dtype(), data.shape()));
    if (data.dtype() == DType::String) {
        std::ranges::copy(data.as<const std::string>(), output.as<std::string>().begin());
    } else if (data.byte_size() != 0) {
        std::memcpy(output.data(), data.data(), data.byte_size());
    }
    return output;
}

Status infer_scatter(InferContext& context) {
    if (!reduction_of(context.node())) {
        return context.fail("there is no reduction '", context.node().string("reduction", ""), "'");
    }
    const DType dtype = context.input(0).dtype;
    const DType updates = context.input(2).dtype;
    if (dtype != DType::Undefined && updates != DType::Undefined && dtype != updates) {
        return context.fail("the updates are ", dtype_name(updates), ", the data ", dtype_name(dtype));
    }
    return infer_same_as_first(context);
}

// ---- ScatterElements ----------------------------------------------------------------------------------------------

Status infer_scatter_elements(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    const auto& data = context.input(0).dims;
    const auto& indices = context.input(1).dims;
    const auto& updates = context.input(2).dims;
    if (indices && updates) {
        const bool equal = std::ranges::equal(*indices, *updates, may_equal);
        if (!equal) return context.fail("indices and updates have different shapes");
    }
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
    return infer_scatter(context);
}

Status compute_scatter_elements(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, copied_output(context));
    const Tensor& indices = context.input(1);
    const Shape& shape = output.shape();
    const Shape& picked = indices.shape();
    const Shape strides = dense_strides(shape);
    const size_t axis = find_axis(context.node().integer("axis", 0), shape.rank()).value_or(0);
    const int64_t count = picked.element_count().value_or(0);
    return with_combiner(context, output, context.input(2), [&](const auto& combine) -> Status {
        std::array<int64_t, Shape::kMaxRank> at{};
        int64_t offset = 0;  // of the element at `at`, its own place along the axis aside
        for (int64_t position = 0; position < count; ++position) {
            int64_t index = integer_at(indices, position);
            if (index < -shape[axis] || index >= shape[axis]) {
                return context.fail("index ", index, " is not below ", shape[axis]);
            }
            if (index < 0) index += shape[axis];
            combine(offset + index * strides[axis], position);
            for (size_t each = picked.rank(); each-- > 0;) {
                const int64_t stride = each == axis ? 0 : strides[each];
                offset += stride;
                if (++at[each] < picked[each]) break;
                offset -= at[each] * stride;
                at[each] = 0;
            }
        }
        return {};
    });
}

// ---- ScatterND ----------------------------------------------------------------------------------------------------

Status infer_scatter_nd(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    const auto& data = context.input(0).dims;
    const auto& indices = context.input(1).dims;
    const auto& updates = context.input(2).dims;
    if (indices && indices->empty()) return context.fail("the indices are a scalar");
    if (data && indices && indices->back().known()) {
        const int64_t depth = indices->back().size;
        if (depth > static_cast<int64_t>(data->size())) {
            return context.fail("indices of ", depth, " axes into a tensor of rank ", data->size());
        }
        std::vector<Dim> wanted(indices->begin(), indices->end() - 1);
        wanted.insert(wanted.end(), data->begin() + depth, data->end());
        if (updates && !std::ranges::equal(wanted, *updates, may_equal)) {
            return context.fail("the updates have another shape than what they replace");
        }
    }
    return infer_scatter(context);
}

Status compute_scatter_nd(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, copied_output(context));
    const Tensor& indices = context.input(1);
    const Shape& shape = output.shape();
    const Shape strides = dense_strides(shape);
    const auto depth = static_cast<size_t>(indices.shape().back());
    const int64_t rows = product(indices.shape(), 0, indices.shape().rank() - 1);
    const int64_t slice = product(shape, depth, shape.rank());
    if (context.input(2).byte_size() == 0) return {};
    return with_combiner(context, output, context.input(2), [&](const auto& combine) -> Status {
        for (int64_t row = 0; row < rows; ++row) {
            int64_t offset = 0;
            for (size_t axis = 0; axis < depth; ++axis) {
                int64_t index = integer_at(indices, row * static_cast<int64_t>(depth) + static_cast<int64_t>(axis));
                if (index < -shape[axis] || index >= shape[axis]) {
                    return context.fail("index ", index, " is not below ", shape[axis]);
                }
                if (index < 0) index += shape[axis];
                offset += index * strides[axis];
            }
            for (int64_t each = 0; each < slice; ++each) combine(offset + each, row * slice + each);
        }
        return {};
    });
}

// ---- TensorScatter ------------------------------------------------------------------------------------------------

Status infer_tensor_scatter(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::I64}));
    const std::string_view mode = context.node().string("mode", "linear");
    if (mode != "linear" && mode != "circular") return context.fail("there is no mode '", mode, "'");
    const auto& cache = context.input(0).dims;
    const auto& update = context.input(1).dims;
    if (cache) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, context.node().integer("axis", -2), cache->size()));
        if (axis == 0) return context.fail("'axis' is the batch dimension");
        if (update && update->size() != cache->size())
            return context.fail("the update has another rank than the cache");
        for (size_t each = 0; update && each < cache->size(); ++each) {
            const Dim& limit = (*cache)[each];
            const Dim& size = (*update)[each];
            const bool fits =
                each == axis ? !limit.known() || !size.known() || size.size <= limit.size : may_equal(limit, size);
            if (!fits)
                return context.fail("dimension ", each, " of the update is ", size.size, ", that of the cache ",
                                    limit.size);
        }
        const auto& starts = context.input(2).dims;
        if (context.has_input(2) && starts && (starts->size() != 1 || !may_equal((*starts)[0], (*cache)[0]))) {
            return context.fail("there is not one write index for each batch entry");
        }
    }
    if (context.input(1).dtype != DType::Undefined && context.input(0).dtype != context.input(1).dtype) {
        return context.fail("update and cache have different element types");
    }
    return infer_same_as_first(context);
}

Status compute_tensor_scatter(ComputeContext& context) {
    const Shape& shape = context.input(0).shape();
    const Tensor& update = context.input(1);
    if (!is_movable(update.dtype())) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ",
                            dtype_name(update.dtype()));
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, copied_output(context));
    const size_t axis = find_axis(context.node().integer("axis", -2), shape.rank()).value_or(1);
    const bool circular = context.node().string("mode", "linear") == "circular";
    const int64_t limit = shape[axis];
    const int64_t length = update.shape()[axis];
    const int64_t inner = product(shape, axis + 1, shape.rank());
    const int64_t between = product(shape, 1, axis);
    if (length == 0 || inner == 0) return {};
    for (int64_t batch = 0; batch < shape[0]; ++batch) {
        const int64_t start =
            context.has_input(2) ? context.input(2).as<const int64_t>()[static_cast<size_t>(batch)] : 0;
        if (start < 0 || (circular ? start >= limit : start > limit - length)) {
            return context.fail("write index ", start, " leaves no room for ", length, " of ", limit, " entries");
        }
        for (int64_t row = 0; row < between; ++row) {
            const int64_t from = (batch * between + row) * length * inner;
            const int64_t to = (batch * between + row) * limit * inner;
            // What runs over the end goes on at the beginning.
            const int64_t first = std::min(length, limit - start);
            visit_sizes(update.dtype(), [&]<class T>() {
                const T* const source = update.as<const T>().data() + from;
                T* const target = output.as<T>().data() + to;
                std::copy_n(source, first * inner, target + start * inner);
                std::copy_n(source + first * inner, (length - first) * inner, target);
            });
        }
    }
    return {};
}

}  // namespace

extern const OpImplementation kScatterElementsOp{infer_scatter_elements, nullptr, compute_scatter_elements};
extern const OpImplementation kScatterNDOp{infer_scatter_nd, nullptr, compute_scatter_nd};
extern const OpImplementation kTensorScatterOp{infer_tensor_scatter, nullptr, compute_tensor_scatter};

}  // namespace quoin
