#include <algorithm>

#include "core/half.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// Whether nobody but matrix products reads it.
bool is_matrix_weight(const Graph& graph, const std::vector<NodeId>& readers, ValueId value) {
    const auto reads_as_weight = [&](NodeId reader) {
        const Node& node = graph.node(reader);
        for (size_t input = 0; input < node.inputs.size(); ++input) {
            if (node.inputs[input] != value) continue;
            const bool weight = input == 1 && (node.op == Op::Linear || node.op == Op::GatedLinear);
            if (!weight && !(input == 2 && node.op == Op::GatedLinear)) return false;
        }
        return true;
    };
    return !readers.empty() && std::ranges::all_of(readers, reads_as_weight) &&
           std::ranges::find(graph.outputs(), value) == graph.outputs().end();
}

// Row-major, whatever the layout of the f32 weight.
Result<Constant> rounded(const Runtime& runtime, const Constant& weight, std::string_view name) {
    const int64_t rows = weight.shape()[0];
    const int64_t columns = weight.shape()[1];
    const bool transposed = weight.layout() == Layout::Transposed;
    QUOIN_ASSIGN_OR_RETURN(const Tensor source, weight.load());
    QUOIN_ASSIGN_OR_RETURN(Tensor result, Tensor::allocate(runtime.memory, DType::BF16, weight.shape(), name));
    const float* const from = source.as<const float>().data();
    uint16_t* const to = result.as<uint16_t>().data();
    const int threads = runtime.team->size();
    runtime.team->run([&](int thread) {
        for (int64_t row = rows * thread / threads; row < rows * (thread + 1) / threads; ++row) {
            for (int64_t column = 0; column < columns; ++column) {
                to[row * columns + column] =
                    f32_to_bf16(from[transposed ? column * rows + row : row * columns + column]);
            }
        }
    });
    weight.release_source(0, weight.byte_size());
    return Constant(std::move(result));
}

}  // namespace

Status round_weights(Graph& graph, const OptimizeContext& context) {
    if (context.arithmetic != DType::BF16) return {};
    const auto readers = graph.consumers();
    for (size_t index = 0; index < readers.size(); ++index) {
        Value& value = graph.value(static_cast<ValueId>(index));
        if (!value.constant || value.dtype != DType::F32 || value.constant->shape().rank() != 2) continue;
        if (!is_matrix_weight(graph, readers[index], static_cast<ValueId>(index))) continue;
        QUOIN_ASSIGN_OR_RETURN(value.constant, rounded(context.runtime, *value.constant, value.name));
        value.dtype = DType::BF16;
    }
    return {};
}

}  // namespace quoin
