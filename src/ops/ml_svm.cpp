// Support vector machines (ai.onnx.ml): SVMClassifier, SVMRegressor.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/ml_common.h"

namespace quoin {
namespace {

using namespace ml;

struct Kernel {
    enum class Kind : uint8_t { Linear, Polynomial, Radial, Sigmoid } kind = Kind::Linear;
    double gamma = 0;
    double offset = 0;
    double degree = 0;

    double of(std::span<const double> a, std::span<const double> b) const {
        if (kind == Kind::Radial) {
            double distance = 0;
            for (size_t index = 0; index < a.size(); ++index) distance += (a[index] - b[index]) * (a[index] - b[index]);
            return std::exp(-gamma * distance);
        }
        const double product = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
        switch (kind) {
            case Kind::Polynomial: return std::pow(gamma * product + offset, degree);
            case Kind::Sigmoid: return std::tanh(gamma * product + offset);
            default: return product;
        }
    }
};

Result<Kernel> kernel_of(const ComputeContext& context) {
    Kernel kernel;
    const std::string_view name = context.node().string("kernel_type", "LINEAR");
    if (name == "POLY") {
        kernel.kind = Kernel::Kind::Polynomial;
    } else if (name == "RBF") {
        kernel.kind = Kernel::Kind::Radial;
    } else if (name == "SIGMOID") {
        kernel.kind = Kernel::Kind::Sigmoid;
    } else if (name != "LINEAR") {
        return context.fail("the kernel_type '", name, "' is not known");
    }
    const auto parameters = numbers(context.node(), "kernel_params");
    if (parameters.size() >= 3) {
        kernel.gamma = parameters[0];
        kernel.offset = parameters[1];
        kernel.degree = parameters[2];
    } else if (kernel.kind != Kernel::Kind::Linear) {
        return context.fail("there are ", parameters.size(), " kernel_params where 3 are needed");
    }
    return kernel;
}

// Support vectors [count, features].
struct Vectors {
    std::span<const double> values;
    size_t count;
    size_t features;

    std::span<const double> row(size_t index) const { return values.subspan(index * features, features); }
};

Result<Vectors> vectors_of(const ComputeContext& context, int64_t count, const Rows& rows) {
    const Vectors vectors{numbers(context.node(), "support_vectors"), static_cast<size_t>(count),
                          static_cast<size_t>(rows.features)};
    int64_t wanted = 0;
    if (count < 0 || __builtin_mul_overflow(count, rows.features, &wanted) ||
        vectors.values.size() != static_cast<size_t>(wanted)) {
        return context.fail("there are ", vectors.values.size(), " numbers for ", count, " support vectors of ",
                            rows.features, " features");
    }
    return vectors;
}

// ---- SVMRegressor

Status infer_regressor(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    context.set_output(0, DType::F32, std::vector<Dim>{row_dim(context.input(0)), {.size = 1}});
    return {};
}

Status compute_regressor(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, context.input(0)));
    QUOIN_ASSIGN_OR_RETURN(const PostTransform post, post_transform_of(context.node()));
    QUOIN_ASSIGN_OR_RETURN(const Kernel kernel, kernel_of(context));
    const auto coefficients = numbers(context.node(), "coefficients");
    const auto rho = numbers(context.node(), "rho");
    const int64_t supports = context.node().integer("n_supports", 0);
    // Without support vectors the coefficients are the plane itself.
    Vectors vectors{coefficients, 1, static_cast<size_t>(rows.features)};
    if (supports > 0) {
        QUOIN_ASSIGN_OR_RETURN(vectors, vectors_of(context, supports, rows));
    }
    const size_t wanted = supports > 0 ? vectors.count : vectors.features;
    if (coefficients.size() != wanted || rho.empty()) {
        return context.fail("there are ", coefficients.size(), " coefficients where ", wanted, " are needed");
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, Shape{rows.count, 1}));
    const std::vector<double> values = ml::values_of(context.input(0));
    for (size_t row = 0; row < static_cast<size_t>(rows.count); ++row) {
        const auto features = std::span(values).subspan(row * vectors.features, vectors.features);
        double sum = rho[0];
        for (size_t each = 0; each < vectors.count; ++each) {
            sum += (supports > 0 ? coefficients[each] : 1.0) * kernel.of(features, vectors.row(each));
        }
        if (context.node().integer("one_class", 0) != 0) sum = sum > 0 ? 1 : -1;
        transform(post, std::span(&sum, 1));
        output.as<float>()[row] = static_cast<float>(sum);
    }
    return {};
}

