// Formats with an offset: x = scale x code + offset, codes from 0 to kTop. Finds both by least squared error.

namespace quoin {
namespace {

struct Affine {
    Lanes scale;
    Lanes offset;
    Lanes error;
    Lanes code_squares;  // sum of code^2: how much an error of the scale costs
};

QUOIN_INLINE Affine choose(const Mask& second, const Affine& a, const Affine& b) {
    return {select(second, b.scale, a.scale), select(second, b.offset, a.offset), select(second, b.error, a.error),
            select(second, b.code_squares, a.code_squares)};
}

// What scales and offsets do to blocks when every element takes its nearest code.
struct AffineTrial {
    Lanes error;         // sum of r^2, r = x - scale x code - offset
    Lanes residual_dot;  // sum of r x code
    Lanes residual_sum;  // sum of r
    Lanes code_squares;
    Lanes code_sum;
};

template <int kTop>
QUOIN_INLINE Lanes nearest_code(const Lanes& value) {
    return nearest_whole(clamp(value, 0, kTop));
}

template <int kTop, int kCount>
QUOIN_PASS AffineTrial try_affine(const Blocks<kCount>& x, const Lanes& scale, const Lanes& offset) {
    const Lanes inverse = inverse_of(scale);
    AffineTrial trial{lanes_of(0), lanes_of(0), lanes_of(0), lanes_of(0), lanes_of(0)};
    for (int i = 0; i < kCount; ++i) {
        const Lanes above = x.element[i] - offset;
        const Lanes code = nearest_code<kTop>(above * inverse);
        const Lanes residual = above - scale * code;
        trial.error = trial.error + residual * residual;
        trial.residual_dot = trial.residual_dot + residual * code;
        trial.residual_sum = trial.residual_sum + residual;
        trial.code_squares = trial.code_squares + code * code;
        trial.code_sum = trial.code_sum + code;
    }
    return trial;
}

template <int kTop, int kCount>
QUOIN_PASS void write_affine_codes(const Blocks<kCount>& x, const Lanes& scale, const Lanes& offset, uint8_t* codes) {
    const Lanes inverse = inverse_of(scale);
    write_codes<kCount>(x, codes, [&](const Lanes& value) { return nearest_code<kTop>((value - offset) * inverse); });
}

// Which offsets a format can store.
enum class OffsetSign { Any, NotPositive, NotNegative };

QUOIN_INLINE Mask allowed(OffsetSign sign, const Lanes& offset) {
    if (sign == OffsetSign::NotPositive) return offset <= lanes_of(0);
    if (sign == OffsetSign::NotNegative) return lanes_of(0) <= offset;
    return lanes_of(0) <= lanes_of(0);
}

// A trial, then scale and offset of least error for its codes.
template <int kTop, int kCount>
QUOIN_PASS Affine try_and_correct(const Blocks<kCount>& x, const Lanes& scale, const Lanes& offset, OffsetSign sign) {
    constexpr float kN = kCount;
    const AffineTrial trial = try_affine<kTop>(x, scale, offset);
    // Both free.
    const Lanes determinant = trial.code_squares * kN - trial.code_sum * trial.code_sum;
    const Lanes by_scale = (trial.residual_dot * kN - trial.code_sum * trial.residual_sum) / determinant;
    const Lanes by_offset =
        (trial.code_squares * trial.residual_sum - trial.code_sum * trial.residual_dot) / determinant;
    const Affine free{scale + by_scale, offset + by_offset,
                      trial.error - by_scale * trial.residual_dot - by_offset * trial.residual_sum, trial.code_squares};
    const Mask regular = lanes_of(0) < determinant;
    // All codes equal: only the offset.
    const Lanes shift = trial.residual_sum / kN;
    const Affine shifted{scale, offset + shift, trial.error - shift * trial.residual_sum, trial.code_squares};
    if (sign == OffsetSign::Any) return choose(regular, shifted, free);
    // On the border: offset 0, residuals as they are with it, the best scale for them.
    const Lanes dot = trial.residual_dot + offset * trial.code_sum;
    const Lanes move = quotient(dot, trial.code_squares);
    const Lanes border_error = trial.error + offset * (trial.residual_sum * 2 + offset * kN) - move * dot;
    const Affine border{scale + move, lanes_of(0), border_error, trial.code_squares};
    const Affine bound = choose(!regular & allowed(sign, shifted.offset), border, shifted);
    return choose(regular & allowed(sign, free.offset), bound, free);
}

// Start::place(step) is the part of a block's range that the codes span at first.
template <int kTop, class Start, int kCount>
Affine search_affine(const Blocks<kCount>& x, OffsetSign sign) {
    const Lanes zero = lanes_of(0);
    Range range = range_of(x);
    if (sign == OffsetSign::NotPositive) range.low = min(range.low, zero);
    if (sign == OffsetSign::NotNegative) range = {max(range.low, zero), max(range.high, zero)};
    const Lanes width = range.high - range.low;
    // All elements equal, or nothing but what the offset takes.
    Affine best = try_and_correct<kTop>(x, zero, range.low, sign);
    const auto consider = [&](const Lanes& scale, const Lanes& offset) {
        const Affine found = try_and_correct<kTop>(x, scale, offset, sign);
        best = choose(found.error < best.error, best, found);
    };
    for (int step = 0; step < Start::kSteps; ++step) {
        const float spanned = Start::place(step);
        const Lanes centred = range.low + width * ((1 - spanned) / 2);
        consider(width * (spanned / kTop), select(allowed(sign, centred), centred, zero));
        if (sign != OffsetSign::Any) consider(width * (spanned / kTop), range.low);
    }
    for (int round = 0; round < 3; ++round) consider(best.scale, best.offset);
    return best;
}

}  // namespace
}  // namespace quoin
