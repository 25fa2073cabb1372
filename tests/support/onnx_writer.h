// Writes small ONNX files for tests, honest ones and deliberate lies, field by field. Independent of src/load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dtype.h"

namespace quoin::test {

// A protocol-buffer message under construction. Calls append one field and give the message back.
class Message {
public:
    Message& integer(uint32_t field, int64_t value);
    Message& single(uint32_t field, float value);
    Message& text(uint32_t field, std::string_view value);
    Message& message(uint32_t field, const Message& value) { return text(field, value.bytes_); }
    // Repeated numbers, packed.
    Message& integers(uint32_t field, const std::vector<int64_t>& values);
    Message& singles(uint32_t field, const std::vector<float>& values);
    const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_;
};

// ---- TensorProto, with elements in raw_data
Message tensor_message(std::string_view name, DType dtype, const std::vector<int64_t>& dims, std::string_view raw);
Message floats_message(std::string_view name, const std::vector<int64_t>& dims, const std::vector<float>& values);
Message integers_message(std::string_view name, const std::vector<int64_t>& dims, const std::vector<int64_t>& values);

// ---- AttributeProto
Message int_attribute(std::string_view name, int64_t value);
Message float_attribute(std::string_view name, float value);
Message string_attribute(std::string_view name, std::string_view value);
Message ints_attribute(std::string_view name, const std::vector<int64_t>& values);
Message tensor_attribute(std::string_view name, const Message& tensor);
Message graph_attribute(std::string_view name, const Message& graph);
// In a function: the value that the call gives to `of`.
Message reference_attribute(std::string_view name, std::string_view of, int64_t type);

// ---- NodeProto
Message node_message(std::string_view op, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs, const std::vector<Message>& attributes = {},
                     std::string_view domain = "");

// ---- ValueInfoProto: a tensor; names of dims in place of sizes where they are no number.
Message value_message(std::string_view name, DType dtype, const std::vector<std::string>& dims);

// A graph and what stands around it, from which a file is written.
struct OnnxModel {
    int64_t ir_version = 8;
    std::vector<std::pair<std::string, int64_t>> opsets{{"", 17}};
    std::vector<Message> nodes;
    std::vector<Message> initializers;
    std::vector<Message> inputs;
    std::vector<Message> outputs;
    std::vector<Message> value_infos;
    std::vector<Message> functions;
    std::vector<Message> sparse_initializers;
    std::vector<std::pair<std::string, std::string>> metadata;

    Message graph() const;
    std::string write() const;
};

}  // namespace quoin::test
