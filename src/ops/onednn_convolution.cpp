// ChannelsLastConv and ChannelsLastIntegerConv by oneDNN. A task is a band of output rows of one image (of a
// convolution with one tap: a run of positions of all images), and runs a primitive made for bands of that size with
// the padding that falls on it.
#include <algorithm>
#include <cstring>
#include <map>

#include "core/rounding.h"
#include "ops/band.h"
#include "ops/convolution_provider.h"
#include "ops/onednn.h"
#include "ops/providers.h"

namespace quoin {
namespace {

using onednn::ConvolutionSpec;
using onednn::Operand;

// Multiply-adds of a band at least: to run a primitive takes about a microsecond.
constexpr double kLeastBandWork = 256 * 1024;
// A multiply-add of a depthwise convolution, which is bound by memory, in those of another.
constexpr double kDepthwiseCost = 8;

// Bytes of results that wait in the second-level cache for an activation of ours.
constexpr int64_t kWaitingBytes = 192 << 10;

using Axes = std::vector<size_t>;

// Neither taps nor steps nor padding along this axis.
bool is_pointwise(const SlidingWindow& window, size_t axis) {
    const bool padded = window.padding == SlidingWindow::Padding::Explicit &&
                        (window.pad_begin[axis] != 0 || window.pad_end[axis] != 0);
    return window.kernel[axis] == 1 && window.step[axis] == 1 && !padded;
}

// The spatial axes that oneDNN is shown, which are those that matter: its kernels take the positions of the last axis
// together, and where that has the size 1 a tenth of their speed is left. None: all positions of all images are one
// row.
Axes axes_of(const ConvolutionProblem& problem, const std::optional<std::vector<Dim>>& dims) {
    const SlidingWindow& window = problem.window;
    Axes axes;
    bool flat = problem.group == 1;
    for (size_t axis = 0; axis < window.axes; ++axis) {
        const bool pointwise = is_pointwise(window, axis);
        flat = flat && pointwise;
        const bool unit = dims && dims->size() == window.axes + 2 && (*dims)[axis + 1].size == 1;
        if (!pointwise || !unit) axes.push_back(axis);
    }
    if (flat) return {};
    if (axes.empty()) axes.push_back(0);
    return axes;
}

// Concrete sizes of one image along these axes.
struct Sizes {
    std::vector<int64_t> src;
    std::vector<int64_t> dst;
};

Sizes sizes_of(const Axes& axes, const Shape& src, const Shape& dst) {
    Sizes sizes;
    for (const size_t axis : axes) {
        sizes.src.push_back(src[axis + 1]);
        sizes.dst.push_back(dst[axis + 1]);
    }
    if (axes.empty()) {
        int64_t positions = 1;
        for (size_t axis = 0; axis + 1 < dst.rank(); ++axis) positions *= dst[axis];
        sizes.src = sizes.dst = {positions};
    }
    return sizes;
}

Band band_for(const ConvolutionProblem& problem, const Axes& axes, const Sizes& sizes, int64_t first, int64_t count) {
    if (axes.empty()) return {first, count, first, count, 0, 0};
    return band_of(problem.window, axes[0], sizes.src[0], first, count);
}

// Whether SiLU is computed by the own kernel on bands that were just written: half the time of oneDNN's.
bool has_own_swish(const ConvolutionQuery& query) {
    return query.activation.kind == ActivationKind::Silu && !query.residual_last;
}

// What is the same for all sizes.
ConvolutionSpec spec_of(const ConvolutionQuery& query) {
    ConvolutionSpec spec;
    spec.group = query.problem.group;
    spec.src_dtype = query.arithmetic;
    spec.weight_dtype = query.arithmetic;
    spec.bias = query.has_input(channels_last_conv::kBias);
    spec.residual = query.has_input(channels_last_conv::kResidual);
    spec.residual_last = query.residual_last;
    if (!has_own_swish(query)) spec.activation = query.activation;
    return spec;
}

ConvolutionSpec spec_for(ConvolutionSpec spec, const ConvolutionProblem& problem, const Axes& axes, const Sizes& sizes,
                         const Band& band) {
    const SlidingWindow& window = problem.window;
    spec.src = {1, problem.channels * problem.group, band.src_count};
    spec.dst = {1, problem.columns * problem.group, band.count};
    spec.kernel = spec.step = spec.dilation = {1};
    spec.pad_begin = {band.pad_begin};
    spec.pad_end = {band.pad_end};
    for (size_t index = 0; index < axes.size(); ++index) {
        const size_t axis = axes[index];
        if (index > 0) {
            spec.src.push_back(sizes.src[index]);
            spec.dst.push_back(sizes.dst[index]);
            spec.pad_begin.push_back(window.begin(axis, sizes.src[index]));
            spec.pad_end.push_back(window.end(axis, sizes.src[index]));
        }
        for (auto* const each : {&spec.kernel, &spec.step, &spec.dilation}) each->resize(index + 1);
        spec.kernel[index] = window.kernel[axis];
        spec.step[index] = window.step[axis];
        spec.dilation[index] = window.dilation[axis];
    }
    return spec;
}

// With sizes to choose the weight's format for: those of the graph, where it knows them.
ConvolutionSpec typical_spec(const ConvolutionSpec& spec, const ConvolutionProblem& problem,
                             const std::optional<std::vector<Dim>>& dims) {
    constexpr int64_t kTypical = 56;
    std::vector<int64_t> src{1};
    std::vector<int64_t> dst{1};
    for (size_t axis = 0; axis < problem.window.axes; ++axis) {
        const Dim dim = dims && dims->size() == problem.window.axes + 2 ? (*dims)[axis + 1] : Dim{};
        int64_t size = dim.known() ? dim.size : std::max(kTypical, problem.window.extent(axis));
        if (problem.window.output_size(axis, size) < 1) size = problem.window.extent(axis);
        src.push_back(size);
        dst.push_back(problem.window.output_size(axis, size));
    }
    if (problem.window.axes == 0) src[0] = dst[0] = kTypical;  // rows of a matrix
    src.push_back(problem.channels * problem.group);
    dst.push_back(problem.columns * problem.group);
    const Axes axes = axes_of(problem, dims);
    const Sizes sizes = sizes_of(axes, Shape(std::span<const int64_t>(src)), Shape(std::span<const int64_t>(dst)));
    return spec_for(spec, problem, axes, sizes, band_for(problem, axes, sizes, 0, sizes.dst[0]));
}

// ---- Run ------------------------------------------------------------------------------------------------------

class Plan final : public PlannedState {
public:
    struct Part {
        Band band;
        onednn::PrimitivePtr primitive;
        onednn::PrimitivePtr rounding;      // of the source to bf16; null in f32
        std::shared_ptr<const Buffer> own;  // the weight in another format than the packed one; mostly null
    };
    std::vector<Part> parts;  // of one image, in order
    int64_t src_row = 0;      // values of one step along the first axis
    int64_t dst_row = 0;
    int64_t src_image = 0;  // values of an image
    int64_t dst_image = 0;
    int64_t rounded_bytes = 0;  // of the source in scratch
};

// What is done to a band when its primitive has run; null: nothing.
struct OwnSwish {
    decltype(KernelTable::swish_row) row = nullptr;
    float alpha = 1;
};

class OneDnnConvolution final : public PreparedNode {
public:
    OneDnnConvolution(const ConvolutionProblem& problem, Axes axes, ConvolutionSpec spec, const Runtime& runtime,
                      onednn::Choice choice, const OwnSwish& swish)
        : problem_(problem),
          axes_(std::move(axes)),
          spec_(std::move(spec)),
          is_integer_(!spec_.integers.scales.empty()),
          runtime_(runtime),
          choice_(std::move(choice)),
          swish_(swish) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Shape& src = arguments.inputs[0].shape;
        const Shape& dst = arguments.outputs[0].shape;
        Work work;
        work.tasks = 0;
        if (dst.element_count().value_or(0) == 0) return work;
        const ConvolutionProblem& problem = problem_;
        const Sizes sizes = sizes_of(axes_, src, dst);
        auto plan = std::make_shared<Plan>();
        const int64_t images = axes_.empty() ? 1 : dst[0];
        plan->src_row = problem.channels * problem.group;
        plan->dst_row = problem.columns * problem.group;
        for (size_t axis = 1; axis < sizes.src.size(); ++axis) {
            plan->src_row *= sizes.src[axis];
            plan->dst_row *= sizes.dst[axis];
        }
        plan->src_image = plan->src_row * sizes.src[0];
        plan->dst_image = plan->dst_row * sizes.dst[0];

