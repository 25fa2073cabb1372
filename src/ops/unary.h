// Functions of one element. An op is a struct with
//   kTypes       the element types it takes
//   of(x, p)     the function, for every type that elements of kTypes are computed in
//   kernel(table, node)     optional: the row kernel for f32
//   parameters(node)        optional: what alpha and beta are
// and its result has the input's type, or bool when of() gives bool.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "core/rounding.h"
#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"
#include "ops/small_formats.h"

namespace quoin {

// 32 KiB in, 32 KiB out: a task costs more than handing it out.
inline constexpr int64_t kTaskElements = 8192;

inline Work work_by_elements(int64_t elements) {
    return Work{.tasks = divide_up(elements, kTaskElements)};
}

struct UnaryParameters {
    double alpha = 0;
    double beta = 0;
};

enum class ElementTypes : uint8_t { Floats, FloatsAndFloat8, Integers, Numbers, Bool };

template <ElementTypes kTypes, class Visitor>
bool visit_types(DType dtype, Visitor&& visitor) {
    if constexpr (kTypes == ElementTypes::Floats) {
        return visit_floats(dtype, visitor);
    } else if constexpr (kTypes == ElementTypes::FloatsAndFloat8) {
        return visit_floats(dtype, visitor) || visit_float8(dtype, visitor);
    } else if constexpr (kTypes == ElementTypes::Integers) {
        return visit_integers(dtype, visitor);
    } else if constexpr (kTypes == ElementTypes::Numbers) {
        return visit_numbers(dtype, visitor);
    } else {
        if (dtype != DType::Bool) return kNotVisited;
        visitor.template operator()<bool>();
        return true;
    }
}

using UnaryKernel = void (*)(const float* src, int64_t count, float alpha, float beta, float* dst);
using UnaryRow = void (*)(const std::byte* src, int64_t count, const UnaryParameters& parameters, std::byte* dst);

template <class Function, class T>
void unary_row(const std::byte* src, int64_t count, const UnaryParameters& parameters, std::byte* dst) {
    using Computed = decltype(Function::of(std::declval<Arithmetic<T>>(), parameters));
    using Result = std::conditional_t<std::is_same_v<Computed, bool>, bool, T>;
    const T* const from = reinterpret_cast<const T*>(src);
    Result* const to = reinterpret_cast<Result*>(dst);
    for (int64_t index = 0; index < count; ++index) {
        to[index] = static_cast<Result>(Function::of(to_arithmetic(from[index]), parameters));
    }
}

// Null for element types that the function does not take.
template <class Function>
UnaryRow unary_row_of(DType dtype) {
    UnaryRow row = nullptr;
    visit_types<Function::kTypes>(dtype, [&]<class T>() { row = unary_row<Function, T>; });
    return row;
}

class Unary final : public PreparedNode {
public:
    // `kernel` may be null.
    Unary(UnaryRow (*row_of)(DType), UnaryKernel kernel, const UnaryParameters& parameters)
        : row_of_(row_of), kernel_(kernel), parameters_(parameters) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override;
    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override;

private:
    UnaryRow (*row_of_)(DType);
    UnaryKernel kernel_;
    UnaryParameters parameters_;
};

// Refuses the element type when it is known and not among those that `row_of` knows.
Status infer_unary(InferContext& context, UnaryRow (*row_of)(DType), bool to_bool);

template <class Function>
struct UnaryOp {
    static Status infer(InferContext& context) {
        using Some = std::conditional_t<Function::kTypes == ElementTypes::Integers, int32_t,
                                        std::conditional_t<Function::kTypes == ElementTypes::Bool, bool, float>>;
        constexpr bool kToBool = std::is_same_v<decltype(Function::of(std::declval<Some>(), UnaryParameters{})), bool>;
        return infer_unary(context, unary_row_of<Function>, kToBool);
    }
    static Result<std::unique_ptr<PreparedNode>> prepare(const PrepareContext& context) {
        UnaryKernel kernel = nullptr;
        UnaryParameters parameters;
        if constexpr (requires { Function::kernel(context.kernels(), context.node); }) {
            kernel = Function::kernel(context.kernels(), context.node);
        }
        if constexpr (requires { Function::parameters(context.node); }) {
            parameters = Function::parameters(context.node);
        }
        return std::unique_ptr<PreparedNode>(std::make_unique<Unary>(unary_row_of<Function>, kernel, parameters));
    }
};

}  // namespace quoin
