// fold_shapes, remove_no_ops, remove_duplicates, inline_conditions, optimize_bodies: a graph that each takes and one
// that it must leave alone.
#include <algorithm>

#include "ops/op_test.h"
#include "optimize/passes.h"

namespace quoin::test {
namespace {

using Pass = Status (*)(Graph&, const OptimizeContext&);

// The graph after one pass.
Graph after(Pass pass, Graph graph) {
    const RuntimePtr runtime = make_runtime();
    REQUIRE(infer_types(graph).ok());
    const Status status = pass(graph, {*runtime, Provider::Native, {}});
    INFO(status.message());
    REQUIRE(status.ok());
    REQUIRE(verify(graph).ok());
    REQUIRE(infer_types(graph).ok());
    return graph;
}

size_t count(const Graph& graph, Op op) {
    return static_cast<size_t>(std::ranges::count(graph.nodes(), op, &Node::op));
}

ValueId vector_of(Graph& graph, const std::vector<int64_t>& values) {
    return graph.add_constant("c" + std::to_string(graph.values().size()),
                              Constant(longs({static_cast<int64_t>(values.size())}, values)));
}
ValueId add_x(Graph& graph) {
    return graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("batch")}, {.size = 3}, {.size = 4}});
}

// ---- fold_shapes

TEST_CASE("sizes that are known become constants, those with a name do not") {
    Graph graph;
    const ValueId x = add_x(graph);
    const ValueId shape = graph.add_node(Op::Shape, "shape", {x});
    const ValueId row = graph.add_node(Op::Gather, "row", {shape, vector_of(graph, {1})});
    const ValueId tail = graph.add_node(Op::Slice, "tail", {shape, vector_of(graph, {1}), vector_of(graph, {99})});
    const ValueId batch = graph.add_node(Op::Gather, "batch", {shape, vector_of(graph, {0})});
    for (const ValueId id : {row, tail, batch}) graph.add_output(id);
    graph = after(fold_shapes, std::move(graph));
    const auto integers = [&](ValueId id) {
        const Tensor tensor = graph.value(id).constant->load().value();
        return std::vector<int64_t>(tensor.as<int64_t>().begin(), tensor.as<int64_t>().end());
    };
    REQUIRE(graph.value(row).constant);
    CHECK(integers(row) == std::vector<int64_t>{3});
    REQUIRE(graph.value(tail).constant);
    CHECK(integers(tail) == std::vector<int64_t>{3, 4});
    CHECK_FALSE(graph.value(batch).constant);
    CHECK(count(graph, Op::Shape) == 1);
}

TEST_CASE("names of sizes survive shape arithmetic") {
    Graph graph;
    const ValueId x = add_x(graph);
    const ValueId shape = graph.add_node(Op::Shape, "shape", {x});
    const ValueId batch =
        graph.add_node(Op::Gather, "batch", {shape, graph.add_constant("0", Constant(longs({}, {0})))});
    const ValueId column = graph.add_node(Op::Unsqueeze, "column", {batch, vector_of(graph, {0})});
    const ValueId target =
        graph.add_node(Op::Concat, "target", {column, vector_of(graph, {-1})}, {{"axis", int64_t{0}}});
    const ValueId flat = graph.add_node(Op::Reshape, "flat", {x, target});
    graph.add_output(flat);
    REQUIRE(infer_types(graph).ok());
    CHECK(describe(graph, graph.value(flat)) == "f32[batch, 12]");
}

// ---- remove_no_ops

TEST_CASE("nodes that do nothing are passed by") {
    Graph graph;
    ValueId value = add_x(graph);
    value = graph.add_node(Op::Identity, "identity", {value});
    value = graph.add_node(Op::Cast, "cast", {value}, {{"to", static_cast<int64_t>(DType::F32)}});
    value = graph.add_node(Op::Reshape, "reshape", {value, vector_of(graph, {0, 3, 4})});
    value = graph.add_node(Op::Transpose, "transpose", {value}, {{"perm", std::vector<int64_t>{0, 1, 2}}});
    value = graph.add_node(Op::Slice, "slice",
                           {value, vector_of(graph, {0}), vector_of(graph, {int64_t{1} << 60}), vector_of(graph, {0})});
    value = graph.add_node(Op::Pad, "pad", {value, vector_of(graph, {0, 0, 0, 0, 0, 0})});
    value = graph.add_node(Op::Expand, "expand", {value, vector_of(graph, {1, 3, 4})});
    value = graph.add_node(Op::Tile, "tile", {value, vector_of(graph, {1, 1, 1})});
    value = graph.add_node(Op::Concat, "concat", {value}, {{"axis", int64_t{0}}});
    graph.add_output(graph.add_node(Op::Add, "sum", {value, value}));
    graph = after(remove_no_ops, std::move(graph));
    REQUIRE(graph.nodes().size() == 1);
    CHECK(graph.node(0).inputs[0] == graph.inputs()[0]);
}

