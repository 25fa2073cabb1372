#include <string>
#include <vector>

#include "support/catch.h"
#include "text/metadata_builder.h"
#include "text/tokenizer.h"

using namespace quoin;
using quoin::test::MetadataBuilder;
using quoin::test::sentence_piece_vocabulary;

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

constexpr int32_t kUnk = 0;
constexpr int32_t kBos = 1;
constexpr int32_t kEos = 2;
constexpr int32_t kByte0 = 3;
constexpr int32_t kPiece0 = 3 + 256;

// ▁ a b ab ▁a ▁ab bc c abc
MetadataBuilder letters() {
    return sentence_piece_vocabulary({{"▁", -9.0},    // 259
                                      {"a", -9.0},    // 260
                                      {"b", -9.0},    // 261
                                      {"ab", -2.0},   // 262
                                      {"▁a", -3.0},   // 263
                                      {"▁ab", -4.0},  // 264
                                      {"bc", -1.0},   // 265
                                      {"c", -9.0}});  // 266
}

}  // namespace

TEST_CASE("SentencePiece merges the best score first", "[text]") {
    const auto tokenizer = make(letters());
    // "▁ab": ab (-2) before ▁a (-3), then ▁ab.
    CHECK(encode(*tokenizer, "ab") == Ids{kBos, 264});
    // "▁abc": bc (-1) first, then ▁a.
    CHECK(encode(*tokenizer, "abc") == Ids{kBos, 263, 265});
    CHECK(encode(*tokenizer, "c ab") == Ids{kBos, 259, 266, 264});
    CHECK(encode(*tokenizer, "") == Ids{kBos});
    CHECK(encode(*tokenizer, " ") == Ids{kBos, 259, 259});
}

TEST_CASE("SentencePiece merges equal scores from the left", "[text]") {
    const auto tokenizer = make(sentence_piece_vocabulary({{"▁", -9.0}, {"a", -9.0}, {"aa", -1.0}}));
    CHECK(encode(*tokenizer, "aaa") == Ids{kBos, 259, 261, 260});
    CHECK(encode(*tokenizer, "aaaa") == Ids{kBos, 259, 261, 261});
}

TEST_CASE("Zero and negative zero are equal scores", "[text]") {
    const auto tokenizer =
        make(sentence_piece_vocabulary({{"▁", -9.0}, {"a", -9.0}, {"b", -9.0}, {"ab", -0.0}, {"ba", 0.0}}));
    CHECK(encode(*tokenizer, "aba") == Ids{kBos, 259, 262, 260});
}

TEST_CASE("Characters without a token become bytes", "[text]") {
    const auto tokenizer = make(letters());
    CHECK(encode(*tokenizer, "é") == Ids{kBos, 259, kByte0 + 0xC3, kByte0 + 0xA9});
    CHECK(encode(*tokenizer, "\xFF") == Ids{kBos, 259, kByte0 + 0xFF});
    CHECK(encode(*tokenizer, "\n") == Ids{kBos, 259, kByte0 + 10});
    for (const std::string_view text : {"é", "\xFF\x80 a", "日本語 😀", " \t\n", "a\xE4"}) {
        CHECK(decode(*tokenizer, encode(*tokenizer, text)) == text);
    }
}

TEST_CASE("Without byte tokens, unknown characters become the unknown token", "[text]") {
    MetadataBuilder builder;
    builder.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "▁", "a"});
    builder.set("tokenizer.ggml.scores", std::vector<double>(5, 0.0));
    builder.set("tokenizer.ggml.token_type", std::vector<int64_t>{2, 3, 3, 1, 1});
    const auto tokenizer = make(builder);
    CHECK(encode(*tokenizer, "aéa") == Ids{kBos, 3, 4, kUnk, 4});
}

