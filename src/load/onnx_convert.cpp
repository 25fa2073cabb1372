#include "load/onnx_convert.h"

#include <algorithm>

#include "load/onnx_contrib.h"
#include "load/quoted.h"

namespace quoin::onnx {
namespace {

constexpr int64_t kNewestOnnx = 28;
constexpr int64_t kNewestMl = 5;

Status check_version(const NodeDraft& draft, int64_t newest) {
    if (draft.version >= 1 && draft.version <= newest) return {};
    return error(StatusCode::Unsupported, "node ", quoted(draft.name), " (", draft.op_type, "): version ",
                 draft.version, " of ", draft.domain.empty() ? "ai.onnx" : draft.domain, "; known are 1 to ", newest);
}

// The node itself, with outputs that finish_node() names.
Result<std::vector<ValueId>> append(NodeDraft& draft, Op op) {
    const OpInfo& info = op_info(op);
    // Trailing inputs that are left out say nothing, but those of bodies and captures have their places.
    while (!draft.inputs.empty() && draft.inputs.back() == kNoValue &&
           static_cast<int64_t>(draft.inputs.size()) > std::max(info.least_inputs, info.has(facts::boxed) ? 2 : 0)) {
        draft.inputs.pop_back();
    }
    const auto inputs = static_cast<int64_t>(draft.inputs.size());
    const auto outputs = static_cast<int64_t>(draft.wanted.size());
    if (inputs < info.least_inputs || inputs > info.most_inputs) {
        return draft.invalid("has ", inputs, " inputs; the operator takes at least ", info.least_inputs,
                             info.most_inputs == kMany ? "" : " and at most " + std::to_string(info.most_inputs));
    }
    for (int32_t index = 0; index < info.least_inputs; ++index) {
        if (!draft.has_input(static_cast<size_t>(index))) {
            return draft.invalid("input ", index, " is left out, which the operator needs");
        }
    }
    if (outputs > info.most_outputs) {
        return draft.invalid("has ", outputs, " outputs; the operator makes at most ", info.most_outputs);
    }
    Graph& graph = draft.graph();
    std::vector<ValueId> results;
    for (int64_t index = 0; index < std::max<int64_t>(outputs, info.least_outputs); ++index) {
        const bool wanted = draft.wants_output(static_cast<size_t>(index));
        results.push_back(wanted ? graph.add_value(draft.name, DType::Undefined, std::nullopt) : kNoValue);
    }
    if (!draft.captures.empty()) {
        draft.set("captures", static_cast<int64_t>(draft.captures.size()));
        std::ranges::copy(draft.captures, std::back_inserter(draft.inputs));
    }
    Node node{op, draft.name, std::move(draft.inputs), results, std::move(draft.attributes)};
    if (!results.empty() && results.front() != kNoValue) graph.value(results.front()).dtype = likely_dtype(graph, node);
    graph.append_node(std::move(node));
    return results;
}

}  // namespace

Status unknown_operator(const NodeDraft& draft) {
    return error(StatusCode::Unsupported, "node ", quoted(draft.name), ": the operator ", quoted(draft.op_type), " of ",
                 draft.domain.empty() ? std::string("ai.onnx") : quoted(draft.domain), ", version ", draft.version,
                 ", is not known here");
}

Result<std::vector<ValueId>> convert(NodeDraft& draft) {
    std::string_view domain = "onnx";
    if (draft.domain.empty()) {
        QUOIN_RETURN_IF_ERROR(check_version(draft, kNewestOnnx));
        if (draft.op_type == "SimplifiedLayerNormalization") {
            QUOIN_RETURN_IF_ERROR(simplified_layer_normalization(draft));
        } else {
            QUOIN_RETURN_IF_ERROR(upgrade(draft));
        }
    } else if (draft.domain == "ai.onnx.ml") {
        QUOIN_RETURN_IF_ERROR(check_version(draft, kNewestMl));
        domain = "ml";
    } else if (draft.domain == "com.microsoft") {
        QUOIN_RETURN_IF_ERROR(convert_contrib(draft));
    } else {
        return unknown_operator(draft);
    }
    if (draft.results()) return *draft.results();
    const std::optional<Op> op = find_op(domain, draft.op_type);
    if (!op) return unknown_operator(draft);
    return append(draft, *op);
}

}  // namespace quoin::onnx
