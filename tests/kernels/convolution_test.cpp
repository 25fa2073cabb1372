#include "window_test.h"

namespace quoin::test {
namespace {

struct Problem {
    Window window;
    int64_t channels;
    int64_t columns;
    int64_t pixel_stride;
    std::vector<float> src;
    std::vector<float> weights;  // ONNX: [columns][channels][taps]
    std::vector<float> bias;
    std::vector<float> slopes;
    std::vector<float> residual;
    std::vector<double> sums;   // with bias, without residual
    std::vector<double> sizes;  // of what rounding may do
    std::vector<float> panels;
    Activation activation = {};
    bool with_residual = false;
    bool residual_last = false;
};

Problem make_problem(const WindowCase& window_case, int64_t channels, int64_t columns, Random& random) {
    Problem p = {};
    p.channels = channels;
    p.columns = columns;
    p.pixel_stride = channels + 3;
    p.window = make_window(window_case, p.pixel_stride);
    const int64_t pixels = p.window.source[0] * p.window.source[1] * p.window.source[2];
    const int64_t taps = p.window.taps();
    p.src = random.normals(pixels * p.pixel_stride - 3);
    p.weights = random.normals(columns * channels * taps);
    const float scale = 1.0F / std::sqrt(static_cast<float>(channels * taps));
    for (float& w : p.weights) w *= scale;
    p.bias = random.normals(columns);
    p.slopes = random.normals(columns);
    p.residual = random.normals(p.window.outputs() * columns);
    for (int64_t at = 0; at < p.window.outputs(); ++at) {
        for (int64_t c = 0; c < columns; ++c) {
            double sum = static_cast<double>(p.bias[static_cast<size_t>(c)]);
            double size = std::fabs(sum) + 1;
            for_taps(p.window, at, [&](int64_t tap, int64_t offset) {
                for (int64_t i = 0; i < channels; ++i) {
                    const double product =
                        static_cast<double>(p.src[static_cast<size_t>(offset + i)]) *
                        static_cast<double>(p.weights[static_cast<size_t>((c * channels + i) * taps + tap)]);
                    sum += product;
                    size += std::fabs(product);
                }
            });
            p.sums.push_back(sum);
            p.sizes.push_back(size);
        }
    }
    const int64_t inner = taps * channels;
    p.panels.resize(static_cast<size_t>(panel_count(columns) * inner * kPanelColumns));
    for (int64_t panel = 0; panel < panel_count(columns); ++panel) {
        kernels(Isa::Baseline)
            .pack_convolution_f32(p.weights.data() + panel * kPanelColumns * inner,
                                  std::min(kPanelColumns, columns - panel * kPanelColumns), channels, taps,
                                  p.panels.data() + panel * inner * kPanelColumns);
    }
    return p;
}

ConvolutionArgs arguments(const Problem& p, std::vector<float>& dst, int64_t first, int64_t count, float* scratch) {
    ConvolutionArgs args = {};
    args.window = p.window;
    args.channels = p.channels;
    args.src = p.src.data();
    args.weights = p.panels.data();
    args.panel_stride = p.window.taps() * p.channels * kPanelColumns;
    args.columns = p.columns;
    args.epilogue.bias = p.bias.data();
    args.epilogue.activation = p.activation;
    args.epilogue.activation.slopes = p.slopes.data();
    args.epilogue.residual_last = p.residual_last;
    if (p.with_residual) args.epilogue.residual = p.residual.data();
    set_strides(p.window, p.columns, args.epilogue.residual_stride);
    args.dst = dst.data();
    set_strides(p.window, p.columns, args.dst_stride);
    args.first = first;
    args.count = count;
    args.scratch = scratch;
    return args;
}

std::vector<float> run(const KernelTable& table, const Problem& p, int64_t step, bool in_place = false) {
    const int64_t outputs = p.window.outputs();
    std::vector<float> dst(static_cast<size_t>(outputs * p.columns), -7.0F);
    if (in_place) dst = p.residual;
    // Results must not depend on what the scratch held.
    std::vector<float> scratch(static_cast<size_t>(convolution_scratch_floats(p.window.taps() * p.channels, p.columns)),
                               NAN);
    for (int64_t first = 0; first < outputs; first += step) {
        ConvolutionArgs args = arguments(p, dst, first, std::min(step, outputs - first), scratch.data());
        if (in_place) args.epilogue.residual = dst.data();
        table.convolution_f32(args);
    }
    return dst;
}

double worst_error(const Problem& p, const std::vector<float>& got) {
    double worst = 0;
    for (size_t at = 0; at < got.size(); ++at) {
        const auto column = static_cast<int64_t>(at % static_cast<size_t>(p.columns));
        Activation activation = p.activation;
        activation.slopes = p.slopes.data();
        const double residual = p.with_residual ? static_cast<double>(p.residual[at]) : 0.0;
        const double want = p.residual_last ? activated(activation, p.sums[at], column) + residual
                                            : activated(activation, p.sums[at] + residual, column);
        const double error = std::fabs(static_cast<double>(got[at]) - want) / (p.sizes[at] + std::fabs(residual));
        worst = worse(worst, error);
    }
    return worst;
}

constexpr double kTolerance = 1e-6;

const std::vector<WindowCase> kWindows = {
    {{1, 1, 37}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},   // rows of a matrix
    {{1, 6, 7}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},    // 1x1
    {{1, 7, 9}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},    // 1x1, every second pixel
    {{1, 9, 8}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},    // 3x3
    {{1, 11, 15}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},  // first layer of ResNet
    {{1, 5, 6}, {1, 3, 2}, {1, 2, 1}, {1, 2, 3}, {0, 2, 3}, {0, 0, 1}},    // dilated, uneven
    {{1, 1, 30}, {1, 1, 5}, {1, 1, 3}, {1, 1, 1}, {0, 0, 2}, {0, 0, 4}},   // one axis
    {{3, 4, 5}, {2, 3, 3}, {1, 2, 1}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}},    // three axes
    {{1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, -1, -2}, {0, 0, 1}},  // cropped at the beginning
    {{1, 2, 2}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 4, 4}, {0, 4, 4}},    // windows of padding alone
};

