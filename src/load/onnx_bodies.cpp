// Nodes with nodes inside: calls of model-local functions, and the bodies of control flow.
#include <algorithm>
#include <set>

#include "load/onnx_contrib.h"
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
    // Work that a call costs even where the function has no nodes.
    const size_t parts = function.inputs.size() + function.opset_imports.size() + function.attribute_defaults.size();
    QUOIN_RETURN_IF_ERROR(model_.charge(static_cast<int64_t>(parts)));
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
    std::set<ValueId> captured;
    for (const AttributeProto& each : proto.attributes) {
        if (each.type != AttributeProto::Type::Graph || !each.ref_attr_name.empty()) continue;
        const auto where = [&](const Status& status) {
            return with_context(status, "in ", quoted(each.name), " of node ", quoted(draft.name), ": ");
        };
        if (each.g == nullptr) return where(error(StatusCode::InvalidModel, "there is no graph"));
        bodies.emplace_back(each.name, std::make_unique<GraphBuilder>(model_, this));
        QUOIN_RETURN_IF_ERROR(where(bodies.back().second->build_body(*each.g, scope)));
        for (const auto& [outer, inner] : bodies.back().second->captures()) {
            if (captured.insert(outer).second) draft.captures.push_back(outer);
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

Result<ValueId> GraphBuilder::inline_body(const NodeProto& proto, std::string_view name, ValueId x, Scope& scope) {
    const auto found = std::ranges::find(proto.attributes, name, &AttributeProto::name);
    if (found == proto.attributes.end()) return x;
    if (found->g == nullptr || found->g->inputs.size() != 1 || found->g->outputs.size() != 1) {
        return error(StatusCode::InvalidModel, "attribute ", quoted(name),
                     " is no graph with one input and one output");
    }
    Scope inside{*this, scope.call, &scope};
    QUOIN_RETURN_IF_ERROR(add_initializers(*found->g, inside));
    QUOIN_RETURN_IF_ERROR(define(found->g->inputs.front().name, x, inside));
    QUOIN_RETURN_IF_ERROR(add_nodes(found->g->nodes, inside));
    return resolve(found->g->outputs.front().name, inside);
}

// Q [B, H, L, E], K [B, M, S, E], V [B, M, S, F]; H / M heads of Q share one of K and V.
Result<std::vector<ValueId>> GraphBuilder::add_flex_attention(const NodeProto& proto, Scope& scope, NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    const DType element = draft.dtype(draft.input(0));
    const int64_t standard = static_cast<int64_t>(element == DType::F64 ? DType::F64 : DType::F32);
    const Attributes precise{{"to", draft.integer("softmax_precision", standard)}};
    const ValueId q = draft.add(Op::Cast, {draft.input(0)}, precise);
    const ValueId k = draft.add(Op::Cast, {draft.input(1)}, precise);
    const ValueId v = draft.add(Op::Cast, {draft.input(2)}, precise);
    const ValueId groups =
        concat(draft, {shape_of(draft, q, 0, 1), shape_of(draft, k, 1, 2), draft.constant_of({-1})}, 0);
    const auto grouped = [&](ValueId x) {
        return draft.add(Op::Reshape, {x, concat(draft, {groups, shape_of(draft, x, 2, 4)}, 0)});
    };
    const auto apart = [&](ValueId x, ValueId width) {
        return draft.add(Op::Reshape, {x, concat(draft, {shape_of(draft, q, 0, 3), width}, 0)});
    };
    ValueId scale = kNoValue;
    if (draft.attribute("scale") != nullptr) {
        scale = draft.scalar_like(draft.number("scale", 1), q);
    } else {
        const ValueId width = draft.add(Op::Cast, {shape_of(draft, q, 3, 4)}, precise);
        scale = draft.add(Op::Reciprocal, {draft.add(Op::Sqrt, {width})});
    }
    const ValueId keys = transpose(draft, unsqueeze(draft, k, {2}), {0, 1, 2, 4, 3});
    const ValueId products = draft.add(Op::MatMul, {grouped(q), keys});
    ValueId scores = draft.add(Op::Mul, {apart(products, shape_of(draft, k, 2, 3)), scale});
    QUOIN_ASSIGN_OR_RETURN(scores, inline_body(proto, "score_mod", scores, scope));
    ValueId weights = draft.add(Op::Softmax, {scores}, {{"axis", int64_t{-1}}});
    QUOIN_ASSIGN_OR_RETURN(weights, inline_body(proto, "prob_mod", weights, scope));
    const ValueId sums = draft.add(Op::MatMul, {grouped(weights), unsqueeze(draft, v, {2})});
    const ValueId result = apart(sums, shape_of(draft, v, 3, 4));
    return std::vector<ValueId>{draft.add(Op::CastLike, {result, draft.input(0)})};
}

}  // namespace quoin::onnx
