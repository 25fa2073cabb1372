// Plans of small graphs: where barriers stand, who takes whose memory, and shapes that cannot be.
#include "ops/op_test.h"
#include "program_check.h"

namespace quoin::test {
namespace {

struct Planned {
    PreparedGraphPtr prepared;
    Program program;

    Planned(Graph graph, const std::vector<TensorView>& inputs)
        : prepared(make_ready(std::move(graph)).value()), program(plan(*prepared, inputs).value().program) {}

    ProgramCheck check() const {
        ProgramCheck check(*prepared, program);
        CHECK(check.complaints() == "");
        return check;
    }
    // Where the step with this node's name puts its result.
    Place result_of(const std::string& name) const {
        for (const Step& step : program.steps) {
            if (prepared->graph.node(step.node).name == name) return program.places[step.first_view + step.inputs];
        }
        FAIL("no step " << name);
        return {};
    }
};

TensorView view(DType dtype, const Shape& shape) {
    return {nullptr, dtype, shape};
}

ValueId swish(Graph& graph, const std::string& name, ValueId x) {
    return graph.add_node(Op::Swish, name, {x});
}

// ---- Barriers

TEST_CASE("steps that do not wait for each other share the space between two barriers") {
    Random random(41);
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 3}, {.size = 32}});
    const ValueId scale = graph.add_constant("scale", Constant(random_floats({32}, random)));
    const ValueId normed = graph.add_node(Op::RMSNormalization, "norm", {x, scale});
    std::vector<ValueId> projections;
    for (const char* name : {"q", "k", "v"}) {
        const Weight weight = make_weight(DType::Q8_0, 32, 32, random);
        const ValueId w = graph.add_constant(std::string(name) + ".weight", Constant(weight_tensor(weight)));
        projections.push_back(graph.add_node(Op::Linear, name, {normed, w}));
    }
    const ValueId sum = graph.add_node(Op::Mul, "product", {projections[0], projections[1]});
    graph.add_output(graph.add_node(Op::Mul, "products", {sum, projections[2]}));
    const Planned planned(graph, {view(DType::F32, {3, 32})});
    const ProgramCheck check = planned.check();
    for (const ValueId projection : projections) CHECK(check.epoch(projection) == 1);  // 0: norm and quantisation
    CHECK(check.epoch(sum) == 2);
    CHECK(planned.program.steps.size() == 6);
    CHECK(planned.program.barriers == 3);
}

TEST_CASE("a single step needs no barrier, a chain one at each link") {
    Graph single;
    single.add_output(swish(single, "a", single.add_input("x", DType::F32, {{.size = 8}})));
    CHECK(Planned(single, {view(DType::F32, {8})}).program.barriers == 0);
    Graph chain;
    const ValueId a = swish(chain, "a", chain.add_input("x", DType::F32, {{.size = 8}}));
    chain.add_output(swish(chain, "c", swish(chain, "b", a)));
    CHECK(Planned(chain, {view(DType::F32, {8})}).program.barriers == 2);
}

TEST_CASE("a step close behind is drawn in front of one that waits") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 8}});
    const ValueId a = swish(graph, "a", x);
    graph.add_output(swish(graph, "b", a));
    const ValueId c = graph.add_node(Op::Add, "c", {x, x});
    graph.add_output(swish(graph, "d", c));
    const Planned planned(graph, {view(DType::F32, {8})});
    CHECK(planned.check().epoch(c) == 0);
    CHECK(planned.program.barriers == 1);  // a c | b d
}

TEST_CASE("a view is no step and hides no dependency") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}, {.size = 4}});
    const ValueId shape = graph.add_constant("shape", Constant(longs({1}, {8})));
    const ValueId a = swish(graph, "a", x);
    const ValueId flat = graph.add_node(Op::Reshape, "flat", {a, shape});
    graph.add_output(swish(graph, "b", flat));
    const Planned planned(graph, {view(DType::F32, {2, 4})});
    planned.check();
    CHECK(planned.program.steps.size() == 2);
    CHECK(planned.program.barriers == 1);
}

// ---- Memory

TEST_CASE("in a chain each result takes the place of its operand, but not of the model's input") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 1000}});
    const ValueId a = swish(graph, "a", x);
    const ValueId b = swish(graph, "b", a);
    const ValueId c = swish(graph, "c", b);
    graph.add_output(swish(graph, "d", c));
    const Planned planned(graph, {view(DType::F32, {1000})});
    CHECK(planned.check().in_place() == 2);  // b over a, c over b
    for (const char* name : {"a", "b", "c"}) {
        CHECK(planned.result_of(name).kind == Place::Kind::Arena);
        CHECK(planned.result_of(name).offset == planned.result_of("a").offset);
    }
    CHECK(planned.result_of("d").kind == Place::Kind::Output);
    CHECK(planned.program.arena_bytes == 2 * 4032);  // 4,000 bytes in units of 64, once for the chain, once for d
}

