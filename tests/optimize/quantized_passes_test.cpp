// Graphs of QuantizeLinear and DequantizeLinear on their way to integer kernels.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "pass_test.h"

namespace quoin::test {
namespace {

struct QuantizedGraph : PassGraph {
    ValueId zero(uint8_t value) { return constant(tensor_of(DType::U8, {}, std::vector<uint8_t>{value})); }
    ValueId quantize(ValueId x, float scale, uint8_t zero_point) {
        return node(Op::QuantizeLinear, {x, scalar(scale), zero(zero_point)});
    }
    ValueId dequantize(ValueId x, float scale, uint8_t zero_point) {
        return node(Op::DequantizeLinear, {x, scalar(scale), zero(zero_point)});
    }
    // A weight [columns, ...] of i8 with a scale for each column.
    ValueId weight(const Shape& shape) {
        std::vector<int8_t> values;
        for (const float each : random.normals(shape.element_count().value())) {
            values.push_back(static_cast<int8_t>(std::clamp(each * 40, -127.0F, 127.0F)));
        }
        std::vector<float> scales;
        for (const float each : random.normals(shape[0])) scales.push_back(0.01F + 0.002F * std::abs(each));
        const ValueId data = constant(tensor_of(DType::I8, shape, values));
        return node(Op::DequantizeLinear, {data, constant(floats({shape[0]}, scales))}, {{"axis", int64_t{0}}});
    }

    // Results of u8 before and after the passes differ by one step at most.
    void check_one_step(const Shape& shape) {
        std::vector<uint8_t> bytes;
        for (const float each : random.normals(shape.element_count().value())) {
            bytes.push_back(static_cast<uint8_t>(std::clamp(128 + 50 * each, 0.0F, 255.0F)));
        }
        const std::vector<Tensor> inputs{tensor_of(DType::U8, shape, bytes)};
        const std::vector<Tensor> before = results(inputs);
        run(fuse_quantized);
        run(channels_last);
        const std::vector<Tensor> after = results(inputs);
        for (size_t index = 0; index < before.size(); ++index) {
            const auto wanted = before[index].as<const uint8_t>();
            const auto got = after[index].as<const uint8_t>();
            REQUIRE(before[index].shape() == after[index].shape());
            int largest = 0;
            for (size_t i = 0; i < wanted.size(); ++i) largest = std::max(largest, std::abs(wanted[i] - got[i]));
            CHECK(largest <= 1);
            CHECK(*std::ranges::max_element(wanted) > *std::ranges::min_element(wanted));
        }
    }
    bool has_floats() const { return count(Op::DequantizeLinear) + count(Op::QuantizeLinear) > 0; }
};

TEST_CASE("convolutions, sums and pools between quantisations are done on integers") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({1, 3, 8, 8}, DType::U8), 0.02F, 120);
    const ValueId bias = g.constant(random_floats({8}, g.random));
    const Attributes window{{"pads", std::vector<int64_t>{1, 1, 1, 1}}};
    const ValueId first = g.node(Op::Relu, {g.node(Op::Conv, {x, g.weight({8, 3, 3, 3}), bias}, window)});
    const ValueId a = g.quantize(first, 0.03F, 10);
    const Attributes depthwise{{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"group", int64_t{8}}};
    const ValueId second = g.node(Op::Conv, {g.dequantize(a, 0.03F, 10), g.weight({8, 1, 3, 3})}, depthwise);
    const ValueId b = g.quantize(second, 0.05F, 128);
    const ValueId sum = g.node(Op::Add, {g.dequantize(a, 0.03F, 10), g.dequantize(b, 0.05F, 128)});
    const ValueId c = g.quantize(sum, 0.06F, 100);
    const Attributes two{{"kernel_shape", std::vector<int64_t>{2, 2}}};
    g.graph.add_output(g.quantize(g.node(Op::MaxPool, {g.dequantize(c, 0.06F, 100)}, two), 0.06F, 100));
    g.check_one_step({1, 3, 8, 8});
    CHECK_FALSE(g.has_floats());
    CHECK(g.count(Op::ChannelsLastIntegerConv) == 2);
    CHECK(g.count(Op::AddQuantized) == 1);
    CHECK(g.count(Op::Transpose) == 2);
}

