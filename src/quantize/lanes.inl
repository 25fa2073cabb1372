// Sixteen floats at a time, in registers as wide as the instruction set has. Plain arithmetic of the compiler's vector
// types, so every width computes the same bits.
#include "core/half.h"

#define QUOIN_INLINE __attribute__((always_inline)) inline
#define QUOIN_LAMBDA_INLINE __attribute__((always_inline))

namespace quoin {
namespace {

#if defined(__AVX512F__)
constexpr int kNativeFloats = 16;
#elif defined(__AVX2__)
constexpr int kNativeFloats = 8;
#else
constexpr int kNativeFloats = 4;
#endif
constexpr int kLaneCount = 16;
constexpr int kParts = kLaneCount / kNativeFloats;

using Native = float __attribute__((vector_size(kNativeFloats * sizeof(float))));

struct Lanes {
    Native part[kParts];
};

template <class Function>
QUOIN_INLINE Lanes each_part(Function&& function) {
    Lanes result;
    for (int p = 0; p < kParts; ++p) result.part[p] = function(p);
    return result;
}

QUOIN_INLINE Lanes lanes_of(float value) {
    return each_part([&](int) { return Native{} + value; });
}
QUOIN_INLINE Lanes load(const float* src) {
    Lanes result;
    __builtin_memcpy(&result, src, sizeof(result));
    return result;
}
QUOIN_INLINE void store(float* dst, const Lanes& value) {
    __builtin_memcpy(dst, &value, sizeof(value));
}
QUOIN_INLINE Lanes operator+(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] + b.part[p]; });
}
QUOIN_INLINE Lanes operator-(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] - b.part[p]; });
}
QUOIN_INLINE Lanes operator*(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] * b.part[p]; });
}
QUOIN_INLINE Lanes min(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] < b.part[p] ? a.part[p] : b.part[p]; });
}
QUOIN_INLINE Lanes max(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] > b.part[p] ? a.part[p] : b.part[p]; });
}
QUOIN_INLINE Lanes absolute(const Lanes& a) {
    return max(a, lanes_of(0) - a);
}
// `step` where a > threshold, else 0.
QUOIN_INLINE Lanes step_above(const Lanes& a, float threshold, float step) {
    return each_part([&](int p) { return a.part[p] > Native{} + threshold ? Native{} + step : Native{}; });
}
// Nearest whole number, halves to even; exact below 2^22.
QUOIN_INLINE Lanes nearest_whole(const Lanes& a) {
    const Lanes shift = lanes_of(12582912.0F);  // 1.5 x 2^23: one unit in the last place is 1
    return (a + shift) - shift;
}

using Quad = float __attribute__((vector_size(16)));

// The sixteen lanes folded to four: by halves, which is one order for every width.
template <class Combine>
QUOIN_INLINE Quad fold(const Lanes& a, Combine&& combine) {
    Quad quads[kLaneCount / 4];
    __builtin_memcpy(quads, &a, sizeof(quads));
    return combine(combine(quads[0], quads[2]), combine(quads[1], quads[3]));
}
QUOIN_INLINE Quad folded_sum(const Lanes& a) {
    return fold(a, [](Quad x, Quad y) { return x + y; });
}
template <class Combine>
QUOIN_INLINE float reduce(const Lanes& a, Combine&& combine) {
    const Quad four = fold(a, combine);
    const Quad two = combine(four, __builtin_shufflevector(four, four, 2, 3, 0, 1));
    return combine(two, __builtin_shufflevector(two, two, 1, 0, 3, 2))[0];
}
QUOIN_INLINE float sum(const Lanes& a) {
    return reduce(a, [](Quad x, Quad y) { return x + y; });
}
// Four sums for little more than the price of one; each as sum() gives it.
QUOIN_INLINE Quad sums(const Lanes& a, const Lanes& b, const Lanes& c, const Lanes& d) {
    const Quad fa = folded_sum(a);
    const Quad fb = folded_sum(b);
    const Quad fc = folded_sum(c);
    const Quad fd = folded_sum(d);
    const Quad ab = __builtin_shufflevector(fa, fb, 0, 1, 4, 5) + __builtin_shufflevector(fa, fb, 2, 3, 6, 7);
    const Quad cd = __builtin_shufflevector(fc, fd, 0, 1, 4, 5) + __builtin_shufflevector(fc, fd, 2, 3, 6, 7);
    return __builtin_shufflevector(ab, cd, 0, 2, 4, 6) + __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
}

QUOIN_INLINE float least(float a, float b) {
    return b < a ? b : a;
}
QUOIN_INLINE float greatest(float a, float b) {
    return b > a ? b : a;
}
QUOIN_INLINE float magnitude(float a) {
    return a < 0 ? -a : a;
}
QUOIN_INLINE float clamp(float a, float low, float high) {
    return least(greatest(a, low), high);
}
QUOIN_INLINE int clamp(int a, int low, int high) {
    return a < low ? low : a > high ? high : a;
}
// The nearest whole number from low to high, halves to even; the bounds are below 2^22.
QUOIN_INLINE int nearest_int(float a, int low, int high) {
    const float inside = clamp(a, static_cast<float>(low), static_cast<float>(high));
    return static_cast<int>((inside + 12582912.0F) - 12582912.0F);
}

struct Range {
    float low;
    float high;
};
template <int kCount>
QUOIN_INLINE Range range_of(const float* x) {
    Lanes low = load(x);
    Lanes high = low;
    for (int i = kLaneCount; i < kCount; i += kLaneCount) {
        low = min(low, load(x + i));
        high = max(high, load(x + i));
    }
    return {reduce(low, [](Quad a, Quad b) { return a < b ? a : b; }),
            reduce(high, [](Quad a, Quad b) { return a > b ? a : b; })};
}
template <int kCount>
QUOIN_INLINE float sum_of_squares(const float* x) {
    Lanes squares = load(x) * load(x);
    for (int i = kLaneCount; i < kCount; i += kLaneCount) squares = squares + load(x + i) * load(x + i);
    return sum(squares);
}

constexpr float kMostHalf = 65504;

// Out of line on purpose, with what they call inside: a copy of a header's function must not become a weak symbol.
__attribute__((noinline, flatten)) float half_to_float(uint16_t half) {
    return f16_to_f32(half);
}
// The nearest finite half.
__attribute__((noinline, flatten)) uint16_t to_half(float value) {
    return f32_to_f16(clamp(value, -kMostHalf, kMostHalf));
}
QUOIN_INLINE float rounded_to_half(float value) {
    return half_to_float(to_half(value));
}

QUOIN_INLINE void write_half(std::byte* dst, uint16_t half) {
    __builtin_memcpy(dst, &half, sizeof(half));
}

// Beyond this no format with half-precision scales reaches, and squares of floats stay far from infinity.
constexpr float kMostValue = 1e9F;
template <int kCount>
QUOIN_INLINE void load_block(const float* src, float* x) {
    for (int i = 0; i < kCount; i += kLaneCount) {
        store(x + i, max(min(load(src + i), lanes_of(kMostValue)), lanes_of(-kMostValue)));
    }
}

}  // namespace
}  // namespace quoin
