// Shared by the kernel tests: the instruction sets of this machine, random numbers, weights in the file's layouts with
// what they mean in double precision. Buffers have exactly the size a kernel may touch, so sanitizers see every byte.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#if __has_include("support/catch.h")
#include "support/catch.h"
#else
#include <catch2/catch.hpp>
#endif

#include "core/half.h"
#include "kernels/kernels.h"

namespace quoin::test {

inline std::vector<Isa> machine_isas() {
    std::vector<Isa> isas;
    for (int i = 0; i <= static_cast<int>(detected_isa()); ++i) isas.push_back(static_cast<Isa>(i));
    return isas;
}

class Random {
public:
    explicit Random(uint32_t seed) : engine_(seed) {}
    float normal() { return std::normal_distribution<float>()(engine_); }
    int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
    std::vector<float> normals(int64_t count) {
        std::vector<float> values(static_cast<size_t>(count));
        for (float& value : values) value = normal();
        return values;
    }

private:
    std::mt19937 engine_;
};

template <class T>
void put(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof(T));
}
template <class T>
T get(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
}

inline bool same_bits(float a, float b) {
    return std::memcmp(&a, &b, sizeof(float)) == 0;
}
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// A weight [columns, inner] in the file's layout, and its values.
struct Weight {
    DType dtype;
    int64_t columns;
    int64_t inner;
    int64_t row_bytes;
    std::vector<std::byte> file;
    std::vector<float> values;

    const std::byte* row(int64_t column) const { return file.data() + column * row_bytes; }
    float value(int64_t column, int64_t k) const { return values[static_cast<size_t>(column * inner + k)]; }
};

// scale_exponent: block scales are 2^scale_exponent exactly, or random when it is 0.
inline Weight make_weight(DType dtype, int64_t columns, int64_t inner, Random& random, int scale_exponent = 0) {
    Weight weight = {dtype, columns, inner, 0, {}, std::vector<float>(static_cast<size_t>(columns * inner))};
    weight.row_bytes = static_cast<int64_t>(*byte_size(dtype, inner));
    weight.file.resize(static_cast<size_t>(columns * weight.row_bytes));
    const auto scale_bits = [&] {
        return f32_to_f16(scale_exponent != 0 ? std::ldexp(1.0F, scale_exponent) : 0.01F * random.normal());
    };
    for (int64_t c = 0; c < columns; ++c) {
        std::byte* const row = weight.file.data() + c * weight.row_bytes;
        float* const values = weight.values.data() + c * inner;
        for (int64_t k = 0; k < inner; k += dtype == DType::Q8_0 || dtype == DType::Q4_0 ? 32 : 1) {
            if (dtype == DType::F32) {
                put(row + k * 4, values[k] = random.normal());
            } else if (dtype == DType::F16) {
                // now and then a subnormal
                const uint16_t bits = f32_to_f16(random.normal() * (random.integer(0, 9) == 0 ? 0x1p-20F : 1.0F));
                put(row + k * 2, bits);
                values[k] = f16_to_f32(bits);
            } else if (dtype == DType::BF16) {
                const uint16_t bits = f32_to_bf16(random.normal());
                put(row + k * 2, bits);
                values[k] = bf16_to_f32(bits);
            } else if (dtype == DType::Q8_0) {
                std::byte* const block = row + k / 32 * 34;
                const uint16_t bits = scale_bits();
                put(block, bits);
                for (int i = 0; i < 32; ++i) {
                    const auto q = static_cast<int8_t>(random.integer(-128, 127));
                    put(block + 2 + i, q);
                    values[k + i] = static_cast<float>(q) * f16_to_f32(bits);
                }
            } else {
                std::byte* const block = row + k / 32 * 18;
                const uint16_t bits = scale_bits();
                put(block, bits);
                for (int i = 0; i < 16; ++i) {
                    const int low = random.integer(0, 15);
                    const int high = random.integer(0, 15);
                    put(block + 2 + i, static_cast<uint8_t>(low | (high << 4)));
                    values[k + i] = static_cast<float>(low - 8) * f16_to_f32(bits);
                    values[k + i + 16] = static_cast<float>(high - 8) * f16_to_f32(bits);
                }
            }
        }
    }
    return weight;
}

// The functions of one weight dtype.
struct WeightKernels {
    void (*pack)(const std::byte*, int64_t, int64_t, int64_t, std::byte*);
    void (*linear)(const LinearArgs&);
    void (*unpack_column)(const std::byte*, int64_t, int64_t, float*);
    void (*dequantize)(const std::byte*, int64_t, float*);
};
inline WeightKernels weight_kernels(const KernelTable& t, DType dtype) {
    switch (dtype) {
        case DType::F32: return {t.pack_f32, t.linear_f32, t.unpack_column_f32, t.dequantize_f32};
        case DType::F16: return {t.pack_f16, t.linear_f16, t.unpack_column_f16, t.dequantize_f16};
        case DType::BF16: return {t.pack_bf16, t.linear_bf16, t.unpack_column_bf16, t.dequantize_bf16};
        case DType::Q8_0: return {t.pack_q8_0, t.linear_q8_0, t.unpack_column_q8_0, t.dequantize_q8_0};
        default: return {t.pack_q4_0, t.linear_q4_0, t.unpack_column_q4_0, t.dequantize_q4_0};
    }
}
inline constexpr DType kWeightDTypes[] = {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0};

inline std::vector<std::byte> pack(const KernelTable& table, const Weight& weight) {
    const int64_t bytes = panel_bytes(weight.dtype, weight.inner);
    std::vector<std::byte> panels(static_cast<size_t>(bytes * panel_count(weight.columns)));
    for (int64_t p = 0; p < panel_count(weight.columns); ++p) {
        const int64_t columns = std::min(weight.columns - p * kPanelColumns, kPanelColumns);
        weight_kernels(table, weight.dtype)
            .pack(weight.row(p * kPanelColumns), weight.row_bytes, columns, weight.inner, panels.data() + p * bytes);
    }
    return panels;
}

}  // namespace quoin::test
