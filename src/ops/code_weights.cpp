// DequantizeBlocks (quoin).
//
// DequantizeBlocks(codes [..., K'], scales [..., K' / block], zero points [..., K' / block]?)
//   {block_size, columns, zero_point = 0, bits, transposed = 0, byte_activations = 0, format}
// -> f32 [..., columns]: (code - zero point) * scale, the first `columns` of every row; the last block may be short.
// Codes are of 2, 4 or 8 bits, signed or not; `bits` 2 or 4 says that bytes (u8, i8) hold several, the first in the
// lowest bits. Zero points have the type of the scales (f32, f16, bf16) where codes are unsigned, or are bytes: u8, i8
// for signed codes. Without them all are `zero_point`. Where `transposed`, all operands are matrices with rows and
// columns exchanged: [K', N], [K' / block, N].
// `byte_activations`: products may round what they multiply with the result to 8 bits. Where they do, `format` is the
// block format (the number of a DType) of the panels that stand for it.
// Of constants that products read, Linear takes the codes as they are (pack_codes); rows of a table are gathered and
// then dequantised.
#include "ops/code_weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "ops/code_formats.h"
#include "ops/code_matrix.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

// Bytes of the file that a thread packs before it gives their pages back, as pack_weight() does.
constexpr int64_t kPackedTogether = int64_t{1} << 20;

// Values of a block of the panels, each with its own copy of the scale: blocks of the file, or parts of them.
int64_t panel_block(int64_t block, int64_t columns) {
    if (block >= columns) return std::min(kMostCodeBlock, (columns + 15) / 16 * 16);
    if (block % 16 != 0) return 0;
    if (block <= kMostCodeBlock) return block;
    return block % kMostCodeBlock == 0 ? kMostCodeBlock : 0;
}

Status check_zero_points(const InferContext& context) {
    const ValueType& codes = context.input(0);
    const ValueType& scales = context.input(1);
    const ValueType& zeros = context.input(2);
    const bool floats = zeros.dtype == scales.dtype && !is_signed_code(codes.dtype);
    if (!floats && zeros.dtype != (is_signed_code(codes.dtype) ? DType::I8 : DType::U8)) {
        return context.fail("the zero points are ", dtype_name(zeros.dtype));
    }
    if (zeros.dims && scales.dims && !std::ranges::equal(*zeros.dims, *scales.dims, may_equal)) {
        return context.fail("the zero points have not the shape of the scales");
    }
    return {};
}

Status infer_dequantize_blocks(InferContext& context) {
    const ValueType& codes = context.input(0);
    const ValueType& scales = context.input(1);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::U2, DType::I2, DType::U4, DType::I4, DType::U8, DType::I8}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32, DType::F16, DType::BF16}));
    const Node& node = context.node();
    const int64_t middle = node.integer("zero_point", 0);
    if (middle < -128 || middle > 255) return context.fail("the zero point is ", middle);
    if (context.has_input(2)) QUOIN_RETURN_IF_ERROR(check_zero_points(context));
    if (!codes.dims || !scales.dims || codes.dtype == DType::Undefined) {
        context.set_output(0, DType::F32, std::nullopt);
        return {};
    }
    if (CodeMatrix::bits_of(node, codes.dtype) == 0) return context.fail("bits do not go with the codes");
    const bool transposed = node.integer("transposed", 0) != 0;
    if (codes.dims->empty() || (transposed && codes.dims->size() != 2) || codes.dims->size() != scales.dims->size()) {
        return context.fail("codes and scales have not the same rank, or are no matrices");
    }
    const size_t inner = transposed ? 0 : codes.dims->size() - 1;
    std::vector<Dim> dims = *codes.dims;
    if (!dims[inner].known()) return context.fail("the length of its rows is not known");
    const CodeMatrix matrix(node, codes.dtype, 1, dims[inner].size);
    if (matrix.block() < 1 || matrix.columns() < 0 || matrix.columns() > matrix.stored()) {
        return context.fail("columns = ", matrix.columns(), " and block_size = ", matrix.block(),
                            " do not go with the codes");
    }
    dims[inner].size = matrix.blocks();
    if (!std::ranges::equal(*scales.dims, dims, may_equal)) {
        return context.fail("the shape of the scales does not go with the codes");
    }
    dims[inner].size = matrix.columns();
    if (transposed) std::swap(dims[0], dims[1]);
    context.set_output(0, DType::F32, std::move(dims));
    return {};
}

