// What the providers without kernels of ours share: a plain weight, tasks of output positions, and the sources of a
// window one by one.
#pragma once

#include <algorithm>

#include "ops/activation.h"
#include "ops/convolution_provider.h"

namespace quoin {

// A copy of the plain weight, in memory.
Result<Constant> pack_plain_weight(const ConvolutionQuery& query, const Constant& weight, std::string_view name);

// Tasks of up to `rows` positions of one image and one group.
Work cut_plain_convolution(const ConvolutionProblem& problem, const Shape& dst, int64_t rows);

// One such task: positions first <= p < first + count.
struct PlainTask {
    int64_t image;
    int64_t group;
    int64_t first;
    int64_t count;
};
PlainTask plain_task(const ConvolutionProblem& problem, const Work& work, int64_t positions, int64_t task);

// What such a task reads and writes, at its image and group.
struct PlainPart {
    Window window;
    PlainTask task;
    const float* src;
    const float* weights;  // [columns][inner]
    float* dst;            // columns of position p from p * dst_stride on
    int64_t dst_stride;
    FloatEpilogue epilogue;
};
PlainPart plain_part(const ConvolutionProblem& problem, const ConvolutionEpilogue& epilogue, const Arguments& arguments,
                     int64_t task);

// Where output `position` lies along depth, height and width.
inline std::array<int64_t, 3> coordinates(const Window& window, int64_t position) {
    const int64_t width = window.output[2];
    const int64_t height = window.output[1];
    return {position / width / height, position / width % height, position % width};
}

// Calls visit(tap, offset) for every tap of the window at `position`, taps in ONNX's order; `offset` is the source's
// element, or -1 where there is padding.
template <class Visit>
void for_each_tap(const Window& window, int64_t position, Visit&& visit) {
    const std::array<int64_t, 3> at = coordinates(window, position);
    int64_t tap = 0;
    for (int64_t d = 0; d < window.kernel[0]; ++d) {
        for (int64_t h = 0; h < window.kernel[1]; ++h) {
            for (int64_t w = 0; w < window.kernel[2]; ++w, ++tap) {
                const std::array<int64_t, 3> taps{d, h, w};
                int64_t offset = 0;
                for (size_t axis = 0; axis < 3 && offset >= 0; ++axis) {
                    const int64_t source =
                        at[axis] * window.step[axis] + taps[axis] * window.dilation[axis] - window.pad[axis];
                    offset =
                        source < 0 || source >= window.source[axis] ? -1 : offset + source * window.source_stride[axis];
                }
                visit(tap, offset);
            }
        }
    }
}

// The epilogue of one sum.
inline double finish_sum(const FloatEpilogue& epilogue, const std::array<int64_t, 3>& at, int64_t column, double sum) {
    if (epilogue.bias != nullptr) sum += epilogue.bias[column];
    double residual = 0;
    if (epilogue.residual != nullptr) {
        const int64_t* const stride = epilogue.residual_stride;
        residual = epilogue.residual[at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2] + column];
    }
    const float* const slopes = epilogue.activation.slopes;
    const double slope = slopes == nullptr ? 0.0 : slopes[column];
    if (!epilogue.residual_last) return activate(epilogue.activation, sum + residual, slope);
    return activate(epilogue.activation, sum, slope) + residual;
}

}  // namespace quoin
