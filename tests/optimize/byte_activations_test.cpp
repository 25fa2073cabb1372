// Products with codes whose model allows activations of 8 bits: the block format that stands for them, and results
// within what rounding activations costs.
#include "pass_test.h"

namespace quoin::test {
namespace {

constexpr int64_t kRows = 40;
constexpr int64_t kInner = 512;

struct ByteGraph : PassGraph {
    ValueId codes(DType dtype, const Shape& shape) {
        const size_t bytes = byte_size(dtype, shape.element_count().value()).value();
        std::vector<uint8_t> elements(bytes);
        for (uint8_t& element : elements) element = static_cast<uint8_t>(random.integer(0, 255));
        return constant(tensor_of(dtype, shape, elements));
    }
    // Scales around `scale`; the last zero point is `last_zero`.
    ValueId weight(DType dtype, int64_t block, bool zero_points, float scale = 0.01F, int64_t bytes = 1,
                   float last_zero = 15) {
        const Shape scales{kRows, kInner / block};
        const Tensor values = random_floats(scales, random);
        for (float& each : values.as<float>()) each = scale * (1 + 0.2F * std::tanh(each));
        std::vector<ValueId> operands{codes(dtype, {kRows, kInner}), constant(values)};
        if (zero_points) {
            const Tensor zeros = random_floats(scales, random);
            for (float& each : zeros.as<float>()) each = static_cast<float>(random.integer(0, 15));
            zeros.as<float>().back() = last_zero;
            operands.push_back(constant(zeros));
        }
        const int64_t middle = dtype == DType::U8 ? 128 : 8;
        return node(Op::DequantizeBlocks, std::move(operands),
                    {{"block_size", block}, {"columns", kInner}, {"zero_point", middle}, {"byte_activations", bytes}});
    }
    void add_product(ValueId weight) { graph.add_output(node(Op::Linear, {input({3, kInner}), weight})); }
    // What the weights are packed as.
    std::vector<DType> formats() {
        std::vector<DType> result;
        for (const Node& each : graph.nodes()) {
            if (each.op != Op::DequantizeBlocks) continue;
            result.push_back(static_cast<DType>(each.integer("format", 0)));
        }
        return result;
    }
};

TEST_CASE("codes that a block format has are multiplied by rounded activations") {
    struct Case {
        DType codes;
        bool zero_points;
        DType format;
    };
    for (const Case& each :
         {Case{DType::U4, false, DType::Q4_0}, {DType::U4, true, DType::Q4_1}, {DType::U8, false, DType::Q8_0}}) {
        for (const int64_t block : {32, 64, 256}) {
            CAPTURE(dtype_name(each.codes), each.zero_points, block);
            ByteGraph graph;
            // Weights of about 0.05 either way.
            const float scale = each.codes == DType::U8 ? 0.0006F : 0.01F;
            graph.add_product(graph.weight(each.codes, block, each.zero_points, scale));
            // A step of 1/127 of the largest activation, half of it lost, over 512 products.
            graph.check_same_results(quantize_activations, 2e-2);
            CHECK(graph.formats() == std::vector{each.format});
            CHECK(graph.count(Op::QuantizeActivation) == 1);
        }
    }
}

TEST_CASE("others, and those whose model does not allow it, are multiplied in f32") {
    const auto check = [](DType codes, int64_t block, bool zero_points, float scale, int64_t bytes,
                          float last_zero = 15) {
        CAPTURE(dtype_name(codes), block, zero_points, scale, bytes, last_zero);
        const DebugLog said;
        ByteGraph graph;
        graph.add_product(graph.weight(codes, block, zero_points, scale, bytes, last_zero));
        graph.check_same_results(quantize_activations, 1e-6);
        CHECK(graph.formats() == std::vector{DType::Undefined});
        CHECK(graph.count(Op::QuantizeActivation) == 0);
        CHECK(said.says("stays in f32") == (bytes != 0));
    };
    check(DType::U4, 32, false, 0.01F, 0);
    check(DType::U4, 16, false, 0.01F, 1);       // shorter blocks than the formats have
    check(DType::U8, 32, true, 0.01F, 1);        // no format has 8 bits and zero points
    check(DType::U4, 32, false, 1e-7F, 1);       // too small for halves
    check(DType::U4, 32, false, 1e5F, 1);        // too large
    check(DType::U4, 32, true, 10000.0F, 1);     // with its zero point
    check(DType::U4, 32, true, 0.01F, 1, 1e7F);  // a zero point that is no code: its product has no half
    check(DType::U4, 32, true, 0.01F, 1, -1);
}

TEST_CASE("a weight that is read as a table, too, and a pair of which one has no format stay in f32") {
    ByteGraph table;
    const ValueId shared = table.weight(DType::U4, 32, false);
    table.add_product(shared);
    table.graph.add_output(table.node(Op::Neg, {shared}));
    table.run(quantize_activations);
    CHECK(table.count(Op::QuantizeActivation) == 0);

    for (const int64_t block : {16, 32}) {
        ByteGraph pair;
        const ValueId gate = pair.weight(DType::U4, 32, false);
        const ValueId up = pair.weight(DType::U4, block, true);
        pair.graph.add_output(pair.node(Op::GatedLinear, {pair.input({3, kInner}), gate, up}));
        pair.check_same_results(quantize_activations, 2e-2);
        CHECK(pair.count(Op::QuantizeActivation) == (block == 32 ? 1 : 0));
    }
}

}  // namespace
}  // namespace quoin::test
