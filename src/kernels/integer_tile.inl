// The integer register tile under Linear over block formats: R rows of Q8Row times V vectors of columns.

namespace quoin {
namespace {

// What a tile must know of a format; tiles are shared by all formats that agree in it.
template <Bytes kBytesForm, int kRunCount, bool kWithMinimum>
struct TileKind {
    static constexpr Bytes kBytes = kBytesForm;
    static constexpr int kRuns = kRunCount;  // with a scale of their own in 32 values
    static constexpr bool kMinimum = kWithMinimum;
};
template <DType kType, class Prepare>
using TileKindOf = TileKind<Prepare::kBytes, ScaleReader<kType>::kRuns, ScaleReader<kType>::kMinimum>;

// For chunks, whose tiles many formats share, and for use on the spot.
template <DType kType>
using PrepareChunk = Prepare<kType, false>;
template <DType kType>
using PrepareNow = Prepare<kType, true>;

// Runs of 32 prepared in the first-level cache, 16 KiB of bytes and their scales; half as many of SplitBytes.
constexpr int64_t kChunkParts = 16;
constexpr int64_t kPartBytes = 32 * kPanelColumns;

struct Chunk {
    alignas(64) std::byte bytes[kChunkParts * kPartBytes];
    alignas(64) float scales[kChunkParts * 2 * kPanelColumns];
    alignas(64) float minima[kChunkParts * 2 * kPanelColumns];
    alignas(64) int32_t lacking[kChunkParts * kPanelColumns];  // what sums over SplitBytes begin with
};

// Vectors that a group of prepared weights takes for each vector of columns.
template <Bytes kBytes>
constexpr int kPlanes = !kSplitsSigns || kBytes != Bytes::Signed ? 1 : 2;

struct IntegerTile {
    const Chunk* chunk;       // for tiles of prepared weights
    const std::byte* blocks;  // for tiles that prepare their weights themselves: the chunk in the panel
    int64_t column;           // first column of the tile in the panel
    int64_t parts;            // runs of 32
    int offset;               // see Prepare::kOffset
    const std::byte* rows;    // group of the first Q8Row that belongs to the chunk's first part
    int64_t row_stride;       // bytes
    float* sums;              // [R][32]
    // Weights of a later chunk: every part asks for so many lines of them, so that memory works while arithmetic does.
    const std::byte* ahead;
    const std::byte* ahead_end;
    int64_t ahead_lines;
};

// Where the offset and the sum of run `run` of part `part` of a group lie.
template <int kRuns>
QUOIN_INLINE const std::byte* offset_of(const std::byte* group, int64_t part, int run) {
    return kRuns == 1 ? group + ActivationGroup::kOffsets32 + part * 4
                      : group + ActivationGroup::kOffsets16 + part * 8 + run * 4;
}
template <int kRuns>
QUOIN_INLINE Floats sum_of_run(const std::byte* group, int64_t part, int run) {
    return broadcast(kRuns == 1 ? quoin::read<float>(group + ActivationGroup::kSums32 + part * 4)
                                : quoin::read<float>(group + ActivationGroup::kSums16 + part * 8 + run * 4));
}

// kOffset: Prepare::kOffset of these weights.
template <int kOffset, class Dot>
QUOIN_INLINE void begin_dot(Dot& dot, const std::byte* offset) {
    if constexpr (!kDotsUnsigned || kOffset == kAnyBytesOffset) {
        dot.begin(offset);
    } else if constexpr (kOffset == 0) {
        dot.state = broadcast_int(0);
    } else {
        dot.state = shift_right_arithmetic<7 - __builtin_ctz(static_cast<unsigned>(kOffset))>(broadcast_quad(offset));
    }
}

// One order of operations for tiles and single rows; begin_run() is add_run() to zero, bit by bit.
template <bool kMinimum>
QUOIN_INLINE Floats begin_run(Ints dot, Floats scale, Floats minimum, Floats sum) {
    const Floats acc = to_floats(dot) * scale;
    return kMinimum ? fma(minimum, sum, acc) : acc;
}
template <bool kMinimum>
QUOIN_INLINE Floats add_run(Floats acc, Ints dot, Floats scale, Floats minimum, Floats sum) {
    acc = fma(to_floats(dot), scale, acc);
    if constexpr (kMinimum) acc = fma(minimum, sum, acc);
    return acc;
}

// Where a tile's weights come from, part after part: prepared ones from a chunk ...
template <class TileKind>
class PreparedWeights {
public:
    using Kind = TileKind;
    static constexpr int kOffset = kAnyBytesOffset;
    static constexpr bool kPaired = kHasPairDot;  // groups 2n and 2n + 1 lie as steps of PairDot take them
    static constexpr bool kSplit = kPlanes<Kind::kBytes> == 2;