        const double cost = problem.is_depthwise() ? kDepthwiseCost : 1;
        const double work_of_image = static_cast<double>(plan->dst_image) * static_cast<double>(problem.inner()) * cost;
        int64_t bands = divide_up(threads, images);
        bands =
            std::min({bands, sizes.dst[0], std::max<int64_t>(1, static_cast<int64_t>(work_of_image / kLeastBandWork))});
        if (swish_.row != nullptr) {
            const int64_t most = std::max<int64_t>(1, kWaitingBytes / (plan->dst_row * int64_t{sizeof(float)}));
            bands = align_up(std::max(bands, divide_up(sizes.dst[0], most)), bands);
        }
        const int64_t rows = divide_up(sizes.dst[0], bands);
        std::map<decltype(std::declval<Band>().kind()), Plan::Part> made;
        for (int64_t first = 0; first < sizes.dst[0]; first += rows) {
            const Band band = band_for(problem, axes_, sizes, first, std::min(rows, sizes.dst[0] - first));
            auto found = made.find(band.kind());
            if (found == made.end()) {
                QUOIN_ASSIGN_OR_RETURN(Plan::Part part, make_part(spec_for(spec_, problem_, axes_, sizes, band), *plan,
                                                                  band, arguments.inputs[1], threads));
                found = made.emplace(band.kind(), std::move(part)).first;
            }
            plan->parts.push_back(found->second);
            plan->parts.back().band = band;
        }
        for (const auto& [kind, part] : made) {
            if (spec_.src_dtype == DType::BF16) {
                plan->rounded_bytes =
                    std::max(plan->rounded_bytes, align_up(part.band.src_count * plan->src_row * 2, 64));
            }
            work.scratch_bytes = std::max(work.scratch_bytes, part.primitive->scratch_bytes());
            if (part.rounding) work.scratch_bytes = std::max(work.scratch_bytes, part.rounding->scratch_bytes());
        }
        work.scratch_bytes += plan->rounded_bytes;
        work.tasks = images * static_cast<int64_t>(plan->parts.size());
        work.state = std::move(plan);
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const auto& plan = static_cast<const Plan&>(*arguments.work.state);
        const auto parts = static_cast<int64_t>(plan.parts.size());
        const int64_t image = task / parts;
        const Plan::Part& part = plan.parts[static_cast<size_t>(task % parts)];
        const int64_t src_offset = image * plan.src_image + part.band.src_first * plan.src_row;
        const int64_t dst_offset = image * plan.dst_image + part.band.first * plan.dst_row;
        const auto input = [&](size_t index) -> const std::byte* {
            return index < arguments.inputs.size() ? arguments.inputs[index].data : nullptr;
        };
        onednn::Pointers pointers{};
        const auto set = [&](Operand operand, const std::byte* place) {
            pointers[static_cast<size_t>(operand)] = place;
        };
        const int64_t src_bytes = is_integer_ ? 1 : sizeof(float);
        set(Operand::Src, input(0) + src_offset * src_bytes);
        if (part.rounding) {
            QUOIN_RETURN_IF_ERROR(part.rounding->run(pointers, scratch, scratch + plan.rounded_bytes));
            set(Operand::Src, scratch);
        }
        set(Operand::Weights, part.own ? part.own->data() : input(1));
        const int64_t dst_bytes = spec_.dst_dtype == DType::F32 ? sizeof(float) : 1;
        std::byte* const dst = arguments.outputs[0].data + dst_offset * dst_bytes;
        if (!is_integer_) {
            set(Operand::Bias, input(channels_last_conv::kBias));
            set(Operand::Slopes, input(channels_last_conv::kSlopes));
            if (const std::byte* residual = input(channels_last_conv::kResidual)) {
                // Mostly it lies there already.
                residual += dst_offset * dst_bytes;
                const auto bytes = static_cast<size_t>(part.band.count * plan.dst_row) * sizeof(float);
                if (residual != dst) std::memcpy(dst, residual, bytes);
            }
        }
        QUOIN_RETURN_IF_ERROR(part.primitive->run(pointers, dst, scratch + plan.rounded_bytes));
        if (swish_.row != nullptr) {
            auto* const values = reinterpret_cast<float*>(dst);
            swish_.row(values, part.band.count * plan.dst_row, swish_.alpha, 0, values);
        }
        return {};
    }

