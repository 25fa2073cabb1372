// ChannelsLastConv (quoin).
//
// ChannelsLastConv(x [N, spatial..., C], weight [OC, C / group, kernel...], bias [OC]?, residual [N, spatial..., OC]?,
// slopes [OC]?) {strides, pads, dilations, auto_pad, group, activation..., provider} -> [N, spatial..., OC]: ONNX Conv
// in f32 on another order of axes, then activation(sum + bias + residual), or with residual_last activation(sum + bias)
// + residual. One to three spatial axes; the weight is a constant that pack_convolutions has packed for the provider. A
// weight packed as bf16 stands for products of bf16 numbers, summed in f32. Dims of the residual may be 1 where those
// of the result are not.
#include "ops/channels_last_conv.h"

#include <algorithm>

#include "ops/activation.h"
#include "ops/convolution_provider.h"
#include "ops/providers.h"

namespace quoin {
namespace {

// ---- Shapes ---------------------------------------------------------------------------------------------------

// A residual may have 1 where the result has more, but not in its channels.
bool is_residual(const std::vector<Dim>& residual, const std::vector<Dim>& result) {
    const auto fits = [](const Dim& from, const Dim& to) {
        return !from.known() || !to.known() || from.size == to.size || from.size == 1;
    };
    if (residual.size() != result.size() || !std::ranges::equal(residual, result, fits)) return false;
    return !residual.back().known() || residual.back() == result.back();
}

Status infer_convolution(InferContext& context) {
    for (const size_t input : {0, 2, 3, 4}) {
        if (input < context.input_count()) QUOIN_RETURN_IF_ERROR(context.expect_dtype(input, {DType::F32}));
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32, DType::BF16}));
    const std::optional<Shape> weight = known_shape(context.input(1));
    if (!weight || weight->rank() < 3) return context.fail("the weight is no constant of rank 3 to 5");
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionProblem problem, read_convolution(context.node(), *weight));
    QUOIN_ASSIGN_OR_RETURN(const Activation activation, read_activation(context.node()));
    QUOIN_RETURN_IF_ERROR(expect_vector(context, 2, (*weight)[0], "bias"));
    QUOIN_RETURN_IF_ERROR(expect_vector(context, 4, (*weight)[0], "slopes"));
    if (activation.kind == ActivationKind::PRelu && !context.has_input(4)) return context.fail("PRelu without slopes");
    const auto& x = context.input(0).dims;
    if (!x) {
        context.set_output(0, DType::F32, std::nullopt);
        return {};
    }
    const Result<std::vector<Dim>> dims = convolution_output(problem, *x);
    if (!dims.ok()) return context.fail(dims.status().message());
    if (context.has_input(3) && context.input(3).dims && !is_residual(*context.input(3).dims, *dims)) {
        return context.fail("the residual has not the shape of the result");
    }
    context.set_output(0, DType::F32, *dims);
    return {};
}

// ---- Run ------------------------------------------------------------------------------------------------------

class Convolution final : public PreparedNode {
public:
    Convolution(const ConvolutionProblem& problem, const ConvolutionEpilogue& epilogue, const KernelTable& kernels,
                Isa isa)
        : problem_(problem), epilogue_(epilogue), kernel_(kernels.convolution_f32), isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const int64_t rows = convolution_block_rows(problem_.inner(), problem_.columns);
        Work work = cut_convolution(problem_, arguments.outputs[0].shape, rows, threads);
        work.scratch_bytes = convolution_scratch_floats(problem_.inner(), problem_.columns) * int64_t{sizeof(float)};
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const Image image = image_of(problem_, src.shape, dst.shape);
        const ConvolutionTask part = convolution_task(problem_, arguments.work, image.positions, task);
        const int64_t column = part.panel * kPanelColumns;
        const int64_t dst_column = part.group * problem_.columns + column;
        ConvolutionArgs args{};
        args.window = image.window;
        args.channels = problem_.channels;
        args.src = src.as<float>() + part.image * image.src_elements + part.group * problem_.channels;
        args.panel_stride = panel_bytes(DType::F32, problem_.inner()) / int64_t{sizeof(float)};
        args.weights =
            arguments.inputs[1].as<float>() + (part.group * problem_.panels() + part.panel) * args.panel_stride;
        args.columns = std::min(part.panels * kPanelColumns, problem_.columns - column);
        args.epilogue = epilogue_.at(arguments, part.image, dst_column);
        args.dst = dst.as<float>() + part.image * image.dst_elements + dst_column;
        std::ranges::copy(image.dst_stride, args.dst_stride);
        args.first = part.first;
        args.count = part.count;
        args.scratch = reinterpret_cast<float*>(scratch);
        kernel_(args);
        return {};
    }

    std::string label() const override {
        return "convolution_f32 [" + std::string(isa_name(kernel_isa(Kernel::convolution_f32, isa_))) + "]";
    }

