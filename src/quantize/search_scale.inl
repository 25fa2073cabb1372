// Formats without an offset: x = scale x level. Finds the scale of least squared error.

namespace quoin {
namespace {

// What a scale does to a block when every element takes its nearest level.
struct ScaleTrial {
    float error;         // sum of r^2, r = x - scale x level
    float residual_dot;  // sum of r x level
    float level_dot;     // sum of level^2

    // How far the scale may move, codes unchanged, until the error is least, and what the error is then.
    QUOIN_INLINE float correction() const { return level_dot > 0 ? residual_dot / level_dot : 0; }
    QUOIN_INLINE float corrected_error() const { return error - residual_dot * correction(); }
};

template <class Levels, int kCount>
QUOIN_INLINE ScaleTrial try_scale(const float* x, float scale) {
    const Lanes scales = lanes_of(scale);
    const Lanes inverse = lanes_of(scale == 0 ? 0 : 1 / scale);
    Lanes error = lanes_of(0);
    Lanes residual_dot = error;
    Lanes level_dot = error;
    for (int i = 0; i < kCount; i += kLaneCount) {
        const Lanes value = load(x + i);
        const Lanes level = Levels::nearest(value * inverse);
        const Lanes residual = value - scales * level;
        error = error + residual * residual;
        residual_dot = residual_dot + residual * level;
        level_dot = level_dot + level * level;
    }
    const Quad all = sums(error, residual_dot, level_dot, level_dot);
    return {all[0], all[1], all[2]};
}

struct Scale {
    float value;
    float error;
    float weight;  // sum of level^2: how much an error of the scale costs
};

template <class Levels, int kCount>
QUOIN_INLINE Scale try_and_correct(const float* x, float scale) {
    const ScaleTrial trial = try_scale<Levels, kCount>(x, scale);
    return {scale + trial.correction(), trial.corrected_error(), trial.level_dot};
}

// The scale of a block that may have any value, as that of a sub-block before its own rounding.
template <class Levels, int kCount>
Scale search_scale(const float* x) {
    const Range range = range_of<kCount>(x);
    const float extreme = range.high > -range.low ? range.high : range.low;
    if (extreme == 0) return {0, 0, 0};
    constexpr int kSigns = Levels::kLow == -Levels::kHigh ? 1 : 2;
    constexpr int kTrials = Levels::kSteps * kSigns;
    // All trials before all comparisons: the processor overlaps what no branch waits for.
    Scale trials[kTrials];
    for (int i = 0; i < kTrials; ++i) {
        const float outermost = i % kSigns == 0 ? Levels::kLow : Levels::kHigh;
        trials[i] = try_and_correct<Levels, kCount>(x, extreme / (outermost * Levels::place(i / kSigns)));
    }
    Scale best = trials[0];
    for (int i = 1; i < kTrials; ++i) {
        if (trials[i].error < best.error) best = trials[i];
    }
    // The corrected scale may move elements to other levels, which corrects it again.
    for (int round = 0; round < 3; ++round) {
        const Scale next = try_and_correct<Levels, kCount>(x, best.value);
        if (next.error >= best.error) break;
        best = next;
    }
    return best;
}

// A scale that is stored as a half, best after that rounding.
template <class Levels, int kCount>
uint16_t search_half_scale(const float* x) {
    const Range range = range_of<kCount>(x);
    const float extreme = range.high > -range.low ? range.high : range.low;
    if (extreme == 0) return 0;
    uint16_t best = 0;
    float best_error = sum_of_squares<kCount>(x);
    const auto consider = [&](uint16_t half) QUOIN_LAMBDA_INLINE {
        if ((half & 0x7FFFU) == 0 || (half & 0x7C00U) == 0x7C00U) return false;
        const float error = try_scale<Levels, kCount>(x, half_to_float(half)).error;
        if (error >= best_error) return false;
        best_error = error;
        best = half;
        return true;
    };
    consider(to_half(search_scale<Levels, kCount>(x).value));
    consider(to_half(extreme / Levels::kLow));  // where others place it
    for (int round = 0; round < 4; ++round) {
        const auto up = static_cast<uint16_t>(best + 1);
        const auto down = static_cast<uint16_t>(best - 1);
        const bool moved_up = consider(up);
        if (!consider(down) && !moved_up) break;
    }
    if (best == 0) {  // the smallest scales there are, when all others round to nothing
        consider(1);
        consider(0x8001);
    }
    return best;
}

}  // namespace
}  // namespace quoin
