// ConvTranspose and DeformConv (ONNX), any rank.
#include <algorithm>
#include <cmath>

#include "ops/convolution.h"
#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

// ---- ConvTranspose --------------------------------------------------------------------------------------------

// The convolution whose transpose this is: its `input` is the result here, its `output` the operand.
struct TransposeSizes {
    ConvolutionSizes sizes;
    int64_t outputs = 0;  // channels of the result
    std::vector<Dim> dims;
};

// Unknown dims of the input give unknown ones of the result, and no sizes that are of use.
Result<TransposeSizes> transpose_sizes(const Node& node, const std::vector<Dim>& x, const std::vector<Dim>& w) {
    constexpr int64_t kMostSize = int64_t{1} << 30;
    if (x.size() < 3 || x.size() != w.size()) {
        return node_error(node, "input and weight have the ranks ", x.size(), " and ", w.size());
    }
    const size_t axes = x.size() - 2;
    TransposeSizes result;
    ConvolutionSizes& sizes = result.sizes;
    sizes.group = node.integer("group", 1);
    if (sizes.group < 1) return node_error(node, "group is ", sizes.group);
    if (!may_equal(x[1], w[0]) || (w[0].known() && w[0].size % sizes.group != 0)) {
        return node_error(node, "the input's ", x[1].size, " channels do not fit the weight's ", w[0].size, " in ",
                          sizes.group, " groups");
    }
    std::vector<int64_t> kernel;
    bool known = w[1].known();
    for (size_t axis = 2; axis < w.size(); ++axis) {
        known = known && w[axis].known();
        kernel.push_back(w[axis].size);
    }
    result.dims.assign(x.size(), Dim{});
    result.dims[0] = x[0];
    if (!known) return result;
    if (w[1].size > kMostSize || sizes.group > kMostSize) return node_error(node, "there are too many channels");
    result.outputs = w[1].size * sizes.group;
    result.dims[1] = {.size = result.outputs};
    QUOIN_ASSIGN_OR_RETURN(sizes.window, spatial_window(node, axes, std::move(kernel)));
    std::vector<int64_t> output_padding = integers_attribute(node, "output_padding");
    if (output_padding.empty()) output_padding.assign(axes, 0);
    const std::vector<int64_t> output_shape = integers_attribute(node, "output_shape");
    // Some exporters write batch and channels too.
    const size_t skip = output_shape.size() == axes + 2 ? 2 : 0;
    if (output_padding.size() != axes || (!output_shape.empty() && output_shape.size() != axes + skip)) {
        return node_error(node, "output_padding or output_shape has the wrong length");
    }
    SpatialWindow& window = sizes.window;
    const bool same = window.auto_pad == AutoPad::SameUpper || window.auto_pad == AutoPad::SameLower;
    for (size_t axis = 0; axis < axes; ++axis) {
        sizes.output.push_back(x[axis + 2].size);
        sizes.input.push_back(0);
        if (output_padding[axis] < 0 || output_padding[axis] > kMostSize) {
            return node_error(node, "output_padding has the value ", output_padding[axis]);
        }
        if (!x[axis + 2].known()) continue;
        if (x[axis + 2].size > kMostSize) return node_error(node, "dimension ", x[axis + 2].size, " is too large");
        const int64_t full = window.strides[axis] * (x[axis + 2].size - 1) + output_padding[axis] + window.extent(axis);
        int64_t size = 0;
        if (!output_shape.empty() || same) {
            size = same && output_shape.empty() ? x[axis + 2].size * window.strides[axis] : output_shape[axis + skip];
            if (size < 0 || size > kMostSize * kMostSize) return node_error(node, "the result has the size ", size);
            const int64_t total = std::max<int64_t>(0, full - size);
            const int64_t smaller = total / 2;
            window.pad_begin[axis] = window.auto_pad == AutoPad::SameUpper ? smaller : total - smaller;
            window.pad_end[axis] = total - window.pad_begin[axis];
        } else {
            if (window.auto_pad == AutoPad::Valid) window.pad_begin[axis] = window.pad_end[axis] = 0;
            size = full - window.pad_begin[axis] - window.pad_end[axis];
            if (size < 0) return node_error(node, "the padding leaves nothing of spatial axis ", axis);
        }
        sizes.input[axis] = size;
        result.dims[axis + 2] = {.size = size};
    }
    sizes.batch = x[0].size;
    sizes.channels = x[1].size;
    sizes.outputs = x[1].size;
    return result;
}

