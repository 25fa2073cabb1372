// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear (ONNX).
#include <cmath>

#include "ops/axis.h"
#include "ops/element_types.h"
#include "ops/small_formats.h"

namespace quoin {
namespace {

constexpr int64_t kTaskElements = 16384;  // a multiple of what shares a byte

// ---- Elements of any type as numbers

double load_number(DType dtype, const std::byte* data, int64_t index) {
    if (const int bits = packed_bits(dtype)) {
        const uint8_t code = load_packed(data, index, bits);
        if (dtype == DType::F4E2M1) return static_cast<double>(decode_small_float(small_float(dtype), code));
        return static_cast<double>(packed_value(dtype, code));
    }
    const auto code = [&] { return static_cast<uint8_t>(data[index]); };
    if (is_small_float(dtype)) return static_cast<double>(decode_small_float(small_float(dtype), code()));
    if (dtype == DType::F8E8M0) return static_cast<double>(decode_scale(code()));
    double value = 0;
    visit_numbers(
        dtype, [&]<class T>() { value = static_cast<double>(to_arithmetic(reinterpret_cast<const T*>(data)[index])); });
    return value;
}

double rounded_to(DType dtype, double value) {
    switch (dtype) {
        case DType::F16: return static_cast<double>(static_cast<float>(F16(static_cast<float>(value))));
        case DType::BF16: return static_cast<double>(static_cast<float>(BF16(static_cast<float>(value))));
        case DType::F64:
        case DType::I32: return value;
        default: return static_cast<double>(static_cast<float>(value));
    }
}

struct IntegerRange {
    double least;
    double most;
};
std::optional<IntegerRange> integer_range(DType dtype) {
    switch (dtype) {
        case DType::U8: return IntegerRange{0, 255};
        case DType::I8: return IntegerRange{-128, 127};
        case DType::U16: return IntegerRange{0, 65535};
        case DType::I16: return IntegerRange{-32768, 32767};
        case DType::U4: return IntegerRange{0, 15};
        case DType::I4: return IntegerRange{-8, 7};
        case DType::U2: return IntegerRange{0, 3};
        case DType::I2: return IntegerRange{-2, 1};
        default: return std::nullopt;
    }
}

// ---- Which scale an element has

// The input is [outer, size, inner] along the axis, one scale for each block of the axis (1: per axis) and, when it is
// blocked, for each of outer and inner.
struct Scales {
    enum class Kind : uint8_t { One, Axis, Blocked } kind = Kind::One;
    AxisView view;
    int64_t block = 1;
    int64_t blocks = 1;

