#include "core/status.h"

namespace quoin {

const char* to_string(StatusCode code) {
    switch (code) {
        case StatusCode::Ok: return "ok";
        case StatusCode::InvalidArgument: return "invalid argument";
        case StatusCode::BufferTooSmall: return "buffer too small";
        case StatusCode::InvalidState: return "invalid state";
        case StatusCode::NotFound: return "not found";
        case StatusCode::Io: return "input/output error";
        case StatusCode::InvalidModel: return "invalid model";
        case StatusCode::Unsupported: return "unsupported";
        case StatusCode::OutOfMemory: return "out of memory";
        case StatusCode::ContextFull: return "context full";
        case StatusCode::Cancelled: return "cancelled";
        case StatusCode::Internal: return "internal error";
    }
    return "unknown status";
}

const std::string& Status::message() const {
    static const std::string none;
    return detail_ ? detail_->message : none;
}

}  // namespace quoin
