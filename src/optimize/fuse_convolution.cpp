#include <algorithm>

#include "core/log.h"
#include "optimize/activations.h"
#include "optimize/constants.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

bool has_activation(const Node& node) {
    return node.attribute("activation") != nullptr;
}

bool takes_epilogue(const Node& node) {
    return node.op == Op::ChannelsLastConv || node.op == Op::ChannelsLastConvTranspose ||
           (node.op == Op::ChannelsLastIntegerConv && node.integer("to", 0) == static_cast<int64_t>(DType::F32));
}

// PRelu's slopes as the epilogue reads them: [channels], from a constant whose last axis alone is not 1.
std::optional<std::vector<float>> slopes_of(const Graph& graph, ValueId slopes, int64_t channels) {
    const Shape& shape = graph.value(slopes).constant->shape();
    if (shape.rank() == 0 || shape.back() != channels || shape.element_count() != channels) return std::nullopt;
    return float_values(graph, slopes);
}

}  // namespace

Status fuse_convolution(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    // Nodes change on the way, so what they are is read from the new list.
    const auto sole = [&](ValueId value) -> Node* {
        if (value == kNoValue || graph.value(value).producer == kNoValue) return nullptr;
        Node& node = nodes[static_cast<size_t>(graph.value(value).producer)];
        const bool read_once = readers[static_cast<size_t>(value)].size() == 1 &&
                               std::ranges::find(graph.outputs(), value) == graph.outputs().end();
        return takes_epilogue(node) && read_once && node.outputs[0] == value ? &node : nullptr;
    };
    for (Node& node : nodes) {
        const auto leave = [&](const char* why) {
            log(LogLevel::Debug, "fuse_convolution leaves '", node.name, "' alone: ", why);
        };
        if (node.op == Op::Add) {
            for (const size_t side : {size_t{1}, size_t{0}}) {
                const Node* const conv = sole(node.inputs[side]);
                const ValueId residual = node.inputs[1 - side];
                if (conv == nullptr) {
                    leave("the summand is no convolution with one reader");
                } else if (conv->op != Op::ChannelsLastConv) {
                    leave("its kind of convolution takes no residual");
                } else if (conv->input(3) != kNoValue) {
                    leave("the convolution has a residual already");
                } else if (!same_shape(graph, node.inputs[side], residual)) {
                    leave("the summands may differ in shape");
                } else {
                    Node fused = *conv;
                    fused.outputs = node.outputs;
                    fused.inputs.resize(std::max<size_t>(fused.inputs.size(), 4), kNoValue);
                    fused.inputs[3] = residual;
                    if (has_activation(fused)) fused.attributes.emplace_back("residual_last", int64_t{1});
                    node = std::move(fused);
                    break;
                }
            }
            continue;
        }
        const auto activation = activation_of(graph, node);
        if (!activation) continue;
        const Node* const conv = sole(node.inputs[0]);
        if (conv == nullptr) {
            leave("its operand is no convolution with one reader");
            continue;
        }
        if (has_activation(*conv)) {
            leave("the convolution has an activation already");
            continue;
        }
        Node fused = *conv;
        if (activation->slopes != kNoValue) {
            const auto& dims = graph.value(node.inputs[0]).dims;
            const auto slopes = dims && conv->op == Op::ChannelsLastConv
                                    ? slopes_of(graph, activation->slopes, dims->back().size)
                                    : std::nullopt;
            if (!slopes) {
                leave("its slopes do not belong to the channels");
                continue;
            }
            fused.inputs.resize(5, kNoValue);
            QUOIN_ASSIGN_OR_RETURN(fused.inputs[4], add_floats(graph, context, node.name + ".slopes",
                                                               {static_cast<int64_t>(slopes->size())}, *slopes));
        }
        fused.outputs = node.outputs;
        fused.attributes.insert(fused.attributes.end(), activation->attributes.begin(), activation->attributes.end());
        node = std::move(fused);
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
