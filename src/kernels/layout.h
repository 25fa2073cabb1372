// How numbers lie in memory between the rooms: packed weights, quantised activations, KV pages.
// One layout serves every instruction set, so packed models can be saved once and mapped on any machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "kernels/block_format.h"

namespace quoin {

// ---- Packed weights -------------------------------------------------------------------------------------------
// A weight [N, K] is stored as ceil(N / 32) panels; a panel holds kPanelColumns output columns (rows of the file's
// weight), the last one padded with zeros. "Column" below is the index of the output within its panel.
//
//   f32   [K][32]
//   f16   [K][32]
//   bf16  [ceil(K / 2)][32][2]      pairs of K side by side, as dot products of bf16 pairs want them
//   block formats (block_format.h)  [K / block], each block:
//         codes   for every 32 values the plane of the low bits, then that of the high bits. A plane is rows of 32
//                 lanes of 4 bytes, a lane holds 4 consecutive K ("group" g: K = 4g .. 4g + 3) of its column:
//                   8 bits  8 rows, row g: group g
//                   4 bits  4 rows, row p: group p in the low nibbles, group p + 4 in the high ones
//                   2 bits  2 rows, row p: group p + 2t in bits 2t and 2t + 1
//                   1 bit   1 row: group g in bit g
//         scales  f16 [1 or 2][32], behind the codes of a block of 32 values, before those of 256; byte-sized ones
//                 [n][32], then minima [n][32], behind the codes of the 32 values that they are for, or of twice as
//                 many where n is 1 (PanelBlock)
//         Codes are those of the file (q8_0: value + 128), so packing and unpacking lose nothing.
//
//   u2, u4, u8 with scales for blocks of CodeBlocks::block values; K is filled up to whole blocks
//         codes        [K * bits / 32][32] lanes of 4 bytes: 32 / bits consecutive values of a column, the first one in
//                      the lowest bits
//         scales       [K / block][32]
//         zero points  [K / block][32], where they are not all the same
//
// The formats with grids (IQ1, IQ2, IQ3) take more room in panels than in the file, since codes of 3 or 4 bits replace
// indices into tables: 106 bytes for 66 of iq2_xxs, 114 for 74 and 82 of iq2_xs and iq2_s, 138 for 98 and 110 of
// iq3_xxs and iq3_s, 106 for 50 of iq1_s, 114 for 56 of iq1_m; tq1_0 66 for 54. Looking numbers up at each use costs
// more than reading them: ik_llama.cpp, which keeps the file's bits, decodes iq2_xxs at 7 GB/s of the machine's 30.
// bench/README.md has the speed of all of them.
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
        default: break;
    }
    const BlockFormat* const format = find_block_format(dtype);
    return format == nullptr ? 0 : inner / block_values(format->scales) * kPanelColumns * block_bytes(*format);
}

inline constexpr int64_t kMostCodeBlock = 128;

// Bits of a code; 0 for dtypes that are none.
constexpr int64_t code_bits(DType dtype) {
    return dtype == DType::U2 ? 2 : dtype == DType::U4 ? 4 : dtype == DType::U8 ? 8 : 0;
}

// Bytes of a scale or zero point; 0 for Undefined.
constexpr int64_t parameter_bytes(DType dtype) {
    return dtype == DType::Undefined ? 0 : dtype == DType::U8 ? 1 : dtype == DType::F32 ? 4 : 2;
}

// Where the parts of a panel of codes lie.
struct CodePanel {
    int64_t blocks;
    int64_t scales_at;
    int64_t zero_points_at;
    int64_t bytes;
};
constexpr CodePanel code_panel(DType codes, const CodeBlocks& form, int64_t inner) {
    CodePanel panel{};
    panel.blocks = (inner + form.block - 1) / form.block;
    panel.scales_at = panel.blocks * form.block * code_bits(codes) / 8 * kPanelColumns;
    panel.zero_points_at = panel.scales_at + panel.blocks * kPanelColumns * parameter_bytes(form.scales);
    const int64_t end = panel.zero_points_at + panel.blocks * kPanelColumns * parameter_bytes(form.zero_points);
    panel.bytes = (end + 63) / 64 * 64;
    return panel;
}

