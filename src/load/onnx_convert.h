// From the operators of any version and of other domains to those of the graph.
#pragma once

#include <vector>

#include "core/status.h"
#include "load/onnx_node.h"

namespace quoin::onnx {

// Appends to the draft's graph what computes the node; the values of its outputs. Unsupported names an operator or
// version that is not known, InvalidModel a wrong number of inputs or outputs.
Result<std::vector<ValueId>> convert(NodeDraft& draft);

// The refusal of an operator that nobody knows.
Status unknown_operator(const NodeDraft& draft);

// One step of convert(): older versions of a standard operator brought to the newest meaning.
Status upgrade(NodeDraft& draft);
// Another: an operator of com.microsoft as one or several standard ones.
Status convert_contrib(NodeDraft& draft);

}  // namespace quoin::onnx
