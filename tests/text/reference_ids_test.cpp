// Ids equal to those that other implementations gave for the same vocabularies.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "load/gguf.h"
#include "support/catch.h"
#include "support/shared_models.h"
#include "text/metadata_builder.h"
#include "text/tokenizer.h"

using namespace quoin;
using quoin::test::read_text;
using quoin::test::shared_file;

namespace {

using Ids = std::vector<int32_t>;
using Json = nlohmann::json;

std::shared_ptr<const Tokenizer> load(const std::filesystem::path& path) {
    const auto source = open_file(path.string(), true, std::make_shared<Memory>());
    REQUIRE(source.ok());
    const auto file = parse_gguf(*source);
    REQUIRE(file.ok());
    Result<std::shared_ptr<const Tokenizer>> tokenizer = make_tokenizer(file->metadata);
    INFO(tokenizer.status().message());
    REQUIRE(tokenizer.ok());
    return *tokenizer;
}

// The byte-level vocabulary of a Hugging Face tokenizer.json as GGUF keys.
std::shared_ptr<const Tokenizer> load_byte_level_json(const std::filesystem::path& path) {
    const Json file = Json::parse(read_text(path));
    const Json& model = file["model"];
    const Json& added = file["added_tokens"];
    size_t count = model["vocab"].size();
    for (const Json& token : added) count = std::max(count, token["id"].get<size_t>() + 1);
    std::vector<std::string> tokens(count);
    std::vector<int64_t> types(count, 1);
    for (const auto& [text, id] : model["vocab"].items()) tokens[id.get<size_t>()] = text;
    for (const Json& token : added) {
        tokens[token["id"].get<size_t>()] = token["content"];
        types[token["id"].get<size_t>()] = token["special"].get<bool>() ? 3 : 4;
    }
    std::vector<std::string> merges;
    for (const Json& merge : model["merges"]) {
        merges.push_back(merge.is_string() ? merge.get<std::string>()
                                           : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    }
    test::MetadataBuilder builder;
    builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
    builder.texts("tokenizer.ggml.tokens", tokens).set("tokenizer.ggml.token_type", types);
    builder.texts("tokenizer.ggml.merges", merges);
    Result<std::shared_ptr<const Tokenizer>> tokenizer = make_tokenizer(builder.build());
    INFO(tokenizer.status().message());
    REQUIRE(tokenizer.ok());
    return *tokenizer;
}

std::vector<std::string> split_lines(const std::string& text, const std::string& separator) {
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t end = text.find(separator); end != std::string::npos; end = text.find(separator, begin)) {
        parts.push_back(text.substr(begin, end - begin));
        begin = end + separator.size();
    }
    if (begin < text.size()) parts.push_back(text.substr(begin));
    return parts;
}

void check_stream(const std::shared_ptr<const Tokenizer>& tokenizer, const Ids& ids) {
    StreamDecoder decoder(tokenizer);
    std::string text;
    for (const int32_t id : ids) text += *decoder.push(id);
    text += decoder.finish();
    CHECK(text == *tokenizer->decode(ids));
}

void check_hugging_face_cases(const std::shared_ptr<const Tokenizer>& tokenizer, const std::filesystem::path& path,
                              const std::string& ids_key, bool add_special) {
    const Json reference = Json::parse(read_text(path));
    size_t checked = 0;
    for (const Json& entry : reference["cases"]) {
        const std::string text = entry["text"];
        if (entry.contains("err")) continue;  // the reference refuses to decode the empty text
        INFO(text);
        const Ids expected = entry.at(ids_key);
        CHECK(*tokenizer->encode(text, {.add_special = add_special}) == expected);
        CHECK(*tokenizer->decode(expected) == entry.at("decoded").get<std::string>());
        check_stream(tokenizer, expected);
        ++checked;
    }
    CHECK(checked == 15);
}

}  // namespace

TEST_CASE("llama.cpp's vocabulary tests", "[text][shared]") {
    const auto folder = shared_file("models/gguf-vocab");
    if (!folder) return;
    size_t vocabularies = 0;
    for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
        const std::string path = entry.path().string();
        if (entry.path().extension() != ".gguf" || path.find("bert") != std::string::npos) continue;
        INFO(path);
        const auto tokenizer = load(path);
        const std::vector<std::string> texts = split_lines(read_text(path + ".inp"), "\n__ggml_vocab_test__\n");
        const std::vector<std::string> lines = split_lines(read_text(path + ".out"), "\n");
        REQUIRE(texts.size() == lines.size());
        REQUIRE(texts.size() > 40);
        for (size_t index = 0; index < texts.size(); ++index) {
            INFO(texts[index]);
            Ids expected;
            std::istringstream numbers(lines[index]);
            for (int32_t id = 0; numbers >> id;) expected.push_back(id);
            const Ids ids = *tokenizer->encode(texts[index], {.add_special = false});
            CHECK(ids == expected);
            CHECK(*tokenizer->decode(ids) == texts[index]);
            check_stream(tokenizer, ids);
        }
        ++vocabularies;
    }
    CHECK(vocabularies >= 4);
}

