// Where the time of runs goes: by node, on every thread, computing and waiting.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/prepared_graph.h"

namespace quoin {

// Filled by a Session that was given it, one entry per node and thread; summed up over all runs until clear(). Read it
// between runs.
class Profile {
public:
    struct Times {
        int64_t run_ns = 0;   // in the node's tasks
        int64_t wait_ns = 0;  // at the barrier before them, until the last thread came
    };

    explicit Profile(const PreparedGraph& prepared)
        : nodes_(prepared.graph.nodes().size()),
          threads_(static_cast<size_t>(prepared.runtime->team->size())),
          times_(nodes_ * threads_) {}

    Times& at(int thread, NodeId node) {
        return times_[static_cast<size_t>(thread) * nodes_ + static_cast<size_t>(node)];
    }
    // Of all threads together.
    Times total(NodeId node) const {
        Times sum;
        for (size_t index = static_cast<size_t>(node); index < times_.size(); index += nodes_) {
            sum.run_ns += times_[index].run_ns;
            sum.wait_ns += times_[index].wait_ns;
        }
        return sum;
    }
    void clear() { times_.assign(times_.size(), {}); }

    static int64_t now_ns() {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }

private:
    size_t nodes_;
    size_t threads_;
    std::vector<Times> times_;
};

}  // namespace quoin
