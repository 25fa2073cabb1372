// Quantized operators of com.microsoft: dequantize, compute, quantize; a pass of the optimizer finds them again.
#include <algorithm>

#include "core/rounding.h"
#include "load/onnx_contrib.h"

namespace quoin::onnx {
namespace {

// Operands of a tensor: itself, its scale and its zero point begin at `first`.
ValueId dequantized(NodeDraft& draft, size_t first) {
    return draft.add(Op::DequantizeLinear, {draft.input(first), draft.input(first + 1), draft.input(first + 2)});
}

// Finishes the node with x quantized to the type of the zero point or, without one, of input `like`.
Status quantize(NodeDraft& draft, ValueId x, ValueId scale, ValueId zero_point, size_t like) {
    if (scale == kNoValue) return draft.invalid("the scale of the output is left out");
    Attributes attributes;
    if (zero_point == kNoValue) {
        const DType dtype = draft.dtype(draft.input(like));
        if (dtype == DType::Undefined) return draft.unsupported("the output has no zero point and no known type");
        attributes.emplace_back("output_dtype", static_cast<int64_t>(dtype));
    }
    draft.finish({draft.add(Op::QuantizeLinear, {x, scale, zero_point}, std::move(attributes))});
    return {};
}

// Channels before or behind the other dims.
std::vector<int64_t> channels_first(size_t rank) {
    std::vector<int64_t> order{0, static_cast<int64_t>(rank) - 1};
    for (size_t axis = 1; axis + 1 < rank; ++axis) order.push_back(static_cast<int64_t>(axis));
    return order;
}
std::vector<int64_t> channels_last(size_t rank) {
    std::vector<int64_t> order{0};
    for (size_t axis = 2; axis < rank; ++axis) order.push_back(static_cast<int64_t>(axis));
    order.push_back(1);
    return order;
}

}  // namespace

Status quantized_binary(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    if (!draft.has_input(3) || !draft.has_input(4)) return draft.invalid("the second operand is left out");
    const Op op = draft.op_type == "QLinearAdd" ? Op::Add : Op::Mul;
    const ValueId a = dequantized(draft, 0);
    const ValueId b = dequantized(draft, 3);
    return quantize(draft, draft.add(op, {a, b}), draft.input(6), draft.input(7), 0);
}

Status quantized_activation(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const ValueId x = dequantized(draft, 0);
    const ValueId y = draft.op_type == "QLinearSigmoid"
                          ? draft.add(Op::Sigmoid, {x})
                          : draft.add(Op::LeakyRelu, {x}, {{"alpha", draft.number("alpha", 0.01F)}});
    return quantize(draft, y, draft.input(3), draft.input(4), 0);
}

Status quantized_softmax(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const int64_t axis = draft.integer("axis", -1);
    const ValueId x = dequantized(draft, 0);
    ValueId y = kNoValue;
    if (draft.integer("opset", 0) >= 13 || axis == -1) {
        y = draft.add(Op::Softmax, {x}, {{"axis", axis}});
    } else {
        const ValueId matrix = draft.add(Op::Flatten, {x}, {{"axis", axis}});
        const ValueId rows = draft.add(Op::Softmax, {matrix}, {{"axis", int64_t{-1}}});
        y = draft.add(Op::Reshape, {rows, draft.add(Op::Shape, {x})}, {{"allowzero", int64_t{1}}});
    }
    return quantize(draft, y, draft.input(3), draft.input(4), 0);
}

Status quantized_concat(NodeDraft& draft) {
    if (draft.inputs.size() < 5) return draft.invalid("has ", draft.inputs.size(), " inputs");
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 4));
    std::vector<ValueId> operands;
    for (size_t first = 2; first + 1 < draft.inputs.size(); first += 3) {
        if (!draft.has_input(first) || !draft.has_input(first + 1)) return draft.invalid("a part is left out");
        operands.push_back(dequantized(draft, first));
    }
    return quantize(draft, concat(draft, std::move(operands), draft.integer("axis", 0)), draft.input(0), draft.input(1),
                    2);
}

