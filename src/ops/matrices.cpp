// Det, EyeLike, Range, Trilu (ONNX).
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

// ---- Det of the last two axes

Status infer_det(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    const std::vector<Dim>& dims = *input.dims;
    if (dims.size() < 2) return context.fail("the input has ", dims.size(), " dimensions; a matrix has two");
    const Dim& rows = dims[dims.size() - 2];
    const Dim& columns = dims[dims.size() - 1];
    if (rows.known() && columns.known() && rows.size != columns.size) {
        return context.fail("a matrix of ", rows.size, " rows and ", columns.size, " columns has no determinant");
    }
    context.set_output(0, input.dtype, std::vector<Dim>(dims.begin(), dims.end() - 2));
    return {};
}

// Elimination with the largest pivot of the column. The matrix [size, size] is lost.
double determinant(std::span<double> matrix, size_t size) {
    double result = 1;
    for (size_t column = 0; column < size; ++column) {
        size_t pivot = column;
        for (size_t row = column + 1; row < size; ++row) {
            if (std::abs(matrix[row * size + column]) > std::abs(matrix[pivot * size + column])) pivot = row;
        }
        if (matrix[pivot * size + column] == 0) return 0;
        if (pivot != column) {
            result = -result;
            for (size_t each = 0; each < size; ++each) {
                std::swap(matrix[pivot * size + each], matrix[column * size + each]);
            }
        }
        const double diagonal = matrix[column * size + column];
        result *= diagonal;
        for (size_t row = column + 1; row < size; ++row) {
            const double factor = matrix[row * size + column] / diagonal;
            for (size_t each = column; each < size; ++each) {
                matrix[row * size + each] -= factor * matrix[column * size + each];
            }
        }
    }
    return result;
}

Status compute_det(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const std::span<const int64_t> dims = input.shape().dims();
    const Shape shape(dims.first(dims.size() - 2));
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), shape));
    const auto size = static_cast<size_t>(dims.back());
    std::vector<double> matrix(size * size);
    visit_floats(input.dtype(), [&]<class T>() {
        const auto from = input.as<const T>();
        const auto to = output.as<T>();
        for (size_t each = 0; each < to.size(); ++each) {
            for (size_t index = 0; index < matrix.size(); ++index) {
                matrix[index] = static_cast<double>(to_arithmetic(from[each * matrix.size() + index]));
            }
            to[each] = static_cast<T>(static_cast<Arithmetic<T>>(determinant(matrix, size)));
        }
    });
    return {};
}

// ---- EyeLike

std::optional<DType> dtype_attribute(const Node& node, DType fallback) {
    const int64_t number = node.integer("dtype", static_cast<int64_t>(fallback));
    if (number < 0 || number > std::numeric_limits<uint8_t>::max()) return std::nullopt;
    return dtype_from_number(static_cast<uint32_t>(number));
}

Status infer_eye(InferContext& context) {
    const ValueType& input = context.input(0);
    const std::optional<DType> dtype = dtype_attribute(context.node(), input.dtype);
    if (!dtype || !visit_numbers_and_bool(*dtype, []<class T>() {})) {
        return context.fail("the attribute 'dtype' is no type of numbers");
    }
    if (input.dims && input.dims->size() != 2) {
        return context.fail("the input has ", input.dims->size(), " dimensions where a matrix has two");
    }
    context.set_output(0, *dtype, input.dims);
    return {};
}

Status compute_eye(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const std::optional<DType> dtype = dtype_attribute(context.node(), input.dtype());
    if (!dtype || input.shape().rank() != 2) return context.fail("the input is no matrix");
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, *dtype, input.shape()));
    const int64_t diagonal = context.node().integer("k", 0);
    const int64_t columns = input.shape()[1];
    visit_numbers_and_bool(*dtype, [&]<class T>() {
        const auto to = output.as<T>();
        std::fill(to.begin(), to.end(), static_cast<T>(Arithmetic<T>{0}));
        for (int64_t row = 0; row < input.shape()[0]; ++row) {
            int64_t column = 0;
            if (__builtin_add_overflow(row, diagonal, &column) || column < 0 || column >= columns) continue;
            to[static_cast<size_t>(row * columns + column)] = static_cast<T>(Arithmetic<T>{1});
        }
    });
    return {};
}

// ---- Range

Status expect_scalar(const InferContext& context, size_t index) {
    const ValueType& input = context.input(index);
    if (!input.is_static()) return {};
    for (const Dim& dim : *input.dims) {
        if (dim.size != 1) return context.fail("input ", index, " is no scalar");
    }
    return {};
}

// How many steps lead from start to the limit; nullopt when they cannot be counted.
template <class A>
std::optional<int64_t> range_count(A start, A limit, A delta) {
    if constexpr (std::is_integral_v<A>) {
        if (delta > 0 ? start >= limit : start <= limit) return 0;
        // Unsigned, as the distance may be more than the type holds.
        const auto wide = [](A value) { return static_cast<uint64_t>(static_cast<int64_t>(value)); };
        const uint64_t distance = delta > 0 ? wide(limit) - wide(start) : wide(start) - wide(limit);
        const uint64_t step = delta > 0 ? wide(delta) : uint64_t{0} - wide(delta);
        const uint64_t count = (distance - 1) / step + 1;
        if (count > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
        return static_cast<int64_t>(count);
    } else {
        const double count =
            std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta));
        if (std::isnan(count) || count > 0x1p62) return std::nullopt;
        return count < 0 ? 0 : static_cast<int64_t>(count);
    }
}

