// Resize (ONNX).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/rounding.h"
#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/resize_axes.h"
#include "ops/spatial_window.h"
#include "ops/widened.h"

namespace quoin {
namespace {

std::vector<double> doubles_of(const Tensor& tensor) {
    const ReadAs<double> values(tensor);
    return {values.data(), values.data() + values.size()};
}

// ---- infer ----------------------------------------------------------------------------------------------------

// The elements of an operand; an operand that is left out has none, one that is not known yet gives nullopt.
Result<std::optional<std::vector<double>>> known_numbers(const InferContext& context, size_t index) {
    std::optional<std::vector<double>> values;
    if (!context.has_input(index)) return std::optional(std::vector<double>());
    if (const std::optional<Result<Tensor>> tensor = context.constant(index)) {
        if (!tensor->ok()) return tensor->status();
        return std::optional(doubles_of(**tensor));
    }
    // An operand of no elements is as good as none.
    const auto& dims = context.input(index).dims;
    if (dims && dims->size() == 1 && (*dims)[0].size == 0) values.emplace();
    return values;
}

// With dims that are not known, the sizes that do not depend on them.
std::optional<std::vector<Dim>> partial_dims(const Node& node, const std::vector<Dim>& dims,
                                             const std::optional<std::vector<double>>& scales,
                                             const std::optional<std::vector<Dim>>& sizes) {
    std::vector<Dim> result(dims.size());
    std::vector<size_t> named;
    if (node.attribute("axes") == nullptr) {
        for (size_t axis = 0; axis < dims.size(); ++axis) named.push_back(axis);
    } else {
        result = dims;
        for (const int64_t each : integers_attribute(node, "axes")) {
            const std::optional<size_t> axis = normalized_axis(each, dims.size());
            if (!axis) return std::nullopt;
            result[*axis] = Dim{};
            named.push_back(*axis);
        }
    }
    const bool crops = node.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
    if (scales && scales->size() == named.size() && !crops) {
        for (size_t index = 0; index < named.size(); ++index) {
            const Dim dim = dims[named[index]];
            const double scale = (*scales)[index];
            if (scale == 1) result[named[index]] = dim;
            if (dim.known() && scale > 0 && scale < 1e6 && dim.size < (int64_t{1} << 31)) {
                result[named[index]] = {.size =
                                            static_cast<int64_t>(std::floor(static_cast<double>(dim.size) * scale))};
            }
        }
    }
    if (sizes && sizes->size() == named.size() && node.string("keep_aspect_ratio_policy", "stretch") == "stretch") {
        for (size_t index = 0; index < named.size(); ++index) {
            result[named[index]] = (*sizes)[index];
        }
    }
    return result;
}

Status infer_resize(InferContext& context) {
    const ValueType& x = context.input(0);
    QUOIN_RETURN_IF_ERROR(resize_settings(context.node()).status());
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(3, {DType::I64}));
    if (!x.dims) {
        context.set_output(0, x.dtype, std::nullopt);
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(const auto roi, known_numbers(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const auto scales, known_numbers(context, 2));
    std::optional<std::vector<int64_t>> sizes;
    if (context.has_input(3)) {
        QUOIN_ASSIGN_OR_RETURN(sizes, context.integers(3));
    } else {
        sizes.emplace();
    }
    const bool crops = context.node().string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
    if (!x.is_static() || !scales || !sizes || (crops && !roi)) {
        // Sizes that follow from shapes may be known in part, or by name.
        QUOIN_ASSIGN_OR_RETURN(const std::optional<std::vector<Dim>> partly, context.elements(3));
        context.set_output(0, x.dtype, partial_dims(context.node(), *x.dims, scales, partly));
        return {};
    }
    std::vector<int64_t> input;
    for (const Dim& dim : *x.dims) input.push_back(dim.size);
    const ResizeOperands operands{roi ? *roi : std::vector<double>(), *scales, *sizes};
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ResizeAxis> axes, resize_axes(context.node(), input, operands));
    std::vector<Dim> dims;
    for (const ResizeAxis& axis : axes) dims.push_back({.size = axis.output});
    context.set_output(0, x.dtype, std::move(dims));
    return {};
}

// ---- Any rank, any mode ---------------------------------------------------------------------------------------

// Every output element is one input element, or the extrapolation value.
template <class T>
void resize_nearest_all(const std::vector<ResizeAxis>& axes, const ResizeSettings& settings, const T* src,
                        const T& outside, T* dst) {
    const size_t rank = axes.size();
    std::vector<std::vector<int64_t>> offsets(rank);  // -1: outside
    std::vector<int64_t> outputs;
    int64_t stride = 1;
    for (size_t axis = rank; axis-- > 0;) {
        for (int64_t x = 0; x < axes[axis].output; ++x) {
            const bool out = axes[axis].changes(settings) && resize_outside(axes[axis], settings, x);
            const int64_t index = axes[axis].changes(settings) ? resize_nearest(axes[axis], settings, x) : x;
            offsets[axis].push_back(out ? -1 : index * stride);
        }
        stride *= axes[axis].input;
    }
    for (const ResizeAxis& axis : axes) outputs.push_back(axis.output);
    if (std::ranges::find(outputs, 0) != outputs.end()) return;
    Odometer place(outputs);
    do {
        int64_t offset = 0;
        bool inside = true;
        for (size_t axis = 0; axis < rank; ++axis) {
            const int64_t each = offsets[axis][static_cast<size_t>(place[axis])];
            inside = inside && each >= 0;
            offset += each;
        }
        *dst++ = inside ? src[offset] : outside;
    } while (place.next());
}

// One axis after the other; the weights of several axes multiply.
template <class T>
std::vector<T> resize_smooth(const std::vector<ResizeAxis>& axes, const ResizeSettings& settings, const T* src,
                             size_t count) {
    std::vector<T> values(src, src + count);
    std::vector<int64_t> sizes;
    for (const ResizeAxis& axis : axes) sizes.push_back(axis.input);
    for (size_t axis = 0; axis < axes.size(); ++axis) {
        const ResizeAxis& each = axes[axis];
        if (!each.changes(settings)) continue;
        const int64_t outer = product(std::span(sizes).first(axis));
        const int64_t inner = product(std::span(sizes).subspan(axis + 1));
        std::vector<T> next(static_cast<size_t>(outer * each.output * inner), T{});
        for (int64_t x = 0; x < each.output; ++x) {
            const ResizeTaps taps = resize_taps(each, settings, x);
            for (int64_t block = 0; block < outer; ++block) {
                T* const out = next.data() + (block * each.output + x) * inner;
                for (size_t tap = 0; tap < taps.indices.size(); ++tap) {
                    const T* const in = values.data() + (block * each.input + taps.indices[tap]) * inner;
                    const auto weight = static_cast<T>(taps.weights[tap]);
                    for (int64_t index = 0; index < inner; ++index) out[index] += weight * in[index];
                }
                if (!resize_outside(each, settings, x)) continue;
                // NaN marks what must become the extrapolation value and survives the axes to come.
                std::fill_n(out, inner, std::numeric_limits<T>::quiet_NaN());
            }
        }
        values = std::move(next);
        sizes[axis] = each.output;
    }
    return values;
}

// Outputs with a coordinate outside of the input.
template <class T>
void extrapolate(const std::vector<ResizeAxis>& axes, const ResizeSettings& settings, T* dst) {
    std::vector<int64_t> outputs;
    for (const ResizeAxis& axis : axes) outputs.push_back(axis.output);
    if (!settings.extrapolates() || std::ranges::find(outputs, 0) != outputs.end()) return;
    Odometer place(outputs);
    do {
        for (size_t axis = 0; axis < axes.size(); ++axis) {
            if (axes[axis].changes(settings) && resize_outside(axes[axis], settings, place[axis])) {
                *dst = static_cast<T>(settings.extrapolation);
            }
        }
        ++dst;
    } while (place.next());
}

template <class T>
T extrapolation_value(DType dtype, float value) {
    T result{};
    visit_numbers(dtype, [&]<class Element>() {
        Element element{};
        if constexpr (IntegerElement<Element>) {
            element = truncate_to<Element>(value);
        } else {
            element = from_arithmetic<Element>(static_cast<Arithmetic<Element>>(value));
        }
        if constexpr (std::is_trivially_copyable_v<T>) {
            std::memcpy(static_cast<void*>(&result), &element, std::min(sizeof(T), sizeof(Element)));
        }
    });
    return result;
}

Status compute_resize(ComputeContext& context) {
    const Tensor& x = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const ResizeSettings settings, resize_settings(context.node()));
    ResizeOperands operands{doubles_of(context.input(1)), doubles_of(context.input(2)), {}};
    if (context.has_input(3)) {
        const auto sizes = context.input(3).as<const int64_t>();
        operands.sizes.assign(sizes.begin(), sizes.end());
    }
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ResizeAxis> axes, resize_axes(context.node(), x.shape().dims(), operands));
    std::vector<int64_t> dims;
    for (const ResizeAxis& axis : axes) dims.push_back(axis.output);
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, x.dtype(), Shape(std::span<const int64_t>(dims))));
    if (product(dims) == 0) return {};
    if (x.shape().element_count() == 0) return context.fail("an empty tensor cannot be made larger");
    bool done = false;
    if (settings.mode == ResizeMode::Nearest) {
        done = visit_sizes(x.dtype(), [&]<class T>() {
            const T outside = extrapolation_value<T>(x.dtype(), settings.extrapolation);
            resize_nearest_all<T>(axes, settings, x.as<const T>().data(), outside, y.as<T>().data());
        });
    } else if (dtype_info(x.dtype()).block_elements == 1 && x.dtype() != DType::Bool) {
        const auto run = [&]<class T>() {
            const ReadAs<T> src(x);
            WriteAs<T> dst(y);
            const std::vector<T> values = resize_smooth<T>(axes, settings, src.data(), src.size());
            std::ranges::copy(values, dst.data());
            extrapolate<T>(axes, settings, dst.data());
            dst.store();
        };
        done = visit_wide(x.dtype(), run) || visit_integers(x.dtype(), [&]<class Integer>() {
                   run.template operator()<std::conditional_t<sizeof(Integer) <= 2, float, double>>();
               });
    }
    return done ? Status() : context.fail(StatusCode::Unsupported, "no interpolation of ", dtype_name(x.dtype()));
}

