#include "ops/code_formats.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops/code_matrix.h"
#include "ops/weight_kernels.h"

namespace quoin {
namespace {

constexpr int64_t kBlock = 32;  // values of the formats' blocks
// Bytes of a source that a thread packs before it gives their pages back, as pack_weight() does.
constexpr int64_t kPackedTogether = int64_t{1} << 20;

struct Operands {
    const Constant* codes = nullptr;
    const Constant* scales = nullptr;
    const Constant* zeros = nullptr;  // or null
};

// Null codes where an operand is no constant.
Operands operands_of(const Graph& graph, const Node& node) {
    const auto constant = [&](size_t index) -> const Constant* {
        const ValueId id = node.input(index);
        return id == kNoValue || !graph.value(id).constant ? nullptr : &*graph.value(id).constant;
    };
    const Operands operands{constant(0), constant(1), constant(2)};
    const bool all = operands.codes != nullptr && operands.scales != nullptr &&
                     (node.input(2) == kNoValue || operands.zeros != nullptr);
    return all ? operands : Operands{};
}

CodeMatrix matrix_of(const Node& node, const Constant& codes) {
    return {node, codes.dtype(), codes.shape()[0], codes.shape()[1]};
}

// Whether halves hold scales, and 15 times as much where there are minima: none too large, and the largest so large
// that what smaller ones lose at the lower end of halves is less than 2^-12 of it.
Result<bool> fits_halves(const Constant& scales, bool minima) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor values, scales.load());
    const int64_t count = values.shape().element_count().value_or(0);
    float largest = 0;
    bool finite = true;
    for (int64_t index = 0; index < count; ++index) {
        const float magnitude = std::fabs(scale_at(scales.dtype(), values.data(), index));
        finite = finite && std::isfinite(magnitude);
        largest = std::max(largest, magnitude);
    }
    scales.release_source(0, scales.byte_size());
    return finite && largest >= 0x1p-13F && largest <= (minima ? 4096.0F : 65504.0F);
}

// Whether all zero points lie among the codes. They need not, in floats least of all, and then halves round a minimum
// by more than a scale.
Result<bool> are_codes(const CodeMatrix& matrix, const Constant& zeros) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor values, zeros.load());
    const int64_t count = values.shape().element_count().value_or(0);
    const auto largest = static_cast<float>((1 << matrix.bits()) - 1);
    bool all = true;
    for (int64_t index = 0; index < count; ++index) {
        const float zero_point = matrix.zero_point_at(values, index);
        all = all && zero_point >= 0 && zero_point <= largest;
    }
    return all;
}

// Fills one row of blocks.
class BlockWriter {
public:
    BlockWriter(const CodeMatrix& matrix, DType format, const Tensor& codes, const Tensor& scales, const Tensor& zeros)
        : matrix_(matrix), format_(format), codes_(codes), scales_(scales), zeros_(zeros) {}

    void write(int64_t row, std::byte* dst) const {
        for (int64_t column = 0; column < matrix_.columns(); column += kBlock) {
            const int64_t parameter = matrix_.parameter(row, column);
            const float scale = scale_at(scales_.dtype(), scales_.data(), parameter);
            dst = put_half(scale, dst);
            if (format_ == DType::Q4_1) dst = put_half(-scale * matrix_.zero_point_at(zeros_, parameter), dst);
            const std::byte* const from = codes_.data() + (row * matrix_.stored() + column) * matrix_.bits() / 8;
            dst = format_ == DType::Q8_0 ? put_bytes(from, dst) : put_nibbles(from, dst);
        }
    }

private:
    static std::byte* put_half(float value, std::byte* dst) {
        const uint16_t half = f32_to_f16(value);
        std::memcpy(dst, &half, sizeof(half));
        return dst + sizeof(half);
    }
    // Byte i has values i and i + 16, where a row of codes has neighbours.
    std::byte* put_nibbles(const std::byte* from, std::byte* dst) const {
        const auto flip = static_cast<unsigned>(matrix_.offset()) * 0x11U;
        for (int64_t i = 0; i < kBlock / 4; ++i) {
            const unsigned first = static_cast<unsigned>(from[i]) ^ flip;
            const unsigned second = static_cast<unsigned>(from[i + kBlock / 4]) ^ flip;
            dst[2 * i] = static_cast<std::byte>((first & 15U) | (second & 15U) << 4U);
            dst[2 * i + 1] = static_cast<std::byte>((first >> 4U) | (second & 0xF0U));
        }
        return dst + kBlock / 2;
    }
    // Values less 128.
    std::byte* put_bytes(const std::byte* from, std::byte* dst) const {
        const auto flip = static_cast<std::byte>(matrix_.offset() ^ 128);
        for (int64_t i = 0; i < kBlock; ++i) dst[i] = from[i] ^ flip;
        return dst + kBlock;
    }

