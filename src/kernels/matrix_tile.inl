// The integer tile where the processor multiplies matrices of bytes (AMX): what integer_tile.inl says, for up to 16
// rows of Q8Row and 16 columns at once. A run's sums go over memory from the tile registers to where floats are, and
// are scaled two steps later; one step later they are not there yet (0.75 of the speed). Each element sees the
// operations of integer_tile in their order, so results are those of every other instruction set. Groups of activations
// are taken whole: behind the last value of K activations are zeros, and scales have to be.

namespace quoin {
namespace {

// Which tile register holds what: rows of the four runs of a group, and two each of sums and weights.
constexpr int kGroupRuns = static_cast<int>(kActivationBlock / 32);
constexpr int kSumTile = 4;
constexpr int kWeightTile = 6;
static_assert(kGroupRuns == kSumTile);

// Products are so many steps ahead of what is added; so many steps' dots are kept, a part of the steps of a group.
constexpr int kAhead = 2;
constexpr int kDotsKept = 4;

QUOIN_INLINE TileShapes tile_shapes(int64_t rows) {
    TileShapes shapes;
    for (int i = 0; i < 8; ++i) {
        shapes.rows[i] = static_cast<uint8_t>(i < kWeightTile ? rows : kGroups);
        shapes.row_bytes[i] = i < kGroupRuns ? 32 : 64;
    }
    return shapes;
}

// One group of activations times 32 columns in kSteps steps: each run with the first 16 of them, then each with the
// others. kWhole: there are R rows, else at most so many. No lambdas around tile words: GCC 12 leaves what they capture
// in memory.
template <int R, bool kWhole, bool kMinimum>
struct MatrixGroup {
    static constexpr int kSteps = kPanelVectors * kGroupRuns;
    // Dots of the next group find their places free, and its rows their registers.
    static_assert(kDotsKept > kAhead && kSteps % kDotsKept == 0 && kSteps - kGroupRuns >= kAhead);

    const std::byte* group;
    int64_t stride;
    int64_t rows;
    const std::byte* bytes;  // of the chunk
    const float* scales;
    const float* minima;
    float* sums;
    std::byte* dots;  // of kDotsKept steps

    // The last row stands in for those that are missing; what comes of it, and of dots that nobody wrote, is
    // not kept.
    QUOIN_INLINE const std::byte* row_of(int r) const {
        return group + (kWhole ? r : smaller(int64_t{r}, rows - 1)) * stride;
    }
    template <int kStep>
    QUOIN_INLINE std::byte* dots_of() const {
        return dots + kStep % kDotsKept * kMatrixRows * kVectorBytes;
    }
    QUOIN_INLINE MatrixGroup next() const {
        MatrixGroup after = *this;
        after.group += kActivationBlockBytes;
        after.bytes += kActivationBlock * kPanelColumns;
        after.scales += kGroupRuns * kPanelColumns;
        after.minima += kGroupRuns * kPanelColumns;
        return after;
    }
    template <int kStep>
    QUOIN_INLINE void multiply() const {
        constexpr int kRun = kStep % kGroupRuns;
        constexpr int kSums = kSumTile + kStep % 2;
        constexpr int kWeights = kWeightTile + kStep % 2;
        if constexpr (kStep < kGroupRuns) tile_load<kRun>(group + kRun * 32, stride);  // kept for the other columns
        tile_load<kWeights>(bytes + kRun * kPartBytes + kStep / kGroupRuns * kVectorBytes, kRowBytes);
        tile_zero<kSums>();
        tile_dot<kSums, kRun, kWeights>();
        tile_store<kSums>(dots_of<kStep>());
    }
    template <int kStep>
    QUOIN_INLINE void add(Floats (&acc)[R]) const {
        constexpr int kRun = kStep % kGroupRuns;
        const int64_t at = kRun * kPanelColumns + kStep / kGroupRuns * kLanes;
        const Floats scale = load(scales + at);
        const Floats minimum = kMinimum ? load(minima + at) : zeros();
        for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
            const Floats sum = kMinimum ? sum_of_run<1>(row_of(r), kRun, 0) : zeros();
            const Ints dot = load_ints(dots_of<kStep>() + r * kVectorBytes);
            acc[r] = kRun == 0 ? begin_run<kMinimum>(dot, scale, minimum, sum)
                               : add_run<kMinimum>(acc[r], dot, scale, minimum, sum);
        });
    }
    template <int kStep>
    QUOIN_INLINE void finish(const Floats (&acc)[R]) const {
        for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
            if (!kWhole && r >= rows) return;
            const Floats factor = broadcast(read<float>(row_of(r) + ActivationGroup::kScale));
            float* const sum = sums + r * kPanelColumns + kStep / kGroupRuns * kLanes;
            store(sum, fma(acc[r], factor, load(sum)));
        });
    }
    // What happens in which step: 0: multiply 2, add 0; 1: multiply 3, add 1; ... 6: multiply 0 of the next group, if
    // there are `more`, add 6; 7: multiply 1 of it, add 7. Before the first group: multiply 0 and 1.
    template <int kStep = 0>
    QUOIN_INLINE void steps(Floats (&acc)[R], bool more) const {
        if constexpr (kStep < kSteps) {
            if constexpr (kStep + kAhead < kSteps) {
                multiply<kStep + kAhead>();
            } else if (more) {
                next().template multiply<kStep + kAhead - kSteps>();
            }
            add<kStep>(acc);
            if constexpr (kStep % kGroupRuns == kGroupRuns - 1) finish<kStep>(acc);
            steps<kStep + 1>(acc, more);
        }
    }
};

