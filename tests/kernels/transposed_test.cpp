#include "kernels/transposed.h"
#include "window_test.h"

namespace quoin::test {
namespace {

TEST_CASE("phases of a transposed convolution agree with scattered sums in double precision", "[kernels]") {
    Random random(81);
    struct Case {
        TransposedAxis height;
        TransposedAxis width;
    };
    // source, output, kernel, step, dilation, pad
    const Case cases[] = {
        {{4, 8, 2, 2, 1, 0}, {5, 10, 2, 2, 1, 0}}, {{4, 8, 4, 2, 1, 1}, {3, 6, 4, 2, 1, 1}},
        {{5, 5, 3, 1, 1, 1}, {4, 8, 3, 1, 2, 0}},  {{3, 9, 3, 3, 1, 0}, {4, 11, 5, 2, 1, 0}},
        {{3, 8, 2, 3, 1, 0}, {4, 13, 3, 3, 2, 1}}, {{1, 1, 1, 1, 1, 0}, {6, 23, 3, 4, 3, 1}},
        {{2, 7, 1, 4, 1, 0}, {3, 5, 6, 2, 2, 5}},
    };
    for (const Case& each : cases) {
        const TransposedAxis& height = each.height;
        const TransposedAxis& width = each.width;
        const int64_t channels = 5;
        const int64_t columns = 37;
        const std::vector<float> src = random.normals(height.source * width.source * channels);
        const std::vector<float> weights = random.normals(columns * channels * height.kernel * width.kernel);
        const std::vector<float> bias = random.normals(columns);
        const auto weight = [&](int64_t c, int64_t i, int64_t h, int64_t w) {
            return weights[static_cast<size_t>(((c * channels + i) * height.kernel + h) * width.kernel + w)];
        };
        std::vector<double> want(static_cast<size_t>(height.output * width.output * columns));
        for (size_t i = 0; i < want.size(); ++i) want[i] = static_cast<double>(bias[i % static_cast<size_t>(columns)]);
        for (int64_t y = 0; y < height.source; ++y) {
            for (int64_t x = 0; x < width.source; ++x) {
                for (int64_t h = 0; h < height.kernel; ++h) {
                    for (int64_t w = 0; w < width.kernel; ++w) {
                        const int64_t oy = y * height.step + h * height.dilation - height.pad;
                        const int64_t ox = x * width.step + w * width.dilation - width.pad;
                        if (oy < 0 || oy >= height.output || ox < 0 || ox >= width.output) continue;
                        for (int64_t c = 0; c < columns; ++c) {
                            for (int64_t i = 0; i < channels; ++i) {
                                want[static_cast<size_t>((oy * width.output + ox) * columns + c)] +=
                                    static_cast<double>(
                                        src[static_cast<size_t>((y * width.source + x) * channels + i)]) *
                                    static_cast<double>(weight(c, i, h, w));
                            }
                        }
                    }
                }
            }
        }
        for (const Isa isa : machine_isas()) {
            std::vector<float> got(want.size(), NAN);
            for (int64_t py = 0; py < height.step; ++py) {
                for (int64_t px = 0; px < width.step; ++px) {
                    const TransposedPhase ph = transposed_phase(height, py);
                    const TransposedPhase pw = transposed_phase(width, px);
                    const int64_t taps = ph.taps * pw.taps;
                    const int64_t inner = taps * channels;
                    std::vector<float> phase_weights;
                    for (int64_t c = 0; c < columns; ++c) {
                        for (int64_t i = 0; i < channels; ++i) {
                            for (int64_t h = 0; h < ph.taps; ++h) {
                                for (int64_t w = 0; w < pw.taps; ++w) {
                                    phase_weights.push_back(
                                        weight(c, i, ph.first_tap - h * ph.tap_step, pw.first_tap - w * pw.tap_step));
                                }
                            }
                        }
                    }
                    std::vector<float> panels(static_cast<size_t>(panel_count(columns) * inner * kPanelColumns + 1));
                    for (int64_t panel = 0; panel < panel_count(columns) && inner > 0; ++panel) {
                        kernels(isa).pack_convolution_f32(phase_weights.data() + panel * kPanelColumns * inner,
                                                          std::min(kPanelColumns, columns - panel * kPanelColumns),
                                                          channels, taps,
                                                          panels.data() + panel * inner * kPanelColumns);
                    }
                    std::vector<float> scratch(static_cast<size_t>(convolution_scratch_floats(inner, columns)), NAN);
                    ConvolutionArgs args = {};
                    args.window = {{1, height.source, width.source},
                                   {0, width.source * channels, channels},
                                   {1, ph.outputs, pw.outputs},
                                   {1, ph.taps, pw.taps},
                                   {1, 1, 1},
                                   {1, ph.dilation, pw.dilation},
                                   {0, ph.pad, pw.pad}};
                    args.channels = channels;
                    args.src = src.data();
                    args.weights = panels.data();
                    args.panel_stride = inner * kPanelColumns;
                    args.columns = columns;
                    args.epilogue.bias = bias.data();
                    args.dst = got.data() + (py * width.output + px) * columns;
                    args.dst_stride[1] = height.step * width.output * columns;
                    args.dst_stride[2] = width.step * columns;
                    args.count = args.window.outputs();
                    args.scratch = scratch.data();
                    kernels(isa).convolution_f32(args);
                }
            }
            double worst = 0;
            for (size_t i = 0; i < want.size(); ++i) {
                const double error = std::fabs(static_cast<double>(got[i]) - want[i]);
                worst = worse(worst, error);
            }
            CAPTURE(isa_name(isa), height.kernel, height.step, width.kernel, width.step);
            CHECK(worst < 1e-4);
        }
    }
}

}  // namespace
}  // namespace quoin::test
