#include <algorithm>
#include <sstream>

#include "core/rounding.h"
#include "exec/program.h"
#include "ops/evaluate.h"
#include "ops/node_attributes.h"

namespace quoin {
namespace {

constexpr size_t kAlignment = 64;

// A node may move before its neighbours by this many places when that saves a barrier.
constexpr size_t kLookahead = 8;

// Results up to this size are computed while planning where all operands are known.
constexpr int64_t kMostKnownElements = 4096;
// Operands of a step so small that each thread had better have a copy of its results than wait at a barrier.
constexpr int64_t kReplicatedBytes = 16 << 10;

class Planner {
public:
    Planner(const PreparedGraph& prepared, PlanState before)
        : prepared_(prepared), graph_(prepared.graph), state_(std::move(before)) {}

    Result<Stage> run(std::span<const TensorView> key) {
        program_.inputs.assign(key.begin(), key.end());
        for (TensorView& input : program_.inputs) input.data = nullptr;
        QUOIN_RETURN_IF_ERROR(choose_nodes());
        find_storage();
        QUOIN_RETURN_IF_ERROR(plan_work());
        order_nodes();
        reuse_inputs();
        place_values();
        make_steps();
        finish_state();
        return Stage{std::move(program_), std::move(state_)};
    }

private:
    // What is known of a value's bytes. Values that share bytes (views, updates, in-place results) share a root.
    struct Storage {
        ValueId root = kNoValue;
        size_t bytes = 0;
        size_t copy_stride = 0;  // from one thread's copy to the next one's; 0: there is one for all
        int first_epoch = 0;
        int last_epoch = 0;
        bool stays = false;  // read after the steps
        Place place;
    };
    // When a node of the graph runs, seen from this stage.
    enum class When : uint8_t { Before, Step, Known, Dynamic, Later };

    Status choose_nodes();
    Result<When> choose(const Node& node, std::vector<TensorView>& results);
    Result<bool> find_value(const Node& node, std::span<const TensorView> results);
    Result<bool> find_open_value(const Node& node, std::vector<TensorView>& results);
    void find_storage();
    Status plan_work();
    bool can_replicate(const Node& node);
    void order_nodes();
    void reuse_inputs();
    void place_values();
    void make_steps();
    Step make_step(NodeId id, int copies);
    void finish_state();

    ValueId root(ValueId id) const {
        while (storage_[static_cast<size_t>(id)].root != id) id = storage_[static_cast<size_t>(id)].root;
        return id;
    }
    Storage& storage(ValueId id) { return storage_[static_cast<size_t>(root(id))]; }
    bool is_step(NodeId id) const {
        return prepared_.nodes[static_cast<size_t>(id)] != nullptr && !is_deferred_update(id);
    }
    // An update without tasks, as it was planned: whoever reads its result makes it.
    bool is_deferred_update(NodeId id) const {
        const auto index = static_cast<size_t>(id);
        return index < works_.size() && works_[index].tasks == 0 && op_info(graph_.node(id).op).has(facts::updates);
    }
    const TensorView& type(ValueId id) const { return state_.values[static_cast<size_t>(id)].type; }
    When when(ValueId id) const {
        const NodeId producer = graph_.value(id).producer;
        return producer == kNoValue ? When::Before : when_[static_cast<size_t>(producer)];
    }
    // Made by a step of this stage, or a view of such.
    bool is_made_here(ValueId id) const { return when(id) == When::Step; }
    int epoch_of(ValueId id) const {
        return is_made_here(id) ? epochs_[static_cast<size_t>(graph_.value(id).producer)] : -1;
    }

