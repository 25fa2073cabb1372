// Depthwise convolution of 8-bit integers by dot products over four taps at a time. The bytes of four pixels are
// zipped, so that a lane holds what four taps of a channel see, and the sums are unzipped at the end. Where a tap falls
// on padding, a pixel of zero points stands in its place, so every position is computed in the same way.

namespace quoin {
namespace {

constexpr bool kHasDepthwiseQuads = kHasByteMasks && kDotsAnyBytes && kAnyBytesOffset == 128;
constexpr int64_t kMostDepthwiseTaps = 64;
// Positions (pairs of them where a vector holds two) that share the loads of weights.
constexpr int kQuadPositions = 2;

// What one block of channels needs: those of a vector, or up to half as many, two positions in a vector.
struct QuadBlock {
    alignas(64) std::byte weights[kMostDepthwiseTaps / 4][4][kVectorBytes];
    alignas(64) std::byte start[4][kVectorBytes];  // int32: bias - zero point * sum of weights
    alignas(64) float scales[4][kLanes];
    alignas(64) std::byte padding[kVectorBytes];  // a pixel of zero points
    int64_t quads;
    int64_t channels;
};

// The channel of lane `lane` of zipped vector `number`.
constexpr int64_t zipped_channel(int64_t number, int64_t lane, bool two) {
    const int64_t channel = lane / 4 * 16 + number * 4 + lane % 4;
    return two ? channel % (kVectorBytes / 2) : channel;
}

template <class Vector>
QUOIN_INLINE void zip_quads(const Vector* taps, Vector* quads) {
    const Vector low_first = zip_low_bytes(taps[0], taps[1]);
    const Vector high_first = zip_high_bytes(taps[0], taps[1]);
    const Vector low_second = zip_low_bytes(taps[2], taps[3]);
    const Vector high_second = zip_high_bytes(taps[2], taps[3]);
    quads[0] = zip_low_words(low_first, low_second);
    quads[1] = zip_high_words(low_first, low_second);
    quads[2] = zip_low_words(high_first, high_second);
    quads[3] = zip_high_words(high_first, high_second);
}

template <class Vector>
QUOIN_INLINE Vector add_quads(Vector sum, Vector unsigned_bytes, Vector weights) {
    ByteDot<(sizeof(Vector) > 0 ? Bytes::Any : Bytes::Signed), false> dot;  // of a template's own type
    dot.state = sum;
    dot.any_step(unsigned_bytes, weights);
    return dot.state;
}

template <class Vector, bool kTwo>
QUOIN_INLINE void fill_quad_block(const IntegerDepthwiseArgs& args, int64_t column, int64_t channels,
                                  QuadBlock& block) {
    const int64_t taps = args.window.taps();
    const int32_t zero_point = args.src_zero_point + (args.src_signed ? 128 : 0);
    block.quads = (taps + 3) / 4;
    block.channels = channels;
    for (std::byte& each : block.padding) each = static_cast<std::byte>(args.src_zero_point & 255);
    Vector sums[4];
    for (Vector& sum : sums) sum = broadcast_int(0);
    for (int64_t quad = 0; quad < block.quads; ++quad) {
        Vector rows[4];
        Vector zipped[4];
        for (int64_t t = 0; t < 4; ++t) {
            rows[t] = broadcast_int(0);
            const int64_t tap = quad * 4 + t;
            if (tap >= taps) continue;
            const std::byte* const row = args.weights + tap * args.channels + column;
            if constexpr (kTwo) {
                load_two_first_bytes(rows[t], row, row, channels);
            } else {
                load_first_bytes(rows[t], row, channels);
            }
        }
        zip_quads(rows, zipped);
        for (int64_t j = 0; j < 4; ++j) {
            store_ints(block.weights[quad][j], zipped[j]);
            sums[j] = add_quads<Vector>(sums[j], broadcast_byte(1), zipped[j]);
        }
    }
    for (int64_t j = 0; j < 4; ++j) {
        alignas(64) std::byte of_weights[kVectorBytes];
        store_ints(of_weights, sums[j]);
        for (int64_t lane = 0; lane < kLanes; ++lane) {
            const int64_t channel = zipped_channel(j, lane, kTwo);
            const bool inside = channel < channels;
            const int64_t bias = inside && args.bias != nullptr ? args.bias[column + channel] : 0;
            write(block.start[j] + lane * 4,
                  wrapped(bias - int64_t{zero_point} * read<int32_t>(of_weights + lane * 4)));
            block.scales[j][lane] = inside ? args.scales[column + channel] : 0.0F;
        }
    }
}

// Where the pixels and results of some positions are, from the block's first channel on.
struct QuadPlace {
    const std::byte* pixels[2 * kQuadPositions][kMostDepthwiseTaps];
    std::byte* dst[2 * kQuadPositions];
};

template <class Vector, bool kTwo, bool kWhole>
[[gnu::noinline]] void quad_tile(const QuadBlock& block, const IntegerFinish& finish, unsigned src_flip,
                                 const QuadPlace& place) {
    constexpr int P = kQuadPositions;
    const int64_t channels = block.channels;
    const Vector flip = broadcast_byte(static_cast<int>(src_flip));
    Vector sum[P][4];
    for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
        for_constant<4>([&](auto j) QUOIN_LAMBDA_INLINE { sum[p][j] = load_ints(block.start[j]); });
    });
    for (int64_t quad = 0; quad < block.quads; ++quad) {
        for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
            Vector taps[4];
            Vector zipped[4];
            for_constant<4>([&](auto t) QUOIN_LAMBDA_INLINE {
                const int64_t tap = quad * 4 + t;
                if constexpr (kTwo && kWhole) {
                    load_two_bytes(taps[t], place.pixels[2 * p][tap], place.pixels[2 * p + 1][tap]);
                } else if constexpr (kTwo) {
                    load_two_first_bytes(taps[t], place.pixels[2 * p][tap], place.pixels[2 * p + 1][tap], channels);
                } else if constexpr (kWhole) {
                    taps[t] = load_ints(place.pixels[p][tap]);
                } else {
                    load_first_bytes(taps[t], place.pixels[p][tap], channels);
                }
                taps[t] = xor_ints(taps[t], flip);
            });
            zip_quads(taps, zipped);
            for_constant<4>([&](auto j) QUOIN_LAMBDA_INLINE {
                sum[p][j] = add_quads<Vector>(sum[p][j], zipped[j], load_ints(block.weights[quad][j]));
            });
        });
    }
    const Floats low = broadcast(finish.low);
    const Floats high = broadcast(finish.high);
    const Vector shift = broadcast_int(finish.shift);
    const Vector result_flip = broadcast_byte(static_cast<int>(finish.flip));
    for_constant<P>([&](auto p) QUOIN_LAMBDA_INLINE {
        Vector result[4];
        for_constant<4>([&](auto j) QUOIN_LAMBDA_INLINE {
            const Floats scaled = to_floats(sum[p][j]) * load(block.scales[j]);
            result[j] = add_ints(round_to_ints(minimum(high, maximum(low, scaled))), shift);
        });
        const Vector bytes = xor_ints(unzip_to_bytes(result[0], result[1], result[2], result[3]), result_flip);
        if constexpr (kTwo) {
            store_two_first_bytes(place.dst[2 * p], place.dst[2 * p + 1], bytes, channels);
        } else if constexpr (kWhole) {
            store_ints(place.dst[p], bytes);
        } else {
            store_first_bytes(place.dst[p], bytes, channels);
        }
    });
}

