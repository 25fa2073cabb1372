#include "load/onnx_node.h"

#include <algorithm>
#include <cstring>

#include "core/half.h"
#include "load/quoted.h"

namespace quoin::onnx {
namespace {

template <class T>
Tensor make_tensor(DType dtype, const Shape& shape, std::vector<T> elements) {
    auto owner = std::make_shared<std::vector<T>>(std::move(elements));
    auto* const data = reinterpret_cast<std::byte*>(owner->data());
    const size_t bytes = owner->size() * sizeof(T);
    return {dtype, shape, data, bytes, std::move(owner)};
}

template <class T>
Tensor make_row(DType dtype, const std::vector<T>& elements) {
    return make_tensor<T>(dtype, {static_cast<int64_t>(elements.size())}, elements);
}

}  // namespace

Tensor tensor_of(int64_t element) {
    return make_tensor<int64_t>(DType::I64, {}, {element});
}
Tensor tensor_of(float element) {
    return make_tensor<float>(DType::F32, {}, {element});
}
Tensor tensor_of(const std::string& element) {
    return make_tensor<std::string>(DType::String, {}, {element});
}
Tensor tensor_of(const std::vector<int64_t>& elements) {
    return make_row(DType::I64, elements);
}
Tensor tensor_of(const std::vector<float>& elements) {
    return make_row(DType::F32, elements);
}
Tensor tensor_of(const std::vector<std::string>& elements) {
    return make_row(DType::String, elements);
}

std::string NodeDraft::quoted_name() const {
    return quoted(name);
}

std::optional<size_t> NodeDraft::rank(ValueId id) const {
    if (id == kNoValue || !graph_.value(id).dims) return std::nullopt;
    return graph_.value(id).dims->size();
}

std::optional<std::vector<int64_t>> NodeDraft::constant_integers(ValueId id) const {
    if (id == kNoValue || !graph_.value(id).constant) return std::nullopt;
    const Result<Tensor> tensor = graph_.value(id).constant->load();
    if (!tensor.ok()) return std::nullopt;
    std::vector<int64_t> elements;
    if (tensor->dtype() == DType::I64) {
        std::ranges::copy(tensor->as<const int64_t>(), std::back_inserter(elements));
    } else if (tensor->dtype() == DType::I32) {
        std::ranges::copy(tensor->as<const int32_t>(), std::back_inserter(elements));
    } else {
        return std::nullopt;
    }
    return elements;
}

std::optional<std::vector<float>> NodeDraft::constant_floats(ValueId id) const {
    if (id == kNoValue || !graph_.value(id).constant) return std::nullopt;
    const Result<Tensor> tensor = graph_.value(id).constant->load();
    if (!tensor.ok() || tensor->dtype() != DType::F32) return std::nullopt;
    const auto elements = tensor->as<const float>();
    return std::vector<float>(elements.begin(), elements.end());
}

const Attribute* NodeDraft::attribute(std::string_view key) const {
    const auto found = std::ranges::find_if(attributes, [&](const auto& entry) { return entry.first == key; });
    return found == attributes.end() ? nullptr : &found->second;
}

int64_t NodeDraft::integer(std::string_view key, int64_t fallback) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<int64_t>(found);
    return value == nullptr ? fallback : *value;
}

double NodeDraft::number(std::string_view key, double fallback) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<double>(found);
    return value == nullptr ? fallback : *value;
}

std::string NodeDraft::string(std::string_view key, std::string_view fallback) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<std::string>(found);
    return value == nullptr ? std::string(fallback) : *value;
}

std::optional<std::vector<int64_t>> NodeDraft::integers(std::string_view key) const {
    const Attribute* const found = attribute(key);
    const auto* const value = found == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(found);
    return value == nullptr ? std::nullopt : std::optional(*value);
}

void NodeDraft::set(std::string_view key, Attribute value) {
    const auto found = std::ranges::find_if(attributes, [&](const auto& entry) { return entry.first == key; });
    if (found == attributes.end()) {
        attributes.emplace_back(key, std::move(value));
    } else {
        found->second = std::move(value);
    }
}

std::optional<Attribute> NodeDraft::take(std::string_view key) {
    const auto found = std::ranges::find_if(attributes, [&](const auto& entry) { return entry.first == key; });
    if (found == attributes.end()) return std::nullopt;
    Attribute value = std::move(found->second);
    attributes.erase(found);
    return value;
}

