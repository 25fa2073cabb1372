// Plain types from the file's layout or from a packed panel to f32.

namespace quoin {
namespace {

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

}  // namespace
}  // namespace quoin
