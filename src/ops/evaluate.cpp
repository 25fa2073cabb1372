#include "ops/evaluate.h"

#include <algorithm>
#include <cstring>

#include "ops/node_attributes.h"

namespace quoin {
namespace {

TensorView view_of(const RuntimeValue& value) {
    if (!value.is_tensor()) return {};
    return {value.tensor().data(), value.dtype(), value.tensor().shape()};
}

ValueType type_of(const RuntimeValue& value) {
    if (!value.is_tensor()) return {value.dtype(), std::nullopt};
    std::vector<Dim> dims;
    for (const int64_t dim : value.tensor().shape().dims()) dims.push_back({.size = dim});
    return {value.dtype(), std::move(dims)};
}

// What infer() says of the outputs when it may look at every byte; nullopt where a shape stays open.
Result<std::optional<std::vector<TensorView>>> output_types(const Graph& graph, const Node& node,
                                                            std::span<const RuntimeValue> inputs) {
    std::vector<ValueType> types;
    std::vector<const Tensor*> known;
    for (const RuntimeValue& value : inputs) {
        types.push_back(type_of(value));
        known.push_back(value.is_tensor() ? &value.tensor() : nullptr);
    }
    std::vector<ValueType> results(node.outputs.size());
    InferContext context(graph, node, types, results, known);
    QUOIN_RETURN_IF_ERROR(at_node(node, op_implementation(node.op).infer(context)));
    std::optional<std::vector<TensorView>> views(std::in_place);
    for (size_t index = 0; index < results.size(); ++index) {
        if (node.outputs[index] == kNoValue) {
            views->emplace_back();
            continue;
        }
        const ValueType& type = results[index];
        if (type.dtype == DType::Undefined || !type.is_static() || type.dims->size() > Shape::kMaxRank) {
            return std::optional<std::vector<TensorView>>();
        }
        std::vector<int64_t> dims;
        for (const Dim& dim : *type.dims) dims.push_back(dim.size);
        views->push_back({nullptr, type.dtype, Shape(std::span<const int64_t>(dims))});
    }
    return views;
}

// Outputs are allocated as compute() asks for them.
class EvaluateContext final : public ComputeContext {
public:
    EvaluateContext(const Node& node, const Runtime& runtime, std::span<const RuntimeValue> inputs,
                    const BodyRunner& run_body)
        : ComputeContext(node, runtime, inputs), results(node.outputs.size()), run_body_(run_body) {}

    Result<Tensor> output(size_t index, DType dtype, const Shape& shape) override {
        QUOIN_ASSIGN_OR_RETURN(Tensor tensor, Tensor::allocate(runtime().memory, dtype, shape, node().name));
        if (index < results.size()) results[index] = tensor;
        return tensor;
    }
    Status set_output(size_t index, RuntimeValue value) override {
        if (index < results.size()) results[index] = std::move(value);
        return {};
    }
    Result<std::vector<RuntimeValue>> run_body(std::string_view attribute,
                                               std::span<const RuntimeValue> inputs) override {
        if (!run_body_) return fail(StatusCode::Internal, "a node with bodies cannot be run here");
        const auto captures = static_cast<size_t>(node().integer("captures", 0));
        std::vector<RuntimeValue> all(inputs.begin(), inputs.end());
        const auto captured = this->inputs().last(std::min(captures, this->inputs().size()));
        all.insert(all.end(), captured.begin(), captured.end());
        return run_body_(attribute, all);
    }

    std::vector<RuntimeValue> results;

private:
    const BodyRunner& run_body_;
};

Status run_tasks(const PreparedNode& prepared, std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                 const Runtime& runtime) {
    QUOIN_ASSIGN_OR_RETURN(const Work work, prepared.plan({inputs, outputs, {}}, 1));
    const Arguments arguments{inputs, outputs, work};
    QUOIN_ASSIGN_OR_RETURN(const Buffer scratch,
                           Buffer::allocate(runtime.memory, static_cast<size_t>(work.scratch_bytes), "scratch"));
    for (int64_t task = 0; task < work.tasks; ++task) {
        QUOIN_RETURN_IF_ERROR(prepared.run(arguments, task, scratch.data()));
    }
    return {};
}

}  // namespace

Result<std::vector<RuntimeValue>> evaluate(const Graph& graph, const Node& node, const PreparedNode* prepared,
                                           std::span<const RuntimeValue> inputs, const Runtime& runtime,
                                           const BodyRunner& run_body) {
    const OpImplementation& implementation = op_implementation(node.op);
    const bool is_view = op_info(node.op).has(facts::view);
    if (node.op == Op::Identity && !inputs[0].is_tensor()) return std::vector<RuntimeValue>{inputs[0]};
    EvaluateContext context(node, runtime, inputs, run_body);
    if (!op_info(node.op).has(facts::boxed)) {
        for (size_t index = 0; index < inputs.size(); ++index) {
            if (node.inputs[index] == kNoValue || inputs[index].is_tensor()) continue;
            return context.fail("input ", index, " is ", inputs[index].is_none() ? "nothing" : "a sequence or a map",
                                " where a tensor is wanted");
        }
        QUOIN_ASSIGN_OR_RETURN(const std::optional<std::vector<TensorView>> types, output_types(graph, node, inputs));
        if (is_view) {
            const Tensor& tensor = inputs[0].tensor();
            if (!types) {
                return context.fail(StatusCode::InvalidModel, "its operands do not tell the shape of its result");
            }
            if ((*types)[0].shape.element_count() != tensor.shape().element_count()) {
                return context.fail(StatusCode::InvalidArgument, "the result would have another number of elements");
            }
            return std::vector<RuntimeValue>{
                Tensor(tensor.dtype(), (*types)[0].shape, tensor.data(), tensor.byte_size(), tensor.owner())};
        }
        if (types && implementation.prepare != nullptr && prepared != nullptr) {
            std::vector<TensorView> sources;
            for (const RuntimeValue& value : inputs) sources.push_back(view_of(value));
            std::vector<TensorView> results = *types;
            for (size_t index = 0; index < results.size(); ++index) {
                if (results[index].dtype == DType::Undefined) continue;
                QUOIN_ASSIGN_OR_RETURN(const Tensor made,
                                       context.output(index, results[index].dtype, results[index].shape));
                results[index].data = made.data();
            }
            QUOIN_RETURN_IF_ERROR(at_node(node, run_tasks(*prepared, sources, results, runtime)));
            return std::move(context.results);
        }
    }
    if (implementation.compute == nullptr) {
        return context.fail(StatusCode::Unsupported, "the shape of its result cannot be told from its operands");
    }
    QUOIN_RETURN_IF_ERROR(at_node(node, implementation.compute(context)));
    return std::move(context.results);
}

Result<std::vector<RuntimeValue>> evaluate_constant(const Graph& graph, const Node& node, const Runtime& runtime) {
    std::vector<RuntimeValue> inputs;
    for (const ValueId id : node.inputs) {
        if (id == kNoValue) {
            inputs.emplace_back();
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(Tensor source, graph.value(id).constant->load());
        inputs.emplace_back(std::move(source));
    }
    QUOIN_ASSIGN_OR_RETURN(const auto prepared, prepare_node({graph, node, runtime, Provider::Native}));
    return evaluate(graph, node, prepared.get(), inputs, runtime);
}

}  // namespace quoin
