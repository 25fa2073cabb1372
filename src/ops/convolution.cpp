// Conv, ConvInteger, QLinearConv and CausalConvWithState (ONNX). Float and integer convolutions with constant weights
// become ops of channels-last kernels when the graph is optimized; these are all the others.
#include "ops/convolution.h"

#include <cmath>

#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/quantized.h"
#include "ops/widened.h"

namespace quoin {

Result<std::optional<std::vector<Dim>>> convolution_dims(const Node& node, const std::optional<std::vector<Dim>>& input,
                                                         const std::optional<std::vector<Dim>>& weight) {
    std::optional<std::vector<Dim>> unknown;
    const int64_t group = node.integer("group", 1);
    if (group < 1) return node_error(node, "group is ", group);
    if (input && input->size() < 3) return node_error(node, "the input has rank ", input->size());
    if (weight && weight->size() < 3) return node_error(node, "the weight has rank ", weight->size());
    if (input && weight && input->size() != weight->size()) {
        return node_error(node, "input and weight have the ranks ", input->size(), " and ", weight->size());
    }
    if (!input) return unknown;
    std::vector<int64_t> kernel;
    bool known = weight.has_value();
    for (size_t axis = 2; weight && axis < weight->size(); ++axis) {
        known = known && (*weight)[axis].known();
        kernel.push_back((*weight)[axis].size);
    }
    if (!known) {
        std::vector<Dim> dims(input->size());
        dims[0] = (*input)[0];
        if (weight) dims[1] = (*weight)[0];
        return std::optional(std::move(dims));
    }
    const Dim channels = (*input)[1];
    const Dim taken = (*weight)[1];
    if (channels.known() && taken.known() && (channels.size % group != 0 || channels.size / group != taken.size)) {
        return node_error(node, "the input has ", channels.size, " channels; the weight reads ", taken.size, " in ",
                          group, " groups");
    }
    if ((*weight)[0].known() && (*weight)[0].size % group != 0) {
        return node_error(node, (*weight)[0].size, " output channels do not divide into ", group, " groups");
    }
    const size_t axes = kernel.size();
    QUOIN_ASSIGN_OR_RETURN(const SpatialWindow window, spatial_window(node, axes, std::move(kernel)));
    QUOIN_ASSIGN_OR_RETURN(std::vector<Dim> dims, window_dims(node, window, *input, (*weight)[0]));
    return std::optional(std::move(dims));
}

Result<ConvolutionSizes> convolution_sizes(const Node& node, const Shape& input, const Shape& weight) {
    QUOIN_ASSIGN_OR_RETURN(const std::optional<std::vector<Dim>> dims,
                           convolution_dims(node, dims_of_shape(input), dims_of_shape(weight)));
    ConvolutionSizes sizes;
    sizes.batch = input[0];
    sizes.channels = input[1];
    sizes.outputs = weight[0];
    sizes.group = node.integer("group", 1);
    const auto spatial = input.dims().subspan(2);
    sizes.input.assign(spatial.begin(), spatial.end());
    for (size_t axis = 2; axis < dims->size(); ++axis) sizes.output.push_back((*dims)[axis].size);
    const auto kernel = weight.dims().subspan(2);
    QUOIN_ASSIGN_OR_RETURN(const SpatialWindow window,
                           spatial_window(node, kernel.size(), std::vector<int64_t>(kernel.begin(), kernel.end())));
    sizes.window = window.padded_for(sizes.input);
    return sizes;
}

namespace {

Shape output_shape(const ConvolutionSizes& sizes) {
    std::vector<int64_t> dims = {sizes.batch, sizes.outputs};
    dims.insert(dims.end(), sizes.output.begin(), sizes.output.end());
    return Shape(std::span<const int64_t>(dims));
}

bool fits_channels(const Shape& shape, int64_t channels) {
    return shape.rank() == 1 && shape[0] == channels;
}

// All outputs: dst[n][output channel] (zeros, or biases) += convolution. `src` and `weights` whole.
template <class T>
void add_all(const ConvolutionSizes& sizes, const T* src, const T* weights, T* dst) {
    for (int64_t image = 0; image < sizes.batch; ++image) {
        for (int64_t output = 0; output < sizes.outputs; ++output) {
            const int64_t first = output / (sizes.outputs / sizes.group) * sizes.group_channels();
            add_convolution<T>(sizes, src + (image * sizes.channels + first) * sizes.input_plane(),
                               weights + output * sizes.weight_size(),
                               dst + (image * sizes.outputs + output) * sizes.output_plane());
        }
    }
}

// ---- Conv -----------------------------------------------------------------------------------------------------

Status infer_conv(InferContext& context) {
    for (size_t index = 0; index < 3; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F64, DType::F16, DType::BF16}));
        if (context.has_input(index) && context.input(index).dtype != context.input(0).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    QUOIN_ASSIGN_OR_RETURN(std::optional<std::vector<Dim>> dims,
                           convolution_dims(context.node(), context.input(0).dims, context.input(1).dims));
    if (dims && context.has_input(2) && context.input(2).dims) {
        const auto& bias = *context.input(2).dims;
        if (bias.size() != 1 || !may_equal(bias[0], (*dims)[1])) return context.fail("the bias does not fit");
    }
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

Status compute_conv(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(1);
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionSizes sizes, convolution_sizes(context.node(), x.shape(), w.shape()));
    if (context.has_input(2) && !fits_channels(context.input(2).shape(), sizes.outputs)) {
        return context.fail("the bias does not fit");
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), output_shape(sizes)));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> weights(w);
        const ReadAs<T> bias(context.input(2));
        WriteAs<T> dst(y);
        for (int64_t plane = 0; plane < sizes.batch * sizes.outputs; ++plane) {
            const T value = bias.empty() ? T{} : bias[plane % sizes.outputs];
            std::fill_n(dst.data() + plane * sizes.output_plane(), sizes.output_plane(), value);
        }
        add_all<T>(sizes, src.data(), weights.data(), dst.data());
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no convolution of ", dtype_name(x.dtype()));
}

