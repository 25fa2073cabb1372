// Runs one node now: for folding, for nodes whose result shapes depend on bytes, and for tests of single ops.
#pragma once

#include <functional>
#include <vector>

#include "ops/op_kernel.h"

namespace quoin {

// Runs the body in `attribute` on inputs that already have the captures behind them.
using BodyRunner =
    std::function<Result<std::vector<RuntimeValue>>(std::string_view attribute, std::span<const RuntimeValue> inputs)>;

// The node's outputs (None for those it leaves out) for these inputs (None for left-out ones). Works on the calling
// thread. Views share the input's bytes. `prepared` is what prepare_node() made of the node. Without `run_body`, nodes
// with bodies are refused.
Result<std::vector<RuntimeValue>> evaluate(const Graph& graph, const Node& node, const PreparedNode* prepared,
                                           std::span<const RuntimeValue> inputs, const Runtime& runtime,
                                           const BodyRunner& run_body = {});

// The same where all inputs are constants of the graph: their outputs as constants. Nothing of it is kept.
Result<std::vector<RuntimeValue>> evaluate_constant(const Graph& graph, const Node& node, const Runtime& runtime);

}  // namespace quoin