private:
    ConvolutionProblem problem_;
    ConvolutionEpilogue epilogue_;
    decltype(KernelTable::convolution_f32) kernel_;
    Isa isa_;
};

class Depthwise final : public PreparedNode {
public:
    Depthwise(const ConvolutionProblem& problem, const ConvolutionEpilogue& epilogue, const KernelTable& kernels,
              Isa isa)
        : problem_(problem), epilogue_(epilogue), kernel_(kernels.depthwise_f32), isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        return cut_depthwise(problem_, arguments.outputs[0].shape, threads);
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const Image image = image_of(problem_, src.shape, dst.shape);
        const ConvolutionTask part = convolution_task(problem_, arguments.work, image.positions, task);
        DepthwiseArgs args{};
        args.window = image.window;
        args.channels = src.columns();
        args.multiplier = problem_.columns;
        args.src = src.as<float>() + part.image * image.src_elements;
        args.weights = arguments.inputs[1].as<float>();
        args.epilogue = epilogue_.at(arguments, part.image, 0);
        args.dst = dst.as<float>() + part.image * image.dst_elements;
        std::ranges::copy(image.dst_stride, args.dst_stride);
        args.first = part.first;
        args.count = part.count;
        kernel_(args);
        return {};
    }

    std::string label() const override {
        return "depthwise_f32 [" + std::string(isa_name(kernel_isa(Kernel::depthwise_f32, isa_))) + "]";
    }

private:
    ConvolutionProblem problem_;
    ConvolutionEpilogue epilogue_;
    decltype(KernelTable::depthwise_f32) kernel_;
    Isa isa_;
};

// ---- The provider "native" ------------------------------------------------------------------------------------

bool take_native(const ConvolutionQuery& query) {
    return query.arithmetic == DType::F32;
}

Result<Constant> pack_native(const ConvolutionQuery& query, const Constant& weight, std::string_view name) {
    const Runtime& runtime = query.context.runtime;
    const Shape& shape = weight.shape();
    const int64_t group = query.problem.group;
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, weight.load());
    const float* const values = src.as<const float>().data();
    const int64_t columns = shape[0] / group;
    const int64_t channels = shape[1];
    int64_t taps = 1;
    for (size_t axis = 2; axis < shape.rank(); ++axis) taps *= shape[axis];
    if (group > 1 && channels == 1) {
        QUOIN_ASSIGN_OR_RETURN(Tensor packed, Tensor::allocate(runtime.memory, DType::F32, {taps, shape[0]}, name));
        const auto out = packed.as<float>();
        for (int64_t column = 0; column < shape[0]; ++column) {
            for (int64_t tap = 0; tap < taps; ++tap) {
                out[static_cast<size_t>(tap * shape[0] + column)] = values[column * taps + tap];
            }
        }
        return Constant(packed, shape, Layout::Panels);
    }
    const int64_t panels = panel_count(columns);
    const int64_t floats = panel_bytes(DType::F32, taps * channels) / int64_t{sizeof(float)};
    QUOIN_ASSIGN_OR_RETURN(Tensor packed, Tensor::allocate(runtime.memory, DType::F32, {group * panels, floats}, name));
    const auto pack = kernels(runtime.isa).pack_convolution_f32;
    float* const out = packed.as<float>().data();
    runtime.team->run([&](int thread) {
        for (int64_t panel = thread; panel < group * panels; panel += runtime.team->size()) {
            const int64_t column = panel % panels * kPanelColumns;
            pack(values + (panel / panels * columns + column) * channels * taps,
                 std::min(kPanelColumns, columns - column), channels, taps, out + panel * floats);
        }
    });
    weight.release_source(0, weight.byte_size());
    return Constant(packed, shape, Layout::Panels);
}