    std::string label() const override {
        return "onednn: " + choice_.name + (swish_.row == nullptr ? "" : ", then swish_row");
    }

private:
    Result<Plan::Part> make_part(const ConvolutionSpec& spec, const Plan& plan, const Band& band,
                                 const TensorView& weight, int threads) const {
        Plan::Part part{band, nullptr, nullptr, nullptr};
        Result<onednn::PrimitivePtr> primitive = onednn::make_convolution(spec, choice_.format, threads);
        if (!primitive.ok() || !(*primitive)->is_fast()) {
            // For other sizes than those it was packed for, oneDNN may want the weight in another format.
            QUOIN_ASSIGN_OR_RETURN(const onednn::Choice other, onednn::choose_convolution(spec));
            primitive = onednn::make_convolution(spec, other.format, threads);
            QUOIN_RETURN_IF_ERROR(primitive.status());
            QUOIN_ASSIGN_OR_RETURN(
                Buffer own, Buffer::allocate(runtime_.memory, static_cast<size_t>(onednn::weight_bytes(other.format)),
                                             "a weight in another format"));
            QUOIN_RETURN_IF_ERROR(onednn::reorder_weights(choice_.format, weight.data, other.format, own.data()));
            part.own = std::make_shared<const Buffer>(std::move(own));
        }
        part.primitive = *std::move(primitive);
        if (spec_.src_dtype == DType::BF16) {
            QUOIN_ASSIGN_OR_RETURN(part.rounding, onednn::make_rounding(band.src_count * plan.src_row, threads));
        }
        return part;
    }

