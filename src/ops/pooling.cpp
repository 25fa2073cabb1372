// MaxPool, AveragePool, LpPool and the global pools (ONNX), channels first, any rank. Pools between channels-last
// convolutions become other ops when the graph is optimized.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/rounding.h"
#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/spatial_window.h"
#include "ops/widened.h"

namespace quoin {
namespace {

// [N, C, spatial...] of the result, checked.
Result<std::optional<std::vector<Dim>>> pool_dims(const Node& node, const std::optional<std::vector<Dim>>& input) {
    std::optional<std::vector<Dim>> dims;
    if (!input) return dims;
    if (input->size() < 3) return node_error(node, "the input has rank ", input->size());
    QUOIN_ASSIGN_OR_RETURN(const SpatialWindow window, spatial_window(node, input->size() - 2));
    QUOIN_ASSIGN_OR_RETURN(dims, window_dims(node, window, *input, (*input)[1]));
    return dims;
}

Status infer_float_pool(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    QUOIN_ASSIGN_OR_RETURN(auto dims, pool_dims(context.node(), context.input(0).dims));
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

Status infer_max_pool(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(
        context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16, DType::I8, DType::U8}));
    QUOIN_ASSIGN_OR_RETURN(auto dims, pool_dims(context.node(), context.input(0).dims));
    context.set_output(0, context.input(0).dtype, dims);
    context.set_output(1, DType::I64, std::move(dims));
    return {};
}

// Concrete sizes of one pool.
struct PoolSizes {
    int64_t planes = 0;
    std::vector<int64_t> input;
    std::vector<int64_t> output;
    SpatialWindow window;
    Shape shape;  // of the result

