#include "exec/session.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include "ops/evaluate.h"
#include "ops/node_attributes.h"

namespace quoin {
namespace {

// Shapes of a conversation change little: prompt pieces, then single tokens; of a busy server: the number of users.
constexpr size_t kKeptPrograms = 128;
// Of stages that follow one: shapes that depend on bytes may never come again.
constexpr size_t kKeptStages = 16;

bool same_shapes(std::span<const TensorView> a, std::span<const TensorView> b) {
    return std::ranges::equal(
        a, b, [](const TensorView& x, const TensorView& y) { return x.dtype == y.dtype && x.shape == y.shape; });
}

bool is_plain(const RuntimeValue& value) {
    return value.is_tensor() && value.dtype() != DType::String;
}

// A value whose tensors all own their bytes; those that do not are copied.
Result<RuntimeValue> owned(const RuntimeValue& value, const Runtime& runtime) {
    if (value.is_tensor() && value.tensor().owner() != nullptr) return value;
    const auto owns = [](const RuntimeValue& each) { return each.is_tensor() && each.tensor().owner() != nullptr; };
    if (value.is_sequence() && std::ranges::all_of(value.items(), owns)) return value;
    return deep_copy(value, runtime);
}

// Strings have a type, too: what reads them is told by it.
TensorView view_of(const RuntimeValue& value) {
    if (!value.is_tensor()) return {};
    return {value.tensor().data(), value.dtype(), value.tensor().shape()};
}

// The same as where the C header begins (capi/support.h), but for the steps, which it does not reach.
Status status_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::bad_alloc&) {
        return error(StatusCode::OutOfMemory, "the machine has no more memory");
    } catch (const std::length_error&) {
        return error(StatusCode::OutOfMemory, "no memory can hold what was asked for");
    } catch (const std::exception& other) {
        return error(StatusCode::Internal, other.what());
    } catch (...) {
        return error(StatusCode::Internal, "unknown exception");
    }
}

}  // namespace

Session::Session(PreparedGraphPtr prepared)
    : prepared_(std::move(prepared)),
      inputs_(prepared_->graph.inputs().size()),
      bound_outputs_(prepared_->graph.outputs().size()),
      outputs_(prepared_->graph.outputs().size()),
      boxed_inputs_(inputs_.size()),
      output_values_(outputs_.size()) {}

void Session::set_input(size_t index, RuntimeValue value) {
    inputs_[index] = view_of(value);
    boxed_inputs_[index] = std::move(value);
}

RuntimeValue Session::output_value(size_t index) const {
    if (!output_values_[index].is_none()) return output_values_[index];
    const TensorView& view = outputs_[index];
    if (view.dtype == DType::Undefined) return {};
    return Tensor(view.dtype, view.shape, view.data, byte_size(view.dtype, view.elements()).value_or(0), nullptr);
}

size_t Session::memory_bytes() const {
    size_t bytes = scratch_.size();
    for (const Buffer& arena : arenas_) bytes += arena.size();
    for (const auto& [graph, session] : bodies_) bytes += session->memory_bytes();
    return bytes;
}

Result<Session::Planned*> Session::find_first() {
    // Before the programs are looked through: nothing and a sequence have the same key.
    const Graph& graph = prepared_->graph;
    for (size_t index = 0; index < inputs_.size(); ++index) {
        const Value& value = graph.value(graph.inputs()[index]);
        if (inputs_[index].dtype != DType::Undefined || !boxed_inputs_[index].is_none()) continue;
        if (value.kind == ValueKind::Optional || value.kind == ValueKind::OptionalSequence) continue;
        if (parent_ != nullptr) continue;  // what a body is given may be nothing
        return error(StatusCode::InvalidArgument, "input '", value.name, "' was not set");
    }
    const auto found = std::ranges::find_if(
        programs_, [&](const Planned& planned) { return same_shapes(planned.stage.program.inputs, inputs_); });
    if (found != programs_.end()) {
        programs_.splice(programs_.begin(), programs_, found);
        return &programs_.front();
    }
    QUOIN_ASSIGN_OR_RETURN(Stage stage, plan(*prepared_, inputs_));
    if (programs_.size() == kKeptPrograms) programs_.pop_back();
    programs_.push_front({std::move(stage), 0, {}});
    return &programs_.front();
}

