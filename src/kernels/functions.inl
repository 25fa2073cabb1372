// Functions of rows of floats, element by element, and reductions of a row.

namespace quoin {
namespace {

template <class Function>
QUOIN_INLINE void apply(const float* src, int64_t count, float* dst, Function function) {
    for_vectors(count, [=](int64_t i, int64_t n)
                           QUOIN_LAMBDA_INLINE { store_some(dst + i, function(load_some(src + i, n)), n); });
}

void exp_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return exp_of(x); });
}
void log_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return log_of(x); });
}
void tanh_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return tanh_of(x); });
}
void sigmoid_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return sigmoid_of(x); });
}
void erf_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return erf_of(x); });
}
void gelu_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return gelu_of(x); });
}
void gelu_tanh_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return gelu_tanh_of(x); });
}
void softplus_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return softplus_of(x); });
}
void mish_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return mish_of(x); });
}
void swish_row(const float* src, int64_t count, float alpha, float /*beta*/, float* dst) {
    apply(src, count, dst, [=](Floats x) QUOIN_LAMBDA_INLINE { return swish_of(x, alpha); });
}
void abs_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return absolute(x); });
}
void reciprocal_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return broadcast(1.0F) / x; });
}
void relu_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return relu_of(x); });
}
void leaky_relu_row(const float* src, int64_t count, float alpha, float /*beta*/, float* dst) {
    const Floats a = broadcast(alpha);
    apply(src, count, dst, [=](Floats x) QUOIN_LAMBDA_INLINE { return leaky_relu_of(x, a); });
}
void elu_row(const float* src, int64_t count, float alpha, float beta, float* dst) {
    const Floats a = broadcast(alpha);
    const Floats b = broadcast(beta);
    apply(src, count, dst, [=](Floats x) QUOIN_LAMBDA_INLINE { return elu_of(x, a, b); });
}
void celu_row(const float* src, int64_t count, float alpha, float /*beta*/, float* dst) {
    const Floats a = broadcast(alpha);
    apply(src, count, dst,
          [=](Floats x) QUOIN_LAMBDA_INLINE { return select_less(x, zeros(), a * expm1_of(x / a), x); });
}
void clip_row(const float* src, int64_t count, float alpha, float beta, float* dst) {
    const Floats a = broadcast(alpha);
    const Floats b = broadcast(beta);
    apply(src, count, dst, [=](Floats x) QUOIN_LAMBDA_INLINE { return clip_of(x, a, b); });
}
void hard_sigmoid_row(const float* src, int64_t count, float alpha, float beta, float* dst) {
    const Floats a = broadcast(alpha);
    const Floats b = broadcast(beta);
    apply(src, count, dst, [=](Floats x) QUOIN_LAMBDA_INLINE { return hard_sigmoid_of(x, a, b); });
}
void hard_swish_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    apply(src, count, dst, [](Floats x) QUOIN_LAMBDA_INLINE { return hard_swish_of(x); });
}

// The compiler finds the one instruction there is.
void neg_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = -src[i];
}
void sqrt_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = __builtin_sqrtf(src[i]);
}
void floor_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = __builtin_floorf(src[i]);
}
void ceil_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = __builtin_ceilf(src[i]);
}
void round_row(const float* src, int64_t count, float /*alpha*/, float /*beta*/, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = __builtin_rintf(src[i]);
}

void subtract_row(const float* a, const float* b, int64_t count, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = a[i] - b[i];
}
void divide_row(const float* a, const float* b, int64_t count, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = a[i] / b[i];
}
void minimum_row(const float* a, const float* b, int64_t count, float* dst) {
    for (int64_t i = 0; i < count; ++i) {
        const float x = a[i];
        const float y = b[i];
        const float ordered = y < x ? y : x;
        dst[i] = y != y ? y : ordered;
    }
}
void maximum_row(const float* a, const float* b, int64_t count, float* dst) {
    for (int64_t i = 0; i < count; ++i) {
        const float x = a[i];
        const float y = b[i];
        const float ordered = y > x ? y : x;
        dst[i] = y != y ? y : ordered;
    }
}
void prelu_row(const float* a, const float* b, int64_t count, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = a[i] < 0 ? a[i] * b[i] : a[i];
}