TEST_CASE("The stories vocabulary against llama.cpp and Hugging Face", "[text][shared]") {
    const auto folder = shared_file("models/llm-stories260k");
    if (!folder) return;
    const auto tokenizer = load(*folder / "derived/stories260K-f32.gguf");
    const Json reference = Json::parse(read_text(*folder / "ref_tokenization.json"));
    REQUIRE(reference["cases"].size() == 17);
    for (const Json& entry : reference["cases"]) {
        const std::string text = entry["text"];
        INFO(text);
        const Ids ids = *tokenizer->encode(text, {.add_special = false});
        CHECK(ids == entry["ids_llamacpp_no_bos"].get<Ids>());
        CHECK(*tokenizer->decode(ids) == text);
        check_stream(tokenizer, ids);
    }
}

TEST_CASE("Llama 2 against Hugging Face", "[text][shared]") {
    const auto vocabulary = shared_file("models/gguf-vocab/ggml-vocab-llama-spm.gguf");
    const auto reference = shared_file("models/tokenizer-hf/llama2/ref_tokenization_hfjs.json");
    if (!vocabulary || !reference) return;
    check_hugging_face_cases(load(*vocabulary), *reference, "ids", true);
}

TEST_CASE("Byte-level vocabularies of tokenizer.json against Hugging Face", "[text][shared]") {
    for (const std::string name : {"models/tokenizer-hf/phi-2", "models/tokenizer-hf/whisper.tiny",
                                   "models/tokenizer-rten-reftests/reftests/models/gpt2"}) {
        INFO(name);
        const auto folder = shared_file(name);
        if (!folder) return;
        check_hugging_face_cases(load_byte_level_json(*folder / "tokenizer.json"),
                                 *folder / "ref_tokenization_hfjs.json", "ids_no_special", false);
    }
}

TEST_CASE("A long GPT-2 text against Hugging Face", "[text][shared]") {
    const auto folder = shared_file("models/tokenizer-rten-reftests/reftests");
    if (!folder) return;
    const auto tokenizer = load_byte_level_json(*folder / "models/gpt2/tokenizer.json");
    const std::string text = read_text(*folder / "monty-python-credits.txt");
    const Ids expected = Json::parse(read_text(*folder / "monty-python-credits-gpt2.json"))["token_ids"];
    REQUIRE(expected.size() > 1000);
    CHECK(*tokenizer->encode(text) == expected);
    CHECK(*tokenizer->decode(expected) == text);
}

TEST_CASE("Llama 2 and Phi-3 with special tokens, ids of llama.cpp", "[text][shared]") {
    const auto llama_path = shared_file("models/gguf-vocab/ggml-vocab-llama-spm.gguf");
    const auto phi_path = shared_file("models/gguf-vocab/ggml-vocab-phi-3.gguf");
    if (!llama_path || !phi_path) return;
    const auto llama = load(*llama_path);
    const auto phi = load(*phi_path);
    constexpr EncodeOptions kParse = {.parse_special = true};
    // Made with llama.cpp v0.5.0 (llama_tokenize with add_special and parse_special).
    CHECK(*llama->encode("<s>a</s> b", kParse) == Ids{1, 1, 263, 2, 29871, 289});
    CHECK(*llama->encode("[INST] Hi [/INST]", kParse) == Ids{1, 518, 25580, 29962, 6324, 518, 29914, 25580, 29962});
    CHECK(*llama->encode("</s>\n\nhi", kParse) == Ids{1, 2, 29871, 13, 13, 2918});
    CHECK(*llama->encode("</s>  y<s>  z", kParse) == Ids{1, 2, 259, 343, 1, 259, 503});
    CHECK(*phi->encode("<|user|>\nHello<|end|>\n<|assistant|>\n", kParse) == Ids{1, 32010, 15043, 32007, 32001});
    CHECK(*phi->encode(" <|end|>  x", kParse) == Ids{1, 259, 32007, 921});
}
