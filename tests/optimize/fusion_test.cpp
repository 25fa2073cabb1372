// Chains of arithmetic that become one op, and those that only look like it.
#include <cmath>

#include "pass_test.h"

namespace quoin::test {
namespace {

using Ops = std::vector<Op>;

TEST_CASE("x * sigmoid(x) becomes Swish, also with a factor inside") {
    PassGraph g;
    const ValueId x = g.input({3, 40});
    g.graph.add_output(g.node(Op::Mul, {x, g.node(Op::Sigmoid, {x})}));
    g.graph.add_output(g.node(Op::Mul, {g.node(Op::Sigmoid, {g.node(Op::Mul, {g.scalar(1.702F), x})}), x}));
    g.check_same_results(fuse_activations, 1e-5);
    CHECK(g.ops() == Ops{Op::Swish, Op::Swish});
    CHECK(g.graph.nodes()[1].number("alpha", 1) == Approx(1.702));
}

TEST_CASE("the sigmoid of something else is no gate") {
    PassGraph g;
    const ValueId x = g.input({3, 40});
    const ValueId y = g.input({3, 40});
    g.graph.add_output(g.node(Op::Mul, {x, g.node(Op::Sigmoid, {y})}));
    const DebugLog log;
    g.run(fuse_activations);
    CHECK(g.ops() == Ops{Op::Sigmoid, Op::Mul});
    CHECK(log.says("leaves 'Mul1' alone"));
}

TEST_CASE("hard swish and hard sigmoid are found in their clips") {
    PassGraph g;
    const ValueId x = g.input({3, 40});
    const auto clip = [&](float offset, float high) {
        const ValueId sum = g.node(Op::Add, {x, g.scalar(offset)});
        return g.node(Op::Clip, {sum, g.scalar(0), g.scalar(high)});
    };
    g.graph.add_output(g.node(Op::Mul, {x, g.node(Op::Div, {clip(3, 6), g.scalar(6)})}));
    g.graph.add_output(g.node(Op::Div, {g.node(Op::Mul, {x, clip(3, 6)}), g.scalar(6)}));
    g.graph.add_output(g.node(Op::Div, {clip(3, 6), g.scalar(6)}));
    g.graph.add_output(g.node(Op::Div, {clip(3, 5), g.scalar(6)}));
    g.check_same_results(fuse_activations, 1e-5);
    CHECK(g.count(Op::HardSwish) == 2);
    CHECK(g.count(Op::HardSigmoid) == 1);
    CHECK(g.count(Op::Clip) == 1);
}

TEST_CASE("gelu is found with erf and with tanh, however it is written") {
    PassGraph g;
    const ValueId x = g.input({3, 40});
    const auto erf = [&](float divisor) {
        return g.node(Op::Add, {g.node(Op::Erf, {g.node(Op::Div, {x, g.scalar(divisor)})}), g.scalar(1)});
    };
    const float root = std::sqrt(2.0F);
    g.graph.add_output(g.node(Op::Mul, {g.node(Op::Mul, {x, erf(root)}), g.scalar(0.5F)}));
    g.graph.add_output(g.node(Op::Mul, {g.node(Op::Mul, {x, g.scalar(0.5F)}), erf(root)}));
    const ValueId cube = g.node(Op::Mul, {g.scalar(0.044715F), g.node(Op::Pow, {x, g.scalar(3)})});
    const ValueId inner = g.node(Op::Mul, {g.scalar(0.7978845608F), g.node(Op::Add, {x, cube})});
    const ValueId tanh = g.node(Op::Add, {g.scalar(1), g.node(Op::Tanh, {inner})});
    g.graph.add_output(g.node(Op::Mul, {g.node(Op::Mul, {g.scalar(0.5F), x}), tanh}));
    g.graph.add_output(g.node(Op::Mul, {g.node(Op::Mul, {x, erf(1.5F)}), g.scalar(0.5F)}));
    g.check_same_results(fuse_activations, 1e-5);
    CHECK(g.count(Op::Gelu) == 3);
    CHECK(g.count(Op::Erf) == 1);
}

TEST_CASE("a constant of one element that adds axes to the result is no plain factor") {
    PassGraph g;
    const ValueId x = g.input({40});
    const auto one_element = [&](const Shape& shape, float value) {
        return g.graph.add_constant("one", Constant(floats(shape, {value})));
    };
    const ValueId erf = g.node(Op::Erf, {g.node(Op::Div, {x, g.scalar(std::sqrt(2.0F))})});
    const auto gelu = [&](const Shape& half) {
        const ValueId sum = g.node(Op::Add, {erf, one_element({1}, 1)});
        return g.node(Op::Mul, {g.node(Op::Mul, {x, sum}), one_element(half, 0.5F)});
    };
    g.graph.add_output(gelu({1}));
    g.graph.add_output(gelu({1, 1}));  // [1, 40]
    g.check_same_results(fuse_activations, 1e-5);
    CHECK(g.count(Op::Gelu) == 1);
    CHECK(g.count(Op::Erf) == 1);
}

TEST_CASE("gelu is found where its operand is itself a sum") {
    PassGraph g;
    const ValueId y = g.input({3, 40});
    const ValueId x = g.node(Op::Add, {y, g.constant(Shape{40})});
    const auto gelu = [&](ValueId middle) {
        const ValueId cubic =
            g.node(Op::Mul, {x, g.node(Op::Mul, {middle, g.node(Op::Mul, {g.scalar(0.044715F), x})})});
        const ValueId inner = g.node(Op::Mul, {g.scalar(0.7978845608F), g.node(Op::Add, {x, cubic})});
        const ValueId gate = g.node(Op::Add, {g.scalar(1), g.node(Op::Tanh, {inner})});
        return g.node(Op::Mul, {x, g.node(Op::Mul, {g.scalar(0.5F), gate})});
    };
    g.graph.add_output(gelu(x));
    g.graph.add_output(gelu(y));  // no cube of x
    g.check_same_results(fuse_activations, 1e-5);
    CHECK(g.count(Op::Gelu) == 1);
    CHECK(g.count(Op::Tanh) == 1);
}

TEST_CASE("an activation goes into the linear in front of it, with its bias and its residual") {
    const std::vector<std::pair<Op, Attributes>> activations = {
        {Op::Relu, {}},    {Op::Gelu, {}}, {Op::Gelu, {{"approximate", std::string("tanh")}}},
        {Op::Sigmoid, {}}, {Op::Tanh, {}}, {Op::LeakyRelu, {{"alpha", 0.3}}},
        {Op::Elu, {}},     {Op::Selu, {}},
    };
    for (const auto& [op, attributes] : activations) {
        PassGraph g;
        const ValueId x = g.input({5, 24});
        const ValueId residual = g.input({5, 40});
        const ValueId weight = g.constant({40, 24});
        const ValueId bias = g.constant({40});
        g.graph.add_output(g.node(op, {g.node(Op::Linear, {x, weight})}, attributes));
        g.graph.add_output(g.node(op, {g.node(Op::Linear, {x, weight, bias, residual})}, attributes));
        CAPTURE(op_info(op).name);
        g.check_same_results(fuse_linear_activation, 1e-6);
        CHECK(g.ops() == Ops{Op::Linear, Op::Linear});
        CHECK(g.graph.nodes()[1].inputs.size() == 4);
    }
}

TEST_CASE("an activation inside a linear is as exact near zero as alone") {
    constexpr double kSelu = 1.05070102214813232421875 * 1.67326319217681884765625;
    const std::vector<std::pair<Op, double (*)(double)>> activations = {
        {Op::Tanh, [](double x) { return std::tanh(x); }},
        {Op::Elu, [](double x) { return std::expm1(x); }},
        {Op::Selu, [](double x) { return kSelu * std::expm1(x); }},
    };
    std::vector<float> small;
    for (int power = 0; power < 40; ++power) small.push_back(std::ldexp(-1.0F, -power));
    for (const auto& [op, function] : activations) {
        PassGraph g;
        const ValueId weight = g.constant(floats({40, 1}, std::vector<float>(40, 1)));
        const ValueId y = g.node(Op::Linear, {g.input({1, 1}), weight, g.constant(floats({40}, small))});
        g.graph.add_output(g.node(op, {y}));
        const std::vector<Tensor> zero{floats({1, 1}, {0})};
        const std::vector<float> alone = values_of(g.results(zero)[0]);
        g.run(fuse_linear_activation);
        REQUIRE(g.ops() == Ops{Op::Linear});
        const std::vector<float> inside = values_of(g.results(zero)[0]);
        for (size_t index = 0; index < small.size(); ++index) {
            const double wanted = function(double{small[index]});
            CAPTURE(op_info(op).name, small[index]);
            CHECK(std::abs(double{alone[index]} - wanted) <= 1e-6 * std::abs(wanted));
            CHECK(std::abs(double{inside[index]} - wanted) <= 1e-6 * std::abs(wanted));
        }
    }
}

TEST_CASE("an activation that no linear can take is left alone and the log says why") {
    const auto refuse = [](const std::string& reason, auto make, Provider provider = Provider::Native) {
        PassGraph g;
        const ValueId x = g.input({5, 24});
        g.graph.add_output(make(g, x));
        const Ops before = g.ops();
        const DebugLog log;
        REQUIRE(infer_types(g.graph).message() == "");
        REQUIRE(fuse_linear_activation(g.graph, {*g.runtime, provider, {}}).message() == "");
        CHECK(g.ops() == before);
        CAPTURE(log.text());
        CHECK(log.says(reason));
    };
    const auto linear = [](PassGraph& g, ValueId x) { return g.node(Op::Linear, {x, g.constant({40, 24})}); };
    refuse("fuse_linear_activation leaves 'Relu0' alone: its operand is no Linear",
           [](PassGraph& g, ValueId x) { return g.node(Op::Relu, {x}); });
    refuse("no Linear with one reader", [&](PassGraph& g, ValueId x) {
        const ValueId y = linear(g, x);
        g.graph.add_output(y);
        return g.node(Op::Relu, {y});
    });
    refuse("has an activation already", [](PassGraph& g, ValueId x) {
        const Attributes relu = {{"activation", std::string("Relu")}};
        return g.node(Op::Tanh, {g.node(Op::Linear, {x, g.constant({40, 24})}, relu)});
    });
    refuse("Linear has no slopes", [&](PassGraph& g, ValueId x) {
        return g.node(Op::PRelu, {linear(g, x), g.constant(Shape{40})});
    });
    refuse(
        "the reference provider computes no activation",
        [&](PassGraph& g, ValueId x) { return g.node(Op::Relu, {linear(g, x)}); }, Provider::Reference);
}

TEST_CASE("what follows a linear with an activation is neither its residual nor its gate") {
    PassGraph g;
    const ValueId x = g.input({5, 24});
    const Attributes relu = {{"activation", std::string("Relu")}};
    const ValueId y = g.node(Op::Linear, {x, g.constant({24, 24})}, relu);
    const ValueId gate = g.node(Op::Swish, {g.node(Op::Linear, {x, g.constant({24, 24})}, relu)});
    const ValueId up = g.node(Op::Linear, {x, g.constant({24, 24})});
    g.graph.add_output(g.node(Op::Add, {y, x}));
    g.graph.add_output(g.node(Op::Mul, {gate, up}));
    const DebugLog log;
    g.run(fuse_residual);
    g.run(fuse_gated_linear);
    CHECK(g.count(Op::Linear) == 3);
    CHECK(log.says("the Linear has an activation"));
    CHECK(log.says("a Linear has an activation"));
}

struct NormGraph : PassGraph {
    ValueId x = input({2, 5, 24});
    ValueId mean(ValueId value) { return node(Op::ReduceMean, {value, list({-1})}, {{"keepdims", int64_t{1}}}); }
    ValueId root(ValueId value) { return node(Op::Sqrt, {node(Op::Add, {mean(value), scalar(1e-5F)})}); }
};

TEST_CASE("a layer normalization written out becomes one node with its scale and bias") {
    NormGraph g;
    const ValueId centred = g.node(Op::Sub, {g.x, g.mean(g.x)});
    const ValueId quotient = g.node(Op::Div, {centred, g.root(g.node(Op::Pow, {centred, g.scalar(2)}))});
    const ValueId scaled = g.node(Op::Mul, {quotient, g.constant(Shape{24})});
    g.graph.add_output(g.node(Op::Add, {scaled, g.constant(Shape{24})}));
    g.check_same_results(fuse_normalization, 1e-5);
    CHECK(g.ops() == Ops{Op::LayerNormalization});
    CHECK(g.graph.nodes()[0].inputs.size() == 3);
    CHECK(g.graph.nodes()[0].number("epsilon", 0) == Approx(1e-5));
}

TEST_CASE("a root mean square written out becomes one node with its scale") {
    NormGraph g;
    const ValueId square = g.node(Op::Mul, {g.x, g.x});
    const ValueId inverse = g.node(Op::Reciprocal, {g.root(square)});
    g.graph.add_output(g.node(Op::Mul, {g.constant(Shape{24}), g.node(Op::Mul, {g.x, inverse})}));
    g.check_same_results(fuse_normalization, 1e-5);
    CHECK(g.ops() == Ops{Op::RMSNormalization});
}

TEST_CASE("a mean over another axis or of another value is no normalization") {
    NormGraph g;
    const ValueId y = g.input({2, 5, 24});
    g.graph.add_output(g.node(Op::Div, {g.x, g.root(g.node(Op::Mul, {y, y}))}));
    const ValueId mean = g.node(Op::ReduceMean, {g.node(Op::Mul, {g.x, g.x}), g.list({1})}, {{"keepdims", int64_t{1}}});
    g.graph.add_output(g.node(Op::Div, {g.x, g.node(Op::Sqrt, {g.node(Op::Add, {mean, g.scalar(1e-5F)})})}));
    const DebugLog log;
    g.check_same_results(fuse_normalization, 1e-5);
    CHECK(g.count(Op::Div) == 2);
    CHECK(log.says("does not divide by the root of a mean square"));
}

TEST_CASE("a scale that somebody else's normalization has is not replaced") {
    NormGraph g;
    const ValueId norm = g.node(Op::RMSNormalization, {g.x, g.constant(Shape{24})});
    g.graph.add_output(g.node(Op::Mul, {norm, g.constant(Shape{24})}));
    g.check_same_results(fuse_normalization, 1e-5);
    CHECK(g.ops() == Ops{Op::RMSNormalization, Op::Mul});
}

}  // namespace
}  // namespace quoin::test
