// Messages for the host. The library prints nothing itself: without a callback, messages go nowhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "core/message.h"

namespace quoin {

enum class LogLevel : int32_t { Error = 1, Warning = 2, Info = 3, Debug = 4 };

using LogFunction = std::function<void(LogLevel, std::string_view)>;

// Replaces the process-wide callback; empty turns logging off. Messages above `level` are not made at all.
// Thread-safe; the callback may be called by any thread, one call at a time.
void set_log(LogLevel level, LogFunction callback);
bool log_enabled(LogLevel level);
void log_message(LogLevel level, std::string_view text);

template <class... Parts>
void log(LogLevel level, const Parts&... parts) {
    if (log_enabled(level)) log_message(level, message_of({MessagePart(parts)...}));
}

}  // namespace quoin
