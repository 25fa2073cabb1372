// How numbers lie in memory between the rooms: packed weights, quantised activations, KV pages.
// One layout serves every instruction set, so packed models can be saved once and mapped on any machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace quoin {

// ---- Packed weights -------------------------------------------------------------------------------------------
// A weight [N, K] is stored as ceil(N / 32) panels; a panel holds kPanelColumns output columns (rows of the file's
// weight), the last one padded with zeros. "Column" below is the index of the output within its panel.
//
//   f32   [K][32]
//   f16   [K][32]
//   bf16  [ceil(K / 2)][32][2]      pairs of K side by side, as dot products of bf16 pairs want them
//   q8_0  per block of 32 K: bytes [8][32][4] (4 consecutive K in one 32-bit lane) of value + 128, then 32 f16 scales
//         (unsigned, because the byte dot products of x86 want one unsigned side)
//   q4_0  per block of 32 K: bytes [4][32][4]; group g, byte j of a lane holds K = 4g + j in the low nibble and
//         K = 16 + 4g + j in the high nibble (the nibbles of the file: value + 8), then 32 f16 scales
inline constexpr int64_t kPanelColumns = 32;

constexpr int64_t panel_count(int64_t columns) {
    return (columns + kPanelColumns - 1) / kPanelColumns;
}

// Bytes of one panel; 0 for dtypes that have no packed layout. Block formats need K in whole blocks.
constexpr int64_t panel_bytes(DType dtype, int64_t inner) {
    switch (dtype) {
        case DType::F32: return inner * kPanelColumns * 4;
        case DType::F16: return inner * kPanelColumns * 2;
        case DType::BF16: return (inner + 1) / 2 * kPanelColumns * 4;
        case DType::Q8_0: return inner / 32 * kPanelColumns * 34;
        case DType::Q4_0: return inner / 32 * kPanelColumns * 18;
        default: return 0;
    }
}

// What a Linear of this weight dtype reads as its left operand: f32 rows or Q8Row.
constexpr DType activation_dtype(DType weight) {
    return weight == DType::Q8_0 || weight == DType::Q4_0 ? DType::Q8Row : DType::F32;
}

// ---- Quantised activations (DType::Q8Row) ---------------------------------------------------------------------
// One row of K values, K in whole blocks of 32. A block is 40 bytes: float scale, int32 offset = -128 x the sum of the
// values, int8 values[32] in -127..127. scale = max|x| / 127, value = round to nearest even (x / scale). Everything a
// dot product needs of a row stands behind one pointer; the offset is what takes value + 128 weights back to signed.
inline constexpr int64_t kActivationBlock = 32;
inline constexpr int64_t kActivationBlockBytes = 40;

constexpr int64_t activation_row_bytes(int64_t inner) {
    return inner / kActivationBlock * kActivationBlockBytes;
}

// ---- KV pages -------------------------------------------------------------------------------------------------
// A page holds kPageTokens tokens of one layer, for each key/value head in turn:
//   keys    [head_size][32]      a panel whose columns are tokens, so scores are a Linear over head_size
//   values  [32][head_size]      rows are tokens, so the weighted sum is a Linear over tokens
// in f32 or f16. The cache tensors are [pages, kv_heads, head_size, 32] and [pages, kv_heads, 32, head_size].
inline constexpr int64_t kPageTokens = 32;

}  // namespace quoin
