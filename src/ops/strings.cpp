// StringConcat, StringNormalizer, StringSplit, RegexFullMatch (ONNX).
#include <algorithm>
#include <limits>
#include <string>

#include "ops/axes.h"
#include "ops/broadcast.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"
#include "ops/text_pattern.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// ---- StringConcat -------------------------------------------------------------------------------------------------

Status infer_string_concat(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::String}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::String}));
    QUOIN_ASSIGN_OR_RETURN(auto dims, broadcast_dims(context, 0, 2));
    context.set_output(0, DType::String, std::move(dims));
    return {};
}

Status compute_string_concat(ComputeContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    const size_t rank = std::max(a.shape().rank(), b.shape().rank());
    Shape shape;
    for (size_t axis = 0; axis < rank; ++axis) {
        const auto dim = [&](const Shape& each) {
            const size_t missing = rank - each.rank();
            return axis < missing ? 1 : each[axis - missing];
        };
        shape.push_back(dim(a.shape()) == 1 ? dim(b.shape()) : dim(a.shape()));
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::String, shape));
    const auto results = output.as<std::string>();
    const auto element = [&](const Tensor& tensor, int64_t index) -> const std::string& {
        int64_t offset = 0;
        int64_t stride = 1;
        for (size_t back = 1; back <= tensor.shape().rank(); ++back) {
            const int64_t dim = tensor.shape()[tensor.shape().rank() - back];
            if (dim != 1) offset += index % shape[rank - back] * stride;
            index /= shape[rank - back];
            stride *= dim;
        }
        return tensor.as<const std::string>()[static_cast<size_t>(offset)];
    };
    for (size_t index = 0; index < results.size(); ++index) {
        const auto at = static_cast<int64_t>(index);
        results[index] = element(a, at) + element(b, at);
    }
    return {};
}

// ---- StringNormalizer ---------------------------------------------------------------------------------------------

enum class Case : uint8_t { Keep, Lower, Upper };

std::optional<Case> case_of(const Node& node) {
    const std::string_view action = node.string("case_change_action", "NONE");
    if (action == "NONE") return Case::Keep;
    if (action == "LOWER") return Case::Lower;
    if (action == "UPPER") return Case::Upper;
    return std::nullopt;
}

Status infer_string_normalizer(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::String}));
    if (!case_of(context.node())) return context.fail("'case_change_action' is none of NONE, LOWER and UPPER");
    const auto& dims = context.input(0).dims;
    if (!dims) {
        context.set_output(0, DType::String, std::nullopt);
        return {};
    }
    const bool fits = dims->size() == 1 || (dims->size() == 2 && may_equal((*dims)[0], {.size = 1}));
    if (!fits) return context.fail("the input is neither [n] nor [1, n]");
    context.set_output(0, DType::String, dims->size() == 1 ? Dims{Dim{}} : Dims{{.size = 1}, Dim{}});
    return {};
}

Status compute_string_normalizer(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Case change = case_of(context.node()).value_or(Case::Keep);
    const bool sensitive = context.node().integer("is_case_sensitive", 0) != 0;
    std::vector<std::string> stopwords;
    if (const Attribute* const found = context.node().attribute("stopwords")) {
        if (const auto* const list = std::get_if<std::vector<std::string>>(found)) stopwords = *list;
    }
    if (!sensitive) {
        for (std::string& word : stopwords) {
            QUOIN_ASSIGN_OR_RETURN(word, with_case(word, false));
        }
    }
    std::ranges::sort(stopwords);
    std::vector<std::string> kept;
    for (const std::string& word : input.as<const std::string>()) {
        std::string compared = word;
        if (!sensitive && !stopwords.empty()) {
            QUOIN_ASSIGN_OR_RETURN(compared, with_case(word, false));
        }
        if (std::ranges::binary_search(stopwords, compared)) continue;
        kept.push_back(word);
        if (change == Case::Keep) continue;
        QUOIN_ASSIGN_OR_RETURN(kept.back(), with_case(word, change == Case::Upper));
    }
    // Nothing left is one empty string.
    if (kept.empty()) kept.emplace_back();
    const auto count = static_cast<int64_t>(kept.size());
    const Shape shape = input.shape().rank() == 2 ? Shape{1, count} : Shape{count};
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::String, shape));
    std::ranges::move(kept, output.as<std::string>().begin());
    return {};
}

