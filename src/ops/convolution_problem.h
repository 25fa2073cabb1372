// What convolutions on channels-last tensors share, whatever they multiply: sizes, and how their work is cut.
#pragma once

#include "ops/op_kernel.h"
#include "ops/sliding_window.h"

namespace quoin {

struct ConvolutionProblem {
    SlidingWindow window;
    int64_t group = 1;
    int64_t channels = 0;  // of the source, in a group
    int64_t columns = 0;   // of the result, in a group

    int64_t taps() const { return window.kernel[0] * window.kernel[1] * window.kernel[2]; }
    int64_t inner() const { return channels * taps(); }
    int64_t panels() const { return panel_count(columns); }
    // Computed channel by channel.
    bool is_depthwise() const { return group > 1 && channels == 1; }
};

// Of a node with ONNX Conv's attributes and a weight [OC, C / group, kernel...], or a matrix [OC, C]: a window of one
// value over no axes.
Result<ConvolutionProblem> read_convolution(const Node& node, const Shape& weight);

// Dims of the result for x [N, spatial..., C], or [..., C] where the weight is a matrix.
Result<std::vector<Dim>> convolution_output(const ConvolutionProblem& problem, const std::vector<Dim>& x);

// A known shape; nullopt otherwise.
std::optional<Shape> known_shape(const ValueType& type);

// Fails unless the input is left out or may be a vector of `size` elements.
Status expect_vector(const InferContext& context, size_t index, int64_t size, std::string_view what);

// One image of the source and of the result, as kernels see them. Where the weight is a matrix all rows are one image.
struct Image {
    Window window;
    int64_t positions;     // of the result
    int64_t src_elements;  // from one image of the source to the next
    int64_t dst_elements;  // likewise of the result
    std::array<int64_t, 3> dst_stride;
};
Image image_of(const ConvolutionProblem& problem, const Shape& src, const Shape& dst);
int64_t image_count(const ConvolutionProblem& problem, const Shape& dst);

// A piece of the result: some positions, and of a group some panels (all channels when it is depthwise).
struct ConvolutionTask {
    int64_t image;
    int64_t group;
    int64_t first;
    int64_t count;
    int64_t panel;
    int64_t panels;
};
// `block_rows`: positions that the kernel takes at a time.
Work cut_convolution(const ConvolutionProblem& problem, const Shape& dst, int64_t block_rows, int threads);
Work cut_depthwise(const ConvolutionProblem& problem, const Shape& dst, int threads);
ConvolutionTask convolution_task(const ConvolutionProblem& problem, const Work& work, int64_t positions, int64_t task);

}  // namespace quoin