// The same in f32, an output plane a task.
class PlaneConvolution final : public PreparedNode {
public:
    explicit PlaneConvolution(const Node& node) : node_(node) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = arguments.outputs[0].shape[0] * arguments.outputs[0].shape[1]};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& x = arguments.inputs[0];
        const TensorView& w = arguments.inputs[1];
        QUOIN_ASSIGN_OR_RETURN(const ConvolutionSizes sizes, convolution_sizes(node_, x.shape, w.shape));
        const int64_t image = task / sizes.outputs;
        const int64_t output = task % sizes.outputs;
        const int64_t first = output / (sizes.outputs / sizes.group) * sizes.group_channels();
        float* const dst = arguments.outputs[0].as<float>() + task * sizes.output_plane();
        const bool biased = arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr;
        std::fill_n(dst, sizes.output_plane(), biased ? arguments.inputs[2].as<float>()[output] : 0.0F);
        add_convolution<float>(sizes, x.as<float>() + (image * sizes.channels + first) * sizes.input_plane(),
                               w.as<float>() + output * sizes.weight_size(), dst);
        return {};
    }

    std::string label() const override { return "convolution by planes"; }

private:
    const Node& node_;
};

Result<std::unique_ptr<PreparedNode>> prepare_conv(const PrepareContext& context) {
    if (context.graph.value(context.node.inputs[0]).dtype != DType::F32) return std::unique_ptr<PreparedNode>();
    return std::unique_ptr<PreparedNode>(std::make_unique<PlaneConvolution>(context.node));
}

// ---- Integers -------------------------------------------------------------------------------------------------

// x and w are u8 or i8; `w` is the index of the weight.
Status infer_integers(InferContext& context, size_t w, DType result) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::U8, DType::I8}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(w, {DType::U8, DType::I8}));
    QUOIN_ASSIGN_OR_RETURN(std::optional<std::vector<Dim>> dims,
                           convolution_dims(context.node(), context.input(0).dims, context.input(w).dims));
    context.set_output(0, result, std::move(dims));
    return {};
}

