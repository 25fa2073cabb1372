// How the ops on channels-last tensors [N, spatial..., C] slide a window: ONNX's attributes once read, sizes of
// results, and the kernels' description of it for concrete shapes.
#pragma once

#include <array>
#include <cstdint>

#include "core/status.h"
#include "graph/graph.h"
#include "kernels/window.h"
#include "ops/op_kernel.h"

namespace quoin {

// Values along one axis that windows slide over, and the padding around them.
struct PaddedAxis {
    int64_t size;
    int64_t begin;
    int64_t end;
};
// Windows of `extent` values, one every `step`; 0 where none fits. Rounded up, the last may stand out at the end, if
// only it begins inside, and so may the only one.
int64_t window_count(const PaddedAxis& axis, int64_t extent, int64_t step, bool round_up);

// Attributes strides, dilations, pads, auto_pad, ceil_mode of a convolution or pool over 1 to 3 axes. Axes count from
// the first spatial one.
struct SlidingWindow {
    enum class Padding : uint8_t { Explicit, SameUpper, SameLower };

    size_t axes = 0;
    std::array<int64_t, 3> kernel{1, 1, 1};
    std::array<int64_t, 3> step{1, 1, 1};
    std::array<int64_t, 3> dilation{1, 1, 1};
    std::array<int64_t, 3> pad_begin{};
    std::array<int64_t, 3> pad_end{};
    Padding padding = Padding::Explicit;
    bool ceil_mode = false;

    // Source values from the first tap to the last one.
    int64_t extent(size_t axis) const { return (kernel[axis] - 1) * dilation[axis] + 1; }
    // Windows along an axis of `source` values; negative or zero where there is none.
    int64_t output_size(size_t axis, int64_t source) const;
    // Padding before the first value.
    int64_t begin(size_t axis, int64_t source) const;
    // Padding behind the last value.
    int64_t end(size_t axis, int64_t source) const;
};

// The window of a node over `axes` axes (1 to 3) with these taps. A reason to refuse when an attribute makes no sense.
Result<SlidingWindow> read_sliding_window(const Node& node, size_t axes, std::span<const int64_t> kernel);

// Dims of the result [N, spatial..., channels] for x [N, spatial..., C]; `x` has axes + 2 dims.
Result<std::vector<Dim>> window_output(const SlidingWindow& window, const std::vector<Dim>& x, const Dim& channels);

// For the kernels: one image of `src` [N, spatial..., C] and of `dst`, both dense.
Window kernel_window(const SlidingWindow& window, const Shape& src, const Shape& dst);

// Elements between neighbouring positions of a dense [N, spatial..., C], for depth, height and width.
std::array<int64_t, 3> position_strides(const Shape& shape);
// Positions of one image of a dense [N, spatial..., C].
int64_t positions_of(const Shape& shape);

}  // namespace quoin
