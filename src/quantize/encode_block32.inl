// Blocks of 32 with a scale of their own: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4.

namespace quoin {
namespace {

constexpr int kBlock = 32;

// Code i in the low, code i + 16 in the high half of byte i.
QUOIN_INLINE void write_nibbles(const uint8_t* codes, std::byte* dst) {
    for (int i = 0; i < kBlock / 2; ++i) {
        dst[i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + kBlock / 2] & 15) << 4);
    }
}
// Bit 4 of code i as bit i.
QUOIN_INLINE void write_fifth_bits(const uint8_t* codes, std::byte* dst) {
    uint32_t bits = 0;
    for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4 & 1) << i;
    __builtin_memcpy(dst, &bits, sizeof(bits));
}

// Scale, then what write(codes, dst) makes of the codes.
template <class Levels, int kBytes, class Write>
QUOIN_INLINE void encode_scaled(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for (int64_t k = 0; k < count; k += kBlock, dst += kBytes) {
        alignas(64) float x[kBlock];
        uint8_t codes[kBlock];
        load_block<kBlock>(src + k, x);
        const uint16_t scale = search_half_scale<Levels, kBlock>(x);
        write_indices<Levels, kBlock>(x, half_to_float(scale), codes);
        write_half(dst, scale);
        write(codes, dst + 2);
    }
}

void encode_q4_0(const float* src, int64_t count, std::byte* dst) {
    using Levels = WholeLevels<-8, 7, Places<84, 130, 14>>;
    encode_scaled<Levels, 18>(src, count, dst, write_nibbles);
}

void encode_q5_0(const float* src, int64_t count, std::byte* dst) {
    using Levels = WholeLevels<-16, 15, Places<92, 116, 14>>;
    encode_scaled<Levels, 22>(src, count, dst, [](const uint8_t* codes, std::byte* to) {
        write_fifth_bits(codes, to);
        write_nibbles(codes, to + 4);
    });
}

void encode_q8_0(const float* src, int64_t count, std::byte* dst) {
    // Without -128, as everybody writes it: kernels may rely on codes that have a negative.
    using Levels = WholeLevels<-127, 127, Places<98, 103, 12>>;
    encode_scaled<Levels, 34>(src, count, dst, [](const uint8_t* codes, std::byte* to) {
        for (int i = 0; i < kBlock; ++i) to[i] = static_cast<std::byte>(codes[i] - 127);
    });
}

void encode_iq4_nl(const float* src, int64_t count, std::byte* dst) {
    encode_scaled<CurvedLevels, 18>(src, count, dst, write_nibbles);
}

// ---- Scale and offset, both halves

// Both after rounding, which for a block far from zero matters more than the codes: the two halves are chosen by trial
// around the unrounded optimum.
template <int kTop, class Start>
QUOIN_INLINE void encode_affine_block(const float* x, uint16_t& scale_half, uint16_t& offset_half, uint8_t* codes) {
    const Range range = range_of<kBlock>(x);
    float best_error = 0;
    bool any = false;
    const auto consider = [&](uint16_t scale, uint16_t offset) QUOIN_LAMBDA_INLINE {
        const float error = try_affine<kTop, kBlock>(x, half_to_float(scale), half_to_float(offset)).error;
        if (any && error >= best_error) return false;
        any = true;
        best_error = error;
        scale_half = scale;
        offset_half = offset;
        return true;
    };
    // Where others place them.
    consider(to_half((range.high - range.low) / kTop), to_half(range.low));
    const Affine found = search_affine<kTop, kBlock, Start>(x, OffsetSign::Any);
    consider(to_half(found.scale), to_half(found.offset));
    // All elements equal: a code of 1 makes the scale a correction of the offset's rounding.
    const uint16_t low = to_half(range.low);
    if (range.high == range.low) consider(to_half(range.low - half_to_float(low)), low);
    for (int round = 0; round < 4; ++round) {
        // With one half fixed, the best other one by least squares.
        const float scale = half_to_float(scale_half);
        const float offset = half_to_float(offset_half);
        const AffineTrial trial = try_affine<kTop, kBlock>(x, scale, offset);
        bool moved = consider(scale_half, to_half(offset + trial.residual_sum / kBlock));
        if (trial.code_squares > 0) {
            moved = consider(to_half(scale + trial.residual_dot / trial.code_squares), offset_half) || moved;
        }
        if (!moved) break;
    }
    const float scale = half_to_float(scale_half);
    const float offset = half_to_float(offset_half);
    const Lanes inverse = lanes_of(scale == 0 ? 0 : 1 / scale);
    float values[kBlock];
    for (int i = 0; i < kBlock; i += kLaneCount) {
        const Lanes code = (load(x + i) - lanes_of(offset)) * inverse;
        store(values + i, nearest_whole(max(min(code, lanes_of(kTop)), lanes_of(0))));
    }
    for (int i = 0; i < kBlock; ++i) codes[i] = static_cast<uint8_t>(values[i]);
}