TEST_CASE("an operand that somebody else still needs is not written over") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 16}});
    const ValueId a = swish(graph, "a", x);
    const ValueId b = swish(graph, "b", a);                  // the same epoch as c
    const ValueId c = graph.add_node(Op::Mul, "c", {b, a});  // a is read once more
    const ValueId d = graph.add_node(Op::Add, "d", {c, c});  // both operands are the one it would write over
    graph.add_output(swish(graph, "e", d));
    const Planned planned(graph, {view(DType::F32, {16})});
    planned.check();
    CHECK(planned.result_of("b").offset != planned.result_of("a").offset);
    CHECK(planned.result_of("c").offset == planned.result_of("b").offset);  // its first operand ended here
    CHECK(planned.result_of("d").offset != planned.result_of("c").offset);
}

TEST_CASE("memory is used again when its value is dead") {
    Graph graph;
    ValueId x = graph.add_input("x", DType::F32, {{.size = 1}, {.size = 64}});
    Random random(42);
    for (int index = 0; index < 10; ++index) {  // a Linear cannot write over its input
        const ValueId w = graph.add_constant("w" + std::to_string(index), Constant(random_floats({64, 64}, random)));
        x = graph.add_node(Op::Linear, "l" + std::to_string(index), {x, w});
    }
    graph.add_output(x);
    const Planned planned(graph, {view(DType::F32, {1, 64})});
    planned.check();
    CHECK(planned.program.arena_bytes == 2 * 256);
}

// ---- Updates

struct CacheGraph {
    Graph graph;
    ValueId cache = graph.add_input("cache", DType::F32, dims_of({1, 1, 32, 4}));
    ValueId data = graph.add_input("data", DType::F32, dims_of({1, 1, 4}));
    ValueId position = graph.add_input("position", DType::I32, dims_of({1, 1}));
    ValueId sequence = graph.add_input("sequence", DType::I32, dims_of({1}));
    ValueId table = graph.add_input("table", DType::I32, dims_of({1, 1}));

    ValueId update(ValueId target) {
        return graph.add_node(Op::CacheUpdate, "update", {target, data, position, sequence, table},
                              {{"kind", std::string("values")}, {"kv_num_heads", int64_t{1}}});
    }
    // Writes 9 into position 2 of a cache of ones.
    std::vector<Tensor> tensors() const {
        return {floats({1, 1, 32, 4}, std::vector<float>(128, 1.0F)), floats({1, 1, 4}, {9, 9, 9, 9}),
                ints({1, 1}, {2}), ints({1}, {0}), ints({1, 1}, {0})};
    }
    Planned planned() const {
        std::vector<TensorView> views;
        for (const Tensor& tensor : tensors()) views.push_back(view_of(tensor));
        return {graph, views};
    }
};

TEST_CASE("an update waits for those who read the old bytes, its readers wait for it") {
    CacheGraph caches;
    const ValueId before = swish(caches.graph, "before", caches.cache);
    const ValueId updated = caches.update(caches.cache);
    const ValueId after = swish(caches.graph, "after", updated);
    for (const ValueId id : {before, after, updated}) caches.graph.add_output(id);
    const Planned planned = caches.planned();
    const ProgramCheck check = planned.check();
    CHECK(check.epoch(before) == 0);
    CHECK(check.epoch(updated) == 1);
    CHECK(check.epoch(after) == 2);
    CHECK(planned.result_of("update").kind == Place::Kind::Input);

    const std::vector<Tensor> inputs = caches.tensors();
    const std::vector<Tensor> outputs = run_graph(caches.graph, inputs).value();
    const float one = 1 / (1 + std::exp(-1.0F));
    const float nine = 9 / (1 + std::exp(-9.0F));
    CHECK(outputs[0].as<float>()[2 * 4] == Approx(one));
    CHECK(outputs[1].as<float>()[2 * 4] == Approx(nine));
    CHECK(outputs[1].as<float>()[3 * 4] == Approx(one));
    CHECK(inputs[0].as<float>()[2 * 4] == 9);  // the caller's bytes are the cache
    CHECK(outputs[2].as<float>()[2 * 4] == 9);
}

TEST_CASE("an update does not overtake a reader of the old bytes that is not ready yet") {
    CacheGraph caches;
    const ValueId other = caches.graph.add_input("other", DType::F32, dims_of({1}));
    const ValueId bent = swish(caches.graph, "bent", other);
    const ValueId before = caches.graph.add_node(Op::Add, "before", {caches.cache, bent});
    const ValueId updated = caches.update(caches.cache);
    caches.graph.add_output(before);
    caches.graph.add_output(updated);
    std::vector<Tensor> inputs = caches.tensors();
    inputs.push_back(floats({1}, {0}));
    std::vector<TensorView> views;
    for (const Tensor& tensor : inputs) views.push_back(view_of(tensor));
    const ProgramCheck check = Planned(caches.graph, views).check();
    CHECK(check.epoch(before) == 1);
    CHECK(check.epoch(updated) == 2);
    const std::vector<Tensor> outputs = run_graph(caches.graph, inputs).value();
    CHECK(values_of(outputs[0]) == std::vector<float>(128, 1.0F));
    CHECK(outputs[1].as<float>()[2 * 4] == 9);
}

