// Sessions: inputs and outputs, what a repeated run costs, errors and what comes after them, threads.
#include "exec/session.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "ops/op_test.h"
#include "support/allocation_count.h"

namespace quoin::test {
namespace {

// y = rows[ids] of (x + x), with x [tokens, 2].
struct SmallModel {
    RuntimePtr runtime;
    PreparedGraphPtr prepared;

    explicit SmallModel(const RuntimePtr& used = make_runtime()) : runtime(used) {
        Graph graph;
        const ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("tokens")}, {.size = 2}});
        const ValueId ids = graph.add_input("ids", DType::I32, {{.symbol = graph.add_symbol("rows")}});
        const ValueId sum = graph.add_node(Op::Add, "sum", {x, x});
        graph.add_output(graph.add_node(Op::Gather, "rows", {sum, ids}));
        prepared = make_ready(std::move(graph), {.runtime = used}).value();
    }
};

// ---- Inputs

TEST_CASE("an input that was not set is named") {
    Session session(SmallModel().prepared);
    const Tensor x = floats({1, 2}, {1, 2});
    session.set_input(0, view_of(x));
    const Status status = session.run();
    CHECK(status.code() == StatusCode::InvalidArgument);
    CHECK(status.message() == "input 'ids' was not set");
}

TEST_CASE("after a wrong input the right one runs") {
    Session session(SmallModel().prepared);
    const Tensor wrong = floats({1, 3}, {1, 2, 3});
    const Tensor right = floats({2, 2}, {1, 2, 3, 4});
    const Tensor ids = ints({1}, {1});
    session.set_input(0, view_of(wrong));
    session.set_input(1, view_of(ids));
    CHECK(session.run().message() == "input 'x' is f32[1, 3] where the model takes f32[tokens, 2]");
    session.set_input(0, view_of(right));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{6, 8});
}

TEST_CASE("every run reads the bytes that are there then") {
    Session session(SmallModel().prepared);
    const Tensor x = floats({1, 2}, {1, 2});
    const Tensor ids = ints({2}, {0, -1});
    session.set_input(0, view_of(x));
    session.set_input(1, view_of(ids));
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{2, 4, 2, 4});
    x.as<float>()[0] = 10;
    REQUIRE(session.run().ok());
    CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{20, 4, 20, 4});
    CHECK(values_of(x) == std::vector<float>{10, 2});  // and leaves them alone
}

TEST_CASE("an input may be empty") {
    Session session(SmallModel().prepared);
    const Tensor x = floats({1, 2}, {1, 2});
    const Tensor none = ints({0}, {});
    session.set_input(0, view_of(x));
    session.set_input(1, view_of(none));
    REQUIRE(session.run().ok());
    CHECK(session.output(0).shape == Shape{0, 2});
}

// ---- What a repeated run costs

TEST_CASE("a run whose shapes were seen before allocates nothing") {
    SmallModel model;
    Session session(model.prepared);
    const Tensor one = floats({1, 2}, {1, 2});
    const Tensor many = floats({30, 2}, std::vector<float>(60, 3));
    const Tensor ids = ints({1}, {0});
    session.set_input(1, view_of(ids));
    const auto allocated_by_run = [&](const Tensor& x) {
        session.set_input(0, view_of(x));
        const int64_t before = allocation_count();
        const bool ok = session.run().ok();
        const int64_t after = allocation_count();
        REQUIRE(ok);
        return after - before;
    };
    CHECK(allocated_by_run(one) > 0);
    CHECK(allocated_by_run(one) == 0);
    CHECK(allocated_by_run(many) > 0);
    const size_t memory = model.runtime->memory->used_bytes();
    for (int round = 0; round < 3; ++round) {
        CHECK(allocated_by_run(one) == 0);
        CHECK(allocated_by_run(many) == 0);
        CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{6, 6});
    }
    CHECK(model.runtime->memory->used_bytes() == memory);
}

