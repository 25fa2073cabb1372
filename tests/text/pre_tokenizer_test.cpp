#include "text/pre_tokenizer.h"

#include <string>
#include <vector>

#include "support/catch.h"

using namespace quoin;

namespace {

using Words = std::vector<std::string>;

Words split(std::string_view scheme, std::string_view text) {
    const Result<PreTokenizer> pre_tokenizer = PreTokenizer::make(scheme);
    REQUIRE(pre_tokenizer.ok());
    const auto words = pre_tokenizer->split(text);
    REQUIRE(words.ok());
    return {words->begin(), words->end()};
}

}  // namespace

TEST_CASE("gpt-2 words", "[text]") {
    CHECK(split("gpt-2", "Hello world") == Words{"Hello", " world"});
    CHECK(split("gpt-2", "I'm you've WE'RE") == Words{"I", "'m", " you", "'ve", " WE", "'", "RE"});
    CHECK(split("gpt-2", "abc123 45.6") == Words{"abc", "123", " 45", ".", "6"});
    CHECK(split("gpt-2", "a   b") == Words{"a", "  ", " b"});
    CHECK(split("gpt-2", "a  \n\nb  ") == Words{"a", "  \n", "\n", "b", "  "});
    CHECK(split("gpt-2", "!?... #x") == Words{"!?...", " #", "x"});
    CHECK(split("gpt-2", "你好，世界") == Words{"你好", "，", "世界"});
    CHECK(split("gpt-2", "e\u0301a") == Words{"e", "\u0301", "a"});
    CHECK(split("gpt-2", "").empty());
}

TEST_CASE("llama-bpe words", "[text]") {
    CHECK(split("llama-bpe", "Hello world") == Words{"Hello", " world"});
    CHECK(split("llama-bpe", "1234567") == Words{"123", "456", "7"});
    CHECK(split("llama-bpe", " 12") == Words{" ", "12"});
    CHECK(split("llama-bpe", "I'm WE'RE don'T") == Words{"I", "'m", " WE", "'RE", " don", "'T"});
    CHECK(split("llama-bpe", "(foo) _bar \"x") == Words{"(foo", ")", " _", "bar", " \"", "x"});
    CHECK(split("llama-bpe", "a\n\n\nb") == Words{"a", "\n\n\n", "b"});
    CHECK(split("llama-bpe", "a \n \n b") == Words{"a", " \n \n", " b"});
    CHECK(split("llama-bpe", "end.\r\n\r\nnext") == Words{"end", ".\r\n\r\n", "next"});
    CHECK(split("llama-bpe", "a    b   ") == Words{"a", "   ", " b", "   "});
    CHECK(split("llama-bpe", "x\ty") == Words{"x", "\ty"});
    CHECK(split("llama-bpe", "你好 世界") == Words{"你好", " 世界"});
    CHECK(split("llama-bpe", "e\u0301a") == Words{"e", "\u0301a"});
    CHECK(split("llama-bpe", "½ ٣٤٥٦") == Words{"½", " ", "٣٤٥", "٦"});
    for (const std::string_view same : {"llama3", "llama-v3", "falcon3", "smaug-bpe", "dbrx", "glm4"}) {
        CHECK(split(same, "a1234 It's") == Words{"a", "123", "4", " It", "'s"});
    }
}

TEST_CASE("qwen2 words", "[text]") {
    CHECK(split("qwen2", "1234 a") == Words{"1", "2", "3", "4", " a"});
    CHECK(split("qwen2", "I'Ll (foo)\n\n") == Words{"I", "'Ll", " (", "foo", ")\n\n"});
    CHECK(split("qwen2", "  x\n  y") == Words{" ", " x", "\n", " ", " y"});
    CHECK(split("qwen2", "हिन्दी") == Words{"ह", "िन", "्द", "ी"});
    CHECK(split("deepseek-r1-qwen", "12") == Words{"1", "2"});
    // qwen35 keeps combining marks with their letters.
    CHECK(split("qwen35", "हिन्दी 12") == Words{"हिन्दी", " ", "1", "2"});
}