TEST_CASE("convolution agrees with double precision on every instruction set", "[kernels]") {
    Random random(51);
    for (const WindowCase& window : kWindows) {
        for (const auto& [channels, columns] :
             {std::pair<int64_t, int64_t>{1, 1}, {3, 33}, {5, 20}, {16, 16}, {35, 47}, {64, 64}}) {
            Problem p = make_problem(window, channels, columns, random);
            for (const Isa isa : machine_isas()) {
                CAPTURE(isa_name(isa), window.source[1], window.source[2], window.kernel[2], channels, columns);
                p.with_residual = false;
                const std::vector<float> plain = run(kernels(isa), p, p.window.outputs());
                CHECK(worst_error(p, plain) < kTolerance);
                CHECK(same_bits(run(kernels(isa), p, 5), plain));
                p.with_residual = true;
                const std::vector<float> added = run(kernels(isa), p, p.window.outputs());
                CHECK(worst_error(p, added) < kTolerance);
                CHECK(same_bits(run(kernels(isa), p, 13, true), added));
            }
        }
    }
}

TEST_CASE("convolution with a long sum takes it in parts, without a trace", "[kernels]") {
    Random random(52);
    for (const int64_t channels : {57, 100, 129, 512}) {
        const WindowCase window = {{1, 9, 31}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}};
        Problem p = make_problem(window, channels, 70, random);
        p.with_residual = true;
        p.activation.kind = ActivationKind::Relu;
        for (const Isa isa : machine_isas()) {
            CAPTURE(isa_name(isa), channels);
            const std::vector<float> whole = run(kernels(isa), p, p.window.outputs());
            CHECK(worst_error(p, whole) < kTolerance);
            CHECK(same_bits(run(kernels(isa), p, 1), whole));
            CHECK(same_bits(run(kernels(isa), p, 100, true), whole));
        }
    }
}

