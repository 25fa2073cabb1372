// DFT, STFT, MelWeightMatrix, HannWindow, HammingWindow and BlackmanWindow (ONNX).
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/fourier.h"
#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

const auto kFloats = {DType::F32, DType::F64, DType::F16, DType::BF16};
constexpr int64_t kMostLength = int64_t{1} << 28;

// The only element of an integer input; nullopt where it is left out or not known.
Result<std::optional<int64_t>> single_integer(const InferContext& context, size_t index) {
    std::optional<int64_t> value;
    QUOIN_ASSIGN_OR_RETURN(const auto integers, context.integers(index));
    if (!integers) return value;
    if (integers->size() != 1) return context.fail("input ", index, " is no single value");
    value = integers->front();
    return value;
}

// The same when it runs, where a value that is left out is nullopt.
Result<std::optional<int64_t>> single_integer(const ComputeContext& context, size_t index) {
    std::optional<int64_t> value;
    if (!context.has_input(index)) return value;
    const Tensor& tensor = context.input(index);
    if (tensor.shape().element_count() != 1) return context.fail("input ", index, " is no single value");
    if (tensor.dtype() == DType::I64) {
        value = tensor.as<const int64_t>()[0];
    } else if (tensor.dtype() == DType::I32) {
        value = tensor.as<const int32_t>()[0];
    } else {
        return context.fail("input ", index, " is no integer");
    }
    return value;
}

// ---- DFT ------------------------------------------------------------------------------------------------------

struct DftSizes {
    size_t axis = 0;
    int64_t signal = 0;  // values along the axis
    int64_t length = 0;  // of the transform
    int64_t output = 0;  // values along the axis of the result
    bool inverse = false;
    bool onesided = false;

    int64_t parts() const { return inverse && onesided ? 1 : 2; }  // of a number of the result
};

Result<DftSizes> dft_sizes(const Node& node, size_t rank, Dim last, std::optional<int64_t> axis,
                           std::optional<int64_t> length, std::span<const Dim> dims) {
    DftSizes sizes;
    sizes.inverse = node.integer("inverse", 0) != 0;
    sizes.onesided = node.integer("onesided", 0) != 0;
    if (rank < 2) return node_error(node, "the input has rank ", rank);
    if (last.known() && last.size != 1 && last.size != 2) {
        return node_error(node, "the last dimension is ", last.size, ", neither 1 nor 2");
    }
    if (sizes.onesided && last.known() && last.size != (sizes.inverse ? 2 : 1)) {
        return node_error(node, "a one-sided transform ", sizes.inverse ? "back takes complex" : "takes real",
                          " numbers");
    }
    const std::optional<size_t> place = normalized_axis(axis.value_or(-2), rank);
    if (!place || *place + 1 == rank) return node_error(node, "axis ", axis.value_or(-2), " is no signal axis");
    sizes.axis = *place;
    sizes.signal = dims[sizes.axis].size;
    const int64_t natural = sizes.onesided && sizes.inverse ? 2 * (sizes.signal - 1) : sizes.signal;
    sizes.length = length.value_or(natural);
    if (sizes.length < 1 || sizes.length > kMostLength) return node_error(node, "the length is ", sizes.length);
    sizes.output = sizes.onesided && !sizes.inverse ? sizes.length / 2 + 1 : sizes.length;
    return sizes;
}

