// Convolutions and pools on channels-last tensors against plain loops in double precision.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/op_test.h"

namespace quoin::test {
namespace {

struct Case {
    std::vector<int64_t> spatial;
    std::vector<int64_t> kernel;
    std::vector<int64_t> strides;
    std::vector<int64_t> pads;
    std::vector<int64_t> dilations;
    int64_t images = 1;
    int64_t channels = 4;
    int64_t columns = 8;
    int64_t group = 1;
};

int64_t product(const std::vector<int64_t>& dims) {
    return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

Shape shape_of(int64_t images, const std::vector<int64_t>& spatial, int64_t channels) {
    std::vector<int64_t> dims{images};
    dims.insert(dims.end(), spatial.begin(), spatial.end());
    dims.push_back(channels);
    return Shape(std::span<const int64_t>(dims));
}

std::vector<int64_t> output_of(const Case& c) {
    std::vector<int64_t> output;
    for (size_t axis = 0; axis < c.spatial.size(); ++axis) {
        const int64_t room = c.spatial[axis] + c.pads[axis] + c.pads[axis + c.spatial.size()] -
                             (c.kernel[axis] - 1) * c.dilations[axis] - 1;
        output.push_back(room / c.strides[axis] + 1);
    }
    return output;
}

// Calls visit(output position, tap, source position or -1 in the padding) for all.
template <class Visit>
void slide(const Case& c, const Visit& visit) {
    const std::vector<int64_t> output = output_of(c);
    for (int64_t o = 0; o < product(output); ++o) {
        for (int64_t t = 0; t < product(c.kernel); ++t) {
            int64_t source = 0;
            int64_t o_left = o;
            int64_t t_left = t;
            std::vector<int64_t> at(c.spatial.size());
            bool inside = true;
            for (size_t axis = c.spatial.size(); axis-- > 0;) {
                at[axis] = o_left % output[axis] * c.strides[axis] + t_left % c.kernel[axis] * c.dilations[axis] -
                           c.pads[axis];
                o_left /= output[axis];
                t_left /= c.kernel[axis];
                inside = inside && at[axis] >= 0 && at[axis] < c.spatial[axis];
            }
            for (size_t axis = 0; axis < c.spatial.size(); ++axis) source = source * c.spatial[axis] + at[axis];
            visit(o, t, inside ? source : -1);
        }
    }
}

// [N, spatial..., columns] without bias.
std::vector<double> convolve(const Case& c, const std::vector<float>& x, const std::vector<float>& weight) {
    const int64_t positions = product(output_of(c));
    const int64_t taps = product(c.kernel);
    const int64_t inner = c.channels / c.group;
    std::vector<double> sums(static_cast<size_t>(c.images * positions * c.columns));
    for (int64_t n = 0; n < c.images; ++n) {
        slide(c, [&](int64_t o, int64_t t, int64_t source) {
            if (source < 0) return;
            for (int64_t column = 0; column < c.columns; ++column) {
                const int64_t first = column / (c.columns / c.group) * inner;
                double& sum = sums[static_cast<size_t>((n * positions + o) * c.columns + column)];
                for (int64_t k = 0; k < inner; ++k) {
                    const int64_t from = (n * product(c.spatial) + source) * c.channels + first + k;
                    sum += double{x[static_cast<size_t>(from)]} *
                           double{weight[static_cast<size_t>((column * inner + k) * taps + t)]};
                }
            }
        });
    }
    return sums;
}

Attributes attributes_of(const Case& c) {
    return {{"strides", c.strides}, {"pads", c.pads}, {"dilations", c.dilations}, {"group", c.group}};
}

Shape weight_shape(const Case& c) {
    std::vector<int64_t> dims{c.columns, c.channels / c.group};
    dims.insert(dims.end(), c.kernel.begin(), c.kernel.end());
    return Shape(std::span<const int64_t>(dims));
}

const std::vector<Case> kCases = {
    {{7, 9}, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2, 5, 35, 1},
    {{8, 6}, {3, 2}, {2, 1}, {0, 1, 1, 0}, {1, 2}, 1, 4, 70, 1},
    {{56, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 1, 33, 40, 1},
    {{9, 9}, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, 2, 40, 40, 40},
    {{9, 5}, {5, 3}, {1, 1}, {2, 1, 2, 1}, {1, 1}, 1, 6, 12, 6},
    {{6, 6}, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, 8, 12, 2},
    {{50}, {3}, {1}, {1, 1}, {1}, 2, 16, 24, 1},
    {{4, 5, 6}, {2, 3, 1}, {1, 2, 1}, {0, 1, 0, 1, 1, 0}, {1, 1, 1}, 1, 3, 5, 1},
    {{40, 40}, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, 16, 200, 1},
};

}  // namespace

TEST_CASE("channels-last convolutions agree with plain loops for any number of threads") {
    Random random(51);
    for (const Case& c : kCases) {
        const Tensor x = random_floats(shape_of(c.images, c.spatial, c.channels), random);
        const Tensor weight = random_floats(weight_shape(c), random);
        const Tensor bias = random_floats({c.columns}, random);
        const Tensor residual = random_floats(shape_of(c.images, output_of(c), c.columns), random);
        std::vector<double> wanted = convolve(c, values_of(x), values_of(weight));
        std::vector<double> last = wanted;
        for (size_t index = 0; index < wanted.size(); ++index) {
            const double sum = wanted[index] + double{values_of(bias)[index % static_cast<size_t>(c.columns)]};
            const double extra = double{residual.as<float>()[index]};
            wanted[index] = std::max(0.0, sum + extra);
            last[index] = std::max(0.0, sum) + extra;
        }
        Attributes attributes = attributes_of(c);
        attributes.emplace_back("activation", std::string("Relu"));
        std::vector<float> first;
        for (const int threads : {1, 2, 5}) {
            CAPTURE(c.spatial, c.channels, c.columns, c.group, threads);
            const RunOptions options{make_runtime(threads)};
            const std::vector<Operand> operands{given(x), constant(weight), constant(bias), given(residual)};
            const std::vector<float> got = values_of(result_of(Op::ChannelsLastConv, operands, attributes, options));
            CHECK(largest_error(got, wanted) < 1e-4);
            if (threads == 1) first = got;
            CHECK(got == first);
        }
        attributes.emplace_back("residual_last", int64_t{1});
        const std::vector<Operand> operands{given(x), constant(weight), constant(bias), given(residual)};
        CHECK(largest_error(values_of(result_of(Op::ChannelsLastConv, operands, attributes)), last) < 1e-4);
    }
}

TEST_CASE("residuals with axes of size 1 are spread over a channels-last convolution") {
    Random random(52);
    const Case c{{4, 5}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 2, 3, 6, 1};
    const Tensor x = random_floats(shape_of(2, c.spatial, 3), random);
    const Tensor weight = random_floats(weight_shape(c), random);
    const Tensor residual = random_floats({2, 1, 5, 6}, random);
    std::vector<double> wanted = convolve(c, values_of(x), values_of(weight));
    for (size_t index = 0; index < wanted.size(); ++index) {
        const size_t image = index / (20 * 6);
        wanted[index] += double{residual.as<float>()[image * 30 + index % 30]};
    }
    const Tensor got =
        result_of(Op::ChannelsLastConv, {given(x), constant(weight), left_out(), given(residual)}, attributes_of(c));
    CHECK(largest_error(values_of(got), wanted) < 1e-5);
}

TEST_CASE("a channels-last convolution that does not fit is refused") {
    Random random(53);
    const Operand x = given(random_floats({1, 4, 4, 3}, random));
    const Operand weight = constant(random_floats({8, 3, 3, 3}, random));
    const auto code = [&](const std::vector<Operand>& operands, const Attributes& attributes) {
        return run_op(Op::ChannelsLastConv, operands, attributes).status().code();
    };
    CHECK_THAT(run_op(Op::ChannelsLastConv, {given(random_floats({1, 2, 4, 3}, random)), weight}).status().message(),
               contains("' (ChannelsLastConv): the window of 3 values does not fit"));
    CHECK(code({x, weight}, {}) == StatusCode::Ok);
    CHECK(code({x, given(weight.tensor)}, {}) != StatusCode::Ok);
    CHECK(code({given(random_floats({1, 4, 4, 4}, random)), weight}, {}) == StatusCode::InvalidModel);
    CHECK(code({given(random_floats({1, 2, 4, 3}, random)), weight}, {}) == StatusCode::InvalidModel);
    CHECK(code({x, weight}, {{"group", int64_t{3}}}) == StatusCode::InvalidModel);
    CHECK(code({x, weight}, {{"strides", std::vector<int64_t>{0, 1}}}) == StatusCode::InvalidModel);
    CHECK(code({x, weight}, {{"pads", std::vector<int64_t>{0, 1}}}) == StatusCode::InvalidModel);
    CHECK(code({x, weight}, {{"activation", std::string("Sinus")}}) == StatusCode::InvalidModel);
    CHECK(code({x, weight, constant(random_floats({7}, random))}, {}) == StatusCode::InvalidModel);
    CHECK(code({x, weight, left_out(), given(random_floats({1, 2, 2, 1}, random))}, {}) == StatusCode::InvalidModel);
}

TEST_CASE("channels-last pools agree with plain loops") {
    Random random(54);
    const Case c{{9, 8}, {3, 2}, {2, 2}, {1, 0, 1, 1}, {1, 1}, 2, 70, 70, 1};
    const Tensor x = random_floats(shape_of(2, c.spatial, 70), random);
    const int64_t positions = product(output_of(c));
    std::vector<double> largest(static_cast<size_t>(2 * positions * 70), -INFINITY);
    std::vector<double> sums(largest.size());
    std::vector<double> counts(largest.size());
    for (int64_t n = 0; n < 2; ++n) {
        slide(c, [&](int64_t o, int64_t, int64_t source) {
            for (int64_t channel = 0; channel < 70 && source >= 0; ++channel) {
                const auto to = static_cast<size_t>((n * positions + o) * 70 + channel);
                const double value = double{x.as<float>()[static_cast<size_t>((n * 72 + source) * 70 + channel)]};
                largest[to] = std::max(largest[to], value);
                sums[to] += value;
                ++counts[to];
            }
        });
    }
    std::vector<double> means(sums.size());
    std::vector<double> padded(sums.size());
    for (size_t index = 0; index < sums.size(); ++index) {
        means[index] = sums[index] / counts[index];
        padded[index] = sums[index] / 6;
    }
    Attributes attributes = attributes_of(c);
    attributes.emplace_back("kernel_shape", c.kernel);
    const auto run = [&](const std::string& kind, int64_t count_padding, int threads) {
        Attributes all = attributes;
        all.emplace_back("kind", kind);
        all.emplace_back("count_include_pad", count_padding);
        return values_of(result_of(Op::ChannelsLastPool, {given(x)}, all, {make_runtime(threads)}));
    };
    for (const int threads : {1, 3}) {
        CHECK(largest_error(run("max", 0, threads), largest) == 0);
        CHECK(largest_error(run("average", 0, threads), means) < 1e-6);
        CHECK(largest_error(run("average", 1, threads), padded) < 1e-6);
    }
}

TEST_CASE("a channels-last pool without a window takes all positions") {
    Random random(55);
    const Tensor x = random_floats({2, 5, 7, 130}, random);
    std::vector<double> means(2 * 130);
    for (size_t index = 0; index < 2 * 35 * 130; ++index) {
        means[index / (35 * 130) * 130 + index % 130] += double{x.as<float>()[index]} / 35;
    }
    for (const int threads : {1, 4}) {
        const Tensor got =
            result_of(Op::ChannelsLastPool, {given(x)}, {{"kind", std::string("average")}}, {make_runtime(threads)});
        CHECK(got.shape() == Shape{2, 1, 1, 130});
        CHECK(largest_error(values_of(got), means) < 1e-6);
    }
}

TEST_CASE("pools round sizes up only where a window begins inside") {
    const Tensor x = floats({1, 5, 1}, {1, 2, 3, 4, 5});
    const Attributes attributes{{"kind", std::string("max")},
                                {"kernel_shape", std::vector<int64_t>{2}},
                                {"strides", std::vector<int64_t>{2}},
                                {"ceil_mode", int64_t{1}}};
    CHECK(values_of(result_of(Op::ChannelsLastPool, {given(x)}, attributes)) == std::vector<float>{2, 4, 5});
    Attributes same = attributes;
    same.emplace_back("auto_pad", std::string("SAME_LOWER"));
    CHECK(values_of(result_of(Op::ChannelsLastPool, {given(x)}, same)) == std::vector<float>{1, 3, 5});
}

TEST_CASE("channels-last transposed convolutions scatter what convolutions gather") {
    Random random(56);
    struct Transposed {
        std::vector<int64_t> spatial, kernel, strides, pads, dilations, more;
        int64_t images, channels, columns, group;
    };
    const std::vector<Transposed> cases = {
        {{5, 4}, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}, {0, 0}, 2, 6, 40, 1},
        {{5, 4}, {3, 4}, {2, 3}, {1, 0, 1, 2}, {1, 1}, {1, 2}, 1, 6, 4, 2},
        {{6, 5}, {3, 3}, {1, 1}, {1, 1, 1, 1}, {2, 1}, {0, 0}, 1, 3, 5, 1},
        {{9}, {5}, {3}, {1, 1}, {1}, {0}, 1, 4, 6, 1},
        // Windows that neither overlap nor leave gaps, and some that nearly are such.
        {{7, 9}, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}, {0, 0}, 2, 5, 1, 1},
        {{6, 5}, {2, 3}, {2, 3}, {0, 0, 0, 0}, {1, 1}, {0, 0}, 1, 6, 8, 2},
        {{2, 3, 4}, {2, 1, 3}, {2, 1, 3}, {0, 0, 0, 0, 0, 0}, {1, 1, 1}, {0, 0, 0}, 1, 3, 12, 1},
        {{300}, {4}, {4}, {0, 0}, {1}, {0}, 1, 3, 1, 1},
        {{5, 4}, {2, 2}, {2, 2}, {1, 0, 0, 0}, {1, 1}, {0, 0}, 1, 6, 3, 1},
        {{5, 4}, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}, {0, 1}, 1, 6, 3, 1},
    };
    for (const Transposed& c : cases) {
        // The convolution that goes the other way, from what is made here to x.
        Case back{{}, c.kernel, c.strides, c.pads, c.dilations, c.images, c.columns, c.channels, c.group};
        for (size_t axis = 0; axis < c.spatial.size(); ++axis) {
            back.spatial.push_back((c.spatial[axis] - 1) * c.strides[axis] + c.more[axis] +
                                   (c.kernel[axis] - 1) * c.dilations[axis] + 1 - c.pads[axis] -
                                   c.pads[axis + c.spatial.size()]);
        }
        const Tensor x = random_floats(shape_of(c.images, c.spatial, c.channels), random);
        const Tensor weight = random_floats(weight_shape(back), random);  // [C, OC / group, kernel...]
        const Tensor bias = random_floats({c.columns}, random);
        const int64_t from = product(c.spatial);
        const int64_t to = product(back.spatial);
        const int64_t taps = product(c.kernel);
        std::vector<double> wanted(static_cast<size_t>(c.images * to * c.columns));
        for (size_t index = 0; index < wanted.size(); ++index) {
            wanted[index] = double{values_of(bias)[index % static_cast<size_t>(c.columns)]};
        }
        for (int64_t n = 0; n < c.images; ++n) {
            slide(back, [&](int64_t i, int64_t t, int64_t o) {
                if (o < 0 || i >= from) return;
                const int64_t columns = c.columns / c.group;
                for (int64_t k = 0; k < c.channels; ++k) {
                    const int64_t group = k / (c.channels / c.group);
                    const double value = double{x.as<float>()[static_cast<size_t>((n * from + i) * c.channels + k)]};
                    for (int64_t column = 0; column < columns; ++column) {
                        wanted[static_cast<size_t>((n * to + o) * c.columns + group * columns + column)] +=
                            value * double{weight.as<float>()[static_cast<size_t>((k * columns + column) * taps + t)]};
                    }
                }
            });
        }
        const bool sigmoid = c.columns == 1;
        for (double& value : wanted) value = sigmoid ? 1 / (1 + std::exp(-value)) : std::max(0.0, value);
        const Attributes attributes{
            {"strides", c.strides},     {"pads", c.pads},   {"dilations", c.dilations},
            {"output_padding", c.more}, {"group", c.group}, {"activation", std::string(sigmoid ? "Sigmoid" : "Relu")}};
        for (const int threads : {1, 3}) {
            CAPTURE(c.kernel, c.strides, c.pads, c.columns, threads);
            const Tensor got = result_of(Op::ChannelsLastConvTranspose, {given(x), constant(weight), constant(bias)},
                                         attributes, {make_runtime(threads)});
            CHECK(got.shape() == shape_of(c.images, back.spatial, c.columns));
            CHECK(largest_error(values_of(got), wanted) < 1e-4);
        }
    }
}

TEST_CASE("transposed convolutions with results that no tap reaches are refused") {
    const Operand x = given(floats({1, 2, 1}, {1, 2}));
    const Operand weight = constant(floats({1, 1, 1}, {3}));
    const Attributes attributes{{"strides", std::vector<int64_t>{2}}};
    CHECK(run_op(Op::ChannelsLastConvTranspose, {x, weight}, attributes).status().code() == StatusCode::InvalidModel);
}

TEST_CASE("a transposed convolution may be cut down to nothing, but not below") {
    const Operand x = given(floats({1, 1, 1}, {2}));
    const Operand weight = constant(floats({1, 1, 1}, {3}));
    const auto cut = [&](int64_t begin, int64_t end) {
        return run_op(Op::ChannelsLastConvTranspose, {x, weight}, {{"pads", std::vector<int64_t>{begin, end}}});
    };
    REQUIRE(cut(1, 0).ok());
    CHECK(cut(1, 0)->at(0).shape() == Shape{1, 0, 1});
    CHECK(cut(1, 1).status().code() == StatusCode::InvalidModel);
}

}  // namespace quoin::test