Status infer_conv_transpose(InferContext& context) {
    for (size_t index = 0; index < 3; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F64, DType::F16, DType::BF16}));
        if (context.has_input(index) && context.input(index).dtype != context.input(0).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    const auto& x = context.input(0).dims;
    const auto& w = context.input(1).dims;
    std::optional<std::vector<Dim>> dims;
    if (x && w) {
        QUOIN_ASSIGN_OR_RETURN(TransposeSizes sizes, transpose_sizes(context.node(), *x, *w));
        dims = std::move(sizes.dims);
        if (context.has_input(2) && context.input(2).dims) {
            const auto& bias = *context.input(2).dims;
            if (bias.size() != 1 || !may_equal(bias[0], (*dims)[1])) return context.fail("the bias does not fit");
        }
    } else if (x) {
        dims.emplace(x->size());
        if (!dims->empty()) (*dims)[0] = (*x)[0];
    }
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

// One plane of the result: bias + sum over the group's channels and taps. `weights` begins at the group's first input
// channel and this output channel; channels lie `weight_stride` apart.
template <class T>
void transposed_plane(const ConvolutionSizes& sizes, const T* src, int64_t channels, const T* weights,
                      int64_t weight_stride, T bias, T* dst) {
    std::fill_n(dst, sizes.input_plane(), bias);
    for (int64_t channel = 0; channel < channels; ++channel) {
        const T* const plane = src + channel * sizes.output_plane();
        const T* weight = weights + channel * weight_stride;
        Odometer tap(sizes.window.kernel);
        do {
            const T factor = *weight++;
            for_each_row(sizes, tap.place(), [&](int64_t target, int64_t source, Range range, int64_t step) {
                T* const out = dst + target;
                const T* const in = plane + source;
                if (step == 1) {
                    for (int64_t index = range.begin; index < range.end; ++index) out[index] += factor * in[index];
                } else {
                    for (int64_t index = range.begin; index < range.end; ++index) {
                        out[index * step] += factor * in[index];
                    }
                }
            });
        } while (tap.next());
    }
}

// Plane `index` of the result, counted over batch and channels.
template <class T>
void transposed_plane_at(const TransposeSizes& all, int64_t index, const T* src, const T* weights, const T* bias,
                         T* dst) {
    const ConvolutionSizes& sizes = all.sizes;
    const int64_t taps = sizes.window.taps();
    const int64_t each = all.outputs / sizes.group;  // of a group
    const int64_t channels = sizes.channels / sizes.group;
    const int64_t output = index % all.outputs;
    const int64_t first = output / each * channels;
    transposed_plane<T>(sizes, src + (index / all.outputs * sizes.channels + first) * sizes.output_plane(), channels,
                        weights + (first * each + output % each) * taps, each * taps,
                        bias == nullptr ? T{} : bias[output], dst + index * sizes.input_plane());
}

Status compute_conv_transpose(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(1);
    QUOIN_ASSIGN_OR_RETURN(const TransposeSizes all,
                           transpose_sizes(context.node(), dims_of_shape(x.shape()), dims_of_shape(w.shape())));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), *shape_of_dims(all.dims)));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> weights(w);
        const ReadAs<T> bias(context.input(2));
        WriteAs<T> dst(y);
        for (int64_t index = 0; index < all.sizes.batch * all.outputs; ++index) {
            transposed_plane_at<T>(all, index, src.data(), weights.data(), bias.data(), dst.data());
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no convolution of ", dtype_name(x.dtype()));
}

