// Activations (ONNX): Celu, Clip, Elu, Gelu, HardSigmoid, HardSwish, LeakyRelu, Mish, Relu, Selu, Shrink, Softplus,
// Softsign, SwiGLU, Swish, ThresholdedRelu.
#include <cmath>
#include <limits>

#include "ops/unary.h"

namespace quoin {
namespace {

using P = UnaryParameters;
using enum ElementTypes;

// A float attribute as the 32-bit number that the file holds.
double number(const Node& node, std::string_view key, double fallback) {
    return static_cast<double>(static_cast<float>(node.number(key, fallback)));
}

struct Relu {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A x, const P&) {
        return x < A{0} ? A{0} : x;
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.relu_row; }
};
struct LeakyRelu {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        return x < 0 ? static_cast<A>(p.alpha) * x : x;
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.leaky_relu_row; }
    static P parameters(const Node& node) { return {number(node, "alpha", 0.01), 0}; }
};
// beta x, alpha (e^x - 1) where negative
struct Elu {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        return x < 0 ? static_cast<A>(p.alpha) * std::expm1(x) : static_cast<A>(p.beta) * x;
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.elu_row; }
    static P parameters(const Node& node) { return {number(node, "alpha", 1), 1}; }
};
struct Selu : Elu {
    static P parameters(const Node& node) {
        const double gamma = number(node, "gamma", 1.05070102214813232421875);
        return {gamma * number(node, "alpha", 1.67326319217681884765625), gamma};
    }
};
struct Celu {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        const A alpha = static_cast<A>(p.alpha);
        return x < 0 ? alpha * std::expm1(x / alpha) : x;
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.celu_row; }
    static P parameters(const Node& node) { return {number(node, "alpha", 1), 0}; }
};
struct ThresholdedRelu {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        return x > static_cast<A>(p.alpha) ? x : A{0};
    }
    static P parameters(const Node& node) { return {number(node, "alpha", 1), 0}; }
};
template <class A>
A from_zero_to_one(A x) {
    const A raised = x < 0 ? A{0} : x;
    return raised > 1 ? A{1} : raised;
}
struct HardSigmoid {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        return from_zero_to_one(static_cast<A>(p.alpha) * x + static_cast<A>(p.beta));
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.hard_sigmoid_row; }
    static P parameters(const Node& node) { return {number(node, "alpha", 0.2), number(node, "beta", 0.5)}; }
};
struct HardSwish {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        // Of -infinity the limit, -0.
        const A bounded = std::isnan(x) ? x : std::max(std::numeric_limits<A>::lowest(), x);
        return bounded * from_zero_to_one(x / A{6} + A{0.5});
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.hard_swish_row; }
};
struct Softplus {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return (x < 0 ? A{0} : x) + std::log1p(std::exp(-std::abs(x)));
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.softplus_row; }
};
struct Softsign {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P&) {
        return x / (A{1} + std::abs(x));
    }
};
struct Mish {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        return x * std::tanh(Softplus::of(x, p));
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.mish_row; }
};
// alpha != 0: the approximation with tanh
struct Gelu {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        const A half = A{0.5} * x;
        if (p.alpha == 0) return half * std::erfc(x * static_cast<A>(-0.70710678118654752));
        return half *
               (A{1} + std::tanh(static_cast<A>(0.79788456080286536) * (x + static_cast<A>(0.044715) * x * x * x)));
    }
    static bool is_approximate(const Node& node) { return node.string("approximate", "none") == "tanh"; }
    static UnaryKernel kernel(const KernelTable& table, const Node& node) {
        return is_approximate(node) ? table.gelu_tanh_row : table.gelu_row;
    }
    static P parameters(const Node& node) { return {is_approximate(node) ? 1.0 : 0.0, 0}; }
};
// x * sigmoid(alpha * x)
struct Swish {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A x, const P& p) {
        // Of -infinity the limit: -0, or -infinity where alpha is negative.
        const A bounded = p.alpha < 0 ? x : std::max(std::numeric_limits<A>::lowest(), x);
        return std::isnan(x) ? x : bounded / (A{1} + std::exp(static_cast<A>(-p.alpha) * x));
    }
    static UnaryKernel kernel(const KernelTable& table, const Node&) { return table.swish_row; }
    static P parameters(const Node& node) { return {number(node, "alpha", 1), 0}; }
};
struct Shrink {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A x, const P& p) {
        const auto value = static_cast<double>(x);
        if (value < -p.alpha) return to<A>(value + p.beta);
        if (value > p.alpha) return to<A>(value - p.beta);
        return A{0};  // of NaN, too: it is neither
    }
    // Out of range is undefined by ONNX: the nearest number.
    template <class A>
    static A to(double value) {
        if constexpr (std::is_integral_v<A>) {
            if (!(value > static_cast<double>(std::numeric_limits<A>::min()))) return std::numeric_limits<A>::min();
            if (value >= static_cast<double>(std::numeric_limits<A>::max())) return std::numeric_limits<A>::max();
        }
        return static_cast<A>(value);
    }
    static P parameters(const Node& node) { return {number(node, "lambd", 0.5), number(node, "bias", 0)}; }
};

