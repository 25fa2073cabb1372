// Which thread does which tasks of a step.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace quoin {

// Each thread has a share of neighbouring tasks, the same in every run, and takes them from the front. Who has done its
// own takes what is left of others' shares, from the back. A counter that all threads draw from would send its cache
// line from core to core for every task (50 ns within a cluster of cores, 220 ns from one to the next); here a line
// moves when a share ends. Neighbouring tasks read neighbouring memory, which is asked for ahead of its use.
class TaskShares {
public:
    // Not during a run.
    void resize(size_t steps, int threads) {
        if (steps <= steps_ && threads == threads_) return;
        steps_ = steps;
        threads_ = threads;
        row_ = (steps + 2 * kLine - 1) / kLine * kLine;  // a free line between the rows of two threads
        taken_ = std::vector<std::atomic<uint64_t>>(2 * static_cast<size_t>(threads) * row_);
    }
    // By one thread, before the others enter a run.
    void begin_run() { half_ = 1 - half_; }
    // By each thread in every run: makes its shares of the next run whole.
    void prepare_next_run(int thread) {
        std::atomic<uint64_t>* const row = &taken(1 - half_, thread, 0);
        for (size_t step = 0; step < steps_; ++step) row[step].store(0, std::memory_order_relaxed);
    }

    // The next task of the thread's own share; -1: it has ended.
    int64_t take_own(size_t step, int64_t tasks, int thread) {
        const Share share = share_of(tasks, thread);
        if (share.count == 0) return -1;
        const uint64_t before = taken(half_, thread, step).fetch_add(kFront, std::memory_order_relaxed);
        return is_left(before, share.count) ? share.first + front(before) : -1;
    }
    // A task of another thread's share; -1: nothing is left of it.
    int64_t take_from(size_t step, int64_t tasks, int owner) {
        const Share share = share_of(tasks, owner);
        std::atomic<uint64_t>& taken_of_owner = taken(half_, owner, step);
        // Looked at first: what is only read need not be taken away from its owner.
        if (!is_left(taken_of_owner.load(std::memory_order_relaxed), share.count)) return -1;
        const uint64_t before = taken_of_owner.fetch_add(kBack, std::memory_order_relaxed);
        return is_left(before, share.count) ? share.first + share.count - 1 - back(before) : -1;
    }

private:
    static constexpr size_t kLine = 64 / sizeof(uint64_t);
    // How many tasks were taken from the front and from the back of a share, in the halves of a number. Attempts that
    // came too late are counted too; both only grow, so that a share that has ended stays so.
    static constexpr uint64_t kFront = 1;
    static constexpr uint64_t kBack = uint64_t{1} << 32;
    static int64_t front(uint64_t taken) { return static_cast<int64_t>(taken & (kBack - 1)); }
    static int64_t back(uint64_t taken) { return static_cast<int64_t>(taken >> 32); }
    static bool is_left(uint64_t taken, int64_t count) { return front(taken) + back(taken) < count; }

    struct Share {
        int64_t first;
        int64_t count;
    };
    Share share_of(int64_t tasks, int thread) const {
        const int64_t first = tasks * thread / threads_;
        return {first, tasks * (thread + 1) / threads_ - first};
    }
    std::atomic<uint64_t>& taken(size_t half, int thread, size_t step) {
        return taken_[(half * static_cast<size_t>(threads_) + static_cast<size_t>(thread)) * row_ + step];
    }

    size_t steps_ = 0;
    size_t row_ = 0;
    int threads_ = 1;
    size_t half_ = 0;                           // of the run that goes on; the other half is for the next one
    std::vector<std::atomic<uint64_t>> taken_;  // [half][thread][step]
};

}  // namespace quoin
