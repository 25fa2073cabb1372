// Rows of plain types to one panel: transpositions of 16- or 32-bit lanes.

namespace quoin {
namespace {

// K values (plain types) or blocks done for one row before the next: long enough to use whole cache lines of the
// source, short enough that the strip of the panel being filled stays in the first-level cache.
constexpr int64_t kPackStep = 128;

// Thirty-two rows are more streams than the hardware follows: ask for each row's next piece while doing this one.
QUOIN_INLINE void prefetch_row(const std::byte* from, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i);
}

template <class T>
QUOIN_INLINE void pack_plain(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner,
                             std::byte* panel) {
    constexpr int64_t kSize = sizeof(T);
    for (int64_t begin = 0; begin < inner; begin += kPackStep) {
        const int64_t end = smaller(begin + kPackStep, inner);
        for (int64_t c = 0; c < kPanelColumns; ++c) {
            const std::byte* const row = src + c * stride_bytes;
            std::byte* const lane = panel + c * kSize;
            if (c < columns) prefetch_row(row + end * kSize, (end - begin) * kSize);
            for (int64_t k = begin; k < end; ++k) {
                write<T>(lane + k * kPanelColumns * kSize, c < columns ? read<T>(row + k * kSize) : T{0});
            }
        }
    }
}

void pack_f32(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner, std::byte* panel) {
    pack_plain<uint32_t>(src, stride_bytes, columns, inner, panel);
}
void pack_f16(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner, std::byte* panel) {
    pack_plain<uint16_t>(src, stride_bytes, columns, inner, panel);
}
void pack_bf16(const std::byte* src, int64_t stride_bytes, int64_t columns, int64_t inner, std::byte* panel) {
    pack_plain<uint32_t>(src, stride_bytes, columns, inner / 2, panel);  // pairs
    if (inner % 2 == 0) return;
    std::byte* const last = panel + inner / 2 * kPanelColumns * 4;
    for (int64_t c = 0; c < kPanelColumns; ++c) {
        const uint16_t value = c < columns ? read<uint16_t>(src + c * stride_bytes + (inner - 1) * 2) : uint16_t{0};
        write<uint32_t>(last + c * 4, value);
    }
}

}  // namespace
}  // namespace quoin
