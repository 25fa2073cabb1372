#include <algorithm>
#include <memory>

#include "ops/op_kernel.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

using Dims = std::optional<std::vector<Dim>>;

// Dims of one graph with their names as those of another.
Dims translated(const Graph& from, const Dims& dims, Graph& to) {
    if (!dims) return dims;
    std::vector<Dim> result = *dims;
    for (Dim& dim : result) {
        if (!dim.known() && dim.symbol >= 0)
            dim.symbol = to.add_symbol(from.symbols()[static_cast<size_t>(dim.symbol)]);
    }
    return result;
}

// One node, its bodies as graphs that can be changed.
class Bodies {
public:
    Bodies(Graph& graph, Node& node) : graph_(graph), node_(node) {
        for (const auto& [name, attribute] : node.attributes) {
            const auto* const body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
            if (body != nullptr && *body != nullptr) graphs_.push_back(**body);
        }
        captures_ = static_cast<size_t>(std::max<int64_t>(0, node.integer("captures", 0)));
        const auto takes_captures = [&](const Graph& body) { return body.inputs().size() >= captures_; };
        if (captures_ > node.inputs.size() || !std::ranges::all_of(graphs_, takes_captures)) captures_ = 0;
    }

    bool empty() const { return graphs_.empty(); }

    Status run(const OptimizeContext& context) {
        for (size_t index = 0; index < captures_; ++index) QUOIN_RETURN_IF_ERROR(type_capture(index, context));
        for (Graph& body : graphs_) {
            QUOIN_RETURN_IF_ERROR(with_context(type_inputs(body), "in a body of node '", node_.name, "': "));
            QUOIN_RETURN_IF_ERROR(
                with_context(optimize(body, {context.runtime, context.provider, {}, context.arithmetic}),
                             "in a body of node '", node_.name, "': "));
        }
        drop_captures();
        size_t next = 0;
        for (auto& [name, attribute] : node_.attributes) {
            auto* const body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
            if (body != nullptr && *body != nullptr) *body = std::make_shared<const Graph>(std::move(graphs_[next++]));
        }
        return {};
    }

private:
    size_t own_inputs(const Graph& body) const { return body.inputs().size() - captures_; }
    ValueId captured(size_t index) const { return node_.inputs[node_.inputs.size() - captures_ + index]; }

    // A body knows of what it captures all that the graph around it knows; constants become its own.
    Status type_capture(size_t index, const OptimizeContext& context) {
        const ValueId id = captured(index);
        if (id == kNoValue) return {};
        if (graph_.value(id).constant) {
            // In memory once, whoever reads it.
            QUOIN_RETURN_IF_ERROR(
                graph_.value(id).constant->materialize(context.runtime.memory, graph_.value(id).name));
        }
        const Value& outer = graph_.value(id);
        for (Graph& body : graphs_) {
            Value& inner = body.value(body.inputs()[own_inputs(body) + index]);
            inner.dtype = outer.dtype;
            inner.kind = outer.kind;
            inner.constant = outer.constant;
            // The symbols of the body may move its values: the dims come last.
            const Dims dims = translated(graph_, outer.dims, body);
            body.value(body.inputs()[own_inputs(body) + index]).dims = dims;
        }
        return {};
    }

    // The types of a body's own inputs. Declared ones are not trusted: those of carried values must hold in every
    // iteration, so dims are kept only where the body gives back what it was given.
    Status type_inputs(Graph& body) {
        const size_t own = own_inputs(body);
        size_t first_state = 0;
        size_t states = 0;
        const auto scans = static_cast<size_t>(std::max<int64_t>(0, node_.integer("num_scan_inputs", 0)));
        if (node_.op == Op::Loop && own >= 2) {
            set_type(body, 0, DType::I64, std::vector<Dim>());
            set_type(body, 1, DType::Bool, std::vector<Dim>());
            first_state = 2;
            states = own - 2;
        } else if (node_.op == Op::Scan && scans <= own) {
            states = own - scans;
            for (size_t index = states; index < own; ++index) type_slice(body, index, index - states);
        } else {
            for (size_t index = 0; index < own; ++index) {
                const ValueId id = node_.input(index);
                const DType dtype = id == kNoValue ? DType::Undefined : graph_.value(id).dtype;
                set_type(body, index, dtype, std::nullopt);
            }
            return {};
        }
        // Where the state's place among the inputs is, and among the body's outputs.
        const size_t first_output = node_.op == Op::Loop ? 1 : 0;
        if (body.outputs().size() < first_output + states) return {};
        for (size_t index = 0; index < states; ++index) {
            const ValueId id = node_.input(first_state + index);
            if (id == kNoValue) {
                set_type(body, first_state + index, DType::Undefined, std::nullopt);
                continue;
            }
            set_type(body, first_state + index, graph_.value(id).dtype,
                     translated(graph_, graph_.value(id).dims, body));
        }
        return settle(body, first_state, first_output, states);
    }