template <int R, bool kWhole, bool kMinimum>
[[gnu::noinline]] void matrix_tile(const IntegerTile& tile, int64_t rows) {
    alignas(64) std::byte dots[kDotsKept * kMatrixRows * kVectorBytes];
    MatrixGroup<R, kWhole, kMinimum> here = {tile.rows,          tile.row_stride,    rows,      tile.chunk->bytes,
                                             tile.chunk->scales, tile.chunk->minima, tile.sums, dots};
    const std::byte* ahead = tile.ahead;
    static_assert(kAhead == 2);
    here.template multiply<0>();
    here.template multiply<1>();
    for (int64_t left = tile.parts; left > 0; left -= kGroupRuns) {
        for (int64_t i = tile.ahead_lines; i > 0; --i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
        Floats acc[R];
        here.steps(acc, left > kGroupRuns);
        here = here.next();
    }
}

template <bool kMinimum>
[[gnu::noinline]] void matrix_tiles(int64_t rows, const IntegerTile& all) {
    IntegerTile tile = all;
    const int64_t groups = (tile.parts + kGroupRuns - 1) / kGroupRuns;
    const int64_t turns = (rows + kMatrixRows - 1) / kMatrixRows * groups;
    tile.ahead_lines = ((tile.ahead_end - tile.ahead + 63) / 64 + turns - 1) / turns;
    if (rows >= kMatrixRows) tile_configure(tile_shapes(kMatrixRows));
    for (; rows >= kMatrixRows; rows -= kMatrixRows) {
        matrix_tile<kMatrixRows, true, kMinimum>(tile, kMatrixRows);
        tile.rows += kMatrixRows * tile.row_stride;
        tile.sums += kMatrixRows * kPanelColumns;
        tile.ahead += tile.ahead_lines * groups * 64;
        if (tile.ahead >= tile.ahead_end) tile.ahead_lines = 0;
    }
    if (rows > 0) tile_configure(tile_shapes(rows));
    if (rows > kMatrixRows / 2) {
        matrix_tile<kMatrixRows, false, kMinimum>(tile, rows);
    } else if (rows > 0) {
        matrix_tile<kMatrixRows / 2, false, kMinimum>(tile, rows);
    }
    tile_release();
}

}  // namespace
}  // namespace quoin
