#include <algorithm>

#include "handles.h"
#include "llm/describe.h"
#include "support.h"
#include "value_handle.h"

using namespace quoin;
using namespace quoin::capi;

namespace {

Status find_output(const quoin_session& session, size_t index, const quoin_value*& out) {
    const size_t count = session.session->output_count();
    if (index >= count) return error(StatusCode::NotFound, "output ", index, " is not below ", count);
    if (session.outputs.empty()) {
        return error(StatusCode::InvalidState, "the session has not run yet, or its last run failed");
    }
    out = &session.outputs[index];
    return {};
}

// Whether it reads what the session's next run writes or frees.
bool reads_own_output(const quoin_session& session, const RuntimeValue& value) {
    const auto reads = [&](const RuntimeValue& part) { return reads_own_output(session, part); };
    if (std::ranges::any_of(value.items(), reads)) return true;
    if (!value.is_tensor() || value.tensor().owner() != nullptr) return false;
    return std::ranges::find(session.own_outputs, value.tensor().data()) != session.own_outputs.end();
}

void forget_outputs(quoin_session& session) {
    session.outputs.clear();
    session.own_outputs.clear();
}

Status set_input(quoin_session& session, size_t index, RuntimeValue value) {
    const size_t count = session.session->input_count();
    if (index >= count) return error(StatusCode::NotFound, "input ", index, " is not below ", count);
    if (reads_own_output(session, value)) {
        return error(StatusCode::InvalidArgument, "input ", index,
                     " would read an output in the memory of this session, which the next run writes; bind a tensor to "
                     "the output, or copy it");
    }
    session.session->set_input(index, std::move(value));
    return {};
}

}  // namespace

quoin_status quoin_session_create(const quoin_model* model, const quoin_session_options* options, quoin_session** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_create", model, out));
        quoin_session_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        auto handle = std::make_unique<quoin_session>();
        QUOIN_ASSIGN_OR_RETURN(handle->session, ModelSession::create(model->model));
        *out = handle.release();
        return {};
    });
}

quoin_status quoin_session_set_input(quoin_session* session, size_t index, const quoin_tensor* tensor) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_set_input", session, tensor));
        return set_input(*session, index, tensor->tensor);
    });
}

quoin_status quoin_session_set_input_value(quoin_session* session, size_t index, const quoin_value* value) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        return set_input(*session, index, value == nullptr ? RuntimeValue() : value->value);
    });
}

quoin_status quoin_session_bind_output(quoin_session* session, size_t index, quoin_tensor* tensor) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        const size_t count = session->session->output_count();
        if (index >= count) return error(StatusCode::NotFound, "output ", index, " is not below ", count);
        if (tensor != nullptr && tensor->tensor.dtype() == DType::String) {
            return error(StatusCode::InvalidArgument, "a tensor of strings cannot be bound");
        }
        session->session->bind_output(index, tensor == nullptr ? std::nullopt : std::optional(tensor->tensor));
        return {};
    });
}

quoin_status quoin_session_run(quoin_session* session) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        const auto run = [session] {
            try {
                return session->session->run();
            } catch (...) {
                forget_outputs(*session);
                throw;
            }
        };
        const Status status = run();
        // Another thread's run is going on, and so are the outputs.
        if (status.code() == StatusCode::InvalidState) return status;
        forget_outputs(*session);
        QUOIN_RETURN_IF_ERROR(status);
        std::vector<quoin_value> outputs;
        for (const RuntimeValue& output : session->session->outputs()) {
            const bool is_own = output.is_tensor() && !session->session->is_bound(outputs.size());
            if (is_own && output.tensor().byte_size() > 0) session->own_outputs.push_back(output.tensor().data());
            outputs.push_back(handle_of(output));
        }
        session->outputs = std::move(outputs);
        return {};
    });
}

void quoin_session_cancel(const quoin_session* session) {
    if (session != nullptr) session->session->cancel();
}

quoin_status quoin_session_output(const quoin_session* session, size_t index, const quoin_tensor** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_output", session, out));
        const quoin_value* value = nullptr;
        QUOIN_RETURN_IF_ERROR(find_output(*session, index, value));
        if (!value->tensor) {
            return error(StatusCode::Unsupported, "output ", index,
                         " is no tensor; quoin_session_output_value gives what it is");
        }
        *out = &*value->tensor;
        return {};
    });
}

quoin_status quoin_session_output_value(const quoin_session* session, size_t index, const quoin_value** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_session_output_value", session, out));
        return find_output(*session, index, *out);
    });
}

void quoin_session_destroy(quoin_session* session) {
    const std::unique_ptr<quoin_session> owner(session);
}

quoin_status quoin_session_describe(const quoin_session* session, int32_t what, int32_t format,
                                    quoin_write_callback write, void* user_data) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        if (write == nullptr) return error(StatusCode::InvalidArgument, "write is NULL");
        if (what != QUOIN_DESCRIBE_PLAN) {
            return error(StatusCode::InvalidArgument, "no description of a session has the number ", what);
        }
        if (format != QUOIN_FORMAT_TEXT && format != QUOIN_FORMAT_JSON) {
            return error(StatusCode::InvalidArgument, "no format has the number ", format);
        }
        QUOIN_ASSIGN_OR_RETURN(const std::string plan, session->session->plan_text());
        const std::string text = as_listing(plan, format == QUOIN_FORMAT_JSON);
        if (write(text.data(), text.size(), user_data) != 0) {
            return error(StatusCode::Cancelled, "the description was stopped by the write callback");
        }
        return {};
    });
}

// ---- profile

quoin_status quoin_session_profile_start(quoin_session* session) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        session->session->start_profile();
        return {};
    });
}

quoin_status quoin_session_profile_stop(quoin_session* session) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        session->session->stop_profile();
        return {};
    });
}

quoin_status quoin_session_profile_write(const quoin_session* session, quoin_write_callback write, void* user_data) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(session, "session"));
        if (write == nullptr) return error(StatusCode::InvalidArgument, "write is NULL");
        const Trace* const trace = session->session->profile();
        if (trace == nullptr) {
            return error(StatusCode::InvalidState, "nothing was written down; call quoin_session_profile_start first");
        }
        return write_trace(*trace,
                           [&](std::string_view text) { return write(text.data(), text.size(), user_data) == 0; });
    });
}
