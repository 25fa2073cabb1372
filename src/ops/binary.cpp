// Arithmetic of two operands (ONNX): Add, Sub, Mul, Div, Mod, PRelu, and And, Or, Xor, BitwiseAnd, BitwiseOr,
// BitwiseXor, BitShift.
#include "ops/binary.h"

#include <cmath>

namespace quoin {
namespace {

constexpr int64_t kShortRun = 8;

}  // namespace

void run_kernel(BinaryKernel kernel, const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t count,
                float* dst) {
    if (a_step == 1 && b_step == 1) return kernel(a, b, count, dst);
    constexpr int64_t kSpread = 256;
    alignas(64) std::array<float, kSpread> spread_a;
    alignas(64) std::array<float, kSpread> spread_b;
    const int64_t some = std::min(count, kSpread);
    if (a_step == 0) std::fill_n(spread_a.begin(), some, *a);
    if (b_step == 0) std::fill_n(spread_b.begin(), some, *b);
    for (int64_t begin = 0; begin < count; begin += kSpread) {
        kernel(a_step == 0 ? spread_a.data() : a + begin, b_step == 0 ? spread_b.data() : b + begin,
               std::min(kSpread, count - begin), dst + begin);
    }
}

Result<Work> Binary::plan(const Arguments& arguments, int /*threads*/) const {
    return work_by_elements(arguments.outputs[0].elements());
}

Status Binary::run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const {
    const TensorView& a = arguments.inputs[0];
    const TensorView& b = arguments.inputs[1];
    const TensorView& dst = arguments.outputs[0];
    const Broadcast<2> loop(dst.shape, {&a.shape, &b.shape});
    const int64_t begin = task * kTaskElements;
    const int64_t end = std::min(begin + kTaskElements, loop.elements());
    if (a.dtype == DType::F32 && kernel_ != nullptr) {
        const BinaryRow short_row = row_of_(DType::F32);
        loop.for_runs(begin, end, [&](int64_t index, int64_t count, const auto& offsets, const auto& steps) {
            if (count < kShortRun && (steps[0] == 0 || steps[1] == 0)) {  // spreading would cost more than the rest
                const auto at = [](const TensorView& view, int64_t offset) {
                    return view.data + offset * int64_t{sizeof(float)};
                };
                short_row(at(a, offsets[0]), steps[0], at(b, offsets[1]), steps[1], count, parameters_, at(dst, index));
                return;
            }
            run_kernel(kernel_, a.as<float>() + offsets[0], steps[0], b.as<float>() + offsets[1], steps[1], count,
                       dst.as<float>() + index);
        });
        return {};
    }
    const BinaryRow row = row_of_(a.dtype);
    if (row == nullptr) return error(StatusCode::Internal, "no function for the element type ", dtype_name(a.dtype));
    const int64_t size = dtype_info(a.dtype).block_bytes;
    const int64_t dst_size = dtype_info(dst.dtype).block_bytes;
    bool defined = true;
    loop.for_runs(begin, end, [&](int64_t index, int64_t count, const auto& offsets, const auto& steps) {
        defined = row(a.data + offsets[0] * size, steps[0], b.data + offsets[1] * size, steps[1], count, parameters_,
                      dst.data + index * dst_size) &&
                  defined;
    });
    return defined ? Status() : error(StatusCode::InvalidArgument, "an integer is divided by zero");
}

Status infer_binary(InferContext& context, BinaryRow (*row_of)(DType), bool to_bool) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, common_dtype(context, 0, 2));
    if (dtype != DType::Undefined && row_of(dtype) == nullptr) {
        return context.fail("the inputs have the element type ", dtype_name(dtype),
                            ", which this operator does not take");
    }
    QUOIN_ASSIGN_OR_RETURN(auto dims, broadcast_dims(context, 0, 2));
    context.set_output(0, to_bool ? DType::Bool : dtype, std::move(dims));
    return {};
}