CodeMatrix matrix_of(const Node& node, const Shape& codes, DType dtype) {
    if (node.integer("transposed", 0) != 0) return {node, dtype, codes[1], codes[0]};
    const int64_t length = codes.back();
    return {node, dtype, length == 0 ? 0 : codes.element_count().value_or(0) / length, length};
}

Status compute_dequantize_blocks(ComputeContext& context) {
    const Tensor& codes = context.input(0);
    const Tensor& scales = context.input(1);
    const Tensor zeros = context.has_input(2) ? context.input(2) : Tensor();
    const CodeMatrix matrix = matrix_of(context.node(), codes.shape(), codes.dtype());
    std::vector<int64_t> dims(codes.shape().dims().begin(), codes.shape().dims().end());
    if (matrix.transposed()) dims[0] = matrix.rows();
    dims.back() = matrix.columns();
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, DType::F32, Shape(std::span<const int64_t>(dims))));
    float* to = result.as<float>().data();
    for (int64_t row = 0; row < matrix.rows(); ++row) {
        for (int64_t first = 0; first < matrix.columns(); first += matrix.block()) {
            const int64_t parameter = matrix.parameter(row, first);
            const float zero = matrix.zero_point_at(zeros, parameter);
            const float scale = scale_at(scales.dtype(), scales.data(), parameter);
            const int64_t end = std::min(first + matrix.block(), matrix.columns());
            for (int64_t column = first; column < end; ++column) {
                *to++ = (static_cast<float>(matrix.code(codes.data(), row, column)) - zero) * scale;
            }
        }
    }
    return {};
}

// ---- panels ---------------------------------------------------------------------------------------------------

struct CodeOperands {
    const Constant* codes;
    const Constant* scales;
    const Constant* zeros;  // or null
};

Result<CodeOperands> operands_of(const Graph& graph, const Node& node) {
    const auto constant = [&](size_t index) -> const Constant* {
        const ValueId id = node.input(index);
        return id == kNoValue || !graph.value(id).constant ? nullptr : &*graph.value(id).constant;
    };
    const CodeOperands operands{constant(0), constant(1), constant(2)};
    if (operands.codes == nullptr || operands.scales == nullptr ||
        (node.input(2) != kNoValue && operands.zeros == nullptr)) {
        return error(StatusCode::Unsupported, "node '", node.name, "' (", op_info(node.op).name,
                     "): an operand is no constant");
    }
    return operands;
}

CodeBlocks form_of(const CodeMatrix& matrix, const CodeOperands& operands) {
    CodeBlocks form;
    form.block = panel_block(matrix.block(), matrix.columns());
    form.scales = operands.scales->dtype();
    if (operands.zeros == nullptr) {
        form.zero_point = matrix.zero_point();
    } else {
        form.zero_points = is_scale(operands.zeros->dtype()) ? operands.zeros->dtype() : DType::U8;
    }
    return form;
}

// Fills panels; each is a task.
class CodePacker {
public:
    CodePacker(const CodeMatrix& matrix, const CodeBlocks& form, const Tensor& codes, const Tensor& scales,
               const Tensor& zeros, decltype(KernelTable::pack_f32) pack_words)
        : matrix_(matrix),
          form_(form),
          panel_(code_panel(matrix.packed_dtype(), form, matrix.columns())),
          codes_(codes),
          scales_(scales),
          zeros_(zeros),
          pack_words_(pack_words) {}

    int64_t panel_bytes() const { return panel_.bytes; }

