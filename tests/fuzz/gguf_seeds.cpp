// Writes the seed corpus of gguf_fuzz into a folder: gguf_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "support/gguf_writer.h"

namespace {

using quoin::test::GgufWriter;

bool save(const std::string& path, const std::vector<std::byte>& bytes) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file.good();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: gguf_seeds FOLDER\n");
        return 2;
    }
    const std::string folder = std::string(argv[1]) + "/";
    bool saved = save(folder + "vocabulary", quoin::test::vocabulary_file().write());
    for (const char* const architecture : {"llama", "qwen2", "qwen3"}) {
        saved = saved && save(folder + "smallest-" + architecture, quoin::test::smallest_model(architecture).write());
    }
    GgufWriter scaled = quoin::test::smallest_model("llama");
    scaled.key("llama.rope.scaling.type", "yarn")
        .key("llama.rope.scaling.factor", 4.0F)
        .key("llama.rope.scaling.original_context_length", uint32_t{8})
        .array("llama.attention.head_count_kv", std::vector<uint32_t>{1})
        .strings("tokenizer.ggml.tokens", {"a", "b"})
        .floats("rope_freqs.weight", {2.0F})
        .tensor("output.weight", {2, 2}, quoin::test::kGgmlBF16);
    saved = saved && save(folder + "scaled", scaled.write());
    const GgufWriter quantised = quoin::test::make_model({.architecture = "qwen2",
                                                          .type = quoin::test::kGgmlQ4_0,
                                                          .width = 32,
                                                          .layers = 2,
                                                          .heads = 1,
                                                          .kv_heads = 1,
                                                          .head_size = 32,
                                                          .inner = 32,
                                                          .vocabulary = 4});
    saved = saved && save(folder + "quantised", quantised.write());
    if (!saved) std::fprintf(stderr, "gguf_seeds: cannot write into '%s'\n", argv[1]);
    return saved ? 0 : 1;
}
