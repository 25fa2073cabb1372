// Super-blocks of 256 with offsets: x = d x scale x code - dmin x minimum; small whole scales and minima for each
// sub-block, halves d and dmin for all: Q2_K, Q4_K, Q5_K. dmin may be negative, for weights that are all positive.

namespace quoin {
namespace {

// Lanes and groups as in ScaledSuperBlocks.
template <int top_code, int kSubBlock, int most_scale, class Start>
struct AffineSuperBlocks {
    static constexpr int kTop = top_code;
    static constexpr int kSize = kSubBlock;
    static constexpr int kGroup = kSuper / kSubBlock;
    static constexpr int kSupers = kLaneCount / kGroup;

    Lanes d;     // halves
    Lanes dmin;  // halves
    Lanes scales;
    Lanes minima;

    void search(const Blocks<kSize>& x);
    QUOIN_INLINE Lanes offsets() const { return -(dmin * minima); }

private:
    static QUOIN_INLINE Lanes whole(const Lanes& wanted) { return nearest_whole(clamp(wanted, 0, most_scale)); }
    static Lanes choose_unit(const Lanes& wanted, const Lanes& weights);
    void search_with(const Blocks<kSize>& x, OffsetSign sign);
    void consider(const Blocks<kSize>& x, const Lanes& unit, const Lanes& minimum_unit, const Lanes& start,
                  const Lanes& start_minima);
    void refit(const Blocks<kSize>& x);

