// Super-blocks of 256 of -1, 0 and 1 times a half: TQ1_0, TQ2_0.

namespace quoin {
namespace {

using TernaryLevels = WholeLevels<-1, 1, Places<100, 500, 20>>;

// Calls write(codes, scale, dst) for each block.
template <int kBytes, class Write>
QUOIN_INLINE void encode_ternary(const float* src, int64_t count, std::byte* dst, Write&& write) {
    for_groups<kSuper, kBytes>(src, count, dst, [&](const Blocks<kSuper>& x, int blocks, std::byte* to) {
        float scales[kLaneCount];
        uint8_t codes[kLaneCount * kSuper];
        const Lanes scale = search_half_scale<TernaryLevels>(x);
        store(scales, scale);
        write_indices<TernaryLevels>(x, scale, codes);
        for (int b = 0; b < blocks; ++b) write(codes + b * kSuper, scales[b], to + b * kBytes);
    });
}

// Five codes as digits of a number below 243, stored as the least n with n x 3^5 / 256 above it, so that reading
// multiplies by three and takes what overflows the byte. Digits that are not there are zeros.
QUOIN_INLINE std::byte pack_digits(const uint8_t* codes, int stride, int digits) {
    int number = 0;
    for (int n = 0; n < 5; ++n) number = number * 3 + (n < digits ? codes[n * stride] : 0);
    return static_cast<std::byte>((number * 256 + 242) / 243);
}

void encode_tq1_0(const float* src, int64_t count, std::byte* dst) {
    encode_ternary<54>(src, count, dst, [](const uint8_t* codes, float scale, std::byte* to) {
        for (int i = 0; i < 32; ++i) to[i] = pack_digits(codes + i, 32, 5);             // elements 0-159
        for (int i = 0; i < 16; ++i) to[32 + i] = pack_digits(codes + 160 + i, 16, 5);  // 160-239
        for (int i = 0; i < 4; ++i) to[48 + i] = pack_digits(codes + 240 + i, 4, 4);    // 240-255
        write_half(to + 52, scale);
    });
}

void encode_tq2_0(const float* src, int64_t count, std::byte* dst) {
    encode_ternary<66>(src, count, dst, [](const uint8_t* codes, float scale, std::byte* to) {
        for (int i = 0; i < 64; ++i) {  // of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
            const uint8_t* const group = codes + i / 32 * 128 + i % 32;
            to[i] = static_cast<std::byte>(group[0] | group[32] << 2 | group[64] << 4 | group[96] << 6);
        }
        write_half(to + 64, scale);
    });
}

}  // namespace
}  // namespace quoin
