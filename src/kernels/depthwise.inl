// Depthwise convolution: every channel has filters of its own.

namespace quoin {
namespace {

// Source channels of output columns: themselves, or each of them several times.
template <bool kOneEach>
QUOIN_INLINE Floats load_channels(const float* pixel, int64_t column, int64_t n, int64_t multiplier) {
    if constexpr (kOneEach) return load_some(pixel + column, n);
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) lanes[i] = pixel[(column + i) / multiplier];
    return load(lanes);
}

template <bool kOneEach>
struct FloatDepthwise {
    using Sum = Floats;
    static constexpr int64_t kWidth = kLanes;
    const DepthwiseArgs& args;
    EpiloguePart part;
    int64_t block = 0;
    int64_t columns;

    explicit QUOIN_INLINE FloatDepthwise(const DepthwiseArgs& arguments)
        : args(arguments), part(arguments.epilogue, 0, 0), columns(arguments.channels * arguments.multiplier) {}
    QUOIN_INLINE void begin_block(int64_t column, int64_t wide) {
        block = column;
        part = EpiloguePart(args.epilogue, column, wide);
    }
    QUOIN_INLINE const float* src() const { return args.src; }
    QUOIN_INLINE Floats start() const { return zeros(); }
    QUOIN_INLINE Floats weight(int64_t tap, int64_t column, int64_t n) const {
        const float* const p = args.weights + tap * columns + column;
        return load_some(p, n);
    }
    QUOIN_INLINE Floats add(Floats sum, const float* pixel, int64_t column, int64_t n, Floats weight) const {
        return fma(load_channels<kOneEach>(pixel, column, n, args.multiplier), weight, sum);
    }
    QUOIN_INLINE SlideTarget at(const Position& position, const TapRange&) const {
        return SlideTarget(position, args.dst_stride, args.epilogue.residual_stride);
    }
    QUOIN_INLINE void finish(const SlideTarget& at, int64_t index, int64_t column, int64_t n, Floats sum) const {
        float* const dst = args.dst + at.dst + index * at.dst_step + column;
        const FloatEpilogue& epilogue = args.epilogue;
        const float* const residual = epilogue.residual == nullptr
                                          ? nullptr
                                          : epilogue.residual + at.residual + index * at.residual_step + column;
        const int64_t within = column - block;
        Floats x = sum + load(part.bias + within);
        if (residual != nullptr && !part.residual_last) {
            x = x + load_some(residual, n);
        }
        if (part.clamp.all) {
            x = clip_of(x, broadcast(part.clamp.low), broadcast(part.clamp.high));
            store_some(dst, x, n);
            return;
        }
        alignas(64) float waiting[kLanes];
        store(waiting, x);
        activate_row(*part.activation, part.slopes + within, part.residual_last ? residual : nullptr, n, waiting, dst);
    }
};

void depthwise_f32(const DepthwiseArgs& args) {
    if (args.multiplier == 1) {
        FloatDepthwise<true> body(args);
        slide(body, args.window, body.columns, args.first, args.count);
    } else {
        FloatDepthwise<false> body(args);
        slide(body, args.window, body.columns, args.first, args.count);
    }
}

}  // namespace
}  // namespace quoin