TEST_CASE("more shapes than are kept still run right") {
    Session session(SmallModel().prepared);
    const Tensor ids = ints({1}, {-1});
    session.set_input(1, view_of(ids));
    for (int round = 0; round < 2; ++round) {
        for (int64_t tokens = 1; tokens <= 150; ++tokens) {
            const Tensor x =
                floats({tokens, 2}, std::vector<float>(static_cast<size_t>(2 * tokens), static_cast<float>(tokens)));
            session.set_input(0, view_of(x));
            REQUIRE(session.run().ok());
            CHECK(session.output(0).as<float>()[1] == static_cast<float>(2 * tokens));
        }
    }
}

TEST_CASE("a run that does not fit into the budget fails, a smaller one after it does not") {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>(10000);
    runtime->team = std::make_unique<Team>(1);
    Session session(SmallModel(runtime).prepared);
    const Tensor ids = ints({1}, {0});
    const Tensor large = floats({2000, 2}, std::vector<float>(4000, 1));
    const Tensor small = floats({2, 2}, {1, 2, 3, 4});
    session.set_input(1, view_of(ids));
    for (const bool fits : {true, false, true, false, true}) {
        session.set_input(0, view_of(fits ? small : large));
        const Status status = session.run();
        CHECK(status.code() == (fits ? StatusCode::Ok : StatusCode::OutOfMemory));
        if (!fits) CHECK_THAT(status.message(), contains("intermediate tensors"));
        if (fits) CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{2, 4});
    }
}

// ---- Outputs

TEST_CASE("a bound output goes to the caller's bytes until it is unbound") {
    Session session(SmallModel().prepared);
    const Tensor x = floats({2, 2}, {1, 2, 3, 4});
    const Tensor ids = ints({1}, {1});
    const Tensor bound = floats({1, 2}, {0, 0});
    session.set_input(0, view_of(x));
    session.set_input(1, view_of(ids));
    session.bind_output(0, view_of(bound));
    REQUIRE(session.run().ok());
    CHECK(session.output(0).data == bound.data());
    CHECK(values_of(bound) == std::vector<float>{6, 8});
    session.bind_output(0, {});
    x.as<float>()[2] = 30;
    REQUIRE(session.run().ok());
    CHECK(session.output(0).data != bound.data());
    CHECK(session.output(0).as<float>()[0] == 60);
    CHECK(values_of(bound) == std::vector<float>{6, 8});
}

TEST_CASE("a buffer of another shape or type than the result is refused") {
    Session session(SmallModel().prepared);
    const Tensor x = floats({2, 2}, {1, 2, 3, 4});
    const Tensor ids = ints({1}, {1});
    session.set_input(0, view_of(x));
    session.set_input(1, view_of(ids));
    const Tensor flat = floats({2}, {0, 0});
    session.bind_output(0, view_of(flat));
    const Status status = session.run();
    CHECK(status.code() == StatusCode::InvalidArgument);
    CHECK(status.message() == "the buffer bound to output 0 is f32[2]; the result is f32[1, 2]");
    const Tensor integers = ints({1, 2}, {0, 0});
    session.bind_output(0, view_of(integers));
    CHECK_THAT(session.run().message(), contains("is i32[1, 2]; the result is f32[1, 2]"));
    CHECK(values_of(flat) == std::vector<float>{0, 0});
}