    int64_t of(int64_t index) const {
        if (kind == Kind::One) return 0;
        const int64_t along = index / view.inner % view.size;
        if (kind == Kind::Axis) return along;
        return (index / (view.inner * view.size) * blocks + along / block) * view.inner + index % view.inner;
    }
    // How many elements from this one on have the same scale, at least.
    int64_t run(int64_t index, int64_t end) const {
        if (kind == Kind::One) return end - index;
        if (view.inner > 1) return kind == Kind::Axis ? view.inner - index % view.inner : 1;
        const int64_t along = index % view.size;
        return kind == Kind::Axis ? 1 : std::min(block - along % block, view.size - along);
    }
};

std::optional<Scales> scales_of(const Shape& input, const Shape& scale, int64_t axis, int64_t block_size) {
    Scales scales;
    if (scale.element_count() == 1 && scale.rank() <= 1) return scales;
    const std::optional<AxisView> view = axis_view(input, axis);
    if (!view || input.rank() == 0) return std::nullopt;
    scales.view = *view;
    const size_t at = *find_axis(axis, input.rank());
    if (scale.rank() == 1 && block_size == 0) {
        scales.kind = Scales::Kind::Axis;
        return scale[0] == view->size ? std::optional(scales) : std::nullopt;
    }
    if (scale.rank() != input.rank() || scale[at] < 1) return std::nullopt;
    for (size_t each = 0; each < input.rank(); ++each) {
        if (each != at && scale[each] != input[each]) return std::nullopt;
    }
    scales.kind = Scales::Kind::Blocked;
    scales.blocks = scale[at];
    scales.block = block_size > 0 ? block_size : task_count(view->size, scales.blocks);
    const bool covers = scales.block > 0 && task_count(view->size, scales.block) == scales.blocks;
    return covers ? std::optional(scales) : std::nullopt;
}

Status check_scales(const InferContext& context) {
    const ValueType& input = context.input(0);
    const ValueType& scale = context.input(1);
    const int64_t block_size = context.node().integer("block_size", 0);
    if (block_size < 0) return context.fail("the block size is ", block_size);
    // Exporters write a single one as [] beside [1].
    const auto is_one = [](const ValueType& type) {
        return std::ranges::all_of(*type.dims, [](const Dim& dim) { return dim.size == 1; });
    };
    if (context.has_input(2) && context.input(2).is_static() && scale.is_static() &&
        *context.input(2).dims != *scale.dims && !(is_one(context.input(2)) && is_one(scale))) {
        return context.fail("the zero point has not the shape of the scale");
    }
    if (!input.is_static() || !scale.is_static()) return {};
    const auto shape = [](const ValueType& type) {
        std::vector<int64_t> dims;
        for (const Dim& dim : *type.dims) dims.push_back(dim.size);
        return dims;
    };
    const std::vector<int64_t> dims = shape(input);
    const std::vector<int64_t> scale_dims = shape(scale);
    if (dims.size() > Shape::kMaxRank || scale_dims.size() > Shape::kMaxRank ||
        !scales_of(Shape(std::span(dims)), Shape(std::span(scale_dims)), context.node().integer("axis", 1),
                   block_size)) {
        return context.fail("the shape of the scale does not go with that of the input and the axis");
    }
    return {};
}

// What both directions do with a node's attributes and operands.
class Quantization : public PreparedNode {
public:
    Quantization(const Node& node, const KernelTable& kernels)
        : kernels_(kernels), axis_(node.integer("axis", 1)), block_size_(node.integer("block_size", 0)) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = task_count(arguments.outputs[0].elements(), kTaskElements)};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& scale = arguments.inputs[1];
        const std::optional<Scales> scales = scales_of(arguments.inputs[0].shape, scale.shape, axis_, block_size_);
        if (!scales) return error(StatusCode::Internal, "scales that do not fit");
        const bool has_zero = arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr;
        const int64_t end = std::min((task + 1) * kTaskElements, arguments.outputs[0].elements());
        const bool varying = scales->kind == Scales::Kind::Axis && scales->view.inner == 1;
        if (varying && convert_varying(arguments, scales->view.size, task * kTaskElements, end)) return {};
        for (int64_t begin = task * kTaskElements; begin < end;) {
            const int64_t count = std::min(scales->run(begin, end), end - begin);
            const int64_t at = scales->of(begin);
            const double zero = has_zero ? load_number(arguments.inputs[2].dtype, arguments.inputs[2].data, at) : 0.0;
            convert(arguments, begin, count, load_number(scale.dtype, scale.data, at), zero);
            begin += count;
        }
        return {};
    }

protected:
    // Elements begin .. begin + count, which share a scale.
    virtual void convert(const Arguments& arguments, int64_t begin, int64_t count, double scale, double zero) const = 0;
    // Elements begin <= index < end of rows of `columns`, each of which has a scale of its own; false where nothing is
    // faster than one by one.
    virtual bool convert_varying(const Arguments& /*arguments*/, int64_t /*columns*/, int64_t /*begin*/,
                                 int64_t /*end*/) const {
        return false;
    }

    const KernelTable& kernels_;

private:
    int64_t axis_;
    int64_t block_size_;
};

// ---- QuantizeLinear

std::optional<DType> dtype_attribute(const Node& node, std::string_view key) {
    const int64_t number = node.integer(key, 0);
    if (number <= 0 || number > 255) return std::nullopt;
    return dtype_from_number(static_cast<uint32_t>(number));
}

Status infer_quantize(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F16, DType::BF16, DType::I32, DType::F64}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32, DType::F16, DType::BF16, DType::I32, DType::F8E8M0}));
    const std::optional<DType> wanted = dtype_attribute(context.node(), "output_dtype");
    DType dtype = wanted.value_or(DType::U8);
    if (context.has_input(2) && context.input(2).dtype != DType::Undefined) {
        if (wanted && *wanted != context.input(2).dtype) {
            return context.fail("the zero point is no ", dtype_name(*wanted), " as 'output_dtype' wants");
        }
        dtype = context.input(2).dtype;
    }
    if (!integer_range(dtype) && !is_small_float(dtype)) {
        return context.fail("nothing is quantised to ", dtype_name(dtype));
    }
    QUOIN_RETURN_IF_ERROR(check_scales(context));
    context.set_output(0, dtype, context.input(0).dims);
    return {};
}

