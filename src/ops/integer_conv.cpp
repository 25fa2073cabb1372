// ChannelsLastIntegerConv (quoin).
//
// ChannelsLastIntegerConv(x, weight, scales [OC], bias i32 [OC]?, weight zero points i32 [OC]?, float bias [OC]?,
// x scale?, x zero point?) {ONNX Conv's attributes, x_zero_point, to, zero_point, lowest, highest, activation...}
//
// x is u8 or i8 [N, spatial..., C] and the weight [OC, C / group, kernel...], or x [..., C] and the weight a matrix
// [OC, C]; the weight is an i8 or u8 constant that pack_convolutions has packed (unsigned ones, and their zero points,
// less 128). With sum = bias + sum of (x - x zero point) * (weight - weight zero point), exact in 32 bits:
//   to = u8, i8: saturate(round(sum * scales) + zero_point), then within lowest..highest
//   to = f32:    activation(sum * scales * x scale + float bias)
// x scale (f32) and x zero point (of x's type) are single numbers that are only known when it runs; without them the
// scales hold the one and the attribute x_zero_point is the other.
#include <algorithm>
#include <cstring>
#include <limits>

#include "ops/activation.h"
#include "ops/channels_last_conv.h"
#include "ops/convolution_provider.h"
#include "ops/providers.h"

namespace quoin {
namespace {

using namespace integer_conv;

DType result_type(const Node& node) {
    return dtype_from_number(static_cast<uint32_t>(node.integer("to", 0))).value_or(DType::Undefined);
}

Status infer_integer_convolution(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(kX, {DType::U8, DType::I8}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(kWeight, {DType::U8, DType::I8}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(kXZero, {context.input(kX).dtype}));
    for (const size_t input : {kScales, kFloatBias, kXScale}) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(input, {DType::F32}));
    }
    for (const size_t input : {kBias, kWeightZeros}) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(input, {DType::I32}));
    }
    const DType to = result_type(context.node());
    if (to != DType::U8 && to != DType::I8 && to != DType::F32) return context.fail("'to' is no type it can make");
    if (to != DType::F32 && context.has_input(kXScale))
        return context.fail("a scale known when it runs makes f32 only");
    const std::optional<Shape> weight = known_shape(context.input(kWeight));
    if (!weight) return context.fail("the weight is no constant");
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionProblem problem, read_convolution(context.node(), *weight));
    QUOIN_ASSIGN_OR_RETURN(const Activation activation, read_activation(context.node()));
    if (activation.kind == ActivationKind::PRelu) return context.fail("it has no slopes for PRelu");
    for (const size_t input : {kScales, kBias, kWeightZeros, kFloatBias}) {
        QUOIN_RETURN_IF_ERROR(expect_vector(context, input, (*weight)[0], "vector"));
    }
    for (const size_t input : {kXScale, kXZero}) {
        if (!context.has_input(input) || !context.input(input).is_static()) continue;
        for (const Dim& dim : *context.input(input).dims) {
            if (dim.size != 1) return context.fail("scale and zero point of x are no single numbers");
        }
    }
    const auto& x = context.input(kX).dims;
    if (!x) {
        context.set_output(0, to, std::nullopt);
        return {};
    }
    const Result<std::vector<Dim>> dims = convolution_output(problem, *x);
    if (!dims.ok()) return context.fail(dims.status().message());
    context.set_output(0, to, *dims);
    return {};
}

