// ONNX: a model file to a graph of the newest operators.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/memory.h"
#include "core/source.h"
#include "core/status.h"
#include "load/model.h"

namespace quoin {

// IR versions 3 to 13; operator sets 1 to 28 of ai.onnx, 1 to 5 of ai.onnx.ml, and what exporters use of com.microsoft.
// Older operators become those of the newest set, model-local functions become their nodes, bodies of control flow
// become graphs in attributes (graph/graph.h). Weights stay in the source, or in the files of `folder` that the model
// names; without a folder such a model is refused.
// InvalidModel: malformed, or it contradicts itself. Unsupported: an operator, version or element type that is not
// known; the sentence names the node. Time and memory stay within a small multiple of the file's size.
// Initializers that are also inputs are constants, so that they can be folded. With options.overridable_initializers
// those of IR version 4 and later, where such an input may be given, stay inputs with a default value.
Result<LoadedModel> load_onnx(const SourcePtr& source, const ReadOptions& options);

}  // namespace quoin
