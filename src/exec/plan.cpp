#include <algorithm>
#include <numeric>
#include <sstream>

#include "exec/program.h"

namespace quoin {
namespace {

constexpr size_t kAlignment = 64;

size_t align(size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// A node may move before its neighbours by this many places when that saves a barrier.
constexpr size_t kLookahead = 8;

class Planner {
public:
    Planner(const PreparedGraph& prepared, std::span<const TensorView> inputs)
        : prepared_(prepared), graph_(prepared.graph), inputs_(inputs) {}

    Result<Program> run() {
        QUOIN_RETURN_IF_ERROR(infer_shapes());
        find_storage();
        QUOIN_RETURN_IF_ERROR(plan_work());
        order_nodes();
        reuse_inputs();
        place_values();
        make_steps();
        return std::move(program_);
    }

private:
    // What is known of a value's bytes. Values that share bytes (views, updates, in-place results) share a root.
    struct Storage {
        ValueId root = kNoValue;
        size_t bytes = 0;
        size_t copy_stride = 0;  // from one thread's copy to the next one's; 0: there is one for all
        int first_epoch = 0;
        int last_epoch = 0;
        Place place;
    };

    Status infer_shapes();
    void find_storage();
    Status plan_work();
    bool can_replicate(const Node& node);
    void order_nodes();
    void reuse_inputs();
    void place_values();
    void make_steps();

    ValueId root(ValueId id) const {
        while (storage_[static_cast<size_t>(id)].root != id) id = storage_[static_cast<size_t>(id)].root;
        return id;
    }
    Storage& storage(ValueId id) { return storage_[static_cast<size_t>(root(id))]; }
    bool is_step(NodeId id) const { return prepared_.nodes[static_cast<size_t>(id)] != nullptr; }
    int epoch_of(ValueId id) const {
        const NodeId producer = graph_.value(id).producer;
        return producer == kNoValue ? -1 : epochs_[static_cast<size_t>(producer)];
    }

    const PreparedGraph& prepared_;
    const Graph& graph_;
    std::span<const TensorView> inputs_;
    Program program_;
    std::vector<TensorView> types_;  // dtype and concrete shape of every value
    std::vector<Storage> storage_;   // by value
    std::vector<Work> works_;        // by node; of steps only
    std::vector<NodeId> order_;      // steps and views
    std::vector<int> epochs_;        // by node: how many barriers stand before it
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

Status Planner::infer_shapes() {
    types_.resize(graph_.values().size());
    std::vector<ValueType> known(graph_.values().size());
    std::vector<int64_t> symbols(graph_.symbols().size(), -1);
    for (size_t index = 0; index < graph_.inputs().size(); ++index) {
        const ValueId id = graph_.inputs()[index];
        const Value& value = graph_.value(id);
        const TensorView& given = inputs_[index];
        if (value.dtype != DType::Undefined && value.dtype != given.dtype) return contradiction(graph_, value, given);
        if (value.dims && value.dims->size() != given.shape.rank()) return contradiction(graph_, value, given);
        if (!has_bytes(given.dtype, given.shape)) return contradiction(graph_, value, given);
        std::vector<Dim> dims;
        for (size_t axis = 0; axis < given.shape.rank(); ++axis) {
            const int64_t size = given.shape[axis];
            dims.push_back({.size = size});
            if (!value.dims) continue;
            const Dim dim = (*value.dims)[axis];
            int64_t wanted = dim.size;
            if (!dim.known() && dim.symbol >= 0) {
                int64_t& symbol = symbols[static_cast<size_t>(dim.symbol)];
                if (symbol < 0) symbol = size;
                wanted = symbol;
            }
            if (wanted >= 0 && wanted != size) return contradiction(graph_, value, given);
        }
        known[static_cast<size_t>(id)] = {given.dtype, std::move(dims)};
        types_[static_cast<size_t>(id)] = {nullptr, given.dtype, given.shape};
    }
    for (size_t id = 0; id < graph_.values().size(); ++id) {
        const Value& value = graph_.values()[id];
        if (!value.constant) continue;
        QUOIN_ASSIGN_OR_RETURN(const Tensor tensor, value.constant->load());
        known[id] = {value.dtype, value.dims};
        types_[id] = {tensor.data(), value.dtype, value.constant->shape()};
    }
    std::vector<ValueType> node_inputs;
    std::vector<ValueType> node_outputs;
    for (const Node& node : graph_.nodes()) {
        node_inputs.assign(node.inputs.size(), {});
        for (size_t index = 0; index < node.inputs.size(); ++index) {
            if (node.inputs[index] != kNoValue) node_inputs[index] = known[static_cast<size_t>(node.inputs[index])];
        }
        node_outputs.assign(node.outputs.size(), {});
        InferContext context(graph_, node, node_inputs, node_outputs);
        QUOIN_RETURN_IF_ERROR(op_implementation(node.op).infer(context));
        for (size_t index = 0; index < node.outputs.size(); ++index) {
            const auto id = static_cast<size_t>(node.outputs[index]);
            const ValueType& type = node_outputs[index];
            const bool concrete = type.dtype != DType::Undefined && type.dims &&
                                  std::ranges::all_of(*type.dims, [](const Dim& dim) { return dim.known(); });
            if (!concrete) {
                return error(StatusCode::Unsupported, "node '", node.name, "' (", op_info(node.op).name,
                             "): the shape of its result depends on data");
            }
            std::vector<int64_t> dims;
            for (const Dim& dim : *type.dims) dims.push_back(dim.size);
            if (dims.size() > Shape::kMaxRank || !has_bytes(type.dtype, Shape(std::span<const int64_t>(dims)))) {
                return error(StatusCode::InvalidArgument, "node '", node.name, "' (", op_info(node.op).name,
                             "): no tensor can have the shape of its result");
            }
            types_[id] = {nullptr, type.dtype, Shape(std::span<const int64_t>(dims))};
            known[id] = type;
        }
    }
    program_.inputs.assign(inputs_.begin(), inputs_.end());
    for (TensorView& input : program_.inputs) input.data = nullptr;
    return {};
}

void Planner::find_storage() {
    storage_.resize(graph_.values().size());
    for (size_t id = 0; id < storage_.size(); ++id) {
        storage_[id].root = static_cast<ValueId>(id);
        const TensorView& type = types_[id];
        storage_[id].bytes = byte_size(type.dtype, type.elements()).value_or(0);
        if (graph_.values()[id].constant) storage_[id].place.kind = Place::Kind::Constant;
    }
    for (size_t index = 0; index < graph_.inputs().size(); ++index) {
        storage(graph_.inputs()[index]).place = {Place::Kind::Input, static_cast<int32_t>(index), 0};
    }
    for (const Node& node : graph_.nodes()) {
        const OpInfo& info = op_info(node.op);
        if (info.has(facts::view) || info.has(facts::updates)) {
            storage_[static_cast<size_t>(node.outputs[0])].root = root(node.inputs[0]);
        }
    }
    for (size_t index = 0; index < graph_.outputs().size(); ++index) {
        Storage& each = storage(graph_.outputs()[index]);
        if (each.place.kind == Place::Kind::None) each.place = {Place::Kind::Output, static_cast<int32_t>(index), 0};
    }
}

// Copies are made of intermediate results that nobody changes afterwards.
bool Planner::can_replicate(const Node& node) {
    return std::ranges::all_of(node.outputs, [&](ValueId output) {
        const bool updated = std::ranges::any_of(graph_.nodes(), [&](const Node& other) {
            return op_info(other.op).has(facts::updates) && root(other.inputs[0]) == output;
        });
        return root(output) == output && storage(output).place.kind == Place::Kind::None && !updated;
    });
}

Status Planner::plan_work() {
    const int threads = prepared_.runtime->team->size();
    works_.resize(graph_.nodes().size());
    std::vector<TensorView> views;
    for (size_t index = 0; index < graph_.nodes().size(); ++index) {
        if (!is_step(static_cast<NodeId>(index))) continue;
        const Node& node = graph_.nodes()[index];
        views.clear();
        for (const std::vector<ValueId>* const ids : {&node.inputs, &node.outputs}) {
            for (const ValueId id : *ids) {
                views.push_back(id == kNoValue ? TensorView{} : types_[static_cast<size_t>(id)]);
            }
        }
        const std::span<const TensorView> all(views);
        const Arguments arguments{all.first(node.inputs.size()), all.subspan(node.inputs.size()), {}};
        Work& work = works_[index];
        QUOIN_ASSIGN_OR_RETURN(work, prepared_.nodes[index]->plan(arguments, threads));
        work.replicated = work.replicated && threads > 1 && can_replicate(node);
        if (!work.replicated) continue;
        for (const ValueId output : node.outputs) {
            Storage& each = storage(output);
            each.copy_stride = align(each.bytes);
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
    for (const Node& node : graph_.nodes()) {
        for (const ValueId output : node.outputs) made[static_cast<size_t>(output)] = false;
    }
    std::vector<NodeId> waiting(graph_.nodes().size());
    std::iota(waiting.begin(), waiting.end(), 0);
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
        for (const ValueId output : node.outputs) made[static_cast<size_t>(output)] = true;
        order_.push_back(id);
        waiting.erase(next);
    }
    // Lifetimes in epochs: two values of one epoch never share bytes, so threads that are steps apart cannot collide.
    for (const NodeId id : order_) {
        const Node& node = graph_.node(id);
        for (const ValueId output : node.outputs) {
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
    for (const ValueId output : graph_.outputs()) storage(output).last_epoch = epoch + 1;
}

// Lets an op write over its first input where nobody else reads that in the same epoch or later.
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
        if (!op_info(node.op).has(facts::in_place)) continue;
        const ValueId from = root(node.inputs[0]);
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
            source.bytes != result.bytes || source.copy_stride != 0 || result.copy_stride != 0) {
            continue;
        }
        result.root = from;
        source.last_epoch = std::max(source.last_epoch, result.last_epoch);
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
            const Place::Kind kind = storage(output).place.kind;
            if (root(output) == output && (kind == Place::Kind::None || kind == Place::Kind::Output)) {
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
            offset = std::max(offset, align(other->place.offset + other->bytes));
        }
        if (each.place.kind == Place::Kind::None) each.place.kind = Place::Kind::Arena;
        each.place.offset = offset;
        program_.arena_bytes = std::max(program_.arena_bytes, align(offset + each.bytes));
        const auto behind =
            std::ranges::upper_bound(placed, offset, {}, [](const Storage* s) { return s->place.offset; });
        placed.insert(behind, &each);
    }
}

void Planner::make_steps() {
    const int threads = prepared_.runtime->team->size();
    int epoch = 0;
    for (const NodeId id : order_) {
        if (!is_step(id)) continue;
        const Node& node = graph_.node(id);
        Step step{};
        step.node = id;
        step.barrier = epochs_[static_cast<size_t>(id)] > epoch;
        program_.barriers += step.barrier ? 1 : 0;
        epoch = epochs_[static_cast<size_t>(id)];
        step.first_view = static_cast<uint32_t>(program_.views.size());
        step.inputs = static_cast<uint32_t>(node.inputs.size());
        step.outputs = static_cast<uint32_t>(node.outputs.size());
        const auto has_copies = [&](ValueId value) { return value != kNoValue && storage(value).copy_stride != 0; };
        const bool own = std::ranges::any_of(node.inputs, has_copies) || std::ranges::any_of(node.outputs, has_copies);
        step.view_stride = own ? step.inputs + step.outputs : 0;
        for (int thread = 0; thread < (own ? threads : 1); ++thread) {
            for (const std::vector<ValueId>* const ids : {&node.inputs, &node.outputs}) {
                for (const ValueId value : *ids) {
                    program_.views.push_back(value == kNoValue ? TensorView{} : types_[static_cast<size_t>(value)]);
                    program_.places.push_back(value == kNoValue ? Place{} : storage(value).place);
                    if (!has_copies(value)) continue;
                    program_.places.back().offset += storage(value).copy_stride * static_cast<size_t>(thread);
                }
            }
        }
        step.work = works_[static_cast<size_t>(id)];
        program_.scratch_bytes = std::max(program_.scratch_bytes, align(static_cast<size_t>(step.work.scratch_bytes)));
        program_.steps.push_back(step);
    }
    for (const ValueId output : graph_.outputs()) {
        program_.outputs.push_back(types_[static_cast<size_t>(output)]);
        program_.output_places.push_back(storage(output).place);
    }
}

}  // namespace

Result<Program> plan(const PreparedGraph& prepared, std::span<const TensorView> inputs) {
    return Planner(prepared, inputs).run();
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
    return out.str();
}

}  // namespace quoin
