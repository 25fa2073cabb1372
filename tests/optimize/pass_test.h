// Graphs for tests of passes: built node by node, run as they are and optimized.
#pragma once

#include <string>
#include <vector>

#include "core/log.h"
#include "ops/op_test.h"
#include "optimize/passes.h"

namespace quoin::test {

// What the library says at debug level while this exists.
class DebugLog {
public:
    DebugLog() {
        set_log(LogLevel::Debug, [this](LogLevel, std::string_view text) { text_ += std::string(text) + '\n'; });
    }
    ~DebugLog() { set_log(LogLevel::Debug, {}); }
    DebugLog(const DebugLog&) = delete;
    DebugLog& operator=(const DebugLog&) = delete;
    bool says(std::string_view text) const { return text_.find(text) != std::string::npos; }
    const std::string& text() const { return text_; }

private:
    std::string text_;
};

struct PassGraph {
    Graph graph;
    Random random{71};
    RuntimePtr runtime = make_runtime();

    ValueId input(const Shape& shape, DType dtype = DType::F32) {
        return graph.add_input("x" + std::to_string(graph.values().size()), dtype, dims_of(shape));
    }
    ValueId constant(const Tensor& tensor) {
        return graph.add_constant("c" + std::to_string(graph.values().size()), Constant(tensor));
    }
    ValueId constant(const Shape& shape) { return constant(random_floats(shape, random)); }
    ValueId scalar(float value) { return constant(floats({}, {value})); }
    ValueId list(const std::vector<int64_t>& values) {
        return constant(longs({static_cast<int64_t>(values.size())}, values));
    }
    ValueId node(Op op, std::vector<ValueId> inputs, Attributes attributes = {}) {
        const std::string name = std::string(op_info(op).name) + std::to_string(graph.nodes().size());
        return graph.add_node(op, name, std::move(inputs), std::move(attributes));
    }
    ValueId conv(ValueId x, int64_t channels, int64_t columns, int64_t kernel = 3, int64_t stride = 1) {
        const int64_t pad = kernel / 2;
        return node(
            Op::Conv, {x, constant({columns, channels, kernel, kernel})},
            {{"pads", std::vector<int64_t>{pad, pad, pad, pad}}, {"strides", std::vector<int64_t>{stride, stride}}});
    }

    void run(Status (*pass)(Graph&, const OptimizeContext&)) {
        REQUIRE(verify(graph).ok());
        REQUIRE(infer_types(graph).message() == "");
        REQUIRE(pass(graph, {*runtime, Provider::Native, {}}).message() == "");
        REQUIRE(verify(graph).message() == "");
        REQUIRE(infer_types(graph).message() == "");
    }
    std::vector<Op> ops() const {
        std::vector<Op> result;
        for (const Node& each : graph.nodes()) result.push_back(each.op);
        return result;
    }
    int64_t count(Op op) const { return std::ranges::count(ops(), op); }

    // Every output of the graph as it stands: nothing is done but what must be.
    std::vector<Tensor> results(const std::vector<Tensor>& inputs) const {
        Graph copy = graph;
        const OptimizeContext context{*runtime, Provider::Native, {}};
        REQUIRE(infer_types(copy).ok());
        REQUIRE(pack_convolutions(copy, context).ok());
        REQUIRE(pack_weights(copy, context).ok());
        Result<PreparedGraphPtr> prepared = prepare(std::move(copy), runtime);
        REQUIRE(prepared.status().message() == "");
        Session session(*prepared);
        for (size_t index = 0; index < inputs.size(); ++index) session.set_input(index, view_of(inputs[index]));
        REQUIRE(session.run().message() == "");
        std::vector<Tensor> outputs;
        for (size_t index = 0; index < graph.outputs().size(); ++index) {
            outputs.push_back(copy_of(session.output(index)));
        }
        return outputs;
    }
    // Runs the pass; the f32 results before and after it differ by no more than `tolerance`.
    void check_same_results(Status (*pass)(Graph&, const OptimizeContext&), double tolerance = 1e-5) {
        std::vector<Tensor> inputs;
        for (const ValueId id : graph.inputs()) {
            std::vector<int64_t> dims;
            for (const Dim& dim : *graph.value(id).dims) dims.push_back(dim.size);
            inputs.push_back(random_floats(Shape(std::span<const int64_t>(dims)), random));
        }
        const std::vector<Tensor> before = results(inputs);
        run(pass);
        const std::vector<Tensor> after = results(inputs);
        for (size_t index = 0; index < before.size(); ++index) {
            const std::vector<float> wanted = values_of(before[index]);
            CHECK(before[index].shape() == after[index].shape());
            CHECK(largest_error(values_of(after[index]), {wanted.begin(), wanted.end()}) <= tolerance);
        }
    }
};

}  // namespace quoin::test
