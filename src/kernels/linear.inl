// What every Linear kernel shares: the order in which rows, panels and chunks of K are gone through, and the epilogue.

namespace quoin {
namespace {

constexpr int64_t kRowStep = 12;
static_assert(kRowStep % kFloatTileRows == 0 && kRowStep % integer_tile_rows(Bytes::Any) == 0 &&
              kRowStep % integer_tile_rows(Bytes::Signed) == 0);

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
QUOIN_INLINE int64_t row_block(int64_t rows, int64_t most) {
    const int64_t blocks = (rows + most - 1) / most;
    return ((rows + blocks - 1) / blocks + kRowStep - 1) / kRowStep * kRowStep;
}

// One panel or several side by side, some rows, a chunk of K.
struct PanelChunk {
    const std::byte* panel;  // the first one
    int64_t panels;
    int64_t first;         // value of K that the chunk begins with
    int64_t values;        // of K
    const std::byte* src;  // from the chunk's first value on
    int64_t src_stride;    // bytes between rows
    int64_t rows;
    float* sums;              // [panels][rows][32]
    const std::byte* behind;  // panel and first value of the chunk that comes next
    int64_t behind_first;
};

// Panels that few rows read side by side, a little of each in turn, where the hardware follows streams: each only so
// far ahead and never into the next 4 KiB, so that one alone leaves memory idle.
constexpr int64_t kPanelsBeside = 4;

// How many values of K and how many panels some rows go through before they come to the next.
struct Pass {
    int64_t values;
    int64_t panels;      // at most as many as linear_task() has sums for
    int64_t beside = 1;  // panels of them that are multiplied together
};

constexpr LinearTask kFloatTask = linear_task(DType::F32);
constexpr LinearTask kIntegerTask = linear_task(DType::Q4_0);
static_assert(kFloatTask.rows % kRowStep == 0 && kIntegerTask.rows % kRowStep == 0);

// Format::kWeight: the dtype of the weights, or another one with the same linear_task() and linear_room_bytes().
// Format::pass(args, rows): of many rows a chunk of K and all panels of a task, so that no more of them than a chunk,
//     half a megabyte at most, must stay in the second-level cache, whatever K is; of few whole panels, which are read
//     from end to end.
// Format::take(args, src, room, chunk): sets chunk.src and src_stride for the rows, first and values of chunk; src is
//     value 0 of the first of the rows.
// Format::multiply(args, room, chunk): chunk.sums += chunk.src x the weights of each of the chunk's panels.
// Format::Room: what they write.
template <class Format>
QUOIN_INLINE void linear(const LinearArgs& args) {
    using Room = typename Format::Room;
    static_assert(sizeof(Room) <= linear_room_bytes(Format::kWeight));
    if (args.rows == 0) return;
    auto& room = *reinterpret_cast<Room*>(args.scratch);
    auto* const sums = reinterpret_cast<float*>(args.scratch + linear_room_bytes(Format::kWeight));
    const int64_t height = row_block(args.rows, linear_task(Format::kWeight).rows);
    for (int64_t row = 0; row < args.rows; row += height) {
        PanelChunk chunk = {};
        chunk.rows = smaller(args.rows - row, height);
        const int64_t row_sums = chunk.rows * kPanelColumns;
        const Pass pass = Format::pass(args, chunk.rows);
        for (int64_t group = 0; group < args.panels; group += pass.panels) {
            const int64_t panels = smaller(args.panels - group, pass.panels);
            const std::byte* const weights = args.weights + group * args.panel_stride;
            for (int64_t i = 0; i < panels * row_sums; i += kLanes) store(sums + i, zeros());
            for (int64_t first = 0; first < args.inner; first += pass.values) {
                chunk.first = first;
                chunk.values = smaller(args.inner - first, pass.values);
                Format::take(args, args.src + row * args.src_stride, room, chunk);
                const bool end = first + pass.values >= args.inner;
                for (int64_t panel = 0; panel < panels; panel += chunk.panels) {
                    chunk.panels = smaller(panels - panel, pass.beside);
                    const bool last = panel + chunk.panels == panels;
                    chunk.panel = weights + panel * args.panel_stride;
                    chunk.sums = sums + panel * row_sums;
                    chunk.behind = last && !end ? weights : chunk.panel + chunk.panels * args.panel_stride;
                    chunk.behind_first = !last ? first : end ? 0 : first + pass.values;
                    Format::multiply(args, room, chunk);
                }
            }
            for (int64_t panel = 0; panel < panels; ++panel) {
                finish_panel(args, row, chunk.rows, group + panel, sums + panel * row_sums);
            }
        }
    }
}

}  // namespace
}  // namespace quoin