    void pack(int64_t panel, std::byte* dst) const {
        const int64_t first = panel * kPanelColumns;
        const int64_t count = std::min(kPanelColumns, matrix_.rows() - first);
        std::memset(dst + panel_.scales_at, 0, static_cast<size_t>(panel_.bytes - panel_.scales_at));
        // Rows of whole lanes only change places; whatever stands behind K meets no activation.
        if (!matrix_.transposed() && matrix_.row_bits() % 32 == 0) {
            move_lanes(first, count, dst);
        } else {
            gather_codes(first, count, dst);
        }
        copy_parameters(scales_, first, count, 0, dst + panel_.scales_at);
        if (zeros_.dtype() == DType::Undefined) return;
        copy_parameters(zeros_, first, count, matrix_.offset(), dst + panel_.zero_points_at);
    }

private:
    int64_t lanes() const { return panel_.blocks * form_.block * matrix_.bits() / 32; }

    void move_lanes(int64_t first, int64_t count, std::byte* dst) const {
        const int64_t row_bytes = matrix_.row_bits() / 8;
        const int64_t filled = std::min(lanes(), row_bytes / 4);
        pack_words_(codes_.data() + first * row_bytes, row_bytes, count, filled, dst);
        std::byte* const end = dst + filled * kPanelColumns * 4;
        std::memset(end, 0, static_cast<size_t>(dst + panel_.scales_at - end));
        if (matrix_.offset() == 0) return;
        const auto flip = static_cast<uint32_t>(matrix_.offset()) * (matrix_.bits() == 8   ? 0x01010101U
                                                                     : matrix_.bits() == 4 ? 0x11111111U
                                                                                           : 0x55555555U);
        auto* const words = reinterpret_cast<uint32_t*>(dst);
        for (int64_t i = 0; i < filled * kPanelColumns; ++i) words[i] ^= flip;
    }

    void gather_codes(int64_t first, int64_t count, std::byte* dst) const {
        std::memset(dst, 0, static_cast<size_t>(panel_.scales_at));
        const int64_t each = 32 / matrix_.bits();
        auto* const words = reinterpret_cast<uint32_t*>(dst);
        for (int64_t k = 0; k < matrix_.columns(); ++k) {
            const auto shift = static_cast<uint32_t>(k % each * matrix_.bits());
            uint32_t* const row = words + k / each * kPanelColumns;
            for (int64_t c = 0; c < count; ++c) {
                row[c] |= uint32_t{matrix_.code(codes_.data(), first + c, k)} << shift;
            }
        }
    }

    void copy_parameters(const Tensor& from, int64_t first, int64_t count, int raise, std::byte* dst) const {
        const auto size = static_cast<size_t>(parameter_bytes(from.dtype() == DType::I8 ? DType::U8 : from.dtype()));
        for (int64_t block = 0; block < panel_.blocks; ++block) {
            for (int64_t c = 0; c < count; ++c) {
                const int64_t index = matrix_.parameter(first + c, block * form_.block);
                std::byte* const to = dst + (block * kPanelColumns + c) * static_cast<int64_t>(size);
                std::memcpy(to, from.data() + index * static_cast<int64_t>(size), size);
                if (raise != 0) *to = static_cast<std::byte>(static_cast<int>(*to) + raise);
            }
        }
    }

    const CodeMatrix& matrix_;
    CodeBlocks form_;
    CodePanel panel_;
    const Tensor& codes_;
    const Tensor& scales_;
    const Tensor& zeros_;
    decltype(KernelTable::pack_f32) pack_words_;
};

}  // namespace

DType chosen_format(const Node& node) {
    return dtype_from_number(static_cast<uint32_t>(node.integer("format", 0))).value_or(DType::Undefined);
}

bool packs_codes(DType codes, DType scales, int64_t block, int64_t columns) {
    return unsigned_codes(codes) != DType::Undefined && is_scale(scales) && block > 0 && columns > 0 &&
           panel_block(block, columns) != 0;
}

Result<size_t> packed_code_bytes(const Graph& graph, const Node& node) {
    QUOIN_ASSIGN_OR_RETURN(const CodeOperands operands, operands_of(graph, node));
    const CodeMatrix matrix = matrix_of(node, operands.codes->shape(), operands.codes->dtype());
    if (const DType format = chosen_format(node); format != DType::Undefined) {
        return static_cast<size_t>(panel_count(matrix.rows()) * panel_bytes(format, matrix.columns()));
    }
    if (!packs_codes(matrix.packed_dtype(), operands.scales->dtype(), matrix.block(), matrix.columns())) {
        return error(StatusCode::Unsupported, "node '", node.name, "': no matrix kernel for ",
                     dtype_name(matrix.packed_dtype()), " in blocks of ", matrix.block());
    }
    const CodePanel panel = code_panel(matrix.packed_dtype(), form_of(matrix, operands), matrix.columns());
    return static_cast<size_t>(panel_count(matrix.rows()) * panel.bytes);
}