TEST_CASE("The space before a text", "[text]") {
    const auto with = make(letters());
    const auto without = make(letters().set("tokenizer.ggml.add_space_prefix", false));
    CHECK(encode(*with, "a") == Ids{kBos, 263});
    CHECK(encode(*without, "a") == Ids{kBos, 260});
    CHECK(decode(*with, {kBos, 263, 263}) == "a a");
    CHECK(decode(*with, {kBos, 263}, {.keep_leading_space = true}) == " a");
    CHECK(decode(*without, {kBos, 263}) == " a");
    CHECK(encode(*with, "a", {.add_special = false, .continues = true}) == Ids{260});
    // After a special token a text begins anew.
    CHECK(encode(*with, "a</s>a", {.parse_special = true}) == Ids{kBos, 263, kEos, 263});
    CHECK(encode(*with, "a</s>a", {.add_special = false, .parse_special = true, .continues = true}) ==
          Ids{260, kEos, 263});
    CHECK(encode(*with, "a</s>", {.add_special = false}) ==
          Ids{263, kByte0 + '<', kByte0 + '/', kByte0 + 's', kByte0 + '>'});
    CHECK(decode(*with, {kBos, 263, kEos, 263}) == "a a");
    CHECK(decode(*with, {kBos, 263, kEos}, {.render_special = true}) == "<s> a</s>");
}

TEST_CASE("BOS and EOS as the file asks", "[text]") {
    const auto both = make(letters().set("tokenizer.ggml.add_eos_token", true));
    const auto none = make(letters().set("tokenizer.ggml.add_bos_token", false));
    CHECK(encode(*both, "a") == Ids{kBos, 263, kEos});
    CHECK(encode(*both, "a", {.add_special = false}) == Ids{263});
    CHECK(encode(*none, "a") == Ids{263});
    CHECK(both->adds_bos());
    CHECK(both->adds_eos());
    CHECK_FALSE(none->adds_bos());
}

TEST_CASE("User-defined tokens are always recognised, the longest first", "[text]") {
    MetadataBuilder builder = letters();
    const Metadata plain = builder.build();
    std::vector<std::string> tokens;
    for (const std::string_view token : **plain.strings("tokenizer.ggml.tokens")) tokens.emplace_back(token);
    std::vector<int64_t> types = **plain.integers("tokenizer.ggml.token_type");
    std::vector<double> scores = **plain.numbers("tokenizer.ggml.scores");
    for (const std::string_view token : {"XY", "XYZ"}) {  // 267, 268
        tokens.emplace_back(token);
        types.push_back(4);
        scores.push_back(0.0);
    }
    builder.texts("tokenizer.ggml.tokens", tokens).set("tokenizer.ggml.token_type", types);
    builder.set("tokenizer.ggml.scores", scores);
    const auto tokenizer = make(builder);
    CHECK(encode(*tokenizer, "aXYZaXY") == Ids{kBos, 263, 268, 263, 267});
    CHECK(decode(*tokenizer, {263, 268}) == "aXYZ");
    CHECK_FALSE(tokenizer->is_special(268));

    SECTION("Phi-3 swallows whitespace after its tokens") {
        const auto phi = make(builder.text("general.name", "Phi-3 Mini"));
        CHECK(encode(*phi, "XY \n\ta", {.add_special = false}) == Ids{267, 263});
        CHECK(encode(*phi, "XY  ", {.add_special = false}) == Ids{267});
        CHECK(encode(*phi, "<s> a", {.add_special = false, .parse_special = true}) == Ids{kBos, 259, 263});
    }
}

TEST_CASE("A long text of one character", "[text]") {
    const auto tokenizer = make(letters());
    const std::string text(1'000'000, 'a');
    const Ids ids = encode(*tokenizer, text);
    CHECK(ids.size() == 1'000'001);
    CHECK((decode(*tokenizer, ids) == text));
}

TEST_CASE("Kinds of tokens", "[text]") {
    const auto tokenizer = make(letters());
    CHECK(tokenizer->vocabulary_size() == kPiece0 + 8);
    CHECK(tokenizer->bos_id() == kBos);
    CHECK(tokenizer->eos_id() == kEos);
    CHECK(tokenizer->unknown_id() == kUnk);
    CHECK(tokenizer->padding_id() == -1);
    CHECK(tokenizer->is_special(kBos));
    CHECK(tokenizer->is_special(kUnk));
    CHECK_FALSE(tokenizer->is_special(kByte0));
    CHECK(tokenizer->is_end(kEos));
    CHECK_FALSE(tokenizer->is_end(kBos));
    CHECK(*tokenizer->token_text(263) == "▁a");
    CHECK_FALSE(tokenizer->is_special(-1));
    CHECK_FALSE(tokenizer->is_end(1'000'000));
    for (const int32_t id : {-1, kPiece0 + 8, INT32_MAX, INT32_MIN}) {
        CHECK(tokenizer->token_text(id).status().code() == StatusCode::InvalidArgument);
        CHECK(tokenizer->decode(Ids{id}).status().code() == StatusCode::InvalidArgument);
    }
}
