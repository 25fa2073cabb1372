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

// Calls work(x, blocks, dst) for groups of up to sixteen blocks; dst is where the first of them goes.
template <int kCount, int kBytes, class Work>
QUOIN_INLINE void for_groups(const float* src, int64_t count, std::byte* dst, Work&& work) {
    for (int64_t left = count / kCount; left > 0; left -= kLaneCount) {
        Blocks<kCount> x;
        x.load_from(src, left);
        work(x, left < kLaneCount ? static_cast<int>(left) : kLaneCount, dst);
        src += kCount * kLaneCount;
        dst += kBytes * kLaneCount;
    }
}

// Scale, then what write(codes, dst) makes of a block's codes.
template <class Levels, int kBytes, class Write>
QUOIN_INLINE void encode_scaled(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for_groups<kBlock, kBytes>(src, count, dst, [&](const Blocks<kBlock>& x, int blocks, std::byte* to) {
        float scales[kLaneCount];
        uint8_t codes[kLaneCount * kBlock];
        const Lanes scale = search_half_scale<Levels>(x);
        store(scales, scale);
        write_indices<Levels>(x, scale, codes);
        for (int b = 0; b < blocks; ++b) {
            write_half(to + b * kBytes, scales[b]);
            write(codes + b * kBlock, to + b * kBytes + 2);
        }
    });
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
    // Without -128, as everybody writes it. Our kernels take it; those of other programs may rely on codes that have a
    // negative.
    using Levels = WholeLevels<-127, 127, Places<98, 103, 12>>;
    encode_scaled<Levels, 34>(src, count, dst, [](const uint8_t* codes, std::byte* to) {
        for (int i = 0; i < kBlock; ++i) to[i] = static_cast<std::byte>(codes[i] - 127);
    });
}

void encode_iq4_nl(const float* src, int64_t count, std::byte* dst) {
    encode_scaled<CurvedLevels, 18>(src, count, dst, write_nibbles);
}

// ---- Scale and offset, both halves

struct HalfAffine {
    Lanes scale;
    Lanes offset;
};

// Both after rounding, which for a block far from zero matters more than the codes: the two halves are chosen by trial
// around the unrounded optimum.
template <int kTop, class Start>
QUOIN_INLINE HalfAffine search_half_affine(const Blocks<kBlock>& x) {
    const Range range = range_of(x);
    // Where others place them.
    HalfAffine best{rounded_to_half((range.high - range.low) * (1.0F / kTop)), rounded_to_half(range.low)};
    Lanes best_error = try_affine<kTop>(x, best.scale, best.offset).error;
    const auto consider = [&](const Lanes& scale, const Lanes& offset) {
        const HalfAffine halves{rounded_to_half(scale), rounded_to_half(offset)};
        const Lanes error = try_affine<kTop>(x, halves.scale, halves.offset).error;
        const Mask improved = error < best_error;
        best = {select(improved, halves.scale, best.scale), select(improved, halves.offset, best.offset)};
        best_error = select(improved, error, best_error);
    };
    const Affine found = search_affine<kTop, Start>(x, OffsetSign::Any);
    consider(found.scale, found.offset);
    // All elements equal: a code of 1 makes the scale a correction of the offset's rounding.
    consider(range.low - rounded_to_half(range.low), range.low);
    for (int round = 0; round < 4; ++round) {
        // With one half fixed, the best other one by least squares.
        const AffineTrial trial = try_affine<kTop>(x, best.scale, best.offset);
        const HalfAffine middle = best;
        consider(middle.scale, middle.offset + trial.residual_sum / kBlock);
        consider(middle.scale + quotient(trial.residual_dot, trial.code_squares), middle.offset);
    }
    return best;
}

template <int kTop, class Start, int kBytes, class Write>
QUOIN_INLINE void encode_affine(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for_groups<kBlock, kBytes>(src, count, dst, [&](const Blocks<kBlock>& x, int blocks, std::byte* to) {
        float scales[kLaneCount];
        float offsets[kLaneCount];
        uint8_t codes[kLaneCount * kBlock];
        const HalfAffine found = search_half_affine<kTop, Start>(x);
        store(scales, found.scale);
        store(offsets, found.offset);
        write_affine_codes<kTop>(x, found.scale, found.offset, codes);
        for (int b = 0; b < blocks; ++b) {
            write_half(to + b * kBytes, scales[b]);
            write_half(to + b * kBytes + 2, offsets[b]);
            write(codes + b * kBlock, to + b * kBytes + 4);
        }
    });
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
    for (int64_t left = count / kBlock; left > 0; left -= kLaneCount) {
        const int blocks = left < kLaneCount ? static_cast<int>(left) : kLaneCount;
        // The largest element of each block is brought to 1 <= x < 2, so that squares neither vanish nor overflow.
        float scaled[kLaneCount * kBlock];
        int exponents[kLaneCount] = {};
        for (int b = 0; b < blocks; ++b) {
            float extreme = 0;
            for (int i = 0; i < kBlock; ++i) {
                const float size = __builtin_fabsf(src[b * kBlock + i]);
                extreme = size > extreme ? size : extreme;
            }
            const uint32_t bits = __builtin_bit_cast(uint32_t, extreme);
            if (bits == 0) {
                exponents[b] = -128;
            } else {
                exponents[b] = bits >> 23 != 0 ? static_cast<int>(bits >> 23) - 127 : -118 - __builtin_clz(bits);
            }
            // In two steps, because the power may itself be no float.
            const int half = -exponents[b] / 2;
            const float first = power_of_two(half);
            const float second = power_of_two(-exponents[b] - half);
            for (int i = 0; i < kBlock; ++i) scaled[b * kBlock + i] = src[b * kBlock + i] * first * second;
        }
        Blocks<kBlock> x;
        x.load_from(scaled, blocks);
        // Stored as exponent + 128; 255 is no number. The largest level is 12, so the largest element lies at 8 to 16
        // under the first one.
        float lowest[kLaneCount];
        float highest[kLaneCount];
        for (int b = 0; b < kLaneCount; ++b) {
            lowest[b] = power_of_two(exponents[b] < 0 ? -128 - exponents[b] : -128);
            highest[b] = power_of_two(126 - exponents[b] < 0 ? 126 - exponents[b] : 127);
        }
        Lanes best = lanes_of(0);
        Lanes best_error = lanes_of(0);
        for (const int candidate : {-3, -2, -4}) {
            const Lanes scale = min(max(lanes_of(power_of_two(candidate)), load(lowest)), load(highest));
            const Lanes error = try_scale<TinyFloatLevels>(x, scale).error;
            const Mask improved = candidate == -3 ? error <= error : error < best_error;
            best = select(improved, scale, best);
            best_error = select(improved, error, best_error);
        }
        float scales[kLaneCount];
        uint8_t codes[kLaneCount * kBlock];
        store(scales, best);
        write_indices<TinyFloatLevels>(x, best, codes);
        for (int b = 0; b < blocks; ++b) {
            const int exponent = static_cast<int>(__builtin_bit_cast(uint32_t, scales[b]) >> 23) - 127;
            dst[b * kBytes] = static_cast<std::byte>(exponent + exponents[b] + 128);
            write_nibbles(codes + b * kBlock, dst + b * kBytes + 1);
        }
        src += kBlock * kLaneCount;
        dst += kBytes * kLaneCount;
    }
}

}  // namespace
}  // namespace quoin
