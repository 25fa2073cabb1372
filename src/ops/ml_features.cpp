// Features (ai.onnx.ml): ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer, Normalizer, OneHotEncoder,
// Scaler.
#include <algorithm>
#include <cmath>

#include "ops/ml_common.h"

namespace quoin {
namespace {

using namespace ml;

// ---- Element by element, a number for each feature or one for all

Status infer_to_floats(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    context.set_output(0, DType::F32, context.input(0).dims);
    return {};
}
Status infer_same_numbers(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    context.set_output(0, context.input(0).dtype, context.input(0).dims);
    return {};
}

Status compute_binarizer(ComputeContext& context) {
    const Tensor& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), input.shape()));
    const double threshold = context.node().number("threshold", 0);
    visit_numbers(input.dtype(), [&]<class T>() {
        const auto from = input.as<const T>();
        const auto to = output.as<T>();
        for (size_t index = 0; index < to.size(); ++index) {
            const bool above = static_cast<double>(to_arithmetic(from[index])) > threshold;
            to[index] = static_cast<T>(static_cast<Arithmetic<T>>(above ? 1 : 0));
        }
    });
    return {};
}

// The last dim; 1 for a scalar.
size_t features_of(const Tensor& input) {
    return input.shape().rank() == 0 ? 1 : static_cast<size_t>(input.shape().back());
}

Status compute_scaler(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const auto scale = numbers(context.node(), "scale");
    const auto offset = numbers(context.node(), "offset");
    const size_t features = features_of(input);
    for (const auto& list : {scale, offset}) {
        if (list.size() != 1 && list.size() != features) {
            return context.fail("there are ", list.size(), " scales or offsets for ", features, " features");
        }
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, input.shape()));
    const std::vector<double> values = ml::values_of(input);
    const auto to = output.as<float>();
    for (size_t index = 0; index < to.size(); ++index) {
        const size_t feature = index % features;
        to[index] = static_cast<float>((values[index] - offset[offset.size() == 1 ? 0 : feature]) *
                                       scale[scale.size() == 1 ? 0 : feature]);
    }
    return {};
}

Status compute_imputer(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const size_t features = features_of(input);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), input.shape()));
    Status status;
    visit_numbers(input.dtype(), [&]<class T>() {
        constexpr bool kFloat = !std::is_integral_v<T>;
        const auto from = input.as<const T>();
        const auto to = output.as<T>();
        const auto replace = [&](const auto& imputed, auto replaced) {
            if (imputed.size() != 1 && imputed.size() != features) {
                status = context.fail("there are ", imputed.size(), " imputed values for ", features, " features");
                return;
            }
            for (size_t index = 0; index < to.size(); ++index) {
                const auto value = static_cast<decltype(replaced)>(to_arithmetic(from[index]));
                const bool equal = value == replaced || (replaced != replaced && value != value);
                const auto instead = imputed[imputed.size() == 1 ? 0 : index % features];
                to[index] = equal ? static_cast<T>(static_cast<Arithmetic<T>>(instead)) : from[index];
            }
        };
        if constexpr (kFloat) {
            replace(numbers(context.node(), "imputed_value_floats"), context.node().number("replaced_value_float", 0));
        } else {
            replace(integers(context.node(), "imputed_value_int64s"),
                    context.node().integer("replaced_value_int64", 0));
        }
    });
    return status;
}

Status compute_normalizer(ComputeContext& context) {
    const Tensor& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, input.shape()));
    const std::string_view norm = context.node().string("norm", "MAX");
    if (norm != "MAX" && norm != "L1" && norm != "L2") return context.fail("the norm '", norm, "' is not known");
    const size_t features = std::max<size_t>(1, features_of(input));
    std::vector<double> values = ml::values_of(input);
    const auto to = output.as<float>();
    for (size_t first = 0; first < values.size(); first += features) {
        const std::span<double> row = std::span(values).subspan(first, features);
        double divisor = norm == "MAX" ? *std::ranges::max_element(row) : 0;
        for (const double each : row) divisor += norm == "L1" ? std::abs(each) : norm == "L2" ? each * each : 0;
        if (norm == "L2") divisor = std::sqrt(divisor);
        for (size_t index = 0; index < features; ++index) {
            to[first + index] = static_cast<float>(divisor == 0 ? row[index] : row[index] / divisor);
        }
    }
    return {};
}

// ---- ArrayFeatureExtractor: columns of the last axis

Status infer_extractor(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    const ValueType& input = context.input(0);
    const ValueType& indices = context.input(1);
    if (!input.dims || !indices.is_static()) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    if (input.dims->empty()) return context.fail("a scalar has no features");
    int64_t count = 1;
    for (const Dim& dim : *indices.dims) {
        if (__builtin_mul_overflow(count, dim.size, &count)) return context.fail("there are too many indices");
    }
    std::vector<Dim> dims = *input.dims;
    if (dims.size() == 1) dims.insert(dims.begin(), Dim{.size = 1});
    dims.back() = {.size = count};
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

Status compute_extractor(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const auto indices = context.input(1).as<const int64_t>();
    if (input.shape().rank() == 0) return context.fail("a scalar has no features");
    const int64_t features = input.shape().back();
    for (const int64_t index : indices) {
        if (index < 0 || index >= features) return context.fail("index ", index, " is none of ", features, " features");
    }
    std::vector<int64_t> dims(input.shape().dims().begin(), input.shape().dims().end());
    if (dims.size() == 1) dims.insert(dims.begin(), 1);
    dims.back() = static_cast<int64_t>(indices.size());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, input.dtype(), Shape(std::span<const int64_t>(dims))));
    const bool moved = visit_sizes(input.dtype(), [&]<class T>() {
        const auto from = input.as<const T>();
        const auto to = output.as<T>();
        for (size_t at = 0; at < to.size(); ++at) {
            const size_t row = at / indices.size();
            to[at] = from[row * static_cast<size_t>(features) + static_cast<size_t>(indices[at % indices.size()])];
        }
    });
    return moved ? Status() : context.fail("the element type ", dtype_name(input.dtype()), " is not implemented");
}

