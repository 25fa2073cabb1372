// RoiAlign and MaxRoiPool (ONNX): [N, C, H, W] pooled over boxes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

const auto kFloats = {DType::F32, DType::F64, DType::F16, DType::BF16};
constexpr int64_t kMostOutput = int64_t{1} << 20;
constexpr int64_t kMostSamples = 4096;  // along one axis of a bin

Status infer_pooled(InferContext& context, int64_t height, int64_t width, int64_t columns) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, kFloats));
    if (height < 1 || width < 1 || height > kMostOutput || width > kMostOutput) {
        return context.fail("the pooled size is ", height, " x ", width);
    }
    const auto& x = context.input(0).dims;
    const auto& rois = context.input(1).dims;
    if (x && x->size() != 4) return context.fail("the input has rank ", x->size(), ", not 4");
    if (rois && (rois->size() != 2 || !may_equal(rois->back(), {.size = columns}))) {
        return context.fail("the boxes are not [number, ", columns, "]");
    }
    context.set_output(
        0, context.input(0).dtype,
        std::vector<Dim>{rois ? rois->front() : Dim{}, x ? (*x)[1] : Dim{}, {.size = height}, {.size = width}});
    return {};
}

Status infer_roi_align(InferContext& context) {
    const Node& node = context.node();
    const std::string_view mode = node.string("mode", "avg");
    const std::string_view coordinates = node.string("coordinate_transformation_mode", "half_pixel");
    if (mode != "avg" && mode != "max") return context.fail("mode is '", mode, "'");
    if (coordinates != "half_pixel" && coordinates != "output_half_pixel") {
        return context.fail("coordinate_transformation_mode is '", coordinates, "'");
    }
    const int64_t samples = node.integer("sampling_ratio", 0);
    if (samples < 0 || samples > kMostSamples) return context.fail("sampling_ratio is ", samples);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::I64}));
    const auto& indices = context.input(2).dims;
    const auto& rois = context.input(1).dims;
    if (indices && (indices->size() != 1 || (rois && !rois->empty() && !may_equal(indices->front(), rois->front())))) {
        return context.fail("there is not one batch index for each box");
    }
    return infer_pooled(context, node.integer("output_height", 1), node.integer("output_width", 1), 4);
}

// One place between four values of a plane.
template <class T>
struct Bilinear {
    std::array<int64_t, 4> offsets{};
    std::array<T, 4> weights{};  // all zero outside
};
template <class T>
Bilinear<T> bilinear(T y, T x, int64_t height, int64_t width) {
    Bilinear<T> result;
    if (!(y >= -1 && y <= static_cast<T>(height) && x >= -1 && x <= static_cast<T>(width))) return result;
    const auto split = [](T place, int64_t size, int64_t& low, int64_t& high) {
        place = std::max(place, T{0});
        low = static_cast<int64_t>(place);
        high = low + 1;
        if (low >= size - 1) {
            low = high = size - 1;
            return T{0};
        }
        return place - static_cast<T>(low);
    };
    int64_t top = 0;
    int64_t bottom = 0;
    int64_t left = 0;
    int64_t right = 0;
    const T down = split(y, height, top, bottom);
    const T across = split(x, width, left, right);
    result.offsets = {top * width + left, top * width + right, bottom * width + left, bottom * width + right};
    result.weights = {(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across};
    return result;
}

template <class T>
Status roi_align(const ComputeContext& context, const Shape& shape, const T* src, const ReadAs<T>& rois,
                 std::span<const int64_t> indices, T* dst) {
    const Node& node = context.node();
    const auto scale = static_cast<T>(node.number("spatial_scale", 1.0));
    const bool half = node.string("coordinate_transformation_mode", "half_pixel") == "half_pixel";
    const bool maximum = node.string("mode", "avg") == "max";
    const int64_t samples = node.integer("sampling_ratio", 0);
    const int64_t out_height = node.integer("output_height", 1);
    const int64_t out_width = node.integer("output_width", 1);
    const int64_t channels = shape[1];
    const int64_t plane = shape[2] * shape[3];
    const T shift = half ? T{0.5} : T{0};
    std::vector<Bilinear<T>> places;
    for (size_t roi = 0; roi < indices.size(); ++roi) {
        if (indices[roi] < 0 || indices[roi] >= shape[0]) {
            return context.fail("batch index ", indices[roi], " is not below ", shape[0]);
        }
        const auto box = static_cast<int64_t>(roi) * 4;
        const T left = rois[box] * scale - shift;
        const T top = rois[box + 1] * scale - shift;
        T width = rois[box + 2] * scale - shift - left;
        T height = rois[box + 3] * scale - shift - top;
        if (!half) {
            width = std::max(width, T{1});
            height = std::max(height, T{1});
        }
        const T bin_height = height / static_cast<T>(out_height);
        const T bin_width = width / static_cast<T>(out_width);
        const T most = static_cast<T>(kMostSamples);
        if (!(std::abs(bin_height) <= most && std::abs(bin_width) <= most)) {
            return context.fail("box ", roi, " is too large for the image");
        }
        const int64_t rows = samples > 0 ? samples : static_cast<int64_t>(std::ceil(bin_height));
        const int64_t columns = samples > 0 ? samples : static_cast<int64_t>(std::ceil(bin_width));
        const T count =
            static_cast<T>(std::max<int64_t>(1, std::max<int64_t>(0, rows) * std::max<int64_t>(0, columns)));
        for (int64_t bin = 0; bin < out_height * out_width; ++bin) {
            places.clear();
            for (int64_t row = 0; row < rows && plane > 0; ++row) {
                const T y =
                    top + (static_cast<T>(bin / out_width) + (static_cast<T>(row) + T{0.5}) / static_cast<T>(rows)) *
                              bin_height;
                for (int64_t column = 0; column < columns; ++column) {
                    const T x = left + (static_cast<T>(bin % out_width) +
                                        (static_cast<T>(column) + T{0.5}) / static_cast<T>(columns)) *
                                           bin_width;
                    places.push_back(bilinear<T>(y, x, shape[2], shape[3]));
                }
            }
            for (int64_t channel = 0; channel < channels; ++channel) {
                const T* const values = src + (indices[roi] * channels + channel) * plane;
                T result = maximum && !places.empty() ? std::numeric_limits<T>::lowest() : T{0};
                for (const Bilinear<T>& place : places) {
                    for (size_t corner = 0; corner < 4; ++corner) {
                        const T part = place.weights[corner] * values[place.offsets[corner]];
                        // The specification takes the largest weighted corner, not the largest interpolated value.
                        result = maximum ? std::max(result, part) : result + part;
                    }
                }
                dst[(static_cast<int64_t>(roi) * channels + channel) * out_height * out_width + bin] =
                    maximum ? result : result / count;
            }
        }
    }
    return {};
}

Status compute_roi_align(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const int64_t boxes = context.input(1).shape()[0];
    QUOIN_ASSIGN_OR_RETURN(const Tensor y,
                           context.output(0, x.dtype(),
                                          Shape{boxes, x.shape()[1], context.node().integer("output_height", 1),
                                                context.node().integer("output_width", 1)}));
    Status status;
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> rois(context.input(1));
        WriteAs<T> dst(y);
        status = roi_align<T>(context, x.shape(), src.data(), rois, context.input(2).as<const int64_t>(), dst.data());
        dst.store();
    });
    return done ? status : context.fail(StatusCode::Unsupported, "no pool of ", dtype_name(x.dtype()));
}

