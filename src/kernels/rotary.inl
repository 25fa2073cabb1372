// Rotary position embedding of one token.

namespace quoin {
namespace {

QUOIN_INLINE void rotate_halves(const float* src, const float* cos, const float* sin, int64_t half, float* dst) {
    for_vectors(half, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        const Floats c = load_some(cos + i, n);
        const Floats s = load_some(sin + i, n);
        const Floats a = load_some(src + i, n);
        const Floats b = load_some(src + half + i, n);
        store_some(dst + i, fma(a, c, zeros() - b * s), n);
        store_some(dst + half + i, fma(b, c, a * s), n);
    });
}

QUOIN_INLINE void rotate_pairs(const float* src, const float* cos, const float* sin, int64_t half, float* dst) {
    const auto rotate = [](Floats x, Floats c, Floats s)
                            QUOIN_LAMBDA_INLINE { return fma(x, c, negate_even(swap_pairs(x) * s)); };
    for_vectors(half, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
        const Floats c = load_some(cos + i, n);
        const Floats s = load_some(sin + i, n);
        const int64_t low = smaller(2 * n, kLanes);
        const Floats x = load_some(src + 2 * i, low);
        store_some(dst + 2 * i, rotate(x, twice_low(c), twice_low(s)), low);
        if (2 * n <= kLanes) return;
        const int64_t high = 2 * n - kLanes;
        const Floats y = load_some(src + 2 * i + kLanes, high);
        store_some(dst + 2 * i + kLanes, rotate(y, twice_high(c), twice_high(s)), high);
    });
}

void rotary(const float* src, const float* cos, const float* sin, int64_t heads, int64_t head_size, int64_t rotary_size,
            bool interleaved, float* dst) {
    for (int64_t h = 0; h < heads; ++h, src += head_size, dst += head_size) {
        if (interleaved) {
            rotate_pairs(src, cos, sin, rotary_size / 2, dst);
        } else {
            rotate_halves(src, cos, sin, rotary_size / 2, dst);
        }
        if (src == dst) continue;
        const int64_t rest = head_size - rotary_size;
        for_vectors(rest, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
            store_some(dst + rotary_size + i, load_some(src + rotary_size + i, n), n);
        });
    }
}

}  // namespace
}  // namespace quoin
