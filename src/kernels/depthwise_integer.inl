// Depthwise convolution of 8-bit integers. Differences from the zero points fit 16 bits, and their products are pairs
// whose second number is zero.

namespace quoin {
namespace {

struct IntegerDepthwise {
    using Sum = Ints;
    static constexpr int64_t kWidth = kLanes;
    const IntegerDepthwiseArgs& args;
    IntegerFinish finish_sums;
    EpiloguePart part;
    int64_t block = 0;
    int64_t columns;

    explicit QUOIN_INLINE IntegerDepthwise(const IntegerDepthwiseArgs& arguments)
        : args(arguments),
          finish_sums(arguments),
          part(arguments.epilogue, 0, 0),
          columns(arguments.channels * arguments.multiplier) {}
    QUOIN_INLINE void begin_block(int64_t column, int64_t wide) {
        block = column;
        if (args.result == IntegerResult::F32) part = EpiloguePart(args.epilogue, column, wide);
    }
    QUOIN_INLINE const std::byte* src() const { return args.src; }
    QUOIN_INLINE Ints start() const { return broadcast_int(0); }
    static QUOIN_INLINE Ints some_ints(const int32_t* p, int64_t n) {
        const auto* const bytes = reinterpret_cast<const std::byte*>(p);
        if (n == kLanes) return load_ints(bytes);
        alignas(64) std::byte lanes[kVectorBytes] = {};
        for (int64_t i = 0; i < n * 4; ++i) lanes[i] = bytes[i];
        return load_ints(lanes);
    }
    QUOIN_INLINE Ints weight(int64_t tap, int64_t column, int64_t n) const {
        Ints w = load_bytes_first(args.weights + tap * columns + column, n, true);
        if (args.weight_zero_points != nullptr) w = subtract_ints(w, some_ints(args.weight_zero_points + column, n));
        return and_ints(w, broadcast_int(0xFFFF));
    }
    QUOIN_INLINE Ints add(Ints sum, const std::byte* pixel, int64_t column, int64_t n, Ints weight) const {
        Ints a;
        if (args.multiplier == 1) {
            a = load_bytes_first(pixel + column, n, args.src_signed);
        } else {
            std::byte lanes[kLanes] = {};
            for (int64_t i = 0; i < n; ++i) lanes[i] = pixel[(column + i) / args.multiplier];
            a = load_bytes_first(lanes, kLanes, args.src_signed);
        }
        return pair_dot(sum, subtract_ints(a, broadcast_int(args.src_zero_point)), weight);
    }
    QUOIN_INLINE SlideTarget at(const Position& position, const TapRange&) const {
        return SlideTarget(position, args.dst_stride, args.epilogue.residual_stride);
    }
    QUOIN_INLINE void finish(const SlideTarget& at, int64_t index, int64_t column, int64_t n, Ints sum) const {
        std::byte* const dst = args.dst + (at.dst + index * at.dst_step + column) * result_bytes(args.result);
        if (args.bias != nullptr) sum = add_ints(sum, some_ints(args.bias + column, n));
        if (args.result != IntegerResult::F32) {
            finish_sums.store_sums(column, n, sum, dst);
            return;
        }
        const int64_t within = column - block;
        const FloatEpilogue& epilogue = args.epilogue;
        const float* const residual = epilogue.residual == nullptr
                                          ? nullptr
                                          : epilogue.residual + at.residual + index * at.residual_step + column;
        Floats x = finish_sums.scaled(column, n, sum) + load(part.bias + within);
        if (residual != nullptr && !part.residual_last) {
            x = x + load_some(residual, n);
        }
        alignas(64) float waiting[kLanes];
        store(waiting, x);
        activate_row(*part.activation, part.slopes + within, part.residual_last ? residual : nullptr, n, waiting,
                     reinterpret_cast<float*>(dst));
    }
};

void depthwise_integer(const IntegerDepthwiseArgs& args) {
    if constexpr (kHasDepthwiseQuads) {
        if (takes_depthwise_quads(args)) {
            depthwise_quads<Ints>(args);
            return;
        }
    }
    IntegerDepthwise body(args);
    slide(body, args.window, body.columns, args.first, args.count);
}

}  // namespace
}  // namespace quoin
