// What load_model says to files of every kind.
#include "load/model.h"

#include "support/catch.h"
#include "support/gguf_writer.h"

namespace quoin::test {
namespace {

Status load_status(const std::vector<std::byte>& bytes) {
    return load_model(wrap_memory(bytes)).status();
}

Status load_text(std::string_view text) {
    return load_status(Bytes().put_raw(text).get());
}

bool names(const Status& status, std::string_view text) {
    UNSCOPED_INFO(status.message());
    return status.message().find(text) != std::string::npos;
}

TEST_CASE("a file with keys alone is a vocabulary, whatever its architecture") {
    const std::vector<std::byte> bytes = vocabulary_file().write();
    const Result<LoadedModel> model = load_model(wrap_memory(bytes));
    REQUIRE(model.ok());
    CHECK(model->kind == ModelKind::Vocabulary);
    CHECK(model->graph.nodes().empty());
    CHECK(!model->decoder);
    CHECK(model->metadata.strings("tokenizer.ggml.tokens").value()->size() == 4);
}

TEST_CASE("of metadata alone any architecture is read") {
    GgufWriter writer = make_model({});
    writer.key("general.architecture", "mamba").key("general.type", "adapter");
    const std::vector<std::byte> bytes = writer.write();
    const Result<LoadedModel> model = load_model(wrap_memory(bytes), {.metadata_only = true});
    REQUIRE(model.ok());
    CHECK(model->kind == ModelKind::Vocabulary);
    CHECK(model->graph.nodes().empty());
    CHECK(model->metadata.string("general.architecture", "").value() == "mamba");
}

TEST_CASE("a language model comes with a graph and what its context needs") {
    const std::vector<std::byte> bytes = make_model({.layers = 3}).write();
    const Result<LoadedModel> model = load_model(wrap_memory(bytes));
    REQUIRE(model.ok());
    CHECK(model->kind == ModelKind::LanguageModel);
    CHECK(verify(model->graph).ok());
    REQUIRE(model->decoder);
    CHECK(model->decoder->architecture == "llama");
    CHECK(model->decoder->context_length == 128);
    CHECK(model->decoder->vocabulary_size == 32);
    CHECK(model->decoder->embedding_length == 64);
    REQUIRE(model->decoder->layers.size() == 3);
    CHECK(model->decoder->layers[2].kv_heads == 2);
    CHECK(model->decoder->layers[2].head_size == 16);
}

TEST_CASE("a file without an architecture is refused") {
    GgufWriter writer = make_model({});
    writer.remove_key("general.architecture");
    CHECK(load_status(writer.write()).code() == StatusCode::InvalidModel);
    CHECK(names(load_status(writer.write()), "general.architecture"));
}

TEST_CASE("an unknown architecture is named beside the known ones") {
    GgufWriter writer = make_model({});
    writer.key("general.architecture", "mamba");
    const Status status = load_status(writer.write());
    CHECK(status.code() == StatusCode::Unsupported);
    CHECK(names(status, "'mamba'"));
    CHECK(names(status, "llama, qwen2, qwen3"));
}

TEST_CASE("an architecture of another type is refused") {
    GgufWriter writer = make_model({});
    writer.key("general.architecture", uint32_t{1});
    CHECK(load_status(writer.write()).code() == StatusCode::InvalidModel);
}

TEST_CASE("adapters and parts of models are named") {
    GgufWriter adapter = make_model({});
    adapter.key("general.type", "adapter");
    CHECK(load_status(adapter.write()).code() == StatusCode::Unsupported);
    CHECK(names(load_status(adapter.write()), "adapter"));
    GgufWriter part = make_model({});
    part.key("split.count", uint16_t{3});
    CHECK(load_status(part.write()).code() == StatusCode::Unsupported);
    CHECK(names(load_status(part.write()), "split.count"));
}

TEST_CASE("other formats are recognised by their first bytes") {
    struct Case {
        std::string_view bytes;
        std::string_view name;
    };
    using namespace std::string_view_literals;
    const Case cases[] = {
        {"FUGG\0\0\0\3aaaaaaaa"sv, "byte order"},
        {"lmgg\1\0\0\0aaaaaaaa"sv, "ggml"},
        {"tjgg\3\0\0\0aaaaaaaa"sv, "GGJT"},
        {"PK\3\4\0\0\0\0aaaaaaaa"sv, "PyTorch"},
        {"\x80\2\x8A\x0Alalalalala"sv, "pickle"},
        {"\x1C\0\0\0TFL3\x14\0\x20\0"sv, "TensorFlow Lite"},
        {"\x89HDF\r\n\x1A\n"sv, "HDF5"},
        {"\x1F\x8B\x08\0\0\0\0\0"sv, "gzip"},
        {"\x0A\0\0\0\0\0\0\0{\"a\":{}}  "sv, "safetensors"},
        {"version https://git-lfs.github.com/spec/v1\n"sv, "git lfs pull"},
    };
    for (const Case& each : cases) {
        const Status status = load_text(each.bytes);
        CHECK(status.code() == StatusCode::Unsupported);
        CHECK(names(status, each.name));
    }
}

TEST_CASE("text and noise are invalid models") {
    CHECK(load_text("<!DOCTYPE html><html>404").code() == StatusCode::InvalidModel);
    CHECK(names(load_text("<!DOCTYPE html><html>404"), "text that begins '<!DOCTYPE html>"));
    CHECK(load_text("\xFF\xFE\xFD\xFC").code() == StatusCode::InvalidModel);
    CHECK(names(load_text("\xFF\xFE\x01"), "ff fe 01"));
    CHECK(load_text("GGU").code() == StatusCode::InvalidModel);
    CHECK(load_text("").code() == StatusCode::InvalidModel);
    CHECK(names(load_text(""), "empty"));
}

}  // namespace
}  // namespace quoin::test
