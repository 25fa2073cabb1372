// Super-blocks of 256 of -1, 0 and 1 times a half: TQ1_0, TQ2_0.

namespace quoin {
namespace {

using TernaryLevels = WholeLevels<-1, 1, Places<100, 500, 20>>;

QUOIN_INLINE uint16_t encode_ternary_codes(const float* src, uint8_t* codes) {
    alignas(64) float x[kSuper];
    load_block<kSuper>(src, x);
    const uint16_t scale = search_half_scale<TernaryLevels, kSuper>(x);
    write_indices<TernaryLevels, kSuper>(x, half_to_float(scale), codes);
    return scale;
}

// Five codes as digits of a number below 243, stored as the least n with n x 3^5 / 256 above it, so that reading
// multiplies by three and takes what overflows the byte. Digits that are not there are zeros.
QUOIN_INLINE std::byte pack_digits(const uint8_t* codes, int stride, int digits) {
    int number = 0;
    for (int n = 0; n < 5; ++n) number = number * 3 + (n < digits ? codes[n * stride] : 0);
    return static_cast<std::byte>((number * 256 + 242) / 243);
}

void encode_tq1_0(const float* src, int64_t count, std::byte* dst) {
    constexpr int kBytes = 54;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        uint8_t codes[kSuper];
        const uint16_t scale = encode_ternary_codes(src + k, codes);
        for (int i = 0; i < 32; ++i) dst[i] = pack_digits(codes + i, 32, 5);             // elements 0-159
        for (int i = 0; i < 16; ++i) dst[32 + i] = pack_digits(codes + 160 + i, 16, 5);  // 160-239
        for (int i = 0; i < 4; ++i) dst[48 + i] = pack_digits(codes + 240 + i, 4, 4);    // 240-255
        write_half(dst + 52, scale);
    }
}

void encode_tq2_0(const float* src, int64_t count, std::byte* dst) {
    constexpr int kBytes = 66;
    for (int64_t k = 0; k < count; k += kSuper, dst += kBytes) {
        uint8_t codes[kSuper];
        const uint16_t scale = encode_ternary_codes(src + k, codes);
        for (int i = 0; i < 64; ++i) {  // of each 128 elements, four rows of 32 in the bit pairs of 32 bytes
            const uint8_t* const group = codes + i / 32 * 128 + i % 32;
            dst[i] = static_cast<std::byte>(group[0] | group[32] << 2 | group[64] << 4 | group[96] << 6);
        }
        write_half(dst + 64, scale);
    }
}

}  // namespace
}  // namespace quoin
