#include "ops/op_kernel.h"

#include <algorithm>
#include <cstring>

#include "ops/node_attributes.h"

namespace quoin {

// Defined in the file of the op's family.
#define QUOIN_OP(domain, name, least, most, least_outputs, most_outputs, facts) \
    extern const OpImplementation k##name##Op;
#include "graph/op_list.inc"
#undef QUOIN_OP

const OpImplementation& op_implementation(Op op) {
    static constexpr auto kImplementations = std::to_array<const OpImplementation*>({
#define QUOIN_OP(domain, name, least, most, least_outputs, most_outputs, facts) &k##name##Op,
#include "graph/op_list.inc"
#undef QUOIN_OP
    });
    return *kImplementations[static_cast<size_t>(op)];
}

// ---- infer

namespace {

// The elements of an integer tensor of rank 0 or 1 as dims; nullopt for others and for large ones.
std::optional<std::vector<Dim>> elements_of(const Tensor& tensor) {
    constexpr int64_t kMostElements = 64;
    if (tensor.shape().rank() > 1 || tensor.shape().element_count().value_or(kMostElements + 1) > kMostElements)
        return {};
    std::vector<Dim> elements;
    const auto add = [&](auto values) {
        for (const auto each : values) elements.push_back({.size = each});
    };
    if (tensor.dtype() == DType::I64) {
        add(tensor.as<const int64_t>());
    } else if (tensor.dtype() == DType::I32) {
        add(tensor.as<const int32_t>());
    } else {
        return {};
    }
    return elements;
}

}  // namespace

std::optional<Result<Tensor>> InferContext::constant(size_t index) const {
    if (index < known_.size() && known_[index] != nullptr) return Result<Tensor>(*known_[index]);
    const ValueId id = node_.input(index);
    if (id == kNoValue || !graph_.value(id).constant) return std::nullopt;
    return graph_.value(id).constant->load();
}

Result<std::optional<std::vector<Dim>>> InferContext::elements(size_t index) const {
    // Not even a look at the bytes of a weight.
    if (!has_input(index) || (inputs_[index].dims && inputs_[index].dims->size() > 1)) {
        return std::optional<std::vector<Dim>>();
    }
    if (const std::optional<Result<Tensor>> known = constant(index)) {
        if (!known->ok()) return known->status();
        return elements_of(**known);
    }
    return inputs_[index].elements;
}

Result<std::optional<std::vector<int64_t>>> InferContext::integers(size_t index) const {
    std::optional<std::vector<int64_t>> integers;
    if (!has_input(index)) return integers;
    if (const std::optional<Result<Tensor>> known = constant(index)) {
        if (!known->ok()) return known->status();
        const Tensor& tensor = **known;
        if (tensor.dtype() == DType::I64) {
            const auto values = tensor.as<const int64_t>();
            integers.emplace(values.begin(), values.end());
        } else if (tensor.dtype() == DType::I32) {
            const auto values = tensor.as<const int32_t>();
            integers.emplace(values.begin(), values.end());
        }
        return integers;
    }
    const auto& partly = inputs_[index].elements;
    // A negative element of a shape computation is no known Dim, so nothing is lost by asking for sizes.
    if (!partly || !std::ranges::all_of(*partly, [](const Dim& dim) { return dim.known(); })) return integers;
    integers.emplace();
    for (const Dim& dim : *partly) integers->push_back(dim.size);
    return integers;
}

void InferContext::set_output(size_t index, DType dtype, std::optional<std::vector<Dim>> dims,
                              std::optional<std::vector<Dim>> elements) {
    if (index < outputs_.size()) outputs_[index] = {dtype, std::move(dims), std::move(elements)};
}

Status InferContext::expect_dtype(size_t index, std::initializer_list<DType> allowed) const {
    if (!has_input(index)) return {};
    const DType dtype = input(index).dtype;
    if (dtype == DType::Undefined || std::ranges::find(allowed, dtype) != allowed.end()) return {};
    return fail("input ", index, " has the element type ", dtype_name(dtype), ", which this operator does not take");
}

Status infer_types(Graph& graph, std::vector<ValueType>* all_types) {
    std::vector<ValueType> own_types;
    std::vector<ValueType>& types = all_types == nullptr ? own_types : *all_types;
    types.assign(graph.values().size(), {});
    for (size_t id = 0; id < types.size(); ++id) {
        const Value& value = graph.values()[id];
        if (value.producer == kNoValue) types[id] = {value.dtype, value.dims};
    }
    std::vector<ValueType> inputs;
    std::vector<ValueType> outputs;
    for (const Node& node : graph.nodes()) {
        inputs.assign(node.inputs.size(), {});
        for (size_t index = 0; index < node.inputs.size(); ++index) {
            if (node.inputs[index] != kNoValue) inputs[index] = types[static_cast<size_t>(node.inputs[index])];
        }
        outputs.assign(node.outputs.size(), {});
        InferContext context(graph, node, inputs, outputs);
        QUOIN_RETURN_IF_ERROR(at_node(node, op_implementation(node.op).infer(context)));
        for (size_t index = 0; index < node.outputs.size(); ++index) {
            if (node.outputs[index] == kNoValue) continue;
            Value& value = graph.value(node.outputs[index]);
            value.dtype = outputs[index].dtype;
            value.dims = outputs[index].dims;
            types[static_cast<size_t>(node.outputs[index])] = std::move(outputs[index]);
        }
    }
    return {};
}

// ---- compute

namespace {

Tensor tensor_of(const TensorView& view) {
    const auto bytes = byte_size(view.dtype, view.elements()).value_or(0);
    return {view.dtype, view.shape, view.data, bytes, nullptr};
}

// Both of one type and shape; they may be the same bytes.
void copy_elements(const Tensor& from, const Tensor& to) {
    if (from.dtype() == DType::String) {
        std::ranges::copy(from.as<const std::string>(), to.as<std::string>().begin());
    } else if (from.byte_size() != 0) {
        std::memmove(to.data(), from.data(), from.byte_size());
    }
}

// A step's outputs lie where the plan says.
class StepContext final : public ComputeContext {
public:
    StepContext(const Node& node, const Runtime& runtime, std::span<const RuntimeValue> inputs,
                std::span<const TensorView> outputs)
        : ComputeContext(node, runtime, inputs), outputs_(outputs) {}