class Quantize final : public Quantization {
public:
    Quantize(const Node& node, const KernelTable& kernels)
        : Quantization(node, kernels),
          precision_(dtype_attribute(node, "precision")),
          saturate_(node.integer("saturate", 1) != 0) {}

private:
    void convert(const Arguments& arguments, int64_t begin, int64_t count, double scale, double zero) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const DType divided = precision_.value_or(arguments.inputs[1].dtype);
        if (src.dtype == DType::F32 && (divided == DType::F32 || divided == DType::F8E8M0)) {
            const auto single = static_cast<float>(scale);
            const auto offset = static_cast<float>(zero);
            if (dst.dtype == DType::U8) {
                return kernels_.quantize_u8_row(src.as<float>() + begin, count, single, offset,
                                                dst.as<uint8_t>() + begin);
            }
            if (dst.dtype == DType::I8) {
                return kernels_.quantize_i8_row(src.as<float>() + begin, count, single, offset,
                                                dst.as<int8_t>() + begin);
            }
        }
        for (int64_t index = begin; index < begin + count; ++index) {
            const double x = rounded_to(divided, load_number(src.dtype, src.data, index));
            store(dst, index, rounded_to(divided, x / rounded_to(divided, scale)), zero);
        }
    }

    void store(const TensorView& dst, int64_t index, double quotient, double zero) const {
        uint8_t code = 0;
        if (const std::optional<IntegerRange> range = integer_range(dst.dtype)) {
            const double moved = std::nearbyint(quotient) + zero;
            const double raised = moved > range->least ? moved : range->least;
            const auto number = static_cast<int32_t>(raised < range->most ? raised : range->most);
            if (dst.dtype == DType::U16 || dst.dtype == DType::I16) {
                dst.as<uint16_t>()[index] = static_cast<uint16_t>(number);
                return;
            }
            code = static_cast<uint8_t>(number);
        } else {
            code = encode_small_float(small_float(dst.dtype), quotient + zero, saturate_);
        }
        const int bits = packed_bits(dst.dtype);
        if (bits == 0) {
            dst.data[index] = static_cast<std::byte>(code);
            return;
        }
        // Elements come in order and a task begins with a byte: the first one of a byte clears it.
        const int64_t per_byte = 8 / bits;
        const auto shift = static_cast<unsigned>(index % per_byte * bits);
        std::byte& byte = dst.data[index / per_byte];
        const unsigned before = shift == 0 ? 0U : static_cast<unsigned>(byte);
        byte = static_cast<std::byte>(before | (code & ((1U << bits) - 1)) << shift);
    }

    std::optional<DType> precision_;
    bool saturate_;
};

// ---- DequantizeLinear

Status infer_dequantize(InferContext& context) {
    const DType dtype = context.input(0).dtype;
    if (dtype != DType::Undefined && dtype != DType::I32 && !integer_range(dtype) && !is_small_float(dtype)) {
        return context.fail("input 0 has the element type ", dtype_name(dtype), ", which is not quantised");
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32, DType::F16, DType::BF16, DType::F8E8M0}));
    if (context.has_input(2) && context.input(2).dtype != dtype && dtype != DType::Undefined &&
        context.input(2).dtype != DType::Undefined) {
        return context.fail("the zero point is ", dtype_name(context.input(2).dtype), " where the input is ",
                            dtype_name(dtype));
    }
    DType result = dtype_attribute(context.node(), "output_dtype").value_or(context.input(1).dtype);
    if (result == DType::F8E8M0) result = DType::F32;
    if (result != DType::Undefined && !visit_floats(result, []<class T>() {})) {
        return context.fail("the attribute 'output_dtype' is no type of floats");
    }
    QUOIN_RETURN_IF_ERROR(check_scales(context));
    context.set_output(0, result, context.input(0).dims);
    return {};
}