// ---- FeatureVectorizer

Status infer_vectorizer(InferContext& context) {
    int64_t features = 0;
    for (size_t index = 0; index < context.input_count(); ++index) {
        QUOIN_RETURN_IF_ERROR(expect_numbers(context, index));
        const ValueType& input = context.input(index);
        if (!input.dims || input.dims->empty() || !input.dims->back().known()) {
            features = -1;
            break;
        }
        features += input.dims->back().size;
    }
    context.set_output(0, DType::F32, std::vector<Dim>{row_dim(context.input(0)), {.size = features}});
    return {};
}

Status compute_vectorizer(ComputeContext& context) {
    int64_t features = 0;
    std::optional<int64_t> count;
    for (const RuntimeValue& input : context.inputs()) {
        QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, input.tensor()));
        if (count.value_or(rows.count) != rows.count) return context.fail("the inputs have different numbers of rows");
        count = rows.count;
        features += rows.features;
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, Shape{count.value_or(0), features}));
    int64_t first = 0;
    for (const RuntimeValue& input : context.inputs()) {
        QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, input.tensor()));
        const std::vector<double> values = ml::values_of(input.tensor());
        for (int64_t row = 0; row < rows.count; ++row) {
            for (int64_t feature = 0; feature < rows.features; ++feature) {
                output.as<float>()[static_cast<size_t>(row * features + first + feature)] =
                    static_cast<float>(values[static_cast<size_t>(row * rows.features + feature)]);
            }
        }
        first += rows.features;
    }
    return {};
}

// ---- OneHotEncoder

Status infer_one_hot(InferContext& context) {
    const ValueType& input = context.input(0);
    if (input.dtype != DType::String) QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    const size_t count = input.dtype == DType::String ? strings(context.node(), "cats_strings").size()
                                                      : integers(context.node(), "cats_int64s").size();
    auto dims = input.dims;
    if (dims) dims->push_back({.size = static_cast<int64_t>(count)});
    context.set_output(0, DType::F32, std::move(dims));
    return {};
}

Status compute_one_hot(ComputeContext& context) {
    const Tensor& input = context.input(0);
    std::vector<int64_t> dims(input.shape().dims().begin(), input.shape().dims().end());
    std::vector<size_t> places;  // the count of categories where there is none
    size_t count = 0;
    const auto find = [&](const auto& categories, const auto& value) {
        count = categories.size();
        places.push_back(static_cast<size_t>(std::ranges::find(categories, value) - categories.begin()));
    };
    if (input.dtype() == DType::String) {
        const auto categories = strings(context.node(), "cats_strings");
        count = categories.size();
        for (const std::string& each : input.as<const std::string>()) find(categories, each);
    } else {
        const auto categories = integers(context.node(), "cats_int64s");
        count = categories.size();
        for (const double each : ml::values_of(input)) {
            const bool fits = each > -0x1p63 && each < 0x1p63;
            if (fits) {
                find(categories, static_cast<int64_t>(each));
            } else {
                places.push_back(count);
            }
        }
    }
    if (dims.size() >= Shape::kMaxRank) return context.fail("the result has too many dimensions");
    dims.push_back(static_cast<int64_t>(count));
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, Shape(std::span<const int64_t>(dims))));
    const auto to = output.as<float>();
    std::fill(to.begin(), to.end(), 0.0F);
    const bool zeros = context.node().integer("zeros", 1) != 0;
    for (size_t index = 0; index < places.size(); ++index) {
        if (places[index] < count) {
            to[index * count + places[index]] = 1;
        } else if (!zeros) {
            return context.fail("element ", index, " is none of the categories");
        }
    }
    return {};
}

}  // namespace

extern const OpImplementation kArrayFeatureExtractorOp{infer_extractor, nullptr, compute_extractor};
extern const OpImplementation kBinarizerOp{infer_same_numbers, nullptr, compute_binarizer};
extern const OpImplementation kFeatureVectorizerOp{infer_vectorizer, nullptr, compute_vectorizer};
extern const OpImplementation kImputerOp{infer_same_numbers, nullptr, compute_imputer};
extern const OpImplementation kNormalizerOp{infer_to_floats, nullptr, compute_normalizer};
extern const OpImplementation kOneHotEncoderOp{infer_one_hot, nullptr, compute_one_hot};
extern const OpImplementation kScalerOp{infer_to_floats, nullptr, compute_scaler};

}  // namespace quoin
