// MatMul and Gemm (ONNX). Products with a constant right operand become Linear when the graph is optimized
// (optimize/matmul_to_linear.cpp); here are the others.
#include <algorithm>
#include <cstring>

#include "core/rounding.h"
#include "kernels/layout.h"
#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/matmul_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/product_provider.h"
#include "ops/widened.h"

namespace quoin {

Result<std::vector<Dim>> matmul_dims(const Node& node, const std::vector<Dim>& a, const std::vector<Dim>& b) {
    if (a.empty() || b.empty()) return node_error(node, "a scalar cannot be multiplied as a matrix");
    const Dim left = a.back();
    const Dim right = b.size() == 1 ? b[0] : b[b.size() - 2];
    if (!may_equal(left, right)) {
        return node_error(node, "the inner dimensions ", left.size, " and ", right.size, " differ");
    }
    const size_t a_batch = a.size() < 2 ? 0 : a.size() - 2;
    const size_t b_batch = b.size() < 2 ? 0 : b.size() - 2;
    const size_t batch = std::max(a_batch, b_batch);
    std::vector<Dim> dims(batch);
    for (size_t back = 1; back <= batch; ++back) {
        const Dim x = back <= a_batch ? a[a_batch - back] : Dim{.size = 1};
        const Dim y = back <= b_batch ? b[b_batch - back] : Dim{.size = 1};
        if (x.known() && y.known() && x.size != y.size && x.size != 1 && y.size != 1) {
            return node_error(node, "dimensions ", x.size, " and ", y.size, " cannot be broadcast to each other");
        }
        Dim& result = dims[batch - back];
        if (x == y || x.size == 1) {
            result = y;
        } else if (y.size == 1 || x.known()) {
            result = x;
        } else {
            result = y.known() ? y : Dim{};
        }
    }
    if (a.size() > 1) dims.push_back(a[a.size() - 2]);
    if (b.size() > 1) dims.push_back(b.back());
    return dims;
}

MatMulBatches matmul_batches(const Shape& a, const Shape& b) {
    MatMulBatches result;
    result.rows = a.rank() < 2 ? 1 : a[a.rank() - 2];
    result.inner = a.back();
    result.columns = b.rank() < 2 ? 1 : b.back();
    const size_t a_batch = a.rank() < 2 ? 0 : a.rank() - 2;
    const size_t b_batch = b.rank() < 2 ? 0 : b.rank() - 2;
    const size_t batch = std::max(a_batch, b_batch);
    std::vector<int64_t> sizes(batch);
    int64_t a_stride = result.rows * result.inner;
    int64_t b_stride = result.inner * result.columns;
    for (size_t back = 1; back <= batch; ++back) {
        const int64_t x = back <= a_batch ? a[a_batch - back] : 1;
        const int64_t y = back <= b_batch ? b[b_batch - back] : 1;
        const size_t axis = batch - back;
        sizes[axis] = x == 1 ? y : x;
        result.a_strides[axis] = x == 1 ? 0 : a_stride;
        result.b_strides[axis] = y == 1 ? 0 : b_stride;
        a_stride *= x;
        b_stride *= y;
    }
    result.batch_shape = Shape(std::span<const int64_t>(sizes));
    result.batches = product(result.batch_shape.dims());
    return result;
}

MatMulBatches::Offsets MatMulBatches::offsets(int64_t batch) const {
    Offsets result{0, 0};
    for (size_t axis = batch_shape.rank(); axis-- > 0;) {
        const int64_t coordinate = batch % batch_shape[axis];
        batch /= batch_shape[axis];
        result.a += coordinate * a_strides[axis];
        result.b += coordinate * b_strides[axis];
    }
    return result;
}

namespace {

// Calls visitor with float, double, uint32_t or uint64_t: in what products of this element type are computed. Signed
// integers wrap as unsigned ones do, without being undefined.
template <class Visitor>
bool visit_products(DType dtype, Visitor&& visitor) {
    switch (dtype) {
        case DType::I32:
        case DType::U32: visitor.template operator()<uint32_t>(); return true;
        case DType::I64:
        case DType::U64: visitor.template operator()<uint64_t>(); return true;
        default: return visit_wide(dtype, visitor);
    }
}

// ReadAs and WriteAs that leave integers where they are.
template <class T>
struct Operands {
    explicit Operands(const Tensor& tensor) : values(reinterpret_cast<const T*>(tensor.data())) {}
    const T* data() const { return values; }
    const T* values;
};
template <std::floating_point T>
struct Operands<T> : ReadAs<T> {
    using ReadAs<T>::ReadAs;
};
template <class T>
struct Results {
    explicit Results(const Tensor& tensor) : elements(tensor.as<T>()) {}
    T* data() { return elements.data(); }
    size_t size() const { return elements.size(); }
    void store() {}
    std::span<T> elements;
};
template <std::floating_point T>
struct Results<T> : WriteAs<T> {
    using WriteAs<T>::WriteAs;
};

const auto kProductTypes = {DType::F32, DType::F64, DType::F16, DType::BF16,
                            DType::I32, DType::I64, DType::U32, DType::U64};

// ---- MatMul ---------------------------------------------------------------------------------------------------

Status infer_matmul(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kProductTypes));
    const ValueType& a = context.input(0);
    const ValueType& b = context.input(1);
    if (a.dtype != b.dtype) return context.fail("the inputs have different element types");
    if (!a.dims || !b.dims) {
        context.set_output(0, a.dtype, std::nullopt);
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(std::vector<Dim> dims, matmul_dims(context.node(), *a.dims, *b.dims));
    context.set_output(0, a.dtype, std::move(dims));
    return {};
}

Status compute_matmul(ComputeContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    QUOIN_ASSIGN_OR_RETURN(const std::vector<Dim> dims,
                           matmul_dims(context.node(), dims_of_shape(a.shape()), dims_of_shape(b.shape())));
    const std::optional<Shape> shape = shape_of_dims(dims);
    if (!shape) return context.fail("the result has ", dims.size(), " dimensions");
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, a.dtype(), *shape));
    const MatMulBatches parts = matmul_batches(a.shape(), b.shape());
    const bool done = visit_products(a.dtype(), [&]<class T>() {
        const Operands<T> left(a);
        const Operands<T> right(b);
        Results<T> result(y);
        std::fill_n(result.data(), result.size(), T{});
        for (int64_t batch = 0; batch < parts.batches; ++batch) {
            const auto offsets = parts.offsets(batch);
            add_product<T>(left.data() + offsets.a, {parts.inner, 1}, right.data() + offsets.b, {parts.columns, 1},
                           parts.rows, parts.inner, parts.columns, result.data() + batch * parts.rows * parts.columns);
        }
        result.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no product of ", dtype_name(a.dtype()));
}

// ---- Gemm -----------------------------------------------------------------------------------------------------

struct GemmSizes {
    Dim rows;
    Dim columns;
};

Result<GemmSizes> gemm_sizes(const Node& node, const std::vector<Dim>& a, const std::vector<Dim>& b) {
    if (a.size() != 2 || b.size() != 2) return node_error(node, "an operand is no matrix");
    const size_t a_rows = node.integer("transA", 0) != 0 ? 1 : 0;
    const size_t b_rows = node.integer("transB", 0) != 0 ? 1 : 0;
    if (!may_equal(a[1 - a_rows], b[b_rows])) {
        return node_error(node, "the inner dimensions ", a[1 - a_rows].size, " and ", b[b_rows].size, " differ");
    }
    return GemmSizes{a[a_rows], b[1 - b_rows]};
}

Status infer_gemm(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kProductTypes));
    const ValueType& a = context.input(0);
    const ValueType& b = context.input(1);
    if (a.dtype != b.dtype) return context.fail("the inputs have different element types");
    std::vector<Dim> dims(2);
    if (a.dims && b.dims) {
        QUOIN_ASSIGN_OR_RETURN(const GemmSizes sizes, gemm_sizes(context.node(), *a.dims, *b.dims));
        dims = {sizes.rows, sizes.columns};
    }
    if (context.has_input(2)) {
        const ValueType& c = context.input(2);
        if (c.dtype != a.dtype) return context.fail("C has another element type");
        if (c.dims && c.dims->size() > 2) return context.fail("C has rank ", c.dims->size());
        for (size_t back = 1; c.dims && back <= c.dims->size(); ++back) {
            const Dim dim = (*c.dims)[c.dims->size() - back];
            if (dim.size != 1 && !may_equal(dim, dims[2 - back])) {
                return context.fail("C's dimension ", dim.size, " cannot be broadcast to ", dims[2 - back].size);
            }
        }
    }
    context.set_output(0, a.dtype, std::move(dims));
    return {};
}

