#include <algorithm>

#include "core/log.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// Why this normalization cannot be a part of the quantization of its result; null when it can.
const char* norm_refusal(const Graph& graph, const Node& norm, const Node& quantize) {
    const auto& dims = graph.value(norm.inputs[0]).dims;
    if (!dims) return "the rank is not known";
    const int64_t axis = norm.integer("axis", -1);
    if (axis != -1 && axis != static_cast<int64_t>(dims->size()) - 1) return "more than the last axis is normalized";
    const auto& scale = graph.value(norm.inputs[1]).dims;
    if (!scale || scale->size() != 1) return "the scale is no vector";
    if (updates_between(graph, norm, quantize)) return "storage is updated in between";
    return nullptr;
}

}  // namespace

Status fuse_norm_quantization(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::QuantizeActivation || node.input(1) != kNoValue) continue;
        const Node* const norm = sole_producer(graph, readers, node.inputs[0], Op::RMSNormalization);
        const char* const refusal =
            norm == nullptr ? "its input is no RMSNormalization with one reader" : norm_refusal(graph, *norm, node);
        if (refusal != nullptr) {
            log(LogLevel::Debug, "fuse_norm_quantization leaves '", node.name, "' alone: ", refusal);
            continue;
        }
        node.inputs = norm->inputs;
        node.attributes = {{"epsilon", norm->number("epsilon", 1e-5)}};
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

Status fuse_gate_quantization(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::QuantizeActivation || node.input(1) != kNoValue) continue;
        const Node* const gate = sole_producer(graph, readers, node.inputs[0], Op::GatedLinear);
        const char* refusal = nullptr;
        if (gate == nullptr) {
            refusal = "its input is no GatedLinear with one reader";
        } else if (updates_between(graph, *gate, node)) {
            refusal = "storage is updated in between";
        }
        if (refusal != nullptr) {
            log(LogLevel::Debug, "fuse_gate_quantization leaves '", node.name, "' alone: ", refusal);
            continue;
        }
        node.op = Op::GatedLinear;
        node.name = gate->name;
        node.inputs = gate->inputs;
        node.attributes = {{"to", static_cast<int64_t>(DType::Q8Row)}};
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
