#include "optimize/quantization.h"

#include <algorithm>

#include "optimize/constants.h"

namespace quoin {

std::optional<Quantization> read_quantization(const Graph& graph, ValueId scale, ValueId zero_point, DType dtype) {
    if (dtype != DType::U8 && dtype != DType::I8) return std::nullopt;
    const auto number = scalar_value(graph, scale);
    if (!number || !(*number > 0)) return std::nullopt;
    Quantization result{double{*number}, 0, dtype};
    if (zero_point == kNoValue) return result;
    const auto zero = small_integers(graph, zero_point);
    if (!zero || zero->size() != 1 || graph.value(zero_point).dtype != dtype) return std::nullopt;
    result.zero_point = zero->front();
    return result;
}

std::optional<std::vector<int32_t>> small_integers(const Graph& graph, ValueId id) {
    if (id == kNoValue || !graph.value(id).constant || graph.value(id).constant->layout() != Layout::Plain) {
        return std::nullopt;
    }
    const Result<Tensor> tensor = graph.value(id).constant->load();
    if (!tensor.ok()) return std::nullopt;
    std::vector<int32_t> result;
    switch (tensor->dtype()) {
        case DType::U8:
            for (const uint8_t each : tensor->as<const uint8_t>()) result.push_back(each);
            return result;
        case DType::I8:
            for (const int8_t each : tensor->as<const int8_t>()) result.push_back(each);
            return result;
        case DType::I32:
            for (const int32_t each : tensor->as<const int32_t>()) result.push_back(each);
            return result;
        default: return std::nullopt;
    }
}

Result<ValueId> add_i32(Graph& graph, const OptimizeContext& context, const std::string& name,
                        const std::vector<int32_t>& elements) {
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, Tensor::allocate(context.runtime.memory, DType::I32,
                                                           {static_cast<int64_t>(elements.size())}, name));
    std::ranges::copy(elements, tensor.as<int32_t>().begin());
    return graph.add_constant(name, Constant(std::move(tensor)));
}

std::optional<QuantizedWeight> read_weight(const Graph& graph, ValueId weight, ValueId scale, ValueId zero_point) {
    const Value& value = graph.value(weight);
    if (!value.constant || value.constant->shape().rank() < 2) return std::nullopt;
    if (value.dtype != DType::I8 && value.dtype != DType::U8) return std::nullopt;
    const auto columns = static_cast<size_t>(value.constant->shape()[0]);
    if (columns == 0) return std::nullopt;
    auto scales = float_values(graph, scale);
    if (!scales || (scales->size() != 1 && scales->size() != columns)) return std::nullopt;
    if (graph.value(scale).constant->shape().rank() > 1) return std::nullopt;
    std::vector<int32_t> zeros{0};
    if (zero_point != kNoValue) {
        const auto given = small_integers(graph, zero_point);
        if (!given || (given->size() != 1 && given->size() != columns)) return std::nullopt;
        zeros = *given;
    }
    if (value.dtype == DType::U8) {
        for (int32_t& zero : zeros) zero -= 128;
    }
    scales->resize(columns, scales->front());
    zeros.resize(columns, zeros.front());
    if (std::ranges::all_of(zeros, [](int32_t zero) { return zero == 0; })) zeros.clear();
    return QuantizedWeight{weight, std::move(*scales), std::move(zeros)};
}

Result<ValueId> add_transposed(Graph& graph, const OptimizeContext& context, ValueId matrix) {
    const Constant constant = *graph.value(matrix).constant;
    const std::string name = graph.value(matrix).name + ".transposed";
    const int64_t rows = constant.shape()[0];
    const int64_t columns = constant.shape()[1];
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, constant.load());
    QUOIN_ASSIGN_OR_RETURN(Tensor dst,
                           Tensor::allocate(context.runtime.memory, constant.dtype(), {columns, rows}, name));
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
            dst.data()[column * rows + row] = src.data()[row * columns + column];
        }
    }
    return graph.add_constant(name, Constant(std::move(dst)));
}

Result<std::vector<ValueId>> integer_inputs(Graph& graph, const OptimizeContext& context, const std::string& name,
                                            ValueId x, const QuantizedWeight& weight, const std::vector<float>& scales,
                                            const std::vector<int32_t>& bias) {
    std::vector<ValueId> inputs{x, weight.weight, kNoValue, kNoValue, kNoValue};
    const Shape columns{static_cast<int64_t>(scales.size())};
    QUOIN_ASSIGN_OR_RETURN(inputs[2], add_floats(graph, context, name + ".scales", columns, scales));
    if (!bias.empty()) {
        QUOIN_ASSIGN_OR_RETURN(inputs[3], add_i32(graph, context, name + ".bias", bias));
    }
    if (!weight.zero_points.empty()) {
        QUOIN_ASSIGN_OR_RETURN(inputs[4], add_i32(graph, context, name + ".zero_points", weight.zero_points));
    }
    return inputs;
}

}  // namespace quoin
