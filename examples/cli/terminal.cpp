#include "terminal.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#else
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace {

volatile std::sig_atomic_t interrupt_seen = 0;

void on_interrupt(int) {
    interrupt_seen = 1;
    std::signal(SIGINT, SIG_DFL);  // the second one ends the process
}

void fail_output() {
    if (errno == EPIPE || errno == EINVAL) throw OutputClosed();  // EINVAL: what Windows says of a closed pipe
    throw std::runtime_error(std::string("cannot write to standard output: ") + std::strerror(errno));
}

}  // namespace

void prepare_standard_streams() {
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#else
    std::signal(SIGPIPE, SIG_IGN);
#endif
}

bool output_is_terminal() {
#ifdef _WIN32
    return _isatty(_fileno(stdout)) != 0;
#else
    return isatty(STDOUT_FILENO) != 0;
#endif
}

bool messages_are_terminal() {
#ifdef _WIN32
    return _isatty(_fileno(stderr)) != 0;
#else
    return isatty(STDERR_FILENO) != 0;
#endif
}

void write_output(std::string_view text) {
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_output();
}

void flush_output() {
    errno = 0;
    if (std::fflush(stdout) != 0) fail_output();
}

ProgressLine::ProgressLine(std::string label, bool quiet)
    : label_(std::move(label)), enabled_(!quiet && messages_are_terminal()) {}

void ProgressLine::show(double fraction) {
    const int percent = static_cast<int>(fraction * 100);
    if (!enabled_ || percent == shown_) return;
    shown_ = percent;
    std::fprintf(stderr, "\r%s %d %%\033[K", label_.c_str(), percent);
    std::fflush(stderr);
}

void ProgressLine::clear() {
    if (shown_ < 0) return;
    shown_ = -1;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
}

struct InterruptGuard::State {
    std::mutex mutex;
    std::condition_variable ended_changed;
    bool ended = false;
    std::thread watcher;
};

InterruptGuard::InterruptGuard(std::function<void()> stop) : state_(std::make_unique<State>()) {
    std::signal(SIGINT, on_interrupt);
    // Almost nothing may be called in a signal handler, so a thread looks at the flag.
    state_->watcher = std::thread([state = state_.get(), stop = std::move(stop)] {
        std::unique_lock<std::mutex> lock(state->mutex);
        while (!state->ended_changed.wait_for(lock, std::chrono::milliseconds(30), [state] { return state->ended; })) {
            if (interrupted()) stop();
        }
    });
}

InterruptGuard::~InterruptGuard() {
    {
        const std::lock_guard<std::mutex> lock(state_->mutex);
        state_->ended = true;
    }
    state_->ended_changed.notify_one();
    state_->watcher.join();
    if (!interrupted()) std::signal(SIGINT, SIG_DFL);
}

bool interrupted() {
    return interrupt_seen != 0;
}

int64_t peak_resident_bytes() {
#ifdef _WIN32
    return 0;
#else
    // getrusage counts what the parent had before exec, too; the kernel's own line does not.
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmHWM:", 0) == 0) return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
    }
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
    return usage.ru_maxrss;
#else
    return int64_t{usage.ru_maxrss} * 1024;
#endif
#endif
}