template <int kTop, class Start, int kBytes, class Write>
QUOIN_INLINE void encode_affine(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for (int64_t k = 0; k < count; k += kBlock, dst += kBytes) {
        alignas(64) float x[kBlock];
        uint8_t codes[kBlock];
        uint16_t scale = 0;
        uint16_t offset = 0;
        load_block<kBlock>(src + k, x);
        encode_affine_block<kTop, Start>(x, scale, offset, codes);
        write_half(dst, scale);
        write_half(dst + 2, offset);
        write(codes, dst + 4);
    }
}

void encode_q4_1(const float* src, int64_t count, std::byte* dst) {
    encode_affine<15, Places<76, 108, 14>, 20>(src, count, dst, write_nibbles);
}

void encode_q5_1(const float* src, int64_t count, std::byte* dst) {
    encode_affine<31, Places<86, 105, 14>, 24>(src, count, dst, [](const uint8_t* codes, std::byte* to) {
        write_fifth_bits(codes, to);
        write_nibbles(codes, to + 4);
    });
}

// ---- A power of two as the scale

// 2^exponent for exponents of floats, subnormal ones included.
QUOIN_INLINE float power_of_two(int exponent) {
    const uint32_t bits = exponent >= -126 ? static_cast<uint32_t>(exponent + 127) << 23 : 1U << (exponent + 149);
    return __builtin_bit_cast(float, bits);
}

void encode_mxfp4(const float* src, int64_t count, std::byte* dst) {
    constexpr int kBytes = 17;
    for (int64_t k = 0; k < count; k += kBlock, dst += kBytes) {
        alignas(64) float x[kBlock];
        uint8_t codes[kBlock];
        const Range range = range_of<kBlock>(src + k);
        const float extreme = greatest(range.high, -range.low);
        if (extreme == 0) {
            for (int i = 0; i < kBytes; ++i) dst[i] = std::byte{0};
            continue;
        }
        // The largest element is brought to 1 <= x < 2, so that squares neither vanish nor overflow; in two steps,
        // because the power may itself be no float.
        const uint32_t bits = __builtin_bit_cast(uint32_t, extreme);
        const int exponent = bits >> 23 != 0 ? static_cast<int>(bits >> 23) - 127 : -118 - __builtin_clz(bits);
        const Lanes first = lanes_of(power_of_two(-exponent / 2));
        const Lanes second = lanes_of(power_of_two(-exponent - -exponent / 2));
        for (int i = 0; i < kBlock; i += kLaneCount) store(x + i, load(src + k + i) * first * second);
        // Stored as exponent + 128; 255 is no number. The largest level is 12, so the largest element lies at 8 to 16
        // under the middle one.
        int best = 0;
        float best_error = 0;
        bool any = false;
        for (const int candidate : {-3, -2, -4}) {
            const int stored = exponent + candidate + 128;
            if (stored < 0 || stored > 254) continue;
            const float error = try_scale<TinyFloatLevels, kBlock>(x, power_of_two(candidate)).error;
            if (any && error >= best_error) continue;
            any = true;
            best_error = error;
            best = candidate;
        }
        if (!any) best = -128 - exponent;  // below the smallest scale
        write_indices<TinyFloatLevels, kBlock>(x, power_of_two(best), codes);
        dst[0] = static_cast<std::byte>(exponent + best + 128);
        write_nibbles(codes, dst + 1);
    }
}

}  // namespace
}  // namespace quoin
