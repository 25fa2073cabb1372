// Every pass on graphs it must change and graphs it must leave alone, with the reasons it gives.
#include "optimize/passes.h"

#include "core/log.h"
#include "ops/linear.h"
#include "ops/op_test.h"

namespace quoin::test {
namespace {

// What the library says at debug level while this exists.
class LogCapture {
public:
    LogCapture() {
        set_log(LogLevel::Debug, [this](LogLevel, std::string_view text) { text_ += std::string(text) + '\n'; });
    }
    ~LogCapture() { set_log(LogLevel::Debug, {}); }
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;
    const std::string& text() const { return text_; }

private:
    std::string text_;
};

// A graph under construction with an input x [tokens, 32], and its weights.
struct Builder {
    Graph graph;
    Random random{31};
    RuntimePtr runtime = make_runtime();
    ValueId x = graph.add_input("x", DType::F32, {{.symbol = graph.add_symbol("tokens")}, {.size = 32}});

    ValueId weight(DType dtype, int64_t columns = 32, int64_t inner = 32) {
        return graph.add_constant("w" + std::to_string(graph.values().size()),
                                  Constant(weight_tensor(make_weight(dtype, columns, inner, random))));
    }
    ValueId linear(ValueId input, DType dtype = DType::F32, int64_t columns = 32) {
        return node(Op::Linear, {input, weight(dtype, columns)});
    }
    ValueId node(Op op, std::vector<ValueId> inputs, Attributes attributes = {}) {
        const std::string name = std::string(op_info(op).name) + std::to_string(graph.nodes().size());
        return graph.add_node(op, name, std::move(inputs), std::move(attributes));
    }
    // Mul(Swish(gate), up) with gate and up from x.
    ValueId gate(ValueId a, ValueId b) { return node(Op::Mul, {node(Op::Swish, {a}), b}); }

    ValueId cache() { return graph.add_input("cache", DType::F32, dims_of({1, 1, 32, 32})); }
    void update(ValueId target) {
        const ValueId data = graph.add_input("data", DType::F32, dims_of({1, 1, 32}));
        const ValueId place = graph.add_input("place", DType::I32, dims_of({1, 1}));
        const ValueId sequence = graph.add_input("sequence", DType::I32, dims_of({1}));
        graph.add_output(node(Op::CacheUpdate, {target, data, place, sequence, place},
                              {{"kind", std::string("keys")}, {"kv_num_heads", int64_t{1}}}));
    }

