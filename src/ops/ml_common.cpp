#include "ops/ml_common.h"

#include <algorithm>
#include <cmath>

namespace quoin::ml {
namespace {

template <class T>
std::span<const T> list(const Node& node, std::string_view key) {
    const Attribute* const found = node.attribute(key);
    const auto* const values = found == nullptr ? nullptr : std::get_if<std::vector<T>>(found);
    return values == nullptr ? std::span<const T>() : std::span<const T>(*values);
}

// The inverse of the distribution function of the normal distribution for p from 0 to 1, by bisection and Newton.
double probit(double p) {
    if (!(p > 0)) return p == 0 ? -INFINITY : NAN;
    if (!(p < 1)) return p == 1 ? INFINITY : NAN;
    double low = -40;
    double high = 40;
    for (int step = 0; step < 80; ++step) {
        const double middle = (low + high) / 2;
        (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
    }
    return (low + high) / 2;
}

}  // namespace

std::span<const int64_t> integers(const Node& node, std::string_view key) {
    return list<int64_t>(node, key);
}
std::span<const double> numbers(const Node& node, std::string_view key) {
    return list<double>(node, key);
}
std::span<const std::string> strings(const Node& node, std::string_view key) {
    return list<std::string>(node, key);
}

std::vector<double> values_of(const Tensor& tensor) {
    std::vector<double> values;
    visit_numbers(tensor.dtype(), [&]<class T>() {
        for (const T& each : tensor.as<const T>()) values.push_back(static_cast<double>(to_arithmetic(each)));
    });
    return values;
}

std::vector<double> numbers_or_tensor(const Node& node, std::string_view key, std::string_view tensor_key) {
    const Attribute* const found = node.attribute(tensor_key);
    if (found != nullptr && std::holds_alternative<Tensor>(*found)) return values_of(std::get<Tensor>(*found));
    const std::span<const double> values = numbers(node, key);
    return {values.begin(), values.end()};
}

Result<Rows> rows_of(const ComputeContext& context, const Tensor& input) {
    const Shape& shape = input.shape();
    if (shape.rank() == 1) return Rows{1, shape[0]};
    if (shape.rank() == 2) return Rows{shape[0], shape[1]};
    return context.fail("the input has ", shape.rank(), " dimensions where 1 or 2 are needed");
}

Dim row_dim(const ValueType& input) {
    if (!input.dims) return {};
    return input.dims->size() == 2 ? input.dims->front() : Dim{.size = 1};
}

Status expect_numbers(const InferContext& context, size_t index) {
    const DType dtype = context.input(index).dtype;
    if (dtype == DType::Undefined || visit_numbers(dtype, []<class T>() {})) return {};
    return context.fail("input ", index, " has the element type ", dtype_name(dtype),
                        ", which this operator does not take");
}

Result<PostTransform> post_transform_of(const Node& node) {
    const std::string_view name = node.string("post_transform", "NONE");
    if (name == "NONE") return PostTransform::None;
    if (name == "SOFTMAX") return PostTransform::Softmax;
    if (name == "LOGISTIC") return PostTransform::Logistic;
    if (name == "SOFTMAX_ZERO") return PostTransform::SoftmaxZero;
    if (name == "PROBIT") return PostTransform::Probit;
    return error(StatusCode::InvalidModel, "node '", node.name, "': the post_transform '", name, "' is not known");
}

void transform(PostTransform post, std::span<double> scores) {
    if (scores.empty()) return;
    switch (post) {
        case PostTransform::None: return;
        case PostTransform::Logistic:
            for (double& each : scores) each = 1 / (1 + std::exp(-each));
            return;
        case PostTransform::Probit:
            for (double& each : scores) each = probit(each);
            return;
        case PostTransform::Softmax:
        case PostTransform::SoftmaxZero: break;
    }
    // With SoftmaxZero a score of 0 stays 0.
    const double largest = *std::ranges::max_element(scores);
    const auto stays = [&](double score) { return post == PostTransform::SoftmaxZero && std::abs(score) <= 1e-7; };
    double total = 0;
    for (double& each : scores) {
        if (stays(each)) continue;
        each = std::exp(each - largest);
        total += each;
    }
    for (double& each : scores) each = total == 0 ? 0 : each / total;
}

Labels labels_of(const Node& node, std::string_view integer_key) {
    return {strings(node, "classlabels_strings"), integers(node, integer_key)};
}

void put_label(const Labels& labels, size_t label, const Tensor& output, size_t row) {
    if (labels.words.empty()) {
        output.as<int64_t>()[row] = labels.numbers[label];
    } else {
        output.as<std::string>()[row] = labels.words[label];
    }
}

}  // namespace quoin::ml