Result<Session::Planned*> Session::find_next(Planned& before) {
    dynamic_types_.clear();
    for (const Step& step : before.stage.program.dynamic) {
        for (const ValueId output : prepared_->graph.node(step.node).outputs) {
            dynamic_types_.push_back(output == kNoValue ? TensorView{}
                                                        : view_of(dynamic_values_[static_cast<size_t>(output)]));
        }
    }
    const auto found = std::ranges::find_if(
        before.next, [&](const Planned& planned) { return same_shapes(planned.stage.program.inputs, dynamic_types_); });
    if (found != before.next.end()) {
        before.next.splice(before.next.begin(), before.next, found);
        return &before.next.front();
    }
    QUOIN_ASSIGN_OR_RETURN(Stage stage, plan_next(*prepared_, before.stage, dynamic_types_));
    if (before.next.size() == kKeptStages) before.next.pop_back();
    before.next.push_front({std::move(stage), 0, {}});
    return &before.next.front();
}

std::byte* Session::address(const Place& place) const {
    const auto index = static_cast<size_t>(place.index);
    const auto in_arena = [&] { return arenas_[static_cast<size_t>(place.arena)].data() + place.offset; };
    switch (place.kind) {
        case Place::Kind::Arena: return in_arena();
        case Place::Kind::Input: return inputs_[index].data;
        case Place::Kind::Output: {
            if (parent_ != nullptr) return owned_outputs_[index].data();
            std::byte* const bound = bound_outputs_[index].data;
            return bound != nullptr ? bound : in_arena();
        }
        case Place::Kind::Dynamic: return dynamic_values_[index].tensor().data();
        default: return nullptr;
    }
}

// Memory grows to what the largest program needs and stays; pointers into it are set again only after it moved.
Status Session::bind(Planned& planned) {
    Program& program = planned.stage.program;
    const auto stage = static_cast<size_t>(planned.stage.after.stage - 1);
    if (stage >= arenas_.size()) arenas_.resize(stage + 1);
    if (program.arena_bytes > arenas_[stage].size()) {
        arenas_[stage] = Buffer();
        QUOIN_ASSIGN_OR_RETURN(
            arenas_[stage], Buffer::allocate(prepared_->runtime->memory, program.arena_bytes, "intermediate tensors"));
        ++arenas_moved_;
    }
    const size_t scratch = program.scratch_bytes * static_cast<size_t>(prepared_->runtime->team->size());
    if (scratch > scratch_.size()) {
        scratch_ = Buffer();
        QUOIN_ASSIGN_OR_RETURN(scratch_, Buffer::allocate(prepared_->runtime->memory, scratch, "scratch"));
    }
    shares_.resize(program.steps.size(), prepared_->runtime->team->size());
    if (!program.dynamic.empty() && dynamic_values_.empty()) dynamic_values_.resize(prepared_->graph.values().size());

    if (parent_ != nullptr) QUOIN_RETURN_IF_ERROR(own_outputs(program));

    const bool moved = planned.arenas != arenas_moved_;
    for (size_t index = 0; index < program.views.size(); ++index) {
        const Place& place = program.places[index];
        const bool external =
            place.kind == Place::Kind::Input || place.kind == Place::Kind::Output || place.kind == Place::Kind::Dynamic;
        if (place.kind == Place::Kind::Output) {
            const TensorView& bound = bound_outputs_[static_cast<size_t>(place.index)];
            const TensorView& made = program.views[index];
            const auto bytes = byte_size(made.dtype, made.elements());
            if (bound.data != nullptr && byte_size(bound.dtype, bound.elements()) != bytes) {
                return error(StatusCode::InvalidArgument, "the buffer bound to output ", place.index, " is ",
                             dtype_name(bound.dtype), to_string(bound.shape), "; the result has ", *bytes, " bytes");
            }
        }
        if (external || (moved && place.kind == Place::Kind::Arena)) program.views[index].data = address(place);
    }
    planned.arenas = arenas_moved_;
    return {};
}

// New memory for the outputs that the steps of this stage make.
Status Session::own_outputs(const Program& program) {
    owned_outputs_.resize(outputs_.size());
    for (size_t index = 0; index < program.views.size(); ++index) {
        const Place& place = program.places[index];
        if (place.kind != Place::Kind::Output) continue;
        Tensor& output = owned_outputs_[static_cast<size_t>(place.index)];
        if (output.dtype() != DType::Undefined) continue;
        const TensorView& view = program.views[index];
        QUOIN_ASSIGN_OR_RETURN(
            output, Tensor::allocate(prepared_->runtime->memory, view.dtype, view.shape, "the result of a body"));
    }
    return {};
}

