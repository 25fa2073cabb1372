// The float register tile under Linear: R rows of src times a strip of weights V vectors wide.

namespace quoin {
namespace {

// How one row of a strip lies in memory: kValues of K side by side in every column, which a tile takes in kStep steps.
// kWidens: of many tiles the first keeps the weights as it widened them, in the form Rest, for the others.
struct F32Strip {
    using Rest = F32Strip;
    static constexpr bool kWidens = kFloatTileVectors < kPanelVectors;
    static constexpr int kValues = 1;
    static constexpr int kStep = 1;
    static constexpr int64_t kColumnBytes = 4;
    static QUOIN_INLINE Floats weights(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
    static QUOIN_INLINE Floats add_product(Floats sum, Floats a, Floats w) { return fma(a, w, sum); }
};
struct F16Strip {
    using Rest = F32Strip;
    static constexpr bool kWidens = true;
    static constexpr int kValues = 1;
    static constexpr int kStep = 1;
    static constexpr int64_t kColumnBytes = 2;
    static QUOIN_INLINE Floats weights(const std::byte* p) { return load_f16(p); }
    static QUOIN_INLINE Floats add_product(Floats sum, Floats a, Floats w) { return fma(a, w, sum); }
};
struct Bf16PairStrip {
    using Rest = F32Strip;
    static constexpr bool kWidens = true;
    static constexpr int kValues = 2;
    static constexpr int kStep = 2;
    static constexpr int64_t kColumnBytes = 4;
};
// Where there are dot products of pairs of bf16 (kHasBf16Dot): a step is such a pair, in src, too.
struct Bf16DotStrip {
    using Rest = Bf16DotStrip;
    static constexpr bool kWidens = false;
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
    float* wide;            // [inner][V * kLanes], of WeightUse::Widen
};

// What a tile does with weights beside multiplying them.
enum class WeightUse {
    Multiply,
    Stream,  // asks memory for those kAheadBytes behind
    Widen,   // keeps them as floats for the tiles that come next: the stores hide behind its arithmetic
};

// Further than the hardware looks, which stops at pages.
constexpr int64_t kAheadBytes = 8192;

// sums[r] += src[r][k] * weights[k], k rising: the one order every caller relies on.
template <int R, int V, class Strip, WeightUse kUse>
[[gnu::noinline]] void multiply_tile(const FloatTile& tile) {
    Floats sum[R][V];
    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
        const float* const from = tile.sums + r * tile.sum_stride;
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { sum[r][v] = load(from + v * kLanes); });
    });
    const std::byte* w = tile.weights;
    const float* src = tile.src;
    float* wide = tile.wide;
    const int64_t stride = tile.src_stride;
    const int64_t weight_stride = tile.weight_stride;
    constexpr int64_t kRowBytes = V * kLanes * Strip::kColumnBytes;
    const auto keep = [&](int v, Floats weight) QUOIN_LAMBDA_INLINE {
        if constexpr (kUse == WeightUse::Widen) store(wide + v * kLanes, weight);
    };
    const auto next = [&](int64_t values) QUOIN_LAMBDA_INLINE {
        if constexpr (kUse == WeightUse::Stream) {
            for (int64_t byte = 0; byte < kRowBytes; byte += 64) __builtin_prefetch(w + kAheadBytes + byte);
        }
        w += weight_stride;
        src += values;
        wide += values * V * kLanes;
    };
    int64_t k = 0;
    if constexpr (Strip::kStep == 1) {
        const auto step = [&]() QUOIN_LAMBDA_INLINE {
            Floats weight[V];
            for (int v = 0; v < V; ++v) {
                weight[v] = Strip::weights(w + v * kLanes * Strip::kColumnBytes);
                keep(v, weight[v]);
            }
            for (int r = 0; r < R; ++r) {
                const Floats a = broadcast(src[r * stride]);
                for (int v = 0; v < V; ++v) sum[r][v] = Strip::add_product(sum[r][v], a, weight[v]);
            }
            next(1);
        };
        if constexpr (kUse == WeightUse::Multiply) {
#pragma GCC unroll 4
            for (; k < tile.inner; ++k) step();
        } else {
            for (; k < tile.inner; ++k) step();
        }
    } else {
        for (; k + 2 <= tile.inner; k += 2) {
            for (int v = 0; v < V; ++v) {
                const Ints pairs = load_ints(w + v * kVectorBytes);
                const Floats low = low_bf16(pairs);
                const Floats high = high_bf16(pairs);
                keep(v, low);
                keep(V + v, high);
                for (int r = 0; r < R; ++r) {
                    sum[r][v] = fma(broadcast(src[r * stride]), low, sum[r][v]);
                    sum[r][v] = fma(broadcast(src[r * stride + 1]), high, sum[r][v]);
                }
            }
            next(2);
        }
        if (k < tile.inner) {
            for (int v = 0; v < V; ++v) {
                const Floats low = low_bf16(load_ints(w + v * kVectorBytes));
                keep(v, low);
                for (int r = 0; r < R; ++r) sum[r][v] = fma(broadcast(src[r * stride]), low, sum[r][v]);
            }
        }
    }
    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
        float* const to = tile.sums + r * tile.sum_stride;
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { store(to + v * kLanes, sum[r][v]); });
    });
}

