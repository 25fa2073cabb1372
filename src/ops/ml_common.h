// What the operators of ai.onnx.ml share: attributes as lists, numbers of any input type, transforms of scores.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/op_kernel.h"

namespace quoin::ml {

// The list, empty where the attribute is absent or of another type.
std::span<const int64_t> integers(const Node& node, std::string_view key);
std::span<const double> numbers(const Node& node, std::string_view key);
std::span<const std::string> strings(const Node& node, std::string_view key);
// The same from a tensor attribute of any type of numbers when there is one, else from the list.
std::vector<double> numbers_or_tensor(const Node& node, std::string_view key, std::string_view tensor_key);

// The elements of a tensor of numbers; empty for other types.
std::vector<double> values_of(const Tensor& tensor);

// Inputs of models are [N, F]; a vector is one row.
struct Rows {
    int64_t count = 0;
    int64_t features = 0;
};
Result<Rows> rows_of(const ComputeContext& context, const Tensor& input);
// The first dim of a matrix, 1 for a vector, unknown where the rank is.
Dim row_dim(const ValueType& input);
Status expect_numbers(const InferContext& context, size_t index);

enum class PostTransform : uint8_t { None, Softmax, Logistic, SoftmaxZero, Probit };
Result<PostTransform> post_transform_of(const Node& node);
// One row of scores, in place.
void transform(PostTransform post, std::span<double> scores);

// What labels a classifier has: `classlabels_strings`, or the integers of `integer_key`.
struct Labels {
    std::span<const std::string> words;
    std::span<const int64_t> numbers;

    size_t count() const { return words.empty() ? numbers.size() : words.size(); }
    DType dtype() const { return words.empty() ? DType::I64 : DType::String; }
};
Labels labels_of(const Node& node, std::string_view integer_key);
void put_label(const Labels& labels, size_t label, const Tensor& output, size_t row);

}  // namespace quoin::ml
