#include "optimize/constants.h"

#include <algorithm>
#include <cmath>

namespace quoin {
namespace {

std::optional<Tensor> plain_bytes(const Graph& graph, ValueId id) {
    if (id == kNoValue) return std::nullopt;
    const std::optional<Constant>& constant = graph.value(id).constant;
    if (!constant || constant->layout() != Layout::Plain) return std::nullopt;
    Result<Tensor> tensor = constant->load();
    if (!tensor.ok()) return std::nullopt;
    return std::move(tensor).value();
}

}  // namespace

std::optional<std::vector<float>> float_values(const Graph& graph, ValueId id) {
    const std::optional<Tensor> tensor = plain_bytes(graph, id);
    if (!tensor || tensor->dtype() != DType::F32) return std::nullopt;
    const auto values = tensor->as<const float>();
    return std::vector<float>(values.begin(), values.end());
}

std::optional<std::vector<int64_t>> integer_values(const Graph& graph, ValueId id) {
    const std::optional<Tensor> tensor = plain_bytes(graph, id);
    if (!tensor || tensor->shape().rank() > 1) return std::nullopt;
    if (tensor->dtype() == DType::I64) {
        const auto values = tensor->as<const int64_t>();
        return std::vector<int64_t>(values.begin(), values.end());
    }
    if (tensor->dtype() == DType::I32) {
        const auto values = tensor->as<const int32_t>();
        return std::vector<int64_t>(values.begin(), values.end());
    }
    return std::nullopt;
}

std::optional<float> scalar_value(const Graph& graph, ValueId id) {
    if (id == kNoValue || !graph.value(id).constant) return std::nullopt;
    if (graph.value(id).constant->shape().element_count() != int64_t{1}) return std::nullopt;
    const auto values = float_values(graph, id);
    if (!values) return std::nullopt;
    return values->front();
}

bool is_scalar(const Graph& graph, ValueId id, double wanted) {
    const std::optional<float> value = scalar_value(graph, id);
    return value && std::abs(double{*value} - wanted) <= 4e-7 * std::abs(wanted);
}

Result<ValueId> add_floats(Graph& graph, const OptimizeContext& context, const std::string& name, const Shape& shape,
                           const std::vector<float>& elements) {
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, Tensor::allocate(context.runtime.memory, DType::F32, shape, name));
    std::ranges::copy(elements, tensor.as<float>().begin());
    return graph.add_constant(name, Constant(std::move(tensor)));
}

Result<ValueId> add_integers(Graph& graph, const OptimizeContext& context, const std::string& name,
                             const std::vector<int64_t>& elements) {
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, Tensor::allocate(context.runtime.memory, DType::I64,
                                                           {static_cast<int64_t>(elements.size())}, name));
    std::ranges::copy(elements, tensor.as<int64_t>().begin());
    return graph.add_constant(name, Constant(std::move(tensor)));
}

std::optional<Shape> static_shape(const Graph& graph, ValueId id) {
    const auto& dims = graph.value(id).dims;
    if (!dims || dims->size() > Shape::kMaxRank) return std::nullopt;
    std::vector<int64_t> sizes;
    for (const Dim& dim : *dims) {
        if (!dim.known()) return std::nullopt;
        sizes.push_back(dim.size);
    }
    return Shape(std::span<const int64_t>(sizes));
}

}  // namespace quoin
