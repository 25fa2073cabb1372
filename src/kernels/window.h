// Arguments of the kernels that slide a window over channels-last tensors (convolution, depthwise convolution, pooling)
// and of the float epilogue they share with Linear. Part of kernels.h.
//
// A tensor is [depth][height][width][channels] of one image; one with fewer axes has size 1 in the leading ones (a
// matrix of M rows is {1, 1, M}). Channels lie side by side; everything else has strides, in elements, so a tensor may
// be a slice of channels of a wider one. One call works on one image and one group: the caller moves the pointers.
//
// Work is cut by output positions, numbered row by row: position = (depth * height + row) * width + column. A call
// computes positions first <= p < first + count; src, residual and dst always point to position 0 of the whole image. A
// result has the same bits however positions and channels are shared out among calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout.h"

namespace quoin {

// How a window moves; axes are depth, height, width. Tap t of output o reads source o * step + t * dilation - pad and
// finds padding outside of 0..source-1. Values of a source that no tap reads are not touched.
struct Window {
    int64_t source[3];         // sizes, at least 1
    int64_t source_stride[3];  // elements between neighbours along each axis
    int64_t output[3];         // sizes
    int64_t kernel[3];         // taps along each axis; none at all: there is nothing to sum
    int64_t step[3];           // ONNX strides, at least 1
    int64_t dilation[3];       // at least 1
    int64_t pad[3];            // at the beginning of each axis; may be negative