// ---- Clip: the bounds are scalars given at run time

Status infer_clip(InferContext& context) {
    const DType dtype = context.input(0).dtype;
    for (size_t index = 1; index < context.input_count(); ++index) {
        if (!context.has_input(index)) continue;
        const ValueType& bound = context.input(index);
        if (bound.dtype != DType::Undefined && dtype != DType::Undefined && bound.dtype != dtype) {
            return context.fail("input ", index, " is ", dtype_name(bound.dtype), " where input 0 is ",
                                dtype_name(dtype));
        }
        if (bound.is_static() && std::ranges::any_of(*bound.dims, [](const Dim& dim) { return dim.size != 1; })) {
            return context.fail("input ", index, " is no scalar");
        }
    }
    const auto take = []<class T>() {};
    if (dtype != DType::Undefined && !visit_numbers(dtype, take)) {
        return context.fail("the element type ", dtype_name(dtype), " cannot be clipped");
    }
    context.set_output(0, dtype, context.input(0).dims);
    return {};
}

template <class T>
constexpr Arithmetic<T> greatest() {
    if constexpr (std::same_as<T, F16>) return 65504;
    if constexpr (std::same_as<T, BF16>) return 0x1.FEp127F;
    return std::numeric_limits<Arithmetic<T>>::max();
}

class Clip final : public PreparedNode {
public:
    explicit Clip(UnaryKernel kernel) : kernel_(kernel) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return work_by_elements(arguments.outputs[0].elements());
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const int64_t begin = task * kTaskElements;
        const int64_t count = std::min(kTaskElements, dst.elements() - begin);
        visit_numbers(src.dtype, [&]<class T>() {
            using A = Arithmetic<T>;
            using Limits = std::numeric_limits<A>;
            // As ONNX has it, infinity is clipped to the greatest number of the type where no bound is given.
            A low = std::numeric_limits<T>::is_integer ? Limits::lowest() : -greatest<T>();
            A high = greatest<T>();
            if (const T* const bound = bound_of<T>(arguments, 1)) low = to_arithmetic(*bound);
            if (const T* const bound = bound_of<T>(arguments, 2)) high = to_arithmetic(*bound);
            const T* const from = src.as<T>() + begin;
            T* const to = dst.as<T>() + begin;
            if constexpr (std::is_same_v<T, float>) {
                kernel_(from, count, low, high, to);
            } else {
                for (int64_t index = 0; index < count; ++index) {
                    const A x = to_arithmetic(from[index]);
                    const A raised = x < low ? low : x;
                    to[index] = from_arithmetic<T>(high < raised ? high : raised);
                }
            }
        });
        return {};
    }

private:
    template <class T>
    static const T* bound_of(const Arguments& arguments, size_t index) {
        const bool there = index < arguments.inputs.size() && arguments.inputs[index].data != nullptr;
        return there ? arguments.inputs[index].as<T>() : nullptr;
    }

    UnaryKernel kernel_;
};