    ConvolutionProblem problem_;
    Axes axes_;
    ConvolutionSpec spec_;
    bool is_integer_;
    const Runtime& runtime_;
    onednn::Choice choice_;
    OwnSwish swish_;
};

// ---- Weights --------------------------------------------------------------------------------------------------

// `spec` with typical sizes; `weight` is plain.
Result<Constant> packed(const Runtime& runtime, const ConvolutionSpec& spec, const Constant& weight,
                        std::string_view name) {
    QUOIN_ASSIGN_OR_RETURN(const onednn::Choice choice, onednn::choose_convolution(spec));
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, weight.load());
    const auto element = static_cast<int64_t>(byte_size(spec.weight_dtype, 1).value_or(1));
    const int64_t elements = divide_up(onednn::weight_bytes(choice.format), element);
    QUOIN_ASSIGN_OR_RETURN(Tensor result, Tensor::allocate(runtime.memory, spec.weight_dtype, {elements}, name));
    QUOIN_RETURN_IF_ERROR(onednn::reorder_weights(spec, weight.dtype(), src.data(), choice.format, result.data()));
    weight.release_source(0, weight.byte_size());
    return Constant(result, weight.shape(), Layout::Foreign);
}

// `typical`: the spec that its weight was packed for.
Result<std::unique_ptr<PreparedNode>> prepared(const PrepareContext& context, const ConvolutionProblem& problem,
                                               const ConvolutionSpec& typical, const OwnSwish& swish = {}) {
    QUOIN_ASSIGN_OR_RETURN(onednn::Choice choice, onednn::choose_convolution(typical));
    if (onednn::weight_bytes(choice.format) > static_cast<int64_t>(context.constant(1)->byte_size())) {
        return context.fail(StatusCode::Internal, "its weight was packed for other sizes");
    }
    return std::unique_ptr<PreparedNode>(
        std::make_unique<OneDnnConvolution>(problem, axes_of(problem, context.graph.value(context.node.inputs[0]).dims),
                                            typical, context.runtime, std::move(choice), swish));
}

bool is_fast(const ConvolutionSpec& spec) {
    const Result<onednn::Choice> choice = onednn::choose_convolution(spec);
    return choice.ok() && choice->fast;
}

// ---- Floats ---------------------------------------------------------------------------------------------------

ConvolutionSpec typical_spec(const ConvolutionQuery& query) {
    return typical_spec(spec_of(query), query.problem, query.dims(0));
}

// The residual has the dims of the result, whatever they will be.
bool is_same_size(const ConvolutionQuery& query) {
    if (!query.has_input(channels_last_conv::kResidual)) return true;
    const auto& residual = query.dims(channels_last_conv::kResidual);
    const auto& result = query.context.graph.value(query.context.node.outputs[0]).dims;
    return residual && result && *residual == *result;
}

bool take(const ConvolutionQuery& query) {
    if (query.arithmetic == DType::BF16 && !has_bf16_products(query.context.runtime.isa)) return false;
    return has_bands(query.problem.window) && onednn::has_activation(query.activation) && is_same_size(query) &&
           is_fast(typical_spec(query));
}