    constexpr int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    constexpr int64_t outputs() const { return output[0] * output[1] * output[2]; }
};

// The window of a matrix product: output p is row p of the source.
constexpr Window row_window(int64_t rows, int64_t row_stride) {
    return {{1, 1, rows}, {0, 0, row_stride}, {1, 1, rows}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
}

// Activations by their ONNX names; alpha and beta are the attributes of the same name. Each has the bits of the
// function of rows that computes it (groups/functions.inc). Where the formula would be -infinity times 0 the limit
// stands.
enum class ActivationKind : uint8_t {
    None,
    Relu,
    Clip,         // min(max(x, alpha), beta)
    LeakyRelu,    // alpha x below zero
    PRelu,        // slopes[channel] x below zero
    Elu,          // alpha (exp(x) - 1) below zero
    Selu,         // beta (alpha exp(x) - alpha) below zero, else beta x; beta is ONNX's gamma
    Sigmoid,      //
    HardSigmoid,  // max(0, min(1, alpha x + beta))
    HardSwish,    // x max(0, min(1, x / 6 + 1 / 2))
    Silu,         // x sigmoid(alpha x); ONNX Swish
    Tanh,         //
    Gelu,         // 0.5 x (1 + erf(x / sqrt(2)))
    GeluTanh,     //
    Mish,         // x tanh(log(1 + exp(x)))
    Softplus,     // log(1 + exp(x))
};
struct Activation {
    ActivationKind kind;
    float alpha;
    float beta;
    const float* slopes;  // [columns] for PRelu, else ignored
};

// result = activation(sum + bias + residual), or activation(sum + bias) + residual when residual_last.
// All zero: the sum itself.
struct FloatEpilogue {
    const float* bias;           // [columns] or null
    const float* residual;       // [position][columns] or null; may be dst itself with the same strides
    int64_t residual_stride[3];  // floats between neighbouring positions along each axis
    bool residual_last;
    Activation activation;
};

// dst[position][column] = epilogue(sum over taps and channels of src x weights).
// Weights: f32 panels (layout.h, panel_bytes(DType::F32, inner)) of the matrix [columns][taps][channels], inner =
// taps * channels, taps in the order depth, height, width; pack_convolution_f32 makes them of ONNX's order. Sums run
// over inner in rising order. Cut by positions first (blocks of about 240, multiples of 12), by panels only when there
// are too few positions: a cut by panels collects the source once for each.
struct ConvolutionArgs {
    Window window;
    int64_t channels;      // of the source, in this group
    const float* src;      //
    const float* weights;  // first panel
    int64_t panel_stride;  // floats from one panel to the next
    int64_t columns;       // output channels to write, in ceil(columns / 32) panels
    FloatEpilogue epilogue;
    float* dst;             // channel 0 of position 0; must not overlap src
    int64_t dst_stride[3];  // floats between neighbouring positions along each axis
    int64_t first;          // positions to compute
    int64_t count;
    float* scratch;  // convolution_scratch_floats(inner, columns) floats, private to the call
};

// Positions that share one collection of their source, and values of inner in a part of it.
inline constexpr int64_t kConvolutionRows = 240;
constexpr int64_t convolution_block_inner(int64_t inner) {
    return inner < 512 ? inner : 512;
}
// Floats between rows of the collected source: an odd number of cache lines, so that rows do not fall on each other.
constexpr int64_t convolution_patch_stride(int64_t part) {
    return part < 64 ? part : ((part + 15) / 16 | 1) * 16;
}
constexpr int64_t convolution_block_rows(int64_t inner, int64_t columns) {
    // Source (and, with several parts, sums) of a block take at most 320 KiB of the second-level cache.
    const int64_t part = convolution_block_inner(inner);
    const int64_t row = part + (inner > part ? panel_count(columns) * kPanelColumns : 0) + 1;
    const int64_t rows = 80 * 1024 / row / 12 * 12;
    return rows > kConvolutionRows ? kConvolutionRows : rows < 24 ? 24 : rows;
}
constexpr int64_t convolution_scratch_floats(int64_t inner, int64_t columns) {
    const int64_t part = convolution_block_inner(inner);
    const int64_t sums = inner > part ? panel_count(columns) * kPanelColumns : 0;
    return convolution_block_rows(inner, columns) * (convolution_patch_stride(part) + sums) + 32;
}

// ---- Integers -------------------------------------------------------------------------------------------------
// A weight [N, K] of 8-bit integers is stored as panels of 32 outputs: int8 [ceil(K / 4)][32][4], 4 consecutive K per
// 32-bit lane, the last ones zero, then int32 [32], the sum of each column's integers. Unsigned weights are stored as
// value - 128 (and so must their zero points be given).
constexpr int64_t panel_bytes_int8(int64_t inner) {
    return (inner + 3) / 4 * kPanelColumns * 4 + kPanelColumns * 4;
}

enum class IntegerResult : uint8_t {
    U8,   // saturate(round(sum * scale) + zero_point), halves to even, within lowest..highest
    S8,   // likewise
    F32,  // epilogue(sum * scale)
    S32,  // sum
};

// sum = bias + sum over taps and channels of (src - src_zero_point) * (weight - weight_zero_point), exact modulo 2^32.
// Padding counts as src_zero_point. With a row_window also MatMulInteger and QLinearMatMul.
struct IntegerConvolutionArgs {
    Window window;
    int64_t channels;
    const std::byte* src;      // u8 or s8
    bool src_signed;           //
    int32_t src_zero_point;    // of src's own type
    const std::byte* weights;  // panels of pack_convolution_s8 or _u8
    int64_t panel_stride;      // bytes
    int64_t columns;
    const int32_t* weight_zero_points;  // [columns] or null for zeros; unsigned weights: zero point - 128
    const int32_t* bias;                // [columns] or null
    IntegerResult result;
    const float* scales;     // [columns]; not for S32. QLinearConv: src scale * weight scale / dst scale
    int32_t zero_point;      // of the result, for U8 and S8
    int32_t lowest;          // least and largest result, for U8 and S8: at most the range of the type, less for a
    int32_t highest;         // fused Relu or Clip
    FloatEpilogue epilogue;  // for F32
    std::byte* dst;          // u8, s8, float or int32
    int64_t dst_stride[3];   // elements
    int64_t first;
    int64_t count;
    std::byte* scratch;  // integer_convolution_scratch_bytes(inner, columns) bytes, 4-byte aligned, private to the call
};
constexpr int64_t integer_convolution_block_inner(int64_t inner) {
    return inner < 2048 ? inner : 2048;
}
// Bytes between rows of the collected source.
constexpr int64_t integer_convolution_patch_stride(int64_t part) {
    return part < 256 ? (part + 3) / 4 * 4 : ((part + 63) / 64 | 1) * 64;
}
constexpr int64_t integer_convolution_block_rows(int64_t inner, int64_t columns) {
    const int64_t part = integer_convolution_block_inner(inner);
    const int64_t row = part + (inner > part ? panel_count(columns) * kPanelColumns * 4 : 0) + 1;
    const int64_t rows = 320 * 1024 / row / 12 * 12;
    return rows > kConvolutionRows ? kConvolutionRows : rows < 24 ? 24 : rows;
}
constexpr int64_t integer_convolution_scratch_bytes(int64_t inner, int64_t columns) {
    const int64_t part = integer_convolution_block_inner(inner);
    const int64_t sums = inner > part ? panel_count(columns) * kPanelColumns * 4 : 0;
    return integer_convolution_block_rows(inner, columns) * (integer_convolution_patch_stride(part) + sums) + 128;
}

// dst = saturate(round(a * a_scale + b * b_scale + offset)) within lowest..highest, halves to even: two quantised
// tensors added, or (without b) one brought to another scale. Zero points are part of the offset. In place.
struct AddQuantizedArgs {
    const std::byte* a;
    const std::byte* b;  // or null
    bool a_signed;
    bool b_signed;
    bool dst_signed;
    float a_scale;
    float b_scale;
    float offset;
    int32_t lowest;  // at most the range of dst
    int32_t highest;
    int64_t count;
    std::byte* dst;
};

// ---- Depthwise ------------------------------------------------------------------------------------------------
// Every channel has filters of its own: output channel c reads source channel c / multiplier. weights[taps][columns],
// columns = channels * multiplier. Cut by positions; whole output rows are best.
struct DepthwiseArgs {
    Window window;
    int64_t channels;    // of the source
    int64_t multiplier;  // output channels of each, at least 1
    const float* src;
    const float* weights;
    FloatEpilogue epilogue;
    float* dst;  // must not overlap src
    int64_t dst_stride[3];
    int64_t first;
    int64_t count;
};

// The same on 8-bit integers; weights int8 [taps][columns] (unsigned ones as value - 128). Fields as in
// IntegerConvolutionArgs.
struct IntegerDepthwiseArgs {
    Window window;
    int64_t channels;
    int64_t multiplier;
    const std::byte* src;
    bool src_signed;
    int32_t src_zero_point;
    const std::byte* weights;
    const int32_t* weight_zero_points;  // [columns] or null
    const int32_t* bias;                // [columns] or null
    IntegerResult result;
    const float* scales;  // [columns]; not for S32
    int32_t zero_point;
    int32_t lowest;
    int32_t highest;
    FloatEpilogue epilogue;
    std::byte* dst;
    int64_t dst_stride[3];
    int64_t first;
    int64_t count;
};

// ---- Pooling --------------------------------------------------------------------------------------------------
// Largest or mean value of each channel under the window. Padding never wins a maximum; a window of padding alone gives
// the lowest value of the type (0 for a mean). The global average is a window as large as the source: cut it by
// channels.
struct PoolArgs {
    Window window;
    int64_t channels;
    const std::byte* src;   // float, u8 or s8: the type of the kernel
    std::byte* dst;         // likewise; must not overlap src
    int64_t dst_stride[3];  // elements
    int64_t first;
    int64_t count;
    bool count_padding;  // ONNX count_include_pad: the mean divides by all taps that fall on source or padding
    int64_t pad_end[3];  // padding at the end of each axis, for count_padding (taps beyond it never count)
};

// ---- Matrix product of two activations ----------------------------------------------------------------------------
// dst[rows][columns] = epilogue(a[rows][inner] x b[inner][columns]); sums run over inner in rising order.
// Element (k, n) of b is b[k * inner_stride + n * column_stride]: {columns, 1} for a row-major matrix, {1, inner} for a
// transposed one. Cut by columns (multiples of 32) or rows; every call packs the columns it computes, so few calls with
// many rows are best. bias is [columns].
struct MatMulArgs {
    const float* a;
    int64_t a_stride;  // floats between rows; inner values of a row lie side by side
    const float* b;
    int64_t b_inner_stride;
    int64_t b_column_stride;
    int64_t rows;
    int64_t inner;
    int64_t columns;
    FloatEpilogue epilogue;  // residual_stride[2]: floats between rows
    float* dst;              // must not overlap a or b
    int64_t dst_stride;      // floats between rows
    float* scratch;          // matmul_scratch_floats(inner) floats, private to the call
};
constexpr int64_t matmul_scratch_floats(int64_t inner) {
    return inner * kPanelColumns + 32;
}

}  // namespace quoin
