#include <random>
#include <string>
#include <vector>

#include "support/catch.h"
#include "text/metadata_builder.h"
#include "text/tokenizer.h"

using namespace quoin;
using quoin::test::byte_level_vocabulary;
using quoin::test::MetadataBuilder;

namespace {

using Ids = std::vector<int32_t>;

std::shared_ptr<const Tokenizer> make(const MetadataBuilder& builder) {
    Result<std::shared_ptr<const Tokenizer>> tokenizer = make_tokenizer(builder.build());
    INFO(tokenizer.status().message());
    REQUIRE(tokenizer.ok());
    return *tokenizer;
}

Ids encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
    const auto ids = tokenizer.encode(text, options);
    REQUIRE(ids.ok());
    return *ids;
}

std::string decode(const Tokenizer& tokenizer, const Ids& ids, DecodeOptions options = {}) {
    const auto text = tokenizer.decode(ids, options);
    REQUIRE(text.ok());
    return *text;
}

// Merged tokens: bc 256, ab 257, Ġa 258, abc 259, Ġab 260.
const std::vector<std::string> kMerges = {"b c", "a b", "Ġ a", "a bc", "Ġa b"};

}  // namespace

TEST_CASE("Byte-level BPE merges the lowest rank first", "[text]") {
    const auto tokenizer = make(byte_level_vocabulary("gpt-2", kMerges));
    CHECK(encode(*tokenizer, "abc") == Ids{259});
    CHECK(encode(*tokenizer, "ab") == Ids{257});
    // " ab": "a b" (rank 1) goes before "Ġ a", and nothing merges Ġ with ab.
    CHECK(encode(*tokenizer, " ab") == Ids{' ', 257});
    CHECK(encode(*tokenizer, " a") == Ids{258});
    CHECK(encode(*tokenizer, "abab") == Ids{257, 257});
    CHECK(encode(*tokenizer, "").empty());
    CHECK(decode(*tokenizer, {259, 258, 10}) == "abc a\n");
    CHECK(*tokenizer->token_text(258) == "Ġa");
}

TEST_CASE("A repeated merge counts where it stands first", "[text]") {
    // "a b" again after "b c" would lose to it if the last one counted.
    const auto tokenizer = make(byte_level_vocabulary("gpt-2", {"a b", "b c", "a b"}));
    CHECK(encode(*tokenizer, "abc") == Ids{256, 'c'});
}

TEST_CASE("llama-bpe takes a word that is a token as a whole", "[text]") {
    const std::vector<std::string> control = {"abcab", "<|begin_of_text|>"};
    MetadataBuilder builder = byte_level_vocabulary("llama-bpe", kMerges, control);
    builder.set("tokenizer.ggml.bos_token_id", uint64_t{262});
    std::vector<int64_t> types(263, 1);
    types[262] = 3;
    builder.set("tokenizer.ggml.token_type", types);
    const auto tokenizer = make(builder);
    // No merges lead to "abcab"; " ab" is token 260.
    CHECK(encode(*tokenizer, "abcab ab") == Ids{262, 261, 260});
    CHECK(encode(*tokenizer, "abcabc", {.add_special = false}) == Ids{259, 259});
    CHECK_FALSE(make(byte_level_vocabulary("gpt-2", kMerges, control))->adds_bos());
}

TEST_CASE("Merges may pass through texts that are no tokens", "[text]") {
    // Without "bc" in the vocabulary: "a" + "bc" still makes "abc", and a left-over "bc" falls into its bytes.
    MetadataBuilder builder = byte_level_vocabulary("gpt-2", {"b c", "a bc"});
    std::vector<std::string> tokens = test::byte_level_tokens();
    tokens.emplace_back("abc");
    builder.texts("tokenizer.ggml.tokens", tokens).remove("tokenizer.ggml.token_type");
    const auto tokenizer = make(builder);
    CHECK(encode(*tokenizer, "abc") == Ids{256});
    CHECK(encode(*tokenizer, "xbc") == Ids{'x', 'b', 'c'});
}

