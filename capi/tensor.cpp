#include "handles.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

namespace {

Status read_shape(int32_t dtype, int32_t rank, const int64_t* dims, DType& out_dtype, Shape& out_shape,
                  size_t& out_bytes) {
    const std::optional<DType> known = dtype > 0 ? dtype_from_number(static_cast<uint32_t>(dtype)) : std::nullopt;
    if (!known || *known == DType::String || *known == DType::Q8Row) {
        return error(StatusCode::InvalidArgument, "no tensor can have the element type ", dtype);
    }
    if (rank < 0 || rank > static_cast<int32_t>(Shape::kMaxRank)) {
        return error(StatusCode::InvalidArgument, "rank ", rank, " is not between 0 and ", Shape::kMaxRank);
    }
    if (rank > 0 && dims == nullptr) return error(StatusCode::InvalidArgument, "dims is NULL");
    out_dtype = *known;
    out_shape = Shape(std::span<const int64_t>(dims, static_cast<size_t>(rank)));
    const std::optional<int64_t> count = out_shape.element_count();
    const std::optional<size_t> bytes = count ? byte_size(*known, *count) : std::nullopt;
    if (!bytes) {
        return error(StatusCode::InvalidArgument, "no tensor of ", dtype_name(*known), " can have the shape ",
                     to_string(out_shape));
    }
    out_bytes = *bytes;
    return {};
}

}  // namespace

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
    return tensor == nullptr ? 0 : tensor->tensor.byte_size();
}

void* quoin_tensor_data(quoin_tensor* tensor) {
    return tensor == nullptr ? nullptr : tensor->tensor.data();
}

const void* quoin_tensor_data_const(const quoin_tensor* tensor) {
    return tensor == nullptr ? nullptr : tensor->tensor.data();
}

// ---- session

quoin_status quoin_session_create(const quoin_model* model, const quoin_session_options* options, quoin_session** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_create", model, out));
        quoin_session_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        auto handle = std::make_unique<quoin_session>();
        QUOIN_ASSIGN_OR_RETURN(handle->session, ModelSession::create(model->model));
        handle->outputs.resize(model->outputs.size());
        *out = handle.release();
        return {};
    });
}

quoin_status quoin_session_set_input(quoin_session* session, size_t index, const quoin_tensor* tensor) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_set_input", session, tensor));
        const size_t count = input_specs(session->session->model()).size();
        if (index >= count) return error(StatusCode::NotFound, "input ", index, " is not below ", count);
        session->session->set_input(index, tensor->tensor);
        return {};
    });
}

quoin_status quoin_session_bind_output(quoin_session* session, size_t index, quoin_tensor* tensor) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        if (index >= session->outputs.size()) {
            return error(StatusCode::NotFound, "output ", index, " is not below ", session->outputs.size());
        }
        session->session->bind_output(index, tensor == nullptr ? std::nullopt : std::optional(tensor->tensor));
        return {};
    });
}

quoin_status quoin_session_run(quoin_session* session) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        return session->session->run();
    });
}

void quoin_session_cancel(const quoin_session* session) {
    if (session != nullptr) session->session->cancel();
}

quoin_status quoin_session_output(const quoin_session* session, size_t index, const quoin_tensor** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_output", session, out));
        if (index >= session->outputs.size()) {
            return error(StatusCode::NotFound, "output ", index, " is not below ", session->outputs.size());
        }
        const std::optional<Tensor>& output = session->session->output(index);
        if (!output) return error(StatusCode::InvalidState, "the session has not run yet, or its last run failed");
        session->outputs[index].tensor = *output;
        *out = &session->outputs[index];
        return {};
    });
}

void quoin_session_destroy(quoin_session* session) {
    const std::unique_ptr<quoin_session> owner(session);
}
