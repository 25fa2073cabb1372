// Normalizations, Resize, sampling and transforms: numbers worked out by hand or by plain double-precision loops.
#include <numbers>

#include "op_test.h"

namespace quoin::test {
namespace {

// ---- Normalization

TEST_CASE("layer normalization brings a row to mean 0 and variance 1, then scales") {
    const Operand x = given(floats({2, 4}, {1, 2, 3, 4, -1, -1, 1, 1}));
    const Tensor y =
        result_of(Op::LayerNormalization,
                  {x, constant(floats({4}, {1, 1, 2, 2})), constant(floats({4}, {0, 0, 0, 10}))}, {{"epsilon", 0.0}});
    const double d = std::sqrt(1.25);
    CHECK(largest_error(values_of(y), {-1.5 / d, -0.5 / d, 1 / d, 3 / d + 10, -1, -1, 2, 12}) < 1e-6);
}

TEST_CASE("scale and bias of a layer normalization broadcast") {
    const Operand x = given(floats({1, 2, 2}, {1, 3, 5, 9}));
    const Tensor y = result_of(Op::LayerNormalization, {x, given(floats({2, 1}, {1, 10})), given(floats({1}, {1}))},
                               {{"epsilon", 0.0}});
    CHECK(largest_error(values_of(y), {0, 2, -9, 11}) < 1e-6);
    CHECK_FALSE(run_op(Op::LayerNormalization, {x, given(floats({3}, {1, 1, 1}))}).ok());
}

TEST_CASE("channels are normalized by given statistics, alone, or in groups") {
    const Operand x = given(floats({1, 2, 2}, {1, 3, 10, 30}));
    const Operand ones = given(floats({2}, {1, 1}));
    const Operand zeros = given(floats({2}, {0, 0}));
    const Tensor batch =
        result_of(Op::BatchNormalization, {x, ones, zeros, given(floats({2}, {1, 10})), given(floats({2}, {4, 100}))},
                  {{"epsilon", 0.0}});
    CHECK(largest_error(values_of(batch), {0, 1, 0, 2}) < 1e-6);
    const Tensor alone = result_of(Op::InstanceNormalization, {x, ones, zeros}, {{"epsilon", 0.0}});
    CHECK(largest_error(values_of(alone), {-1, 1, -1, 1}) < 1e-6);
    const Tensor group =
        result_of(Op::GroupNormalization, {x, ones, zeros}, {{"epsilon", 0.0}, {"num_groups", int64_t{1}}});
    const double deviation = std::sqrt((100 + 64 + 1 + 361) / 4.0);
    CHECK(largest_error(values_of(group), {-10 / deviation, -8 / deviation, -1 / deviation, 19 / deviation}) < 1e-6);
    CHECK_FALSE(run_op(Op::GroupNormalization, {x, ones, zeros}, {{"num_groups", int64_t{3}}}).ok());
}

// ---- Resize

Operand left() {
    return left_out();
}

TEST_CASE("max pooling takes the largest of the numbers under a window") {
    // As ONNX's reference does: NaN counts as nothing.
    const Operand x = given(floats({1, 1, 6}, {1, NAN, -3, 5, NAN, NAN}));
    for (const Provider provider : {Provider::Best, Provider::Native, Provider::Reference}) {
        const auto outputs =
            run_op(Op::MaxPool, {x}, {{"kernel_shape", std::vector<int64_t>{3}}}, {.provider = provider});
        REQUIRE(outputs.ok());
        CHECK(values_of(outputs->at(0)) == std::vector<float>{1, 5, 5, 5});
    }
}

TEST_CASE("resizing by whole factors repeats or interpolates") {
    const Tensor image = floats({1, 1, 2, 2}, {1, 2, 3, 4});
    const Operand twice = constant(floats({4}, {1, 1, 2, 2}));
    const Tensor nearest = result_of(Op::Resize, {given(image), left(), twice});
    CHECK(values_of(nearest) == std::vector<float>{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
    const Tensor linear = result_of(Op::Resize, {given(image), left(), twice}, {{"mode", std::string("linear")}});
    CHECK(largest_error(values_of(linear),
                        {1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4}) < 1e-6);
}

TEST_CASE("channels last, or with scales given at run time, pictures are resized alike") {
    Random random(5);
    const Tensor planes = random_floats({2, 3, 5, 7}, random);
    std::vector<float> turned;
    for (size_t n = 0; n < 2; ++n) {
        for (size_t p = 0; p < 35; ++p) {
            for (size_t c = 0; c < 3; ++c) turned.push_back(values_of(planes)[(n * 3 + c) * 35 + p]);
        }
    }
    for (const char* mode : {"nearest", "linear"}) {
        for (const char* coordinates : {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"}) {
            CAPTURE(mode, coordinates);
            const Attributes attributes = {{"mode", std::string(mode)},
                                           {"coordinate_transformation_mode", std::string(coordinates)}};
            const auto resized = [&](const Tensor& x, const std::vector<int64_t>& sizes, bool known) {
                const Tensor operand = longs({4}, sizes);
                return values_of(result_of(Op::Resize,
                                           {given(x), left(), left(), known ? constant(operand) : given(operand)},
                                           attributes, {make_runtime(2)}));
            };
            const std::vector<float> first = resized(planes, {2, 3, 8, 9}, true);
            const std::vector<float> last = resized(floats({2, 5, 7, 3}, turned), {2, 8, 9, 3}, true);
            const std::vector<float> late = resized(planes, {2, 3, 8, 9}, false);
            double difference = 0;
            for (size_t n = 0; n < 2; ++n) {
                for (size_t c = 0; c < 3; ++c) {
                    for (size_t p = 0; p < 72; ++p) {
                        const float wanted = first[(n * 3 + c) * 72 + p];
                        difference =
                            std::max(difference, std::abs(double{wanted} - double{last[(n * 72 + p) * 3 + c]}));
                        difference =
                            std::max(difference, std::abs(double{wanted} - double{late[(n * 3 + c) * 72 + p]}));
                    }
                }
            }
            CHECK(difference < 1e-6);
        }
    }
}

TEST_CASE("sizes and scales that make no sense are refused") {
    const Operand x = given(floats({2, 2}, {1, 2, 3, 4}));
    const auto resize = [&](const std::vector<float>& scales) {
        return run_op(Op::Resize, {x, left(), constant(floats({static_cast<int64_t>(scales.size())}, scales))})
            .status();
    };
    CHECK_FALSE(resize({1}).ok());
    CHECK_FALSE(resize({1, 0}).ok());
    CHECK_FALSE(resize({1, -2}).ok());
    CHECK_FALSE(resize({1, std::numeric_limits<float>::quiet_NaN()}).ok());
    CHECK_FALSE(resize({1, 1e30F}).ok());
    CHECK_FALSE(run_op(Op::Resize, {x, left(), left(), constant(longs({2}, {2, -1}))}).ok());
    CHECK_FALSE(run_op(Op::Resize, {x}).ok());
}

// ---- Sampling

TEST_CASE("a grid reads between the values of a plane, with padding of three kinds") {
    const Operand x = given(floats({1, 1, 1, 4}, {0, 10, 20, 30}));
    const Operand grid = given(floats({1, 1, 3, 2}, {0, 0, -1.5F, 0, std::numeric_limits<float>::quiet_NaN(), 0}));
    const auto sampled = [&](const std::string& padding) {
        return values_of(
            result_of(Op::GridSample, {x, grid}, {{"padding_mode", padding}, {"align_corners", int64_t{1}}}));
    };
    CHECK(sampled("zeros")[0] == 15);
    CHECK(sampled("zeros")[1] == Approx(2.5 * 0).margin(1e-6));
    CHECK(sampled("border")[1] == 0);
    CHECK(sampled("reflection")[1] == Approx(7.5));
    CHECK(sampled("zeros")[2] == 0);
}

TEST_CASE("aligned boxes are averages of interpolated values") {
    const Operand x = given(floats({1, 1, 4, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
    const Operand boxes = given(floats({1, 4}, {0.5F, 0.5F, 2.5F, 2.5F}));
    const auto aligned = [&](int64_t image) {
        return run_op(Op::RoiAlign, {x, boxes, given(longs({1}, {image}))},
                      {{"output_height", int64_t{1}}, {"output_width", int64_t{2}}, {"sampling_ratio", int64_t{1}}});
    };
    const auto result = aligned(0);
    REQUIRE(result.ok());
    CHECK(largest_error(values_of((*result)[0]), {4.5, 5.5}) < 1e-6);
    CHECK_FALSE(aligned(1).ok());
    CHECK_FALSE(aligned(-1).ok());
}

// ---- Transforms

TEST_CASE("transforms of any length are sums of rotated values, there and back") {
    Random random(9);
    for (const int64_t length : {1, 2, 3, 5, 8, 12, 97, 128, 400}) {
        CAPTURE(length);
        const Tensor x = random_floats({1, length, 2}, random);
        std::vector<double> wanted;
        for (int64_t k = 0; k < length; ++k) {
            double real = 0;
            double imaginary = 0;
            for (int64_t n = 0; n < length; ++n) {
                const double angle =
                    -2 * std::numbers::pi * static_cast<double>(k * n % length) / static_cast<double>(length);
                const double a = double{x.as<float>()[static_cast<size_t>(2 * n)]};
                const double b = double{x.as<float>()[static_cast<size_t>(2 * n + 1)]};
                real += a * std::cos(angle) - b * std::sin(angle);
                imaginary += a * std::sin(angle) + b * std::cos(angle);
            }
            wanted.push_back(real);
            wanted.push_back(imaginary);
        }
        const Tensor y = result_of(Op::DFT, {given(x)});
        CHECK(largest_error(values_of(y), wanted) < 1e-5);
        const std::vector<float> back = values_of(result_of(Op::DFT, {given(y)}, {{"inverse", int64_t{1}}}));
        const std::vector<float> source = values_of(x);
        CHECK(largest_error(back, std::vector<double>(source.begin(), source.end())) < 1e-5);
    }
}

TEST_CASE("a real signal comes back from half of its spectrum") {
    Random random(10);
    for (const int64_t length : {4, 7, 30}) {
        const Tensor x = random_floats({2, length, 1}, random);
        const Tensor y = result_of(Op::DFT, {given(x)}, {{"onesided", int64_t{1}}});
        CHECK(y.shape() == Shape{2, length / 2 + 1, 2});
        const Tensor back = result_of(Op::DFT, {given(y), constant(longs({}, {length}))},
                                      {{"onesided", int64_t{1}}, {"inverse", int64_t{1}}});
        CHECK(back.shape() == Shape{2, length, 1});
        const std::vector<float> source = values_of(x);
        CHECK(largest_error(values_of(back), std::vector<double>(source.begin(), source.end())) < 1e-5);
    }
}

TEST_CASE("frames of a signal are windowed and transformed") {
    const Operand signal = given(floats({1, 6, 1}, {1, 2, 3, 4, 5, 6}));
    const Tensor y = result_of(Op::STFT, {signal, constant(longs({}, {2})), constant(floats({2}, {1, 10}))});
    CHECK(y.shape() == Shape{1, 3, 2, 2});
    CHECK(largest_error(values_of(y), {21, 0, -19, 0, 43, 0, -37, 0, 65, 0, -55, 0}) < 1e-6);
    CHECK_FALSE(run_op(Op::STFT, {signal, constant(longs({}, {0})), constant(floats({2}, {1, 1}))}).ok());
    CHECK_FALSE(run_op(Op::STFT, {signal, constant(longs({}, {1})), left_out(), constant(longs({}, {7}))}).ok());
}

TEST_CASE("windows of any kind, periodic or symmetric") {
    const auto window = [](Op op, int64_t periodic) {
        return values_of(result_of(op, {constant(longs({}, {4}))}, {{"periodic", periodic}}));
    };
    CHECK(largest_error(window(Op::HannWindow, 1), {0, 0.5, 1, 0.5}) < 1e-6);
    CHECK(largest_error(window(Op::HannWindow, 0), {0, 0.75, 0.75, 0}) < 1e-6);
    CHECK(largest_error(window(Op::HammingWindow, 1), {4.0 / 46, 25.0 / 46, 1, 25.0 / 46}) < 1e-6);
    CHECK(largest_error(window(Op::BlackmanWindow, 1), {0, 0.34, 1, 0.34}) < 1e-6);
    CHECK_FALSE(run_op(Op::HannWindow, {constant(longs({}, {-1}))}).ok());
}

}  // namespace
}  // namespace quoin::test