Result<std::unique_ptr<PreparedNode>> prepare_clip(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<Clip>(context.kernels().clip_row));
}

// ---- SwiGLU: swish(a) * b

Status infer_swiglu(InferContext& context) {
    const ValueType& a = context.input(0);
    const ValueType& b = context.input(1);
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, common_dtype(context, 0, 2));
    if (a.is_static() && b.is_static() && *a.dims != *b.dims) return context.fail("the inputs have different shapes");
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    context.set_output(0, dtype, a.dims ? a.dims : b.dims);
    return {};
}

class SwiGlu final : public PreparedNode {
public:
    SwiGlu(double alpha, decltype(KernelTable::silu_multiply) kernel) : parameters_{alpha, 0}, kernel_(kernel) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return work_by_elements(arguments.outputs[0].elements());
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t begin = task * kTaskElements;
        const int64_t count = std::min(kTaskElements, arguments.outputs[0].elements() - begin);
        visit_floats(arguments.inputs[0].dtype, [&]<class T>() {
            const T* const gate = arguments.inputs[0].as<T>() + begin;
            const T* const value = arguments.inputs[1].as<T>() + begin;
            T* const to = arguments.outputs[0].as<T>() + begin;
            if constexpr (std::is_same_v<T, float>) {
                if (parameters_.alpha == 1) return kernel_(gate, value, count, to);
            }
            for (int64_t index = 0; index < count; ++index) {
                const auto active = Swish::of(to_arithmetic(gate[index]), parameters_);
                to[index] = from_arithmetic<T>(active * to_arithmetic(value[index]));
            }
        });
        return {};
    }

private:
    P parameters_;
    decltype(KernelTable::silu_multiply) kernel_;
};

Result<std::unique_ptr<PreparedNode>> prepare_swiglu(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(
        std::make_unique<SwiGlu>(number(context.node, "alpha", 1), context.kernels().silu_multiply));
}

}  // namespace

extern const OpImplementation kClipOp{infer_clip, prepare_clip};
extern const OpImplementation kSwiGLUOp{infer_swiglu, prepare_swiglu};
extern const OpImplementation kCeluOp{UnaryOp<Celu>::infer, UnaryOp<Celu>::prepare};
extern const OpImplementation kEluOp{UnaryOp<Elu>::infer, UnaryOp<Elu>::prepare};
extern const OpImplementation kGeluOp{UnaryOp<Gelu>::infer, UnaryOp<Gelu>::prepare};
extern const OpImplementation kHardSigmoidOp{UnaryOp<HardSigmoid>::infer, UnaryOp<HardSigmoid>::prepare};
extern const OpImplementation kHardSwishOp{UnaryOp<HardSwish>::infer, UnaryOp<HardSwish>::prepare};
extern const OpImplementation kLeakyReluOp{UnaryOp<LeakyRelu>::infer, UnaryOp<LeakyRelu>::prepare};
extern const OpImplementation kMishOp{UnaryOp<Mish>::infer, UnaryOp<Mish>::prepare};
extern const OpImplementation kReluOp{UnaryOp<Relu>::infer, UnaryOp<Relu>::prepare};
extern const OpImplementation kSeluOp{UnaryOp<Selu>::infer, UnaryOp<Selu>::prepare};
extern const OpImplementation kShrinkOp{UnaryOp<Shrink>::infer, UnaryOp<Shrink>::prepare};
extern const OpImplementation kSoftplusOp{UnaryOp<Softplus>::infer, UnaryOp<Softplus>::prepare};
extern const OpImplementation kSoftsignOp{UnaryOp<Softsign>::infer, UnaryOp<Softsign>::prepare};
extern const OpImplementation kSwishOp{UnaryOp<Swish>::infer, UnaryOp<Swish>::prepare};
extern const OpImplementation kThresholdedReluOp{UnaryOp<ThresholdedRelu>::infer, UnaryOp<ThresholdedRelu>::prepare};

}  // namespace quoin