    explicit PreparedWeights(const IntegerTile& tile)
        : bytes_(tile.chunk->bytes + tile.column * 4),
          scales_(tile.chunk->scales + tile.column),
          minima_(tile.chunk->minima + tile.column),
          lacking_(tile.chunk->lacking + tile.column) {}

    template <int kGroup>
    QUOIN_INLINE auto group(int v) const {
        const std::byte* const at = bytes_ + kGroup * kPlanes<Kind::kBytes> * kRowBytes + v * kVectorBytes;
        if constexpr (kSplit) {
            return SplitBytes<Kind::kBytes>::load(at, at + kRowBytes);
        } else {
            return load_ints(at);
        }
    }
    QUOIN_INLINE Ints lacking(int v) const {
        return load_ints(reinterpret_cast<const std::byte*>(lacking_ + v * kLanes));
    }
    template <int kRun>
    QUOIN_INLINE void scales(int v, Floats& scale, Floats& minimum) const {
        scale = load(scales_ + kRun * kPanelColumns + v * kLanes);
        minimum = Kind::kMinimum ? load(minima_ + kRun * kPanelColumns + v * kLanes) : zeros();
    }
    QUOIN_INLINE void next() {
        bytes_ += kPlanes<Kind::kBytes> * kPartBytes;
        scales_ += Kind::kRuns * kPanelColumns;
        minima_ += Kind::kRuns * kPanelColumns;
        lacking_ += kPanelColumns;
    }

private:
    const std::byte* bytes_;
    const float* scales_;
    const float* minima_;
    const int32_t* lacking_;
};

// ... or codes as they lie in the panel, for few rows: once more for every tile costs less than a detour over the
// cache.
template <DType kType, class Prepare>
class PackedWeights {
public:
    using Kind = TileKindOf<kType, Prepare>;
    static constexpr int kOffset = Prepare::kOffset;
    static constexpr bool kPaired = false;
    static constexpr bool kSplit = false;

    explicit PackedWeights(const IntegerTile& tile) : block_(tile.blocks), column_(tile.column) {}

