// Linear over f32, f16 and bf16 panels.

namespace quoin {
namespace {

// How far ahead of their use a single tile asks for weights: further than the hardware looks, which stops at pages.
constexpr int64_t kAheadBytes = 8192;

// A strip of a panel, kStripColumns wide, to where its lines lie side by side.
QUOIN_INLINE void widen_strip(F32Strip, const std::byte* panel, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; ++k, panel += kPanelColumns * 4, dst += kStripColumns) {
        for (int v = 0; v < kFloatTileVectors; ++v)
            store(dst + v * kLanes, F32Strip::weights(panel + v * kVectorBytes));
    }
}
QUOIN_INLINE void widen_strip(F16Strip, const std::byte* panel, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; ++k, panel += kPanelColumns * 2, dst += kStripColumns) {
        for (int v = 0; v < kFloatTileVectors; ++v) store(dst + v * kLanes, load_f16(panel + v * kLanes * 2));
    }
}
QUOIN_INLINE void widen_strip(Bf16PairStrip, const std::byte* panel, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; k += 2, panel += kPanelColumns * 4, dst += 2 * kStripColumns) {
        for (int v = 0; v < kFloatTileVectors; ++v) {
            const Ints pairs = load_ints(panel + v * kVectorBytes);
            store(dst + v * kLanes, low_bf16(pairs));
            store(dst + kStripColumns + v * kLanes, high_bf16(pairs));  // beyond an odd K: chunk has the room
        }
    }
}

// Rounded to pairs of bf16.
template <class Vector>
QUOIN_INLINE void take_pairs(const LinearArgs& args, const std::byte* src, float* copy, PanelChunk& chunk) {
    const int64_t stride = (chunk.values + kLanes - 1) / kLanes * kLanes * 2 + kCopyGap * 4;
    auto* dst = reinterpret_cast<std::byte*>(copy);
    src += chunk.first * 4;
    for (int64_t r = 0; r < chunk.rows; ++r, src += args.src_stride, dst += stride) {
        const auto* const from = reinterpret_cast<const float*>(src);
        for (int64_t k = 0; k < chunk.values; k += kLanes) {
            const int64_t left = chunk.values - k;
            const Vector x = left >= kLanes ? load(from + k) : load_first(from + k, left);
            store_bf16(dst + k * 2, x);
        }
    }
    chunk.src = reinterpret_cast<const std::byte*>(copy);
    chunk.src_stride = stride;
}

template <class Strip>
struct FloatPanels {
    struct Room {
        alignas(64) float copy[kCopyFloats];
        alignas(64) float wide[kChunkFloats * kStripColumns];
    };
    static constexpr DType kWeight = DType::F32;
    static constexpr bool kPairs = __is_same(Strip, Bf16DotStrip);
    static constexpr bool kWidens = !kPairs && !(__is_same(Strip, F32Strip) && kStripColumns == kPanelColumns);
    static constexpr int64_t kValuesPerFloat = kPairs ? 2 : 1;

    static QUOIN_INLINE Pass pass(const LinearArgs&, int64_t rows) { return float_pass(rows, kLanes, kValuesPerFloat); }

    static QUOIN_INLINE void take(const LinearArgs& args, const std::byte* src, Room& room, PanelChunk& chunk) {
        if constexpr (kPairs) {
            take_pairs<Floats>(args, src, room.copy, chunk);
        } else {
            take_floats(args, src, kLanes, room.copy, chunk);
        }
    }

    static QUOIN_INLINE void multiply(const LinearArgs&, Room& room, const PanelChunk& chunk) {
        constexpr int64_t kStride = kPanelColumns * Strip::kColumnBytes;
        const auto bytes_to = [](int64_t k) QUOIN_LAMBDA_INLINE { return k / Strip::kValues * kStride; };
        const bool few = chunk.rows <= kFloatTileRows;
        FloatTile tile = {};
        tile.src = reinterpret_cast<const float*>(chunk.src);
        tile.src_stride = chunk.src_stride / 4;
        tile.inner = (chunk.values + kValuesPerFloat - 1) / kValuesPerFloat;
        tile.weights = chunk.panel + bytes_to(chunk.first);
        tile.weight_stride = kStride;
        tile.sums = chunk.sums;
        tile.sum_stride = kPanelColumns;
        tile.ahead = few ? tile.weights + kAheadBytes : chunk.behind + bytes_to(chunk.behind_first);
        tile.ahead_stride = kStride;
        if constexpr (kWidens) {
            // Widening once for all rows pays from two tiles on; a single tile widens as it goes.
            if (!few) {
                tile.ahead_stride = kStride / Strip::kValues;
                for (int64_t column = 0; column < kPanelColumns; column += kStripColumns) {
                    FloatTile strip = tile;
                    widen_strip(Strip{}, tile.weights + column * Strip::kColumnBytes, tile.inner, room.wide);
                    strip.weights = reinterpret_cast<const std::byte*>(room.wide);
                    strip.weight_stride = kStripColumns * 4;
                    strip.sums += column;
                    strip.ahead += column * Strip::kColumnBytes;
                    multiply_strip<F32Strip>(chunk.rows, kFloatTileVectors, strip);
                }
                return;
            }
        }
        multiply_strip<Strip>(chunk.rows, kPanelVectors, tile);
    }
};

void linear_f32(const LinearArgs& args) {
    linear<FloatPanels<F32Strip>>(args);
}
void linear_f16(const LinearArgs& args) {
    linear<FloatPanels<F16Strip>>(args);
}
void linear_bf16(const LinearArgs& args) {
    if constexpr (kHasBf16Dot) {
        linear<FloatPanels<Bf16DotStrip>>(args);
    } else {
        linear<FloatPanels<Bf16PairStrip>>(args);
    }
}

}  // namespace
}  // namespace quoin