template <int R, int V, class Strip, WeightUse kUse>
QUOIN_INLINE void multiply_tile_of(int64_t rows, const FloatTile& tile) {
    if (rows == R) {
        multiply_tile<R, V, Strip, kUse>(tile);
    } else if constexpr (R > 1) {
        multiply_tile_of<R - 1, V, Strip, kUse>(rows, tile);
    }
}

// `panel` from its vector v on.
template <class Strip>
QUOIN_INLINE FloatTile strip_of(const FloatTile& panel, int64_t v) {
    FloatTile tile = panel;
    tile.weights += v * kLanes * Strip::kColumnBytes;
    tile.sums += v * kLanes;
    return tile;
}

// A panel for at most kFloatTileRows rows: one tile high.
template <class Strip, WeightUse kUse>
QUOIN_INLINE void multiply_few(int64_t rows, const FloatTile& panel) {
    // The fewest take all columns at once: a second pass would find its lines in the cache and leave memory idle.
    constexpr int kWholeRows = kFloatTileRows * kFloatTileVectors / kPanelVectors;
    if (rows <= kWholeRows) {
        multiply_tile_of<kWholeRows, kPanelVectors, Strip, kUse>(rows, panel);
        return;
    }
    if constexpr (kWholeRows < kFloatTileRows) {
        for (int64_t v = 0; v < kPanelVectors; v += kFloatTileVectors) {
            const FloatTile strip = strip_of<Strip>(panel, v);
            multiply_tile_of<kFloatTileRows, kFloatTileVectors, Strip, kUse>(rows, strip);
        }
    }
}

// Leaves in `tile` the weights that the others take.
template <class Strip>
QUOIN_INLINE void multiply_first(int64_t rows, FloatTile& tile) {
    constexpr WeightUse kUse = Strip::kWidens ? WeightUse::Widen : WeightUse::Multiply;
    multiply_tile_of<kFloatTileRows, kFloatTileVectors, Strip, kUse>(rows, tile);
    if constexpr (Strip::kWidens) {
        tile.weights = reinterpret_cast<const std::byte*>(tile.wide);
        tile.weight_stride = kFloatTileVectors * kVectorBytes;
    }
}

// A panel for more rows. The tiles ask for `ahead`, which is needed next, in equal parts: all of it at once would keep
// the first tile waiting for memory.
template <class Strip>
QUOIN_INLINE void multiply_many(int64_t rows, const FloatTile& panel, const std::byte* ahead, int64_t ahead_bytes) {
    constexpr int kRows = kFloatTileRows;
    constexpr int kVectors = kFloatTileVectors;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    const int64_t part = (ahead_bytes / (tiles * (kPanelVectors / kVectors)) + 63) / 64 * 64;
    const std::byte* const end = ahead + ahead_bytes;
    for (int64_t v = 0; v < kPanelVectors; v += kVectors) {
        FloatTile tile = strip_of<Strip>(panel, v);
        int64_t left = rows;
        for (int64_t t = tiles; t > 0; --t) {  // tiles of nearly equal height
            const int64_t height = (left + t - 1) / t;
            for (int64_t byte = 0; byte < part && ahead < end; byte += 64, ahead += 64) __builtin_prefetch(ahead);
            if (t == tiles) {
                multiply_first<Strip>(height, tile);
            } else {
                multiply_tile_of<kRows, kVectors, typename Strip::Rest, WeightUse::Multiply>(height, tile);
            }
            tile.src += height * tile.src_stride;
            tile.sums += height * tile.sum_stride;
            left -= height;
        }
    }
}

}  // namespace
}  // namespace quoin