// What a Linear of this weight dtype reads as its left operand: f32 rows or Q8Row.
constexpr DType activation_dtype(DType weight) {
    return find_block_format(weight) != nullptr ? DType::Q8Row : DType::F32;
}

// ---- Quantised activations (DType::Q8Row) ---------------------------------------------------------------------
// One row of K values in groups of 128 with one scale; the last group is filled up with zeros. scale = max|x| / 127,
// value = round to nearest even (x * (1 / scale)), -127..127. Beside the values stands what a dot product needs of
// them: for every 32 and every 16 values, -128 x their sum (what takes code + 128 back to signed) and their sum as a
// float (for minima). Groups smaller than llama.cpp's 256 keep the error of outliers to fewer neighbours; 32 would cost
// integer tiles a tenth of their speed (one more multiplication per 32 products).
struct ActivationGroup {
    static constexpr int64_t kValues = 0;       // int8 [128]
    static constexpr int64_t kOffsets32 = 128;  // int32 [4]
    static constexpr int64_t kOffsets16 = 144;  // int32 [8]
    static constexpr int64_t kSums32 = 176;     // float [4]
    static constexpr int64_t kSums16 = 192;     // float [8]
    static constexpr int64_t kScale = 224;      // float
};
inline constexpr int64_t kActivationBlock = 128;
inline constexpr int64_t kActivationBlockBytes = 228;

// K rounded up to whole groups: the last dimension of a Q8Row tensor.
constexpr int64_t activation_row_values(int64_t inner) {
    return (inner + kActivationBlock - 1) / kActivationBlock * kActivationBlock;
}
constexpr int64_t activation_row_bytes(int64_t inner) {
    return activation_row_values(inner) / kActivationBlock * kActivationBlockBytes;
}

// ---- KV pages -------------------------------------------------------------------------------------------------
// A page holds kPageTokens tokens of one layer, for each key/value head in turn. A token is stored without a glance at
// the others of its page: no byte and no scale belongs to two tokens.
//   f32, f16, bf16
//     keys    [head_size][32]    a panel whose columns are tokens, so scores are a Linear over head_size
//     values  [32][head_size]    rows are tokens, so the weighted sum is a Linear over tokens
//   q8_0, q4_0: head_size in whole blocks of 32; a scale for 32 values of a token, as many bytes as in a GGUF file
//     keys    for each block: panels of q8_0 and q4_0 weights as above, columns are tokens
//     values  for each block of 32 channels
//       q8_0  int8 [16][32][2]: pair i, channel c, token i and token 16 + i; then 32 f16 scales, by token
//       q4_0  bytes [16][16][2]: pair i, low nibble channel c, high nibble channel 16 + c (value + 8), token i and
//             16 + i; then 32 f16 scales. Pairs, because sums over tokens are dot products of pairs of 16-bit integers.
// The cache tensors are [pages, kv_heads, head_size, 32] and [pages, kv_heads, 32, head_size].
inline constexpr int64_t kPageTokens = 32;

// Bytes of the keys (or values) of one head in a page; 0 for dtypes and head sizes that no page can hold.
constexpr int64_t page_head_bytes(DType dtype, int64_t head_size) {
    switch (dtype) {
        case DType::F32: return head_size * kPageTokens * 4;
        case DType::F16:
        case DType::BF16: return head_size * kPageTokens * 2;
        case DType::Q8_0: return head_size % 32 == 0 ? head_size * 34 : 0;
        case DType::Q4_0: return head_size % 32 == 0 ? head_size * 18 : 0;
        default: return 0;
    }
}

}  // namespace quoin
