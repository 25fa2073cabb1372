#include <algorithm>
#include <array>
#include <cmath>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// y = x * scale[c] + shift[c], c along axis 1.
struct ChannelAffine {
    std::vector<float> scale;
    std::vector<float> shift;
};

// What a BatchNormalization does; nullopt where a parameter is no constant.
std::optional<ChannelAffine> affine_of(const Graph& graph, const Node& node) {
    if (node.integer("training_mode", 0) != 0 || node.outputs.size() > 1) return std::nullopt;
    std::array<std::vector<float>, 4> parameters;
    for (size_t index = 0; index < 4; ++index) {
        auto values = float_values(graph, node.input(index + 1));
        if (!values || values->size() != (index == 0 ? values->size() : parameters[0].size())) return std::nullopt;
        parameters[index] = std::move(*values);
    }
    const double epsilon = node.number("epsilon", 1e-5);
    ChannelAffine affine;
    for (size_t c = 0; c < parameters[0].size(); ++c) {
        const double scale = double{parameters[0][c]} / std::sqrt(double{parameters[3][c]} + epsilon);
        affine.scale.push_back(static_cast<float>(scale));
        affine.shift.push_back(static_cast<float>(double{parameters[1][c]} - double{parameters[2][c]} * scale));
    }
    return affine;
}

// One number for each channel, when this constant has the shape [C, 1...] or [1, C, 1...] against `rank` axes, or is a
// single number for all.
std::optional<std::vector<float>> channel_values(const Graph& graph, ValueId id, size_t rank, int64_t channels) {
    if (id == kNoValue || !graph.value(id).constant) return std::nullopt;
    const Shape shape = graph.value(id).constant->shape();
    auto values = float_values(graph, id);
    if (!values || shape.rank() > rank) return std::nullopt;
    if (values->size() == 1) return std::vector<float>(static_cast<size_t>(channels), values->front());
    if (shape.element_count() != channels || shape.rank() + 1 < rank) return std::nullopt;
    if (shape[shape.rank() + 1 - rank] != channels) return std::nullopt;
    return values;
}

// A Mul or Add (Sub, Div) of a constant per channel; nullopt for anything else. `operand` is the other operand.
std::optional<ChannelAffine> affine_of_arithmetic(const Graph& graph, const Node& node, size_t rank, int64_t channels,
                                                  ValueId& operand) {
    for (const size_t side : {size_t{1}, size_t{0}}) {
        if (side == 0 && (node.op == Op::Sub || node.op == Op::Div)) break;
        auto values = channel_values(graph, node.inputs[side], rank, channels);
        if (!values) continue;
        operand = node.inputs[1 - side];
        const std::vector<float> ones(values->size(), 1.0F);
        const std::vector<float> zeros(values->size(), 0.0F);
        switch (node.op) {
            case Op::Mul: return ChannelAffine{*values, zeros};
            case Op::Add: return ChannelAffine{ones, *values};
            case Op::Sub:
                for (float& value : *values) value = -value;
                return ChannelAffine{ones, *values};
            case Op::Div:
                for (float& value : *values) value = 1.0F / value;
                return ChannelAffine{*values, zeros};
            default: return std::nullopt;
        }
    }
    return std::nullopt;
}

bool is_arithmetic(Op op) {
    return op == Op::Mul || op == Op::Add || op == Op::Sub || op == Op::Div;
}

// The node with the affine map in its weight and bias, or why that cannot be.
Result<Node> fold(Graph& graph, const OptimizeContext& context, const Node& conv, size_t rank,
                  const ChannelAffine& affine) {
    const auto refuse = [&](const char* why) { return error(StatusCode::Unsupported, why); };
    const auto weight = float_values(graph, conv.inputs[1]);
    if (!weight) return refuse("the weight is no f32 constant");
    const Shape shape = graph.value(conv.inputs[1]).constant->shape();
    if (weight->empty()) return refuse("the weight is empty");
    const auto channels = static_cast<int64_t>(affine.scale.size());
    const int64_t group = conv.integer("group", 1);
    const bool transposed = conv.op == Op::ConvTranspose;
    if (shape.rank() < 3 || shape.rank() != rank || group < 1 ||
        channels != (transposed ? shape[1] * group : shape[0])) {
        return refuse("the channels differ");
    }
    std::vector<float> bias(affine.shift);
    if (conv.input(2) != kNoValue) {
        const auto old = float_values(graph, conv.inputs[2]);
        if (!old || old->size() != bias.size()) return refuse("the bias is no f32 constant");
        for (size_t c = 0; c < bias.size(); ++c) {
            bias[c] = static_cast<float>(double{(*old)[c]} * double{affine.scale[c]} + double{affine.shift[c]});
        }
    }
    Node folded = conv;
    const bool scales = std::ranges::any_of(affine.scale, [](float scale) { return scale != 1.0F; });
    if (scales) {
        std::vector<float> scaled(*weight);
        // Of [OC, IC / group, taps...] the first axis is the channel, of [IC, OC / group, taps...] the group and the
        // second one.
        const auto taps = static_cast<int64_t>(scaled.size()) / (shape[0] * shape[1]);
        for (size_t index = 0; index < scaled.size(); ++index) {
            const auto row = static_cast<int64_t>(index) / (shape[1] * taps);
            const auto second = static_cast<int64_t>(index) / taps % shape[1];
            const int64_t channel = transposed ? row / (shape[0] / group) * shape[1] + second : row;
            scaled[index] *= affine.scale[static_cast<size_t>(channel)];
        }
        const Constant& unscaled = *graph.value(conv.inputs[1]).constant;
        unscaled.release_source(0, unscaled.byte_size());
        QUOIN_ASSIGN_OR_RETURN(folded.inputs[1],
                               add_floats(graph, context, graph.value(conv.inputs[1]).name + ".folded", shape, scaled));
    }
    folded.inputs.resize(3, kNoValue);
    QUOIN_ASSIGN_OR_RETURN(folded.inputs[2], add_floats(graph, context, conv.name + ".bias", {channels}, bias));
    return folded;
}

