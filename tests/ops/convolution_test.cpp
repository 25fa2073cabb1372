// Convolutions and pools of ONNX against sums over every tap in double precision.
#include "op_test.h"

namespace quoin::test {
namespace {

struct Case {
    Shape x;
    Shape w;
    int64_t group;
    std::vector<int64_t> strides;
    std::vector<int64_t> dilations;
    std::vector<int64_t> pads;
};

// 2-D, straight from the definition.
std::vector<double> convolve(const Tensor& x, const Tensor& w, const Tensor& bias, const Case& c) {
    const auto at = [](const Tensor& tensor, std::array<int64_t, 4> place) {
        int64_t index = 0;
        for (size_t axis = 0; axis < 4; ++axis) index = index * tensor.shape()[axis] + place[axis];
        return double{tensor.as<float>()[static_cast<size_t>(index)]};
    };
    const auto size = [&](size_t axis) {
        return (c.x[axis + 2] + c.pads[axis] + c.pads[axis + 2] - (c.w[axis + 2] - 1) * c.dilations[axis] - 1) /
                   c.strides[axis] +
               1;
    };
    std::vector<double> y;
    for (int64_t n = 0; n < c.x[0]; ++n) {
        for (int64_t m = 0; m < c.w[0]; ++m) {
            for (int64_t row = 0; row < size(0); ++row) {
                for (int64_t column = 0; column < size(1); ++column) {
                    double sum = double{bias.as<float>()[static_cast<size_t>(m)]};
                    for (int64_t i = 0; i < c.w[1] * c.w[2] * c.w[3]; ++i) {
                        const int64_t channel = i / (c.w[2] * c.w[3]);
                        const int64_t h = row * c.strides[0] + i / c.w[3] % c.w[2] * c.dilations[0] - c.pads[0];
                        const int64_t v = column * c.strides[1] + i % c.w[3] * c.dilations[1] - c.pads[1];
                        if (h < 0 || h >= c.x[2] || v < 0 || v >= c.x[3]) continue;
                        const int64_t from = m / (c.w[0] / c.group) * c.w[1] + channel;
                        sum += at(x, {n, from, h, v}) * at(w, {m, channel, i / c.w[3] % c.w[2], i % c.w[3]});
                    }
                    y.push_back(sum);
                }
            }
        }
    }
    return y;
}

TEST_CASE("convolutions with groups, strides, dilations and padding") {
    const std::vector<Case> cases = {
        {{1, 1, 5, 5}, {1, 1, 3, 3}, 1, {1, 1}, {1, 1}, {1, 1, 1, 1}},
        {{2, 4, 7, 6}, {6, 2, 3, 2}, 2, {2, 1}, {1, 2}, {0, 1, 2, 3}},
        {{1, 3, 9, 4}, {3, 1, 5, 1}, 3, {3, 2}, {2, 1}, {4, 0, 4, 0}},
        {{1, 2, 4, 4}, {5, 2, 1, 1}, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    };
    Random random(21);
    for (const Case& c : cases) {
        CAPTURE(to_string(c.x), to_string(c.w));
        const Tensor x = random_floats(c.x, random);
        const Tensor w = random_floats(c.w, random);
        const Tensor bias = random_floats({c.w[0]}, random);
        const Attributes attributes = {
            {"group", c.group}, {"strides", c.strides}, {"dilations", c.dilations}, {"pads", c.pads}};
        const std::vector<double> wanted = convolve(x, w, bias, c);
        for (const Operand& weight : {given(w), constant(w)}) {
            CHECK(largest_error(values_of(result_of(Op::Conv, {given(x), weight, given(bias)}, attributes)), wanted) <
                  1e-5);
        }
    }
}

TEST_CASE("same padding puts the odd value at the end or at the beginning") {
    const Operand x = given(floats({1, 1, 4}, {1, 2, 3, 4}));
    const Operand w = given(floats({1, 1, 2}, {1, 10}));
    const auto padded = [&](const std::string& mode) {
        return values_of(result_of(Op::Conv, {x, w}, {{"auto_pad", mode}}));
    };
    CHECK(padded("SAME_UPPER") == std::vector<float>{21, 32, 43, 4});
    CHECK(padded("SAME_LOWER") == std::vector<float>{10, 21, 32, 43});
    CHECK(padded("VALID") == std::vector<float>{21, 32, 43});
}

TEST_CASE("convolutions that cannot be are refused") {
    const Operand x = given(floats({1, 2, 3}, {1, 2, 3, 4, 5, 6}));
    const Operand wide = given(floats({1, 2, 4}, std::vector<float>(8, 1)));
    CHECK_THAT(run_op(Op::Conv, {x, wide}).status().message(), contains("the window of 4 does not fit the 3 values"));
    const Operand channels = given(floats({1, 3, 1}, {1, 1, 1}));
    CHECK_THAT(run_op(Op::Conv, {x, channels}).status().message(), contains("the input has 2 channels"));
    const Operand w = given(floats({1, 2, 1}, {1, 1}));
    CHECK_FALSE(run_op(Op::Conv, {x, w}, {{"strides", std::vector<int64_t>{0}}}).ok());
    CHECK_FALSE(run_op(Op::Conv, {x, w}, {{"dilations", std::vector<int64_t>{int64_t{1} << 62}}}).ok());
    CHECK_FALSE(run_op(Op::Conv, {x, w}, {{"pads", std::vector<int64_t>{-1, 0}}}).ok());
    CHECK_FALSE(run_op(Op::Conv, {x, w, given(floats({2}, {1, 1}))}).ok());
    CHECK(result_of(Op::Conv, {given(floats({1, 2, 0}, {})), w}).shape() == Shape{1, 1, 0});
}

TEST_CASE("a transposed convolution spreads every value over its window") {
    const Operand x = given(floats({1, 1, 3}, {1, 2, 3}));
    const Operand w = given(floats({1, 1, 3}, {1, 10, 100}));
    const auto spread = [&](const Attributes& attributes) {
        return values_of(result_of(Op::ConvTranspose, {x, w}, attributes));
    };
    CHECK(spread({}) == std::vector<float>{1, 12, 123, 230, 300});
    CHECK(spread({{"strides", std::vector<int64_t>{2}}}) == std::vector<float>{1, 10, 102, 20, 203, 30, 300});
    CHECK(spread({{"strides", std::vector<int64_t>{2}},
                  {"pads", std::vector<int64_t>{1, 1}},
                  {"output_padding", std::vector<int64_t>{1}}}) == std::vector<float>{10, 102, 20, 203, 30, 300});
    CHECK(spread({{"strides", std::vector<int64_t>{2}}, {"output_shape", std::vector<int64_t>{6}}}) ==
          std::vector<float>{10, 102, 20, 203, 30, 300});
}

TEST_CASE("an integer convolution pads with the zero point") {
    const Tensor x = tensor_of<uint8_t>(DType::U8, {1, 1, 3}, {5, 6, 7});
    const Tensor w = tensor_of<uint8_t>(DType::U8, {1, 1, 3}, {1, 2, 3});
    const Tensor zero = tensor_of<uint8_t>(DType::U8, {}, {5});
    const Tensor y =
        result_of(Op::ConvInteger, {given(x), given(w), given(zero)}, {{"pads", std::vector<int64_t>{1, 1}}});
    const auto sums = y.as<int32_t>();
    CHECK(std::vector<int32_t>(sums.begin(), sums.end()) == std::vector<int32_t>{3, 8, 5});
}

TEST_CASE("pools leave padding out, or count it when they are told to") {
    const Operand x = given(floats({1, 1, 4}, {1, 2, 3, 4}));
    const Attributes window = {{"kernel_shape", std::vector<int64_t>{3}},
                               {"strides", std::vector<int64_t>{2}},
                               {"pads", std::vector<int64_t>{1, 1}}};
    CHECK(values_of(result_of(Op::AveragePool, {x}, window)) == std::vector<float>{1.5F, 3});
    Attributes counted = window;
    counted.emplace_back("count_include_pad", int64_t{1});
    CHECK(values_of(result_of(Op::AveragePool, {x}, counted)) == std::vector<float>{1, 3});
    Attributes ceil = window;
    ceil.emplace_back("ceil_mode", int64_t{1});
    CHECK(values_of(result_of(Op::AveragePool, {x}, ceil)) == std::vector<float>{1.5F, 3, 4});
    Attributes larger{{"kernel_shape", std::vector<int64_t>{6}}, {"strides", std::vector<int64_t>{3}}};
    CHECK(run_op(Op::MaxPool, {x}, larger).status().code() == StatusCode::InvalidModel);
    larger.emplace_back("ceil_mode", int64_t{1});
    CHECK(values_of(result_of(Op::MaxPool, {x}, larger)) == std::vector<float>{4});
    CHECK(values_of(result_of(Op::AveragePool, {x}, larger)) == std::vector<float>{2.5F});
    CHECK(values_of(result_of(Op::LpPool, {x}, {{"kernel_shape", std::vector<int64_t>{2}}, {"p", int64_t{1}}})) ==
          std::vector<float>{3, 5, 7});
}

TEST_CASE("a maximum tells where it was found, in either order of storage") {
    const Operand x = given(floats({1, 2, 2, 2}, {1, 5, 2, 3, 9, 6, 7, 8}));
    Graph graph;
    const ValueId input = graph.add_input("x", DType::F32, dims_of(x.tensor.shape()));
    Node node{Op::MaxPool, "node", {input}, {}, {{"kernel_shape", std::vector<int64_t>{1, 2}}}};
    for (const char* name : {"y", "indices"}) {
        node.outputs.push_back(graph.add_value(name, DType::Undefined, std::nullopt));
    }
    Graph by_columns = graph;
    graph.append_node(node);
    node.attributes.emplace_back("storage_order", int64_t{1});
    by_columns.append_node(node);
    for (Graph* each : {&graph, &by_columns}) {
        for (const ValueId output : node.outputs) each->add_output(output);
    }
    const auto rows = run_graph(std::move(graph), {x.tensor});
    REQUIRE(rows.ok());
    CHECK(values_of((*rows)[0]) == std::vector<float>{5, 3, 9, 8});
    const auto places = (*rows)[1].as<int64_t>();
    CHECK(std::vector<int64_t>(places.begin(), places.end()) == std::vector<int64_t>{1, 3, 4, 7});
    const auto columns = run_graph(std::move(by_columns), {x.tensor});
    REQUIRE(columns.ok());
    const auto turned = (*columns)[1].as<int64_t>();
    CHECK(std::vector<int64_t>(turned.begin(), turned.end()) == std::vector<int64_t>{2, 3, 4, 7});
}

}  // namespace
}  // namespace quoin::test
