// Four rows to four columns.

namespace quoin {
namespace {

using Quad [[gnu::vector_size(16)]] = uint32_t;

// Four lanes of four bytes of four rows, `stride_bytes` apart, to the same lanes of four rows of a panel.
QUOIN_INLINE void transpose_quads(const std::byte* src, int64_t stride_bytes, uint32_t flip, std::byte* dst) {
    const auto a = read<Quad>(src);
    const auto b = read<Quad>(src + stride_bytes);
    const auto c = read<Quad>(src + 2 * stride_bytes);
    const auto d = read<Quad>(src + 3 * stride_bytes);
    const Quad low_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Quad low_cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Quad high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Quad high_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    constexpr int64_t kRow = kPanelColumns * 4;
    write<Quad>(dst, __builtin_shufflevector(low_ab, low_cd, 0, 1, 4, 5) ^ flip);
    write<Quad>(dst + kRow, __builtin_shufflevector(low_ab, low_cd, 2, 3, 6, 7) ^ flip);
    write<Quad>(dst + 2 * kRow, __builtin_shufflevector(high_ab, high_cd, 0, 1, 4, 5) ^ flip);
    write<Quad>(dst + 3 * kRow, __builtin_shufflevector(high_ab, high_cd, 2, 3, 6, 7) ^ flip);
}

}  // namespace
}  // namespace quoin
