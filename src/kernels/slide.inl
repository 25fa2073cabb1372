// Windows that slide over each channel by itself (depthwise convolution, pooling), vectorised over channels: several
// neighbouring positions share what is loaded for a tap. Taps that fall on padding are left out.

namespace quoin {
namespace {

// Positions side by side that one tile computes.
constexpr int kSlidePositions = kLanes == 16 ? 6 : 4;
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
};

// Where the results of a position and those to its right go.
struct SlideTarget {
    int64_t dst;
    int64_t dst_step;
    int64_t residual;
    int64_t residual_step;

    QUOIN_INLINE SlideTarget(const Position& position, const int64_t* dst_stride, const int64_t* residual_stride)
        : dst(position.offset(dst_stride)),
          dst_step(dst_stride[2]),
          residual(position.offset(residual_stride)),
          residual_step(residual_stride[2]) {}
};

struct SlidePlace {
    Position position;
    TapRange taps;
    int64_t groups;  // of positions side by side that see the same taps
    int64_t column;  // first channel of the tile
    int64_t lanes;   // channels of the last vector
};

// Body: Sum; kWidth, the channels of a vector; src(), start(), weight(tap, column, n), add(sum, pixel, column, n,
// weight); at(position, taps), which knows where results of a position go, and its step(); finish(at, index, column, n,
// sum) for the index-th position from there.
template <class Body, int P, int V, bool kWhole>
[[gnu::noinline]] void slide_tile(const Body& body, const Window& window, const SlidePlace& place) {
    const TapRange taps = place.taps;
    const int64_t column = place.column;
    constexpr int64_t kWidth = Body::kWidth;
    const int64_t lanes = kWhole ? kWidth : place.lanes;
    const auto count = [lanes](int v) QUOIN_LAMBDA_INLINE { return kWhole || v != V - 1 ? Body::kWidth : lanes; };
    const int64_t next_tap = window.dilation[2] * window.source_stride[2];
    const int64_t next_row = window.dilation[1] * window.source_stride[1];
    const int64_t next_plane = window.dilation[0] * window.source_stride[0];
    const int64_t next_position = window.step[2] * window.source_stride[2];
    const auto* origin = body.src() + source_offset(window, place.position) + taps.begin[2] * next_tap;
    const auto at = body.at(place.position, taps);
    for (int64_t group = 0; group < place.groups; ++group, origin += P * next_position) {
        typename Body::Sum sum[P][V];
        for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
            for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { sum[p][v] = body.start(); });
        });
        for (int64_t d = taps.begin[0]; d < taps.end[0]; ++d) {
            for (int64_t h = taps.begin[1]; h < taps.end[1]; ++h) {
                int64_t tap = (d * window.kernel[1] + h) * window.kernel[2] + taps.begin[2];
                const auto* pixel = origin + d * next_plane + h * next_row;
                for (int64_t w = taps.begin[2]; w < taps.end[2]; ++w, ++tap, pixel += next_tap) {
                    for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                        const int64_t n = count(v);
                        const auto weight = body.weight(tap, column + v * kWidth, n);
                        for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
                            sum[p][v] = body.add(sum[p][v], pixel + p * next_position, column + v * kWidth, n, weight);
                        });
                    });
                }
            }
        }
        for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
            for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                body.finish(at, group * P + p, column + v * kWidth, count(v), sum[p][v]);
            });
        });
    }
}

template <int P, class Body>
QUOIN_INLINE void slide_groups(const Body& body, const Window& window, const SlidePlace& place, bool two) {
    if (two && place.lanes == Body::kWidth) {
        slide_tile<Body, P, 2, true>(body, window, place);
    } else if (two) {
        slide_tile<Body, P, 2, false>(body, window, place);
    } else if (place.lanes == Body::kWidth) {
        slide_tile<Body, P, 1, true>(body, window, place);
    } else {
        slide_tile<Body, P, 1, false>(body, window, place);
    }
}

template <class Body>
QUOIN_INLINE void slide(Body& body, const Window& window, int64_t columns, int64_t first, int64_t count) {
    if (count <= 0) return;  // positions are counted by sizes of the output, which may be 0
    constexpr int64_t kBlock = kSlideVectors * Body::kWidth;
    // Output columns that see all taps of a row.
    const int64_t reach = (window.kernel[2] - 1) * window.dilation[2];
    const int64_t room = window.source[2] - 1 - reach + window.pad[2];
    const int64_t inside_end = room < 0 ? 0 : smaller(room / window.step[2] + 1, window.output[2]);
    const int64_t inside_begin = larger<int64_t>((window.pad[2] + window.step[2] - 1) / window.step[2], 0);
    for (int64_t column = 0; column < columns; column += kBlock) {
        const int64_t wide = smaller(columns - column, kBlock);
        body.begin_block(column, wide);
        const bool two = wide > Body::kWidth;
        SlidePlace place = {Position(window, first), TapRange(window, Position(window, first)), 1, column,
                            two ? wide - Body::kWidth : wide};
        for (int64_t i = 0; i < count;) {
            place.taps = TapRange(window, place.position);
            const int64_t x = place.position.at[2];
            const int64_t run = x < inside_begin ? 1 : smaller(inside_end - x, count - i);
            int64_t done = 1;
            if (run >= kSlidePositions) {
                place.groups = run / kSlidePositions;
                done = place.groups * kSlidePositions;
                slide_groups<kSlidePositions>(body, window, place, two);
            } else if (run >= 2) {
                place.groups = run / 2;
                done = place.groups * 2;
                slide_groups<2>(body, window, place, two);
            } else {
                place.groups = 1;
                slide_groups<1>(body, window, place, two);
            }
            i += done;
            place.position.at[2] += done - 1;
            place.position.next(window);
        }
    }
}

}  // namespace
}  // namespace quoin