// ---- SVMClassifier

struct Classifier {
    Labels labels;
    Kernel kernel;
    Vectors vectors;
    std::vector<size_t> first;  // support vector of each class, and the count behind the last
    std::span<const double> coefficients;
    std::span<const double> rho;
    std::span<const double> prob_a;
    std::span<const double> prob_b;

    size_t classes() const { return first.size() - 1; }
};

// Where the pairs of classes (i < j) stand.
size_t pair_count(size_t classes) {
    return classes * (classes - 1) / 2;
}

Result<Classifier> classifier_of(const ComputeContext& context, const Rows& rows) {
    const Node& node = context.node();
    Classifier machine{labels_of(node, "classlabels_ints"),
                       {},
                       {},
                       {0},
                       numbers(node, "coefficients"),
                       numbers(node, "rho"),
                       numbers(node, "prob_a"),
                       numbers(node, "prob_b")};
    QUOIN_ASSIGN_OR_RETURN(machine.kernel, kernel_of(context));
    for (const int64_t count : integers(node, "vectors_per_class")) {
        if (count < 0 || count > (int64_t{1} << 40)) return context.fail("a class has ", count, " support vectors");
        machine.first.push_back(machine.first.back() + static_cast<size_t>(count));
    }
    const size_t classes = machine.classes();
    if (classes < 2 || machine.labels.count() != classes) {
        return context.fail("there are ", machine.labels.count(), " labels and support vectors of ", classes,
                            " classes");
    }
    QUOIN_ASSIGN_OR_RETURN(machine.vectors, vectors_of(context, static_cast<int64_t>(machine.first.back()), rows));
    if (machine.coefficients.size() != (classes - 1) * machine.vectors.count) {
        return context.fail("there are ", machine.coefficients.size(), " coefficients");
    }
    const size_t pairs = pair_count(classes);
    if (machine.rho.size() < pairs || machine.prob_a.size() != machine.prob_b.size() ||
        (!machine.prob_a.empty() && machine.prob_a.size() < pairs)) {
        return context.fail("rho, prob_a or prob_b have not a number for each of ", pairs, " pairs of classes");
    }
    return machine;
}

// The decision of each pair, positive for the first of the two.
void decide(const Classifier& machine, std::span<const double> row, std::span<double> decisions) {
    std::vector<double> near(machine.vectors.count);
    for (size_t each = 0; each < near.size(); ++each) near[each] = machine.kernel.of(row, machine.vectors.row(each));
    size_t pair = 0;
    for (size_t i = 0; i < machine.classes(); ++i) {
        for (size_t j = i + 1; j < machine.classes(); ++j, ++pair) {
            double sum = machine.rho[pair];
            const auto add = [&](size_t own, size_t list) {
                const auto weights = machine.coefficients.subspan(list * near.size(), near.size());
                for (size_t each = machine.first[own]; each < machine.first[own + 1]; ++each) {
                    sum += weights[each] * near[each];
                }
            };
            add(i, j - 1);
            add(j, i);
            decisions[pair] = sum;
        }
    }
}

// Class probabilities that go best with those of the pairs: the second method of Wu, Lin and Weng (2004).
std::vector<double> couple(const std::vector<double>& pairwise, size_t classes) {
    std::vector<double> q(classes * classes);
    for (size_t t = 0; t < classes; ++t) {
        for (size_t j = 0; j < classes; ++j) {
            if (j == t) continue;
            const double back = pairwise[j * classes + t];
            q[t * classes + t] += back * back;
            q[t * classes + j] = -back * pairwise[t * classes + j];
        }
    }
    std::vector<double> p(classes, 1 / static_cast<double>(classes));
    std::vector<double> qp(classes);
    const double enough = 0.005 / static_cast<double>(classes);
    for (size_t round = 0; round < std::max<size_t>(100, classes); ++round) {
        double pqp = 0;
        for (size_t t = 0; t < classes; ++t) {
            qp[t] = 0;
            for (size_t j = 0; j < classes; ++j) qp[t] += q[t * classes + j] * p[j];
            pqp += p[t] * qp[t];
        }
        double worst = 0;
        for (size_t t = 0; t < classes; ++t) worst = std::max(worst, std::abs(qp[t] - pqp));
        if (worst < enough) break;
        for (size_t t = 0; t < classes; ++t) {
            const double own = q[t * classes + t];
            const double change = (pqp - qp[t]) / own;
            p[t] += change;
            pqp = (pqp + change * (change * own + 2 * qp[t])) / (1 + change) / (1 + change);
            for (size_t j = 0; j < classes; ++j) {
                qp[j] = (qp[j] + change * q[t * classes + j]) / (1 + change);
                p[j] /= 1 + change;
            }
        }
    }
    return p;
}