// ---- f32, nearest and linear, along one or two neighbouring axes ----------------------------------------------

// x [outer][rows][columns][inner]. Tables of one task lie in its scratch.
class FastResize final : public PreparedNode {
public:
    // `axis`: the first of the two.
    FastResize(const Node& node, const ResizeSettings& settings, size_t axis)
        : node_(node), settings_(settings), axis_(axis) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const Layout layout = layout_of(arguments.inputs[0].shape, arguments.outputs[0].shape);
        // Tables cost as much as a few rows, so a task has many.
        const int64_t row = std::max<int64_t>(1, layout.out_columns * layout.inner);
        const int64_t grain = std::clamp<int64_t>(kTaskElements / row, 8, std::max<int64_t>(8, layout.out_rows));
        const int64_t blocks = divide_up(layout.out_rows, grain);
        const int64_t line = layout.columns * layout.inner * int64_t{sizeof(float)};
        return Work{.tasks = layout.outer * blocks,
                    .scratch_bytes = layout.out_columns * int64_t{sizeof(Tap)} + line,
                    .grain = {grain, blocks, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& x = arguments.inputs[0];
        const TensorView& y = arguments.outputs[0];
        const Layout layout = layout_of(x.shape, y.shape);
        QUOIN_ASSIGN_OR_RETURN(const auto axes, operand_axes(arguments, layout));
        auto* const taps = reinterpret_cast<Tap*>(scratch);
        for (int64_t column = 0; column < layout.out_columns; ++column) taps[column] = tap(axes[1], column);
        const auto [grain, blocks, unused] = arguments.work.grain;
        const int64_t image = task / blocks;
        const int64_t begin = task % blocks * grain;
        const int64_t end = std::min(begin + grain, layout.out_rows);
        const int64_t width = layout.columns * layout.inner;
        const float* const src = x.as<float>() + image * layout.rows * width;
        auto* const line = reinterpret_cast<float*>(taps + layout.out_columns);
        for (int64_t row = begin; row < end; ++row) {
            const Tap vertical = tap(axes[0], row);
            const float* const upper = src + vertical.first * width;
            float* const out = y.as<float>() + (image * layout.out_rows + row) * layout.out_columns * layout.inner;
            if (settings_.mode == ResizeMode::Nearest) {
                copy_row(upper, taps, layout, out);
                continue;
            }
            const float* const lower = src + vertical.second * width;
            for (int64_t index = 0; index < width; ++index) {
                line[index] = upper[index] + vertical.weight * (lower[index] - upper[index]);
            }
            blend_row(line, taps, layout, out);
        }
        return {};
    }

    std::string label() const override {
        return settings_.mode == ResizeMode::Nearest ? "resize_nearest_f32" : "resize_linear_f32";
    }

private:
    static constexpr int64_t kTaskElements = 16384;

    struct Layout {
        size_t axis = 0;  // of the rows; columns are the next one
        int64_t outer = 1;
        int64_t rows = 1;
        int64_t columns = 1;
        int64_t inner = 1;
        int64_t out_rows = 1;
        int64_t out_columns = 1;
    };
    struct Tap {
        int32_t first;
        int32_t second;
        float weight;  // of the second
    };

    Layout layout_of(const Shape& x, const Shape& y) const {
        Layout layout;
        layout.axis = axis_;
        layout.outer = product(x.dims().first(layout.axis));
        layout.rows = x[layout.axis];
        layout.columns = x[layout.axis + 1];
        layout.out_rows = y[layout.axis];
        layout.out_columns = y[layout.axis + 1];
        layout.inner = product(x.dims().subspan(layout.axis + 2));
        return layout;
    }

    // Scales and sizes are constants or were known when the program was planned, so they are cheap to read again.
    Result<std::array<ResizeAxis, 2>> operand_axes(const Arguments& arguments, const Layout& layout) const {
        std::array<ResizeAxis, 2> axes;
        for (size_t index = 0; index < 2; ++index) {
            const size_t axis = layout.axis + index;
            ResizeAxis& each = axes[index];
            each.input = arguments.inputs[0].shape[axis];
            each.output = arguments.outputs[0].shape[axis];
            each.numerator = static_cast<double>(each.output);
            each.denominator = static_cast<double>(each.input);
            if (arguments.inputs.size() <= 2 || arguments.inputs[2].data == nullptr) continue;
            const int64_t at = operand_index(axis, arguments.inputs[0].shape.rank());
            if (at < 0) continue;
            if (at >= arguments.inputs[2].elements()) continue;  // an empty operand
            each.numerator = static_cast<double>(arguments.inputs[2].as<float>()[at]);
            each.denominator = 1;
            each.single = true;
        }
        return axes;
    }
    int64_t operand_index(size_t axis, size_t rank) const {
        const Attribute* const attribute = node_.attribute("axes");
        const auto* const list = attribute == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(attribute);
        if (list == nullptr) return static_cast<int64_t>(axis);
        for (size_t index = 0; index < list->size(); ++index) {
            if (normalized_axis((*list)[index], rank) == axis) return static_cast<int64_t>(index);
        }
        return -1;
    }

    Tap tap(const ResizeAxis& axis, int64_t x) const {
        if (!axis.changes(settings_)) return {static_cast<int32_t>(x), static_cast<int32_t>(x), 0};
        if (settings_.mode == ResizeMode::Nearest) {
            const auto index = static_cast<int32_t>(resize_nearest(axis, settings_, x));
            return {index, index, 0};
        }
        const auto last = static_cast<double>(axis.input - 1);
        const double place = std::clamp(resize_coordinate(axis, settings_.coordinates, x), 0.0, last);
        const auto first = static_cast<int32_t>(place);
        const auto second = std::min(first + 1, static_cast<int32_t>(axis.input - 1));
        return {first, second, static_cast<float>(place - static_cast<double>(first))};
    }

    static void copy_row(const float* src, const Tap* taps, const Layout& layout, float* dst) {
        if (layout.inner == 1) {
            for (int64_t column = 0; column < layout.out_columns; ++column) dst[column] = src[taps[column].first];
            return;
        }
        for (int64_t column = 0; column < layout.out_columns; ++column) {
            std::memcpy(dst + column * layout.inner, src + taps[column].first * layout.inner,
                        static_cast<size_t>(layout.inner) * sizeof(float));
        }
    }
    static void blend_row(const float* src, const Tap* taps, const Layout& layout, float* dst) {
        if (layout.inner == 1) {
            for (int64_t column = 0; column < layout.out_columns; ++column) {
                const Tap each = taps[column];
                dst[column] = src[each.first] + each.weight * (src[each.second] - src[each.first]);
            }
            return;
        }
        for (int64_t column = 0; column < layout.out_columns; ++column) {
            const Tap each = taps[column];
            const float* const left = src + each.first * layout.inner;
            const float* const right = src + each.second * layout.inner;
            float* const out = dst + column * layout.inner;
            for (int64_t index = 0; index < layout.inner; ++index) {
                out[index] = left[index] + each.weight * (right[index] - left[index]);
            }
        }
    }

    const Node& node_;
    ResizeSettings settings_;
    size_t axis_;
};

// The first of the only two neighbouring axes that may change; nullopt where others may. An axis whose size stays may
// have a scale other than 1 nevertheless.
std::optional<size_t> planar_axis(const PrepareContext& context, size_t rank) {
    const Constant* const scales = context.constant(2);
    std::vector<bool> may_change(rank, false);
    const auto& x = context.graph.value(context.node.inputs[0]).dims;
    const auto& y = context.graph.value(context.node.outputs[0]).dims;
    if ((scales == nullptr && context.node.input(3) == kNoValue) || !y || y->size() != rank) return std::nullopt;
    std::vector<double> numbers;
    if (scales != nullptr && scales->byte_size() != 0) {
        const Result<Tensor> tensor = scales->load();
        if (!tensor.ok()) return std::nullopt;
        numbers = doubles_of(*tensor);
    }
    const std::vector<int64_t> named = integers_attribute(context.node, "axes");
    for (size_t axis = 0; axis < rank; ++axis) {
        const Dim from = (*x)[axis];
        const bool same = from == (*y)[axis] && (from.known() || from.symbol >= 0);
        if (context.node.attribute("axes") == nullptr) {
            may_change[axis] = numbers.size() == rank ? numbers[axis] != 1 : !same;
            continue;
        }
        for (size_t index = 0; index < named.size(); ++index) {
            if (normalized_axis(named[index], rank) != axis) continue;
            may_change[axis] = numbers.size() == named.size() ? numbers[index] != 1 : !same;
        }
    }
    const auto first = std::ranges::find(may_change, true) - may_change.begin();
    for (size_t axis = 0; axis < rank; ++axis) {
        const auto distance = static_cast<std::ptrdiff_t>(axis) - first;
        if (may_change[axis] && distance > 1) return std::nullopt;
    }
    return std::min(static_cast<size_t>(first), rank - 2);
}

Result<std::unique_ptr<PreparedNode>> prepare_resize(const PrepareContext& context) {
    std::unique_ptr<PreparedNode> none;
    const Value& x = context.graph.value(context.node.inputs[0]);
    if (x.dtype != DType::F32 || !x.dims || x.dims->size() < 2) return none;
    QUOIN_ASSIGN_OR_RETURN(const ResizeSettings settings, resize_settings(context.node));
    const bool stretches = context.node.string("keep_aspect_ratio_policy", "stretch") == "stretch";
    if (settings.mode == ResizeMode::Cubic || settings.antialias || settings.exclude_outside ||
        settings.extrapolates() || !stretches) {
        return none;
    }
    const std::optional<size_t> axis = planar_axis(context, x.dims->size());
    if (!axis) return none;
    return std::unique_ptr<PreparedNode>(std::make_unique<FastResize>(context.node, settings, *axis));
}

}  // namespace

extern const OpImplementation kResizeOp{infer_resize, prepare_resize, compute_resize};

}  // namespace quoin
