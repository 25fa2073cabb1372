// The worker team: regions, barriers, and what it costs when there is nothing to do.
#include <atomic>
#include <chrono>
#include <ctime>
#include <numeric>
#include <thread>
#include <vector>

#include "core/team.h"
#include "support/catch.h"

namespace quoin::test {
namespace {

TEST_CASE("every thread runs a region once", "[threaded]") {
    for (const int threads : {1, 2, 3, 4}) {
        Team team(threads);
        CHECK(team.size() == threads);
        std::vector<int> runs(static_cast<size_t>(threads));  // each thread its own element
        for (int region = 0; region < 50; ++region) {
            team.run([&](int thread) { ++runs[static_cast<size_t>(thread)]; });
        }
        CHECK(runs == std::vector<int>(static_cast<size_t>(threads), 50));
    }
}

TEST_CASE("thread 0 of a region is the caller, the others are not", "[threaded]") {
    Team team(3);
    std::vector<std::thread::id> ids(3);
    team.run([&](int thread) { ids[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
    CHECK(ids[0] == std::this_thread::get_id());
    CHECK(ids[1] != ids[0]);
    CHECK(ids[2] != ids[0]);
    CHECK(ids[1] != ids[2]);
}

TEST_CASE("a barrier makes what was written before it visible to all", "[threaded]") {
    constexpr int kRounds = 2000;
    for (const int threads : {2, 3, 4, 5, 8}) {
        Team team(threads);
        std::vector<int> written(static_cast<size_t>(threads), -1);  // plain ints: only the barrier orders them
        std::vector<int> wrong(static_cast<size_t>(threads));
        team.run([&](int thread) {
            for (int round = 0; round < kRounds; ++round) {
                written[static_cast<size_t>(thread)] = round;
                team.barrier(thread);
                for (const int each : written) wrong[static_cast<size_t>(thread)] += each == round ? 0 : 1;
                team.barrier(thread);
            }
        });
        CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
    }
}

TEST_CASE("what a region wrote is seen by the caller and by the next region", "[threaded]") {
    constexpr int kRegions = 3000;
    Team team(3);
    std::vector<int64_t> sums(3);
    int64_t total = 0;
    for (int region = 1; region <= kRegions; ++region) {
        team.run([&](int thread) { sums[static_cast<size_t>((thread + region) % 3)] += region; });
        total = sums[0] + sums[1] + sums[2];
    }
    CHECK(total == int64_t{3} * kRegions * (kRegions + 1) / 2);
}

TEST_CASE("regions of several host threads take turns", "[threaded]") {
    constexpr int kHosts = 3;
    constexpr int kRegions = 200;
    Team team(2);
    std::atomic<int> inside{0};
    std::atomic<int> wrong{0};
    int64_t sum = 0;  // no atomic: regions exclude each other, within one only thread 0 touches it
    std::vector<std::thread> hosts;
    for (int host = 0; host < kHosts; ++host) {
        hosts.emplace_back([&, host] {
            for (int region = 0; region < kRegions; ++region) {
                team.run([&](int thread) {
                    const int others = inside.fetch_add(1);
                    if (others >= 2) wrong.fetch_add(1);
                    team.barrier(thread);
                    if (thread == 0) sum += host + 1;
                    team.barrier(thread);
                    inside.fetch_sub(1);
                });
            }
        });
    }
    for (std::thread& host : hosts) host.join();
    CHECK(wrong == 0);
    CHECK(sum == int64_t{kRegions} * (1 + 2 + 3));
}

TEST_CASE("a team may end right after its beginning and right after a region", "[threaded]") {
    int runs = 0;
    for (int round = 0; round < 50; ++round) {
        const Team unused(4);
        Team used(2);
        used.run([&](int thread) {
            if (thread == 0) ++runs;
        });
    }
    CHECK(runs == 50);
}

TEST_CASE("workers can be pinned to processors", "[threaded]") {
    Team team(2, {0});
    std::vector<int> runs(2);
    team.run([&](int thread) { runs[static_cast<size_t>(thread)] = 1; });
    CHECK(runs == std::vector<int>{1, 1});
}

TEST_CASE("an idle team uses no processor time", "[threaded]") {
    Team team(4);
    team.run([](int) {});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the workers may spin for a moment after a region
    const std::clock_t before = std::clock();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    // Three spinning workers would use 0.2 to 0.6 seconds.
    CHECK(seconds < 0.05);
}

TEST_CASE("a thread that waits long at a barrier sleeps", "[threaded]") {
    Team team(2);
    const std::clock_t before = std::clock();
    team.run([&](int thread) {
        if (thread == 0) std::this_thread::sleep_for(std::chrono::milliseconds(200));
        team.barrier(thread);
    });
    const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    CHECK(seconds < 0.1);
}

}  // namespace
}  // namespace quoin::test
