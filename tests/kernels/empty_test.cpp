// Sizes of 0: where there is nothing to write, nothing is touched; where there is nothing to sum, the sum is 0.
#include "window_test.h"

namespace quoin::test {
namespace {

// Without outputs along one axis, without channels, without positions to compute.
struct Nothing {
    Window window;
    int64_t channels;
};
std::vector<Nothing> nothings() {
    const WindowCase whole = {{2, 5, 6}, {2, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}};
    const Window window = make_window(whole, 40);
    std::vector<Nothing> all = {{window, 0}, {window, 40}};
    for (int axis = 0; axis < 3; ++axis) {
        all.push_back({window, 40});
        all.back().window.output[axis] = 0;
    }
    return all;
}

TEST_CASE("where there is nothing to write, nothing is touched", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const Nothing& nothing : nothings()) {
            const int64_t count = nothing.channels == 0 ? nothing.window.outputs() : 0;
            CAPTURE(isa_name(isa), count);
            // Null pointers everywhere: who touches anything dies.
            PoolArgs pool = {};
            pool.window = nothing.window;
            pool.channels = nothing.channels;
            pool.count = count;
            table.max_pool_f32(pool);
            table.max_pool_u8(pool);
            table.max_pool_s8(pool);
            table.average_pool_f32(pool);
            DepthwiseArgs depthwise = {};
            depthwise.window = nothing.window;
            depthwise.channels = nothing.channels;
            depthwise.count = count;
            ConvolutionArgs convolution = {};
            convolution.window = nothing.window;
            convolution.channels = 3;
            convolution.columns = nothing.channels;
            convolution.count = count;
            table.convolution_f32(convolution);
            for (const int64_t multiplier : {1, 2}) {
                depthwise.multiplier = multiplier;
                table.depthwise_f32(depthwise);
                for (const IntegerResult result : {IntegerResult::U8, IntegerResult::F32, IntegerResult::S32}) {
                    IntegerDepthwiseArgs bytes = {};
                    bytes.window = nothing.window;
                    bytes.channels = nothing.channels;
                    bytes.multiplier = multiplier;
                    bytes.result = result;
                    bytes.count = count;
                    table.depthwise_integer(bytes);
                    IntegerConvolutionArgs integers = {};
                    integers.window = nothing.window;
                    integers.channels = 3;
                    integers.columns = nothing.channels;
                    integers.result = result;
                    integers.count = count;
                    table.convolution_integer(integers);
                }
            }
        }
        MatMulArgs matmul = {};
        table.matmul_f32(matmul);
        AddQuantizedArgs sum = {};
        table.add_quantized(sum);
        for (const DType dtype : kWeightDTypes) weight_kernels(table, dtype).linear({});
        AttentionArgs attention = {};
        attention.heads = 2;
        attention.head_size = 64;
        attention.last_block = 1;
        for (const auto kernel : {table.attention_f32, table.attention_f16, table.attention_bf16, table.attention_q8_0,
                                  table.attention_q4_0}) {
            kernel(attention);
        }
    }
}

struct Epilogue {
    std::vector<float> bias;
    std::vector<float> residual;  // [rows][columns]
    std::vector<float> want;      // max(0, bias + residual)

    Epilogue(int64_t rows, int64_t columns, Random& random)
        : bias(random.normals(columns)), residual(random.normals(rows * columns)) {
        for (size_t i = 0; i < residual.size(); ++i) {
            want.push_back(std::max(0.0F, bias[i % bias.size()] + residual[i]));
        }
    }
    FloatEpilogue args(const int64_t* stride) const {
        FloatEpilogue epilogue = {};
        epilogue.bias = bias.data();
        epilogue.residual = residual.data();
        std::copy_n(stride, 3, epilogue.residual_stride);
        epilogue.activation.kind = ActivationKind::Relu;
        return epilogue;
    }
};

