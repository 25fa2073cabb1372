// BatchNormalization, InstanceNormalization, GroupNormalization, MeanVarianceNormalization and LRN (ONNX): over
// [N, C, D1, ..., Dn]. A BatchNormalization behind a convolution is folded into it when the graph is optimized.
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

const auto kFloats = {DType::F32, DType::F64, DType::F16, DType::BF16};

// Batch, channels and the product of the rest; channels are 1 where there is no such axis.
struct Planes {
    int64_t batch = 1;
    int64_t channels = 1;
    int64_t plane = 1;

    explicit Planes(const Shape& shape) {
        if (shape.rank() > 0) batch = shape[0];
        if (shape.rank() > 1) {
            channels = shape[1];
            plane = product(shape.dims().subspan(2));
        }
    }
};

// Inputs 1..last are [C], or [groups] where `dim` says so.
Status check_channels(const InferContext& context, size_t last, Dim dim) {
    for (size_t index = 1; index <= last; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, kFloats));
        if (!context.input(index).dims) continue;
        const auto& dims = *context.input(index).dims;
        if (dims.size() != 1 || !may_equal(dims[0], dim)) {
            return context.fail("input ", index, " has not one value for each of ", dim.size, " channels");
        }
    }
    return {};
}

Dim channels_of(const std::optional<std::vector<Dim>>& dims) {
    if (!dims) return {};
    return dims->size() < 2 ? Dim{.size = 1} : (*dims)[1];
}

struct Statistics {
    double mean;
    double variance;  // of the population
};
// Of `runs` runs of `count` values, `stride` apart.
template <class T>
Statistics statistics(const T* values, int64_t runs, int64_t stride, int64_t count) {
    double sum = 0;
    for (int64_t run = 0; run < runs; ++run) {
        for (int64_t index = 0; index < count; ++index) sum += static_cast<double>(values[run * stride + index]);
    }
    const double mean = sum / static_cast<double>(runs * count);
    double squares = 0;
    for (int64_t run = 0; run < runs; ++run) {
        for (int64_t index = 0; index < count; ++index) {
            const double centred = static_cast<double>(values[run * stride + index]) - mean;
            squares += centred * centred;
        }
    }
    return {mean, squares / static_cast<double>(runs * count)};
}

template <class T>
void scale_and_shift(const T* src, int64_t count, double factor, double addend, T* dst) {
    const auto a = static_cast<T>(factor);
    const auto b = static_cast<T>(addend);
    for (int64_t index = 0; index < count; ++index) dst[index] = src[index] * a + b;
}

// ---- BatchNormalization ---------------------------------------------------------------------------------------

Status infer_batch_normalization(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    const Dim channels = channels_of(context.input(0).dims);
    QUOIN_RETURN_IF_ERROR(check_channels(context, 4, channels));
    context.set_output(0, context.input(0).dtype, context.input(0).dims);
    const bool training = context.node().integer("training_mode", 0) != 0;
    if (!training && (context.wants_output(1) || context.wants_output(2))) {
        return context.fail("running mean and variance are outputs of the training mode alone");
    }
    context.set_output(1, context.input(3).dtype, std::vector<Dim>{channels});
    context.set_output(2, context.input(4).dtype, std::vector<Dim>{channels});
    return {};
}

Status compute_batch_normalization(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const Planes planes(x.shape());
    const double epsilon = context.node().number("epsilon", 1e-5);
    const double momentum = context.node().number("momentum", 0.9);
    const bool training = context.node().integer("training_mode", 0) != 0;
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), x.shape()));
    const ReadAs<double> scale(context.input(1));
    const ReadAs<double> bias(context.input(2));
    const ReadAs<double> mean(context.input(3));
    const ReadAs<double> variance(context.input(4));
    std::vector<Statistics> used;
    for (int64_t channel = 0; channel < planes.channels; ++channel) used.push_back({mean[channel], variance[channel]});
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        for (int64_t channel = 0; channel < planes.channels; ++channel) {
            Statistics& each = used[static_cast<size_t>(channel)];
            if (training) {
                each = statistics<T>(src.data() + channel * planes.plane, planes.batch, planes.channels * planes.plane,
                                     planes.plane);
            }
            const double factor = scale[channel] / std::sqrt(each.variance + epsilon);
            for (int64_t image = 0; image < planes.batch; ++image) {
                const int64_t first = (image * planes.channels + channel) * planes.plane;
                scale_and_shift<T>(src.data() + first, planes.plane, factor, bias[channel] - each.mean * factor,
                                   dst.data() + first);
            }
        }
        dst.store();
    });
    if (!done) return context.fail(StatusCode::Unsupported, "no normalization of ", dtype_name(x.dtype()));
    for (const size_t index : {size_t{1}, size_t{2}}) {
        if (!context.wants_output(index)) continue;
        QUOIN_ASSIGN_OR_RETURN(const Tensor running,
                               context.output(index, context.input(index + 2).dtype(), Shape{planes.channels}));
        WriteAs<double> dst(running);
        for (int64_t channel = 0; channel < planes.channels; ++channel) {
            const Statistics& each = used[static_cast<size_t>(channel)];
            const double before = index == 1 ? mean[channel] : variance[channel];
            dst[channel] = before * momentum + (index == 1 ? each.mean : each.variance) * (1 - momentum);
        }
        dst.store();
    }
    return {};
}

