#include "load/onnx_graph.h"

#include <algorithm>
#include <set>

#include "load/onnx_convert.h"
#include "load/quoted.h"

namespace quoin::onnx {
namespace {

// More than any model has: what is searched one by one must not be long.
constexpr size_t kMostSymbols = 4096;
constexpr size_t kMostAttributes = 1024;

// Names are copied, within functions with those of the calls in front: long ones count.
int64_t name_charge(size_t bytes) {
    constexpr size_t kOrdinary = 128;
    return static_cast<int64_t>(bytes / kOrdinary);
}

Result<DType> element_type(int64_t number, std::string_view what, std::string_view name) {
    const bool plain = number > 0 && number < 100;
    const std::optional<DType> dtype = plain ? dtype_from_number(static_cast<uint32_t>(number)) : std::nullopt;
    if (dtype) return *dtype;
    return error(StatusCode::Unsupported, what, ' ', quoted(name), ": elements of the type number ", number,
                 " of ONNX are not known here");
}

struct ValueForm {
    ValueKind kind = ValueKind::Tensor;
    DType dtype = DType::Undefined;
    const TypeProto* tensor = nullptr;  // whose shape counts
};

// Sequences and optionals may hold more than one type tells; then their dtype is Undefined.
Result<ValueForm> form_of(const TypeProto& type, std::string_view what, std::string_view name) {
    using Kind = TypeProto::Kind;
    ValueForm form;
    const auto tensor_dtype = [&](const TypeProto& tensor) -> Status {
        QUOIN_ASSIGN_OR_RETURN(form.dtype, element_type(tensor.element_type, what, name));
        return {};
    };
    const TypeProto* const inner = type.inner.empty() ? nullptr : &type.inner.front();
    switch (type.kind) {
        case Kind::Tensor:
            QUOIN_RETURN_IF_ERROR(tensor_dtype(type));
            form.tensor = &type;
            return form;
        case Kind::Sequence:
            form.kind = ValueKind::Sequence;
            if (inner != nullptr && inner->kind == Kind::Tensor) QUOIN_RETURN_IF_ERROR(tensor_dtype(*inner));
            return form;
        case Kind::Optional:
            form.kind = ValueKind::Optional;
            if (inner == nullptr) return form;
            if (inner->kind == Kind::Sequence) {
                QUOIN_ASSIGN_OR_RETURN(form, form_of(*inner, what, name));
                form.kind = ValueKind::OptionalSequence;
            } else if (inner->kind == Kind::Tensor) {
                QUOIN_RETURN_IF_ERROR(tensor_dtype(*inner));
            }
            return form;
        case Kind::Map: form.kind = ValueKind::Map; return form;
        case Kind::Unknown: return form;
        case Kind::SparseTensor:
        case Kind::Opaque: break;
    }
    return error(StatusCode::Unsupported, what, ' ', quoted(name),
                 ": sparse tensors and opaque types are not known here");
}

StatedType stated_type(const TypeProto& type) {
    const bool plain = type.kind == TypeProto::Kind::Tensor && type.element_type > 0 && type.element_type < 100;
    if (!plain) return {};
    StatedType stated;
    stated.dtype = dtype_from_number(static_cast<uint32_t>(type.element_type)).value_or(DType::Undefined);
    if (!type.shape || type.shape->size() > Shape::kMaxRank) return stated;
    stated.dims.emplace();
    for (const DimensionProto& each : *type.shape) stated.dims->push_back({.size = std::max<int64_t>(each.value, -1)});
    return stated;
}

Status check_default(const Graph& graph, ValueId id, const Constant& constant) {
    const Value& value = graph.value(id);
    bool fits = value.kind == ValueKind::Tensor && value.dtype == constant.dtype();
    if (value.dims) {
        fits = fits && value.dims->size() == constant.shape().rank();
        for (size_t axis = 0; fits && axis < value.dims->size(); ++axis) {
            const Dim dim = (*value.dims)[axis];
            fits = !dim.known() || dim.size == constant.shape()[axis];
        }
    }
    if (fits) return {};
    return error(StatusCode::InvalidModel, "input ", quoted(value.name), " is ", describe(graph, value),
                 ", but its initializer is ", dtype_name(constant.dtype()), to_string(constant.shape()));
}

}  // namespace

Status GraphBuilder::define(std::string_view name, ValueId id, Scope& scope) {
    const bool waiting = scope.initializers.contains(name) || scope.sparse_initializers.contains(name);
    if (!waiting && scope.names.emplace(name, id).second) return {};
    return error(StatusCode::InvalidModel, "the name ", quoted(name), " is given to two values");
}

Status GraphBuilder::add_inputs(const GraphProto& proto, Scope& scope, bool is_body) {
    for (const ValueInfoProto& info : proto.inputs) {
        if (scope.initializers.contains(info.name) || scope.sparse_initializers.contains(info.name)) {
            if (is_body) {
                return error(StatusCode::Unsupported, "the input ", quoted(info.name),
                             " of a body has a default value");
            }
            if (!model_.overridable_initializers()) continue;
        }
        QUOIN_ASSIGN_OR_RETURN(std::shared_ptr<const Constant> default_value, take_default(info.name, scope));
        QUOIN_ASSIGN_OR_RETURN(const ValueForm form, form_of(info.type, "input", info.name));
        std::optional<std::vector<Dim>> dims;
        // What a body is given changes from one run to the next, whatever the file says of its shape.
        if (!is_body) {
            if (info.type.kind == TypeProto::Kind::Unknown || form.kind == ValueKind::Map) {
                return error(StatusCode::Unsupported, "input ", quoted(info.name),
                             " is neither a tensor nor a sequence");
            }
            if (form.tensor != nullptr && form.tensor->shape) {
                QUOIN_ASSIGN_OR_RETURN(dims, dims_of(*form.tensor->shape, info.name));
            }
        }
        const ValueId id = graph_.add_value(scope.call.prefix + std::string(info.name), form.dtype, std::move(dims));
        graph_.value(id).kind = form.kind;
        if (default_value != nullptr) {
            QUOIN_RETURN_IF_ERROR(check_default(graph_, id, *default_value));
            graph_.value(id).default_value = std::move(default_value);
        }
        graph_.make_input(id);
        QUOIN_RETURN_IF_ERROR(define(info.name, id, scope));
    }
    return {};
}

Result<std::shared_ptr<const Constant>> GraphBuilder::take_default(std::string_view name, Scope& scope) {
    std::optional<Constant> constant;
    if (const auto found = scope.initializers.find(name); found != scope.initializers.end()) {
        QUOIN_ASSIGN_OR_RETURN(constant, model_.constant(*found->second));
        scope.initializers.erase(found);
    } else if (const auto sparse = scope.sparse_initializers.find(name); sparse != scope.sparse_initializers.end()) {
        QUOIN_ASSIGN_OR_RETURN(constant, model_.constant(*sparse->second));
        scope.sparse_initializers.erase(sparse);
    }
    if (!constant) return std::shared_ptr<const Constant>();
    return std::make_shared<const Constant>(*std::move(constant));
}

Result<std::vector<Dim>> GraphBuilder::dims_of(const std::vector<DimensionProto>& shape, std::string_view name) {
    if (shape.size() > Shape::kMaxRank) {
        return error(StatusCode::Unsupported, "input ", quoted(name), " has ", shape.size(), " dimensions; at most ",
                     Shape::kMaxRank, " are known here");
    }
    std::vector<Dim> dims;
    for (const DimensionProto& each : shape) {
        Dim dim{.size = std::max<int64_t>(each.value, -1)};
        if (dim.size < 0 && !each.param.empty()) {
            const auto known = symbols_.find(each.param);
            dim.symbol = known != symbols_.end() ? known->second : graph_.add_symbol(each.param);
            symbols_.emplace(each.param, dim.symbol);
            if (symbols_.size() > kMostSymbols) {
                return error(StatusCode::Unsupported, "the inputs have more than ", kMostSymbols, " named dimensions");
            }
        }
        dims.push_back(dim);
    }
    return dims;
}

Status GraphBuilder::add_initializers(const GraphProto& proto, Scope& scope) {
    const auto twice = [](std::string_view name) {
        return error(StatusCode::InvalidModel, "two initializers have the name ", quoted(name));
    };
    for (const TensorProto& each : proto.initializers) {
        if (!scope.initializers.emplace(each.name, &each).second) return twice(each.name);
    }
    for (const SparseTensorProto& each : proto.sparse_initializers) {
        const bool taken = scope.initializers.contains(each.values.name);
        if (taken || !scope.sparse_initializers.emplace(each.values.name, &each).second) return twice(each.values.name);
    }
    return {};
}

Status GraphBuilder::add_outputs(const GraphProto& proto, Scope& scope) {
    std::set<ValueId> listed;
    for (const ValueInfoProto& info : proto.outputs) {
        QUOIN_ASSIGN_OR_RETURN(ValueId id, resolve(info.name, scope));
        if (id == kNoValue) return error(StatusCode::InvalidModel, "output ", quoted(info.name), " is left out");
        QUOIN_ASSIGN_OR_RETURN(const ValueForm form, form_of(info.type, "output", info.name));
        const bool made = graph_.value(id).producer != kNoValue;
        // An output is known by its name, so it needs a value of its own.
        if (made ? !listed.insert(id).second : graph_.value(id).name != info.name) {
            const ValueId copy = graph_.add_value(std::string(info.name), graph_.value(id).dtype, std::nullopt);
            graph_.append_node({Op::Identity, std::string(info.name), {id}, {copy}, {}});
            id = copy;
        }
        if (graph_.value(id).producer != kNoValue) {
            graph_.value(id).name = info.name;
            graph_.value(id).kind = form.kind;
        }
        if (form.tensor != nullptr) stated_.push_back({id, form.dtype});
        graph_.add_output(id);
    }
    return {};
}

Status GraphBuilder::build_model(const GraphProto& proto) {
    const Call call{.opsets = model_.opsets()};
    Scope scope{*this, call};
    return build(proto, scope, false);
}

Status GraphBuilder::build_body(const GraphProto& proto, Scope& outer) {
    if (depth_ > kMostNesting) {
        return error(StatusCode::InvalidModel, "bodies are nested deeper than ", kMostNesting, " levels");
    }
    Scope scope{*this, outer.call, &outer};
    return build(proto, scope, true);
}

Status GraphBuilder::build(const GraphProto& proto, Scope& scope, bool is_body) {
    for (const ValueInfoProto& info : proto.value_infos) scope.stated.emplace(info.name, stated_type(info.type));
    for (const ValueInfoProto& info : proto.outputs) scope.stated.emplace(info.name, stated_type(info.type));
    QUOIN_RETURN_IF_ERROR(add_initializers(proto, scope));
    QUOIN_RETURN_IF_ERROR(add_inputs(proto, scope, is_body));
    QUOIN_RETURN_IF_ERROR(add_nodes(proto.nodes, scope));
    QUOIN_RETURN_IF_ERROR(add_outputs(proto, scope));
    for (const Node& node : graph_.nodes()) {
        for (const ValueId id : node.outputs) {
            if (id != kNoValue) graph_.value(id).dims.reset();
        }
    }
    return {};
}

ValueId GraphBuilder::import(ValueId outer, const Graph& from) {
    const auto known = imported_.find(outer);
    if (known != imported_.end()) return known->second;
    const Value& value = from.value(outer);
    ValueId id = kNoValue;
    if (value.constant) {
        id = graph_.add_constant(value.name, *value.constant);
    } else {
        id = graph_.add_value(value.name, value.dtype, std::nullopt);
        graph_.value(id).kind = value.kind;
        captures_.emplace_back(outer, id);
    }
    imported_.emplace(outer, id);
    return id;
}

Result<std::optional<ValueId>> GraphBuilder::find(std::string_view name, Scope& scope) {
    const auto known = scope.names.find(name);
    if (known != scope.names.end()) return std::optional(known->second);
    std::optional<ValueId> found;
    if (const auto waiting = scope.initializers.find(name); waiting != scope.initializers.end()) {
        QUOIN_ASSIGN_OR_RETURN(Constant constant, model_.constant(*waiting->second));
        found = graph_.add_constant(scope.call.prefix + std::string(name), std::move(constant));
    } else if (const auto sparse = scope.sparse_initializers.find(name); sparse != scope.sparse_initializers.end()) {
        QUOIN_ASSIGN_OR_RETURN(Constant constant, model_.constant(*sparse->second));
        found = graph_.add_constant(scope.call.prefix + std::string(name), std::move(constant));
    } else if (scope.outer != nullptr) {
        GraphBuilder& around = scope.outer->builder;
        QUOIN_ASSIGN_OR_RETURN(found, around.find(name, *scope.outer));
        if (found && *found != kNoValue && &around != this) found = import(*found, around.graph_);
    }
    if (found) scope.names.emplace(name, *found);
    return found;
}

Result<ValueId> GraphBuilder::resolve(std::string_view name, Scope& scope) {
    QUOIN_ASSIGN_OR_RETURN(const std::optional<ValueId> found, find(name, scope));
    if (found) return *found;
    return error(StatusCode::InvalidModel, "the value ", quoted(name),
                 " is read, but no node, input or initializer makes it");
}

Status GraphBuilder::add_nodes(const std::vector<NodeProto>& nodes, Scope& scope) {
    QUOIN_ASSIGN_OR_RETURN(const std::vector<size_t> order, execution_order(nodes, model_));
    for (const size_t index : order) {
        const NodeProto& node = nodes[index];
        QUOIN_RETURN_IF_ERROR(add_node(node, scope));
    }
    return {};
}

Status GraphBuilder::add_node(const NodeProto& proto, Scope& scope) {
    QUOIN_RETURN_IF_ERROR(model_.charge(1 + static_cast<int64_t>(proto.attributes.size())));
    if (proto.attributes.size() > kMostAttributes) {
        return error(StatusCode::InvalidModel, "node ", quoted(proto.name), " has ", proto.attributes.size(),
                     " attributes");
    }
    NodeDraft draft(graph_, model_.memory());
    const std::string_view own_name = !proto.name.empty()     ? proto.name
                                      : proto.outputs.empty() ? proto.op_type
                                                              : proto.outputs.front();
    draft.name = scope.call.prefix + std::string(own_name);
    QUOIN_RETURN_IF_ERROR(model_.charge(name_charge(draft.name.size())));
    draft.op_type = proto.op_type;
    draft.domain = canonical_domain(proto.domain);
    const auto in_node = [&](const Status& status) {
        return with_context(status, "node ", quoted(draft.name), " (", draft.op_type, "): ");
    };
    for (const std::string_view input : proto.inputs) {
        Result<ValueId> id = input.empty() ? Result<ValueId>(kNoValue) : resolve(input, scope);
        if (!id.ok()) return in_node(id.status());
        draft.inputs.push_back(*id);
    }
    for (const std::string_view output : proto.outputs) draft.wanted.push_back(!output.empty());
    Result<Attributes> attributes = attributes_of(proto, scope);
    if (!attributes.ok()) return in_node(attributes.status());
    draft.attributes = std::move(attributes).value();
    const size_t values_before = graph_.values().size();
    if (const FunctionProto* const function = model_.function(proto)) {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> results, add_call(*function, scope, draft));
        return in_node(finish_node(proto, scope, results, values_before));
    }

