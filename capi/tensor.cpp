#include "handles.h"
#include "support.h"
#include "value_handle.h"

using namespace quoin;
using namespace quoin::capi;

namespace {

static_assert(static_cast<int32_t>(RuntimeValue::Kind::None) == QUOIN_VALUE_NONE);
static_assert(static_cast<int32_t>(RuntimeValue::Kind::Tensor) == QUOIN_VALUE_TENSOR);
static_assert(static_cast<int32_t>(RuntimeValue::Kind::Sequence) == QUOIN_VALUE_SEQUENCE);
static_assert(static_cast<int32_t>(RuntimeValue::Kind::Map) == QUOIN_VALUE_MAP);

Status read_dims(int32_t rank, const int64_t* dims, Shape& out) {
    if (rank < 0 || rank > static_cast<int32_t>(Shape::kMaxRank)) {
        return error(StatusCode::InvalidArgument, "rank ", rank, " is not between 0 and ", Shape::kMaxRank);
    }
    if (rank > 0 && dims == nullptr) return error(StatusCode::InvalidArgument, "dims is NULL");
    out = Shape(std::span<const int64_t>(dims, static_cast<size_t>(rank)));
    return {};
}

Status read_shape(int32_t dtype, int32_t rank, const int64_t* dims, DType& out_dtype, Shape& out_shape,
                  size_t& out_bytes) {
    const std::optional<DType> known = dtype_of(dtype);
    if (!known || *known == DType::String) {
        return error(StatusCode::InvalidArgument, "no tensor can have the element type ", dtype);
    }
    out_dtype = *known;
    QUOIN_RETURN_IF_ERROR(read_dims(rank, dims, out_shape));
    const std::optional<int64_t> count = out_shape.element_count();
    const std::optional<size_t> bytes = count ? byte_size(*known, *count) : std::nullopt;
    if (!bytes) {
        return error(StatusCode::InvalidArgument, "no tensor of ", dtype_name(*known), " can have the shape ",
                     to_string(out_shape));
    }
    out_bytes = *bytes;
    return {};
}

bool has_bytes(const quoin_tensor* tensor) {
    return tensor != nullptr && tensor->tensor.dtype() != DType::String;
}

}  // namespace

quoin_value quoin::capi::handle_of(RuntimeValue value) {
    quoin_value handle;
    if (value.is_tensor()) handle.tensor = quoin_tensor{value.tensor()};
    for (const RuntimeValue& item : value.items()) handle.items.push_back(handle_of(item));
    handle.value = std::move(value);
    return handle;
}

quoin_status quoin_tensor_create(int32_t dtype, int32_t rank, const int64_t* dims, quoin_tensor** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        DType type{};
        Shape shape;
        size_t bytes = 0;
        QUOIN_RETURN_IF_ERROR(read_shape(dtype, rank, dims, type, shape, bytes));
        QUOIN_ASSIGN_OR_RETURN(Tensor tensor, Tensor::allocate(std::make_shared<Memory>(), type, shape, "a tensor"));
        if (bytes != 0) std::memset(tensor.data(), 0, bytes);
        *out = std::make_unique<quoin_tensor>(quoin_tensor{std::move(tensor)}).release();
        return {};
    });
}

quoin_status quoin_tensor_wrap(void* data, size_t bytes, int32_t dtype, int32_t rank, const int64_t* dims,
                               quoin_tensor** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        DType type{};
        Shape shape;
        size_t needed = 0;
        QUOIN_RETURN_IF_ERROR(read_shape(dtype, rank, dims, type, shape, needed));
        if (bytes != needed) {
            return error(StatusCode::InvalidArgument, "a tensor of ", dtype_name(type), to_string(shape), " has ",
                         needed, " bytes, not ", bytes);
        }
        if (data == nullptr && bytes != 0) return error(StatusCode::InvalidArgument, "data is NULL");
        const size_t alignment = std::min<size_t>(8, static_cast<size_t>(dtype_info(type).block_bytes));
        if (dtype_info(type).block_elements == 1 && reinterpret_cast<uintptr_t>(data) % alignment != 0) {
            return error(StatusCode::InvalidArgument, "data is not aligned to ", alignment, " bytes");
        }
        Tensor tensor(type, shape, static_cast<std::byte*>(data), bytes, nullptr);
        *out = std::make_unique<quoin_tensor>(quoin_tensor{std::move(tensor)}).release();
        return {};
    });
}

void quoin_tensor_destroy(quoin_tensor* tensor) {
    const std::unique_ptr<quoin_tensor> owner(tensor);
}

int32_t quoin_tensor_dtype(const quoin_tensor* tensor) {
    return tensor == nullptr ? QUOIN_DTYPE_UNDEFINED : static_cast<int32_t>(tensor->tensor.dtype());
}

