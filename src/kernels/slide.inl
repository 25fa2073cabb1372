// Windows that slide over each channel by itself (depthwise convolution, pooling), vectorised over channels: several
// neighbouring positions share what is loaded for a tap. Taps that fall on padding are left out.

namespace quoin {
namespace {

// Positions side by side that one tile computes.
constexpr int kSlidePositions = 4;
constexpr int kSlideVectors = 2;

// Taps of each axis that fall on the source.
struct TapRange {
    int64_t begin[3];
    int64_t end[3];

    QUOIN_INLINE TapRange(const Window& window, const Position& position) {
        for (int axis = 0; axis < 3; ++axis) {
            const int64_t base = position.at[axis] * window.step[axis] - window.pad[axis];
            const int64_t dilation = window.dilation[axis];
            begin[axis] = base >= 0 ? 0 : smaller((dilation - 1 - base) / dilation, window.kernel[axis]);
            const int64_t room = window.source[axis] - base;  // taps below room / dilation
            end[axis] = room <= 0 ? 0 : smaller((room + dilation - 1) / dilation, window.kernel[axis]);
            end[axis] = larger(end[axis], begin[axis]);
        }
    }
    QUOIN_INLINE bool all(const Window& window, int axis) const {
        return begin[axis] == 0 && end[axis] == window.kernel[axis];
    }
};

struct SlidePlace {
    Position position;
    TapRange taps;
    int64_t column;  // first channel of the tile
    int64_t lanes;   // of the last vector
};

// Body: Sum, Weight, Element; start(), weight(tap, column, n), add(sum, pixel, column, n, weight), finish(place,
// position, column, n, sum).
template <class Body, int P, int V>
[[gnu::noinline]] void slide_tile(const Body& body, const Window& window, const SlidePlace& place) {
    typename Body::Sum sum[P][V];
    for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { sum[p][v] = body.start(); });
    });
    const TapRange& taps = place.taps;
    const int64_t lanes = place.lanes;
    const int64_t column = place.column;
    const auto count = [lanes](int v) QUOIN_LAMBDA_INLINE { return v == V - 1 ? lanes : kLanes; };
    const int64_t next_tap = window.dilation[2] * window.source_stride[2];
    const int64_t next_position = window.step[2] * window.source_stride[2];
    const auto* const origin = body.src() + source_offset(window, place.position);
    const auto slide = [&](auto full) QUOIN_LAMBDA_INLINE {
        for (int64_t d = taps.begin[0]; d < taps.end[0]; ++d) {
            for (int64_t h = taps.begin[1]; h < taps.end[1]; ++h) {
                int64_t tap = (d * window.kernel[1] + h) * window.kernel[2] + taps.begin[2];
                const auto* pixel = origin + d * window.dilation[0] * window.source_stride[0] +
                                    h * window.dilation[1] * window.source_stride[1] + taps.begin[2] * next_tap;
                for (int64_t w = taps.begin[2]; w < taps.end[2]; ++w, ++tap, pixel += next_tap) {
                    for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                        const int64_t n = full ? kLanes : count(v);
                        const auto weight = body.weight(tap, column + v * kLanes, n);
                        for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
                            sum[p][v] = body.add(sum[p][v], pixel + p * next_position, column + v * kLanes, n, weight);
                        });
                    });
                }
            }
        }
    };
    if (lanes == kLanes) {
        slide(Constant<1>{});
    } else {
        slide(Constant<0>{});
    }
    for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
        Position at = place.position;
        at.at[2] += p;
        for_constant<V>([&](auto v)
                            QUOIN_LAMBDA_INLINE { body.finish(at, taps, column + v * kLanes, count(v), sum[p][v]); });
    });
}

template <class Body>
QUOIN_INLINE void slide(Body& body, const Window& window, int64_t columns, int64_t first, int64_t count) {
    constexpr int64_t kBlock = kSlideVectors * kLanes;
    for (int64_t column = 0; column < columns; column += kBlock) {
        const int64_t wide = smaller(columns - column, kBlock);
        body.begin_block(column, wide);
        SlidePlace place = {Position(window, first), TapRange(window, Position(window, first)), column, 0};
        const bool two = wide > kLanes;
        place.lanes = two ? wide - kLanes : wide;
        for (int64_t i = 0; i < count;) {
            place.taps = TapRange(window, place.position);
            // Neighbours see the same taps when both ends of the group see all of a row.
            bool group = i + kSlidePositions <= count && place.taps.all(window, 2) &&
                         place.position.at[2] + kSlidePositions <= window.output[2];
            if (group) {
                Position last = place.position;
                last.at[2] += kSlidePositions - 1;
                group = TapRange(window, last).all(window, 2);
            }
            if (group) {
                if (two) {
                    slide_tile<Body, kSlidePositions, 2>(body, window, place);
                } else {
                    slide_tile<Body, kSlidePositions, 1>(body, window, place);
                }
                place.position.at[2] += kSlidePositions - 1;
                i += kSlidePositions;
            } else {
                if (two) {
                    slide_tile<Body, 1, 2>(body, window, place);
                } else {
                    slide_tile<Body, 1, 1>(body, window, place);
                }
                ++i;
            }
            place.position.next(window);
        }
    }
}

}  // namespace
}  // namespace quoin
