// Measurements of a kernel in turn with the probe of its limit, or with the same kernel of an earlier build.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "timing.h"

namespace quoin {

// The kernels of one instruction set. `before` are those of the build that QUOIN_BENCH_BEFORE names, a copy of its
// quoin_bench_kernels.so; null without the variable. With it, pairs are measured beside them and not beside a limit.
struct Versions {
    const KernelTable& now;
    const KernelTable* before;
};
Versions versions_of(Isa isa);

// Time this thread really ran: on a machine shared with others the wall clock measures them too.
inline double thread_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    timespec time = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#else
    return timing::now();
#endif
}

// Kernel and limit in turn. `work`, given the kernels, and `limit` each return what they did (operations or bytes).
inline void run_pairs(benchmark::State& state, const Versions& kernels, const char* unit, double scale,
                      const std::function<double(const KernelTable&)>& work, const std::function<double()>& limit,
                      double (*clock)() = thread_seconds) {
    std::vector<double> ratios;
    double best = 0;
    double best_other = 0;
    double seconds = 0;
    const auto rate = [clock, &seconds](const auto& function) {
        const double start = clock();
        const double done = function();
        seconds = clock() - start;
        return done / seconds;
    };
    const auto run = [&] { return rate([&] { return work(kernels.now); }); };
    const auto run_other = [&] {
        return kernels.before != nullptr ? rate([&] { return work(*kernels.before); }) : rate(limit);
    };
    run();  // warm
    for (auto _ : state) {
        const double other_before = run_other();
        const double achieved = run();
        state.SetIterationTime(seconds);
        const double other_after = run_other();
        // A limit is the best that was seen, another kernel a measurement like this one.
        ratios.push_back(achieved / (kernels.before != nullptr ? (other_before + other_after) / 2
                                                               : std::max(other_before, other_after)));
        best = std::max(best, achieved);
        best_other = std::max({best_other, other_before, other_after});
    }
    state.counters[kernels.before != nullptr ? "of_before" : "of_limit"] = timing::median(ratios);
    state.counters["best_of_best"] = best / best_other;
    state.counters[unit] = best / scale;
    state.counters[kernels.before != nullptr ? "before" : "limit"] = best_other / scale;
}

template <class Measure>
void add_pairs(const std::string& name, const Measure& measure, int64_t pairs = 15) {
    benchmark::RegisterBenchmark(name.c_str(), measure)
        ->UseManualTime()
        ->Iterations(pairs)
        ->Unit(benchmark::kMillisecond);
}

}  // namespace quoin