class IntegerConvolution final : public PreparedNode {
public:
    explicit IntegerConvolution(const IntegerConvolutionQuery& query)
        : problem_(query.problem),
          activation_(query.activation),
          to_(query.to),
          x_zero_point_(static_cast<int32_t>(query.context.node.integer("x_zero_point", 0))),
          zero_point_(query.zero_point),
          lowest_(query.lowest),
          highest_(query.highest),
          convolution_(query.context.kernels().convolution_integer),
          depthwise_(query.context.kernels().depthwise_integer),
          isa_(query.context.runtime.isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Shape& dst = arguments.outputs[0].shape;
        Work work{};
        if (problem_.is_depthwise()) {
            work = cut_depthwise(problem_, dst, threads);
        } else {
            const int64_t rows = integer_convolution_block_rows(problem_.inner(), problem_.columns);
            work = cut_convolution(problem_, dst, rows, threads);
            work.scratch_bytes = integer_convolution_scratch_bytes(problem_.inner(), problem_.columns);
        }
        if (input(arguments, kXScale) != nullptr) work.scratch_bytes += scales_bytes();
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& src = arguments.inputs[kX];
        const Image image = image_of(problem_, src.shape, arguments.outputs[0].shape);
        const ConvolutionTask part = convolution_task(problem_, arguments.work, image.positions, task);
        const float* scales = arguments.inputs[kScales].as<float>();
        if (const TensorView* const x_scale = input(arguments, kXScale)) {
            auto* const scaled = reinterpret_cast<float*>(scratch);
            const int64_t columns = problem_.columns * problem_.group;
            for (int64_t column = 0; column < columns; ++column)
                scaled[column] = scales[column] * *x_scale->as<float>();
            scales = scaled;
            scratch += scales_bytes();
        }
        if (problem_.is_depthwise()) {
            IntegerDepthwiseArgs args{};
            fill(args, arguments, image, part, 0, scales);
            args.channels = src.columns();
            args.multiplier = problem_.columns;
            args.weights = arguments.inputs[kWeight].data;
            depthwise_(args);
            return {};
        }
        IntegerConvolutionArgs args{};
        const int64_t column = part.panel * kPanelColumns;
        fill(args, arguments, image, part, part.group * problem_.columns + column, scales);
        args.src += part.group * problem_.channels;
        args.channels = problem_.channels;
        args.panel_stride = panel_bytes_int8(problem_.inner());
        args.weights =
            arguments.inputs[kWeight].data + (part.group * problem_.panels() + part.panel) * args.panel_stride;
        args.columns = std::min(part.panels * kPanelColumns, problem_.columns - column);
        args.scratch = scratch;
        convolution_(args);
        return {};
    }

    std::string label() const override {
        if (problem_.is_depthwise()) {
            return "depthwise_integer [" + std::string(isa_name(kernel_isa(Kernel::depthwise_integer, isa_))) + "]";
        }
        return "convolution_integer [" + std::string(isa_name(kernel_isa(Kernel::convolution_integer, isa_))) + "]";
    }

private:
    int64_t scales_bytes() const { return (problem_.columns * problem_.group * 4 + 63) / 64 * 64; }

    static const TensorView* input(const Arguments& arguments, size_t index) {
        const bool given = index < arguments.inputs.size() && arguments.inputs[index].dtype != DType::Undefined;
        return given ? &arguments.inputs[index] : nullptr;
    }

    // What both kernels share; `column` is the first one of the result.
    template <class Args>
    void fill(Args& args, const Arguments& arguments, const Image& image, const ConvolutionTask& part, int64_t column,
              const float* scales) const {
        const TensorView& src = arguments.inputs[kX];
        const TensorView& dst = arguments.outputs[0];
        const auto integers = [&](size_t index) -> const int32_t* {
            const TensorView* const view = input(arguments, index);
            return view == nullptr ? nullptr : view->as<int32_t>() + column;
        };
        args.window = image.window;
        args.src = src.data + part.image * image.src_elements;
        args.src_signed = src.dtype == DType::I8;
        args.src_zero_point = x_zero_point_;
        if (const TensorView* const zero = input(arguments, kXZero)) {
            args.src_zero_point = args.src_signed ? *zero->as<int8_t>() : *zero->as<uint8_t>();
        }
        args.weight_zero_points = integers(kWeightZeros);
        args.bias = integers(kBias);
        args.result = to_ == DType::U8 ? IntegerResult::U8 : to_ == DType::I8 ? IntegerResult::S8 : IntegerResult::F32;
        args.scales = scales + column;
        args.zero_point = zero_point_;
        args.lowest = lowest_;
        args.highest = highest_;
        args.epilogue.activation = activation_;
        if (const TensorView* const bias = input(arguments, kFloatBias)) {
            args.epilogue.bias = bias->as<float>() + column;
        }
        const int64_t element = to_ == DType::F32 ? 4 : 1;
        args.dst = dst.data + (part.image * image.dst_elements + column) * element;
        std::ranges::copy(image.dst_stride, args.dst_stride);
        args.first = part.first;
        args.count = part.count;
    }

    ConvolutionProblem problem_;
    Activation activation_;
    DType to_;
    int32_t x_zero_point_;
    int32_t zero_point_;
    int32_t lowest_;
    int32_t highest_;
    decltype(KernelTable::convolution_integer) convolution_;
    decltype(KernelTable::depthwise_integer) depthwise_;
    Isa isa_;
};

// ---- The provider "native" ------------------------------------------------------------------------------------

bool take_native(const IntegerConvolutionQuery& /*query*/) {
    return true;
}

