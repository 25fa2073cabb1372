// Linear over f32, f16 and bf16 panels.

namespace quoin {
namespace {

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
    static constexpr int64_t kValuesPerFloat = kPairs ? 2 : 1;

    // Panels are read side by side for so many rows at most: more have arithmetic enough for memory to keep up (6 rows
    // of f16 lose a tenth with AVX2, 4 gain as much).
    static constexpr int64_t kMostRowsBeside = kFloatTileRows * 2 / 3;
    // Of a panel before its neighbour's turn; whole pairs of bf16.
    static constexpr int64_t kTurnBytes = 1024;

    static QUOIN_INLINE Pass pass(const LinearArgs& args, int64_t rows) {
        Pass pass = float_pass(rows, kLanes, kValuesPerFloat);
        if (rows <= kMostRowsBeside && args.processor.follows_streams) pass.beside = kPanelsBeside;
        return pass;
    }

    static QUOIN_INLINE void take(const LinearArgs& args, const std::byte* src, Room& room, PanelChunk& chunk) {
        if constexpr (kPairs) {
            take_pairs<Floats>(args, src, room.copy, chunk);
        } else {
            take_floats(args, src, kLanes, room.copy, chunk);
        }
    }

    static QUOIN_INLINE void multiply(const LinearArgs& args, Room& room, const PanelChunk& chunk) {
        constexpr int64_t kStride = kPanelColumns * Strip::kColumnBytes;
        const auto bytes_of = [](int64_t values) QUOIN_LAMBDA_INLINE {
            return (values + Strip::kValues - 1) / Strip::kValues * kStride;
        };
        static_assert(kTurnBytes % kStride == 0);
        FloatTile tile = {};
        tile.src_stride = chunk.src_stride / 4;
        tile.weight_stride = kStride;
        tile.sum_stride = kPanelColumns;
        tile.wide = room.wide;
        const auto place = [&](int64_t panel, int64_t first, int64_t values) QUOIN_LAMBDA_INLINE {
            tile.src = reinterpret_cast<const float*>(chunk.src) + first / kValuesPerFloat;
            tile.inner = (values + kValuesPerFloat - 1) / kValuesPerFloat;
            tile.weights = chunk.panel + panel * args.panel_stride + bytes_of(chunk.first + first);
            tile.sums = chunk.sums + panel * chunk.rows * kPanelColumns;
        };
        if (chunk.panels > 1) {
            constexpr int64_t kTurn = kTurnBytes / kStride * Strip::kValues;
            for (int64_t first = 0; first < chunk.values; first += kTurn) {
                for (int64_t panel = 0; panel < chunk.panels; ++panel) {
                    place(panel, first, smaller(chunk.values - first, kTurn));
                    multiply_few<Strip, WeightUse::Multiply>(chunk.rows, tile);
                }
            }
            return;
        }
        place(0, 0, chunk.values);
        if (chunk.rows <= kFloatTileRows) {
            multiply_few<Strip, WeightUse::Stream>(chunk.rows, tile);
        } else {
            multiply_many<Strip>(chunk.rows, tile, chunk.behind + bytes_of(chunk.behind_first), bytes_of(chunk.values));
        }
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