    int64_t input_plane() const { return product(input); }
    int64_t output_plane() const { return product(output); }
};

Result<PoolSizes> pool_sizes(const Node& node, const Shape& input) {
    QUOIN_ASSIGN_OR_RETURN(const auto dims, pool_dims(node, dims_of_shape(input)));
    PoolSizes sizes;
    sizes.planes = input[0] * input[1];
    const auto spatial = input.dims().subspan(2);
    sizes.input.assign(spatial.begin(), spatial.end());
    for (size_t axis = 2; axis < dims->size(); ++axis) sizes.output.push_back((*dims)[axis].size);
    QUOIN_ASSIGN_OR_RETURN(const SpatialWindow window, spatial_window(node, spatial.size()));
    sizes.window = window.padded_for(sizes.input);
    sizes.shape = *shape_of_dims(*dims);
    return sizes;
}

// The taps of one axis that fall on values, for one output.
struct Taps {
    int64_t first;  // source of the first of them
    int64_t count;
    int64_t counted;  // with those that fall on padding
};
Taps taps_inside(const PoolSizes& sizes, size_t axis, int64_t output) {
    const SpatialWindow& window = sizes.window;
    const int64_t dilation = window.dilations[axis];
    const int64_t begin = output * window.strides[axis] - window.pad_begin[axis];
    const int64_t size = sizes.input[axis];
    const int64_t skip = begin >= 0 ? 0 : divide_up(-begin, dilation);
    const int64_t end = begin >= size ? 0 : std::min(window.kernel[axis], (size - 1 - begin) / dilation + 1);
    const int64_t padded = size + window.pad_end[axis];
    const int64_t reach = begin >= padded ? 0 : std::min(window.kernel[axis], (padded - 1 - begin) / dilation + 1);
    return {begin + skip * dilation, std::max<int64_t>(0, end - skip), reach};
}

// Calls result(output index, visit) for every output of a plane; visit(f) calls f(source index) for each value under
// the window, and `counted` is the number of taps on values and padding.
template <class Output>
void for_each_window(const PoolSizes& sizes, Output&& result) {
    if (std::ranges::find(sizes.output, 0) != sizes.output.end()) return;
    const size_t axes = sizes.output.size();
    std::vector<Taps> taps(axes);
    std::vector<int64_t> counts(axes);
    Odometer output(sizes.output);
    int64_t index = 0;
    do {
        int64_t counted = 1;
        bool empty = false;
        for (size_t axis = 0; axis < axes; ++axis) {
            taps[axis] = taps_inside(sizes, axis, output[axis]);
            counts[axis] = taps[axis].count;
            counted *= taps[axis].counted;
            empty = empty || counts[axis] == 0;
        }
        const auto visit = [&](auto&& each) {
            if (empty) return;
            Odometer tap{std::span<const int64_t>(counts).first(axes - 1)};
            const int64_t step = sizes.window.dilations[axes - 1];
            do {
                int64_t source = 0;
                for (size_t axis = 0; axis + 1 < axes; ++axis) {
                    source = source * sizes.input[axis] + taps[axis].first + tap[axis] * sizes.window.dilations[axis];
                }
                source = source * sizes.input[axes - 1] + taps[axes - 1].first;
                for (int64_t at = 0; at < counts[axes - 1]; ++at) each(source + at * step);
            } while (tap.next());
        };
        result(index++, visit, counted);
    } while (output.next());
}

// ---- MaxPool --------------------------------------------------------------------------------------------------

// Index of a value in its plane when the first spatial axis runs fastest (storage_order 1).
int64_t column_major(const std::vector<int64_t>& sizes, int64_t index) {
    int64_t result = 0;
    int64_t stride = product(sizes);
    for (size_t axis = sizes.size(); axis-- > 0;) {
        stride /= sizes[axis];
        result += index % sizes[axis] * stride;
        index /= sizes[axis];
    }
    return result;
}

template <class T>
constexpr Arithmetic<T> lowest_value() {
    using Limits = std::numeric_limits<Arithmetic<T>>;
    return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
}

template <class T>
void max_pool(const PoolSizes& sizes, const T* src, T* dst, int64_t* indices, int64_t first_plane, bool columns) {
    for (int64_t plane = 0; plane < sizes.planes; ++plane) {
        const T* const values = src + plane * sizes.input_plane();
        const int64_t offset = (first_plane + plane) * sizes.input_plane();
        for_each_window(sizes, [&](int64_t index, auto&& visit, int64_t /*counted*/) {
            Arithmetic<T> largest = lowest_value<T>();
            int64_t where = -1;
            visit([&](int64_t source) {
                const Arithmetic<T> value = to_arithmetic(values[source]);
                // A NaN stays only where there is nothing else.
                if (where < 0 || value > largest || largest != largest) {
                    largest = value;
                    where = source;
                }
            });
            const int64_t out = plane * sizes.output_plane() + index;
            dst[out] = from_arithmetic<T>(largest);
            if (indices == nullptr) return;
            indices[out] = where < 0 ? -1 : offset + (columns ? column_major(sizes.input, where) : where);
        });
    }
}

Status compute_max_pool(ComputeContext& context) {
    const Tensor& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const PoolSizes sizes, pool_sizes(context.node(), x.shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), sizes.shape));
    Tensor indices;
    if (context.wants_output(1)) {
        QUOIN_ASSIGN_OR_RETURN(indices, context.output(1, DType::I64, sizes.shape));
    }
    const bool columns = context.node().integer("storage_order", 0) != 0;
    const bool done = visit_numbers(x.dtype(), [&]<class T>() {
        max_pool<T>(sizes, x.as<const T>().data(), y.as<T>().data(), indices.as<int64_t>().data(), 0, columns);
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no maximum of ", dtype_name(x.dtype()));
}

// ---- AveragePool and LpPool -----------------------------------------------------------------------------------

enum class Mean : uint8_t { Average, AverageWithPadding, Norm };

template <class T>
void mean_pool(const PoolSizes& sizes, const T* src, T* dst, Mean mean, T p) {
    for (int64_t plane = 0; plane < sizes.planes; ++plane) {
        const T* const values = src + plane * sizes.input_plane();
        for_each_window(sizes, [&](int64_t index, auto&& visit, int64_t counted) {
            T sum = 0;
            int64_t count = 0;
            if (mean == Mean::Norm) {
                visit([&](int64_t source) {
                    const T size = std::abs(values[source]);
                    sum += p == 2 ? size * size : p == 1 ? size : std::pow(size, p);
                });
                sum = p == 2 ? std::sqrt(sum) : p == 1 ? sum : std::pow(sum, 1 / p);
            } else {
                visit([&](int64_t source) {
                    sum += values[source];
                    ++count;
                });
                if (mean == Mean::AverageWithPadding) count = counted;
                sum = count == 0 ? T{} : sum / static_cast<T>(count);
            }
            dst[plane * sizes.output_plane() + index] = sum;
        });
    }
}

Status compute_mean(ComputeContext& context, Mean mean, double p) {
    const Tensor& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const PoolSizes sizes, pool_sizes(context.node(), x.shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), sizes.shape));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        mean_pool<T>(sizes, src.data(), dst.data(), mean, static_cast<T>(p));
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no pool of ", dtype_name(x.dtype()));
}

Mean average_kind(const Node& node) {
    return node.integer("count_include_pad", 0) != 0 ? Mean::AverageWithPadding : Mean::Average;
}

Status compute_average_pool(ComputeContext& context) {
    return compute_mean(context, average_kind(context.node()), 1);
}

Status compute_lp_pool(ComputeContext& context) {
    const int64_t p = context.node().integer("p", 2);
    if (p < 1) return context.fail(StatusCode::InvalidModel, "p is ", p);
    return compute_mean(context, Mean::Norm, static_cast<double>(p));
}

