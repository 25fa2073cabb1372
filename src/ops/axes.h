// Axes and sizes as nodes give them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/shape.h"
#include "ops/op_kernel.h"

namespace quoin {

// Negative axes count from the end; nullopt when it is none of a tensor of this rank.
constexpr std::optional<size_t> find_axis(int64_t axis, size_t rank) {
    const auto count = static_cast<int64_t>(rank);
    if (axis < -count || axis >= count) return std::nullopt;
    return static_cast<size_t>(axis < 0 ? axis + count : axis);
}

// The same with an error that names the node; `Context` is any of those an op is called with.
template <class Context>
Result<size_t> require_axis(const Context& context, int64_t axis, size_t rank) {
    const std::optional<size_t> found = find_axis(axis, rank);
    if (found) return *found;
    return context.fail("axis ", axis, " is out of range for rank ", rank);
}

// The list, or null where the attribute is absent or of another type.
inline const std::vector<int64_t>* list_attribute(const Node& node, std::string_view key) {
    const Attribute* const found = node.attribute(key);
    return found == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(found);
}

// Product of dims [begin, end). Of a shape whose element count is known not to overflow.
inline int64_t product(std::span<const int64_t> dims, size_t begin, size_t end) {
    int64_t count = 1;
    for (size_t axis = begin; axis < end; ++axis) count *= dims[axis];
    return count;
}
inline int64_t product(const Shape& shape, size_t begin, size_t end) {
    return product(shape.dims(), begin, end);
}

// How many elements lie between two neighbours along each axis of a dense tensor.
inline Shape dense_strides(const Shape& shape) {
    Shape strides = shape;
    int64_t stride = 1;
    for (size_t axis = shape.rank(); axis-- > 0;) {
        strides[axis] = stride;
        stride *= shape[axis];
    }
    return strides;
}

// An element of an i32 or i64 tensor.
inline int64_t integer_at(const TensorView& view, int64_t position) {
    return view.dtype == DType::I64 ? view.as<int64_t>()[position] : view.as<int32_t>()[position];
}
inline int64_t integer_at(const Tensor& tensor, int64_t position) {
    const auto at = static_cast<size_t>(position);
    return tensor.dtype() == DType::I64 ? tensor.as<const int64_t>()[at] : tensor.as<const int32_t>()[at];
}

// As many tasks as `units` pieces of work make when each task takes `grain` of them.
constexpr int64_t task_count(int64_t units, int64_t grain) {
    return units / grain + (units % grain != 0 ? 1 : 0);
}

}  // namespace quoin