Status quantized_average_pool(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const std::optional<std::vector<int64_t>> kernel = draft.integers("kernel_shape");
    if (!kernel) return draft.invalid("the attribute 'kernel_shape' is missing");
    const bool last = draft.integer("channels_last", 0) != 0;
    draft.take("channels_last");
    const size_t rank = kernel->size() + 2;
    ValueId x = dequantized(draft, 0);
    if (last) x = transpose(draft, x, channels_first(rank));
    ValueId y = draft.add(Op::AveragePool, {x}, draft.attributes);
    if (last) y = transpose(draft, y, channels_last(rank));
    return quantize(draft, y, draft.input(3), draft.input(4), 0);
}

Status quantized_global_pool(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    ValueId x = dequantized(draft, 0);
    if (draft.integer("channels_last", 0) == 0) {
        x = draft.add(Op::GlobalAveragePool, {x});
    } else {
        // Everything between the batch and the channels, whatever the rank.
        const ValueId rank = draft.add(Op::Size, {draft.add(Op::Shape, {x})});
        const ValueId behind = draft.add(Op::Sub, {rank, draft.scalar(1)});
        const ValueId axes = draft.add(Op::Range, {draft.scalar(1), behind, draft.scalar(1)});
        x = draft.add(Op::ReduceMean, {x, axes}, {{"keepdims", int64_t{1}}});
    }
    return quantize(draft, x, draft.input(3), draft.input(4), 0);
}

Status channels_last_max_pool(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    const std::optional<std::vector<int64_t>> kernel = draft.integers("kernel_shape");
    if (!kernel) return draft.invalid("the attribute 'kernel_shape' is missing");
    const size_t rank = kernel->size() + 2;
    const ValueId x = transpose(draft, draft.input(0), channels_first(rank));
    draft.finish({transpose(draft, draft.add(Op::MaxPool, {x}, draft.attributes), channels_last(rank))});
    return {};
}

ValueId integer_product(NodeDraft& draft, const IntegerProduct& operands) {
    const ValueId integers =
        draft.add(Op::MatMulInteger, {operands.a, operands.b, operands.a_zero_point, operands.b_zero_point});
    const ValueId scale = draft.add(Op::Mul, {operands.a_scale, operands.b_scale});
    const ValueId product = draft.add(Op::Mul, {draft.add(Op::CastLike, {integers, scale}), scale});
    return add_optional(draft, product, operands.bias);
}

Status integer_matmul_to_float(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 4));
    draft.finish({integer_product(draft, {draft.input(0), draft.input(1), draft.input(2), draft.input(3),
                                          draft.input(4), draft.input(5), draft.input(6)})});
    return {};
}

Status dynamic_quantize_matmul(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    const std::vector<ValueId> a = draft.add_many(Op::DynamicQuantizeLinear, {draft.input(0)}, 3);
    draft.finish(
        {integer_product(draft, {a[0], draft.input(1), a[1], draft.input(2), a[2], draft.input(3), draft.input(4)})});
    return {};
}

// ---- MatMulNBits

