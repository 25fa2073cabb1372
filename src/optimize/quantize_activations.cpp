#include <algorithm>
#include <map>
#include <span>

#include "core/log.h"
#include "ops/code_formats.h"
#include "ops/linear.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// The inputs of a projection that are weights.
std::span<const ValueId> weights_of(const Node& node) {
    const std::span<const ValueId> inputs(node.inputs);
    if (node.op == Op::Linear) return inputs.subspan(1, 1);
    if (node.op == Op::GatedLinear) return inputs.subspan(1, 2);
    return {};
}

// Weights whose products may round activations to bytes, and the block formats that stand for them.
using Formats = std::map<ValueId, DType>;

Result<Formats> code_formats(const Graph& graph, const OptimizeContext& context) {
    Formats formats;
    if (context.provider == Provider::Reference) return formats;
    const auto readers = graph.consumers();
    const auto is_weight_alone = [&](ValueId value) {
        return std::ranges::find(graph.outputs(), value) == graph.outputs().end() &&
               std::ranges::all_of(readers[static_cast<size_t>(value)], [&](NodeId reader) {
                   const Node& node = graph.node(reader);
                   return std::ranges::count(node.inputs, value) == std::ranges::count(weights_of(node), value);
               });
    };
    for (const Node& node : graph.nodes()) {
        if (node.op != Op::DequantizeBlocks || node.integer("byte_activations", 0) == 0) continue;
        if (!is_weight_alone(node.outputs[0])) continue;
        QUOIN_ASSIGN_OR_RETURN(const DType format, block_format_of(graph, node));
        if (format != DType::Undefined) {
            formats[node.outputs[0]] = format;
        } else {
            log(LogLevel::Debug, "quantize_activations: '", node.name, "' stays in f32: no block format has its codes");
        }
    }
    // The two weights of a GatedLinear read the same rows.
    for (bool changed = true; changed;) {
        changed = false;
        for (const Node& node : graph.nodes()) {
            const auto weights = weights_of(node);
            const auto known = [&](ValueId weight) { return formats.contains(weight); };
            if (std::ranges::none_of(weights, known) || std::ranges::all_of(weights, known)) continue;
            for (const ValueId weight : weights) formats.erase(weight);
            changed = true;
        }
    }
    return formats;
}

}  // namespace

Status quantize_activations(Graph& graph, const OptimizeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Formats formats, code_formats(graph, context));
    const auto weight_dtype = [&](ValueId weight) {
        const auto found = formats.find(weight);
        return found == formats.end() ? graph.value(weight).dtype : found->second;
    };
    std::vector<Node> nodes;
    std::map<ValueId, ValueId> quantized;  // q, k and v share one, gate and up another
    for (Node node : graph.nodes()) {
        if (node.op == Op::DequantizeBlocks && formats.contains(node.outputs[0])) {
            node.attributes.emplace_back("format", static_cast<int64_t>(formats.at(node.outputs[0])));
        }
        const auto weights = weights_of(node);
        if (!weights.empty() && linear_activation(weight_dtype(weights[0]), context.provider) == DType::Q8Row &&
            graph.value(node.inputs[0]).dtype == DType::F32) {
            const ValueId x = node.inputs[0];
            if (!quantized.contains(x)) {
                const std::string name = graph.value(x).name + ".q8";
                quantized[x] = graph.add_value(name, DType::Q8Row, std::nullopt);
                nodes.push_back({Op::QuantizeActivation, name, {x}, {quantized[x]}, {}});
            }
            node.inputs[0] = quantized[x];
        }
        nodes.push_back(std::move(node));
    }
    graph.set_nodes(std::move(nodes));
    return {};
}

}  // namespace quoin