// ---- MaxRoiPool -----------------------------------------------------------------------------------------------

Status infer_max_roi_pool(InferContext& context) {
    const std::vector<int64_t> pooled = integers_attribute(context.node(), "pooled_shape");
    if (pooled.size() != 2) return context.fail("pooled_shape has ", pooled.size(), " values");
    return infer_pooled(context, pooled[0], pooled[1], 5);
}

// Values first..last-1 of `size` belong to this bin of a box of whole values.
struct Bin {
    int64_t first;
    int64_t last;
};
Bin bin_of(int64_t bin, int64_t bins, double start, double extent, int64_t size) {
    const double each = extent / static_cast<double>(bins);
    const auto inside = [&](double place) {
        return static_cast<int64_t>(std::clamp(place + start, 0.0, static_cast<double>(size)));
    };
    return {inside(std::floor(static_cast<double>(bin) * each)),
            inside(std::ceil(static_cast<double>(bin + 1) * each))};
}

Status compute_max_roi_pool(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const std::vector<int64_t> pooled = integers_attribute(context.node(), "pooled_shape");
    const double scale = context.node().number("spatial_scale", 1.0);
    const Shape& shape = x.shape();
    const int64_t boxes = context.input(1).shape()[0];
    const int64_t plane = shape[2] * shape[3];
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), Shape{boxes, shape[1], pooled[0], pooled[1]}));
    const ReadAs<double> rois(context.input(1));
    for (int64_t box = 0; box < boxes; ++box) {
        const double image = rois[box * 5];
        if (!(image >= 0 && image < static_cast<double>(shape[0]))) {
            return context.fail("batch index ", image, " is not below ", shape[0]);
        }
        for (int64_t side = 1; side < 5; ++side) {
            if (!std::isfinite(rois[box * 5 + side])) return context.fail("box ", box, " is not finite");
        }
    }
    const bool done = visit_wide(x.dtype(), [&]<class T>() {
        const ReadAs<T> src(x);
        WriteAs<T> dst(y);
        for (int64_t index = 0; index < static_cast<int64_t>(dst.size()); ++index) {
            const int64_t column = index % pooled[1];
            const int64_t row = index / pooled[1] % pooled[0];
            const int64_t channel = index / (pooled[0] * pooled[1]) % shape[1];
            const int64_t box = index / (pooled[0] * pooled[1] * shape[1]) * 5;
            const auto edge = [&](int64_t side) { return std::round(rois[box + side] * scale); };
            const Bin across = bin_of(column, pooled[1], edge(1), std::max(edge(3) - edge(1) + 1, 1.0), shape[3]);
            const Bin down = bin_of(row, pooled[0], edge(2), std::max(edge(4) - edge(2) + 1, 1.0), shape[2]);
            const T* const values = src.data() + (static_cast<int64_t>(rois[box]) * shape[1] + channel) * plane;
            bool any = false;
            T largest = 0;
            for (int64_t r = down.first; r < down.last; ++r) {
                for (int64_t c = across.first; c < across.last; ++c) {
                    const T value = values[r * shape[3] + c];
                    if (!any || value > largest) largest = value;
                    any = true;
                }
            }
            dst[index] = largest;
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no pool of ", dtype_name(x.dtype()));
}

}  // namespace

extern const OpImplementation kRoiAlignOp{infer_roi_align, nullptr, compute_roi_align};
extern const OpImplementation kMaxRoiPoolOp{infer_max_roi_pool, nullptr, compute_max_roi_pool};

}  // namespace quoin