// Sums run in 32 lanes whatever the vector width, joined in double.
template <class Function>
QUOIN_INLINE double sum_lanes(const float* src, int64_t count, Function function) {
    constexpr int kVectors = static_cast<int>(32 / kLanes);
    Floats sum[kVectors];
    for (int v = 0; v < kVectors; ++v) sum[v] = zeros();
    double total = 0;
    alignas(64) float lanes[32];
    // Joined now and then, so that the rounding of long sums does not add up.
    constexpr int64_t kRun = 4096;
    for (int64_t begin = 0; begin < count; begin += kRun) {
        const int64_t end = smaller(count, begin + kRun);
        int64_t i = begin;
        for (; i + 32 <= end; i += 32) {
            for (int v = 0; v < kVectors; ++v) sum[v] = function(sum[v], load(src + i + v * kLanes));
        }
        for (int v = 0; v < kVectors; ++v) {
            const int64_t n = smaller(larger(end - i - v * kLanes, int64_t{0}), kLanes);
            if (n > 0) sum[v] = function(sum[v], load_first(src + i + v * kLanes, n));
        }
        for (int v = 0; v < kVectors; ++v) {
            store(lanes + v * kLanes, sum[v]);
            sum[v] = zeros();
        }
        for (const float lane : lanes) total += static_cast<double>(lane);
    }
    return total;
}
double sum_row(const float* src, int64_t count) {
    return sum_lanes(src, count, [](Floats sum, Floats x) QUOIN_LAMBDA_INLINE { return sum + x; });
}
double sum_squares_row(const float* src, int64_t count) {
    return sum_lanes(src, count, [](Floats sum, Floats x) QUOIN_LAMBDA_INLINE { return fma(x, x, sum); });
}
double sum_magnitudes_row(const float* src, int64_t count) {
    return sum_lanes(src, count, [](Floats sum, Floats x) QUOIN_LAMBDA_INLINE { return sum + absolute(x); });
}

template <class Choose>
QUOIN_INLINE float extreme(const float* src, int64_t count, float start, Choose choose) {
    const Floats nothing = broadcast(start);
    Floats best = nothing;
    Ints magnitude = broadcast_int(0);
    for_vectors(count, [&](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        const Floats x = load_some(src + i, n);
        magnitude = max_ints(magnitude, as_ints(absolute(x)));
        best = choose(best, keep_range(x, 0, n, nothing));
    });
    if (largest_int(magnitude) > 0x7F800000) return __builtin_nanf("");
    alignas(64) float lanes[kLanes];
    store(lanes, best);
    float result = start;
    for (const float lane : lanes) result = first_lane(choose(broadcast(result), broadcast(lane)));
    return result;
}
float largest_of_row(const float* src, int64_t count) {
    return extreme(src, count, -kInfinity, [](Floats a, Floats b) QUOIN_LAMBDA_INLINE { return maximum(a, b); });
}
float smallest_of_row(const float* src, int64_t count) {
    return extreme(src, count, kInfinity, [](Floats a, Floats b) QUOIN_LAMBDA_INLINE { return minimum(a, b); });
}

void add_squares_row(const float* src, int64_t count, float* sums) {
    for_vectors(count, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        const Floats x = load_some(src + i, n);
        store_some(sums + i, fma(x, x, load_some(sums + i, n)), n);
    });
}
void add_magnitudes_row(const float* src, int64_t count, float* sums) {
    for_vectors(count, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        store_some(sums + i, load_some(sums + i, n) + absolute(load_some(src + i, n)), n);
    });
}

// Of NaN the least; the order of the comparisons says so.
template <class T>
QUOIN_INLINE void quantize_row(const float* src, int64_t count, float scale, float zero, T* dst, float least,
                               float most) {
    for (int64_t i = 0; i < count; ++i) {
        const float moved = __builtin_rintf(src[i] / scale) + zero;
        const float raised = moved > least ? moved : least;
        dst[i] = static_cast<T>(static_cast<int32_t>(raised < most ? raised : most));
    }
}
void quantize_u8_row(const float* src, int64_t count, float scale, float zero, uint8_t* dst) {
    quantize_row(src, count, scale, zero, dst, 0.0F, 255.0F);
}
void quantize_i8_row(const float* src, int64_t count, float scale, float zero, int8_t* dst) {
    quantize_row(src, count, scale, zero, dst, -128.0F, 127.0F);
}
void dequantize_u8_row(const uint8_t* src, int64_t count, float scale, float zero, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = (static_cast<float>(src[i]) - zero) * scale;
}
void dequantize_i8_row(const int8_t* src, int64_t count, float scale, float zero, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = (static_cast<float>(src[i]) - zero) * scale;
}

}  // namespace
}  // namespace quoin
