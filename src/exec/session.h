// Runs one prepared graph, one run at a time: inputs bound, program planned or found again, one parallel region.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "core/status.h"
#include "exec/prepared_graph.h"
#include "exec/profile.h"
#include "exec/program.h"

namespace quoin {

// Not thread-safe, except cancel(). Several sessions of one model may run at once; they take turns on the team.
class Session {
public:
    explicit Session(PreparedGraphPtr prepared);

    const PreparedGraph& prepared() const { return *prepared_; }
    // The bytes are read by run(), not copied; they must stay until the next run has ended.
    void set_input(size_t index, const TensorView& view) { inputs_[index] = view; }
    // Results go to the caller's bytes instead of the session's; `view.data` null undoes it.
    void bind_output(size_t index, const TensorView& view) { bound_outputs_[index] = view; }
    // A run whose input shapes were seen before allocates nothing. InvalidArgument when an input is missing or does not
    // fit, Cancelled, OutOfMemory, or what a step reports; outputs are undefined then.
    Status run();
    // Shape and bytes of an output of the last run, valid until the next one.
    TensorView output(size_t index) const { return outputs_[index]; }
    // Intermediate tensors and scratch, as large as the largest run so far needed them. Not during a run.
    size_t memory_bytes() const { return arena_.size() + scratch_.size(); }
    // Later runs add their times to it; null ends that. It must stay as long. Not during a run.
    void set_profile(Profile* profile) { profile_ = profile; }
    // From any thread: the run that is going on, or else the next one, ends with Cancelled at its next task.
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

private:
    struct Planned {
        Program program;
        const std::byte* arena = nullptr;  // for which the views' pointers were set
    };

    Result<Planned*> find_program();
    Status bind(Planned& planned);
    std::byte* address(const Place& place) const;
    void walk(const Program& program, int thread);

    PreparedGraphPtr prepared_;
    std::vector<TensorView> inputs_;
    std::vector<TensorView> bound_outputs_;
    std::vector<TensorView> outputs_;
    std::list<Planned> programs_;  // most recently used first
    Buffer arena_;
    Buffer scratch_;
    std::vector<std::atomic<int64_t>> next_task_;  // of each step
    Profile* profile_ = nullptr;

    std::atomic<bool> cancelled_{false};
    std::atomic<bool> failed_{false};
    std::mutex failure_mutex_;
    Status failure_;
};

}  // namespace quoin
