#include <algorithm>

#include "core/log.h"
#include "ops/linear.h"
#include "optimize/activations.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

DType weight_dtype(const Graph& graph, const Node& node) {
    return graph.value(node.inputs[1]).dtype;
}

// Two unknown dims without a name are not the same: at run time one of them may be 1 and be broadcast.
bool same_dims(const Graph& graph, ValueId a, ValueId b) {
    const auto& left = graph.value(a).dims;
    const auto& right = graph.value(b).dims;
    const auto named = [](const Dim& dim) { return dim.known() || dim.symbol >= 0; };
    return left && right && *left == *right && std::ranges::all_of(*left, named);
}

bool has_activation(const Node& node) {
    return !node.string("activation", "").empty();
}

struct GatePattern {
    const Node* swish;
    const Node* gate;
    const Node* up;
};

// Why this Mul is no gate, or the pattern.
Result<GatePattern> match_gate(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, const Node& mul,
                               Provider provider) {
    const auto refuse = [&](const char* why) {
        return error(StatusCode::Unsupported, "fuse_gated_linear leaves '", mul.name, "' alone: ", why);
    };
    size_t side = 0;
    const Node* swish = sole_producer(graph, readers, mul.inputs[0], Op::Swish);
    if (swish == nullptr) {
        side = 1;
        swish = sole_producer(graph, readers, mul.inputs[1], Op::Swish);
    }
    if (swish == nullptr) return refuse("no factor is a Swish with one reader");
    if (swish->number("alpha", 1.0) != 1.0) return refuse("the Swish has an alpha other than 1");
    const Node* const gate = sole_producer(graph, readers, swish->inputs[0], Op::Linear);
    const Node* const up = sole_producer(graph, readers, mul.inputs[1 - side], Op::Linear);
    if (gate == nullptr || up == nullptr) return refuse("a factor is no Linear with one reader");
    if (gate->inputs.size() != 2 || up->inputs.size() != 2) return refuse("a Linear has a bias or a residual");
    if (has_activation(*gate) || has_activation(*up)) return refuse("a Linear has an activation");
    if (gate->inputs[0] != up->inputs[0]) return refuse("the Linears read different inputs");
    if (!same_dims(graph, gate->inputs[1], up->inputs[1])) return refuse("the weights differ in shape");
    if (linear_activation(weight_dtype(graph, *gate), provider) !=
        linear_activation(weight_dtype(graph, *up), provider)) {
        return refuse("the weights want operands of different types");
    }
    if (updates_between(graph, *gate, mul) || updates_between(graph, *up, mul)) {
        return refuse("storage is updated in between");
    }
    return GatePattern{swish, gate, up};
}

}  // namespace

Status fuse_gated_linear(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::Mul) continue;
        const Result<GatePattern> match = match_gate(graph, readers, node, context.provider);
        if (!match.ok()) {
            log(LogLevel::Debug, match.status().message());
            continue;
        }
        node.op = Op::GatedLinear;
        node.inputs = {match->gate->inputs[0], match->gate->inputs[1], match->up->inputs[1]};
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

Status fuse_residual(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::Add) continue;
        for (const size_t side : {size_t{1}, size_t{0}}) {
            const Node* const linear = sole_producer(graph, readers, node.inputs[side], Op::Linear);
            const ValueId residual = node.inputs[1 - side];
            const char* refusal = nullptr;
            if (linear == nullptr) {
                refusal = "the summand is no Linear with one reader";
            } else if (has_activation(*linear)) {
                refusal = "the Linear has an activation";
            } else if (linear->input(3) != kNoValue) {
                refusal = "the Linear has a residual already";
            } else if (!same_dims(graph, node.inputs[side], residual)) {
                refusal = "the summands differ in shape";
            } else if (updates_between(graph, *linear, node)) {
                refusal = "storage is updated in between";
            }
            if (refusal != nullptr) {
                log(LogLevel::Debug, "fuse_residual leaves '", node.name, "' alone: ", refusal);
                continue;
            }
            node.op = Op::Linear;
            node.inputs = {linear->inputs[0], linear->inputs[1], linear->input(2), residual};
            break;
        }
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

Status fuse_linear_activation(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        std::optional<ActivationAttributes> activation = activation_of(graph, node);
        if (!activation) continue;
        const Node* const linear = sole_producer(graph, readers, node.inputs[0], Op::Linear);
        const char* refusal = nullptr;
        if (linear == nullptr) {
            refusal = "its operand is no Linear with one reader";
        } else if (has_activation(*linear)) {
            refusal = "the Linear has an activation already";
        } else if (activation->slopes != kNoValue) {
            refusal = "Linear has no slopes";
        } else if (context.provider == Provider::Reference) {
            refusal = "the reference provider computes no activation";
        } else if (updates_between(graph, *linear, node)) {
            refusal = "storage is updated in between";
        }
        if (refusal != nullptr) {
            log(LogLevel::Debug, "fuse_linear_activation leaves '", node.name, "' alone: ", refusal);
            continue;
        }
        node.op = Op::Linear;
        node.inputs = linear->inputs;
        node.attributes = std::move(activation->attributes);
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