TEST_CASE("Words of schemes that single out digits", "[text]") {
    for (const std::string_view scheme : {"starcoder", "refact", "command-r", "smollm"}) {
        CHECK(split(scheme, "x12 3.it's") == Words{"x", "1", "2", " ", "3", ".", "it", "'s"});
    }
    CHECK(split("falcon", "a+b 1234567") == Words{"a", "+", "b", " ", "123", "456", "7"});
}

TEST_CASE("gpt-4o and tekken words break at capital letters", "[text]") {
    CHECK(split("gpt-4o", "HelloWorld fooBAR I'm 1234") ==
          Words{"Hello", "World", " foo", "BAR", " I'm", " ", "123", "4"});
    CHECK(split("gpt-4o", "ÉcoleÉtude a/b\n/") == Words{"École", "Étude", " a", "/b", "\n", "/"});
    CHECK(split("tekken", "HelloWorld 12 I'm") == Words{"Hello", "World", " ", "1", "2", " I", "'m"});
    CHECK(split("llama4", "x's") == Words{"x's"});
}

TEST_CASE("deepseek words", "[text]") {
    CHECK(split("deepseek-llm", "Hello, 世界 12  ") == Words{"Hello", ",", " ", "世界", " ", "12", "  "});
    CHECK(split("deepseek-coder", "int x=12;\n") == Words{"int", " x", "=", "1", "2", ";", "\n"});
    CHECK(split("deepseek-v3", "foo.bar 1234世界!") == Words{"foo", ".bar", " ", "123", "4", "世界", "!"});
}

TEST_CASE("Whitespace is what Unicode says", "[text]") {
    CHECK(split("gpt-2", "a\u00A0b") == Words{"a", "\u00A0", "b"});
    CHECK(split("gpt-2", "a\u3000\u3000b") == Words{"a", "\u3000", "\u3000", "b"});
    // U+180E lost the property in Unicode 6.3.
    CHECK(split("gpt-2", "!\u180E!") == Words{"!\u180E!"});
}

TEST_CASE("Bytes that are no UTF-8 stay in place", "[text]") {
    CHECK(split("gpt-2", "a\xFF\xFE b") == Words{"a", "\xFF\xFE", " b"});
    CHECK(split("llama-bpe", "x \xE4\xB8 12345\x80") == Words{"x", " \xE4\xB8", " ", "123", "45", "\x80"});
    CHECK(split("qwen2", "\xF0\x9F\x98") == Words{"\xF0\x9F\x98"});
}

TEST_CASE("Long texts take linear time in every scheme", "[text]") {
    for (const std::string_view scheme :
         {"default", "gpt-2", "starcoder", "falcon", "llama-bpe", "qwen2", "qwen35", "gpt-4o", "tekken", "deepseek-llm",
          "deepseek-coder", "deepseek-v3", "bloom", "viking", "bailingmoe", "seed-coder"}) {
        INFO(scheme);
        for (const std::string_view unit : {" ", "a", "A", "1", "\n", " \n", "é", "\u0301", "!", "aB", "'", "\r"}) {
            std::string text;
            while (text.size() < 100'000) text += unit;
            for (const std::string& whole : {text, text + "x", "x" + text + "1"}) {
                std::string joined;
                for (const std::string& word : split(scheme, whole)) joined += word;
                CHECK((joined == whole));
            }
        }
    }
}

TEST_CASE("An unknown scheme is named", "[text]") {
    const auto none = PreTokenizer::make("no-such-scheme");
    REQUIRE_FALSE(none.ok());
    CHECK(none.status().code() == StatusCode::Unsupported);
    CHECK_THAT(none.status().message(), test::contains("'no-such-scheme'"));
}
