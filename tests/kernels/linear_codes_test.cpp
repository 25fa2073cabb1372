// Linear over codes with scales, against double precision.
#include "kernel_test.h"

namespace quoin::test {
namespace {

struct CodedWeight {
    DType dtype;
    CodeBlocks form;
    int64_t columns;
    int64_t inner;
    std::vector<std::byte> panels;
    std::vector<double> values;  // [columns][inner]
};

void put_parameter(DType dtype, std::byte* part, int64_t index, float value) {
    switch (dtype) {
        case DType::U8: part[index] = static_cast<std::byte>(value); return;
        case DType::F16: put(part + index * 2, f32_to_f16(value)); return;
        case DType::BF16: put(part + index * 2, f32_to_bf16(value)); return;
        default: put(part + index * 4, value);
    }
}
// As it is after rounding to the type.
float rounded(DType dtype, float value) {
    if (dtype == DType::F16) return f16_to_f32(f32_to_f16(value));
    return dtype == DType::BF16 ? bf16_to_f32(f32_to_bf16(value)) : value;
}

// Panels written element by element from the description in layout.h. What fills up blocks and panels is random where
// no result may depend on it.
CodedWeight make_coded(DType dtype, const CodeBlocks& form, int64_t columns, int64_t inner, Random& random) {
    CodedWeight weight{dtype, form, columns, inner, {}, {}};
    const CodePanel panel = code_panel(dtype, form, inner);
    const auto bits = static_cast<int>(code_bits(dtype));
    const int64_t count = panel_count(columns);
    weight.panels.resize(static_cast<size_t>(count * panel.bytes));
    for (int64_t p = 0; p < count; ++p) random.fill(weight.panels.data() + p * panel.bytes, panel.scales_at);
    weight.values.resize(static_cast<size_t>(columns * inner));
    for (int64_t c = 0; c < count * kPanelColumns; ++c) {
        std::byte* const to = weight.panels.data() + c / kPanelColumns * panel.bytes;
        const int64_t column = c % kPanelColumns;
        for (int64_t block = 0; block < panel.blocks; ++block) {
            const float scale = rounded(form.scales, 0.1F * random.normal());
            auto zero = static_cast<float>(form.zero_point);
            if (form.zero_points == DType::U8) zero = static_cast<float>(random.integer(0, (1 << bits) - 1));
            if (parameter_bytes(form.zero_points) > 1) zero = rounded(form.zero_points, 3 * random.normal());
            const int64_t index = block * kPanelColumns + column;
            put_parameter(form.scales, to + panel.scales_at, index, scale);
            if (form.zero_points != DType::Undefined) {
                put_parameter(form.zero_points, to + panel.zero_points_at, index, zero);
            }
            if (c >= columns) continue;
            for (int64_t k = block * form.block; k < std::min(inner, (block + 1) * form.block); ++k) {
                const int64_t bit = k * bits;
                const auto lane = get<uint32_t>(to + (bit / 32 * kPanelColumns + column) * 4);
                const auto code = static_cast<double>(lane >> bit % 32 & ((1U << bits) - 1));
                weight.values[static_cast<size_t>(c * inner + k)] =
                    (code - static_cast<double>(zero)) * static_cast<double>(scale);
            }
        }
    }
    return weight;
}

struct Operands {
    std::vector<float> x;  // [rows][inner + 3]
    std::vector<float> bias;
    std::vector<float> residual;
};

std::vector<float> run(const KernelTable& table, const CodedWeight& weight, const Operands& operands, int64_t first,
                       int64_t rows) {
    std::vector<float> dst(static_cast<size_t>(rows * weight.columns), -7.0F);
    LinearArgs args = {};
    args.weights = weight.panels.data();
    args.panel_stride = code_panel(weight.dtype, weight.form, weight.inner).bytes;
    args.panels = panel_count(weight.columns);
    args.columns = weight.columns;
    args.src_stride = (weight.inner + 3) * 4;
    args.src = reinterpret_cast<const std::byte*>(operands.x.data()) + first * args.src_stride;
    args.rows = rows;
    args.inner = weight.inner;
    args.bias = operands.bias.data();
    args.residual = operands.residual.data() + first * weight.columns;
    args.residual_stride = weight.columns;
    args.dst = dst.data();
    args.dst_stride = weight.columns;
    args.codes = weight.form;
    const auto kernel = weight.dtype == DType::U2   ? table.linear_u2
                        : weight.dtype == DType::U4 ? table.linear_u4
                                                    : table.linear_u8;
    run_linear(kernel, weight.dtype, args);
    return dst;
}

// Largest error in units of what rounding may do to a sum of that length.
double worst_error(const CodedWeight& weight, const Operands& operands, const std::vector<float>& got) {
    double worst = 0;
    const double growth = 0x1p-24 * (6 + std::sqrt(static_cast<double>(weight.inner)));
    for (size_t at = 0; at < got.size(); ++at) {
        const auto columns = static_cast<size_t>(weight.columns);
        const auto inner = static_cast<size_t>(weight.inner);
        double sum = 0;
        double size = 0;
        const auto add = [&](double term) {
            sum += term;
            size += std::fabs(term);
        };
        add(static_cast<double>(operands.bias[at % columns]));
        add(static_cast<double>(operands.residual[at]));
        for (size_t k = 0; k < inner; ++k) {
            add(static_cast<double>(operands.x[at / columns * (inner + 3) + k]) *
                weight.values[at % columns * inner + k]);
        }
        const double error = std::fabs(static_cast<double>(got[at]) - sum) / (size * growth);
        worst = worse(worst, error);
    }
    return worst;
}

std::vector<CodeBlocks> forms(DType dtype) {
    const int32_t middle = 1 << (code_bits(dtype) - 1);
    return {{16, DType::F32, DType::U8, 0},         {32, DType::F16, DType::Undefined, middle},
            {32, DType::F32, DType::F32, 0},        {48, DType::F32, DType::U8, 0},
            {64, DType::BF16, DType::U8, 0},        {128, DType::F16, DType::F16, 0},
            {128, DType::F32, DType::Undefined, 0}, {16, DType::BF16, DType::BF16, 0}};
}

TEST_CASE("products with codes agree with double precision on every instruction set", "[kernels]") {
    Random random(71);
    constexpr int64_t kMost = 26;
    for (const DType dtype : {DType::U2, DType::U4, DType::U8}) {
        for (const CodeBlocks& form : forms(dtype)) {
            for (const int64_t inner : {1, 16, 31, 96, 128, 200, 544}) {
                for (const int64_t columns : {1, 31, 32, 267}) {  // 267: more panels than go together
                    const CodedWeight weight = make_coded(dtype, form, columns, inner, random);
                    const Operands operands{random.normals(kMost * (inner + 3)), random.normals(columns),
                                            random.normals(kMost * columns)};
                    for (const int64_t rows : {1, 2, 3, 4, 5, 7, 12, 13, 26}) {
                        for (const Isa isa : machine_isas()) {
                            const auto got = run(kernels(isa), weight, operands, 0, rows);
                            CAPTURE(isa_name(isa), dtype_name(dtype), form.block, rows, columns, inner);
                            REQUIRE(worst_error(weight, operands, got) < 1);
                        }
                    }
                }
            }
        }
    }
}

TEST_CASE("a row's product with codes does not depend on the other rows", "[kernels]") {
    Random random(72);
    constexpr int64_t kRows = 29;
    for (const DType dtype : {DType::U2, DType::U4, DType::U8}) {
        for (const CodeBlocks& form : forms(dtype)) {
            for (const int64_t inner : {33, 160, 333}) {
                const CodedWeight weight = make_coded(dtype, form, 40, inner, random);
                const Operands operands{random.normals(kRows * (inner + 3)), random.normals(40),
                                        random.normals(kRows * 40)};
                for (const Isa isa : machine_isas()) {
                    const auto all = run(kernels(isa), weight, operands, 0, kRows);
                    for (const int64_t rows : {1, 2, 3, 4, 6, 12}) {
                        for (int64_t first = 0; first + rows <= kRows; first += rows) {
                            const auto got = run(kernels(isa), weight, operands, first, rows);
                            CAPTURE(isa_name(isa), dtype_name(dtype), form.block, rows, first, inner);
                            REQUIRE(std::equal(got.begin(), got.end(), all.begin() + first * 40,
                                               [](float a, float b) { return same_bits(a, b); }));
                        }
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
