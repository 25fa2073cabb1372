// Convolutions on their way from ONNX's order of axes to one step each.
#include <limits>

#include "pass_test.h"

namespace quoin::test {
namespace {

using Ops = std::vector<Op>;

// All passes that a convolution meets.
Status convolution_passes(Graph& graph, const OptimizeContext& context) {
    for (const auto pass : {fold_batch_norm, channels_last, fuse_convolution}) {
        QUOIN_RETURN_IF_ERROR(pass(graph, context));
        QUOIN_RETURN_IF_ERROR(infer_types(graph));
    }
    return {};
}

ValueId batch_norm(PassGraph& g, ValueId x, int64_t channels) {
    std::vector<float> variance = g.random.normals(channels);
    for (float& each : variance) each = 0.5F + each * each;
    return g.node(Op::BatchNormalization, {x, g.constant({channels}), g.constant({channels}), g.constant({channels}),
                                           g.constant(floats({channels}, variance))});
}

TEST_CASE("a chain of convolutions has transposes at its ends only") {
    PassGraph g;
    const ValueId x = g.input({1, 3, 10, 12});
    const ValueId a = g.node(Op::Relu, {batch_norm(g, g.conv(x, 3, 8), 8)});
    const ValueId b = g.node(Op::Sigmoid, {g.conv(a, 8, 16, 3, 2)});
    g.graph.add_output(g.node(Op::MaxPool, {b}, {{"kernel_shape", std::vector<int64_t>{2, 2}}}));
    g.check_same_results(convolution_passes, 1e-4);
    CHECK(g.ops() ==
          Ops{Op::Transpose, Op::ChannelsLastConv, Op::ChannelsLastConv, Op::ChannelsLastPool, Op::Transpose});
}

TEST_CASE("BatchNormalization goes into Conv and ConvTranspose, with and without bias") {
    PassGraph g;
    const ValueId x = g.input({2, 4, 6, 6});
    g.graph.add_output(batch_norm(g, g.conv(x, 4, 8), 8));
    const ValueId with_bias =
        g.node(Op::Conv, {x, g.constant({6, 2, 1, 1}), g.constant(Shape{6})}, {{"group", int64_t{2}}});
    g.graph.add_output(batch_norm(g, with_bias, 6));
    const ValueId transposed = g.node(Op::ConvTranspose, {x, g.constant({4, 3, 2, 2})}, {{"group", int64_t{2}}});
    g.graph.add_output(batch_norm(g, transposed, 6));
    g.check_same_results(fold_batch_norm, 1e-4);
    CHECK(g.ops() == Ops{Op::Conv, Op::Conv, Op::ConvTranspose});
}

TEST_CASE("zeros around an image become padding of its convolution, other paddings stay") {
    PassGraph g;
    const ValueId x = g.input({1, 3, 6, 6});
    g.graph.add_output(g.conv(g.node(Op::Pad, {x, g.list({0, 0, 1, 0, 0, 0, 2, 1})}), 3, 4));
    g.graph.add_output(g.conv(g.node(Op::Pad, {x, g.list({0, 0, 1, 0, 0, 0, 2, 1}), g.scalar(1)}), 3, 4));
    g.graph.add_output(g.conv(g.node(Op::Pad, {x, g.list({0, 1, 0, 0, 0, 0, 0, 0})}), 4, 4));
    const DebugLog log;
    g.check_same_results(fold_padding, 1e-5);
    CHECK(g.ops() == Ops{Op::Conv, Op::Pad, Op::Conv, Op::Pad, Op::Conv});
    CHECK(log.says("it does not pad with 0"));
    CHECK(log.says("it pads images or channels"));
}

TEST_CASE("paddings whose sum is no number stay apart") {
    PassGraph g;
    const ValueId x = g.graph.add_input("x", DType::F32, {{.size = 1}, {.size = 3}, {}, {}});
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    const ValueId padded = g.node(Op::Pad, {x, g.list({0, 0, kMost, 0, 0, 0, 0, 0})});
    g.graph.add_output(g.conv(padded, 3, 4));
    const DebugLog log;
    g.run(fold_padding);
    CHECK(g.ops() == Ops{Op::Pad, Op::Conv});
    CHECK(log.says("the padding is too large"));
}

TEST_CASE("nothing goes into the weight of a convolution that has none") {
    PassGraph g;
    g.graph.add_output(batch_norm(g, g.conv(g.input({1, 0, 6, 6}), 0, 4), 4));
    const DebugLog log;
    g.run(fold_batch_norm);
    CHECK(g.count(Op::Conv) == 2);
    CHECK(log.says("the weight is empty"));
}

TEST_CASE("a BatchNormalization without convolution becomes one with a tap per channel") {
    PassGraph g;
    g.graph.add_output(batch_norm(g, g.input({2, 5, 4, 3}), 5));
    g.check_same_results(fold_batch_norm, 1e-5);
    CHECK(g.ops() == Ops{Op::Conv});
    CHECK(g.graph.nodes()[0].integer("group", 1) == 5);
}

TEST_CASE("constants per channel go into the convolution, others and those of shared results do not") {
    PassGraph g;
    const ValueId x = g.input({1, 4, 5, 5});
    const ValueId scaled = g.node(Op::Mul, {g.conv(x, 4, 6), g.constant({1, 6, 1, 1})});
    g.graph.add_output(g.node(Op::Add, {g.constant({6, 1, 1}), scaled}));
    g.graph.add_output(g.node(Op::Add, {g.conv(x, 4, 6), g.constant({5, 5})}));
    const ValueId shared = g.conv(x, 4, 6);
    g.graph.add_output(g.node(Op::Mul, {shared, g.scalar(2)}));
    g.graph.add_output(shared);
    const DebugLog log;
    g.check_same_results(fold_batch_norm, 1e-4);
    CHECK(g.ops() == Ops{Op::Conv, Op::Conv, Op::Add, Op::Conv, Op::Mul});
    CHECK(log.says("the operand is no convolution with one reader"));
}

TEST_CASE("a BatchNormalization with parameters that come at run time is left alone") {
    PassGraph g;
    const ValueId y = g.conv(g.input({1, 4, 5, 5}), 4, 6);
    const ValueId scale = g.input({6});
    g.graph.add_output(g.node(Op::BatchNormalization, {y, scale, g.constant({6}), g.constant({6}), g.constant({6})}));
    const DebugLog log;
    g.run(fold_batch_norm);
    CHECK(g.ops() == Ops{Op::Conv, Op::BatchNormalization});
    CHECK(log.says("its parameters are no f32 constants"));
}

TEST_CASE("residuals are added by the convolution, before or behind its activation") {
    PassGraph g;
    const ValueId x = g.conv(g.input({1, 3, 8, 8}), 3, 8);
    const ValueId before = g.node(Op::Relu, {g.node(Op::Add, {g.conv(x, 8, 8), x})});
    g.graph.add_output(g.node(Op::Add, {before, g.node(Op::Tanh, {g.conv(before, 8, 8)})}));
    g.check_same_results(convolution_passes, 1e-4);
    CHECK(g.ops() ==
          Ops{Op::Transpose, Op::ChannelsLastConv, Op::ChannelsLastConv, Op::ChannelsLastConv, Op::Transpose});
}

TEST_CASE("a convolution that others read, or an addend of another shape, is not fused") {
    PassGraph g;
    const ValueId x = g.input({1, 3, 8, 8});
    const ValueId shared = g.conv(x, 3, 8);
    g.graph.add_output(g.node(Op::Relu, {shared}));
    g.graph.add_output(shared);
    g.graph.add_output(g.node(Op::Add, {g.conv(x, 3, 8), g.node(Op::GlobalAveragePool, {g.conv(x, 3, 8)})}));
    const DebugLog log;
    g.check_same_results(convolution_passes, 1e-4);
    CHECK(g.count(Op::Relu) == 1);
    CHECK(g.count(Op::Add) == 1);
    CHECK(log.says("no convolution with one reader"));
    CHECK(log.says("the summands may differ in shape"));
}

TEST_CASE("residuals are found where the sizes come with the input") {
    PassGraph g;
    const int32_t height = g.graph.add_symbol("height");
    const int32_t width = g.graph.add_symbol("width");
    const ValueId x =
        g.graph.add_input("x", DType::F32, {{.size = 1}, {.size = 3}, {.symbol = height}, {.symbol = width}});
    const ValueId a = g.node(Op::Relu, {g.conv(x, 3, 8, 3, 2)});
    const ValueId b = g.conv(g.node(Op::Relu, {g.conv(a, 8, 8, 1)}), 8, 8, 1);
    g.graph.add_output(g.node(Op::Add, {a, b}));
    g.graph.add_output(g.node(Op::Add, {a, g.conv(x, 3, 8, 5, 2)}));
    g.run(convolution_passes);
    CHECK(g.count(Op::Add) == 1);
}

TEST_CASE("a graph in which every sum reads one value twice is looked through at once") {
    PassGraph g;
    const ValueId x = g.graph.add_input("x", DType::F32, {{.size = 1}, {.size = 4}, {}, {}});
    ValueId y = g.conv(x, 4, 4);
    // Each of 24 sums doubles the paths to the convolution: to follow one by one takes a minute.
    for (int round = 0; round < 40; ++round) {
        for (int step = 0; step < 24; ++step) y = g.node(Op::Add, {y, y});
        y = g.node(Op::Add, {g.conv(y, 4, 4, 1), y});
    }
    g.graph.add_output(y);
    g.run(convolution_passes);
    CHECK(g.count(Op::Add) == 40 * 24);
}

TEST_CASE("axes that a reduction names twice are dropped once") {
    PassGraph g;
    const ValueId y = g.conv(g.input({1, 3, 5, 6}), 3, 4);
    for (const std::vector<int64_t>& axes : std::vector<std::vector<int64_t>>{{2, 2}, {0, -4, 0}, {-1, 3, 1, 1}}) {
        g.graph.add_output(g.node(Op::ReduceMax, {y, g.list(axes)}, {{"keepdims", int64_t{0}}}));
        g.graph.add_output(g.node(Op::ReduceMax, {y, g.list(axes)}));
    }
    g.check_same_results(channels_last, 1e-5);
}

TEST_CASE("transposes of the model dissolve in the order that convolutions want") {
    PassGraph g;
    const ValueId x = g.input({1, 9, 7, 4});  // channels last, as TensorFlow has it
    const ValueId first = g.node(Op::Transpose, {x}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}});
    const ValueId padded = g.node(Op::Pad, {first, g.list({0, 0, 1, 1, 0, 0, 1, 1})});
    const ValueId y = g.conv(padded, 4, 6, 1);
    const ValueId sliced = g.node(Op::Slice, {y, g.list({1}), g.list({5}), g.list({1})});
    const ValueId joined = g.node(Op::Concat, {sliced, sliced}, {{"axis", int64_t{1}}});
    const ValueId scaled = g.node(Op::Mul, {joined, g.constant({8, 1, 1})});
    g.graph.add_output(g.node(Op::Transpose, {scaled}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}}));
    g.check_same_results(channels_last, 1e-4);
    CHECK(g.count(Op::Transpose) == 0);
}

