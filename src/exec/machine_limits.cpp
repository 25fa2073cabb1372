#include "exec/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "core/memory.h"
#include "kernels/kernels.h"

namespace quoin {
namespace {

constexpr int64_t kReadBytes = int64_t{512} << 20;
constexpr int kRepeats = 6;
constexpr double kProbeSeconds = 0.02;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// work(thread) on all threads at once; seconds from the common start to the last end, 0 when threads cannot be had.
template <class Work>
double time_threads(int threads, const Work& work) {
    std::atomic<int> ready{0};
    std::atomic<int> go{0};  // 1: start, -1: give up
    std::vector<std::thread> team;
    const auto run = [&](int thread) {
        ready.fetch_add(1);
        while (go.load() == 0) std::this_thread::yield();
        if (go.load() > 0) work(thread);
    };
    try {
        team.reserve(static_cast<size_t>(threads));
        for (int t = 1; t < threads; ++t) team.emplace_back(run, t);
    } catch (const std::exception&) {
        go.store(-1);
        for (std::thread& member : team) member.join();
        return 0;
    }
    while (ready.load() < threads - 1) std::this_thread::yield();
    const double start = now();
    go.store(1);
    work(0);
    for (std::thread& member : team) member.join();
    return now() - start;
}

double peak(int threads, int64_t (*probe)(int64_t)) {
    int64_t rounds = 1000;
    for (;;) {  // as many rounds as fill the time
        const double start = now();
        probe(rounds);
        if (now() - start > kProbeSeconds) break;
        rounds *= 2;
    }
    double best = 0;
    for (int r = 0; r < kRepeats; ++r) {
        std::atomic<int64_t> operations{0};
        const double seconds = time_threads(threads, [&](int) { operations.fetch_add(probe(rounds)); });
        if (seconds > 0) best = std::max(best, static_cast<double>(operations.load()) / seconds / 1e12);
    }
    return best;
}

}  // namespace

double measure_dram_gb_per_s(int threads, Isa isa) {
    threads = std::max(threads, 1);
    const auto read = kernels(isa).probe_read;
    // Memory as weights have it: huge pages make a quarter more of the same hardware.
    const Result<Buffer> memory = Buffer::allocate(std::make_shared<Memory>(), kReadBytes, "the bandwidth probe");
    if (!memory.ok()) return 0;
    std::byte* const buffer = memory.value().data();
    const int64_t part = kReadBytes / threads / 4096 * 4096;
    // Each thread touches its own part first, so that its pages are near it.
    time_threads(threads, [&](int t) { std::memset(buffer + t * part, t + 1, static_cast<size_t>(part)); });
    double best = 0;
    std::atomic<uint64_t> sink{0};
    for (int r = 0; r < kRepeats; ++r) {
        const double seconds = time_threads(threads, [&](int t) { sink.fetch_add(read(buffer + t * part, part)); });
        if (seconds > 0) best = std::max(best, static_cast<double>(part * threads) / seconds / 1e9);
    }
    return best;
}

double measure_int8_tops(int threads, Isa isa) {
    return peak(std::max(threads, 1), kernels(isa).probe_int8);
}
double measure_f32_tflops(int threads, Isa isa) {
    return peak(std::max(threads, 1), kernels(isa).probe_f32);
}
double measure_bf16_tflops(int threads, Isa isa) {
    return peak(std::max(threads, 1), kernels(isa).probe_bf16);
}

MachineLimits measure_limits(int threads, Isa isa) {
    return {measure_dram_gb_per_s(threads, isa), measure_int8_tops(threads, isa), measure_f32_tflops(threads, isa),
            measure_bf16_tflops(threads, isa)};
}
MachineLimits measure_limits(int threads) {
    return measure_limits(threads, effective_isa(std::nullopt));
}

}  // namespace quoin
