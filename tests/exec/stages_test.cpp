// Graphs that cannot be planned at once: shapes that depend on bytes, sequences, bodies.
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "ops/op_test.h"

namespace quoin::test {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

std::vector<int64_t> longs_of(const Tensor& tensor) {
    const auto values = tensor.as<int64_t>();
    return {values.begin(), values.end()};
}
ValueId number(Graph& graph, const std::string& name, const std::vector<int64_t>& values) {
    return graph.add_constant(name, Constant(longs({static_cast<int64_t>(values.size())}, values)));
}
Tensor flag(bool value) {
    return tensor_of<uint8_t>(DType::Bool, {}, {static_cast<uint8_t>(value)});
}

// The elements of x that are not 0, doubled.
ValueId add_picked(Graph& graph, ValueId x, const std::string& name) {
    const ValueId indices = graph.add_node(Op::NonZero, name + ".indices", {x});
    const ValueId flat = graph.add_node(Op::Squeeze, name + ".flat", {indices, number(graph, name + ".zero", {0})});
    const ValueId picked = graph.add_node(Op::Gather, name + ".picked", {x, flat});
    return graph.add_node(Op::Add, name, {picked, picked});
}

// x [n] -> what is not 0, twice over, and x + x; the shapes of the first tell only its bytes.
Graph staged_graph(int stages) {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("n")}});
    ValueId value = x;
    for (int stage = 0; stage < stages; ++stage) value = add_picked(graph, value, "stage" + std::to_string(stage));
    graph.add_output(value);
    graph.add_output(graph.add_node(Op::Add, "sum", {x, x}));
    return graph;
}

std::vector<float> picked(const std::vector<float>& x, float scale) {
    std::vector<float> result;
    for (const float each : x) {
        if (each != 0) result.push_back(each * scale);
    }
    return result;
}

// ---- Stages

TEST_CASE("a graph goes on when the shape of a result is there") {
    for (const int threads : {1, 2}) {
        const auto prepared = make_ready(staged_graph(1), {.runtime = make_runtime(threads)}).value();
        Session session(prepared);
        for (const std::vector<float>& numbers : std::vector<std::vector<float>>{
                 {1, 0, 2, 0, 3}, {0, 0, 0, 0, 1}, {1, 2, 3, 4, 5}, {0, 0, 0, 0, 0}, {5, 0, 0}, {1, 0, 2, 0, 3}}) {
            const Tensor x = floats({static_cast<int64_t>(numbers.size())}, numbers);
            session.set_input(0, view_of(x));
            REQUIRE(session.run().ok());
            CHECK(values_of(copy_of(session.output(0))) == picked(numbers, 2));
            std::vector<float> sum;
            for (const float each : numbers) sum.push_back(2 * each);
            CHECK(values_of(copy_of(session.output(1))) == sum);
        }
    }
}

TEST_CASE("a stage may follow a stage") {
    const auto prepared = make_ready(staged_graph(4), {.runtime = make_runtime(2)}).value();
    Session session(prepared);
    for (int round = 0; round < 3; ++round) {
        const std::vector<float> numbers = {1, 0, static_cast<float>(round), 7};
        const Tensor x = floats({4}, numbers);
        session.set_input(0, view_of(x));
        REQUIRE(session.run().ok());
        CHECK(values_of(copy_of(session.output(0))) == picked(numbers, 16));
    }
}

TEST_CASE("memory does not grow when the shapes are those of an earlier run") {
    const auto runtime = make_runtime();
    const auto prepared = make_ready(staged_graph(2), {.runtime = runtime}).value();
    Session session(prepared);
    const Tensor x = floats({6}, {1, 0, 2, 0, 3, 4});
    session.set_input(0, view_of(x));
    REQUIRE(session.run().ok());
    const size_t used = runtime->memory->used_bytes();
    for (int round = 0; round < 50; ++round) REQUIRE(session.run().ok());
    CHECK(runtime->memory->used_bytes() == used);
}