TEST_CASE("nodes that do a little stay, and so do those that make an output") {
    Graph graph;
    const ValueId x = add_x(graph);
    std::vector<ValueId> kept = {
        graph.add_node(Op::Cast, "cast", {x}, {{"to", static_cast<int64_t>(DType::F16)}}),
        graph.add_node(Op::Reshape, "reshape", {x, vector_of(graph, {0, 4, 3})}),
        graph.add_node(Op::Transpose, "transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}}),
        graph.add_node(Op::Slice, "slice", {x, vector_of(graph, {1}), vector_of(graph, {99}), vector_of(graph, {1})}),
        graph.add_node(
            Op::Slice, "backwards",
            {x, vector_of(graph, {-1}), vector_of(graph, {-99}), vector_of(graph, {1}), vector_of(graph, {-1})}),
        graph.add_node(Op::Pad, "pad", {x, vector_of(graph, {0, 0, 0, 0, 0, 1})}),
        graph.add_node(Op::Expand, "expand", {x, vector_of(graph, {2, 3, 4})}),
        graph.add_node(Op::Tile, "tile", {x, vector_of(graph, {1, 2, 1})}),
    };
    for (const ValueId id : kept) graph.add_output(graph.add_node(Op::Identity, "id" + std::to_string(id), {id}));
    graph = after(remove_no_ops, std::move(graph));
    CHECK(graph.nodes().size() == 2 * kept.size());
}

// ---- remove_duplicates

TEST_CASE("what is computed twice is computed once") {
    Graph graph;
    const ValueId x = add_x(graph);
    const ValueId y = graph.add_input("y", DType::F32, {{.size = 4}});
    const ValueId a = graph.add_node(Op::Add, "a", {x, y});
    const ValueId b = graph.add_node(Op::Add, "b", {y, x});  // the operands may change places
    const ValueId c = graph.add_node(Op::Reshape, "c", {a, vector_of(graph, {-1, 12})});
    const ValueId d = graph.add_node(Op::Reshape, "d", {b, vector_of(graph, {-1, 12})});  // equal constants
    graph.add_output(graph.add_node(Op::Mul, "product", {c, d}));
    graph = after(remove_duplicates, std::move(graph));
    CHECK(count(graph, Op::Add) == 1);
    CHECK(count(graph, Op::Reshape) == 1);
    CHECK(graph.nodes().back().inputs[0] == graph.nodes().back().inputs[1]);
}

TEST_CASE("what differs in order, attribute or chance is not the same") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 4}, {.size = 4}});
    const ValueId y = graph.add_input("y", DType::F32, {{.size = 4}, {.size = 4}});
    for (const auto& [a, b] : {std::pair(x, y), std::pair(y, x)}) {
        graph.add_output(graph.add_node(Op::Concat, "concat", {a, b}, {{"axis", int64_t{0}}}));
    }
    for (const int64_t axis : {0, 1}) {
        graph.add_output(graph.add_node(Op::Concat, "concat", {x, y}, {{"axis", axis}}));
    }
    for (int each = 0; each < 2; ++each) {
        graph.add_output(graph.add_node(Op::Cast, "cast", {x}, {{"to", static_cast<int64_t>(DType::F16)}}));
    }
    const size_t before = graph.nodes().size();
    graph = after(remove_duplicates, std::move(graph));
    CHECK(graph.nodes().size() == before);  // graph outputs keep their own values, too
}

// ---- inline_conditions

using Body = std::shared_ptr<const Graph>;

Body adding_branch(float number) {
    Graph branch;
    const ValueId x = branch.add_input("x", DType::Undefined, {});
    const ValueId n = branch.add_constant("n", Constant(floats({1}, {number})));
    const ValueId sum = branch.add_node(Op::Add, "sum", {x, n});
    for (const ValueId id : {sum, x, sum}) branch.add_output(id);
    return std::make_shared<const Graph>(std::move(branch));
}

