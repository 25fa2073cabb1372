#include <utility>

#include "core/log.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// Why the update cannot rotate what it stores itself; null when it can.
const char* rotary_refusal(const Graph& graph, const Node& rotary, const Node& update) {
    const auto& dims = graph.value(rotary.inputs[0]).dims;
    if (!dims || dims->size() != 3) return "the heads do not lie side by side";
    if (rotary.input(3) != kNoValue) return "the rotation looks its angles up by position id";
    if (rotary.integer("num_heads", 0) != update.integer("kv_num_heads", 0)) return "the head counts differ";
    if (updates_between(graph, rotary, update)) return "storage is updated in between";
    return nullptr;
}

}  // namespace

Status fuse_rotary_update(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::CacheUpdate || node.inputs.size() > 5) continue;
        const Node* const rotary = sole_producer(graph, readers, node.inputs[1], Op::RotaryEmbedding);
        const char* const refusal =
            rotary == nullptr ? "its data is no RotaryEmbedding with one reader" : rotary_refusal(graph, *rotary, node);
        if (refusal != nullptr) {
            log(LogLevel::Debug, "fuse_rotary_update leaves '", node.name, "' alone: ", refusal);
            continue;
        }
        node.inputs[1] = rotary->inputs[0];
        node.inputs.push_back(rotary->inputs[1]);
        node.inputs.push_back(rotary->inputs[2]);
        node.attributes.emplace_back("interleaved", rotary->integer("interleaved", 0));
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