TEST_CASE("Special tokens inside a text", "[text]") {
    const auto tokenizer = make(byte_level_vocabulary("qwen2", kMerges, {"<|im_start|>", "<|im_end|>", "<|im|>"}));
    const int32_t start = 261;
    const int32_t end = 262;
    CHECK(encode(*tokenizer, "<|im_start|>ab<|im_end|>", {.parse_special = true}) == Ids{start, 257, end});
    CHECK(encode(*tokenizer, "<|im_start|>").size() == 12);
    CHECK(encode(*tokenizer, "<|im_start|><|im_start|>", {.parse_special = true}) == Ids{start, start});
    CHECK(encode(*tokenizer, "<|im_start", {.parse_special = true}).size() == 10);
    CHECK(decode(*tokenizer, {start, 257, end}) == "ab");
    CHECK(decode(*tokenizer, {start, 257, end}, {.render_special = true}) == "<|im_start|>ab<|im_end|>");
    CHECK(tokenizer->is_end(end));
    CHECK_FALSE(tokenizer->is_end(start));
    CHECK(tokenizer->eot_id() == end);
    CHECK(tokenizer->eos_id() == -1);
}

TEST_CASE("Tokens that end generation", "[text]") {
    const std::vector<std::string> tokens = {"<|endoftext|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|user|>"};
    MetadataBuilder builder = byte_level_vocabulary("gpt-2", {"a b"}, tokens);
    builder.set("tokenizer.ggml.eos_token_id", uint64_t{'!'});
    const auto tokenizer = make(builder);
    for (const int32_t id : {257, 258, 259, 260, int32_t{'!'}}) CHECK(tokenizer->is_end(id));
    CHECK_FALSE(tokenizer->is_end(261));

    // In gpt-oss vocabularies "<|end|>" ends a message, not the turn.
    const auto harmony =
        make(byte_level_vocabulary("gpt-4o", {"a b"}, {"<|return|>", "<|call|>", "<|end|>", "<|channel|>"}));
    CHECK(harmony->is_end(257));
    CHECK(harmony->is_end(258));
    CHECK_FALSE(harmony->is_end(259));
    CHECK_FALSE(harmony->is_special(260));
}

TEST_CASE("Any bytes come back as they were", "[text]") {
    std::mt19937 random(42);
    const auto bytes_of = [&](size_t count, uint32_t highest) {
        std::string text;
        for (size_t index = 0; index < count; ++index) text.push_back(static_cast<char>(random() % (highest + 1)));
        return text;
    };
    for (const std::string_view pre : {"gpt-2", "llama-bpe", "qwen2", "falcon", "gpt-4o", "deepseek-llm", "default"}) {
        const auto tokenizer = make(byte_level_vocabulary(pre, kMerges, {"<|x|>"}));
        for (int round = 0; round < 400; ++round) {
            const std::string text = bytes_of(random() % 40, round % 2 == 0 ? 255 : 127);
            CHECK(decode(*tokenizer, encode(*tokenizer, text)) == text);
        }
        for (const std::string_view text :
             {"\xFF", "a\xE4", "\xC3\xA9\xC3", "\xF0\x9F\x98\x80\xF0\x9F", "\xED\xA0\x80"}) {
            CHECK(decode(*tokenizer, encode(*tokenizer, text)) == text);
        }
    }
}

TEST_CASE("A megabyte of one character", "[text]") {
    const std::vector<std::string> merges = {"a a", "aa aa", "aaaa aaaa", "Ġ Ġ"};
    const auto tokenizer = make(byte_level_vocabulary("gpt-2", merges));
    CHECK(encode(*tokenizer, std::string(1 << 20, 'a')).size() == (1 << 20) / 8);
    CHECK(encode(*tokenizer, std::string(1 << 20, ' ')).size() == (1 << 20) / 2);
    CHECK(encode(*tokenizer, std::string(1 << 20, '\xFF')).size() == 1 << 20);
}

TEST_CASE("Tokens that are no byte characters are plain text", "[text]") {
    MetadataBuilder builder = byte_level_vocabulary("gpt-2", {"a b"});
    std::vector<std::string> tokens = test::byte_level_tokens();
    tokens.emplace_back("ab");
    tokens.emplace_back("日本");  // 257
    builder.texts("tokenizer.ggml.tokens", tokens).remove("tokenizer.ggml.token_type");
    CHECK(decode(*make(builder), {257, 'a'}) == "日本a");
}
