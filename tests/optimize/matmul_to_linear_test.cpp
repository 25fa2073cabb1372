// Products with constant matrices become Linear, and give what they gave before.
#include "ops/op_test.h"

namespace quoin::test {
namespace {

int64_t count_of(const Graph& graph, Op op) {
    return std::ranges::count(graph.nodes(), op, &Node::op);
}

struct Product {
    Graph graph;
    ValueId y;
};

Product product_graph(const Tensor& b, Op op = Op::MatMul, const Attributes& attributes = {}) {
    Product product;
    const ValueId x = product.graph.add_input("x", DType::F32, {{.size = 2}, {.size = 3}});
    const ValueId w = product.graph.add_constant("w", Constant(b));
    product.y = product.graph.add_node(op, "product", {x, w}, attributes);
    return product;
}

Graph optimized(Graph graph) {
    const RuntimePtr runtime = make_runtime();
    REQUIRE(optimize(graph, {*runtime, Provider::Native, {}}).ok());
    return graph;
}

Tensor x() {
    return floats({2, 3}, {1, 2, 3, 4, 5, 6});
}
Tensor b() {
    return floats({3, 2}, {1, 2, 3, 4, 5, 6});
}

TEST_CASE("a product with a constant matrix and the row behind it is one Linear") {
    Product product = product_graph(b());
    const ValueId row = product.graph.add_constant("row", Constant(floats({1, 2}, {100, 200})));
    product.graph.add_output(product.graph.add_node(Op::Add, "add", {row, product.y}));
    const Graph result = optimized(product.graph);
    CHECK(count_of(result, Op::Linear) == 1);
    CHECK(result.nodes().size() == 1);
    const auto outputs = run_graph(std::move(product.graph), {x()});
    REQUIRE(outputs.ok());
    CHECK(values_of((*outputs)[0]) == std::vector<float>{122, 228, 149, 264});
}

TEST_CASE("a product that somebody else reads keeps its bias apart") {
    Product product = product_graph(b());
    const ValueId row = product.graph.add_constant("row", Constant(floats({2}, {100, 200})));
    product.graph.add_output(product.graph.add_node(Op::Add, "add", {product.y, row}));
    product.graph.add_output(product.y);
    const auto outputs = run_graph(std::move(product.graph), {x()});
    REQUIRE(outputs.ok());
    CHECK(values_of((*outputs)[0]) == std::vector<float>{122, 228, 149, 264});
    CHECK(values_of((*outputs)[1]) == std::vector<float>{22, 28, 49, 64});
}

TEST_CASE("what is added to every column, or has more rows, is no bias") {
    for (const Tensor& addend : {floats({2, 1}, {100, 200}), floats({2, 2}, {1, 2, 3, 4}), floats({1, 1, 2}, {1, 2})}) {
        Product product = product_graph(b());
        const ValueId c = product.graph.add_constant("c", Constant(addend));
        product.graph.add_output(product.graph.add_node(Op::Add, "add", {product.y, c}));
        const Graph result = optimized(product.graph);
        CHECK(count_of(result, Op::Linear) == 1);
        CHECK((count_of(result, Op::Add) == 1 || result.nodes()[0].input(3) != kNoValue));
    }
}

TEST_CASE("one weight read by two products is packed once") {
    Product product = product_graph(b());
    const ValueId z = product.graph.add_input("z", DType::F32, {{.size = 1}, {.size = 3}});
    product.graph.add_output(product.y);
    product.graph.add_output(product.graph.add_node(Op::MatMul, "other", {z, product.graph.nodes()[0].inputs[1]}));
    const Graph result = optimized(product.graph);
    REQUIRE(count_of(result, Op::Linear) == 2);
    CHECK(result.nodes()[0].inputs[1] == result.nodes()[1].inputs[1]);
}

TEST_CASE("gemm with a plain A becomes Linear, others stay and are right") {
    struct Case {
        Tensor b;
        Attributes attributes;
        bool linear;
        std::vector<float> wanted;
    };
    const Tensor square = floats({3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
    const std::vector<Case> cases = {
        {b(), {}, true, {22, 28, 49, 64}},
        {floats({2, 3}, {1, 3, 5, 2, 4, 6}), {{"transB", int64_t{1}}}, true, {22, 28, 49, 64}},
        {b(), {{"alpha", 2.0}}, false, {44, 56, 98, 128}},
        {floats({2, 2}, {1, 0, 0, 1}), {{"transA", int64_t{1}}}, false, {1, 4, 2, 5, 3, 6}},
    };
    for (const Case& each : cases) {
        Product product = product_graph(each.b, Op::Gemm, each.attributes);
        product.graph.add_output(product.y);
        CHECK((count_of(optimized(product.graph), Op::Linear) == 1) == each.linear);
        const auto outputs = run_graph(std::move(product.graph), {x()});
        REQUIRE(outputs.ok());
        CHECK(values_of((*outputs)[0]) == each.wanted);
    }
}

TEST_CASE("matrices of any size come out of the packing as they went in") {
    Random random(77);
    for (const int64_t inner : {1, 63, 64, 65, 130}) {
        for (const int64_t columns : {1, 31, 32, 33, 100}) {
            CAPTURE(inner, columns);
            const Tensor x = random_floats({5, inner}, random);
            const Tensor b = random_floats({inner, columns}, random);
            const Tensor packed = result_of(Op::MatMul, {given(x), constant(b)}, {}, {make_runtime(2)});
            const Tensor plain = result_of(Op::MatMul, {given(x), given(b)}, {}, {make_runtime(2)});
            const std::vector<float> values = values_of(plain);
            CHECK(largest_error(values_of(packed), std::vector<double>(values.begin(), values.end())) < 1e-5);
        }
    }
}

}  // namespace
}  // namespace quoin::test
