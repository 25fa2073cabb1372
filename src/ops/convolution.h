// Convolutions of any rank by plain loops, for every element type and for operands that no kernel takes.
#pragma once

#include <algorithm>
#include <vector>

#include "core/rounding.h"
#include "ops/spatial_window.h"

namespace quoin {

// Concrete sizes of a convolution; `window` is padded_for() the input.
struct ConvolutionSizes {
    int64_t batch = 0;
    int64_t channels = 0;  // of the input
    int64_t outputs = 0;   // output channels
    int64_t group = 1;
    std::vector<int64_t> input;  // spatial
    std::vector<int64_t> output;
    SpatialWindow window;

    int64_t input_plane() const { return count(input); }
    int64_t output_plane() const { return count(output); }
    int64_t group_channels() const { return channels / group; }
    int64_t weight_size() const { return group_channels() * window.taps(); }  // of one output channel

private:
    static int64_t count(const std::vector<int64_t>& sizes) {
        int64_t result = 1;
        for (const int64_t size : sizes) result *= size;
        return result;
    }
};

// Output shape of Conv, ConvInteger and QLinearConv; an empty result where even the rank is not known.
Result<std::optional<std::vector<Dim>>> convolution_dims(const Node& node, const std::optional<std::vector<Dim>>& input,
                                                         const std::optional<std::vector<Dim>>& weight);
Result<ConvolutionSizes> convolution_sizes(const Node& node, const Shape& input, const Shape& weight);

// The outputs o of one axis whose source o * step + offset lies in 0..size-1.
struct Range {
    int64_t begin;
    int64_t end;
};
inline Range sources_inside(int64_t outputs, int64_t step, int64_t offset, int64_t size) {
    const int64_t begin = offset >= 0 ? 0 : divide_up(-offset, step);
    const int64_t end = size <= offset ? 0 : std::min(outputs, (size - 1 - offset) / step + 1);
    return {begin, std::max(begin, end)};
}

// Calls visit(source, destination, range, step) for every row of the last axis that one tap of the window reads:
// destination[o] belongs to source[o * step] for o in the range. Both are element indices within one plane.
template <class Visit>
void for_each_row(const ConvolutionSizes& sizes, std::span<const int64_t> tap, Visit&& visit) {
    const SpatialWindow& window = sizes.window;
    const size_t last = window.axes() - 1;
    const int64_t offset = tap[last] * window.dilations[last] - window.pad_begin[last];
    const Range range = sources_inside(sizes.output[last], window.strides[last], offset, sizes.input[last]);
    if (range.begin >= range.end) return;
    const std::span<const int64_t> outer = std::span(sizes.output).first(last);
    if (std::ranges::find(outer, 0) != outer.end()) return;
    Odometer row(outer);
    do {
        int64_t source = 0;
        int64_t destination = 0;
        bool inside = true;
        for (size_t axis = 0; axis < last; ++axis) {
            const int64_t at =
                row[axis] * window.strides[axis] + tap[axis] * window.dilations[axis] - window.pad_begin[axis];
            inside = inside && at >= 0 && at < sizes.input[axis];
            source = source * sizes.input[axis] + at;
            destination = destination * sizes.output[axis] + row[axis];
        }
        if (!inside) continue;
        visit(source * sizes.input[last] + offset, destination * sizes.output[last], range, window.strides[last]);
    } while (row.next());
}

// dst[output plane] += the convolution of one group's channels [C / group][plane] with the weights of one output
// channel.
template <class T>
void add_convolution(const ConvolutionSizes& sizes, const T* src, const T* weights, T* dst) {
    for (int64_t channel = 0; channel < sizes.group_channels(); ++channel) {
        const T* const plane = src + channel * sizes.input_plane();
        Odometer tap(sizes.window.kernel);
        do {
            const T weight = *weights++;
            for_each_row(sizes, tap.place(), [&](int64_t source, int64_t destination, Range range, int64_t step) {
                T* const out = dst + destination;
                const T* const in = plane + source;
                if (step == 1) {
                    for (int64_t index = range.begin; index < range.end; ++index) out[index] += weight * in[index];
                } else {
                    for (int64_t index = range.begin; index < range.end; ++index) {
                        out[index] += weight * in[index * step];
                    }
                }
            });
        } while (tap.next());
    }
}

}  // namespace quoin