    template <int kGroup>
    QUOIN_INLINE Ints group(int v) const {
        return Prepare::template group<kGroup>(block_ + Place::codes_at(part_) + column_ * 4 + v * kVectorBytes);
    }
    template <int kRun>
    QUOIN_INLINE void scales(int v, Floats& scale, Floats& minimum) const {
        Floats all[2];
        Floats minima[2] = {zeros(), zeros()};
        ScaleReader<kType>::read(block_, part_, column_ + v * kLanes, all, minima);
        scale = all[kRun];
        minimum = minima[kRun];
    }
    QUOIN_INLINE void next() {
        if (++part_ == Place::kParts) {
            part_ = 0;
            block_ += Place::kBytes;
        }
    }

private:
    using Place = PanelBlock<kType>;
    const std::byte* block_;
    int64_t column_;
    int64_t part_ = 0;
};

template <int R, int V, class Weights>
[[gnu::noinline]] void integer_tile(const IntegerTile& tile) {
    using Kind = typename Weights::Kind;
    using Dot = ByteDot<Kind::kBytes, !Kind::kMinimum>;
    constexpr int kRuns = Kind::kRuns;
    constexpr int64_t kGroupParts = kActivationBlock / 32;
    Weights weights(tile);
    const std::byte* group = tile.rows;
    const int64_t stride = tile.row_stride;
    const int offset = tile.offset;
    const std::byte* ahead = tile.ahead;
    for (int64_t left = tile.parts; left > 0; left -= kGroupParts, group += kActivationBlockBytes) {
        Floats acc[R][V];
        // The first run of a group begins the sum: without it the zeros cost the tile 2 % of its speed.
        const auto add_part = [&](int64_t part, auto first) QUOIN_LAMBDA_INLINE {
            for (int64_t i = tile.ahead_lines; i > 0; --i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
            for_constant<kRuns>([&](auto run) QUOIN_LAMBDA_INLINE {
                Dot dot[R][V];
                for (int r = 0; r < R; ++r) {
                    for (int v = 0; v < V; ++v) {
                        if constexpr (Weights::kSplit) {
                            dot[r][v].begin(weights.lacking(v));
                        } else {
                            begin_dot<Weights::kOffset>(dot[r][v], offset_of<kRuns>(group + r * stride, part, run));
                        }
                    }
                }
                for_constant<kGroups / kRuns>([&](auto step) QUOIN_LAMBDA_INLINE {
                    constexpr int kGroup = run * (kGroups / kRuns) + step;
                    decltype(weights.template group<kGroup>(0)) w[V];
                    for (int v = 0; v < V; ++v) w[v] = weights.template group<kGroup>(v);
                    for (int r = 0; r < R; ++r) {
                        const Ints a = broadcast_quad(group + r * stride + part * 32 + 4 * kGroup);
                        for (int v = 0; v < V; ++v) dot[r][v].template step<step, kGroups / kRuns>(w[v], a);
                    }
                });
                Floats scale[V];
                Floats minimum[V];
                for (int v = 0; v < V; ++v) weights.template scales<run>(v, scale[v], minimum[v]);
                for (int r = 0; r < R; ++r) {
                    const std::byte* const row = group + r * stride;
                    const Floats sum = Kind::kMinimum ? sum_of_run<kRuns>(row, part, run) : zeros();
                    for (int v = 0; v < V; ++v) {
                        const Ints total = dot[r][v].end(offset_of<kRuns>(row, part, run), offset);
                        if constexpr (first && run == 0) {
                            acc[r][v] = begin_run<Kind::kMinimum>(total, scale[v], minimum[v], sum);
                        } else {
                            acc[r][v] = add_run<Kind::kMinimum>(acc[r][v], total, scale[v], minimum[v], sum);
                        }
                    }
                }
            });
            weights.next();
        };
        const int64_t parts = smaller(left, kGroupParts);
        add_part(0, Constant<1>{});
        for (int64_t part = 1; part < parts; ++part) add_part(part, Constant<0>{});
        for (int r = 0; r < R; ++r) {
            const Floats factor = broadcast(read<float>(group + r * stride + ActivationGroup::kScale));
            for (int v = 0; v < V; ++v) {
                float* const sum = tile.sums + r * kPanelColumns + v * kLanes;
                store(sum, fma(acc[r][v], factor, load(sum)));
            }
        }
    }
}

template <int R, int V, class Weights>
void pair_tile(const IntegerTile& tile);  // pair_tile.inl

template <int R, int V, class Weights>
QUOIN_INLINE void integer_tile_of(int64_t rows, const IntegerTile& tile) {
    if (rows == R) {
        if constexpr (kHasPairDot) {
            pair_tile<R, V, Weights>(tile);
        } else {
            integer_tile<R, V, Weights>(tile);
        }
    } else if constexpr (R > 1) {
        integer_tile_of<R - 1, V, Weights>(rows, tile);
    }
}

constexpr int64_t kFewTiles = 4;

// Of the next tile when so many share the rows: all nearly equal, whole pairs where the dot product takes pairs.
QUOIN_INLINE int64_t tile_height(int64_t rows, int64_t tiles) {
    const int64_t height = (rows + tiles - 1) / tiles;
    return kHasPairDot ? smaller(height + height % 2, rows) : height;
}

template <class Weights>
[[gnu::noinline]] void integer_tiles(int64_t rows, const IntegerTile& whole) {
    constexpr int kVectors = kIntegerTileVectors;
    constexpr int kRows = integer_tile_rows(Weights::Kind::kBytes);
    const int64_t tiles = (rows + kRows - 1) / kRows;
    for (int64_t v = 0; v < kPanelVectors; v += kVectors) {
        IntegerTile tile = whole;
        tile.column = v * kLanes;
        tile.sums += tile.column;
        // All tiles of the first strip together ask for everything: few tiles with every part, many between them.
        const int64_t lines = v == 0 ? (tile.ahead_end - tile.ahead + 63) / 64 : 0;
        const int64_t between = tiles > kFewTiles ? (lines + tiles - 1) / tiles : 0;
        tile.ahead_lines = tiles > kFewTiles ? 0 : (lines + tiles * tile.parts - 1) / (tiles * tile.parts);
        int64_t left = rows;
        for (int64_t t = tiles; t > 0; --t) {
            const int64_t height = tile_height(left, t);
            if (tile.ahead >= tile.ahead_end) tile.ahead_lines = 0;
            for (int64_t i = 0; i < between; ++i) __builtin_prefetch(tile.ahead + i * 64, 0, 2);
            integer_tile_of<kRows, kVectors, Weights>(height, tile);
            tile.rows += height * tile.row_stride;
            tile.sums += height * kPanelColumns;
            tile.ahead += (between + tile.ahead_lines * tile.parts) * 64;
            left -= height;
        }
    }
}

}  // namespace
}  // namespace quoin