Result<std::unique_ptr<PreparedNode>> prepare_native(const ConvolutionQuery& query) {
    const ConvolutionEpilogue epilogue{query.activation, query.residual_last};
    const KernelTable& table = query.context.kernels();
    const Isa isa = query.context.runtime.isa;
    std::unique_ptr<PreparedNode> prepared;
    if (query.problem.is_depthwise()) {
        prepared = std::make_unique<Depthwise>(query.problem, epilogue, table, isa);
    } else {
        prepared = std::make_unique<Convolution>(query.problem, epilogue, table, isa);
    }
    return prepared;
}

// ---- The op ---------------------------------------------------------------------------------------------------

Result<std::unique_ptr<PreparedNode>> prepare_convolution(const PrepareContext& context) {
    const auto packed_by = provider_from_name(context.node.string("provider", ""));
    const ConvolutionProvider* const provider = packed_by ? find_convolution(*packed_by) : nullptr;
    if (provider == nullptr) return context.fail(StatusCode::Internal, "the weight was not packed");
    QUOIN_ASSIGN_OR_RETURN(const ConvolutionQuery query, convolution_query(context));
    return provider->prepare(query);
}

}  // namespace

FloatEpilogue ConvolutionEpilogue::at(const Arguments& arguments, int64_t image, int64_t column) const {
    FloatEpilogue epilogue{};
    epilogue.activation = activation;
    epilogue.residual_last = residual_last;
    const auto input = [&](size_t index) -> const TensorView* {
        const bool given = index < arguments.inputs.size() && arguments.inputs[index].data != nullptr;
        return given ? &arguments.inputs[index] : nullptr;
    };
    if (const TensorView* const bias = input(2)) epilogue.bias = bias->as<float>() + column;
    if (const TensorView* const slopes = input(4)) epilogue.activation.slopes = slopes->as<float>() + column;
    if (const TensorView* const residual = input(3)) {
        const Shape& shape = residual->shape;
        std::ranges::copy(position_strides(shape), epilogue.residual_stride);
        for (size_t axis = 1; axis + 1 < shape.rank(); ++axis) {
            if (shape[axis] == 1) epilogue.residual_stride[axis + 4 - shape.rank()] = 0;
        }
        const int64_t own = shape[0] == 1 ? 0 : image;
        epilogue.residual = residual->as<float>() + own * positions_of(shape) * shape.back() + column;
    }
    return epilogue;
}

extern const ConvolutionProvider kNativeConvolution{Provider::Native, take_native, pack_native, prepare_native};

Result<ConvolutionQuery> convolution_query(const PrepareContext& context) {
    const Constant* const weight = context.constant(1);
    if (weight == nullptr) return context.fail(StatusCode::Unsupported, "the weight is no constant");
    ConvolutionQuery query{.context = context};
    QUOIN_ASSIGN_OR_RETURN(query.problem, read_convolution(context.node, weight->shape()));
    QUOIN_ASSIGN_OR_RETURN(query.activation, read_activation(context.node));
    query.residual_last = context.node.integer("residual_last", 0) != 0;
    query.arithmetic = weight->dtype();
    return query;
}

Result<PackedConvolution> pack_convolution(const PrepareContext& context, bool bf16) {
    const Constant* const weight = context.constant(1);
    const std::string& name = context.graph.value(context.node.inputs[1]).name;
    if (weight == nullptr || weight->dtype() != DType::F32 || weight->shape().rank() < 3) {
        return error(StatusCode::InvalidModel, "tensor '", name, "' is no weight of a convolution");
    }
    QUOIN_ASSIGN_OR_RETURN(ConvolutionQuery query, convolution_query(context));
    if (bf16) query.arithmetic = DType::BF16;
    const ConvolutionProvider* provider = choose_convolution(query);
    if (provider == nullptr) {
        query.arithmetic = DType::F32;
        provider = choose_convolution(query);
    }
    if (provider == nullptr) return context.fail(StatusCode::Unsupported, "no provider takes it");
    QUOIN_ASSIGN_OR_RETURN(Constant packed, provider->pack(query, *weight, name));
    return PackedConvolution{std::move(packed), provider->provider};
}

extern const OpImplementation kChannelsLastConvOp{infer_convolution, prepare_convolution};

}  // namespace quoin
