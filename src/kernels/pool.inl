// Largest and mean values under a window.

namespace quoin {
namespace {

template <bool kAverage>
struct FloatPool {
    using Sum = Floats;
    static constexpr int64_t kWidth = kLanes;
    const PoolArgs& args;

    QUOIN_INLINE void begin_block(int64_t, int64_t) {}
    QUOIN_INLINE const float* src() const { return reinterpret_cast<const float*>(args.src); }
    QUOIN_INLINE Floats start() const { return kAverage ? zeros() : broadcast(-kInfinity); }
    QUOIN_INLINE Floats weight(int64_t, int64_t, int64_t) const { return zeros(); }
    QUOIN_INLINE Floats add(Floats sum, const float* pixel, int64_t column, int64_t n, Floats) const {
        const Floats x = load_some(pixel + column, n);
        return kAverage ? sum + x : maximum(x, sum);  // a NaN leaves the sum as it is
    }
    // Taps that the mean counts.
    QUOIN_INLINE int64_t counted(const Position& at, const TapRange& taps) const {
        int64_t count = 1;
        for (int axis = 0; axis < 3; ++axis) {
            const Window& window = args.window;
            int64_t seen = taps.end[axis] - taps.begin[axis];
            if (args.count_padding) {
                const int64_t base = at.at[axis] * window.step[axis] - window.pad[axis];
                const int64_t room = window.source[axis] + args.pad_end[axis] - base;
                seen = room <= 0
                           ? 0
                           : smaller((room + window.dilation[axis] - 1) / window.dilation[axis], window.kernel[axis]);
            }
            count *= seen;
        }
        return count;
    }
    struct Target {
        SlideTarget place;
        float counted;
    };
    QUOIN_INLINE Target at(const Position& position, const TapRange& taps) const {
        return {SlideTarget(position, args.dst_stride, args.dst_stride),
                kAverage ? static_cast<float>(larger<int64_t>(counted(position, taps), 1)) : 1.0F};
    }
    QUOIN_INLINE void finish(const Target& at, int64_t index, int64_t column, int64_t n, Floats sum) const {
        float* const dst = reinterpret_cast<float*>(args.dst) + at.place.dst + index * at.place.dst_step + column;
        Floats x = sum;
        if constexpr (kAverage) x = sum / broadcast(at.counted);
        store_some(dst, x, n);
    }
};

// Whole vectors of bytes; templates, so that the words are looked up only where there are any.
template <class Vector>
QUOIN_INLINE Vector larger_bytes(Vector sum, const std::byte* p, int64_t n, unsigned flip) {
    Vector x;
    if (n == kVectorBytes) {
        x = load_ints(p);
    } else {
        load_first_bytes(x, p, n);
    }
    return max_unsigned_bytes(sum, xor_ints(x, broadcast_byte(static_cast<int>(flip))));
}
template <class Vector>
QUOIN_INLINE void store_larger_bytes(std::byte* dst, Vector x, int64_t n, unsigned flip) {
    x = xor_ints(x, broadcast_byte(static_cast<int>(flip)));
    if (n == kVectorBytes) {
        store_ints(dst, x);
    } else {
        store_first_bytes(dst, x, n);
    }
}

template <bool kSigned>
struct BytePool {
    using Sum = Ints;
    static constexpr unsigned kFlip = kSigned ? 128 : 0;  // between signed bytes and unsigned ones in the same order
    static constexpr int64_t kWidth = kHasByteMasks ? kVectorBytes : kLanes;
    const PoolArgs& args;

    QUOIN_INLINE void begin_block(int64_t, int64_t) {}
    QUOIN_INLINE const std::byte* src() const { return args.src; }
    QUOIN_INLINE Ints start() const { return broadcast_int(kSigned && !kHasByteMasks ? -128 : 0); }
    QUOIN_INLINE Ints weight(int64_t, int64_t, int64_t) const { return broadcast_int(0); }
    QUOIN_INLINE Ints add(Ints sum, const std::byte* pixel, int64_t column, int64_t n, Ints) const {
        if constexpr (kHasByteMasks) {
            return larger_bytes(sum, pixel + column, n, kFlip);
        } else {
            return max_ints(sum, load_bytes_first(pixel + column, n, kSigned));
        }
    }
    QUOIN_INLINE SlideTarget at(const Position& position, const TapRange&) const {
        return SlideTarget(position, args.dst_stride, args.dst_stride);
    }
    QUOIN_INLINE void finish(const SlideTarget& at, int64_t index, int64_t column, int64_t n, Ints sum) const {
        std::byte* const dst = args.dst + at.dst + index * at.dst_step + column;
        if constexpr (kHasByteMasks) {
            store_larger_bytes(dst, sum, n, kFlip);
        } else {
            store_bytes_first(dst, kSigned ? sum : subtract_ints(sum, broadcast_int(128)), n, kSigned ? 0 : 128);
        }
    }
};

void max_pool_f32(const PoolArgs& args) {
    FloatPool<false> body = {args};
    slide(body, args.window, args.channels, args.first, args.count);
}
void average_pool_f32(const PoolArgs& args) {
    FloatPool<true> body = {args};
    slide(body, args.window, args.channels, args.first, args.count);
}
void max_pool_u8(const PoolArgs& args) {
    BytePool<false> body = {args};
    slide(body, args.window, args.channels, args.first, args.count);
}
void max_pool_s8(const PoolArgs& args) {
    BytePool<true> body = {args};
    slide(body, args.window, args.channels, args.first, args.count);
}

}  // namespace
}  // namespace quoin
