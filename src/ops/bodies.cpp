#include "ops/bodies.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace quoin {

const Graph* find_body(const Node& node, std::string_view attribute) {
    const Attribute* const found = node.attribute(attribute);
    const auto* const body = found == nullptr ? nullptr : std::get_if<std::shared_ptr<const Graph>>(found);
    return body == nullptr ? nullptr : body->get();
}

ValueType output_type(const Graph& body, size_t index) {
    const Value& value = body.value(body.outputs()[index]);
    ValueType type{value.dtype, value.dims};
    if (value.kind != ValueKind::Tensor) type.dims.reset();
    if (type.dims) {
        for (Dim& dim : *type.dims) dim.symbol = -1;
    }
    return type;
}

ValueType common_type(const ValueType& a, const ValueType& b) {
    ValueType type;
    type.dtype = a.dtype == DType::Undefined || b.dtype == a.dtype ? b.dtype : DType::Undefined;
    if (b.dtype == DType::Undefined) type.dtype = a.dtype;
    if (!a.dims || !b.dims || a.dims->size() != b.dims->size()) return type;
    type.dims = a.dims;
    for (size_t axis = 0; axis < a.dims->size(); ++axis) {
        if (!((*a.dims)[axis] == (*b.dims)[axis])) (*type.dims)[axis] = Dim{};
    }
    return type;
}

Result<RuntimeValue> scalar_value(ComputeContext& context, DType dtype, int64_t value) {
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, Tensor::allocate(context.runtime().memory, dtype, {}, context.node().name));
    if (dtype == DType::Bool) {
        tensor.as<bool>()[0] = value != 0;
    } else {
        tensor.as<int64_t>()[0] = value;
    }
    return RuntimeValue(std::move(tensor));
}

namespace {

// [count, ...]
Result<Shape> stacked_shape(ComputeContext& context, int64_t count, std::span<const int64_t> dims) {
    if (dims.size() + 1 > Shape::kMaxRank) return context.fail("a result has ", dims.size() + 1, " dimensions");
    Shape shape{count};
    for (const int64_t dim : dims) shape.push_back(dim);
    return shape;
}

void copy_elements(const Tensor& source, const Tensor& target, size_t byte_offset) {
    if (source.dtype() == DType::String) {
        std::ranges::copy(
            source.as<const std::string>(),
            target.as<std::string>().begin() + static_cast<std::ptrdiff_t>(byte_offset / sizeof(std::string)));
    } else if (source.byte_size() != 0) {
        std::memcpy(target.data() + byte_offset, source.data(), source.byte_size());
    }
}

}  // namespace

Status Stack::push(ComputeContext& context, const RuntimeValue& value) {
    if (!value.is_tensor()) return context.fail("what is to be stacked is no tensor");
    const Tensor& row = value.tensor();
    if (dtype_info(row.dtype()).block_elements != 1) {
        return context.fail(StatusCode::Unsupported, "elements of ", dtype_name(row.dtype()), " cannot be stacked");
    }
    if (count_ == 0) {
        QUOIN_ASSIGN_OR_RETURN(const Shape shape, stacked_shape(context, 4, row.shape().dims()));
        QUOIN_ASSIGN_OR_RETURN(buffer_,
                               Tensor::allocate(context.runtime().memory, row.dtype(), shape, context.node().name));
    }
    if (row.dtype() != buffer_.dtype() || !std::ranges::equal(row.shape().dims(), buffer_.shape().dims().subspan(1))) {
        return context.fail("iteration ", count_, " made ", dtype_name(row.dtype()), to_string(row.shape()),
                            ", unlike those before it");
    }
    if (count_ == buffer_.shape()[0]) {
        Shape shape = buffer_.shape();
        if (__builtin_mul_overflow(shape[0], 2, &shape[0])) return context.fail("there are too many iterations");
        QUOIN_ASSIGN_OR_RETURN(const Tensor larger,
                               Tensor::allocate(context.runtime().memory, row.dtype(), shape, context.node().name));
        copy_elements(buffer_, larger, 0);
        buffer_ = larger;
    }
    copy_elements(row, buffer_, static_cast<size_t>(count_) * row.byte_size());
    ++count_;
    return {};
}

Result<Tensor> Stack::take(ComputeContext& context, const ValueType& type) {
    if (count_ == 0) {
        std::vector<int64_t> dims;
        for (const Dim& dim : type.dims.value_or(std::vector<Dim>())) dims.push_back(std::max<int64_t>(0, dim.size));
        QUOIN_ASSIGN_OR_RETURN(const Shape shape, stacked_shape(context, 0, dims));
        const DType dtype = type.dtype == DType::Undefined ? DType::F32 : type.dtype;
        return Tensor::allocate(context.runtime().memory, dtype, shape, context.node().name);
    }
    Shape shape = buffer_.shape();
    const size_t row_bytes = buffer_.byte_size() / static_cast<size_t>(shape[0]);
    shape[0] = count_;
    return Tensor(buffer_.dtype(), shape, buffer_.data(), row_bytes * static_cast<size_t>(count_), buffer_.owner());
}

}  // namespace quoin
