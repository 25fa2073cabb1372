// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, random numbers and losses: values of the ONNX specification.
#include <limits>
#include <numeric>

#include "core/half.h"
#include "op_test.h"

namespace quoin::test {
namespace {

template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
    const auto values = tensor.as<T>();
    return {values.begin(), values.end()};
}
Tensor bytes(const Shape& shape, const std::vector<uint8_t>& elements) {
    return tensor_of(DType::U8, shape, elements);
}

TEST_CASE("quantisation rounds halves to even and saturates, on every instruction set") {
    const Operand x = given(floats({8}, {0, 2, 3, 1000, -254, -1000, 5, NAN}));
    for (const Isa isa : machine_isas()) {
        RunOptions options;
        options.runtime = make_runtime(1, isa);
        const Operand scale = given(floats({}, {2}));
        CHECK(elements_of<uint8_t>(result_of(Op::QuantizeLinear, {x, scale, given(bytes({}, {128}))}, {}, options)) ==
              std::vector<uint8_t>{128, 129, 130, 255, 1, 0, 130, 0});
        const Operand zero = given(tensor_of<int8_t>(DType::I8, {}, {-1}));
        CHECK(elements_of<int8_t>(result_of(Op::QuantizeLinear, {x, scale, zero}, {}, options)) ==
              std::vector<int8_t>{-1, 0, 1, 127, -128, -128, 1, -128});
    }
}

TEST_CASE("a scale for each index of an axis, or for blocks of it") {
    const Operand x = given(floats({2, 2, 2}, {1, 2, 30, 40, 5, 6, 70, 80}));
    const Operand scale = given(floats({2}, {1, 10}));
    const Operand zero = given(bytes({2}, {0, 100}));
    const Tensor y = result_of(Op::QuantizeLinear, {x, scale, zero});
    CHECK(elements_of<uint8_t>(y) == std::vector<uint8_t>{1, 2, 103, 104, 5, 6, 107, 108});
    CHECK(values_of(result_of(Op::DequantizeLinear, {given(y), scale, zero})) == values_of(x.tensor));
    const Operand last = given(tensor_of<int8_t>(DType::I8, {2, 2}, {1, -2, 3, 100}));
    const Operand offsets = given(tensor_of<int8_t>(DType::I8, {2}, {1, -28}));
    CHECK(values_of(result_of(Op::DequantizeLinear, {last, scale, offsets})) == std::vector<float>{0, 260, 2, 1280});
    const Operand column = given(tensor_of<int8_t>(DType::I8, {2, 1}, {1, 2}));
    CHECK(values_of(result_of(Op::DequantizeLinear, {column, scale}, {{"axis", int64_t{0}}})) ==
          std::vector<float>{1, 20});
    const Operand rows = given(floats({2, 3}, {2, 4, 60, 8, 10, 120}));
    const Operand blocks = given(floats({2, 2}, {2, 20, 4, 40}));
    const Attributes blocked = {{"axis", int64_t{1}}, {"block_size", int64_t{2}}};
    const Tensor z = result_of(Op::QuantizeLinear, {rows, blocks}, blocked);
    CHECK(elements_of<uint8_t>(z) == std::vector<uint8_t>{1, 2, 3, 2, 2, 3});  // 10 / 4 = 2.5
    CHECK(values_of(result_of(Op::DequantizeLinear, {given(z), blocks}, blocked)) ==
          std::vector<float>{2, 4, 60, 8, 8, 120});
    CHECK_THAT(
        run_op(Op::QuantizeLinear, {rows, given(floats({3, 2}, {1, 1, 1, 1, 1, 1}))}, blocked).status().message(),
        contains("the shape of the scale"));
}

TEST_CASE("quantisation to small types") {
    const Operand x = given(floats({5}, {0, 2.5F, -100, 4.8F, 17}));
    const Operand scale = given(floats({}, {1}));
    const auto quantized = [&](DType dtype) {
        return result_of(Op::QuantizeLinear, {x, scale}, {{"output_dtype", static_cast<int64_t>(dtype)}});
    };
    CHECK(elements_of<uint8_t>(quantized(DType::I4)) == std::vector<uint8_t>{0x20, 0x58, 0x07});
    CHECK(elements_of<uint8_t>(quantized(DType::U4)) == std::vector<uint8_t>{0x20, 0x50, 0x0F});
    CHECK(elements_of<uint8_t>(quantized(DType::F8E4M3FN)) == std::vector<uint8_t>{0x00, 0x42, 0xEC, 0x4A, 0x58});
    CHECK(elements_of<int16_t>(quantized(DType::I16)) == std::vector<int16_t>{0, 2, -100, 5, 17});
    const Tensor back = result_of(Op::DequantizeLinear, {given(quantized(DType::I4)), given(floats({}, {0.5F}))});
    CHECK(values_of(back) == std::vector<float>{0, 1, -4, 2.5F, 3.5F});
    const Tensor half = result_of(Op::DequantizeLinear, {given(bytes({2}, {3, 200})), scale},
                                  {{"output_dtype", static_cast<int64_t>(DType::F16)}});
    CHECK(elements_of<uint16_t>(half) == std::vector<uint16_t>{f32_to_f16(3), f32_to_f16(200)});
}

TEST_CASE("dynamic quantisation gives zero a code") {
    const auto outputs = run_op(Op::DynamicQuantizeLinear, {given(floats({6}, {0, 2, -3, -2.5F, 1.34F, 0.5F}))});
    REQUIRE(outputs.ok());
    CHECK(elements_of<uint8_t>((*outputs)[0]) == std::vector<uint8_t>{153, 255, 0, 26, 221, 179});
    CHECK(values_of((*outputs)[1])[0] == Approx(0.0196078438F));
    CHECK((*outputs)[2].as<uint8_t>()[0] == 153);
    const auto zeros = run_op(Op::DynamicQuantizeLinear, {given(floats({2}, {0, 0}))});
    CHECK(elements_of<uint8_t>((*zeros)[0]) == std::vector<uint8_t>{0, 0});
}

// ---- random numbers

TEST_CASE("equal seeds give equal numbers, of the distribution that was asked for") {
    const std::vector<int64_t> shape = {100, 100};
    const Attributes normal = {{"shape", shape}, {"mean", 3.0}, {"scale", 2.0}, {"seed", 5.0}};
    const std::vector<float> x = values_of(result_of(Op::RandomNormal, {}, normal));
    CHECK(x == values_of(result_of(Op::RandomNormal, {}, normal)));
    double mean = 0;
    double square = 0;
    for (const float each : x) {
        mean += double{each} / 1e4;
        square += double{each} * double{each} / 1e4;
    }
    CHECK(std::abs(mean - 3) < 0.1);
    CHECK(std::abs(square - mean * mean - 4) < 0.3);
    const Operand like = given(floats({1000}, std::vector<float>(1000, 0.25F)));
    const std::vector<float> y = values_of(result_of(Op::RandomUniformLike, {like}, {{"low", -1.0}, {"high", 2.0}}));
    CHECK(*std::min_element(y.begin(), y.end()) >= -1);
    CHECK(*std::max_element(y.begin(), y.end()) < 2);
    CHECK(y != values_of(result_of(Op::RandomUniformLike, {like}, {{"low", -1.0}, {"high", 2.0}})));
    const std::vector<float> ones = values_of(result_of(Op::Bernoulli, {like}, {{"seed", 1.0}}));
    CHECK(std::abs(std::accumulate(ones.begin(), ones.end(), 0.0F) - 250) < 60);
    const Operand logits = given(floats({1, 3}, {0, -INFINITY, std::log(3.0F)}));
    const auto drawn =
        elements_of<int32_t>(result_of(Op::Multinomial, {logits}, {{"sample_size", int64_t{4000}}, {"seed", 2.0}}));
    CHECK(std::count(drawn.begin(), drawn.end(), 1) == 0);
    CHECK(std::abs(std::count(drawn.begin(), drawn.end(), 2) - 3000) < 150);
}

TEST_CASE("dropout passes everything on, unless it trains") {
    const Operand x = given(floats({1000}, std::vector<float>(1000, 3)));
    CHECK(values_of(result_of(Op::Dropout, {x})) == values_of(x.tensor));
    const Operand ratio = given(floats({}, {0.25F}));
    const Operand training = given(tensor_of<uint8_t>(DType::Bool, {}, {1}));
    const std::vector<float> y = values_of(result_of(Op::Dropout, {x, ratio, training}, {{"seed", int64_t{1}}}));
    CHECK(std::abs(std::count(y.begin(), y.end(), 0.0F) - 250) < 60);
    CHECK(std::count(y.begin(), y.end(), 4.0F) + std::count(y.begin(), y.end(), 0.0F) == 1000);
}

// ---- losses

TEST_CASE("losses weigh their labels and leave out the ignored ones") {
    const Operand logs = given(floats({3, 2}, {-1, -2, -3, -4, -5, -6}));
    const Operand labels = given(longs({3}, {0, 1, 0}));
    const Operand weights = given(floats({2}, {1, 2}));
    const auto loss = [&](const char* reduction, int64_t ignored) {
        return values_of(result_of(Op::NegativeLogLikelihoodLoss, {logs, labels, weights},
                                   {{"reduction", std::string(reduction)}, {"ignore_index", ignored}}));
    };
    CHECK(loss("none", -1) == std::vector<float>{1, 8, 5});
    CHECK(loss("sum", -1) == std::vector<float>{14});
    CHECK(loss("mean", -1) == std::vector<float>{3.5F});
    CHECK(loss("mean", 1) == std::vector<float>{3});
    const Operand wrong = given(longs({3}, {0, 2, 0}));
    CHECK_THAT(run_op(Op::NegativeLogLikelihoodLoss, {logs, wrong}).status().message(),
               contains("label 1 is 2 where there are 2 classes"));
    const std::vector<double> wanted = {(std::log1p(std::exp(-1.0)) * 2 + 1 + std::log1p(std::exp(-1.0))) / 3};
    CHECK(largest_error(values_of(result_of(Op::SoftmaxCrossEntropyLoss, {logs, labels})), wanted) < 1e-6);
}

}  // namespace
}  // namespace quoin::test