TEST_CASE("inputs, constants, views and one value twice can be outputs, bound or not") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 2}, {.size = 2}});
    const ValueId c = graph.add_constant("c", Constant(floats({2}, {7, 8})));
    const ValueId shape = graph.add_constant("shape", Constant(longs({1}, {4})));
    const ValueId view = graph.add_node(Op::Reshape, "view", {x, shape});
    const ValueId sum = graph.add_node(Op::Add, "sum", {x, x});
    const ValueId sum_view = graph.add_node(Op::Reshape, "sum.view", {sum, shape});
    const std::vector<std::pair<ValueId, std::vector<float>>> wanted = {{x, {1, 2, 3, 4}},    {c, {7, 8}},
                                                                        {view, {1, 2, 3, 4}}, {sum_view, {2, 4, 6, 8}},
                                                                        {sum, {2, 4, 6, 8}},  {sum, {2, 4, 6, 8}}};
    for (const auto& [id, values] : wanted) graph.add_output(id);
    Session session(make_ready(graph).value());
    const Tensor input = floats({2, 2}, {1, 2, 3, 4});
    session.set_input(0, view_of(input));
    REQUIRE(session.run().ok());
    std::vector<Tensor> bound;
    for (size_t index = 0; index < wanted.size(); ++index) {
        CAPTURE(index);
        CHECK(values_of(copy_of(session.output(index))) == wanted[index].second);
        bound.push_back(floats(session.output(index).shape, std::vector<float>(wanted[index].second.size())));
    }
    CHECK(session.output(0).data == input.data());  // passed through, not copied
    for (size_t index = 0; index < wanted.size(); ++index) session.bind_output(index, view_of(bound[index]));
    REQUIRE(session.run().ok());
    for (size_t index = 0; index < wanted.size(); ++index) {
        CAPTURE(index);
        CHECK(values_of(bound[index]) == wanted[index].second);
        CHECK(session.output(index).data == bound[index].data());
    }
}

// ---- Failures and cancellation

TEST_CASE("a step that fails names itself and leaves the session usable", "[threaded]") {
    for (const int threads : {1, 2, 3}) {
        Session session(SmallModel(make_runtime(threads)).prepared);
        const Tensor x = floats({2, 2}, {1, 2, 3, 4});
        const Tensor bad = ints({3}, {0, 5, 1});
        const Tensor good = ints({3}, {0, 1, 1});
        session.set_input(0, view_of(x));
        for (int round = 0; round < 20; ++round) {
            session.set_input(1, view_of(bad));
            const Status status = session.run();
            CHECK(status.code() == StatusCode::InvalidArgument);
            CHECK(status.message() == "node 'rows' (Gather): index 5 is not below 2");
            session.set_input(1, view_of(good));
            REQUIRE(session.run().ok());
            CHECK(values_of(copy_of(session.output(0))) == std::vector<float>{2, 4, 6, 8, 6, 8});
        }
    }
}

// Some work: a chain of steps with barriers between.
PreparedGraphPtr long_chain(const RuntimePtr& runtime) {
    Graph graph;
    ValueId x = graph.add_input("x", DType::F32, {{.size = 64}, {.size = 256}});
    for (int index = 0; index < 40; ++index) x = graph.add_node(Op::Swish, "s" + std::to_string(index), {x});
    graph.add_output(x);
    return make_ready(std::move(graph), {.runtime = runtime}).value();
}

// A task for each thread, none of which ends before all have begun; then `act` is called.
class Meeting final : public PreparedNode {
public:
    Meeting(int threads, std::function<void()> act) : threads_(threads), act_(std::move(act)) {}

    Result<Work> plan(const Arguments& /*arguments*/, int /*threads*/) const override {
        return Work{.tasks = threads_};
    }
    Status run(const Arguments& /*arguments*/, int64_t /*task*/, std::byte* /*scratch*/) const override {
        const int64_t last = (begun_.fetch_add(1) / threads_ + 1) * threads_;
        while (begun_.load() < last) std::this_thread::yield();
        act_();
        return {};
    }

private:
    const int threads_;
    const std::function<void()> act_;
    mutable std::atomic<int64_t> begun_{0};
};

// y = swish(swish(x)), the first of them called "thrower" and replaced.
PreparedGraphPtr with_meeting(const RuntimePtr& runtime, std::function<void()> act) {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 64}, {.size = 256}});
    graph.add_output(graph.add_node(Op::Swish, "after", {graph.add_node(Op::Swish, "thrower", {x})}));
    const PreparedGraphPtr prepared = make_ready(std::move(graph), {.runtime = runtime}).value();
    std::const_pointer_cast<PreparedGraph>(prepared)->nodes[0] =
        std::make_unique<Meeting>(runtime->team->size(), std::move(act));
    return prepared;
}

