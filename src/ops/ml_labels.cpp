// Labels and maps (ai.onnx.ml): CastMap, CategoryMapper, DictVectorizer, LabelEncoder, ZipMap.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <map>

#include "ops/ml_common.h"

namespace quoin {
namespace {

using namespace ml;

// ---- LabelEncoder: keys and values of any two types

// One side of the table: the attribute that there is, as a tensor of its own type.
struct Side {
    DType dtype = DType::Undefined;
    std::span<const int64_t> integers;
    std::span<const double> numbers;  // f32 where they come from a list
    std::span<const std::string> words;
    const Tensor* tensor = nullptr;

    size_t count() const {
        if (tensor != nullptr) return static_cast<size_t>(tensor->shape().element_count().value_or(0));
        return std::max({integers.size(), numbers.size(), words.size()});
    }
    // Element `index`, or nothing where the type is another one.
    template <class T>
    T at(size_t index) const {
        if constexpr (std::is_same_v<T, std::string>) {
            return tensor != nullptr ? tensor->as<const std::string>()[index] : words[index];
        } else {
            if (tensor != nullptr) return tensor->as<const T>()[index];
            return static_cast<T>(dtype == DType::I64 ? static_cast<T>(integers[index])
                                                      : static_cast<T>(numbers[index]));
        }
    }
};

const Tensor* tensor_attribute(const Node& node, std::string_view key) {
    const Attribute* const found = node.attribute(key);
    return found == nullptr ? nullptr : std::get_if<Tensor>(found);
}

Side side_of(const Node& node, const std::string& prefix) {
    Side side;
    if ((side.tensor = tensor_attribute(node, prefix + "_tensor")) != nullptr) {
        side.dtype = side.tensor->dtype();
    } else if (!(side.words = strings(node, prefix + "_strings")).empty()) {
        side.dtype = DType::String;
    } else if (!(side.integers = integers(node, prefix + "_int64s")).empty()) {
        side.dtype = DType::I64;
    } else if (!(side.numbers = numbers(node, prefix + "_floats")).empty()) {
        side.dtype = DType::F32;
    }
    return side;
}

template <class Visitor>
bool visit_labels(DType dtype, Visitor&& visitor) {
    switch (dtype) {
        case DType::F32: visitor.template operator()<float>(); return true;
        case DType::F64: visitor.template operator()<double>(); return true;
        case DType::I64: visitor.template operator()<int64_t>(); return true;
        case DType::I32: visitor.template operator()<int32_t>(); return true;
        case DType::I16: visitor.template operator()<int16_t>(); return true;
        case DType::String: visitor.template operator()<std::string>(); return true;
        default: return kNotVisited;
    }
}

Status infer_encoder(InferContext& context) {
    const ValueType& input = context.input(0);
    const Side keys = side_of(context.node(), "keys");
    const Side values = side_of(context.node(), "values");
    if (keys.count() != values.count()) {
        return context.fail("there are ", keys.count(), " keys and ", values.count(), " values");
    }
    if (!visit_labels(values.dtype, []<class T>() {}) || !visit_labels(keys.dtype, []<class T>() {})) {
        return context.fail("the table is missing, or its element types are not known to this operator");
    }
    if (input.dtype != DType::Undefined && input.dtype != keys.dtype) {
        return context.fail("the input is ", dtype_name(input.dtype), " where the keys are ", dtype_name(keys.dtype));
    }
    context.set_output(0, values.dtype, input.dims);
    return {};
}

template <class Value>
Value default_value(const Node& node) {
    const Tensor* const tensor = tensor_attribute(node, "default_tensor");
    if constexpr (std::is_same_v<Value, std::string>) {
        if (tensor != nullptr && tensor->dtype() == DType::String && tensor->byte_size() != 0) {
            return tensor->as<const std::string>()[0];
        }
        return std::string(node.string("default_string", "_Unused"));
    } else {
        if (tensor != nullptr) {
            const std::vector<double> values = ml::values_of(*tensor);
            if (!values.empty()) return static_cast<Value>(values[0]);
        }
        if constexpr (std::is_integral_v<Value>) return static_cast<Value>(node.integer("default_int64", -1));
        return static_cast<Value>(node.number("default_float", -0.0));
    }
}

// Keys that are NaN are equal to each other.
template <class Key>
struct KeyOrder {
    bool operator()(const Key& a, const Key& b) const {
        if constexpr (std::is_floating_point_v<Key>) {
            if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
        }
        return a < b;
    }
};

Status compute_encoder(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Side keys = side_of(context.node(), "keys");
    const Side values = side_of(context.node(), "values");
    if (input.dtype() != keys.dtype || keys.count() != values.count()) {
        return context.fail("the input is ", dtype_name(input.dtype()), " where the keys are ", dtype_name(keys.dtype));
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, values.dtype, input.shape()));
    visit_labels(keys.dtype, [&]<class Key>() {
        std::map<Key, size_t, KeyOrder<Key>> places;
        for (size_t index = 0; index < keys.count(); ++index) places.emplace(keys.at<Key>(index), index);
        visit_labels(values.dtype, [&]<class Value>() {
            const auto from = input.as<const Key>();
            const auto to = output.as<Value>();
            const Value otherwise = default_value<Value>(context.node());
            for (size_t index = 0; index < to.size(); ++index) {
                const auto found = places.find(from[index]);
                to[index] = found == places.end() ? otherwise : values.at<Value>(found->second);
            }
        });
    });
    return {};
}

// ---- CategoryMapper

Status infer_mapper(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::I64, DType::String}));
    const ValueType& input = context.input(0);
    if (strings(context.node(), "cats_strings").size() != integers(context.node(), "cats_int64s").size()) {
        return context.fail("there are not as many numbers as names of categories");
    }
    const bool words = input.dtype == DType::String;
    context.set_output(0,
                       input.dtype == DType::Undefined ? input.dtype
                       : words                         ? DType::I64
                                                       : DType::String,
                       input.dims);
    return {};
}