    Result<Tensor> output(size_t index, DType dtype, const Shape& shape) override {
        if (index >= outputs_.size() || outputs_[index].dtype == DType::Undefined) {
            return Tensor::allocate(runtime().memory, dtype, shape, "an output that nobody reads");
        }
        const TensorView& planned = outputs_[index];
        if (planned.dtype != dtype || !(planned.shape == shape)) {
            return fail(StatusCode::Internal, "output ", index, " is ", dtype_name(dtype), to_string(shape), " where ",
                        dtype_name(planned.dtype), to_string(planned.shape), " was planned");
        }
        return tensor_of(planned);
    }

    Status set_output(size_t index, RuntimeValue value) override {
        if (!value.is_tensor()) return fail(StatusCode::Internal, "output ", index, " is no tensor in a plan");
        QUOIN_ASSIGN_OR_RETURN(const Tensor place, output(index, value.dtype(), value.tensor().shape()));
        copy_elements(value.tensor(), place);
        return {};
    }

    Result<std::vector<RuntimeValue>> run_body(std::string_view attribute, std::span<const RuntimeValue>) override {
        return fail(StatusCode::Internal, "a step ran the body '", attribute, "'");
    }

private:
    std::span<const TensorView> outputs_;
};

// One task, one call of compute().
class ComputedNode final : public PreparedNode {
public:
    ComputedNode(const Node& node, const Runtime& runtime, ComputeFunction compute)
        : node_(node), runtime_(runtime), compute_(compute) {}

    Result<Work> plan(const Arguments& /*arguments*/, int /*threads*/) const override { return Work{}; }

    Status run(const Arguments& arguments, int64_t /*task*/, std::byte* /*scratch*/) const override {
        std::vector<RuntimeValue> inputs;
        for (const TensorView& view : arguments.inputs) {
            inputs.push_back(view.dtype == DType::Undefined ? RuntimeValue() : RuntimeValue(tensor_of(view)));
        }
        StepContext context(node_, runtime_, inputs, arguments.outputs);
        return compute_(context);
    }

    std::string label() const override { return "compute"; }

private:
    const Node& node_;
    const Runtime& runtime_;
    ComputeFunction compute_;
};

}  // namespace

Result<std::unique_ptr<PreparedNode>> prepare_node(const PrepareContext& context) {
    const OpImplementation& implementation = op_implementation(context.node.op);
    std::unique_ptr<PreparedNode> prepared;
    const OpInfo& info = op_info(context.node.op);
    if (info.has(facts::view) || info.has(facts::boxed)) return prepared;
    if (implementation.prepare != nullptr) {
        Result<std::unique_ptr<PreparedNode>> made = implementation.prepare(context);
        if (!made.ok()) return at_node(context.node, made.status());
        prepared = std::move(*made);
    }
    if (prepared != nullptr) return prepared;
    if (implementation.compute == nullptr) {
        return context.fail(StatusCode::Unsupported, "there is no implementation for these operands");
    }
    prepared = std::make_unique<ComputedNode>(context.node, context.runtime, implementation.compute);
    return prepared;
}

Result<RuntimeValue> deep_copy(const RuntimeValue& value, const Runtime& runtime) {
    switch (value.kind()) {
        case RuntimeValue::Kind::None: return RuntimeValue();
        case RuntimeValue::Kind::Tensor: {
            const Tensor& tensor = value.tensor();
            QUOIN_ASSIGN_OR_RETURN(Tensor copy,
                                   Tensor::allocate(runtime.memory, tensor.dtype(), tensor.shape(), "a copied value"));
            copy_elements(tensor, copy);
            return RuntimeValue(std::move(copy));
        }
        case RuntimeValue::Kind::Sequence: {
            std::vector<RuntimeValue> items;
            for (const RuntimeValue& each : value.items()) {
                QUOIN_ASSIGN_OR_RETURN(RuntimeValue copy, deep_copy(each, runtime));
                items.push_back(std::move(copy));
            }
            return RuntimeValue(std::move(items), value.dtype());
        }
        case RuntimeValue::Kind::Map: {
            QUOIN_ASSIGN_OR_RETURN(const RuntimeValue keys, deep_copy(value.items()[0], runtime));
            QUOIN_ASSIGN_OR_RETURN(const RuntimeValue values, deep_copy(value.items()[1], runtime));
            return RuntimeValue::map(keys.tensor(), values.tensor());
        }
    }
    return RuntimeValue();
}

}  // namespace quoin