    Lanes error_;
};

// What rounding to multiples of a unit costs, to second order; the least of some units around the largest / most_scale.
// `wanted` is not negative.
template <int T, int S, int most_scale, class Start>
Lanes AffineSuperBlocks<T, S, most_scale, Start>::choose_unit(const Lanes& wanted, const Lanes& weights) {
    const Lanes extreme = group_max<kGroup>(wanted);
    Lanes best = rounded_to_half(extreme * (1.0F / most_scale));
    Lanes best_cost = lanes_of(__builtin_inff());
    constexpr int kTries = most_scale < 32 ? 17 : 25;
    for (int attempt = 0; attempt < kTries; ++attempt) {
        // Half steps down from one beyond the largest whole number, so that the extreme may be cut a little.
        const float steps = most_scale + 1 - static_cast<float>(attempt) / 2;
        const Lanes unit = rounded_to_half(extreme * (1 / steps));
        const Lanes off = wanted - unit * whole(quotient(wanted, unit));
        const Lanes cost = group_sum<kGroup>(weights * off * off);
        const Mask improved = cost < best_cost;
        best = select(improved, unit, best);
        best_cost = select(improved, cost, best_cost);
    }
    return best;
}

// Takes two units where the scales and minima that fit them best, looked for around those given, give a smaller error
// than what there is.
template <int T, int S, int most_scale, class Start>
void AffineSuperBlocks<T, S, most_scale, Start>::consider(const Blocks<kSize>& x, const Lanes& unit,
                                                          const Lanes& minimum_unit, const Lanes& start,
                                                          const Lanes& start_minima) {
    Lanes scale = start;
    Lanes minimum = start_minima;
    AffineTrial trial = try_affine<kTop>(x, unit * scale, -(minimum_unit * minimum));
    Lanes best_error = trial.error;
    Lanes residual_sum = trial.residual_sum;
    const auto attempt = [&](const Lanes& other_scale, const Lanes& other_minimum) {
        const AffineTrial other = try_affine<kTop>(x, unit * other_scale, -(minimum_unit * other_minimum));
        const Mask improved = other.error < best_error;
        scale = select(improved, other_scale, scale);
        minimum = select(improved, other_minimum, minimum);
        best_error = select(improved, other.error, best_error);
        residual_sum = select(improved, other.residual_sum, residual_sum);
    };
    // The minimum that fits the codes.
    const auto follow_minimum = [&] {
        const Lanes move = quotient(residual_sum / -static_cast<float>(kSize), minimum_unit);
        attempt(scale, whole(minimum + move));
    };
    follow_minimum();
    follow_minimum();
    const Lanes middle = scale;
    const Lanes middle_minimum = minimum;
    // The scales next to it. A wider step reaches further down: half the codes' span keeps the middle where it is.
    for (const float move : {1.0F, -1.0F}) {
        const Lanes next = whole(middle + move);
        const Lanes shift = quotient(unit * (move * kTop / 2.0F), minimum_unit);
        attempt(next, whole(middle_minimum + shift));
        attempt(next, middle_minimum);
    }
    follow_minimum();
    for (const float move : {1.0F, -1.0F}) attempt(scale, whole(minimum + move));
    const Lanes total = group_sum<kGroup>(best_error);
    const Mask improved = total < error_;
    d = select(improved, unit, d);
    dmin = select(improved, minimum_unit, dmin);
    scales = select(improved, scale, scales);
    minima = select(improved, minimum, minima);
    error_ = select(improved, total, error_);
}

// With codes, scales and minima fixed, the two units of least squares; then everything around them again.
template <int T, int S, int most_scale, class Start>
void AffineSuperBlocks<T, S, most_scale, Start>::refit(const Blocks<kSize>& x) {
    const AffineTrial trial = try_affine<kTop>(x, d * scales, offsets());
    const Lanes by_scale = group_sum<kGroup>(scales * trial.residual_dot);
    const Lanes by_minimum = group_sum<kGroup>(-(minima * trial.residual_sum));
    const Lanes scale_squares = group_sum<kGroup>(scales * scales * trial.code_squares);
    const Lanes minimum_squares = group_sum<kGroup>(minima * minima * static_cast<float>(kSize));
    const Lanes products = group_sum<kGroup>(-(scales * minima * trial.code_sum));
    const Lanes determinant = scale_squares * minimum_squares - products * products;
    const Lanes move = (minimum_squares * by_scale - products * by_minimum) / determinant;
    const Lanes minimum_move = (scale_squares * by_minimum - products * by_scale) / determinant;
    // Where the two cannot be told apart, the scale alone.
    const Mask regular = scale_squares * minimum_squares * 1e-4F < determinant;
    const Lanes unit = d + select(regular, move, quotient(by_scale, scale_squares));
    const Lanes minimum_unit = dmin + select(regular, minimum_move, lanes_of(0));
    consider(x, rounded_to_half(unit), rounded_to_half(minimum_unit), scales, minima);
}

template <int T, int S, int most_scale, class Start>
void AffineSuperBlocks<T, S, most_scale, Start>::search_with(const Blocks<kSize>& x, OffsetSign sign) {
    const Lanes zero = lanes_of(0);
    const Affine wanted = search_affine<kTop, Start>(x, sign);
    // Positive offsets are negative minima, all of them: the sign is that of dmin.
    const float direction = sign == OffsetSign::NotPositive ? 1.0F : -1.0F;
    const Lanes wanted_scales = max(wanted.scale, zero);
    const Lanes wanted_minima = max(wanted.offset * -direction, zero);
    const auto settle = [&](const Lanes& unit, const Lanes& minimum_unit) {
        consider(x, unit, minimum_unit * direction, whole(quotient(wanted_scales, unit)),
                 whole(quotient(wanted_minima, minimum_unit)));
    };
    settle(choose_unit(wanted_scales, wanted.code_squares), choose_unit(wanted_minima, lanes_of(1)));
    settle(rounded_to_half(group_max<kGroup>(wanted_scales) * (1.0F / most_scale)),
           rounded_to_half(group_max<kGroup>(wanted_minima) * (1.0F / most_scale)));
    for (int round = 0; round < 3; ++round) refit(x);
}

template <int T, int S, int most_scale, class Start>
void AffineSuperBlocks<T, S, most_scale, Start>::search(const Blocks<kSize>& x) {
    const Lanes zero = lanes_of(0);
    d = zero;
    dmin = zero;
    scales = zero;
    minima = zero;
    error_ = group_sum<kGroup>(sum_of_squares(x));
    search_with(x, OffsetSign::NotPositive);
    // Positive offsets are worth a look when some sub-block has no negative element to speak of.
    const Range range = range_of(x);
    if (any(group_max<kGroup>(range.high) * (1.0F / 16) < range.low)) search_with(x, OffsetSign::NotNegative);
    if (any((d == zero) & (dmin == zero))) {  // the smallest units there are, when all others round to nothing
        consider(x, lanes_of(kLeastHalf), lanes_of(kLeastHalf), zero, zero);
        consider(x, lanes_of(kLeastHalf), lanes_of(-kLeastHalf), zero, zero);
    }
}

// What is written of one super-block.
struct AffineParts {
    float d;
    float dmin;
    int scales[16];
    int minima[16];
    const uint8_t* codes;
};

// Calls write(parts, dst) for each super-block.
template <class Supers, int kBytes, class Write>
QUOIN_INLINE void encode_affine_supers(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for (int64_t left = count / kSuper; left > 0; left -= Supers::kSupers) {
        Blocks<Supers::kSize> x;
        x.load_from(src, left * Supers::kGroup);
        Supers found;
        found.search(x);
        float units[kLaneCount];
        float minimum_units[kLaneCount];
        float scales[kLaneCount];
        float minima[kLaneCount];
        uint8_t codes[kLaneCount * Supers::kSize];
        store(units, found.d);
        store(minimum_units, found.dmin);
        store(scales, found.scales);
        store(minima, found.minima);
        write_affine_codes<Supers::kTop>(x, found.d * found.scales, found.offsets(), codes);
        for (int s = 0; s < Supers::kSupers && s < left; ++s) {
            const int first = s * Supers::kGroup;
            AffineParts parts{units[first], minimum_units[first], {}, {}, codes + s * kSuper};
            for (int j = 0; j < Supers::kGroup; ++j) {
                parts.scales[j] = static_cast<int>(scales[first + j]);
                parts.minima[j] = static_cast<int>(minima[first + j]);
            }
            write(parts, dst + s * kBytes);
        }
        src += kSuper * Supers::kSupers;
        dst += kBytes * Supers::kSupers;
    }
}

void encode_q2_k(const float* src, int64_t count, std::byte* dst) {
    using Supers = AffineSuperBlocks<3, 16, 15, Places<55, 105, 12>>;
    encode_affine_supers<Supers, 84>(src, count, dst, [](const AffineParts& parts, std::byte* to) {
        for (int j = 0; j < 16; ++j) to[j] = static_cast<std::byte>(parts.scales[j] | parts.minima[j] << 4);
        for (int i = 0; i < 64; ++i) {  // of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
            const uint8_t* const group = parts.codes + i / 32 * 128 + i % 32;
            to[16 + i] = static_cast<std::byte>(group[0] | group[32] << 2 | group[64] << 4 | group[96] << 6);
        }
        write_half(to + 80, parts.d);
        write_half(to + 82, parts.dmin);
    });
}

// Eight scales and eight minima of six bits in twelve bytes: the first four of each in the low bits of bytes 0-7; of
// the last four the low halves in bytes 8-11, the upper pairs in the top bits of bytes 0-7.
QUOIN_INLINE void write_six_bits(const AffineParts& parts, std::byte* dst) {
    for (int j = 0; j < 4; ++j) {
        const int late = parts.scales[j + 4];
        const int late_minimum = parts.minima[j + 4];
        dst[j] = static_cast<std::byte>(parts.scales[j] | late >> 4 << 6);
        dst[j + 4] = static_cast<std::byte>(parts.minima[j] | late_minimum >> 4 << 6);
        dst[j + 8] = static_cast<std::byte>((late & 15) | (late_minimum & 15) << 4);
    }
}
// Of each 64 elements the first 32 in the low, the others in the high halves of 32 bytes.
QUOIN_INLINE void write_nibbles_by_64(const uint8_t* codes, std::byte* dst) {
    for (int i = 0; i < kSuper / 2; ++i) {
        const uint8_t* const group = codes + i / 32 * 64 + i % 32;
        dst[i] = static_cast<std::byte>((group[0] & 15) | (group[32] & 15) << 4);
    }
}

void encode_q4_k(const float* src, int64_t count, std::byte* dst) {
    using Supers = AffineSuperBlocks<15, 32, 63, Places<76, 104, 12>>;
    encode_affine_supers<Supers, 144>(src, count, dst, [](const AffineParts& parts, std::byte* to) {
        write_half(to, parts.d);
        write_half(to + 2, parts.dmin);
        write_six_bits(parts, to + 4);
        write_nibbles_by_64(parts.codes, to + 16);
    });
}

void encode_q5_k(const float* src, int64_t count, std::byte* dst) {
    using Supers = AffineSuperBlocks<31, 32, 63, Places<86, 103, 12>>;
    encode_affine_supers<Supers, 176>(src, count, dst, [](const AffineParts& parts, std::byte* to) {
        write_half(to, parts.d);
        write_half(to + 2, parts.dmin);
        write_six_bits(parts, to + 4);
        std::byte* const fifth = to + 16;  // 32: bit b of byte i for element 32 b + i
        for (int i = 0; i < 32; ++i) fifth[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) fifth[i % 32] |= static_cast<std::byte>((parts.codes[i] >> 4) << (i / 32));
        write_nibbles_by_64(parts.codes, to + 48);
    });
}

}  // namespace
}  // namespace quoin