    const PreparedGraph& prepared_;
    const Graph& graph_;
    PlanState state_;
    Program program_;
    std::vector<When> when_;        // by node
    std::vector<NodeId> chosen_;    // steps and views of this stage, in the graph's order
    std::vector<NodeId> dynamic_;   // in the graph's order
    std::vector<Storage> storage_;  // by value
    std::vector<Work> works_;       // by node; of steps only
    std::vector<NodeId> order_;     // steps and views
    std::vector<int> epochs_;       // by node: how many barriers stand before it
};

Status contradiction(const Graph& graph, const Value& value, const TensorView& found) {
    return error(StatusCode::InvalidArgument, "input '", value.name, "' is ", dtype_name(found.dtype),
                 to_string(found.shape), " where the model takes ", describe(graph, value));
}

// False for shapes that are negative, too large or end inside a block.
bool has_bytes(DType dtype, const Shape& shape) {
    const std::optional<int64_t> count = shape.element_count();
    return count && byte_size(dtype, *count);
}

ValueType type_of(const TensorView& view) {
    if (view.dtype == DType::Undefined) return {};
    std::vector<Dim> dims;
    for (const int64_t dim : view.shape.dims()) dims.push_back({.size = dim});
    return {view.dtype, std::move(dims)};
}

// Steps, results known from shapes, nodes that must run to tell their shapes, and what has to wait for those.
Status Planner::choose_nodes() {
    when_.assign(graph_.nodes().size(), When::Later);
    for (size_t index = 0; index < when_.size(); ++index) {
        const auto id = static_cast<NodeId>(index);
        if (state_.done[index]) {
            when_[index] = When::Before;
            continue;
        }
        const Node& node = graph_.node(id);
        std::vector<TensorView> results(node.outputs.size());
        QUOIN_ASSIGN_OR_RETURN(const When chosen, choose(node, results));
        when_[index] = chosen;
        switch (chosen) {
            case When::Step: chosen_.push_back(id); break;
            case When::Dynamic: dynamic_.push_back(id); break;
            case When::Later: program_.last = false; continue;
            default: break;
        }
        state_.done[index] = true;
        if (chosen == When::Dynamic) continue;
        for (size_t output = 0; output < node.outputs.size(); ++output) {
            if (node.outputs[output] == kNoValue) continue;
            PlanState::Known& value = state_.values[static_cast<size_t>(node.outputs[output])];
            value.available = true;
            value.type = results[output];
            if (chosen == When::Known) value.place.kind = Place::Kind::Constant;
        }
    }
    return {};
}

Result<Planner::When> Planner::choose(const Node& node, std::vector<TensorView>& results) {
    const OpInfo& info = op_info(node.op);
    bool boxed = info.has(facts::boxed);
    bool pending = false;
    for (const ValueId input : node.inputs) {
        if (input == kNoValue) continue;
        if (when(input) == When::Later) return When::Later;
        pending = pending || when(input) == When::Dynamic;
        const PlanState::Known& value = state_.values[static_cast<size_t>(input)];
        boxed = boxed || value.boxed || value.type.dtype == DType::String;
    }
    // These need no plan, so they may follow each other without a new stage.
    if (boxed || (pending && info.has(facts::view))) return When::Dynamic;
    if (pending) return When::Later;

    std::vector<ValueType> inputs;
    std::vector<Tensor> bytes(node.inputs.size());
    std::vector<const Tensor*> known(node.inputs.size());
    for (size_t index = 0; index < node.inputs.size(); ++index) {
        const ValueId input = node.inputs[index];
        inputs.push_back(input == kNoValue ? ValueType{} : type_of(type(input)));
        if (input == kNoValue || type(input).data == nullptr) continue;
        const TensorView& view = type(input);
        bytes[index] =
            Tensor(view.dtype, view.shape, view.data, byte_size(view.dtype, view.elements()).value_or(0), nullptr);
        known[index] = &bytes[index];
    }
    std::vector<ValueType> outputs(node.outputs.size());
    InferContext context(graph_, node, inputs, outputs, known);
    QUOIN_RETURN_IF_ERROR(at_node(node, op_implementation(node.op).infer(context)));
    for (size_t index = 0; index < node.outputs.size(); ++index) {
        if (node.outputs[index] == kNoValue) continue;
        const ValueType& output = outputs[index];
        if (output.dtype == DType::Undefined || output.dtype == DType::String || !output.is_static()) {
            // Where every byte is known, so is the result (NonZero of a constant).
            QUOIN_ASSIGN_OR_RETURN(const bool found, find_open_value(node, results));
            return found ? When::Known : When::Dynamic;
        }
        std::vector<int64_t> dims;
        for (const Dim& dim : *output.dims) dims.push_back(dim.size);
        if (dims.size() > Shape::kMaxRank || !has_bytes(output.dtype, Shape(std::span<const int64_t>(dims)))) {
            return error(StatusCode::InvalidArgument, "node '", node.name, "' (", info.name,
                         "): no tensor can have the shape of its result");
        }
        results[index] = {nullptr, output.dtype, Shape(std::span<const int64_t>(dims))};
    }
    if (info.has(facts::view) && type(node.inputs[0]).data != nullptr) {
        results[0].data = type(node.inputs[0]).data;
        return When::Known;
    }
    QUOIN_ASSIGN_OR_RETURN(const bool found, find_value(node, results));
    if (!found) return When::Step;
    for (size_t index = 0; index < results.size(); ++index) {
        results[index].data = program_.known[program_.known.size() - results.size() + index].data();
    }
    return When::Known;
}

// Computes now what follows from shapes and constants, as long as it is small.
Result<bool> Planner::find_value(const Node& node, std::span<const TensorView> results) {
    const OpInfo& info = op_info(node.op);
    const bool by_shape = info.has(facts::shape_only);
    if (!info.has(facts::folds) || node.inputs.empty()) return false;
    for (const TensorView& result : results) {
        if (result.elements() > kMostKnownElements) return false;
    }
    std::vector<RuntimeValue> inputs;
    for (const ValueId input : node.inputs) {
        if (input == kNoValue) {
            inputs.emplace_back();
            continue;
        }
        const TensorView& view = type(input);
        if (!by_shape && (view.data == nullptr || is_block_format(view.dtype))) return false;
        inputs.emplace_back(
            Tensor(view.dtype, view.shape, view.data, byte_size(view.dtype, view.elements()).value_or(0), nullptr));
    }
    const auto made = std::ranges::find_if(node.outputs, [](ValueId each) { return each != kNoValue; });
    if (made == node.outputs.end()) return false;
    const auto id = static_cast<size_t>(graph_.value(*made).producer);
    QUOIN_ASSIGN_OR_RETURN(const std::vector<RuntimeValue> values,
                           evaluate(graph_, node, prepared_.nodes[id].get(), inputs, *prepared_.runtime));
    for (const RuntimeValue& value : values) program_.known.push_back(value.tensor());
    return true;
}

// The same for a node whose shapes are not known before it is computed.
Result<bool> Planner::find_open_value(const Node& node, std::vector<TensorView>& results) {
    const bool small = std::ranges::all_of(
        node.inputs, [&](ValueId id) { return id == kNoValue || type(id).elements() <= kMostKnownElements; });
    if (!small || op_info(node.op).has(facts::shape_only)) return false;
    for (size_t index = 0; index < results.size(); ++index) results[index] = {};
    const size_t before = program_.known.size();
    QUOIN_ASSIGN_OR_RETURN(const bool found, find_value(node, results));
    if (!found) return false;
    for (size_t index = 0; index < results.size(); ++index) {
        const Tensor& tensor = program_.known[before + index];
        const bool plain = tensor.dtype() != DType::Undefined && tensor.dtype() != DType::String;
        if (node.outputs[index] != kNoValue && (!plain || tensor.shape().element_count() > kMostKnownElements)) {
            program_.known.resize(before);
            return false;
        }
        results[index] = {tensor.data(), tensor.dtype(), tensor.shape()};
    }
    return true;
}

void Planner::find_storage() {
    storage_.resize(graph_.values().size());
    for (size_t id = 0; id < storage_.size(); ++id) {
        const PlanState::Known& value = state_.values[id];
        storage_[id].root = static_cast<ValueId>(id);
        if (!value.available) continue;
        storage_[id].bytes = byte_size(value.type.dtype, value.type.elements()).value_or(0);
        storage_[id].place = value.place;
    }
    for (const NodeId id : chosen_) {
        const Node& node = graph_.node(id);
        const OpInfo& info = op_info(node.op);
        if (info.has(facts::view) || info.has(facts::updates)) {
            storage_[static_cast<size_t>(node.outputs[0])].root = root(node.inputs[0]);
        }
    }
    const auto stays = [&](ValueId id) {
        if (id != kNoValue && is_made_here(id)) storage(id).stays = true;
    };
    for (size_t index = 0; index < graph_.outputs().size(); ++index) {
        const ValueId id = graph_.outputs()[index];
        if (!is_made_here(id)) continue;
        stays(id);
        Storage& each = storage(id);
        if (each.place.kind == Place::Kind::None) {
            each.place = {Place::Kind::Output, static_cast<int32_t>(index), state_.stage, 0};
        }
    }
    for (size_t index = 0; index < when_.size(); ++index) {
        if (when_[index] != When::Dynamic && when_[index] != When::Later) continue;
        std::ranges::for_each(graph_.nodes()[index].inputs, stays);
    }
}

// Copies are made of intermediate results that nobody changes afterwards. Who makes an update for another node must do
// it once.
bool Planner::can_replicate(const Node& node) {
    const bool updates = std::ranges::any_of(node.inputs, [&](ValueId input) {
        const NodeId producer = input == kNoValue ? kNoValue : graph_.value(input).producer;
        return producer != kNoValue && is_deferred_update(producer);
    });
    return !updates && std::ranges::all_of(node.outputs, [&](ValueId output) {
        if (output == kNoValue) return false;
        const bool updated = std::ranges::any_of(chosen_, [&](NodeId other) {
            return op_info(graph_.node(other).op).has(facts::updates) && root(graph_.node(other).inputs[0]) == output;
        });
        const Storage& each = storage(output);
        return root(output) == output && each.place.kind == Place::Kind::None && !each.stays && !updated;
    });
}

int64_t touched_bytes(std::span<const TensorView> views) {
    int64_t bytes = 0;
    for (const TensorView& view : views) {
        bytes += static_cast<int64_t>(byte_size(view.dtype, view.elements()).value_or(0));
    }
    return bytes;
}

Status Planner::plan_work() {
    const int threads = prepared_.runtime->team->size();
    works_.resize(graph_.nodes().size());
    std::vector<TensorView> views;
    for (const NodeId id : chosen_) {
        if (!is_step(id)) continue;
        const Node& node = graph_.node(id);
        views.clear();
        for (const std::vector<ValueId>* const ids : {&node.inputs, &node.outputs}) {
            for (const ValueId value : *ids) views.push_back(value == kNoValue ? TensorView{} : type(value));
        }
        const std::span<const TensorView> all(views);
        const Arguments arguments{all.first(node.inputs.size()), all.subspan(node.inputs.size()), {}};
        Work& work = works_[static_cast<size_t>(id)];
        const Result<Work> planned = prepared_.nodes[static_cast<size_t>(id)]->plan(arguments, threads);
        if (!planned.ok()) return at_node(node, planned.status());
        work = *planned;
        // A step of one task that touches little would be done by one thread while the others wait for it.
        const bool cheap = work.tasks == 1 && touched_bytes(views) <= kReplicatedBytes;
        work.replicated = (work.replicated || cheap) && threads > 1 && can_replicate(node);
        if (!work.replicated) continue;
        for (const ValueId output : node.outputs) {
            Storage& each = storage(output);
            each.copy_stride = align_up(each.bytes, kAlignment);
            each.bytes = each.copy_stride * static_cast<size_t>(threads);
        }
    }
    return {};
}

// Keeps the graph's order, except that when the next node would need a barrier, nodes close behind it that do not are
// drawn in front. An update also has to wait for everybody who still reads the old bytes: for those who stand before it
// in the graph even when they are not ready yet.
void Planner::order_nodes() {
    epochs_.assign(graph_.nodes().size(), -1);
    std::vector<int> last_read(graph_.values().size(), -1);  // by root: latest epoch of a reader
    std::vector<bool> made(graph_.values().size(), true);
    for (const NodeId id : chosen_) {
        for (const ValueId output : graph_.node(id).outputs) {
            if (output != kNoValue) made[static_cast<size_t>(output)] = false;
        }
    }
    std::vector<NodeId> waiting = chosen_;
    int epoch = 0;
    const auto is_ready = [&](NodeId id) {
        const Node& node = graph_.node(id);
        for (const ValueId input : node.inputs) {
            if (input == kNoValue) continue;
            if (!made[static_cast<size_t>(input)]) return false;
            // A thread's own copy is there as soon as the thread is.
            const bool shared = storage(input).copy_stride == 0;
            if (is_step(id) && shared && epoch_of(input) == epoch) return false;
        }
        if (!op_info(node.op).has(facts::updates)) return true;
        const ValueId updated = root(node.inputs[0]);
        const auto reads_updated = [&](NodeId other) {
            return std::ranges::any_of(graph_.node(other).inputs,
                                       [&](ValueId input) { return input != kNoValue && root(input) == updated; });
        };
        const auto self = std::ranges::find(waiting, id);
        return std::none_of(waiting.begin(), self, reads_updated) && last_read[static_cast<size_t>(updated)] < epoch;
    };
    while (!waiting.empty()) {
        const auto window = waiting.begin() + static_cast<std::ptrdiff_t>(std::min(kLookahead, waiting.size()));
        const auto next = std::find_if(waiting.begin(), window, is_ready);
        if (next == window) {
            ++epoch;
            continue;
        }
        const NodeId id = *next;
        const Node& node = graph_.node(id);
        // A view is as old as what it shows.
        epochs_[static_cast<size_t>(id)] = is_step(id) ? epoch : epoch_of(node.inputs[0]);
        for (const ValueId input : node.inputs) {
            if (input != kNoValue) last_read[static_cast<size_t>(root(input))] = epoch;
        }
        for (const ValueId output : node.outputs) {
            if (output != kNoValue) made[static_cast<size_t>(output)] = true;
        }
        order_.push_back(id);
        waiting.erase(next);
    }
    // Lifetimes in epochs: two values of one epoch never share bytes, so threads that are steps apart cannot collide.
    for (const NodeId id : order_) {
        const Node& node = graph_.node(id);
        for (const ValueId output : node.outputs) {
            if (output == kNoValue) continue;
            const int made_in = epochs_[static_cast<size_t>(id)];
            Storage& each = storage(output);
            if (root(output) == output) each.first_epoch = made_in;
            each.last_epoch = std::max(each.last_epoch, made_in);
        }
        for (const ValueId input : node.inputs) {
            if (input == kNoValue) continue;
            Storage& each = storage(input);
            each.last_epoch = std::max(each.last_epoch, epochs_[static_cast<size_t>(id)]);
        }
    }
    for (Storage& each : storage_) {
        if (each.stays) each.last_epoch = epoch + 1;
    }
}

// Lets an op write over its first input, or its residual, where nobody else reads that in the same epoch or later.
void Planner::reuse_inputs() {
    std::vector<std::vector<NodeId>> readers(graph_.values().size());  // by root
    for (const NodeId id : order_) {
        if (!is_step(id)) continue;
        for (const ValueId input : graph_.node(id).inputs) {
            if (input != kNoValue) readers[static_cast<size_t>(root(input))].push_back(id);
        }
    }
    for (const NodeId id : order_) {
        const Node& node = graph_.node(id);
        const OpInfo& info = op_info(node.op);
        const size_t input = info.has(facts::in_place_residual) ? 3 : 0;
        if (!info.has(facts::in_place | facts::in_place_residual) || node.input(input) == kNoValue) continue;
        const ValueId from = root(node.inputs[input]);
        const ValueId to = root(node.outputs[0]);
        Storage& source = storage_[static_cast<size_t>(from)];
        Storage& result = storage_[static_cast<size_t>(to)];
        const int epoch = epochs_[static_cast<size_t>(id)];
        const bool last = std::ranges::all_of(readers[static_cast<size_t>(from)], [&](NodeId reader) {
            return reader == id || epochs_[static_cast<size_t>(reader)] < epoch;
        });
        const bool twice = std::ranges::count_if(
                               node.inputs, [&](ValueId each) { return each != kNoValue && root(each) == from; }) > 1;
        if (source.place.kind != Place::Kind::None || result.place.kind != Place::Kind::None || !last || twice ||
            source.stays || source.bytes != result.bytes || source.copy_stride != 0 || result.copy_stride != 0) {
            continue;
        }
        result.root = from;
        source.last_epoch = std::max(source.last_epoch, result.last_epoch);
        source.stays = result.stays;
        auto& inherited = readers[static_cast<size_t>(from)];
        inherited.insert(inherited.end(), readers[static_cast<size_t>(to)].begin(),
                         readers[static_cast<size_t>(to)].end());
    }
}

// Greedy by size: the largest value first, each at the lowest place that is free during its whole life.
void Planner::place_values() {
    std::vector<ValueId> pending;
    for (const NodeId id : order_) {
        for (const ValueId output : graph_.node(id).outputs) {
            if (output == kNoValue) continue;
            const Place::Kind kind = storage(output).place.kind;
            if (root(output) == output && is_step(id) && (kind == Place::Kind::None || kind == Place::Kind::Output)) {
                pending.push_back(output);
            }
        }
    }
    std::ranges::stable_sort(pending, std::greater<>(), [&](ValueId id) { return storage(id).bytes; });
    std::vector<const Storage*> placed;  // sorted by offset
    for (const ValueId id : pending) {
        Storage& each = storage(id);
        size_t offset = 0;
        for (const Storage* other : placed) {
            const bool together = other->first_epoch <= each.last_epoch && each.first_epoch <= other->last_epoch;
            if (!together) continue;
            if (offset + each.bytes <= other->place.offset) break;
            offset = std::max(offset, align_up(other->place.offset + other->bytes, kAlignment));
        }
        if (each.place.kind == Place::Kind::None) each.place = {Place::Kind::Arena, 0, state_.stage, 0};
        each.place.offset = offset;
        program_.arena_bytes = std::max(program_.arena_bytes, align_up(offset + each.bytes, kAlignment));
        const auto behind =
            std::ranges::upper_bound(placed, offset, {}, [](const Storage* s) { return s->place.offset; });
        placed.insert(behind, &each);
    }
}

Step Planner::make_step(NodeId id, int copies) {
    const Node& node = graph_.node(id);
    Step step{};
    step.node = id;
    step.first_view = static_cast<uint32_t>(program_.views.size());
    step.inputs = static_cast<uint32_t>(node.inputs.size());
    step.outputs = static_cast<uint32_t>(node.outputs.size());
    step.view_stride = copies > 1 ? step.inputs + step.outputs : 0;
    for (int copy = 0; copy < copies; ++copy) {
        for (const std::vector<ValueId>* const ids : {&node.inputs, &node.outputs}) {
            for (const ValueId value : *ids) {
                program_.views.push_back(value == kNoValue ? TensorView{} : type(value));
                program_.places.push_back(value == kNoValue ? Place{} : storage(value).place);
                if (value == kNoValue) continue;
                program_.places.back().offset += storage(value).copy_stride * static_cast<size_t>(copy);
            }
        }
    }
    return step;
}

void Planner::make_steps() {
    const int threads = prepared_.runtime->team->size();
    int epoch = 0;
    for (const NodeId id : order_) {
        if (!is_step(id)) continue;
        const Node& node = graph_.node(id);
        const auto has_copies = [&](ValueId value) { return value != kNoValue && storage(value).copy_stride != 0; };
        const bool own = std::ranges::any_of(node.inputs, has_copies) || std::ranges::any_of(node.outputs, has_copies);
        Step step = make_step(id, own ? threads : 1);
        step.barrier = epochs_[static_cast<size_t>(id)] > epoch;
        program_.barriers += step.barrier ? 1 : 0;
        epoch = epochs_[static_cast<size_t>(id)];
        step.work = works_[static_cast<size_t>(id)];
        program_.scratch_bytes =
            std::max(program_.scratch_bytes, align_up(static_cast<size_t>(step.work.scratch_bytes), kAlignment));
        program_.steps.push_back(step);
    }
}

void Planner::finish_state() {
    for (const NodeId id : dynamic_) {
        for (const ValueId output : graph_.node(id).outputs) {
            if (output == kNoValue) continue;
            storage_[static_cast<size_t>(output)].place = {Place::Kind::Dynamic, output, 0, 0};
        }
    }
    for (const NodeId id : dynamic_) program_.dynamic.push_back(make_step(id, 1));
    for (size_t id = 0; id < state_.values.size(); ++id) {
        state_.values[id].place = storage(static_cast<ValueId>(id)).place;
    }
    ++state_.stage;
    if (!program_.last) return;
    for (const ValueId output : graph_.outputs()) {
        program_.outputs.push_back(type(output));
        program_.output_places.push_back(storage(output).place);
    }
}

// The values that are there before the first stage: inputs and constants.
Result<PlanState> first_state(const PreparedGraph& prepared, std::span<const TensorView> inputs) {
    const Graph& graph = prepared.graph;
    PlanState state;
    state.values.resize(graph.values().size());
    state.done.resize(graph.nodes().size());
    std::vector<int64_t> symbols(graph.symbols().size(), -1);
    for (size_t index = 0; index < graph.inputs().size(); ++index) {
        const ValueId id = graph.inputs()[index];
        const Value& value = graph.value(id);
        const TensorView& given = inputs[index];
        PlanState::Known& known = state.values[static_cast<size_t>(id)];
        known.available = true;
        known.place = {Place::Kind::Input, static_cast<int32_t>(index), 0, 0};
        known.type = {nullptr, given.dtype, given.shape};
        known.boxed = given.dtype == DType::Undefined;
        if (known.boxed) continue;
        if (value.dtype != DType::Undefined && value.dtype != given.dtype) return contradiction(graph, value, given);
        if (value.dims && value.dims->size() != given.shape.rank()) return contradiction(graph, value, given);
        if (!has_bytes(given.dtype, given.shape)) return contradiction(graph, value, given);
        for (size_t axis = 0; value.dims && axis < given.shape.rank(); ++axis) {
            const Dim dim = (*value.dims)[axis];
            int64_t wanted = dim.size;
            if (!dim.known() && dim.symbol >= 0) {
                int64_t& symbol = symbols[static_cast<size_t>(dim.symbol)];
                if (symbol < 0) symbol = given.shape[axis];
                wanted = symbol;
            }
            if (wanted >= 0 && wanted != given.shape[axis]) return contradiction(graph, value, given);
        }
    }
    for (size_t id = 0; id < graph.values().size(); ++id) {
        const Value& value = graph.values()[id];
        if (!value.constant) continue;
        QUOIN_ASSIGN_OR_RETURN(const Tensor tensor, value.constant->load());
        state.values[id] = {
            true, false, {tensor.data(), value.dtype, value.constant->shape()}, {Place::Kind::Constant, 0, 0, 0}};
    }
    return state;
}

}  // namespace

Result<Stage> plan(const PreparedGraph& prepared, std::span<const TensorView> inputs) {
    QUOIN_ASSIGN_OR_RETURN(PlanState state, first_state(prepared, inputs));
    return Planner(prepared, std::move(state)).run(inputs);
}

Result<Stage> plan_next(const PreparedGraph& prepared, const Stage& before, std::span<const TensorView> results) {
    PlanState state = before.after;
    size_t next = 0;
    for (const Step& step : before.program.dynamic) {
        for (const ValueId output : prepared.graph.node(step.node).outputs) {
            const TensorView& result = results[next++];
            if (output == kNoValue) continue;
            PlanState::Known& value = state.values[static_cast<size_t>(output)];
            value.available = true;
            value.boxed = result.dtype == DType::Undefined;
            value.type = {nullptr, result.dtype, result.shape};
        }
    }
    return Planner(prepared, std::move(state)).run(results);
}

std::string dump(const PreparedGraph& prepared, const Program& program) {
    std::ostringstream out;
    out << program.steps.size() << " steps, " << program.barriers << " barriers, arena " << program.arena_bytes
        << " bytes, scratch " << program.scratch_bytes << " bytes per thread\n";
    for (const Step& step : program.steps) {
        const Node& node = prepared.graph.node(step.node);
        if (step.barrier) out << "---- barrier\n";
        out << op_info(node.op).name << ' ' << node.name << ": " << step.work.tasks << " tasks";
        if (step.work.replicated) out << " on each thread";
        const std::string label = prepared.nodes[static_cast<size_t>(step.node)]->label();
        if (!label.empty()) out << ", " << label;
        for (uint32_t index = 0; index < step.outputs; ++index) {
            const Place& place = program.places[step.first_view + step.inputs + index];
            const TensorView& view = program.views[step.first_view + step.inputs + index];
            out << " -> " << dtype_name(view.dtype) << to_string(view.shape);
            switch (place.kind) {
                case Place::Kind::Arena: out << " at " << place.offset; break;
                case Place::Kind::Input: out << " in place of input " << place.index; break;
                case Place::Kind::Output: out << " as output " << place.index; break;
                default: break;
            }
        }
        out << '\n';
    }
    for (const Step& step : program.dynamic) {
        const Node& node = prepared.graph.node(step.node);
        out << op_info(node.op).name << ' ' << node.name << ": when its inputs are there\n";
    }
    if (!program.last) out << "---- the rest is planned when these have run\n";
    return out.str();
}

}  // namespace quoin
