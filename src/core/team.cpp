#include "core/team.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace quoin {
namespace {

// About 20 microseconds: longer than any gap between steps of a running model, shorter than what a user would notice
// as load. Then the thread sleeps in the kernel.
constexpr int kSpins = 1000;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Spins briefly, then sleeps until the value differs from `old`.
template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) {
    for (int spin = 0; spin < kSpins; ++spin) {
        if (value.load(std::memory_order_acquire) != old) return;
        pause();
    }
    value.wait(old, std::memory_order_acquire);
}

void pin_to(int processor) {
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
#else
    (void)processor;
#endif
}

}  // namespace

Team::Team(int threads, std::vector<int> processors) : size_(threads) {
    workers_.reserve(static_cast<size_t>(threads - 1));
    try {
        for (int thread = 1; thread < threads; ++thread) {
            const int processor = processors.empty() ? -1 : processors[static_cast<size_t>(thread) % processors.size()];
            workers_.emplace_back([this, thread, processor] {
                if (processor >= 0) pin_to(processor);
                worker(thread);
            });
        }
    } catch (...) {  // the destructor does not run for a half-made team
        stop();
        throw;
    }
}

Team::~Team() {
    stop();
}

void Team::stop() {
    stopping_.store(true, std::memory_order_relaxed);
    region_.fetch_add(1, std::memory_order_release);
    region_.notify_all();
    for (std::thread& thread : workers_) thread.join();
}

void Team::run_erased(Function function, void* context) {
    {
        std::unique_lock lock(turn_mutex_);
        const uint64_t ticket = next_ticket_++;
        turn_changed_.wait(lock, [&] { return serving_ == ticket; });
    }
    if (size_ > 1) {
        function_ = function;
        context_ = context;
        running_.store(size_ - 1, std::memory_order_relaxed);
        region_.fetch_add(1, std::memory_order_release);
        region_.notify_all();
    }
    function(context, 0);
    for (int32_t left = running_.load(std::memory_order_acquire); left != 0;
         left = running_.load(std::memory_order_acquire)) {
        wait_while_equal(running_, left);
    }
    {
        const std::scoped_lock lock(turn_mutex_);
        ++serving_;
    }
    turn_changed_.notify_all();
}

void Team::worker(int thread) {
    uint32_t seen = 0;
    while (true) {
        wait_while_equal(region_, seen);
        ++seen;
        if (stopping_.load(std::memory_order_relaxed)) return;
        function_(context_, thread);
        if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_all();
    }
}

void Team::barrier() {
    if (size_ == 1) return;
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        phase_.fetch_add(1, std::memory_order_release);
        phase_.notify_all();
        return;
    }
    wait_while_equal(phase_, phase);
}

}  // namespace quoin
