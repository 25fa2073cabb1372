#include "exec/prepared_graph.h"

namespace quoin {

Result<PreparedGraphPtr> prepare(Graph graph, RuntimePtr runtime, Provider provider) {
    auto prepared = std::make_shared<PreparedGraph>();
    prepared->runtime = std::move(runtime);
    prepared->graph = std::move(graph);
    for (const Node& node : prepared->graph.nodes()) {
        const OpImplementation& implementation = op_implementation(node.op);
        if (implementation.prepare == nullptr) {
            prepared->nodes.push_back(nullptr);
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(auto ready,
                               implementation.prepare({prepared->graph, node, *prepared->runtime, provider}));
        prepared->nodes.push_back(std::move(ready));
    }
    return PreparedGraphPtr(std::move(prepared));
}

}  // namespace quoin
