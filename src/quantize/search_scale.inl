// Formats without an offset: x = scale x level. Finds the scales of least squared error.

namespace quoin {
namespace {

// What scales do to blocks when every element takes its nearest level.
struct ScaleTrial {
    Lanes error;         // sum of r^2, r = x - scale x level
    Lanes residual_dot;  // sum of r x level
    Lanes level_dot;     // sum of level^2
};

template <class Levels, int kCount>
QUOIN_PASS ScaleTrial try_scale(const Blocks<kCount>& x, const Lanes& scale) {
    const Lanes inverse = inverse_of(scale);
    ScaleTrial trial{lanes_of(0), lanes_of(0), lanes_of(0)};
    for (int i = 0; i < kCount; ++i) {
        const Lanes level = Levels::nearest(x.element[i] * inverse);
        const Lanes residual = x.element[i] - scale * level;
        trial.error = trial.error + residual * residual;
        trial.residual_dot = trial.residual_dot + residual * level;
        trial.level_dot = trial.level_dot + level * level;
    }
    return trial;
}

struct Scale {
    Lanes value;
    Lanes error;
    Lanes weight;  // sum of level^2: how much an error of the scale costs
};

QUOIN_INLINE Scale better(const Scale& a, const Scale& b) {
    const Mask second = b.error < a.error;
    return {select(second, b.value, a.value), select(second, b.error, a.error), select(second, b.weight, a.weight)};
}

// The trial of a scale, and how far the scale may then move, codes unchanged, until the error is least.
template <class Levels, int kCount>
QUOIN_INLINE Scale try_and_correct(const Blocks<kCount>& x, const Lanes& scale) {
    const ScaleTrial trial = try_scale<Levels, kCount>(x, scale);
    const Lanes correction = quotient(trial.residual_dot, trial.level_dot);
    return {scale + correction, trial.error - trial.residual_dot * correction, trial.level_dot};
}

// Scales that may have any value, as those of sub-blocks before their own rounding.
template <class Levels, int kCount>
Scale search_scale(const Blocks<kCount>& x) {
    const Lanes extreme = range_of(x).extreme();
    Scale best{lanes_of(0), sum_of_squares(x), lanes_of(0)};
    for (int step = 0; step < Levels::kSteps; ++step) {
        best = better(best, try_and_correct<Levels>(x, extreme * (1 / (Levels::kLow * Levels::place(step)))));
        if (Levels::kLow == -Levels::kHigh) continue;
        best = better(best, try_and_correct<Levels>(x, extreme * (1 / (Levels::kHigh * Levels::place(step)))));
    }
    // The corrected scale may move elements to other levels, which corrects it again.
    for (int round = 0; round < 3; ++round) best = better(best, try_and_correct<Levels>(x, best.value));
    return best;
}

// Scales that are stored as halves, best after that rounding.
template <class Levels, int kCount>
Lanes search_half_scale(const Blocks<kCount>& x) {
    const Lanes extreme = range_of(x).extreme();
    Lanes best = lanes_of(0);
    Lanes best_error = sum_of_squares(x);
    const auto consider = [&](const Lanes& scale) {
        const Lanes half = rounded_to_half(scale);
        const Lanes error = try_scale<Levels>(x, half).error;
        const Mask improved = error < best_error;
        best = select(improved, half, best);
        best_error = select(improved, error, best_error);
        return improved;
    };
    consider(search_scale<Levels>(x).value);
    consider(extreme * (1 / Levels::kLow));  // where others place it
    for (int round = 0; round < 4; ++round) {
        const Lanes middle = best;
        const Lanes step = half_step(middle);
        const Mask up = consider(middle + step);
        const Mask down = consider(middle - step);
        if (!any(up | down)) break;
    }
    return best;
}

}  // namespace
}  // namespace quoin