// ---- InstanceNormalization and GroupNormalization -------------------------------------------------------------

Status infer_by_channel(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    const auto& dims = context.input(0).dims;
    if (dims && dims->size() < 2) return context.fail("the input has rank ", dims->size());
    const Dim channels = channels_of(dims);
    QUOIN_RETURN_IF_ERROR(check_channels(context, 2, channels));
    if (context.node().op == Op::GroupNormalization) {
        const int64_t groups = context.node().integer("num_groups", 0);
        if (groups < 1 || (channels.known() && channels.size % groups != 0)) {
            return context.fail("num_groups = ", groups, " does not divide ", channels.size, " channels");
        }
    }
    return infer_same_as_first(context);
}

// Channels that are normalized together.
int64_t group_channels(const Node& node, int64_t channels) {
    return node.op == Op::GroupNormalization ? channels / std::max<int64_t>(1, node.integer("num_groups", 1)) : 1;
}

// Normalizes one group of channels of one image.
template <class T>
void normalize_group(const T* src, int64_t channels, int64_t plane, const T* scale, const T* bias, double epsilon,
                     T* dst) {
    const Statistics each = statistics<T>(src, 1, 0, channels * plane);
    const double inverse = 1 / std::sqrt(each.variance + epsilon);
    for (int64_t channel = 0; channel < channels; ++channel) {
        const double factor = static_cast<double>(scale[channel]) * inverse;
        const double addend = static_cast<double>(bias[channel]) - each.mean * factor;
        scale_and_shift<T>(src + channel * plane, plane, factor, addend, dst + channel * plane);
    }
}

Status compute_by_channel(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const Planes planes(x.shape());
    const int64_t channels = group_channels(context.node(), planes.channels);
    const double epsilon = context.node().number("epsilon", 1e-5);
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), x.shape()));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> scale(context.input(1));
        const ReadAs<T> bias(context.input(2));
        WriteAs<T> dst(y);
        for (int64_t first = 0; first < planes.batch * planes.channels; first += channels) {
            const int64_t channel = first % planes.channels;
            normalize_group<T>(src.data() + first * planes.plane, channels, planes.plane, scale.data() + channel,
                               bias.data() + channel, epsilon, dst.data() + first * planes.plane);
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no normalization of ", dtype_name(x.dtype()));
}