TEST_CASE("a channel shuffle and an average stay channels last") {
    PassGraph g;
    const ValueId y = g.conv(g.input({1, 1, 6, 6}), 1, 8);
    const ValueId split = g.node(Op::Reshape, {y, g.list({1, 2, 4, 6, 6})});
    const ValueId shuffled = g.node(Op::Transpose, {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3, 4}}});
    const ValueId z = g.conv(g.node(Op::Reshape, {shuffled, g.list({1, 8, 6, 6})}), 8, 8);
    const ValueId mean = g.node(Op::ReduceMean, {z, g.list({2, 3})}, {{"keepdims", int64_t{1}}});
    g.graph.add_output(g.node(Op::Flatten, {mean}));
    g.check_same_results(channels_last, 1e-4);
    CHECK(g.count(Op::Transpose) == 1);  // the shuffle itself
    CHECK(g.count(Op::ChannelsLastPool) == 1);
}

TEST_CASE("upsampling and transposed convolutions stay channels last") {
    PassGraph g;
    const ValueId y = g.conv(g.input({1, 2, 5, 6}), 2, 8);
    const ValueId scales = g.constant(floats({4}, {1, 1, 2, 2}));
    const ValueId up = g.node(Op::Resize, {y, kNoValue, scales}, {{"mode", std::string("nearest")}});
    const ValueId wide =
        g.node(Op::ConvTranspose, {up, g.constant({8, 3, 2, 2})}, {{"strides", std::vector<int64_t>{2, 2}}});
    g.graph.add_output(g.node(Op::Sigmoid, {wide}));
    g.check_same_results(convolution_passes, 1e-4);
    CHECK(g.ops() ==
          Ops{Op::Transpose, Op::ChannelsLastConv, Op::Resize, Op::ChannelsLastConvTranspose, Op::Transpose});
}

