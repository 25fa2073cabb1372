#include "ops/resize_axes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/node_attributes.h"

namespace quoin {
namespace {

template <class Value>
struct Choice {
    std::string_view name;
    Value value;
};

template <class Value, size_t kCount>
Result<Value> choose(const Node& node, std::string_view attribute, std::string_view fallback,
                     const std::array<Choice<Value>, kCount>& choices) {
    const std::string_view name = node.string(attribute, fallback);
    for (const Choice<Value>& choice : choices) {
        if (choice.name == name) return choice.value;
    }
    return node_error(node, attribute, " is '", name, "'");
}

constexpr std::array kModes = {
    Choice<ResizeMode>{"nearest", ResizeMode::Nearest},
    Choice<ResizeMode>{"linear", ResizeMode::Linear},
    Choice<ResizeMode>{"cubic", ResizeMode::Cubic},
};
constexpr std::array kNearestModes = {
    Choice<NearestMode>{"round_prefer_floor", NearestMode::RoundPreferFloor},
    Choice<NearestMode>{"round_prefer_ceil", NearestMode::RoundPreferCeil},
    Choice<NearestMode>{"floor", NearestMode::Floor},
    Choice<NearestMode>{"ceil", NearestMode::Ceil},
};
constexpr std::array kCoordinates = {
    Choice<ResizeCoordinates>{"half_pixel", ResizeCoordinates::HalfPixel},
    Choice<ResizeCoordinates>{"half_pixel_symmetric", ResizeCoordinates::HalfPixelSymmetric},
    Choice<ResizeCoordinates>{"pytorch_half_pixel", ResizeCoordinates::PytorchHalfPixel},
    Choice<ResizeCoordinates>{"align_corners", ResizeCoordinates::AlignCorners},
    Choice<ResizeCoordinates>{"asymmetric", ResizeCoordinates::Asymmetric},
    Choice<ResizeCoordinates>{"tf_crop_and_resize", ResizeCoordinates::TfCropAndResize},
    Choice<ResizeCoordinates>{"tf_half_pixel_for_nn", ResizeCoordinates::TfHalfPixelForNearest},  // opset 11 to 12
};

constexpr int64_t kMostSize = int64_t{1} << 31;

// The axes that roi, scales and sizes speak of.
Result<std::vector<size_t>> named_axes(const Node& node, size_t rank) {
    std::vector<size_t> axes;
    if (node.attribute("axes") == nullptr) {
        for (size_t axis = 0; axis < rank; ++axis) axes.push_back(axis);
        return axes;
    }
    for (const int64_t each : integers_attribute(node, "axes")) {
        const std::optional<size_t> axis = normalized_axis(each, rank);
        if (!axis || std::ranges::find(axes, *axis) != axes.end()) {
            return node_error(node, "axis ", each, " is out of range or repeated");
        }
        axes.push_back(*axis);
    }
    return axes;
}

Status apply_sizes(const Node& node, const std::vector<size_t>& named, const std::vector<int64_t>& sizes,
                   std::vector<ResizeAxis>& axes) {
    const std::string_view policy = node.string("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller") {
        return node_error(node, "keep_aspect_ratio_policy is '", policy, "'");
    }
    std::optional<size_t> chosen;  // whose scale all axes take
    for (size_t index = 0; index < named.size(); ++index) {
        ResizeAxis& axis = axes[named[index]];
        if (sizes[index] < 0 || sizes[index] > kMostSize || (sizes[index] > 0 && axis.input == 0)) {
            return node_error(node, "an axis of ", axis.input, " values cannot get the size ", sizes[index]);
        }
        axis.output = sizes[index];
        axis.numerator = static_cast<double>(sizes[index]);
        axis.denominator = static_cast<double>(std::max<int64_t>(1, axis.input));
        if (policy == "stretch") continue;
        const bool better = !chosen || (policy == "not_larger" ? axis.scale() < axes[named[*chosen]].scale()
                                                               : axis.scale() > axes[named[*chosen]].scale());
        if (better) chosen = index;
    }
    if (!chosen) return {};
    const ResizeAxis common = axes[named[*chosen]];
    for (const size_t each : named) {
        ResizeAxis& axis = axes[each];
        axis.numerator = common.numerator;
        axis.denominator = common.denominator;
        axis.output =
            static_cast<int64_t>(std::floor(static_cast<double>(axis.input) * axis.numerator / axis.denominator + 0.5));
        if (axis.output > kMostSize) return node_error(node, "an axis would get ", axis.output, " values");
    }
    return {};
}

Status apply_scales(const Node& node, const std::vector<size_t>& named, const std::vector<double>& scales, bool crops,
                    std::vector<ResizeAxis>& axes) {
    for (size_t index = 0; index < named.size(); ++index) {
        ResizeAxis& axis = axes[named[index]];
        if (!(scales[index] > 0)) return node_error(node, "a scale is ", scales[index]);
        axis.numerator = scales[index];
        axis.denominator = 1;
        axis.single = true;
        const double part = crops ? axis.end - axis.start : 1.0;
        const double size = std::floor(static_cast<double>(axis.input) * part * scales[index]);
        if (!(size >= 0) || size > static_cast<double>(kMostSize))
            return node_error(node, "an axis would get ", size, " values");
        axis.output = static_cast<int64_t>(size);
    }
    return {};
}

double cubic_weight(double distance, double a) {
    const double x = std::abs(distance);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
}

}  // namespace

Result<ResizeSettings> resize_settings(const Node& node) {
    ResizeSettings settings;
    QUOIN_ASSIGN_OR_RETURN(settings.mode, choose(node, "mode", "nearest", kModes));
    QUOIN_ASSIGN_OR_RETURN(settings.nearest, choose(node, "nearest_mode", "round_prefer_floor", kNearestModes));
    QUOIN_ASSIGN_OR_RETURN(settings.coordinates,
                           choose(node, "coordinate_transformation_mode", "half_pixel", kCoordinates));
    settings.antialias = node.integer("antialias", 0) != 0;
    settings.exclude_outside = node.integer("exclude_outside", 0) != 0;
    settings.cubic_coefficient = node.number("cubic_coeff_a", -0.75);
    settings.extrapolation = static_cast<float>(node.number("extrapolation_value", 0.0));
    return settings;
}

bool ResizeAxis::changes(const ResizeSettings& settings) const {
    return input != output || numerator != denominator || (settings.extrapolates() && (start != 0 || end != 1));
}

Result<std::vector<ResizeAxis>> resize_axes(const Node& node, std::span<const int64_t> input,
                                            const ResizeOperands& operands) {
    std::vector<ResizeAxis> axes(input.size());
    for (size_t axis = 0; axis < input.size(); ++axis) axes[axis].input = axes[axis].output = input[axis];
    QUOIN_ASSIGN_OR_RETURN(const std::vector<size_t> named, named_axes(node, input.size()));
    const bool crops = node.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
    if (crops) {
        if (operands.roi.size() != 2 * named.size()) {
            return node_error(node, "the region of interest has ", operands.roi.size(), " values for ", named.size(),
                              " axes");
        }
        for (size_t index = 0; index < named.size(); ++index) {
            axes[named[index]].start = operands.roi[index];
            axes[named[index]].end = operands.roi[index + named.size()];
        }
    }
    if (operands.sizes.empty() == operands.scales.empty() && !named.empty()) {
        return node_error(node, "exactly one of scales and sizes must be given");
    }
    const size_t given = std::max(operands.sizes.size(), operands.scales.size());
    if (given != named.size())
        return node_error(node, "there are ", given, " scales or sizes for ", named.size(), " axes");
    QUOIN_RETURN_IF_ERROR(operands.sizes.empty() ? apply_scales(node, named, operands.scales, crops, axes)
                                                 : apply_sizes(node, named, operands.sizes, axes));
    return axes;
}

double resize_coordinate(const ResizeAxis& axis, ResizeCoordinates coordinates, int64_t x) {
    // x / scale. The result of a float division, where models expect it, is often a whole number when the double's is
    // a little less.
    const auto unscaled = [&](double value) {
        if (axis.single) return static_cast<double>(static_cast<float>(value) / static_cast<float>(axis.numerator));
        return value * axis.denominator / axis.numerator;
    };
    const auto place = static_cast<double>(x);
    const auto input = static_cast<double>(axis.input);
    const auto output = static_cast<double>(axis.output);
    switch (coordinates) {
        case ResizeCoordinates::HalfPixel: return unscaled(place + 0.5) - 0.5;
        case ResizeCoordinates::HalfPixelSymmetric: {
            const double adjustment = output / (input * axis.scale());
            return input / 2 * (1 - adjustment) + unscaled(place + 0.5) - 0.5;
        }
        case ResizeCoordinates::PytorchHalfPixel: return axis.output > 1 ? unscaled(place + 0.5) - 0.5 : 0;
        case ResizeCoordinates::TfHalfPixelForNearest: return unscaled(place + 0.5);
        case ResizeCoordinates::AlignCorners: {
            // The specification's data take the size before it is cut to a whole number.
            const double size = input * axis.scale();
            return axis.output <= 1 || size <= 1 ? 0 : place * (input - 1) / (size - 1);
        }
        case ResizeCoordinates::Asymmetric: return unscaled(place);
        case ResizeCoordinates::TfCropAndResize:
            if (axis.output <= 1) return 0.5 * (axis.start + axis.end) * (input - 1);
            return axis.start * (input - 1) + place * (axis.end - axis.start) * (input - 1) / (output - 1);
    }
    return 0;
}

int64_t resize_nearest(const ResizeAxis& axis, const ResizeSettings& settings, int64_t x) {
    const double place = resize_coordinate(axis, settings.coordinates, x);
    double nearest = 0;
    switch (settings.nearest) {
        case NearestMode::RoundPreferFloor: nearest = std::ceil(place - 0.5); break;
        case NearestMode::RoundPreferCeil: nearest = std::floor(place + 0.5); break;
        case NearestMode::Floor: nearest = std::floor(place); break;
        case NearestMode::Ceil: nearest = std::ceil(place); break;
    }
    // Also for NaN: a region of interest may hold anything.
    if (!(nearest > 0)) return 0;
    const auto last = static_cast<double>(axis.input - 1);
    return nearest >= last ? axis.input - 1 : static_cast<int64_t>(nearest);
}

bool resize_outside(const ResizeAxis& axis, const ResizeSettings& settings, int64_t x) {
    if (!settings.extrapolates()) return false;
    const double place = resize_coordinate(axis, settings.coordinates, x);
    return !(place >= 0 && place <= static_cast<double>(axis.input - 1));
}

ResizeTaps resize_taps(const ResizeAxis& axis, const ResizeSettings& settings, int64_t x) {
    double place = resize_coordinate(axis, settings.coordinates, x);
    // Far outside all taps are the edge; so a place that no integer holds does no harm.
    const auto size = static_cast<double>(axis.input);
    place = std::isnan(place) ? 0 : std::clamp(place, -2 * size - 4, 3 * size + 4);
    const double stretch = settings.antialias ? std::min(axis.scale(), 1.0) : 1.0;  // of the filter's argument
    const double support = (settings.mode == ResizeMode::Cubic ? 2.0 : 1.0) / stretch;
    const double below = std::floor(place);
    const double ratio = place - below;
    // No more taps than cover the input twice.
    const double reach = std::min(support, 3 * size + 8);
    const auto first = static_cast<int64_t>(std::floor(-reach) + 1);
    const auto last = static_cast<int64_t>(std::ceil(reach));
    ResizeTaps taps;
    double sum = 0;
    for (int64_t tap = first; tap <= last; ++tap) {
        const double distance = (static_cast<double>(tap) - ratio) * stretch;
        double weight = settings.mode == ResizeMode::Cubic ? cubic_weight(distance, settings.cubic_coefficient)
                                                           : std::max(0.0, 1 - std::abs(distance));
        const int64_t index = static_cast<int64_t>(below) + tap;
        if (settings.exclude_outside && (index < 0 || index >= axis.input)) weight = 0;
        if (weight == 0) continue;
        taps.indices.push_back(std::clamp<int64_t>(index, 0, axis.input - 1));
        taps.weights.push_back(weight);
        sum += weight;
    }
    if (sum != 0 && (settings.antialias || settings.exclude_outside)) {
        for (double& weight : taps.weights) weight /= sum;
    }
    return taps;
}

}  // namespace quoin
