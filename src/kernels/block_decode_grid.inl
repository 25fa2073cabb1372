// The formats of GGUF that name eight or four numbers together, as an entry of a grid (grids.inl), with signs beside
// it. Their codes: the number of a magnitude in the low bits, its sign (in IQ1 that of the delta) in the highest one,
// so the codebooks of block_format.h have the negative numbers in their second half.

namespace quoin {
namespace {

// Eight fields of two bits to bytes, the first in the lowest bits.
QUOIN_INLINE uint64_t spread_pairs(uint64_t fields) {
    fields = (fields | fields << 24) & 0x000000FF000000FFU;
    fields = (fields | fields << 12) & 0x000F000F000F000FU;
    return (fields | fields << 6) & 0x0303030303030303U;
}
// Four fields of four bits to bytes.
QUOIN_INLINE uint64_t spread_nibbles(uint64_t fields) {
    fields = (fields | fields << 8) & 0x00FF00FFU;
    return (fields | fields << 4) & 0x0F0F0F0FU;
}
// Seven signs; the eighth makes their number even.
QUOIN_INLINE uint64_t eighth_sign(unsigned signs) {
    unsigned parity = signs ^ signs >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return signs | (parity & 1U) << 7;
}
QUOIN_INLINE uint8_t odd_scale(unsigned scale) {
    return static_cast<uint8_t>(2 * scale + 1);
}
// Bytes of two scales of four bits.
QUOIN_INLINE void decode_odd_scales(const std::byte* src, int count, uint8_t* scales) {
    for (int i = 0; i < count / 2; ++i) {
        const unsigned both = read<uint8_t>(src + i);
        scales[2 * i] = odd_scale(both & 15U);
        scales[2 * i + 1] = odd_scale(both >> 4);
    }
}
QUOIN_INLINE void write_eight(DecodedBlock& block, unsigned index, uint64_t codes) {
    write_word(block.codes + 8 * index, codes);
}

template <>
QUOIN_INLINE void decode_block<DType::IQ2_XXS>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (unsigned i = 0; i < 8; ++i) {
        const auto entries = read<uint32_t>(src + 2 + 8 * i);
        const auto signs = read<uint32_t>(src + 6 + 8 * i);
        for (unsigned j = 0; j < 4; ++j) {
            write_eight(block, 4 * i + j,
                        spread_pairs(kGridIq2Xxs[entries >> (8 * j) & 255U]) |
                            spread_bits<2>(eighth_sign(signs >> (7 * j) & 127U)));
        }
        block.scales[i] = odd_scale(signs >> 28);
    }
}
template <>
QUOIN_INLINE void decode_block<DType::IQ2_XS>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned both = read<uint16_t>(src + 2 + 2 * i);
        write_eight(block, i, spread_pairs(kGridIq2Xs[both & 511U]) | spread_bits<2>(eighth_sign(both >> 9)));
    }
    decode_odd_scales(src + 66, 16, block.scales);
}
template <>
QUOIN_INLINE void decode_block<DType::IQ2_S>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned high = static_cast<unsigned>(read<uint8_t>(src + 66 + i / 4)) >> (i % 4 * 2) & 3U;
        const unsigned entry = read<uint8_t>(src + 2 + i) | high << 8;
        write_eight(block, i, spread_pairs(kGridIq2S[entry]) | spread_bits<2>(read<uint8_t>(src + 34 + i)));
    }
    decode_odd_scales(src + 74, 16, block.scales);
}
template <>
QUOIN_INLINE void decode_block<DType::IQ3_XXS>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (unsigned i = 0; i < 8; ++i) {
        const auto signs = read<uint32_t>(src + 66 + 4 * i);
        for (unsigned j = 0; j < 4; ++j) {
            const std::byte* const entries = src + 2 + 8 * i + 2 * j;
            write_eight(block, 4 * i + j,
                        spread_nibbles(kGridIq3Xxs[read<uint8_t>(entries)]) |
                            spread_nibbles(kGridIq3Xxs[read<uint8_t>(entries + 1)]) << 32 |
                            spread_bits<3>(eighth_sign(signs >> (7 * j) & 127U)));
        }
        block.scales[i] = odd_scale(signs >> 28);
    }
}
template <>
QUOIN_INLINE void decode_block<DType::IQ3_S>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned high = static_cast<unsigned>(read<uint8_t>(src + 66 + i / 4)) >> (i % 4 * 2);
        const unsigned first = read<uint8_t>(src + 2 + 2 * i) | (high & 1U) << 8;
        const unsigned second = read<uint8_t>(src + 3 + 2 * i) | (high & 2U) << 7;
        write_eight(block, i,
                    spread_nibbles(kGridIq3S[first]) | spread_nibbles(kGridIq3S[second]) << 32 |
                        spread_bits<3>(read<uint8_t>(src + 74 + i)));
    }
    decode_odd_scales(src + 106, 8, block.scales);
}
template <>
QUOIN_INLINE void decode_block<DType::IQ1_S>(const std::byte* src, DecodedBlock& block) {
    block.halves[0] = read<uint16_t>(src);
    for (unsigned i = 0; i < 8; ++i) {
        const unsigned high = read<uint16_t>(src + 34 + 2 * i);
        const uint64_t delta = (high >> 15) * 0x0404040404040404U;
        for (unsigned j = 0; j < 4; ++j) {
            const unsigned entry = read<uint8_t>(src + 2 + 4 * i + j) | (high >> (3 * j) & 7U) << 8;
            write_eight(block, 4 * i + j, spread_pairs(kGridIq1[entry]) | delta);
        }
        block.scales[i] = odd_scale(high >> 12 & 7U);
    }
}
template <>
QUOIN_INLINE void decode_block<DType::IQ1_M>(const std::byte* src, DecodedBlock& block) {
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned high = static_cast<unsigned>(read<uint8_t>(src + 32 + i / 2)) >> (i % 2 * 4);
        const unsigned entry = read<uint8_t>(src + i) | (high & 7U) << 8;
        write_eight(block, i, spread_pairs(kGridIq1[entry]) | (high >> 3 & 1U) * 0x0404040404040404U);
    }
    unsigned half = 0;  // four bits of it above each twelve bits of scales
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned word = read<uint16_t>(src + 48 + 2 * i);
        half |= word >> 12 << (4 * i);
        for (unsigned j = 0; j < 4; ++j) block.scales[4 * i + j] = odd_scale(word >> (3 * j) & 7U);
    }
    block.halves[0] = static_cast<uint16_t>(half);
}

}  // namespace
}  // namespace quoin
