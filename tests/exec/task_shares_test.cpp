// The tasks of a step, shared out to threads.
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "exec/task_shares.h"
#include "support/catch.h"

namespace quoin::test {
namespace {

TEST_CASE("own tasks come from the front of a share, others' from the back") {
    TaskShares shares;
    shares.resize(2, 3);
    shares.begin_run();
    // Of 7 tasks: 0 1 | 2 3 | 4 5 6.
    CHECK(shares.take_own(1, 7, 2) == 4);
    CHECK(shares.take_from(1, 7, 2) == 6);
    CHECK(shares.take_own(1, 7, 2) == 5);
    CHECK(shares.take_own(1, 7, 2) == -1);
    CHECK(shares.take_from(1, 7, 2) == -1);
    CHECK(shares.take_from(1, 7, 0) == 1);
    CHECK(shares.take_own(1, 7, 0) == 0);
    CHECK(shares.take_own(1, 7, 0) == -1);
    // A step of its own, with fewer tasks than threads.
    CHECK(shares.take_own(0, 1, 0) == -1);
    CHECK(shares.take_own(0, 1, 2) == 0);
    CHECK(shares.take_from(0, 1, 2) == -1);
    CHECK(shares.take_own(0, 0, 2) == -1);
}

TEST_CASE("every task of every run is done once, whoever does it", "[threaded]") {
    constexpr int kThreads = 4;
    constexpr int64_t kTasks = 1001;
    TaskShares shares;
    shares.resize(3, kThreads);
    for (int run = 0; run < 20; ++run) {
        std::vector<std::atomic<int>> done(3 * kTasks);
        shares.begin_run();
        const auto work = [&](int thread) {
            shares.prepare_next_run(thread);
            if (thread == run % kThreads) return;  // late for all of it
            for (size_t step = 0; step < 3; ++step) {
                const auto note = [&](int64_t task) { done[step * kTasks + static_cast<size_t>(task)].fetch_add(1); };
                for (int64_t task = 0; (task = shares.take_own(step, kTasks, thread)) >= 0;) note(task);
                for (int owner = 0; owner < kThreads; ++owner) {
                    if (owner == thread) continue;
                    for (int64_t task = 0; (task = shares.take_from(step, kTasks, owner)) >= 0;) note(task);
                }
            }
        };
        std::vector<std::thread> team;
        for (int thread = 0; thread < kThreads; ++thread) team.emplace_back(work, thread);
        for (std::thread& member : team) member.join();
        CHECK(std::ranges::all_of(done, [](const std::atomic<int>& count) { return count.load() == 1; }));
    }
}

}  // namespace
}  // namespace quoin::test