TEST_CASE("what is small and known is computed while planning, also where its shape was open") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("n")}});
    const ValueId shape = graph.add_node(Op::Shape, "shape", {x});
    const ValueId ones = graph.add_node(Op::ConstantOfShape, "ones", {shape}, {{"value", longs({1}, {1})}});
    const ValueId indices = graph.add_node(Op::NonZero, "indices", {ones});
    const ValueId flat = graph.add_node(Op::Squeeze, "flat", {indices, number(graph, "zero", {0})});
    graph.add_output(graph.add_node(Op::Gather, "rows", {x, flat}));
    const auto prepared = make_ready(std::move(graph)).value();
    const TensorView input{nullptr, DType::F32, {5}};
    const Result<Stage> stage = plan(*prepared, std::span(&input, 1));
    REQUIRE(stage.ok());
    CHECK(stage->program.last);
    CHECK(stage->program.dynamic.empty());
    const Tensor given = floats({5}, {1, 2, 3, 4, 5});
    Session session(prepared);
    session.set_input(0, view_of(given));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == values_of(given));
}

TEST_CASE("outputs of every stage go to the caller's memory") {
    Graph graph = staged_graph(1);
    graph.add_output(graph.node(0).outputs[0]);  // the indices: made between the stages
    const auto prepared = make_ready(std::move(graph)).value();
    Session session(prepared);
    const Tensor x = floats({4}, {0, 3, 0, 4});
    Tensor last = floats({2}, {0, 0});
    Tensor first = floats({4}, {0, 0, 0, 0});
    Tensor between = longs({1, 2}, {0, 0});
    session.set_input(0, view_of(x));
    session.bind_output(0, view_of(last));
    session.bind_output(1, view_of(first));
    session.bind_output(2, view_of(between));
    REQUIRE(session.run().ok());
    CHECK(values_of(last) == std::vector<float>{6, 8});
    CHECK(values_of(first) == std::vector<float>{0, 6, 0, 8});
    CHECK(longs_of(between) == std::vector<int64_t>{1, 3});
    CHECK(session.output(0).data == last.data());
    CHECK(session.output(2).data == between.data());

    SECTION("and a buffer that does not fit is refused, whichever stage it belongs to") {
        const auto wrong = GENERATE(0, 1, 2);
        const Tensor other = wrong == 2 ? longs({2, 2}, {0, 0, 0, 0}) : floats({3}, {0, 0, 0});
        session.bind_output(static_cast<size_t>(wrong), view_of(other));
        const Status status = session.run();
        CHECK(status.code() == StatusCode::InvalidArgument);
        CHECK_THAT(status.message(), contains("the buffer bound to output " + std::to_string(wrong)));
    }
}

TEST_CASE("an error between the stages names its node, and the next run is well") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("n")}});
    const ValueId indices = graph.add_node(Op::NonZero, "indices", {x});
    const ValueId flat = graph.add_node(Op::Squeeze, "flat", {indices, number(graph, "zero", {0})});
    const ValueId shape = graph.add_node(Op::Shape, "count", {flat});
    graph.add_output(graph.add_node(Op::Expand, "wide", {x, shape}));
    const auto prepared = make_ready(std::move(graph)).value();
    Session session(prepared);
    const Tensor bad = floats({3}, {1, 1, 0});
    session.set_input(0, view_of(bad));
    const Status status = session.run();
    CHECK_THAT(status.message(), contains("node 'wide' (Expand)"));
    const Tensor good = floats({3}, {1, 1, 1});
    session.set_input(0, view_of(good));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{1, 1, 1});
}

// ---- Sequences

TEST_CASE("sequences go in and come out") {
    Graph graph;
    const ValueId list = graph.add_input("list", DType::F32, {});
    graph.value(list).kind = ValueKind::Sequence;
    graph.value(list).dims.reset();
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}});
    const ValueId doubled = graph.add_node(Op::Add, "doubled", {x, x});
    const ValueId longer = graph.add_node(Op::SequenceInsert, "longer", {list, doubled});
    graph.add_output(longer);
    graph.add_output(graph.add_node(Op::ConcatFromSequence, "joined", {longer}, {{"axis", int64_t{0}}}));
    graph.add_output(graph.add_node(Op::SequenceLength, "length", {longer}));
    const ValueId last = graph.add_node(Op::SequenceAt, "last", {longer, number(graph, "minus one", {-1})});
    graph.add_output(graph.add_node(Op::Add, "again", {last, last}));
    const auto prepared = make_ready(std::move(graph)).value();
    Session session(prepared);
    const Tensor given = floats({2}, {1, 2});
    session.set_input(0,
                      RuntimeValue({RuntimeValue(floats({1}, {9})), RuntimeValue(floats({3}, {8, 7, 6}))}, DType::F32));
    session.set_input(1, view_of(given));
    for (int round = 0; round < 2; ++round) {
        REQUIRE(session.run().ok());
        const RuntimeValue result = session.output_value(0);
        REQUIRE(result.is_sequence());
        REQUIRE(result.items().size() == 3);
        CHECK(values_of(result.items()[2].tensor()) == std::vector<float>{2, 4});
        CHECK(session.output(0).dtype == DType::Undefined);
        CHECK(values_of(copy_of(session.output(1))) == std::vector<float>{9, 8, 7, 6, 2, 4});
        CHECK(longs_of(copy_of(session.output(2))) == std::vector<int64_t>{3});
        CHECK(values_of(copy_of(session.output(3))) == std::vector<float>{4, 8});
    }
    session.set_input(0, RuntimeValue(floats({1}, {9})));
    CHECK_THAT(session.run().message(), contains("input 0 is no sequence"));
}

