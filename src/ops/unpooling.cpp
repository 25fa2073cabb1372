// MaxUnpool and Col2Im (ONNX): windows put back where they came from.
#include <algorithm>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/movement.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// A list of `count` integers of at least `least` each; all `otherwise` where the attribute is absent.
Result<std::vector<int64_t>> sizes_attribute(const InferContext& context, std::string_view key, size_t count,
                                             int64_t least, int64_t otherwise) {
    const std::vector<int64_t>* const given = list_attribute(context.node(), key);
    if (given == nullptr) return std::vector<int64_t>(count, otherwise);
    if (given->size() != count) return context.fail("'", key, "' has ", given->size(), " numbers instead of ", count);
    constexpr int64_t kMost = int64_t{1} << 31;
    for (const int64_t each : *given) {
        if (each < least || each > kMost) return context.fail("'", key, "' has the number ", each);
    }
    return *given;
}

int64_t listed(const Node& node, std::string_view key, size_t index, int64_t otherwise) {
    const std::vector<int64_t>* const given = list_attribute(node, key);
    return given == nullptr ? otherwise : (*given)[index];
}

// ---- MaxUnpool ----------------------------------------------------------------------------------------------------

// The size of a spatial dim before it was pooled.
int64_t unpooled(const Node& node, int64_t dim, size_t axis, size_t spatial) {
    return (dim - 1) * listed(node, "strides", axis, 1) + listed(node, "kernel_shape", axis, 1) -
           listed(node, "pads", axis, 0) - listed(node, "pads", axis + spatial, 0);
}

Status infer_max_unpool(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::I64}));
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    if (input.dims->size() < 3) return context.fail("the input has rank ", input.dims->size());
    const size_t spatial = input.dims->size() - 2;
    if (context.node().attribute("kernel_shape") == nullptr) return context.fail("'kernel_shape' is missing");
    QUOIN_RETURN_IF_ERROR(sizes_attribute(context, "kernel_shape", spatial, 1, 1).status());
    QUOIN_RETURN_IF_ERROR(sizes_attribute(context, "strides", spatial, 1, 1).status());
    QUOIN_RETURN_IF_ERROR(sizes_attribute(context, "pads", 2 * spatial, 0, 0).status());
    const auto& indices = context.input(1).dims;
    if (indices && !std::ranges::equal(*indices, *input.dims, may_equal)) {
        return context.fail("input and indices have different shapes");
    }
    Dims dims = *input.dims;
    for (size_t axis = 0; axis < spatial; ++axis) {
        Dim& dim = dims[axis + 2];
        constexpr int64_t kMost = int64_t{1} << 31;
        if (dim.known() && dim.size > kMost) return context.fail("the input is too large");
        dim = dim.known() && dim.size > 0 ? Dim{.size = unpooled(context.node(), dim.size, axis, spatial)} : Dim{};
        if (!dim.known() && (*input.dims)[axis + 2].known()) return context.fail("axis ", axis + 2, " has no elements");
    }
    if (context.has_input(2)) {
        QUOIN_ASSIGN_OR_RETURN(const auto wanted, context.integers(2));
        if (wanted && wanted->size() != dims.size()) return context.fail("'output_shape' has another rank");
        for (size_t axis = 0; axis < dims.size(); ++axis) {
            if (wanted && dims[axis].known() && (*wanted)[axis] < dims[axis].size) {
                return context.fail("'output_shape' is smaller than what is unpooled");
            }
            dims[axis] = wanted ? Dim{.size = (*wanted)[axis]} : Dim{};
        }
    }
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

Status compute_max_unpool(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Shape& shape = input.shape();
    if (!is_movable(input.dtype()) || input.dtype() == DType::String) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ",
                            dtype_name(input.dtype()));
    }
    // Indices count in the tensor that was pooled, which may be a corner of the result.
    Shape pooled = shape;
    for (size_t axis = 2; axis < shape.rank(); ++axis) {
        pooled[axis] = unpooled(context.node(), shape[axis], axis - 2, shape.rank() - 2);
    }
    Shape result = pooled;
    if (context.has_input(2)) result = Shape(context.input(2).as<const int64_t>());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), result));
    const int64_t limit = pooled.element_count().value_or(0);
    const Shape strides = dense_strides(result);
    Status status;
    visit_sizes(input.dtype(), [&]<class T>() {
        const auto target = output.as<T>();
        std::ranges::fill(target, T{});
        const auto elements = input.as<const T>();
        const auto indices = context.input(1).as<const int64_t>();
        for (size_t each = 0; each < elements.size(); ++each) {
            int64_t index = indices[each];
            if (index < 0 || index >= limit) {
                status = context.fail("index ", index, " is not below ", limit);
                return;
            }
            int64_t offset = 0;
            for (size_t axis = pooled.rank(); axis-- > 0;) {
                offset += index % pooled[axis] * strides[axis];
                index /= pooled[axis];
            }
            target[static_cast<size_t>(offset)] = elements[each];
        }
    });
    return status;
}

// ---- Col2Im -------------------------------------------------------------------------------------------------------

