// If and Loop (ONNX). Bodies are graphs of their own; what they return owns its memory, so a value goes from one
// iteration to the next as it is.
#include <algorithm>
#include <limits>

#include "ops/bodies.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// The one element of a tensor of bools.
Result<bool> truth(ComputeContext& context, const RuntimeValue& value) {
    const Tensor& tensor = value.tensor();
    if (tensor.dtype() != DType::Bool || tensor.shape().element_count() != 1) {
        return context.fail("a condition is not one bool");
    }
    return tensor.as<const bool>()[0];
}

// ---- If -----------------------------------------------------------------------------------------------------------

Status infer_if(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Graph* const then_branch, require_body(context, "then_branch"));
    QUOIN_ASSIGN_OR_RETURN(const Graph* const else_branch, require_body(context, "else_branch"));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::Bool}));
    for (const Graph* const body : {then_branch, else_branch}) {
        if (body->outputs().size() < context.output_count()) return context.fail("a branch has too few outputs");
    }
    for (size_t index = 0; index < context.output_count(); ++index) {
        const ValueType type = common_type(output_type(*then_branch, index), output_type(*else_branch, index));
        context.set_output(index, type.dtype, type.dims);
    }
    return {};
}

Status compute_if(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const bool condition, truth(context, context.value(0)));
    QUOIN_ASSIGN_OR_RETURN(std::vector<RuntimeValue> results,
                           context.run_body(condition ? "then_branch" : "else_branch", {}));
    if (results.size() < context.output_count()) return context.fail("a branch has too few outputs");
    for (size_t index = 0; index < context.output_count(); ++index) {
        QUOIN_RETURN_IF_ERROR(context.set_output(index, std::move(results[index])));
    }
    return {};
}

// ---- Loop ---------------------------------------------------------------------------------------------------------

// Inputs: most iterations, condition, carried values, captures. The body takes the number of the iteration, the
// condition and the carried values, and makes the condition, the carried values and a row of each scan output.
struct LoopCounts {
    size_t carried;
    size_t scans;
};

template <class Context>
Result<LoopCounts> loop_counts(const Context& context, const Graph& body) {
    const auto captures = static_cast<size_t>(std::max<int64_t>(0, context.node().integer("captures", 0)));
    if (context.input_count() < 2 + captures) return context.fail("it has fewer inputs than its body captures");
    const size_t carried = context.input_count() - 2 - captures;
    if (context.output_count() < carried || body.outputs().size() != context.output_count() + 1) {
        return context.fail("its body has ", body.outputs().size(), " outputs where it has ", context.output_count(),
                            " and carries ", carried, " values");
    }
    if (body.inputs().size() != context.input_count()) {
        return context.fail("its body has ", body.inputs().size(), " inputs instead of ", context.input_count());
    }
    return LoopCounts{carried, context.output_count() - carried};
}

Status infer_loop(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Graph* const body, require_body(context, "body"));
    QUOIN_ASSIGN_OR_RETURN(const LoopCounts counts, loop_counts(context, *body));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::I64}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::Bool}));
    for (size_t index = 0; index < counts.carried; ++index) {
        // After no iteration it is what went in.
        const ValueType type = common_type(context.input(index + 2), output_type(*body, index + 1));
        context.set_output(index, type.dtype, type.dims);
    }
    for (size_t index = counts.carried; index < context.output_count(); ++index) {
        ValueType type = output_type(*body, index + 1);
        if (type.dims) type.dims->insert(type.dims->begin(), Dim{});
        context.set_output(index, type.dtype, type.dims);
    }
    return {};
}

Status compute_loop(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Graph* const body, require_body(context, "body"));
    QUOIN_ASSIGN_OR_RETURN(const LoopCounts counts, loop_counts(context, *body));
    int64_t most = std::numeric_limits<int64_t>::max();
    if (context.has_input(0)) {
        const Tensor& trips = context.input(0);
        if (trips.dtype() != DType::I64 || trips.shape().element_count() != 1) {
            return context.fail("the number of iterations is not one i64");
        }
        most = trips.as<const int64_t>()[0];
    }
    bool goes_on = true;
    if (context.has_input(1)) {
        QUOIN_ASSIGN_OR_RETURN(goes_on, truth(context, context.value(1)));
    }
    std::vector<RuntimeValue> carried(context.inputs().begin() + 2,
                                      context.inputs().begin() + 2 + static_cast<std::ptrdiff_t>(counts.carried));
    std::vector<Stack> stacks(counts.scans);
    std::vector<RuntimeValue> inputs(2 + counts.carried);
    for (int64_t iteration = 0; iteration < most && goes_on; ++iteration) {
        QUOIN_ASSIGN_OR_RETURN(inputs[0], scalar_value(context, DType::I64, iteration));
        QUOIN_ASSIGN_OR_RETURN(inputs[1], scalar_value(context, DType::Bool, true));
        std::ranges::move(carried, inputs.begin() + 2);
        QUOIN_ASSIGN_OR_RETURN(std::vector<RuntimeValue> results, context.run_body("body", inputs));
        QUOIN_ASSIGN_OR_RETURN(goes_on, truth(context, results[0]));
        for (size_t index = 0; index < counts.carried; ++index) carried[index] = std::move(results[index + 1]);
        for (size_t index = 0; index < counts.scans; ++index) {
            QUOIN_RETURN_IF_ERROR(stacks[index].push(context, results[1 + counts.carried + index]));
        }
    }
    for (size_t index = 0; index < counts.carried; ++index) {
        QUOIN_RETURN_IF_ERROR(context.set_output(index, std::move(carried[index])));
    }
    for (size_t index = 0; index < counts.scans; ++index) {
        QUOIN_ASSIGN_OR_RETURN(Tensor stacked,
                               stacks[index].take(context, output_type(*body, 1 + counts.carried + index)));
        QUOIN_RETURN_IF_ERROR(context.set_output(counts.carried + index, std::move(stacked)));
    }
    return {};
}

}  // namespace

extern const OpImplementation kIfOp{infer_if, nullptr, compute_if};
extern const OpImplementation kLoopOp{infer_loop, nullptr, compute_loop};

}  // namespace quoin
