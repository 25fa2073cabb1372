#include <limits>

#include "window_test.h"

namespace quoin::test {
namespace {

const std::vector<WindowCase> kWindows = {
    {{1, 1, 37}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},   // rows of a matrix
    {{1, 7, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},    //
    {{1, 11, 15}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},  //
    {{1, 8, 9}, {1, 3, 2}, {1, 2, 1}, {1, 2, 3}, {0, 2, 3}, {0, 0, 1}},    // dilated, uneven
    {{1, 2, 2}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 4, 4}, {0, 4, 4}},    // windows of padding alone
};

// Everything about a quantised convolution; `depthwise` when channels meet only their own weights.
struct Problem {
    Window window = {};
    bool depthwise = false;
    int64_t channels = 0;
    int64_t columns = 0;
    bool src_signed = false;
    bool weights_signed = true;
    int32_t src_zero_point = 0;
    std::vector<std::byte> src;
    std::vector<std::byte> weights;  // ONNX: [columns][channels][taps]
    std::vector<int32_t> weight_zero_points;
    std::vector<int32_t> bias;
    std::vector<float> scales;
    std::vector<int32_t> sums;  // the exact ones

    int32_t value(std::byte b, bool is_signed) const {
        return is_signed ? static_cast<int8_t>(b) : static_cast<int32_t>(b);
    }
};

Problem make_problem(const WindowCase& window_case, int64_t channels, int64_t columns, bool depthwise, int variant,
                     Random& random) {
    Problem p;
    p.window = make_window(window_case, channels + 1);
    p.depthwise = depthwise;
    p.channels = channels;
    p.columns = columns;
    p.src_signed = (variant & 1) != 0;
    p.weights_signed = (variant & 2) == 0;
    p.src_zero_point = variant % 3 == 0 ? (p.src_signed ? -128 : 0) : p.src_signed ? 5 : 131;
    const int64_t pixels = p.window.source[0] * p.window.source[1] * p.window.source[2];
    const int64_t taps = p.window.taps();
    const int64_t weight_channels = depthwise ? 1 : channels;
    p.src.resize(static_cast<size_t>(pixels * (channels + 1) - 1));
    p.weights.resize(static_cast<size_t>(columns * weight_channels * taps));
    random.fill(p.src.data(), static_cast<int64_t>(p.src.size()));
    random.fill(p.weights.data(), static_cast<int64_t>(p.weights.size()));
    // Extremes side by side, where 16-bit sums of products would saturate.
    for (size_t i = 0; i < p.src.size() / 3; ++i) p.src[i] = p.src_signed ? std::byte{0x80} : std::byte{0xFF};
    for (size_t i = 0; i < p.weights.size() / 3; ++i) p.weights[i] = p.weights_signed ? std::byte{0x80} : std::byte{0};
    for (int64_t c = 0; c < columns; ++c) {
        p.bias.push_back(random.integer(-100000, 100000));
        p.scales.push_back(std::fabs(random.normal()) * 0.001F);
        if (variant >= 2) {
            p.weight_zero_points.push_back(p.weights_signed ? random.integer(-128, 127) : random.integer(0, 255));
        }
    }
    for (int64_t at = 0; at < p.window.outputs(); ++at) {
        for (int64_t c = 0; c < columns; ++c) {
            int64_t sum = p.bias[static_cast<size_t>(c)];
            const int32_t zero = p.weight_zero_points.empty() ? 0 : p.weight_zero_points[static_cast<size_t>(c)];
            for_taps(p.window, at, [&](int64_t tap, int64_t offset) {
                for (int64_t i = 0; i < weight_channels; ++i) {
                    const int64_t channel = depthwise ? c / (columns / channels) : i;
                    const int32_t a =
                        p.value(p.src[static_cast<size_t>(offset + channel)], p.src_signed) - p.src_zero_point;
                    const int32_t w = p.value(p.weights[static_cast<size_t>((c * weight_channels + i) * taps + tap)],
                                              p.weights_signed) -
                                      (p.weights_signed || !p.weight_zero_points.empty() ? zero : 128);
                    sum += int64_t{a} * w;
                }
            });
            p.sums.push_back(static_cast<int32_t>(sum));
        }
    }
    // A kernel knows unsigned weights as value - 128.
    if (!p.weights_signed) {
        for (int32_t& zero : p.weight_zero_points) zero -= 128;
    }
    return p;
}

struct Output {
    IntegerResult result = IntegerResult::S32;
    int32_t zero_point = 0;
    int32_t lowest = 0;
    int32_t highest = 0;
};

template <class Args>
void fill(const Problem& p, const GuardedBytes& src, const Output& output, std::vector<std::byte>& dst, Args& args) {
    args.window = p.window;
    args.channels = p.channels;
    args.src = src.data();
    args.src_signed = p.src_signed;
    args.src_zero_point = p.src_zero_point;
    args.weight_zero_points = p.weight_zero_points.empty() ? nullptr : p.weight_zero_points.data();
    args.bias = p.bias.data();
    args.result = output.result;
    args.scales = p.scales.data();
    args.zero_point = output.zero_point;
    args.lowest = output.lowest;
    args.highest = output.highest;
    args.dst = dst.data();
    set_strides(p.window, p.columns, args.dst_stride);
}

std::vector<std::byte> run(const KernelTable& table, const Problem& p, const Output& output, int64_t step) {
    const GuardedBytes src(p.src);
    const int64_t outputs = p.window.outputs();
    const int64_t taps = p.window.taps();
    const bool bytes = output.result == IntegerResult::U8 || output.result == IntegerResult::S8;
    std::vector<std::byte> dst(static_cast<size_t>(outputs * p.columns * (bytes ? 1 : 4)), std::byte{0x55});
    std::vector<std::byte> weights;
    std::vector<std::byte> scratch;
    const KernelTable& baseline = kernels(Isa::Baseline);
    if (p.depthwise) {
        weights.resize(static_cast<size_t>(taps * p.columns));
        for (int64_t c = 0; c < p.columns; ++c) {
            for (int64_t t = 0; t < taps; ++t) {
                weights[static_cast<size_t>(t * p.columns + c)] =
                    p.weights[static_cast<size_t>(c * taps + t)] ^ (p.weights_signed ? std::byte{0} : std::byte{0x80});
            }
        }
    } else {
        const int64_t inner = taps * p.channels;
        weights.resize(static_cast<size_t>(panel_count(p.columns) * panel_bytes_int8(inner)));
        const auto pack = p.weights_signed ? baseline.pack_convolution_s8 : baseline.pack_convolution_u8;
        for (int64_t panel = 0; panel < panel_count(p.columns); ++panel) {
            pack(p.weights.data() + panel * kPanelColumns * inner,
                 std::min(kPanelColumns, p.columns - panel * kPanelColumns), p.channels, taps,
                 weights.data() + panel * panel_bytes_int8(inner));
        }
        scratch.resize(static_cast<size_t>(integer_convolution_scratch_bytes(inner, p.columns)), std::byte{0x7F});
    }
    for (int64_t first = 0; first < outputs; first += step) {
        if (p.depthwise) {
            IntegerDepthwiseArgs args = {};
            fill(p, src, output, dst, args);
            args.multiplier = p.columns / p.channels;
            args.weights = weights.data();
            args.first = first;
            args.count = std::min(step, outputs - first);
            table.depthwise_integer(args);
        } else {
            IntegerConvolutionArgs args = {};
            fill(p, src, output, dst, args);
            args.weights = weights.data();
            args.panel_stride = panel_bytes_int8(taps * p.channels);
            args.columns = p.columns;
            args.scratch = scratch.data();
            args.first = first;
            args.count = std::min(step, outputs - first);
            table.convolution_integer(args);
        }
    }
    return dst;
}

// What ONNX says of a sum.
bool is_right(const Problem& p, const Output& output, const std::vector<std::byte>& dst) {
    for (size_t i = 0; i < p.sums.size(); ++i) {
        const float scale = p.scales[i % static_cast<size_t>(p.columns)];
        const float scaled = static_cast<float>(p.sums[i]) * scale;
        switch (output.result) {
            case IntegerResult::S32:
                if (get<int32_t>(dst.data() + i * 4) != p.sums[i]) return false;
                break;
            case IntegerResult::F32:
                if (!same_bits(get<float>(dst.data() + i * 4), scaled)) return false;
                break;
            default: {
                const double rounded = std::nearbyint(static_cast<double>(scaled)) + output.zero_point;
                const auto want = static_cast<int32_t>(std::min(std::max(rounded, static_cast<double>(output.lowest)),
                                                                static_cast<double>(output.highest)));
                if (p.value(dst[i], output.result == IntegerResult::S8) != want) return false;
            }
        }
    }
    return true;
}

const Output kOutputs[] = {
    {IntegerResult::S32, 0, 0, 0},      {IntegerResult::F32, 0, 0, 0},      {IntegerResult::U8, 7, 0, 255},
    {IntegerResult::U8, 128, 128, 200}, {IntegerResult::S8, -3, -128, 127},
};

void check(bool depthwise, int64_t channels, int64_t columns, Random& random) {
    for (const WindowCase& window : kWindows) {
        for (int variant = 0; variant < 4; ++variant) {
            const Problem p = make_problem(window, channels, columns, depthwise, variant, random);
            for (const Isa isa : machine_isas()) {
                for (const Output& output : kOutputs) {
                    CAPTURE(isa_name(isa), channels, columns, variant, window.kernel[2],
                            static_cast<int>(output.result));
                    const std::vector<std::byte> got = run(kernels(isa), p, output, p.window.outputs());
                    CHECK(is_right(p, output, got));
                    CHECK(run(kernels(isa), p, output, 7) == got);
                }
            }
        }
    }
}

TEST_CASE("convolution of bytes is exact and rounds like QLinearConv on every instruction set", "[kernels]") {
    Random random(71);
    for (const auto& [channels, columns] : {std::pair<int64_t, int64_t>{1, 1}, {3, 33}, {6, 20}, {16, 16}, {36, 47}}) {
        check(false, channels, columns, random);
    }
}

TEST_CASE("convolution of bytes with a long sum takes it in parts", "[kernels]") {
    Random random(72);
    const WindowCase window = {{1, 5, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}};
    for (const int variant : {0, 1, 3}) {
        const Problem p = make_problem(window, 459, 40, false, variant, random);
        for (const Isa isa : machine_isas()) {
            CAPTURE(isa_name(isa), variant);
            CHECK(is_right(p, kOutputs[0], run(kernels(isa), p, kOutputs[0], 45)));
            CHECK(is_right(p, kOutputs[2], run(kernels(isa), p, kOutputs[2], 20)));
        }
    }
}

TEST_CASE("depthwise convolution of bytes is exact on every instruction set", "[kernels]") {
    Random random(73);
    for (const auto& [channels, columns] :
         {std::pair<int64_t, int64_t>{1, 1}, {16, 16}, {32, 32}, {35, 35}, {7, 14}, {80, 80}, {100, 100}}) {
        check(true, channels, columns, random);
    }
}

}  // namespace
}  // namespace quoin::test
