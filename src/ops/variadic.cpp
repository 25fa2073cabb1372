// Functions of any number of operands (ONNX): Max, Mean, Min, Sum.
#include <cmath>

#include "ops/binary.h"

namespace quoin {
namespace {

using P = UnaryParameters;
using enum ElementTypes;

struct Maximum {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A a, A b, const P&) {
        return b > a || b != b ? b : a;  // NaN wins
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.maximum_row; }
};
struct Minimum {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static A of(A a, A b, const P&) {
        return b < a || b != b ? b : a;
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.minimum_row; }
};
struct Total {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A a, A b, const P&) {
        return a + b;
    }
    static BinaryKernel kernel(const KernelTable& table) { return table.add; }
};
// b over alpha
struct Share {
    static constexpr ElementTypes kTypes = Floats;
    template <class A>
    static A of(A a, const P& p) {
        return a / static_cast<A>(p.alpha);
    }
};

class Variadic final : public PreparedNode {
public:
    Variadic(BinaryRow (*row_of)(DType), BinaryKernel kernel, bool mean)
        : row_of_(row_of), kernel_(kernel), mean_(mean) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return work_by_elements(arguments.outputs[0].elements());
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& dst = arguments.outputs[0];
        const int64_t begin = task * kTaskElements;
        const int64_t end = std::min(begin + kTaskElements, dst.elements());
        const int64_t size = dtype_info(dst.dtype).block_bytes;
        copy(arguments.inputs[0], dst, begin, end);
        for (const TensorView& src : arguments.inputs.subspan(1)) {
            const Broadcast<1> loop(dst.shape, {&src.shape});
            loop.for_runs(begin, end, [&](int64_t index, int64_t count, const auto& offsets, const auto& steps) {
                if (dst.dtype == DType::F32) {
                    float* const to = dst.as<float>() + index;
                    run_kernel(kernel_, to, 1, src.as<float>() + offsets[0], steps[0], count, to);
                } else {
                    std::byte* const to = dst.data + index * size;
                    row_of_(dst.dtype)(to, 1, src.data + offsets[0] * size, steps[0], count, P{}, to);
                }
            });
        }
        if (mean_) {
            std::byte* const to = dst.data + begin * size;
            const P count{static_cast<double>(arguments.inputs.size()), 0};
            unary_row_of<Share>(dst.dtype)(to, end - begin, count, to);
        }
        return {};
    }

private:
    // Elements begin <= index < end of the result from one operand, which may be the same memory.
    static void copy(const TensorView& src, const TensorView& dst, int64_t begin, int64_t end) {
        visit_sizes(dst.dtype, [&]<class T>() {
            if constexpr (std::is_integral_v<T>) {
                const Broadcast<1> loop(dst.shape, {&src.shape});
                loop.for_runs(begin, end, [&](int64_t index, int64_t count, const auto& offsets, const auto& steps) {
                    const T* const from = src.as<T>() + offsets[0];
                    T* const to = dst.as<T>() + index;
                    for (int64_t each = 0; each < count; ++each) to[each] = from[each * steps[0]];
                });
            }
        });
    }

    BinaryRow (*row_of_)(DType);
    BinaryKernel kernel_;
    bool mean_;
};

template <class Function>
Status infer_variadic(InferContext& context) {
    for (size_t index = 0; index < context.input_count(); ++index) {
        if (!context.has_input(index)) return context.fail("input ", index, " is left out");
    }
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, common_dtype(context, 0, context.input_count()));
    if (dtype != DType::Undefined && binary_row_of<Function>(dtype) == nullptr) {
        return context.fail("the inputs have the element type ", dtype_name(dtype),
                            ", which this operator does not take");
    }
    QUOIN_ASSIGN_OR_RETURN(auto dims, broadcast_dims(context, 0, context.input_count()));
    context.set_output(0, dtype, std::move(dims));
    return {};
}

template <class Function, bool kMean = false>
Result<std::unique_ptr<PreparedNode>> prepare_variadic(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(
        std::make_unique<Variadic>(binary_row_of<Function>, Function::kernel(context.kernels()), kMean));
}

}  // namespace

extern const OpImplementation kMaxOp{infer_variadic<Maximum>, prepare_variadic<Maximum>};
extern const OpImplementation kMinOp{infer_variadic<Minimum>, prepare_variadic<Minimum>};
extern const OpImplementation kSumOp{infer_variadic<Total>, prepare_variadic<Total>};
extern const OpImplementation kMeanOp{infer_variadic<Total>, prepare_variadic<Total, true>};

}  // namespace quoin
