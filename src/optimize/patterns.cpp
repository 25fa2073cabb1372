#include "optimize/patterns.h"

#include <algorithm>
#include <cmath>

#include "optimize/constants.h"

namespace quoin {
namespace {

constexpr size_t kMostFactors = 8;

void multiply_in(const Graph& graph, ValueId value, ValueId whole, Product& product, int depth) {
    if (const auto constant = scalar_value(graph, value)) {
        product.scale *= double{*constant};
        return;
    }
    const NodeId id = graph.value(value).producer;
    if (id != kNoValue && value != whole && depth > 0 && product.factors.size() < kMostFactors &&
        !constant_adds_axes(graph, graph.node(id))) {
        const Node& node = graph.node(id);
        switch (node.op) {
            case Op::Mul:
                multiply_in(graph, node.inputs[0], whole, product, depth - 1);
                multiply_in(graph, node.inputs[1], whole, product, depth - 1);
                return;
            case Op::Neg:
                product.scale = -product.scale;
                multiply_in(graph, node.inputs[0], whole, product, depth - 1);
                return;
            case Op::Div:
                if (const auto divisor = scalar_value(graph, node.inputs[1])) {
                    product.scale /= double{*divisor};
                    multiply_in(graph, node.inputs[0], whole, product, depth - 1);
                    return;
                }
                break;
            case Op::Pow:
                if (const auto exponent = scalar_value(graph, node.inputs[1])) {
                    if (*exponent != 2 && *exponent != 3) break;
                    for (int count = 0; count < static_cast<int>(*exponent); ++count) {
                        multiply_in(graph, node.inputs[0], whole, product, depth - 1);
                    }
                    return;
                }
                break;
            default: break;
        }
    }
    product.factors.push_back(value);
}

void add_in(const Graph& graph, ValueId value, ValueId whole, Sum& sum, int depth) {
    if (const auto constant = scalar_value(graph, value)) {
        sum.offset += double{*constant};
        return;
    }
    const NodeId id = graph.value(value).producer;
    if (id != kNoValue && value != whole && depth > 0 && !constant_adds_axes(graph, graph.node(id))) {
        const Node& node = graph.node(id);
        if (node.op == Op::Add) {
            add_in(graph, node.inputs[0], whole, sum, depth - 1);
            add_in(graph, node.inputs[1], whole, sum, depth - 1);
            return;
        }
        if (node.op == Op::Sub) {
            if (const auto subtrahend = scalar_value(graph, node.inputs[1])) {
                sum.offset -= double{*subtrahend};
                add_in(graph, node.inputs[0], whole, sum, depth - 1);
                return;
            }
        }
    }
    sum.terms.push_back(value);
}

}  // namespace

Product product_of(const Graph& graph, ValueId value, ValueId whole) {
    Product product;
    multiply_in(graph, value, whole, product, 4);
    std::ranges::sort(product.factors);
    return product;
}

Sum sum_of(const Graph& graph, ValueId value, ValueId whole) {
    Sum sum;
    add_in(graph, value, whole, sum, 2);
    return sum;
}

const Node* producer(const Graph& graph, ValueId value, Op op) {
    if (value == kNoValue || graph.value(value).producer == kNoValue) return nullptr;
    const Node& node = graph.node(graph.value(value).producer);
    return node.op == op ? &node : nullptr;
}

bool constant_adds_axes(const Graph& graph, const Node& node) {
    if (node.inputs.size() != 2) return false;
    for (const size_t side : {size_t{0}, size_t{1}}) {
        if (!scalar_value(graph, node.inputs[side])) continue;
        const auto& others = graph.value(node.inputs[1 - side]).dims;
        if (graph.value(node.inputs[side]).constant->shape().rank() > (others ? others->size() : 0)) return true;
    }
    return false;
}

bool close_to(double a, double b) {
    return std::abs(a - b) <= 2e-6 * std::max(std::abs(a), std::abs(b));
}

}  // namespace quoin
