// RMSNormalization and LayerNormalization (ONNX): over the axes from `axis` on,
//   y = x / sqrt(mean(x^2) + epsilon) * scale            and
//   y = (x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias.
// Scale and bias broadcast to x.
#include <algorithm>
#include <cmath>

#include "core/rounding.h"
#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

constexpr int64_t kTaskElements = 4096;

Result<size_t> first_axis(const Node& node, size_t rank) {
    const std::optional<size_t> axis = normalized_axis(node.integer("axis", -1), rank);
    if (!axis) return node_error(node, "axis is out of range");
    return *axis;
}

// Whether `parameter` is the normalized shape itself, whatever the dims of x turn out to be.
bool is_normalized_shape(const std::vector<Dim>& parameter, const std::vector<Dim>& x, size_t axis) {
    if (parameter.size() != x.size() - axis) return false;
    for (size_t index = 0; index < parameter.size(); ++index) {
        const Dim dim = parameter[index];
        const Dim wanted = x[axis + index];
        // A dim of 1 is broadcast unless x is known to have a 1 there.
        if (!dim.known() || !(dim == wanted || (dim.size != 1 && !wanted.known()))) return false;
    }
    return true;
}

// Fails unless the parameter broadcasts to x.
Status check_parameter(const InferContext& context, size_t index, std::string_view name) {
    if (!context.has_input(index) || !context.input(index).dims || !context.input(0).dims) return {};
    const auto& parameter = *context.input(index).dims;
    const auto& x = *context.input(0).dims;
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, first_axis(context.node(), x.size()));
    if (is_normalized_shape(parameter, x, axis)) return {};
    bool fits = parameter.size() <= x.size();
    for (size_t back = 1; fits && back <= parameter.size(); ++back) {
        const Dim dim = parameter[parameter.size() - back];
        fits = dim.size == 1 || may_equal(dim, x[x.size() - back]);
    }
    if (fits) return {};
    int64_t values = 1;
    int64_t wanted = 1;
    for (const Dim& dim : parameter) values *= dim.size;
    for (size_t each = axis; each < x.size(); ++each) wanted *= x[each].size;
    return context.fail("the ", name, " has ", values, " values for ", wanted);
}

Status infer_rms_normalization(InferContext& context) {
    for (const size_t index : {size_t{0}, size_t{1}}) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    }
    if (context.input(0).dims)
        QUOIN_RETURN_IF_ERROR(first_axis(context.node(), context.input(0).dims->size()).status());
    QUOIN_RETURN_IF_ERROR(check_parameter(context, 1, "scale"));
    context.set_output(0, context.input(1).dtype, context.input(0).dims);
    return {};
}

Status infer_layer_normalization(InferContext& context) {
    for (size_t index = 0; index < 3; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    }
    const auto stash = dtype_from_number(static_cast<uint32_t>(context.node().integer("stash_type", 1)));
    if (stash != DType::F32 && stash != DType::F64 && stash != DType::F16 && stash != DType::BF16) {
        return context.fail("stash_type is ", context.node().integer("stash_type", 1));
    }
    const auto& x = context.input(0).dims;
    std::optional<std::vector<Dim>> statistics = x;
    if (x) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis, first_axis(context.node(), x->size()));
        for (size_t each = axis; each < x->size(); ++each) (*statistics)[each] = {.size = 1};
    }
    QUOIN_RETURN_IF_ERROR(check_parameter(context, 1, "scale"));
    QUOIN_RETURN_IF_ERROR(check_parameter(context, 2, "bias"));
    context.set_output(0, context.input(0).dtype, x);
    context.set_output(1, *stash, statistics);
    context.set_output(2, *stash, std::move(statistics));
    return {};
}

// ---- f32, parameters of the normalized shape ------------------------------------------------------------------

// `count` values of each row are normalized together.
class FloatNormalization final : public PreparedNode {
public:
    FloatNormalization(const KernelTable& kernels, bool layer, float epsilon)
        : rms_(kernels.rms_norm), layer_(layer ? kernels.layer_norm : nullptr), epsilon_(epsilon) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const int64_t count = std::max<int64_t>(1, arguments.inputs[1].elements());
        const int64_t rows = arguments.outputs[0].elements() / count;
        const int64_t grain = std::max<int64_t>(1, kTaskElements / count);
        return Work{.tasks = divide_up(rows, grain), .grain = {grain, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t count = arguments.inputs[1].elements();
        const int64_t rows = arguments.outputs[0].elements() / count;
        const int64_t begin = task * arguments.work.grain[0];
        const int64_t end = std::min(begin + arguments.work.grain[0], rows);
        const auto* const scale = arguments.inputs[1].as<float>();
        const float* const bias = arguments.inputs.size() > 2 ? arguments.inputs[2].as<float>() : nullptr;
        for (int64_t row = begin; row < end; ++row) {
            const float* const src = arguments.inputs[0].as<float>() + row * count;
            float* const dst = arguments.outputs[0].as<float>() + row * count;
            if (layer_ != nullptr) {
                layer_(src, scale, bias, epsilon_, count, dst);
            } else {
                rms_(src, scale, epsilon_, count, dst);
            }
        }
        return {};
    }

private:
    decltype(KernelTable::rms_norm) rms_;
    decltype(KernelTable::layer_norm) layer_;  // null: RMSNormalization
    float epsilon_;
};

// Null where something is broadcast, not f32, or the statistics are wanted too.
Result<std::unique_ptr<PreparedNode>> prepare(const PrepareContext& context, bool layer) {
    std::unique_ptr<PreparedNode> none;
    const auto& x = context.graph.value(context.node.inputs[0]).dims;
    if (!x) return none;
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, first_axis(context.node, x->size()));
    for (size_t index = 0; index < context.node.inputs.size(); ++index) {
        if (context.node.inputs[index] == kNoValue) continue;
        const Value& value = context.graph.value(context.node.inputs[index]);
        if (value.dtype != DType::F32) return none;
        if (index > 0 && (!value.dims || !is_normalized_shape(*value.dims, *x, axis))) return none;
    }
    for (size_t index = 1; index < context.node.outputs.size(); ++index) {
        if (context.node.outputs[index] != kNoValue) return none;
    }
    const auto epsilon = static_cast<float>(context.node.number("epsilon", 1e-5));
    return std::unique_ptr<PreparedNode>(std::make_unique<FloatNormalization>(context.kernels(), layer, epsilon));
}