    void run(Status (*pass)(Graph&, const OptimizeContext&), Provider provider = Provider::Native) {
        REQUIRE(verify(graph).ok());
        REQUIRE(infer_types(graph).ok());
        REQUIRE(pass(graph, {*runtime, provider, {}}).ok());
        REQUIRE(verify(graph).ok());
        REQUIRE(infer_types(graph).ok());
    }
    std::vector<Op> ops() const {
        std::vector<Op> result;
        for (const Node& each : graph.nodes()) result.push_back(each.op);
        return result;
    }
};

// Results on 5 rows of x, with the passes that have no choice and, if wanted, those that fuse.
std::vector<float> results(Graph graph, const Tensor& x, bool fuse) {
    const RuntimePtr runtime = make_runtime();
    const OptimizeContext context{*runtime, Provider::Native, {}};
    if (fuse) {
        REQUIRE(optimize(graph, context).ok());
    } else {
        REQUIRE(infer_types(graph).ok());
        REQUIRE(quantize_activations(graph, context).ok());
        REQUIRE(pack_weights(graph, context).ok());
    }
    Session session(prepare(std::move(graph), runtime).value());
    session.set_input(0, view_of(x));
    REQUIRE(session.run().ok());
    return values_of(copy_of(session.output(0)));
}

void check_same_results(const Builder& builder) {
    Random random(32);
    const Tensor x = random_floats({5, 32}, random);
    const std::vector<float> plain = results(builder.graph, x, false);
    REQUIRE_FALSE(plain.empty());
    CHECK(largest_error(results(builder.graph, x, true), {plain.begin(), plain.end()}) < 1e-5);
}

// ---- fold_constants

TEST_CASE("nodes of constants become constants, and feed further folding") {
    Builder builder;
    const ValueId a = builder.graph.add_constant("a", Constant(floats({2}, {1, 2})));
    const ValueId b = builder.graph.add_constant("b", Constant(floats({1}, {10})));
    const ValueId shape = builder.graph.add_constant("shape", Constant(longs({2}, {2, 1})));
    const ValueId last = builder.graph.add_constant("last", Constant(ints({1}, {-1})));
    const ValueId sum = builder.node(Op::Add, {a, b});
    const ValueId twice = builder.node(Op::Add, {sum, sum});
    const ValueId column = builder.node(Op::Reshape, {twice, shape});
    builder.graph.add_output(builder.node(Op::Mul, {builder.x, builder.node(Op::Gather, {column, last})}));
    builder.graph.add_output(column);
    builder.run(fold_constants);
    CHECK(builder.ops() == std::vector<Op>{Op::Mul});
    REQUIRE(builder.graph.value(column).constant);
    CHECK(values_of(builder.graph.value(column).constant->load().value()) == std::vector<float>{22, 24});
    CHECK(builder.graph.value(column).constant->shape() == Shape{2, 1});
}

TEST_CASE("folding that fails names the node") {
    Builder builder;
    const ValueId a = builder.graph.add_constant("a", Constant(floats({2}, {1, 2})));
    const ValueId index = builder.graph.add_constant("index", Constant(ints({1}, {2})));
    builder.graph.add_output(builder.node(Op::Gather, {a, index}));
    REQUIRE(infer_types(builder.graph).ok());
    const Status status = fold_constants(builder.graph, {*builder.runtime, Provider::Native, {}});
    CHECK(status.code() == StatusCode::InvalidArgument);
    CHECK(status.message() == "node 'Gather0' (Gather): index 2 is not below 2");
}

TEST_CASE("a node with an input from outside or without the fact is not folded") {
    Builder builder;
    const ValueId scale = builder.graph.add_constant("scale", Constant(floats({32}, std::vector<float>(32, 2))));
    builder.graph.add_output(builder.node(Op::Add, {builder.x, scale}));
    builder.graph.add_output(builder.node(Op::QuantizeActivation, {scale}));
    builder.run(fold_constants);
    CHECK(builder.ops() == std::vector<Op>{Op::Add, Op::QuantizeActivation});
}

TEST_CASE("a constant whose only readers were folded away leaves the memory") {
    Builder builder;
    const ValueId a = builder.graph.add_constant("a", Constant(floats({32}, std::vector<float>(32, 1))));
    const ValueId unread = builder.weight(DType::F32);
    const ValueId sum = builder.node(Op::Add, {a, a});
    builder.graph.add_output(builder.node(Op::Mul, {builder.x, sum}));
    REQUIRE(optimize(builder.graph, {*builder.runtime, Provider::Native, {}}).ok());
    CHECK_FALSE(builder.graph.value(a).constant);
    CHECK_FALSE(builder.graph.value(unread).constant);
    REQUIRE(builder.graph.value(sum).constant);
    CHECK(builder.runtime->memory->used_bytes() == 32 * 4);
}

// ---- remove_dead_nodes

TEST_CASE("nodes that no output needs go, with what only they read") {
    Builder builder;
    const ValueId kept = builder.linear(builder.x);
    const ValueId dead = builder.linear(builder.x);
    builder.node(Op::Add, {dead, kept});
    builder.graph.add_output(builder.node(Op::Swish, {kept}));
    builder.run(remove_dead_nodes);
    CHECK(builder.ops() == std::vector<Op>{Op::Linear, Op::Swish});
    int constants = 0;
    for (const Value& value : builder.graph.values()) constants += value.constant ? 1 : 0;
    CHECK(constants == 1);
}

TEST_CASE("a node stays when only its second output is needed") {
    Builder builder;
    const ValueId positions = builder.graph.add_input("p", DType::I32, {{.size = 1}});
    const ValueId f = builder.graph.add_constant("f", Constant(floats({2}, {1, 2})));
    builder.graph.add_output(builder.node(Op::RotaryCache, {positions, f}) + 1);
    builder.run(remove_dead_nodes);
    CHECK(builder.ops() == std::vector<Op>{Op::RotaryCache});
}

// ---- fuse_gated_linear

TEST_CASE("silu of one linear times another becomes one gated linear, whichever factor is bent") {
    for (const DType dtype : {DType::F32, DType::Q8_0}) {
        for (const bool swapped : {false, true}) {
            Builder builder;
            const ValueId gate = builder.linear(builder.x, dtype, 48);
            const ValueId up = builder.linear(builder.x, dtype, 48);
            const ValueId bent = builder.node(Op::Swish, {gate});
            builder.graph.add_output(builder.node(Op::Mul, swapped ? std::vector{up, bent} : std::vector{bent, up}));
            check_same_results(builder);
            const ValueId gate_weight = builder.graph.node(0).inputs[1];
            const ValueId up_weight = builder.graph.node(1).inputs[1];
            builder.run(fuse_gated_linear);
            REQUIRE(builder.ops() == std::vector<Op>{Op::GatedLinear});
            CHECK(builder.graph.node(0).inputs == std::vector<ValueId>{builder.x, gate_weight, up_weight});
        }
    }
}

// The graph stays as it is and the log says why.
void check_refusal(Builder& builder, Status (*pass)(Graph&, const OptimizeContext&), const std::string& reason) {
    CAPTURE(reason);
    const std::vector<Op> before = builder.ops();
    const LogCapture log;
    builder.run(pass);
    CHECK(builder.ops() == before);
    CHECK_THAT(log.text(), contains(reason));
}

TEST_CASE("a product that is no gate is left alone and the log says why") {
    const auto refuse = [](const std::string& reason, auto make) {
        Builder builder;
        builder.graph.add_output(make(builder));
        check_refusal(builder, fuse_gated_linear, "fuse_gated_linear leaves 'Mul");
        Builder again;
        again.graph.add_output(make(again));
        check_refusal(again, fuse_gated_linear, reason);
    };
    refuse("no factor is a Swish", [](Builder& b) { return b.node(Op::Mul, {b.linear(b.x), b.linear(b.x)}); });
    refuse("no factor is a Swish with one reader", [](Builder& b) {
        const ValueId bent = b.node(Op::Swish, {b.linear(b.x)});
        return b.node(Op::Mul, {b.node(Op::Mul, {bent, b.linear(b.x)}), bent});
    });
    refuse("alpha other than 1", [](Builder& b) {
        return b.node(Op::Mul, {b.node(Op::Swish, {b.linear(b.x)}, {{"alpha", 1.5}}), b.linear(b.x)});
    });
    refuse("a factor is no Linear", [](Builder& b) { return b.gate(b.linear(b.x), b.x); });
    refuse("a factor is no Linear with one reader", [](Builder& b) {
        const ValueId gate = b.linear(b.x);
        return b.node(Op::Mul, {b.gate(gate, b.linear(b.x)), gate});
    });
    refuse("a factor is no Linear with one reader", [](Builder& b) {
        const ValueId gate = b.linear(b.x);
        b.graph.add_output(gate);  // somebody outside reads it
        return b.gate(gate, b.linear(b.x));
    });
    refuse("has a bias or a residual", [](Builder& b) {
        const ValueId bias = b.graph.add_constant("bias", Constant(floats({32}, std::vector<float>(32))));
        return b.gate(b.node(Op::Linear, {b.x, b.weight(DType::F32), bias}), b.linear(b.x));
    });
    refuse("the Linears read different inputs", [](Builder& b) {
        const ValueId other = b.node(Op::Swish, {b.x});
        return b.gate(b.linear(b.x), b.linear(other));
    });
    refuse("the weights differ in shape",
           [](Builder& b) { return b.gate(b.linear(b.x), b.linear(b.x, DType::F32, 1)); });
    refuse("storage is updated in between", [](Builder& b) {
        const ValueId cache = b.cache();
        const ValueId gate = b.linear(cache);
        b.update(cache);
        return b.gate(gate, b.linear(cache));
    });
    refuse("operands of different types",
           [](Builder& b) { return b.gate(b.linear(b.x, DType::F32), b.linear(b.x, DType::Q8_0)); });
}

// ---- fuse_residual

TEST_CASE("a linear plus something of its shape adds it itself, on either side, also with a bias") {
    for (const bool swapped : {false, true}) {
        for (const bool biased : {false, true}) {
            Builder builder;
            std::vector<float> numbers(32, 0.5F);
            const ValueId bias = builder.graph.add_constant("bias", Constant(floats({32}, numbers)));
            const ValueId weight = builder.weight(DType::Q4_0);
            const ValueId linear = builder.node(
                Op::Linear, biased ? std::vector{builder.x, weight, bias} : std::vector{builder.x, weight});
            builder.graph.add_output(
                builder.node(Op::Add, swapped ? std::vector{builder.x, linear} : std::vector{linear, builder.x}));
            check_same_results(builder);
            builder.run(fuse_residual);
            REQUIRE(builder.ops() == std::vector<Op>{Op::Linear});
            CHECK(builder.graph.node(0).inputs ==
                  std::vector<ValueId>{builder.x, weight, biased ? bias : kNoValue, builder.x});
            CHECK(builder.graph.node(0).name == "Add1");
        }
    }
}

TEST_CASE("of two linears one becomes the residual of the other") {
    Builder builder;
    builder.graph.add_output(builder.node(Op::Add, {builder.linear(builder.x), builder.linear(builder.x)}));
    check_same_results(builder);
    builder.run(fuse_residual);
    CHECK(builder.ops() == std::vector<Op>{Op::Linear, Op::Linear});
}

TEST_CASE("a sum that is no residual is left alone and the log says why") {
    const auto refuse = [](const std::string& reason, auto make) {
        Builder builder;
        builder.graph.add_output(make(builder));
        check_refusal(builder, fuse_residual, reason);
    };
    refuse("leaves 'Add0' alone: the summand is no Linear", [](Builder& b) { return b.node(Op::Add, {b.x, b.x}); });
    refuse("the summand is no Linear with one reader", [](Builder& b) {
        const ValueId linear = b.linear(b.x);
        b.graph.add_output(linear);
        return b.node(Op::Add, {linear, b.x});
    });
    refuse("the Linear has a residual already", [](Builder& b) {
        const ValueId linear = b.node(Op::Linear, {b.x, b.weight(DType::F32), kNoValue, b.x});
        return b.node(Op::Add, {linear, b.x});
    });
    refuse("the summands differ in shape", [](Builder& b) {
        const ValueId row = b.graph.add_input("row", DType::F32, {{.size = 1}, {.size = 32}});
        return b.node(Op::Add, {b.linear(b.x), row});
    });
    refuse("the summands differ in shape", [](Builder& b) {
        const ValueId many = b.graph.add_input("many", DType::F32, {{.symbol = b.graph.add_symbol("n")}, {.size = 32}});
        return b.node(Op::Add, {b.linear(b.x), many});
    });
    refuse("storage is updated in between", [](Builder& b) {
        const ValueId cache = b.cache();
        const ValueId linear = b.linear(cache);
        b.update(cache);
        return b.node(Op::Add, {linear, b.cache()});
    });
}

TEST_CASE("two dimensions that are merely both unknown are not the same") {
    Builder builder;
    const ValueId a = builder.graph.add_input("a", DType::F32, {{}, {.size = 32}});
    const ValueId b = builder.graph.add_input("b", DType::F32, {{}, {.size = 32}});
    builder.graph.add_output(builder.node(Op::Add, {builder.linear(a), b}));
    check_refusal(builder, fuse_residual, "the summands differ in shape");
}

// ---- quantize_activations

TEST_CASE("all projections of one value share one quantised copy of it") {
    Builder builder;
    const ValueId q = builder.linear(builder.x, DType::Q8_0);
    const ValueId k = builder.linear(builder.x, DType::Q4_0);
    const ValueId plain = builder.linear(builder.x, DType::F16);
    const ValueId up = builder.node(Op::GatedLinear, {q, builder.weight(DType::Q8_0), builder.weight(DType::Q8_0)});
    const ValueId down = builder.linear(q, DType::Q8_0);
    for (const ValueId id : {k, plain, up, down}) builder.graph.add_output(id);
    builder.run(quantize_activations);
    CHECK(builder.ops() == std::vector<Op>{Op::QuantizeActivation, Op::Linear, Op::Linear, Op::Linear,
                                           Op::QuantizeActivation, Op::GatedLinear, Op::Linear});
    const auto& nodes = builder.graph.nodes();
    CHECK(nodes[0].inputs == std::vector<ValueId>{builder.x});
    CHECK(nodes[1].inputs[0] == nodes[0].outputs[0]);
    CHECK(nodes[2].inputs[0] == nodes[0].outputs[0]);
    CHECK(nodes[3].inputs[0] == builder.x);  // f16 weights read floats
    CHECK(nodes[4].inputs == std::vector<ValueId>{q});
    CHECK(nodes[5].inputs[0] == nodes[4].outputs[0]);
    CHECK(nodes[6].inputs[0] == nodes[4].outputs[0]);
    CHECK(builder.graph.value(nodes[0].outputs[0]).dtype == DType::Q8Row);
}

TEST_CASE("the reference provider reads floats, so nothing is quantised for it") {
    Builder builder;
    builder.graph.add_output(builder.linear(builder.x, DType::Q8_0));
    builder.run(quantize_activations, Provider::Reference);
    CHECK(builder.ops() == std::vector<Op>{Op::Linear});
}

// ---- fuse_norm_quantization, fuse_gate_quantization

// The optimized graph's results, bit by bit, for each row alone and all together, on any number of threads.
void check_rows_independent(const Builder& builder) {
    Random random(34);
    const Tensor x = random_floats({40, 32}, random);
    std::vector<float> all;
    for (const int threads : {1, 3}) {
        for (const int64_t rows : {int64_t{40}, int64_t{7}, int64_t{1}}) {
            CAPTURE(threads, rows);
            Graph graph = builder.graph;
            const RuntimePtr runtime = make_runtime(threads);
            REQUIRE(optimize(graph, {*runtime, Provider::Native, {}}).ok());
            Session session(prepare(std::move(graph), runtime).value());
            session.set_input(0, {x.data(), DType::F32, Shape{rows, 32}});
            REQUIRE(session.run().ok());
            const std::vector<float> found = values_of(copy_of(session.output(0)));
            if (all.empty()) all = found;
            REQUIRE(found.size() <= all.size());
            CHECK(std::equal(found.begin(), found.end(), all.begin()));
        }
    }
}

ValueId normalized(Builder& b, ValueId x, Attributes attributes = {}) {
    const ValueId scale = b.graph.add_constant("scale", Constant(random_floats({32}, b.random)));
    return b.node(Op::RMSNormalization, {x, scale}, std::move(attributes));
}

TEST_CASE("a norm whose readers want integers is computed with the quantization, bit for bit") {
    Builder builder;
    const ValueId normed = normalized(builder, builder.x, {{"epsilon", 0.25}});
    const ValueId a = builder.linear(normed, DType::Q8_0, 48);
    builder.graph.add_output(builder.node(Op::Mul, {a, builder.linear(normed, DType::Q4_0, 48)}));
    Random random(35);
    const Tensor x = random_floats({5, 32}, random);
    const std::vector<float> plain = results(builder.graph, x, false);
    CHECK(results(builder.graph, x, true) == plain);
    check_rows_independent(builder);
    builder.run(quantize_activations);
    builder.run(fuse_norm_quantization);
    REQUIRE(builder.ops() == std::vector<Op>{Op::QuantizeActivation, Op::Linear, Op::Linear, Op::Mul});
    CHECK(builder.graph.node(0).inputs[0] == builder.x);
    CHECK(builder.graph.node(0).number("epsilon", 0) == 0.25);
}

TEST_CASE("a norm that is needed as floats too, or is none of rows, stays a node of its own") {
    const auto refuse = [](const std::string& reason, auto make) {
        Builder builder;
        builder.graph.add_output(make(builder));
        builder.run(quantize_activations);
        check_refusal(builder, fuse_norm_quantization, reason);
    };
    refuse("its input is no RMSNormalization with one reader", [](Builder& b) {
        const ValueId normed = normalized(b, b.x);  // read by an integer and by a float matrix
        return b.node(Op::Mul, {b.linear(normed, DType::Q8_0), b.linear(normed, DType::F32)});
    });
    refuse("its input is no RMSNormalization with one reader", [](Builder& b) {
        const ValueId normed = normalized(b, b.x);
        b.graph.add_output(normed);
        return b.linear(normed, DType::Q8_0);
    });
    refuse("its input is no RMSNormalization", [](Builder& b) { return b.linear(b.x, DType::Q8_0); });
    refuse("more than the last axis is normalized", [](Builder& b) {
        const ValueId rows = b.graph.add_input("rows", DType::F32, dims_of({1, 32}));
        return b.linear(normalized(b, rows, {{"axis", int64_t{0}}}), DType::Q8_0);
    });
}

TEST_CASE("a gate's result is quantized by the gate when an integer matrix reads it, bit for bit") {
    for (const int64_t inner : {int64_t{32}, int64_t{128}, int64_t{416}}) {  // a part of a group, one, some and a part
        CAPTURE(inner);
        Builder builder;
        const ValueId gate = builder.linear(builder.x, DType::Q8_0, inner);
        const ValueId gated = builder.gate(gate, builder.linear(builder.x, DType::Q8_0, inner));
        builder.graph.add_output(builder.node(Op::Linear, {gated, builder.weight(DType::Q8_0, 40, inner)}));
        check_rows_independent(builder);

        // The same with the quantization as a node of its own.
        Builder apart = builder;
        apart.run(fuse_gated_linear);
        apart.run(quantize_activations);
        Random random(36);
        const Tensor x = random_floats({5, 32}, random);
        CHECK(results(builder.graph, x, true) == results(apart.graph, x, false));
        apart.run(fuse_gate_quantization);
        CHECK(apart.ops() == std::vector<Op>{Op::QuantizeActivation, Op::GatedLinear, Op::Linear});
        CHECK(apart.graph.node(1).integer("to", 0) == static_cast<int64_t>(DType::Q8Row));
    }
}

TEST_CASE("a gate's result that somebody reads as floats is not quantized by the gate") {
    Builder builder;
    const ValueId gated = builder.gate(builder.linear(builder.x, DType::Q8_0), builder.linear(builder.x, DType::Q8_0));
    builder.graph.add_output(builder.node(Op::Mul, {builder.linear(gated, DType::Q8_0), gated}));
    builder.run(fuse_gated_linear);
    builder.run(quantize_activations);
    check_refusal(builder, fuse_gate_quantization, "its input is no GatedLinear with one reader");
}

// ---- fuse_rotary_update

struct RotaryUpdate {
    Builder b;
    ValueId cache = b.graph.add_input("cache", DType::F32, dims_of({2, 2, 16, 32}));
    ValueId data = b.graph.add_input("data", DType::F32, dims_of({1, 3, 32}));
    ValueId positions = b.graph.add_input("positions", DType::I32, dims_of({1, 3}));
    ValueId sequences = b.graph.add_input("sequences", DType::I32, dims_of({3}));
    ValueId table = b.graph.add_input("table", DType::I32, dims_of({1, 2}));
    ValueId cosines = b.graph.add_input("cos", DType::F32, dims_of({1, 3, 8}));
    ValueId sines = b.graph.add_input("sin", DType::F32, dims_of({1, 3, 8}));

