#include "exec/prepared_graph.h"

namespace quoin {

Result<PreparedGraphPtr> prepare(Graph graph, RuntimePtr runtime, Provider provider) {
    auto prepared = std::make_shared<PreparedGraph>();
    prepared->runtime = std::move(runtime);
    prepared->graph = std::move(graph);
    for (const Node& node : prepared->graph.nodes()) {
        QUOIN_ASSIGN_OR_RETURN(auto ready, prepare_node({prepared->graph, node, *prepared->runtime, provider}));
        prepared->nodes.push_back(std::move(ready));
        for (const auto& [name, attribute] : node.attributes) {
            const auto* const body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
            if (body == nullptr) continue;
            QUOIN_ASSIGN_OR_RETURN(PreparedGraphPtr inner, prepare(**body, prepared->runtime, provider));
            prepared->bodies.emplace(body->get(), std::move(inner));
        }
    }
    return PreparedGraphPtr(std::move(prepared));
}

}  // namespace quoin
