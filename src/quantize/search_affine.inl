// Formats with an offset: x = scale x code + offset, codes from 0 to kTop. Finds both by least squared error.

namespace quoin {
namespace {

struct Affine {
    float scale;
    float offset;
    float error;
    float code_squares;  // sum of code^2, after the last trial
};

// What a scale and an offset do to a block when every element takes its nearest code.
struct AffineTrial {
    float error;         // sum of r^2, r = x - scale x code - offset
    float residual_dot;  // sum of r x code
    float residual_sum;  // sum of r
    float code_squares;
    float code_sum;
};

template <int kTop, int kCount>
QUOIN_INLINE AffineTrial try_affine(const float* x, float scale, float offset) {
    const Lanes scales = lanes_of(scale);
    const Lanes inverse = lanes_of(scale == 0 ? 0 : 1 / scale);
    const Lanes offsets = lanes_of(offset);
    const Lanes top = lanes_of(kTop);
    const Lanes zero = lanes_of(0);
    Lanes error = zero;
    Lanes residual_dot = zero;
    Lanes residual_sum = zero;
    Lanes code_squares = zero;
    Lanes code_sum = zero;
    for (int i = 0; i < kCount; i += kLaneCount) {
        const Lanes above = load(x + i) - offsets;
        const Lanes code = nearest_whole(max(min(above * inverse, top), zero));
        const Lanes residual = above - scales * code;
        error = error + residual * residual;
        residual_dot = residual_dot + residual * code;
        residual_sum = residual_sum + residual;
        code_squares = code_squares + code * code;
        code_sum = code_sum + code;
    }
    const Quad all = sums(error, residual_dot, residual_sum, code_squares);
    return {all[0], all[1], all[2], all[3], sum(code_sum)};
}

// Which offsets a format can store.
enum class OffsetSign { Any, NotPositive, NotNegative };

QUOIN_INLINE bool allowed(OffsetSign sign, float offset) {
    return sign == OffsetSign::Any || (sign == OffsetSign::NotPositive ? offset <= 0 : offset >= 0);
}

// Scale and offset of least error for the codes of a trial.
template <int kCount>
QUOIN_INLINE Affine corrected(const AffineTrial& trial, float scale, float offset, OffsetSign sign) {
    const float determinant = kCount * trial.code_squares - trial.code_sum * trial.code_sum;
    if (determinant > 0) {
        const float by_scale = (kCount * trial.residual_dot - trial.code_sum * trial.residual_sum) / determinant;
        const float by_offset =
            (trial.code_squares * trial.residual_sum - trial.code_sum * trial.residual_dot) / determinant;
        if (allowed(sign, offset + by_offset)) {
            const float gain = by_scale * trial.residual_dot + by_offset * trial.residual_sum;
            return {scale + by_scale, offset + by_offset, trial.error - gain, trial.code_squares};
        }
    }
    if (sign == OffsetSign::Any || determinant <= 0) {  // all codes equal: only the offset matters
        const float by_offset = trial.residual_sum / kCount;
        if (allowed(sign, offset + by_offset)) {
            return {scale, offset + by_offset, trial.error - by_offset * trial.residual_sum, trial.code_squares};
        }
    }
    // On the border: offset 0, and the residuals as they are with it.
    const float error = trial.error + offset * (2 * trial.residual_sum + kCount * offset);
    if (trial.code_squares == 0) return {scale, 0, error, 0};
    const float dot = trial.residual_dot + offset * trial.code_sum;
    const float by_scale = dot / trial.code_squares;
    return {scale + by_scale, 0, error - by_scale * dot, trial.code_squares};
}

template <int kTop, int kCount>
QUOIN_INLINE Affine try_and_correct(const float* x, float scale, float offset, OffsetSign sign) {
    return corrected<kCount>(try_affine<kTop, kCount>(x, scale, offset), scale, offset, sign);
}

// Start::place(step) is the part of a block's range that the codes span at first.
template <int kTop, int kCount, class Start>
Affine search_affine(const float* x, OffsetSign sign) {
    Range range = range_of<kCount>(x);
    if (sign == OffsetSign::NotPositive) range.low = least(range.low, 0);
    if (sign == OffsetSign::NotNegative) range.low = greatest(range.low, 0);
    if (sign == OffsetSign::NotNegative) range.high = greatest(range.high, 0);
    const float width = range.high - range.low;
    if (width <= 0) return {0, range.low, 0, 0};
    // Around the middle of the range and, where the offset is bound, from its end; all trials before all comparisons.
    constexpr int kTrials = Start::kSteps * 2;
    const int places = sign == OffsetSign::Any ? 1 : 2;
    Affine trials[kTrials];
    for (int i = 0; i < Start::kSteps * places; ++i) {
        const float spanned = width * Start::place(i / places);
        float offset = range.low;
        if (i % places == 0) offset += (width - spanned) / 2;
        if (!allowed(sign, offset)) offset = 0;
        trials[i] = try_and_correct<kTop, kCount>(x, spanned / kTop, offset, sign);
    }
    Affine best = trials[0];
    for (int i = 1; i < Start::kSteps * places; ++i) {
        if (trials[i].error < best.error) best = trials[i];
    }
    for (int round = 0; round < 3; ++round) {
        const Affine next = try_and_correct<kTop, kCount>(x, best.scale, best.offset, sign);
        if (next.error >= best.error) break;
        best = next;
    }
    return best;
}

}  // namespace
}  // namespace quoin
