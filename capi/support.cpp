#include "support.h"

#include <array>

namespace quoin::capi {
namespace {

// Fixed size: reporting that memory has run out must not need memory.
thread_local std::array<char, 2048> last_error{};

}  // namespace

quoin_status report(StatusCode code, const char* message) noexcept {
    const size_t length = std::min(std::strlen(message), last_error.size() - 1);
    std::memcpy(last_error.data(), message, length);
    last_error[length] = '\0';
    return static_cast<quoin_status>(code);
}

quoin_status report(const Status& status) noexcept {
    return status.ok() ? QUOIN_OK : report(status.code(), status.message().c_str());
}

Result<EncodeOptions> encode_options(int32_t flags) {
    if ((flags & ~(QUOIN_ENCODE_BOS | QUOIN_ENCODE_SPECIAL | QUOIN_ENCODE_CONTINUE)) != 0) {
        return error(StatusCode::InvalidArgument, "flags has bits that are none of QUOIN_ENCODE_*");
    }
    return EncodeOptions{.add_special = (flags & QUOIN_ENCODE_BOS) != 0,
                         .parse_special = (flags & QUOIN_ENCODE_SPECIAL) != 0,
                         .continues = (flags & QUOIN_ENCODE_CONTINUE) != 0};
}

std::optional<DType> dtype_of(int32_t number) {
    const std::optional<DType> dtype = number > 0 ? dtype_from_number(static_cast<uint32_t>(number)) : std::nullopt;
    return dtype == DType::Q8Row ? std::nullopt : dtype;
}

Status require(const void* pointer, const char* name) {
    return pointer != nullptr ? Status() : error(StatusCode::InvalidArgument, name, " is NULL");
}

Status read_text(const char* text, size_t length, const char* name, std::string_view& out) {
    if (text == nullptr) {
        out = {};
        if (length == 0) return {};
        return error(StatusCode::InvalidArgument, name, " is NULL");
    }
    out = length == QUOIN_STRLEN ? std::string_view(text) : std::string_view(text, length);
    return {};
}

}  // namespace quoin::capi

const char* quoin_last_error() {
    return quoin::capi::last_error.data();
}
