// Linear over q8_0 and q4_0 panels: int32 dot products of blocks of 32, then acc += float(dot) * (d_w * d_a).

namespace quoin {
namespace {

// Blocks of K that stay in the first-level cache, 16 KiB of bytes, while all rows of a block pass over them.
constexpr int64_t kChunkBlocks = 16;
// How far ahead of their use weights are asked for: further than the hardware looks, which stops at pages.
constexpr int64_t kAheadBlocks = 16;
// Tiles from which spreading the nibbles of a chunk once costs less than taking them apart in every tile.
constexpr int64_t kSpreadTiles = 3;
constexpr int64_t kGroups = 8;  // of four K each in a block
constexpr int64_t kGroupBytes = kPanelColumns * 4;
// Places in a block of Q8Row.
constexpr int64_t kOffsetAt = 4;
constexpr int64_t kValuesAt = 8;

// The three forms of weights. dot(): all groups of one block for one vector of columns.
struct NibblePanel {
    static constexpr int64_t kBlockBytes = kPanelColumns * 18;
    static constexpr int kLoads = 4;
    static constexpr int kValuesPerLoad = 2;
    static QUOIN_INLINE Ints value(Ints raw, int part) { return part == 0 ? low_nibbles(raw) : high_nibbles(raw); }
    static constexpr int64_t group(int load, int part) { return load + 4 * part; }
    static QUOIN_INLINE Floats scale(const std::byte* block, int64_t column) {
        return load_f16(block + 4 * kGroupBytes + column * 2) * broadcast(1.0F / kNibbleFactor);
    }
    static QUOIN_INLINE Ints begin(const std::byte* offset) { return nibble_dot_begin(offset); }
    static QUOIN_INLINE Ints step(Ints state, Ints w, Ints a) { return nibble_dot_step(state, w, a); }
    static QUOIN_INLINE Ints end(Ints state, const std::byte* offset) { return nibble_dot_end(state, offset); }
};
// Nibbles spread to bytes and scales widened, once for many rows.
struct SpreadNibbles : NibblePanel {
    static constexpr int64_t kBlockBytes = kGroups * kGroupBytes + kPanelColumns * 4;
    static constexpr int kLoads = 8;
    static constexpr int kValuesPerLoad = 1;
    static QUOIN_INLINE Ints value(Ints raw, int) { return raw; }
    static constexpr int64_t group(int load, int) { return load; }
    static QUOIN_INLINE Floats scale(const std::byte* block, int64_t column) {
        return load(reinterpret_cast<const float*>(block + kGroups * kGroupBytes) + column);
    }
};
struct BytePanel {
    static constexpr int64_t kBlockBytes = kPanelColumns * 34;
    static constexpr int kLoads = 8;
    static constexpr int kValuesPerLoad = 1;
    static QUOIN_INLINE Ints value(Ints raw, int) { return raw; }
    static constexpr int64_t group(int load, int) { return load; }
    static QUOIN_INLINE Floats scale(const std::byte* block, int64_t column) {
        return load_f16(block + kGroups * kGroupBytes + column * 2);
    }
    static QUOIN_INLINE Ints begin(const std::byte* offset) { return byte_dot_begin(offset); }
    static QUOIN_INLINE Ints step(Ints state, Ints w, Ints a) { return byte_dot_step(state, w, a); }
    static QUOIN_INLINE Ints end(Ints state, const std::byte*) { return state; }
};

struct IntegerTile {
    const std::byte* weights;  // first block of the chunk
    int64_t column;            // first column of the tile in the panel
    int64_t blocks;
    const std::byte* rows;  // first block of the first Q8Row
    int64_t row_stride;     // bytes
    float* sums;            // [R][32]
    // Weights needed later: each block asks for so many lines of them, else memory would wait for arithmetic and
    // arithmetic for memory in turn.
    const std::byte* ahead;
    int64_t ahead_bytes;
    int64_t ahead_lines;  // per block
};

template <int R, int V, class Format>
[[gnu::noinline]] void integer_tile(const IntegerTile& tile) {
    Floats acc[R][V];
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) acc[r][v] = load(tile.sums + r * kPanelColumns + v * kLanes);
    }
    const std::byte* block = tile.weights;
    const int64_t column = tile.column;
    const std::byte* row = tile.rows;
    const int64_t stride = tile.row_stride;
    const std::byte* ahead = tile.ahead;
    for (int64_t b = tile.blocks; b > 0; --b) {
        for (int64_t i = tile.ahead_lines; i > 0; --i, ahead += 64) __builtin_prefetch(ahead);
        Ints dot[R][V];
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) dot[r][v] = Format::begin(row + r * stride + kOffsetAt);
        }
