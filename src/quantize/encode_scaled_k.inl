// Super-blocks of 256 without offsets: x = d x scale x level, a small whole scale for each sub-block and a half d for
// all: Q3_K, Q6_K, IQ4_XS.

namespace quoin {
namespace {

constexpr int kSuper = 256;

template <class LevelsOf, int kSubBlock, int low_scale, int high_scale>
struct ScaledSuperBlock {
    using Levels = LevelsOf;
    static constexpr int kSize = kSubBlock;
    static constexpr int kSubBlocks = kSuper / kSubBlock;
    static constexpr int kLowScale = low_scale;
    static constexpr int kHighScale = high_scale;

    uint16_t d = 0;
    int scales[kSubBlocks] = {};
    float error = 0;

    void search(const float* x);
    // The numbers of the levels of all elements.
    void indices(const float* x, uint8_t* out) const {
        const float unit = half_to_float(d);
        for (int j = 0; j < kSubBlocks; ++j) {
            write_indices<Levels, kSize>(x + j * kSize, unit * static_cast<float>(scales[j]), out + j * kSize);
        }
    }

private:
    static uint16_t choose_unit(const Scale* wanted);
    void settle(const float* x, const Scale* wanted, uint16_t unit);
    void consider(const float* x, uint16_t unit, const int* start);
};

// What rounding the scales to multiples of a unit costs, to second order; the least of some units around the largest.
template <class L, int S, int low, int high>
uint16_t ScaledSuperBlock<L, S, low, high>::choose_unit(const Scale* wanted) {
    float extreme = 0;
    for (int j = 0; j < kSubBlocks; ++j) {
        if (magnitude(wanted[j].value) > magnitude(extreme)) extreme = wanted[j].value;
    }
    if (extreme == 0) return 0;
    uint16_t best = to_half(extreme / kLowScale);
    float best_cost = 0;
    bool any = false;
    constexpr int kTries = 24;
    for (int attempt = 0; attempt < kTries; ++attempt) {
        // The largest scale on each of the outermost whole numbers, of both signs.
        const int place = attempt / 2;
        const int steps = attempt % 2 == 0 ? kLowScale + place : kHighScale - place;
        const uint16_t half = to_half(extreme / static_cast<float>(steps));
        const float unit = half_to_float(half);
        if (unit == 0) continue;
        float cost = 0;
        for (int j = 0; j < kSubBlocks; ++j) {
            const int whole = nearest_int(wanted[j].value / unit, kLowScale, kHighScale);
            const float off = wanted[j].value - unit * static_cast<float>(whole);
            cost += wanted[j].weight * off * off;
        }
        if (any && cost >= best_cost) continue;
        any = true;
        best_cost = cost;
        best = half;
    }
    return best;
}

// Takes `unit` if the scales that fit it best, looked for around `start`, give a smaller error than what there is.
template <class L, int S, int low, int high>
void ScaledSuperBlock<L, S, low, high>::consider(const float* x, uint16_t half, const int* start) {
    const float unit = half_to_float(half);
    float total = 0;
    int chosen[kSubBlocks];
    for (int j = 0; j < kSubBlocks; ++j) {
        int best = 0;
        float best_error = 0;
        bool any = false;
        for (const int move : {0, 1, -1}) {
            const int scale = clamp(start[j] + move, kLowScale, kHighScale);
            if (move != 0 && scale == start[j]) continue;
            const float found = try_scale<Levels, kSize>(x + j * kSize, unit * static_cast<float>(scale)).error;
            if (any && found >= best_error) continue;
            any = true;
            best_error = found;
            best = scale;
        }
        chosen[j] = best;
        total += best_error;
        if (total >= error) return;
    }
    d = half;
    error = total;
    for (int j = 0; j < kSubBlocks; ++j) scales[j] = chosen[j];
}

template <class L, int S, int low, int high>
void ScaledSuperBlock<L, S, low, high>::settle(const float* x, const Scale* wanted, uint16_t half) {
    int start[kSubBlocks];
    const float unit = half_to_float(half);
    if (unit == 0) return;
    for (int j = 0; j < kSubBlocks; ++j) {
        start[j] = nearest_int(wanted[j].value / unit, kLowScale, kHighScale);
    }
    consider(x, half, start);
}

template <class L, int S, int low, int high>
void ScaledSuperBlock<L, S, low, high>::search(const float* x) {
    d = 0;
    for (int& scale : scales) scale = 0;
    error = sum_of_squares<kSuper>(x);
    if (error == 0) return;
    Scale wanted[kSubBlocks];
    float extreme = 0;
    for (int j = 0; j < kSubBlocks; ++j) {
        wanted[j] = search_scale<Levels, kSize>(x + j * kSize);
        if (magnitude(wanted[j].value) > magnitude(extreme)) extreme = wanted[j].value;
    }
    settle(x, wanted, choose_unit(wanted));
    settle(x, wanted, to_half(extreme / kLowScale));
    if (d == 0) settle(x, wanted, 1);
    // With scales and levels fixed, the unit of least squares; then everything around it again.
    for (int round = 0; round < 3 && d != 0; ++round) {
        const float unit = half_to_float(d);
        float dot = 0;
        float squares = 0;
        for (int j = 0; j < kSubBlocks; ++j) {
            const auto scale = static_cast<float>(scales[j]);
            const ScaleTrial trial = try_scale<Levels, kSize>(x + j * kSize, unit * scale);
            dot += scale * trial.residual_dot;
            squares += scale * scale * trial.level_dot;
        }
        if (squares == 0) break;
        const float before = error;
        const uint16_t half = to_half(unit + dot / squares);
        int start[kSubBlocks];
        for (int j = 0; j < kSubBlocks; ++j) start[j] = scales[j];
        consider(x, half, start);
        if (error >= before) break;
    }
}

void encode_q3_k(const float* src, int64_t count, std::byte* dst) {
    using Super = ScaledSuperBlock<WholeLevels<-4, 3, Places<76, 170, 14>>, 16, -32, 31>;
    constexpr int kBytes = 110;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        alignas(64) float x[kSuper];
        uint8_t codes[kSuper];
        load_block<kSuper>(src + k, x);
        Super found;
        found.search(x);
        found.indices(x, codes);
        std::byte* const high_bits = dst;      // 32: bit b of byte i for element 32 b + i
        std::byte* const low_bits = dst + 32;  // 64: of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
        std::byte* const scale_bits = dst + 96;  // 12: low halves of scales 0-7 and 8-15, then upper pairs
        for (int i = 0; i < 108; ++i) dst[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) {
            high_bits[i % 32] |= static_cast<std::byte>((codes[i] >> 2) << (i / 32));
            low_bits[i / 128 * 32 + i % 32] |= static_cast<std::byte>((codes[i] & 3) << (i % 128 / 32 * 2));
        }
        for (int j = 0; j < Super::kSubBlocks; ++j) {
            const int scale = found.scales[j] + 32;
            scale_bits[j % 8] |= static_cast<std::byte>((scale & 15) << (j / 8 * 4));
            scale_bits[8 + j % 4] |= static_cast<std::byte>((scale >> 4) << (j / 4 * 2));
        }
        write_half(dst + 108, found.d);
    }
}

void encode_q6_k(const float* src, int64_t count, std::byte* dst) {
    using Super = ScaledSuperBlock<WholeLevels<-32, 31, Places<96, 108, 10>>, 16, -128, 127>;
    constexpr int kBytes = 210;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        alignas(64) float x[kSuper];
        uint8_t codes[kSuper];
        load_block<kSuper>(src + k, x);
        Super found;
        found.search(x);
        found.indices(x, codes);
        std::byte* const low = dst;         // 128: of each 128 elements, rows 0, 1 in the low and 2, 3 in the high half
        std::byte* const high = dst + 128;  // 64: of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
        for (int i = 0; i < 192; ++i) dst[i] = std::byte{0};
        for (int i = 0; i < kSuper; ++i) {
            const int half = i / 128;
            low[half * 64 + i % 64] |= static_cast<std::byte>((codes[i] & 15) << (i % 128 / 64 * 4));
            high[half * 32 + i % 32] |= static_cast<std::byte>((codes[i] >> 4) << (i % 128 / 32 * 2));
        }
        for (int j = 0; j < Super::kSubBlocks; ++j) dst[192 + j] = static_cast<std::byte>(found.scales[j]);
        write_half(dst + 208, found.d);
    }
}

void encode_iq4_xs(const float* src, int64_t count, std::byte* dst) {
    using Super = ScaledSuperBlock<CurvedLevels, 32, -32, 31>;
    constexpr int kBytes = 136;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        alignas(64) float x[kSuper];
        uint8_t codes[kSuper];
        load_block<kSuper>(src + k, x);
        Super found;
        found.search(x);
        found.indices(x, codes);
        uint16_t high = 0;
        for (int i = 4; i < 8; ++i) dst[i] = std::byte{0};
        for (int j = 0; j < Super::kSubBlocks; ++j) {
            const int scale = found.scales[j] + 32;
            dst[4 + j / 2] |= static_cast<std::byte>((scale & 15) << (j % 2 * 4));
            high = static_cast<uint16_t>(high | (scale >> 4) << (2 * j));
            write_nibbles(codes + j * kBlock, dst + 8 + j * kBlock / 2);
        }
        write_half(dst, found.d);
        write_half(dst + 2, high);
    }
}

}  // namespace
}  // namespace quoin
