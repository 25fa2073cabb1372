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

// ---- bf16 x bf16 -----------------------------------------------------------------------------------------------

// Activations are rounded to bf16, too, a chunk of K of all rows at a time for some panels: 120 KiB of them and as much
// of sums stay in the second-level cache, a panel's 16 KiB of weights in the first.
constexpr int64_t kDotChunk = 256;
constexpr int64_t kDotPanels = 4;
constexpr int64_t kDotPairs = kRowBlock * kDotChunk / 2;

// values[rows][inner] -> pairs[rows][stride], the last pair of an odd number filled up with a zero.
template <class Vector>
QUOIN_INLINE void round_rows(const std::byte* src, int64_t src_stride, int64_t rows, int64_t inner, float* pairs,
                             int64_t stride) {
    for (int64_t r = 0; r < rows; ++r, src += src_stride, pairs += stride) {
        const auto* const values = reinterpret_cast<const float*>(src);
        auto* const to = reinterpret_cast<std::byte*>(pairs);
        for (int64_t k = 0; k < inner; k += kLanes) {
            const Vector x = inner - k >= kLanes ? load(values + k) : load_first(values + k, inner - k);
            store_bf16(to + k * 2, x);
        }
    }
}

template <class Vector>
void linear_bf16_dots(const LinearArgs& args) {
    constexpr int64_t kStride = kPanelColumns * 4;
    alignas(64) float sums[kDotPanels * kRowBlock * kPanelColumns];
    alignas(64) float pairs[kDotPairs];
    const int64_t height = args.rows == 0 ? 1 : row_block(args.rows);
    for (int64_t row = 0; row < args.rows; row += height) {
        const int64_t rows = smaller(args.rows - row, height);
        const std::byte* const src = args.src + row * args.src_stride;
        // A single tile streams a panel from end to end, as far as the pairs of its rows have room.
        const int64_t chunk = rows > kFloatTileRows ? kDotChunk : kDotPairs / rows / kLanes * kLanes * 2;
        for (int64_t first = 0; first < args.panels; first += kDotPanels) {
            const int64_t panels = smaller(args.panels - first, kDotPanels);
            for (int64_t i = 0; i < panels * rows * kPanelColumns; i += kLanes) store(sums + i, zeros());
            for (int64_t k = 0; k < args.inner; k += chunk) {
                const int64_t values = smaller(args.inner - k, chunk);
                FloatTile tile = {};
                tile.src = pairs;
                tile.src_stride = (values + kLanes - 1) / kLanes * kLanes / 2;
                tile.inner = (values + 1) / 2;
                tile.weight_stride = kStride;
                tile.sum_stride = kPanelColumns;
                tile.ahead_stride = kStride;
                round_rows<Vector>(src + k * 4, args.src_stride, rows, values, pairs, tile.src_stride);
                for (int64_t panel = 0; panel < panels; ++panel) {
                    tile.weights = args.weights + (first + panel) * args.panel_stride + k / 2 * kStride;
                    tile.sums = sums + panel * rows * kPanelColumns;
                    // What comes next is this panel's or, with many rows, the next panel's.
                    tile.ahead = rows <= kFloatTileRows ? tile.weights + kAheadBytes
                                 : panel + 1 < panels   ? tile.weights + args.panel_stride
                                                        : tile.weights + tile.inner * kStride;
                    multiply_strip<Bf16DotStrip>(rows, kPanelVectors, tile);
                }
            }
            for (int64_t panel = 0; panel < panels; ++panel) {
                finish_panel(args, row, rows, first + panel, sums + panel * rows * kPanelColumns);
            }
        }
    }
}

void linear_f32(const LinearArgs& args) {
    linear<FloatPanels<F32Strip>>(args);
}
void linear_f16(const LinearArgs& args) {
    linear<FloatPanels<F16Strip>>(args);
}
void linear_bf16(const LinearArgs& args) {
    if constexpr (kHasBf16Dot) {
        linear_bf16_dots<Floats>(args);
    } else {
        linear<FloatPanels<Bf16PairStrip>>(args);
    }
}

}  // namespace
}  // namespace quoin
