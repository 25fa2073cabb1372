// Convolutions and sums of 8-bit integers against plain loops on integers.
#include <algorithm>
#include <cmath>

#include "ops/op_test.h"

namespace quoin::test {
namespace {

std::vector<uint8_t> bytes(int64_t count, Random& random) {
    std::vector<uint8_t> result;
    for (const float value : random.normals(count)) {
        result.push_back(static_cast<uint8_t>(std::clamp(128 + 50 * value, 0.0F, 255.0F)));
    }
    return result;
}
std::vector<int8_t> signed_bytes(int64_t count, Random& random) {
    std::vector<int8_t> result;
    for (const uint8_t value : bytes(count, random)) result.push_back(static_cast<int8_t>(value ^ 128));
    return result;
}

template <class T>
std::vector<int> integers(const Tensor& tensor) {
    const auto values = tensor.as<T>();
    return {values.begin(), values.end()};
}

struct Sizes {
    int64_t height, width, channels, columns, kernel, group;
};

// Sums of (x - zero) * (weight - zeros[column]) + bias with padding of kernel / 2 on an image [H, W, C].
std::vector<int64_t> sums(const Sizes& s, const std::vector<int>& x, int zero, const std::vector<int>& weight,
                          const std::vector<int>& zeros, const std::vector<int32_t>& bias) {
    std::vector<int64_t> result;
    const int64_t inner = s.channels / s.group;
    for (int64_t h = 0; h < s.height; ++h) {
        for (int64_t w = 0; w < s.width; ++w) {
            for (int64_t column = 0; column < s.columns; ++column) {
                int64_t sum = bias[static_cast<size_t>(column)];
                for (int64_t t = 0; t < s.kernel * s.kernel; ++t) {
                    const int64_t y = h + t / s.kernel - s.kernel / 2;
                    const int64_t z = w + t % s.kernel - s.kernel / 2;
                    if (y < 0 || z < 0 || y >= s.height || z >= s.width) continue;
                    for (int64_t k = 0; k < inner; ++k) {
                        const int64_t channel = column / (s.columns / s.group) * inner + k;
                        const int64_t from = (y * s.width + z) * s.channels + channel;
                        const int64_t own = (column * inner + k) * s.kernel * s.kernel + t;
                        sum += int64_t{x[static_cast<size_t>(from)] - zero} *
                               (weight[static_cast<size_t>(own)] - zeros[static_cast<size_t>(column)]);
                    }
                }
                result.push_back(sum);
            }
        }
    }
    return result;
}

int64_t dtype_number(DType dtype) {
    return static_cast<int64_t>(dtype);
}

}  // namespace

TEST_CASE("integer convolutions are exact to the rounding of their results") {
    Random random(61);
    for (const Sizes s : {Sizes{5, 6, 8, 40, 3, 1}, Sizes{4, 4, 6, 6, 1, 2}, Sizes{7, 5, 24, 24, 3, 24}}) {
        const int64_t inner = s.channels / s.group;
        const Shape weight_shape{s.columns, inner, s.kernel, s.kernel};
        const Tensor x =
            tensor_of(DType::U8, {1, s.height, s.width, s.channels}, bytes(s.height * s.width * s.channels, random));
        const Tensor weight =
            tensor_of(DType::I8, weight_shape, signed_bytes(s.columns * inner * s.kernel * s.kernel, random));
        std::vector<int32_t> bias;
        for (const float value : random.normals(s.columns)) bias.push_back(static_cast<int32_t>(value * 1000));
        std::vector<float> scales;
        for (const float value : random.normals(s.columns)) scales.push_back(0.001F + std::abs(value) * 0.002F);
        const std::vector<int64_t> wanted = sums(s, integers<uint8_t>(x), 120, integers<int8_t>(weight),
                                                 std::vector<int>(static_cast<size_t>(s.columns)), bias);
        const std::vector<int64_t> pads(4, s.kernel / 2);
        const std::vector<Operand> operands{given(x), constant(weight), constant(floats({s.columns}, scales)),
                                            constant(ints({s.columns}, bias))};
        for (const int threads : {1, 3}) {
            const Attributes attributes{{"pads", pads},
                                        {"group", s.group},
                                        {"x_zero_point", int64_t{120}},
                                        {"to", dtype_number(DType::U8)},
                                        {"zero_point", int64_t{100}},
                                        {"lowest", int64_t{90}},
                                        {"highest", int64_t{200}}};
            const std::vector<int> got = integers<uint8_t>(
                result_of(Op::ChannelsLastIntegerConv, operands, attributes, {make_runtime(threads)}));
            REQUIRE(got.size() == wanted.size());
            int64_t different = 0;
            for (size_t index = 0; index < got.size(); ++index) {
                const float scale = scales[index % static_cast<size_t>(s.columns)];
                const float real = std::nearbyint(static_cast<float>(wanted[index]) * scale) + 100;
                different += got[index] != static_cast<int>(std::clamp(real, 90.0F, 200.0F)) ? 1 : 0;
            }
            CAPTURE(s.kernel, s.group, threads);
            CHECK(different == 0);
        }
    }
}

TEST_CASE("an integer product with a scale known when it runs makes floats") {
    Random random(62);
    const Sizes s{1, 7, 20, 33, 1, 1};  // seven rows
    const Tensor x = tensor_of(DType::U8, {7, 20}, bytes(140, random));
    const Tensor weight = tensor_of(DType::U8, {33, 20}, bytes(660, random));
    std::vector<int32_t> zeros(33);
    for (size_t column = 0; column < zeros.size(); ++column) zeros[column] = static_cast<int32_t>(column) - 10;
    std::vector<int> weight_zeros;
    for (const int32_t zero : zeros) weight_zeros.push_back(zero + 128);
    const std::vector<int64_t> wanted =
        sums(s, integers<uint8_t>(x), 117, integers<uint8_t>(weight), weight_zeros, std::vector<int32_t>(33));
    const Tensor scales = random_floats({33}, random);
    const Tensor bias = random_floats({33}, random);
    const Tensor got = result_of(
        Op::ChannelsLastIntegerConv,
        {given(x), constant(weight), constant(scales), left_out(), constant(ints({33}, zeros)), constant(bias),
         given(floats({}, {0.25F})), given(tensor_of(DType::U8, {}, std::vector<uint8_t>{117}))},
        {{"to", dtype_number(DType::F32)}});
    std::vector<double> reals;
    for (size_t index = 0; index < wanted.size(); ++index) {
        const size_t column = index % 33;
        reals.push_back(double(wanted[index]) * 0.25 * double{scales.as<float>()[column]} +
                        double{bias.as<float>()[column]});
    }
    CHECK(got.shape() == Shape{7, 33});
    CHECK(largest_error(values_of(got), reals) < 1e-5);
}

TEST_CASE("sums of quantised tensors round halves to even and saturate") {
    const Tensor a = tensor_of(DType::U8, {6}, std::vector<uint8_t>{0, 1, 2, 3, 200, 255});
    const Tensor b = tensor_of(DType::I8, {6}, std::vector<int8_t>{0, 0, 1, 1, 127, -128});
    const Attributes attributes{{"a_scale", 0.5}, {"b_scale", 1.0}, {"offset", 1.0}, {"to", dtype_number(DType::I8)}};
    CHECK(integers<int8_t>(result_of(Op::AddQuantized, {given(a), given(b)}, attributes)) ==
          std::vector<int>{1, 2, 3, 4, 127, 0});
    CHECK(integers<int8_t>(result_of(Op::AddQuantized, {given(a)}, attributes)) ==
          std::vector<int>{1, 2, 2, 2, 101, 127});
    CHECK(run_op(Op::AddQuantized, {given(a), given(floats({6}, {1, 2, 3, 4, 5, 6}))}, attributes).status().code() ==
          StatusCode::InvalidModel);
}

}  // namespace quoin::test
