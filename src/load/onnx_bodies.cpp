// Nodes with nodes inside: calls of model-local functions, and the bodies of control flow.
#include <algorithm>

#include "load/onnx_graph.h"
#include "load/quoted.h"

namespace quoin::onnx {

Result<std::vector<ValueId>> GraphBuilder::add_call(const FunctionProto& function, Scope& scope, NodeDraft& call) {
    const auto in_call = [&](const Status& status) {
        return with_context(status, "in function ", quoted(function.name), ": ");
    };
    if (scope.call.depth >= kMostCalls) {
        return in_call(error(StatusCode::InvalidModel, "functions call each other more than ", kMostCalls,
                             " deep, or without end"));
    }
    if (call.inputs.size() > function.inputs.size() || call.wanted.size() > function.outputs.size()) {
        return in_call(error(StatusCode::InvalidModel, "node ", quoted(call.name),
                             " has more inputs or outputs than the function it calls"));
    }
    OperatorSets opsets = scope.call.opsets;
    for (const auto& [domain, version] : operator_sets(function.opset_imports))
        opsets.insert_or_assign(domain, version);
    Call inner{opsets, call.name + "/", std::move(call.attributes), scope.call.depth + 1};
    for (const AttributeProto& each : function.attribute_defaults) {
        if (std::ranges::any_of(inner.attributes, [&](const auto& entry) { return entry.first == each.name; }))
            continue;
        QUOIN_ASSIGN_OR_RETURN(Attributes made, attribute_of(each));
        std::ranges::move(made, std::back_inserter(inner.attributes));
    }
    Scope inside{*this, inner};
    for (size_t index = 0; index < function.inputs.size(); ++index) {
        QUOIN_RETURN_IF_ERROR(in_call(define(function.inputs[index], call.input(index), inside)));
    }
    QUOIN_RETURN_IF_ERROR(in_call(add_nodes(function.nodes, inside)));
    std::vector<ValueId> results;
    for (size_t index = 0; index < call.wanted.size(); ++index) {
        results.push_back(kNoValue);
        if (!call.wanted[index]) continue;
        Result<ValueId> id = resolve(function.outputs[index], inside);
        if (!id.ok()) return in_call(id.status());
        results.back() = *id;
    }
    return results;
}

Status GraphBuilder::add_bodies(const NodeProto& proto, Scope& scope, NodeDraft& draft) {
    std::vector<std::pair<std::string_view, std::unique_ptr<GraphBuilder>>> bodies;
    for (const AttributeProto& each : proto.attributes) {
        if (each.type != AttributeProto::Type::Graph || !each.ref_attr_name.empty()) continue;
        const auto where = [&](const Status& status) {
            return with_context(status, "in ", quoted(each.name), " of node ", quoted(draft.name), ": ");
        };
        if (each.g == nullptr) return where(error(StatusCode::InvalidModel, "there is no graph"));
        bodies.emplace_back(each.name, std::make_unique<GraphBuilder>(model_, this));
        QUOIN_RETURN_IF_ERROR(where(bodies.back().second->build_body(*each.g, scope)));
        for (const auto& [outer, inner] : bodies.back().second->captures()) {
            if (std::ranges::find(draft.captures, outer) == draft.captures.end()) draft.captures.push_back(outer);
        }
    }
    // Every body has all captures of the node, in the same order, whether it reads them or not.
    for (auto& [name, body] : bodies) {
        const std::map<ValueId, ValueId> own(body->captures().begin(), body->captures().end());
        Graph& graph = body->graph();
        for (const ValueId outer : draft.captures) {
            const auto found = own.find(outer);
            ValueId id = found == own.end() ? kNoValue : found->second;
            if (id == kNoValue) {
                const Value& value = graph_.value(outer);
                id = graph.add_value(value.name, value.dtype, std::nullopt);
                graph.value(id).kind = value.kind;
            }
            graph.make_input(id);
        }
        draft.set(name, std::shared_ptr<const Graph>(std::make_shared<Graph>(std::move(graph))));
    }
    return {};
}

}  // namespace quoin::onnx