Status compute_mapper(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const auto words = strings(context.node(), "cats_strings");
    const auto numbers = integers(context.node(), "cats_int64s");
    const bool from_words = input.dtype() == DType::String;
    if (words.size() != numbers.size()) return context.fail("the lists of categories have different lengths");
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, from_words ? DType::I64 : DType::String, input.shape()));
    const auto map = [](const auto& from, const auto& keys, const auto& values, const auto& otherwise, auto to) {
        for (size_t index = 0; index < to.size(); ++index) {
            const auto at = static_cast<size_t>(std::ranges::find(keys, from[index]) - keys.begin());
            if (at < keys.size()) {
                to[index] = values[at];
            } else {
                to[index] = otherwise;
            }
        }
    };
    if (from_words) {
        map(input.as<const std::string>(), words, numbers, context.node().integer("default_int64", -1),
            output.as<int64_t>());
    } else {
        map(input.as<const int64_t>(), numbers, words, std::string(context.node().string("default_string", "_Unused")),
            output.as<std::string>());
    }
    return {};
}

// ---- Maps

// Keys and values of a map.
struct Entries {
    Tensor keys;
    Tensor values;
};
Result<Entries> entries_of(const ComputeContext& context) {
    const RuntimeValue& value = context.value(0);
    if (value.kind() != RuntimeValue::Kind::Map) return context.fail("the input is no map");
    Entries entries{value.items()[0].tensor(), value.items()[1].tensor()};
    if (entries.keys.shape().element_count() != entries.values.shape().element_count()) {
        return context.fail("the map has not as many values as keys");
    }
    return entries;
}

Status infer_vectorizer(InferContext& context) {
    // The type of the values is not known before the map is there.
    context.set_output(0, DType::Undefined, std::nullopt);
    return {};
}

Status compute_vectorizer(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Entries entries, entries_of(context));
    const auto words = strings(context.node(), "string_vocabulary");
    const auto numbers = integers(context.node(), "int64_vocabulary");
    const size_t count = std::max(words.size(), numbers.size());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, entries.values.dtype(), Shape{1, static_cast<int64_t>(count)}));
    Status status;
    const auto place = [&](const auto& keys, const auto& vocabulary) {
        visit_labels(entries.values.dtype(), [&]<class Value>() {
            const auto from = entries.values.as<const Value>();
            const auto to = output.as<Value>();
            std::fill(to.begin(), to.end(), Value{});
            for (size_t index = 0; index < keys.size(); ++index) {
                const auto at = static_cast<size_t>(std::ranges::find(vocabulary, keys[index]) - vocabulary.begin());
                if (at < to.size()) to[at] = from[index];
            }
        });
    };
    if (entries.keys.dtype() == DType::String) {
        place(entries.keys.as<const std::string>(), words);
    } else if (entries.keys.dtype() == DType::I64) {
        place(entries.keys.as<const int64_t>(), numbers);
    } else {
        return context.fail("the keys are ", dtype_name(entries.keys.dtype()));
    }
    return status;
}

