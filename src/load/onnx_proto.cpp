#include "load/onnx_proto.h"

#include "load/wire.h"

namespace quoin::onnx {
namespace {

using wire::FieldReader;

// Reads the messages of one file.
class Parser {
public:
    ModelProto model(std::string_view message);
    TensorProto tensor(std::string_view message);
    // The first thing wrong that is not malformed: too deep, too many.
    const Status& status() const { return status_; }

private:
    GraphProto graph(std::string_view message);
    NodeProto node(std::string_view message);
    AttributeProto attribute(std::string_view message);
    FunctionProto function(std::string_view message);
    SparseTensorProto sparse_tensor(std::string_view message);
    ValueInfoProto value_info(std::string_view message);
    TypeProto type(std::string_view message);
    void tensor_type(std::string_view message, TypeProto& to);
    // Counts one more part; false when that is one too many, and nothing more is to be read.
    bool one_more();

    // Goes one message deeper for as long as it lives.
    class Deeper {
    public:
        explicit Deeper(Parser& parser) : parser_(parser) { ++parser_.depth_; }
        Deeper(const Deeper&) = delete;
        Deeper& operator=(const Deeper&) = delete;
        ~Deeper() { --parser_.depth_; }
        bool allowed() const {
            if (parser_.depth_ <= kMostNesting) return true;
            parser_.fail("bodies or types are nested deeper than ", kMostNesting, " levels");
            return false;
        }

    private:
        Parser& parser_;
    };

    template <class... Parts>
    void fail(const Parts&... parts) {
        if (status_.ok()) status_ = error(StatusCode::InvalidModel, parts...);
    }

    Status status_;
    int depth_ = 0;
    int64_t parts_ = 0;
};

bool Parser::one_more() {
    if (++parts_ > kMostParts) fail("the model has more than ", kMostParts, " nodes, tensors, values and attributes");
    return status_.ok();
}

std::pair<std::string_view, std::string_view> string_string_entry(std::string_view message) {
    std::pair<std::string_view, std::string_view> entry;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: entry.first = field.bytes(); break;
            case 2: entry.second = field.bytes(); break;
            default: break;
        }
    }
    return entry;
}

OperatorSet operator_set(std::string_view message) {
    OperatorSet set;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: set.domain = field.bytes(); break;
            case 2: set.version = field.integer(); break;
            default: break;
        }
    }
    return set;
}

DimensionProto dimension(std::string_view message) {
    DimensionProto dim;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: dim = {.value = field.integer()}; break;
            case 2: dim = {.value = -1, .param = field.bytes()}; break;
            default: break;
        }
    }
    return dim;
}

TensorProto Parser::tensor(std::string_view message) {
    TensorProto tensor;
    tensor.message = message;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: field.append_integers(tensor.dims); break;
            case 2: tensor.data_type = field.integer(); break;
            case 3: tensor.segmented = true; break;
            case 8: tensor.name = field.bytes(); break;
            case 9: tensor.raw_data = field.bytes(); break;
            case 13: tensor.external_data.push_back(string_string_entry(field.bytes())); break;
            case 14: tensor.external = field.integer() == 1; break;
            default: break;
        }
    }
    return tensor;
}

SparseTensorProto Parser::sparse_tensor(std::string_view message) {
    SparseTensorProto sparse;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: sparse.values = tensor(field.bytes()); break;
            case 2: sparse.indices = tensor(field.bytes()); break;
            case 3: field.append_integers(sparse.dims); break;
            default: break;
        }
    }
    return sparse;
}

// TypeProto.Tensor and TypeProto.SparseTensor.
void Parser::tensor_type(std::string_view message, TypeProto& to) {
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: to.element_type = field.integer(); break;
            case 2: {
                to.shape.emplace();
                FieldReader shape(field.bytes());
                while (shape.next() && one_more()) {
                    if (shape.number() == 1) to.shape->push_back(dimension(shape.bytes()));
                }
                break;
            }
            default: break;
        }
    }
}

TypeProto Parser::type(std::string_view message) {
    TypeProto result;
    const Deeper deeper(*this);
    if (!deeper.allowed()) return result;
    // The field of a message within that holds a TypeProto itself.
    const auto read_inner = [&](std::string_view outer, uint32_t number) {
        result.inner.clear();
        FieldReader field(outer);
        while (field.next()) {
            if (field.number() == number) {
                result.inner = {type(field.bytes())};
            } else if (field.number() == 1) {
                result.element_type = field.integer();
            }
        }
    };
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1:
                result.kind = TypeProto::Kind::Tensor;
                tensor_type(field.bytes(), result);
                break;
            case 4:
                result.kind = TypeProto::Kind::Sequence;
                read_inner(field.bytes(), 1);
                break;
            case 5:
                result.kind = TypeProto::Kind::Map;
                read_inner(field.bytes(), 2);
                break;
            case 7: result.kind = TypeProto::Kind::Opaque; break;
            case 8:
                result.kind = TypeProto::Kind::SparseTensor;
                tensor_type(field.bytes(), result);
                break;
            case 9:
                result.kind = TypeProto::Kind::Optional;
                read_inner(field.bytes(), 1);
                break;
            default: break;
        }
    }
    return result;
}

ValueInfoProto Parser::value_info(std::string_view message) {
    ValueInfoProto info;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: info.name = field.bytes(); break;
            case 2: info.type = type(field.bytes()); break;
            default: break;
        }
    }
    return info;
}