    const CodeMatrix& matrix_;
    DType format_;
    const Tensor& codes_;
    const Tensor& scales_;
    const Tensor& zeros_;
};

}  // namespace

Result<DType> block_format_of(const Graph& graph, const Node& node) {
    const Operands operands = operands_of(graph, node);
    if (operands.codes == nullptr || operands.codes->shape().rank() != 2 || !is_scale(operands.scales->dtype())) {
        return DType::Undefined;
    }
    const CodeMatrix matrix = matrix_of(node, *operands.codes);
    if (matrix.transposed() || matrix.columns() == 0 || matrix.columns() % kBlock != 0 ||
        matrix.block() % kBlock != 0) {
        return DType::Undefined;
    }
    const bool even = operands.zeros == nullptr;
    DType format = DType::Undefined;
    if (matrix.bits() == 4) format = even && matrix.zero_point() == 8 ? DType::Q4_0 : DType::Q4_1;
    if (matrix.bits() == 8 && even && matrix.zero_point() == 128) format = DType::Q8_0;
    if (format == DType::Undefined) return format;
    if (operands.zeros != nullptr) {
        QUOIN_ASSIGN_OR_RETURN(const bool near, are_codes(matrix, *operands.zeros));
        if (!near) return DType::Undefined;
    }
    QUOIN_ASSIGN_OR_RETURN(const bool fits, fits_halves(*operands.scales, format == DType::Q4_1));
    return fits ? format : DType::Undefined;
}

Result<Constant> pack_codes_in_format(const Runtime& runtime, const Graph& graph, const Node& node, DType format,
                                      std::shared_ptr<std::byte> place) {
    const Operands operands = operands_of(graph, node);
    if (operands.codes == nullptr) {
        return error(StatusCode::Internal, "node '", node.name, "': its codes are no constants");
    }
    const CodeMatrix matrix = matrix_of(node, *operands.codes);
    QUOIN_ASSIGN_OR_RETURN(const Tensor codes, operands.codes->load());
    QUOIN_ASSIGN_OR_RETURN(const Tensor scales, operands.scales->load());
    Tensor zeros;
    if (operands.zeros != nullptr) {
        QUOIN_ASSIGN_OR_RETURN(zeros, operands.zeros->load());
    }
    const BlockWriter writer(matrix, format, codes, scales, zeros);
    const auto pack = weight_kernels(kernels(runtime.isa), format).pack;
    const auto row_bytes = static_cast<int64_t>(byte_size(format, matrix.columns()).value_or(0));
    const int64_t bytes = panel_bytes(format, matrix.columns());
    const int64_t panels = panel_count(matrix.rows());
    const int64_t file_bytes = matrix.row_bits() * kPanelColumns / 8;  // of a panel
    const int64_t run = std::clamp<int64_t>(kPackedTogether / std::max<int64_t>(file_bytes, 1), 1, panels);
    std::atomic<int64_t> next{0};
    std::vector<Buffer> rows;
    for (int thread = 0; thread < runtime.team->size(); ++thread) {
        QUOIN_ASSIGN_OR_RETURN(Buffer buffer,
                               Buffer::allocate(runtime.memory, static_cast<size_t>(kPanelColumns * row_bytes),
                                                "rows of '" + node.name + "'"));
        rows.push_back(std::move(buffer));
    }
    runtime.team->run([&](int thread) {
        std::byte* const row = rows[static_cast<size_t>(thread)].data();
        for (int64_t first = next.fetch_add(run); first < panels; first = next.fetch_add(run)) {
            const int64_t end = std::min(first + run, panels);
            for (int64_t panel = first; panel < end; ++panel) {
                const int64_t column = panel * kPanelColumns;
                const int64_t count = std::min(kPanelColumns, matrix.rows() - column);
                for (int64_t each = 0; each < count; ++each) writer.write(column + each, row + each * row_bytes);
                pack(row, row_bytes, count, matrix.columns(), place.get() + panel * bytes);
            }
            operands.codes->release_source(static_cast<uint64_t>(first * file_bytes),
                                           static_cast<uint64_t>((end - first) * file_bytes));
        }
    });
    for (const Constant* const each : {operands.codes, operands.scales}) each->release_source(0, each->byte_size());
    const Tensor packed(format, Shape{panels, bytes}, place.get(), static_cast<size_t>(panels * bytes), place);
    return Constant(packed, Shape{matrix.rows(), matrix.columns()}, Layout::Panels);
}

}  // namespace quoin