TEST_CASE("an operator on tensors refuses a sequence, and nothing, by name") {
    for (const Op op : {Op::GlobalMaxPool, Op::Det, Op::Unique, Op::Flatten, Op::NonZero, Op::Shape, Op::Relu}) {
        Graph graph;
        const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}, {.size = 2}});
        const ValueId list = graph.add_node(Op::SequenceConstruct, "list", {x, x});
        graph.add_output(graph.add_node(op, "wrong", {list}));
        const auto prepared = make_ready(std::move(graph));
        REQUIRE(prepared.ok());
        Session session(*prepared);
        const Tensor given = floats({2, 2}, {1, 2, 3, 4});
        session.set_input(0, view_of(given));
        CAPTURE(op_info(op).name);
        CHECK_THAT(session.run().message(), contains("node 'wrong'"));
    }
    Graph squeeze;
    const ValueId x = squeeze.add_input("x", DType::F32, {{.size = 1}, {.size = 1}});
    squeeze.add_output(squeeze.add_node(Op::Squeeze, "axes of floats", {x, x}));
    Session wrong_axes(make_ready(std::move(squeeze)).value());
    const Tensor given = floats({1, 1}, {1});
    wrong_axes.set_input(0, view_of(given));
    CHECK(wrong_axes.run().code() == StatusCode::InvalidModel);
    Graph graph;
    const ValueId none = graph.add_node(Op::Optional, "none", {}, {{"type", int64_t{1}}});
    graph.add_output(graph.add_node(Op::NonZero, "wrong", {none}));
    Session session(make_ready(std::move(graph)).value());
    CHECK_THAT(session.run().message(), contains("input 0 is nothing where a tensor is wanted"));
}

// ---- Bodies

using Body = std::shared_ptr<const Graph>;

// carried' = carried + x, and the condition as it was; x is captured. A row of the scan output is carried'.
Body adding_body() {
    Graph body;
    body.add_input("iteration", DType::I64, {});
    const ValueId condition = body.add_input("condition", DType::Bool, {});
    const ValueId carried = body.add_input("carried", DType::Undefined, {});
    const ValueId x = body.add_input("x", DType::Undefined, {});
    const ValueId sum = body.add_node(Op::Add, "sum", {carried, x});
    body.add_output(condition);
    body.add_output(sum);
    body.add_output(sum);
    return std::make_shared<const Graph>(std::move(body));
}

// A Loop over `body` that starts from x and captures x.
PreparedGraphPtr loop_over(const Body& body, size_t outputs, bool bounded = true,
                           const RuntimePtr& runtime = make_runtime()) {
    Graph graph;
    const ValueId trips = bounded ? graph.add_input("trips", DType::I64, {}) : kNoValue;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}});
    Node loop{Op::Loop, "loop", {trips, kNoValue, x, x}, {}, {{"body", body}, {"captures", int64_t{1}}}};
    for (size_t index = 0; index < outputs; ++index) {
        loop.outputs.push_back(graph.add_value("y" + std::to_string(index), DType::Undefined, {}));
        graph.add_output(loop.outputs.back());
    }
    graph.append_node(std::move(loop));
    auto prepared = make_ready(std::move(graph), {.runtime = runtime});
    INFO(prepared.status().message());
    REQUIRE(prepared.ok());
    return *prepared;
}

TEST_CASE("a loop carries values and stacks rows") {
    Session session(loop_over(adding_body(), 2));
    const Tensor x = floats({2}, {1, 10});
    session.set_input(1, view_of(x));
    for (const int64_t count : {3, 1, 9, 0, 3}) {
        const Tensor trips = longs({}, {count});
        session.set_input(0, view_of(trips));
        REQUIRE(session.run().ok());
        const auto times = static_cast<float>(count + 1);
        CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{times, 10 * times});
        CHECK(session.output(1).shape == Shape{count, 2});
        std::vector<float> rows;
        for (int64_t row = 2; row < count + 2; ++row) {
            rows.insert(rows.end(), {static_cast<float>(row), static_cast<float>(10 * row)});
        }
        CHECK(values_of(copy_of(session.output(1))) == rows);
    }
}