Status infer_conv_integer(InferContext& context) {
    return infer_integers(context, 1, DType::I32);
}

Status infer_qlinear_conv(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(7, {DType::U8, DType::I8}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(8, {DType::I32}));
    return infer_integers(context, 3, context.input(7).dtype);
}

// dst += (x - zero) * (w - zero of the output channel), modulo 2^32; padding counts as the zero point of x.
Status add_integers(ComputeContext& context, const ConvolutionSizes& sizes, size_t w, size_t x_zero, size_t w_zero,
                    std::vector<uint32_t>& dst) {
    QUOIN_ASSIGN_OR_RETURN(std::vector<int32_t> src, byte_integers(context, 0));
    QUOIN_ASSIGN_OR_RETURN(std::vector<int32_t> weights, byte_integers(context, w));
    if (context.has_input(x_zero)) {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<int32_t> zero, byte_integers(context, x_zero));
        if (zero.size() != 1) return context.fail("the input has ", zero.size(), " zero points");
        for (int32_t& value : src) value -= zero[0];
    }
    if (context.has_input(w_zero)) {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<int32_t> zeros, byte_integers(context, w_zero));
        if (zeros.size() != 1 && zeros.size() != static_cast<size_t>(sizes.outputs)) {
            return context.fail("the weight has ", zeros.size(), " zero points for ", sizes.outputs, " outputs");
        }
        const auto each = static_cast<size_t>(sizes.weight_size());
        for (size_t index = 0; index < weights.size(); ++index) {
            weights[index] -= zeros[zeros.size() == 1 ? 0 : index / each];
        }
    }
    add_all<uint32_t>(sizes, reinterpret_cast<const uint32_t*>(src.data()),
                      reinterpret_cast<const uint32_t*>(weights.data()), dst.data());
    return {};
}

Status compute_conv_integer(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionSizes sizes,
                           convolution_sizes(context.node(), context.input(0).shape(), context.input(1).shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, DType::I32, output_shape(sizes)));
    std::vector<uint32_t> sums(y.as<int32_t>().size(), 0);
    QUOIN_RETURN_IF_ERROR(add_integers(context, sizes, 1, 2, 3, sums));
    std::ranges::copy(sums, y.as<uint32_t>().begin());
    return {};
}

Status compute_qlinear_conv(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionSizes sizes,
                           convolution_sizes(context.node(), context.input(0).shape(), context.input(3).shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, context.input(7).dtype(), output_shape(sizes)));
    const int64_t plane = sizes.output_plane();
    std::vector<uint32_t> sums(static_cast<size_t>(sizes.batch * sizes.outputs * plane), 0);
    if (context.has_input(8)) {
        if (!fits_channels(context.input(8).shape(), sizes.outputs)) return context.fail("the bias does not fit");
        const auto bias = context.input(8).as<const uint32_t>();
        for (size_t index = 0; index < sums.size(); ++index) {
            sums[index] = bias[index / static_cast<size_t>(plane) % static_cast<size_t>(sizes.outputs)];
        }
    }
    QUOIN_RETURN_IF_ERROR(add_integers(context, sizes, 3, 2, 5, sums));
    const ReadAs<float> x_scale(context.input(1));
    const ReadAs<float> w_scale(context.input(4));
    if (x_scale.size() != 1 || (w_scale.size() != 1 && w_scale.size() != static_cast<size_t>(sizes.outputs))) {
        return context.fail("a scale does not fit its operand");
    }
    QUOIN_ASSIGN_OR_RETURN(const Requantizer requantizer, Requantizer::make(context, 6, 7));
    for (int64_t index = 0; index < static_cast<int64_t>(sums.size()); ++index) {
        const float scale = w_scale[w_scale.size() == 1 ? 0 : index / plane % sizes.outputs];
        requantizer.store(y, index, static_cast<int32_t>(sums[static_cast<size_t>(index)]), x_scale[0] * scale);
    }
    return {};
}

