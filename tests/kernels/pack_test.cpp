#include "kernel_test.h"

namespace quoin::test {
namespace {

std::vector<int64_t> inner_sizes(DType dtype) {
    if (block_size(dtype) == 32) return {32, 64, 160, 2048};
    if (block_size(dtype) == 256) return {256, 512, 2048};
    return {1, 2, 31, 32, 33, 63, 65, 172, 301};
}

TEST_CASE("packed panels give back every value of the file", "[kernels]") {
    Random random(1);
    for (const Isa isa : machine_isas()) {
        for (const DType dtype : kWeightDTypes) {
            for (const int64_t inner : inner_sizes(dtype)) {
                for (const int64_t columns : {1, 7, 31, 32, 33, 70}) {
                    const KernelTable& table = kernels(isa);
                    const Weight weight = make_weight(dtype, columns, inner, random);
                    const std::vector<std::byte> panels = pack(table, weight);
                    std::vector<float> column(static_cast<size_t>(inner));
                    bool equal = true;
                    for (int64_t c = 0; c < columns; ++c) {
                        weight_kernels(table, dtype)
                            .unpack_column(panels.data() + c / 32 * panel_bytes(dtype, inner), c % 32, inner,
                                           column.data());
                        for (int64_t k = 0; k < inner; ++k) {
                            equal &= same_bits(column[static_cast<size_t>(k)], weight.value(c, k));
                        }
                    }
                    CAPTURE(isa_name(isa), dtype_name(dtype), inner, columns);
                    CHECK(equal);
                }
            }
        }
    }
}

TEST_CASE("the padding of the last panel is zero", "[kernels]") {
    Random random(2);
    for (const DType dtype : kWeightDTypes) {
        if (dtype == DType::MXFP4) continue;  // its scales know no zero
        const Weight weight = make_weight(dtype, 5, 256, random);
        const std::vector<std::byte> panel = pack(kernels(Isa::Baseline), weight);
        std::vector<float> column(256, 1.0F);
        for (int64_t c = 5; c < 32; ++c) {
            weight_kernels(kernels(Isa::Baseline), dtype).unpack_column(panel.data(), c, 256, column.data());
            for (const float value : column) CHECK(value == 0.0F);
        }
    }
}

TEST_CASE("panels are laid out as layout.h says", "[kernels]") {
    Random random(3);
    const KernelTable& table = kernels(Isa::Baseline);
    const Weight q8 = make_weight(DType::Q8_0, 32, 64, random);
    const Weight q4 = make_weight(DType::Q4_0, 32, 64, random);
    const Weight bf16 = make_weight(DType::BF16, 32, 3, random);
    const std::vector<std::byte> q8_panel = pack(table, q8);
    const std::vector<std::byte> q4_panel = pack(table, q4);
    const std::vector<std::byte> bf16_panel = pack(table, bf16);
    bool equal = true;
    for (int64_t c = 0; c < 32; ++c) {
        for (int64_t b = 0; b < 2; ++b) {
            const std::byte* const file8 = q8.row(c) + b * 34;
            const std::byte* const file4 = q4.row(c) + b * 18;
            const std::byte* const block8 = q8_panel.data() + b * 32 * 34;
            const std::byte* const block4 = q4_panel.data() + b * 32 * 18;
            for (int64_t k = 0; k < 32; ++k) {
                equal &= get<uint8_t>(block8 + (k / 4 * 32 + c) * 4 + k % 4) == get<int8_t>(file8 + 2 + k) + 128;
            }
            for (int64_t k = 0; k < 16; ++k) equal &= block4[(k / 4 * 32 + c) * 4 + k % 4] == file4[2 + k];
            equal &= get<uint16_t>(block8 + 1024 + c * 2) == get<uint16_t>(file8);
            equal &= get<uint16_t>(block4 + 512 + c * 2) == get<uint16_t>(file4);
        }
        for (int64_t k = 0; k < 3; ++k) {
            equal &= get<uint16_t>(bf16_panel.data() + ((k / 2 * 32 + c) * 2 + k % 2) * 2) ==
                     get<uint16_t>(bf16.row(c) + k * 2);
        }
        equal &= get<uint16_t>(bf16_panel.data() + ((32 + c) * 2 + 1) * 2) == 0;
    }
    CHECK(equal);
}

TEST_CASE("dequantize gives the values of the file", "[kernels]") {
    Random random(4);
    for (const Isa isa : machine_isas()) {
        for (const DType dtype : kWeightDTypes) {
            for (const int64_t inner : inner_sizes(dtype)) {
                const Weight weight = make_weight(dtype, 1, inner, random);
                std::vector<float> row(static_cast<size_t>(inner));
                weight_kernels(kernels(isa), dtype).dequantize(weight.row(0), inner, row.data());
                CAPTURE(isa_name(isa), dtype_name(dtype), inner);
                CHECK(same_bits(row, weight.values));
            }
        }
    }
}

TEST_CASE("every f16 value widens exactly on every instruction set", "[kernels]") {
    std::vector<std::byte> halves(65536 * 2);
    for (int i = 0; i < 65536; ++i) put(halves.data() + 2 * i, static_cast<uint16_t>(i));
    for (const Isa isa : machine_isas()) {
        std::vector<float> wide(65536);
        kernels(isa).dequantize_f16(halves.data(), 65536, wide.data());
        int wrong = 0;
        for (int i = 0; i < 65536; ++i) {
            const float want = f16_to_f32(static_cast<uint16_t>(i));
            const float got = wide[static_cast<size_t>(i)];
            if (std::isnan(want) ? !std::isnan(got) : !same_bits(want, got)) ++wrong;
        }
        CAPTURE(isa_name(isa));
        CHECK(wrong == 0);
    }
}

TEST_CASE("quantize_q8_row follows its definition", "[kernels]") {
    std::vector<std::vector<std::byte>> results;
    for (const Isa isa : machine_isas()) {
        Random same(6);
        const int64_t count = 128 * 9 + 96;  // the last group is three quarters full
        std::vector<float> src = same.normals(count);
        for (size_t i = 0; i < 128; ++i) {
            src[i] = 0;                                                       // zero group
            src[128 + i] *= 1e-41F;                                           // too small to divide by
            src[256 + i] *= 1e37F;                                            // large
            src[384 + i] = static_cast<float>(static_cast<int>(i) - 60) / 4;  // ties
        }
        src[400] = 63.5F;  // scale 0.5: the values of the group are multiples of one half
        std::vector<std::byte> row(static_cast<size_t>(activation_row_bytes(count)), std::byte{0xAA});
        kernels(isa).quantize_q8_row(src.data(), count, row.data());
        src.resize(static_cast<size_t>(activation_row_values(count)));
        bool right = true;
        for (size_t g = 0; g < src.size() / 128; ++g) {
            const std::byte* const group = row.data() + g * kActivationBlockBytes;
            float magnitude = 0;
            for (size_t i = 0; i < 128; ++i) magnitude = std::max(magnitude, std::fabs(src[g * 128 + i]));
            const float want_scale = magnitude / 127.0F < 0x1p-126F ? 0.0F : magnitude / 127.0F;
            const float scale = get<float>(group + ActivationGroup::kScale);
            right &= same_bits(scale, want_scale);
            int sums[8] = {};
            for (size_t i = 0; i < 128; ++i) {
                const int q = get<int8_t>(group + i);
                right &= q == (scale == 0 ? 0 : static_cast<int>(std::nearbyint(src[g * 128 + i] * (1 / scale))));
                right &= q >= -127 && q <= 127;
                sums[i / 16] += q;
            }
            for (size_t i = 0; i < 8; ++i) {
                right &= get<int32_t>(group + ActivationGroup::kOffsets16 + i * 4) == -128 * sums[i];
                right &= get<float>(group + ActivationGroup::kSums16 + i * 4) == static_cast<float>(sums[i]);
            }
            for (size_t i = 0; i < 4; ++i) {
                const int sum = sums[2 * i] + sums[2 * i + 1];
                right &= get<int32_t>(group + ActivationGroup::kOffsets32 + i * 4) == -128 * sum;
                right &= get<float>(group + ActivationGroup::kSums32 + i * 4) == static_cast<float>(sum);
            }
        }
        CAPTURE(isa_name(isa));
        CHECK(right);
        results.push_back(row);
        CHECK(results.back() == results.front());
    }
}

TEST_CASE("quantize_q8_row marks groups with NaN or infinity", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
            for (const size_t at : {size_t{0}, size_t{13}, size_t{127}}) {
                std::vector<float> src(256, 1.0F);
                src[at] = bad;
                std::vector<std::byte> row(2 * kActivationBlockBytes);
                kernels(isa).quantize_q8_row(src.data(), 256, row.data());
                const std::byte* const second = row.data() + kActivationBlockBytes;
                CHECK(std::isnan(get<float>(row.data() + ActivationGroup::kScale)));
                CHECK(get<float>(second + ActivationGroup::kScale) == 1.0F / 127.0F);
                bool right = true;
                for (int i = 0; i < 128; ++i) {
                    right &= get<int8_t>(row.data() + i) == 0 && get<int8_t>(second + i) == 127;
                }
                CHECK(right);
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
