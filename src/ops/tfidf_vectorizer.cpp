// TfIdfVectorizer (ONNX): how often each n-gram of a pool stands in a text of words or numbers.
#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_map>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

template <class T>
const std::vector<T>* list_of(const Node& node, std::string_view key) {
    const Attribute* const found = node.attribute(key);
    return found == nullptr ? nullptr : std::get_if<std::vector<T>>(found);
}

struct Settings {
    int64_t shortest = 0;
    int64_t longest = 0;
    int64_t most_skipped = 0;
    int64_t columns = 0;
    std::string_view mode;
    const std::vector<int64_t>* counts = nullptr;   // where the n-grams of each length begin in the pool
    const std::vector<int64_t>* indexes = nullptr;  // the column of each n-gram
    const std::vector<double>* weights = nullptr;   // of each n-gram; null: 1
};

template <class Context>
Result<Settings> settings_of(const Context& context) {
    const Node& node = context.node();
    Settings settings;
    settings.shortest = node.integer("min_gram_length", 0);
    settings.longest = node.integer("max_gram_length", 0);
    settings.most_skipped = node.integer("max_skip_count", 0);
    settings.mode = node.string("mode", "");
    settings.counts = list_of<int64_t>(node, "ngram_counts");
    settings.indexes = list_of<int64_t>(node, "ngram_indexes");
    settings.weights = list_of<double>(node, "weights");
    if (settings.counts == nullptr || settings.indexes == nullptr || settings.indexes->empty()) {
        return context.fail("'ngram_counts' or 'ngram_indexes' is missing");
    }
    if (settings.mode != "TF" && settings.mode != "IDF" && settings.mode != "TFIDF") {
        return context.fail("there is no mode '", settings.mode, "'");
    }
    if (settings.shortest < 1 || settings.longest < settings.shortest || settings.most_skipped < 0 ||
        settings.longest > static_cast<int64_t>(settings.counts->size())) {
        return context.fail("n-grams of ", settings.shortest, " to ", settings.longest, " with ", settings.most_skipped,
                            " skipped");
    }
    constexpr int64_t kMostColumns = int64_t{1} << 31;
    for (const int64_t column : *settings.indexes) {
        if (column < 0 || column >= kMostColumns) return context.fail("'ngram_indexes' has the number ", column);
        settings.columns = std::max(settings.columns, column + 1);
    }
    if (settings.weights != nullptr && settings.weights->size() != settings.indexes->size()) {
        return context.fail("there is not one weight for each n-gram");
    }
    return settings;
}

Status infer_tfidf(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::I32, DType::I64, DType::String}));
    QUOIN_ASSIGN_OR_RETURN(const Settings settings, settings_of(context));
    std::optional<Dims> dims = context.input(0).dims;
    if (dims && (dims->empty() || dims->size() > 2)) return context.fail("the input is neither [n] nor [rows, n]");
    if (dims) dims->back() = {.size = settings.columns};
    context.set_output(0, DType::F32, std::move(dims));
    return {};
}

// A key of words: each with its length, so that no two lists of words look alike.
void append_word(std::string& key, const std::string& word) {
    const auto length = static_cast<uint64_t>(word.size());
    key.append(reinterpret_cast<const char*>(&length), sizeof(length)).append(word);
}
void append_word(std::string& key, int64_t word) {
    key.append(reinterpret_cast<const char*>(&word), sizeof(word));
}
void append_word(std::string& key, int32_t word) {
    append_word(key, int64_t{word});
}

// Each n-gram of the pool with its number. One map serves all lengths: keys of different lengths differ.
template <class T>
Result<std::unordered_map<std::string, size_t>> pool_of(ComputeContext& context, const Settings& settings,
                                                        const std::vector<T>& words) {
    std::unordered_map<std::string, size_t> pool;
    size_t number = 0;
    for (size_t length = 1; length <= settings.counts->size(); ++length) {
        const int64_t begin = (*settings.counts)[length - 1];
        const int64_t end =
            length < settings.counts->size() ? (*settings.counts)[length] : static_cast<int64_t>(words.size());
        if (begin < 0 || end < begin || end > static_cast<int64_t>(words.size()) ||
            (end - begin) % static_cast<int64_t>(length) != 0) {
            return context.fail("'ngram_counts' does not cut the pool into n-grams");
        }
        for (auto at = static_cast<size_t>(begin); at < static_cast<size_t>(end); at += length, ++number) {
            std::string key;
            for (size_t each = 0; each < length; ++each) append_word(key, words[at + each]);
            pool.emplace(std::move(key), number);
        }
    }
    if (number != settings.indexes->size()) {
        return context.fail("the pool has ", number, " n-grams, 'ngram_indexes' ", settings.indexes->size());
    }
    return pool;
}

template <class T, class PoolWord>
Status count_grams(ComputeContext& context, const Settings& settings, const std::vector<PoolWord>* words) {
    if (words == nullptr) return context.fail("there is no pool for the type of the input");
    QUOIN_ASSIGN_OR_RETURN(const auto pool, pool_of(context, settings, *words));
    const Tensor& input = context.input(0);
    Shape shape = input.shape();
    const int64_t length = shape.back();
    const int64_t rows = shape.rank() == 2 ? shape[0] : 1;
    shape[shape.rank() - 1] = settings.columns;
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::F32, shape));
    std::ranges::fill(output.as<float>(), 0.0F);
    std::string key;
    for (int64_t row = 0; row < rows && length > 0; ++row) {
        const T* const text = input.as<const T>().data() + row * length;
        float* const counts = output.as<float>().data() + row * settings.columns;
        const int64_t most_skipped = std::min(settings.most_skipped, length);
        for (int64_t step = 1; step <= most_skipped + 1; ++step) {
            for (int64_t start = 0; start < length; ++start) {
                key.clear();
                for (int64_t size = 1; size <= settings.longest; ++size) {
                    const int64_t at = start + (size - 1) * step;
                    if (at >= length) break;
                    append_word(key, text[at]);
                    // Single words have nothing between them to skip.
                    if (size < settings.shortest || (size == 1 && step > 1)) continue;
                    const auto found = pool.find(key);
                    if (found == pool.end()) continue;
                    const auto column = (*settings.indexes)[found->second];
                    const double weight = settings.weights == nullptr ? 1.0 : (*settings.weights)[found->second];
                    if (settings.mode == "IDF") {
                        counts[column] = static_cast<float>(weight);
                    } else {
                        counts[column] += settings.mode == "TF" ? 1.0F : static_cast<float>(weight);
                    }
                }
            }
        }
    }
    return {};
}

Status compute_tfidf(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Settings settings, settings_of(context));
    const auto* const strings = list_of<std::string>(context.node(), "pool_strings");
    const auto* const integers = list_of<int64_t>(context.node(), "pool_int64s");
    switch (context.input(0).dtype()) {
        case DType::String: return count_grams<std::string>(context, settings, strings);
        case DType::I32: return count_grams<int32_t>(context, settings, integers);
        default: return count_grams<int64_t>(context, settings, integers);
    }
}

}  // namespace

extern const OpImplementation kTfIdfVectorizerOp{infer_tfidf, nullptr, compute_tfidf};

}  // namespace quoin
