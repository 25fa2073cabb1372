// Block formats to panels and back: codes move from values in a row to planes of bits (layout.h), scales beside them.

namespace quoin {
namespace {

constexpr uint32_t every_byte(unsigned bits) {
    return 0x01010101U * bits;
}

// 32 codes of a column to its lanes of the planes; `lanes` is where row 0 has the column's lane.
template <int kLowBits, int kHighBits>
QUOIN_INLINE void write_codes(const uint8_t* codes, std::byte* lanes) {
    constexpr int64_t kRow = kPanelColumns * 4;
    uint32_t group[8];
    __builtin_memcpy(group, codes, sizeof(group));
    constexpr int kLowRows = kLowBits;  // 8 groups x bits / 8
    constexpr uint32_t kLow = every_byte((1U << kLowBits) - 1U);
    for (int p = 0; p < kLowRows; ++p) {
        uint32_t lane = 0;
        for (int g = p; g < 8; g += kLowRows) lane |= (group[g] & kLow) << (g / kLowRows * kLowBits);
        write<uint32_t>(lanes + p * kRow, lane);
    }
    if constexpr (kHighBits != 0) {
        constexpr uint32_t kHigh = every_byte((1U << kHighBits) - 1U);
        for (int p = 0; p < kHighBits; ++p) {
            uint32_t lane = 0;
            for (int g = p; g < 8; g += kHighBits) {
                lane |= (group[g] >> kLowBits & kHigh) << (g / kHighBits * kHighBits);
            }
            write<uint32_t>(lanes + (kLowRows + p) * kRow, lane);
        }
    }
}

template <int kLowBits, int kHighBits>
QUOIN_INLINE void read_codes(const std::byte* lanes, uint8_t* codes) {
    constexpr int64_t kRow = kPanelColumns * 4;
    constexpr uint32_t kLow = every_byte((1U << kLowBits) - 1U);
    for (int g = 0; g < 8; ++g) {
        uint32_t group = read<uint32_t>(lanes + g % kLowBits * kRow) >> (g / kLowBits * kLowBits) & kLow;
        if constexpr (kHighBits != 0) {
            constexpr uint32_t kHigh = every_byte((1U << kHighBits) - 1U);
            const auto lane = read<uint32_t>(lanes + (kLowBits + g % kHighBits) * kRow);
            group |= (lane >> (g / kHighBits * kHighBits) & kHigh) << kLowBits;
        }
        __builtin_memcpy(codes + 4 * g, &group, sizeof(group));
    }
}

template <DType kType>
QUOIN_INLINE void write_block(const DecodedBlock& block, int64_t column, std::byte* panel) {
    using Place = PanelBlock<kType>;
    for (int64_t i = 0; i < Place::kParts; ++i) {
        write_codes<Place::kFormat.low_bits, Place::kFormat.high_bits>(block.codes + 32 * i,
                                                                       panel + Place::codes_at(i) + column * 4);
    }
    for (int64_t i = 0; i < Place::kScales.bytes; ++i) {
        const uint8_t byte = i < Place::kScaleRows ? block.scales[i] : block.minima[i - Place::kScaleRows];
        write<uint8_t>(panel + Place::scales_at(i) + column, byte);
    }
    for (int64_t i = 0; i < Place::kScales.halves; ++i) {
        write<uint16_t>(panel + Place::kHalvesAt + (i * kPanelColumns + column) * 2, block.halves[i]);
    }
}

template <DType kType>
QUOIN_INLINE void read_block(const std::byte* panel, int64_t column, DecodedBlock& block) {
    using Place = PanelBlock<kType>;
    for (int64_t i = 0; i < Place::kParts; ++i) {
        read_codes<Place::kFormat.low_bits, Place::kFormat.high_bits>(panel + Place::codes_at(i) + column * 4,
                                                                      block.codes + 32 * i);
    }
    for (int64_t i = 0; i < Place::kScales.bytes; ++i) {
        const auto byte = read<uint8_t>(panel + Place::scales_at(i) + column);
        (i < Place::kScaleRows ? block.scales[i] : block.minima[i - Place::kScaleRows]) = byte;
    }
    for (int64_t i = 0; i < Place::kScales.halves; ++i) {
        block.halves[i] = read<uint16_t>(panel + Place::kHalvesAt + (i * kPanelColumns + column) * 2);
    }
}

// Formats whose lanes are four bytes of the file as they stand there (but for a sign): packing only transposes.
template <DType kType>
inline constexpr bool kKeepsLanes = kType == DType::Q4_0 || kType == DType::Q8_0;

// Blocks [begin, end) of four columns from `column` on.
template <DType kType>
QUOIN_INLINE void pack_four_columns(const std::byte* src, int64_t stride_bytes, int64_t begin, int64_t end,
                                    int64_t column, std::byte* panel) {
    using Place = PanelBlock<kType>;
    constexpr int64_t kFileBytes = 2 + Place::kCodeBytes / kPanelColumns;
    const std::byte* const first = src + column * stride_bytes;
    for (int64_t c = 0; c < 4; ++c) {
        prefetch_row(first + c * stride_bytes + end * kFileBytes, (end - begin) * kFileBytes);
    }
    for (int64_t b = begin; b < end; ++b) {
        const std::byte* const from = first + b * kFileBytes;
        std::byte* const to = panel + b * Place::kBytes;
        for (int64_t quad = 0; quad < kFileBytes - 2; quad += 16) {
            transpose_quads(from + 2 + quad, stride_bytes, kType == DType::Q8_0 ? 0x80808080U : 0U,
                            to + quad * kPanelColumns + column * 4);
        }
        for (int64_t c = 0; c < 4; ++c) {
            write<uint16_t>(to + Place::kHalvesAt + (column + c) * 2, read<uint16_t>(from + c * stride_bytes));
        }
    }
}

template <DType kType>
QUOIN_INLINE void pack_block_format(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner,
                                    std::byte* panel) {
    using Place = PanelBlock<kType>;
    const int64_t file_bytes = file_block_bytes(kType);
    // Values done for one row before the next: whole cache lines of the source, a strip of the panel that stays near.
    constexpr int64_t kStep = 256 / Place::kValues;
    const int64_t blocks = inner / Place::kValues;
    for (int64_t begin = 0; begin < blocks; begin += kStep) {
        const int64_t end = smaller(begin + kStep, blocks);
        int64_t done = 0;
        if constexpr (kKeepsLanes<kType>) {
            for (; done + 4 <= columns; done += 4) {
                pack_four_columns<kType>(src, stride_bytes, begin, end, done, panel);
            }
        }
        for (int64_t c = done; c < kPanelColumns; ++c) {
            const std::byte* const row = src + c * stride_bytes;
            if (c < columns) prefetch_row(row + end * file_bytes, (end - begin) * file_bytes);
            for (int64_t b = begin; b < end; ++b) {
                DecodedBlock block;
                if (c < columns) {
                    decode_block<kType>(row + b * file_bytes, block);
                } else {
                    block = {};
                }
                write_block<kType>(block, c, panel + b * Place::kBytes);
            }
        }
    }
}

template <DType kType>
QUOIN_INLINE void unpack_block_column(const std::byte* panel, int64_t column, int64_t inner, float* dst) {
    using Place = PanelBlock<kType>;
    for (int64_t k = 0; k < inner; k += Place::kValues, panel += Place::kBytes) {
        DecodedBlock block;
        read_block<kType>(panel, column, block);
        dequantize_block<kType>(block, dst + k);
    }
}

#define QUOIN_BLOCK_FORMAT(type, name)                                                                               \
    void pack_##name(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner, std::byte* panel) { \
        pack_block_format<DType::type>(src, stride_bytes, columns, inner, panel);                                    \
    }                                                                                                                \
    void unpack_column_##name(const std::byte* panel, int64_t column, int64_t inner, float* dst) {                   \
        unpack_block_column<DType::type>(panel, column, inner, dst);                                                 \
    }                                                                                                                \
    void dequantize_##name(const std::byte* row, int64_t count, float* dst) {                                        \
        dequantize_blocks<DType::type>(row, count, dst);                                                             \
    }
#include "kernels/block_formats.inc"
#undef QUOIN_BLOCK_FORMAT

}  // namespace
}  // namespace quoin
