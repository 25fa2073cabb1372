// Descriptions of a model for people (text) and programs (JSON).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/status.h"
#include "exec/trace.h"
#include "llm/model.h"

namespace quoin {

enum class Description : int32_t { Metadata = 1, Tensors = 2, GraphSource = 3, Graph = 4, Plan = 5 };

// The plan is that of a decoder's step with one token of one sequence and a single KV page; of a graph whose input
// shapes are all known, that of a run. JSON is an object
// (Metadata), an array of objects (Tensors), or an object {"text": ...} for what is a listing.
Result<std::string> describe(const ModelPtr& model, Description what, bool json);
// The form of those listings.
std::string as_listing(const std::string& text, bool json);

// The trace event format of Chrome and Perfetto, in pieces: one complete event per node, thread and run, named after
// the node, with op, kernel and time waited before it. Cancelled when `write` gives false.
Status write_trace(const Trace& trace, const std::function<bool(std::string_view)>& write);

}  // namespace quoin
