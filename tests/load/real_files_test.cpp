// Files of other people's making, and headers of published shapes.
#include <algorithm>
#include <cstring>

#include "load/model.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/shared_models.h"

namespace quoin::test {
namespace {

TEST_CASE("stories260K loads in every dtype, mapped and read") {
    const auto folder = shared_file("models/llm-stories260k/derived");
    if (!folder) return;
    for (const char* const dtype : {"f32", "f16", "q8_0", "q4_0"}) {
        for (const bool use_mmap : {true, false}) {
            const std::string path = (*folder / (std::string("stories260K-") + dtype + ".gguf")).string();
            INFO(path);
            const Result<SourcePtr> source = open_file(path, use_mmap, std::make_shared<Memory>());
            REQUIRE(source.ok());
            const Result<LoadedModel> model = load_model(*source);
            REQUIRE(model.ok());
            CHECK(verify(model->graph).ok());
            CHECK(model->decoder->vocabulary_size == 512);
            CHECK(model->decoder->context_length == 512);
            REQUIRE(model->decoder->layers.size() == 5);
            CHECK(model->decoder->layers[4].kv_heads == 4);
            CHECK(model->decoder->layers[4].head_size == 8);
        }
    }
}

TEST_CASE("vocabulary files of every architecture load") {
    const auto folder = shared_file("models/gguf-vocab");
    if (!folder) return;
    for (const char* const name : {"bert-bge", "falcon", "gpt-2", "llama-spm", "phi-3"}) {
        const std::string path = (*folder / (std::string("ggml-vocab-") + name + ".gguf")).string();
        INFO(path);
        const Result<SourcePtr> source = open_file(path, true, std::make_shared<Memory>());
        REQUIRE(source.ok());
        const Result<LoadedModel> model = load_model(*source);
        REQUIRE(model.ok());
        CHECK(model->kind == ModelKind::Vocabulary);
        CHECK(model->metadata.strings("tokenizer.ggml.tokens").value()->size() > 20000);
    }
}

TEST_CASE("headers of published shapes load without their weights") {
    // Shapes of the models' own configuration files; the weights, gigabytes, are not there and must not be read.
    const ModelShape shapes[] = {
        {"llama", kGgmlQ4_0, 576, 30, 9, 3, 64, 1536, 49152, true, 100000},     // SmolLM2 135M
        {"llama", kGgmlQ4_0, 2048, 22, 32, 4, 64, 5632, 32000, false, 10000},   // TinyLlama 1.1B
        {"llama", kGgmlF16, 4096, 32, 32, 8, 128, 14336, 32000, false, 1e6F},   // Mistral 7B
        {"qwen2", kGgmlQ8_0, 896, 24, 14, 2, 64, 4864, 151936, true, 1e6F},     // Qwen2.5 0.5B
        {"qwen3", kGgmlBF16, 2560, 36, 32, 8, 128, 9728, 151936, true, 1e6F},   // Qwen3 4B
        {"qwen3", kGgmlQ4_0, 5120, 64, 64, 8, 128, 25600, 151936, false, 1e6F}  // Qwen3 32B
    };
    for (const ModelShape& shape : shapes) {
        const GgufWriter writer = make_model(shape);
        const std::vector<std::byte> header = writer.header();
        uint64_t furthest = 0;
        const auto read_at = [&](uint64_t offset, std::span<std::byte> to) {
            furthest = std::max(furthest, offset + to.size());
            std::memset(to.data(), 0, to.size());
            if (offset < header.size()) {
                std::memcpy(to.data(), header.data() + offset, std::min<uint64_t>(to.size(), header.size() - offset));
            }
            return true;
        };
        const Result<LoadedModel> model =
            load_model(wrap_reader(writer.file_bytes(), read_at, std::make_shared<Memory>(1 << 20)));
        INFO(shape.architecture << " of width " << shape.width << ": " << model.status().message());
        REQUIRE(model.ok());
        CHECK(verify(model->graph).ok());
        CHECK(model->decoder->layers.size() == static_cast<size_t>(shape.layers));
        CHECK(model->decoder->vocabulary_size == shape.vocabulary);
        CHECK(furthest <= std::max<uint64_t>(2 * header.size(), 65536));
    }
}

}  // namespace
}  // namespace quoin::test