Status infer_dft(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    const ValueType& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> length, single_integer(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> axis, single_integer(context, 2));
    if (!x.dims) {
        context.set_output(0, x.dtype, std::nullopt);
        return {};
    }
    std::vector<Dim> dims = *x.dims;
    const bool both = (length || !context.has_input(1)) && (axis || !context.has_input(2));
    const std::optional<size_t> place = normalized_axis(axis.value_or(-2), dims.size());
    const bool sized = length || (place && (dims[*place].known()));
    if (!both || !sized) {
        std::vector<Dim> unknown(dims.size());
        if (!unknown.empty()) {
            const bool real = context.node().integer("inverse", 0) != 0 && context.node().integer("onesided", 0) != 0;
            unknown.back().size = real ? 1 : 2;
        }
        context.set_output(0, x.dtype, std::move(unknown));
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(const DftSizes sizes, dft_sizes(context.node(), dims.size(),
                                                           dims.empty() ? Dim{} : dims.back(), axis, length, dims));
    dims[sizes.axis] = {.size = sizes.output};
    dims.back() = {.size = sizes.parts()};
    context.set_output(0, x.dtype, std::move(dims));
    return {};
}

Status compute_dft(ComputeContext& context) {
    const Tensor& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> length, single_integer(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> axis, single_integer(context, 2));
    const std::vector<Dim> dims = dims_of_shape(x.shape());
    QUOIN_ASSIGN_OR_RETURN(const DftSizes sizes, dft_sizes(context.node(), dims.size(),
                                                           dims.empty() ? Dim{} : dims.back(), axis, length, dims));
    Shape shape = x.shape();
    const int64_t parts = shape.back();
    shape[sizes.axis] = sizes.output;
    shape[shape.rank() - 1] = sizes.parts();
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), shape));
    const auto outer_dims = x.shape().dims();
    const int64_t outer = product(outer_dims.first(sizes.axis));
    const int64_t inner = product(outer_dims.subspan(sizes.axis + 1)) / parts;
    const int64_t taken = std::min(sizes.signal, sizes.onesided && sizes.inverse ? sizes.length / 2 + 1 : sizes.length);
    FourierTransform transform(sizes.length, sizes.inverse);
    std::vector<double> real(static_cast<size_t>(sizes.length));
    std::vector<double> imaginary(real.size());
    const double factor = sizes.inverse ? 1 / static_cast<double>(sizes.length) : 1.0;
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        for (int64_t line = 0; line < outer * inner; ++line) {
            const int64_t from = line / inner * sizes.signal * inner + line % inner;
            const int64_t to = line / inner * sizes.output * inner + line % inner;
            std::ranges::fill(real, 0.0);
            std::ranges::fill(imaginary, 0.0);
            for (int64_t index = 0; index < taken; ++index) {
                const int64_t at = (from + index * inner) * parts;
                real[static_cast<size_t>(index)] = static_cast<double>(src[at]);
                if (parts == 2) imaginary[static_cast<size_t>(index)] = static_cast<double>(src[at + 1]);
            }
            if (sizes.onesided && sizes.inverse) {
                // The other half of the spectrum of a real signal is the conjugate of this one.
                for (int64_t index = sizes.length / 2 + 1; index < sizes.length; ++index) {
                    const auto mirror = static_cast<size_t>(sizes.length - index);
                    real[static_cast<size_t>(index)] = real[mirror];
                    imaginary[static_cast<size_t>(index)] = -imaginary[mirror];
                }
            }
            transform.run(real.data(), imaginary.data());
            for (int64_t index = 0; index < sizes.output; ++index) {
                const int64_t at = (to + index * inner) * sizes.parts();
                dst[at] = static_cast<T>(real[static_cast<size_t>(index)] * factor);
                if (sizes.parts() == 2) dst[at + 1] = static_cast<T>(imaginary[static_cast<size_t>(index)] * factor);
            }
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no transform of ", dtype_name(x.dtype()));
}

// ---- STFT -----------------------------------------------------------------------------------------------------

struct StftSizes {
    int64_t frame = 0;
    int64_t step = 0;
    int64_t frames = 0;
    int64_t bins = 0;
};

Result<StftSizes> stft_sizes(const Node& node, int64_t signal, std::optional<int64_t> step,
                             std::optional<int64_t> window, std::optional<int64_t> length) {
    if (window && length && *window != *length) {
        return node_error(node, "the window has ", *window, " values for frames of ", *length);
    }
    StftSizes sizes;
    sizes.frame = length ? *length : window.value_or(signal);
    sizes.step = step.value_or(0);
    if (sizes.frame < 1 || sizes.frame > std::min(signal, kMostLength)) {
        return node_error(node, "frames of ", sizes.frame, " do not fit a signal of ", signal);
    }
    if (sizes.step < 1) return node_error(node, "the step between frames is ", sizes.step);
    sizes.frames = (signal - sizes.frame) / sizes.step + 1;
    sizes.bins = node.integer("onesided", 1) != 0 ? sizes.frame / 2 + 1 : sizes.frame;
    return sizes;
}