// A result of the last run that stays when this session runs again.
Result<RuntimeValue> Session::owned_output(size_t index) const {
    const TensorView& view = outputs_[index];
    const Place& place = output_places_[index];
    if (place.kind == Place::Kind::Output) {
        return RuntimeValue(Tensor(view.dtype, view.shape, view.data,
                                   byte_size(view.dtype, view.elements()).value_or(0),
                                   owned_outputs_[static_cast<size_t>(place.index)].owner()));
    }
    if (place.kind == Place::Kind::Dynamic) {
        return owned(dynamic_values_[static_cast<size_t>(place.index)], *prepared_->runtime);
    }
    // What was passed through belongs to whoever gave it.
    if (place.kind == Place::Kind::Input && !boxed_inputs_[static_cast<size_t>(place.index)].is_none()) {
        const RuntimeValue& value = boxed_inputs_[static_cast<size_t>(place.index)];
        if (!value.is_tensor() || value.tensor().shape() == view.shape) return owned(value, *prepared_->runtime);
    }
    return owned(output_value(index), *prepared_->runtime);
}

// Lets go of what a run of a body has been given and has made, so that nothing is kept twice.
void Session::forget_run() {
    std::ranges::fill(boxed_inputs_, RuntimeValue());
    std::ranges::fill(inputs_, TensorView{});
    std::ranges::fill(owned_outputs_, Tensor());
    std::ranges::fill(dynamic_values_, RuntimeValue());
    std::ranges::fill(output_values_, RuntimeValue());
    std::ranges::fill(outputs_, TensorView{});
}

// Runs the tasks that next_task() gives, until -1. Whether there were any.
template <class NextTask>
bool Session::run_tasks(const Program& program, const Step& step, int thread, const NextTask& next_task) {
    const std::span<const TensorView> views(program.views.data() + step.view_of(thread), step.inputs + step.outputs);
    const Arguments arguments{views.first(step.inputs), views.subspan(step.inputs), step.work};
    const PreparedNode& node = *prepared_->nodes[static_cast<size_t>(step.node)];
    std::byte* const scratch = scratch_.data() + program.scratch_bytes * static_cast<size_t>(thread);
    bool worked = false;
    while (!failed_.load(std::memory_order_relaxed)) {
        const int64_t task = next_task();
        if (task < 0) break;
        worked = true;
        Failure failure{step.node, {}, nullptr};
        try {
            failure.status = node.run(arguments, task, scratch);
            if (failure.status.ok() && is_cancelled()) {
                failure.status = error(StatusCode::Cancelled, "the run was cancelled");
            }
            if (failure.status.ok()) continue;
        } catch (...) {  // nothing may be thrown out of the region; its sentence, which takes memory, is made outside
            failure.thrown = std::current_exception();
        }
        const std::scoped_lock lock(failure_mutex_);
        if (!failed_.exchange(true)) failure_ = std::move(failure);
    }
    return worked;
}

// Every thread walks all steps. Between two barriers it does its own share of each, then what others have left of
// theirs. After a failure the tasks are skipped but not the barriers: the others stand there waiting.
void Session::walk(const Program& program, int thread) {
    Team& team = *prepared_->runtime->team;
    const bool watched = is_watched();
    const auto clock = [watched] { return watched ? Profile::now_ns() : 0; };
    shares_.prepare_next_run(thread);
    int64_t arrived_ns = clock();
    for (size_t begin = 0, end = 0; begin < program.steps.size(); begin = end) {
        int64_t began_ns = arrived_ns;
        if (program.steps[begin].barrier) {
            team.barrier(thread);
            began_ns = clock();
        }
        const auto done = [&](const Step& step, bool worked) {
            if (!watched) return;
            const int64_t ended_ns = Profile::now_ns();
            note(thread, step.node, arrived_ns, began_ns, ended_ns, worked);
            arrived_ns = began_ns = ended_ns;
        };
        for (end = begin; end < program.steps.size() && (end == begin || !program.steps[end].barrier); ++end) {
            const Step& step = program.steps[end];
            int64_t next = 0;
            const auto next_task = [&] {
                if (!step.work.replicated) return shares_.take_own(end, step.work.tasks, thread);
                return next < step.work.tasks ? next++ : -1;
            };
            done(step, run_tasks(program, step, thread, next_task));
        }
        for (size_t index = end; index-- > begin;) {
            const Step& step = program.steps[index];
            if (step.work.replicated) continue;
            for (int distance = 1; distance < team.size(); ++distance) {
                const int owner = (thread + distance) % team.size();
                const auto next_task = [&] { return shares_.take_from(index, step.work.tasks, owner); };
                if (run_tasks(program, step, thread, next_task)) done(step, true);
            }
        }
    }
}

