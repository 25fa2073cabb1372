// Functions of one number (ONNX): Abs ... Tanh, IsInf, IsNaN, Not, BitwiseNot.
#include "ops/unary.h"

#include <cmath>

namespace quoin {

Result<Work> Unary::plan(const Arguments& arguments, int /*threads*/) const {
    return work_by_elements(arguments.outputs[0].elements());
}

Status Unary::run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const {
    const TensorView& src = arguments.inputs[0];
    const TensorView& dst = arguments.outputs[0];
    const int64_t begin = task * kTaskElements;
    const int64_t count = std::min(kTaskElements, dst.elements() - begin);
    if (src.dtype == DType::F32 && kernel_ != nullptr) {
        kernel_(src.as<float>() + begin, count, static_cast<float>(parameters_.alpha),
                static_cast<float>(parameters_.beta), dst.as<float>() + begin);
        return {};
    }
    const UnaryRow row = row_of_(src.dtype);
    if (row == nullptr) return error(StatusCode::Internal, "no function for the element type ", dtype_name(src.dtype));
    row(src.data + begin * dtype_info(src.dtype).block_bytes, count, parameters_,
        dst.data + begin * dtype_info(dst.dtype).block_bytes);
    return {};
}

Status infer_unary(InferContext& context, UnaryRow (*row_of)(DType), bool to_bool) {
    const DType dtype = context.input(0).dtype;
    if (dtype != DType::Undefined && row_of(dtype) == nullptr) {
        return context.fail("input 0 has the element type ", dtype_name(dtype), ", which this operator does not take");
    }
    context.set_output(0, to_bool ? DType::Bool : dtype, context.input(0).dims);
    return {};
}

namespace {

using P = UnaryParameters;
using enum ElementTypes;

// 0 - x in arithmetic that wraps around.
template <class A>
A negated(A x) {
    if constexpr (std::is_integral_v<A>) {
        using Unsigned = std::make_unsigned_t<A>;
        return static_cast<A>(static_cast<Unsigned>(Unsigned{0} - static_cast<Unsigned>(x)));
    } else {
        return -x;
    }
}

struct Abs {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A x, const P&) {
        if constexpr (std::is_floating_point_v<A>) {
            return std::abs(x);
        } else if constexpr (std::is_signed_v<A>) {
            return x < 0 ? negated(x) : x;
        } else {
            return x;
        }
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.abs_row; }
};
struct Neg {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A x, const P&) {
        return negated(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.neg_row; }
};
struct Sign {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A x, const P&) {
        if constexpr (std::is_floating_point_v<A>) {
            return x > 0 ? A{1} : x < 0 ? A{-1} : x;  // zero and NaN stay
        } else {
            return static_cast<A>(static_cast<int>(x > A{0}) - static_cast<int>(x < A{0}));
        }
    }
};
struct Floor {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::floor(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.floor_row; }
};
struct Ceil {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::ceil(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.ceil_row; }
};
struct Round {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::nearbyint(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.round_row; }
};
struct Sqrt {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::sqrt(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.sqrt_row; }
};
struct Reciprocal {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return A{1} / x;
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.reciprocal_row; }
};
struct Exp {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::exp(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.exp_row; }
};
struct Log {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::log(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.log_row; }
};
struct Erf {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A x, const P&) {
        if constexpr (std::is_floating_point_v<A>) {
            return std::erf(x);
        } else {
            return static_cast<A>(std::erf(static_cast<double>(x)));
        }
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.erf_row; }
};
struct Tanh {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return std::tanh(x);
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.tanh_row; }
};
struct Sigmoid {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return A{1} / (A{1} + std::exp(-x));
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.sigmoid_row; }
};

// Functions of the standard library that models use too seldom for a kernel.
template <class Function>
struct Standard {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return Function{}(x);
    }
};
using Sin = Standard<decltype([](auto x) { return std::sin(x); })>;
using Cos = Standard<decltype([](auto x) { return std::cos(x); })>;
using Tan = Standard<decltype([](auto x) { return std::tan(x); })>;
using Asin = Standard<decltype([](auto x) { return std::asin(x); })>;
using Acos = Standard<decltype([](auto x) { return std::acos(x); })>;
using Atan = Standard<decltype([](auto x) { return std::atan(x); })>;
using Sinh = Standard<decltype([](auto x) { return std::sinh(x); })>;
using Cosh = Standard<decltype([](auto x) { return std::cosh(x); })>;
using Asinh = Standard<decltype([](auto x) { return std::asinh(x); })>;
using Acosh = Standard<decltype([](auto x) { return std::acosh(x); })>;
using Atanh = Standard<decltype([](auto x) { return std::atanh(x); })>;

