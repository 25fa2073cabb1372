// Blocks as they lie in GGUF files, taken apart: plain loops over the definitions of ggml, one function for each
// format.

namespace quoin {
namespace {

// One block of one row. Of `codes` the first block_values() count; of the scales what the format has (scale_layout()).
struct DecodedBlock {
    uint8_t codes[256];
    uint8_t scales[16];  // signed ones as their bits
    uint8_t minima[16];
    uint16_t halves[2];  // scale, minimum
};

// Bytes eight at a time: the compiler makes whole vectors of loops over words, of loops over bytes only some.
constexpr uint64_t every_byte64(unsigned bits) {
    return 0x0101010101010101U * bits;
}
QUOIN_INLINE uint64_t read_word(const void* p) {
    uint64_t word;
    __builtin_memcpy(&word, p, sizeof(word));
    return word;
}
QUOIN_INLINE void write_word(uint8_t* p, uint64_t word) {
    __builtin_memcpy(p, &word, sizeof(word));
}

// 16 bytes of nibbles: the low ones are the first 16 values, the high ones the next.
QUOIN_INLINE void decode_nibbles(const std::byte* src, uint8_t* codes) {
    for (int i = 0; i < 16; ++i) {
        const auto byte = read<uint8_t>(src + i);
        codes[i] = byte & 15U;
        codes[i + 16] = static_cast<uint8_t>(byte >> 4);
    }
}
// Eight bits to bytes, as their bit number kBit.
template <int kBit>
QUOIN_INLINE uint64_t spread_bits(uint64_t bits) {
    const uint64_t each = bits * every_byte64(1) & 0x8040201008040201U;
    return (each + every_byte64(0x7F)) >> (7 - kBit) & every_byte64(1U << kBit);
}
// 4 bytes: bit i belongs to value i.
QUOIN_INLINE void add_fifth_bits(const std::byte* src, uint8_t* codes) {
    for (int i = 0; i < 4; ++i) {
        const uint64_t bits = spread_bits<4>(read<uint8_t>(src + i));
        write_word(codes + 8 * i, read_word(codes + 8 * i) | bits);
    }
}
// The twelve bytes of Q4_K and Q5_K: eight scales and eight minima of 6 bits.
QUOIN_INLINE void decode_six_bit_pairs(const std::byte* src, DecodedBlock& block) {
    for (int i = 0; i < 4; ++i) {
        const unsigned a = read<uint8_t>(src + i);
        const unsigned b = read<uint8_t>(src + 4 + i);
        const unsigned c = read<uint8_t>(src + 8 + i);
        block.scales[i] = a & 63U;
        block.minima[i] = b & 63U;
        block.scales[i + 4] = static_cast<uint8_t>((c & 15U) | ((a >> 6) << 4));
        block.minima[i + 4] = static_cast<uint8_t>((c >> 4) | ((b >> 6) << 4));
    }
}
// 64 bytes of two bits: 128 values share 32 bytes, value 32 j + l stands in bits 2j of byte l.
QUOIN_INLINE void decode_two_bits(const std::byte* src, uint8_t* codes) {
    for (int half = 0; half < 2; ++half, src += 32) {
        for (unsigned j = 0; j < 4; ++j) {
            for (int l = 0; l < 32; l += 8, codes += 8) {
                write_word(codes, read_word(src + l) >> (2 * j) & every_byte64(3));
            }
        }
    }
}

template <DType kType>
void decode_block(const std::byte* src, DecodedBlock& block);

template <>
void decode_block<DType::Q4_0>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    decode_nibbles(src + 2, block.codes);
}
template <>
void decode_block<DType::Q4_1>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    block.halves[1] = read<uint16_t>(src + 2);
    decode_nibbles(src + 4, block.codes);
}
template <>
void decode_block<DType::Q5_0>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    decode_nibbles(src + 6, block.codes);
    add_fifth_bits(src + 2, block.codes);
}
template <>
void decode_block<DType::Q5_1>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    block.halves[1] = read<uint16_t>(src + 2);
    decode_nibbles(src + 8, block.codes);
    add_fifth_bits(src + 4, block.codes);
}
template <>
void decode_block<DType::Q8_0>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (int i = 0; i < 32; ++i) block.codes[i] = read<uint8_t>(src + 2 + i) ^ 0x80U;
}
template <>
void decode_block<DType::Q2_K>(const std::byte* src, DecodedBlock& block) {
    for (int i = 0; i < 16; ++i) block.scales[i] = read<uint8_t>(src + i);  // minima in the high nibbles
    decode_two_bits(src + 16, block.codes);
    block.halves[0] = read<uint16_t>(src + 80);
    block.halves[1] = read<uint16_t>(src + 82);
}
template <>
void decode_block<DType::Q3_K>(const std::byte* src, DecodedBlock& block) {
    decode_two_bits(src + 32, block.codes);
    for (unsigned j = 0; j < 8; ++j) {
        for (unsigned l = 0; l < 32; l += 8) {
            uint8_t* const codes = block.codes + 32 * j + l;
            write_word(codes, read_word(codes) | (read_word(src + l) >> j & every_byte64(1)) << 2);
        }
    }
    for (unsigned i = 0; i < 16; ++i) {
        const unsigned low = read<uint8_t>(src + 96 + i % 8) >> (i / 8 * 4) & 15U;
        const unsigned high = read<uint8_t>(src + 104 + i % 4) >> (i / 4 * 2) & 3U;
        block.scales[i] = static_cast<uint8_t>((low | (high << 4)) - 32U);
    }
    block.halves[0] = read<uint16_t>(src + 108);
}
template <>
void decode_block<DType::Q4_K>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    block.halves[1] = read<uint16_t>(src + 2);
    decode_six_bit_pairs(src + 4, block);
    for (int j = 0; j < 4; ++j) {
        for (int l = 0; l < 32; ++l) {
            const auto byte = read<uint8_t>(src + 16 + 32 * j + l);
            block.codes[64 * j + l] = byte & 15U;
            block.codes[64 * j + 32 + l] = static_cast<uint8_t>(byte >> 4);
        }
    }
}
template <>
void decode_block<DType::Q5_K>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    block.halves[1] = read<uint16_t>(src + 2);
    decode_six_bit_pairs(src + 4, block);
    for (unsigned j = 0; j < 4; ++j) {
        for (unsigned l = 0; l < 32; ++l) {
            const unsigned byte = read<uint8_t>(src + 48 + 32 * j + l);
            const unsigned high = read<uint8_t>(src + 16 + l) >> (2 * j);
            block.codes[64 * j + l] = static_cast<uint8_t>((byte & 15U) | ((high & 1U) << 4));
            block.codes[64 * j + 32 + l] = static_cast<uint8_t>((byte >> 4) | ((high & 2U) << 3));
        }
    }
}
template <>
void decode_block<DType::Q6_K>(const std::byte* src, DecodedBlock& block) {
    for (int half = 0; half < 2; ++half) {
        const std::byte* const low = src + 64 * half;
        const std::byte* const high = src + 128 + 32 * half;
        uint8_t* const codes = block.codes + 128 * half;
        for (int l = 0; l < 32; ++l) {
            const unsigned a = read<uint8_t>(low + l);
            const unsigned b = read<uint8_t>(low + 32 + l);
            const unsigned h = read<uint8_t>(high + l);
            codes[l] = static_cast<uint8_t>((a & 15U) | ((h & 3U) << 4));
            codes[l + 32] = static_cast<uint8_t>((b & 15U) | ((h & 12U) << 2));
            codes[l + 64] = static_cast<uint8_t>((a >> 4) | (h & 48U));
            codes[l + 96] = static_cast<uint8_t>((b >> 4) | ((h & 192U) >> 2));
        }
    }
    for (int i = 0; i < 16; ++i) block.scales[i] = read<uint8_t>(src + 192 + i);
    block.halves[0] = read<uint16_t>(src + 208);
}
template <>
void decode_block<DType::IQ4_NL>(const std::byte* src, DecodedBlock& block) {
    decode_block<DType::Q4_0>(src, block);
}
template <>
void decode_block<DType::IQ4_XS>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    const unsigned high = read<uint16_t>(src + 2);
    for (unsigned i = 0; i < 8; ++i) {
        const unsigned low = read<uint8_t>(src + 4 + i / 2) >> (i % 2 * 4) & 15U;
        block.scales[i] = static_cast<uint8_t>((low | ((high >> (2 * i) & 3U) << 4)) - 32U);
        decode_nibbles(src + 8 + 16 * i, block.codes + 32 * i);
    }
}
template <>
void decode_block<DType::MXFP4>(const std::byte* src, DecodedBlock& block) {
    block.scales[0] = read<uint8_t>(src);
    decode_nibbles(src + 1, block.codes);
}
template <>
void decode_block<DType::TQ1_0>(const std::byte* src, DecodedBlock& block) {
    // A byte is a fraction of 256 with five digits of base 3 behind the point.
    constexpr unsigned kPowers[] = {1, 3, 9, 27, 81};
    const auto digits = [&](uint64_t bytes, unsigned power) QUOIN_LAMBDA_INLINE {
        const uint64_t rest = bytes * power & 0x00FF00FF00FF00FFU;
        return rest * 3 >> 8 & 0x00FF00FF00FF00FFU;
    };
    const auto decode = [&](const std::byte* from, int bytes, int count, uint8_t* codes) QUOIN_LAMBDA_INLINE {
        for (int n = 0; n < count; ++n) {
            for (int i = 0; i < bytes; i += 8) {
                const uint64_t word = read_word(from + i);
                const uint64_t odd = digits(word >> 8 & 0x00FF00FF00FF00FFU, kPowers[n]);
                write_word(codes + n * bytes + i, digits(word & 0x00FF00FF00FF00FFU, kPowers[n]) | odd << 8);
            }
        }
    };
    decode(src, 32, 5, block.codes);
    decode(src + 32, 16, 5, block.codes + 160);
    for (int n = 0; n < 4; ++n) {
        for (int i = 0; i < 4; ++i) {
            block.codes[240 + 4 * n + i] = static_cast<uint8_t>(digits(read<uint8_t>(src + 48 + i), kPowers[n]));
        }
    }
    block.halves[0] = read<uint16_t>(src + 52);
}
template <>
void decode_block<DType::TQ2_0>(const std::byte* src, DecodedBlock& block) {
    decode_two_bits(src, block.codes);
    block.halves[0] = read<uint16_t>(src + 64);
}