TEST_CASE("a concatenation of different scales is brought to one before it") {
    QuantizedGraph g;
    const ValueId x = g.input({1, 4, 6, 6}, DType::U8);
    const ValueId joined =
        g.node(Op::Concat, {g.dequantize(x, 0.02F, 120), g.dequantize(x, 0.03F, 100)}, {{"axis", int64_t{1}}});
    const ValueId split = g.node(Op::Reshape, {joined, g.list({1, 2, 4, 6, 6})});
    const ValueId shuffled = g.node(Op::Transpose, {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3, 4}}});
    g.graph.add_output(g.quantize(g.node(Op::Reshape, {shuffled, g.list({1, 8, 6, 6})}), 0.03F, 100));
    g.check_one_step({1, 4, 6, 6});
    CHECK_FALSE(g.has_floats());
    CHECK(g.count(Op::AddQuantized) == 1);  // the second has the scale already
}

TEST_CASE("matrix products between quantisations are done on integers") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({5, 24}, DType::U8), 0.02F, 120);
    const ValueId bias = g.constant(random_floats({10}, g.random));
    g.graph.add_output(
        g.quantize(g.node(Op::Gemm, {x, g.weight({10, 24}), bias}, {{"transB", int64_t{1}}}), 0.05F, 128));
    g.check_one_step({5, 24});
    CHECK(g.ops() == std::vector<Op>{Op::ChannelsLastIntegerConv});
}

TEST_CASE("a row is a bias of the integer product, a column is none") {
    for (const bool column : {false, true}) {
        QuantizedGraph g;
        // As many rows as columns: the count of elements does not tell a row from a column.
        const ValueId x = g.dequantize(g.input({4, 24}, DType::U8), 0.02F, 120);
        const Shape shape = column ? Shape{4, 1} : Shape{1, 4};
        const ValueId reals = g.constant(floats(shape, {-2, -1, 1, 2}));
        const ValueId integers = g.constant(ints(shape, {2000, -1000, 1000, -2000}));
        const ValueId second = g.node(Op::DequantizeLinear, {integers, g.scalar(0.001F)});
        const Attributes transposed{{"transB", int64_t{1}}};
        for (const ValueId bias : {reals, second}) {
            g.graph.add_output(g.quantize(g.node(Op::Gemm, {x, g.weight({4, 24}), bias}, transposed), 0.05F, 128));
        }
        CAPTURE(column);
        const DebugLog log;
        g.check_one_step({4, 24});
        CHECK(g.count(Op::ChannelsLastIntegerConv) == (column ? 0 : 2));
        CHECK(log.says("its bias is no constant row") == column);
    }
}

TEST_CASE("a bias with scales for blocks stays in floats") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({5, 24}, DType::U8), 0.02F, 120);
    const ValueId integers = g.constant(ints({4}, {2000, -1000, 1000, -2000}));
    const ValueId bias = g.node(Op::DequantizeLinear, {integers, g.constant(floats({2}, {0.001F, 0.002F}))},
                                {{"axis", int64_t{0}}, {"block_size", int64_t{2}}});
    g.graph.add_output(
        g.quantize(g.node(Op::Gemm, {x, g.weight({4, 24}), bias}, {{"transB", int64_t{1}}}), 0.05F, 128));
    g.check_one_step({5, 24});
    CHECK(g.count(Op::Gemm) == 1);
}