void Session::note(int thread, NodeId node, int64_t arrived_ns, int64_t began_ns, int64_t ended_ns, bool worked) {
    if (profile_ != nullptr) {
        Profile::Times& times = profile_->at(thread, node);
        times.wait_ns += began_ns - arrived_ns;
        times.run_ns += ended_ns - began_ns;
    }
    if (trace_ != nullptr && worked) trace_->add(thread, {prepared_.get(), node, arrived_ns, began_ns, ended_ns});
}

Status Session::run_steps(const Program& program) {
    if (program.steps.empty()) return {};
    shares_.begin_run();
    failed_.store(false, std::memory_order_relaxed);
    failure_ = {};
    prepared_->runtime->team->run([&](int thread) { walk(program, thread); });
    if (!failed_.load(std::memory_order_relaxed)) return {};
    // What the nodes keep with a plan may stand half-way. This ends `program`, too.
    programs_.clear();
    const Failure failure = std::move(failure_);
    return at_node(prepared_->graph.node(failure.node), failure.thrown ? status_of(failure.thrown) : failure.status);
}

RuntimeValue Session::value_at(const TensorView& view, const Place& place) const {
    if (place.kind == Place::Kind::Dynamic) return dynamic_values_[static_cast<size_t>(place.index)];
    if (place.kind == Place::Kind::Input) {
        const RuntimeValue& boxed = boxed_inputs_[static_cast<size_t>(place.index)];
        if (!boxed.is_none() && !is_plain(boxed)) return boxed;
    }
    if (view.dtype == DType::Undefined) return {};
    return Tensor(view.dtype, view.shape, view.data, byte_size(view.dtype, view.elements()).value_or(0), nullptr);
}

Status Session::run_dynamic(const Program& program) {
    for (const Step& step : program.dynamic) {
        if (is_cancelled()) return error(StatusCode::Cancelled, "the run was cancelled");
        const int64_t began_ns = is_watched() ? Profile::now_ns() : 0;
        const Node& node = prepared_->graph.node(step.node);
        std::vector<RuntimeValue> inputs;
        for (size_t index = 0; index < node.inputs.size(); ++index) {
            const size_t at = step.first_view + index;
            inputs.push_back(node.inputs[index] == kNoValue ? RuntimeValue()
                                                            : value_at(program.views[at], program.places[at]));
        }
        const PreparedNode* const prepared = prepared_->nodes[static_cast<size_t>(step.node)].get();
        const auto body = [&](std::string_view attribute, std::span<const RuntimeValue> values) {
            return run_body(node, attribute, values);
        };
        QUOIN_ASSIGN_OR_RETURN(std::vector<RuntimeValue> results,
                               evaluate(prepared_->graph, node, prepared, inputs, *prepared_->runtime, body));
        for (size_t index = 0; index < node.outputs.size(); ++index) {
            if (node.outputs[index] == kNoValue) continue;
            dynamic_values_[static_cast<size_t>(node.outputs[index])] = std::move(results[index]);
        }
        if (is_watched()) note(0, step.node, began_ns, began_ns, Profile::now_ns(), true);
    }
    return {};
}

