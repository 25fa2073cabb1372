// The float register tile under Linear and attention: R rows of src times a strip of weights V vectors wide.

namespace quoin {
namespace {

// How one row of a strip lies in memory: kValues of K side by side in every column, which a tile takes in kStep steps.
struct F32Strip {
    static constexpr int kValues = 1;
    static constexpr int kStep = 1;
    static constexpr int64_t kColumnBytes = 4;
    static QUOIN_INLINE Floats weights(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
    static QUOIN_INLINE Floats add_product(Floats sum, Floats a, Floats w) { return fma(a, w, sum); }
};
struct F16Strip {
    static constexpr int kValues = 1;
    static constexpr int kStep = 1;
    static constexpr int64_t kColumnBytes = 2;
    static QUOIN_INLINE Floats weights(const std::byte* p) { return load_f16(p); }
    static QUOIN_INLINE Floats add_product(Floats sum, Floats a, Floats w) { return fma(a, w, sum); }
};
struct Bf16PairStrip {
    static constexpr int kValues = 2;
    static constexpr int kStep = 2;
    static constexpr int64_t kColumnBytes = 4;
};
// Where there are dot products of pairs of bf16 (kHasBf16Dot): a step is such a pair, in src, too.
struct Bf16DotStrip {
    static constexpr int kValues = 2;
    static constexpr int kStep = 1;
    static constexpr int64_t kColumnBytes = 4;
    static QUOIN_INLINE Floats weights(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
    template <class Vector>
    static QUOIN_INLINE Vector add_product(Vector sum, Vector a, Vector w) {
        return bf16_dot(sum, as_ints(a), as_ints(w));
    }
};

struct FloatTile {
    const float* src;
    int64_t src_stride;  // floats between rows
    int64_t inner;
    const std::byte* weights;
    int64_t weight_stride;  // bytes from one step of K to the next
    float* sums;            // [R][V * kLanes], read and written
    int64_t sum_stride;     // floats between rows
    // Weights needed later, asked for step by step; a stride of 0 asks for the same again, which costs nothing. Must be
    // near memory of ours: asking for an address that is not mapped takes a walk through the page tables each time.
    const std::byte* ahead;
    int64_t ahead_stride;
};

// sums[r] += src[r][k] * weights[k], k rising: the one order every caller relies on.
template <int R, int V, class Strip>
[[gnu::noinline]] void multiply_tile(const FloatTile& tile) {
    Floats sum[R][V];
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = load(tile.sums + r * tile.sum_stride + v * kLanes);
    }
    const std::byte* w = tile.weights;
    const float* src = tile.src;
    const int64_t stride = tile.src_stride;
    const int64_t weight_stride = tile.weight_stride;
    const std::byte* ahead = tile.ahead;
    const int64_t ahead_stride = tile.ahead_stride;
    constexpr int64_t kLines = (V * kLanes * Strip::kColumnBytes + 63) / 64;
    const auto prefetch = [&]() QUOIN_LAMBDA_INLINE {
        for (int64_t i = 0; i < kLines; ++i) __builtin_prefetch(ahead + i * 64);
        ahead += ahead_stride;
    };
    if constexpr (Strip::kStep == 1) {
        for (int64_t k = 0; k < tile.inner; ++k, w += weight_stride, ++src) {
            prefetch();
            Floats weight[V];
            for (int v = 0; v < V; ++v) weight[v] = Strip::weights(w + v * kLanes * Strip::kColumnBytes);
            for (int r = 0; r < R; ++r) {
                const Floats a = broadcast(src[r * stride]);
                for (int v = 0; v < V; ++v) sum[r][v] = Strip::add_product(sum[r][v], a, weight[v]);
            }
        }
    } else {
        int64_t k = 0;
        for (; k + 2 <= tile.inner; k += 2, w += weight_stride, src += 2) {
            prefetch();
            for (int v = 0; v < V; ++v) {
                const Ints pairs = load_ints(w + v * kVectorBytes);
                const Floats low = low_bf16(pairs);
                const Floats high = high_bf16(pairs);
                for (int r = 0; r < R; ++r) {
                    sum[r][v] = fma(broadcast(src[r * stride]), low, sum[r][v]);
                    sum[r][v] = fma(broadcast(src[r * stride + 1]), high, sum[r][v]);
                }
            }
        }
        if (k < tile.inner) {
            for (int v = 0; v < V; ++v) {
                const Floats low = low_bf16(load_ints(w + v * kVectorBytes));
                for (int r = 0; r < R; ++r) sum[r][v] = fma(broadcast(src[r * stride]), low, sum[r][v]);
            }
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) store(tile.sums + r * tile.sum_stride + v * kLanes, sum[r][v]);
    }
}

template <int R, int V, class Strip>
QUOIN_INLINE void multiply_tile_of(int64_t rows, const FloatTile& tile) {
    if (rows == R) {
        multiply_tile<R, V, Strip>(tile);
    } else if constexpr (R > 1) {
        multiply_tile_of<R - 1, V, Strip>(rows, tile);
    }
}

// Any number of rows, a strip of `vectors` vectors (whole tiles of kFloatTileVectors first, then single vectors).
template <class Strip>
QUOIN_INLINE void multiply_strip(int64_t rows, int64_t vectors, const FloatTile& whole) {
    constexpr int kRows = kFloatTileRows;
    constexpr int kVectors = kFloatTileVectors;
    // Few rows take a whole panel at once: a second pass would find its lines in the cache and leave memory idle.
    constexpr int kWholeRows = kRows * kVectors / kPanelVectors;
    if constexpr (kVectors < kPanelVectors) {
        if (rows <= kWholeRows && vectors == kPanelVectors) {
            multiply_tile_of<kWholeRows, kPanelVectors, Strip>(rows, whole);
            return;
        }
    }
    const int64_t tiles = (rows + kRows - 1) / kRows;
    for (int64_t v = 0; v < vectors; v += kVectors) {
        FloatTile tile = whole;
        tile.weights += v * kLanes * Strip::kColumnBytes;
        tile.sums += v * kLanes;
        tile.ahead += v * kLanes * Strip::kColumnBytes;
        int64_t left = rows;
        for (int64_t t = tiles; t > 0; --t) {  // tiles of nearly equal height
            const int64_t height = (left + t - 1) / t;
            if (v + kVectors <= vectors) {
                multiply_tile_of<kRows, kVectors, Strip>(height, tile);
            } else {
                multiply_tile_of<kRows, 1, Strip>(height, tile);
            }
            tile.src += height * tile.src_stride;
            tile.sums += height * tile.sum_stride;
            tile.ahead_stride = 0;  // the first tile asked for everything
            left -= height;
        }
    }
}

}  // namespace
}  // namespace quoin