// f32, a group a task.
class GroupTask final : public PreparedNode {
public:
    explicit GroupTask(const Node& node) : node_(node), epsilon_(node.number("epsilon", 1e-5)) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const Planes planes(arguments.inputs[0].shape);
        const int64_t channels = std::max<int64_t>(1, group_channels(node_, planes.channels));
        return Work{.tasks = planes.batch * planes.channels / channels, .grain = {channels, 1, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const Planes planes(arguments.inputs[0].shape);
        const int64_t channels = arguments.work.grain[0];
        const int64_t first = task * channels;
        const int64_t channel = first % planes.channels;
        normalize_group<float>(arguments.inputs[0].as<float>() + first * planes.plane, channels, planes.plane,
                               arguments.inputs[1].as<float>() + channel, arguments.inputs[2].as<float>() + channel,
                               epsilon_, arguments.outputs[0].as<float>() + first * planes.plane);
        return {};
    }

private:
    const Node& node_;
    double epsilon_;
};

Result<std::unique_ptr<PreparedNode>> prepare_by_channel(const PrepareContext& context) {
    for (const ValueId id : context.node.inputs) {
        if (context.graph.value(id).dtype != DType::F32) return std::unique_ptr<PreparedNode>();
    }
    return std::unique_ptr<PreparedNode>(std::make_unique<GroupTask>(context.node));
}

// ---- MeanVarianceNormalization --------------------------------------------------------------------------------

Status infer_mean_variance(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    if (context.input(0).dims) {
        for (const int64_t axis : integers_attribute(context.node(), "axes")) {
            if (!normalized_axis(axis, context.input(0).dims->size()))
                return context.fail("axis ", axis, " is no axis");
        }
        if (context.node().attribute("axes") == nullptr && context.input(0).dims->size() != 4) {
            return context.fail("the default axes are those of a tensor of rank 4");
        }
    }
    return infer_same_as_first(context);
}

Status compute_mean_variance(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const size_t rank = x.shape().rank();
    std::vector<int64_t> axes = integers_attribute(context.node(), "axes");
    if (context.node().attribute("axes") == nullptr) axes = {0, 2, 3};
    std::vector<int64_t> strides(rank, 0);  // in the table of statistics; 0: normalized along this axis
    std::vector<bool> reduced(rank, false);
    for (const int64_t axis : axes) {
        if (const auto each = normalized_axis(axis, rank)) reduced[*each] = true;
    }
    int64_t groups = 1;
    for (size_t axis = rank; axis-- > 0;) {
        if (reduced[axis]) continue;
        strides[axis] = groups;
        groups *= x.shape()[axis];
    }
    const auto group_of = [&](int64_t index) {
        int64_t group = 0;
        for (size_t axis = rank; axis-- > 0;) {
            group += index % x.shape()[axis] * strides[axis];
            index /= x.shape()[axis];
        }
        return static_cast<size_t>(group);
    };
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), x.shape()));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        const auto count = static_cast<int64_t>(src.size());
        std::vector<double> means(static_cast<size_t>(groups), 0);
        std::vector<double> squares(means.size(), 0);
        const double each = static_cast<double>(count) / static_cast<double>(std::max<int64_t>(1, groups));
        for (int64_t index = 0; index < count; ++index) means[group_of(index)] += static_cast<double>(src[index]);
        for (double& mean : means) mean /= each;
        for (int64_t index = 0; index < count; ++index) {
            const double centred = static_cast<double>(src[index]) - means[group_of(index)];
            squares[group_of(index)] += centred * centred;
        }
        for (int64_t index = 0; index < count; ++index) {
            const size_t group = group_of(index);
            // The specification's own epsilon.
            const double deviation = std::sqrt(squares[group] / each) + 1e-9;
            dst[index] = static_cast<T>((static_cast<double>(src[index]) - means[group]) / deviation);
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no normalization of ", dtype_name(x.dtype()));
}

// ---- LRN ------------------------------------------------------------------------------------------------------

Status infer_lrn(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    if (context.node().integer("size", 0) < 1) return context.fail("size is ", context.node().integer("size", 0));
    if (context.input(0).dims && context.input(0).dims->size() < 2) return context.fail("the input has no channels");
    return infer_same_as_first(context);
}

Status compute_lrn(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const Planes planes(x.shape());
    const int64_t size = std::min(context.node().integer("size", 1), 2 * planes.channels + 1);
    const double alpha = context.node().number("alpha", 1e-4) / static_cast<double>(context.node().integer("size", 1));
    const double beta = context.node().number("beta", 0.75);
    const double bias = context.node().number("bias", 1.0);
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), x.shape()));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        std::vector<double> sums(static_cast<size_t>(planes.plane));
        for (int64_t image = 0; image < planes.batch; ++image) {
            const int64_t base = image * planes.channels * planes.plane;
            for (int64_t channel = 0; channel < planes.channels; ++channel) {
                const int64_t first = std::max<int64_t>(0, channel - (size - 1) / 2);
                const int64_t last = std::min(planes.channels - 1, channel + size / 2);
                std::ranges::fill(sums, 0.0);
                for (int64_t other = first; other <= last; ++other) {
                    for (int64_t index = 0; index < planes.plane; ++index) {
                        const auto value = static_cast<double>(src[base + other * planes.plane + index]);
                        sums[static_cast<size_t>(index)] += value * value;
                    }
                }
                for (int64_t index = 0; index < planes.plane; ++index) {
                    const int64_t at = base + channel * planes.plane + index;
                    const double divisor = std::pow(bias + alpha * sums[static_cast<size_t>(index)], beta);
                    dst[at] = static_cast<T>(static_cast<double>(src[at]) / divisor);
                }
            }
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no normalization of ", dtype_name(x.dtype()));
}

}  // namespace

extern const OpImplementation kBatchNormalizationOp{infer_batch_normalization, nullptr, compute_batch_normalization};
extern const OpImplementation kInstanceNormalizationOp{infer_by_channel, prepare_by_channel, compute_by_channel};
extern const OpImplementation kGroupNormalizationOp{infer_by_channel, prepare_by_channel, compute_by_channel};
extern const OpImplementation kMeanVarianceNormalizationOp{infer_mean_variance, nullptr, compute_mean_variance};
extern const OpImplementation kLRNOp{infer_lrn, nullptr, compute_lrn};

}  // namespace quoin