// Offsets of the taps from that of a position, which has to see all of them.
struct QuadTaps {
    int64_t offsets[kMostDepthwiseTaps];
    int64_t reach[3];

    explicit QUOIN_INLINE QuadTaps(const Window& window) {
        for (int axis = 0; axis < 3; ++axis) reach[axis] = (window.kernel[axis] - 1) * window.dilation[axis];
        int64_t tap = 0;
        for (int64_t d = 0; d < window.kernel[0]; ++d) {
            for (int64_t h = 0; h < window.kernel[1]; ++h) {
                for (int64_t w = 0; w < window.kernel[2]; ++w, ++tap) {
                    offsets[tap] = d * window.dilation[0] * window.source_stride[0] +
                                   h * window.dilation[1] * window.source_stride[1] +
                                   w * window.dilation[2] * window.source_stride[2];
                }
            }
        }
        // What fills the last quad up meets weights of zero.
        for (; tap % 4 != 0; ++tap) offsets[tap] = offsets[0];
    }
};

QUOIN_INLINE void collect_pixels(const Window& window, const QuadTaps& taps, const Position& position,
                                 const std::byte* src, const std::byte* padding, int64_t count,
                                 const std::byte** pixels) {
    int64_t base[3];
    bool inside = true;
    for (int axis = 0; axis < 3; ++axis) {
        base[axis] = position.at[axis] * window.step[axis] - window.pad[axis];
        inside &= base[axis] >= 0 && base[axis] + taps.reach[axis] < window.source[axis];
    }
    const int64_t origin =
        base[0] * window.source_stride[0] + base[1] * window.source_stride[1] + base[2] * window.source_stride[2];
    if (inside) {
        for (int64_t tap = 0; tap < count; ++tap) pixels[tap] = src + (origin + taps.offsets[tap]);
        return;
    }
    for (int64_t tap = 0; tap < count; ++tap) pixels[tap] = padding;
    int64_t row = 0;
    for (int64_t d = 0; d < window.kernel[0]; ++d) {
        const int64_t at_d = base[0] + d * window.dilation[0];
        for (int64_t h = 0; h < window.kernel[1]; ++h, row += window.kernel[2]) {
            const int64_t at_h = base[1] + h * window.dilation[1];
            if (at_d < 0 || at_d >= window.source[0] || at_h < 0 || at_h >= window.source[1]) continue;
            for (int64_t w = 0; w < window.kernel[2]; ++w) {
                const int64_t at_w = base[2] + w * window.dilation[2];
                if (at_w >= 0 && at_w < window.source[2]) pixels[row + w] = src + (origin + taps.offsets[row + w]);
            }
        }
    }
}

