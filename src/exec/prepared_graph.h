// An optimized graph with every node made ready: what all sessions of a model share.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "core/runtime.h"
#include "core/status.h"
#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

// Immutable after prepare(); used by any number of sessions at once.
struct PreparedGraph {
    RuntimePtr runtime;
    Graph graph;
    std::vector<std::unique_ptr<PreparedNode>> nodes;  // by NodeId; null for what is never a step: views, boxed ops
    std::map<const Graph*, std::shared_ptr<const PreparedGraph>> bodies;  // of the nodes' attributes
};

using PreparedGraphPtr = std::shared_ptr<const PreparedGraph>;

// The graph must have gone through optimize(). Unsupported names the node that no implementation takes.
Result<PreparedGraphPtr> prepare(Graph graph, RuntimePtr runtime, Provider provider = Provider::Best);

}  // namespace quoin
