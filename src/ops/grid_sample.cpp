// GridSample and AffineGrid (ONNX), any number of spatial axes.
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

const auto kFloats = {DType::F32, DType::F64, DType::F16, DType::BF16};

// ---- GridSample -----------------------------------------------------------------------------------------------

enum class Sampling : uint8_t { Nearest, Linear, Cubic };
enum class Padding : uint8_t { Zeros, Border, Reflection };

struct GridSettings {
    Sampling sampling = Sampling::Linear;
    Padding padding = Padding::Zeros;
    bool align_corners = false;
};

Result<GridSettings> grid_settings(const Node& node) {
    GridSettings settings;
    const std::string_view mode = node.string("mode", "linear");
    if (mode == "nearest") {
        settings.sampling = Sampling::Nearest;
    } else if (mode == "cubic" || mode == "bicubic") {
        settings.sampling = Sampling::Cubic;
    } else if (mode != "linear" && mode != "bilinear") {
        return node_error(node, "mode is '", mode, "'");
    }
    const std::string_view padding = node.string("padding_mode", "zeros");
    if (padding == "border") {
        settings.padding = Padding::Border;
    } else if (padding == "reflection") {
        settings.padding = Padding::Reflection;
    } else if (padding != "zeros") {
        return node_error(node, "padding_mode is '", padding, "'");
    }
    settings.align_corners = node.integer("align_corners", 0) != 0;
    return settings;
}

Status infer_grid_sample(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(grid_settings(context.node()).status());
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, kFloats));
    const ValueType& x = context.input(0);
    const auto& grid = context.input(1).dims;
    if (!x.dims || !grid) {
        context.set_output(0, x.dtype, std::nullopt);
        return {};
    }
    const size_t rank = x.dims->size();
    if (rank < 3 || grid->size() != rank || !may_equal(grid->back(), {.size = static_cast<int64_t>(rank) - 2}) ||
        !may_equal((*x.dims)[0], grid->front())) {
        return context.fail("the grid does not fit an input of rank ", rank);
    }
    std::vector<Dim> dims = {(*x.dims)[0], (*x.dims)[1]};
    dims.insert(dims.end(), grid->begin() + 1, grid->end() - 1);
    context.set_output(0, x.dtype, std::move(dims));
    return {};
}

// `x` brought between low and high by mirrors at both ends.
template <class T>
T reflect(T x, T low, T high) {
    const T range = high - low;
    if (!(range > 0)) return low;
    const T distance = std::abs(x - low);
    const T rest = std::fmod(distance, 2 * range);
    return low + (rest > range ? 2 * range - rest : rest);
}

// What one coordinate reads along one axis: up to four values and their weights; -1 is padding with zeros.
template <class T>
struct AxisTaps {
    std::array<int64_t, 4> indices{};
    std::array<T, 4> weights{};
    int count = 0;
};

template <class T>
AxisTaps<T> axis_taps(const GridSettings& settings, T coordinate, int64_t size) {
    const auto length = static_cast<T>(size);
    const T low = settings.align_corners ? T{0} : T{-0.5};
    const T high = settings.align_corners ? length - 1 : length - T{0.5};
    T x = settings.align_corners ? (coordinate + 1) / 2 * (length - 1) : ((coordinate + 1) * length - 1) / 2;
    // So far out, or NaN, that only padding is there.
    const T far = 4 * length + 1000000;
    if (settings.padding == Padding::Reflection && settings.sampling != Sampling::Cubic && std::isfinite(x)) {
        x = reflect(x, low, high);
    }
    x = std::isnan(x) ? -far : std::clamp(x, -far, far);
    if (settings.padding == Padding::Border && settings.sampling != Sampling::Cubic)
        x = std::clamp(x, T{0}, length - 1);
    AxisTaps<T> taps;
    const auto add = [&](T place, T weight) {
        int64_t index = -1;
        if (settings.padding == Padding::Border) {
            index = static_cast<int64_t>(std::clamp(place, T{0}, length - 1));
        } else if (settings.padding == Padding::Reflection) {
            index = std::clamp<int64_t>(static_cast<int64_t>(std::nearbyint(reflect(place, low, high))), 0, size - 1);
        } else if (place >= 0 && place < length) {
            index = static_cast<int64_t>(place);
        }
        taps.indices[static_cast<size_t>(taps.count)] = index;
        taps.weights[static_cast<size_t>(taps.count)] = weight;
        ++taps.count;
    };
    if (settings.sampling == Sampling::Nearest) {
        add(std::nearbyint(x), T{1});
        return taps;
    }
    const T below = std::floor(x);
    const T ratio = x - below;
    if (settings.sampling == Sampling::Linear) {
        add(below, 1 - ratio);
        add(below + 1, ratio);
        return taps;
    }
    const T a = T{-0.75};
    const auto near = [&](T d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
    const auto wide = [&](T d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
    add(below - 1, wide(ratio + 1));
    add(below, near(ratio));
    add(below + 1, near(1 - ratio));
    add(below + 2, wide(2 - ratio));
    return taps;
}

template <class T>
struct Source {
    int64_t offset;
    T weight;
};

// Everything one place of the grid reads of a plane.
template <class T>
void collect(const GridSettings& settings, const T* place, std::span<const int64_t> sizes,
             std::vector<Source<T>>& sources) {
    sources.assign(1, {0, T{1}});
    std::vector<Source<T>> next;
    for (size_t axis = 0; axis < sizes.size(); ++axis) {
        // The last component of a place belongs to the first axis.
        const AxisTaps<T> taps = axis_taps<T>(settings, place[sizes.size() - 1 - axis], sizes[axis]);
        next.clear();
        for (const Source<T>& source : sources) {
            for (int tap = 0; tap < taps.count; ++tap) {
                const int64_t index = taps.indices[static_cast<size_t>(tap)];
                if (index < 0) continue;
                next.push_back(
                    {source.offset * sizes[axis] + index, source.weight * taps.weights[static_cast<size_t>(tap)]});
            }
        }
        sources.swap(next);
    }
}

template <class T>
void sample(const GridSettings& settings, const Shape& shape, const T* src, const T* grid, int64_t places, T* dst) {
    const std::span<const int64_t> sizes = shape.dims().subspan(2);
    const int64_t plane = product(sizes);
    const int64_t channels = shape[1];
    const auto axes = static_cast<int64_t>(sizes.size());
    if (plane == 0) {
        std::fill_n(dst, shape[0] * channels * places, T{});
        return;
    }
    std::vector<Source<T>> sources;
    for (int64_t image = 0; image < shape[0]; ++image) {
        for (int64_t place = 0; place < places; ++place) {
            collect<T>(settings, grid + (image * places + place) * axes, sizes, sources);
            for (int64_t channel = 0; channel < channels; ++channel) {
                const T* const values = src + (image * channels + channel) * plane;
                T sum = 0;
                for (const Source<T>& source : sources) sum += source.weight * values[source.offset];
                dst[(image * channels + channel) * places + place] = sum;
            }
        }
    }
}

Status compute_grid_sample(ComputeContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& grid = context.input(1);
    QUOIN_ASSIGN_OR_RETURN(const GridSettings settings, grid_settings(context.node()));
    std::vector<int64_t> dims = {x.shape()[0], x.shape()[1]};
    const auto outputs = grid.shape().dims().subspan(1, grid.shape().rank() - 2);
    dims.insert(dims.end(), outputs.begin(), outputs.end());
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), Shape(std::span<const int64_t>(dims))));
    const auto run = [&]<class T>() {
        const ReadAs<T> src(x);
        const ReadAs<T> places(grid);
        WriteAs<T> dst(y);
        sample<T>(settings, x.shape(), src.data(), places.data(), product(outputs), dst.data());
        dst.store();
    };
    const bool done = visit_wide(x.dtype(), run) ||
                      visit_integers(x.dtype(), [&]<class Integer>() { run.template operator()<double>(); });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no sampling of ", dtype_name(x.dtype()));
}

