#include "exec/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"

namespace quoin {
namespace {

constexpr int kRepeats = 6;
constexpr double kProbeSeconds = 0.02;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// work(thread) on all threads at once; seconds from the common start to the last end.
template <class Work>
double time_threads(Team& team, const Work& work) {
    double start = 0;
    double end = 0;
    team.run([&](int thread) {
        team.barrier(thread);  // all are awake
        if (thread == 0) start = now();
        team.barrier(thread);
        work(thread);
        team.barrier(thread);
        if (thread == 0) end = now();
    });
    return end - start;
}

double measure_tera_operations(Team& team, int64_t (*probe)(int64_t)) {
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
        const double seconds = time_threads(team, [&](int) { operations.fetch_add(probe(rounds)); });
        best = std::max(best, static_cast<double>(operations.load()) / seconds / 1e12);
    }
    return best;
}

Result<double> measure_dram_gb_per_s(Team& team, const KernelTable& table, const std::shared_ptr<Memory>& memory,
                                     int64_t bytes) {
    // Memory as weights have it: huge pages make a quarter more of the same hardware.
    QUOIN_ASSIGN_OR_RETURN(const Buffer buffer,
                           Buffer::allocate(memory, static_cast<size_t>(bytes), "the bandwidth probe"));
    const int64_t part = bytes / team.size() / 4096 * 4096;
    const auto part_of = [&](int thread) { return buffer.data() + thread * part; };
    // Each thread touches its own part first, so that its pages are near it.
    team.run([&](int thread) { std::memset(part_of(thread), thread + 1, static_cast<size_t>(part)); });
    double best = 0;
    std::atomic<uint64_t> sink{0};
    for (int r = 0; r < kRepeats; ++r) {
        const double seconds =
            time_threads(team, [&](int thread) { sink.fetch_add(table.probe_read(part_of(thread), part)); });
        best = std::max(best, static_cast<double>(part * team.size()) / seconds / 1e9);
    }
    return best;
}

}  // namespace

Result<MachineLimits> measure_limits(const Runtime& runtime, const std::shared_ptr<Memory>& memory, int64_t bytes) {
    Team& team = *runtime.team;
    const KernelTable& table = kernels(runtime.isa);
    QUOIN_ASSIGN_OR_RETURN(const double dram_gb_per_s, measure_dram_gb_per_s(team, table, memory, bytes));
    return MachineLimits{dram_gb_per_s, measure_tera_operations(team, table.probe_int8),
                         measure_tera_operations(team, table.probe_f32),
                         measure_tera_operations(team, table.probe_bf16)};
}

}  // namespace quoin
