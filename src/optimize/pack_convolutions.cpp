#include <map>
#include <utility>
#include <vector>

#include "ops/channels_last_conv.h"
#include "ops/providers.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

const Constant* weight_of(const Graph& graph, const Node& node) {
    const auto& constant = graph.value(node.inputs[1]).constant;
    return constant ? &*constant : nullptr;
}

class Packer {
public:
    Packer(Graph& graph, const OptimizeContext& context) : graph_(graph), context_(context) {
        for (const auto& readers : graph.consumers()) readers_.push_back(readers.size());
        for (const ValueId output : graph.outputs()) ++readers_[static_cast<size_t>(output)];
    }

    Status pack(Node& node) {
        const ValueId weight = node.inputs[1];
        if (weight_of(graph_, node) == nullptr) {
            return error(StatusCode::Internal, "node '", node.name, "' has no constant weight");
        }
        QUOIN_RETURN_IF_ERROR(pack_weight_of(node));
        // Before the next one is packed, or all weights would be in memory twice.
        if (--readers_[static_cast<size_t>(weight)] == 0) graph_.value(weight).constant.reset();
        return {};
    }

private:
    Status pack_weight_of(Node& node) {
        const ValueId weight = node.inputs[1];
        switch (node.op) {
            case Op::ChannelsLastConvTranspose: {
                QUOIN_ASSIGN_OR_RETURN(Constant packed,
                                       pack_transposed_convolution(context_.runtime, *weight_of(graph_, node), node));
                node.inputs[1] = add(weight, std::move(packed));
                return {};
            }
            default: return pack_by_provider(node);
        }
    }

    ValueId add(ValueId weight, Constant packed) {
        const std::string name = graph_.value(weight).name + ".panels";
        return graph_.add_constant(name, std::move(packed));
    }

    Status pack_by_provider(Node& node) {
        const PrepareContext prepare{graph_, node, context_.runtime, context_.provider};
        QUOIN_ASSIGN_OR_RETURN(PackedConvolution packed,
                               node.op == Op::ChannelsLastConv
                                   ? pack_convolution(prepare, context_.arithmetic == DType::BF16)
                                   : pack_integer_convolution(prepare));
        // Panels depend on the groups alone, so convolutions may share them.
        const auto key = std::pair(node.inputs[1], node.integer("group", 1));
        const bool panels = packed.weight.layout() == Layout::Panels;
        node.attributes.emplace_back("provider", std::string(provider_name(packed.provider)));
        if (panels && panels_.contains(key)) {
            node.inputs[1] = panels_[key];
            return {};
        }
        node.inputs[1] = add(key.first, std::move(packed.weight));
        if (panels) panels_[key] = node.inputs[1];
        return {};
    }

    Graph& graph_;
    const OptimizeContext& context_;
    std::vector<size_t> readers_;                            // of each value that is not packed yet
    std::map<std::pair<ValueId, int64_t>, ValueId> panels_;  // of a weight in so many groups
};

}  // namespace

Status pack_convolutions(Graph& graph, const OptimizeContext& context) {
    Packer packer(graph, context);
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::ChannelsLastConv && node.op != Op::ChannelsLastConvTranspose &&
            node.op != Op::ChannelsLastIntegerConv) {
            continue;
        }
        QUOIN_RETURN_IF_ERROR(packer.pack(node));
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
