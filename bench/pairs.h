// Measurements of a kernel in turn with the probe of its limit.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "timing.h"

namespace quoin {

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

// Kernel and limit in turn. `work` and `limit` each return what they did (operations or bytes).
inline void run_pairs(benchmark::State& state, const char* unit, double scale, const std::function<double()>& work,
                      const std::function<double()>& limit, double (*clock)() = thread_seconds) {
    std::vector<double> ratios;
    double best = 0;
    double best_limit = 0;
    const auto rate = [clock](const std::function<double()>& function, double& seconds) {
        const double start = clock();
        const double done = function();
        seconds = clock() - start;
        return done / seconds;
    };
    double seconds = 0;
    rate(work, seconds);  // warm
    for (auto _ : state) {
        double unused = 0;
        const double limit_before = rate(limit, unused);
        const double achieved = rate(work, seconds);
        const double limit_after = rate(limit, unused);
        ratios.push_back(achieved / std::max(limit_before, limit_after));
        best = std::max(best, achieved);
        best_limit = std::max({best_limit, limit_before, limit_after});
        state.SetIterationTime(seconds);
    }
    state.counters["of_limit"] = timing::median(ratios);
    state.counters["best_of_best"] = best / best_limit;
    state.counters[unit] = best / scale;
    state.counters["limit"] = best_limit / scale;
}

template <class Measure>
void add_pairs(const std::string& name, const Measure& measure, int64_t pairs = 15) {
    benchmark::RegisterBenchmark(name.c_str(), measure)
        ->UseManualTime()
        ->Iterations(pairs)
        ->Unit(benchmark::kMillisecond);
}

}  // namespace quoin
