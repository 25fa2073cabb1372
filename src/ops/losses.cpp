// NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss (ONNX). Scores are [N, C, ...], labels [N, ...], weights [C].
#include <cmath>
#include <optional>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

Status infer_loss(InferContext& context) {
    const ValueType& scores = context.input(0);
    const ValueType& labels = context.input(1);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    const std::string_view reduction = context.node().string("reduction", "mean");
    if (reduction != "mean" && reduction != "sum" && reduction != "none") {
        return context.fail("the reduction '", reduction, "' is none of mean, sum, none");
    }
    if (context.has_input(2) && context.input(2).dtype != scores.dtype && scores.dtype != DType::Undefined &&
        context.input(2).dtype != DType::Undefined) {
        return context.fail("the weights are ", dtype_name(context.input(2).dtype), " where the scores are ",
                            dtype_name(scores.dtype));
    }
    if (scores.dims) {
        const std::vector<Dim>& dims = *scores.dims;
        if (dims.size() < 2) return context.fail("the scores have ", dims.size(), " dimensions; at least 2 are needed");
        if (labels.dims) {
            std::vector<Dim> wanted = dims;
            wanted.erase(wanted.begin() + 1);
            bool equal = wanted.size() == labels.dims->size();
            for (size_t axis = 0; equal && axis < wanted.size(); ++axis) {
                const Dim& label = (*labels.dims)[axis];
                equal = !label.known() || !wanted[axis].known() || label.size == wanted[axis].size;
            }
            if (!equal) return context.fail("the labels do not have the shape of the scores without their classes");
        }
    }
    auto dims = reduction == "none" ? labels.dims : std::optional(std::vector<Dim>{});
    context.set_output(0, scores.dtype, std::move(dims));
    context.set_output(1, scores.dtype, scores.dims);
    return {};
}

struct Problem {
    int64_t batch = 0;
    int64_t classes = 0;
    int64_t inner = 1;
};

// Losses of labels from the logarithms of the probabilities.
template <class T>
Status reduce_losses(ComputeContext& context, const Problem& problem, std::span<const double> logs,
                     const Tensor& loss) {
    const Tensor& labels = context.input(1);
    const std::string_view reduction = context.node().string("reduction", "mean");
    const Attribute* const ignored = context.node().attribute("ignore_index");
    const bool ignores = ignored != nullptr && std::holds_alternative<int64_t>(*ignored);
    const auto results = loss.as<T>();
    double total = 0;
    double total_weight = 0;
    for (int64_t index = 0; index < problem.batch * problem.inner; ++index) {
        const int64_t label = integer_at(labels, index);
        double weight = 0;
        double value = 0;
        if (!ignores || label != std::get<int64_t>(*ignored)) {
            if (label < 0 || label >= problem.classes) {
                return context.fail("label ", index, " is ", label, " where there are ", problem.classes, " classes");
            }
            weight =
                context.has_input(2)
                    ? static_cast<double>(to_arithmetic(context.input(2).as<const T>()[static_cast<size_t>(label)]))
                    : 1.0;
            const int64_t at =
                (index / problem.inner * problem.classes + label) * problem.inner + index % problem.inner;
            value = -weight * logs[static_cast<size_t>(at)];
        }
        total += value;
        total_weight += weight;
        if (reduction == "none") {
            results[static_cast<size_t>(index)] = static_cast<T>(static_cast<Arithmetic<T>>(value));
        }
    }
    if (reduction != "none") {
        results[0] = static_cast<T>(static_cast<Arithmetic<T>>(reduction == "mean" ? total / total_weight : total));
    }
    return {};
}

// The logarithm of the softmax over the classes, in place.
void log_soften(const Problem& problem, std::span<double> scores) {
    for (int64_t line = 0; line < problem.batch * problem.inner; ++line) {
        const int64_t first = line / problem.inner * problem.classes * problem.inner + line % problem.inner;
        const auto at = [&](int64_t index) -> double& {
            return scores[static_cast<size_t>(first + index * problem.inner)];
        };
        double largest = -INFINITY;
        for (int64_t index = 0; index < problem.classes; ++index) largest = std::max(largest, at(index));
        double total = 0;
        for (int64_t index = 0; index < problem.classes; ++index) total += std::exp(at(index) - largest);
        for (int64_t index = 0; index < problem.classes; ++index) at(index) -= largest + std::log(total);
    }
}

template <bool kSoftmax>
Status compute_loss(ComputeContext& context) {
    const Tensor& scores = context.input(0);
    const Tensor& labels = context.input(1);
    const Shape& shape = scores.shape();
    const Problem problem{shape[0], shape[1], product(shape, 2, shape.rank())};
    if (context.has_input(2) && !(context.input(2).shape() == Shape{problem.classes})) {
        return context.fail("there are not as many weights as classes, ", problem.classes);
    }
    const bool none = context.node().string("reduction", "mean") == "none";
    QUOIN_ASSIGN_OR_RETURN(const Tensor loss, context.output(0, scores.dtype(), none ? labels.shape() : Shape{}));
    Status status;
    std::vector<double> logs;
    visit_floats(scores.dtype(), [&]<class T>() {
        for (const T& each : scores.as<const T>()) logs.push_back(static_cast<double>(to_arithmetic(each)));
        if (kSoftmax) log_soften(problem, logs);
        status = reduce_losses<T>(context, problem, logs, loss);
    });
    QUOIN_RETURN_IF_ERROR(status);
    if (!kSoftmax || !context.wants_output(1)) return {};
    QUOIN_ASSIGN_OR_RETURN(const Tensor probabilities, context.output(1, scores.dtype(), shape));
    visit_floats(scores.dtype(), [&]<class T>() {
        const auto to = probabilities.as<T>();
        for (size_t index = 0; index < to.size(); ++index) {
            to[index] = static_cast<T>(static_cast<Arithmetic<T>>(logs[index]));
        }
    });
    return {};
}

}  // namespace

extern const OpImplementation kNegativeLogLikelihoodLossOp{infer_loss, nullptr, compute_loss<false>};
extern const OpImplementation kSoftmaxCrossEntropyLossOp{infer_loss, nullptr, compute_loss<true>};

}  // namespace quoin
