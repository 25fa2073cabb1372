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
    Provider provider = Provider::Best;
    LoadProgress progress;          // may be empty
    DType arithmetic = DType::F32;  // BF16: products of f32 models may be of numbers rounded to bf16
};

// What a model is optimized and prepared for: `wanted`, or where that is Best the environment variable QUOIN_PROVIDER.
// InvalidArgument when that has no such name; Unsupported when this build or machine does not have it.
Result<Provider> effective_provider(Provider wanted, const Runtime& runtime);

// Unsupported when the runtime's instruction set has no products of this type (F32 or BF16).
Status check_arithmetic(DType arithmetic, const Runtime& runtime);

// Infers types, runs all passes and verifies the result. A pass that leaves a pattern alone logs why at debug level.
Status optimize(Graph& graph, const OptimizeContext& context);

}  // namespace quoin
