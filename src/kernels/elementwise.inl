// Element-by-element kernels and the softmax of one row.

namespace quoin {
namespace {

template <class Function>
QUOIN_INLINE void map(const float* a, const float* b, int64_t count, float* dst, Function function) {
    for_vectors(count, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        store_some(dst + i, function(load_some(a + i, n), load_some(b + i, n)), n);
    });
}

void silu_multiply(const float* gate, const float* up, int64_t count, float* dst) {
    map(gate, up, count, dst, [](Floats g, Floats u) QUOIN_LAMBDA_INLINE { return swish_of(g, 1.0F) * u; });
}
void add(const float* a, const float* b, int64_t count, float* dst) {
    map(a, b, count, dst, [](Floats x, Floats y) QUOIN_LAMBDA_INLINE { return x + y; });
}
void multiply(const float* a, const float* b, int64_t count, float* dst) {
    map(a, b, count, dst, [](Floats x, Floats y) QUOIN_LAMBDA_INLINE { return x * y; });
}

void softmax_row(const float* src, int64_t count, float* dst) {
    if (count <= 0) return;
    const Floats lowest = broadcast(-kInfinity);
    Floats high = lowest;
    for (int64_t i = 0; i < count; i += kLanes) {
        const int64_t n = smaller(count - i, kLanes);
        high = maximum(high, keep_range(load_some(src + i, n), 0, n, lowest));
    }
    const Floats top = broadcast(largest(high));
    // 32 running sums whatever the vector width, so every instruction set adds in the same order.
    alignas(64) float sums[32] = {};
    for (int64_t i = 0; i < count; i += kLanes) {
        const int64_t n = smaller(count - i, kLanes);
        Floats x = exp_of(load_some(src + i, n) - top);
        float* const sum = sums + i % 32;
        if (n == kLanes) {
            store(dst + i, x);
        } else {
            x = keep_range(x, 0, n, zeros());
            store_first(dst + i, x, n);
        }
        store(sum, load(sum) + x);
    }
    double total = 0;
    for (const float sum : sums) total += static_cast<double>(sum);
    const Floats divisor = broadcast(static_cast<float>(total));
    for_vectors(count, [=](int64_t i, int64_t n)
                           QUOIN_LAMBDA_INLINE { store_some(dst + i, load_some(dst + i, n) / divisor, n); });
}

}  // namespace
}  // namespace quoin
