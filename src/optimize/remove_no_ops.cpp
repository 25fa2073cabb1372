#include <algorithm>
#include <limits>

#include "optimize/passes.h"

namespace quoin {
namespace {

bool same_named_dims(const Graph& graph, ValueId a, ValueId b) {
    const auto& left = graph.value(a).dims;
    const auto& right = graph.value(b).dims;
    const auto named = [](const Dim& dim) { return dim.known() || dim.symbol >= 0; };
    return left && right && *left == *right && std::ranges::all_of(*left, named);
}

// Small i64 constants, to be looked at.
std::optional<std::vector<int64_t>> integers(const Graph& graph, ValueId id) {
    if (id == kNoValue || !graph.value(id).constant || graph.value(id).dtype != DType::I64) return std::nullopt;
    if (graph.value(id).constant->shape().element_count().value_or(1 << 10) > 64) return std::nullopt;
    const Result<Tensor> tensor = graph.value(id).constant->load();
    if (!tensor.ok()) return std::nullopt;
    const auto values = tensor->as<const int64_t>();
    return std::vector<int64_t>(values.begin(), values.end());
}

template <class Predicate>
bool all_integers(const Graph& graph, ValueId id, Predicate&& predicate) {
    const auto values = integers(graph, id);
    return values && std::ranges::all_of(*values, predicate);
}

bool keeps_order(const Graph& graph, const Node& node) {
    const Attribute* const found = node.attribute("perm");
    const auto* const order = found == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(found);
    if (order == nullptr) {
        const auto& dims = graph.value(node.inputs[0]).dims;
        return dims && dims->size() <= 1;
    }
    return std::ranges::is_sorted(*order);
}

// All of every axis that is named.
bool takes_all(const Graph& graph, const Node& node) {
    constexpr int64_t kBehindEverything = std::numeric_limits<int32_t>::max();
    return all_integers(graph, node.input(1), [](int64_t start) { return start == 0; }) &&
           all_integers(graph, node.input(2), [](int64_t end) { return end >= kBehindEverything; }) &&
           (node.input(4) == kNoValue || all_integers(graph, node.input(4), [](int64_t step) { return step == 1; }));
}

// Whether the node's first output is its first input, bit for bit and shape for shape, whatever the other inputs are.
bool is_no_op(const Graph& graph, const Node& node) {
    if (node.inputs.empty() || node.inputs[0] == kNoValue || node.outputs.empty() || node.outputs[0] == kNoValue) {
        return false;
    }
    const Value& input = graph.value(node.inputs[0]);
    const Value& output = graph.value(node.outputs[0]);
    const bool same_type = input.dtype != DType::Undefined && input.dtype == output.dtype;
    const bool same_dims = same_named_dims(graph, node.inputs[0], node.outputs[0]);
    switch (node.op) {
        case Op::Identity: return true;
        case Op::Cast: return same_type;
        case Op::Dropout: {
            // In inference nothing is dropped; the mask must be unread.
            const ValueId training = node.input(2);
            bool off = training == kNoValue;
            if (!off && graph.value(training).constant) {
                const Result<Tensor> flag = graph.value(training).constant->load();
                off = flag.ok() && flag->dtype() == DType::Bool && flag->byte_size() == 1 && !flag->as<const bool>()[0];
            }
            return off && (node.outputs.size() < 2 || node.outputs[1] == kNoValue);
        }
        case Op::Reshape:
        case Op::Flatten:
        case Op::Squeeze:
        case Op::Unsqueeze:
        case Op::Expand: return same_type && same_dims;
        case Op::Tile: return all_integers(graph, node.input(1), [](int64_t times) { return times == 1; });
        case Op::Pad: return all_integers(graph, node.input(1), [](int64_t pad) { return pad == 0; });
        case Op::Transpose: return keeps_order(graph, node);
        case Op::Slice: return takes_all(graph, node) || (same_type && same_dims && node.input(4) == kNoValue);
        case Op::Concat: return node.inputs.size() == 1;
        default: return false;
    }
}

}  // namespace

Status remove_no_ops(Graph& graph, const OptimizeContext& context) {
    std::vector<ValueId> renamed(graph.values().size());
    for (size_t id = 0; id < renamed.size(); ++id) renamed[id] = static_cast<ValueId>(id);
    std::vector<bool> is_output(graph.values().size());
    for (const ValueId id : graph.outputs()) is_output[static_cast<size_t>(id)] = true;
    std::vector<Node> nodes = graph.nodes();
    // A copy of storage that is changed afterwards is no copy in vain.
    const bool updated =
        std::ranges::any_of(nodes, [](const Node& node) { return op_info(node.op).has(facts::updates); });
    bool changed = false;
    for (Node& node : nodes) {
        for (ValueId& input : node.inputs) {
            if (input != kNoValue) input = renamed[static_cast<size_t>(input)];
        }
        // A graph output keeps its own value, and with it its name.
        if (updated && !op_info(node.op).has(facts::view)) continue;
        if (!is_no_op(graph, node) || is_output[static_cast<size_t>(node.outputs[0])]) continue;
        renamed[static_cast<size_t>(node.outputs[0])] = node.inputs[0];
        changed = true;
    }
    if (!changed) return {};
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