Status infer_range(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, common_dtype(context, 0, 3));
    for (size_t index = 0; index < 3; ++index) QUOIN_RETURN_IF_ERROR(expect_scalar(context, index));
    if (dtype != DType::Undefined && !visit_numbers(dtype, []<class T>() {})) {
        return context.fail("the element type ", dtype_name(dtype), " has no ranges");
    }
    context.set_output(0, dtype, std::vector<Dim>(1));
    std::array<Tensor, 3> bounds;
    for (size_t index = 0; index < 3; ++index) {
        const std::optional<Result<Tensor>> known = context.constant(index);
        if (!known) return {};
        if (!known->ok()) return known->status();
        bounds[index] = **known;
        if (bounds[index].dtype() != dtype || bounds[index].shape().element_count() != 1) {
            return context.fail("input ", index, " is no scalar");
        }
    }
    Status status;
    visit_numbers(dtype, [&]<class T>() {
        const auto value = [&](size_t index) { return to_arithmetic(bounds[index].as<const T>()[0]); };
        if (value(2) == Arithmetic<T>{0}) {
            status = context.fail("the step is 0");
        } else if (const auto count = range_count(value(0), value(1), value(2))) {
            context.set_output(0, dtype, std::vector<Dim>{{.size = *count}});
        } else {
            status = context.fail("the range has too many elements");
        }
    });
    return status;
}

Status compute_range(ComputeContext& context) {
    const DType dtype = context.input(0).dtype();
    for (size_t index = 0; index < 3; ++index) {
        if (context.input(index).dtype() != dtype || context.input(index).shape().element_count() != 1) {
            return context.fail("input ", index, " is no scalar of the type of input 0");
        }
    }
    Status status;
    visit_numbers(dtype, [&]<class T>() {
        const auto value = [&](size_t index) { return to_arithmetic(context.input(index).as<const T>()[0]); };
        const auto start = value(0);
        const auto delta = value(2);
        const auto count = delta == Arithmetic<T>{0} ? std::nullopt : range_count(start, value(1), delta);
        if (!count) {
            status = context.fail("the range has no end");
            return;
        }
        const Result<Tensor> output = context.output(0, dtype, Shape{*count});
        if (!output.ok()) {
            status = output.status();
            return;
        }
        const auto to = output->template as<T>();
        for (size_t index = 0; index < to.size(); ++index) {
            if constexpr (std::is_integral_v<T>) {
                to[index] = static_cast<T>(static_cast<uint64_t>(start) + index * static_cast<uint64_t>(delta));
            } else {
                to[index] = static_cast<T>(start + static_cast<Arithmetic<T>>(index) * delta);
            }
        }
    });
    return status;
}

// ---- Trilu

Status infer_trilu(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    if (input.dims && input.dims->size() < 2) {
        return context.fail("the input has ", input.dims->size(), " dimensions; a matrix has two");
    }
    context.set_output(0, input.dtype, input.dims);
    return {};
}

Status compute_trilu(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Shape& shape = input.shape();
    if (shape.rank() < 2) return context.fail("the input is no matrix");
    int64_t diagonal = 0;
    if (context.has_input(1)) {
        const Tensor& k = context.input(1);
        if (k.dtype() != DType::I64 || k.shape().element_count() != 1) return context.fail("input 1 is no i64 scalar");
        diagonal = k.as<const int64_t>()[0];
    }
    const bool upper = context.node().integer("upper", 1) != 0;
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), shape));
    const int64_t rows = shape[shape.rank() - 2];
    const int64_t columns = shape.back();
    const bool moved = visit_sizes(input.dtype(), [&]<class T>() {
        const auto from = input.as<const T>();
        const auto to = output.as<T>();
        size_t index = 0;
        while (index < to.size()) {
            for (int64_t row = 0; row < rows; ++row) {
                // The first column that is right of the diagonal, or on it.
                const int64_t border = std::clamp(std::clamp(diagonal, -rows, columns) + row, int64_t{0}, columns);
                const int64_t border_lower =
                    std::clamp(std::clamp(diagonal, -rows, columns) + row + 1, int64_t{0}, columns);
                for (int64_t column = 0; column < columns; ++column, ++index) {
                    const bool kept = upper ? column >= border : column < border_lower;
                    to[index] = kept ? from[index] : T{};
                }
            }
        }
    });
    if (!moved) return context.fail(StatusCode::Unsupported, "the element type is not implemented");
    return {};
}

}  // namespace

extern const OpImplementation kDetOp{infer_det, nullptr, compute_det};
extern const OpImplementation kEyeLikeOp{infer_eye, nullptr, compute_eye};
extern const OpImplementation kRangeOp{infer_range, nullptr, compute_range};
extern const OpImplementation kTriluOp{infer_trilu, nullptr, compute_trilu};

}  // namespace quoin
