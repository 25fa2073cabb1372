// Descriptions of a model for people (text) and programs (JSON).
#pragma once

#include <string>

#include "core/status.h"
#include "llm/model.h"

namespace quoin {

enum class Description : int32_t { Metadata = 1, Tensors = 2, GraphSource = 3, Graph = 4, Plan = 5 };

// The plan is that of a decoder's step with one token of one sequence and a single KV page. JSON is an object
// (Metadata), an array of objects (Tensors), or an object {"text": ...} for what is a listing.
Result<std::string> describe(const Model& model, Description what, bool json);

}  // namespace quoin
