// Kernels that slide a window over every channel by itself, and the product of two activations.
#include <limits>

#include "window_test.h"

namespace quoin::test {
namespace {

const std::vector<WindowCase> kWindows = {
    {{1, 9, 13}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {{1, 10, 17}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 1}, {0, 2, 2}},
    {{1, 12, 30}, {1, 5, 5}, {1, 1, 1}, {1, 2, 2}, {0, 4, 4}, {0, 4, 4}},
    {{1, 1, 40}, {1, 1, 4}, {1, 1, 3}, {1, 1, 1}, {0, 0, 2}, {0, 0, 0}},
    {{3, 5, 6}, {2, 2, 3}, {1, 1, 2}, {1, 2, 1}, {1, 0, 1}, {0, 1, 1}},
    {{1, 7, 7}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},  // global
    {{1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},  // windows of padding alone
};
const std::vector<int64_t> kChannels = {1, 3, 8, 16, 20, 33, 67};

TEST_CASE("depthwise convolution agrees with double precision on every instruction set", "[kernels]") {
    Random random(61);
    size_t kind = 0;
    for (const WindowCase& window_case : kWindows) {
        for (const int64_t channels : kChannels) {
            for (const int64_t multiplier : {1, 3}) {
                const int64_t columns = channels * multiplier;
                const Window window = make_window(window_case, channels + 1);
                const int64_t pixels = window.source[0] * window.source[1] * window.source[2];
                const int64_t outputs = window.outputs();
                const std::vector<float> src = random.normals(pixels * (channels + 1) - 1);
                const std::vector<float> weights = random.normals(window.taps() * columns);
                const std::vector<float> bias = random.normals(columns);
                const std::vector<float> slopes = random.normals(columns);
                const std::vector<float> residual = random.normals(outputs * columns);
                const NamedActivation& named = kActivations[kind++ % std::size(kActivations)];
                const Activation activation = {named.kind, named.alpha, named.beta, slopes.data()};
                const bool last = kind % 3 == 0;
                for (const Isa isa : machine_isas()) {
                    DepthwiseArgs args = {};
                    args.window = window;
                    args.channels = channels;
                    args.multiplier = multiplier;
                    args.src = src.data();
                    args.weights = weights.data();
                    args.epilogue.bias = bias.data();
                    args.epilogue.activation = activation;
                    args.epilogue.residual_last = last;
                    set_strides(window, columns, args.dst_stride);
                    set_strides(window, columns, args.epilogue.residual_stride);
                    std::vector<float> got(static_cast<size_t>(outputs * columns), -7.0F);
                    args.epilogue.residual = residual.data();
                    args.dst = got.data();
                    args.count = outputs;
                    kernels(isa).depthwise_f32(args);
                    double worst = 0;
                    for (int64_t at = 0; at < outputs; ++at) {
                        for (int64_t c = 0; c < columns; ++c) {
                            const auto index = static_cast<size_t>(at * columns + c);
                            double sum = static_cast<double>(bias[static_cast<size_t>(c)]);
                            double size = std::fabs(sum) + 1;
                            for_taps(window, at, [&](int64_t tap, int64_t offset) {
                                const double product =
                                    static_cast<double>(src[static_cast<size_t>(offset + c / multiplier)]) *
                                    static_cast<double>(weights[static_cast<size_t>(tap * columns + c)]);
                                sum += product;
                                size += std::fabs(product);
                            });
                            const double add = static_cast<double>(residual[index]);
                            const double want =
                                last ? activated(activation, sum, c) + add : activated(activation, sum + add, c);
                            const double error =
                                std::fabs(static_cast<double>(got[index]) - want) / (size + std::fabs(add));
                            worst = worse(worst, error);
                        }
                    }
                    CAPTURE(isa_name(isa), channels, multiplier, window.kernel[2], static_cast<int>(named.kind));
                    CHECK(worst < 1e-6);
                    // in pieces, over the residual
                    std::vector<float> pieces = residual;
                    args.epilogue.residual = args.dst = pieces.data();
                    for (int64_t first = 0; first < outputs; first += 7) {
                        args.first = first;
                        args.count = std::min<int64_t>(7, outputs - first);
                        kernels(isa).depthwise_f32(args);
                    }
                    CHECK(same_bits(pieces, got));
                }
            }
        }
    }
}

// want(values under the window, taps that count for a mean)
template <class T, class Want>
void check_pool(void (*KernelTable::*kernel)(const PoolArgs&), Random& random, bool count_padding, Want want,
                double nans = 0) {
    for (const WindowCase& window_case : kWindows) {
        for (const int64_t channels : kChannels) {
            const Window window = make_window(window_case, channels + 2);
            const int64_t pixels = window.source[0] * window.source[1] * window.source[2];
            const int64_t outputs = window.outputs();
            std::vector<T> src(static_cast<size_t>(pixels * (channels + 2) - 2));
            for (T& x : src) {
                if constexpr (std::is_same_v<T, float>) {
                    x = random.integer(0, 99) < nans * 100 ? NAN : random.normal() - 1;
                } else {
                    x = static_cast<T>(random.integer(std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
                }
            }
            for (const Isa isa : machine_isas()) {
                std::vector<T> got(static_cast<size_t>(outputs * channels), T(77));
                PoolArgs args = {};
                args.window = window;
                args.channels = channels;
                args.src = reinterpret_cast<const std::byte*>(src.data());
                args.dst = reinterpret_cast<std::byte*>(got.data());
                set_strides(window, channels, args.dst_stride);
                args.count_padding = count_padding;
                for (int axis = 0; axis < 3; ++axis) args.pad_end[axis] = window_case.pad_end[axis];
                for (int64_t first = 0; first < outputs; first += 29) {
                    args.first = first;
                    args.count = std::min<int64_t>(29, outputs - first);
                    (kernels(isa).*kernel)(args);
                }
                bool good = true;
                for (int64_t at = 0; at < outputs; ++at) {
                    for (int64_t c = 0; c < channels; ++c) {
                        std::vector<T> seen;
                        for_taps(window, at, [&](int64_t, int64_t offset) {
                            seen.push_back(src[static_cast<size_t>(offset + c)]);
                        });
                        good &= want(seen, count_padding ? window.taps() : static_cast<int64_t>(seen.size()),
                                     got[static_cast<size_t>(at * channels + c)]);
                    }
                }
                CAPTURE(isa_name(isa), channels, window.kernel[2], window.step[2]);
                CHECK(good);
            }
        }
    }
}

TEST_CASE("max pooling finds the largest value of every type", "[kernels]") {
    Random random(62);
    const auto largest = [](const auto& seen, int64_t, auto got) {
        using T = decltype(got);
        T want = std::is_same_v<T, float> ? static_cast<T>(-INFINITY) : std::numeric_limits<T>::min();
        for (const T x : seen) want = std::max(want, x);
        return got == want;
    };
    check_pool<float>(&KernelTable::max_pool_f32, random, false, largest);
    check_pool<float>(&KernelTable::max_pool_f32, random, false, largest, 0.2);
    check_pool<uint8_t>(&KernelTable::max_pool_u8, random, false, largest);
    check_pool<int8_t>(&KernelTable::max_pool_s8, random, false, largest);
}

TEST_CASE("average pooling counts padding only when asked", "[kernels]") {
    Random random(63);
    const auto mean = [](const std::vector<float>& seen, int64_t counted, float got) {
        double sum = 0;
        double size = 1;
        for (const float x : seen) sum += static_cast<double>(x);
        for (const float x : seen) size += std::fabs(static_cast<double>(x));
        const auto count = static_cast<double>(std::max<int64_t>(counted, 1));
        return std::fabs(static_cast<double>(got) - sum / count) <= 4e-7 * size / count + 1e-9;
    };
    check_pool<float>(&KernelTable::average_pool_f32, random, false, mean);
    check_pool<float>(&KernelTable::average_pool_f32, random, true, mean);
}

TEST_CASE("a mean never counts taps beyond the padding", "[kernels]") {
    // ceil_mode: the last window of three reaches one past the padding.
    const float src[4] = {1, 2, 3, 4};
    for (const Isa isa : machine_isas()) {
        float got[2] = {};
        PoolArgs args = {};
        args.window = {{1, 1, 4}, {4, 4, 1}, {1, 1, 2}, {1, 1, 3}, {1, 1, 3}, {1, 1, 1}, {0, 0, 0}};
        args.channels = 1;
        args.src = reinterpret_cast<const std::byte*>(src);
        args.dst = reinterpret_cast<std::byte*>(got);
        args.dst_stride[2] = 1;
        args.count = 2;
        args.count_padding = true;
        args.pad_end[2] = 1;
        kernels(isa).average_pool_f32(args);
        CHECK(got[0] == 2.0F);
        CHECK(got[1] == 2.0F);  // (4 + padding) / 2
    }
}

TEST_CASE("matmul of two activations agrees with double precision, transposed or not", "[kernels]") {
    Random random(64);
    for (const auto& [rows, inner, columns] : {std::tuple<int64_t, int64_t, int64_t>{1, 5, 3},
                                               {7, 64, 33},
                                               {13, 17, 32},
                                               {300, 9, 40},
                                               {24, 100, 64},
                                               {2, 0, 5}}) {
        const std::vector<float> a = random.normals(rows * (inner + 1));
        const std::vector<float> b = random.normals(inner * columns + 1);
        const std::vector<float> bias = random.normals(columns);
        const std::vector<float> residual = random.normals(rows * columns);
        for (const bool transposed : {false, true}) {
            for (const Isa isa : machine_isas()) {
                std::vector<float> got(static_cast<size_t>(rows * columns));
                std::vector<float> scratch(static_cast<size_t>(matmul_scratch_floats(inner)), NAN);
                MatMulArgs args = {};
                args.a = a.data();
                args.a_stride = inner + 1;
                args.b = b.data();
                args.b_inner_stride = transposed ? 1 : columns;
                args.b_column_stride = transposed ? inner : 1;
                args.rows = rows;
                args.inner = inner;
                args.columns = columns;
                args.epilogue.bias = bias.data();
                args.epilogue.residual = residual.data();
                args.epilogue.residual_stride[2] = columns;
                args.epilogue.activation.kind = ActivationKind::Silu;
                args.epilogue.activation.alpha = 1;
                args.dst = got.data();
                args.dst_stride = columns;
                args.scratch = scratch.data();
                kernels(isa).matmul_f32(args);
                double worst = 0;
                for (int64_t r = 0; r < rows; ++r) {
                    for (int64_t c = 0; c < columns; ++c) {
                        const auto index = static_cast<size_t>(r * columns + c);
                        double sum =
                            static_cast<double>(bias[static_cast<size_t>(c)]) + static_cast<double>(residual[index]);
                        double size = std::fabs(sum) + 1;
                        for (int64_t k = 0; k < inner; ++k) {
                            const double product =
                                static_cast<double>(a[static_cast<size_t>(r * (inner + 1) + k)]) *
                                static_cast<double>(
                                    b[static_cast<size_t>(k * args.b_inner_stride + c * args.b_column_stride)]);
                            sum += product;
                            size += std::fabs(product);
                        }
                        const double want = activated(args.epilogue.activation, sum, c);
                        const double error = std::fabs(static_cast<double>(got[index]) - want) / size;
                        worst = worse(worst, error);
                    }
                }
                CAPTURE(isa_name(isa), rows, inner, columns, transposed);
                CHECK(worst < 1e-6);
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
