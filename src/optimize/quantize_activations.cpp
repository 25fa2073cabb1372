#include <map>

#include "ops/linear.h"
#include "optimize/passes.h"

namespace quoin {

Status quantize_activations(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> nodes;
    std::map<ValueId, ValueId> quantized;  // q, k and v share one, gate and up another
    for (Node node : graph.nodes()) {
        const bool projection = node.op == Op::Linear || node.op == Op::GatedLinear;
        if (projection && linear_activation(graph.value(node.inputs[1]).dtype, context.provider) == DType::Q8Row &&
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