namespace {

struct BitMatrix {
    int64_t rows = 0;     // N
    int64_t columns = 0;  // K
    int64_t block = 0;
    int64_t bits = 0;
    DType dtype = DType::Undefined;
    int64_t blocks() const { return divide_up(columns, block); }
};

Result<BitMatrix> bit_matrix(const NodeDraft& draft) {
    const BitMatrix matrix{draft.integer("N", 0), draft.integer("K", 0), draft.integer("block_size", 0),
                           draft.integer("bits", 4)};
    constexpr int64_t kMost = int64_t{1} << 31;
    const bool sound = matrix.rows > 0 && matrix.rows < kMost && matrix.columns > 0 && matrix.columns < kMost &&
                       matrix.block >= 16 && matrix.block < kMost && (matrix.block & (matrix.block - 1)) == 0;
    if (!sound) {
        return draft.invalid("N = ", matrix.rows, ", K = ", matrix.columns, ", block_size = ", matrix.block,
                             " describe no matrix in blocks");
    }
    BitMatrix result = matrix;
    switch (matrix.bits) {
        case 2: result.dtype = DType::U2; return result;
        case 4: result.dtype = DType::U4; return result;
        case 8: result.dtype = DType::U8; return result;
        default: return draft.unsupported("weights of ", matrix.bits, " bits are not known here");
    }
}

// The bytes of a constant as elements of another type; they are shared.
Result<ValueId> seen_as(NodeDraft& draft, size_t input, DType dtype, const Shape& shape) {
    const Value& value = draft.graph().value(draft.input(input));
    if (!value.constant) return draft.unsupported("input ", input, " must be a constant");
    const std::optional<int64_t> count = shape.element_count();
    const std::optional<size_t> bytes = count ? byte_size(dtype, *count) : std::nullopt;
    if (value.constant->dtype() != DType::U8 || bytes != value.constant->byte_size()) {
        return draft.invalid("input ", input, " is ", dtype_name(value.constant->dtype()),
                             to_string(value.constant->shape()), " where ", dtype_name(dtype), to_string(shape),
                             " in u8 is needed");
    }
    Constant constant = value.constant->with_type(dtype, shape);
    return draft.graph().add_constant(value.name, std::move(constant));
}

// Zero points [N, blocks] in bytes of which every row has whole ones, as a byte each.
Result<ValueId> unpacked_zero_points(NodeDraft& draft, const BitMatrix& matrix) {
    const int64_t per_byte = 8 / matrix.bits;
    const int64_t row_bytes = divide_up(matrix.blocks(), per_byte);
    QUOIN_ASSIGN_OR_RETURN(const ValueId seen, seen_as(draft, 3, DType::U8, {matrix.rows, row_bytes}));
    if (per_byte == 1) return seen;
    QUOIN_ASSIGN_OR_RETURN(const Tensor from, draft.graph().value(seen).constant->load());
    QUOIN_ASSIGN_OR_RETURN(const Tensor to,
                           Tensor::allocate(draft.memory(), DType::U8, {matrix.rows, matrix.blocks()}, "zero points"));
    const auto source = from.as<const uint8_t>();
    const auto target = to.as<uint8_t>();
    const auto mask = static_cast<uint8_t>((1U << matrix.bits) - 1U);
    for (int64_t index = 0; index < matrix.rows * matrix.blocks(); ++index) {
        const int64_t block = index % matrix.blocks();
        const int64_t place = index / matrix.blocks() * row_bytes + block / per_byte;
        target[static_cast<size_t>(index)] =
            static_cast<uint8_t>((source[static_cast<size_t>(place)] >> (block % per_byte * matrix.bits)) & mask);
    }
    return draft.constant(to);
}

// Floats [N, blocks] in an input that must be constant.
Result<ValueId> block_floats(NodeDraft& draft, size_t input, const BitMatrix& matrix) {
    const Value& value = draft.graph().value(draft.input(input));
    if (!value.constant) return draft.unsupported("input ", input, " must be a constant");
    const DType dtype = value.constant->dtype();
    const Shape shape{matrix.rows, matrix.blocks()};
    const bool floats = dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
    if (!floats || value.constant->shape().element_count() != shape.element_count()) {
        return draft.invalid("input ", input, " is ", dtype_name(dtype), to_string(value.constant->shape()),
                             " where floats ", to_string(shape), " are needed");
    }
    Constant constant = value.constant->with_type(dtype, shape);
    return draft.graph().add_constant(value.name, std::move(constant));
}

}  // namespace