Result<Constant> pack(const ConvolutionQuery& query, const Constant& weight, std::string_view name) {
    return packed(query.context.runtime, typical_spec(query), weight, name);
}

Result<std::unique_ptr<PreparedNode>> prepare(const ConvolutionQuery& query) {
    OwnSwish swish;
    if (has_own_swish(query)) swish = {query.context.kernels().swish_row, query.activation.alpha};
    return prepared(query.context, query.problem, typical_spec(query), swish);
}

// ---- Integers -------------------------------------------------------------------------------------------------

template <class T>
Result<std::vector<T>> values_of(const PrepareContext& context, size_t input) {
    const Constant* const constant = context.constant(input);
    if (constant == nullptr) return context.fail(StatusCode::Unsupported, "an operand is no constant");
    QUOIN_ASSIGN_OR_RETURN(const Tensor tensor, constant->load());
    const auto values = tensor.as<const T>();
    return std::vector<T>(values.begin(), values.end());
}

// Unsupported where oneDNN has no like.
Result<ConvolutionSpec> typical_spec(const IntegerConvolutionQuery& query) {
    const PrepareContext& context = query.context;
    const Node& node = context.node;
    ConvolutionSpec spec;
    spec.group = query.problem.group;
    spec.src_dtype = context.graph.value(node.inputs[integer_conv::kX]).dtype;
    spec.weight_dtype = DType::I8;
    spec.dst_dtype = query.to;
    spec.activation = query.activation;
    onednn::Requantization& integers = spec.integers;
    QUOIN_ASSIGN_OR_RETURN(integers.scales, values_of<float>(context, integer_conv::kScales));
    integers.bias.assign(integers.scales.size(), 0.0);
    if (query.has_input(integer_conv::kBias)) {
        QUOIN_ASSIGN_OR_RETURN(const auto bias, values_of<int32_t>(context, integer_conv::kBias));
        for (size_t index = 0; index < bias.size(); ++index) integers.bias[index] += bias[index];
    }
    if (query.has_input(integer_conv::kFloatBias)) {
        QUOIN_ASSIGN_OR_RETURN(const auto bias, values_of<float>(context, integer_conv::kFloatBias));
        for (size_t index = 0; index < bias.size(); ++index) {
            if (integers.scales[index] == 0) return context.fail(StatusCode::Unsupported, "a scale is zero");
            integers.bias[index] += double{bias[index]} / double{integers.scales[index]};
        }
    }
    integers.src_zero_point = static_cast<int32_t>(node.integer("x_zero_point", 0));
    if (query.to != DType::F32) {
        integers.dst_zero_point = query.zero_point;
        integers.lowest = static_cast<float>(query.lowest - query.zero_point);
        integers.highest = static_cast<float>(query.highest - query.zero_point);
    }
    return typical_spec(spec, query.problem, context.graph.value(node.inputs[integer_conv::kX]).dims);
}

bool take_integers(const IntegerConvolutionQuery& query) {
    // Without VNNI its sums of byte products may saturate.
    if (!isa_includes(query.context.runtime.isa, Isa::Avx512Vnni) || !has_bands(query.problem.window)) return false;
    if (query.context.constant(integer_conv::kWeight)->dtype() != DType::I8) return false;
    for (const size_t input : {integer_conv::kWeightZeros, integer_conv::kXScale, integer_conv::kXZero}) {
        if (query.has_input(input)) return false;
    }
    if (!onednn::has_activation(query.activation) || query.activation.kind == ActivationKind::PRelu) return false;
    const Result<ConvolutionSpec> spec = typical_spec(query);
    return spec.ok() && is_fast(*spec);
}

Result<Constant> pack_integers(const IntegerConvolutionQuery& query, const Constant& weight, std::string_view name) {
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionSpec spec, typical_spec(query));
    return packed(query.context.runtime, spec, weight, name);
}

Result<std::unique_ptr<PreparedNode>> prepare_integers(const IntegerConvolutionQuery& query) {
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionSpec spec, typical_spec(query));
    return prepared(query.context, query.problem, spec);
}

}  // namespace

extern const ConvolutionProvider kOneDnnConvolution{Provider::OneDnn, take, pack, prepare};
extern const IntegerConvolutionProvider kOneDnnIntegerConvolution{Provider::OneDnn, take_integers, pack_integers,
                                                                  prepare_integers};

}  // namespace quoin
