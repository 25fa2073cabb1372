#include "graph/graph.h"

#include <algorithm>

namespace quoin {

const Attribute* Node::attribute(std::string_view key) const {
    const auto found =
        std::ranges::find(attributes, key, [](const auto& entry) { return std::string_view(entry.first); });
    return found == attributes.end() ? nullptr : &found->second;
}

int64_t Node::integer(std::string_view key, int64_t fallback) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<int64_t>(found);
    return value == nullptr ? fallback : *value;
}

double Node::number(std::string_view key, double fallback) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<double>(found);
    return value == nullptr ? fallback : *value;
}

std::string_view Node::string(std::string_view key, std::string_view fallback) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<std::string>(found);
    return value == nullptr ? fallback : std::string_view(*value);
}

int32_t Graph::add_symbol(std::string_view name) {
    const auto found = std::ranges::find(symbols_, name);
    if (found != symbols_.end()) return static_cast<int32_t>(found - symbols_.begin());
    symbols_.emplace_back(name);
    return static_cast<int32_t>(symbols_.size() - 1);
}

ValueId Graph::add_value(std::string name, DType dtype, std::optional<std::vector<Dim>> dims) {
    values_.push_back({std::move(name), ValueKind::Tensor, dtype, std::move(dims), kNoValue, std::nullopt});
    return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::add_input(std::string name, DType dtype, std::vector<Dim> dims) {
    inputs_.push_back(add_value(std::move(name), dtype, std::move(dims)));
    return inputs_.back();
}

ValueId Graph::add_constant(std::string name, Constant constant) {
    std::vector<Dim> dims;
    for (const int64_t dim : constant.shape().dims()) dims.push_back({.size = dim});
    const ValueId id = add_value(std::move(name), constant.dtype(), std::move(dims));
    value(id).constant = std::move(constant);
    return id;
}

void Graph::append_node(Node node) {
    const auto id = static_cast<NodeId>(nodes_.size());
    for (const ValueId output : node.outputs) {
        if (output != kNoValue) value(output).producer = id;
    }
    nodes_.push_back(std::move(node));
}

ValueId Graph::add_node(Op op, std::string name, std::vector<ValueId> inputs,
                        std::vector<std::pair<std::string, Attribute>> attributes) {
    const auto id = static_cast<NodeId>(nodes_.size());
    std::vector<ValueId> outputs;
    for (int32_t index = 0; index < std::max(1, op_info(op).least_outputs); ++index) {
        outputs.push_back(add_value(index == 0 ? name : name + ":" + std::to_string(index), DType::Undefined, {}));
        value(outputs.back()).producer = id;
    }
    const ValueId first = outputs.front();
    nodes_.push_back({op, std::move(name), std::move(inputs), std::move(outputs), std::move(attributes)});
    return first;
}

std::vector<std::vector<NodeId>> Graph::consumers() const {
    std::vector<std::vector<NodeId>> readers(values_.size());
    for (size_t id = 0; id < nodes_.size(); ++id) {
        for (const ValueId input : nodes_[id].inputs) {
            if (input != kNoValue) readers[static_cast<size_t>(input)].push_back(static_cast<NodeId>(id));
        }
    }
    return readers;
}

void Graph::set_nodes(std::vector<Node> nodes) {
    nodes_ = std::move(nodes);
    for (Value& each : values_) each.producer = kNoValue;
    for (size_t id = 0; id < nodes_.size(); ++id) {
        for (const ValueId output : nodes_[id].outputs) {
            if (output != kNoValue) value(output).producer = static_cast<NodeId>(id);
        }
    }
}

void Graph::replace_uses(ValueId from, ValueId to) {
    for (Node& each : nodes_) std::ranges::replace(each.inputs, from, to);
    std::ranges::replace(outputs_, from, to);
}

}  // namespace quoin
