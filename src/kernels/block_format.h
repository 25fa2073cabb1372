// The block formats of GGUF as rows of one table: of how many bits a code is, what number a code means, and which
// scales go with it. Packing, unpacking and multiplication are written once and read these facts.
//
//   weight = scale x (code - offset) + minimum    or    scale x values[code] + minimum
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace quoin {

enum class Scales : uint8_t {
    Half,             // for every 32 values an f16
    HalfAndMinimum,   // for every 32 values an f16 scale and an f16 minimum
    Exponent,         // for every 32 values the power of two 2^(e - 128): half of E8M0 of OCP MX
    Sub32,            // one f16 for 256 values, times a signed byte for every 32
    Sub32AndMinimum,  // two f16 for 256 values, times a byte of scale and a byte of minimum for every 32
    Sub16,            // one f16 for 256 values, times a signed byte for every 16
    Sub16AndMinimum,  // two f16 for 256 values, times nibbles of scale (low) and minimum (high) for every 16
    One,              // one f16 for 256 values
};

// The numbers that codes stand for, where they are no evenly spaced ones.
struct Codebook {
    bool used;
    int8_t values[16];
};

struct BlockFormat {
    DType dtype;
    int low_bits;   // 8, 4 or 2: the low bits of a code, kept in a plane of their own
    int high_bits;  // 0, 1 or 2: the rest of it, in another plane
    int offset;     // 0, 1, 4, 8, 16, 32 or 128
    Scales scales;
    float unit;  // the f16 times this is the scale that goes with the codes' numbers
    Codebook values;
};

// IQ4_NL and IQ4_XS: quantiles of a bell-shaped distribution. MXFP4: twice the numbers of E2M1.
inline constexpr Codebook kEven = {};
inline constexpr Codebook kQuantiles = {true,
                                        {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}};
inline constexpr Codebook kE2M1 = {true, {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}};

// Magnitudes, then the same negative, of the formats with grids. IQ1: eight times -1, 0, 1 plus or minus an eighth.
inline constexpr Codebook kThreeOfIq2 = {true, {8, 25, 43, 0, -8, -25, -43, 0}};
inline constexpr Codebook kEightOfIq3Xxs = {true,
                                            {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62}};
inline constexpr Codebook kEightOfIq3S = {true, {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15}};
inline constexpr Codebook kThreeOfIq1 = {true, {-7, 1, 9, 0, -9, -1, 7, 0}};

inline constexpr BlockFormat kBlockFormats[] = {
    {DType::Q4_0, 4, 0, 8, Scales::Half, 1, kEven},
    {DType::Q4_1, 4, 0, 0, Scales::HalfAndMinimum, 1, kEven},
    {DType::Q5_0, 4, 1, 16, Scales::Half, 1, kEven},
    {DType::Q5_1, 4, 1, 0, Scales::HalfAndMinimum, 1, kEven},
    {DType::Q8_0, 8, 0, 128, Scales::Half, 1, kEven},
    {DType::Q2_K, 2, 0, 0, Scales::Sub16AndMinimum, 1, kEven},
    {DType::Q3_K, 2, 1, 4, Scales::Sub16, 1, kEven},
    {DType::Q4_K, 4, 0, 0, Scales::Sub32AndMinimum, 1, kEven},
    {DType::Q5_K, 4, 1, 0, Scales::Sub32AndMinimum, 1, kEven},
    {DType::Q6_K, 4, 2, 32, Scales::Sub16, 1, kEven},
    {DType::IQ4_NL, 4, 0, 0, Scales::Half, 1, kQuantiles},
    {DType::IQ4_XS, 4, 0, 0, Scales::Sub32, 1, kQuantiles},
    {DType::MXFP4, 4, 0, 0, Scales::Exponent, 1, kE2M1},
    {DType::IQ2_XXS, 2, 1, 0, Scales::Sub32, 0.125F, kThreeOfIq2},
    {DType::IQ2_XS, 2, 1, 0, Scales::Sub16, 0.125F, kThreeOfIq2},
    {DType::IQ2_S, 2, 1, 0, Scales::Sub16, 0.125F, kThreeOfIq2},
    {DType::IQ3_XXS, 4, 0, 0, Scales::Sub32, 0.25F, kEightOfIq3Xxs},
    {DType::IQ3_S, 4, 0, 0, Scales::Sub32, 1, kEightOfIq3S},
    {DType::IQ1_S, 2, 1, 0, Scales::Sub32, 0.125F, kThreeOfIq1},
    {DType::IQ1_M, 2, 1, 0, Scales::Sub16, 0.125F, kThreeOfIq1},
    {DType::TQ1_0, 2, 0, 1, Scales::One, 1, kEven},
    {DType::TQ2_0, 2, 0, 1, Scales::One, 1, kEven},
};

// The row of the table; null for dtypes that are no block format with kernels.
constexpr const BlockFormat* find_block_format(DType dtype) {
    for (const BlockFormat& format : kBlockFormats) {
        if (format.dtype == dtype) return &format;
    }
    return nullptr;
}

// Bytes of a block in the file.
constexpr int64_t file_block_bytes(DType dtype) {
    switch (dtype) {
#define QUOIN_DTYPE(enumerator, number, name, elements, bytes) \
    case DType::enumerator: return bytes;
        QUOIN_DTYPES(QUOIN_DTYPE)
#undef QUOIN_DTYPE
        default: return 0;
    }
}

// Values that share the scales: 32 or 256.
constexpr int64_t block_values(Scales scales) {
    return scales == Scales::Half || scales == Scales::HalfAndMinimum || scales == Scales::Exponent ? 32 : 256;
}
// Values with the same scale.
constexpr int64_t scale_values(Scales scales) {
    return scales == Scales::Sub16 || scales == Scales::Sub16AndMinimum ? 16 : 32;
}
constexpr bool has_minimum(Scales scales) {
    return scales == Scales::HalfAndMinimum || scales == Scales::Sub32AndMinimum || scales == Scales::Sub16AndMinimum;
}

// How the scales of one block of one column lie in a panel: `bytes` byte-sized ones, then `halves` f16.
struct ScaleLayout {
    int64_t bytes;
    int64_t halves;
};
constexpr ScaleLayout scale_layout(Scales scales) {
    switch (scales) {
        case Scales::Half: return {0, 1};
        case Scales::HalfAndMinimum: return {0, 2};
        case Scales::Exponent: return {1, 0};
        case Scales::Sub32: return {8, 1};
        case Scales::Sub32AndMinimum: return {16, 2};
        case Scales::Sub16: return {16, 1};
        case Scales::Sub16AndMinimum: return {16, 2};
        case Scales::One: return {0, 1};
    }
    return {0, 0};
}

// Bytes of codes for 32 values, and of a whole block with its scales, of one column.
constexpr int64_t code_bytes(const BlockFormat& format) {
    return int64_t{4} * (format.low_bits + format.high_bits);
}
constexpr int64_t block_bytes(const BlockFormat& format) {
    const ScaleLayout scales = scale_layout(format.scales);
    return block_values(format.scales) / 32 * code_bytes(format) + scales.bytes + 2 * scales.halves;
}

}  // namespace quoin
