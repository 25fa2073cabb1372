#include "core/log.h"

#include <atomic>
#include <mutex>
#include <utility>

namespace quoin {
namespace {

struct LogState {
    std::mutex mutex;
    LogFunction callback;
    std::atomic<int32_t> level{0};
};

// Never destroyed: worker threads of a host may log while the process is on its way out.
LogState& state() {
    static auto* const instance = new LogState;
    return *instance;
}

}  // namespace

void set_log(LogLevel level, LogFunction callback) {
    const std::scoped_lock lock(state().mutex);
    state().level.store(callback ? static_cast<int32_t>(level) : 0, std::memory_order_relaxed);
    state().callback = std::move(callback);
}

bool log_enabled(LogLevel level) {
    return static_cast<int32_t>(level) <= state().level.load(std::memory_order_relaxed);
}

void log_message(LogLevel level, std::string_view text) {
    const std::scoped_lock lock(state().mutex);
    if (state().callback) state().callback(level, text);
}

}  // namespace quoin