// ---- AffineGrid -----------------------------------------------------------------------------------------------

Status infer_affine_grid(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, kFloats));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto size, context.integers(1));
    const auto& theta = context.input(0).dims;
    std::optional<std::vector<Dim>> dims;
    if (size) {
        if (size->size() != 4 && size->size() != 5) return context.fail("the size has ", size->size(), " values");
        if (std::ranges::any_of(*size, [](int64_t each) { return each < 0; }))
            return context.fail("a size is negative");
        const auto axes = static_cast<int64_t>(size->size()) - 2;
        const std::vector<Dim> wanted = {{.size = (*size)[0]}, {.size = axes}, {.size = axes + 1}};
        if (theta && !std::ranges::equal(*theta, wanted, may_equal)) {
            return context.fail("theta does not fit a size of ", size->size(), " values");
        }
        dims.emplace({Dim{.size = (*size)[0]}});
        for (size_t axis = 2; axis < size->size(); ++axis) dims->push_back({.size = (*size)[axis]});
        dims->push_back({.size = axes});
    }
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

Status compute_affine_grid(ComputeContext& context) {
    const Tensor& theta = context.input(0);
    const auto size = context.input(1).as<const int64_t>();
    const size_t axes = size.size() - 2;
    const bool align = context.node().integer("align_corners", 0) != 0;
    std::vector<int64_t> dims = {size[0]};
    dims.insert(dims.end(), size.begin() + 2, size.end());
    dims.push_back(static_cast<int64_t>(axes));
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, theta.dtype(), Shape(std::span<const int64_t>(dims))));
    const int64_t places = product(size.subspan(2));
    const bool done = visit_wide(theta.dtype(), [&]<class T>() {
        const ReadAs<T> matrices(theta);
        WriteAs<T> dst(y);
        std::vector<T> position(axes + 1, T{1});  // x first, so the last axis first; then 1
        for (int64_t index = 0; index < size[0] * places; ++index) {
            int64_t rest = index % places;
            for (size_t axis = 0; axis < axes; ++axis) {
                const int64_t length = size[size.size() - 1 - axis];
                const auto at = static_cast<T>(rest % length);
                rest /= length;
                const auto count = static_cast<T>(length);
                position[axis] = align ? (length > 1 ? 2 * at / (count - 1) - 1 : T{0}) : (2 * at + 1) / count - 1;
            }
            const T* const matrix = matrices.data() + index / places * static_cast<int64_t>(axes * (axes + 1));
            for (size_t row = 0; row < axes; ++row) {
                T sum = 0;
                for (size_t column = 0; column <= axes; ++column) {
                    sum += matrix[row * (axes + 1) + column] * position[column];
                }
                dst[index * static_cast<int64_t>(axes) + static_cast<int64_t>(row)] = sum;
            }
        }
        dst.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no grid of ", dtype_name(theta.dtype()));
}

}  // namespace

extern const OpImplementation kGridSampleOp{infer_grid_sample, nullptr, compute_grid_sample};
extern const OpImplementation kAffineGridOp{infer_affine_grid, nullptr, compute_affine_grid};

}  // namespace quoin