TEST_CASE("what a step throws on any thread is a status, and the runtime works on", "[threaded]") {
    struct Case {
        std::function<void()> act;
        StatusCode code;
        const char* message;
    };
    const std::vector<Case> cases = {
        {[] { throw std::bad_alloc(); }, StatusCode::OutOfMemory, "the machine has no more memory"},
        {[] { throw std::length_error("too long"); }, StatusCode::OutOfMemory, "no memory can hold what was asked for"},
        {[] { throw std::runtime_error("a defect"); }, StatusCode::Internal, "a defect"},
        {[] { throw 1; }, StatusCode::Internal, "unknown exception"}};
    const std::thread::id caller = std::this_thread::get_id();
    const Tensor x = floats({64, 256}, std::vector<float>(64 * 256, 1));
    for (const int threads : {1, 2, 3}) {
        const RuntimePtr runtime = make_runtime(threads);
        for (const bool on_caller : {true, false}) {
            if (threads == 1 && !on_caller) continue;
            for (const Case& each : cases) {
                CAPTURE(threads, on_caller, each.message);
                bool throws = true;
                Session session(with_meeting(runtime, [&] {
                    if (throws && (std::this_thread::get_id() == caller) == on_caller) each.act();
                }));
                session.set_input(0, view_of(x));
                const Status status = session.run();
                CHECK(status.code() == each.code);
                CHECK(status.message() == std::string("node 'thrower' (Swish): ") + each.message);
                throws = false;
                CHECK(session.run().ok());
                Session other(long_chain(runtime));
                other.set_input(0, view_of(x));
                CHECK(other.run().ok());
            }
        }
    }
}

TEST_CASE("a cancelled session ends its next run, and only that") {
    Session session(long_chain(make_runtime()));
    const Tensor x = floats({64, 256}, std::vector<float>(64 * 256, 1));
    session.set_input(0, view_of(x));
    session.cancel();
    session.cancel();
    const Status status = session.run();
    CHECK(status.code() == StatusCode::Cancelled);
    CHECK(status.message() == "the run was cancelled");
    CHECK(session.run().ok());
}

TEST_CASE("a run can be cancelled by another thread", "[threaded]") {
    Session session(long_chain(make_runtime(2)));
    const Tensor x = floats({64, 256}, std::vector<float>(64 * 256, 1));
    session.set_input(0, view_of(x));
    std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        session.cancel();
    });
    Status status;
    for (int64_t runs = 0; runs < 1000000 && status.ok(); ++runs) status = session.run();
    other.join();
    CHECK(status.code() == StatusCode::Cancelled);
    CHECK(session.run().ok());
}

// ---- Threads