std::vector<double> probabilities(const Classifier& machine, std::span<const double> decisions) {
    constexpr double kLeast = 1e-7;
    const size_t classes = machine.classes();
    std::vector<double> pairwise(classes * classes);
    size_t pair = 0;
    for (size_t i = 0; i < classes; ++i) {
        for (size_t j = i + 1; j < classes; ++j, ++pair) {
            const double p = 1 / (1 + std::exp(decisions[pair] * machine.prob_a[pair] + machine.prob_b[pair]));
            pairwise[i * classes + j] = std::clamp(p, kLeast, 1 - kLeast);
            pairwise[j * classes + i] = 1 - pairwise[i * classes + j];
        }
    }
    return couple(pairwise, classes);
}

size_t score_count(const Node& node, size_t classes) {
    const bool probable = !numbers(node, "prob_a").empty();
    return probable || classes == 2 ? classes : pair_count(classes);
}

Status infer_classifier(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    const Labels labels = labels_of(context.node(), "classlabels_ints");
    constexpr size_t kMostClasses = size_t{1} << 24;
    if (labels.count() == 0 || labels.count() > kMostClasses) return context.fail("there are no labels");
    if (integers(context.node(), "vectors_per_class").empty()) {
        return error(StatusCode::Unsupported, "node '", context.node().name,
                     "' (SVMClassifier): support vectors are missing; use LinearClassifier for a plane");
    }
    const Dim rows = row_dim(context.input(0));
    const auto columns = static_cast<int64_t>(score_count(context.node(), labels.count()));
    context.set_output(0, labels.dtype(), std::vector<Dim>{rows});
    context.set_output(1, DType::F32, std::vector<Dim>{rows, {.size = columns}});
    return {};
}

Status compute_classifier(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, context.input(0)));
    QUOIN_ASSIGN_OR_RETURN(const PostTransform post, post_transform_of(context.node()));
    QUOIN_ASSIGN_OR_RETURN(const Classifier machine, classifier_of(context, rows));
    const size_t columns = score_count(context.node(), machine.classes());
    QUOIN_ASSIGN_OR_RETURN(const Tensor chosen, context.output(0, machine.labels.dtype(), Shape{rows.count}));
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(1, DType::F32, Shape{rows.count, static_cast<int64_t>(columns)}));
    const std::vector<double> values = ml::values_of(context.input(0));
    std::vector<double> decisions(pair_count(machine.classes()));
    for (size_t row = 0; row < static_cast<size_t>(rows.count); ++row) {
        decide(machine, std::span(values).subspan(row * machine.vectors.features, machine.vectors.features), decisions);
        std::vector<double> scores = decisions;
        std::vector<double> votes(machine.classes());
        // Votes choose the class, also where there are probabilities.
        size_t pair = 0;
        for (size_t i = 0; i < machine.classes(); ++i) {
            for (size_t j = i + 1; j < machine.classes(); ++j, ++pair) votes[decisions[pair] > 0 ? i : j] += 1;
        }
        if (!machine.prob_a.empty()) {
            scores = probabilities(machine, decisions);
        } else if (machine.classes() == 2) {
            scores = {-decisions[0], decisions[0]};
        }
        transform(post, scores);
        put_label(machine.labels, static_cast<size_t>(std::ranges::max_element(votes) - votes.begin()), chosen, row);
        for (size_t each = 0; each < columns; ++each) {
            output.as<float>()[row * columns + each] = static_cast<float>(scores[each]);
        }
    }
    return {};
}

}  // namespace

extern const OpImplementation kSVMRegressorOp{infer_regressor, nullptr, compute_regressor};
extern const OpImplementation kSVMClassifierOp{infer_classifier, nullptr, compute_classifier};

}  // namespace quoin
