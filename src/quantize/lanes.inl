// Sixteen blocks at a time: lane b of every vector belongs to block b, so that a search over one block is a search over
// sixteen, without sums across lanes and without branches. The vectors are the compiler's, as wide as the instruction
// set has them; plain arithmetic, so every width computes the same bits.
#include "core/half.h"

#define QUOIN_INLINE __attribute__((always_inline)) inline
// Passes over the elements of blocks are called, not copied into every search: a call costs nothing beside them.
#define QUOIN_PASS __attribute__((noinline))

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
using NativeBits = int32_t __attribute__((vector_size(kNativeFloats * sizeof(float))));

struct Lanes {
    Native part[kParts];
};
// All ones or zeros in each lane.
struct Mask {
    NativeBits part[kParts];
};

template <class Function>
QUOIN_INLINE Lanes each_part(Function&& function) {
    Lanes result;
    for (int p = 0; p < kParts; ++p) result.part[p] = function(p);
    return result;
}
template <class Function>
QUOIN_INLINE Mask each_mask(Function&& function) {
    Mask result;
    for (int p = 0; p < kParts; ++p) result.part[p] = function(p);
    return result;
}

QUOIN_INLINE Lanes lanes_of(float value) {
    return each_part([&](int) { return value - Native{}; });
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
QUOIN_INLINE Lanes operator/(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] / b.part[p]; });
}
QUOIN_INLINE Lanes operator+(const Lanes& a, float b) {
    return a + lanes_of(b);
}
QUOIN_INLINE Lanes operator-(const Lanes& a, float b) {
    return a - lanes_of(b);
}
QUOIN_INLINE Lanes operator*(const Lanes& a, float b) {
    return a * lanes_of(b);
}
QUOIN_INLINE Lanes operator/(const Lanes& a, float b) {
    return a / lanes_of(b);
}
QUOIN_INLINE Lanes operator-(const Lanes& a) {
    return lanes_of(0) - a;
}

QUOIN_INLINE Mask operator<(const Lanes& a, const Lanes& b) {
    return each_mask([&](int p) { return a.part[p] < b.part[p]; });
}
QUOIN_INLINE Mask operator>(const Lanes& a, const Lanes& b) {
    return b < a;
}
QUOIN_INLINE Mask operator<=(const Lanes& a, const Lanes& b) {
    return each_mask([&](int p) { return a.part[p] <= b.part[p]; });
}
QUOIN_INLINE Mask operator==(const Lanes& a, const Lanes& b) {
    return each_mask([&](int p) { return a.part[p] == b.part[p]; });
}
QUOIN_INLINE Mask operator&(const Mask& a, const Mask& b) {
    return each_mask([&](int p) { return a.part[p] & b.part[p]; });
}
QUOIN_INLINE Mask operator|(const Mask& a, const Mask& b) {
    return each_mask([&](int p) { return a.part[p] | b.part[p]; });
}
QUOIN_INLINE Mask operator!(const Mask& a) {
    return each_mask([&](int p) { return ~a.part[p]; });
}
QUOIN_INLINE Lanes select(const Mask& mask, const Lanes& yes, const Lanes& no) {
    return each_part([&](int p) { return mask.part[p] ? yes.part[p] : no.part[p]; });
}
QUOIN_INLINE bool any(const Mask& mask) {
    int32_t lanes[kLaneCount];
    __builtin_memcpy(lanes, &mask, sizeof(lanes));
    int32_t all = 0;
    for (const int32_t lane : lanes) all |= lane;
    return all != 0;
}

QUOIN_INLINE Lanes min(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] < b.part[p] ? a.part[p] : b.part[p]; });
}
QUOIN_INLINE Lanes max(const Lanes& a, const Lanes& b) {
    return each_part([&](int p) { return a.part[p] > b.part[p] ? a.part[p] : b.part[p]; });
}
QUOIN_INLINE Lanes clamp(const Lanes& a, float low, float high) {
    return max(min(a, lanes_of(high)), lanes_of(low));
}
QUOIN_INLINE Lanes absolute(const Lanes& a) {
    return max(a, -a);
}
// 1 / a, and 0 for 0: a scale of 0 takes everything to the level nearest to 0.
QUOIN_INLINE Lanes inverse_of(const Lanes& a) {
    return select(a == lanes_of(0), lanes_of(0), lanes_of(1) / a);
}
QUOIN_INLINE Lanes quotient(const Lanes& a, const Lanes& b) {
    return select(b == lanes_of(0), lanes_of(0), a / b);
}
// `step` where a > threshold, else 0.
QUOIN_INLINE Lanes step_above(const Lanes& a, float threshold, float step) {
    return select(a > lanes_of(threshold), lanes_of(step), lanes_of(0));
}
// Nearest whole number, halves to even; exact below 2^22.
QUOIN_INLINE Lanes nearest_whole(const Lanes& a) {
    constexpr float kShift = 12582912;  // 1.5 x 2^23: one unit in the last place is 1
    return (a + kShift) - kShift;
}

