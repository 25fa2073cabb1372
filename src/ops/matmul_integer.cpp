// MatMulInteger and QLinearMatMul (ONNX): products of 8-bit integers with zero points.
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/matmul_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/quantized.h"
#include "ops/widened.h"

namespace quoin {
namespace {

// Scales or zero points of one operand: one for all, or one for each row (of a) or column (of b) of every batch.
// `axis_from_back` 2: rows, 1: columns.
class PerAxis {
public:
    // nullopt where the shape is neither a scalar nor fits the operand.
    static std::optional<PerAxis> of(const Shape& parameter, const Shape& operand, size_t axis_from_back) {
        PerAxis result;
        result.count_ = parameter.element_count().value_or(0);
        if (result.count_ == 1) return result;
        result.length_ = operand.rank() < axis_from_back ? 1 : operand[operand.rank() - axis_from_back];
        if (parameter.rank() == 1 && parameter[0] == result.length_) return result;
        // [..., rows, 1] or [..., 1, columns]: batches as those of the operand.
        if (parameter.rank() != operand.rank() || operand.rank() < 2) return std::nullopt;
        for (size_t axis = 0; axis < operand.rank(); ++axis) {
            const bool other = axis + 3 - axis_from_back == operand.rank();
            if (parameter[axis] != (other ? 1 : operand[axis])) return std::nullopt;
        }
        result.per_batch_ = true;
        return result;
    }
    // `batch` is that of the operand, counted in its matrices.
    int64_t index(int64_t batch, int64_t row_or_column) const {
        if (count_ == 1) return 0;
        return (per_batch_ ? batch * length_ : 0) + row_or_column;
    }

private:
    int64_t count_ = 1;
    int64_t length_ = 1;
    bool per_batch_ = false;
};

// Element types and the product's shape; `b` is the index of the right operand.
Result<std::optional<std::vector<Dim>>> infer_product(InferContext& context, size_t b) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::U8, DType::I8}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(b, {DType::U8, DType::I8}));
    std::optional<std::vector<Dim>> dims;
    if (context.input(0).dims && context.input(b).dims) {
        QUOIN_ASSIGN_OR_RETURN(dims, matmul_dims(context.node(), *context.input(0).dims, *context.input(b).dims));
    }
    return dims;
}

Status infer_matmul_integer(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(auto dims, infer_product(context, 1));
    context.set_output(0, DType::I32, std::move(dims));
    return {};
}

Status infer_qlinear_matmul(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(auto dims, infer_product(context, 3));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(7, {DType::U8, DType::I8}));
    context.set_output(0, context.input(7).dtype, std::move(dims));
    return {};
}

struct IntegerProduct {
    Shape shape;
    MatMulBatches parts;
    std::vector<int32_t> sums;  // of the result's shape
};

