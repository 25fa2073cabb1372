// The orders of axes in which each value of a graph is at hand while a pass rewrites it, and the list of nodes it
// makes. A form with the order p has at axis i what the value has at axis p[i]: it is Transpose(value) {perm = p}.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "optimize/optimize.h"

namespace quoin {

using AxisOrder = std::vector<int64_t>;

AxisOrder same_order(size_t rank);
// [0, 2, ..., rank - 1, 1]: channels last.
AxisOrder channels_last_order(size_t rank);
AxisOrder inverse(const AxisOrder& order);
// The order of a form of a form: first `first`, then `second` on its result.
AxisOrder then(const AxisOrder& first, const AxisOrder& second);
bool is_same(const AxisOrder& order);

// Nodes come in topological order; nothing is made before somebody asks for it.
class LayoutForms {
public:
    LayoutForms(Graph& graph, const OptimizeContext& context) : graph_(graph), context_(context) {
        forms_.resize(graph.values().size());
    }

    // Declares that `form` holds the value in this order; the value itself may never be made.
    void declare(ValueId value, ValueId form, AxisOrder order);
    // Whether the value can be had in this order without moving its elements.
    bool has(ValueId value, const AxisOrder& order) const;
    // The order in which an op that does not care had better work on this value: channels last where that is at hand,
    // else some order that is; nullopt: as it stands.
    std::optional<AxisOrder> preferred(ValueId value) const;
    // All orders at hand; the value's own is not among them unless it was made.
    std::vector<std::pair<ValueId, AxisOrder>> at_hand(ValueId value) const;
    // The value in this order; makes a node that moves the axes where it is not at hand.
    Result<ValueId> get(ValueId value, const AxisOrder& order);
    // The value as it stands in the old graph.
    Result<ValueId> get(ValueId value);

    // A node with one new result in the form `order` of `value`.
    Status add(Op op, const std::string& name, std::vector<ValueId> inputs, ValueId value, const AxisOrder& order,
               std::vector<std::pair<std::string, Attribute>> attributes);
    // A new value that holds `value` in this order, to be made by a node that the caller appends.
    ValueId new_form(ValueId value, const AxisOrder& order);
    void append(Node node) { nodes_.push_back(std::move(node)); }

    Graph& graph() { return graph_; }
    const OptimizeContext& context() const { return context_; }
    std::vector<Node> take_nodes() { return std::move(nodes_); }

private:
    struct Form {
        ValueId id;
        AxisOrder order;
    };
    std::vector<Form>& forms(ValueId value);
    Status move_axes(ValueId from, const AxisOrder& order, ValueId to);

    Graph& graph_;
    const OptimizeContext& context_;
    std::vector<std::vector<Form>> forms_;
    std::vector<Node> nodes_;
};

}  // namespace quoin
