// Runs one node on constants, for folding and for tests of single ops.
#pragma once

#include <vector>

#include "ops/op_kernel.h"

namespace quoin {

// The node's outputs. All its inputs must be constant; types must have been inferred. Works on the calling thread.
Result<std::vector<Tensor>> evaluate(const Graph& graph, const Node& node, const Runtime& runtime);

}  // namespace quoin