Result<std::unique_ptr<PreparedNode>> prepare_rms_normalization(const PrepareContext& context) {
    return prepare(context, false);
}
Result<std::unique_ptr<PreparedNode>> prepare_layer_normalization(const PrepareContext& context) {
    return prepare(context, true);
}

// ---- Everything else ------------------------------------------------------------------------------------------

// Where the elements of a parameter stand that belong to the elements of x in order.
std::vector<int64_t> broadcast_offsets(const Shape& parameter, const Shape& x) {
    std::vector<int64_t> offsets(static_cast<size_t>(product(x.dims())), 0);
    int64_t stride = 1;
    int64_t inner = 1;  // elements of x between neighbours along the axis
    for (size_t back = 1; back <= parameter.rank(); ++back) {
        const int64_t dim = parameter[parameter.rank() - back];
        const int64_t size = x[x.rank() - back];
        if (dim != 1) {
            for (size_t index = 0; index < offsets.size(); ++index) {
                offsets[index] += static_cast<int64_t>(index) / inner % size * stride;
            }
        }
        stride *= dim;
        inner *= size;
    }
    return offsets;
}

Status compute(ComputeContext& context, bool layer) {
    const Tensor& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, first_axis(context.node(), x.shape().rank()));
    const int64_t count = product(x.shape().dims().subspan(axis));
    const int64_t rows = product(x.shape().dims().first(axis));
    const double epsilon = context.node().number("epsilon", 1e-5);
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, layer ? x.dtype() : context.input(1).dtype(), x.shape()));
    Tensor mean_tensor;
    Tensor inverse_tensor;
    if (layer) {
        const auto stash = dtype_from_number(static_cast<uint32_t>(context.node().integer("stash_type", 1)));
        Shape shape = x.shape();
        for (size_t each = axis; each < shape.rank(); ++each) shape[each] = 1;
        if (context.wants_output(1)) {
            QUOIN_ASSIGN_OR_RETURN(mean_tensor, context.output(1, *stash, shape));
        }
        if (context.wants_output(2)) {
            QUOIN_ASSIGN_OR_RETURN(inverse_tensor, context.output(2, *stash, shape));
        }
    }
    const std::vector<int64_t> scales = broadcast_offsets(context.input(1).shape(), x.shape());
    const bool biased = layer && context.has_input(2);
    const std::vector<int64_t> biases =
        biased ? broadcast_offsets(context.input(2).shape(), x.shape()) : std::vector<int64_t>();
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> scale(context.input(1));
        const ReadAs<T> bias(context.input(2));
        WriteAs<T> dst(y);
        WriteAs<T> means(mean_tensor);
        WriteAs<T> inverses(inverse_tensor);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t first = row * count;
            double mean = 0;
            for (int64_t index = 0; layer && index < count; ++index) mean += static_cast<double>(src[first + index]);
            mean /= static_cast<double>(count);
            double squares = 0;
            for (int64_t index = 0; index < count; ++index) {
                const double centred = static_cast<double>(src[first + index]) - mean;
                squares += centred * centred;
            }
            const double inverse = 1 / std::sqrt(squares / static_cast<double>(count) + epsilon);
            for (int64_t index = first; index < first + count; ++index) {
                const double normal = (static_cast<double>(src[index]) - mean) * inverse;
                const auto at = static_cast<size_t>(index);
                dst[index] = static_cast<T>(normal) * scale[scales[at]] + (biased ? bias[biases[at]] : T{});
            }
            if (means.size() != 0) means[row] = static_cast<T>(mean);
            if (inverses.size() != 0) inverses[row] = static_cast<T>(inverse);
        }
        dst.store();
        means.store();
        inverses.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no normalization of ", dtype_name(x.dtype()));
}

Status compute_rms_normalization(ComputeContext& context) {
    return compute(context, false);
}
Status compute_layer_normalization(ComputeContext& context) {
    return compute(context, true);
}

}  // namespace

extern const OpImplementation kRMSNormalizationOp{infer_rms_normalization, prepare_rms_normalization,
                                                  compute_rms_normalization};
extern const OpImplementation kLayerNormalizationOp{infer_layer_normalization, prepare_layer_normalization,
                                                    compute_layer_normalization};

}  // namespace quoin