// f32, some planes a task.
class PlanePool final : public PreparedNode {
public:
    // nullopt: the maximum.
    PlanePool(const Node& node, std::optional<Mean> mean) : node_(node), mean_(mean) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        constexpr int64_t kTaskValues = 16384;
        const Shape& shape = arguments.inputs[0].shape;
        const int64_t planes = shape[0] * shape[1];
        const int64_t plane = std::max<int64_t>(1, product(shape.dims().subspan(2)));
        const int64_t grain = std::clamp<int64_t>(kTaskValues / plane, 1, std::max<int64_t>(1, planes));
        return Work{.tasks = divide_up(planes, grain), .grain = {grain, 1, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        QUOIN_ASSIGN_OR_RETURN(PoolSizes sizes, pool_sizes(node_, arguments.inputs[0].shape));
        const int64_t first = task * arguments.work.grain[0];
        sizes.planes = std::min(arguments.work.grain[0], sizes.planes - first);
        const float* const src = arguments.inputs[0].as<float>() + first * sizes.input_plane();
        float* const dst = arguments.outputs[0].as<float>() + first * sizes.output_plane();
        if (mean_) {
            mean_pool<float>(sizes, src, dst, *mean_, 2.0F);
            return {};
        }
        int64_t* indices = nullptr;
        if (arguments.outputs.size() > 1 && arguments.outputs[1].data != nullptr) {
            indices = arguments.outputs[1].as<int64_t>() + first * sizes.output_plane();
        }
        max_pool<float>(sizes, src, dst, indices, first, node_.integer("storage_order", 0) != 0);
        return {};
    }

    std::string label() const override { return "pool by planes"; }

private:
    const Node& node_;
    std::optional<Mean> mean_;
};

bool is_f32(const PrepareContext& context) {
    return context.graph.value(context.node.inputs[0]).dtype == DType::F32;
}

Result<std::unique_ptr<PreparedNode>> prepare_max_pool(const PrepareContext& context) {
    if (!is_f32(context)) return std::unique_ptr<PreparedNode>();
    return std::unique_ptr<PreparedNode>(std::make_unique<PlanePool>(context.node, std::nullopt));
}

Result<std::unique_ptr<PreparedNode>> prepare_average_pool(const PrepareContext& context) {
    if (!is_f32(context)) return std::unique_ptr<PreparedNode>();
    return std::unique_ptr<PreparedNode>(std::make_unique<PlanePool>(context.node, average_kind(context.node)));
}

// ---- Global pools ---------------------------------------------------------------------------------------------

Status infer_global_pool(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    std::optional<std::vector<Dim>> dims = context.input(0).dims;
    if (dims && dims->size() < 3) return context.fail("the input has rank ", dims->size());
    for (size_t axis = 2; dims && axis < dims->size(); ++axis) (*dims)[axis] = {.size = 1};
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

enum class Global : uint8_t { Average, Max, Norm };

template <class T>
T reduce_plane(const T* values, int64_t count, Global kind, T p) {
    T result = kind == Global::Max ? lowest_value<T>() : T{};
    switch (kind) {
        case Global::Max:
            for (int64_t index = 0; index < count; ++index) {
                if (!(values[index] <= result)) result = values[index];
            }
            return result;
        case Global::Average: {
            // In double: a plane of a large image has millions of values.
            double sum = 0;
            for (int64_t index = 0; index < count; ++index) sum += static_cast<double>(values[index]);
            return static_cast<T>(sum / static_cast<double>(count));
        }
        case Global::Norm:
            for (int64_t index = 0; index < count; ++index) result += std::pow(std::abs(values[index]), p);
            return std::pow(result, 1 / p);
    }
    return result;
}

template <Global kind>
Status compute_global_pool(ComputeContext& context) {
    const Tensor& x = context.input(0);
    std::vector<int64_t> dims(x.shape().dims().begin(), x.shape().dims().end());
    const int64_t plane = product(std::span(dims).subspan(2));
    std::fill(dims.begin() + 2, dims.end(), 1);
    const int64_t p = context.node().integer("p", 2);
    if (p < 1) return context.fail(StatusCode::InvalidModel, "p is ", p);
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), Shape(std::span<const int64_t>(dims))));
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        for (size_t index = 0; index < dst.size(); ++index) {
            const auto at = static_cast<int64_t>(index);
            dst[at] = reduce_plane<T>(src.data() + at * plane, plane, kind, static_cast<T>(p));
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no pool of ", dtype_name(x.dtype()));
}

}  // namespace

extern const OpImplementation kMaxPoolOp{infer_max_pool, prepare_max_pool, compute_max_pool};
extern const OpImplementation kAveragePoolOp{infer_float_pool, prepare_average_pool, compute_average_pool};
extern const OpImplementation kLpPoolOp{infer_float_pool, nullptr, compute_lp_pool};
extern const OpImplementation kGlobalAveragePoolOp{infer_global_pool, nullptr, compute_global_pool<Global::Average>};
extern const OpImplementation kGlobalMaxPoolOp{infer_global_pool, nullptr, compute_global_pool<Global::Max>};
extern const OpImplementation kGlobalLpPoolOp{infer_global_pool, nullptr, compute_global_pool<Global::Norm>};

}  // namespace quoin
