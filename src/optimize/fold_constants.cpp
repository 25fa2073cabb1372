#include <algorithm>

#include "ops/evaluate.h"
#include "optimize/passes.h"

namespace quoin {

Status fold_constants(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> kept;
    for (const Node& node : graph.nodes()) {
        const bool constant = std::ranges::all_of(
            node.inputs, [&](ValueId id) { return id == kNoValue || graph.value(id).constant.has_value(); });
        if (!constant || node.inputs.empty() || !op_info(node.op).has(facts::folds)) {
            kept.push_back(node);
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(const std::vector<RuntimeValue> results,
                               evaluate_constant(graph, node, context.runtime));
        const bool tensors = std::ranges::none_of(results, [](const RuntimeValue& each) { return each.is_sequence(); });
        if (!tensors) {
            kept.push_back(node);
            continue;
        }
        for (size_t index = 0; index < results.size(); ++index) {
            if (results[index].is_tensor())
                graph.value(node.outputs[index]).constant = Constant(results[index].tensor());
        }
    }
    graph.set_nodes(std::move(kept));
    return {};
}

}  // namespace quoin
