#include <map>
#include <utility>

#include "ops/channels_last_conv.h"
#include "optimize/passes.h"

namespace quoin {

Status pack_convolutions(Graph& graph, const OptimizeContext& context) {
    // Convolutions may share a weight, but not with other groups.
    std::map<std::pair<ValueId, int64_t>, ValueId> packed;
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op == Op::ChannelsLastConvTranspose) {
            const Value& weight = graph.value(node.inputs[1]);
            if (!weight.constant) return error(StatusCode::Internal, "node '", node.name, "' has no constant weight");
            const std::string name = weight.name + ".panels";
            QUOIN_ASSIGN_OR_RETURN(Constant constant,
                                   pack_transposed_convolution(context.runtime, *weight.constant, node));
            node.inputs[1] = graph.add_constant(name, std::move(constant));
            continue;
        }
        const bool integer = node.op == Op::ChannelsLastIntegerConv;
        if (node.op != Op::ChannelsLastConv && !integer) continue;
        const auto key = std::pair(node.inputs[1], node.integer("group", 1));
        if (!packed.contains(key)) {
            const Value& weight = graph.value(key.first);
            if (!weight.constant) return error(StatusCode::Internal, "node '", node.name, "' has no constant weight");
            const auto pack = integer ? pack_integer_convolution : pack_convolution;
            QUOIN_ASSIGN_OR_RETURN(Constant constant, pack(context.runtime, *weight.constant, key.second, weight.name));
            const std::string name = weight.name + ".panels";
            packed[key] = graph.add_constant(name, std::move(constant));
        }
        node.inputs[1] = packed[key];
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