Graph conditional(bool constant) {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}});
    const Tensor flag = tensor_of<uint8_t>(DType::Bool, {}, {0});
    const ValueId condition =
        constant ? graph.add_constant("condition", Constant(flag)) : graph.add_input("condition", DType::Bool, {});
    Node node{Op::If,
              "if",
              {condition, x},
              {},
              {{"then_branch", adding_branch(1)}, {"else_branch", adding_branch(2)}, {"captures", int64_t{1}}}};
    for (const char* const name : {"a", "b", "c"}) {
        node.outputs.push_back(graph.add_value(name, DType::Undefined, {}));
        graph.add_output(node.outputs.back());
    }
    graph.append_node(std::move(node));
    return graph;
}

TEST_CASE("an If that is decided becomes its branch") {
    const Graph graph = after(inline_conditions, conditional(true));
    CHECK(count(graph, Op::If) == 0);
    CHECK(count(graph, Op::Add) == 1);
    CHECK(graph.value(graph.outputs()[1]).name == "b");
    const auto outputs = run_graph(graph, {floats({2}, {10, 20})});
    REQUIRE(outputs.ok());
    CHECK(values_of((*outputs)[0]) == std::vector<float>{12, 22});
    CHECK(values_of((*outputs)[1]) == std::vector<float>{10, 20});
    CHECK(values_of((*outputs)[2]) == std::vector<float>{12, 22});
}

TEST_CASE("an If that is not decided stays, with types for what it makes") {
    const Graph graph = after(optimize_bodies, after(inline_conditions, conditional(false)));
    REQUIRE(count(graph, Op::If) == 1);
    CHECK(describe(graph, graph.value(graph.outputs()[0])) == "f32[2]");
}

// ---- optimize_bodies

Graph looping(bool constant_weight) {
    Graph body;
    body.add_input("iteration", DType::I64, {});
    const ValueId condition = body.add_input("condition", DType::Bool, {});
    const ValueId carried = body.add_input("carried", DType::F32, {{.size = 99}});  // a lie
    const ValueId unread = body.add_input("unread", DType::Undefined, {});
    const ValueId weight = body.add_input("weight", DType::Undefined, {});
    const ValueId copy = body.add_node(Op::Identity, "copy", {carried});
    const ValueId twice = body.add_node(Op::Add, "twice", {weight, weight});
    const ValueId dead = body.add_node(Op::Add, "dead", {unread, unread});
    static_cast<void>(dead);
    body.add_output(condition);
    body.add_output(body.add_node(Op::Add, "sum", {copy, twice}));

    Graph graph;
    const ValueId trips = graph.add_input("trips", DType::I64, {});
    const ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("n")}, {.size = 2}});
    const Tensor numbers = floats({2}, {1, 2});
    const ValueId w =
        constant_weight ? graph.add_constant("w", Constant(numbers)) : graph.add_input("w", DType::F32, {{.size = 2}});
    graph.add_output(
        graph.add_node(Op::Loop, "loop", {trips, kNoValue, x, x, w},
                       {{"body", std::make_shared<const Graph>(std::move(body))}, {"captures", int64_t{2}}}));
    return graph;
}

const Graph& body_of(const Graph& graph) {
    return *std::get<std::shared_ptr<const Graph>>(*graph.node(0).attribute("body"));
}

TEST_CASE("bodies are optimized, know the types of what they get and keep constants themselves") {
    const Graph graph = after(optimize_bodies, looping(true));
    const Graph& body = body_of(graph);
    CHECK(graph.node(0).integer("captures", -1) == 0);
    CHECK(graph.node(0).inputs.size() == 3);
    CHECK(body.inputs().size() == 3);
    CHECK(body.nodes().size() == 1);  // the identity is gone, w + w folded, the dead node dropped
    CHECK(describe(body, body.value(body.inputs()[2])) == "f32[n, 2]");
    CHECK(describe(graph, graph.value(graph.outputs()[0])) == "f32[?, 2]");
}

TEST_CASE("a capture that changes from run to run stays one") {
    const Graph graph = after(optimize_bodies, looping(false));
    CHECK(graph.node(0).integer("captures", -1) == 1);
    CHECK(graph.node(0).inputs.size() == 4);
    CHECK(body_of(graph).nodes().size() == 2);
    const auto outputs = run_graph(graph, {longs({}, {3}), floats({1, 2}, {0, 0}), floats({2}, {1, 2})});
    REQUIRE(outputs.ok());
    CHECK(values_of((*outputs)[0]) == std::vector<float>{6, 12});
}

}  // namespace
}  // namespace quoin::test
