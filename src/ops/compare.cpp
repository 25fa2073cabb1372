// Comparisons (ONNX): Equal, Greater, GreaterOrEqual, Less, LessOrEqual, and Where.
#include "ops/binary.h"

namespace quoin {
namespace {

using P = UnaryParameters;
using enum ElementTypes;

struct Greater {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static bool of(A a, A b, const P&) {
        return a > b;
    }
};
struct GreaterOrEqual {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static bool of(A a, A b, const P&) {
        return a >= b;
    }
};
struct Less {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static bool of(A a, A b, const P&) {
        return a < b;
    }
};
struct LessOrEqual {
    static constexpr ElementTypes kTypes = Numbers;
    template <class A>
    static bool of(A a, A b, const P&) {
        return a <= b;
    }
};

// ---- Equal: bools and strings, too

struct Equal {
    template <class A>
    static bool of(A a, A b, const P&) {
        return a == b;
    }
};
BinaryRow equal_row_of(DType dtype) {
    BinaryRow row = nullptr;
    visit_numbers_and_bool(dtype, [&]<class T>() { row = binary_row<Equal, T>; });
    return row;
}
Status infer_equal(InferContext& context) {
    if (context.input(0).dtype != DType::String || context.input(1).dtype != DType::String) {
        return infer_binary(context, equal_row_of, true);
    }
    QUOIN_ASSIGN_OR_RETURN(auto dims, broadcast_dims(context, 0, 2));
    context.set_output(0, DType::Bool, std::move(dims));
    return {};
}
Result<std::unique_ptr<PreparedNode>> prepare_equal(const PrepareContext& context) {
    std::unique_ptr<PreparedNode> node;
    const DType dtype = context.graph.value(context.node.inputs[0]).dtype;
    if (dtype != DType::String && dtype != DType::Undefined) {
        node = std::make_unique<Binary>(equal_row_of, nullptr, P{});
    }
    return node;
}
Status compute_equal(ComputeContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    const BinaryRow row = equal_row_of(a.dtype());
    if (a.dtype() != b.dtype() || (a.dtype() != DType::String && row == nullptr)) {
        return context.fail("the inputs are ", dtype_name(a.dtype()), " and ", dtype_name(b.dtype()));
    }
    QUOIN_ASSIGN_OR_RETURN(const Shape shape, broadcast_shape(context, {&a.shape(), &b.shape()}));
    QUOIN_ASSIGN_OR_RETURN(const Tensor dst, context.output(0, DType::Bool, shape));
    const Broadcast<2> loop(shape, {&a.shape(), &b.shape()});
    if (a.dtype() != DType::String) {
        const int64_t size = dtype_info(a.dtype()).block_bytes;
        loop.for_runs(0, loop.elements(), [&](int64_t begin, int64_t count, const auto& offsets, const auto& steps) {
            row(a.data() + offsets[0] * size, steps[0], b.data() + offsets[1] * size, steps[1], count, P{},
                dst.data() + begin);
        });
        return {};
    }
    const auto left = a.as<const std::string>();
    const auto right = b.as<const std::string>();
    const auto to = dst.as<bool>();
    loop.for_runs(0, loop.elements(), [&](int64_t begin, int64_t count, const auto& offsets, const auto& steps) {
        for (int64_t index = 0; index < count; ++index) {
            to[static_cast<size_t>(begin + index)] = left[static_cast<size_t>(offsets[0] + index * steps[0])] ==
                                                     right[static_cast<size_t>(offsets[1] + index * steps[1])];
        }
    });
    return {};
}

// ---- Where

Status infer_where(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::Bool}));
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, common_dtype(context, 1, 2));
    QUOIN_ASSIGN_OR_RETURN(auto dims, broadcast_dims(context, 0, 3));
    context.set_output(0, dtype, std::move(dims));
    return {};
}