// ---- StringSplit --------------------------------------------------------------------------------------------------

Status infer_string_split(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::String}));
    const auto& dims = context.input(0).dims;
    std::optional<Dims> parts = dims;
    if (parts) parts->emplace_back();
    if (parts && parts->size() > Shape::kMaxRank) return context.fail("the result has ", parts->size(), " dimensions");
    context.set_output(0, DType::String, std::move(parts));
    context.set_output(1, DType::I64, dims);
    return {};
}

// Without a delimiter runs of white space separate and those at the ends are nothing, as in Python.
std::vector<std::string> split(const std::string& text, std::string_view delimiter, int64_t most) {
    std::vector<std::string> parts;
    constexpr const char* kSpaces = " \t\n\v\f\r";
    size_t begin = delimiter.empty() ? text.find_first_not_of(kSpaces) : 0;
    if (text.empty()) return parts;
    while (begin != std::string::npos) {
        const bool last = static_cast<int64_t>(parts.size()) == most;
        const size_t end = last                ? std::string::npos
                           : delimiter.empty() ? text.find_first_of(kSpaces, begin)
                                               : text.find(delimiter, begin);
        if (end == std::string::npos) {
            std::string rest = text.substr(begin);
            if (delimiter.empty()) rest.erase(rest.find_last_not_of(kSpaces) + 1);
            parts.push_back(std::move(rest));
            break;
        }
        parts.push_back(text.substr(begin, end - begin));
        begin = delimiter.empty() ? text.find_first_not_of(kSpaces, end) : end + delimiter.size();
    }
    return parts;
}

Status compute_string_split(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const std::string_view delimiter = context.node().string("delimiter", "");
    int64_t most = std::numeric_limits<int64_t>::max();
    if (context.node().attribute("maxsplit") != nullptr) most = context.node().integer("maxsplit", most);
    if (most < 0) return context.fail("'maxsplit' is ", most);
    std::vector<std::vector<std::string>> rows;
    size_t longest = 0;
    for (const std::string& text : input.as<const std::string>()) {
        rows.push_back(split(text, delimiter, most));
        longest = std::max(longest, rows.back().size());
    }
    Shape shape = input.shape();
    if (shape.rank() == Shape::kMaxRank) return context.fail("the result has too many dimensions");
    shape.push_back(static_cast<int64_t>(longest));
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::String, shape));
    QUOIN_ASSIGN_OR_RETURN(const Tensor counts, context.output(1, DType::I64, input.shape()));
    for (size_t row = 0; row < rows.size(); ++row) {
        counts.as<int64_t>()[row] = static_cast<int64_t>(rows[row].size());
        std::ranges::move(rows[row], output.as<std::string>().begin() + static_cast<std::ptrdiff_t>(row * longest));
    }
    return {};
}

// ---- RegexFullMatch -----------------------------------------------------------------------------------------------

Status infer_regex_full_match(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::String}));
    context.set_output(0, DType::Bool, context.input(0).dims);
    return {};
}

Status compute_regex_full_match(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const auto pattern = TextPattern::compile(context.node().string("pattern", ""));
    if (!pattern.ok()) return context.fail(pattern.status().code(), pattern.status().message());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::Bool, input.shape()));
    const auto results = output.as<bool>();
    for (size_t index = 0; index < results.size(); ++index) {
        const Result<bool> match = pattern->matches_all(input.as<const std::string>()[index]);
        if (!match.ok()) return context.fail(match.status().code(), match.status().message());
        results[index] = *match;
    }
    return {};
}

}  // namespace

extern const OpImplementation kStringConcatOp{infer_string_concat, nullptr, compute_string_concat};
extern const OpImplementation kStringNormalizerOp{infer_string_normalizer, nullptr, compute_string_normalizer};
extern const OpImplementation kStringSplitOp{infer_string_split, nullptr, compute_string_split};
extern const OpImplementation kRegexFullMatchOp{infer_regex_full_match, nullptr, compute_regex_full_match};

}  // namespace quoin
