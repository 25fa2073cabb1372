// Who is at an object right now, and whether its work is to end.
#pragma once

#include <atomic>
#include <cstdint>

namespace quoin {

// One number for both: were the wish to end a flag of its own, clearing it when work begins could lose a cancel() that
// had found the work begun, and setting it could end work that begins later. Thread-safe.
class WorkState {
public:
    // The two uses, ended with the block they stand in.
    class Work;
    class Reading;

    // Work is alone: false while anybody else works or reads.
    bool begin() {
        int32_t expected = kFree;
        return value_.compare_exchange_strong(expected, kWorking);
    }
    // Whether the work was cancelled. Every cancel() before this is seen, every later one finds nothing at work.
    bool end() { return value_.exchange(kFree) == kCancelled; }

    // Any number may read at once; false while somebody works.
    bool begin_reading() {
        int32_t readers = value_.load();
        while (readers >= kFree) {
            if (value_.compare_exchange_weak(readers, readers + 1)) return true;
        }
        return false;
    }
    void end_reading() { value_.fetch_sub(1); }

    // Whether there was work to cancel.
    bool cancel() {
        int32_t expected = kWorking;
        return value_.compare_exchange_strong(expected, kCancelled) || expected == kCancelled;
    }
    bool is_cancelled() const { return value_.load(std::memory_order_relaxed) == kCancelled; }

private:
    static constexpr int32_t kFree = 0;  // above it: so many readers
    static constexpr int32_t kWorking = -1;
    static constexpr int32_t kCancelled = -2;  // and still working

    std::atomic<int32_t> value_{kFree};
};

class WorkState::Work {
public:
    explicit Work(WorkState& state) : state_(state), begun_(state.begin()) {}
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
    ~Work() {
        if (begun_) state_.end();
    }
    bool begun() const { return begun_; }
    // See WorkState::end(). To be called once, by who has begun.
    bool end() {
        begun_ = false;
        return state_.end();
    }

private:
    WorkState& state_;
    bool begun_;
};

class WorkState::Reading {
public:
    explicit Reading(WorkState& state) : state_(state), begun_(state.begin_reading()) {}
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading() {
        if (begun_) state_.end_reading();
    }
    bool begun() const { return begun_; }

private:
    WorkState& state_;
    bool begun_;
};

}  // namespace quoin