class PlaneTransposed final : public PreparedNode {
public:
    explicit PlaneTransposed(const Node& node) : node_(node) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = arguments.outputs[0].shape[0] * arguments.outputs[0].shape[1]};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        QUOIN_ASSIGN_OR_RETURN(
            const TransposeSizes all,
            transpose_sizes(node_, dims_of_shape(arguments.inputs[0].shape), dims_of_shape(arguments.inputs[1].shape)));
        const bool biased = arguments.inputs.size() > 2;
        transposed_plane_at<float>(all, task, arguments.inputs[0].as<float>(), arguments.inputs[1].as<float>(),
                                   biased ? arguments.inputs[2].as<float>() : nullptr,
                                   arguments.outputs[0].as<float>());
        return {};
    }

    std::string label() const override { return "transposed convolution by planes"; }

private:
    const Node& node_;
};

Result<std::unique_ptr<PreparedNode>> prepare_conv_transpose(const PrepareContext& context) {
    if (context.graph.value(context.node.inputs[0]).dtype != DType::F32) return std::unique_ptr<PreparedNode>();
    return std::unique_ptr<PreparedNode>(std::make_unique<PlaneTransposed>(context.node));
}

// ---- DeformConv -----------------------------------------------------------------------------------------------

Status infer_deform_conv(InferContext& context) {
    for (size_t index = 0; index < 5; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F64, DType::F16, DType::BF16}));
        if (context.has_input(index) && context.input(index).dtype != context.input(0).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    const auto& x = context.input(0).dims;
    const auto& w = context.input(1).dims;
    QUOIN_ASSIGN_OR_RETURN(std::optional<std::vector<Dim>> dims, convolution_dims(context.node(), x, w));
    const int64_t groups = context.node().integer("offset_group", 1);
    if (groups < 1 || (x && (*x)[1].known() && (*x)[1].size % groups != 0)) {
        return context.fail("offset_group is ", groups);
    }
    if (dims && w && std::ranges::all_of(*w, [](const Dim& dim) { return dim.known(); })) {
        // [N, groups * taps (* axes), outputs...]
        int64_t taps = groups;
        for (size_t axis = 2; axis < w->size(); ++axis) {
            if (__builtin_mul_overflow(taps, (*w)[axis].size, &taps)) return context.fail("the kernel is too large");
        }
        const auto axes = static_cast<int64_t>(w->size()) - 2;
        for (const size_t index : {size_t{2}, size_t{4}}) {
            if (!context.has_input(index) || !context.input(index).dims) continue;
            std::vector<Dim> wanted = *dims;
            int64_t channels = taps;
            if (index == 2 && __builtin_mul_overflow(taps, axes, &channels)) return context.fail("too many offsets");
            wanted[1] = {.size = channels};
            if (!std::ranges::equal(*context.input(index).dims, wanted, may_equal)) {
                return context.fail(index == 2 ? "the offsets have" : "the mask has", " not the shape of the result's");
            }
        }
        if (context.has_input(3) && context.input(3).dims) {
            const auto& bias = *context.input(3).dims;
            if (bias.size() != 1 || !may_equal(bias[0], (*dims)[1])) return context.fail("the bias does not fit");
        }
    }
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

// The value of a plane at a fractional place, linear along every axis; zero outside.
template <class T>
T sample_linear(const T* plane, std::span<const int64_t> sizes, std::span<const T> place) {
    T result = 0;
    const size_t corners = size_t{1} << sizes.size();
    for (size_t corner = 0; corner < corners; ++corner) {
        T weight = 1;
        int64_t index = 0;
        bool inside = true;
        for (size_t axis = 0; axis < sizes.size() && inside; ++axis) {
            const T below = std::floor(place[axis]);
            const bool upper = ((corner >> axis) & 1U) != 0;
            const T coordinate = upper ? below + 1 : below;
            // In floating point: the place may be far out of what an integer holds, or NaN.
            inside = coordinate >= 0 && coordinate < static_cast<T>(sizes[axis]);
            if (!inside) break;
            weight *= upper ? place[axis] - below : 1 - (place[axis] - below);
            index = index * sizes[axis] + std::min(static_cast<int64_t>(coordinate), sizes[axis] - 1);
        }
        if (inside && weight != 0) result += weight * plane[index];
    }
    return result;
}

template <class T>
void deform_conv(const ConvolutionSizes& sizes, int64_t offset_groups, const T* src, const T* weights, const T* offsets,
                 const T* bias, const T* mask, T* dst) {
    const int64_t taps = sizes.window.taps();
    const auto axes = static_cast<int64_t>(sizes.window.axes());
    const int64_t out_plane = sizes.output_plane();
    if (out_plane == 0) return;
    const int64_t channels_each = sizes.channels / offset_groups;
    std::vector<T> column(static_cast<size_t>(sizes.channels * taps));
    std::vector<T> place(static_cast<size_t>(axes));
    for (int64_t image = 0; image < sizes.batch; ++image) {
        Odometer output(sizes.output);
        int64_t position = 0;
        do {
            for (int64_t group = 0; group < offset_groups; ++group) {
                Odometer tap(sizes.window.kernel);
                int64_t index = 0;
                do {
                    const int64_t at = (image * offset_groups + group) * taps + index;
                    for (int64_t axis = 0; axis < axes; ++axis) {
                        const auto a = static_cast<size_t>(axis);
                        const int64_t base = output[a] * sizes.window.strides[a] + tap[a] * sizes.window.dilations[a] -
                                             sizes.window.pad_begin[a];
                        place[a] = static_cast<T>(base) + offsets[(at * axes + axis) * out_plane + position];
                    }
                    const T factor = mask == nullptr ? T{1} : mask[at * out_plane + position];
                    for (int64_t each = 0; each < channels_each; ++each) {
                        const int64_t channel = group * channels_each + each;
                        const T* const plane = src + (image * sizes.channels + channel) * sizes.input_plane();
                        column[static_cast<size_t>(channel * taps + index)] =
                            factor * sample_linear<T>(plane, sizes.input, place);
                    }
                    ++index;
                } while (tap.next());
            }
            for (int64_t out = 0; out < sizes.outputs; ++out) {
                const int64_t first = out / (sizes.outputs / sizes.group) * sizes.weight_size();
                T sum = bias == nullptr ? T{} : bias[out];
                for (int64_t k = 0; k < sizes.weight_size(); ++k) {
                    sum += weights[out * sizes.weight_size() + k] * column[static_cast<size_t>(first + k)];
                }
                dst[(image * sizes.outputs + out) * out_plane + position] = sum;
            }
            ++position;
        } while (output.next());
    }
}

Status compute_deform_conv(ComputeContext& context) {
    const Tensor& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionSizes sizes,
                           convolution_sizes(context.node(), x.shape(), context.input(1).shape()));
    std::vector<int64_t> dims = {sizes.batch, sizes.outputs};
    dims.insert(dims.end(), sizes.output.begin(), sizes.output.end());
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), Shape(std::span<const int64_t>(dims))));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> weights(context.input(1));
        const ReadAs<T> offsets(context.input(2));
        const ReadAs<T> bias(context.input(3));
        const ReadAs<T> mask(context.input(4));
        WriteAs<T> dst(y);
        deform_conv<T>(sizes, context.node().integer("offset_group", 1), src.data(), weights.data(), offsets.data(),
                       bias.data(), mask.data(), dst.data());
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no convolution of ", dtype_name(x.dtype()));
}

}  // namespace

extern const OpImplementation kConvTransposeOp{infer_conv_transpose, prepare_conv_transpose, compute_conv_transpose};
extern const OpImplementation kDeformConvOp{infer_deform_conv, nullptr, compute_deform_conv};

}  // namespace quoin
