#include "ops/spatial_window.h"

#include <algorithm>

#include "core/rounding.h"
#include "ops/node_attributes.h"
#include "ops/sliding_window.h"

namespace quoin {
namespace {

// Sums and products of two of them stay far from the ends of int64_t.
constexpr int64_t kMostAttribute = int64_t{1} << 30;
constexpr int64_t kMostSize = int64_t{1} << 40;

Result<std::vector<int64_t>> bounded(const Node& node, std::string_view name, size_t count, int64_t fallback,
                                     int64_t least) {
    std::vector<int64_t> values = integers_attribute(node, name);
    if (values.empty()) values.assign(count, fallback);
    if (values.size() != count) return node_error(node, name, " has ", values.size(), " values for ", count);
    for (const int64_t value : values) {
        if (value < least || value > kMostAttribute) return node_error(node, name, " has the value ", value);
    }
    return values;
}

}  // namespace

int64_t SpatialWindow::taps() const {
    int64_t taps = 1;
    for (const int64_t size : kernel) taps *= size;
    return taps;
}

int64_t SpatialWindow::output_size(size_t axis, int64_t input) const {
    const int64_t step = strides[axis];
    if (auto_pad == AutoPad::SameUpper || auto_pad == AutoPad::SameLower) return divide_up(input, step);
    const bool padded = auto_pad == AutoPad::Explicit;
    const PaddedAxis values{input, padded ? pad_begin[axis] : 0, padded ? pad_end[axis] : 0};
    const int64_t count = window_count(values, extent(axis), step, ceil_mode);
    return count < 1 ? -1 : count;
}

SpatialWindow SpatialWindow::padded_for(std::span<const int64_t> sizes) const {
    SpatialWindow result = *this;
    if (auto_pad == AutoPad::Explicit) return result;
    for (size_t axis = 0; axis < axes(); ++axis) {
        int64_t total = 0;
        if (auto_pad != AutoPad::Valid) {
            total =
                std::max<int64_t>(0, (output_size(axis, sizes[axis]) - 1) * strides[axis] + extent(axis) - sizes[axis]);
        }
        const int64_t smaller = total / 2;
        result.pad_begin[axis] = auto_pad == AutoPad::SameLower ? total - smaller : smaller;
        result.pad_end[axis] = total - result.pad_begin[axis];
    }
    return result;
}

Result<SpatialWindow> spatial_window(const Node& node, size_t axes, std::optional<std::vector<int64_t>> kernel) {
    SpatialWindow window;
    QUOIN_ASSIGN_OR_RETURN(window.kernel, bounded(node, "kernel_shape", axes, kernel ? 1 : 0, kernel ? 1 : 0));
    if (kernel) {
        if (node.attribute("kernel_shape") != nullptr && window.kernel != *kernel) {
            return node_error(node, "kernel_shape is not the weight's");
        }
        window.kernel = std::move(*kernel);
    }
    for (const int64_t size : window.kernel) {
        if (size < 1 || size > kMostAttribute) return node_error(node, "the kernel has the size ", size);
    }
    QUOIN_ASSIGN_OR_RETURN(window.strides, bounded(node, "strides", axes, 1, 1));
    QUOIN_ASSIGN_OR_RETURN(window.dilations, bounded(node, "dilations", axes, 1, 1));
    QUOIN_ASSIGN_OR_RETURN(const std::vector<int64_t> pads, bounded(node, "pads", 2 * axes, 0, 0));
    window.pad_begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(axes));
    window.pad_end.assign(pads.begin() + static_cast<std::ptrdiff_t>(axes), pads.end());
    window.ceil_mode = node.integer("ceil_mode", 0) != 0;
    const std::string_view mode = node.string("auto_pad", "NOTSET");
    if (mode == "SAME_UPPER") {
        window.auto_pad = AutoPad::SameUpper;
    } else if (mode == "SAME_LOWER") {
        window.auto_pad = AutoPad::SameLower;
    } else if (mode == "VALID") {
        window.auto_pad = AutoPad::Valid;
    } else if (mode != "NOTSET" && !mode.empty()) {
        return node_error(node, "auto_pad is '", mode, "'");
    }
    return window;
}

Result<std::vector<Dim>> window_dims(const Node& node, const SpatialWindow& window, const std::vector<Dim>& input,
                                     Dim channels) {
    std::vector<Dim> dims = {input[0], channels};
    for (size_t axis = 0; axis < window.axes(); ++axis) {
        const Dim size = input[axis + 2];
        dims.emplace_back();
        if (!size.known()) continue;
        if (size.size > kMostSize) return node_error(node, "dimension ", size.size, " is too large");
        dims.back().size = window.output_size(axis, size.size);
        if (dims.back().size < 0 && size.size == 0) dims.back().size = 0;
        if (dims.back().size < 0) {
            return node_error(node, "the window of ", window.extent(axis), " does not fit the ", size.size,
                              " values of spatial axis ", axis);
        }
    }
    return dims;
}

}  // namespace quoin
