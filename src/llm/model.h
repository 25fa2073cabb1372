// A loaded model of any kind, ready to run: what quoin_model stands for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/metadata.h"
#include "core/runtime.h"
#include "core/source.h"
#include "core/status.h"
#include "exec/prepared_graph.h"
#include "load/model.h"
#include "optimize/optimize.h"
#include "text/tokenizer.h"

namespace quoin {

// Immutable, shared by any number of contexts and sessions.
struct Model {
    RuntimePtr runtime;
    ModelKind kind = ModelKind::Vocabulary;
    Metadata metadata;
    std::string source_graph;                  // dump of what the loader made
    PreparedGraphPtr prepared;                 // null for a vocabulary
    std::vector<RuntimeValue> input_defaults;  // of a graph, by input; None: it must be given
    std::optional<DecoderInfo> decoder;
    std::shared_ptr<const Tokenizer> tokenizer;  // null when the model has none
};

using ModelPtr = std::shared_ptr<const Model>;

struct LoadOptions {
    Provider provider = Provider::Best;  // effective_provider() says who that is
    DType arithmetic = DType::F32;       // or BF16, see OptimizeContext; Unsupported where nothing multiplies such
    bool metadata_only = false;          // keys, and the tokenizer where it is a known one; a Vocabulary
    LoadProgress progress;               // may be empty
    std::optional<ModelFolder> folder = std::nullopt;  // for models of several files
    bool overridable_initializers = false;             // see load/onnx.h
};

// Loads, optimizes and prepares. Blocks; packing runs on the runtime's team.
Result<ModelPtr> load(const SourcePtr& source, const RuntimePtr& runtime, const LoadOptions& options);

// What a token costs, for comparing speeds with the machine's limits.
struct ModelFacts {
    int64_t parameter_count = 0;
    int64_t memory_bytes = 0;                    // weights, mapped ones included
    int64_t active_weight_bytes = 0;             // read to generate one token of one sequence
    int64_t prompt_multiply_adds = 0;            // of matrices, per token whose logits are not wanted
    int64_t logits_multiply_adds = 0;            // more of them per token whose logits are wanted
    DType prompt_arithmetic = DType::Undefined;  // I8, BF16 or F32: what most of them are done in
};
ModelFacts facts_of(const Model& model);

}  // namespace quoin
