// graph -> graph: an ordered list of passes. After it every constant is in memory in the layout its readers want.
#pragma once

#include <cstdint>
#include <functional>

#include "core/runtime.h"
#include "core/status.h"
#include "graph/graph.h"

namespace quoin {

// Told how many of how many bytes of weights are ready; false stops with Cancelled. Called on the loading thread.
using LoadProgress = std::function<bool(uint64_t done, uint64_t total)>;

struct OptimizeContext {
    const Runtime& runtime;
    Provider provider = Provider::Native;
    LoadProgress progress;  // may be empty
};

// Infers types, runs all passes and verifies the result. A pass that leaves a pattern alone logs why at debug level.
Status optimize(Graph& graph, const OptimizeContext& context);

}  // namespace quoin
