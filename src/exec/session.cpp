#include "exec/session.h"

#include <algorithm>
#include <cstring>

namespace quoin {
namespace {

// Shapes of a conversation change little: prompt pieces, then single tokens; of a busy server: the number of users.
constexpr size_t kKeptPrograms = 128;

bool same_shapes(std::span<const TensorView> a, std::span<const TensorView> b) {
    return std::ranges::equal(
        a, b, [](const TensorView& x, const TensorView& y) { return x.dtype == y.dtype && x.shape == y.shape; });
}

}  // namespace

Session::Session(PreparedGraphPtr prepared)
    : prepared_(std::move(prepared)),
      inputs_(prepared_->graph.inputs().size()),
      bound_outputs_(prepared_->graph.outputs().size()),
      outputs_(prepared_->graph.outputs().size()) {}

Result<Session::Planned*> Session::find_program() {
    const auto found = std::ranges::find_if(
        programs_, [&](const Planned& planned) { return same_shapes(planned.program.inputs, inputs_); });
    if (found != programs_.end()) {
        programs_.splice(programs_.begin(), programs_, found);
        return &programs_.front();
    }
    for (size_t index = 0; index < inputs_.size(); ++index) {
        if (inputs_[index].dtype == DType::Undefined) {
            const Graph& graph = prepared_->graph;
            return error(StatusCode::InvalidArgument, "input '", graph.value(graph.inputs()[index]).name,
                         "' was not set");
        }
    }
    QUOIN_ASSIGN_OR_RETURN(Program program, plan(*prepared_, inputs_));
    if (programs_.size() == kKeptPrograms) programs_.pop_back();
    programs_.push_front({std::move(program), nullptr});
    return &programs_.front();
}

std::byte* Session::address(const Place& place) const {
    switch (place.kind) {
        case Place::Kind::Arena: return arena_.data() + place.offset;
        case Place::Kind::Input: return inputs_[static_cast<size_t>(place.index)].data;
        case Place::Kind::Output: {
            std::byte* const bound = bound_outputs_[static_cast<size_t>(place.index)].data;
            return bound != nullptr ? bound : arena_.data() + place.offset;
        }
        default: return nullptr;
    }
}

// Memory grows to what the largest program needs and stays; pointers into it are set again only after it moved.
Status Session::bind(Planned& planned) {
    Program& program = planned.program;
    if (program.arena_bytes > arena_.size()) {
        arena_ = Buffer();
        QUOIN_ASSIGN_OR_RETURN(
            arena_, Buffer::allocate(prepared_->runtime->memory, program.arena_bytes, "intermediate tensors"));
    }
    const size_t scratch = program.scratch_bytes * static_cast<size_t>(prepared_->runtime->team->size());
    if (scratch > scratch_.size()) {
        scratch_ = Buffer();
        QUOIN_ASSIGN_OR_RETURN(scratch_, Buffer::allocate(prepared_->runtime->memory, scratch, "scratch"));
    }
    if (program.steps.size() > next_task_.size()) next_task_ = std::vector<std::atomic<int64_t>>(program.steps.size());

    const bool moved = planned.arena != arena_.data();
    for (size_t index = 0; index < program.views.size(); ++index) {
        const Place& place = program.places[index];
        const bool external = place.kind == Place::Kind::Input || place.kind == Place::Kind::Output;
        if (external || (moved && place.kind == Place::Kind::Arena)) program.views[index].data = address(place);
    }
    planned.arena = arena_.data();
    for (size_t index = 0; index < outputs_.size(); ++index) {
        const TensorView& bound = bound_outputs_[index];
        const TensorView& made = program.outputs[index];
        if (bound.data != nullptr && (bound.dtype != made.dtype || !(bound.shape == made.shape))) {
            return error(StatusCode::InvalidArgument, "the buffer bound to output ", index, " is ",
                         dtype_name(bound.dtype), to_string(bound.shape), "; the result is ", dtype_name(made.dtype),
                         to_string(made.shape));
        }
    }
    return {};
}

// Every thread walks all steps and takes tasks while there are any; barriers stand where data flows.
void Session::walk(const Program& program, int thread) {
    Team& team = *prepared_->runtime->team;
    std::byte* const scratch = scratch_.data() + program.scratch_bytes * static_cast<size_t>(thread);
    for (size_t index = 0; index < program.steps.size(); ++index) {
        const Step& step = program.steps[index];
        const int64_t arrived_ns = profile_ == nullptr ? 0 : Profile::now_ns();
        if (step.barrier) team.barrier(thread);
        const int64_t began_ns = profile_ == nullptr ? 0 : Profile::now_ns();
        const std::span<const TensorView> views(program.views.data() + step.view_of(thread),
                                                step.inputs + step.outputs);
        const Arguments arguments{views.first(step.inputs), views.subspan(step.inputs), step.work};
        const PreparedNode& node = *prepared_->nodes[static_cast<size_t>(step.node)];
        std::atomic<int64_t>& next = next_task_[index];
        // After a failure the steps are skipped but not the barriers: the others stand there waiting.
        for (int64_t own = 0; !failed_.load(std::memory_order_relaxed); ++own) {
            const int64_t task = step.work.replicated ? own : next.fetch_add(1, std::memory_order_relaxed);
            if (task >= step.work.tasks) break;
            Status status = node.run(arguments, task, scratch);
            if (status.ok() && cancelled_.load(std::memory_order_relaxed)) {
                status = error(StatusCode::Cancelled, "the run was cancelled");
            }
            if (!status.ok()) {
                const std::scoped_lock lock(failure_mutex_);
                if (!failed_.exchange(true)) failure_ = std::move(status);
            }
        }
        if (profile_ != nullptr) {
            Profile::Times& times = profile_->at(thread, step.node);
            times.wait_ns += began_ns - arrived_ns;
            times.run_ns += Profile::now_ns() - began_ns;
        }
    }
}

Status Session::run() {
    QUOIN_ASSIGN_OR_RETURN(Planned* const planned, find_program());
    QUOIN_RETURN_IF_ERROR(bind(*planned));
    const Program& program = planned->program;
    for (size_t step = 0; step < program.steps.size(); ++step) next_task_[step].store(0, std::memory_order_relaxed);
    failed_.store(false, std::memory_order_relaxed);
    failure_ = {};
    prepared_->runtime->team->run([&](int thread) { walk(program, thread); });
    cancelled_.store(false, std::memory_order_relaxed);
    QUOIN_RETURN_IF_ERROR(std::move(failure_));

    for (size_t index = 0; index < outputs_.size(); ++index) {
        const Place& place = program.output_places[index];
        outputs_[index] = program.outputs[index];
        if (place.kind != Place::Kind::Constant) outputs_[index].data = address(place);
        // A result that is no step's own (an input or constant passed through) is copied to where it was asked for.
        TensorView& bound = bound_outputs_[index];
        if (bound.data != nullptr && bound.data != outputs_[index].data) {
            const auto bytes = byte_size(bound.dtype, bound.elements()).value_or(0);
            std::memcpy(bound.data, outputs_[index].data, bytes);
            outputs_[index].data = bound.data;
        }
    }
    return {};
}

}  // namespace quoin