int32_t quoin_tensor_rank(const quoin_tensor* tensor) {
    return tensor == nullptr ? 0 : static_cast<int32_t>(tensor->tensor.shape().rank());
}

const int64_t* quoin_tensor_dims(const quoin_tensor* tensor) {
    return tensor == nullptr ? nullptr : tensor->tensor.shape().dims().data();
}

size_t quoin_tensor_byte_size(const quoin_tensor* tensor) {
    return has_bytes(tensor) ? tensor->tensor.byte_size() : 0;
}

void* quoin_tensor_data(quoin_tensor* tensor) {
    return has_bytes(tensor) ? tensor->tensor.data() : nullptr;
}

const void* quoin_tensor_data_const(const quoin_tensor* tensor) {
    return has_bytes(tensor) ? tensor->tensor.data() : nullptr;
}

// ---- strings

quoin_status quoin_tensor_create_strings(int32_t rank, const int64_t* dims, const char* const* texts,
                                         const size_t* lengths, quoin_tensor** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        Shape shape;
        QUOIN_RETURN_IF_ERROR(read_dims(rank, dims, shape));
        const std::optional<int64_t> count = shape.element_count();
        if (!count) return error(StatusCode::InvalidArgument, "no tensor can have the shape ", to_string(shape));
        if (*count > 0 && texts == nullptr) return error(StatusCode::InvalidArgument, "texts is NULL");
        QUOIN_ASSIGN_OR_RETURN(Tensor tensor,
                               Tensor::allocate(std::make_shared<Memory>(), DType::String, shape, "a tensor"));
        const std::span<std::string> elements = tensor.as<std::string>();
        for (size_t index = 0; index < elements.size(); ++index) {
            std::string_view text;
            QUOIN_RETURN_IF_ERROR(
                read_text(texts[index], lengths == nullptr ? QUOIN_STRLEN : lengths[index], "a text", text));
            elements[index] = text;
        }
        *out = std::make_unique<quoin_tensor>(quoin_tensor{std::move(tensor)}).release();
        return {};
    });
}

quoin_status quoin_tensor_string(const quoin_tensor* tensor, size_t index, const char** out_text, size_t* out_length) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_tensor_string", tensor, out_text, out_length));
        if (tensor->tensor.dtype() != DType::String) {
            return error(StatusCode::InvalidArgument, "the tensor is one of ", dtype_name(tensor->tensor.dtype()),
                         ", not of strings");
        }
        const std::span<const std::string> elements = tensor->tensor.as<const std::string>();
        if (index >= elements.size()) {
            return error(StatusCode::NotFound, "element ", index, " is not below ", elements.size());
        }
        *out_text = elements[index].data();
        *out_length = elements[index].size();
        return {};
    });
}

// ---- values

quoin_status quoin_value_create_sequence(int32_t dtype, const quoin_tensor* const* tensors, size_t count,
                                         quoin_value** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        const std::optional<DType> known = dtype_of(dtype);
        if (!known) return error(StatusCode::InvalidArgument, "no tensor can have the element type ", dtype);
        if (count > 0 && tensors == nullptr) return error(StatusCode::InvalidArgument, "tensors is NULL");
        std::vector<RuntimeValue> items;
        for (size_t index = 0; index < count; ++index) {
            if (tensors[index] == nullptr) return error(StatusCode::InvalidArgument, "tensor ", index, " is NULL");
            const Tensor& tensor = tensors[index]->tensor;
            if (tensor.dtype() != *known) {
                return error(StatusCode::InvalidArgument, "tensor ", index, " is one of ", dtype_name(tensor.dtype()),
                             " in a sequence of ", dtype_name(*known));
            }
            items.emplace_back(tensor);
        }
        *out = std::make_unique<quoin_value>(handle_of(RuntimeValue(std::move(items), *known))).release();
        return {};
    });
}

void quoin_value_destroy(quoin_value* value) {
    const std::unique_ptr<quoin_value> owner(value);
}

int32_t quoin_value_kind(const quoin_value* value) {
    return value == nullptr ? QUOIN_VALUE_NONE : static_cast<int32_t>(value->value.kind());
}

size_t quoin_value_count(const quoin_value* value) {
    return value == nullptr ? 0 : value->items.size();
}

quoin_status quoin_value_item(const quoin_value* value, size_t index, const quoin_value** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_value_item", value, out));
        if (index >= value->items.size()) {
            return error(StatusCode::NotFound, "item ", index, " is not below ", value->items.size());
        }
        *out = &value->items[index];
        return {};
    });
}

const quoin_tensor* quoin_value_tensor(const quoin_value* value) {
    return value == nullptr || !value->tensor ? nullptr : &*value->tensor;
}