// Every lane gets what all lanes of its group come to: groups of 16 or 8 neighbours, folded by halves.
template <int kGroup, class Combine>
QUOIN_INLINE Lanes over_group(const Lanes& a, Combine&& combine) {
    float values[kLaneCount];
    store(values, a);
    for (int first = 0; first < kLaneCount; first += kGroup) {
        for (int width = kGroup / 2; width > 0; width /= 2) {
            for (int i = 0; i < width; ++i) values[first + i] = combine(values[first + i], values[first + i + width]);
        }
        for (int i = 1; i < kGroup; ++i) values[first + i] = values[first];
    }
    return load(values);
}
template <int kGroup>
QUOIN_INLINE Lanes group_sum(const Lanes& a) {
    return over_group<kGroup>(a, [](float x, float y) { return x + y; });
}
template <int kGroup>
QUOIN_INLINE Lanes group_max(const Lanes& a) {
    return over_group<kGroup>(a, [](float x, float y) { return y > x ? y : x; });
}

// ---- Halves

constexpr float kMostHalf = 65504;
constexpr float kLeastHalf = 0x1p-24F;

// Out of line on purpose, with what it calls inside: a copy of a header's function must not become a weak symbol.
__attribute__((noinline, flatten)) uint16_t to_half(float value) {
    return f32_to_f16(value > kMostHalf ? kMostHalf : value < -kMostHalf ? -kMostHalf : value);
}

// The nearest values that finite halves have, still as floats.
QUOIN_INLINE Lanes rounded_to_half(const Lanes& value) {
    const Lanes inside = clamp(value, -kMostHalf, kMostHalf);
    const Lanes small = (inside + 0.75F) - 0.75F;  // a unit in the last place of 0.75 is the smallest half
    const Lanes normal = each_part([&](int p) {
        NativeBits bits;
        __builtin_memcpy(&bits, &inside.part[p], sizeof(bits));
        bits = (bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFF;
        Native rounded;
        __builtin_memcpy(&rounded, &bits, sizeof(rounded));
        return rounded;
    });
    return select(absolute(inside) < lanes_of(0x1p-14F), small, normal);
}
// The distance to the next half away from zero.
QUOIN_INLINE Lanes half_step(const Lanes& half) {
    const Lanes power = each_part([&](int p) {
        NativeBits bits;
        __builtin_memcpy(&bits, &half.part[p], sizeof(bits));
        bits = bits & 0x7F800000;
        Native result;
        __builtin_memcpy(&result, &bits, sizeof(result));
        return result;
    });
    return max(power * 0x1p-10F, lanes_of(kLeastHalf));
}
QUOIN_INLINE void write_half(std::byte* dst, float half) {
    const uint16_t bits = to_half(half);
    __builtin_memcpy(dst, &bits, sizeof(bits));
}

// ---- Sixteen blocks, element by element

// Beyond this no format with half-precision scales reaches, and squares of floats stay far from infinity.
constexpr float kMostValue = 1e9F;

template <int kCount>
struct Blocks {
    Lanes element[kCount];

    // The first `blocks` of sixteen from `src`; the others are zeros.
    QUOIN_PASS void load_from(const float* src, int64_t blocks) {
        alignas(64) float values[kCount][kLaneCount];
        if (blocks < kLaneCount) __builtin_memset(values, 0, sizeof(values));
        for (int b = 0; b < (blocks < kLaneCount ? static_cast<int>(blocks) : kLaneCount); ++b) {
            for (int i = 0; i < kCount; ++i) values[i][b] = src[b * kCount + i];
        }
        for (int i = 0; i < kCount; ++i) element[i] = clamp(load(values[i]), -kMostValue, kMostValue);
    }
};

struct Range {
    Lanes low;
    Lanes high;

    // The element farthest from zero, with its sign.
    QUOIN_INLINE Lanes extreme() const { return select(-low < high, high, low); }
};
template <int kCount>
QUOIN_PASS Range range_of(const Blocks<kCount>& x) {
    Range range{x.element[0], x.element[0]};
    for (int i = 1; i < kCount; ++i) {
        range.low = min(range.low, x.element[i]);
        range.high = max(range.high, x.element[i]);
    }
    return range;
}
template <int kCount>
QUOIN_PASS Lanes sum_of_squares(const Blocks<kCount>& x) {
    Lanes squares = lanes_of(0);
    for (int i = 0; i < kCount; ++i) squares = squares + x.element[i] * x.element[i];
    return squares;
}

// Whole numbers of element i of all blocks to codes[b * kCount + i].
template <int kCount, class CodeOf>
QUOIN_INLINE void write_codes(const Blocks<kCount>& x, uint8_t* codes, CodeOf&& code_of) {
    for (int i = 0; i < kCount; ++i) {
        float values[kLaneCount];
        store(values, code_of(x.element[i]));
        for (int b = 0; b < kLaneCount; ++b) codes[b * kCount + i] = static_cast<uint8_t>(values[b]);
    }
}

}  // namespace
}  // namespace quoin
