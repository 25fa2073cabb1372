#include "ops/op_kernel.h"

#include <algorithm>

namespace quoin {

// Defined in the file of the op's family.
#define QUOIN_OP(domain, name, least, most, outputs, facts) extern const OpImplementation k##name##Op;
#include "graph/op_list.inc"
#undef QUOIN_OP

const OpImplementation& op_implementation(Op op) {
    static constexpr auto kImplementations = std::to_array<const OpImplementation*>({
#define QUOIN_OP(domain, name, least, most, outputs, facts) &k##name##Op,
#include "graph/op_list.inc"
#undef QUOIN_OP
    });
    return *kImplementations[static_cast<size_t>(op)];
}

std::optional<Result<Tensor>> InferContext::constant(size_t index) const {
    const ValueId id = node_.input(index);
    if (id == kNoValue || !graph_.value(id).constant) return std::nullopt;
    return graph_.value(id).constant->load();
}

void InferContext::set_output(size_t index, DType dtype, std::optional<std::vector<Dim>> dims) {
    outputs_[index] = {dtype, std::move(dims)};
}

Status InferContext::expect_dtype(size_t index, std::initializer_list<DType> allowed) const {
    if (!has_input(index)) return {};
    const DType dtype = input(index).dtype;
    if (dtype == DType::Undefined || std::ranges::find(allowed, dtype) != allowed.end()) return {};
    return fail("input ", index, " has the element type ", dtype_name(dtype), ", which this operator does not take");
}

Status infer_types(Graph& graph) {
    std::vector<ValueType> inputs;
    std::vector<ValueType> outputs;
    for (const Node& node : graph.nodes()) {
        inputs.assign(node.inputs.size(), {});
        for (size_t index = 0; index < node.inputs.size(); ++index) {
            if (node.inputs[index] == kNoValue) continue;
            const Value& value = graph.value(node.inputs[index]);
            inputs[index] = {value.dtype, value.dims};
        }
        outputs.assign(node.outputs.size(), {});
        InferContext context(graph, node, inputs, outputs);
        QUOIN_RETURN_IF_ERROR(op_implementation(node.op).infer(context));
        for (size_t index = 0; index < node.outputs.size(); ++index) {
            Value& value = graph.value(node.outputs[index]);
            value.dtype = outputs[index].dtype;
            value.dims = std::move(outputs[index].dims);
        }
    }
    return {};
}

}  // namespace quoin
