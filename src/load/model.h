// The one entrance of the room: any model file to a graph.
#pragma once

#include <cstdint>
#include <optional>

#include "core/metadata.h"
#include "core/source.h"
#include "core/status.h"
#include "graph/graph.h"
#include "load/decoder.h"

namespace quoin {

enum class ModelKind : uint8_t {
    LanguageModel,  // `decoder` is set, the graph is the one of load/decoder.h
    Vocabulary,     // keys only, of any architecture: good for its tokenizer; the graph is empty
};

struct LoadedModel {
    ModelKind kind = ModelKind::Vocabulary;
    Graph graph;
    Metadata metadata;
    std::optional<DecoderInfo> decoder;
};

// Looks at the first bytes, not at the name. The graph's constants refer to the source and share its ownership; no
// weight is read. Unsupported names the format where the bytes are another known one, InvalidModel says that they are
// none. Memory stays within a small multiple of the file's header.
Result<LoadedModel> load_model(const SourcePtr& source);

}  // namespace quoin