TEST_CASE("a product over nothing is what its epilogue makes of 0", "[kernels]") {
    Random random(91);
    for (const Isa isa : machine_isas()) {
        for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 5}, {9, 64}, {40, 37}}) {
            const Epilogue epilogue(rows, columns, random);
            CAPTURE(isa_name(isa), rows, columns);
            for (const DType dtype : kWeightDTypes) {
                std::vector<float> got(epilogue.want.size(), -7.0F);
                LinearArgs args = {};
                args.panels = panel_count(columns);
                args.columns = args.residual_stride = args.dst_stride = columns;
                args.rows = rows;
                args.bias = epilogue.bias.data();
                args.residual = epilogue.residual.data();
                args.activation.kind = ActivationKind::Relu;
                args.dst = got.data();
                run_linear(weight_kernels(kernels(isa), dtype).linear, dtype, args);
                CAPTURE(dtype_name(dtype));
                CHECK(same_bits(got, epilogue.want));
            }
            std::vector<float> got(epilogue.want.size(), -7.0F);
            const int64_t stride[3] = {0, 0, columns};
            std::vector<float> scratch(static_cast<size_t>(matmul_scratch_floats(0)), NAN);
            MatMulArgs args = {};
            args.rows = rows;
            args.columns = args.dst_stride = columns;
            args.epilogue = epilogue.args(stride);
            args.dst = got.data();
            args.scratch = scratch.data();
            kernels(isa).matmul_f32(args);
            CHECK(same_bits(got, epilogue.want));
        }
    }
}

// Windows without taps, as in some phases of transposed convolutions, and sources without channels.
struct EmptySum {
    Window window;
    int64_t channels;
};
std::vector<EmptySum> empty_sums() {
    const WindowCase whole = {{1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}};
    const WindowCase single = {{1, 6, 7}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}};
    std::vector<EmptySum> all = {{make_window(whole, 4), 0}, {make_window(single, 4), 0}};
    for (int axis = 1; axis < 3; ++axis) {
        all.push_back({make_window(whole, 4), 4});
        all.back().window.kernel[axis] = 0;
    }
    return all;
}

TEST_CASE("a convolution over nothing is what its epilogue makes of 0", "[kernels]") {
    Random random(92);
    const std::vector<float> src = random.normals(6 * 7 * 4);
    for (const int64_t columns : {5, 37}) {
        for (const EmptySum& sum : empty_sums()) {
            const int64_t outputs = sum.window.outputs();
            const Epilogue epilogue(outputs, columns, random);
            for (const Isa isa : machine_isas()) {
                CAPTURE(isa_name(isa), columns, sum.channels, sum.window.kernel[1], sum.window.kernel[2]);
                std::vector<float> got(epilogue.want.size(), -7.0F);
                std::vector<float> scratch(static_cast<size_t>(convolution_scratch_floats(0, columns)), NAN);
                ConvolutionArgs args = {};
                args.window = sum.window;
                args.channels = sum.channels;
                args.src = src.data();
                args.columns = columns;
                set_strides(sum.window, columns, args.dst_stride);
                args.epilogue = epilogue.args(args.dst_stride);
                args.dst = got.data();
                args.count = outputs;
                args.scratch = scratch.data();
                kernels(isa).convolution_f32(args);
                CHECK(same_bits(got, epilogue.want));
                if (sum.channels == 0) continue;  // depthwise: no outputs either
                for (const int64_t multiplier : {1, 3}) {
                    const Epilogue own(outputs, sum.channels * multiplier, random);
                    got.assign(own.want.size(), -7.0F);
                    DepthwiseArgs depthwise = {};
                    depthwise.window = sum.window;
                    depthwise.channels = sum.channels;
                    depthwise.multiplier = multiplier;
                    depthwise.src = src.data();
                    set_strides(sum.window, sum.channels * multiplier, depthwise.dst_stride);
                    depthwise.epilogue = own.args(depthwise.dst_stride);
                    depthwise.dst = got.data();
                    depthwise.count = outputs;
                    kernels(isa).depthwise_f32(depthwise);
                    CHECK(same_bits(got, own.want));
                }
            }
        }
    }
}

