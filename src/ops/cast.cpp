// Cast, CastLike, BitCast (ONNX): between all element types but the block formats.
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <system_error>

#include "core/rounding.h"
#include "ops/element_types.h"
#include "ops/op_kernel.h"
#include "ops/small_formats.h"

namespace quoin {
namespace {

constexpr int64_t kTaskElements = 16384;
constexpr int64_t kBlock = 256;  // elements on the way through memory of their own

struct CastRules {
    bool saturate = true;
    ScaleRounding rounding = ScaleRounding::Up;
};

// ---- one number

// Floats out of range are undefined by ONNX: they become the nearest 64-bit integer, of which the low bits are kept.
template <class To>
To integer_of(double value) {
    if constexpr (std::is_same_v<To, uint64_t>) {
        if (value >= 0x1p63) return value >= 0x1p64 ? ~uint64_t{0} : static_cast<uint64_t>(value);
    }
    if (std::isnan(value)) return 0;
    if (value >= 0x1p63) return static_cast<To>(std::numeric_limits<int64_t>::max());
    if (value < -0x1p63) return static_cast<To>(std::numeric_limits<int64_t>::min());
    return static_cast<To>(static_cast<int64_t>(value));
}

template <class To, class From>
To convert(From from) {
    const auto value = to_arithmetic(from);
    if constexpr (std::is_same_v<To, bool>) {
        return value != decltype(value){0};
    } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<std::remove_const_t<decltype(value)>>) {
        return integer_of<To>(static_cast<double>(value));
    } else {
        return from_arithmetic<To>(static_cast<Arithmetic<To>>(value));
    }
}

// Halves of a double are rounded once: floats that lie between two are told apart by rounding to odd first.
template <HalfElement To>
To convert_double(double value) {
    auto single = static_cast<float>(value);
    if (std::isfinite(single) && static_cast<double>(single) != value) {
        const auto bits = std::bit_cast<uint32_t>(single);
        if ((bits & 1U) == 0) {
            const bool down = std::abs(static_cast<double>(single)) < std::abs(value);
            single = std::bit_cast<float>(down ? bits + 1 : bits - 1);
        }
    }
    return To(single);
}

template <class From, class To>
void convert_run(const std::byte* src, int64_t count, std::byte* dst) {
    const From* const from = reinterpret_cast<const From*>(src);
    To* const to = reinterpret_cast<To*>(dst);
    for (int64_t index = 0; index < count; ++index) {
        if constexpr (std::is_same_v<From, bool>) {  // as bytes: loops over bool stay scalar
            to[index] = convert<To>(static_cast<uint8_t>(static_cast<uint8_t>(src[index]) != 0));
        } else if constexpr (HalfElement<To> && std::is_same_v<From, double>) {
            to[index] = convert_double<To>(from[index]);
        } else {
            to[index] = convert<To>(from[index]);
        }
    }
}

using ConvertRun = void (*)(const std::byte* src, int64_t count, std::byte* dst);

ConvertRun convert_run_of(DType from, DType to) {
    ConvertRun run = nullptr;
    visit_numbers_and_bool(
        from, [&]<class From>() { visit_numbers_and_bool(to, [&]<class To>() { run = convert_run<From, To>; }); });
    return run;
}

// ---- small types go through a plain one

bool is_plain(DType dtype) {
    return visit_numbers_and_bool(dtype, []<class T>() {});
}
bool is_small(DType dtype) {
    return is_small_float(dtype) || dtype == DType::F8E8M0 || packed_bits(dtype) != 0;
}
// The plain type that holds every value of a small one.
DType plain_of(DType dtype) {
    if (is_plain(dtype)) return dtype;
    return is_small_float(dtype) || dtype == DType::F8E8M0 ? DType::F32 : DType::I8;
}

// Elements first .. first + count of a small type to plain_of(dtype).
void unpack_small(DType dtype, const std::byte* src, int64_t first, int64_t count, std::byte* dst) {
    const int bits = packed_bits(dtype);
    for (int64_t index = 0; index < count; ++index) {
        const uint8_t code =
            bits != 0 ? load_packed(src, first + index, bits) : static_cast<uint8_t>(src[first + index]);
        if (dtype == DType::F8E8M0) {
            reinterpret_cast<float*>(dst)[index] = decode_scale(code);
        } else if (is_small_float(dtype)) {
            reinterpret_cast<float*>(dst)[index] = decode_small_float(small_float(dtype), code);
        } else {
            reinterpret_cast<int8_t*>(dst)[index] = packed_value(dtype, code);
        }
    }
}

// doubles (for floats) or bytes whose low bits count (for integers) to elements first .. first + count.
void pack_small(DType dtype, const CastRules& rules, const std::byte* src, int64_t first, int64_t count,
                std::byte* dst) {
    std::array<uint8_t, kBlock> codes;
    const auto* const numbers = reinterpret_cast<const double*>(src);
    for (int64_t index = 0; index < count; ++index) {
        uint8_t& code = codes[static_cast<size_t>(index)];
        if (dtype == DType::F8E8M0) {
            code = encode_scale(numbers[index], rules.saturate, rules.rounding);
        } else if (is_small_float(dtype)) {
            code = encode_small_float(small_float(dtype), numbers[index], rules.saturate);
        } else {
            code = static_cast<uint8_t>(src[index]);
        }
    }
    const int bits = packed_bits(dtype);
    if (bits != 0) {
        store_packed(dst, first, codes.data(), count, bits);
    } else {
        std::memcpy(dst + first, codes.data(), static_cast<size_t>(count));
    }
}

// Elements begin <= index < end; `begin` is a multiple of kBlock.
void cast_range(const TensorView& src, const TensorView& dst, const CastRules& rules, int64_t begin, int64_t end) {
    if (const ConvertRun run = convert_run_of(src.dtype, dst.dtype)) {
        run(src.data + begin * dtype_info(src.dtype).block_bytes, end - begin,
            dst.data + begin * dtype_info(dst.dtype).block_bytes);
        return;
    }
    const DType from = plain_of(src.dtype);
    const bool packs = is_small(dst.dtype);
    const bool to_float = is_small_float(dst.dtype) || dst.dtype == DType::F8E8M0;
    const DType to = !packs ? dst.dtype : to_float ? DType::F64 : DType::I8;
    const ConvertRun run = convert_run_of(from, to);
    alignas(8) std::array<std::byte, kBlock * 8> unpacked;
    alignas(8) std::array<std::byte, kBlock * 8> converted;
    for (; begin < end; begin += kBlock) {
        const int64_t count = std::min(kBlock, end - begin);
        const std::byte* numbers = src.data + begin * dtype_info(from).block_bytes;
        if (is_small(src.dtype)) {
            unpack_small(src.dtype, src.data, begin, count, unpacked.data());
            numbers = unpacked.data();
        }
        if (packs) {
            run(numbers, count, converted.data());
            pack_small(dst.dtype, rules, converted.data(), begin, count, dst.data);
        } else {
            run(numbers, count, dst.data + begin * dtype_info(to).block_bytes);
        }
    }
}

class CastNode final : public PreparedNode {
public:
    explicit CastNode(const CastRules& rules) : rules_(rules) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = divide_up(arguments.outputs[0].elements(), kTaskElements)};
    }
    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t begin = task * kTaskElements;
        const int64_t end = std::min(begin + kTaskElements, arguments.outputs[0].elements());
        if (arguments.inputs[0].dtype == arguments.outputs[0].dtype) {
            copy(arguments, begin, end);
        } else {
            cast_range(arguments.inputs[0], arguments.outputs[0], rules_, begin, end);
        }
        return {};
    }

