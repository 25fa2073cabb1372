// The one entrance of the room: any model file to a graph.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/memory.h"
#include "core/metadata.h"
#include "core/source.h"
#include "core/status.h"
#include "graph/graph.h"
#include "load/decoder.h"

namespace quoin {

enum class ModelKind : uint8_t {
    Graph,          // tensors in, tensors out: inputs and outputs are the graph's own
    LanguageModel,  // `decoder` is set, the graph is the one of load/decoder.h
    Vocabulary,     // keys only, of any architecture: good for its tokenizer; the graph is empty
};

// What the file says of the elements of a tensor.
struct StatedElements {
    ValueId value;
    DType dtype;
};

struct LoadedModel {
    ModelKind kind = ModelKind::Vocabulary;
    Graph graph;
    std::vector<StatedElements> stated;
    Metadata metadata;
    std::optional<DecoderInfo> decoder;
};

// Where the files lie that a model names beside its own.
struct ModelFolder {
    std::string path;
    bool use_mmap = true;
    std::shared_ptr<Memory> memory;  // for what is not mapped
};

struct ReadOptions {
    std::optional<ModelFolder> folder = std::nullopt;
    bool overridable_initializers = false;  // see load/onnx.h
    bool metadata_only = false;  // makes no graph, so that the model may be of any architecture: a Vocabulary
};

// Looks at the first bytes, not at the name. The graph's constants refer to the source and share its ownership; no
// weight is read. Unsupported names the format where the bytes are another known one, InvalidModel says that they are
// none. Memory stays within a small multiple of the file's header.
Result<LoadedModel> load_model(const SourcePtr& source, const ReadOptions& options = {});

// InvalidModel, with the value, where what the file says of a value is not so. To be called when types are inferred;
// what stays unknown then agrees with anything.
Status check_stated(const LoadedModel& model);

}  // namespace quoin