Status infer_stft(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, kFloats));
    const ValueType& signal = context.input(0);
    std::vector<Dim> dims(4);
    dims[3].size = 2;
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, single_integer(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> length, single_integer(context, 3));
    std::optional<int64_t> window;
    bool known = step.has_value() && (length || !context.has_input(3));
    if (context.has_input(2)) {
        const auto& window_dims = context.input(2).dims;
        if (window_dims && window_dims->size() != 1) return context.fail("the window has rank ", window_dims->size());
        known = known && window_dims && window_dims->front().known();
        if (known) window = window_dims->front().size;
    }
    if (signal.dims) {
        const size_t rank = signal.dims->size();
        if (rank != 3 && rank != 2) return context.fail("the signal has rank ", rank, ", not 3");
        if (rank == 3 && !may_equal(signal.dims->back(), {.size = 1}) && !may_equal(signal.dims->back(), {.size = 2})) {
            return context.fail("the signal's last dimension is ", signal.dims->back().size);
        }
        dims[0] = signal.dims->front();
        if (known && (*signal.dims)[1].known()) {
            QUOIN_ASSIGN_OR_RETURN(const StftSizes sizes,
                                   stft_sizes(context.node(), (*signal.dims)[1].size, step, window, length));
            dims[1].size = sizes.frames;
            dims[2].size = sizes.bins;
        }
    }
    context.set_output(0, signal.dtype, std::move(dims));
    return {};
}

Status compute_stft(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const int64_t signal = x.shape()[1];
    const int64_t parts = x.shape().rank() == 3 ? x.shape()[2] : 1;
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, single_integer(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> length, single_integer(context, 3));
    std::optional<int64_t> window;
    if (context.has_input(2)) window = context.input(2).shape()[0];
    QUOIN_ASSIGN_OR_RETURN(const StftSizes sizes, stft_sizes(context.node(), signal, step, window, length));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y,
                           context.output(0, x.dtype(), Shape{x.shape()[0], sizes.frames, sizes.bins, 2}));
    const ReadAs<double> weights(context.input(2));
    FourierTransform transform(sizes.frame, false);
    std::vector<double> real(static_cast<size_t>(sizes.frame));
    std::vector<double> imaginary(real.size());
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        for (int64_t line = 0; line < x.shape()[0] * sizes.frames; ++line) {
            const int64_t from = line / sizes.frames * signal + line % sizes.frames * sizes.step;
            for (int64_t index = 0; index < sizes.frame; ++index) {
                const auto at = static_cast<size_t>(index);
                const double weight = weights.empty() ? 1.0 : weights[index];
                real[at] = weight * static_cast<double>(src[(from + index) * parts]);
                imaginary[at] = parts == 2 ? weight * static_cast<double>(src[(from + index) * 2 + 1]) : 0.0;
            }
            transform.run(real.data(), imaginary.data());
            for (int64_t bin = 0; bin < sizes.bins; ++bin) {
                dst[(line * sizes.bins + bin) * 2] = static_cast<T>(real[static_cast<size_t>(bin)]);
                dst[(line * sizes.bins + bin) * 2 + 1] = static_cast<T>(imaginary[static_cast<size_t>(bin)]);
            }
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no transform of ", dtype_name(x.dtype()));
}

// ---- Windows --------------------------------------------------------------------------------------------------

Result<DType> output_dtype(const Node& node) {
    const auto dtype = dtype_from_number(static_cast<uint32_t>(node.integer("output_datatype", 1)));
    if (!dtype || !visit_numbers(*dtype, []<class T>() {})) {
        return node_error(node, "output_datatype is ", node.integer("output_datatype", 1));
    }
    return *dtype;
}

Status infer_window(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, output_dtype(context.node()));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> size, single_integer(context, 0));
    if (size && (*size < 0 || *size > kMostLength)) return context.fail("the size is ", *size);
    context.set_output(0, dtype, std::vector<Dim>{size ? Dim{.size = *size} : Dim{}});
    return {};
}

// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N)
Status compute_window(ComputeContext& context, double a0, double a1, double a2) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, output_dtype(context.node()));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> size, single_integer(context, 0));
    if (!size || *size < 0 || *size > kMostLength) return context.fail("the size is ", size.value_or(-1));
    const bool periodic = context.node().integer("periodic", 1) != 0;
    const auto period = static_cast<double>(std::max<int64_t>(1, periodic ? *size : *size - 1));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, dtype, Shape{*size}));
    WriteAs<double> dst(y);
    for (int64_t index = 0; index < *size; ++index) {
        const double angle = 2 * std::numbers::pi * static_cast<double>(index) / period;
        dst[index] = a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle);
    }
    dst.store();
    return {};
}

Status compute_hann(ComputeContext& context) {
    return compute_window(context, 0.5, 0.5, 0);
}
Status compute_hamming(ComputeContext& context) {
    return compute_window(context, 25.0 / 46, 21.0 / 46, 0);
}
Status compute_blackman(ComputeContext& context) {
    return compute_window(context, 0.42, 0.5, 0.08);
}

// ---- MelWeightMatrix ------------------------------------------------------------------------------------------

Status infer_mel(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, output_dtype(context.node()));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(3, kFloats));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(4, kFloats));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> bins, single_integer(context, 0));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> length, single_integer(context, 1));
    if ((bins && (*bins < 0 || *bins > kMostLength)) || (length && (*length < 0 || *length > kMostLength))) {
        return context.fail("num_mel_bins or dft_length is out of range");
    }
    context.set_output(
        0, dtype, std::vector<Dim>{length ? Dim{.size = *length / 2 + 1} : Dim{}, bins ? Dim{.size = *bins} : Dim{}});
    return {};
}

Status compute_mel(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, output_dtype(context.node()));
    std::array<int64_t, 3> integers{};
    for (size_t index = 0; index < integers.size(); ++index) {
        QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> value, single_integer(context, index));
        integers[index] = value.value_or(-1);
    }
    const int64_t bands = integers[0];
    const int64_t length = integers[1];
    const int64_t rate = integers[2];
    if (bands < 0 || bands > kMostLength || length < 0 || length > kMostLength || rate < 1) {
        return context.fail("num_mel_bins, dft_length or sample_rate is out of range");
    }
    const ReadAs<double> lower(context.input(3));
    const ReadAs<double> upper(context.input(4));
    if (lower.size() != 1 || upper.size() != 1) return context.fail("an edge is no single value");
    const int64_t rows = length / 2 + 1;
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, dtype, Shape{rows, bands}));
    WriteAs<double> dst(y);
    std::fill_n(dst.data(), dst.size(), 0.0);
    const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
    const double step = (mel(upper[0]) - mel(lower[0])) / static_cast<double>(bands + 2);
    // The spectrogram bin of the edge between two bands, within -1..rows.
    const auto edge = [&](int64_t index) {
        const double hertz = 700 * (std::pow(10.0, (mel(lower[0]) + static_cast<double>(index) * step) / 2595) - 1);
        const double bin = std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
        return std::isnan(bin) ? int64_t{-1} : static_cast<int64_t>(std::clamp(bin, -1.0, static_cast<double>(rows)));
    };
    const auto put = [&](int64_t row, int64_t band, double value) {
        if (row >= 0 && row < rows) dst[row * bands + band] = value;
    };
    for (int64_t band = 0; band < bands; ++band) {
        const int64_t low = edge(band);
        const int64_t centre = edge(band + 1);
        const int64_t high = edge(band + 2);
        if (low == centre) put(centre, band, 1);
        for (int64_t row = low; low != centre && row <= centre; ++row) {
            put(row, band, static_cast<double>(row - low) / static_cast<double>(centre - low));
        }
        for (int64_t row = centre; high > centre && row < high; ++row) {
            put(row, band, static_cast<double>(high - row) / static_cast<double>(high - centre));
        }
    }
    dst.store();
    return {};
}

}  // namespace

extern const OpImplementation kDFTOp{infer_dft, nullptr, compute_dft};
extern const OpImplementation kSTFTOp{infer_stft, nullptr, compute_stft};
extern const OpImplementation kHannWindowOp{infer_window, nullptr, compute_hann};
extern const OpImplementation kHammingWindowOp{infer_window, nullptr, compute_hamming};
extern const OpImplementation kBlackmanWindowOp{infer_window, nullptr, compute_blackman};
extern const OpImplementation kMelWeightMatrixOp{infer_mel, nullptr, compute_mel};

}  // namespace quoin