class Dequantize final : public Quantization {
public:
    using Quantization::Quantization;

private:
    void convert(const Arguments& arguments, int64_t begin, int64_t count, double scale, double zero) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        if (dst.dtype == DType::F32 && (src.dtype == DType::U8 || src.dtype == DType::I8)) {
            const auto factor = static_cast<float>(scale);
            const auto offset = static_cast<float>(zero);
            float* const to = dst.as<float>() + begin;
            if (src.dtype == DType::U8) {
                return kernels_.dequantize_u8_row(src.as<uint8_t>() + begin, count, factor, offset, to);
            }
            return kernels_.dequantize_i8_row(src.as<int8_t>() + begin, count, factor, offset, to);
        }
        visit_floats(dst.dtype, [&]<class T>() {
            T* const to = dst.as<T>();
            for (int64_t index = begin; index < begin + count; ++index) {
                const double value = (load_number(src.dtype, src.data, index) - zero) * scale;
                to[index] = static_cast<T>(static_cast<Arithmetic<T>>(value));
            }
        });
    }

    // The weights of matrix products.
    bool convert_varying(const Arguments& arguments, int64_t columns, int64_t begin, int64_t end) const override {
        const TensorView& src = arguments.inputs[0];
        if (arguments.outputs[0].dtype != DType::F32 || arguments.inputs[1].dtype != DType::F32) return false;
        if (src.dtype == DType::I8) return convert_columns<int8_t>(arguments, columns, begin, end);
        return src.dtype == DType::U8 && convert_columns<uint8_t>(arguments, columns, begin, end);
    }

    template <class T>
    static bool convert_columns(const Arguments& arguments, int64_t columns, int64_t begin, int64_t end) {
        const bool has_zero = arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr;
        const T* const from = arguments.inputs[0].as<T>();
        const float* const scales = arguments.inputs[1].as<float>();
        const T* const zeros = has_zero ? arguments.inputs[2].as<T>() : nullptr;
        float* const to = arguments.outputs[0].as<float>();
        for (int64_t index = begin, column = begin % columns; index < end; ++index) {
            const int zero = zeros == nullptr ? 0 : int{zeros[column]};
            to[index] = static_cast<float>(int{from[index]} - zero) * scales[column];
            if (++column == columns) column = 0;
        }
        return true;
    }
};

template <class Kind>
Result<std::unique_ptr<PreparedNode>> prepare_quantization(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<Kind>(context.node, context.kernels()));
}

// ---- DynamicQuantizeLinear: to u8 so that 0 has a code of its own

Status infer_dynamic(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    context.set_output(0, DType::U8, context.input(0).dims);
    context.set_output(1, DType::F32, std::vector<Dim>{});
    context.set_output(2, DType::U8, std::vector<Dim>{});
    return {};
}

Status compute_dynamic(ComputeContext& context) {
    const Tensor& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const Tensor codes, context.output(0, DType::U8, input.shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor scale, context.output(1, DType::F32, Shape{}));
    QUOIN_ASSIGN_OR_RETURN(const Tensor zero, context.output(2, DType::U8, Shape{}));
    const auto from = input.as<const float>();
    const auto count = static_cast<int64_t>(from.size());
    const KernelTable& kernels = context.kernels();
    const float least = std::min(0.0F, kernels.smallest_of_row(from.data(), count));
    const float most = std::max(0.0F, kernels.largest_of_row(from.data(), count));
    const float step = (most - least) / 255.0F;
    const float offset = step > 0 ? std::clamp(std::nearbyint(-least / step), 0.0F, 255.0F) : 0.0F;
    scale.as<float>()[0] = step;
    zero.as<uint8_t>()[0] = static_cast<uint8_t>(offset);
    // Without a spread all are zero, and any step gives the code of that.
    kernels.quantize_u8_row(from.data(), count, step > 0 ? step : 1.0F, offset, codes.as<uint8_t>().data());
    return {};
}

}  // namespace

extern const OpImplementation kQuantizeLinearOp{infer_quantize, prepare_quantization<Quantize>};
extern const OpImplementation kDequantizeLinearOp{infer_dequantize, prepare_quantization<Dequantize>};
extern const OpImplementation kDynamicQuantizeLinearOp{infer_dynamic, nullptr, compute_dynamic};

}  // namespace quoin