// How many windows fit along an axis.
int64_t window_count(const Node& node, int64_t image, int64_t block, size_t axis, size_t spatial) {
    const int64_t extent = listed(node, "dilations", axis, 1) * (block - 1) + 1;
    const int64_t padded = image + listed(node, "pads", axis, 0) + listed(node, "pads", axis + spatial, 0);
    return padded < extent ? 0 : (padded - extent) / listed(node, "strides", axis, 1) + 1;
}

Status infer_col2im(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto image, context.integers(1));
    QUOIN_ASSIGN_OR_RETURN(const auto block, context.integers(2));
    if (input.dims && input.dims->size() != 3) return context.fail("the input has rank ", input.dims->size());
    if (!input.dims || !image || !block) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    const size_t spatial = image->size();
    if (block->size() != spatial || spatial == 0 || spatial + 2 > Shape::kMaxRank) {
        return context.fail("image and block have ", spatial, " and ", block->size(), " dimensions");
    }
    QUOIN_RETURN_IF_ERROR(sizes_attribute(context, "dilations", spatial, 1, 1).status());
    QUOIN_RETURN_IF_ERROR(sizes_attribute(context, "strides", spatial, 1, 1).status());
    QUOIN_RETURN_IF_ERROR(sizes_attribute(context, "pads", 2 * spatial, 0, 0).status());
    int64_t area = 1;
    int64_t windows = 1;
    constexpr int64_t kMost = int64_t{1} << 31;
    for (size_t axis = 0; axis < spatial; ++axis) {
        if ((*image)[axis] < 0 || (*image)[axis] > kMost || (*block)[axis] <= 0 || (*block)[axis] > kMost ||
            __builtin_mul_overflow(area, (*block)[axis], &area) ||
            __builtin_mul_overflow(windows, window_count(context.node(), (*image)[axis], (*block)[axis], axis, spatial),
                                   &windows)) {
            return context.fail("an image of ", (*image)[axis], " and a block of ", (*block)[axis], " are no sizes");
        }
    }
    const Dim& columns = (*input.dims)[1];
    if (columns.known() && columns.size % area != 0) {
        return context.fail(columns.size, " rows are no multiple of a block's ", area, " elements");
    }
    if (!may_equal((*input.dims)[2], {.size = windows})) {
        return context.fail("the input has ", (*input.dims)[2].size, " windows where the image takes ", windows);
    }
    Dims dims = {(*input.dims)[0], columns.known() ? Dim{.size = columns.size / area} : Dim{}};
    for (const int64_t size : *image) dims.push_back({.size = size});
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

// Adds one plane of columns [block elements, windows] to its image.
template <class T>
void add_columns(const Node& node, std::span<const int64_t> image, std::span<const int64_t> block, const T* columns,
                 Arithmetic<T>* target) {
    const size_t spatial = image.size();
    std::array<int64_t, Shape::kMaxRank> windows{};
    for (size_t axis = 0; axis < spatial; ++axis) {
        windows[axis] = window_count(node, image[axis], block[axis], axis, spatial);
    }
    const std::span<const int64_t> window_dims(windows.data(), spatial);
    const int64_t count = product(window_dims, 0, spatial);
    const int64_t area = product(block, 0, spatial);
    for (int64_t element = 0; element < area; ++element) {
        for (int64_t window = 0; window < count; ++window) {
            int64_t offset = 0;
            int64_t stride = 1;
            int64_t inside = element;
            int64_t which = window;
            bool padding = false;
            for (size_t axis = spatial; axis-- > 0 && !padding;) {
                const int64_t place = which % windows[axis] * listed(node, "strides", axis, 1) +
                                      inside % block[axis] * listed(node, "dilations", axis, 1) -
                                      listed(node, "pads", axis, 0);
                padding = place < 0 || place >= image[axis];
                offset += place * stride;
                stride *= image[axis];
                inside /= block[axis];
                which /= windows[axis];
            }
            if (!padding) target[offset] += to_arithmetic(columns[element * count + window]);
        }
    }
}

Status compute_col2im(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const auto image = context.input(1).as<const int64_t>();
    const auto block = context.input(2).as<const int64_t>();
    const int64_t area = product(block, 0, block.size());
    Shape shape{input.shape()[0], input.shape()[1] / area};
    for (const int64_t size : image) shape.push_back(size);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), shape));
    if (output.byte_size() == 0) return {};
    const int64_t plane = product(image, 0, image.size());
    const bool known = visit_numbers(input.dtype(), [&]<class T>() {
        const auto target = output.as<T>();
        std::vector<Arithmetic<T>> sums(static_cast<size_t>(plane));
        for (int64_t each = 0; each < shape[0] * shape[1]; ++each) {
            std::ranges::fill(sums, Arithmetic<T>{});
            add_columns<T>(context.node(), image, block, input.as<const T>().data() + each * area * input.shape()[2],
                           sums.data());
            for (size_t place = 0; place < sums.size(); ++place) {
                target[static_cast<size_t>(each * plane) + place] = from_arithmetic<T>(sums[place]);
            }
        }
    });
    if (known) return {};
    return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(input.dtype()));
}

}  // namespace

extern const OpImplementation kMaxUnpoolOp{infer_max_unpool, nullptr, compute_max_unpool};
extern const OpImplementation kCol2ImOp{infer_col2im, nullptr, compute_col2im};

}  // namespace quoin
