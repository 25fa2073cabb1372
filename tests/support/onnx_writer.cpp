#include "support/onnx_writer.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include <protozero/pbf_writer.hpp>

namespace quoin::test {
namespace {

template <class T>
std::string raw_bytes(const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

// AttributeProto's name and type, to which the value is added.
Message attribute(std::string_view name, int64_t type) {
    Message message;
    message.text(1, name).integer(20, type);
    return message;
}

}  // namespace

Message& Message::integer(uint32_t field, int64_t value) {
    protozero::pbf_writer(bytes_).add_int64(field, value);
    return *this;
}

Message& Message::single(uint32_t field, float value) {
    protozero::pbf_writer(bytes_).add_float(field, value);
    return *this;
}

Message& Message::text(uint32_t field, std::string_view value) {
    const std::string copy(value);  // for a message put into itself
    protozero::pbf_writer(bytes_).add_bytes(field, copy.data(), copy.size());
    return *this;
}

Message& Message::integers(uint32_t field, const std::vector<int64_t>& values) {
    protozero::pbf_writer(bytes_).add_packed_int64(field, values.begin(), values.end());
    return *this;
}

Message& Message::singles(uint32_t field, const std::vector<float>& values) {
    protozero::pbf_writer(bytes_).add_packed_float(field, values.begin(), values.end());
    return *this;
}

Message tensor_message(std::string_view name, DType dtype, const std::vector<int64_t>& dims, std::string_view raw) {
    Message tensor;
    tensor.integers(1, dims).integer(2, static_cast<int64_t>(dtype)).text(8, name).text(9, raw);
    return tensor;
}

Message floats_message(std::string_view name, const std::vector<int64_t>& dims, const std::vector<float>& values) {
    return tensor_message(name, DType::F32, dims, raw_bytes(values));
}

Message integers_message(std::string_view name, const std::vector<int64_t>& dims, const std::vector<int64_t>& values) {
    return tensor_message(name, DType::I64, dims, raw_bytes(values));
}

Message int_attribute(std::string_view name, int64_t value) {
    return attribute(name, 2).integer(3, value);
}
Message float_attribute(std::string_view name, float value) {
    return attribute(name, 1).single(2, value);
}
Message string_attribute(std::string_view name, std::string_view value) {
    return attribute(name, 3).text(4, value);
}
Message ints_attribute(std::string_view name, const std::vector<int64_t>& values) {
    return attribute(name, 7).integers(8, values);
}
Message tensor_attribute(std::string_view name, const Message& tensor) {
    return attribute(name, 4).message(5, tensor);
}
Message graph_attribute(std::string_view name, const Message& graph) {
    return attribute(name, 5).message(6, graph);
}
Message reference_attribute(std::string_view name, std::string_view of, int64_t type) {
    return attribute(name, type).text(21, of);
}

Message node_message(std::string_view op, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs, const std::vector<Message>& attributes,
                     std::string_view domain) {
    Message node;
    for (const std::string& each : inputs) node.text(1, each);
    for (const std::string& each : outputs) node.text(2, each);
    node.text(4, op);
    for (const Message& each : attributes) node.message(5, each);
    if (!domain.empty()) node.text(7, domain);
    return node;
}

Message value_message(std::string_view name, DType dtype, const std::vector<std::string>& dims) {
    Message shape;
    for (const std::string& each : dims) {
        const bool number =
            !each.empty() && std::ranges::all_of(each, [](char letter) { return std::isdigit(letter); });
        shape.message(1, number ? Message().integer(1, std::stoll(each)) : Message().text(2, each));
    }
    const Message tensor = Message().integer(1, static_cast<int64_t>(dtype)).message(2, shape);
    return Message().text(1, name).message(2, Message().message(1, tensor));
}

Message OnnxModel::graph() const {
    Message graph;
    for (const Message& each : nodes) graph.message(1, each);
    graph.text(2, "test");
    for (const Message& each : initializers) graph.message(5, each);
    for (const Message& each : inputs) graph.message(11, each);
    for (const Message& each : outputs) graph.message(12, each);
    for (const Message& each : value_infos) graph.message(13, each);
    for (const Message& each : sparse_initializers) graph.message(15, each);
    return graph;
}

std::string OnnxModel::write() const {
    Message model;
    model.integer(1, ir_version).message(7, graph());
    for (const auto& [domain, version] : opsets) model.message(8, Message().text(1, domain).integer(2, version));
    for (const auto& [key, value] : metadata) model.message(14, Message().text(1, key).text(2, value));
    for (const Message& each : functions) model.message(25, each);
    return model.bytes();
}

}  // namespace quoin::test
