// Operators on strings: values from the examples of the ONNX specification.
#include "op_test.h"

namespace quoin::test {
namespace {

using Texts = std::vector<std::string>;

Tensor texts(const Shape& shape, const Texts& elements) {
    const Tensor tensor = Tensor::allocate(std::make_shared<Memory>(), DType::String, shape, "texts").value();
    std::ranges::copy(elements, reinterpret_cast<std::string*>(tensor.data()));
    return tensor;
}

Texts texts_of(const RuntimeValue& value) {
    REQUIRE(value.is_tensor());
    REQUIRE(value.dtype() == DType::String);
    const auto* const first = reinterpret_cast<const std::string*>(value.tensor().data());
    return {first, first + value.tensor().shape().element_count().value()};
}

// All outputs of one node, given its operands at run time.
Result<std::vector<RuntimeValue>> run_on_texts(Op op, const std::vector<Tensor>& operands,
                                               const Attributes& attributes = {}, size_t outputs = 1) {
    Graph graph;
    Node node{op, "node", {}, {}, attributes};
    for (const Tensor& operand : operands) {
        const std::string name = "in" + std::to_string(node.inputs.size());
        node.inputs.push_back(graph.add_input(name, operand.dtype(), dims_of(operand.shape())));
    }
    for (size_t index = 0; index < outputs; ++index) {
        node.outputs.push_back(graph.add_value("out" + std::to_string(index), DType::Undefined, std::nullopt));
        graph.add_output(node.outputs.back());
    }
    graph.append_node(std::move(node));
    QUOIN_ASSIGN_OR_RETURN(const PreparedGraphPtr prepared, make_ready(std::move(graph)));
    Session session(prepared);
    for (size_t index = 0; index < operands.size(); ++index) session.set_input(index, RuntimeValue(operands[index]));
    QUOIN_RETURN_IF_ERROR(session.run());
    std::vector<RuntimeValue> results;
    for (size_t index = 0; index < outputs; ++index) {
        RuntimeValue value = session.output_value(index);
        const bool plain = value.is_tensor() && value.dtype() != DType::String;
        results.push_back(plain ? RuntimeValue(copy_of(session.output(index))) : std::move(value));
    }
    return results;
}

TEST_CASE("a cast from strings to strings copies them") {
    const std::string longer(40, 'b');  // on the heap
    const Attributes to_string{{"to", static_cast<int64_t>(DType::String)}};
    const auto copied = run_on_texts(Op::Cast, {texts({2}, {"a", longer})}, to_string);
    REQUIRE(copied.ok());
    CHECK(texts_of(copied->at(0)) == Texts{"a", longer});
}

TEST_CASE("strings are joined element by element, and broadcast") {
    const auto joined = run_on_texts(Op::StringConcat, {texts({2, 1}, {"a", "b"}), texts({3}, {"x", "", "\u00e9"})});
    REQUIRE(joined.ok());
    CHECK(texts_of(joined->at(0)) == Texts{"ax", "a", "a\u00e9", "bx", "b", "b\u00e9"});
}

TEST_CASE("strings are split at a delimiter, rows filled up with empty ones") {
    const Tensor x = texts({2}, {"hello world", " a  b c "});
    const auto blanks = run_on_texts(Op::StringSplit, {x}, {}, 2);
    REQUIRE(blanks.ok());
    CHECK(blanks->at(0).tensor().shape() == Shape{2, 3});
    CHECK(texts_of(blanks->at(0)) == Texts{"hello", "world", "", "a", "b", "c"});
    CHECK(blanks->at(1).tensor().as<int64_t>()[0] == 2);
    CHECK(blanks->at(1).tensor().as<int64_t>()[1] == 3);
    // A delimiter that is named separates empty strings, too; after so many splits the rest stays whole.
    const auto once = run_on_texts(Op::StringSplit, {texts({1}, {"a,,b,c"})},
                                   {{"delimiter", std::string(",")}, {"maxsplit", int64_t{2}}}, 2);
    REQUIRE(once.ok());
    CHECK(texts_of(once->at(0)) == Texts{"a", "", "b,c"});
}

TEST_CASE("a regular expression matches whole strings only") {
    const Tensor x = texts({4}, {"www.google.com", "www.facebook.com", "www.bbc.co.uk", "see www.a.com"});
    const auto found = run_on_texts(Op::RegexFullMatch, {x}, {{"pattern", std::string(R"(www\.[\w.-]+\.\bcom\b)")}});
    REQUIRE(found.ok());
    const auto matches = found->at(0).tensor().as<const uint8_t>();
    CHECK(std::vector<int>(matches.begin(), matches.end()) == std::vector<int>{1, 1, 0, 0});
    const auto broken = run_on_texts(Op::RegexFullMatch, {x}, {{"pattern", std::string("(")}});
    CHECK_FALSE(broken.ok());
    CHECK_THAT(broken.status().message(), contains("node"));
}

TEST_CASE("stop words go before the case changes") {
    const Tensor x = texts({4}, {"Monday", "tuesday", "MONDAY", "\u00c9t\u00e9"});
    const Attributes attributes = {{"case_change_action", std::string("LOWER")},
                                   {"is_case_sensitive", int64_t{1}},
                                   {"stopwords", Texts{"Monday"}}};
    const auto kept = run_on_texts(Op::StringNormalizer, {x}, attributes);
    REQUIRE(kept.ok());
    CHECK(texts_of(kept->at(0)) == Texts{"tuesday", "monday", "\u00e9t\u00e9"});
}

TEST_CASE("n-grams are counted, skips between their items included") {
    // The specification's example: pool of 1-grams 2, 3, 5, 4 and 2-grams (5,6), (7,8), (6,7).
    const Attributes attributes = {{"mode", std::string("TF")},
                                   {"min_gram_length", int64_t{2}},
                                   {"max_gram_length", int64_t{2}},
                                   {"max_skip_count", int64_t{5}},
                                   {"ngram_counts", std::vector<int64_t>{0, 4}},
                                   {"ngram_indexes", std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}},
                                   {"pool_int64s", std::vector<int64_t>{2, 3, 5, 4, 5, 6, 7, 8, 6, 7}}};
    const Tensor x = ints({12}, {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8});
    const auto counts = run_on_texts(Op::TfIdfVectorizer, {x}, attributes);
    REQUIRE(counts.ok());
    CHECK(values_of(counts->at(0).tensor()) == std::vector<float>{0, 0, 0, 0, 1, 3, 1});
}

}  // namespace
}  // namespace quoin::test
