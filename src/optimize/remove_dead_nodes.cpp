#include "optimize/passes.h"

namespace quoin {

Status remove_dead_nodes(Graph& graph, const OptimizeContext& /*context*/) {
    std::vector<bool> needed(graph.values().size());
    for (const ValueId output : graph.outputs()) needed[static_cast<size_t>(output)] = true;
    std::vector<bool> alive(graph.nodes().size());
    for (size_t id = graph.nodes().size(); id-- > 0;) {
        const Node& node = graph.nodes()[id];
        for (const ValueId output : node.outputs) {
            alive[id] = alive[id] || (output != kNoValue && needed[static_cast<size_t>(output)]);
        }
        if (!alive[id]) continue;
        for (const ValueId input : node.inputs) {
            if (input != kNoValue) needed[static_cast<size_t>(input)] = true;
        }
    }
    std::vector<Node> kept;
    for (size_t id = 0; id < graph.nodes().size(); ++id) {
        if (alive[id]) kept.push_back(std::move(graph.node(static_cast<NodeId>(id))));
    }
    graph.set_nodes(std::move(kept));
    // An unread constant must not be packed, counted or kept in memory.
    for (size_t id = 0; id < graph.values().size(); ++id) {
        if (!needed[id]) graph.value(static_cast<ValueId>(id)).constant.reset();
    }
    return {};
}

}  // namespace quoin
