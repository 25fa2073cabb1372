// A timeline of runs: which node ran when on which thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "exec/prepared_graph.h"

namespace quoin {

// Filled by a Session that was given it and by the sessions of its bodies; read it between runs. All memory is taken at
// the beginning, so that a run still allocates nothing; what finds no more room is counted, not kept.
class Trace {
public:
    struct Event {
        const PreparedGraph* graph;  // null: the whole run
        NodeId node;
        int64_t arrived_ns;  // at the barrier before it
        int64_t began_ns;
        int64_t ended_ns;
    };
    static constexpr size_t kMostEvents = size_t{1} << 18;  // of one thread

    explicit Trace(int threads) : threads_(static_cast<size_t>(threads)) {
        for (Thread& thread : threads_) thread.events.reserve(kMostEvents);
    }

    // By the thread itself.
    void add(int thread, const Event& event) {
        Thread& own = threads_[static_cast<size_t>(thread)];
        if (own.events.size() < kMostEvents) {
            own.events.push_back(event);
        } else {
            ++own.lost;
        }
    }
    int threads() const { return static_cast<int>(threads_.size()); }
    std::span<const Event> events(int thread) const { return threads_[static_cast<size_t>(thread)].events; }
    int64_t lost() const {
        int64_t sum = 0;
        for (const Thread& thread : threads_) sum += thread.lost;
        return sum;
    }

private:
    struct alignas(64) Thread {
        std::vector<Event> events;
        int64_t lost = 0;
    };
    std::vector<Thread> threads_;
};

}  // namespace quoin
