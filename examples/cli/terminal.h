// What differs between systems and between a terminal and a pipe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

// The reader of standard output has gone (`quoin ... | head`): end without a word.
class OutputClosed : public std::exception {};

// Bytes through unchanged on every system, a closed pipe as an error code. Call once, first.
void prepare_standard_streams();
bool output_is_terminal();
bool messages_are_terminal();  // standard error

// To standard output; throws OutputClosed, or std::runtime_error when it cannot be written (disk full).
void write_output(std::string_view text);
void flush_output();

// A line on standard error that is overwritten as work goes on; only on a terminal and unless `quiet`.
class ProgressLine {
public:
    ProgressLine(std::string label, bool quiet);
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() { clear(); }

    void show(double fraction);
    void clear();

private:
    std::string label_;
    bool enabled_;
    int shown_ = -1;  // percent
};

// While it lives, the first Ctrl-C calls `stop` again and again from another thread until this object ends, for a
// request that comes before the work has begun must not be lost. The second Ctrl-C ends the process.
class InterruptGuard {
public:
    explicit InterruptGuard(std::function<void()> stop);
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;
    ~InterruptGuard();

private:
    struct State;
    std::unique_ptr<State> state_;
};
bool interrupted();

// Most memory that this process has had resident so far; 0 where the system does not tell.
int64_t peak_resident_bytes();