void NodeDraft::set_input(size_t index, ValueId id) {
    if (index >= inputs.size()) inputs.resize(index + 1, kNoValue);
    inputs[index] = id;
}

ValueId NodeDraft::add(Op op, std::vector<ValueId> operands, Attributes with) {
    return add_many(op, std::move(operands), 1, std::move(with)).front();
}

std::vector<ValueId> NodeDraft::add_many(Op op, std::vector<ValueId> operands, size_t outputs, Attributes with) {
    while (!operands.empty() && operands.back() == kNoValue) operands.pop_back();
    Node node{op, name + "/" + std::string(op_info(op).name), std::move(operands), {}, std::move(with)};
    std::vector<ValueId> results;
    for (size_t index = 0; index < outputs; ++index) {
        results.push_back(graph_.add_value(index == 0 ? node.name : node.name + ":" + std::to_string(index),
                                           DType::Undefined, std::nullopt));
    }
    node.outputs = results;
    const auto least = static_cast<size_t>(op_info(op).least_outputs);
    if (node.outputs.size() < least) node.outputs.resize(least, kNoValue);
    if (!results.empty()) graph_.value(results.front()).dtype = likely_dtype(graph_, node);
    graph_.append_node(std::move(node));
    return results;
}

ValueId NodeDraft::constant(Tensor tensor) {
    return graph_.add_constant(name + "/constant", Constant(std::move(tensor)));
}

ValueId NodeDraft::scalar_like(double element, ValueId like) {
    const auto make = [&]<class T>(T value) { return constant(make_tensor<T>(dtype(like), {}, {value})); };
    switch (dtype(like)) {
        case DType::F32: return make(static_cast<float>(element));
        case DType::F64: return make(element);
        case DType::F16: return make(f32_to_f16(static_cast<float>(element)));
        case DType::BF16: return make(f32_to_bf16(static_cast<float>(element)));
        default: break;
    }
    return add(Op::CastLike, {constant(tensor_of(static_cast<float>(element))), like});
}

DType likely_dtype(const Graph& graph, const Node& node) {
    const auto of = [&](size_t index) {
        const ValueId id = node.input(index);
        return id == kNoValue ? DType::Undefined : graph.value(id).dtype;
    };
    switch (node.op) {
        case Op::Cast:
            return dtype_from_number(static_cast<uint32_t>(node.integer("to", 0))).value_or(DType::Undefined);
        case Op::CastLike:
        case Op::Where: return of(1);
        case Op::Shape:
        case Op::Size:
        case Op::ArgMax:
        case Op::ArgMin:
        case Op::NonZero: return DType::I64;
        case Op::Equal:
        case Op::Greater:
        case Op::GreaterOrEqual:
        case Op::Less:
        case Op::LessOrEqual:
        case Op::IsNaN:
        case Op::IsInf:
        case Op::And:
        case Op::Or:
        case Op::Xor:
        case Op::Not: return DType::Bool;
        case Op::Abs:
        case Op::Add:
        case Op::AveragePool:
        case Op::BatchNormalization:
        case Op::Clip:
        case Op::Concat:
        case Op::Conv:
        case Op::ConvTranspose:
        case Op::Div:
        case Op::Dropout:
        case Op::Elu:
        case Op::Exp:
        case Op::Expand:
        case Op::Flatten:
        case Op::Gather:
        case Op::Gelu:
        case Op::Gemm:
        case Op::GlobalAveragePool:
        case Op::GlobalMaxPool:
        case Op::Identity:
        case Op::InstanceNormalization:
        case Op::LayerNormalization:
        case Op::LeakyRelu:
        case Op::Log:
        case Op::LRN:
        case Op::MatMul:
        case Op::Max:
        case Op::MaxPool:
        case Op::Min:
        case Op::Mul:
        case Op::Neg:
        case Op::Pad:
        case Op::Pow:
        case Op::PRelu:
        case Op::ReduceMax:
        case Op::ReduceMean:
        case Op::ReduceMin:
        case Op::ReduceSum:
        case Op::Relu:
        case Op::Reshape:
        case Op::Resize:
        case Op::Sigmoid:
        case Op::Slice:
        case Op::Softmax:
        case Op::Softplus:
        case Op::Split:
        case Op::Sqrt:
        case Op::Squeeze:
        case Op::Sub:
        case Op::Sum:
        case Op::Tanh:
        case Op::Tile:
        case Op::Transpose:
        case Op::Unsqueeze: return of(0);
        default: return DType::Undefined;
    }
}

}  // namespace quoin::onnx