namespace {

using P = UnaryParameters;
using enum ElementTypes;

// Integers wrap around, as the two's complement does.
template <class A, class Function>
A wrapped(A a, A b, Function function) {
    if constexpr (std::is_integral_v<A>) {
        using Wide = std::make_unsigned_t<decltype(a + b)>;
        return static_cast<A>(function(static_cast<Wide>(a), static_cast<Wide>(b)));
    } else {
        return function(a, b);
    }
}

struct Add {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A a, A b, const P&) {
        return wrapped(a, b, [](auto x, auto y) { return x + y; });
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.add; }
};
struct Sub {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A a, A b, const P&) {
        return wrapped(a, b, [](auto x, auto y) { return x - y; });
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.subtract_row; }
};
struct Mul {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A a, A b, const P&) {
        return wrapped(a, b, [](auto x, auto y) { return x * y; });
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.multiply; }
};
// Integers are rounded towards zero.
struct Div {
    static constexpr ElementTypes kTypes = Numbers;
    static constexpr bool kRefusesZero = true;
    template <class A>
    static A of(A a, A b, const P& p) {
        if constexpr (std::is_integral_v<A> && std::is_signed_v<A>) {
            if (b == A{-1}) return Sub::of(A{0}, a, p);  // the least number has no opposite
        }
        return static_cast<A>(a / b);
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.divide_row; }
};
// The remainder with the sign of b; with alpha that of a.
struct Mod {
    static constexpr ElementTypes kTypes = Numbers;
    static constexpr bool kRefusesZero = true;
    template <class A>
    static A of(A a, A b, const P& p) {
        if constexpr (std::is_integral_v<A>) {
            if constexpr (std::is_signed_v<A>) {
                if (b == A{-1}) return 0;
            }
            const A rest = static_cast<A>(a % b);
            const bool other_sign = p.alpha == 0 && rest != 0 && (rest < 0) != (b < 0);
            return other_sign ? static_cast<A>(rest + b) : rest;
        } else {
            const A rest = std::fmod(a, b);
            if (p.alpha != 0 || std::isnan(rest)) return rest;
            if (rest == 0) return std::copysign(rest, b);
            return (rest < 0) != (b < 0) ? rest + b : rest;
        }
    }
    static P parameters(const Node& node) { return {static_cast<double>(node.integer("fmod", 0)), 0}; }
};
struct PRelu {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A a, A b, const P& p) {
        return a < A{0} ? Mul::of(a, b, p) : a;
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.prelu_row; }
};
Status infer_prelu(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(BinaryOp<PRelu>::infer(context));
    const ValueType& x = context.input(0);
    const ValueType& result = context.output(0);
    if (x.is_static() && result.is_static() && *x.dims != *result.dims) {
        return context.fail("the slope cannot be broadcast to the shape of the input");
    }
    if (x.dims) context.set_output(0, x.dtype, x.dims);
    return {};
}

struct And {
    static constexpr ElementTypes kTypes = Bool;
    static bool of(bool a, bool b, const P&) { return a && b; }
};
struct Or {
    static constexpr ElementTypes kTypes = Bool;
    static bool of(bool a, bool b, const P&) { return a || b; }
};
struct Xor {
    static constexpr ElementTypes kTypes = Bool;
    static bool of(bool a, bool b, const P&) { return a != b; }
};
struct BitwiseAnd {
    static constexpr ElementTypes kTypes = Integers;
    template <class A>
    static A of(A a, A b, const P&) {
        return static_cast<A>(a & b);
    }
};
struct BitwiseOr {
    static constexpr ElementTypes kTypes = Integers;
    template <class A>
    static A of(A a, A b, const P&) {
        return static_cast<A>(a | b);
    }
};
struct BitwiseXor {
    static constexpr ElementTypes kTypes = Integers;
    template <class A>
    static A of(A a, A b, const P&) {
        return static_cast<A>(a ^ b);
    }
};
// alpha: to the right. By the width and more, and by negative amounts, only the sign is left.
struct BitShift {
    static constexpr ElementTypes kTypes = Integers;
    template <class A>
    static A of(A a, A b, const P& p) {
        const bool right = p.alpha != 0;
        const bool inside = b >= A{0} && b < static_cast<A>(std::numeric_limits<std::make_unsigned_t<A>>::digits);
        if (!inside) return right && a < A{0} ? static_cast<A>(-1) : A{0};
        if (right) return static_cast<A>(a >> b);
        return static_cast<A>(static_cast<std::make_unsigned_t<A>>(a) << b);
    }
    static P parameters(const Node& node) { return {node.string("direction", "") == "RIGHT" ? 1.0 : 0.0, 0}; }
};
Status infer_bit_shift(InferContext& context) {
    const std::string_view direction = context.node().string("direction", "");
    if (direction != "LEFT" && direction != "RIGHT") {
        return context.fail("the attribute 'direction' is '", direction, "'; it must be LEFT or RIGHT");
    }
    return BinaryOp<BitShift>::infer(context);
}