Status matmul_of_bits(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    QUOIN_RETURN_IF_ERROR(refuse_inputs(draft, {4}));
    QUOIN_RETURN_IF_ERROR(refuse_flags(draft, {"weight_prepacked"}));
    QUOIN_ASSIGN_OR_RETURN(const BitMatrix matrix, bit_matrix(draft));
    const Shape stored{matrix.rows, matrix.blocks() * matrix.block};
    QUOIN_ASSIGN_OR_RETURN(const ValueId codes, seen_as(draft, 1, matrix.dtype, stored));
    QUOIN_ASSIGN_OR_RETURN(const ValueId scales, block_floats(draft, 2, matrix));
    std::vector<ValueId> operands{codes, scales};
    if (draft.has_input(3)) {
        const bool packed = draft.dtype(draft.input(3)) == DType::U8;
        Result<ValueId> zero_points = packed ? unpacked_zero_points(draft, matrix) : block_floats(draft, 3, matrix);
        if (!zero_points.ok()) return zero_points.status();
        operands.push_back(*zero_points);
    }
    // Without zero points, the middle of the range.
    std::vector<std::pair<std::string, Attribute>> attributes{
        {"block_size", matrix.block}, {"columns", matrix.columns}, {"zero_point", int64_t{1} << (matrix.bits - 1)}};
    // Activations may be rounded to 8 bits; other levels ask for more than that.
    constexpr int64_t kBytes = 4;
    if (draft.integer("accuracy_level", 0) == kBytes) attributes.emplace_back("byte_activations", int64_t{1});
    const ValueId weight = draft.add(Op::DequantizeBlocks, std::move(operands), std::move(attributes));
    // Halves are widened, multiplied in f32 and rounded once.
    const DType dtype = draft.dtype(scales);
    const auto cast = [&](ValueId value, DType to) {
        if (dtype == DType::F32 || value == kNoValue) return value;
        return draft.add(Op::Cast, {value}, {{"to", static_cast<int64_t>(to)}});
    };
    std::vector<ValueId> factors{cast(draft.input(0), DType::F32), weight};
    if (draft.has_input(5)) factors.push_back(cast(draft.input(5), DType::F32));
    draft.finish({cast(draft.add(Op::Linear, std::move(factors)), dtype)});
    return {};
}

Status gather_of_blocks(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    const Value& data = draft.graph().value(draft.input(0));
    if (!data.constant) return draft.unsupported("input 0 must be a constant");
    const Constant codes = *data.constant;
    if (codes.shape().rank() != 2 || draft.integer("gather_axis", 0) != 0 ||
        (draft.integer("quantize_axis", 1) != 1 && draft.integer("quantize_axis", 1) != -1)) {
        return draft.unsupported("only rows of a matrix with blocks along its rows are gathered here");
    }
    if (codes.dtype() == DType::U8) {
        // Bytes of one or several codes, which are raised to the middle of their range.
        const int64_t bits = draft.integer("bits", 4);
        if (bits != 2 && bits != 4 && bits != 8)
            return draft.unsupported("codes of ", bits, " bits are not known here");
        const int64_t columns = codes.shape()[1] * (8 / bits);
        const int64_t block = draft.integer("block_size", 128);
        if (columns == 0 || block < 1) return draft.invalid("rows of ", columns, " in blocks of ", block);
        const BitMatrix matrix{codes.shape()[0], columns, std::min(block, columns), bits};
        QUOIN_ASSIGN_OR_RETURN(const ValueId scales, block_floats(draft, 2, matrix));
        std::vector<ValueId> operands{draft.input(0), scales};
        if (draft.has_input(3)) {
            QUOIN_ASSIGN_OR_RETURN(const ValueId zero_points, unpacked_zero_points(draft, matrix));
            operands.push_back(zero_points);
        }
        for (ValueId& operand : operands) operand = draft.add(Op::Gather, {operand, draft.input(1)});
        const ValueId rows = draft.add(Op::DequantizeBlocks, std::move(operands),
                                       {{"block_size", matrix.block},
                                        {"columns", matrix.columns},
                                        {"bits", bits},
                                        {"zero_point", int64_t{1} << (bits - 1)}});
        const DType dtype = draft.dtype(scales);
        draft.finish({dtype == DType::F32 ? rows : draft.add(Op::Cast, {rows}, {{"to", static_cast<int64_t>(dtype)}})});
        return {};
    }
    // As in the standard.
    const ValueId table = draft.add(Op::DequantizeLinear, {draft.input(0), draft.input(2), draft.input(3)},
                                    {{"axis", int64_t{1}}, {"block_size", draft.integer("block_size", 128)}});
    draft.finish({draft.add(Op::Gather, {table, draft.input(1)})});
    return {};
}

}  // namespace quoin::onnx