    const auto version = scope.call.opsets.find(draft.domain);
    if (version != scope.call.opsets.end()) {
        draft.version = version->second;
    } else if (draft.domain.empty()) {
        return in_node(error(StatusCode::InvalidModel, "the model does not say which version of ai.onnx it uses"));
    } else {
        draft.version = 1;
    }
    if (draft.domain.empty() && draft.op_type == "Constant") {
        Result<std::vector<ValueId>> results = add_constant(proto, draft);
        if (!results.ok()) return in_node(results.status());
        return in_node(finish_node(proto, scope, *results, values_before));
    }
    if (draft.domain == "ai.onnx.preview" && draft.op_type == "FlexAttention" && draft.version == 1) {
        Result<std::vector<ValueId>> results = add_flex_attention(proto, scope, draft);
        if (!results.ok()) return in_node(results.status());
        return in_node(finish_node(proto, scope, *results, values_before));
    }
    QUOIN_RETURN_IF_ERROR(add_bodies(proto, scope, draft));
    const size_t nodes_before = graph_.nodes().size();
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> results, convert(draft));
    QUOIN_RETURN_IF_ERROR(model_.charge(static_cast<int64_t>(graph_.nodes().size() - nodes_before)));
    return in_node(finish_node(proto, scope, results, values_before));
}