AttributeProto Parser::attribute(std::string_view message) {
    AttributeProto attribute;
    using Type = AttributeProto::Type;
    Type seen = Type::Undefined;  // files of IR version 1 have no type
    FieldReader field(message);
    while (field.next()) {
        const auto see = [&](Type type) { seen = type; };
        switch (field.number()) {
            case 1: attribute.name = field.bytes(); break;
            case 2: attribute.f = field.single(), see(Type::Float); break;
            case 3: attribute.i = field.integer(), see(Type::Int); break;
            case 4: attribute.s = field.bytes(), see(Type::String); break;
            case 5: attribute.t = tensor(field.bytes()), see(Type::Tensor); break;
            case 6: {
                const Deeper deeper(*this);
                const std::string_view body = field.bytes();
                if (deeper.allowed()) attribute.g = std::make_shared<GraphProto>(graph(body)), see(Type::Graph);
                break;
            }
            case 7: field.append_singles(attribute.floats), see(Type::Floats); break;
            case 8: field.append_integers(attribute.ints), see(Type::Ints); break;
            case 9: attribute.strings.push_back(field.bytes()), see(Type::Strings); break;
            case 14: attribute.tp = type(field.bytes()), see(Type::TypeProto); break;
            case 20: {
                const int64_t number = field.integer();
                const bool known = number >= 0 && number <= static_cast<int64_t>(Type::TypeProtos);
                if (!known) fail("an attribute has the unknown type ", number);
                if (known) attribute.type = static_cast<Type>(number);
                break;
            }
            case 21: attribute.ref_attr_name = field.bytes(); break;
            case 22: attribute.sparse_tensor = sparse_tensor(field.bytes()), see(Type::SparseTensor); break;
            default: break;
        }
        if (!status_.ok()) break;
    }
    if (attribute.type == Type::Undefined) attribute.type = seen;
    return attribute;
}

NodeProto Parser::node(std::string_view message) {
    NodeProto node;
    FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: node.inputs.push_back(field.bytes()); break;
            case 2: node.outputs.push_back(field.bytes()); break;
            case 3: node.name = field.bytes(); break;
            case 4: node.op_type = field.bytes(); break;
            case 5:
                if (one_more()) node.attributes.push_back(attribute(field.bytes()));
                break;
            case 7: node.domain = field.bytes(); break;
            case 8: node.overload = field.bytes(); break;
            default: break;
        }
        if (!status_.ok()) break;
    }
    return node;
}

GraphProto Parser::graph(std::string_view message) {
    GraphProto graph;
    FieldReader field(message);
    while (field.next() && one_more()) {
        switch (field.number()) {
            case 1: graph.nodes.push_back(node(field.bytes())); break;
            case 2: graph.name = field.bytes(); break;
            case 5: graph.initializers.push_back(tensor(field.bytes())); break;
            case 11: graph.inputs.push_back(value_info(field.bytes())); break;
            case 12: graph.outputs.push_back(value_info(field.bytes())); break;
            case 13: graph.value_infos.push_back(value_info(field.bytes())); break;
            case 15: graph.sparse_initializers.push_back(sparse_tensor(field.bytes())); break;
            default: break;
        }
    }
    return graph;
}

FunctionProto Parser::function(std::string_view message) {
    FunctionProto function;
    FieldReader field(message);
    while (field.next() && one_more()) {
        switch (field.number()) {
            case 1: function.name = field.bytes(); break;
            case 4: function.inputs.push_back(field.bytes()); break;
            case 5: function.outputs.push_back(field.bytes()); break;
            case 6: function.attribute_names.push_back(field.bytes()); break;
            case 7: function.nodes.push_back(node(field.bytes())); break;
            case 9: function.opset_imports.push_back(operator_set(field.bytes())); break;
            case 10: function.domain = field.bytes(); break;
            case 11: function.attribute_defaults.push_back(attribute(field.bytes())); break;
            case 13: function.overload = field.bytes(); break;
            default: break;
        }
    }
    return function;
}

ModelProto Parser::model(std::string_view message) {
    ModelProto model;
    FieldReader field(message);
    while (field.next() && one_more()) {
        switch (field.number()) {
            case 1: model.ir_version = field.integer(); break;
            case 2: model.producer_name = field.bytes(); break;
            case 3: model.producer_version = field.bytes(); break;
            case 4: model.domain = field.bytes(); break;
            case 5: model.model_version = field.integer(); break;
            case 6: model.doc_string = field.bytes(); break;
            case 7:
                if (model.graph) fail("the model has more than one graph");
                model.graph = graph(field.bytes());
                break;
            case 8: model.opset_imports.push_back(operator_set(field.bytes())); break;
            case 14: model.metadata_props.push_back(string_string_entry(field.bytes())); break;
            case 25: model.functions.push_back(function(field.bytes())); break;
            default: break;
        }
    }
    return model;
}

}  // namespace

Result<ModelProto> parse_model(std::string_view message) {
    Parser parser;
    ModelProto model = parser.model(message);
    QUOIN_RETURN_IF_ERROR(parser.status());
    return model;
}

Result<TensorProto> parse_tensor(std::string_view message) {
    Parser parser;
    TensorProto tensor = parser.tensor(message);
    QUOIN_RETURN_IF_ERROR(parser.status());
    return tensor;
}

}  // namespace quoin::onnx
