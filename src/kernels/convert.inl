// From the file's layout or from a packed panel to f32.

namespace quoin {
namespace {

constexpr int64_t kBlock = 32;  // elements of a q4_0 or q8_0 block

void dequantize_f32(const std::byte* row, int64_t count, float* dst) {
    for (int64_t i = 0; i < count; ++i) dst[i] = read<float>(row + i * 4);
}
void dequantize_f16(const std::byte* row, int64_t count, float* dst) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(dst + i, load_f16(row + i * 2));
    for (; i < count; ++i) dst[i] = f16_to_float(read<uint16_t>(row + i * 2));
}
void dequantize_bf16(const std::byte* row, int64_t count, float* dst) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(dst + i, load_bf16(row + i * 2));
    for (; i < count; ++i) dst[i] = bf16_to_float(read<uint16_t>(row + i * 2));
}
void dequantize_q8_0(const std::byte* row, int64_t count, float* dst) {
    for (int64_t k = 0; k < count; k += kBlock, row += 34, dst += kBlock) {
        const float scale = f16_to_float(read<uint16_t>(row));
        for (int64_t i = 0; i < kBlock; ++i) dst[i] = static_cast<float>(read<int8_t>(row + 2 + i)) * scale;
    }
}
void dequantize_q4_0(const std::byte* row, int64_t count, float* dst) {
    for (int64_t k = 0; k < count; k += kBlock, row += 18, dst += kBlock) {
        const float scale = f16_to_float(read<uint16_t>(row));
        for (int64_t i = 0; i < kBlock / 2; ++i) {
            const int byte = read<uint8_t>(row + 2 + i);
            dst[i] = static_cast<float>((byte & 15) - 8) * scale;
            dst[i + kBlock / 2] = static_cast<float>((byte >> 4) - 8) * scale;
        }
    }
}

void unpack_column_f32(const std::byte* panel, int64_t column, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; ++k) dst[k] = read<float>(panel + (k * kPanelColumns + column) * 4);
}
void unpack_column_f16(const std::byte* panel, int64_t column, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; ++k) dst[k] = f16_to_float(read<uint16_t>(panel + (k * kPanelColumns + column) * 2));
}
void unpack_column_bf16(const std::byte* panel, int64_t column, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; ++k) {
        dst[k] = bf16_to_float(read<uint16_t>(panel + (k / 2 * kPanelColumns + column) * 4 + k % 2 * 2));
    }
}
void unpack_column_q8_0(const std::byte* panel, int64_t column, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; k += kBlock, panel += kPanelColumns * 34) {
        const float scale = f16_to_float(read<uint16_t>(panel + kPanelColumns * 32 + column * 2));
        for (int64_t i = 0; i < kBlock; ++i) {
            const int value = read<uint8_t>(panel + (i / 4 * kPanelColumns + column) * 4 + i % 4) - 128;
            dst[k + i] = static_cast<float>(value) * scale;
        }
    }
}
void unpack_column_q4_0(const std::byte* panel, int64_t column, int64_t inner, float* dst) {
    for (int64_t k = 0; k < inner; k += kBlock, panel += kPanelColumns * 18) {
        const float scale = f16_to_float(read<uint16_t>(panel + kPanelColumns * 16 + column * 2));
        for (int64_t i = 0; i < kBlock / 2; ++i) {
            const int byte = read<uint8_t>(panel + (i / 4 * kPanelColumns + column) * 4 + i % 4);
            dst[k + i] = static_cast<float>((byte & 15) - 8) * scale;
            dst[k + i + kBlock / 2] = static_cast<float>((byte >> 4) - 8) * scale;
        }
    }
}

}  // namespace
}  // namespace quoin