Result<Constant> pack_codes(const Runtime& runtime, const Graph& graph, const Node& node,
                            std::shared_ptr<std::byte> place) {
    if (const DType format = chosen_format(node); format != DType::Undefined) {
        return pack_codes_in_format(runtime, graph, node, format, std::move(place));
    }
    QUOIN_ASSIGN_OR_RETURN(const CodeOperands operands, operands_of(graph, node));
    const CodeMatrix matrix = matrix_of(node, operands.codes->shape(), operands.codes->dtype());
    const CodeBlocks form = form_of(matrix, operands);
    QUOIN_ASSIGN_OR_RETURN(const Tensor codes, operands.codes->load());
    QUOIN_ASSIGN_OR_RETURN(const Tensor scales, operands.scales->load());
    Tensor zeros;
    if (operands.zeros != nullptr) {
        QUOIN_ASSIGN_OR_RETURN(zeros, operands.zeros->load());
    }
    const CodePacker packer(matrix, form, codes, scales, zeros, kernels(runtime.isa).pack_f32);
    const int64_t panels = panel_count(matrix.rows());
    const int64_t file_bytes = matrix.row_bits() * kPanelColumns / 8;  // of a panel
    const int64_t run = std::clamp<int64_t>(kPackedTogether / std::max<int64_t>(file_bytes, 1), 1, panels);
    std::atomic<int64_t> next{0};
    runtime.team->run([&](int /*thread*/) {
        for (int64_t first = next.fetch_add(run); first < panels; first = next.fetch_add(run)) {
            const int64_t end = std::min(first + run, panels);
            for (int64_t panel = first; panel < end; ++panel) {
                packer.pack(panel, place.get() + panel * packer.panel_bytes());
            }
            if (matrix.transposed() || end == panels) continue;
            operands.codes->release_source(static_cast<uint64_t>(first * file_bytes),
                                           static_cast<uint64_t>((end - first) * file_bytes));
        }
    });
    // And pages across two runs.
    for (const Constant* const each : {operands.codes, operands.scales}) each->release_source(0, each->byte_size());
    const int64_t bytes = packer.panel_bytes();
    const Tensor packed(matrix.packed_dtype(), Shape{panels, bytes}, place.get(), static_cast<size_t>(panels * bytes),
                        place);
    return Constant(packed, Shape{matrix.rows(), matrix.columns()}, form);
}

void unpack_code_column(DType codes, const CodeBlocks& form, const std::byte* panel, int64_t column, int64_t inner,
                        float* dst) {
    const CodePanel parts = code_panel(codes, form, inner);
    const auto bits = static_cast<int>(code_bits(codes));
    const int64_t each = 32 / bits;
    for (int64_t k = 0; k < inner; ++k) {
        const int64_t parameter = k / form.block * kPanelColumns + column;
        const auto lane = reinterpret_cast<const uint32_t*>(panel)[k / each * kPanelColumns + column];
        const auto code = static_cast<float>(lane >> (k % each * bits) & ((1U << bits) - 1));
        float zero = static_cast<float>(form.zero_point);
        if (form.zero_points == DType::U8) {
            zero = static_cast<float>(static_cast<uint8_t>(panel[parts.zero_points_at + parameter]));
        } else if (form.zero_points != DType::Undefined) {
            zero = scale_at(form.zero_points, panel + parts.zero_points_at, parameter);
        }
        dst[k] = (code - zero) * scale_at(form.scales, panel + parts.scales_at, parameter);
    }
}

extern const OpImplementation kDequantizeBlocksOp{infer_dequantize_blocks, nullptr, compute_dequantize_blocks};

}  // namespace quoin
