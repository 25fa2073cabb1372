#include "ops/evaluate.h"

namespace quoin {
namespace {

TensorView view_of(const Tensor& tensor) {
    return {tensor.data(), tensor.dtype(), tensor.shape()};
}

Result<Shape> known_shape(const Node& node, const Value& value) {
    if (!value.dims || value.dims->size() > Shape::kMaxRank) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': the shape of '", value.name, "' is not known");
    }
    std::vector<int64_t> dims;
    for (const Dim& dim : *value.dims) dims.push_back(dim.size);
    return Shape(std::span<const int64_t>(dims));
}

}  // namespace

Result<std::vector<Tensor>> evaluate(const Graph& graph, const Node& node, const Runtime& runtime) {
    std::vector<Tensor> sources;  // keeps the inputs' bytes
    std::vector<TensorView> inputs;
    for (const ValueId id : node.inputs) {
        if (id == kNoValue) {
            inputs.emplace_back();
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(Tensor source, graph.value(id).constant->load());
        inputs.push_back(view_of(source));
        sources.push_back(std::move(source));
    }
    std::vector<Tensor> results;
    std::vector<TensorView> outputs;
    for (const ValueId id : node.outputs) {
        const Value& value = graph.value(id);
        QUOIN_ASSIGN_OR_RETURN(const Shape shape, known_shape(node, value));
        QUOIN_ASSIGN_OR_RETURN(Tensor result, Tensor::allocate(runtime.memory, value.dtype, shape, value.name));
        if (op_info(node.op).has(facts::view)) {
            result = Tensor(value.dtype, shape, sources[0].data(), sources[0].byte_size(),
                            std::make_shared<Tensor>(sources[0]));
        }
        outputs.push_back(view_of(result));
        results.push_back(std::move(result));
    }
    if (op_info(node.op).has(facts::view)) return results;

    QUOIN_ASSIGN_OR_RETURN(const auto prepared,
                           op_implementation(node.op).prepare({graph, node, runtime, Provider::Native}));
    Arguments arguments{inputs, outputs, {}};
    QUOIN_ASSIGN_OR_RETURN(arguments.work, prepared->plan(arguments, 1));
    QUOIN_ASSIGN_OR_RETURN(
        const Buffer scratch,
        Buffer::allocate(runtime.memory, static_cast<size_t>(arguments.work.scratch_bytes), node.name));
    for (int64_t task = 0; task < arguments.work.tasks; ++task) {
        QUOIN_RETURN_IF_ERROR(prepared->run(arguments, task, scratch.data()));
    }
    return results;
}

}  // namespace quoin
