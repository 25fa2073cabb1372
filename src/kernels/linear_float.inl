// Linear over f32, f16 and bf16 panels.

namespace quoin {
namespace {

// K values of a panel that all rows of a block pass over before the next. Even, for pairs. Widened ones stay in the
// first-level cache; f32 streams from the second level, which has the time: a tile uses two lines in 24 cycles and
// loads and stores its sums only once a chunk.
constexpr int64_t kWidenedChunk = 128;
constexpr int64_t kFloatChunk = 512;
// Rows that lie a multiple of this apart share the few lines of one set of the first-level cache. A tile of more rows
// than the set has lines reads a copy.
constexpr int64_t kAliasBytes = 4096;
constexpr int64_t kAliasRows = 8;
// How far ahead of their use a single tile asks for weights: further than the hardware looks, which stops at pages.
constexpr int64_t kAheadBytes = 8192;

QUOIN_INLINE void widen_chunk(F16Strip, const std::byte* panel, int64_t inner, float* dst) {
    for (int64_t i = 0; i < inner * kPanelColumns; i += kLanes) store(dst + i, load_f16(panel + i * 2));
}
QUOIN_INLINE void widen_chunk(Bf16PairStrip, const std::byte* panel, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; k += 2, panel += kPanelColumns * 4, dst += 2 * kPanelColumns) {
        for (int v = 0; v < kPanelVectors; ++v) {
            const Ints pairs = load_ints(panel + v * kVectorBytes);
            store(dst + v * kLanes, low_bf16(pairs));
            store(dst + kPanelColumns + v * kLanes, high_bf16(pairs));  // beyond an odd K: chunk has the room
        }
    }
}
QUOIN_INLINE void widen_chunk(F32Strip, const std::byte*, int64_t, float*) {}

// multiply_strip, with the rows of each tile copied to where they do not drive each other out of the cache.
template <class Strip>
QUOIN_INLINE void multiply_copied(int64_t rows, int64_t vectors, const FloatTile& whole) {
    constexpr int64_t kStride = kFloatChunk + 16;
    alignas(64) float copy[kFloatTileRows * kStride];
    FloatTile tile = whole;
    tile.src_stride = kStride;
    tile.src = copy;
    for (int64_t row = 0; row < rows; row += kFloatTileRows) {
        const int64_t height = smaller<int64_t>(rows - row, kFloatTileRows);
        for (int64_t r = 0; r < height; ++r) {
            const float* const from = whole.src + (row + r) * whole.src_stride;
            int64_t k = 0;
            for (; k + kLanes <= tile.inner; k += kLanes) store(copy + r * kStride + k, load(from + k));
            if (k < tile.inner)
                store_first(copy + r * kStride + k, load_first(from + k, tile.inner - k), tile.inner - k);
        }
        multiply_strip<Strip>(height, vectors, tile);
        tile.sums += height * tile.sum_stride;
    }
}

template <class Strip>
struct FloatPanels {
    static void accumulate(const LinearArgs& args, const std::byte* panel, const std::byte* src, int64_t rows,
                           float* sums) {
        constexpr int64_t kStride = kPanelColumns * Strip::kColumnBytes;
        FloatTile tile = {};
        tile.src = reinterpret_cast<const float*>(src);
        tile.src_stride = args.src_stride / 4;
        tile.sums = sums;
        tile.sum_stride = kPanelColumns;
        // Widening once for all rows pays from two tiles on; a single tile widens as it goes.
        constexpr bool kWide = __is_same(Strip, F32Strip);
        const bool widen = !kWide && rows > kFloatTileRows;
        constexpr int64_t kChunk = kWide ? kFloatChunk : kWidenedChunk;
        alignas(64) float wide[kWide ? 1 : kChunk * kPanelColumns];
        const bool copies = kFloatTileRows > kAliasRows && rows > kAliasRows && args.src_stride % kAliasBytes == 0;
        for (int64_t k = 0; k < args.inner; k += kChunk) {
            tile.inner = smaller(args.inner - k, kChunk);
            const std::byte* const weights = panel + k / Strip::kStep * kStride;
            if (widen) {
                widen_chunk(Strip{}, weights, tile.inner, wide);
                tile.weights = reinterpret_cast<const std::byte*>(wide);
                tile.weight_stride = kPanelColumns * 4;
                tile.ahead = weights + tile.inner / Strip::kStep * kStride;
                tile.ahead_stride = kStride / Strip::kStep;
                multiply_strip<F32Strip>(rows, kPanelVectors, tile);
            } else {
                tile.weights = weights;
                tile.weight_stride = kStride;
                tile.ahead = weights + kAheadBytes;
                tile.ahead_stride = kStride;
                if constexpr (kWide) {
                    copies ? multiply_copied<Strip>(rows, kPanelVectors, tile)
                           : multiply_strip<Strip>(rows, kPanelVectors, tile);
                } else {
                    multiply_strip<Strip>(rows, kPanelVectors, tile);
                }
            }
            tile.src += kChunk;
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
    linear<FloatPanels<Bf16PairStrip>>(args);
}

}  // namespace
}  // namespace quoin