// All kinds of steps of a decoder: embedding, norms, projections of several dtypes, gate, rotation, attention.
Graph decoder_like() {
    Random random(51);
    Graph graph;
    const Dim tokens{.symbol = graph.add_symbol("tokens")};
    const ValueId ids = graph.add_input("ids", DType::I32, {{.size = 1}, tokens});
    const ValueId positions = graph.add_input("positions", DType::I32, {{.size = 1}, tokens});
    const ValueId sequences = graph.add_input("sequences", DType::I32, {tokens});
    const ValueId table = graph.add_input("table", DType::I32, {{.size = 1}, {.size = 2}});
    const ValueId keys = graph.add_input("keys", DType::F16, dims_of({2, 2, 32, 32}));
    const ValueId values = graph.add_input("values", DType::F16, dims_of({2, 2, 32, 32}));
    const auto weight = [&](DType dtype, int64_t columns, int64_t inner) {
        const std::string name = "w" + std::to_string(graph.values().size());
        return graph.add_constant(name, Constant(weight_tensor(make_weight(dtype, columns, inner, random))));
    };
    const auto norm = [&](ValueId x) {
        const ValueId scale = graph.add_constant("scale", Constant(random_floats({128}, random)));
        return graph.add_node(Op::RMSNormalization, "norm", {x, scale});
    };
    const ValueId embedded = graph.add_node(Op::Embedding, "embedding", {weight(DType::F16, 50, 128), ids});
    const ValueId normed = norm(embedded);
    const ValueId q = graph.add_node(Op::Linear, "q", {normed, weight(DType::Q8_0, 128, 128)});
    const ValueId k = graph.add_node(Op::Linear, "k", {normed, weight(DType::Q4_0, 64, 128)});
    const ValueId v = graph.add_node(Op::Linear, "v", {normed, weight(DType::BF16, 64, 128)});
    const ValueId frequencies = graph.add_constant("f", Constant(floats({16}, std::vector<float>(16, 0.1F))));
    const ValueId cos = graph.add_node(Op::RotaryCache, "angles", {positions, frequencies});
    const auto rotate = [&](ValueId x, int64_t heads) {
        return graph.add_node(Op::RotaryEmbedding, "rotated", {x, cos, cos + 1}, {{"num_heads", heads}});
    };
    const auto update = [&](ValueId cache, ValueId data, const char* kind) {
        return graph.add_node(Op::CacheUpdate, kind, {cache, data, positions, sequences, table},
                              {{"kind", std::string(kind)}, {"kv_num_heads", int64_t{2}}});
    };
    const ValueId all_keys = update(keys, rotate(k, 2), "keys");
    const ValueId all_values = update(values, v, "values");
    const ValueId attended = graph.add_node(Op::CachedAttention, "attention",
                                            {rotate(q, 4), all_keys, all_values, positions, sequences, table},
                                            {{"num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}, {"scale", 0.17}});
    const ValueId projected = graph.add_node(Op::Linear, "o", {attended, weight(DType::Q8_0, 128, 128)});
    const ValueId residual = graph.add_node(Op::Add, "residual", {embedded, projected});
    const ValueId inner = norm(residual);
    const ValueId gate = graph.add_node(Op::Linear, "gate", {inner, weight(DType::Q4_0, 320, 128)});
    const ValueId up = graph.add_node(Op::Linear, "up", {inner, weight(DType::Q4_0, 320, 128)});
    const ValueId bent = graph.add_node(Op::Swish, "bent", {gate});
    const ValueId gated = graph.add_node(Op::Mul, "gated", {bent, up});
    const ValueId down = graph.add_node(Op::Linear, "down", {gated, weight(DType::Q8_0, 128, 320)});
    graph.add_output(graph.add_node(Op::Add, "end", {residual, down}));
    return graph;
}

std::vector<float> run_decoder(Session& session, int32_t tokens) {
    std::vector<int32_t> ids;
    std::vector<int32_t> positions;
    for (int32_t index = 0; index < tokens; ++index) {
        ids.push_back(index * 7 % 50);
        positions.push_back(index);
    }
    const std::vector<Tensor> inputs = {ints({1, tokens}, ids),
                                        ints({1, tokens}, positions),
                                        ints({tokens}, std::vector<int32_t>(ids.size(), 0)),
                                        ints({1, 2}, {1, 0}),
                                        tensor_of(DType::F16, {2, 2, 32, 32}, std::vector<uint16_t>(4096)),
                                        tensor_of(DType::F16, {2, 2, 32, 32}, std::vector<uint16_t>(4096))};
    for (size_t index = 0; index < inputs.size(); ++index) session.set_input(index, view_of(inputs[index]));
    const Status status = session.run();
    return status.ok() ? values_of(copy_of(session.output(0))) : std::vector<float>();
}

TEST_CASE("results do not depend on the number of threads, bit for bit", "[threaded]") {
    std::vector<std::vector<float>> first;
    for (const int threads : {1, 2, 3, 4}) {
        Session session(make_ready(decoder_like(), {.runtime = make_runtime(threads)}).value());
        for (size_t which = 0; const int32_t tokens : {1, 5, 33, 64}) {
            CAPTURE(threads, tokens);
            const std::vector<float> result = run_decoder(session, tokens);
            REQUIRE(result.size() == static_cast<size_t>(tokens) * 128);
            if (threads == 1) {
                CHECK(std::ranges::all_of(result, [](float value) { return std::isfinite(value); }));
                first.push_back(result);
            }
            CHECK(same_bits(result, first[which++]));
        }
    }
    // The first token sees only itself, so its row does not depend on how many stand behind it either.
    for (const std::vector<float>& result : first) {
        CHECK(same_bits({result.begin(), result.begin() + 128}, first[0]));
    }
}

TEST_CASE("a cached run with several threads allocates nothing", "[threaded]") {
    Session session(make_ready(decoder_like(), {.runtime = make_runtime(3)}).value());
    const auto zeros = [](const Shape& shape) {
        return ints(shape, std::vector<int32_t>(static_cast<size_t>(shape.element_count().value())));
    };
    const Tensor cache = tensor_of(DType::F16, {2, 2, 32, 32}, std::vector<uint16_t>(4096));
    const Tensor ids = zeros({1, 4});
    const Tensor positions = ints({1, 4}, {0, 1, 2, 3});
    const Tensor sequences = zeros({4});
    const Tensor table = ints({1, 2}, {0, 1});
    const Tensor values = copy_of(view_of(cache));
    for (size_t index = 0; const Tensor* const each : {&ids, &positions, &sequences, &table, &cache, &values}) {
        session.set_input(index++, view_of(*each));
    }
    REQUIRE(session.run().ok());
    const int64_t before = allocation_count();
    bool ok = true;
    for (int round = 0; round < 10; ++round) ok = session.run().ok() && ok;
    const int64_t after = allocation_count();
    CHECK(ok);
    CHECK(after == before);
}

TEST_CASE("sessions of one model run on several host threads at once", "[threaded]") {
    const PreparedGraphPtr prepared = make_ready(decoder_like(), {.runtime = make_runtime(2)}).value();
    Session alone(prepared);
    const std::vector<float> wanted = run_decoder(alone, 9);
    REQUIRE_FALSE(wanted.empty());
    std::atomic<int> wrong{0};
    std::vector<std::thread> hosts;
    for (int host = 0; host < 3; ++host) {
        hosts.emplace_back([&] {
            Session session(prepared);
            const std::vector<int32_t> ids = {0, 7, 14, 21, 28, 35, 42, 49, 6};
            const std::vector<int32_t> positions = {0, 1, 2, 3, 4, 5, 6, 7, 8};
            std::vector<int32_t> sequences(9, 0);
            std::vector<int32_t> table = {1, 0};
            std::vector<uint16_t> keys(4096);
            std::vector<uint16_t> values(4096);
            const auto set = [&](size_t index, const void* data, DType dtype, const Shape& shape) {
                session.set_input(index, {static_cast<std::byte*>(const_cast<void*>(data)), dtype, shape});
            };
            set(0, ids.data(), DType::I32, {1, 9});
            set(1, positions.data(), DType::I32, {1, 9});
            set(2, sequences.data(), DType::I32, {9});
            set(3, table.data(), DType::I32, {1, 2});
            set(4, keys.data(), DType::F16, {2, 2, 32, 32});
            set(5, values.data(), DType::F16, {2, 2, 32, 32});
            for (int round = 0; round < 10; ++round) {
                const bool same = session.run().ok() && std::memcmp(session.output(0).data, wanted.data(),
                                                                    wanted.size() * sizeof(float)) == 0;
                if (!same) wrong.fetch_add(1);
            }
        });
    }
    for (std::thread& host : hosts) host.join();
    CHECK(wrong == 0);
}

}  // namespace
}  // namespace quoin::test