TEST_CASE("a carried value may grow from one iteration to the next") {
    Graph body;
    body.add_input("iteration", DType::I64, {});
    const ValueId condition = body.add_input("condition", DType::Bool, {});
    const ValueId carried = body.add_input("carried", DType::Undefined, {});
    const ValueId x = body.add_input("x", DType::Undefined, {});
    body.add_output(condition);
    body.add_output(body.add_node(Op::Concat, "longer", {carried, x}, {{"axis", int64_t{0}}}));
    Session session(loop_over(std::make_shared<const Graph>(std::move(body)), 1));
    const Tensor x_given = floats({2}, {1, 2});
    const Tensor trips = longs({}, {200});
    session.set_input(0, view_of(trips));
    session.set_input(1, view_of(x_given));
    REQUIRE(session.run().ok());
    CHECK(session.output(0).shape == Shape{402});
    CHECK(values_of(copy_of(session.output(0)))[401] == 2);
}

TEST_CASE("values that a body only passes on stay what they are") {
    Graph body;  // swaps nothing, computes nothing: iteration and capture are handed on
    const ValueId iteration = body.add_input("iteration", DType::I64, {});
    const ValueId condition = body.add_input("condition", DType::Bool, {});
    const ValueId carried = body.add_input("carried", DType::Undefined, {});
    const ValueId x = body.add_input("x", DType::Undefined, {});
    for (const ValueId id : {condition, carried, iteration, x}) body.add_output(id);
    Session session(loop_over(std::make_shared<const Graph>(std::move(body)), 3));
    const Tensor x_given = floats({2}, {1, 2});
    const Tensor trips = longs({}, {3});
    session.set_input(0, view_of(trips));
    session.set_input(1, view_of(x_given));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{1, 2});
    CHECK(longs_of(copy_of(session.output(1))) == std::vector<int64_t>{0, 1, 2});
    CHECK(values_of(copy_of(session.output(2))) == std::vector<float>{1, 2, 1, 2, 1, 2});
}

// A body whose If adds x to even iterations and takes it from odd ones.
Body branching_body() {
    const auto branch = [](Op op) {
        Graph graph;
        const ValueId carried = graph.add_input("carried", DType::Undefined, {});
        const ValueId x = graph.add_input("x", DType::Undefined, {});
        graph.add_output(graph.add_node(op, "changed", {carried, x}));
        return std::make_shared<const Graph>(std::move(graph));
    };
    Graph body;
    const ValueId iteration = body.add_input("iteration", DType::I64, {});
    const ValueId condition = body.add_input("condition", DType::Bool, {});
    const ValueId carried = body.add_input("carried", DType::Undefined, {});
    const ValueId x = body.add_input("x", DType::Undefined, {});
    const ValueId early =
        body.add_node(Op::Less, "early", {iteration, body.add_constant("two", Constant(longs({}, {2})))});
    body.add_output(condition);
    body.add_output(
        body.add_node(Op::If, "if", {early, carried, x},
                      {{"then_branch", branch(Op::Add)}, {"else_branch", branch(Op::Mul)}, {"captures", int64_t{2}}}));
    return std::make_shared<const Graph>(std::move(body));
}

TEST_CASE("an If inside a Loop takes either branch") {
    Session session(loop_over(branching_body(), 1));
    const Tensor x = floats({2}, {2, 3});
    session.set_input(1, view_of(x));
    const Tensor trips = longs({}, {4});
    session.set_input(0, view_of(trips));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{6 * 4, 9 * 9});
}

TEST_CASE("an error in a body names body, loop and node") {
    Graph body;
    const ValueId iteration = body.add_input("iteration", DType::I64, {});
    const ValueId condition = body.add_input("condition", DType::Bool, {});
    body.add_input("carried", DType::Undefined, {});
    const ValueId x = body.add_input("x", DType::Undefined, {});
    body.add_output(condition);
    body.add_output(body.add_node(Op::Gather, "inner", {x, iteration}));
    Session session(loop_over(std::make_shared<const Graph>(std::move(body)), 1));
    const Tensor x_given = floats({2}, {1, 2});
    const Tensor trips = longs({}, {3});
    session.set_input(0, view_of(trips));
    session.set_input(1, view_of(x_given));
    CHECK(session.run().message() == "in 'body' of node 'loop': node 'inner' (Gather): index 2 is not below 2");
}