    static Status settle(Graph& body, size_t first_input, size_t first_output, size_t states) {
        bool changed = true;
        while (changed) {  // ends: each round opens a dim or a rank
            QUOIN_RETURN_IF_ERROR(infer_types(body));
            changed = false;
            for (size_t index = 0; index < states; ++index) {
                const Value& result = body.value(body.outputs()[first_output + index]);
                Value& state = body.value(body.inputs()[first_input + index]);
                if (!state.dims) continue;
                if (!result.dims || result.dims->size() != state.dims->size()) {
                    state.dims.reset();
                    changed = true;
                    continue;
                }
                for (size_t axis = 0; axis < state.dims->size(); ++axis) {
                    Dim& dim = (*state.dims)[axis];
                    if (dim == Dim{} || dim == (*result.dims)[axis]) continue;
                    dim = Dim{};
                    changed = true;
                }
            }
        }
        return {};
    }

    // A scan input without its axis.
    void type_slice(Graph& body, size_t index, size_t scan) {
        const ValueId id = node_.input(index);
        if (id == kNoValue) return;
        Dims dims = translated(graph_, graph_.value(id).dims, body);
        const Attribute* const found = node_.attribute("scan_input_axes");
        const auto* const axes = found == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(found);
        int64_t axis = axes == nullptr || scan >= axes->size() ? 0 : (*axes)[scan];
        if (dims) {
            if (axis < 0) axis += static_cast<int64_t>(dims->size());
            if (axis < 0 || axis >= static_cast<int64_t>(dims->size())) {
                dims.reset();
            } else {
                dims->erase(dims->begin() + axis);
            }
        }
        set_type(body, index, graph_.value(id).dtype, std::move(dims));
    }

    static void set_type(Graph& body, size_t index, DType dtype, Dims dims) {
        Value& value = body.value(body.inputs()[index]);
        if (dtype != DType::Undefined) value.dtype = dtype;
        value.dims = std::move(dims);
    }

    // What no body reads any more is not handed in.
    void drop_captures() {
        std::vector<bool> used(captures_);
        for (const Graph& body : graphs_) {
            const auto readers = body.consumers();
            for (size_t index = 0; index < captures_; ++index) {
                const ValueId id = body.inputs()[own_inputs(body) + index];
                const bool returned = std::ranges::find(body.outputs(), id) != body.outputs().end();
                const bool read = returned || !readers[static_cast<size_t>(id)].empty();
                used[index] = used[index] || (read && !body.value(id).constant);
            }
        }
        size_t left = captures_;
        for (size_t index = captures_; index-- > 0;) {
            if (used[index]) continue;
            for (Graph& body : graphs_) body.remove_input(body.inputs().size() - left + index);
            node_.inputs.erase(node_.inputs.end() - static_cast<std::ptrdiff_t>(left - index));
            --left;
        }
        for (auto& [name, attribute] : node_.attributes) {
            if (name == "captures") attribute = static_cast<int64_t>(left);
        }
    }

    Graph& graph_;
    Node& node_;
    std::vector<Graph> graphs_;
    size_t captures_ = 0;
};

}  // namespace

Status optimize_bodies(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> nodes = graph.nodes();
    bool changed = false;
    for (Node& node : nodes) {
        Bodies bodies(graph, node);
        if (bodies.empty()) continue;
        QUOIN_RETURN_IF_ERROR(bodies.run(context));
        changed = true;
    }
    if (changed) graph.set_nodes(std::move(nodes));
    return {};
}

}  // namespace quoin
