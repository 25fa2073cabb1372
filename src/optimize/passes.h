// The passes and the little they share. Each keeps the graph valid and its types inferred.
#pragma once

#include "optimize/optimize.h"

namespace quoin {

// Computes nodes whose inputs are all constant.
Status fold_constants(Graph& graph, const OptimizeContext& context);
// Mul(Swish(Linear(x, a)), Linear(x, b)) becomes GatedLinear(x, a, b).
Status fuse_gated_linear(Graph& graph, const OptimizeContext& context);
// Add(Linear(x, w, bias), y) becomes Linear(x, w, bias, y).
Status fuse_residual(Graph& graph, const OptimizeContext& context);
// Puts one QuantizeActivation before the readers of a value whose weights want integer operands.
Status quantize_activations(Graph& graph, const OptimizeContext& context);
// Drops nodes that no output needs, then the values of constants that nobody reads any more.
Status remove_dead_nodes(Graph& graph, const OptimizeContext& context);
// Brings every constant into memory; weights of Linear and GatedLinear into panels. Reports progress.
Status pack_weights(Graph& graph, const OptimizeContext& context);

// The node that makes this value if it is `op` and the value has no other reader and is no graph output; else null.
const Node* sole_producer(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, ValueId value, Op op);

}  // namespace quoin
