#include "text/tokenizer.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"
#include "text/metadata_builder.h"
#include "text/utf8.h"

using namespace quoin;
using quoin::test::byte_level_vocabulary;
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

std::string stream(const std::shared_ptr<const Tokenizer>& tokenizer, const Ids& ids, DecodeOptions options = {}) {
    StreamDecoder decoder(tokenizer, options);
    std::string text;
    for (const int32_t id : ids) {
        const auto piece = decoder.push(id);
        REQUIRE(piece.ok());
        CHECK(is_valid_utf8(*piece));
        text += *piece;
    }
    return text.append(decoder.finish());
}

std::string repaired(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const Utf8Unit unit = next_utf8_unit(text);
        result += unit.kind == Utf8Kind::Character ? text.substr(0, unit.length) : kReplacementCharacter;
        text.remove_prefix(unit.length);
    }
    return result;
}

void check_fails(const MetadataBuilder& builder, StatusCode code, const std::vector<std::string>& parts) {
    const auto tokenizer = make_tokenizer(builder.build());
    REQUIRE_FALSE(tokenizer.ok());
    CHECK(tokenizer.status().code() == code);
    CHECK_THAT(tokenizer.status().message(), test::contains("test.gguf"));
    for (const std::string& part : parts) CHECK_THAT(tokenizer.status().message(), test::contains(part));
}

MetadataBuilder letters() {
    return sentence_piece_vocabulary({{"▁", -9.0}, {"a", -9.0}, {"▁a", -1.0}});
}

}  // namespace

TEST_CASE("A stream gives out whole characters only", "[text]") {
    const auto tokenizer = make(byte_level_vocabulary("gpt-2", {}));
    StreamDecoder decoder(tokenizer);
    CHECK(*decoder.push('a') == "a");
    CHECK(decoder.push(0xE2)->empty());
    CHECK(decoder.push(0x82)->empty());
    CHECK(*decoder.push(0xAC) == "€");
    CHECK(decoder.push(0xF0)->empty());
    CHECK(decoder.push(0x9F)->empty());
    CHECK(*decoder.push('b') ==
          "\uFFFD"
          "b");
    CHECK(*decoder.push(0xFF) == "\uFFFD");
    CHECK(decoder.push(0xC3)->empty());
    CHECK(decoder.push(-1).status().code() == StatusCode::InvalidArgument);
    CHECK(decoder.push(256).status().code() == StatusCode::InvalidArgument);
    CHECK(*decoder.push(0xA9) == "é");
    CHECK(decoder.push(0xE2)->empty());
    CHECK(decoder.finish() == "\uFFFD");
    CHECK(decoder.finish().empty());
    CHECK(*decoder.push('c') == "c");
}

TEST_CASE("A stream handles the space before a text as decode() does", "[text]") {
    const auto tokenizer = make(letters());
    const int32_t space_a = 261;
    const int32_t space_byte = 3 + 0x20;
    for (const Ids& ids : {Ids{space_a, space_a}, Ids{1, space_a, 2, space_a}, Ids{259, space_a}, Ids{space_byte, 260},
                           Ids{1, 2}, Ids{3 + 0xC3, 3 + 0xA9, space_a}, Ids{259}, Ids{}}) {
        for (const bool render : {false, true}) {
            for (const bool keep : {false, true}) {
                const DecodeOptions options = {.render_special = render, .keep_leading_space = keep};
                CHECK(stream(tokenizer, ids, options) == *tokenizer->decode(ids, options));
            }
        }
    }
    CHECK(stream(tokenizer, {space_a, space_a}) == "a a");
    CHECK(stream(tokenizer, {space_a, space_a}, {.keep_leading_space = true}) == " a a");
}

TEST_CASE("A stream of random ids equals decode() with its broken parts repaired", "[text]") {
    std::mt19937 random(7);
    for (const auto& tokenizer : {make(byte_level_vocabulary("gpt-2", {"a b", "Ġ a"})), make(letters())}) {
        for (int round = 0; round < 2000; ++round) {
            Ids ids;
            for (size_t count = random() % 12; count > 0; --count) {
                ids.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(tokenizer->vocabulary_size())));
            }
            CHECK(stream(tokenizer, ids) == repaired(*tokenizer->decode(ids)));
        }
    }
}

TEST_CASE("A model without tokenizer has none", "[text]") {
    for (const std::string_view name : {"none", "no_vocab"}) {
        const auto tokenizer = make_tokenizer(MetadataBuilder().text("tokenizer.ggml.model", name).build());
        REQUIRE(tokenizer.ok());
        CHECK(*tokenizer == nullptr);
    }
}

