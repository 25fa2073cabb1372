#include <algorithm>

#include "ops/evaluate.h"
#include "optimize/passes.h"

namespace quoin {

namespace {

// Whether the result is much larger than what it is made of: a file of some bytes must not fill the memory.
bool grows(const Graph& graph, const Node& node) {
    constexpr uint64_t kLarge = uint64_t{16} << 20;
    uint64_t before = 0;
    uint64_t after = 0;
    for (const ValueId id : node.inputs) {
        if (id != kNoValue) before += graph.value(id).constant->byte_size();
    }
    for (const ValueId id : node.outputs) {
        if (id == kNoValue || !graph.value(id).dims) continue;
        double bytes = std::max<int32_t>(1, dtype_info(graph.value(id).dtype).block_bytes);
        for (const Dim& dim : *graph.value(id).dims) bytes *= static_cast<double>(std::max<int64_t>(0, dim.size));
        after += bytes < 1e18 ? static_cast<uint64_t>(bytes) : kLarge * before;
    }
    return after > kLarge && after > 2 * before;
}

}  // namespace

Status fold_constants(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> kept;
    for (const Node& node : graph.nodes()) {
        const bool constant = std::ranges::all_of(
            node.inputs, [&](ValueId id) { return id == kNoValue || graph.value(id).constant.has_value(); });
        if (!constant || node.inputs.empty() || !op_info(node.op).has(facts::folds) || grows(graph, node)) {
            kept.push_back(node);
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(const std::vector<RuntimeValue> results,
                               evaluate_constant(graph, node, context.runtime));
        bool tensors = true;
        for (size_t index = 0; index < results.size(); ++index) {
            tensors = tensors && (node.outputs[index] == kNoValue || results[index].is_tensor());
        }
        if (!tensors) {
            kept.push_back(node);
            continue;
        }
        for (size_t index = 0; index < results.size(); ++index) {
            if (node.outputs[index] != kNoValue)
                graph.value(node.outputs[index]).constant = Constant(results[index].tensor());
        }
    }
    graph.set_nodes(std::move(kept));
    return {};
}

}  // namespace quoin
