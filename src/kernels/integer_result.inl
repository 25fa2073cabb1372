// From integer sums to what a quantised kernel writes.

namespace quoin {
namespace {

struct IntegerFinish {
    IntegerResult result;
    const float* scales;
    float low;  // of the rounded number, before the zero point
    float high;
    int32_t shift;  // added to it; then in -128..127
    unsigned flip;

    template <class Args>
    explicit QUOIN_INLINE IntegerFinish(const Args& args)
        : result(args.result),
          scales(args.scales),
          low(static_cast<float>(args.lowest - args.zero_point)),
          high(static_cast<float>(args.highest - args.zero_point)),
          shift(args.zero_point - (args.result == IntegerResult::U8 ? 128 : 0)),
          flip(args.result == IntegerResult::U8 ? 128 : 0) {}

    QUOIN_INLINE Floats scaled(int64_t column, int64_t n, Ints sum) const {
        return to_floats(sum) * load_some(scales + column, n);
    }
    // Not for F32. `dst` is where the first of the n columns goes.
    QUOIN_INLINE void store_sums(int64_t column, int64_t n, Ints sum, std::byte* dst) const {
        if (result == IntegerResult::S32) {
            if (n == kLanes) {
                store_ints(dst, sum);
            } else {
                alignas(64) std::byte lanes[kVectorBytes];
                store_ints(lanes, sum);
                for (int64_t i = 0; i < n * 4; ++i) dst[i] = lanes[i];
            }
            return;
        }
        const Floats x = minimum(broadcast(high), maximum(broadcast(low), scaled(column, n, sum)));
        store_bytes_first(dst, add_ints(round_to_ints(x), broadcast_int(shift)), n, flip);
    }
};

QUOIN_INLINE int64_t result_bytes(IntegerResult result) {
    return result == IntegerResult::U8 || result == IntegerResult::S8 ? 1 : 4;
}
// Padding and zero points of weights are multiplied like numbers without sign, which may wrap around.
QUOIN_INLINE int32_t wrapped(int64_t x) {
    return static_cast<int32_t>(static_cast<uint32_t>(x));
}

}  // namespace
}  // namespace quoin
