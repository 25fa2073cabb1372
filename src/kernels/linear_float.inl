// Linear over f32, f16 and bf16 panels.

namespace quoin {
namespace {

// K values of a panel kept in the first-level cache while all rows of a block pass over them. Even, for pairs.
constexpr int64_t kFloatChunk = 128;
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
        alignas(64) float wide[kWide ? 1 : kFloatChunk * kPanelColumns];
        for (int64_t k = 0; k < args.inner; k += kFloatChunk) {
            tile.inner = smaller(args.inner - k, kFloatChunk);
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
                multiply_strip<Strip>(rows, kPanelVectors, tile);
            }
            tile.src += kFloatChunk;
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
