// Attributes of the file's nodes as those of the graph's, and the nodes that are nothing but an attribute: Constant.
#include <algorithm>

#include "load/onnx_graph.h"
#include "load/quoted.h"

namespace quoin::onnx {
namespace {

// Attributes are copied for every call of a function: so many of their elements count like a node.
constexpr size_t kElementsOfPart = 16;
constexpr size_t kTextParts = 16;

template <class To, class From>
std::vector<To> converted(const std::vector<From>& from) {
    return std::vector<To>(from.begin(), from.end());
}

// TypeProto stands in Optional alone: whether it is a sequence, and of what elements.
Result<Attributes> type_attributes(const AttributeProto& proto) {
    const TypeProto* type = proto.tp ? &*proto.tp : nullptr;
    int64_t is_sequence = 0;
    while (type != nullptr && type->kind != TypeProto::Kind::Tensor) {
        if (type->kind == TypeProto::Kind::Sequence) is_sequence = 1;
        type = type->inner.empty() ? nullptr : &type->inner.front();
    }
    if (type == nullptr) {
        return error(StatusCode::Unsupported, "attribute ", quoted(proto.name), " holds a type without a tensor in it");
    }
    return Attributes{{"type_is_sequence", is_sequence}, {"type_dtype", type->element_type}};
}

// What it costs to copy an attribute, in the measure of ModelContext::charge().
int64_t copied_parts(const Attribute& value) {
    size_t elements = 0;
    if (const auto* const text = std::get_if<std::string>(&value)) elements = text->size();
    if (const auto* const integers = std::get_if<std::vector<int64_t>>(&value)) elements = integers->size();
    if (const auto* const numbers = std::get_if<std::vector<double>>(&value)) elements = numbers->size();
    if (const auto* const texts = std::get_if<std::vector<std::string>>(&value)) {
        for (const std::string& each : *texts) elements += kTextParts + each.size();
    }
    return static_cast<int64_t>(elements / kElementsOfPart);
}

// What the node gives for a name that a function's node refers to.
std::optional<Attribute> given(const Attributes& attributes, std::string_view name) {
    const auto found = std::ranges::find_if(attributes, [&](const auto& entry) { return entry.first == name; });
    return found == attributes.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

Result<Attributes> GraphBuilder::attribute_of(const AttributeProto& proto) {
    using Type = AttributeProto::Type;
    const std::string name(proto.name);
    const auto one = [&](Attribute value) { return Attributes{{name, std::move(value)}}; };
    const auto charge = [&](size_t elements) {
        return model_.charge(static_cast<int64_t>(elements / kElementsOfPart));
    };
    switch (proto.type) {
        case Type::Float: return one(static_cast<double>(proto.f));
        case Type::Int: return one(proto.i);
        case Type::String: QUOIN_RETURN_IF_ERROR(charge(proto.s.size())); return one(std::string(proto.s));
        case Type::Floats:
            QUOIN_RETURN_IF_ERROR(charge(proto.floats.size()));
            return one(converted<double>(proto.floats));
        case Type::Ints: QUOIN_RETURN_IF_ERROR(charge(proto.ints.size())); return one(proto.ints);
        case Type::Strings:
            for (const std::string_view each : proto.strings) QUOIN_RETURN_IF_ERROR(charge(kTextParts + each.size()));
            return one(converted<std::string>(proto.strings));
        case Type::Tensor: {
            if (!proto.t) break;
            QUOIN_ASSIGN_OR_RETURN(const Constant constant, model_.constant(*proto.t));
            QUOIN_ASSIGN_OR_RETURN(Tensor tensor, constant.load());
            return one(std::move(tensor));
        }
        case Type::SparseTensor: {
            if (!proto.sparse_tensor) break;
            QUOIN_ASSIGN_OR_RETURN(const Constant constant, model_.constant(*proto.sparse_tensor));
            QUOIN_ASSIGN_OR_RETURN(Tensor tensor, constant.load());
            return one(std::move(tensor));
        }
        case Type::TypeProto: return type_attributes(proto);
        case Type::Undefined:
        case Type::Graph:
        case Type::Tensors:
        case Type::Graphs:
        case Type::SparseTensors:
        case Type::TypeProtos: break;
    }
    return error(StatusCode::Unsupported, "attribute ", quoted(proto.name), " has no value, or one of a type (",
                 static_cast<int>(proto.type), ") that is not known here");
}

Result<Attributes> GraphBuilder::attributes_of(const NodeProto& proto, const Scope& scope) {
    Attributes attributes;
    for (const AttributeProto& each : proto.attributes) {
        if (each.ref_attr_name.empty() && each.type == AttributeProto::Type::Graph) continue;
        if (given(attributes, each.name)) {
            return error(StatusCode::InvalidModel, "attribute ", quoted(each.name), " stands there twice");
        }
        if (each.ref_attr_name.empty()) {
            QUOIN_ASSIGN_OR_RETURN(Attributes made, attribute_of(each));
            std::ranges::move(made, std::back_inserter(attributes));
        } else if (std::optional<Attribute> value = given(scope.call.attributes, each.ref_attr_name)) {
            QUOIN_RETURN_IF_ERROR(model_.charge(1 + copied_parts(*value)));
            attributes.emplace_back(each.name, *std::move(value));
        }  // else the call left it out, and so does this node
    }
    return attributes;
}

Result<std::vector<ValueId>> GraphBuilder::add_constant(const NodeProto& proto, NodeDraft& draft) {
    if (draft.attributes.size() != 1) {
        return error(StatusCode::InvalidModel, "a constant has one value, this one ", draft.attributes.size());
    }
    // A large tensor of the file itself stays there.
    const AttributeProto& first = proto.attributes.front();
    if (first.t && first.ref_attr_name.empty()) {
        QUOIN_ASSIGN_OR_RETURN(Constant constant, model_.constant(*first.t));
        return std::vector<ValueId>{graph_.add_constant(draft.name, std::move(constant))};
    }
    const auto& [name, value] = draft.attributes.front();
    std::optional<Tensor> tensor;
    if (const auto* const integer = std::get_if<int64_t>(&value)) tensor = tensor_of(*integer);
    if (const auto* const number = std::get_if<double>(&value)) tensor = tensor_of(static_cast<float>(*number));
    if (const auto* const text = std::get_if<std::string>(&value)) tensor = tensor_of(*text);
    if (const auto* const integers = std::get_if<std::vector<int64_t>>(&value)) tensor = tensor_of(*integers);
    if (const auto* const numbers = std::get_if<std::vector<double>>(&value)) {
        tensor = tensor_of(converted<float>(*numbers));
    }
    if (const auto* const texts = std::get_if<std::vector<std::string>>(&value)) tensor = tensor_of(*texts);
    if (const auto* const given_tensor = std::get_if<Tensor>(&value)) tensor = *given_tensor;
    if (!tensor) return error(StatusCode::InvalidModel, "attribute ", quoted(name), " is no value of a constant");
    return std::vector<ValueId>{graph_.add_constant(draft.name, Constant(*std::move(tensor)))};
}

}  // namespace quoin::onnx
