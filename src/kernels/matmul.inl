// Products of two matrices that are both computed: b is packed into panels, one at a time, and multiplied while it is
// in the cache.

namespace quoin {
namespace {

QUOIN_INLINE void pack_matmul_panel(const MatMulArgs& args, int64_t column, int64_t columns, float* panel) {
    const float* const b = args.b + column * args.b_column_stride;
    if (args.b_column_stride == 1) {
        for (int64_t k = 0; k < args.inner; ++k, panel += kPanelColumns) {
            const float* const row = b + k * args.b_inner_stride;
            for (int64_t c = 0; c < kPanelColumns; c += kLanes) {
                const int64_t n = smaller(columns - c, kLanes);
                store(panel + c, n >= kLanes ? load(row + c) : n > 0 ? load_first(row + c, n) : zeros());
            }
        }
        return;
    }
    // A line of each column at a time, so that both sides stay in the cache.
    constexpr int64_t kStep = 16;
    for (int64_t begin = 0; begin < args.inner; begin += kStep) {
        const int64_t end = smaller(begin + kStep, args.inner);
        const int64_t quads = args.b_inner_stride == 1 ? (end - begin) / 4 * 4 : 0;
        int64_t c = 0;
        for (; quads > 0 && c + 4 <= columns; c += 4) {
            const float* const src = b + c * args.b_column_stride;
            for (int64_t k = begin; k < begin + quads; k += 4) {
                transpose_quads(reinterpret_cast<const std::byte*>(src + k), args.b_column_stride * 4, 0,
                                reinterpret_cast<std::byte*>(panel + k * kPanelColumns + c));
            }
        }
        const int64_t done = c;
        for (c = 0; c < kPanelColumns; ++c) {
            const float* const src = b + c * args.b_column_stride;
            for (int64_t k = c < done ? begin + quads : begin; k < end; ++k) {
                panel[k * kPanelColumns + c] = c < columns ? src[k * args.b_inner_stride] : 0.0F;
            }
        }
    }
}

void matmul_f32(const MatMulArgs& args) {
    alignas(64) float tile_sums[kFloatTileRows * kPanelColumns];
    int64_t offsets[kConvolutionRows];
    int64_t residual_offsets[kConvolutionRows];
    const bool with_residual = args.epilogue.residual != nullptr;
    const int64_t most = smaller(args.rows, kConvolutionRows);
    for (int64_t r = 0; r < most; ++r) {
        offsets[r] = r * args.dst_stride;
        residual_offsets[r] = r * args.epilogue.residual_stride[2];
    }
    for (int64_t column = 0; column < args.columns; column += kPanelColumns) {
        const int64_t columns = smaller(args.columns - column, kPanelColumns);
        pack_matmul_panel(args, column, columns, args.scratch);
        const EpiloguePart part(args.epilogue, column, columns);
        for (int64_t row = 0; row < args.rows; row += kConvolutionRows) {
            ConvolutionTile tile = {};
            tile.src = args.a + row * args.a_stride;
            tile.src_stride = args.a_stride;
            tile.inner = args.inner;
            tile.weights = args.scratch;
            tile.start = part.bias;
            tile.sums = tile_sums;
            tile.finish = true;
            tile.part = &part;
            tile.dst = args.dst + row * args.dst_stride + column;
            tile.dst_offsets = offsets;
            if (with_residual) {
                tile.residual = args.epilogue.residual + row * args.epilogue.residual_stride[2] + column;
                tile.residual_offsets = residual_offsets;
            }
            convolution_panel(tile, smaller(args.rows - row, kConvolutionRows), 0);
        }
    }
}

}  // namespace
}  // namespace quoin