private:
    static void copy(const Arguments& arguments, int64_t begin, int64_t end) {
        const DTypeInfo& info = dtype_info(arguments.inputs[0].dtype);
        const int64_t first = begin / info.block_elements * info.block_bytes;
        const int64_t last = divide_up(end, info.block_elements) * info.block_bytes;
        if (last > first) {
            std::memmove(arguments.outputs[0].data + first, arguments.inputs[0].data + first,
                         static_cast<size_t>(last - first));
        }
    }

    CastRules rules_;
};

// ---- strings

// As NumPy writes it: the fewest digits that give the number back, a point where there is no exponent.
template <class T>
std::string text_of(T value) {
    std::array<char, 64> text{};
    if constexpr (std::is_same_v<T, bool>) {
        return value ? "True" : "False";
    } else if constexpr (std::is_integral_v<T>) {
        const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
        return {text.data(), end.ptr};
    } else {
        if (std::isnan(value)) return "NaN";
        if (std::isinf(value)) return value > 0 ? "INF" : "-INF";
        const T magnitude = std::abs(value);
        const bool plain = magnitude == 0 || (magnitude >= static_cast<T>(1e-4) && magnitude < static_cast<T>(1e16));
        const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                       plain ? std::chars_format::fixed : std::chars_format::scientific);
        std::string result(text.data(), end.ptr);
        if (plain && result.find('.') == std::string::npos) result += ".0";
        return result;
    }
}

