// LinearClassifier, LinearRegressor (ai.onnx.ml).
#include <algorithm>
#include <cmath>

#include "ops/ml_common.h"

namespace quoin {
namespace {

using namespace ml;

// Coefficients [outputs, features] and an intercept for each output, 0 where there are none.
struct Plane {
    std::span<const double> coefficients;
    std::span<const double> intercepts;
    size_t outputs;
};

Result<Plane> plane_of(const ComputeContext& context, size_t outputs, const Rows& rows) {
    const Plane plane{numbers(context.node(), "coefficients"), numbers(context.node(), "intercepts"), outputs};
    if (outputs == 0 || plane.coefficients.size() != outputs * static_cast<size_t>(rows.features)) {
        return context.fail("there are ", plane.coefficients.size(), " coefficients for ", outputs, " results of ",
                            rows.features, " features");
    }
    if (!plane.intercepts.empty() && plane.intercepts.size() != outputs) {
        return context.fail("there are ", plane.intercepts.size(), " intercepts for ", outputs, " results");
    }
    return plane;
}

void apply(const Plane& plane, std::span<const double> row, std::span<double> results) {
    for (size_t each = 0; each < plane.outputs; ++each) {
        double sum = plane.intercepts.empty() ? 0 : plane.intercepts[each];
        const auto coefficients = plane.coefficients.subspan(each * row.size(), row.size());
        for (size_t feature = 0; feature < row.size(); ++feature) sum += row[feature] * coefficients[feature];
        results[each] = sum;
    }
}

Status infer_regressor(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    const int64_t targets = context.node().integer("targets", 1);
    if (targets < 1) return context.fail("there are ", targets, " targets");
    context.set_output(0, DType::F32, std::vector<Dim>{row_dim(context.input(0)), {.size = targets}});
    return {};
}

Status compute_regressor(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, context.input(0)));
    QUOIN_ASSIGN_OR_RETURN(const PostTransform post, post_transform_of(context.node()));
    const int64_t targets = context.node().integer("targets", 1);
    QUOIN_ASSIGN_OR_RETURN(const Plane plane, plane_of(context, static_cast<size_t>(targets), rows));
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, Shape{rows.count, targets}));
    const std::vector<double> values = ml::values_of(context.input(0));
    std::vector<double> results(plane.outputs);
    const auto features = static_cast<size_t>(rows.features);
    for (size_t row = 0; row < static_cast<size_t>(rows.count); ++row) {
        apply(plane, std::span(values).subspan(row * features, features), results);
        transform(post, results);
        for (size_t each = 0; each < results.size(); ++each) {
            output.as<float>()[row * results.size() + each] = static_cast<float>(results[each]);
        }
    }
    return {};
}

Labels linear_labels(const Node& node) {
    return labels_of(node, "classlabels_ints");
}

Status infer_classifier(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    const Labels labels = linear_labels(context.node());
    if (labels.count() == 0) return context.fail("there are no labels");
    const Dim rows = row_dim(context.input(0));
    context.set_output(0, labels.dtype(), std::vector<Dim>{rows});
    context.set_output(1, DType::F32, std::vector<Dim>{rows, {.size = static_cast<int64_t>(labels.count())}});
    return {};
}

Status compute_classifier(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, context.input(0)));
    QUOIN_ASSIGN_OR_RETURN(const PostTransform post, post_transform_of(context.node()));
    const Labels labels = linear_labels(context.node());
    const auto features = static_cast<size_t>(rows.features);
    // One set of coefficients for two labels: its score is that of the second.
    const bool single = labels.count() == 2 && numbers(context.node(), "coefficients").size() == features;
    QUOIN_ASSIGN_OR_RETURN(const Plane plane, plane_of(context, single ? 1 : labels.count(), rows));
    QUOIN_ASSIGN_OR_RETURN(const Tensor chosen, context.output(0, labels.dtype(), Shape{rows.count}));
    const auto columns = static_cast<int64_t>(labels.count());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(1, DType::F32, Shape{rows.count, columns}));
    const std::vector<double> values = ml::values_of(context.input(0));
    std::vector<double> results(labels.count());
    for (size_t row = 0; row < static_cast<size_t>(rows.count); ++row) {
        apply(plane, std::span(values).subspan(row * features, features), results);
        size_t best = 0;
        if (single) {
            double score = results[0];
            best = score > 0 ? 1 : 0;
            transform(post == PostTransform::Logistic ? post : PostTransform::None, std::span(&score, 1));
            results = {1 - score, score};
        } else {
            best = static_cast<size_t>(std::ranges::max_element(results) - results.begin());
            transform(post, results);
        }
        put_label(labels, best, chosen, row);
        for (size_t each = 0; each < results.size(); ++each) {
            output.as<float>()[row * results.size() + each] = static_cast<float>(results[each]);
        }
    }
    return {};
}

}  // namespace

extern const OpImplementation kLinearRegressorOp{infer_regressor, nullptr, compute_regressor};
extern const OpImplementation kLinearClassifierOp{infer_classifier, nullptr, compute_classifier};

}  // namespace quoin
