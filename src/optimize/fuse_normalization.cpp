#include <algorithm>
#include <cmath>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/passes.h"
#include "optimize/patterns.h"

namespace quoin {
namespace {

// The operand of a mean over the last axis that keeps it.
std::optional<ValueId> mean_of(const Graph& graph, ValueId value) {
    const Node* const mean = producer(graph, value, Op::ReduceMean);
    if (mean == nullptr || mean->integer("keepdims", 1) == 0) return std::nullopt;
    const auto& dims = graph.value(mean->inputs[0]).dims;
    const auto axes = integer_values(graph, mean->input(1));
    if (!dims || dims->empty() || !axes || axes->size() != 1) return std::nullopt;
    const auto rank = static_cast<int64_t>(dims->size());
    if ((*axes)[0] != -1 && (*axes)[0] != rank - 1) return std::nullopt;
    return mean->inputs[0];
}

struct Denominator {
    ValueId squared;  // what is squared, then averaged
    double epsilon;
};

// sqrt(mean(x^2) + epsilon)
std::optional<Denominator> denominator_of(const Graph& graph, ValueId value) {
    const Node* const root = producer(graph, value, Op::Sqrt);
    if (root == nullptr) return std::nullopt;
    const Sum sum = sum_of(graph, root->inputs[0]);
    if (sum.terms.size() != 1 || sum.offset <= 0) return std::nullopt;
    const auto square = mean_of(graph, sum.terms[0]);
    if (!square) return std::nullopt;
    const Product product = product_of(graph, *square);
    if (product.factors.size() != 2 || product.scale != 1 || product.factors[0] != product.factors[1]) {
        return std::nullopt;
    }
    return Denominator{product.factors[0], sum.offset};
}

// x / sqrt(mean(x^2) + epsilon), written with Div or Reciprocal: x.
std::optional<Denominator> normalized(const Graph& graph, const Node& node) {
    if (node.op == Op::Div) {
        const auto found = denominator_of(graph, node.inputs[1]);
        return found && found->squared == node.inputs[0] ? found : std::nullopt;
    }
    for (const size_t side : {size_t{0}, size_t{1}}) {
        const ValueId factor = node.inputs[side];
        std::optional<Denominator> found;
        if (const Node* const reciprocal = producer(graph, factor, Op::Reciprocal)) {
            found = denominator_of(graph, reciprocal->inputs[0]);
        } else if (const Node* const quotient = producer(graph, factor, Op::Div)) {
            if (is_scalar(graph, quotient->inputs[0], 1) && !constant_adds_axes(graph, *quotient))
                found = denominator_of(graph, quotient->inputs[1]);
        }
        if (found && found->squared == node.inputs[1 - side]) return found;
    }
    return std::nullopt;
}

// x of x - mean(x).
std::optional<ValueId> centred(const Graph& graph, ValueId value) {
    const Node* const difference = producer(graph, value, Op::Sub);
    if (difference == nullptr) return std::nullopt;
    return mean_of(graph, difference->inputs[1]) == difference->inputs[0] ? std::optional(difference->inputs[0])
                                                                          : std::nullopt;
}

bool is_vector(const Graph& graph, ValueId id, const Dim& size) {
    const Value& value = graph.value(id);
    return value.constant && value.dtype == DType::F32 && value.dims && value.dims->size() == 1 &&
           (*value.dims)[0] == size;
}

class NormalizationFusion {
public:
    NormalizationFusion(Graph& graph, const OptimizeContext& context)
        : graph_(graph), context_(context), readers_(graph.consumers()), nodes_(graph.nodes()) {}

    Status run() {
        for (Node& node : nodes_) {
            if (node.op != Op::Div && node.op != Op::Mul && node.op != Op::Add) continue;
            if (graph_.value(node.outputs[0]).dtype != DType::F32 || take_scale_or_bias(node)) continue;
            if (node.op == Op::Add) continue;
            QUOIN_RETURN_IF_ERROR(take_quotient(node));
        }
        graph_.set_nodes(std::move(nodes_));
        return {};
    }

private:
    // A normalization without weight of its own yet gets one of ones, which the next Mul replaces.
    Status take_quotient(Node& node) {
        const auto found = normalized(graph_, node);
        const auto leave = [&](const char* why) {
            log(LogLevel::Debug, "fuse_normalization leaves '", node.name, "' alone: ", why);
        };
        if (!found) {
            leave("it does not divide by the root of a mean square over the last axis");
            return {};
        }
        const auto& dims = graph_.value(node.outputs[0]).dims;
        if (!dims || dims->empty() || !dims->back().known() || dims->back().size == 0) {
            leave("the size of the last axis is not known");
            return {};
        }
        QUOIN_ASSIGN_OR_RETURN(const ValueId ones,
                               add_floats(graph_, context_, node.name + ".scale", {dims->back().size},
                                          std::vector<float>(static_cast<size_t>(dims->back().size), 1.0F)));
        const auto x = centred(graph_, found->squared);
        node = {x ? Op::LayerNormalization : Op::RMSNormalization,
                node.name,
                {x.value_or(found->squared), ones},
                node.outputs,
                {{"axis", int64_t{-1}}, {"epsilon", found->epsilon}}};
        plain_.push_back(node.outputs[0]);
        return {};
    }

    // Mul by a constant vector, then Add of one, behind a normalization that nobody else reads.
    bool take_scale_or_bias(Node& node) {
        for (const size_t side : {size_t{0}, size_t{1}}) {
            const ValueId value = node.inputs[side];
            const NodeId id = graph_.value(value).producer;
            if (node.op == Op::Div || id == kNoValue || readers_[static_cast<size_t>(value)].size() != 1) continue;
            const Node& norm = nodes_[static_cast<size_t>(id)];
            if (norm.op != Op::LayerNormalization && norm.op != Op::RMSNormalization) continue;
            const auto& dims = graph_.value(value).dims;
            if (!dims || !is_vector(graph_, node.inputs[1 - side], dims->back())) continue;
            if (std::ranges::find(graph_.outputs(), value) != graph_.outputs().end()) continue;
            const auto found = std::ranges::find(plain_, value);
            std::vector<ValueId> inputs = norm.inputs;
            if (node.op == Op::Mul && found != plain_.end()) {
                inputs[1] = node.inputs[1 - side];
                scaled_.push_back(node.outputs[0]);
            } else if (node.op == Op::Add && norm.op == Op::LayerNormalization && norm.input(2) == kNoValue &&
                       (found != plain_.end() || std::ranges::find(scaled_, value) != scaled_.end())) {
                inputs.resize(2);
                inputs.push_back(node.inputs[1 - side]);
            } else {
                continue;
            }
            node = {norm.op, node.name, std::move(inputs), node.outputs, norm.attributes};
            return true;
        }
        return false;
    }

    Graph& graph_;
    const OptimizeContext& context_;
    std::vector<std::vector<NodeId>> readers_;
    std::vector<Node> nodes_;
    std::vector<ValueId> plain_;   // normalizations made here, with neither scale nor bias
    std::vector<ValueId> scaled_;  // with a scale
};

}  // namespace

Status fuse_normalization(Graph& graph, const OptimizeContext& context) {
    QUOIN_RETURN_IF_ERROR(NormalizationFusion(graph, context).run());
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
