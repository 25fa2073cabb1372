#include <algorithm>
#include <cmath>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/passes.h"
#include "optimize/patterns.h"

namespace quoin {
namespace {

using AttributeList = std::vector<std::pair<std::string, Attribute>>;

struct Match {
    Op op;
    ValueId x;
    AttributeList attributes;
};

// sigmoid(alpha x): alpha, if this value is that.
std::optional<double> sigmoid_of(const Graph& graph, ValueId value, ValueId x) {
    const Node* const sigmoid = producer(graph, value, Op::Sigmoid);
    if (sigmoid == nullptr) return std::nullopt;
    if (sigmoid->inputs[0] == x) return 1.0;
    const Product inner = product_of(graph, sigmoid->inputs[0], x);
    if (inner.factors == std::vector<ValueId>{x}) return inner.scale;
    return std::nullopt;
}

// The operand of clip(operand + 3, 0, 6).
std::optional<ValueId> relu6_of(const Graph& graph, ValueId value) {
    const Node* const clip = producer(graph, value, Op::Clip);
    if (clip == nullptr || clip->input(1) == kNoValue || clip->input(2) == kNoValue) return std::nullopt;
    if (scalar_value(graph, clip->inputs[1]) != 0.0F || scalar_value(graph, clip->inputs[2]) != 6.0F) {
        return std::nullopt;
    }
    const Sum sum = sum_of(graph, clip->inputs[0]);
    if (sum.terms.size() != 1 || sum.offset != 3.0) return std::nullopt;
    return sum.terms[0];
}

// (1 + f(inner)): inner.
std::optional<ValueId> one_plus(const Graph& graph, ValueId value, Op function) {
    const Sum sum = sum_of(graph, value);
    if (sum.terms.size() != 1 || !close_to(sum.offset, 1)) return std::nullopt;
    const Node* const node = producer(graph, sum.terms[0], function);
    return node == nullptr ? std::nullopt : std::optional(node->inputs[0]);
}

// sqrt(2 / pi) (x + 0.044715 x^3), or with x drawn out of the sum.
bool is_gelu_tanh_argument(const Graph& graph, ValueId value, ValueId x) {
    const double outer = std::sqrt(2 / std::acos(-1.0));
    const Product product = product_of(graph, value, x);
    if (std::abs(product.scale - outer) > 1e-4) return false;
    constexpr double kCubic = 0.044715;
    if (product.factors.size() == 1) {
        const Sum sum = sum_of(graph, product.factors[0], x);
        if (sum.terms.size() != 2 || sum.offset != 0) return false;
        const size_t plain = sum.terms[0] == x ? 0 : 1;
        if (sum.terms[plain] != x) return false;
        const Product cube = product_of(graph, sum.terms[1 - plain], x);
        return close_to(cube.scale, kCubic) && cube.factors == std::vector<ValueId>{x, x, x};
    }
    if (product.factors.size() != 2) return false;
    for (const size_t side : {size_t{0}, size_t{1}}) {
        if (product.factors[side] != x) continue;
        const Sum sum = sum_of(graph, product.factors[1 - side]);
        if (sum.terms.size() != 1 || !close_to(sum.offset, 1)) continue;
        const Product square = product_of(graph, sum.terms[0], x);
        if (close_to(square.scale, kCubic) && square.factors == std::vector<ValueId>{x, x}) return true;
    }
    return false;
}

// x times something of x, up to a constant.
std::optional<Match> match_gate(const Graph& graph, double scale, ValueId x, ValueId gate) {
    if (close_to(scale, 1)) {
        if (const auto alpha = sigmoid_of(graph, gate, x)) {
            return Match{Op::Swish, x, {{"alpha", *alpha}}};
        }
        const Node* const hard = producer(graph, gate, Op::HardSigmoid);
        if (hard != nullptr && hard->inputs[0] == x && close_to(hard->number("alpha", 0.2), 1.0 / 6) &&
            close_to(hard->number("beta", 0.5), 0.5)) {
            return Match{Op::HardSwish, x, {}};
        }
        const Node* const tanh = producer(graph, gate, Op::Tanh);
        const Node* const softplus = tanh == nullptr ? nullptr : producer(graph, tanh->inputs[0], Op::Softplus);
        if (softplus != nullptr && softplus->inputs[0] == x) return Match{Op::Mish, x, {}};
    }
    if (close_to(scale, 1.0 / 6) && relu6_of(graph, gate) == x) return Match{Op::HardSwish, x, {}};
    if (!close_to(scale, 0.5)) return std::nullopt;
    if (const auto inner = one_plus(graph, gate, Op::Erf)) {
        const Product argument = product_of(graph, *inner, x);
        if (close_to(argument.scale, std::sqrt(0.5)) && argument.factors == std::vector<ValueId>{x}) {
            return Match{Op::Gelu, x, {{"approximate", std::string("none")}}};
        }
    }
    if (const auto inner = one_plus(graph, gate, Op::Tanh)) {
        if (is_gelu_tanh_argument(graph, *inner, x)) {
            return Match{Op::Gelu, x, {{"approximate", std::string("tanh")}}};
        }
    }
    return std::nullopt;
}

std::optional<Match> match(const Graph& graph, const Node& node) {
    const Product product = product_of(graph, node.outputs[0]);
    if (product.factors.size() == 1 && close_to(product.scale, 1.0 / 6)) {
        if (const auto x = relu6_of(graph, product.factors[0])) {
            return Match{Op::HardSigmoid, *x, {{"alpha", 1.0 / 6}, {"beta", 0.5}}};
        }
    }
    if (product.factors.size() != 2) return std::nullopt;
    for (const size_t side : {size_t{0}, size_t{1}}) {
        if (auto found = match_gate(graph, product.scale, product.factors[side], product.factors[1 - side]))
            return found;
    }
    // x itself may be a product with a constant, as in (0.5 x) (1 + erf(...)): then it was taken apart above.
    for (const size_t side : {size_t{0}, size_t{1}}) {
        if (node.op != Op::Mul) break;
        if (auto found = match_gate(graph, 1, node.inputs[side], node.inputs[1 - side])) return found;
    }
    return std::nullopt;
}

}  // namespace

Status fuse_activations(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if ((node.op != Op::Mul && node.op != Op::Div) || graph.value(node.outputs[0]).dtype != DType::F32) continue;
        std::optional<Match> found = match(graph, node);
        if (!found) {
            log(LogLevel::Debug, "fuse_activations leaves '", node.name, "' alone: it is no activation");
            continue;
        }
        node.op = found->op;
        node.inputs = {found->x};
        node.attributes = std::move(found->attributes);
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
