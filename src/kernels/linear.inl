// What every Linear kernel shares: panels, blocks of rows whose sums lie on the stack, and the epilogue.

namespace quoin {
namespace {

// Rows that share one conversion of a weight chunk; their sums are 30 KiB of stack.
constexpr int64_t kRowBlock = 240;
constexpr int64_t kRowStep = 12;
static_assert(kRowBlock % kRowStep == 0 && kRowStep % kFloatTileRows == 0 &&
              kRowStep % integer_tile_rows(Bytes::Any) == 0 && kRowStep % integer_tile_rows(Bytes::Signed) == 0);

QUOIN_INLINE void write_row(const float* sums, const float* bias, const float* residual, int64_t columns, float* dst) {
    for_vectors(columns, [=](int64_t c, int64_t n) QUOIN_LAMBDA_INLINE {
        Floats x = load(sums + c);
        if (bias != nullptr) x = x + load_some(bias + c, n);
        if (residual != nullptr) x = x + load_some(residual + c, n);
        store_some(dst + c, x, n);
    });
}

// Rows whose place is asked for before their turn: each lies in another page, and a store that waits for its line keeps
// the stores behind it waiting.
constexpr int64_t kRowsAhead = 8;

// The sums of some rows and one panel to their place, with all that comes behind a product.
QUOIN_INLINE void finish_panel(const LinearArgs& args, int64_t row, int64_t rows, int64_t panel, const float* sums) {
    const int64_t column = panel * kPanelColumns;
    const int64_t columns = smaller(args.columns - column, kPanelColumns);
    for (int64_t r = 0; r < rows; ++r) {
        const float* const residual =
            args.residual == nullptr ? nullptr : args.residual + (row + r) * args.residual_stride + column;
        float* const dst = args.dst + (row + r) * args.dst_stride + column;
        if (r + kRowsAhead < rows) {
            for (int64_t c = 0; c < columns; c += 16) __builtin_prefetch(dst + kRowsAhead * args.dst_stride + c, 1);
        }
        write_row(sums + r * kPanelColumns, args.bias == nullptr ? nullptr : args.bias + column, residual, columns,
                  dst);
        if (args.activation.kind == ActivationKind::None) continue;
        const float* const slopes = args.activation.slopes == nullptr ? nullptr : args.activation.slopes + column;
        activate_row(args.activation, slopes, nullptr, columns, dst, dst);
    }
}

// Blocks of rows of nearly equal height, whole tiles: a short last one would prepare the weights for a few rows only.
QUOIN_INLINE int64_t row_block(int64_t rows) {
    const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
    return ((rows + blocks - 1) / blocks + kRowStep - 1) / kRowStep * kRowStep;
}

// Format::accumulate(args, panel, src, rows, sums): sums[rows][32] += src rows x panel.
template <class Format>
QUOIN_INLINE void linear(const LinearArgs& args) {
    if (args.rows == 0) return;
    alignas(64) float sums[kRowBlock * kPanelColumns];
    // Rows outside: a block of rows stays in the second-level cache while the weights stream past it.
    const int64_t height = row_block(args.rows);
    for (int64_t row = 0; row < args.rows; row += height) {
        const int64_t rows = smaller(args.rows - row, height);
        for (int64_t panel = 0; panel < args.panels; ++panel) {
            const std::byte* const weights = args.weights + panel * args.panel_stride;
            for (int64_t i = 0; i < rows * kPanelColumns; i += kLanes) store(sums + i, zeros());
            Format::accumulate(args, weights, args.src + row * args.src_stride, rows, sums);
            finish_panel(args, row, rows, panel, sums);
        }
    }
}

}  // namespace
}  // namespace quoin
