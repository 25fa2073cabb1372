// RMS and layer normalisation of one row. Sums run in 32 lanes whatever the vector width, joined in double.

namespace quoin {
namespace {

constexpr int kSumVectors = static_cast<int>(32 / kLanes);

// Sum of function(x) over the row; function must be 0 for the padding zeros load_first gives, or mask them itself.
template <class Function>
QUOIN_INLINE double sum_of(const float* src, int64_t count, Function function) {
    Floats sum[kSumVectors];
    for (int v = 0; v < kSumVectors; ++v) sum[v] = zeros();
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        for (int v = 0; v < kSumVectors; ++v) sum[v] = function(sum[v], load(src + i + v * kLanes), kLanes);
    }
    for (int v = 0; v < kSumVectors; ++v) {
        const int64_t n = smaller(larger(count - i - v * kLanes, int64_t{0}), kLanes);
        if (n > 0) sum[v] = function(sum[v], load_first(src + i + v * kLanes, n), n);
    }
    alignas(64) float lanes[32];
    for (int v = 0; v < kSumVectors; ++v) store(lanes + v * kLanes, sum[v]);
    double total = 0;
    for (const float lane : lanes) total += static_cast<double>(lane);
    return total;
}

void rms_norm(const float* src, const float* weight, float epsilon, int64_t count, float* dst) {
    if (count <= 0) return;
    const double squares =
        sum_of(src, count, [](Floats sum, Floats x, int64_t) QUOIN_LAMBDA_INLINE { return fma(x, x, sum); });
    const double mean = squares / static_cast<double>(count);
    const Floats factor = broadcast(static_cast<float>(1.0 / __builtin_sqrt(mean + static_cast<double>(epsilon))));
    for_vectors(count, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        store_some(dst + i, load_some(src + i, n) * factor * load_some(weight + i, n), n);
    });
}

void layer_norm(const float* src, const float* weight, const float* bias, float epsilon, int64_t count, float* dst) {
    if (count <= 0) return;
    const double size = static_cast<double>(count);
    const double sum = sum_of(src, count, [](Floats s, Floats x, int64_t) QUOIN_LAMBDA_INLINE { return s + x; });
    const Floats mean = broadcast(static_cast<float>(sum / size));
    const double squares = sum_of(src, count, [mean](Floats s, Floats x, int64_t n) QUOIN_LAMBDA_INLINE {
        const Floats distance = keep_range(x - mean, 0, n, zeros());
        return fma(distance, distance, s);
    });
    const Floats factor =
        broadcast(static_cast<float>(1.0 / __builtin_sqrt(squares / size + static_cast<double>(epsilon))));
    for_vectors(count, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        const Floats x = (load_some(src + i, n) - mean) * factor * load_some(weight + i, n);
        store_some(dst + i, bias == nullptr ? x : x + load_some(bias + i, n), n);
    });
}

}  // namespace
}  // namespace quoin