TEST_CASE("every activation of an epilogue agrees with double precision, before or after a residual", "[kernels]") {
    Random random(53);
    const WindowCase window = {{1, 4, 9}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}};
    Problem p = make_problem(window, 9, 45, random);
    for (const NamedActivation& activation : kActivations) {
        p.activation = {activation.kind, activation.alpha, activation.beta, nullptr};
        for (const Isa isa : machine_isas()) {
            for (const int mode : {0, 1, 2}) {
                CAPTURE(isa_name(isa), static_cast<int>(activation.kind), mode);
                p.with_residual = mode > 0;
                p.residual_last = mode == 2;
                const std::vector<float> got = run(kernels(isa), p, p.window.outputs());
                CHECK(worst_error(p, got) < kTolerance);
                if (p.with_residual) CHECK(same_bits(run(kernels(isa), p, 7, true), got));
            }
        }
    }
}

// Epilogues alone: products and convolutions of one column whose only weight is 1.
std::vector<float> identity_panel() {
    std::vector<float> panel(static_cast<size_t>(kPanelColumns), 0.0F);
    panel[0] = 1.0F;
    return panel;
}
std::vector<float> after_product(const KernelTable& table, const std::vector<float>& values,
                                 const Activation& activation) {
    const std::vector<float> panel = identity_panel();
    std::vector<float> got(values.size());
    LinearArgs args = {};
    args.weights = reinterpret_cast<const std::byte*>(panel.data());
    args.panels = args.columns = args.inner = args.dst_stride = 1;
    args.src = reinterpret_cast<const std::byte*>(values.data());
    args.src_stride = 4;
    args.rows = static_cast<int64_t>(values.size());
    args.dst = got.data();
    args.activation = activation;
    run_linear(table.linear_f32, DType::F32, args);
    return got;
}
std::vector<float> after_convolution(const KernelTable& table, const std::vector<float>& values,
                                     const Activation& activation) {
    const std::vector<float> panel = identity_panel();
    const auto count = static_cast<int64_t>(values.size());
    std::vector<float> got(values.size());
    std::vector<float> scratch(static_cast<size_t>(convolution_scratch_floats(1, 1)), NAN);
    ConvolutionArgs args = {};
    args.window = row_window(count, 1);
    args.channels = args.columns = args.dst_stride[2] = 1;
    args.src = values.data();
    args.weights = panel.data();
    args.panel_stride = kPanelColumns;
    args.epilogue.activation = activation;
    args.dst = got.data();
    args.count = count;
    args.scratch = scratch.data();
    table.convolution_f32(args);
    return got;
}

TEST_CASE("Elu and Selu of an epilogue keep what is near zero", "[kernels]") {
    std::vector<float> values;
    for (float x = 0x1p-100F; x < 1; x *= 1.7F) values.insert(values.end(), {-x, x});
    for (const Activation& activation : {Activation{ActivationKind::Elu, 1.5F, 0, nullptr},
                                         Activation{ActivationKind::Selu, 1.6732632F, 1.0507010F, nullptr}}) {
        for (const Isa isa : machine_isas()) {
            for (const auto& got : {after_product(kernels(isa), values, activation),
                                    after_convolution(kernels(isa), values, activation)}) {
                double worst = 0;
                for (size_t i = 0; i < values.size(); ++i) {
                    const double want = activated(activation, static_cast<double>(values[i]), 0);
                    worst = worse(worst, std::fabs(static_cast<double>(got[i]) - want) / std::fabs(want));
                }
                CAPTURE(isa_name(isa), static_cast<int>(activation.kind));
                CHECK(worst < 4e-7);
            }
        }
    }
}

