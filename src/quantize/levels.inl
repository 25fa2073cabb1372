// The values that a code can stand for, before the scale.
#include "kernels/block_format.h"

namespace quoin {
namespace {

// Where a search begins: the largest element of a block is placed on the outermost level times place(0), place(1), ...
// Beyond 1 it is cut off, which pays the more the fewer the levels and the larger the block.
template <int first_percent, int last_percent, int steps>
struct Places {
    static constexpr int kSteps = steps;
    static constexpr float place(int step) {
        return (first_percent +
                static_cast<float>(last_percent - first_percent) * static_cast<float>(step) / (steps - 1)) /
               100;
    }
};

// Whole numbers from kLow to kHigh.
template <int low, int high, class Start>
struct WholeLevels : Start {
    static constexpr float kLow = low;
    static constexpr float kHigh = high;
    static QUOIN_INLINE Lanes nearest(const Lanes& value) { return nearest_whole(clamp(value, kLow, kHigh)); }
    static QUOIN_INLINE Lanes index(const Lanes& value) { return nearest(value) - kLow; }
};

// The first numbers of a codebook, copied while compiling: read at run time, the codebook would be a symbol of this
// object.
template <int count>
struct Numbers {
    float values[count] = {};
    constexpr explicit Numbers(const Codebook& codebook) {
        for (int k = 0; k < count; ++k) values[k] = codebook.values[k];
    }
    QUOIN_INLINE constexpr float operator[](int k) const { return values[k]; }
};

// The sixteen levels of IQ4_NL and IQ4_XS, denser around zero as weights are.
struct CurvedLevels : Places<86, 140, 14> {
    static constexpr int kCount = 16;
    static constexpr Numbers<kCount> kValues{kQuantiles};
    static constexpr float kLow = kValues[0];
    static constexpr float kHigh = kValues[kCount - 1];
    static QUOIN_INLINE Lanes nearest(const Lanes& value) {
        Lanes level = lanes_of(kLow);
        for (int k = 1; k < kCount; ++k) {
            level = level + step_above(value, (kValues[k - 1] + kValues[k]) / 2, kValues[k] - kValues[k - 1]);
        }
        return level;
    }
    static QUOIN_INLINE Lanes index(const Lanes& value) {
        Lanes index = lanes_of(0);
        for (int k = 1; k < kCount; ++k) index = index + step_above(value, (kValues[k - 1] + kValues[k]) / 2, 1);
        return index;
    }
};

// Twice the magnitudes of a 4-bit float (sign, 2 bits of exponent, 1 of mantissa), as MXFP4 counts them: the first half
// of its codebook. The sign is bit 3 of the code.
struct TinyFloatLevels {
    static constexpr int kCount = 8;
    static constexpr Numbers<kCount> kValues{kE2M1};
    static constexpr float kHigh = kValues[kCount - 1];
    static QUOIN_INLINE Lanes magnitude_sum(const Lanes& value, bool as_index) {
        const Lanes size = absolute(value);
        Lanes result = lanes_of(0);
        for (int k = 1; k < kCount; ++k) {
            const float step = as_index ? 1 : kValues[k] - kValues[k - 1];
            result = result + step_above(size, (kValues[k - 1] + kValues[k]) / 2, step);
        }
        return result;
    }
    static QUOIN_INLINE Lanes nearest(const Lanes& value) {
        const Lanes size = magnitude_sum(value, false);
        const Lanes negative = step_above(-value, 0, 2);
        return size - size * negative;
    }
    static QUOIN_INLINE Lanes index(const Lanes& value) {
        const Lanes number = magnitude_sum(value, true);
        // A zero is written as +0.
        const Lanes not_zero = step_above(number, 0, 1);
        return number + not_zero * step_above(-value, 0, 8);
    }
};

// The numbers of the nearest levels under `scale`, counted from 0.
template <class Levels, int kCount>
QUOIN_PASS void write_indices(const Blocks<kCount>& x, const Lanes& scale, uint8_t* codes) {
    const Lanes inverse = inverse_of(scale);
    write_codes<kCount>(x, codes, [&](const Lanes& value) { return Levels::index(value * inverse); });
}

}  // namespace
}  // namespace quoin
