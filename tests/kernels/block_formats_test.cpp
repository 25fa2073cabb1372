// Block formats against numbers of the Python package gguf: tests/data/formats/make_blocks.py.
#include <algorithm>
#include <filesystem>
#include <span>

#include "kernel_test.h"
#include "support/shared_models.h"

namespace quoin::test {
namespace {

// Blocks of one format in the file's layout, and their values.
struct Sample {
    DType dtype;
    int64_t blocks;
    int64_t values;  // of a block
    int64_t bytes;   // of a block
    std::vector<std::byte> file;
    std::vector<float> expected;

    const std::byte* block(int64_t index) const { return file.data() + index * bytes; }
    std::span<const float> expected_of(int64_t index) const {
        return std::span(expected).subspan(static_cast<size_t>(index * values), static_cast<size_t>(values));
    }
};

std::vector<Sample> read_samples() {
    const std::string text = read_text(source_file("tests/data/formats/blocks.bin"));
    std::vector<Sample> samples;
    size_t at = 0;
    const auto take = [&](size_t bytes) {
        REQUIRE(bytes <= text.size() - at);
        at += bytes;
        return reinterpret_cast<const std::byte*>(text.data()) + at - bytes;
    };
    while (at < text.size()) {
        const auto dtype = dtype_from_number(get<uint32_t>(take(4)));
        REQUIRE(dtype.has_value());
        Sample sample = {*dtype, get<uint32_t>(take(4)), 0, file_block_bytes(*dtype), {}, {}};
        sample.values = get<uint32_t>(take(4));
        const auto value_bytes = get<uint32_t>(take(4));
        const auto file_bytes = static_cast<size_t>(sample.blocks * sample.bytes);
        const std::byte* const file = take(file_bytes);
        sample.file.assign(file, file + file_bytes);
        sample.expected.resize(static_cast<size_t>(sample.blocks * sample.values));
        const std::byte* const expected = take(sample.expected.size() * value_bytes);
        for (size_t i = 0; i < sample.expected.size(); ++i) {
            sample.expected[i] =
                value_bytes == 4 ? get<float>(expected + 4 * i) : static_cast<float>(get<int8_t>(expected + i)) / 8;
        }
        samples.push_back(std::move(sample));
    }
    return samples;
}

// Zeros of either sign are the same: a scale of zero times a negative code.
bool equal(std::span<const float> got, std::span<const float> want) {
    return std::equal(got.begin(), got.end(), want.begin(), want.end());
}

TEST_CASE("the sample has every block format with kernels", "[kernels]") {
    const std::vector<Sample> samples = read_samples();
    for (const DType dtype : kBlockDTypes) {
        CAPTURE(dtype_name(dtype));
        const auto found = std::find_if(samples.begin(), samples.end(), [&](auto& s) { return s.dtype == dtype; });
        REQUIRE(found != samples.end());
        CHECK(found->values == block_size(dtype));
    }
}

TEST_CASE("panels take little more room than the file", "[kernels]") {
    for (const DType dtype : kBlockDTypes) {
        const auto file = static_cast<double>(file_block_bytes(dtype));
        const double growth = static_cast<double>(block_bytes(*find_block_format(dtype))) / file;
        const bool grid =
            dtype >= DType::IQ2_XXS && dtype <= DType::IQ1_M && dtype != DType::IQ4_NL && dtype != DType::IQ4_XS;
        CAPTURE(dtype_name(dtype));
        CHECK(growth < (grid ? 2.13 : dtype == DType::TQ1_0 ? 1.23 : 1.04));  // layout.h says why
    }
}

// No tolerance: 11 bits of an f16 times a sub-scale times a code fit a float's 24 in every format, so all that rounds
// is the addition of a minimum, once, here as there.
TEST_CASE("blocks mean what the package gguf says", "[kernels]") {
    for (const Sample& sample : read_samples()) {
        for (const Isa isa : machine_isas()) {
            const WeightKernels kernels_of = weight_kernels(kernels(isa), sample.dtype);
            if (kernels_of.dequantize == nullptr) continue;
            std::vector<float> got(static_cast<size_t>(sample.values));
            for (int64_t b = 0; b < sample.blocks; ++b) {
                kernels_of.dequantize(sample.block(b), sample.values, got.data());
                CAPTURE(isa_name(isa), dtype_name(sample.dtype), b);
                CHECK(equal(got, sample.expected_of(b)));
            }
        }
    }
}

TEST_CASE("packing keeps what the package gguf says", "[kernels]") {
    for (const Sample& sample : read_samples()) {
        for (const Isa isa : machine_isas()) {
            const WeightKernels kernels_of = weight_kernels(kernels(isa), sample.dtype);
            if (kernels_of.pack == nullptr) continue;
            // Rows of two blocks, the same ones in other places: block c and c + 1 in column c.
            const int64_t columns = std::min(sample.blocks - 1, kPanelColumns);
            const int64_t inner = 2 * sample.values;
            std::vector<std::byte> panel(static_cast<size_t>(panel_bytes(sample.dtype, inner)));
            kernels_of.pack(sample.file.data(), sample.bytes, columns, inner, panel.data());
            std::vector<float> got(static_cast<size_t>(inner));
            for (int64_t c = 0; c < columns; ++c) {
                kernels_of.unpack_column(panel.data(), c, inner, got.data());
                const std::span<const float> all = got;
                CAPTURE(isa_name(isa), dtype_name(sample.dtype), c);
                CHECK(equal(all.first(all.size() / 2), sample.expected_of(c)));
                CHECK(equal(all.last(all.size() / 2), sample.expected_of(c + 1)));
            }
        }
    }
}

// A row of activations with a single one in it takes out one column of the weight: 127 times the value, whatever path
// the codes take to the dot product.
TEST_CASE("products with unit vectors are the values", "[kernels]") {
    for (const Sample& sample : read_samples()) {
        if (weight_kernels(kernels(Isa::Baseline), sample.dtype).linear == nullptr) continue;
        const int64_t inner = sample.values;
        const int64_t columns = std::min(sample.blocks, kPanelColumns);
        const int64_t stride = activation_row_bytes(inner);
        std::vector<std::byte> rows(static_cast<size_t>(stride * inner));
        std::vector<float> unit(static_cast<size_t>(inner));
        for (int64_t k = 0; k < inner; ++k) {
            unit[static_cast<size_t>(k)] = 127;
            kernels(Isa::Baseline).quantize_q8_row(unit.data(), inner, rows.data() + k * stride);
            unit[static_cast<size_t>(k)] = 0;
        }
        for (const Isa isa : machine_isas()) {
            const WeightKernels kernels_of = weight_kernels(kernels(isa), sample.dtype);
            std::vector<std::byte> panel(static_cast<size_t>(panel_bytes(sample.dtype, inner)));
            kernels_of.pack(sample.file.data(), sample.bytes, columns, inner, panel.data());
            for (const int64_t count : {int64_t{1}, inner}) {
                std::vector<float> got(static_cast<size_t>(inner * columns));
                LinearArgs args = {};
                args.weights = panel.data();
                args.panel_stride = static_cast<int64_t>(panel.size());
                args.panels = 1;
                args.columns = columns;
                args.src_stride = stride;
                args.rows = count;
                args.inner = inner;
                args.dst_stride = columns;
                for (int64_t k = 0; k < inner; k += count) {
                    args.src = rows.data() + k * stride;
                    args.dst = got.data() + k * columns;
                    run_linear(kernels_of.linear, sample.dtype, args);
                }
                double worst = 0;
                for (int64_t c = 0; c < columns; ++c) {
                    const std::span<const float> expected = sample.expected_of(c);
                    double largest = 0;
                    for (const float value : expected) largest = std::max(largest, std::fabs(double{value}));
                    // Overflow has its own moment in each order of operations.
                    if (largest * 127 > double{std::numeric_limits<float>::max()}) continue;
                    for (int64_t k = 0; k < inner; ++k) {
                        const double want = 127.0 * double{expected[static_cast<size_t>(k)]};
                        const double error = std::fabs(double{got[static_cast<size_t>(k * columns + c)]} - want);
                        worst = worse(worst, error / (largest * 127 + 1e-38));
                    }
                }
                CAPTURE(isa_name(isa), dtype_name(sample.dtype), count);
                CHECK(worst < 0x1p-22);
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
