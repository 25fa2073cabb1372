// Along one axis (ONNX): ArgMax, ArgMin, CumProd, CumSum.
#include <cmath>

#include "core/rounding.h"
#include "ops/axis.h"
#include "ops/element_types.h"

namespace quoin {
namespace {

// Lines of a task; each is size elements in steps of inner.
int64_t lines_of_task(const AxisView& view) {
    constexpr int64_t kTaskElements = 16384;
    return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, view.size));
}

Work work_by_lines(const AxisView& view) {
    const int64_t grain = lines_of_task(view);
    return Work{.tasks = divide_up(view.outer * view.inner, grain), .grain = {grain}};
}

// body(offset of the first element, index of the line)
template <class Body>
void for_lines(const AxisView& view, const Work& work, int64_t task, Body&& body) {
    const int64_t end = std::min((task + 1) * work.grain[0], view.outer * view.inner);
    for (int64_t line = task * work.grain[0]; line < end; ++line) {
        body(line / view.inner * view.size * view.inner + line % view.inner, line);
    }
}

// ---- ArgMax, ArgMin

Status infer_arg(InferContext& context) {
    const ValueType& input = context.input(0);
    if (input.dtype != DType::Undefined && !visit_numbers(input.dtype, []<class T>() {})) {
        return context.fail("the element type ", dtype_name(input.dtype), " has no order");
    }
    if (!input.dims) {
        context.set_output(0, DType::I64, std::nullopt);
        return {};
    }
    std::vector<Dim> dims = *input.dims;
    const int64_t axis = context.node().integer("axis", 0);
    const std::optional<size_t> at = find_axis(axis, std::max<size_t>(dims.size(), 1));
    if (!at) return context.fail("axis ", axis, " is none of the ", dims.size(), " there are");
    if (!dims.empty()) {
        if (dims[*at].size == 0) return context.fail("there is no largest among no elements");
        if (context.node().integer("keepdims", 1) != 0) {
            dims[*at] = {.size = 1};
        } else {
            dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(*at));
        }
    }
    context.set_output(0, DType::I64, std::move(dims));
    return {};
}

// The first or last of the best; NaN is better than anything.
template <class T>
int64_t best_index(const T* line, const AxisView& view, bool largest, bool last) {
    auto best = to_arithmetic(line[0]);
    int64_t at = 0;
    for (int64_t index = 1; index < view.size; ++index) {
        const auto value = to_arithmetic(line[index * view.inner]);
        bool better = largest ? value > best : value < best;
        bool equal = value == best;
        if constexpr (std::is_floating_point_v<decltype(best)>) {
            better = (better && !std::isnan(best)) || (std::isnan(value) && !std::isnan(best));
            equal = equal || (std::isnan(value) && std::isnan(best));
        }
        if (better || (last && equal)) {
            best = value;
            at = index;
        }
    }
    return at;
}

class ArgExtreme final : public PreparedNode {
public:
    ArgExtreme(bool largest, const Node& node)
        : largest_(largest), last_(node.integer("select_last_index", 0) != 0), axis_(node.integer("axis", 0)) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return work_by_lines(*axis_view(arguments.inputs[0].shape, axis_));
    }
    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const AxisView view = *axis_view(arguments.inputs[0].shape, axis_);
        visit_numbers(arguments.inputs[0].dtype, [&]<class T>() {
            for_lines(view, arguments.work, task, [&](int64_t offset, int64_t line) {
                arguments.outputs[0].as<int64_t>()[line] =
                    best_index(arguments.inputs[0].as<T>() + offset, view, largest_, last_);
            });
        });
        return {};
    }

private:
    bool largest_;
    bool last_;
    int64_t axis_;
};

template <bool kLargest>
Result<std::unique_ptr<PreparedNode>> prepare_arg(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<ArgExtreme>(kLargest, context.node));
}

// ---- CumSum, CumProd: the axis is an input

Status infer_running(InferContext& context) {
    const ValueType& input = context.input(0);
    if (input.dtype != DType::Undefined && !visit_numbers(input.dtype, []<class T>() {})) {
        return context.fail("the element type ", dtype_name(input.dtype), " cannot be added up");
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    context.set_output(0, input.dtype, input.dims);
    return {};
}

template <class T>
void run_along(const T* src, const AxisView& view, bool product, bool exclusive, bool reverse, T* dst) {
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;
    Sum total = product ? Sum{1} : Sum{0};
    for (int64_t step = 0; step < view.size; ++step) {
        const int64_t at = (reverse ? view.size - 1 - step : step) * view.inner;
        const Sum before = total;
        const auto x = static_cast<Sum>(to_arithmetic(src[at]));
        total = product ? total * x : total + x;
        dst[at] = static_cast<T>(static_cast<Arithmetic<T>>(exclusive ? before : total));
    }
}

class Running final : public PreparedNode {
public:
    Running(bool product, const Node& node)
        : product_(product),
          exclusive_(node.integer("exclusive", 0) != 0),
          reverse_(node.integer("reverse", 0) != 0),
          name_(node.name) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        // The axis may not be known yet: one task then.
        if (arguments.inputs[1].data == nullptr) return Work{};
        QUOIN_ASSIGN_OR_RETURN(const AxisView view, view_of(arguments));
        return work_by_lines(view);
    }
    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        QUOIN_ASSIGN_OR_RETURN(const AxisView view, view_of(arguments));
        Work work = arguments.work;
        if (work.tasks == 1) work.grain[0] = std::max<int64_t>(1, view.outer * view.inner);
        visit_numbers(arguments.inputs[0].dtype, [&]<class T>() {
            for_lines(view, work, task, [&](int64_t offset, int64_t) {
                run_along(arguments.inputs[0].as<T>() + offset, view, product_, exclusive_, reverse_,
                          arguments.outputs[0].as<T>() + offset);
            });
        });
        return {};
    }

private:
    Result<AxisView> view_of(const Arguments& arguments) const {
        const TensorView& axis = arguments.inputs[1];
        if (axis.elements() != 1) {
            return error(StatusCode::InvalidArgument, "node '", name_, "': the axis is no scalar");
        }
        const int64_t at = axis.dtype == DType::I32 ? int64_t{*axis.as<int32_t>()} : *axis.as<int64_t>();
        const std::optional<AxisView> view = axis_view(arguments.inputs[0].shape, at);
        if (!view) return error(StatusCode::InvalidArgument, "node '", name_, "': axis ", at, " is out of range");
        return *view;
    }

    bool product_;
    bool exclusive_;
    bool reverse_;
    std::string name_;
};

template <bool kProduct>
Result<std::unique_ptr<PreparedNode>> prepare_running(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<Running>(kProduct, context.node));
}

}  // namespace

extern const OpImplementation kArgMaxOp{infer_arg, prepare_arg<true>};
extern const OpImplementation kArgMinOp{infer_arg, prepare_arg<false>};
extern const OpImplementation kCumSumOp{infer_running, prepare_running<false>};
extern const OpImplementation kCumProdOp{infer_running, prepare_running<true>};

}  // namespace quoin
