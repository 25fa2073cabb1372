// Pow (ONNX): the exponent may have another element type than the base, which is the type of the result.
#include <cmath>
#include <limits>

#include "ops/binary.h"

namespace quoin {
namespace {

Status infer_pow(InferContext& context) {
    for (size_t index = 0; index < 2; ++index) {
        const DType dtype = context.input(index).dtype;
        if (dtype != DType::Undefined && !visit_numbers(dtype, []<class T>() {})) {
            return context.fail("input ", index, " has the element type ", dtype_name(dtype),
                                ", which this operator does not take");
        }
    }
    QUOIN_ASSIGN_OR_RETURN(auto dims, broadcast_dims(context, 0, 2));
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

// Integers wrap around; a negative power of anything but 1 and -1 is 0.
template <class T>
T integer_power(T base, int64_t exponent) {
    using U = std::make_unsigned_t<T>;
    if (exponent < 0) {
        if (base == T{1}) return 1;
        if constexpr (std::is_signed_v<T>) {
            if (base == T{-1}) return exponent % 2 == 0 ? T{1} : T{-1};
        }
        return 0;
    }
    uint64_t result = 1;
    auto square = static_cast<uint64_t>(static_cast<U>(base));
    for (auto rest = static_cast<uint64_t>(exponent); rest != 0; rest >>= 1) {
        if ((rest & 1) != 0) result *= square;
        square *= square;
    }
    return static_cast<T>(static_cast<U>(result));
}

template <class T>
T rounded_to(double value) {
    if constexpr (std::is_integral_v<T>) {
        if (std::isnan(value)) return 0;
        if (value <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
        if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
        return static_cast<T>(value);
    } else {
        return from_arithmetic<T>(static_cast<Arithmetic<T>>(value));
    }
}

template <class Base, class Exponent>
Base power(Base base, Exponent exponent) {
    if constexpr (std::is_integral_v<Base> && std::is_integral_v<Exponent>) {
        if constexpr (sizeof(Exponent) == 8 && std::is_unsigned_v<Exponent>) {
            if (exponent > static_cast<Exponent>(std::numeric_limits<int64_t>::max())) {
                return rounded_to<Base>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
            }
        }
        return integer_power(base, static_cast<int64_t>(exponent));
    } else if constexpr (std::is_same_v<Base, double> || std::is_integral_v<Base>) {
        return rounded_to<Base>(std::pow(static_cast<double>(base), static_cast<double>(to_arithmetic(exponent))));
    } else {
        // Halves and floats.
        return from_arithmetic<Base>(std::pow(to_arithmetic(base), static_cast<float>(to_arithmetic(exponent))));
    }
}

// The exponents that models use, without pow(). False for all others.
bool frequent_power(const float* base, int64_t count, float exponent, const KernelTable& kernels, float* dst) {
    const auto apply = [&](auto function) {
        for (int64_t index = 0; index < count; ++index) dst[index] = function(base[index]);
        return true;
    };
    if (exponent == 2) return apply([](float x) { return x * x; });
    if (exponent == 3) return apply([](float x) { return x * x * x; });
    if (exponent == 1) return apply([](float x) { return x; });
    if (exponent == -1) return apply([](float x) { return 1 / x; });
    if (exponent == 0.5F) {
        // As NumPy does; pow() makes infinity of -infinity, where this is NaN.
        kernels.sqrt_row(base, count, 0, 0, dst);
        return true;
    }
    return false;
}

class Pow final : public PreparedNode {
public:
    explicit Pow(const KernelTable& kernels) : kernels_(kernels) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return work_by_elements(arguments.outputs[0].elements());
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& a = arguments.inputs[0];
        const TensorView& b = arguments.inputs[1];
        const TensorView& dst = arguments.outputs[0];
        const Broadcast<2> loop(dst.shape, {&a.shape, &b.shape});
        const int64_t begin = task * kTaskElements;
        const int64_t end = std::min(begin + kTaskElements, loop.elements());
        visit_numbers(a.dtype, [&]<class Base>() {
            visit_numbers(b.dtype, [&]<class Exponent>() {
                loop.for_runs(begin, end, [&](int64_t index, int64_t count, const auto& offsets, const auto& steps) {
                    const Base* const base = a.as<Base>() + offsets[0];
                    const Exponent* const exponent = b.as<Exponent>() + offsets[1];
                    Base* const to = dst.as<Base>() + index;
                    if constexpr (std::is_same_v<Base, float>) {
                        if (steps[0] == 1 && steps[1] == 0 &&
                            frequent_power(base, count, static_cast<float>(to_arithmetic(*exponent)), kernels_, to)) {
                            return;
                        }
                    }
                    for (int64_t each = 0; each < count; ++each) {
                        to[each] = power(base[each * steps[0]], exponent[each * steps[1]]);
                    }
                });
            });
        });
        return {};
    }

private:
    const KernelTable& kernels_;
};

Result<std::unique_ptr<PreparedNode>> prepare_pow(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<Pow>(context.kernels()));
}

}  // namespace

extern const OpImplementation kPowOp{infer_pow, prepare_pow};

}  // namespace quoin