Result<Constant> pack_native(const IntegerConvolutionQuery& query, const Constant& weight, std::string_view name) {
    const Runtime& runtime = query.context.runtime;
    const Shape& shape = weight.shape();
    const int64_t group = query.problem.group;
    const bool is_signed = weight.dtype() == DType::I8;
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, weight.load());
    const int64_t columns = shape[0] / group;
    const int64_t channels = shape[1];
    int64_t taps = 1;
    for (size_t axis = 2; axis < shape.rank(); ++axis) taps *= shape[axis];
    if (group > 1 && channels == 1) {
        QUOIN_ASSIGN_OR_RETURN(Tensor packed, Tensor::allocate(runtime.memory, weight.dtype(), {taps, shape[0]}, name));
        const auto flip = static_cast<std::byte>(is_signed ? 0 : 128);
        for (int64_t column = 0; column < shape[0]; ++column) {
            for (int64_t tap = 0; tap < taps; ++tap) {
                packed.data()[tap * shape[0] + column] = src.data()[column * taps + tap] ^ flip;
            }
        }
        return Constant(packed, shape, Layout::Panels);
    }
    const int64_t panels = panel_count(columns);
    const int64_t bytes = panel_bytes_int8(taps * channels);
    QUOIN_ASSIGN_OR_RETURN(Tensor packed,
                           Tensor::allocate(runtime.memory, weight.dtype(), {group * panels, bytes}, name));
    const KernelTable& table = kernels(runtime.isa);
    const auto pack = is_signed ? table.pack_convolution_s8 : table.pack_convolution_u8;
    for (int64_t panel = 0; panel < group * panels; ++panel) {
        const int64_t column = panel % panels * kPanelColumns;
        pack(src.data() + (panel / panels * columns + column) * channels * taps,
             std::min(kPanelColumns, columns - column), channels, taps, packed.data() + panel * bytes);
    }
    weight.release_source(0, weight.byte_size());
    return Constant(packed, shape, Layout::Panels);
}

Result<std::unique_ptr<PreparedNode>> prepare_native(const IntegerConvolutionQuery& query) {
    return std::unique_ptr<PreparedNode>(std::make_unique<IntegerConvolution>(query));
}

// ---- The op ---------------------------------------------------------------------------------------------------

Result<IntegerConvolutionQuery> query_of(const PrepareContext& context) {
    const Constant* const weight = context.constant(kWeight);
    if (weight == nullptr) return context.fail(StatusCode::Unsupported, "the weight is no constant");
    const Node& node = context.node;
    IntegerConvolutionQuery query{.context = context};
    QUOIN_ASSIGN_OR_RETURN(query.problem, read_convolution(node, weight->shape()));
    QUOIN_ASSIGN_OR_RETURN(query.activation, read_activation(node));
    query.to = result_type(node);
    query.zero_point = static_cast<int32_t>(node.integer("zero_point", 0));
    const int64_t least = query.to == DType::U8 ? 0 : -128;
    const int64_t most = query.to == DType::U8 ? 255 : 127;
    query.lowest = static_cast<int32_t>(std::max(node.integer("lowest", least), least));
    query.highest = static_cast<int32_t>(std::min(node.integer("highest", most), most));
    return query;
}

Result<std::unique_ptr<PreparedNode>> prepare_integer_convolution(const PrepareContext& context) {
    const auto packed_by = provider_from_name(context.node.string("provider", ""));
    const IntegerConvolutionProvider* const provider = packed_by ? find_integer_convolution(*packed_by) : nullptr;
    if (provider == nullptr) return context.fail(StatusCode::Internal, "the weight was not packed");
    QUOIN_ASSIGN_OR_RETURN(const IntegerConvolutionQuery query, query_of(context));
    return provider->prepare(query);
}

}  // namespace

extern const IntegerConvolutionProvider kNativeIntegerConvolution{Provider::Native, take_native, pack_native,
                                                                  prepare_native};

Result<PackedConvolution> pack_integer_convolution(const PrepareContext& context) {
    const Constant* const weight = context.constant(kWeight);
    const std::string& name = context.graph.value(context.node.inputs[kWeight]).name;
    if (weight == nullptr || (weight->dtype() != DType::I8 && weight->dtype() != DType::U8)) {
        return error(StatusCode::InvalidModel, "tensor '", name, "' is no 8-bit weight of a convolution");
    }
    QUOIN_ASSIGN_OR_RETURN(const IntegerConvolutionQuery query, query_of(context));
    const IntegerConvolutionProvider* const provider = choose_integer_convolution(query);
    if (provider == nullptr) return context.fail(StatusCode::Unsupported, "no provider takes it");
    QUOIN_ASSIGN_OR_RETURN(Constant packed, provider->pack(query, *weight, name));
    return PackedConvolution{std::move(packed), provider->provider};
}

extern const OpImplementation kChannelsLastIntegerConvOp{infer_integer_convolution, prepare_integer_convolution};

}  // namespace quoin
