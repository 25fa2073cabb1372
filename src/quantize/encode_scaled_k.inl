// Super-blocks of 256 without offsets: x = d x scale x level, a small whole scale for each sub-block and a half d for
// all: Q3_K, Q6_K, IQ4_XS.

namespace quoin {
namespace {

constexpr int kSuper = 256;

// A lane is a sub-block; the sixteen of one super-block, or the eight of each of two, are a group. What belongs to a
// super-block stands in all lanes of its group.
template <class LevelsOf, int kSubBlock, int low_scale, int high_scale>
struct ScaledSuperBlocks {
    using Levels = LevelsOf;
    static constexpr int kSize = kSubBlock;
    static constexpr int kGroup = kSuper / kSubBlock;
    static constexpr int kSupers = kLaneCount / kGroup;

    Lanes d;  // halves
    Lanes scales;

    void search(const Blocks<kSize>& x);

private:
    static QUOIN_INLINE Lanes whole(const Lanes& wanted, const Lanes& unit) {
        return nearest_whole(clamp(quotient(wanted, unit), low_scale, high_scale));
    }
    static Lanes choose_unit(const Scale& wanted, const Lanes& extreme);
    void consider(const Blocks<kSize>& x, const Lanes& unit, const Lanes& start);

    Lanes error_;
};

// What rounding the scales to multiples of a unit costs, to second order; the least of some units around the largest.
template <class L, int S, int low_scale, int high_scale>
Lanes ScaledSuperBlocks<L, S, low_scale, high_scale>::choose_unit(const Scale& wanted, const Lanes& extreme) {
    Lanes best = rounded_to_half(extreme * (1.0F / low_scale));
    Lanes best_cost = lanes_of(__builtin_inff());
    // The largest scale on each of the outermost whole numbers, of both signs.
    constexpr int kPlaces = 12;
    for (int attempt = 0; attempt < 2 * kPlaces; ++attempt) {
        const int steps = attempt % 2 == 0 ? low_scale + attempt / 2 : high_scale - attempt / 2;
        const Lanes unit = rounded_to_half(extreme * (1.0F / static_cast<float>(steps)));
        const Lanes off = wanted.value - unit * whole(wanted.value, unit);
        const Lanes cost = group_sum<kGroup>(wanted.weight * off * off);
        const Mask improved = cost < best_cost;
        best = select(improved, unit, best);
        best_cost = select(improved, cost, best_cost);
    }
    return best;
}

// Takes a unit where the scales that fit it best, looked for around `start`, give a smaller error than what there is.
template <class L, int S, int low_scale, int high_scale>
void ScaledSuperBlocks<L, S, low_scale, high_scale>::consider(const Blocks<kSize>& x, const Lanes& unit,
                                                              const Lanes& start) {
    Lanes chosen = start;
    Lanes chosen_error = try_scale<Levels>(x, unit * start).error;
    for (const float move : {1.0F, -1.0F}) {
        const Lanes scale = clamp(start + move, low_scale, high_scale);
        const Lanes error = try_scale<Levels>(x, unit * scale).error;
        const Mask improved = error < chosen_error;
        chosen = select(improved, scale, chosen);
        chosen_error = select(improved, error, chosen_error);
    }
    const Lanes total = group_sum<kGroup>(chosen_error);
    const Mask improved = total < error_;
    d = select(improved, unit, d);
    scales = select(improved, chosen, scales);
    error_ = select(improved, total, error_);
}

template <class L, int S, int low_scale, int high_scale>
void ScaledSuperBlocks<L, S, low_scale, high_scale>::search(const Blocks<kSize>& x) {
    d = lanes_of(0);
    scales = lanes_of(0);
    error_ = group_sum<kGroup>(sum_of_squares(x));
    const Scale wanted = search_scale<Levels>(x);
    // The scale farthest from zero, with its sign.
    const Lanes most = group_max<kGroup>(wanted.value);
    const Lanes least = -group_max<kGroup>(-wanted.value);
    const Lanes extreme = select(-least < most, most, least);
    const auto settle = [&](const Lanes& unit) { consider(x, unit, whole(wanted.value, unit)); };
    settle(choose_unit(wanted, extreme));
    settle(rounded_to_half(extreme * (1.0F / low_scale)));
    if (any(d == lanes_of(0))) settle(lanes_of(kLeastHalf));  // when all others round to nothing
    // With scales and levels fixed, the unit of least squares; then everything around it again.
    for (int round = 0; round < 3; ++round) {
        const ScaleTrial trial = try_scale<Levels>(x, d * scales);
        const Lanes dot = group_sum<kGroup>(scales * trial.residual_dot);
        const Lanes squares = group_sum<kGroup>(scales * scales * trial.level_dot);
        consider(x, rounded_to_half(d + quotient(dot, squares)), scales);
    }
}

// What is written of one super-block.
struct ScaledParts {
    float d;
    int scales[16];
    const uint8_t* codes;
};

// Calls write(parts, dst) for each super-block.
template <class Supers, int kBytes, class Write>
QUOIN_INLINE void encode_scaled_supers(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for (int64_t left = count / kSuper; left > 0; left -= Supers::kSupers) {
        Blocks<Supers::kSize> x;
        x.load_from(src, left * Supers::kGroup);
        Supers found;
        found.search(x);
        float units[kLaneCount];
        float scales[kLaneCount];
        uint8_t codes[kLaneCount * Supers::kSize];
        store(units, found.d);
        store(scales, found.scales);
        write_indices<typename Supers::Levels>(x, found.d * found.scales, codes);
        for (int s = 0; s < Supers::kSupers && s < left; ++s) {
            ScaledParts parts{units[s * Supers::kGroup], {}, codes + s * kSuper};
            for (int j = 0; j < Supers::kGroup; ++j) parts.scales[j] = static_cast<int>(scales[s * Supers::kGroup + j]);
            write(parts, dst + s * kBytes);
        }
        src += kSuper * Supers::kSupers;
        dst += kBytes * Supers::kSupers;
    }
}

void encode_q3_k(const float* src, int64_t count, std::byte* dst) {
    using Supers = ScaledSuperBlocks<WholeLevels<-4, 3, Places<76, 170, 14>>, 16, -32, 31>;
    encode_scaled_supers<Supers, 110>(src, count, dst, [](const ScaledParts& parts, std::byte* to) {
        std::byte* const high_bits = to;      // 32: bit b of byte i for element 32 b + i
        std::byte* const low_bits = to + 32;  // 64: of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
        std::byte* const scale_bits = to + 96;  // 12: low halves of scales 0-7 and 8-15, then upper pairs
        for (int i = 0; i < 108; ++i) to[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) {
            const int code = parts.codes[i];
            high_bits[i % 32] |= static_cast<std::byte>((code >> 2) << (i / 32));
            low_bits[i / 128 * 32 + i % 32] |= static_cast<std::byte>((code & 3) << (i % 128 / 32 * 2));
        }
        for (int j = 0; j < Supers::kGroup; ++j) {
            const int scale = parts.scales[j] + 32;
            scale_bits[j % 8] |= static_cast<std::byte>((scale & 15) << (j / 8 * 4));
            scale_bits[8 + j % 4] |= static_cast<std::byte>((scale >> 4) << (j / 4 * 2));
        }
        write_half(to + 108, parts.d);
    });
}

void encode_q6_k(const float* src, int64_t count, std::byte* dst) {
    using Supers = ScaledSuperBlocks<WholeLevels<-32, 31, Places<96, 108, 10>>, 16, -128, 127>;
    encode_scaled_supers<Supers, 210>(src, count, dst, [](const ScaledParts& parts, std::byte* to) {
        std::byte* const low = to;         // 128: of each 128 elements, rows 0, 1 in the low and 2, 3 in the high half
        std::byte* const high = to + 128;  // 64: of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
        for (int i = 0; i < 192; ++i) to[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) {
            const int code = parts.codes[i];
            low[i / 128 * 64 + i % 64] |= static_cast<std::byte>((code & 15) << (i % 128 / 64 * 4));
            high[i / 128 * 32 + i % 32] |= static_cast<std::byte>((code >> 4) << (i % 128 / 32 * 2));
        }
        for (int j = 0; j < Supers::kGroup; ++j) to[192 + j] = static_cast<std::byte>(parts.scales[j]);
        write_half(to + 208, parts.d);
    });
}

void encode_iq4_xs(const float* src, int64_t count, std::byte* dst) {
    using Supers = ScaledSuperBlocks<CurvedLevels, 32, -32, 31>;
    encode_scaled_supers<Supers, 136>(src, count, dst, [](const ScaledParts& parts, std::byte* to) {
        uint16_t high = 0;
        for (int i = 4; i < 8; ++i) to[i] = std::byte{0};
        for (int j = 0; j < Supers::kGroup; ++j) {
            const int scale = parts.scales[j] + 32;
            to[4 + j / 2] |= static_cast<std::byte>((scale & 15) << (j % 2 * 4));
            high = static_cast<uint16_t>(high | (scale >> 4) << (2 * j));
            write_nibbles(parts.codes + j * kBlock, to + 8 + j * kBlock / 2);
        }
        write_half(to, parts.d);
        __builtin_memcpy(to + 2, &high, sizeof(high));
    });
}

}  // namespace
}  // namespace quoin