// The number that the whole text is; nullopt when it is none.
std::optional<double> number_of(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
    double value = 0;
    // from_chars knows inf and nan in any case.
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end != text.data() + text.size() || text.empty()) return std::nullopt;
    if (problem == std::errc::result_out_of_range) {
        const bool tiny = text.find("e-") != std::string_view::npos || text.find("E-") != std::string_view::npos;
        return tiny ? 0.0 : text.front() == '-' ? -INFINITY : INFINITY;
    }
    return problem == std::errc() ? std::optional(value) : std::nullopt;
}

template <class T>
Result<T> parsed(const ComputeContext& context, const std::string& text) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {  // exact, beyond the doubles
        T value = 0;
        const size_t plus = text.starts_with('+') ? 1 : 0;
        const auto [end, problem] = std::from_chars(text.data() + plus, text.data() + text.size(), value);
        if (problem == std::errc() && end == text.data() + text.size()) return value;
    }
    const std::optional<double> number = number_of(text);
    if (!number) return context.fail("'", text, "' is no number");
    return convert<T>(*number);
}

Status cast_from_strings(ComputeContext& context, const CastRules& rules, DType to) {
    const auto words = context.input(0).as<const std::string>();
    // Small types go through f32.
    const DType plain = is_plain(to) ? to : packed_bits(to) != 0 && to != DType::F4E2M1 ? DType::I8 : DType::F32;
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, to, context.input(0).shape()));
    Tensor numbers = output;
    if (plain != to) {
        QUOIN_ASSIGN_OR_RETURN(numbers, Tensor::allocate(context.runtime().memory, plain, output.shape(), "a cast"));
    }
    Status status;
    visit_numbers_and_bool(plain, [&]<class T>() {
        const auto values = numbers.as<T>();
        for (size_t index = 0; index < values.size() && status.ok(); ++index) {
            const Result<T> value = parsed<T>(context, words[index]);
            if (value.ok()) {
                values[index] = *value;
            } else {
                status = value.status();
            }
        }
    });
    if (status.ok() && plain != to) {
        const TensorView from{numbers.data(), plain, numbers.shape()};
        cast_range(from, {output.data(), to, output.shape()}, rules, 0, from.elements());
    }
    return status;
}

Status cast_to_strings(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const DType plain = plain_of(input.dtype());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::String, input.shape()));
    Tensor numbers = input;
    if (plain != input.dtype()) {
        QUOIN_ASSIGN_OR_RETURN(numbers, Tensor::allocate(context.runtime().memory, plain, input.shape(), "a cast"));
        const TensorView to{numbers.data(), plain, numbers.shape()};
        cast_range({input.data(), input.dtype(), input.shape()}, to, {}, 0, to.elements());
    }
    visit_numbers_and_bool(plain, [&]<class T>() {
        const auto from = numbers.as<const T>();
        const auto words = output.as<std::string>();
        for (size_t index = 0; index < from.size(); ++index) words[index] = text_of(to_arithmetic(from[index]));
    });
    return {};
}

// ---- the ops

bool can_cast(DType dtype) {
    return is_plain(dtype) || is_small(dtype) || dtype == DType::String;
}

Result<CastRules> rules_of(const Node& node) {
    const std::string_view mode = node.string("round_mode", "up");
    CastRules rules;
    rules.saturate = node.integer("saturate", 1) != 0;
    if (mode == "down") {
        rules.rounding = ScaleRounding::Down;
    } else if (mode == "nearest") {
        rules.rounding = ScaleRounding::Nearest;
    } else if (mode != "up") {
        return error(StatusCode::InvalidModel, "node '", node.name, "': the round_mode '", mode,
                     "' is none of up, down, nearest");
    }
    return rules;
}