TEST_CASE("QLinearConv becomes one step and QLinearMatMul, too") {
    QuantizedGraph g;
    const ValueId x = g.input({1, 4, 5, 5}, DType::U8);
    std::vector<int8_t> filter(6 * 4);
    for (size_t i = 0; i < filter.size(); ++i) filter[i] = static_cast<int8_t>(static_cast<int>(i * 37 % 200) - 100);
    const ValueId weight = g.constant(tensor_of(DType::I8, {6, 4, 1, 1}, filter));
    const ValueId zero = g.constant(tensor_of(DType::I8, {}, std::vector<int8_t>{3}));
    g.graph.add_output(g.node(Op::QLinearConv, {x, g.scalar(0.02F), g.zero(110), weight, g.scalar(0.01F), zero,
                                                g.scalar(0.04F), g.zero(128)}));
    const ValueId matrix = g.constant(tensor_of(DType::I8, {4, 6}, filter));
    const ValueId last = g.node(Op::Transpose, {x}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
    g.graph.add_output(g.node(Op::QLinearMatMul, {last, g.scalar(0.02F), g.zero(110), matrix, g.scalar(0.01F), zero,
                                                  g.scalar(0.04F), g.zero(128)}));
    g.check_one_step({1, 4, 5, 5});
    CHECK(g.count(Op::ChannelsLastIntegerConv) == 2);
    CHECK(g.count(Op::QLinearConv) + g.count(Op::QLinearMatMul) == 0);
}

TEST_CASE("what has no integer kernel stays between its quantisations") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({1, 4, 6, 6}, DType::U8), 0.02F, 120);
    g.graph.add_output(g.quantize(g.node(Op::Softmax, {x}), 0.004F, 0));
    const ValueId shared = g.node(Op::Relu, {x});
    g.graph.add_output(g.quantize(shared, 0.02F, 0));
    g.graph.add_output(g.quantize(g.node(Op::Exp, {shared}), 0.1F, 0));
    const DebugLog log;
    g.run(fuse_quantized);
    CHECK(g.count(Op::QuantizeLinear) == 3);
    CHECK(log.says("no kernel does it on integers"));
    CHECK(log.says("others read its floats"));
}

TEST_CASE("a weight whose scale is computed stays in floats") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({1, 3, 6, 6}, DType::U8), 0.02F, 120);
    const ValueId data = g.constant(tensor_of(DType::I8, {4, 3, 1, 1}, std::vector<int8_t>(12, 3)));
    const ValueId matrix = g.constant(tensor_of(DType::I8, {4, 6}, std::vector<int8_t>(24, 3)));
    const ValueId scale = g.constant(floats({4}, {0.01F, 0.02F, 0.03F, 0.04F}));
    const ValueId computed = g.node(Op::Mul, {scale, g.scalar(2)});
    for (const ValueId each : {computed, g.node(Op::Identity, {computed}), g.input({4})}) {
        const ValueId weight = g.node(Op::DequantizeLinear, {data, each}, {{"axis", int64_t{0}}});
        g.graph.add_output(g.quantize(g.node(Op::Conv, {x, weight}), 0.04F, 128));
        const ValueId rows = g.node(Op::DequantizeLinear, {matrix, each}, {{"axis", int64_t{0}}});
        const ValueId flat = g.dequantize(g.input({5, 6}, DType::U8), 0.02F, 120);
        g.graph.add_output(g.quantize(g.node(Op::Gemm, {flat, rows}, {{"transB", int64_t{1}}}), 0.04F, 128));
    }
    const DebugLog log;
    g.run(fuse_quantized);
    CHECK(g.count(Op::Conv) == 3);
    CHECK(g.count(Op::Gemm) == 3);
    CHECK(log.says("its weight is no 8-bit constant with a scale for each channel"));
    CHECK(log.says("its weight is no 8-bit constant with a scale for each column"));
}

TEST_CASE("a matrix of four bits is not transposed as if it had eight") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({5, 64}, DType::U8), 0.02F, 120);
    const ValueId data = g.constant(tensor_of(DType::I4, {64, 48}, std::vector<uint8_t>(64 * 48 / 2, 0x31)));
    const ValueId weight = g.node(Op::DequantizeLinear, {data, g.scalar(0.01F)});
    g.graph.add_output(g.quantize(g.node(Op::MatMul, {x, weight}), 0.04F, 128));
    const size_t before = g.graph.values().size();
    const DebugLog log;
    g.run(fuse_quantized);
    CHECK(g.count(Op::MatMul) == 1);
    CHECK(g.graph.values().size() == before);
    CHECK(log.says("its weight is no 8-bit constant matrix"));
}

