// ChannelsLastPool (quoin).
//
// ChannelsLastPool(x [N, spatial..., C]) {kind = max | average, kernel_shape, strides, pads, dilations, auto_pad,
// ceil_mode, count_include_pad} -> [N, spatial..., C]: ONNX MaxPool and AveragePool on another order of axes; without
// kernel_shape the global pools. f32; the maximum also of u8 and s8.
#include <algorithm>
#include <array>

#include "core/rounding.h"
#include "ops/pool_provider.h"
#include "ops/provider_list.h"

namespace quoin {
namespace {

using PoolKernel = void (*)(const PoolArgs&);

constexpr int64_t kReplicatedValues = 4096;
constexpr int64_t kTaskValues = 16384;
// Global pools are cut by channels: whole cache lines.
constexpr int64_t kChannelUnit = 64;

bool is_global(const Node& node) {
    return node.attribute("kernel_shape") == nullptr;
}

Result<SlidingWindow> read_window(const Node& node, size_t axes) {
    const Attribute* const attribute = node.attribute("kernel_shape");
    const auto* const kernel = attribute == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(attribute);
    if (kernel == nullptr || kernel->size() != axes) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': 'kernel_shape' must have ", axes, " integers");
    }
    return read_sliding_window(node, axes, *kernel);
}

Status infer_pool(InferContext& context) {
    const std::string_view kind = context.node().string("kind", "");
    if (kind != "max" && kind != "average") return context.fail("'", kind, "' is no kind of pool");
    if (kind == "max") {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::U8, DType::I8}));
    } else {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    }
    const ValueType& x = context.input(0);
    if (!x.dims) {
        context.set_output(0, x.dtype, std::nullopt);
        return {};
    }
    if (x.dims->size() < 3 || x.dims->size() > 5) return context.fail("the input has rank ", x.dims->size());
    const size_t axes = x.dims->size() - 2;
    if (is_global(context.node())) {
        std::vector<Dim> dims(x.dims->size(), {.size = 1});
        dims.front() = x.dims->front();
        dims.back() = x.dims->back();
        for (size_t axis = 1; axis <= axes; ++axis) {
            if ((*x.dims)[axis].size == 0) return context.fail("spatial axis ", axis - 1, " is empty");
        }
        context.set_output(0, x.dtype, std::move(dims));
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(const SlidingWindow window, read_window(context.node(), axes));
    QUOIN_ASSIGN_OR_RETURN(std::vector<Dim> dims, window_output(window, *x.dims, x.dims->back()));
    context.set_output(0, x.dtype, std::move(dims));
    return {};
}

class Pool final : public PreparedNode {
public:
    Pool(PoolKernel kernel, int64_t element_bytes, std::optional<SlidingWindow> window, bool count_padding)
        : kernel_(kernel), element_bytes_(element_bytes), window_(window), count_padding_(count_padding) {}

    // Tasks are (image, block of positions) or, where all positions are one window, (image, block of channels).
    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Shape& src = arguments.inputs[0].shape;
        const Shape& dst = arguments.outputs[0].shape;
        const int64_t values = std::max(positions_of(src), positions_of(dst)) * src.back();
        Work work{.replicated = dst[0] * values <= kReplicatedValues};
        const int64_t images = std::max<int64_t>(dst[0], 1);
        const int64_t wanted =
            divide_up(std::clamp<int64_t>(images * values / kTaskValues, 1, 4 * int64_t{threads}), images);
        const int64_t units = std::max<int64_t>(window_ ? positions_of(dst) : divide_up(src.back(), kChannelUnit), 1);
        const int64_t grain = threads == 1 ? units : divide_up(units, std::min(units, wanted));
        work.grain = {window_ ? grain : grain * kChannelUnit, divide_up(units, grain), 1};
        work.tasks = dst.back() == 0 || positions_of(dst) == 0 ? 0 : dst[0] * work.grain[1];
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const auto [grain, blocks, unused] = arguments.work.grain;
        const int64_t image = task / blocks;
        const int64_t first = task % blocks * grain;
        const SlidingWindow window = window_ ? *window_ : global_window(src.shape);
        PoolArgs args{};
        args.window = kernel_window(window, src.shape, dst.shape);
        args.src = src.data + image * positions_of(src.shape) * src.columns() * element_bytes_;
        args.dst = dst.data + image * positions_of(dst.shape) * dst.columns() * element_bytes_;
        std::ranges::copy(position_strides(dst.shape), args.dst_stride);
        args.count_padding = count_padding_;
        for (size_t axis = 0; axis < window.axes; ++axis) {
            args.pad_end[axis + 3 - window.axes] = window.end(axis, src.shape[axis + 1]);
        }
        if (window_) {
            args.channels = src.columns();
            args.first = first;
            args.count = std::min(grain, positions_of(dst.shape) - first);
        } else {
            args.src += first * element_bytes_;
            args.dst += first * element_bytes_;
            args.channels = std::min(grain, src.columns() - first);
            args.count = 1;
        }
        kernel_(args);
        return {};
    }

    std::string label() const override { return "pool"; }

