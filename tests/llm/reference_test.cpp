// Whole models against numbers that other people's programs made.
#include <cmath>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/language_model.h"
#include "support/shared_models.h"

using namespace quoin;
using namespace quoin::test;
using nlohmann::json;

namespace {

float largest_difference(std::span<const float> a, std::span<const float> b) {
    REQUIRE(a.size() == b.size());
    float largest = 0;
    for (size_t index = 0; index < a.size(); ++index) {
        const float difference = std::abs(a[index] - b[index]);
        largest = difference <= largest ? largest : difference;  // NaN counts as larger
    }
    return largest;
}

// Root mean square of the difference, as a part of that of what is expected.
double relative_error(std::span<const float> found, std::span<const float> expected) {
    REQUIRE(found.size() == expected.size());
    double square = 0;
    double error = 0;
    for (size_t index = 0; index < expected.size(); ++index) {
        square += double{expected[index]} * expected[index];
        error += std::pow(double{found[index]} - expected[index], 2);
    }
    return std::sqrt(error / square);
}

std::vector<int32_t> ids_of(const json& list) {
    return list.get<std::vector<int32_t>>();
}

std::optional<std::filesystem::path> stories(const std::string& type) {
    return shared_file("models/llm-stories260k/derived/stories260K-" + type + ".gguf");
}

}  // namespace

TEST_CASE("architectures without a trained model agree with llama.cpp") {
    const auto [name, provider] = GENERATE(table<std::string, Provider>({{"small-qwen2", Provider::Native},
                                                                         {"small-qwen3", Provider::Native},
                                                                         {"small-llama-freqs", Provider::Native},
                                                                         {"small-llama-yarn4", Provider::Native},
                                                                         {"small-llama-linear4", Provider::Native},
                                                                         {"small-qwen3", Provider::Reference}}));
    INFO(name);
    const std::string base = "tests/data/architectures/" + name;
    const json reference = json::parse(read_text(source_file(base + ".greedy.json")));
    const std::vector<int32_t> prompt = ids_of(reference["prompt"]);
    const auto context = make_context(load_file(source_file(base + ".gguf"), make_runtime(2), provider));
    const std::vector<float> expected = read_floats(source_file(base + ".logits.f32.bin"));
    CHECK(largest_difference(all_logits(context, prompt), expected) < 1e-4F);
    CHECK(greedy(context, prompt, 24) == ids_of(reference["greedy"]));
}

TEST_CASE("logits agree on every instruction set of this machine") {
    const Isa isa = GENERATE(Isa::Baseline, Isa::Avx2, Isa::AvxVnni, Isa::Avx512, Isa::Avx512Vnni, Isa::Avx512Bf16,
                             Isa::AmxInt8, Isa::DotProd, Isa::I8mm);
    if (!machine_has(isa)) return skip("no " + std::string(isa_name(isa)));
    INFO(isa_name(isa));
    const std::string base = "tests/data/architectures/small-qwen2";
    const json reference = json::parse(read_text(source_file(base + ".greedy.json")));
    const auto context = make_context(load_file(source_file(base + ".gguf"), make_runtime(2, isa)));
    const std::vector<float> expected = read_floats(source_file(base + ".logits.f32.bin"));
    CHECK(largest_difference(all_logits(context, ids_of(reference["prompt"])), expected) < 1e-4F);
}

TEST_CASE("a model with weights of all block formats agrees with a double-precision forward pass") {
    const json reference = json::parse(read_text(source_file("tests/data/formats/all-formats.json")));
    const std::vector<int32_t> prompt = ids_of(reference["prompt"]);
    const std::vector<int32_t> continuation = ids_of(reference["greedy"]);
    const std::vector<float> expected = read_floats(source_file("tests/data/formats/all-formats.logits.f32.bin"));
    const auto path = source_file("tests/data/formats/all-formats.gguf");
    const auto count = static_cast<int64_t>(continuation.size());
    SECTION("weights as they are, activations in f32") {
        const auto context =
            make_context(load_file(path, make_runtime(2), Provider::Reference), {.kv_dtype = DType::F32});
        CHECK(largest_difference(all_logits(context, prompt), expected) < 2e-5F);
        CHECK(greedy(context, prompt, count) == continuation);
    }
    SECTION("activations in 8 bits") {
        const Isa isa = GENERATE(Isa::Baseline, Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni, Isa::Avx512Bf16, Isa::AmxInt8);
        if (!machine_has(isa)) return skip("no " + std::string(isa_name(isa)));
        INFO(isa_name(isa));
        const auto context = make_context(load_file(path, make_runtime(2, isa)));
        // What rounding activations does to exact arithmetic: see the README.md there.
        CHECK(relative_error(all_logits(context, prompt), expected) < 0.04);
        CHECK(greedy(context, prompt, count) == continuation);
    }
}