TEST_CASE("an epilogue gives the bits of the function of rows", "[kernels]") {
    using Row = void (*KernelTable::*)(const float*, int64_t, float, float, float*);
    struct Pair {
        Activation activation;
        Row row;
        float alpha;  // of the row, where it counts otherwise
        float beta;
    };
    const Pair pairs[] = {
        {{ActivationKind::Relu, 0, 0, nullptr}, &KernelTable::relu_row, 0, 0},
        {{ActivationKind::Clip, -0.5F, 1.25F, nullptr}, &KernelTable::clip_row, -0.5F, 1.25F},
        {{ActivationKind::LeakyRelu, 0.1F, 0, nullptr}, &KernelTable::leaky_relu_row, 0.1F, 0},
        {{ActivationKind::Elu, 1.5F, 0, nullptr}, &KernelTable::elu_row, 1.5F, 1},
        {{ActivationKind::Selu, 1.6732632F, 1.05F, nullptr}, &KernelTable::elu_row, 1.6732632F * 1.05F, 1.05F},
        {{ActivationKind::Sigmoid, 0, 0, nullptr}, &KernelTable::sigmoid_row, 0, 0},
        {{ActivationKind::HardSigmoid, 0.2F, 0.5F, nullptr}, &KernelTable::hard_sigmoid_row, 0.2F, 0.5F},
        {{ActivationKind::HardSwish, 0, 0, nullptr}, &KernelTable::hard_swish_row, 0, 0},
        {{ActivationKind::Silu, 1, 0, nullptr}, &KernelTable::swish_row, 1, 0},
        {{ActivationKind::Silu, 1.5F, 0, nullptr}, &KernelTable::swish_row, 1.5F, 0},
        {{ActivationKind::Silu, -1.5F, 0, nullptr}, &KernelTable::swish_row, -1.5F, 0},
        {{ActivationKind::Tanh, 0, 0, nullptr}, &KernelTable::tanh_row, 0, 0},
        {{ActivationKind::Gelu, 0, 0, nullptr}, &KernelTable::gelu_row, 0, 0},
        {{ActivationKind::GeluTanh, 0, 0, nullptr}, &KernelTable::gelu_tanh_row, 0, 0},
        {{ActivationKind::Mish, 0, 0, nullptr}, &KernelTable::mish_row, 0, 0},
        {{ActivationKind::Softplus, 0, 0, nullptr}, &KernelTable::softplus_row, 0, 0},
    };
    Random random(54);
    std::vector<float> values = random.normals(300);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= i % 3 == 0 ? 1e-6F : i % 3 == 1 ? 1.0F : 30.0F;
    values.insert(values.end(), {-INFINITY, INFINITY, -1e30F, 1e30F, -1e-30F, 0.0F, NAN});
    for (const Pair& pair : pairs) {
        for (const Isa isa : machine_isas()) {
            const std::vector<float> got = after_product(kernels(isa), values, pair.activation);
            std::vector<float> want(values.size());
            (kernels(isa).*pair.row)(values.data(), static_cast<int64_t>(values.size()), pair.alpha, pair.beta,
                                     want.data());
            CAPTURE(isa_name(isa), static_cast<int>(pair.activation.kind), pair.alpha);
            CHECK(same_bits(after_convolution(kernels(isa), values, pair.activation), got));
            for (size_t i = 0; i < values.size(); ++i) {
                CAPTURE(values[i], got[i], want[i]);
                if (std::isnan(want[i]) ? !std::isnan(got[i]) : !same_bits(got[i], want[i])) FAIL_CHECK("they differ");
            }
        }
    }
}

TEST_CASE("activations have their limits at infinity and keep NaN", "[kernels]") {
    const std::vector<float> values = {-INFINITY, INFINITY, NAN, -0.0F, -100.0F, 100.0F, -1e30F, 1e30F, -1e-30F, 0.0F};
    const float slope = 0.25F;
    for (const Isa isa : machine_isas()) {
        for (const NamedActivation& named : kActivations) {
            const Activation activation = {named.kind, named.alpha, named.beta, &slope};
            const std::vector<float> got = after_product(kernels(isa), values, activation);
            for (size_t i = 0; i < values.size(); ++i) {
                CAPTURE(isa_name(isa), static_cast<int>(activation.kind), values[i], got[i]);
                if (std::isnan(values[i])) {
                    CHECK(std::isnan(got[i]));
                    continue;
                }
                // The limits themselves, where double precision would meet infinity times zero.
                const double finite = std::clamp(static_cast<double>(values[i]), -1e30, 1e30);
                double want = activated(activation, finite, 0);
                if (activation.kind == ActivationKind::Mish && finite > 100) want = finite;
                if (activation.kind == ActivationKind::Softplus && finite > 100) want = finite;
                if (std::isinf(values[i]) && std::fabs(want) >= 1e28) want = std::copysign(INFINITY, want);
                if (std::isinf(want)) {
                    CHECK(static_cast<double>(got[i]) == want);
                } else {
                    CHECK(std::fabs(static_cast<double>(got[i]) - want) <= 1e-6 * (1 + std::fabs(want)));
                }
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