TEST_CASE("what the layout pass does not take keeps ONNX's order") {
    PassGraph g;
    const ValueId x = g.input({1, 4, 6, 6});
    const ValueId weight = g.input({8, 4, 1, 1});
    g.graph.add_output(g.node(Op::Conv, {x, weight}));
    const ValueId y = g.conv(x, 4, 4);
    g.graph.add_output(g.node(Op::Reshape, {y, g.list({1, 144})}));
    g.graph.add_output(y);
    const DebugLog log;
    g.check_same_results(channels_last, 1e-4);
    CHECK(g.count(Op::Conv) == 1);
    CHECK(log.says("its weight is no constant"));
}

TEST_CASE("transposed convolutions to a wanted shape and pools whose indices are read keep ONNX's order") {
    PassGraph g;
    const ValueId y = g.conv(g.input({1, 2, 6, 6}), 2, 4);
    const std::vector<int64_t> two{2, 2};
    g.graph.add_output(g.node(Op::ConvTranspose, {y, g.constant({4, 3, 2, 2})},
                              {{"strides", two}, {"output_shape", std::vector<int64_t>{13, 13}}}));
    const ValueId pooled = g.graph.add_value("pooled", DType::Undefined, std::nullopt);
    const ValueId indices = g.graph.add_value("indices", DType::Undefined, std::nullopt);
    g.graph.append_node({Op::MaxPool, "pool", {y}, {pooled, indices}, {{"kernel_shape", two}, {"strides", two}}});
    g.graph.add_output(g.node(Op::MaxUnpool, {pooled, indices}, {{"kernel_shape", two}, {"strides", two}}));
    const DebugLog log;
    g.check_same_results(channels_last, 1e-4);
    CHECK(g.count(Op::ConvTranspose) == 1);
    CHECK(log.says("its padding follows from a wanted shape"));
    CHECK(g.count(Op::MaxPool) == 1);
    CHECK(log.says("its indices are wanted"));
}

TEST_CASE("a Resize of what nobody has moved moves nothing") {
    PassGraph g;
    const ValueId scales = g.constant(floats({4}, {1, 1, 2, 2}));
    g.graph.add_output(
        g.node(Op::Resize, {g.input({1, 3, 4, 5}), kNoValue, scales}, {{"mode", std::string("linear")}}));
    g.check_same_results(channels_last, 0);
    CHECK(g.ops() == Ops{Op::Resize});
}

}  // namespace
}  // namespace quoin::test
