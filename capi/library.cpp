#include "core/cpu_info.h"
#include "core/dtype.h"
#include "core/log.h"
#include "core/message.h"
#include "ops/image_codecs.h"
#include "ops/providers.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

#define QUOIN_TEXT_OF(x) #x
#define QUOIN_TEXT(x) QUOIN_TEXT_OF(x)

// Between two ops only, so the header does not know it.
static constexpr auto kInternalType = static_cast<int32_t>(DType::Q8Row);

static_assert(QUOIN_OK == static_cast<int>(StatusCode::Ok));
static_assert(QUOIN_ERROR_INVALID_ARGUMENT == static_cast<int>(StatusCode::InvalidArgument));
static_assert(QUOIN_ERROR_BUFFER_TOO_SMALL == static_cast<int>(StatusCode::BufferTooSmall));
static_assert(QUOIN_ERROR_INVALID_STATE == static_cast<int>(StatusCode::InvalidState));
static_assert(QUOIN_ERROR_NOT_FOUND == static_cast<int>(StatusCode::NotFound));
static_assert(QUOIN_ERROR_IO == static_cast<int>(StatusCode::Io));
static_assert(QUOIN_ERROR_INVALID_MODEL == static_cast<int>(StatusCode::InvalidModel));
static_assert(QUOIN_ERROR_UNSUPPORTED == static_cast<int>(StatusCode::Unsupported));
static_assert(QUOIN_ERROR_OUT_OF_MEMORY == static_cast<int>(StatusCode::OutOfMemory));
static_assert(QUOIN_ERROR_CONTEXT_FULL == static_cast<int>(StatusCode::ContextFull));
static_assert(QUOIN_CANCELLED == static_cast<int>(StatusCode::Cancelled));
static_assert(QUOIN_ERROR_INTERNAL == static_cast<int>(StatusCode::Internal));

static std::string build_info() {
    std::string text = "quoin ";
    text += quoin_version_string();
#if defined(__clang__)
    text += ", clang " __clang_version__;
#elif defined(__GNUC__)
    text += ", gcc " __VERSION__;
#endif
    text += ", instruction sets " + sentence_of(own_isa_names());
    text += ", providers " + provider_names();
    text += ", pictures in " + picture_formats();
    return text;
}

uint32_t quoin_version() {
    return QUOIN_VERSION;
}

const char* quoin_version_string() {
    return QUOIN_TEXT(QUOIN_VERSION_MAJOR) "." QUOIN_TEXT(QUOIN_VERSION_MINOR) "." QUOIN_TEXT(QUOIN_VERSION_PATCH);
}

const char* quoin_build_info() {
    try {
        static const std::string text = build_info();
        return text.c_str();
    } catch (const std::bad_alloc&) {
        return "quoin";
    }
}

const char* quoin_status_string(quoin_status status) {
    return to_string(static_cast<StatusCode>(status));
}

quoin_status quoin_log_set(int32_t level, quoin_log_callback callback, void* user_data) {
    return guard([&]() -> Status {
        if (level < QUOIN_LOG_OFF || level > QUOIN_LOG_DEBUG) {
            return error(StatusCode::InvalidArgument, "no log level has the number ", level);
        }
        if (callback == nullptr || level == QUOIN_LOG_OFF) {
            set_log(LogLevel::Error, {});
            return {};
        }
        set_log(static_cast<LogLevel>(level), [callback, user_data](LogLevel each, std::string_view text) {
            callback(static_cast<int32_t>(each), text.data(), text.size(), user_data);
        });
        return {};
    });
}

quoin_status quoin_cpu_info(quoin_cpu* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        quoin_cpu info{};
        info.name = cpu_name().data();
        info.isa_detected = isa_name(detected_isa()).data();
        info.isa_default = isa_name(effective_isa(std::nullopt)).data();
        info.processors = available_processors();
        return write_struct(info, out);
    });
}

const char* quoin_dtype_name(int32_t dtype) {
    const bool known = dtype > 0 && dtype < 256 && dtype != kInternalType;
    return dtype_name(known ? static_cast<DType>(dtype) : DType::Undefined).data();
}

int32_t quoin_dtype_from_name(const char* name, size_t name_length) {
    std::string_view text;
    if (!read_text(name, name_length, "name", text).ok()) return QUOIN_DTYPE_UNDEFINED;
    const auto dtype = static_cast<int32_t>(dtype_from_name(text).value_or(DType::Undefined));
    return dtype == kInternalType ? int32_t{QUOIN_DTYPE_UNDEFINED} : dtype;
}
