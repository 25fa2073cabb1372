// Add, Mul, Swish, Reshape, Cast, Gather, RMSNormalization: values and shapes against the ONNX specification.
#include <limits>

#include "op_test.h"

namespace quoin::test {
namespace {

// ---- Add and Mul

// ONNX multidirectional broadcasting, element by element in double.
std::vector<double> broadcast(const Tensor& a, const Tensor& b, const Shape& result, bool multiply) {
    const auto element = [&](const Tensor& operand, int64_t index) {
        int64_t offset = 0;
        int64_t stride = 1;
        for (size_t back = 1; back <= result.rank(); ++back) {
            const int64_t coordinate = index % result[result.rank() - back];
            index /= result[result.rank() - back];
            if (back > operand.shape().rank()) continue;
            const int64_t dim = operand.shape()[operand.shape().rank() - back];
            if (dim != 1) offset += coordinate * stride;
            stride *= dim;
        }
        return double{operand.as<float>()[static_cast<size_t>(offset)]};
    };
    std::vector<double> values;
    for (int64_t index = 0; index < result.element_count().value(); ++index) {
        values.push_back(multiply ? element(a, index) * element(b, index) : element(a, index) + element(b, index));
    }
    return values;
}

TEST_CASE("sums and products of equal shapes") {
    const Operand a = given(floats({2, 2}, {1, 2, 3, 4}));
    const Operand b = given(floats({2, 2}, {10, 20, 30, -40}));
    CHECK(values_of(result_of(Op::Add, {a, b})) == std::vector<float>{11, 22, 33, -36});
    CHECK(values_of(result_of(Op::Mul, {a, b})) == std::vector<float>{10, 40, 90, -160});
}

TEST_CASE("sums and products broadcast like ONNX") {
    struct Case {
        Shape a;
        Shape b;
        Shape result;
    };
    const std::vector<Case> cases = {
        {{3, 4}, {4}, {3, 4}},
        {{4}, {3, 4}, {3, 4}},
        {{3, 4}, {}, {3, 4}},
        {{}, {}, {}},
        {{3, 4}, {1}, {3, 4}},
        {{3, 1}, {1, 4}, {3, 4}},
        {{3, 1}, {3, 4}, {3, 4}},
        {{2, 1, 5}, {3, 1}, {2, 3, 5}},
        {{1, 3, 1, 5}, {2, 1, 4, 1}, {2, 3, 4, 5}},
        {{1, 1, 1}, {7}, {1, 1, 7}},
        {{2, 3, 4}, {3, 4}, {2, 3, 4}},
        {{0, 4}, {4}, {0, 4}},
        {{0, 4}, {1, 1}, {0, 4}},
        {{70, 300}, {300}, {70, 300}},  // more than one task
        {{20011}, {20011}, {20011}},
    };
    Random random(1);
    for (const Case& each : cases) {
        CAPTURE(to_string(each.a), to_string(each.b));
        const Tensor a = random_floats(each.a, random);
        const Tensor b = random_floats(each.b, random);
        for (const bool multiply : {false, true}) {
            const Tensor sum = result_of(multiply ? Op::Mul : Op::Add, {given(a), given(b)});
            CHECK(sum.shape() == each.result);
            CHECK(largest_error(values_of(sum), broadcast(a, b, each.result, multiply)) < 1e-6);
        }
    }
}

// ---- Swish

TEST_CASE("swish is x times the logistic function of x, for small and for huge x") {
    const std::vector<float> x = {0, 1, -1, 0.001F, 20, -20, 80, -80, 1e30F, -1e30F, 3.5F, -0.3F, 7};
    std::vector<double> wanted;
    for (const float each : x) wanted.push_back(each < -1e4F ? 0.0 : double{each} / (1 + std::exp(-double{each})));
    const Tensor y = result_of(Op::Swish, {given(floats({13}, x))});
    CHECK(y.shape() == Shape{13});
    CHECK(largest_error(values_of(y), wanted) < 1e-6);
}

// ---- Reshape

// The shape of [2, 3, 4] after Reshape to this.
Result<Shape> reshaped(const std::vector<int64_t>& target, const Attributes& attributes = {}) {
    const Tensor x = floats({2, 3, 4}, std::vector<float>(24, 1.0F));
    const Tensor shape = longs({static_cast<int64_t>(target.size())}, target);
    const auto outputs = run_op(Op::Reshape, {given(x), constant(shape)}, attributes);
    if (!outputs.ok()) return outputs.status();
    return (*outputs)[0].shape();
}

TEST_CASE("reshaping gives the same bytes another shape") {
    const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
    const Tensor y = result_of(Op::Reshape, {given(floats({2, 3}, numbers)), constant(longs({2}, {3, 2}))});
    CHECK(y.shape() == Shape{3, 2});
    CHECK(values_of(y) == numbers);
}

TEST_CASE("in a target shape 0 copies a dimension and -1 takes the rest") {
    CHECK(reshaped({24}).value() == Shape{24});
    CHECK(reshaped({0, 12}).value() == Shape{2, 12});
    CHECK(reshaped({0, 0, 0}).value() == Shape{2, 3, 4});
    CHECK(reshaped({4, -1}).value() == Shape{4, 6});
    CHECK(reshaped({0, -1}).value() == Shape{2, 12});
    CHECK(reshaped({-1, 0, 2}).value() == Shape{4, 3, 2});
    CHECK(reshaped({1, 24, 1, 1}).value() == Shape{1, 24, 1, 1});
}

TEST_CASE("a target shape that does not fit names the node and the reason") {
    const auto refused = [](const Result<Shape>& shape, const std::string& reason) {
        CHECK(shape.status().code() == StatusCode::InvalidModel);
        CHECK_THAT(shape.status().message(), contains("node 'node' (Reshape): " + reason));
    };
    refused(reshaped({5, -1}), "cannot make 5 elements of 24");
    refused(reshaped({25}), "cannot make 25 elements of 24");
    refused(reshaped({}), "cannot make 1 elements of 24");
    refused(reshaped({-1, -1}), "the shape has more than one -1");
    refused(reshaped({2, 3, 4, 0}), "dimension 3 to copy does not exist");
    refused(reshaped({-2, 12}), "the shape has the dimension -2");
    refused(reshaped(std::vector<int64_t>(13, 1)), "the result has 13 dimensions");
    refused(reshaped({0, 12}, {{"allowzero", int64_t{1}}}), "cannot make 0 elements of 24");
    constexpr int64_t kTwo32 = int64_t{1} << 32;
    refused(reshaped({kTwo32, kTwo32, 24}), "the shape has too many elements");  // 0 in wrapping arithmetic
    refused(reshaped({kTwo32, kTwo32, -1}), "the shape has too many elements");
}

TEST_CASE("a target shape of another element type is refused") {
    const auto outputs = run_op(Op::Reshape, {given(floats({4}, {1, 2, 3, 4})), constant(ints({2}, {2, 2}))});
    CHECK_THAT(outputs.status().message(), contains("the shape is not i64"));
}

TEST_CASE("nothing can be reshaped to nothing") {
    const Tensor y = result_of(Op::Reshape, {given(floats({0, 3}, {})), constant(longs({2}, {3, -1}))});
    CHECK(y.shape() == Shape{3, 0});
}

TEST_CASE("a reshape whose target is only known at run time waits for it") {
    const Operand x = given(floats({4}, {1, 2, 3, 4}));
    CHECK(result_of(Op::Reshape, {x, given(longs({2}, {2, -1}))}).shape() == Shape{2, 2});
    const auto outputs = run_op(Op::Reshape, {x, given(longs({2}, {3, 1}))});
    CHECK(outputs.status().code() == StatusCode::InvalidModel);
}

// ---- Cast

Attributes to(DType dtype) {
    return {{"to", static_cast<int64_t>(dtype)}};
}

TEST_CASE("floats become halves and halves floats, rounded to nearest even") {
    const Tensor x = floats({2, 2}, {1.0F, -2.5F, 65520.0F, 1.0F + 0x1p-11F});
    const Tensor half = result_of(Op::Cast, {given(x)}, to(DType::F16));
    CHECK(half.dtype() == DType::F16);
    CHECK(half.shape() == Shape{2, 2});
    const auto halves = half.as<uint16_t>();
    CHECK(std::vector<uint16_t>(halves.begin(), halves.end()) == std::vector<uint16_t>{0x3C00, 0xC100, 0x7C00, 0x3C00});
    const std::vector<float> back = {1.0F, -2.5F, std::numeric_limits<float>::infinity(), 1.0F};
    CHECK(values_of(result_of(Op::Cast, {given(half)}, to(DType::F32))) == back);
}

TEST_CASE("floats become bf16 and bf16 becomes f16") {
    const Tensor x = floats({3}, {1.0F, -1.0078125F, 3.0F});
    const Tensor brain = result_of(Op::Cast, {given(x)}, to(DType::BF16));
    const auto bits = brain.as<uint16_t>();
    CHECK(std::vector<uint16_t>(bits.begin(), bits.end()) == std::vector<uint16_t>{0x3F80, 0xBF81, 0x4040});
    const Tensor half = result_of(Op::Cast, {given(brain)}, to(DType::F16));
    CHECK(half.as<uint16_t>()[2] == 0x4200);
}

TEST_CASE("a cast of more than one task converts every element") {
    std::vector<float> numbers(40000);
    for (size_t index = 0; index < numbers.size(); ++index) numbers[index] = static_cast<float>(index % 2048);
    const Tensor half = result_of(Op::Cast, {given(floats({40000}, numbers))}, to(DType::F16));
    CHECK(values_of(result_of(Op::Cast, {given(half)}, to(DType::F32))) == numbers);
}

TEST_CASE("casts to what is no type or has no conversion are refused") {
    const Operand x = given(floats({2}, {1, 2}));
    CHECK_THAT(run_op(Op::Cast, {x}, to(DType::Undefined)).status().message(), contains("'to' is no element type"));
    CHECK_THAT(run_op(Op::Cast, {x}).status().message(), contains("'to' is no element type"));
    const Status status = run_op(Op::Cast, {x}, to(DType::Q4_0)).status();
    CHECK(status.code() == StatusCode::InvalidModel);
    CHECK_THAT(status.message(), contains("node 'node' (Cast): no conversion from f32 to q4_0"));
}

// ---- Gather

TEST_CASE("gathering takes slices along an axis; negative indices count from the end") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    const Tensor rows = result_of(Op::Gather, {x, given(ints({3}, {1, 0, -1}))});
    CHECK(rows.shape() == Shape{3, 3});
    CHECK(values_of(rows) == std::vector<float>{4, 5, 6, 1, 2, 3, 4, 5, 6});
    const Tensor columns = result_of(Op::Gather, {x, given(longs({2, 1}, {2, -3}))}, {{"axis", int64_t{1}}});
    CHECK(columns.shape() == Shape{2, 2, 1});
    CHECK(values_of(columns) == std::vector<float>{3, 1, 6, 4});
    const Tensor last = result_of(Op::Gather, {x, given(ints({}, {-1}))}, {{"axis", int64_t{-1}}});
    CHECK(last.shape() == Shape{2});
    CHECK(values_of(last) == std::vector<float>{3, 6});
    CHECK(result_of(Op::Gather, {x, given(ints({0}, {}))}).shape() == Shape{0, 3});
}

TEST_CASE("gathering moves elements of any size") {
    const Tensor bytes = tensor_of<uint8_t>(DType::U8, {4}, {10, 11, 12, 13});
    CHECK(result_of(Op::Gather, {given(bytes), given(ints({1}, {2}))}).as<uint8_t>()[0] == 12);
    const Tensor wide = longs({2, 1}, {int64_t{1} << 40, -5});
    CHECK(result_of(Op::Gather, {given(wide), given(ints({1}, {1}))}).as<int64_t>()[0] == -5);
}

TEST_CASE("an index outside of the axis is an error that names the node") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    for (const int32_t index : {2, -3, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
        const Status status = run_op(Op::Gather, {x, given(ints({2}, {0, index}))}).status();
        CHECK(status.code() == StatusCode::InvalidArgument);
        CHECK(status.message() == "node 'node' (Gather): index " + std::to_string(index) + " is not below 2");
    }
}

TEST_CASE("gathers that cannot be are refused before they run") {
    const Tensor x = floats({2, 3}, {1, 2, 3, 4, 5, 6});
    const Operand index = given(ints({1}, {0}));
    CHECK_THAT(run_op(Op::Gather, {given(x), index}, {{"axis", int64_t{2}}}).status().message(),
               contains("axis 2 is out of range for rank 2"));
    CHECK_THAT(run_op(Op::Gather, {given(x), index}, {{"axis", int64_t{-3}}}).status().message(),
               contains("axis -3 is out of range for rank 2"));
    CHECK_THAT(run_op(Op::Gather, {given(x), given(floats({1}, {0}))}).status().message(),
               contains("input 1 has the element type f32"));
    const Operand deep = given(ints({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {0}));
    CHECK_THAT(run_op(Op::Gather, {given(x), deep}).status().message(), contains("the result has 13 dimensions"));
    const Tensor blocks = tensor_of<std::byte>(DType::Q8_0, {2, 32}, std::vector<std::byte>(68));
    CHECK_THAT(run_op(Op::Gather, {given(blocks), index}).status().message(), contains("q8_0"));
}

// ---- RMSNormalization

std::vector<double> rms_norm(const std::vector<float>& x, const std::vector<float>& scale, double epsilon) {
    std::vector<double> y;
    for (size_t row = 0; row < x.size(); row += scale.size()) {
        double sum = 0;
        for (size_t i = 0; i < scale.size(); ++i) sum += double{x[row + i]} * double{x[row + i]};
        const double factor = 1 / std::sqrt(sum / static_cast<double>(scale.size()) + epsilon);
        for (size_t i = 0; i < scale.size(); ++i) y.push_back(double{x[row + i]} * factor * double{scale[i]});
    }
    return y;
}

TEST_CASE("normalization divides by the root of the mean square and scales") {
    Random random(2);
    for (const int64_t columns : {1, 3, 16, 33, 100, 4096, 5000}) {
        CAPTURE(columns);
        const Tensor x = random_floats({2, 3, columns}, random);
        const Tensor scale = random_floats({columns}, random);
        const Tensor y =
            result_of(Op::RMSNormalization, {given(x), constant(scale)}, {{"axis", int64_t{-1}}, {"epsilon", 0.01}});
        CHECK(y.shape() == x.shape());
        CHECK(largest_error(values_of(y), rms_norm(values_of(x), values_of(scale), 0.01)) < 2e-6);
    }
}

TEST_CASE("normalization may take several axes, from the front or from the back") {
    Random random(3);
    const Tensor x = random_floats({5, 2, 3}, random);
    const Tensor scale = random_floats({2, 3}, random);
    const std::vector<double> wanted = rms_norm(values_of(x), values_of(scale), 1e-5);  // ONNX's default
    for (const int64_t axis : {1, -2}) {
        const Tensor y = result_of(Op::RMSNormalization, {given(x), given(scale)}, {{"axis", axis}});
        CHECK(largest_error(values_of(y), wanted) < 2e-6);
    }
}

TEST_CASE("a row of zeros stays zero") {
    const Tensor y =
        result_of(Op::RMSNormalization, {given(floats({1, 4}, {0, 0, 0, 0})), constant(floats({4}, {1, 2, 3, 4}))});
    CHECK(values_of(y) == std::vector<float>{0, 0, 0, 0});
}

TEST_CASE("normalizations that do not fit are refused") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    CHECK_THAT(run_op(Op::RMSNormalization, {x, constant(floats({2}, {1, 1}))}).status().message(),
               contains("the scale has 2 values for 3"));
    CHECK_THAT(
        run_op(Op::RMSNormalization, {x, constant(floats({3}, {1, 1, 1}))}, {{"axis", int64_t{2}}}).status().message(),
        contains("axis is out of range"));
    CHECK_THAT(run_op(Op::RMSNormalization, {given(ints({1, 1}, {1})), constant(floats({1}, {1}))}).status().message(),
               contains("input 0 has the element type i32"));
}

// ---- What cannot be

TEST_CASE("operands that do not fit each other are refused with the node's name") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    const Status shapes = run_op(Op::Add, {x, given(floats({2}, {1, 2}))}).status();
    CHECK(shapes.code() == StatusCode::InvalidModel);
    CHECK(shapes.message() == "node 'node' (Add): dimensions 3 and 2 cannot be broadcast to each other");
    CHECK_THAT(run_op(Op::Mul, {x, given(ints({2, 3}, {1, 2, 3, 4, 5, 6}))}).status().message(),
               contains("different element types, f32 and i32"));
    const Operand truth = given(tensor_of<uint8_t>(DType::Bool, {1}, {1}));
    const Status types = run_op(Op::Add, {truth, truth}).status();
    CHECK(types.code() == StatusCode::InvalidModel);
    CHECK_THAT(types.message(), contains("the element type bool, which this operator does not take"));
}

TEST_CASE("a dimension that is not known stays so against another one") {
    struct Case {
        Dim left;
        Dim right;
        Dim result;
    };
    const Dim a{.symbol = 0};
    const Dim b{.symbol = 1};
    const Dim unknown{};
    const std::vector<Case> cases = {
        {a, a, a},
        {a, {.size = 1}, a},
        {{.size = 1}, a, a},
        {a, {.size = 5}, {.size = 5}},  // 1 or 5, the result is 5
        {{.size = 5}, unknown, {.size = 5}},
        {a, b, unknown},  // either may be 1
        {a, unknown, unknown},
    };
    for (const Case& each : cases) {
        Graph graph;
        graph.add_symbol("a");
        graph.add_symbol("b");
        const ValueId left = graph.add_input("left", DType::F32, {each.left});
        const ValueId right = graph.add_input("right", DType::F32, {each.right});
        const ValueId sum = graph.add_node(Op::Add, "sum", {left, right});
        REQUIRE(infer_types(graph).ok());
        CHECK(describe(graph, graph.value(sum)) ==
              describe(graph, Value{.dtype = DType::F32, .dims = std::vector<Dim>{each.result}, .producer = 0}));
    }
}

}  // namespace
}  // namespace quoin::test