// Convolutions of bytes to each kind of result, one column for every number that a byte can hold.
constexpr int64_t kByteColumns = 256;

struct ByteConvolution {
    IntegerResult result;
    bool zero_points;
};

template <class Args>
struct BytesOverNothing {
    Args args = {};
    std::vector<int32_t> bias;
    std::vector<int32_t> zero_points = std::vector<int32_t>(kByteColumns, 5);
    std::vector<float> scales = std::vector<float>(kByteColumns, 1.0F);
    std::vector<float> float_bias = std::vector<float>(kByteColumns, 0.0F);
    std::vector<std::byte> src = std::vector<std::byte>(size_t{6} * 7 * kByteColumns, std::byte{9});
    std::vector<std::byte> dst;

    BytesOverNothing(const EmptySum& sum, const ByteConvolution& form) {
        for (int32_t c = 0; c < kByteColumns; ++c) bias.push_back(c);
        const int64_t bytes = form.result == IntegerResult::U8 ? 1 : 4;
        dst.assign(static_cast<size_t>(sum.window.outputs() * kByteColumns * bytes), std::byte{0x55});
        args.window = sum.window;
        args.channels = sum.channels;
        args.src = src.data();
        args.src_zero_point = 3;
        if (form.zero_points) args.weight_zero_points = zero_points.data();
        args.bias = bias.data();
        args.result = form.result;
        args.scales = scales.data();
        args.highest = 255;
        args.epilogue.bias = float_bias.data();
        set_strides(sum.window, kByteColumns, args.dst_stride);
        args.dst = dst.data();
        args.count = sum.window.outputs();
    }
    bool is_bias() const {
        for (int64_t i = 0; i < args.count * kByteColumns; ++i) {
            const int64_t want = i % kByteColumns;
            if (args.result == IntegerResult::U8 && get<uint8_t>(args.dst + i) != want) return false;
            if (args.result == IntegerResult::S32 && get<int32_t>(args.dst + i * 4) != want) return false;
            if (args.result != IntegerResult::F32) continue;
            if (get<float>(args.dst + i * 4) != static_cast<float>(want)) return false;
        }
        return true;
    }
};

TEST_CASE("a convolution of bytes over nothing is its bias", "[kernels]") {
    // Panels of no values at all: the sums of columns alone.
    const std::vector<std::byte> panels(static_cast<size_t>(panel_count(kByteColumns) * panel_bytes_int8(0)));
    std::vector<std::byte> scratch(static_cast<size_t>(integer_convolution_scratch_bytes(0, kByteColumns)));
    for (const EmptySum& sum : empty_sums()) {
        for (const ByteConvolution& form : {ByteConvolution{IntegerResult::U8, false},
                                            {IntegerResult::U8, true},
                                            {IntegerResult::S32, false},
                                            {IntegerResult::S32, true},
                                            {IntegerResult::F32, false}}) {
            for (const Isa isa : machine_isas()) {
                CAPTURE(isa_name(isa), sum.channels, sum.window.kernel[1], sum.window.kernel[2],
                        static_cast<int>(form.result), form.zero_points);
                BytesOverNothing<IntegerConvolutionArgs> all(sum, form);
                all.args.weights = panels.data();
                all.args.panel_stride = panel_bytes_int8(0);
                all.args.columns = kByteColumns;
                all.args.scratch = scratch.data();
                kernels(isa).convolution_integer(all.args);
                CHECK(all.is_bias());
                if (sum.channels == 0) continue;
                for (const int64_t multiplier : {int64_t{1}, kByteColumns / 4}) {
                    BytesOverNothing<IntegerDepthwiseArgs> depthwise(sum, form);
                    depthwise.args.channels = kByteColumns / multiplier;
                    depthwise.args.multiplier = multiplier;
                    kernels(isa).depthwise_integer(depthwise.args);
                    CHECK(depthwise.is_bias());
                }
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
