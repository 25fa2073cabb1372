// Functions of two elements, broadcast. An op is a struct with
//   kTypes            a list of element types, see visit_types
//   of(a, b, p)       the function, for every type that elements of kTypes are computed in
//   kernel(table)     optional: the row kernel for f32
//   parameters(node)  optional: what alpha and beta are
//   kRefusesZero      optional: integers cannot be divided by zero
// and its result has the inputs' type, or bool when of() gives bool.
#pragma once

#include "ops/broadcast.h"
#include "ops/unary.h"

namespace quoin {

using BinaryKernel = void (*)(const float* a, const float* b, int64_t count, float* dst);
// Elements of a and b in steps of 0 or 1. False for a division by zero.
using BinaryRow = bool (*)(const std::byte* a, int64_t a_step, const std::byte* b, int64_t b_step, int64_t count,
                           const UnaryParameters& parameters, std::byte* dst);

// Calls body with the steps as constants, so that each combination becomes a loop of its own.
template <class Body>
void with_steps(int64_t a_step, int64_t b_step, Body&& body) {
    using Zero = std::integral_constant<int64_t, 0>;
    using One = std::integral_constant<int64_t, 1>;
    if (a_step == 1 && b_step == 1) {
        body(One{}, One{});
    } else if (a_step == 1) {
        body(One{}, Zero{});
    } else if (b_step == 1) {
        body(Zero{}, One{});
    } else {
        body(Zero{}, Zero{});
    }
}

template <class Function, class T>
bool binary_row(const std::byte* a, int64_t a_step, const std::byte* b, int64_t b_step, int64_t count,
                const UnaryParameters& parameters, std::byte* dst) {
    using A = Arithmetic<T>;
    using Computed = decltype(Function::of(std::declval<A>(), std::declval<A>(), parameters));
    using Result = std::conditional_t<std::is_same_v<Computed, bool>, bool, T>;
    const T* const left = reinterpret_cast<const T*>(a);
    const T* const right = reinterpret_cast<const T*>(b);
    Result* const to = reinterpret_cast<Result*>(dst);
    if constexpr (requires { Function::kRefusesZero; } && std::is_integral_v<T>) {
        for (int64_t index = 0; index < (b_step == 0 ? 1 : count); ++index) {
            if (right[index] == T{0}) return false;
        }
    }
    with_steps(a_step, b_step, [&](auto left_step, auto right_step) {
        for (int64_t index = 0; index < count; ++index) {
            to[index] = static_cast<Result>(Function::of(to_arithmetic(left[index * left_step]),
                                                         to_arithmetic(right[index * right_step]), parameters));
        }
    });
    return true;
}

template <class Function>
BinaryRow binary_row_of(DType dtype) {
    BinaryRow row = nullptr;
    visit_types<Function::kTypes>(dtype, [&]<class T>() { row = binary_row<Function, T>; });
    return row;
}

// A kernel on operands in steps of 0 or 1: an operand of step 0 is spread first.
void run_kernel(BinaryKernel kernel, const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t count,
                float* dst);

class Binary final : public PreparedNode {
public:
    Binary(BinaryRow (*row_of)(DType), BinaryKernel kernel, const UnaryParameters& parameters)
        : row_of_(row_of), kernel_(kernel), parameters_(parameters) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override;
    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override;

private:
    BinaryRow (*row_of_)(DType);
    BinaryKernel kernel_;
    UnaryParameters parameters_;
};

Status infer_binary(InferContext& context, BinaryRow (*row_of)(DType), bool to_bool);

template <class Function>
struct BinaryOp {
    static Status infer(InferContext& context) {
        using Some = std::conditional_t<Function::kTypes == ElementTypes::Integers, int32_t,
                                        std::conditional_t<Function::kTypes == ElementTypes::Bool, bool, float>>;
        constexpr bool kToBool =
            std::is_same_v<decltype(Function::of(std::declval<Some>(), std::declval<Some>(), UnaryParameters{})), bool>;
        return infer_binary(context, binary_row_of<Function>, kToBool);
    }
    static Result<std::unique_ptr<PreparedNode>> prepare(const PrepareContext& context) {
        BinaryKernel kernel = nullptr;
        UnaryParameters parameters;
        if constexpr (requires { Function::kernel(context.kernels()); }) kernel = Function::kernel(context.kernels());
        if constexpr (requires { Function::parameters(context.node); }) {
            parameters = Function::parameters(context.node);
        }
        return std::unique_ptr<PreparedNode>(std::make_unique<Binary>(binary_row_of<Function>, kernel, parameters));
    }
};

}  // namespace quoin