// A convolution of one tap for each channel: one pass over memory, and it takes activations and residuals.
Result<Node> as_depthwise(Graph& graph, const OptimizeContext& context, const Node& node, size_t rank,
                          const ChannelAffine& affine) {
    const auto channels = static_cast<int64_t>(affine.scale.size());
    std::vector<int64_t> shape(rank, 1);
    shape[0] = channels;
    Node conv{Op::Conv, node.name, {node.inputs[0]}, node.outputs, {{"group", channels}}};
    QUOIN_ASSIGN_OR_RETURN(const ValueId weight, add_floats(graph, context, node.name + ".scale",
                                                            Shape(std::span<const int64_t>(shape)), affine.scale));
    QUOIN_ASSIGN_OR_RETURN(const ValueId bias,
                           add_floats(graph, context, node.name + ".bias", {channels}, affine.shift));
    conv.inputs.insert(conv.inputs.end(), {weight, bias});
    return conv;
}

}  // namespace

Status fold_batch_norm(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    const auto sole_convolution = [&](ValueId value) -> Node* {
        if (value == kNoValue || graph.value(value).producer == kNoValue) return nullptr;
        Node& node = nodes[static_cast<size_t>(graph.value(value).producer)];
        const bool fits = node.op == Op::Conv || node.op == Op::ConvTranspose;
        const bool sole = readers[static_cast<size_t>(value)].size() == 1 &&
                          std::ranges::find(graph.outputs(), value) == graph.outputs().end();
        return fits && sole ? &node : nullptr;
    };
    for (Node& node : nodes) {
        if (node.op != Op::BatchNormalization && !is_arithmetic(node.op)) continue;
        const auto& dims = graph.value(node.outputs[0]).dims;
        const bool known = dims && dims->size() >= 3 && dims->size() <= 5 && (*dims)[1].known();
        ValueId operand = node.inputs[0];
        std::optional<ChannelAffine> affine;
        if (node.op == Op::BatchNormalization) {
            affine = affine_of(graph, node);
        } else if (known) {
            affine = affine_of_arithmetic(graph, node, dims->size(), (*dims)[1].size, operand);
        }
        const auto leave = [&](std::string_view why) {
            log(LogLevel::Debug, "fold_batch_norm leaves '", node.name, "' alone: ", why);
        };
        if (!affine) {
            if (node.op == Op::BatchNormalization) leave("its parameters are no f32 constants");
            continue;
        }
        if (Node* const conv = sole_convolution(operand); conv != nullptr) {
            Result<Node> folded = fold(graph, context, *conv, dims ? dims->size() : 0, *affine);
            if (folded.ok()) {
                // The convolution moves to where its result was normalized.
                folded->outputs = node.outputs;
                const std::vector<ValueId> old = conv->outputs;
                *conv = std::move(folded).value();
                node = {Op::Identity, node.name, node.outputs, old, {}};
                graph.value(conv->outputs[0]).producer = graph.value(old[0]).producer;
                continue;
            }
            leave(folded.status().message());
        } else if (node.op != Op::BatchNormalization) {
            leave("the operand is no convolution with one reader");
        }
        if (node.op != Op::BatchNormalization || !known || graph.value(node.inputs[0]).dtype != DType::F32 ||
            (*dims)[1].size != static_cast<int64_t>(affine->scale.size())) {
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(node, as_depthwise(graph, context, node, dims->size(), *affine));
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
