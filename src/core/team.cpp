#include "core/team.h"

#include <chrono>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace quoin {
namespace {

// Longer than what lies between two steps of a running model (sampling, text, the caller's callback), shorter than what
// a user would notice as load. Then the thread sleeps in the kernel, from where it takes 50 microseconds to come back.
constexpr std::chrono::microseconds kLongestSpin{100};
// Longer than threads usually wait at a barrier. Whom one waits for so long may be waiting for this very processor: a
// caller whose turn has come, or who prepares its next step.
constexpr std::chrono::microseconds kSpinAlone{5};
// How long a pause takes differs by a factor of ten between processors, so time decides, read every so many spins.
constexpr int kSpinsToClock = 32;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Spins, then spins while it offers the processor to others, then sleeps, until the value differs from `old`.
template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) {
    using Clock = std::chrono::steady_clock;
    const auto spin = [&] {
        for (int i = 0; i < kSpinsToClock; ++i) {
            if (value.load(std::memory_order_acquire) != old) return true;
            pause();
        }
        return false;
    };
    if (spin()) return;
    const Clock::time_point start = Clock::now();
    for (Clock::duration waited{}; waited < kLongestSpin; waited = Clock::now() - start) {
        if (spin()) return;
        if (waited > kSpinAlone) std::this_thread::yield();
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

Team::Team(int threads, std::vector<int> processors) : size_(threads), meetings_(static_cast<size_t>(threads)) {
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

// Dissemination (Hensgen, Finkel, Manber 1988): in round k a thread tells the one 2^k behind it that it and whom it has
// heard of are here. No counter that all threads write: with two threads one cache line travels each way, 140 ns where
// a counter and a phase took 230.
void Team::barrier(int thread) {
    Meeting& own = meetings_[static_cast<size_t>(thread)];
    const uint32_t barrier = ++own.barriers;
    size_t round = 0;
    for (int distance = 1; distance < size_; distance *= 2, ++round) {
        std::atomic<uint32_t>& other = meetings_[static_cast<size_t>((thread + distance) % size_)].heard[round];
        // An exchange, not a store: it must be visible before notify looks whether anybody sleeps.
        other.exchange(barrier, std::memory_order_acq_rel);
        other.notify_one();
        // The thread before us may be a barrier further on already.
        const std::atomic<uint32_t>& heard = own.heard[round];
        for (uint32_t last = heard.load(std::memory_order_acquire); static_cast<int32_t>(last - barrier) < 0;
             last = heard.load(std::memory_order_acquire)) {
            wait_while_equal(heard, last);
        }
    }
}

}  // namespace quoin