// ---- What the codes and scales mean ---------------------------------------------------------------------------

// 2^(e - 128), which for 0 and 1 is subnormal. 255, in OCP MX not a number, is 2^127 as in ggml.
QUOIN_INLINE float half_of_power(unsigned exponent) {
    return bits_to_float(exponent < 2 ? (exponent + 1) << 21 : (exponent - 1) << 23);
}

template <DType kType>
QUOIN_INLINE void dequantize_block(const DecodedBlock& block, float* dst) {
    constexpr BlockFormat kFormat = *find_block_format(kType);
    constexpr Scales kScales = kFormat.scales;
    constexpr int64_t kRun = scale_values(kScales);
    const float whole =
        kFormat.unit * (kScales == Scales::Exponent ? half_of_power(block.scales[0]) : f16_to_float(block.halves[0]));
    const float lowest = has_minimum(kScales) ? f16_to_float(block.halves[1]) : 0.0F;
    for (int64_t begin = 0; begin < block_values(kScales); begin += kRun) {
        const unsigned byte = block.scales[begin / kRun];
        float scale = whole;
        float minimum = lowest;
        if constexpr (kScales == Scales::Sub32 || kScales == Scales::Sub16) {
            scale = static_cast<float>(static_cast<int8_t>(byte)) * whole;
        } else if constexpr (kScales == Scales::Sub32AndMinimum) {
            scale = static_cast<float>(byte) * whole;
            minimum = -(static_cast<float>(block.minima[begin / kRun]) * lowest);
        } else if constexpr (kScales == Scales::Sub16AndMinimum) {
            scale = static_cast<float>(byte & 15U) * whole;
            minimum = -(static_cast<float>(byte >> 4) * lowest);
        }
        for (int64_t i = begin; i < begin + kRun; ++i) {
            const int number =
                !kFormat.values.used ? block.codes[i] - kFormat.offset : kFormat.values.values[block.codes[i] & 15U];
            const float value = static_cast<float>(number) * scale;
            dst[i] = has_minimum(kScales) ? value + minimum : value;
        }
    }
}

template <DType kType>
QUOIN_INLINE void dequantize_blocks(const std::byte* row, int64_t count, float* dst) {
    constexpr int64_t kValues = block_values(find_block_format(kType)->scales);
    const int64_t bytes = file_block_bytes(kType);
    for (int64_t k = 0; k < count; k += kValues, row += bytes) {
        DecodedBlock block;
        decode_block<kType>(row, block);
        dequantize_block<kType>(block, dst + k);
    }
}

}  // namespace
}  // namespace quoin