// ---- shapes in symbols

using Elements = std::vector<Dim>;

// What is known of the sum, difference, product or quotient of two shapes.
template <class Function>
Status infer_arithmetic(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(BinaryOp<Function>::infer(context));
    const DType dtype = context.input(0).dtype;
    if (dtype != DType::I64 && dtype != DType::I32) return {};
    QUOIN_ASSIGN_OR_RETURN(const std::optional<Elements> a, context.elements(0));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<Elements> b, context.elements(1));
    if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return {};
    constexpr bool kProduct = std::is_same_v<Function, Mul>;
    constexpr int64_t kNeutral = kProduct || std::is_same_v<Function, Div> ? 1 : 0;
    constexpr bool kCommutes = kProduct || std::is_same_v<Function, Add>;
    const Dim neutral{.size = kNeutral};
    const size_t count = a->empty() || b->empty() ? 0 : std::max(a->size(), b->size());
    Elements elements(count);
    for (size_t index = 0; index < count; ++index) {
        const Dim& x = (*a)[a->size() == 1 ? 0 : index];
        const Dim& y = (*b)[b->size() == 1 ? 0 : index];
        if (y == neutral) {
            elements[index] = x;
        } else if (kCommutes && x == neutral) {
            elements[index] = y;
        } else if (x.known() && y.known() && (y.size != 0 || !std::is_same_v<Function, Div>)) {
            const int64_t value = Function::of(x.size, y.size, P{});
            if (value >= 0) elements[index] = {.size = value};
        }
    }
    context.set_output(0, dtype, context.output(0).dims, std::move(elements));
    return {};
}

}  // namespace

extern const OpImplementation kAddOp{infer_arithmetic<Add>, BinaryOp<Add>::prepare};
extern const OpImplementation kSubOp{infer_arithmetic<Sub>, BinaryOp<Sub>::prepare};
extern const OpImplementation kMulOp{infer_arithmetic<Mul>, BinaryOp<Mul>::prepare};
extern const OpImplementation kDivOp{infer_arithmetic<Div>, BinaryOp<Div>::prepare};
extern const OpImplementation kPReluOp{infer_prelu, BinaryOp<PRelu>::prepare};
extern const OpImplementation kBitShiftOp{infer_bit_shift, BinaryOp<BitShift>::prepare};
extern const OpImplementation kAndOp{BinaryOp<And>::infer, BinaryOp<And>::prepare};
extern const OpImplementation kOrOp{BinaryOp<Or>::infer, BinaryOp<Or>::prepare};
extern const OpImplementation kXorOp{BinaryOp<Xor>::infer, BinaryOp<Xor>::prepare};
extern const OpImplementation kModOp{BinaryOp<Mod>::infer, BinaryOp<Mod>::prepare};
extern const OpImplementation kBitwiseAndOp{BinaryOp<BitwiseAnd>::infer, BinaryOp<BitwiseAnd>::prepare};
extern const OpImplementation kBitwiseOrOp{BinaryOp<BitwiseOr>::infer, BinaryOp<BitwiseOr>::prepare};
extern const OpImplementation kBitwiseXorOp{BinaryOp<BitwiseXor>::infer, BinaryOp<BitwiseXor>::prepare};

}  // namespace quoin
