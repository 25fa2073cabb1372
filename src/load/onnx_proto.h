// The messages of an ONNX file as plain structures. Names are those of the specification (onnx.proto), strings are
// views of the file's bytes. Parsing functions throw what protozero throws; see wire.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/status.h"

namespace quoin::onnx {

struct GraphProto;

using StringStringEntries = std::vector<std::pair<std::string_view, std::string_view>>;

// The elements are decoded from `message` when they are wanted.
struct TensorProto {
    std::string_view message;
    std::string_view name;
    std::vector<int64_t> dims;
    int64_t data_type = 0;
    std::optional<std::string_view> raw_data;
    bool external = false;
    bool segmented = false;
    StringStringEntries external_data;
};

struct SparseTensorProto {
    TensorProto values;  // its name is that of the tensor
    TensorProto indices;
    std::vector<int64_t> dims;
};

struct DimensionProto {
    int64_t value = -1;
    std::string_view param;
};

struct TypeProto {
    enum class Kind : uint8_t { Unknown, Tensor, Sequence, Map, Optional, SparseTensor, Opaque };
    Kind kind = Kind::Unknown;
    int64_t element_type = 0;  // of a tensor; of a map that of its keys
    std::optional<std::vector<DimensionProto>> shape;
    std::vector<TypeProto> inner;  // one: the element of a sequence or optional, the value of a map
};

struct ValueInfoProto {
    std::string_view name;
    TypeProto type;
};

struct AttributeProto {
    enum class Type : uint8_t {
        Undefined = 0,
        Float = 1,
        Int = 2,
        String = 3,
        Tensor = 4,
        Graph = 5,
        Floats = 6,
        Ints = 7,
        Strings = 8,
        Tensors = 9,
        Graphs = 10,
        SparseTensor = 11,
        SparseTensors = 12,
        TypeProto = 13,
        TypeProtos = 14,
    };
    std::string_view name;
    std::string_view ref_attr_name;  // in functions: the attribute of the call
    Type type = Type::Undefined;
    float f = 0;
    int64_t i = 0;
    std::string_view s;
    std::vector<float> floats;
    std::vector<int64_t> ints;
    std::vector<std::string_view> strings;
    std::optional<TensorProto> t;
    std::shared_ptr<const GraphProto> g;
    std::optional<SparseTensorProto> sparse_tensor;
    std::optional<onnx::TypeProto> tp;
};

struct NodeProto {
    std::vector<std::string_view> inputs;
    std::vector<std::string_view> outputs;
    std::string_view name;
    std::string_view op_type;
    std::string_view domain;
    std::string_view overload;
    std::vector<AttributeProto> attributes;
};

struct GraphProto {
    std::string_view name;
    std::vector<NodeProto> nodes;
    std::vector<TensorProto> initializers;
    std::vector<SparseTensorProto> sparse_initializers;
    std::vector<ValueInfoProto> inputs;
    std::vector<ValueInfoProto> outputs;
    std::vector<ValueInfoProto> value_infos;
};

struct OperatorSet {
    std::string_view domain;
    int64_t version = 0;
};

struct FunctionProto {
    std::string_view name;
    std::string_view domain;
    std::string_view overload;
    std::vector<std::string_view> inputs;
    std::vector<std::string_view> outputs;
    std::vector<std::string_view> attribute_names;
    std::vector<AttributeProto> attribute_defaults;
    std::vector<NodeProto> nodes;
    std::vector<OperatorSet> opset_imports;
};

struct ModelProto {
    int64_t ir_version = 0;
    std::vector<OperatorSet> opset_imports;
    std::string_view producer_name;
    std::string_view producer_version;
    std::string_view domain;
    std::optional<int64_t> model_version;
    std::string_view doc_string;
    std::optional<GraphProto> graph;
    StringStringEntries metadata_props;
    std::vector<FunctionProto> functions;
};

// Bodies and types may be nested this deep.
inline constexpr int kMostNesting = 32;
// Nodes, tensors, values and attributes of a file, functions counted once: more than any model has, and what keeps the
// memory for them within bounds.
inline constexpr int64_t kMostParts = int64_t{1} << 20;

Result<ModelProto> parse_model(std::string_view message);
Result<TensorProto> parse_tensor(std::string_view message);

}  // namespace quoin::onnx
