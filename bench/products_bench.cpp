// f32 convolutions and matrix products on every instruction set of this machine, beside its f32 peak: one thread, sizes
// of models that are often met.
//   quoin_bench --benchmark_filter='convolution_f32/.*/avx512'
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "core/cpu_info.h"
#include "kernels/kernels.h"
#include "pairs.h"

namespace quoin {
namespace {

constexpr int64_t kProbeRounds = 200000;

std::vector<float> some_floats(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t index = 0; index < values.size(); ++index) values[index] = 0.01F * static_cast<float>(index % 23);
    return values;
}

// Runs of so many multiply-adds, in turn with the probe of the f32 peak.
template <class Run>
void run_beside_peak(benchmark::State& state, const Versions& kernels, int64_t products, const Run& run) {
    run_pairs(
        state, kernels, "TFLOPS", 1e12,
        [&](const KernelTable& table) {
            run(table);
            return 2.0 * static_cast<double>(products);
        },
        [&] { return static_cast<double>(kernels.now.probe_f32(kProbeRounds)); });
}

// A square window over a square image, channels last, with padding that keeps the size where the step is 1.
struct ConvolutionShape {
    int64_t size, channels, columns, kernel, step;
};

Window window_of(const ConvolutionShape& shape) {
    const int64_t out = (shape.size + shape.step - 1) / shape.step;
    const int64_t pad = shape.kernel / 2;
    return {{1, shape.size, shape.size},
            {0, shape.size * shape.channels, shape.channels},
            {1, out, out},
            {1, shape.kernel, shape.kernel},
            {1, shape.step, shape.step},
            {1, 1, 1},
            {0, pad, pad}};
}

void convolution(benchmark::State& state, const Versions& kernels, const ConvolutionShape& shape) {
    ConvolutionArgs args{};
    args.window = window_of(shape);
    const int64_t inner = args.window.taps() * shape.channels;
    const int64_t outputs = args.window.outputs();
    args.panel_stride = panel_bytes(DType::F32, inner) / int64_t{sizeof(float)};
    const std::vector<float> src = some_floats(shape.size * shape.size * shape.channels);
    const std::vector<float> weights = some_floats(args.panel_stride * panel_count(shape.columns));
    std::vector<float> dst(static_cast<size_t>(outputs * shape.columns));
    std::vector<float> scratch(static_cast<size_t>(convolution_scratch_floats(inner, shape.columns)));
    args.channels = shape.channels;
    args.src = src.data();
    args.weights = weights.data();
    args.columns = shape.columns;
    args.dst = dst.data();
    args.dst_stride[1] = args.window.output[2] * shape.columns;
    args.dst_stride[2] = shape.columns;
    args.count = outputs;
    args.scratch = scratch.data();
    run_beside_peak(state, kernels, outputs * inner * shape.columns,
                    [&](const KernelTable& table) { table.convolution_f32(args); });
}

void depthwise(benchmark::State& state, const Versions& kernels, const ConvolutionShape& shape) {
    DepthwiseArgs args{};
    args.window = window_of(shape);
    const int64_t outputs = args.window.outputs();
    const std::vector<float> src = some_floats(shape.size * shape.size * shape.channels);
    const std::vector<float> weights = some_floats(args.window.taps() * shape.channels);
    std::vector<float> dst(static_cast<size_t>(outputs * shape.channels));
    args.channels = shape.channels;
    args.multiplier = 1;
    args.src = src.data();
    args.weights = weights.data();
    args.dst = dst.data();
    args.dst_stride[1] = args.window.output[2] * shape.channels;
    args.dst_stride[2] = shape.channels;
    args.count = outputs;
    run_beside_peak(state, kernels, outputs * args.window.taps() * shape.channels,
                    [&](const KernelTable& table) { table.depthwise_f32(args); });
}

void matmul(benchmark::State& state, const Versions& kernels, int64_t rows, int64_t inner, int64_t columns,
            bool transposed) {
    const std::vector<float> a = some_floats(rows * inner);
    const std::vector<float> b = some_floats(inner * columns);
    std::vector<float> dst(static_cast<size_t>(rows * columns));
    std::vector<float> scratch(static_cast<size_t>(matmul_scratch_floats(inner)));
    MatMulArgs args{};
    args.a = a.data();
    args.a_stride = inner;
    args.b = b.data();
    args.b_inner_stride = transposed ? 1 : columns;
    args.b_column_stride = transposed ? inner : 1;
    args.rows = rows;
    args.inner = inner;
    args.columns = columns;
    args.dst = dst.data();
    args.dst_stride = columns;
    args.scratch = scratch.data();
    run_beside_peak(state, kernels, rows * inner * columns, [&](const KernelTable& table) { table.matmul_f32(args); });
}

std::string name_of(const ConvolutionShape& shape) {
    return "s" + std::to_string(shape.size) + "/c" + std::to_string(shape.channels) + "/n" +
           std::to_string(shape.columns) + "/k" + std::to_string(shape.kernel) + "/step" + std::to_string(shape.step);
}

void add_products() {
    for (int i = 0; i < kIsaCount; ++i) {
        const Isa isa = static_cast<Isa>(i);
        // Instruction sets without float kernels of their own give those of another.
        if (!machine_has(isa) || kernel_isa(Kernel::convolution_f32, isa) != isa) continue;
        const Versions t = versions_of(isa);
        const std::string tail = "/" + std::string(isa_name(isa));
        for (const ConvolutionShape& shape : {ConvolutionShape{56, 64, 64, 3, 1},
                                              {28, 128, 128, 3, 1},
                                              {14, 256, 256, 3, 1},
                                              {7, 512, 512, 3, 1},
                                              {56, 256, 64, 1, 1},
                                              {14, 1024, 256, 1, 1},
                                              {224, 3, 64, 7, 2},
                                              {160, 96, 24, 3, 1}}) {
            add_pairs("convolution_f32/" + name_of(shape) + tail,
                      [t, shape](benchmark::State& state) { convolution(state, t, shape); });
        }
        for (const ConvolutionShape& shape :
             {ConvolutionShape{56, 64, 64, 3, 1}, {28, 96, 96, 5, 1}, {112, 32, 32, 3, 2}}) {
            add_pairs("depthwise_f32/" + name_of(shape) + tail,
                      [t, shape](benchmark::State& state) { depthwise(state, t, shape); });
        }
        for (const bool transposed : {false, true}) {
            for (const auto& [rows, inner, columns] :
                 {std::tuple<int64_t, int64_t, int64_t>{128, 64, 128}, {128, 128, 64}, {512, 512, 512}}) {
                add_pairs("matmul_f32/m" + std::to_string(rows) + "/k" + std::to_string(inner) + "/n" +
                              std::to_string(columns) + (transposed ? "/transposed" : "/plain") + tail,
                          [t, rows = rows, inner = inner, columns = columns, transposed](benchmark::State& state) {
                              matmul(state, t, rows, inner, columns, transposed);
                          });
            }
        }
    }
}

const int registered = [] {
    add_products();
    return 0;
}();

}  // namespace
}  // namespace quoin
