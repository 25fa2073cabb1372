// Products with dequantised weights read the codes, and give what DequantizeLinear and MatMul give.
#include "pass_test.h"

namespace quoin::test {
namespace {

struct CodeGraph : PassGraph {
    // Random codes of any type; of less than a byte, packed.
    ValueId codes(DType dtype, const Shape& shape) {
        const size_t bytes = byte_size(dtype, shape.element_count().value()).value();
        std::vector<uint8_t> elements(bytes);
        for (uint8_t& element : elements) element = static_cast<uint8_t>(random.integer(0, 255));
        return constant(tensor_of(dtype, shape, elements));
    }
    ValueId dequantized(DType dtype, const Shape& shape, const Shape& scales, bool zero_points,
                        const Attributes& attributes) {
        const Tensor scale = random_floats(scales, random);
        for (float& each : scale.as<float>()) each *= 0.01F;
        std::vector<ValueId> operands{codes(dtype, shape), constant(scale)};
        if (zero_points) operands.push_back(codes(dtype, scales));
        return node(Op::DequantizeLinear, std::move(operands), attributes);
    }
    void check_kept() {
        check_same_results(keep_codes, 1e-4);
        CHECK(count(Op::Linear) == 1);
        CHECK(count(Op::DequantizeLinear) + count(Op::MatMul) + count(Op::Gemm) == 0);
    }
};

constexpr DType kCodeTypes[] = {DType::U2, DType::I2, DType::U4, DType::I4, DType::U8, DType::I8};

Attributes blocked(int64_t axis, int64_t block) {
    return {{"axis", axis}, {"block_size", block}};
}

TEST_CASE("weights in blocks along the sum are read as they are") {
    for (const DType dtype : kCodeTypes) {
        for (const bool zero_points : {false, true}) {
            for (const int64_t block : {16, 32, 64, 256}) {
                for (const int64_t inner : {64, 512, 520}) {
                    CAPTURE(dtype_name(dtype), zero_points, block, inner);
                    const int64_t blocks = (inner + block - 1) / block;
                    CodeGraph by_columns;
                    const ValueId weight =
                        by_columns.dequantized(dtype, {inner, 36}, {blocks, 36}, zero_points, blocked(0, block));
                    by_columns.graph.add_output(by_columns.node(Op::MatMul, {by_columns.input({2, 3, inner}), weight}));
                    by_columns.check_kept();

                    CodeGraph by_rows;
                    const ValueId rows =
                        by_rows.dequantized(dtype, {36, inner}, {36, blocks}, zero_points, blocked(-1, block));
                    by_rows.graph.add_output(by_rows.node(
                        Op::Gemm, {by_rows.input({5, inner}), rows, by_rows.constant({36})}, {{"transB", int64_t{1}}}));
                    by_rows.check_kept();
                    CHECK(by_rows.count(Op::Add) == 1);
                }
            }
        }
    }
}

TEST_CASE("so are weights with one scale for a column, or for all") {
    for (const DType dtype : kCodeTypes) {
        for (const int64_t inner : {7, 100, 130, 320}) {
            for (const bool one : {false, true}) {
                CAPTURE(dtype_name(dtype), inner, one);
                CodeGraph graph;
                const Shape scales = one ? Shape{} : Shape{6};
                const ValueId weight = graph.dequantized(dtype, {inner, 6}, scales, true, {{"axis", int64_t{1}}});
                graph.graph.add_output(graph.node(Op::MatMul, {graph.input({4, inner}), weight}));
                graph.check_kept();

                CodeGraph transposed;
                const ValueId rows = transposed.dequantized(dtype, {6, inner}, scales, true, {{"axis", int64_t{0}}});
                const ValueId turned = transposed.node(Op::Transpose, {rows}, {{"perm", std::vector<int64_t>{1, 0}}});
                transposed.graph.add_output(transposed.node(Op::MatMul, {transposed.input({inner}), turned}));
                transposed.check_kept();
            }
        }
    }
}

TEST_CASE("a vector times a matrix of codes is a vector") {
    CodeGraph g;
    g.graph.add_output(
        g.node(Op::MatMul, {g.input({64}), g.dequantized(DType::U8, {64, 36}, {2, 36}, false, blocked(0, 32))}));
    g.check_same_results(keep_codes, 1e-4);
}

TEST_CASE("products of halves are rounded once") {
    CodeGraph graph;
    std::vector<uint16_t> scales;
    for (int i = 0; i < 2 * 8; ++i) scales.push_back(f32_to_f16(0.01F * graph.random.normal()));
    const ValueId scale = graph.constant(tensor_of(DType::F16, {2, 8}, scales));
    const ValueId weight = graph.node(Op::DequantizeLinear, {graph.codes(DType::I4, {64, 8}), scale}, blocked(0, 32));
    const Attributes half{{"to", static_cast<int64_t>(DType::F16)}};
    const ValueId x = graph.node(Op::Cast, {graph.input({3, 64})}, half);
    const ValueId product = graph.node(Op::MatMul, {x, weight});
    graph.graph.add_output(graph.node(Op::Cast, {product}, {{"to", static_cast<int64_t>(DType::F32)}}));
    graph.check_same_results(keep_codes, 4e-3);
    CHECK(graph.count(Op::Linear) == 1);
    const auto codes = std::ranges::find(graph.graph.nodes(), Op::DequantizeBlocks, &Node::op);
    REQUIRE(codes != graph.graph.nodes().end());
    CHECK(graph.graph.value(codes->inputs[1]).dtype == DType::F16);
}

TEST_CASE("rows are gathered from a table of codes as they are") {
    for (const DType dtype : kCodeTypes) {
        for (const bool zero_points : {false, true}) {
            CAPTURE(dtype_name(dtype), zero_points);
            CodeGraph graph;
            const ValueId table = graph.dequantized(dtype, {9, 64}, {9, 2}, zero_points, blocked(1, 32));
            const ValueId ids = graph.constant(longs({2, 3}, {8, 0, 3, -1, -9, 4}));
            graph.graph.add_output(graph.node(Op::Gather, {table, ids}));
            graph.graph.add_output(graph.node(Op::MatMul, {graph.input({2, 64}), graph.constant({64, 2})}));
            graph.check_same_results(keep_codes, 0);
            CHECK(graph.count(Op::DequantizeLinear) == 0);
            CHECK(graph.count(Op::DequantizeBlocks) == 1);
        }
    }
    CodeGraph refused;
    const ValueId odd = refused.dequantized(DType::U4, {8, 7}, {8}, false, {{"axis", int64_t{0}}});
    const ValueId ids = refused.input({2}, DType::I64);
    refused.graph.add_output(refused.node(Op::Gather, {odd, ids}));
    refused.graph.add_output(refused.node(Op::Gather, {odd, ids}, {{"axis", int64_t{1}}}));
    const DebugLog log;
    refused.run(keep_codes);
    CHECK(refused.count(Op::DequantizeLinear) == 1);
    CHECK(log.says("its rows are no whole bytes"));
    CHECK(log.says("it gathers no rows"));
}

TEST_CASE("scales that differ along the sum without blocks, and weights that are no constants, are left alone") {
    CodeGraph graph;
    const ValueId x = graph.input({4, 32});
    const ValueId along = graph.dequantized(DType::U8, {32, 6}, {32}, false, {{"axis", int64_t{0}}});
    graph.graph.add_output(graph.node(Op::MatMul, {x, along}));
    const ValueId across = graph.dequantized(DType::U8, {32, 32}, {32, 2}, false, blocked(1, 16));
    graph.graph.add_output(graph.node(Op::MatMul, {x, across}));
    const ValueId odd = graph.dequantized(DType::U8, {32, 6}, {3, 6}, false, blocked(0, 12));
    graph.graph.add_output(graph.node(Op::MatMul, {x, odd}));
    const ValueId given = graph.node(Op::DequantizeLinear, {graph.input({32, 6}, DType::U8), graph.scalar(1)});
    graph.graph.add_output(graph.node(Op::MatMul, {x, given}));
    const DebugLog log;
    graph.run(keep_codes);
    CHECK(graph.count(Op::Linear) == 0);
    CHECK(graph.count(Op::DequantizeLinear) == 4);
    CHECK(log.says("its scales differ along the rows"));
    CHECK(log.says("its blocks do not lie along the rows"));
    CHECK(log.says("no kernel reads its blocks"));
    CHECK(log.says("what is dequantised is no constant"));
}

TEST_CASE("a Linear over codes takes bias, residual and gate, and its weight stays 4 bits wide") {
    CodeGraph graph;
    const ValueId x = graph.input({3, 64});
    const auto product = [&](ValueId left) {
        return graph.node(Op::MatMul, {left, graph.dequantized(DType::U4, {64, 64}, {2, 64}, true, blocked(0, 32))});
    };
    const ValueId gate = graph.node(Op::Swish, {product(x)});
    const ValueId inner = graph.node(Op::Mul, {gate, product(x)});
    const ValueId biased = graph.node(Op::Add, {product(inner), graph.constant({64})});
    graph.graph.add_output(graph.node(Op::Add, {x, biased}));
    const std::vector<Tensor> given{random_floats({3, 64}, graph.random)};
    const std::vector<float> wanted = values_of(graph.results(given)[0]);
    graph.run(optimize);
    CHECK(graph.ops() == std::vector<Op>{Op::GatedLinear, Op::Linear});
    size_t bytes = 0;
    for (const Value& value : graph.graph.values()) {
        if (!value.constant || value.constant->codes() == nullptr) continue;
        CHECK(value.dtype == DType::U4);
        CHECK(*value.constant->codes() == CodeBlocks{32, DType::F32, DType::U8, 0});
        bytes += value.constant->byte_size();
    }
    CHECK(bytes == size_t{3} * (64 * 64 / 2 + 2 * 64 * 4 + 2 * 64));
    const auto got = run_graph(std::move(graph.graph), given);
    REQUIRE(got.status().message() == "");
    CHECK(largest_error(values_of((*got)[0]), {wanted.begin(), wanted.end()}) <= 1e-4);
}

TEST_CASE("blocks of codes mean (code - zero point) * scale") {
    const Operand codes = constant(tensor_of<uint8_t>(DType::U4, {2, 4}, {0x21, 0x43, 0xF0, 0x98}));
    const Operand scales = constant(floats({2, 2}, {1, 10, 2, 100}));
    const Attributes attributes{{"block_size", int64_t{2}}, {"columns", int64_t{3}}, {"zero_point", int64_t{8}}};
    CHECK(values_of(result_of(Op::DequantizeBlocks, {codes, scales}, attributes)) ==
          std::vector<float>{-7, -6, -50, -16, 14, 0});
    const Operand zeros = constant(floats({2, 2}, {0.5F, 1, 0, 0.25F}));
    CHECK(values_of(result_of(Op::DequantizeBlocks, {codes, scales, zeros}, attributes)) ==
          std::vector<float>{0.5F, 1.5F, 20, 0, 30, 775});
    const Status refused = run_op(Op::DequantizeBlocks, {codes, constant(floats({2, 1}, {1, 2}))}, attributes).status();
    CHECK_THAT(refused.message(), contains("the shape of the scales"));
}

}  // namespace
}  // namespace quoin::test