Status set_cast(InferContext& context, DType to) {
    const ValueType& input = context.input(0);
    for (const DType dtype : {input.dtype, to}) {
        if (dtype != DType::Undefined && !can_cast(dtype)) {
            return context.fail("no conversion from ", dtype_name(input.dtype), " to ", dtype_name(to));
        }
    }
    QUOIN_RETURN_IF_ERROR(rules_of(context.node()).status());
    std::optional<std::vector<Dim>> elements;
    const auto is_index = [](DType dtype) { return dtype == DType::I64 || dtype == DType::I32; };
    if (is_index(input.dtype) && is_index(to)) {
        QUOIN_ASSIGN_OR_RETURN(elements, context.elements(0));
    }
    context.set_output(0, to, input.dims, std::move(elements));
    return {};
}

std::optional<DType> target_of(const Node& node) {
    const int64_t to = node.integer("to", 0);
    if (to <= 0 || to > std::numeric_limits<uint8_t>::max()) return std::nullopt;
    return dtype_from_number(static_cast<uint32_t>(to));
}

Status infer_cast(InferContext& context) {
    const std::optional<DType> to = target_of(context.node());
    if (!to) return context.fail("'to' is no element type");
    return set_cast(context, *to);
}

Status infer_cast_like(InferContext& context) {
    return set_cast(context, context.input(1).dtype);
}

Result<std::unique_ptr<PreparedNode>> prepare_cast(const PrepareContext& context) {
    std::unique_ptr<PreparedNode> node;
    const DType from = context.graph.value(context.node.inputs[0]).dtype;
    const DType to = context.graph.value(context.node.outputs[0]).dtype;
    const auto boxed = [](DType dtype) { return dtype == DType::String || dtype == DType::Undefined; };
    if (boxed(from) || boxed(to)) return node;
    QUOIN_ASSIGN_OR_RETURN(const CastRules rules, rules_of(context.node));
    node = std::make_unique<CastNode>(rules);
    return node;
}

Status compute_cast(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const std::optional<DType> to =
        context.node().op == Op::Cast ? target_of(context.node()) : std::optional(context.input(1).dtype());
    if (!to || !can_cast(*to) || !can_cast(input.dtype())) return context.fail("no such conversion");
    QUOIN_ASSIGN_OR_RETURN(const CastRules rules, rules_of(context.node()));
    if (*to == input.dtype()) return context.set_output(0, input);
    if (input.dtype() == DType::String) return cast_from_strings(context, rules, *to);
    if (*to == DType::String) return cast_to_strings(context);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, *to, input.shape()));
    const TensorView dst{output.data(), *to, output.shape()};
    cast_range({input.data(), input.dtype(), input.shape()}, dst, rules, 0, dst.elements());
    return {};
}

// ---- BitCast

int bits_of(DType dtype) {
    const DTypeInfo& info = dtype_info(dtype);
    if (dtype == DType::String || is_block_format(dtype) || info.block_elements == 0) return 0;
    return info.block_bytes * 8 / info.block_elements;
}

Status infer_bit_cast(InferContext& context) {
    const std::optional<DType> to = target_of(context.node());
    if (!to) return context.fail("'to' is no element type");
    const DType from = context.input(0).dtype;
    if (from != DType::Undefined && (bits_of(from) == 0 || bits_of(from) != bits_of(*to))) {
        return context.fail("elements of ", dtype_name(from), " have not the size of ", dtype_name(*to));
    }
    context.set_output(0, *to, context.input(0).dims);
    return {};
}

Status compute_bit_cast(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const std::optional<DType> to = target_of(context.node());
    if (!to || bits_of(*to) != bits_of(input.dtype())) return context.fail("the elements have another size");
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, *to, input.shape()));
    if (input.byte_size() != 0) std::memcpy(output.data(), input.data(), input.byte_size());
    return {};
}

}  // namespace

extern const OpImplementation kCastOp{infer_cast, prepare_cast, compute_cast};
extern const OpImplementation kCastLikeOp{infer_cast_like, prepare_cast, compute_cast};
extern const OpImplementation kBitCastOp{infer_bit_cast, nullptr, compute_bit_cast};

}  // namespace quoin
