// Super-blocks of 256 with offsets: x = d x scale x code - dmin x minimum; small whole scales and minima for each
// sub-block, halves d and dmin for all: Q2_K, Q4_K, Q5_K. dmin may be negative, for weights that are all positive.

namespace quoin {
namespace {

template <int top_code, int kSubBlock, int most_scale, class Start>
struct AffineSuperBlock {
    static constexpr int kTop = top_code;
    static constexpr int kSize = kSubBlock;
    static constexpr int kSubBlocks = kSuper / kSubBlock;
    static constexpr int kMost = most_scale;  // of scales and of minima

    struct Parts {
        int scale;
        int minimum;
    };
    uint16_t d = 0;
    uint16_t dmin = 0;
    Parts parts[kSubBlocks] = {};
    float error = 0;

    void search(const float* x);
    void codes(const float* x, uint8_t* out) const;

private:
    static uint16_t choose_unit(const float* wanted, const float* weights);
    void search_with(const float* x, OffsetSign sign);
    bool consider(const float* x, uint16_t scale_half, uint16_t minimum_half, const Parts* start);
    bool refit(const float* x);
};

// What rounding to multiples of a unit costs, to second order; the least of some units around the largest / kMost.
// `wanted` is not negative.
template <int T, int S, int M, class Start>
uint16_t AffineSuperBlock<T, S, M, Start>::choose_unit(const float* wanted, const float* weights) {
    float extreme = 0;
    for (int j = 0; j < kSubBlocks; ++j) extreme = greatest(extreme, wanted[j]);
    if (extreme == 0) return 0;
    uint16_t best = to_half(extreme / kMost);
    float best_cost = 0;
    bool any = false;
    constexpr int kTries = kMost < 32 ? 17 : 25;
    for (int attempt = 0; attempt < kTries; ++attempt) {
        // Half steps down from one beyond the largest whole number, so that the extreme may be cut a little.
        const float steps = kMost + 1 - static_cast<float>(attempt) / 2;
        const uint16_t half = to_half(extreme / steps);
        const float unit = half_to_float(half);
        if (unit == 0) continue;
        float cost = 0;
        for (int j = 0; j < kSubBlocks; ++j) {
            const int whole = nearest_int(wanted[j] / unit, 0, kMost);
            const float off = wanted[j] - unit * static_cast<float>(whole);
            cost += weights[j] * off * off;
        }
        if (any && cost >= best_cost) continue;
        any = true;
        best_cost = cost;
        best = half;
    }
    return best;
}

// Takes the two units if the scales and minima that fit them best, looked for around `start`, give a smaller error.
template <int T, int S, int M, class Start>
bool AffineSuperBlock<T, S, M, Start>::consider(const float* x, uint16_t scale_half, uint16_t minimum_half,
                                                const Parts* start) {
    const float unit = half_to_float(scale_half);
    const float minimum_unit = half_to_float(minimum_half);
    float total = 0;
    Parts chosen[kSubBlocks];
    for (int j = 0; j < kSubBlocks; ++j) {
        const float* const block = x + j * kSize;
        Parts best = start[j];
        float best_error = 0;
        bool any = false;
        AffineTrial best_trial{};
        const auto attempt = [&](Parts candidate) QUOIN_LAMBDA_INLINE {
            const AffineTrial trial = try_affine<kTop, kSize>(block, unit * static_cast<float>(candidate.scale),
                                                              -minimum_unit * static_cast<float>(candidate.minimum));
            if (any && trial.error >= best_error) return false;
            any = true;
            best_error = trial.error;
            best_trial = trial;
            best = candidate;
            return true;
        };
        attempt(start[j]);
        // The minimum that fits the codes, then the scales next to it with their minima.
        const auto follow_minimum = [&] {
            for (int round = 0; round < 3 && minimum_unit != 0; ++round) {
                const float move = -best_trial.residual_sum / (kSize * minimum_unit);
                const int minimum = nearest_int(static_cast<float>(best.minimum) + move, 0, kMost);
                if (minimum == best.minimum || !attempt({best.scale, minimum})) return;
            }
        };
        follow_minimum();
        const Parts middle = best;
        for (const int move : {1, -1}) {
            const int scale = clamp(middle.scale + move, 0, kMost);
            if (scale == middle.scale) continue;
            // A wider step reaches further down: about half the codes' span keeps the middle where it is.
            int shift = 0;
            if (minimum_unit != 0) {
                shift = nearest_int(unit * static_cast<float>(move) * (kTop / 2.0F) / minimum_unit, -kMost, kMost);
            }
            attempt({scale, clamp(middle.minimum + shift, 0, kMost)});
            if (shift != 0) attempt({scale, middle.minimum});
        }
        if (best.scale != middle.scale) follow_minimum();
        for (const int move : {1, -1}) {
            const int minimum = clamp(best.minimum + move, 0, kMost);
            if (minimum_unit != 0 && minimum != best.minimum) attempt({best.scale, minimum});
        }
        chosen[j] = best;
        total += best_error;
        if (total >= error) return false;
    }
    d = scale_half;
    dmin = minimum_half;
    error = total;
    for (int j = 0; j < kSubBlocks; ++j) parts[j] = chosen[j];
    return true;
}

// With codes, scales and minima fixed, the two units of least squares; then everything around them again.
template <int T, int S, int M, class Start>
bool AffineSuperBlock<T, S, M, Start>::refit(const float* x) {
    const float unit = half_to_float(d);
    const float minimum_unit = half_to_float(dmin);
    float by_scale = 0;    // residuals times scale x code
    float by_minimum = 0;  // residuals times -minimum
    float scale_squares = 0;
    float minimum_squares = 0;
    float products = 0;
    for (int j = 0; j < kSubBlocks; ++j) {
        const auto scale = static_cast<float>(parts[j].scale);
        const auto minimum = static_cast<float>(parts[j].minimum);
        const AffineTrial trial = try_affine<kTop, kSize>(x + j * kSize, unit * scale, -minimum_unit * minimum);
        by_scale += scale * trial.residual_dot;
        by_minimum -= minimum * trial.residual_sum;
        scale_squares += scale * scale * trial.code_squares;
        minimum_squares += minimum * minimum * kSize;
        products -= scale * minimum * trial.code_sum;
    }
    Parts start[kSubBlocks];
    for (int j = 0; j < kSubBlocks; ++j) start[j] = parts[j];
    const float determinant = scale_squares * minimum_squares - products * products;
    bool better = false;
    if (determinant > 1e-4F * scale_squares * minimum_squares) {
        const float move = (minimum_squares * by_scale - products * by_minimum) / determinant;
        const float minimum_move = (scale_squares * by_minimum - products * by_scale) / determinant;
        better = consider(x, to_half(unit + move), to_half(minimum_unit + minimum_move), start);
    }
    if (!better && scale_squares > 0) better = consider(x, to_half(unit + by_scale / scale_squares), dmin, start);
    if (!better && minimum_squares > 0) {
        better = consider(x, d, to_half(minimum_unit + by_minimum / minimum_squares), start);
    }
    return better;
}

template <int T, int S, int M, class Start>
void AffineSuperBlock<T, S, M, Start>::search_with(const float* x, OffsetSign sign) {
    float scales[kSubBlocks];
    float minima[kSubBlocks];
    float scale_weights[kSubBlocks];
    float minimum_weights[kSubBlocks];
    const float direction = sign == OffsetSign::NotPositive ? -1.0F : 1.0F;
    float largest_scale = 0;
    float largest_minimum = 0;
    for (int j = 0; j < kSubBlocks; ++j) {
        const Affine found = search_affine<kTop, kSize, Start>(x + j * kSize, sign);
        scales[j] = greatest(found.scale, 0);
        minima[j] = greatest(direction * found.offset, 0);
        scale_weights[j] = found.code_squares;
        minimum_weights[j] = kSize;
        largest_scale = greatest(largest_scale, scales[j]);
        largest_minimum = greatest(largest_minimum, minima[j]);
    }
    const auto settle = [&](uint16_t scale_half, uint16_t minimum_half) {
        const float unit = half_to_float(scale_half);
        const float minimum_unit = half_to_float(minimum_half);
        Parts start[kSubBlocks];
        for (int j = 0; j < kSubBlocks; ++j) {
            start[j].scale = unit == 0 ? 0 : nearest_int(scales[j] / unit, 0, kMost);
            start[j].minimum = minimum_unit == 0 ? 0 : nearest_int(minima[j] / minimum_unit, 0, kMost);
        }
        // Positive offsets are negative minima, all of them.
        const auto signed_half =
            static_cast<uint16_t>(sign == OffsetSign::NotNegative ? minimum_half | 0x8000U : minimum_half);
        return consider(x, scale_half, minimum_half == 0 ? minimum_half : signed_half, start);
    };
    bool better = settle(choose_unit(scales, scale_weights), choose_unit(minima, minimum_weights));
    better = settle(to_half(largest_scale / kMost), to_half(largest_minimum / kMost)) || better;
    for (int round = 0; round < 3 && better; ++round) better = refit(x);
}

template <int T, int S, int M, class Start>
void AffineSuperBlock<T, S, M, Start>::search(const float* x) {
    d = 0;
    dmin = 0;
    for (Parts& part : parts) part = {0, 0};
    error = sum_of_squares<kSuper>(x);
    if (error == 0) return;
    const Range range = range_of<kSuper>(x);
    search_with(x, OffsetSign::NotPositive);
    // Positive offsets are worth a look when some sub-block has no negative element to speak of.
    bool positive = false;
    for (int j = 0; j < kSubBlocks; ++j) positive = positive || range_of<kSize>(x + j * kSize).low > range.high / 16;
    if (positive) search_with(x, OffsetSign::NotNegative);
    if (error > 0 && d == 0 && dmin == 0) {  // the smallest units there are, when all others round to nothing
        const Parts start[kSubBlocks] = {};
        consider(x, 1, 1, start);
        consider(x, 1, 0x8001, start);
    }
}

template <int T, int S, int M, class Start>
void AffineSuperBlock<T, S, M, Start>::codes(const float* x, uint8_t* out) const {
    for (int j = 0; j < kSubBlocks; ++j) {
        const float scale = half_to_float(d) * static_cast<float>(parts[j].scale);
        const Lanes offset = lanes_of(-half_to_float(dmin) * static_cast<float>(parts[j].minimum));
        const Lanes inverse = lanes_of(scale == 0 ? 0 : 1 / scale);
        float values[kSize];
        for (int i = 0; i < kSize; i += kLaneCount) {
            const Lanes code = (load(x + j * kSize + i) - offset) * inverse;
            store(values + i, nearest_whole(max(min(code, lanes_of(kTop)), lanes_of(0))));
        }
        for (int i = 0; i < kSize; ++i) out[j * kSize + i] = static_cast<uint8_t>(values[i]);
    }
}

void encode_q2_k(const float* src, int64_t count, std::byte* dst) {
    using Super = AffineSuperBlock<3, 16, 15, Places<55, 105, 12>>;
    constexpr int kBytes = 84;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        alignas(64) float x[kSuper];
        uint8_t codes[kSuper];
        load_block<kSuper>(src + k, x);
        Super found;
        found.search(x);
        found.codes(x, codes);
        for (int j = 0; j < Super::kSubBlocks; ++j) {
            dst[j] = static_cast<std::byte>(found.parts[j].scale | found.parts[j].minimum << 4);
        }
        std::byte* const bits = dst + 16;  // 64: of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
        for (int i = 0; i < 64; ++i) bits[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) {
            bits[i / 128 * 32 + i % 32] |= static_cast<std::byte>(codes[i] << (i % 128 / 32 * 2));
        }
        write_half(dst + 80, found.d);
        write_half(dst + 82, found.dmin);
    }
}

// Eight scales and eight minima of six bits in twelve bytes: the first four of each in the low bits of bytes 0-7; of
// the last four the low halves in bytes 8-11, the upper pairs in the top bits of bytes 0-7.
template <class Parts>
QUOIN_INLINE void write_six_bits(const Parts* parts, std::byte* dst) {
    for (int j = 0; j < 4; ++j) {
        const Parts& early = parts[j];
        const Parts& late = parts[j + 4];
        dst[j] = static_cast<std::byte>(early.scale | late.scale >> 4 << 6);
        dst[j + 4] = static_cast<std::byte>(early.minimum | late.minimum >> 4 << 6);
        dst[j + 8] = static_cast<std::byte>((late.scale & 15) | (late.minimum & 15) << 4);
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
    using Super = AffineSuperBlock<15, 32, 63, Places<76, 104, 12>>;
    constexpr int kBytes = 144;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        alignas(64) float x[kSuper];
        uint8_t codes[kSuper];
        load_block<kSuper>(src + k, x);
        Super found;
        found.search(x);
        found.codes(x, codes);
        write_half(dst, found.d);
        write_half(dst + 2, found.dmin);
        write_six_bits(found.parts, dst + 4);
        write_nibbles_by_64(codes, dst + 16);
    }
}

void encode_q5_k(const float* src, int64_t count, std::byte* dst) {
    using Super = AffineSuperBlock<31, 32, 63, Places<86, 103, 12>>;
    constexpr int kBytes = 176;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        alignas(64) float x[kSuper];
        uint8_t codes[kSuper];
        load_block<kSuper>(src + k, x);
        Super found;
        found.search(x);
        found.codes(x, codes);
        write_half(dst, found.d);
        write_half(dst + 2, found.dmin);
        write_six_bits(found.parts, dst + 4);
        std::byte* const fifth = dst + 16;  // 32: bit b of byte i for element 32 b + i
        for (int i = 0; i < 32; ++i) fifth[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) fifth[i % 32] |= static_cast<std::byte>((codes[i] >> 4) << (i / 32));
        write_nibbles_by_64(codes, dst + 48);
    }
}

}  // namespace
}  // namespace quoin