// (a - a_zero) x (b - b_zero), modulo 2^32. Inputs 'a' and 'b' and their zero points by index.
Result<IntegerProduct> multiply(ComputeContext& context, size_t a_index, size_t b_index, size_t a_zero, size_t b_zero) {
    const Tensor& a = context.input(a_index);
    const Tensor& b = context.input(b_index);
    QUOIN_ASSIGN_OR_RETURN(const std::vector<Dim> dims,
                           matmul_dims(context.node(), dims_of_shape(a.shape()), dims_of_shape(b.shape())));
    const std::optional<Shape> shape = shape_of_dims(dims);
    if (!shape) return context.fail("the result has ", dims.size(), " dimensions");
    if (!shape->element_count()) return context.fail("the result has too many elements");
    IntegerProduct product{*shape, matmul_batches(a.shape(), b.shape()), {}};
    QUOIN_ASSIGN_OR_RETURN(std::vector<int32_t> left, byte_integers(context, a_index));
    QUOIN_ASSIGN_OR_RETURN(std::vector<int32_t> right, byte_integers(context, b_index));
    const auto subtract = [&](std::vector<int32_t>& values, size_t zero, const Shape& operand, bool rows) -> Status {
        if (!context.has_input(zero)) return {};
        QUOIN_ASSIGN_OR_RETURN(const std::vector<int32_t> zeros, byte_integers(context, zero));
        const auto per_axis = PerAxis::of(context.input(zero).shape(), operand, rows ? 2 : 1);
        if (!per_axis) {
            return context.fail("the zero point ", to_string(context.input(zero).shape()), " does not fit ",
                                to_string(operand));
        }
        const int64_t columns = operand.rank() < 2 && !rows ? 1 : operand.back();
        const int64_t height = operand.rank() < 2 ? (rows ? 1 : operand.back()) : operand[operand.rank() - 2];
        for (size_t index = 0; index < values.size(); ++index) {
            const auto flat = static_cast<int64_t>(index);
            const int64_t row = flat / columns % height;
            const int64_t at = per_axis->index(flat / (columns * height), rows ? row : flat % columns);
            values[index] -= zeros[static_cast<size_t>(at)];
        }
        return {};
    };
    QUOIN_RETURN_IF_ERROR(subtract(left, a_zero, a.shape(), true));
    QUOIN_RETURN_IF_ERROR(subtract(right, b_zero, b.shape(), false));
    const MatMulBatches& parts = product.parts;
    product.sums.assign(static_cast<size_t>(*shape->element_count()), 0);
    for (int64_t batch = 0; batch < parts.batches; ++batch) {
        const auto offsets = parts.offsets(batch);
        // Unsigned, so that sums wrap.
        add_product<uint32_t>(reinterpret_cast<const uint32_t*>(left.data()) + offsets.a, {parts.inner, 1},
                              reinterpret_cast<const uint32_t*>(right.data()) + offsets.b, {parts.columns, 1},
                              parts.rows, parts.inner, parts.columns,
                              reinterpret_cast<uint32_t*>(product.sums.data()) + batch * parts.rows * parts.columns);
    }
    return product;
}

Status compute_matmul_integer(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const IntegerProduct product, multiply(context, 0, 1, 2, 3));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, DType::I32, product.shape));
    std::ranges::copy(product.sums, y.as<int32_t>().begin());
    return {};
}

Status compute_qlinear_matmul(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const IntegerProduct product, multiply(context, 0, 3, 2, 5));
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(3);
    const auto a_axis = PerAxis::of(context.input(1).shape(), a.shape(), 2);
    const auto b_axis = PerAxis::of(context.input(4).shape(), b.shape(), 1);
    if (!a_axis || !b_axis) return context.fail("a scale does not fit its operand");
    const ReadAs<float> a_scales(context.input(1));
    const ReadAs<float> b_scales(context.input(4));
    QUOIN_ASSIGN_OR_RETURN(const Requantizer requantizer, Requantizer::make(context, 6, 7));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, context.input(7).dtype(), product.shape));
    const MatMulBatches& parts = product.parts;
    const int64_t a_matrix = std::max<int64_t>(1, parts.rows * parts.inner);
    const int64_t b_matrix = std::max<int64_t>(1, parts.inner * parts.columns);
    for (int64_t batch = 0; batch < parts.batches; ++batch) {
        const auto offsets = parts.offsets(batch);
        for (int64_t row = 0; row < parts.rows; ++row) {
            const float a_scale = a_scales[a_axis->index(offsets.a / a_matrix, row)];
            for (int64_t column = 0; column < parts.columns; ++column) {
                const float b_scale = b_scales[b_axis->index(offsets.b / b_matrix, column)];
                const int64_t index = (batch * parts.rows + row) * parts.columns + column;
                requantizer.store(y, index, product.sums[static_cast<size_t>(index)], a_scale * b_scale);
            }
        }
    }
    return {};
}

}  // namespace

extern const OpImplementation kMatMulIntegerOp{infer_matmul_integer, nullptr, compute_matmul_integer};
extern const OpImplementation kQLinearMatMulOp{infer_qlinear_matmul, nullptr, compute_qlinear_matmul};

}  // namespace quoin