Result<std::vector<RuntimeValue>> Session::run_body(const Node& node, std::string_view attribute,
                                                    std::span<const RuntimeValue> inputs) {
    const Attribute* const found = node.attribute(attribute);
    const auto* const graph = found == nullptr ? nullptr : std::get_if<std::shared_ptr<const Graph>>(found);
    if (graph == nullptr) {
        return error(StatusCode::InvalidModel, "node '", node.name, "' has no body '", attribute, "'");
    }
    std::unique_ptr<Session>& session = bodies_[graph->get()];
    if (session == nullptr) {
        session = std::make_unique<Session>(prepared_->bodies.at(graph->get()));
        session->parent_ = this;
    }
    if (inputs.size() != session->inputs_.size()) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': the body '", attribute, "' takes ",
                     session->inputs_.size(), " values where it is given ", inputs.size());
    }
    // A body without a single step must not make its loop deaf.
    if (is_cancelled()) return error(StatusCode::Cancelled, "the run was cancelled");
    for (size_t index = 0; index < inputs.size(); ++index) session->set_input(index, inputs[index]);
    session->trace_ = trace_;
    Status status = session->run();
    std::vector<RuntimeValue> outputs;
    for (size_t index = 0; status.ok() && index < session->outputs_.size(); ++index) {
        Result<RuntimeValue> output = session->owned_output(index);
        status = output.status();
        if (status.ok()) outputs.push_back(std::move(*output));
    }
    session->forget_run();
    QUOIN_RETURN_IF_ERROR(with_context(status, "in '", attribute, "' of node '", node.name, "': "));
    return outputs;
}

Status Session::run() {
    Status status;
    const int64_t began_ns = trace_ == nullptr ? 0 : Profile::now_ns();
    Result<Planned*> planned = find_first();
    while (true) {
        if (!planned.ok()) {
            status = planned.status();
            break;
        }
        const Program& program = (*planned)->stage.program;
        if (program.last) status = check_bound_outputs(program);
        if (status.ok()) status = bind(**planned);
        if (status.ok()) status = run_steps(program);
        if (status.ok()) status = run_dynamic(program);
        if (!status.ok() || program.last) break;
        planned = find_next(**planned);
    }
    cancelled_.store(false, std::memory_order_relaxed);
    if (trace_ != nullptr && parent_ == nullptr) {
        trace_->add(0, {nullptr, kNoValue, began_ns, began_ns, Profile::now_ns()});
    }
    QUOIN_RETURN_IF_ERROR(status);
    return finish((*planned)->stage.program);
}

// Before the last steps run, for they may write there.
Status Session::check_bound_outputs(const Program& program) const {
    for (size_t index = 0; index < outputs_.size(); ++index) {
        const TensorView& bound = bound_outputs_[index];
        const TensorView& made = program.outputs[index];
        if (bound.data == nullptr || made.dtype == DType::Undefined) continue;
        if (bound.dtype == made.dtype && bound.shape == made.shape) continue;
        return error(StatusCode::InvalidArgument, "the buffer bound to output ", index, " is ", dtype_name(bound.dtype),
                     to_string(bound.shape), "; the result is ", dtype_name(made.dtype), to_string(made.shape));
    }
    return {};
}

Status Session::finish(const Program& program) {
    output_places_.assign(program.output_places.begin(), program.output_places.end());
    for (size_t index = 0; index < outputs_.size(); ++index) {
        const Place& place = program.output_places[index];
        outputs_[index] = program.outputs[index];
        output_values_[index] = {};
        if (place.kind == Place::Kind::Dynamic || place.kind == Place::Kind::Input) {
            const RuntimeValue value = value_at({}, place);
            if (!value.is_none() && !is_plain(value)) output_values_[index] = value;
            if (value.is_tensor()) outputs_[index] = view_of(value);
        }
        if (place.kind != Place::Kind::Constant && place.kind != Place::Kind::None) {
            outputs_[index].data = address(place);
        }
        // A result that is no step's own (an input or constant passed through) is copied to where it was asked for.
        const TensorView& bound = bound_outputs_[index];
        if (bound.data == nullptr || bound.data == outputs_[index].data) continue;
        if (bound.dtype != outputs_[index].dtype || !(bound.shape == outputs_[index].shape) ||
            bound.dtype == DType::String) {
            return error(StatusCode::InvalidArgument, "the buffer bound to output ", index, " is ",
                         dtype_name(bound.dtype), to_string(bound.shape), "; the result is ",
                         dtype_name(outputs_[index].dtype), to_string(outputs_[index].shape));
        }
        const auto bytes = byte_size(bound.dtype, bound.elements()).value_or(0);
        if (bytes != 0) std::memcpy(bound.data, outputs_[index].data, bytes);
        outputs_[index].data = bound.data;
    }
    return {};
}

}  // namespace quoin
