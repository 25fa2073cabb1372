// Activations as attributes of the op that computes their operand (ops/activation.h).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace quoin {

struct ActivationAttributes {
    std::vector<std::pair<std::string, Attribute>> attributes;
    ValueId slopes = kNoValue;  // of PRelu: the operand as it stands in the node
};

// What this node does to its first input, when it is an activation that an epilogue can apply; nullopt otherwise.
std::optional<ActivationAttributes> activation_of(const Graph& graph, const Node& node);

// Whether two values have the same shape whenever the graph runs: equal named dims, or made from one value by steps
// that change shapes alike.
bool same_shape(const Graph& graph, ValueId a, ValueId b);

}  // namespace quoin