TEST_CASE("an endless loop ends when it is cancelled", "[threaded]") {
    for (const bool bounded : {true, false}) {
        Graph body;  // nothing to do at all
        body.add_input("iteration", DType::I64, {});
        const ValueId condition = body.add_input("condition", DType::Bool, {});
        const ValueId carried = body.add_input("carried", DType::Undefined, {});
        body.add_input("x", DType::Undefined, {});
        body.add_output(condition);
        body.add_output(carried);
        Session session(loop_over(std::make_shared<const Graph>(std::move(body)), 1, bounded));
        const Tensor x = floats({2}, {2, 3});
        const Tensor trips = longs({}, {kForever});
        if (bounded) session.set_input(0, view_of(trips));
        session.set_input(bounded ? 1 : 0, view_of(x));
        std::thread other([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            session.cancel();
        });
        const Status status = session.run();
        other.join();
        CHECK(status.code() == StatusCode::Cancelled);
    }
}

TEST_CASE("a loop that stacks without end runs out of its memory") {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>(size_t{1} << 20);
    runtime->team = std::make_unique<Team>(1);
    runtime->isa = effective_isa({});
    Session session(loop_over(adding_body(), 2, true, runtime));
    const Tensor x = floats({2}, {1, 10});
    const Tensor trips = longs({}, {kForever});
    session.set_input(0, view_of(trips));
    session.set_input(1, view_of(x));
    CHECK(session.run().code() == StatusCode::OutOfMemory);
}

TEST_CASE("two sessions loop at once", "[threaded]") {
    const auto prepared = loop_over(branching_body(), 1, true, make_runtime(2));
    const Tensor trips = longs({}, {3});
    std::atomic<int> wrong{0};
    // Without helpers of the tests inside: their assertions belong to one thread.
    const auto work = [&](float start, const Tensor& x) {
        Session session(prepared);
        session.set_input(0, view_of(trips));
        session.set_input(1, view_of(x));
        for (int round = 0; round < 100; ++round) {
            const bool ran = session.run().ok();
            const TensorView result = session.output(0);
            const auto* const values = result.as<float>();
            const bool right = ran && result.elements() == 2 && values[0] == 3 * start * start && values[1] == 27;
            if (!right) ++wrong;
        }
    };
    const Tensor two = floats({2}, {2, 3});
    const Tensor five = floats({2}, {5, 3});
    std::thread other(work, 2.0F, two);
    work(5, five);
    other.join();
    CHECK(wrong == 0);
}

TEST_CASE("a loop ends when its condition says so") {
    Graph body;
    const ValueId iteration = body.add_input("iteration", DType::I64, {});
    body.add_input("condition", DType::Bool, {});
    const ValueId carried = body.add_input("carried", DType::Undefined, {});
    const ValueId x = body.add_input("x", DType::Undefined, {});
    body.add_output(
        body.add_node(Op::Less, "goes on", {iteration, body.add_constant("four", Constant(longs({}, {4})))}));
    body.add_output(body.add_node(Op::Add, "sum", {carried, x}));
    Session session(loop_over(std::make_shared<const Graph>(std::move(body)), 1, false));
    const Tensor given = floats({2}, {1, 2});
    session.set_input(0, view_of(given));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{6, 12});
}

TEST_CASE("an If with a condition of the run chooses its branch") {
    const auto branch = [](float value) {
        Graph graph;
        graph.add_output(graph.add_constant("chosen", Constant(floats({1}, {value}))));
        return std::make_shared<const Graph>(std::move(graph));
    };
    Graph graph;
    const ValueId condition = graph.add_input("condition", DType::Bool, {});
    graph.add_output(
        graph.add_node(Op::If, "if", {condition}, {{"then_branch", branch(1)}, {"else_branch", branch(2)}}));
    const auto prepared = make_ready(std::move(graph)).value();
    CHECK(prepared->graph.value(prepared->graph.outputs()[0]).dtype == DType::F32);
    Session session(prepared);
    for (const bool value : {true, false, true}) {
        const Tensor given = flag(value);
        session.set_input(0, view_of(given));
        REQUIRE(session.run().ok());
        CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{value ? 1.0F : 2.0F});
    }
}

}  // namespace
}  // namespace quoin::test
