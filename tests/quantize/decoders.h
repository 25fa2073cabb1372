// What the bytes of each format mean, in double precision and one element at a time, written from the formats'
// definitions: the reference that encoders are held against.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/dtype.h"

namespace quoin::test {

class BlockBytes {
public:
    explicit BlockBytes(const std::byte* bytes) : bytes_(bytes) {}
    int operator[](int64_t i) const { return std::to_integer<int>(bytes_[i]); }
    int signed_at(int64_t i) const { return static_cast<int8_t>((*this)[i]); }
    int bits(int64_t i, int shift, int count) const { return ((*this)[i] >> shift) & ((1 << count) - 1); }
    double half(int64_t i) const {
        const int word = (*this)[i] | (*this)[i + 1] << 8;
        const int exponent = word >> 10 & 31;
        const int fraction = word & 1023;
        const double size = exponent == 0    ? std::ldexp(fraction, -24)
                            : exponent == 31 ? (fraction == 0 ? HUGE_VAL : NAN)
                                             : std::ldexp(1024 + fraction, exponent - 25);
        return (word & 0x8000) != 0 ? -size : size;
    }

private:
    const std::byte* bytes_;
};

inline double decode_element(DType dtype, BlockBytes b, int i) {
    static constexpr int kCurve[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    static constexpr double kTinyFloat[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6};
    // Of 32 elements in 16 bytes: the first half in the low nibbles.
    const auto nibble = [&](int64_t base) { return b.bits(base + i % 16, i / 16 * 4, 4); };
    const auto fifth = [&](int64_t base) { return b.bits(base + i / 8, i % 8, 1) << 4; };
    switch (dtype) {
        case DType::F32: {
            const int word = b[0] | b[1] << 8 | b[2] << 16 | b[3] << 24;
            float value = 0;
            std::memcpy(&value, &word, sizeof(value));
            return static_cast<double>(value);
        }
        case DType::F16: return b.half(0);
        case DType::BF16: {
            const int word = b[0] << 16 | b[1] << 24;
            float value = 0;
            std::memcpy(&value, &word, sizeof(value));
            return static_cast<double>(value);
        }
        case DType::Q4_0: return b.half(0) * (nibble(2) - 8);
        case DType::Q4_1: return b.half(0) * nibble(4) + b.half(2);
        case DType::Q5_0: return b.half(0) * ((nibble(6) | fifth(2)) - 16);
        case DType::Q5_1: return b.half(0) * (nibble(8) | fifth(4)) + b.half(2);
        case DType::Q8_0: return b.half(0) * b.signed_at(2 + i);
        case DType::IQ4_NL: return b.half(0) * kCurve[nibble(2)];
        case DType::MXFP4: return std::ldexp(kTinyFloat[nibble(1)], b[0] - 127);
        case DType::Q2_K: {
            const int code = b.bits(16 + i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2);
            return b.half(80) * b.bits(i / 16, 0, 4) * code - b.half(82) * b.bits(i / 16, 4, 4);
        }
        case DType::Q3_K: {
            const int low = b.bits(32 + i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2);
            const int high = b.bits(i % 32, i / 32, 1);
            const int j = i / 16;
            const int scale = b.bits(96 + j % 8, j / 8 * 4, 4) | b.bits(104 + j % 4, j / 4 * 2, 2) << 4;
            return b.half(108) * (scale - 32) * (low + 4 * high - 4);
        }
        case DType::Q4_K:
        case DType::Q5_K: {
            const int j = i / 32;
            const int scale = j < 4 ? b.bits(4 + j, 0, 6) : b.bits(8 + j, 0, 4) | b.bits(j, 6, 2) << 4;
            const int minimum = j < 4 ? b.bits(8 + j, 0, 6) : b.bits(8 + j, 4, 4) | b.bits(4 + j, 6, 2) << 4;
            const int64_t codes = dtype == DType::Q4_K ? 16 : 48;
            int code = b.bits(codes + i / 64 * 32 + i % 32, i % 64 / 32 * 4, 4);
            if (dtype == DType::Q5_K) code |= b.bits(16 + i % 32, j, 1) << 4;
            return b.half(0) * scale * code - b.half(2) * minimum;
        }
        case DType::Q6_K: {
            const int low = b.bits(i / 128 * 64 + i % 64, i % 128 / 64 * 4, 4);
            const int high = b.bits(128 + i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2);
            return b.half(208) * b.signed_at(192 + i / 16) * ((low | high << 4) - 32);
        }
        case DType::IQ4_XS: {
            const int j = i / 32;
            const int scale = b.bits(4 + j / 2, j % 2 * 4, 4) | ((b[2] | b[3] << 8) >> 2 * j & 3) << 4;
            return b.half(0) * (scale - 32) * kCurve[b.bits(8 + j * 16 + i % 16, i % 32 / 16 * 4, 4)];
        }
        case DType::TQ1_0: {
            // Five digits of base three in a byte, which is their number x 256 / 243, rounded up; the last four bytes
            // hold four digits.
            const int64_t byte = i < 160 ? i % 32 : i < 240 ? 32 + (i - 160) % 16 : 48 + (i - 240) % 4;
            const int digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
            int number = b[byte] * 243 / 256;
            for (int d = 4; d > digit; --d) number /= 3;
            return b.half(52) * (number % 3 - 1);
        }
        case DType::TQ2_0: return b.half(64) * (b.bits(i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2) - 1);
        default: return NAN;
    }
}

inline std::vector<double> decode(DType dtype, const std::vector<std::byte>& bytes) {
    const DTypeInfo& info = dtype_info(dtype);
    const size_t block_bytes = static_cast<size_t>(info.block_bytes);
    std::vector<double> values;
    for (size_t begin = 0; begin + block_bytes <= bytes.size(); begin += block_bytes) {
        for (int i = 0; i < info.block_elements; ++i) {
            values.push_back(decode_element(dtype, BlockBytes(bytes.data() + begin), i));
        }
    }
    return values;
}

}  // namespace quoin::test
