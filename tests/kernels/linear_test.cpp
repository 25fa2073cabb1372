#include <bit>

#include "kernel_test.h"

namespace quoin::test {
namespace {

// The left operand as a kernel wants it, and its values.
struct Activations {
    int64_t rows;
    int64_t inner;
    int64_t stride;  // bytes
    std::vector<std::byte> bytes;
    std::vector<float> values;
};

Activations make_activations(DType weight, int64_t rows, int64_t inner, Random& random, bool power_of_two = false) {
    Activations a = {rows, inner, 0, {}, random.normals(rows * inner)};
    const bool quantised = activation_dtype(weight) == DType::Q8Row;
    const int64_t bytes = quantised ? activation_row_bytes(inner) : inner * 4;
    a.stride = bytes + 12;  // rows need not touch
    a.bytes.resize(static_cast<size_t>(rows > 0 ? a.stride * (rows - 1) + bytes : 0));
    for (int64_t r = 0; r < rows; ++r) {
        float* const values = a.values.data() + r * inner;
        std::byte* const row = a.bytes.data() + r * a.stride;
        if (!quantised) {
            std::memcpy(row, values, static_cast<size_t>(inner * 4));
            continue;
        }
        if (power_of_two) {
            for (int64_t k = 0; k < inner; ++k) {
                values[k] =
                    k % kActivationBlock == 0 ? 127.0F / 64 : static_cast<float>(random.integer(-127, 127)) / 64;
            }
        }
        kernels(Isa::Baseline).quantize_q8_row(values, inner, row);
        for (int64_t k = 0; k < inner; ++k) {
            const std::byte* const group = row + k / kActivationBlock * kActivationBlockBytes;
            values[k] = static_cast<float>(get<int8_t>(group + k % kActivationBlock)) *
                        get<float>(group + ActivationGroup::kScale);
        }
    }
    return a;
}

struct Extras {
    std::vector<float> bias;
    std::vector<float> residual;
};

// Whether this instruction set multiplies these weights by activations rounded to bf16.
bool rounds_to_bf16(DType weight, Isa isa) {
    return weight == DType::BF16 && kernel_isa(Kernel::linear_bf16, isa) == Isa::Avx512Bf16;
}

Activations rounded_to_bf16(const Activations& a) {
    Activations rounded = a;
    for (float& value : rounded.values) {
        const auto bits = std::bit_cast<uint32_t>(value);
        value = std::bit_cast<float>((bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U);
    }
    return rounded;
}

std::vector<float> run(const KernelTable& table, const Weight& weight, const std::vector<std::byte>& panels,
                       const Activations& a, int64_t first_row, int64_t rows, const Extras& extras, bool in_place,
                       ProcessorTraits processor = {true, true}) {
    const int64_t n = weight.columns;
    const bool with_residual = !extras.residual.empty();
    std::vector<float> dst(static_cast<size_t>(rows * n), -7.0F);
    if (in_place) {
        dst.assign(extras.residual.begin() + first_row * n, extras.residual.begin() + (first_row + rows) * n);
    }
    LinearArgs args = {};
    args.weights = panels.data();
    args.panel_stride = panel_bytes(weight.dtype, weight.inner);
    args.panels = panel_count(n);
    args.columns = n;
    args.src = a.bytes.data() + first_row * a.stride;
    args.src_stride = a.stride;
    args.rows = rows;
    args.inner = weight.inner;
    args.bias = extras.bias.empty() ? nullptr : extras.bias.data();
    args.residual = !with_residual ? nullptr : in_place ? dst.data() : extras.residual.data() + first_row * n;
    args.residual_stride = n;
    args.dst = dst.data();
    args.dst_stride = n;
    args.processor = processor;
    run_linear(weight_kernels(table, weight.dtype).linear, weight.dtype, args);
    return dst;
}

// Products in double precision, and the sum of their magnitudes.
struct Exact {
    std::vector<double> sum;   // [rows][columns]
    std::vector<double> size;  // likewise
};

Exact exact_products(const Weight& weight, const Activations& a) {
    Exact exact;
    for (int64_t r = 0; r < a.rows; ++r) {
        for (int64_t c = 0; c < weight.columns; ++c) {
            const float* const w = weight.values.data() + c * weight.inner;
            const float* const x = a.values.data() + r * a.inner;
            double sum = 0;
            double size = 0;
            for (int64_t k = 0; k < weight.inner; ++k) {
                const double product = static_cast<double>(w[k]) * static_cast<double>(x[k]);
                sum += product;
                size += std::fabs(product);
            }
            exact.sum.push_back(sum);
            exact.size.push_back(size);
        }
    }
    return exact;
}

// Largest error in units of what rounding may do: sum of |products| times the growth of a sum of that length.
double worst_error(const Weight& weight, const Exact& exact, const Extras& extras, const std::vector<float>& got) {
    double worst = 0;
    const double growth = 0x1p-24 * (4 + std::sqrt(static_cast<double>(weight.inner)));
    for (size_t at = 0; at < got.size(); ++at) {
        const auto column = at % static_cast<size_t>(weight.columns);
        const auto bias = static_cast<double>(extras.bias.empty() ? 0.0F : extras.bias[column]);
        const auto residual = static_cast<double>(extras.residual.empty() ? 0.0F : extras.residual[at]);
        const double sum = exact.sum[at] + bias + residual;
        const double size = exact.size[at] + std::fabs(bias) + std::fabs(residual);
        const double error = std::fabs(static_cast<double>(got[at]) - sum) / (size * growth + 1e-30);
        worst = worse(worst, error);
    }
    return worst;
}

TEST_CASE("linear agrees with double precision on every instruction set", "[kernels]") {
    Random random(11);
    constexpr int64_t kMost = 25;
    for (const DType dtype : kWeightDTypes) {
        const std::vector<int64_t> inners = block_size(dtype) == 32 ? std::vector<int64_t>{32, 64, 160, 544, 2048}
                                            : block_size(dtype) == 256
                                                ? std::vector<int64_t>{256, 512, 768, 2048}
                                                : std::vector<int64_t>{1, 2, 31, 32, 33, 127, 128, 129, 172, 300, 6000};
        for (const int64_t inner : inners) {
            for (const int64_t columns : {1, 15, 31, 32, 33, 64, 75}) {
                if (inner > 1000 && columns > 33) continue;
                const Weight weight = make_weight(dtype, columns, inner, random);
                const std::vector<std::byte> panels = pack(kernels(Isa::Baseline), weight);
                const Activations a = make_activations(dtype, kMost, inner, random);
                const Exact exact = exact_products(weight, a);
                const Exact rounded = dtype == DType::BF16 ? exact_products(weight, rounded_to_bf16(a)) : exact;
                for (int64_t rows = 1; rows <= kMost; rows += rows < 13 ? 1 : 6) {
                    if (inner > 1000 && rows % 3 != 1) continue;
                    Extras extras;
                    if (rows % 2 == 0) extras.bias = random.normals(columns);
                    if (rows % 3 == 0) extras.residual = random.normals(rows * columns);
                    for (const Isa isa : machine_isas()) {
                        const auto got = run(kernels(isa), weight, panels, a, 0, rows, extras, false);
                        CAPTURE(isa_name(isa), dtype_name(dtype), rows, columns, inner);
                        CHECK(worst_error(weight, rounds_to_bf16(dtype, isa) ? rounded : exact, extras, got) < 1);
                        if (!extras.residual.empty()) {
                            CHECK(same_bits(run(kernels(isa), weight, panels, a, 0, rows, extras, true, {}), got));
                        }
                    }
                }
            }
        }
    }
}

TEST_CASE("a row's bits depend neither on the rows computed with it nor on the hardware", "[kernels]") {
    Random random(12);
    for (const DType dtype : kWeightDTypes) {
        const int64_t inner = block_size(dtype) == 1 ? 333 : block_size(dtype) == 32 ? 544 : 768;
        const int64_t columns = linear_task(dtype).panels * kPanelColumns + 11;  // more panels than go together
        const int64_t most = linear_task(dtype).rows + 8;                        // and more rows
        const Weight weight = make_weight(dtype, columns, inner, random);
        const std::vector<std::byte> panels = pack(kernels(Isa::Baseline), weight);
        const Activations a = make_activations(dtype, most, inner, random);
        const Extras extras = {random.normals(columns), random.normals(most * columns)};
        for (const Isa isa : machine_isas()) {
            std::vector<float> single;
            for (int64_t r = 0; r < most; ++r) {
                const auto row = run(kernels(isa), weight, panels, a, r, 1, extras, false, {r % 2 != 0, true});
                single.insert(single.end(), row.begin(), row.end());
            }
            // All few rows, then every kind of rest that tiles of 12 and of 16 rows leave, then all.
            for (int64_t rows = 2; rows <= most; rows += rows < 27 ? 1 : rows < 45 ? 3 : most - 45) {
                const std::vector<float> want(single.begin(), single.begin() + rows * columns);
                CAPTURE(isa_name(isa), dtype_name(dtype), rows);
                for (const bool amd : {false, true}) {
                    CHECK(same_bits(run(kernels(isa), weight, panels, a, 0, rows, extras, false, {amd, amd}), want));
                }
            }
        }
    }
}

TEST_CASE("the panels of a weight may be shared out among calls", "[kernels]") {
    Random random(13);
    for (const DType dtype : kWeightDTypes) {
        const int64_t inner = block_size(dtype) == 256 ? 256 : 96;
        constexpr int64_t kPanels = 6;
        constexpr int64_t kColumns = kPanels * kPanelColumns;
        const Weight weight = make_weight(dtype, kColumns, inner, random);
        const std::vector<std::byte> panels = pack(kernels(Isa::Baseline), weight);
        const Activations a = make_activations(dtype, 14, inner, random);
        for (const Isa isa : machine_isas()) {
            for (const int64_t rows : {9, 14}) {
                const auto whole = run(kernels(isa), weight, panels, a, 0, rows, {}, false);
                std::vector<float> parts(whole.size());
                for (int64_t p = 0; p < kPanels; ++p) {
                    LinearArgs args = {};
                    args.weights = panels.data() + p * panel_bytes(dtype, inner);
                    args.panel_stride = panel_bytes(dtype, inner);
                    args.panels = 1;
                    args.columns = 32;
                    args.src = a.bytes.data();
                    args.src_stride = a.stride;
                    args.rows = rows;
                    args.inner = inner;
                    args.dst = parts.data() + p * 32;
                    args.dst_stride = kColumns;
                    run_linear(weight_kernels(kernels(isa), dtype).linear, dtype, args);
                }
                CHECK(same_bits(parts, whole));
            }
        }
    }
}

TEST_CASE("integer sums are exact and equal on every instruction set", "[kernels]") {
    Random random(14);
    for (const DType dtype : {DType::Q8_0, DType::Q4_0, DType::Q5_0, DType::IQ4_NL, DType::MXFP4}) {
        for (const bool extremes : {false, true}) {
            const int64_t inner = 128;  // more would not be exact in f32
            Weight weight = make_weight(dtype, 40, inner, random, -3);
            Activations a = make_activations(dtype, 41, inner, random, true);
            if (extremes) {  // all weights and activations as large as they come: where 16-bit sums would saturate
                const auto block = static_cast<size_t>(file_block_bytes(dtype));
                for (size_t i = 0; i < weight.file.size(); ++i) {
                    if (i % block < (dtype == DType::MXFP4 ? 1U : 2U)) continue;
                    weight.file[i] = dtype == DType::Q8_0 ? std::byte{0x80} : std::byte{0xFF};
                }
                for (int64_t c = 0; c < 40; ++c) {
                    weight_kernels(kernels(Isa::Baseline), dtype)
                        .dequantize(weight.row(c), inner, weight.values.data() + c * inner);
                }
                for (int64_t r = 0; r < a.rows; ++r) {
                    const float q = r % 2 == 0 ? -127.0F / 64 : 127.0F / 64;
                    float* const values = a.values.data() + r * inner;
                    std::fill(values, values + inner, q);
                    kernels(Isa::Baseline).quantize_q8_row(values, inner, a.bytes.data() + r * a.stride);
                }
            }
            const std::vector<std::byte> panels = pack(kernels(Isa::Baseline), weight);
            for (const Isa isa : machine_isas()) {
                for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 19, 41}) {
                    const bool spare_pipes = rows < 19;
                    const auto got = run(kernels(isa), weight, panels, a, 0, rows, {}, false, {true, spare_pipes});
                    int wrong = 0;
                    for (int64_t r = 0; r < rows; ++r) {
                        for (int64_t c = 0; c < 40; ++c) {
                            double sum = 0;
                            for (int64_t k = 0; k < inner; ++k) {
                                sum += static_cast<double>(weight.value(c, k)) *
                                       static_cast<double>(a.values[static_cast<size_t>(r * inner + k)]);
                            }
                            if (static_cast<double>(got[static_cast<size_t>(r * 40 + c)]) != sum) ++wrong;
                        }
                    }
                    CAPTURE(isa_name(isa), dtype_name(dtype), extremes, rows);
                    CHECK(wrong == 0);
                }
            }
        }
    }
}

TEST_CASE("instruction sets with fma agree bit by bit", "[kernels]") {
    Random random(15);
    for (const DType dtype : kWeightDTypes) {
        const int64_t inner = block_size(dtype) == 256 ? 512 : 160;
        const Weight weight = make_weight(dtype, 45, inner, random);
        const std::vector<std::byte> panels = pack(kernels(Isa::Baseline), weight);
        const Activations a = make_activations(dtype, 41, inner, random);
        std::vector<float> first;
        for (const Isa isa : machine_isas()) {
            if (isa == Isa::Baseline || rounds_to_bf16(dtype, isa)) continue;
            for (const bool spare_pipes : {false, true}) {
                const auto got = run(kernels(isa), weight, panels, a, 0, 41, {}, false, {true, spare_pipes});
                if (first.empty()) first = got;
                CAPTURE(isa_name(isa), dtype_name(dtype), spare_pipes);
                CHECK(same_bits(got, first));
            }
        }
    }
}

TEST_CASE("a NaN activation makes its own row NaN and no other", "[kernels]") {
    Random random(16);
    for (const DType dtype : kWeightDTypes) {
        const Weight weight = make_weight(dtype, 33, 256, random);
        const std::vector<std::byte> panels = pack(kernels(Isa::Baseline), weight);
        Activations a = make_activations(dtype, 41, 256, random);
        std::byte* const row = a.bytes.data() + a.stride;
        put(row + (is_block(dtype) ? kActivationBlockBytes + ActivationGroup::kScale : 40), NAN);
        for (const Isa isa : machine_isas()) {
            for (const int64_t rows : {3, 41}) {
                const auto got = run(kernels(isa), weight, panels, a, 0, rows, {}, false);
                for (size_t i = 0; i < got.size(); ++i) CHECK(std::isnan(got[i]) == (i / 33 == 1));
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