Status GraphBuilder::finish_node(const NodeProto& proto, Scope& scope, const std::vector<ValueId>& results,
                                 size_t values_before) {
    for (size_t index = 0; index < proto.outputs.size(); ++index) {
        const std::string_view name = proto.outputs[index];
        if (name.empty()) continue;
        const ValueId id = index < results.size() ? results[index] : kNoValue;
        if (id == kNoValue) return error(StatusCode::InvalidModel, "it has no output ", index, " (", quoted(name), ')');
        Value& value = graph_.value(id);
        if (value.producer != kNoValue && static_cast<size_t>(id) >= values_before) {
            value.name = scope.call.prefix + std::string(name);
            QUOIN_RETURN_IF_ERROR(model_.charge(name_charge(value.name.size())));
        }
        if (const auto stated = scope.stated.find(name); stated != scope.stated.end() && value.producer != kNoValue) {
            if (value.dtype == DType::Undefined) value.dtype = stated->second.dtype;
            if (stated->second.dtype != DType::Undefined) stated_.push_back({id, stated->second.dtype});
            if (!value.dims) value.dims = stated->second.dims;
        }
        QUOIN_RETURN_IF_ERROR(define(name, id, scope));
    }
    return {};
}

Result<BuiltGraph> build_graph(const GraphProto& proto, ModelContext& model) {
    GraphBuilder builder(model);
    QUOIN_RETURN_IF_ERROR(builder.build_model(proto));
    return BuiltGraph{std::move(builder.graph()), std::move(builder.stated())};
}

}  // namespace quoin::onnx
