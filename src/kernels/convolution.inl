// Convolution of channels-last f32 as a product of patches and panels. The source of a block of positions is collected
// into rows [position][part of inner], so tiles are always full and padding, dilation and few channels cost them
// nothing; a 1x1 window whose rows are already such a matrix is read in place.

namespace quoin {
namespace {

// Part of a source in floats, as rows that tiles read. Row ends are written over by up to a vector.
struct FloatPatches {
    using Element = float;

    float* dst;
    static QUOIN_INLINE void copy(const float* src, int64_t count, float* to) {
        int64_t i = 0;
        for (; i + kLanes <= count; i += kLanes) store(to + i, load(src + i));
        if (i < count) store(to + i, load_first(src + i, count - i));
    }
    static QUOIN_INLINE void pad(int64_t count, float* to) {
        for (int64_t i = 0; i < count; i += kLanes) store(to + i, zeros());
    }
};

struct ConvolutionTile {
    const float* src;
    int64_t src_stride;
    int64_t inner;
    const float* weights;  // [inner][32]
    const float* start;    // [R][32], what the products are added to
    int64_t start_stride;  // 32, or 0 for the same in all rows
    float* sums;           // [R][32], where sums wait for the rest; may be `start`
    bool finish;           // the last of inner: results go to dst
    const EpiloguePart* part;
    const float* residual;
    const int64_t* residual_offsets;  // of R positions
    float* dst;
    const int64_t* dst_offsets;
    int64_t column;  // within the panel
};

template <int R, int V>
[[gnu::noinline]] void convolution_tile(const ConvolutionTile& tile) {
    // Loops of constants: GCC else keeps the sums in memory, since it unrolls the loops of the ends too late.
    Floats sum[R][V];
    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
        const float* const start = tile.start + r * tile.start_stride;
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { sum[r][v] = load(start + v * kLanes); });
    });
    const float* w = tile.weights;
    const float* src = tile.src;
    const int64_t stride = tile.src_stride;
    for (int64_t k = tile.inner; k > 0; --k, w += kPanelColumns, ++src) {
        Floats weight[V];
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { weight[v] = load(w + v * kLanes); });
        for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
            const Floats a = broadcast(src[r * stride]);
            for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { sum[r][v] = fma(a, weight[v], sum[r][v]); });
        });
    }
    const EpiloguePart& part = *tile.part;
    if (!tile.finish || !part.clamp.all || tile.column + V * kLanes > part.columns) {
        float* const sums = tile.sums;
        for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
            for_constant<V>([&](auto v)
                                QUOIN_LAMBDA_INLINE { store(sums + r * kPanelColumns + v * kLanes, sum[r][v]); });
        });
        return;
    }
    const Floats low = broadcast(part.clamp.low);
    const Floats high = broadcast(part.clamp.high);
    float* const dst = tile.dst;
    const int64_t* const offsets = tile.dst_offsets;
    if (tile.residual == nullptr) {
        for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
            for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                store(dst + offsets[r] + v * kLanes, clip_of(sum[r][v], low, high));
            });
        });
        return;
    }
    const float* const residual = tile.residual;
    const int64_t* const residual_offsets = tile.residual_offsets;
    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
            const Floats x = sum[r][v] + load(residual + residual_offsets[r] + v * kLanes);
            store(dst + offsets[r] + v * kLanes, clip_of(x, low, high));
        });
    });
}

template <int R, int V>
QUOIN_INLINE void convolution_tile_of(int64_t rows, const ConvolutionTile& tile) {
    if (rows == R) {
        convolution_tile<R, V>(tile);
    } else if constexpr (R > 1) {
        convolution_tile_of<R - 1, V>(rows, tile);
    }
}

