#include "optimize/activations.h"

#include <algorithm>
#include <limits>
#include <map>

#include "ops/activation.h"
#include "optimize/constants.h"

namespace quoin {
namespace {

ActivationAttributes make(ActivationKind kind, double alpha = 0, double beta = 0) {
    return {
        {{"activation", std::string(activation_name(kind))}, {"activation_alpha", alpha}, {"activation_beta", beta}},
        kNoValue};
}

std::optional<ActivationAttributes> clip_of(const Graph& graph, const Node& node) {
    std::array<double, 2> limits{-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
    for (size_t index = 0; index < 2; ++index) {
        if (node.input(index + 1) == kNoValue) continue;
        const auto limit = scalar_value(graph, node.inputs[index + 1]);
        if (!limit) return std::nullopt;
        limits[index] = double{*limit};
    }
    if (limits[0] == 0 && limits[1] == std::numeric_limits<float>::infinity()) return make(ActivationKind::Relu);
    return make(ActivationKind::Clip, limits[0], limits[1]);
}

bool is_named(const Dim& dim) {
    return dim.known() || dim.symbol >= 0;
}

// The keys of values that were looked at: a graph may have far more paths than values.
using KnownKeys = std::map<ValueId, std::string>;

std::string new_positions_key(const Graph& graph, ValueId id, int depth, KnownKeys& known);

// A text that is equal for values whose axes before the last one are equal whenever the graph runs.
std::string positions_key(const Graph& graph, ValueId id, int depth, KnownKeys& known) {
    if (const auto found = known.find(id); found != known.end()) return found->second;
    std::string key = new_positions_key(graph, id, depth, known);
    known.emplace(id, key);
    return key;
}

std::string new_positions_key(const Graph& graph, ValueId id, int depth, KnownKeys& known) {
    const NodeId producer = graph.value(id).producer;
    const std::string self = "v" + std::to_string(id);
    if (producer == kNoValue || depth == 0) return self;
    const Node& node = graph.node(producer);
    switch (node.op) {
        case Op::ChannelsLastConv: {
            std::string key = "w";
            const Shape& weight = graph.value(node.inputs[1]).constant->shape();
            bool keeps = true;
            for (size_t axis = 2; axis < weight.rank(); ++axis) {
                key += ' ' + std::to_string(weight[axis]);
                keeps = keeps && weight[axis] == 1;
            }
            for (const char* const name : {"strides", "pads", "dilations"}) {
                const Attribute* const attribute = node.attribute(name);
                key += std::string(" ") + name;
                const auto* const list = attribute == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(attribute);
                if (list == nullptr) continue;
                for (const int64_t value : *list) {
                    key += ' ' + std::to_string(value);
                    keeps = keeps && value == (std::string_view(name) == "pads" ? 0 : 1);
                }
            }
            key += ' ';
            key += node.string("auto_pad", "");
            const std::string source = positions_key(graph, node.inputs[0], depth - 1, known);
            return keeps ? source : key + "(" + source + ")";
        }
        case Op::Relu:
        case Op::Clip:
        case Op::Sigmoid:
        case Op::HardSigmoid:
        case Op::HardSwish:
        case Op::LeakyRelu:
        case Op::Swish:
        case Op::Mish:
        case Op::Gelu:
        case Op::Tanh: return positions_key(graph, node.inputs[0], depth - 1, known);
        case Op::Add:
        case Op::Mul: {
            // An operand that is broadcast along all positions says nothing.
            const auto is_spread = [&](ValueId operand) {
                const auto& dims = graph.value(operand).dims;
                const auto& result = graph.value(node.outputs[0]).dims;
                if (!dims || !result || dims->size() > result->size()) return false;
                if (dims->size() < result->size()) return true;
                for (size_t axis = 1; axis + 1 < dims->size(); ++axis) {
                    if ((*dims)[axis].size != 1) return false;
                }
                return true;
            };
            const bool left = is_spread(node.inputs[0]);
            const bool right = is_spread(node.inputs[1]);
            if (left == right && !left) {
                const std::string a = positions_key(graph, node.inputs[0], depth - 1, known);
                return a == positions_key(graph, node.inputs[1], depth - 1, known) ? a : self;
            }
            if (left == right) return self;
            return positions_key(graph, node.inputs[left ? 1 : 0], depth - 1, known);
        }
        default: return self;
    }
}

}  // namespace

std::optional<ActivationAttributes> activation_of(const Graph& graph, const Node& node) {
    switch (node.op) {
        case Op::Relu: return make(ActivationKind::Relu);
        case Op::Clip: return clip_of(graph, node);
        case Op::LeakyRelu: return make(ActivationKind::LeakyRelu, node.number("alpha", 0.01));
        case Op::Elu: return make(ActivationKind::Elu, node.number("alpha", 1.0));
        case Op::Selu:
            return make(ActivationKind::Selu, node.number("alpha", 1.67326319217681884765625),
                        node.number("gamma", 1.05070102214813232421875));
        case Op::Sigmoid: return make(ActivationKind::Sigmoid);
        case Op::HardSigmoid:
            return make(ActivationKind::HardSigmoid, node.number("alpha", 0.2), node.number("beta", 0.5));
        case Op::HardSwish: return make(ActivationKind::HardSwish);
        case Op::Swish:
            // The op alone knows what becomes of -infinity then.
            if (node.number("alpha", 1.0) < 0) return std::nullopt;
            return make(ActivationKind::Silu, node.number("alpha", 1.0));
        case Op::Tanh: return make(ActivationKind::Tanh);
        case Op::Gelu:
            return make(node.string("approximate", "none") == "tanh" ? ActivationKind::GeluTanh : ActivationKind::Gelu);
        case Op::Mish: return make(ActivationKind::Mish);
        case Op::Softplus: return make(ActivationKind::Softplus);
        case Op::PRelu: {
            if (const auto slope = scalar_value(graph, node.inputs[1])) {
                return make(ActivationKind::LeakyRelu, double{*slope});
            }
            if (!graph.value(node.inputs[1]).constant || graph.value(node.inputs[1]).dtype != DType::F32) {
                return std::nullopt;
            }
            ActivationAttributes result = make(ActivationKind::PRelu);
            result.slopes = node.inputs[1];
            return result;
        }
        default: return std::nullopt;
    }
}

bool same_shape(const Graph& graph, ValueId a, ValueId b) {
    const auto& left = graph.value(a).dims;
    const auto& right = graph.value(b).dims;
    if (!left || !right || left->size() != right->size()) return false;
    if (*left == *right && std::ranges::all_of(*left, is_named)) return true;
    if (left->size() < 3 || left->back() != right->back() || !left->back().known()) return false;
    for (size_t axis = 0; axis < left->size(); ++axis) {
        if (((*left)[axis].known() || (*right)[axis].known()) && (*left)[axis] != (*right)[axis]) return false;
    }
    constexpr int kDepth = 24;
    KnownKeys known;
    const std::string key = positions_key(graph, a, kDepth, known);
    return key == positions_key(graph, b, kDepth, known);
}

}  // namespace quoin