struct IsNaN {
    static constexpr ElementTypes kTypes = FloatsAndFloat8;
    template <class A>
    static bool of(A x, const P&) {
        return std::isnan(x);
    }
};
struct IsInf {
    static constexpr ElementTypes kTypes = FloatsAndFloat8;
    template <class A>
    static bool of(A x, const P& p) {
        return std::isinf(x) && (x > 0 ? p.alpha : p.beta) != 0;
    }
    static P parameters(const Node& node) {
        return {static_cast<double>(node.integer("detect_positive", 1)),
                static_cast<double>(node.integer("detect_negative", 1))};
    }
};
struct Not {
    static constexpr ElementTypes kTypes = Bool;
    static bool of(bool x, const P&) { return !x; }
};
struct BitwiseNot {
    static constexpr ElementTypes kTypes = Integers;
    template <class A>
    static A of(A x, const P&) {
        return static_cast<A>(~x);
    }
};

}  // namespace

extern const OpImplementation kAbsOp{UnaryOp<Abs>::infer, UnaryOp<Abs>::prepare};
extern const OpImplementation kAcosOp{UnaryOp<Acos>::infer, UnaryOp<Acos>::prepare};
extern const OpImplementation kAcoshOp{UnaryOp<Acosh>::infer, UnaryOp<Acosh>::prepare};
extern const OpImplementation kAsinOp{UnaryOp<Asin>::infer, UnaryOp<Asin>::prepare};
extern const OpImplementation kAsinhOp{UnaryOp<Asinh>::infer, UnaryOp<Asinh>::prepare};
extern const OpImplementation kAtanOp{UnaryOp<Atan>::infer, UnaryOp<Atan>::prepare};
extern const OpImplementation kAtanhOp{UnaryOp<Atanh>::infer, UnaryOp<Atanh>::prepare};
extern const OpImplementation kBitwiseNotOp{UnaryOp<BitwiseNot>::infer, UnaryOp<BitwiseNot>::prepare};
extern const OpImplementation kCeilOp{UnaryOp<Ceil>::infer, UnaryOp<Ceil>::prepare};
extern const OpImplementation kCosOp{UnaryOp<Cos>::infer, UnaryOp<Cos>::prepare};
extern const OpImplementation kCoshOp{UnaryOp<Cosh>::infer, UnaryOp<Cosh>::prepare};
extern const OpImplementation kErfOp{UnaryOp<Erf>::infer, UnaryOp<Erf>::prepare};
extern const OpImplementation kExpOp{UnaryOp<Exp>::infer, UnaryOp<Exp>::prepare};
extern const OpImplementation kFloorOp{UnaryOp<Floor>::infer, UnaryOp<Floor>::prepare};
extern const OpImplementation kIsInfOp{UnaryOp<IsInf>::infer, UnaryOp<IsInf>::prepare};
extern const OpImplementation kIsNaNOp{UnaryOp<IsNaN>::infer, UnaryOp<IsNaN>::prepare};
extern const OpImplementation kLogOp{UnaryOp<Log>::infer, UnaryOp<Log>::prepare};
extern const OpImplementation kNegOp{UnaryOp<Neg>::infer, UnaryOp<Neg>::prepare};
extern const OpImplementation kNotOp{UnaryOp<Not>::infer, UnaryOp<Not>::prepare};
extern const OpImplementation kReciprocalOp{UnaryOp<Reciprocal>::infer, UnaryOp<Reciprocal>::prepare};
extern const OpImplementation kRoundOp{UnaryOp<Round>::infer, UnaryOp<Round>::prepare};
extern const OpImplementation kSigmoidOp{UnaryOp<Sigmoid>::infer, UnaryOp<Sigmoid>::prepare};
extern const OpImplementation kSignOp{UnaryOp<Sign>::infer, UnaryOp<Sign>::prepare};
extern const OpImplementation kSinOp{UnaryOp<Sin>::infer, UnaryOp<Sin>::prepare};
extern const OpImplementation kSinhOp{UnaryOp<Sinh>::infer, UnaryOp<Sinh>::prepare};
extern const OpImplementation kSqrtOp{UnaryOp<Sqrt>::infer, UnaryOp<Sqrt>::prepare};
extern const OpImplementation kTanOp{UnaryOp<Tan>::infer, UnaryOp<Tan>::prepare};
extern const OpImplementation kTanhOp{UnaryOp<Tanh>::infer, UnaryOp<Tanh>::prepare};

}  // namespace quoin
