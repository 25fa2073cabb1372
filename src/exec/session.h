// Runs one prepared graph, one run at a time: inputs bound, program planned or found again, one parallel region.
#pragma once

#include <atomic>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/status.h"
#include "exec/prepared_graph.h"
#include "exec/profile.h"
#include "exec/program.h"
#include "exec/task_shares.h"
#include "exec/trace.h"

namespace quoin {

// Not thread-safe, except cancel(). Several sessions of one model may run at once; they take turns on the team.
class Session {
public:
    explicit Session(PreparedGraphPtr prepared);

    const PreparedGraph& prepared() const { return *prepared_; }
    // The bytes are read by run(), not copied; they must stay until the next run has ended.
    void set_input(size_t index, const TensorView& view) {
        inputs_[index] = view;
        boxed_inputs_[index] = {};
    }
    // A sequence, nothing or strings as an input; tensors of numbers may come this way, too.
    void set_input(size_t index, RuntimeValue value);
    // Results go to the caller's bytes instead of the session's; `view.data` null undoes it.
    void bind_output(size_t index, const TensorView& view) { bound_outputs_[index] = view; }
    // A run whose input shapes were seen before allocates nothing. InvalidArgument when an input is missing or does not
    // fit, Cancelled, OutOfMemory, or what a step reports; Internal when it throws what it should not. Outputs are
    // undefined then.
    Status run();
    // Shape and bytes of an output of the last run, valid until the next one; dtype Undefined when it is no tensor.
    TensorView output(size_t index) const { return outputs_[index]; }
    // Any kind of output, valid as long; tensors share the session's bytes.
    RuntimeValue output_value(size_t index) const;
    // Intermediate tensors and scratch, as large as the largest run so far needed them. Not during a run.
    size_t memory_bytes() const;
    // Later runs add their times to it; null ends that. It must stay as long. Not during a run.
    void set_profile(Profile* profile) { profile_ = profile; }
    // Later runs, those of bodies included, write down their events there; null ends that. As above.
    void set_trace(Trace* trace) { trace_ = trace; }
    // From any thread: the run that is going on, or else the next one, ends with Cancelled at its next task.
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
    // A cancel() that came after the run had ended. Not during a run.
    void forget_cancel() { cancelled_.store(false, std::memory_order_relaxed); }

private:
    // A stage and those that followed it so far.
    struct Planned {
        Stage stage;
        uint64_t arenas = 0;  // the state of the arenas for which the views' pointers were set
        std::list<Planned> next;
    };
    // What ended a run: what a step reported, or what it threw.
    struct Failure {
        NodeId node = 0;
        Status status;
        std::exception_ptr thrown;
    };

    Result<Planned*> find_first();
    Result<Planned*> find_next(Planned& before);
    Status bind(Planned& planned);
    Status own_outputs(const Program& program);
    std::byte* address(const Place& place) const;
    Status run_steps(const Program& program);
    void walk(const Program& program, int thread);
    template <class NextTask>
    bool run_tasks(const Program& program, const Step& step, int thread, const NextTask& next_task);
    void note(int thread, NodeId node, int64_t arrived_ns, int64_t began_ns, int64_t ended_ns, bool worked);
    bool is_watched() const { return profile_ != nullptr || trace_ != nullptr; }
    Status run_dynamic(const Program& program);
    RuntimeValue value_at(const TensorView& view, const Place& place) const;
    Result<RuntimeValue> owned_output(size_t index) const;
    void forget_run();
    Result<std::vector<RuntimeValue>> run_body(const Node& node, std::string_view attribute,
                                               std::span<const RuntimeValue> inputs);
    bool is_cancelled() const {
        return cancelled_.load(std::memory_order_relaxed) || (parent_ != nullptr && parent_->is_cancelled());
    }
    Status check_bound_outputs(const Program& program) const;
    Status finish(const Program& program);

    PreparedGraphPtr prepared_;
    std::vector<TensorView> inputs_;
    std::vector<TensorView> bound_outputs_;
    std::vector<TensorView> outputs_;
    std::vector<Place> output_places_;        // of the last run
    std::vector<RuntimeValue> boxed_inputs_;  // of inputs without a view
    std::list<Planned> programs_;             // most recently used first
    std::vector<Buffer> arenas_;              // by stage
    uint64_t arenas_moved_ = 1;               // counts how often one of them was allocated
    Buffer scratch_;
    std::vector<RuntimeValue> dynamic_values_;  // by ValueId, where a program has dynamic steps
    std::vector<TensorView> dynamic_types_;     // of the last stage's results
    std::vector<RuntimeValue> output_values_;   // of outputs that are no plain tensors
    std::map<const Graph*, std::unique_ptr<Session>> bodies_;
    const Session* parent_ = nullptr;    // whose node this session is the body of
    std::vector<Tensor> owned_outputs_;  // of a body: where steps write results that outlive the run
    TaskShares shares_;
    Profile* profile_ = nullptr;
    Trace* trace_ = nullptr;

    std::atomic<bool> cancelled_{false};
    std::atomic<bool> failed_{false};
    std::mutex failure_mutex_;
    Failure failure_;  // the first of the run
};

}  // namespace quoin