// dst[rows][columns] = beta * C, broadcast.
template <class T>
void fill_scaled(const T* c, const Shape& shape, T beta, int64_t rows, int64_t columns, T* dst) {
    const int64_t c_columns = shape.rank() == 0 ? 1 : shape.back();
    const int64_t c_rows = shape.rank() < 2 ? 1 : shape[0];
    for (int64_t row = 0; row < rows; ++row) {
        const T* const source = c + (c_rows == 1 ? 0 : row * c_columns);
        for (int64_t column = 0; column < columns; ++column) {
            dst[row * columns + column] = beta * source[c_columns == 1 ? 0 : column];
        }
    }
}

Status compute_gemm(ComputeContext& context) {
    const Node& node = context.node();
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    QUOIN_ASSIGN_OR_RETURN(const GemmSizes sizes, gemm_sizes(node, dims_of_shape(a.shape()), dims_of_shape(b.shape())));
    const int64_t rows = sizes.rows.size;
    const int64_t columns = sizes.columns.size;
    const bool transpose_a = node.integer("transA", 0) != 0;
    const bool transpose_b = node.integer("transB", 0) != 0;
    const int64_t inner = a.shape()[transpose_a ? 0 : 1];
    const double alpha = node.number("alpha", 1.0);
    const double beta = node.number("beta", 1.0);
    const MatrixStrides a_strides = transpose_a ? MatrixStrides{1, rows} : MatrixStrides{inner, 1};
    const MatrixStrides b_strides = transpose_b ? MatrixStrides{1, inner} : MatrixStrides{columns, 1};
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, a.dtype(), Shape{rows, columns}));
    const bool done = visit_products(a.dtype(), [&]<class T>() {
        // Integer products take whole factors only, through int64_t so that negative ones wrap as they should.
        const auto factor = [](double value) {
            if constexpr (std::floating_point<T>) {
                return static_cast<T>(value);
            } else {
                return static_cast<T>(truncate_to<int64_t>(value));
            }
        };
        const Operands<T> left(a);
        const Operands<T> right(b);
        Results<T> result(y);
        std::fill_n(result.data(), result.size(), T{});
        add_product<T>(left.data(), a_strides, right.data(), b_strides, rows, inner, columns, result.data());
        std::vector<T> addend;
        if (context.has_input(2) && beta != 0) {
            addend.resize(result.size());
            fill_scaled<T>(Operands<T>(context.input(2)).data(), context.input(2).shape(), factor(beta), rows, columns,
                           addend.data());
        }
        for (size_t index = 0; index < result.size(); ++index) {
            result.data()[index] = factor(alpha) * result.data()[index] + (addend.empty() ? T{} : addend[index]);
        }
        result.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no product of ", dtype_name(a.dtype()));
}

// ---- f32 ------------------------------------------------------------------------------------------------------

// Products of two activations: a task is some columns and rows of one matrix. The kernel packs the columns of each
// call, so tasks are cut by columns first and have many rows.
class FloatProduct final : public PreparedNode {
public:
    // `transposed`: b is [columns, inner]. For Gemm, input 2 may be a bias [columns].
    FloatProduct(decltype(KernelTable::matmul_f32) kernel, bool transposed, Isa isa)
        : kernel_(kernel), transposed_(transposed), isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const MatMulBatches parts = batches_of(arguments);
        const int64_t column_work = std::max<int64_t>(1, parts.rows * parts.inner);
        int64_t columns = align_up(kTaskProducts / column_work, kPanelColumns);
        columns = std::clamp<int64_t>(columns, kPanelColumns, std::max<int64_t>(kPanelColumns, parts.columns));
        const int64_t column_blocks = divide_up(parts.columns, columns);
        int64_t rows = std::max<int64_t>(1, parts.rows);
        // Too few tasks of one matrix for the threads: rows are cut as well, though each part packs for itself.
        if (column_blocks * parts.batches < threads && rows >= 2 * kLeastRows) {
            rows = std::max(kLeastRows, divide_up(rows, threads));
        }
        const int64_t row_blocks = divide_up(parts.rows, rows);
        return Work{.tasks = parts.batches * column_blocks * row_blocks,
                    .scratch_bytes = matmul_scratch_floats(parts.inner) * int64_t{sizeof(float)},
                    .grain = {columns, rows, row_blocks}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const MatMulBatches parts = batches_of(arguments);
        const auto [columns, rows, row_blocks] = arguments.work.grain;
        const int64_t column_blocks = divide_up(parts.columns, columns);
        const int64_t row = task % row_blocks * rows;
        const int64_t column = task / row_blocks % column_blocks * columns;
        const int64_t batch = task / row_blocks / column_blocks;
        const auto offsets = parts.offsets(batch);
        MatMulArgs args{};
        args.a = arguments.inputs[0].as<float>() + offsets.a + row * parts.inner;
        args.a_stride = parts.inner;
        args.b_inner_stride = transposed_ ? 1 : parts.columns;
        args.b_column_stride = transposed_ ? parts.inner : 1;
        args.b = arguments.inputs[1].as<float>() + offsets.b + column * args.b_column_stride;
        args.rows = std::min(rows, parts.rows - row);
        args.inner = parts.inner;
        args.columns = std::min(columns, parts.columns - column);
        if (arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr) {
            args.epilogue.bias = arguments.inputs[2].as<float>() + column;
        }
        args.dst_stride = parts.columns;
        args.dst = arguments.outputs[0].as<float>() + (batch * parts.rows + row) * parts.columns + column;
        args.scratch = reinterpret_cast<float*>(scratch);
        kernel_(args);
        return {};
    }

    std::string label() const override {
        return "matmul_f32 [" + std::string(isa_name(kernel_isa(Kernel::matmul_f32, isa_))) + "]";
    }

private:
    static constexpr int64_t kTaskProducts = int64_t{1} << 20;
    static constexpr int64_t kLeastRows = 48;

    MatMulBatches batches_of(const Arguments& arguments) const {
        const Shape& b = arguments.inputs[1].shape;
        return matmul_batches(arguments.inputs[0].shape, transposed_ ? Shape{b[1], b[0]} : b);
    }

    decltype(KernelTable::matmul_f32) kernel_;
    bool transposed_;
    Isa isa_;
};

bool take_native(const ProductQuery& query) {
    return query.dtype == DType::F32;
}

Result<std::unique_ptr<PreparedNode>> prepare_native(const ProductQuery& query) {
    const PrepareContext& context = query.context;
    return std::unique_ptr<PreparedNode>(
        std::make_unique<FloatProduct>(context.kernels().matmul_f32, query.transposed, context.runtime.isa));
}

DType product_dtype(const PrepareContext& context) {
    return context.graph.value(context.node.inputs[0]).dtype;
}

Result<std::unique_ptr<PreparedNode>> prepare_matmul(const PrepareContext& context) {
    const DType dtype = product_dtype(context);
    if (dtype != DType::F32 && dtype != DType::F64) return std::unique_ptr<PreparedNode>();
    return prepare_product({context, dtype, false});
}

// Null where A is transposed or something is scaled, or C is more than a bias.
Result<std::unique_ptr<PreparedNode>> prepare_gemm(const PrepareContext& context) {
    std::unique_ptr<PreparedNode> none;
    const Node& node = context.node;
    const DType dtype = product_dtype(context);
    if ((dtype != DType::F32 && dtype != DType::F64) || node.integer("transA", 0) != 0 ||
        node.number("alpha", 1.0) != 1)
        return none;
    if (node.input(2) != kNoValue) {
        const auto& c = context.graph.value(node.inputs[2]).dims;
        const auto& y = context.graph.value(node.outputs[0]).dims;
        const bool bias = c && y && !c->empty() && c->back().known() && c->back() == y->back() &&
                          (c->size() == 1 || c->front().size == 1);
        if (!bias || node.number("beta", 1.0) != 1) return none;
    }
    return prepare_product({context, dtype, node.integer("transB", 0) != 0});
}

}  // namespace

extern const ProductProvider kNativeProduct{Provider::Native, take_native, prepare_native};
extern const OpImplementation kMatMulOp{infer_matmul, prepare_matmul, compute_matmul};
extern const OpImplementation kGemmOp{infer_gemm, prepare_gemm, compute_gemm};

}  // namespace quoin
