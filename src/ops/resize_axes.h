// How Resize (ONNX) reads its attributes and operands: what every output coordinate of an axis takes from the input.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

enum class ResizeMode : uint8_t { Nearest, Linear, Cubic };
enum class NearestMode : uint8_t { RoundPreferFloor, RoundPreferCeil, Floor, Ceil };
enum class ResizeCoordinates : uint8_t {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    TfHalfPixelForNearest,
    Asymmetric,
    TfCropAndResize,
};

// The attributes of a node.
struct ResizeSettings {
    ResizeMode mode = ResizeMode::Nearest;
    NearestMode nearest = NearestMode::RoundPreferFloor;
    ResizeCoordinates coordinates = ResizeCoordinates::HalfPixel;
    bool antialias = false;
    bool exclude_outside = false;
    double cubic_coefficient = -0.75;
    float extrapolation = 0;

    // Outputs outside of the input take `extrapolation`.
    bool extrapolates() const { return coordinates == ResizeCoordinates::TfCropAndResize; }
};
Result<ResizeSettings> resize_settings(const Node& node);

// One axis of a concrete resize. Its scale is numerator / denominator: exact where sizes are given.
struct ResizeAxis {
    int64_t input = 1;
    int64_t output = 1;
    double numerator = 1;
    double denominator = 1;
    bool single = false;  // the scale is a float of the model, and coordinates are computed as floats
    double start = 0;     // region of interest, in 0..1
    double end = 1;

    double scale() const { return numerator / denominator; }
    // Not the identity.
    bool changes(const ResizeSettings& settings) const;
};

// The operands roi, scales and sizes as far as their elements are known; empty when left out.
struct ResizeOperands {
    std::vector<double> roi;
    std::vector<double> scales;
    std::vector<int64_t> sizes;
};

// All axes of the input. InvalidModel where lengths and axes do not fit, or a scale or size is not positive.
Result<std::vector<ResizeAxis>> resize_axes(const Node& node, std::span<const int64_t> input,
                                            const ResizeOperands& operands);

// The place in the input, possibly outside, of output coordinate `x`.
double resize_coordinate(const ResizeAxis& axis, ResizeCoordinates coordinates, int64_t x);
// Index of the nearest input value.
int64_t resize_nearest(const ResizeAxis& axis, const ResizeSettings& settings, int64_t x);
// Whether `x` lies outside, so that it takes the extrapolation value.
bool resize_outside(const ResizeAxis& axis, const ResizeSettings& settings, int64_t x);

// Input values (indices) of output coordinate `x` and their weights, for linear and cubic.
struct ResizeTaps {
    std::vector<int64_t> indices;
    std::vector<double> weights;
};
ResizeTaps resize_taps(const ResizeAxis& axis, const ResizeSettings& settings, int64_t x);

}  // namespace quoin
