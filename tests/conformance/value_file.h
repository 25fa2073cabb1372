// Values as ONNX tests keep them: one serialized TensorProto, SequenceProto or OptionalProto per file.
#pragma once

#include <filesystem>

#include "core/status.h"
#include "graph/graph.h"
#include "ops/runtime_value.h"

namespace quoin::conformance {

// `kind` is that of the model's input or output, for the file does not say what it holds. `dtype` is given to sequences
// that are empty.
Result<RuntimeValue> read_value(const std::filesystem::path& path, ValueKind kind, DType dtype);

}  // namespace quoin::conformance