template <class T>
void choose_run(const bool* condition, const T* x, const T* y, const std::array<int64_t, 3>& steps, int64_t count,
                T* to) {
    if (steps[0] == 0) {
        const T* const from = *condition ? x : y;
        const int64_t step = *condition ? steps[1] : steps[2];
        for (int64_t index = 0; index < count; ++index) to[index] = from[index * step];
        return;
    }
    with_steps(steps[1], steps[2], [&](auto x_step, auto y_step) {
        for (int64_t index = 0; index < count; ++index) {
            to[index] = condition[index] ? x[index * x_step] : y[index * y_step];
        }
    });
}

void choose(const Broadcast<3>& loop, int64_t begin, int64_t end, const std::array<const std::byte*, 3>& inputs,
            DType dtype, std::byte* dst) {
    visit_sizes(dtype, [&]<class T>() {
        loop.for_runs(begin, end, [&](int64_t index, int64_t count, const auto& offsets, const auto& steps) {
            choose_run(reinterpret_cast<const bool*>(inputs[0]) + offsets[0],
                       reinterpret_cast<const T*>(inputs[1]) + offsets[1],
                       reinterpret_cast<const T*>(inputs[2]) + offsets[2], steps, count,
                       reinterpret_cast<T*>(dst) + index);
        });
    });
}

class Where final : public PreparedNode {
public:
    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return work_by_elements(arguments.outputs[0].elements());
    }
    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const std::span<const TensorView> from = arguments.inputs;
        const TensorView& dst = arguments.outputs[0];
        const Broadcast<3> loop(dst.shape, {&from[0].shape, &from[1].shape, &from[2].shape});
        const int64_t begin = task * kTaskElements;
        choose(loop, begin, std::min(begin + kTaskElements, loop.elements()),
               {from[0].data, from[1].data, from[2].data}, dst.dtype, dst.data);
        return {};
    }
};

bool can_choose(DType dtype) {
    return visit_sizes(dtype, []<class T>() {});
}

Result<std::unique_ptr<PreparedNode>> prepare_where(const PrepareContext& context) {
    const DType dtype = context.graph.value(context.node.inputs[1]).dtype;
    std::unique_ptr<PreparedNode> node;
    if (dtype == DType::String || dtype == DType::Undefined) return node;
    if (!can_choose(dtype)) {
        return context.fail(StatusCode::Unsupported, "the element type ", dtype_name(dtype), " is not implemented");
    }
    node = std::make_unique<Where>();
    return node;
}

Status compute_where(ComputeContext& context) {
    const Tensor& condition = context.input(0);
    const Tensor& x = context.input(1);
    const Tensor& y = context.input(2);
    if (condition.dtype() != DType::Bool || x.dtype() != y.dtype() || !can_choose(x.dtype())) {
        return context.fail("the inputs have element types that do not go together");
    }
    QUOIN_ASSIGN_OR_RETURN(const Shape shape, broadcast_shape(context, {&condition.shape(), &x.shape(), &y.shape()}));
    QUOIN_ASSIGN_OR_RETURN(const Tensor dst, context.output(0, x.dtype(), shape));
    const Broadcast<3> loop(shape, {&condition.shape(), &x.shape(), &y.shape()});
    choose(loop, 0, loop.elements(), {condition.data(), x.data(), y.data()}, x.dtype(), dst.data());
    return {};
}

}  // namespace

extern const OpImplementation kEqualOp{infer_equal, prepare_equal, compute_equal};
extern const OpImplementation kWhereOp{infer_where, prepare_where, compute_where};
extern const OpImplementation kGreaterOp{BinaryOp<Greater>::infer, BinaryOp<Greater>::prepare};
extern const OpImplementation kGreaterOrEqualOp{BinaryOp<GreaterOrEqual>::infer, BinaryOp<GreaterOrEqual>::prepare};
extern const OpImplementation kLessOp{BinaryOp<Less>::infer, BinaryOp<Less>::prepare};
extern const OpImplementation kLessOrEqualOp{BinaryOp<LessOrEqual>::infer, BinaryOp<LessOrEqual>::prepare};

}  // namespace quoin