// A block of rows times one panel. `block` as for a tile of all rows. Sums may be one tile's room, used again by each
// (sum_step 0), when nothing is left for later.
QUOIN_INLINE void convolution_panel(const ConvolutionTile& block, int64_t rows, int64_t sum_step) {
    constexpr int64_t kRows = kFloatTileRows;
    constexpr int64_t kVectors = kFloatTileVectors;
    const EpiloguePart& part = *block.part;
    const int64_t vectors = (part.columns + kLanes - 1) / kLanes;
    const bool left_over = block.finish && !(part.clamp.all && part.columns == vectors * kLanes);
    ConvolutionTile tile = block;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    int64_t left = rows;
    for (int64_t t = tiles; t > 0; --t) {
        const int64_t height = (left + t - 1) / t;
        for (int64_t v = 0; v < vectors;) {
            const int64_t width = v + kVectors <= vectors ? kVectors : 1;
            ConvolutionTile one = tile;
            one.column = v * kLanes;
            one.weights += v * kLanes;
            one.start += v * kLanes;
            one.sums += v * kLanes;
            one.dst += v * kLanes;
            if (one.residual != nullptr) one.residual += v * kLanes;
            if (width == kVectors) {
                convolution_tile_of<kRows, kVectors>(height, one);
            } else {
                convolution_tile_of<kRows, 1>(height, one);
            }
            v += width;
        }
        if (left_over) {
            // Vectors that are whole are there already unless an activation waits for all.
            const int64_t done = part.clamp.all ? part.columns / (kVectors * kLanes) * (kVectors * kLanes) : 0;
            for (int64_t r = 0; r < height; ++r) {
                const float* const residual =
                    tile.residual == nullptr ? nullptr : tile.residual + tile.residual_offsets[r];
                finish_row(part, done, tile.sums + r * kPanelColumns, residual, tile.dst + tile.dst_offsets[r]);
            }
        }
        tile.src += height * tile.src_stride;
        tile.start += height * tile.start_stride;
        tile.sums += height * sum_step;
        tile.dst_offsets += height;
        if (tile.residual != nullptr) tile.residual_offsets += height;
        left -= height;
    }
}

void convolution_f32(const ConvolutionArgs& args) {
    if (args.count <= 0 || args.columns <= 0) return;
    const int64_t inner = args.window.taps() * args.channels;
    const int64_t part_inner = convolution_block_inner(inner);
    const int64_t block_rows = convolution_block_rows(inner, args.columns);
    // Even blocks of whole tiles.
    const int64_t blocks = (args.count + block_rows - 1) / block_rows;
    const int64_t height = ((args.count + blocks - 1) / blocks + 11) / 12 * 12;
    const int64_t plain_stride = plain_row_stride(args.window);
    const bool plain = plain_stride != 0 && (plain_stride % 512 != 0 || args.count < 8);
    float* const patches = args.scratch;
    const int64_t patch_stride = convolution_patch_stride(part_inner);
    float* const sums = args.scratch + block_rows * patch_stride + 16;
    const int64_t panels = panel_count(args.columns);

    int64_t dst_offsets[kConvolutionRows];
    int64_t residual_offsets[kConvolutionRows];
    alignas(64) float tile_sums[kFloatTileRows * kPanelColumns];
    for (int64_t row = 0; row < args.count; row += height) {
        const int64_t rows = smaller(args.count - row, height);
        const int64_t first = args.first + row;
        collect_offsets(args.window, args.dst_stride, first, rows, dst_offsets);
        if (args.epilogue.residual != nullptr) {
            collect_offsets(args.window, args.epilogue.residual_stride, first, rows, residual_offsets);
        }
        // Without taps, as in some phases of transposed convolutions, the epilogue alone makes the result.
        const int64_t step = larger<int64_t>(plain ? inner : part_inner, 1);
        for (int64_t k = 0; k == 0 || k < inner; k += step) {
            ConvolutionTile tile = {};
            tile.inner = smaller(inner - k, step);
            if (plain) {
                tile.src = args.src + source_offset(args.window, Position(args.window, first));
                tile.src_stride = plain_stride;
            } else if (inner > 0) {
                collect_patches(FloatPatches{patches}, args.window, args.channels, args.src, first, rows, k,
                                k + tile.inner, patch_stride);
                tile.src = patches;
                tile.src_stride = patch_stride;
            }
            const bool begin = k == 0;
            tile.finish = k + tile.inner == inner;
            tile.dst_offsets = dst_offsets;
            tile.residual_offsets = residual_offsets;
            const bool whole = begin && tile.finish;
            for (int64_t panel = 0; panel < panels; ++panel) {
                const int64_t column = panel * kPanelColumns;
                const EpiloguePart part(args.epilogue, column, smaller(args.columns - column, kPanelColumns));
                tile.part = &part;
                tile.weights = args.weights + panel * args.panel_stride + k * kPanelColumns;
                tile.sums = whole ? tile_sums : sums + panel * height * kPanelColumns;
                tile.start = begin ? part.bias : tile.sums;
                tile.start_stride = begin ? 0 : kPanelColumns;
                tile.dst = args.dst + column;
                tile.residual = args.epilogue.residual == nullptr ? nullptr : args.epilogue.residual + column;
                convolution_panel(tile, rows, whole ? 0 : kPanelColumns);
            }
        }
    }
}

void pack_convolution_f32(const float* src, int64_t columns, int64_t channels, int64_t taps, float* panel) {
    for (int64_t t = 0; t < taps; ++t) {
        for (int64_t i = 0; i < channels; ++i, panel += kPanelColumns) {
            for (int64_t c = 0; c < kPanelColumns; ++c) {
                panel[c] = c < columns ? src[(c * channels + i) * taps + t] : 0.0F;
            }
        }
    }
}

}  // namespace
}  // namespace quoin