#pragma GCC unroll 8
        for (int g = 0; g < Format::kLoads; ++g) {
            Ints raw[V];
            for (int v = 0; v < V; ++v) raw[v] = load_ints(block + column * 4 + g * kGroupBytes + v * kVectorBytes);
#pragma GCC unroll 2
            for (int part = 0; part < Format::kValuesPerLoad; ++part) {
                Ints w[V];
                for (int v = 0; v < V; ++v) w[v] = Format::value(raw[v], part);
                for (int r = 0; r < R; ++r) {
                    const Ints a = broadcast_quad(row + r * stride + kValuesAt + 4 * Format::group(g, part));
                    for (int v = 0; v < V; ++v) dot[r][v] = Format::step(dot[r][v], w[v], a);
                }
            }
        }
        Floats scale[V];
        for (int v = 0; v < V; ++v) scale[v] = Format::scale(block, column + v * kLanes);
        for (int r = 0; r < R; ++r) {
            const Floats factor = broadcast(read<float>(row + r * stride));
            for (int v = 0; v < V; ++v) {
                const Floats product = to_floats(Format::end(dot[r][v], row + r * stride + kOffsetAt));
                acc[r][v] = fma(product, scale[v] * factor, acc[r][v]);
            }
        }
        block += Format::kBlockBytes;
        row += kActivationBlockBytes;
    }
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) store(tile.sums + r * kPanelColumns + v * kLanes, acc[r][v]);
    }
}

template <int R, int V, class Format>
QUOIN_INLINE void integer_tile_of(int64_t rows, const IntegerTile& tile) {
    if (rows == R) {
        integer_tile<R, V, Format>(tile);
    } else if constexpr (R > 1) {
        integer_tile_of<R - 1, V, Format>(rows, tile);
    }
}

template <class Format>
QUOIN_INLINE void integer_strip(int64_t rows, const IntegerTile& whole) {
    constexpr int kRows = kIntegerTileRows;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    for (int64_t v = 0; v < kPanelVectors; v += kIntegerTileVectors) {
        IntegerTile tile = whole;
        tile.column = v * kLanes;
        tile.sums += tile.column;
        // All tiles of the first strip together ask for the next chunk.
        const int64_t lines = (whole.ahead_bytes + 63) / 64;
        const int64_t slots = tiles * tile.blocks;
        tile.ahead_lines = v == 0 ? (lines + slots - 1) / slots : 0;
        int64_t left = rows;
        for (int64_t t = tiles; t > 0; --t) {  // tiles of nearly equal height
            const int64_t height = (left + t - 1) / t;
            if (tile.ahead >= whole.ahead + whole.ahead_bytes) tile.ahead_lines = 0;
            integer_tile_of<kRows, kIntegerTileVectors, Format>(height, tile);
            tile.rows += height * tile.row_stride;
            tile.sums += height * kPanelColumns;
            tile.ahead += tile.ahead_lines * tile.blocks * 64;
            left -= height;
        }
    }
}

QUOIN_INLINE void spread_nibbles(const std::byte* src, int64_t blocks, std::byte* dst) {
    for (int64_t b = 0; b < blocks; ++b) {
        for (int64_t i = 0; i < 4 * kGroupBytes; i += kVectorBytes) {
            const Ints raw = load_ints(src + i);
            store_ints(dst + i, low_nibbles(raw));
            store_ints(dst + i + 4 * kGroupBytes, high_nibbles(raw));
        }
        for (int64_t c = 0; c < kPanelColumns; c += kLanes) {
            store(reinterpret_cast<float*>(dst + kGroups * kGroupBytes) + c, NibblePanel::scale(src, c));
        }
        src += NibblePanel::kBlockBytes;
        dst += SpreadNibbles::kBlockBytes;
    }
}

template <class Format>
struct IntegerPanels {
    static void accumulate(const LinearArgs& args, const std::byte* panel, const std::byte* src, int64_t rows,
                           float* sums) {
        constexpr bool kNibbles = __is_same(Format, NibblePanel);
        const int64_t blocks = args.inner / kActivationBlock;
        IntegerTile tile = {};
        tile.rows = src;
        tile.row_stride = args.src_stride;
        tile.sums = sums;
        alignas(64) std::byte spread[kNibbles ? kChunkBlocks * SpreadNibbles::kBlockBytes : 1];
        const bool spread_pays = kNibbles && rows > kSpreadTiles * kIntegerTileRows;
        for (int64_t b = 0; b < blocks; b += kChunkBlocks) {
            tile.blocks = smaller(blocks - b, kChunkBlocks);
            tile.weights = panel + b * Format::kBlockBytes;
            // Panels follow each other, so the next chunk is what comes behind this one, also at a panel's end.
            tile.ahead = tile.weights + kAheadBlocks * Format::kBlockBytes;
            tile.ahead_bytes = tile.blocks * Format::kBlockBytes;
            if (spread_pays) {
                spread_nibbles(tile.weights, tile.blocks, spread);
                tile.weights = spread;
                integer_strip<SpreadNibbles>(rows, tile);
            } else {
                integer_strip<Format>(rows, tile);
            }
            tile.rows += kChunkBlocks * kActivationBlockBytes;
        }
    }
};

void linear_q8_0(const LinearArgs& args) {
    linear<IntegerPanels<BytePanel>>(args);
}
void linear_q4_0(const LinearArgs& args) {
    linear<IntegerPanels<NibblePanel>>(args);
}

}  // namespace
}  // namespace quoin
