// The worker team of a runtime: the caller's thread and count-1 workers enter a region together.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace quoin {

// Why not OpenMP: its pools belong to the calling thread, so two host threads with a model each would run four threads
// on two cores, its spinning is set for the whole process by an environment variable, and ThreadSanitizer cannot see
// its barriers. Regions of several callers take turns in the order of arrival.
class Team {
public:
    // `threads` >= 1, the caller included. Throws std::system_error when the system gives no more threads.
    // `processors` (may be empty): worker i is pinned to processors[i % size].
    explicit Team(int threads, std::vector<int> processors = {});
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return size_; }

    // Runs body(thread) once on every thread, 0 being the caller, and returns when all have ended. Any thread may call;
    // not from inside a region. An exception that leaves the body ends the process, on the caller's thread as on a
    // worker's: the others may stand at a barrier that its thread will never reach. So a body that runs what may throw
    // catches it inside and still goes to every barrier, as Session does.
    template <class Body>
    void run(Body&& body) {
        run_erased(
            [](void* context, int thread) noexcept { (*static_cast<std::remove_reference_t<Body>*>(context))(thread); },
            &body);
    }

    // Inside a region: returns when every thread of the team has called it. What was written before is seen after.
    void barrier(int thread);

private:
    using Function = void (*)(void* context, int thread) noexcept;
    void run_erased(Function function, void* context);
    void worker(int thread);
    void stop();

    const int size_;
    std::mutex turn_mutex_;  // one region at a time, in the order of arrival
    std::condition_variable turn_changed_;
    uint64_t next_ticket_ = 0;
    uint64_t serving_ = 0;

    Function function_ = nullptr;
    void* context_ = nullptr;
    alignas(64) std::atomic<uint32_t> region_{0};  // counts regions; workers wait for it to change
    alignas(64) std::atomic<int32_t> running_{0};  // workers still inside the region
    static constexpr size_t kMostRounds = 12;      // of a barrier: threads double in each
    struct alignas(64) Meeting {
        std::array<std::atomic<uint32_t>, kMostRounds> heard{};  // of each round: the last barrier it was heard of
        uint32_t barriers = 0;                                   // the thread's own count
    };
    std::vector<Meeting> meetings_;  // of each thread
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> workers_;
};

}  // namespace quoin