TEST_CASE("a weight without columns is no weight of an integer product") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({5, 24}, DType::U8), 0.02F, 120);
    const ValueId weight = g.weight({0, 24});
    g.graph.add_output(g.quantize(g.node(Op::Gemm, {x, weight}, {{"transB", int64_t{1}}}), 0.04F, 128));
    g.run(fuse_quantized);
    CHECK(g.count(Op::Gemm) == 1);
}

TEST_CASE("a vector times a quantised matrix is a vector") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({24}, DType::U8), 0.02F, 120);
    const ValueId weight = g.node(Op::Transpose, {g.weight({10, 24})}, {{"perm", std::vector<int64_t>{1, 0}}});
    g.graph.add_output(g.quantize(g.node(Op::MatMul, {x, weight}), 0.04F, 128));
    std::vector<int8_t> elements(24 * 10);
    for (size_t i = 0; i < elements.size(); ++i) {
        elements[i] = static_cast<int8_t>(static_cast<int>(i * 37 % 200) - 100);
    }
    const ValueId data = g.constant(tensor_of(DType::I8, {24, 10}, elements));
    const ValueId matrix = g.node(Op::DequantizeLinear, {data, g.scalar(0.01F)});
    g.graph.add_output(g.quantize(g.node(Op::MatMul, {x, matrix}), 0.04F, 128));
    g.check_one_step({24});
}

TEST_CASE("a limit that is no number is no bound of integers") {
    QuantizedGraph g;
    const ValueId x = g.dequantize(g.input({1, 4, 6, 6}, DType::U8), 0.02F, 120);
    g.graph.add_output(g.quantize(g.node(Op::Clip, {x, g.scalar(NAN), g.scalar(1)}), 0.02F, 120));
    const DebugLog log;
    g.run(fuse_quantized);
    CHECK(g.count(Op::Clip) == 1);
    CHECK(log.says("its limits are no constant numbers"));
}

TEST_CASE("chains are followed up to a depth, and stay in floats beyond it") {
    const auto left_of_chain = [](int64_t length) {
        QuantizedGraph g;
        ValueId x = g.dequantize(g.input({4}, DType::U8), 0.02F, 120);
        for (int64_t step = 0; step < length; ++step) {
            // One step of each kind that asks its operand in turn.
            if (step % 3 == 0) x = g.node(Op::Relu, {x});
            if (step % 3 == 1) x = g.node(Op::Identity, {x});
            if (step % 3 == 2) x = g.node(Op::Concat, {x}, {{"axis", int64_t{0}}});
        }
        g.graph.add_output(g.quantize(x, 0.02F, 120));
        g.run(fuse_quantized);
        return g.has_floats();
    };
    CHECK_FALSE(left_of_chain(24));
    CHECK(left_of_chain(100000));
}

TEST_CASE("a product with dynamic quantisation is one step behind it") {
    PassGraph g;
    const ValueId x = g.input({3, 20});
    g.node(Op::DynamicQuantizeLinear, {x});
    const std::vector<ValueId> parts = g.graph.nodes()[0].outputs;
    std::vector<int8_t> weight(20 * 7);
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<int8_t>(static_cast<int>(i * 53 % 250) - 125);
    const ValueId matrix = g.constant(tensor_of(DType::I8, {20, 7}, weight));
    const auto product = [&](ValueId x_scale) {
        const ValueId sums = g.node(Op::MatMulInteger, {parts[0], matrix, parts[2]});
        const ValueId reals = g.node(Op::Cast, {sums}, {{"to", static_cast<int64_t>(DType::F32)}});
        return g.node(Op::Mul, {reals, g.node(Op::Mul, {x_scale, g.constant(floats({7}, {1, 2, 3, 4, 5, 6, 7}))})});
    };
    g.graph.add_output(g.node(Op::Add, {product(parts[1]), g.constant(Shape{7})}));
    g.graph.add_output(product(g.input({1})));
    const DebugLog log;
    g.check_same_results(fuse_dynamic_quantization, 1e-4);
    CHECK(g.count(Op::ChannelsLastIntegerConv) == 1);
    CHECK(g.count(Op::Add) == 0);
    CHECK(g.count(Op::MatMulInteger) == 1);
    CHECK(log.says("a factor is neither an integer product nor a scale"));
}

}  // namespace
}  // namespace quoin::test