template <class Vector, bool kTwo>
QUOIN_INLINE void depthwise_quads_block(const IntegerDepthwiseArgs& args, const QuadTaps& taps, int64_t column,
                                        int64_t channels) {
    QuadBlock block;
    fill_quad_block<Vector, kTwo>(args, column, channels, block);
    const IntegerFinish finish(args);
    const unsigned src_flip = args.src_signed ? 128 : 0;
    constexpr int64_t kPositions = kQuadPositions * (kTwo ? 2 : 1);
    QuadPlace place;
    Position position(args.window, args.first);
    for (int64_t i = 0; i < args.count; i += kPositions) {
        for (int64_t p = 0; p < kPositions; ++p) {
            // Behind the last one it is computed again.
            if (i + p > 0 && i + p < args.count) position.next(args.window);
            collect_pixels(args.window, taps, position, args.src + column, block.padding, block.quads * 4,
                           place.pixels[p]);
            place.dst[p] = args.dst + position.offset(args.dst_stride) + column;
        }
        if (channels == kVectorBytes / (kTwo ? 2 : 1)) {
            quad_tile<Vector, kTwo, true>(block, finish, src_flip, place);
        } else {
            quad_tile<Vector, kTwo, false>(block, finish, src_flip, place);
        }
    }
}

// Whether depthwise_quads computes it.
QUOIN_INLINE bool takes_depthwise_quads(const IntegerDepthwiseArgs& args) {
    const bool bytes = args.result == IntegerResult::U8 || args.result == IntegerResult::S8;
    return kHasDepthwiseQuads && bytes && args.multiplier == 1 && args.weight_zero_points == nullptr &&
           args.window.taps() <= kMostDepthwiseTaps && args.count > 0;
}

template <class Vector>
void depthwise_quads(const IntegerDepthwiseArgs& args) {
    const QuadTaps taps(args.window);
    for (int64_t column = 0; column < args.channels; column += kVectorBytes) {
        const int64_t channels = smaller(args.channels - column, kVectorBytes);
        if (channels <= kVectorBytes / 2) {
            depthwise_quads_block<Vector, true>(args, taps, column, channels);
        } else {
            depthwise_quads_block<Vector, false>(args, taps, column, channels);
        }
    }
}

}  // namespace
}  // namespace quoin
