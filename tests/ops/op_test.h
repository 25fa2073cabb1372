// Shared by the tests of ops, passes and sessions: tensors from plain numbers, runtimes, and running a graph or one op.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "exec/session.h"
#include "kernels/kernel_test.h"
#include "optimize/optimize.h"
#include "support/catch.h"

namespace quoin::test {

inline RuntimePtr make_runtime(int threads = 1, Isa isa = effective_isa({})) {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>();
    runtime->team = std::make_unique<Team>(threads);
    runtime->isa = isa;
    return runtime;
}

// ---- Tensors

// The bytes of exactly this tensor, so that sanitizers see every step beyond them.
template <class T>
Tensor tensor_of(DType dtype, const Shape& shape, const std::vector<T>& elements) {
    const size_t bytes = elements.size() * sizeof(T);
    REQUIRE(byte_size(dtype, shape.element_count().value()) == bytes);
    const auto owner = std::make_shared<std::vector<T>>(elements);
    return {dtype, shape, reinterpret_cast<std::byte*>(owner->data()), bytes, owner};
}
inline Tensor floats(const Shape& shape, const std::vector<float>& elements) {
    return tensor_of(DType::F32, shape, elements);
}
inline Tensor ints(const Shape& shape, const std::vector<int32_t>& elements) {
    return tensor_of(DType::I32, shape, elements);
}
inline Tensor longs(const Shape& shape, const std::vector<int64_t>& elements) {
    return tensor_of(DType::I64, shape, elements);
}
inline Tensor random_floats(const Shape& shape, Random& random) {
    return floats(shape, random.normals(shape.element_count().value()));
}
inline Tensor weight_tensor(const Weight& weight) {
    return tensor_of(weight.dtype, {weight.columns, weight.inner}, weight.file);
}

inline std::vector<float> values_of(const Tensor& tensor) {
    const auto values = tensor.as<float>();
    return {values.begin(), values.end()};
}
// Bytes that belong to somebody else, as a tensor of their own.
inline Tensor copy_of(const TensorView& view) {
    const auto bytes = byte_size(view.dtype, view.elements()).value();
    std::vector<std::byte> copy(bytes);
    if (bytes != 0) std::memcpy(copy.data(), view.data, bytes);
    return tensor_of(view.dtype, view.shape, copy);
}
inline TensorView view_of(const Tensor& tensor) {
    return {tensor.data(), tensor.dtype(), tensor.shape()};
}

// ---- Running

struct RunOptions {
    RuntimePtr runtime = make_runtime();
    Provider provider = Provider::Best;
};

inline Result<PreparedGraphPtr> make_ready(Graph graph, const RunOptions& options = {}) {
    Provider provider = options.provider;
    // QUOIN_PROVIDER may ask for one that takes no part in lower instruction sets.
    if (provider != Provider::Best || options.runtime->isa == detected_isa()) {
        QUOIN_ASSIGN_OR_RETURN(provider, effective_provider(provider, *options.runtime));
    }
    QUOIN_RETURN_IF_ERROR(optimize(graph, {*options.runtime, provider, {}}));
    return prepare(std::move(graph), options.runtime, provider);
}

// The outputs of one run of the optimized graph.
inline Result<std::vector<Tensor>> run_graph(Graph graph, const std::vector<Tensor>& inputs,
                                             const RunOptions& options = {}) {
    QUOIN_ASSIGN_OR_RETURN(PreparedGraphPtr prepared, make_ready(std::move(graph), options));
    Session session(prepared);
    for (size_t index = 0; index < inputs.size(); ++index) session.set_input(index, view_of(inputs[index]));
    QUOIN_RETURN_IF_ERROR(session.run());
    std::vector<Tensor> outputs;
    for (size_t index = 0; index < prepared->graph.outputs().size(); ++index) {
        outputs.push_back(copy_of(session.output(index)));
    }
    return outputs;
}

// An operand of run_op: given at run time, built into the graph, or left out.
struct Operand {
    Tensor tensor;
    bool constant = false;
    bool left_out = false;
};
inline Operand given(const Tensor& tensor) {
    return {tensor, false, false};
}
inline Operand constant(const Tensor& tensor) {
    return {tensor, true, false};
}
inline Operand left_out() {
    return {{}, false, true};
}

using Attributes = std::vector<std::pair<std::string, Attribute>>;

inline std::vector<Dim> dims_of(const Shape& shape) {
    std::vector<Dim> dims;
    for (const int64_t dim : shape.dims()) dims.push_back({.size = dim});
    return dims;
}

// All outputs of one node called "node" whose operands are "in0", "in1", ...
inline Result<std::vector<Tensor>> run_op(Op op, const std::vector<Operand>& operands,
                                          const Attributes& attributes = {}, const RunOptions& options = {}) {
    Graph graph;
    std::vector<ValueId> ids;
    std::vector<Tensor> inputs;
    for (const Operand& operand : operands) {
        const std::string name = "in" + std::to_string(ids.size());
        if (operand.left_out) {
            ids.push_back(kNoValue);
        } else if (operand.constant) {
            ids.push_back(graph.add_constant(name, Constant(operand.tensor)));
        } else {
            ids.push_back(graph.add_input(name, operand.tensor.dtype(), dims_of(operand.tensor.shape())));
            inputs.push_back(operand.tensor);
        }
    }
    graph.add_node(op, "node", ids, attributes);
    for (const ValueId id : graph.node(0).outputs) graph.add_output(id);
    return run_graph(std::move(graph), inputs, options);
}

// The only output of an op that must work.
inline Tensor result_of(Op op, const std::vector<Operand>& operands, const Attributes& attributes = {},
                        const RunOptions& options = {}) {
    const Result<std::vector<Tensor>> outputs = run_op(op, operands, attributes, options);
    INFO(outputs.status().message());
    REQUIRE(outputs.ok());
    REQUIRE(outputs->size() == 1);
    return (*outputs)[0];
}

// ---- Comparing

// The largest |got - wanted| / (1 + |wanted|); infinite where the sizes differ or a result is NaN.
inline double largest_error(const std::vector<float>& got, const std::vector<double>& wanted) {
    if (got.size() != wanted.size()) return INFINITY;
    double largest = 0;
    for (size_t index = 0; index < got.size(); ++index) {
        const double difference = std::abs(double{got[index]} - wanted[index]) / (1 + std::abs(wanted[index]));
        if (!(difference <= largest)) largest = std::isnan(difference) ? double{INFINITY} : difference;
    }
    return largest;
}

}  // namespace quoin::test