TEST_CASE("The tokenizer keeps its texts alive", "[text]") {
    std::shared_ptr<const Tokenizer> tokenizer;
    {
        MetadataBuilder builder = letters();
        tokenizer = make(builder);
    }
    CHECK(*tokenizer->decode(*tokenizer->encode("a a")) == "a a");
}

TEST_CASE("Unsupported kinds are named", "[text]") {
    check_fails(MetadataBuilder().text("tokenizer.ggml.model", "t5"), StatusCode::Unsupported, {"'t5'"});
    check_fails(byte_level_vocabulary("klingon", {}), StatusCode::Unsupported, {"tokenizer.ggml.pre", "'klingon'"});
    check_fails(MetadataBuilder(), StatusCode::InvalidModel, {"tokenizer.ggml.model"});
}

TEST_CASE("A missing pre-tokenizer name means the default one", "[text]") {
    CHECK(*make(byte_level_vocabulary("default", {"a b"}).remove("tokenizer.ggml.pre"))->encode("ab") == Ids{256});
}

TEST_CASE("Malformed vocabularies are refused by file and key", "[text]") {
    const auto invalid = [](const MetadataBuilder& builder, const std::string& key) {
        check_fails(builder, StatusCode::InvalidModel, {key});
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    invalid(letters().remove("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens");
    invalid(letters().texts("tokenizer.ggml.tokens", {}), "tokenizer.ggml.tokens");
    invalid(letters().set("tokenizer.ggml.tokens", int64_t{1}), "tokenizer.ggml.tokens");
    invalid(letters().set("tokenizer.ggml.scores", std::vector<double>{0.0}), "tokenizer.ggml.scores");
    invalid(letters().set("tokenizer.ggml.scores", std::vector<double>(262, nan)), "tokenizer.ggml.scores");
    invalid(letters().set("tokenizer.ggml.scores", true), "tokenizer.ggml.scores");
    invalid(letters().set("tokenizer.ggml.token_type", std::vector<int64_t>{1, 1}), "tokenizer.ggml.token_type");
    invalid(letters().text("tokenizer.ggml.token_type", "x"), "tokenizer.ggml.token_type");
    for (const std::string key : {"bos", "eos", "eot", "unknown", "padding"}) {
        const std::string name = "tokenizer.ggml." + key + "_token_id";
        invalid(letters().set(name, uint64_t{262}), name);
        invalid(letters().set(name, int64_t{-1}), name);
        invalid(letters().set(name, UINT64_MAX), name);
    }
    invalid(letters().text("tokenizer.ggml.add_bos_token", "yes"), "tokenizer.ggml.add_bos_token");
    invalid(letters().text("tokenizer.ggml.remove_extra_whitespaces", "yes"),
            "tokenizer.ggml.remove_extra_whitespaces");
    const MetadataBuilder bytes = byte_level_vocabulary("gpt-2", {});
    invalid(MetadataBuilder(bytes).remove("tokenizer.ggml.merges"), "tokenizer.ggml.merges");
    for (const std::string merge : {"ab", "", " ", "a ", " a"}) {
        invalid(MetadataBuilder(bytes).texts("tokenizer.ggml.merges", {"a b", merge}), "entry 1");
    }
}

TEST_CASE("Odd vocabularies are tolerated", "[text]") {
    SECTION("of equal tokens the last one is used") {
        std::vector<std::string> tokens = test::byte_level_tokens();
        for (const std::string_view more : {"ab", "ab", ""}) tokens.emplace_back(more);
        MetadataBuilder builder = byte_level_vocabulary("gpt-2", {"a b"});
        builder.texts("tokenizer.ggml.tokens", tokens).remove("tokenizer.ggml.token_type");
        const auto tokenizer = make(builder);
        CHECK(*tokenizer->encode("ab") == Ids{257});
        CHECK(*tokenizer->decode(Ids{256, 257, 258}) == "abab");
    }
    SECTION("a vocabulary too small for the default ids") {
        MetadataBuilder builder;
        builder.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", {"a"});
        const auto tokenizer = make(builder);
        CHECK(tokenizer->bos_id() == -1);
        CHECK(*tokenizer->encode("aa") == Ids{0, 0, 0});  // the space has no token, so the unknown one: 0
    }
    SECTION("integer scores and unknown types") {
        const auto tokenizer = make(letters()
                                        .set("tokenizer.ggml.scores", std::vector<int64_t>(262, -1))
                                        .set("tokenizer.ggml.token_type", std::vector<int64_t>(262, 77)));
        CHECK(tokenizer->decode(Ids{260})->empty());
    }
}

TEST_CASE("A text that is too long is refused", "[text]") {
    // Only its length is looked at.
    const char letter = 'a';
    const auto ids = make(letters())->encode(std::string_view(&letter, Tokenizer::kMaxTextBytes + 1));
    CHECK(ids.status().code() == StatusCode::InvalidArgument);
}
