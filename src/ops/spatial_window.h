// Windows over the spatial axes of [N, C, D1, ..., Dn], as convolutions and pools of ONNX describe them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

enum class AutoPad : uint8_t { Explicit, SameUpper, SameLower, Valid };

// One entry for each spatial axis.
struct SpatialWindow {
    std::vector<int64_t> kernel;
    std::vector<int64_t> strides;
    std::vector<int64_t> dilations;
    std::vector<int64_t> pad_begin;  // as given; see padded_for() where auto_pad chooses them
    std::vector<int64_t> pad_end;
    AutoPad auto_pad = AutoPad::Explicit;
    bool ceil_mode = false;

    size_t axes() const { return kernel.size(); }
    int64_t taps() const;
    // Distance from the first value under the window to the last one, plus one.
    int64_t extent(size_t axis) const { return (kernel[axis] - 1) * dilations[axis] + 1; }
    // Outputs along an axis of `input` values; negative where the window does not fit.
    int64_t output_size(size_t axis, int64_t input) const;
    // The same window with auto_pad resolved for these spatial sizes. Their outputs must be known to be no less than 0.
    SpatialWindow padded_for(std::span<const int64_t> sizes) const;
};

// The attributes kernel_shape, strides, dilations, pads, auto_pad and ceil_mode of a node with `axes` spatial axes;
// `kernel` stands for kernel_shape where the weight tells it. Everything is positive and small enough that sizes cannot
// overflow.
Result<SpatialWindow> spatial_window(const Node& node, size_t axes, std::optional<std::vector<int64_t>> kernel = {});

// [N, channels, outputs of the window]; unknown where input dims are unknown.
Result<std::vector<Dim>> window_dims(const Node& node, const SpatialWindow& window, const std::vector<Dim>& input,
                                     Dim channels);

// Counts through all places of a box, the last axis fastest.
class Odometer {
public:
    explicit Odometer(std::span<const int64_t> sizes) : sizes_(sizes), place_(sizes.size(), 0) {}
    std::span<const int64_t> place() const { return place_; }
    int64_t operator[](size_t axis) const { return place_[axis]; }
    // False when it has come back to the beginning.
    bool next() {
        for (size_t axis = place_.size(); axis-- > 0;) {
            if (++place_[axis] < sizes_[axis]) return true;
            place_[axis] = 0;
        }
        return false;
    }

private:
    std::span<const int64_t> sizes_;
    std::vector<int64_t> place_;
};

}  // namespace quoin
