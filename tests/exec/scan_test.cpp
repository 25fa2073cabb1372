// Scan and optionals: values from the examples of the ONNX specification.
#include "ops/op_test.h"

namespace quoin::test {
namespace {

using Longs = std::vector<int64_t>;

// state' = state + row, which is also what is stacked.
std::shared_ptr<const Graph> summing_body() {
    Graph body;
    const ValueId state = body.add_input("state", DType::Undefined, {});
    const ValueId row = body.add_input("row", DType::Undefined, {});
    const ValueId sum = body.add_node(Op::Add, "sum", {state, row});
    body.add_output(sum);
    body.add_output(sum);
    return std::make_shared<const Graph>(std::move(body));
}

struct Scanned {
    std::vector<float> state, rows;
    Shape shape;
};

Result<Scanned> scan(const Tensor& initial, const Tensor& x, const Attributes& more = {}) {
    Graph graph;
    const ValueId state = graph.add_input("initial", DType::F32, dims_of(initial.shape()));
    const ValueId rows = graph.add_input("x", DType::F32, dims_of(x.shape()));
    Node node{Op::Scan, "scan", {state, rows}, {}, {{"body", summing_body()}, {"num_scan_inputs", int64_t{1}}}};
    node.attributes.insert(node.attributes.end(), more.begin(), more.end());
    for (const char* const name : {"final", "stacked"}) {
        node.outputs.push_back(graph.add_value(name, DType::Undefined, std::nullopt));
        graph.add_output(node.outputs.back());
    }
    graph.append_node(std::move(node));
    QUOIN_ASSIGN_OR_RETURN(const PreparedGraphPtr prepared, make_ready(std::move(graph)));
    Session session(prepared);
    session.set_input(0, view_of(initial));
    session.set_input(1, view_of(x));
    QUOIN_RETURN_IF_ERROR(session.run());
    return Scanned{values_of(copy_of(session.output(0))), values_of(copy_of(session.output(1))),
                   session.output(1).shape};
}

TEST_CASE("a scan carries its state over the rows and stacks what each gives") {
    const auto sums = scan(floats({2}, {0, 0}), floats({3, 2}, {1, 2, 3, 4, 5, 6}));
    REQUIRE(sums.status().message() == "");
    CHECK(sums->state == std::vector<float>{9, 12});
    CHECK(sums->rows == std::vector<float>{1, 2, 4, 6, 9, 12});
}

TEST_CASE("a scan goes backwards, along another axis, and stacks along another axis") {
    const Tensor zero = floats({2}, {0, 0});
    const auto backwards = scan(zero, floats({3, 2}, {1, 2, 3, 4, 5, 6}), {{"scan_input_directions", Longs{1}}});
    REQUIRE(backwards.ok());
    CHECK(backwards->rows == std::vector<float>{5, 6, 8, 10, 9, 12});
    const auto columns = scan(zero, floats({2, 3}, {1, 3, 5, 2, 4, 6}),
                              {{"scan_input_axes", Longs{1}}, {"scan_output_axes", Longs{-1}}});
    REQUIRE(columns.ok());
    CHECK(columns->shape == Shape{2, 3});
    CHECK(columns->rows == std::vector<float>{1, 4, 9, 2, 6, 12});
    const auto placed = scan(zero, floats({3, 2}, {1, 2, 3, 4, 5, 6}), {{"scan_output_directions", Longs{1}}});
    REQUIRE(placed.ok());
    CHECK(placed->rows == std::vector<float>{9, 12, 4, 6, 1, 2});
}

TEST_CASE("a scan over nothing gives its initial state and no rows") {
    const auto none = scan(floats({2}, {7, 8}), floats({0, 2}, {}));
    REQUIRE(none.status().message() == "");
    CHECK(none->state == std::vector<float>{7, 8});
    CHECK(none->shape[0] == 0);
}

TEST_CASE("an axis that a scan does not have is refused") {
    const auto wrong = scan(floats({2}, {0, 0}), floats({3, 2}, {1, 2, 3, 4, 5, 6}), {{"scan_input_axes", Longs{2}}});
    CHECK_FALSE(wrong.ok());
    CHECK_THAT(wrong.status().message(), contains("scan"));
}

TEST_CASE("an optional input may be there or not") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}});
    const ValueId wrapped = graph.add_node(Op::Optional, "wrapped", {x});
    graph.add_output(graph.add_node(Op::OptionalHasElement, "has", {wrapped}));
    graph.add_output(graph.add_node(Op::OptionalGetElement, "got", {wrapped}));
    graph.add_output(graph.add_node(Op::OptionalHasElement, "has.nothing", {}));
    const auto outputs = run_graph(std::move(graph), {floats({2}, {3, 4})});
    REQUIRE(outputs.status().message() == "");
    CHECK(outputs->at(0).as<const uint8_t>()[0] == 1);
    CHECK(values_of(outputs->at(1)) == std::vector<float>{3, 4});
    CHECK(outputs->at(2).as<const uint8_t>()[0] == 0);
}

}  // namespace
}  // namespace quoin::test