TEST_CASE("a value in the arena can be updated like one from outside") {
    CacheGraph caches;
    const ValueId copy = caches.graph.add_node(Op::Add, "copy", {caches.cache, caches.cache});
    const ValueId twice = caches.update(caches.update(copy));
    caches.graph.add_output(caches.graph.add_node(Op::Add, "result", {twice, twice}));
    caches.planned().check();
    const std::vector<Tensor> inputs = caches.tensors();
    const std::vector<Tensor> outputs = run_graph(caches.graph, inputs).value();
    CHECK(outputs[0].as<float>()[2 * 4] == 18);
    CHECK(outputs[0].as<float>()[3 * 4] == 4);
    CHECK(inputs[0].as<float>()[2 * 4] == 1);
}

// ---- Shapes that cannot be

Status plan_status(const Graph& graph, const std::vector<TensorView>& inputs) {
    const PreparedGraphPtr prepared = make_ready(graph).value();
    return plan(*prepared, inputs).status();
}

TEST_CASE("an input that contradicts the model is described beside what the model takes") {
    Graph graph;
    const Dim tokens{.symbol = graph.add_symbol("tokens")};
    const ValueId x = graph.add_input("x", DType::F32, {tokens, {.size = 3}});
    const ValueId y = graph.add_input("y", DType::F32, {tokens, {.size = 1}});
    graph.add_output(graph.add_node(Op::Add, "sum", {x, y}));
    const TensorView good = view(DType::F32, {2, 1});
    const auto refused = [&](const TensorView& first, const TensorView& second, const std::string& sentence) {
        const Status status = plan_status(graph, {first, second});
        CHECK(status.code() == StatusCode::InvalidArgument);
        CHECK(status.message() == sentence);
    };
    CHECK(plan_status(graph, {view(DType::F32, {2, 3}), good}).ok());
    refused(view(DType::I32, {2, 3}), good, "input 'x' is i32[2, 3] where the model takes f32[tokens, 3]");
    refused(view(DType::F32, {2, 4}), good, "input 'x' is f32[2, 4] where the model takes f32[tokens, 3]");
    refused(view(DType::F32, {2, 3, 1}), good, "input 'x' is f32[2, 3, 1] where the model takes f32[tokens, 3]");
    refused(view(DType::F32, {-2, 3}), good, "input 'x' is f32[-2, 3] where the model takes f32[tokens, 3]");
    refused(view(DType::F32, {5, 3}), good, "input 'y' is f32[2, 1] where the model takes f32[tokens, 1]");
}

TEST_CASE("results that no memory could hold are refused, not wrapped around") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("a")}, {.size = 1}});
    const ValueId y = graph.add_input("y", DType::F32, {{.size = 1}, {.symbol = graph.add_symbol("b")}});
    graph.add_output(graph.add_node(Op::Add, "sum", {x, y}));
    constexpr int64_t kMany = int64_t{1} << 33;  // squared: 0 in wrapping arithmetic once it is bytes
    const Status status = plan_status(graph, {view(DType::F32, {kMany, 1}), view(DType::F32, {1, kMany})});
    CHECK(status.code() == StatusCode::InvalidArgument);
    CHECK(status.message() == "node 'sum' (Add): no tensor can have the shape of its result");
    const Status input = plan_status(graph, {view(DType::F32, {int64_t{1} << 62, 1}), view(DType::F32, {1, 1})});
    CHECK_THAT(input.message(), contains("input 'x' is f32[4611686018427387904, 1]"));
}

TEST_CASE("results of more dimensions than a shape has are refused") {
    Graph graph;
    const std::vector<Dim> dims(Shape::kMaxRank, Dim{.size = 1});
    const ValueId ids = graph.add_input("ids", DType::I32, dims);
    const ValueId table = graph.add_constant("table", Constant(floats({1, 1}, {1})));
    graph.add_output(graph.add_node(Op::Embedding, "rows", {table, ids}));
    const std::vector<int64_t> ones(Shape::kMaxRank, 1);
    const Status status = plan_status(graph, {view(DType::I32, Shape(std::span<const int64_t>(ones)))});
    CHECK_THAT(status.message(), contains("node 'rows' (Embedding): no tensor can have the shape of its result"));
}

// ---- Text

TEST_CASE("the text of a program shows steps, barriers and places") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 20}});
    graph.add_output(swish(graph, "second", swish(graph, "first", x)));
    const Planned planned(graph, {view(DType::F32, {20})});
    CHECK("\n" + dump(*planned.prepared, planned.program) == R"(
2 steps, 1 barriers, arena 256 bytes, scratch 0 bytes per thread
Swish first: 1 tasks -> f32[20] at 0
---- barrier
Swish second: 1 tasks -> f32[20] as output 0
)");
}

}  // namespace
}  // namespace quoin::test