TEST_CASE("the project's own model continues as an independent forward pass does") {
    const json reference = json::parse(read_text(source_file("tests/data/quoin-tiny-reference.json")));
    const auto context = make_context(tiny_model(make_runtime(2)));
    for (const json& each : reference["cases"]) {
        INFO(each["prompt"]);
        const std::vector<int32_t> expected = ids_of(each["continuation_ids"]);
        CHECK(greedy(context, ids_of(each["prompt_ids"]), static_cast<int64_t>(expected.size())) == expected);
    }
}

TEST_CASE("logits of a trained model agree with a double-precision forward pass") {
    const auto [type, tolerance] = GENERATE(table<std::string, float>({{"f32", 1e-3F}, {"f16", 1.2e-2F}}));
    // The reference has the f32 weights: rounding them to f16 alone moves 3 of the 128 positions by 0.0113.
    const auto path = stories(type);
    const auto file = shared_file("models/llm-stories260k/ref_logits_once.f32.bin");
    const auto greedy_file = shared_file("models/llm-stories260k/ref_greedy.json");
    if (!path || !file || !greedy_file) return;
    const std::vector<float> expected = read_floats(*file);
    const json reference = json::parse(read_text(*greedy_file));
    const auto context = make_context(load_file(*path, make_runtime(2)));
    const size_t vocabulary = 512;
    const size_t positions = expected.size() / vocabulary;
    for (const auto& [key, each] : reference.items()) {
        std::vector<int32_t> ids = ids_of(each["all_ids"]);
        ids.resize(std::min(ids.size(), positions));
        if (key != "once" && key != "bos") continue;
        const std::vector<float> found = all_logits(context, ids);
        CHECK(largest_difference(found, std::span(expected).first(found.size())) < tolerance);
    }
}

TEST_CASE("greedy text is the same token for token as llama.cpp's") {
    const auto file = shared_file("models/llm-stories260k/llamacpp_greedy_all.json");
    if (!file) return;
    const json reference = json::parse(read_text(*file));
    for (const std::string type : {"f32", "f16"}) {
        const auto path = stories(type);
        if (!path) return;
        const auto context = make_context(load_file(*path, make_runtime(2)));
        for (const auto& [prompt, each] : reference["stories260K-" + type + ".gguf"].items()) {
            INFO(type << ": " << prompt);
            const std::vector<int32_t> expected = ids_of(each["gen"]);
            CHECK(greedy(context, ids_of(each["prompt_ids"]), static_cast<int64_t>(expected.size())) == expected);
        }
    }
}

TEST_CASE("the greedy text of the double-precision forward pass is reproduced to its end") {
    const auto file = shared_file("models/llm-stories260k/ref_greedy.json");
    const auto path = stories("f32");
    if (!file || !path) return;
    const auto context = make_context(load_file(*path, make_runtime(2)));
    const json reference = json::parse(read_text(*file));
    for (const auto& [name, each] : reference.items()) {
        INFO(name);
        const std::vector<int32_t> prompt = ids_of(each["prompt_ids"]);
        const std::vector<int32_t> all = ids_of(each["all_ids"]);
        const std::vector<int32_t> expected(all.begin() + static_cast<std::ptrdiff_t>(prompt.size()), all.end());
        CHECK(greedy(context, prompt, static_cast<int64_t>(expected.size()), true) == expected);
    }
}

TEST_CASE("quantised kernels stay close to exact arithmetic on the same weights") {
    const std::string type = GENERATE("q8_0", "q4_0");
    const auto path = stories(type);
    if (!path) return;
    const std::vector<int32_t> ids = {1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426};
    const std::vector<float> exact =
        all_logits(make_context(load_file(*path, make_runtime(1), Provider::Reference), {.kv_dtype = DType::F32}), ids);
    const std::vector<float> fast = all_logits(make_context(load_file(*path, make_runtime(2))), ids);
    // Activations in 8 bits: a relative error of about 1/254 per block, averaged over the sum.
    CHECK(relative_error(fast, exact) < 0.01);
}
