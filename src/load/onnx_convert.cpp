#include "load/onnx_convert.h"

#include <algorithm>

#include "load/onnx_contrib.h"
#include "load/onnx_upgrade.h"
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

// By number of the op: its attributes and their types.
const std::vector<std::string_view>& known_attributes() {
    static const std::vector<std::string_view> kKnown = [] {
        std::vector<std::string_view> known;
        const auto set = [&](Op op, std::string_view attributes) {
            const auto index = static_cast<size_t>(op);
            known.resize(std::max(known.size(), index + 1));
            known[index] = attributes;
        };
#define QUOIN_ATTRIBUTES(op, attributes) set(Op::op, attributes);
#include "load/onnx_attributes.inc"
#undef QUOIN_ATTRIBUTES
        return known;
    }();
    return kKnown;
}

// The letters of onnx_attributes.inc, in the order of Attribute's alternatives.
constexpr std::string_view kTypeLetters = "ifsIFStg";
static_assert(std::variant_size_v<Attribute> == kTypeLetters.size());

// An attribute that nobody reads would change nothing, where its writer meant something by it; one of another type
// would be taken for absent. Names with "_" in front are a writer's own notes.
Status check_attributes(const NodeDraft& draft, Op op) {
    const auto& all = known_attributes();
    const std::string_view known =
        static_cast<size_t>(op) < all.size() ? all[static_cast<size_t>(op)] : std::string_view();
    for (const auto& [name, value] : draft.attributes) {
        if (name.starts_with('_')) continue;
        bool found = false;
        for (size_t at = known.find(name); at != std::string_view::npos && !found; at = known.find(name, at + 1)) {
            const bool whole = (at == 0 || known[at - 1] == ' ') && known.substr(at + name.size()).starts_with(':');
            if (!whole) continue;
            found = true;
            if (known[at + name.size() + 1] != kTypeLetters[value.index()]) {
                return draft.invalid("the attribute ", quoted(name), " is of another type than the operator's");
            }
        }
        if (!found) return draft.invalid("the operator has no attribute ", quoted(name));
    }
    return {};
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
    QUOIN_RETURN_IF_ERROR(check_attributes(draft, op));
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
        if (draft.op_type == "LabelEncoder" && draft.version < 2) QUOIN_RETURN_IF_ERROR(encode_labels(draft));
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