// ---- CausalConvWithState --------------------------------------------------------------------------------------

Status infer_causal_conv(InferContext& context) {
    for (size_t index = 0; index < 4; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F16, DType::BF16}));
        if (context.has_input(index) && context.input(index).dtype != context.input(0).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    const std::string_view activation = context.node().string("activation", "none");
    if (activation != "none" && activation != "silu" && activation != "swish") {
        return context.fail("activation is '", activation, "'");
    }
    const ValueType& x = context.input(0);
    const ValueType& w = context.input(1);
    std::vector<Dim> state(3);
    if (x.dims) {
        if (x.dims->size() != 3) return context.fail("the input has rank ", x.dims->size(), ", not 3");
        state = {(*x.dims)[0], (*x.dims)[1], Dim{}};
    }
    if (w.dims) {
        if (w.dims->size() != 3 || !may_equal((*w.dims)[1], {.size = 1}) || !may_equal((*w.dims)[0], state[1])) {
            return context.fail("the weight is not [channels, 1, k]");
        }
        const Dim taps = (*w.dims)[2];
        if (taps.known() && taps.size < 1) return context.fail("the kernel has the size ", taps.size);
        if (taps.known()) state[2].size = taps.size - 1;
    }
    if (context.has_input(2) && context.input(2).dims) {
        const auto& bias = *context.input(2).dims;
        if (bias.size() != 1 || !may_equal(bias[0], state[1])) return context.fail("the bias does not fit");
    }
    if (context.has_input(3) && context.input(3).dims &&
        !std::ranges::equal(*context.input(3).dims, state, may_equal)) {
        return context.fail("the past state is not [batch, channels, k - 1]");
    }
    context.set_output(0, x.dtype, x.dims);
    context.set_output(1, x.dtype, std::move(state));
    return {};
}

Status compute_causal_conv(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const int64_t rows = x.shape()[0] * x.shape()[1];
    const int64_t channels = x.shape()[1];
    const int64_t length = x.shape()[2];
    const int64_t taps = context.input(1).shape()[2];
    const bool silu = context.node().string("activation", "none") != "none";
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), x.shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor present, context.output(1, x.dtype(), Shape{x.shape()[0], channels, taps - 1}));
    const ReadAs<float> src(x);
    const ReadAs<float> weights(context.input(1));
    const ReadAs<float> bias(context.input(2));
    const ReadAs<float> past(context.input(3));
    WriteAs<float> dst(y);
    WriteAs<float> state(present);
    std::vector<float> line(static_cast<size_t>(taps - 1 + length));
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t channel = row % channels;
        if (past.empty()) {
            std::fill_n(line.begin(), taps - 1, 0.0F);
        } else {
            std::copy_n(past.data() + row * (taps - 1), taps - 1, line.begin());
        }
        std::copy_n(src.data() + row * length, length, line.begin() + (taps - 1));
        for (int64_t index = 0; index < length; ++index) {
            float sum = bias.empty() ? 0.0F : bias[channel];
            for (int64_t tap = 0; tap < taps; ++tap) {
                sum += weights[channel * taps + tap] * line[static_cast<size_t>(index + tap)];
            }
            dst[row * length + index] = silu ? sum / (1 + std::exp(-sum)) : sum;
        }
        std::copy_n(line.end() - (taps - 1), taps - 1, state.data() + row * (taps - 1));
    }
    dst.store();
    state.store();
    return {};
}

}  // namespace

extern const OpImplementation kConvOp{infer_conv, prepare_conv, compute_conv};
extern const OpImplementation kConvIntegerOp{infer_conv_integer, nullptr, compute_conv_integer};
extern const OpImplementation kQLinearConvOp{infer_qlinear_conv, nullptr, compute_qlinear_conv};
extern const OpImplementation kCausalConvWithStateOp{infer_causal_conv, nullptr, compute_causal_conv};

}  // namespace quoin
