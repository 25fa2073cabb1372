#include <algorithm>

#include "ops/op_kernel.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// Sizes that shape inference knows, as the tensor that the node would make; nullopt where one is open.
Result<std::optional<Tensor>> known_elements(const ValueType& type, const OptimizeContext& context,
                                             const std::string& name) {
    std::optional<Tensor> tensor;
    const bool integers = type.dtype == DType::I64 || type.dtype == DType::I32;
    if (!integers || !type.elements || !type.is_static() || type.dims->size() > 1) return tensor;
    const auto known = [](const Dim& dim) { return dim.known(); };
    const auto count = type.dims->empty() ? 1 : type.dims->front().size;
    if (!std::ranges::all_of(*type.elements, known) || static_cast<int64_t>(type.elements->size()) != count) {
        return tensor;
    }
    const Shape shape = type.dims->empty() ? Shape{} : Shape{count};
    QUOIN_ASSIGN_OR_RETURN(tensor, Tensor::allocate(context.runtime.memory, type.dtype, shape, name));
    for (size_t index = 0; index < type.elements->size(); ++index) {
        const int64_t size = (*type.elements)[index].size;
        if (type.dtype == DType::I64) {
            tensor->as<int64_t>()[index] = size;
        } else {
            tensor->as<int32_t>()[index] = static_cast<int32_t>(size);
        }
    }
    return tensor;
}

// Whether something became constant.
Result<bool> fold_once(Graph& graph, const OptimizeContext& context) {
    std::vector<ValueType> types;
    QUOIN_RETURN_IF_ERROR(infer_types(graph, &types));
    std::vector<Node> kept;
    for (const Node& node : graph.nodes()) {
        const bool single = node.outputs.size() == 1 && node.outputs[0] != kNoValue;
        if (!single || !op_info(node.op).has(facts::folds)) {
            kept.push_back(node);
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(std::optional<Tensor> tensor,
                               known_elements(types[static_cast<size_t>(node.outputs[0])], context, node.name));
        if (tensor) {
            graph.value(node.outputs[0]).constant = Constant(std::move(*tensor));
        } else {
            kept.push_back(node);
        }
    }
    if (kept.size() == graph.nodes().size()) return false;
    graph.set_nodes(std::move(kept));
    return true;
}

}  // namespace

Status fold_shapes(Graph& graph, const OptimizeContext& context) {
    // A size that became constant may be what another shape waited for.
    constexpr int kMostRounds = 16;
    for (int round = 0; round < kMostRounds; ++round) {
        QUOIN_ASSIGN_OR_RETURN(const bool changed, fold_once(graph, context));
        if (!changed) return {};
        QUOIN_RETURN_IF_ERROR(fold_constants(graph, context));
    }
    return infer_types(graph);
}

}  // namespace quoin