    ValueId rotated(ValueId x, int64_t heads = 2) {
        return b.node(Op::RotaryEmbedding, {x, cosines, sines}, {{"num_heads", heads}, {"interleaved", int64_t{1}}});
    }
    ValueId update(ValueId x) {
        return b.node(Op::CacheUpdate, {cache, x, positions, sequences, table},
                      {{"kind", std::string("keys")}, {"kv_num_heads", int64_t{2}}});
    }
    // The cache's bytes after a run.
    std::vector<float> run(bool fuse) {
        Random random(37);
        const Tensor memory = floats({2, 2, 16, 32}, std::vector<float>(2048));
        const Tensor values = random_floats({1, 3, 32}, random);
        const Tensor cos = random_floats({1, 3, 8}, random);
        const Tensor sin = random_floats({1, 3, 8}, random);
        const std::vector<Tensor> rest = {ints({1, 3}, {31, 32, 33}), ints({3}, {0, 0, 0}), ints({1, 2}, {1, 0})};
        Graph graph = b.graph;
        REQUIRE(infer_types(graph).ok());
        if (fuse) REQUIRE(fuse_rotary_update(graph, {*b.runtime, Provider::Native, {}}).ok());
        REQUIRE(infer_types(graph).ok());
        CHECK(graph.nodes().size() == (fuse ? 1 : 2));
        Session session(prepare(std::move(graph), make_runtime(2)).value());
        size_t index = 1;  // 0 is the builder's own x
        const Tensor unused = floats({1, 32}, std::vector<float>(32));
        session.set_input(0, view_of(unused));
        for (const Tensor& each : {memory, values, rest[0], rest[1], rest[2], cos, sin}) {
            session.set_input(index++, view_of(each));
        }
        REQUIRE(session.run().ok());
        return values_of(memory);
    }
};

TEST_CASE("keys are rotated by the node that stores them, bit for bit") {
    RotaryUpdate graph;
    graph.b.graph.add_output(graph.update(graph.rotated(graph.data)));
    const std::vector<float> apart = graph.run(false);
    CHECK(std::ranges::any_of(apart, [](float each) { return each != 0; }));
    CHECK(graph.run(true) == apart);
}

TEST_CASE("a rotation that others read, or of other heads, stays a node of its own") {
    RotaryUpdate shared;
    const ValueId rotated = shared.rotated(shared.data);
    shared.b.graph.add_output(shared.update(rotated));
    shared.b.graph.add_output(rotated);
    check_refusal(shared.b, fuse_rotary_update, "its data is no RotaryEmbedding with one reader");
    RotaryUpdate other;
    other.b.graph.add_output(other.update(other.rotated(other.data, 1)));
    check_refusal(other.b, fuse_rotary_update, "the head counts differ");
    RotaryUpdate plain;
    plain.b.graph.add_output(plain.update(plain.data));
    check_refusal(plain.b, fuse_rotary_update, "its data is no RotaryEmbedding");
}

// ---- pack_weights

TEST_CASE("weights of projections become panels, everything else stays as it was") {
    Builder builder;
    const ValueId scale = builder.graph.add_constant("scale", Constant(floats({32}, std::vector<float>(32, 1))));
    const ValueId weight = builder.weight(DType::Q8_0, 40);
    const ValueId normed = builder.node(Op::RMSNormalization, {builder.x, scale});
    builder.graph.add_output(builder.node(Op::Linear, {normed, weight}));
    builder.run(quantize_activations);
    builder.run(pack_weights);
    const Constant& packed = *builder.graph.value(weight).constant;
    CHECK(packed.layout() == Layout::Panels);
    CHECK(packed.shape() == Shape{40, 32});
    CHECK(packed.byte_size() == 2 * 32 * 34);  // two panels of 32 outputs
    CHECK(builder.graph.value(scale).constant->layout() == Layout::Plain);
    CHECK(builder.runtime->memory->used_bytes() == 2 * 32 * 34);
    builder.run(pack_weights);  // a second time changes nothing
    CHECK(builder.graph.value(weight).constant->byte_size() == 2 * 32 * 34);
}

TEST_CASE("a weight that other ops read as it is keeps a plain copy for them") {
    Builder builder;
    const ValueId weight = builder.weight(DType::F32);
    const ValueId rows = builder.graph.add_input("rows", DType::I32, {{.size = 1}});
    builder.graph.add_output(builder.node(Op::Linear, {builder.node(Op::Gather, {weight, rows}), weight}));
    builder.graph.add_output(weight);
    const Tensor plain = builder.graph.value(weight).constant->load().value();
    const auto outputs = run_graph(builder.graph, {floats({1, 32}, std::vector<float>(32)), ints({1}, {3})});
    REQUIRE(outputs.ok());
    const std::vector<float> values = values_of(plain);
    std::vector<double> wanted;
    for (size_t row = 0; row < 32; ++row) {
        double sum = 0;
        for (size_t k = 0; k < 32; ++k) sum += double{values[3 * 32 + k]} * double{values[row * 32 + k]};
        wanted.push_back(sum);
    }
    CHECK(largest_error(values_of((*outputs)[0]), wanted) < 1e-5);
    CHECK(values_of((*outputs)[1]) == values);
}

TEST_CASE("packed weights lie behind each other in one block, each on its boundary") {
    Builder builder;
    const ValueId first = builder.weight(DType::Q8_0, 40);
    const ValueId second = builder.weight(DType::F32, 33);
    builder.graph.add_output(builder.node(Op::Linear, {builder.x, first}));
    builder.graph.add_output(builder.node(Op::Linear, {builder.x, second}));
    builder.run(quantize_activations);
    builder.run(pack_weights);
    const Tensor a = builder.graph.value(first).constant->load().value();
    const Tensor b = builder.graph.value(second).constant->load().value();
    CHECK(b.data() == a.data() + 2 * 32 * 34);
    CHECK(reinterpret_cast<uintptr_t>(b.data()) % Memory::kAlignment == 0);
}

TEST_CASE("packing gives the same bytes on any number of threads") {
    Random random(33);
    const Tensor weight = weight_tensor(make_weight(DType::Q8_0, 1000, 4096, random));  // five runs
    std::vector<std::vector<std::byte>> packed;
    for (const int threads : {1, 2, 5}) {
        const RuntimePtr runtime = make_runtime(threads);
        const size_t size = packed_bytes(Constant(weight), "w").value();
        auto bytes = std::make_shared<std::vector<std::byte>>(size + 64);
        const Constant result = pack_weight(*runtime, Constant(weight), {bytes, bytes->data()}).value();
        const Tensor panels = result.load().value();
        packed.emplace_back(panels.data(), panels.data() + panels.byte_size());
    }
    CHECK(packed[0] == packed[1]);
    CHECK(packed[0] == packed[2]);
}

TEST_CASE("progress counts the bytes of all constants up to their sum") {
    Builder builder;
    builder.graph.add_output(builder.linear(builder.linear(builder.x, DType::F32), DType::Q8_0));
    std::vector<std::pair<uint64_t, uint64_t>> calls;
    const OptimizeContext context{*builder.runtime, Provider::Native, [&](uint64_t done, uint64_t total) {
                                      calls.emplace_back(done, total);
                                      return true;
                                  }};
    REQUIRE(optimize(builder.graph, context).ok());
    const uint64_t first = 32 * 32 * 4;
    const uint64_t total = first + 32 * 34;
    CHECK(calls == std::vector<std::pair<uint64_t, uint64_t>>{{first, total}, {total, total}});
}

TEST_CASE("a progress callback that says no stops the loading") {
    Builder builder;
    builder.graph.add_output(builder.linear(builder.linear(builder.x)));
    int calls = 0;
    const OptimizeContext context{*builder.runtime, Provider::Native, [&](uint64_t, uint64_t) {
                                      ++calls;
                                      return false;
                                  }};
    const Status status = optimize(builder.graph, context);
    CHECK(status.code() == StatusCode::Cancelled);
    CHECK(calls == 1);
}

TEST_CASE("weights that do not fit into the budget are out of memory by name") {
    Builder builder;
    const ValueId output = builder.linear(builder.x);
    builder.graph.add_output(output);
    const std::string weight = builder.graph.value(builder.graph.node(0).inputs[1]).name;
    Runtime small;
    small.memory = std::make_shared<Memory>(1000);
    small.team = std::make_unique<Team>(1);
    const Status status = optimize(builder.graph, {small, Provider::Native, {}});
    CHECK(status.code() == StatusCode::OutOfMemory);
    CHECK_THAT(status.message(), contains("4096 bytes for weights, the largest " + weight));
}

// ---- All of them

TEST_CASE("optimizing logs what each pass did to the number of nodes") {
    Builder builder;
    builder.graph.add_output(builder.node(
        Op::Add,
        {builder.gate(builder.linear(builder.x, DType::Q8_0), builder.linear(builder.x, DType::Q8_0)), builder.x}));
    check_same_results(builder);
    const LogCapture log;
    REQUIRE(optimize(builder.graph, {*builder.runtime, Provider::Native, {}}).ok());
    CHECK(builder.ops() == std::vector<Op>{Op::QuantizeActivation, Op::GatedLinear, Op::Add});
    CHECK_THAT(log.text(), contains("optimize: fuse_gated_linear: 5 -> 2 nodes"));
    CHECK_THAT(log.text(), contains("optimize: quantize_activations: 2 -> 3 nodes"));
}

TEST_CASE("a graph that cannot be right is refused before anything is done") {
    Builder broken;
    broken.graph.add_output(1000);
    CHECK(optimize(broken.graph, {*broken.runtime, Provider::Native, {}}).code() == StatusCode::Internal);
    Builder wrong;
    const ValueId row = wrong.graph.add_constant("row", Constant(floats({5}, {1, 2, 3, 4, 5})));
    wrong.graph.add_output(wrong.node(Op::Add, {wrong.x, row}));
    const Status status = optimize(wrong.graph, {*wrong.runtime, Provider::Native, {}});
    CHECK(status.code() == StatusCode::InvalidModel);
    CHECK_THAT(status.message(), contains("node 'Add0' (Add)"));
}

}  // namespace
}  // namespace quoin::test