Result<DType> cast_map_dtype(const Node& node) {
    const std::string_view name = node.string("cast_to", "TO_FLOAT");
    if (name == "TO_FLOAT") return DType::F32;
    if (name == "TO_INT64") return DType::I64;
    if (name == "TO_STRING") return DType::String;
    return error(StatusCode::InvalidModel, "node '", node.name, "': cast_to is '", name, "'");
}

Status infer_cast_map(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, cast_map_dtype(context.node()));
    context.set_output(0, dtype, std::vector<Dim>{{.size = 1}, {}});
    return {};
}

Status compute_cast_map(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Entries entries, entries_of(context));
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, cast_map_dtype(context.node()));
    if (entries.keys.dtype() != DType::I64) return context.fail("the keys are ", dtype_name(entries.keys.dtype()));
    const auto keys = entries.keys.as<const int64_t>();
    // In the order of the keys.
    std::map<int64_t, size_t> places;
    for (size_t index = 0; index < keys.size(); ++index) places.emplace(keys[index], index);
    const bool sparse = context.node().string("map_form", "DENSE") == "SPARSE";
    const int64_t size = sparse ? context.node().integer("max_map", 1) : static_cast<int64_t>(places.size());
    if (size < 0) return context.fail("max_map is ", size);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, dtype, Shape{1, size}));
    Status status;
    const auto fill = [&]<class To>() {
        const auto to = output.as<To>();
        std::fill(to.begin(), to.end(), To{});
        size_t next = 0;
        for (const auto& [key, from] : places) {
            if (sparse && (key < 0 || key >= size)) {
                status = context.fail("key ", key, " is beyond max_map ", size);
                return;
            }
            const size_t at = sparse ? static_cast<size_t>(key) : next++;
            if (entries.values.dtype() == DType::String) {
                const std::string& word = entries.values.as<const std::string>()[from];
                if constexpr (std::is_same_v<To, std::string>) {
                    to[at] = word;
                } else if (std::from_chars(word.data(), word.data() + word.size(), to[at]).ec != std::errc()) {
                    status = context.fail("'", word, "' is no number");
                    return;
                }
            } else {
                const double value = ml::values_of(entries.values)[from];
                if constexpr (std::is_same_v<To, std::string>) {
                    std::array<char, 64> text{};
                    const auto end = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(value));
                    to[at] = std::string(text.data(), end.ptr);
                } else {
                    to[at] = static_cast<To>(std::clamp(value, -0x1p62, 0x1p62));
                }
            }
        }
    };
    visit_labels(dtype, fill);
    return status;
}

Status infer_zip_map(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    if (labels_of(context.node(), "classlabels_int64s").count() == 0) return context.fail("there are no labels");
    context.set_output(0, DType::Undefined, std::nullopt);
    return {};
}

Status compute_zip_map(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Labels labels = labels_of(context.node(), "classlabels_int64s");
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, input));
    const auto columns = static_cast<int64_t>(labels.count());
    if (input.dtype() != DType::F32 || rows.features != columns) {
        return context.fail("the input has ", rows.features, " columns for ", columns, " labels");
    }
    const auto& memory = context.runtime().memory;
    QUOIN_ASSIGN_OR_RETURN(const Tensor keys, Tensor::allocate(memory, labels.dtype(), Shape{columns}, "labels"));
    for (size_t label = 0; label < labels.count(); ++label) put_label(labels, label, keys, label);
    std::vector<RuntimeValue> maps;
    for (int64_t row = 0; row < rows.count; ++row) {
        QUOIN_ASSIGN_OR_RETURN(const Tensor values, Tensor::allocate(memory, DType::F32, Shape{columns}, "scores"));
        std::ranges::copy(input.as<const float>().subspan(static_cast<size_t>(row * columns), labels.count()),
                          values.as<float>().begin());
        maps.push_back(RuntimeValue::map(keys, values));
    }
    return context.set_output(0, RuntimeValue(std::move(maps), DType::Undefined));
}

}  // namespace

extern const OpImplementation kLabelEncoderOp{infer_encoder, nullptr, compute_encoder};
extern const OpImplementation kCategoryMapperOp{infer_mapper, nullptr, compute_mapper};
extern const OpImplementation kDictVectorizerOp{infer_vectorizer, nullptr, compute_vectorizer};
extern const OpImplementation kCastMapOp{infer_cast_map, nullptr, compute_cast_map};
extern const OpImplementation kZipMapOp{infer_zip_map, nullptr, compute_zip_map};

}  // namespace quoin
