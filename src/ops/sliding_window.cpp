#include "ops/sliding_window.h"

#include <algorithm>
#include <string_view>

#include "core/rounding.h"

namespace quoin {
namespace {

// No window and no padding is larger: products of two of these cannot overflow.
constexpr int64_t kLargest = int64_t{1} << 30;

// Reads a list of `count` integers into `target`; leaves it alone when the attribute is absent.
Status read_list(const Node& node, std::string_view name, size_t count, int64_t least, std::span<int64_t> target) {
    const Attribute* const attribute = node.attribute(name);
    if (attribute == nullptr) return {};
    const auto* const list = std::get_if<std::vector<int64_t>>(attribute);
    if (list == nullptr || list->size() != count) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': '", name, "' must have ", count, " integers");
    }
    for (size_t index = 0; index < count; ++index) {
        if ((*list)[index] < least || (*list)[index] > kLargest) {
            return error(StatusCode::InvalidModel, "node '", node.name, "': '", name, "' holds ", (*list)[index]);
        }
        target[index] = (*list)[index];
    }
    return {};
}

}  // namespace

int64_t window_count(const PaddedAxis& axis, int64_t extent, int64_t step, bool round_up) {
    const int64_t room = axis.size + axis.begin + axis.end - extent;
    if (room < 0) return round_up && axis.size > 0 && room > -step ? 1 : 0;
    if (!round_up) return room / step + 1;
    const int64_t count = divide_up(room, step) + 1;
    // One that would begin in the padding at the end is none.
    return count > 1 && (count - 1) * step >= axis.size + axis.begin ? count - 1 : count;
}

int64_t SlidingWindow::output_size(size_t axis, int64_t source) const {
    if (padding != Padding::Explicit) return divide_up(source, step[axis]);
    return window_count({source, pad_begin[axis], pad_end[axis]}, extent(axis), step[axis], ceil_mode);
}

int64_t SlidingWindow::begin(size_t axis, int64_t source) const {
    if (padding == Padding::Explicit) return pad_begin[axis];
    const int64_t total = std::max<int64_t>(0, (output_size(axis, source) - 1) * step[axis] + extent(axis) - source);
    return padding == Padding::SameUpper ? total / 2 : total - total / 2;
}

int64_t SlidingWindow::end(size_t axis, int64_t source) const {
    if (padding == Padding::Explicit) return pad_end[axis];
    const int64_t total = std::max<int64_t>(0, (output_size(axis, source) - 1) * step[axis] + extent(axis) - source);
    return total - begin(axis, source);
}

Result<SlidingWindow> read_sliding_window(const Node& node, size_t axes, std::span<const int64_t> kernel) {
    SlidingWindow window;
    if (axes < 1 || axes > 3 || kernel.size() != axes) {
        return error(StatusCode::Unsupported, "node '", node.name, "': a window over ", axes, " axes");
    }
    window.axes = axes;
    for (size_t axis = 0; axis < axes; ++axis) {
        if (kernel[axis] < 1 || kernel[axis] > kLargest) {
            return error(StatusCode::InvalidModel, "node '", node.name, "': a window of ", kernel[axis], " values");
        }
        window.kernel[axis] = kernel[axis];
    }
    QUOIN_RETURN_IF_ERROR(read_list(node, "strides", axes, 1, window.step));
    QUOIN_RETURN_IF_ERROR(read_list(node, "dilations", axes, 1, window.dilation));
    std::array<int64_t, 6> pads{};
    QUOIN_RETURN_IF_ERROR(read_list(node, "pads", 2 * axes, -kLargest, pads));
    for (size_t axis = 0; axis < axes; ++axis) {
        window.pad_begin[axis] = pads[axis];
        window.pad_end[axis] = pads[axes + axis];
    }
    window.ceil_mode = node.integer("ceil_mode", 0) != 0;
    const std::string_view mode = node.string("auto_pad", "NOTSET");
    if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
        window.padding = mode == "SAME_UPPER" ? SlidingWindow::Padding::SameUpper : SlidingWindow::Padding::SameLower;
    } else if (mode == "VALID") {
        window.pad_begin = {};
        window.pad_end = {};
    } else if (mode != "NOTSET" && !mode.empty()) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': auto_pad '", mode, "' is unknown");
    }
    return window;
}

Result<std::vector<Dim>> window_output(const SlidingWindow& window, const std::vector<Dim>& x, const Dim& channels) {
    std::vector<Dim> dims{x[0]};
    for (size_t axis = 0; axis < window.axes; ++axis) {
        const Dim& source = x[axis + 1];
        if (!source.known()) {
            dims.emplace_back();
            continue;
        }
        if (source.size > kLargest) return error(StatusCode::InvalidModel, "an axis of ", source.size, " values");
        const int64_t size = window.output_size(axis, source.size);
        if (size < 1 && source.size > 0) {
            return error(StatusCode::InvalidModel, "the window of ", window.extent(axis),
                         " values does not fit into spatial axis ", axis, " of ", source.size);
        }
        dims.push_back({.size = std::max<int64_t>(size, 0)});
    }
    dims.push_back(channels);
    return dims;
}

std::array<int64_t, 3> position_strides(const Shape& shape) {
    const size_t axes = shape.rank() - 2;
    std::array<int64_t, 3> strides{};
    int64_t stride = shape.back();
    for (size_t back = 0; back < 3; ++back) {
        strides[2 - back] = stride;
        if (back < axes) stride *= shape[axes - back];
    }
    return strides;
}

int64_t positions_of(const Shape& shape) {
    int64_t count = 1;
    for (size_t axis = 1; axis + 1 < shape.rank(); ++axis) count *= shape[axis];
    return count;
}

Window kernel_window(const SlidingWindow& window, const Shape& src, const Shape& dst) {
    Window result{};
    const std::array<int64_t, 3> strides = position_strides(src);
    for (size_t index = 0; index < 3; ++index) {
        result.source_stride[index] = strides[index];
        result.source[index] = result.output[index] = 1;
        result.kernel[index] = result.step[index] = result.dilation[index] = 1;
    }
    for (size_t axis = 0; axis < window.axes; ++axis) {
        const size_t index = axis + 3 - window.axes;
        const int64_t source = src[axis + 1];
        result.source[index] = source;
        result.output[index] = dst[axis + 1];
        result.kernel[index] = window.kernel[axis];
        result.step[index] = window.step[axis];
        result.dilation[index] = window.dilation[axis];
        result.pad[index] = window.begin(axis, source);
    }
    return result;
}

}  // namespace quoin
