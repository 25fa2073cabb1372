// Errors as values. Nothing in src/ throws on purpose; std::bad_alloc ends where the C header begins or a step is run.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/message.h"

namespace quoin {

// The numbers are those of quoin_status in quoin.h; blocks of one hundred are classes of causes.
enum class StatusCode : int32_t {
    Ok = 0,
    InvalidArgument = -100,  // the caller passed something that can never work
    BufferTooSmall = -101,   // the needed length was written; call again with more room
    InvalidState = -102,     // right call, wrong moment (a sequence that is already generating)
    NotFound = -103,         // no such name, index or key
    Io = -200,               // the operating system or the reader callback could not deliver the bytes
    InvalidModel = -201,     // the bytes are not a well-formed model
    Unsupported = -202,      // well-formed, but this version cannot run it
    OutOfMemory = -300,      // the machine or the memory budget has no more
    ContextFull = -301,      // no free KV page or no free sequence in the context
    Cancelled = -400,        // a callback or another thread asked to stop
    Internal = -900,         // a defect of the library; please report it
};

const char* to_string(StatusCode code);

// A code and a sentence: what is wrong, where (file, tensor, node), what to do. Success costs one null pointer.
class [[nodiscard]] Status {
public:
    Status() = default;
    Status(StatusCode code, std::string message)
        : detail_(std::make_unique<Detail>(Detail{code, std::move(message)})) {}
    Status(const Status& other) : detail_(other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr) {}
    Status& operator=(const Status& other) { return *this = Status(other); }
    Status(Status&&) noexcept = default;
    Status& operator=(Status&&) noexcept = default;
    ~Status() = default;

    bool ok() const { return detail_ == nullptr; }
    StatusCode code() const { return detail_ ? detail_->code : StatusCode::Ok; }
    const std::string& message() const;

private:
    struct Detail {
        StatusCode code;
        std::string message;
    };
    std::unique_ptr<Detail> detail_;
};

// Status from a code and texts and numbers: error(StatusCode::Io, "cannot open '", path, "'").
template <class... Parts>
Status error(StatusCode code, const Parts&... parts) {
    return {code, message_of({MessagePart(parts)...})};
}

// The same error with where it happened put in front: "file.gguf: tensor 'x': ...".
template <class... Parts>
Status with_context(const Status& status, const Parts&... parts) {
    return status.ok() ? Status() : error(status.code(), parts..., status.message());
}

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
    Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

    bool ok() const { return value_.has_value(); }
    const Status& status() const { return status_; }
    T& value() & { return *value_; }
    const T& value() const& { return *value_; }
    T&& value() && { return *std::move(value_); }
    T& operator*() { return *value_; }
    const T& operator*() const { return *value_; }
    T* operator->() { return &*value_; }
    const T* operator->() const { return &*value_; }

private:
    Status status_;
    std::optional<T> value_;
};

}  // namespace quoin

// Early return is the one thing a function cannot do for its caller.
#define QUOIN_CONCAT_INNER(a, b) a##b
#define QUOIN_CONCAT(a, b) QUOIN_CONCAT_INNER(a, b)
#define QUOIN_RETURN_IF_ERROR(expression)                                                            \
    do {                                                                                             \
        if (::quoin::Status quoin_status_ = (expression); !quoin_status_.ok()) return quoin_status_; \
    } while (false)
#define QUOIN_ASSIGN_OR_RETURN(declaration, expression)                                                     \
    auto QUOIN_CONCAT(quoin_result_, __LINE__) = (expression);                                              \
    if (!QUOIN_CONCAT(quoin_result_, __LINE__).ok()) return QUOIN_CONCAT(quoin_result_, __LINE__).status(); \
    declaration = std::move(QUOIN_CONCAT(quoin_result_, __LINE__)).value()