private:
    static SlidingWindow global_window(const Shape& src) {
        SlidingWindow window;
        window.axes = src.rank() - 2;
        for (size_t axis = 0; axis < window.axes; ++axis) window.kernel[axis] = src[axis + 1];
        return window;
    }

    PoolKernel kernel_;
    int64_t element_bytes_;
    std::optional<SlidingWindow> window_;  // none: global
    bool count_padding_;
};

PoolKernel kernel_for(const KernelTable& kernels, DType dtype, bool maximum) {
    if (!maximum) return dtype == DType::F32 ? kernels.average_pool_f32 : nullptr;
    switch (dtype) {
        case DType::F32: return kernels.max_pool_f32;
        case DType::U8: return kernels.max_pool_u8;
        case DType::I8: return kernels.max_pool_s8;
        default: return nullptr;
    }
}

// ---- Providers ------------------------------------------------------------------------------------------------

PoolKernel kernel_of(const PoolQuery& query) {
    return kernel_for(query.context.kernels(), query.dtype, query.maximum);
}

bool take_native(const PoolQuery& query) {
    return kernel_of(query) != nullptr;
}

Result<std::unique_ptr<PreparedNode>> prepare_native(const PoolQuery& query) {
    return std::unique_ptr<PreparedNode>(
        std::make_unique<Pool>(kernel_of(query), query.dtype == DType::F32 ? 4 : 1, query.window, query.count_padding));
}

constexpr PoolProvider kNativePool{Provider::Native, take_native, prepare_native};
constexpr std::array kProviders = {
    &kNativePool,
#if defined(QUOIN_WITH_ONEDNN)
    &kOneDnnPool,
#endif
};
bool is_byte_maximum(const PoolQuery& query) {
    return query.maximum && query.dtype != DType::F32 && has_avx512(query);
}
// oneDNN and the own kernel, one thread of a Zen 4, microseconds: the largest of 3x3 bytes, 24 channels at 112x112 in
// steps of 2, 69 and 21 (without masks for bytes 280); of floats oneDNN takes a fifth less.
constexpr std::array kOrders = {
    ProviderOrder<PoolQuery>{is_byte_maximum, {Provider::Native, Provider::OneDnn}},
    ProviderOrder<PoolQuery>{is_any, {Provider::OneDnn, Provider::Native}},
};

Result<std::unique_ptr<PreparedNode>> prepare_pool(const PrepareContext& context) {
    PoolQuery query{context, context.graph.value(context.node.inputs[0]).dtype,
                    context.node.string("kind", "") == "max", context.node.integer("count_include_pad", 0) != 0,
                    std::nullopt};
    if (!is_global(context.node)) {
        const auto* const kernel_shape = std::get_if<std::vector<int64_t>>(context.node.attribute("kernel_shape"));
        const size_t axes = kernel_shape == nullptr ? 0 : kernel_shape->size();
        QUOIN_ASSIGN_OR_RETURN(query.window, read_window(context.node, axes));
    }
    const PoolProvider* const provider =
        choose_entry<PoolProvider>(kProviders, order_for<PoolQuery>(kOrders, query), context, query);
    if (provider == nullptr) {
        return context.fail(StatusCode::Unsupported, "no pool of the element type ", dtype_name(query.dtype));
    }
    return provider->prepare(query);
}

}  // namespace

extern const OpImplementation kChannelsLastPoolOp{infer_pool, prepare_pool};

}  // namespace quoin
