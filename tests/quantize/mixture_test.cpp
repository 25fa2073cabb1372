// Which type each tensor gets, against what llama.cpp chooses (tests/data/quantize/README.md).
#include "quantize/mixture.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <utility>

#include "support/catch.h"
#include "support/shared_models.h"

namespace quoin::test {
namespace {

// A model by its metadata and tensors; what is in the tensors plays no part.
struct Blueprint {
    std::string name;
    std::string architecture;
    int64_t layers;
    int64_t heads;
    int64_t kv_heads;
    int64_t experts = 0;
    bool tied = false;
    bool joined = false;  // queries, keys and values in one tensor, no gate
    int64_t width = 256;
    int64_t inner = 512;
};
const std::vector<Blueprint> kBlueprints = {
    {"llama-32", "llama", 32, 32, 8},
    {"llama-13-tied", "llama", 13, 8, 8, 0, true},
    {"llama-70b", "llama", 80, 64, 8},
    {"llama-65b", "llama", 80, 64, 64},
    {"mixtral", "llama", 20, 32, 8, 8},
    {"qwen2-80", "qwen2", 80, 64, 8},
    {"qwen3-28-tied", "qwen3", 28, 16, 8, 0, true},
    {"qwen3moe-24", "qwen3moe", 24, 32, 4, 16},
    {"falcon-32", "falcon", 32, 16, 1, 0, false, true},
    {"gpt2-12", "gpt2", 12, 12, 12, 0, true, true},
    {"odd-rows", "llama", 9, 6, 2, 0, false, false, 96, 288},
    {"odd-down", "llama", 9, 8, 2, 0, false, false, 256, 80},
};

struct Model {
    Metadata metadata;
    std::vector<std::string> names;
    std::vector<TensorFacts> tensors;
};

// Tensors from the last layer to the first: rules that count layers must not rely on the order of the file.
Model build(const Blueprint& plan) {
    Model model;
    model.metadata = Metadata("test", nullptr);
    model.names.reserve(4096);  // views stay valid
    const auto key = [&](const std::string& name, MetadataValue value) {
        model.names.push_back(name);
        model.metadata.add(model.names.back(), std::move(value));
    };
    key("general.architecture", std::string_view(plan.architecture));
    key(plan.architecture + ".block_count", static_cast<uint64_t>(plan.layers));
    key(plan.architecture + ".attention.head_count", static_cast<uint64_t>(plan.heads));
    key(plan.architecture + ".attention.head_count_kv", static_cast<uint64_t>(plan.kv_heads));
    if (plan.experts > 0) key(plan.architecture + ".expert_count", static_cast<uint64_t>(plan.experts));
    const auto tensor = [&](const std::string& name, Shape shape, DType dtype = DType::F16) {
        model.names.push_back(name);
        model.tensors.push_back({model.names.back(), dtype, shape});
    };
    tensor("token_embd.weight", {8, plan.width});
    tensor("output_norm.weight", {plan.width}, DType::F32);
    if (!plan.tied) tensor("output.weight", {8, plan.width});
    if (plan.architecture == "gpt2") tensor("position_embd.weight", {8, plan.width}, DType::F32);
    for (int64_t layer = plan.layers; layer-- > 0;) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        tensor(block + "attn_norm.weight", {plan.width}, DType::F32);
        if (plan.joined) {
            tensor(block + "attn_qkv.weight", {12, plan.width});
        } else {
            tensor(block + "attn_q.weight", {8, plan.width});
            tensor(block + "attn_k.weight", {4, plan.width});
            tensor(block + "attn_v.weight", {4, plan.width});
        }
        if (plan.architecture == "qwen2") tensor(block + "attn_q.bias", {8}, DType::F32);
        if (plan.architecture.starts_with("qwen3")) tensor(block + "attn_q_norm.weight", {16}, DType::F32);
        tensor(block + "attn_output.weight", {8, plan.width});
        if (plan.experts > 0) {
            tensor(block + "ffn_gate_inp.weight", {plan.experts, plan.width}, DType::F32);
            tensor(block + "ffn_gate_exps.weight", {plan.experts, 4, plan.width});
            tensor(block + "ffn_up_exps.weight", {plan.experts, 4, plan.width});
            tensor(block + "ffn_down_exps.weight", {plan.experts, 4, plan.inner});
        } else {
            if (!plan.joined) tensor(block + "ffn_gate.weight", {4, plan.width});
            tensor(block + "ffn_up.weight", {4, plan.width});
            tensor(block + "ffn_down.weight", {4, plan.inner});
        }
    }
    return model;
}

// "2*q5_k 30*q4_k" of every kind of tensor, layer by layer.
std::map<std::string, std::string> summary(const Model& model, const std::vector<TensorChoice>& choices) {
    std::map<std::string, std::map<int, std::string>> kinds;
    for (size_t i = 0; i < choices.size(); ++i) {
        std::string kind(model.tensors[i].name);
        int layer = 0;
        if (kind.starts_with("blk.")) {
            layer = std::stoi(kind.substr(4));
            kind = kind.substr(kind.find('.', 4) + 1);
        }
        kinds[kind][layer] = dtype_name(choices[i].dtype);
    }
    std::map<std::string, std::string> result;
    for (const auto& [kind, layers] : kinds) {
        std::vector<std::pair<int, std::string>> runs;
        for (const auto& [layer, dtype] : layers) {
            if (runs.empty() || runs.back().second != dtype) runs.emplace_back(0, dtype);
            ++runs.back().first;
        }
        std::string& text = result[kind];
        for (const auto& [count, dtype] : runs) {
            text += (text.empty() ? "" : " ") + (count > 1 ? std::to_string(count) + "*" : "") + dtype;
        }
    }
    return result;
}

TEST_CASE("tensors get the types that llama.cpp gives them") {
    std::ifstream file(source_file("tests/data/quantize/mixtures.txt"));
    REQUIRE(file.good());
    size_t lines = 0;
    std::string at;
    std::map<std::string, std::string> chosen;
    for (std::string line; std::getline(file, line); ++lines) {
        std::istringstream words(line);
        std::string name;
        std::string type;
        std::string kind;
        std::string wanted;
        words >> name >> type >> kind;
        std::getline(words >> std::ws, wanted);
        if (at != name + " " + type) {
            at = name + " " + type;
            const auto plan = std::ranges::find(kBlueprints, name, &Blueprint::name);
            REQUIRE(plan != kBlueprints.end());
            REQUIRE(find_file_type(type) != nullptr);
            const Model model = build(*plan);
            const auto choices = choose_types(*find_file_type(type), model.metadata, model.tensors);
            REQUIRE(choices.ok());
            chosen = summary(model, *choices);
        }
        CAPTURE(name, type, kind);
        CHECK(chosen[kind] == wanted);
    }
    CHECK(lines > 2500);
}

TEST_CASE("type names are known in any case, and by their short forms") {
    REQUIRE(find_file_type("Q4_K_M") != nullptr);
    CHECK(find_file_type("Q4_K_M")->number == 15);
    CHECK(find_file_type("q4_k") == find_file_type("q4_k_m"));
    CHECK(find_file_type("q3_K") == find_file_type("q3_k_m"));
    CHECK(find_file_type("q5_k") == find_file_type("q5_k_m"));
    CHECK(find_file_type("q4") == nullptr);
    CHECK(find_file_type("") == nullptr);
    CHECK(find_file_type("iq2_xxs") == nullptr);
    CHECK_THAT(file_type_names(), contains("q4_k_m, "));
}

TEST_CASE("mxfp4 is for every matrix but the output head and an embedding in its place") {
    const Model model = build(kBlueprints[0]);
    auto chosen = summary(model, *choose_types(*find_file_type("mxfp4"), model.metadata, model.tensors));
    CHECK(chosen["ffn_up.weight"] == "32*mxfp4");
    CHECK(chosen["attn_v.weight"] == "32*mxfp4");
    CHECK(chosen["token_embd.weight"] == "mxfp4");
    CHECK(chosen["output.weight"] == "q8_0");
    CHECK(chosen["attn_norm.weight"] == "32*f32");

    const Model tied = build(kBlueprints[1]);
    chosen = summary(tied, *choose_types(*find_file_type("mxfp4"), tied.metadata, tied.tensors));
    CHECK(chosen["ffn_up.weight"] == "13*mxfp4");
    CHECK(chosen["token_embd.weight"] == "q8_0");
}

TEST_CASE("rows that are no whole blocks are reported") {
    const Model model = build(kBlueprints[10]);
    const auto choices = choose_types(*find_file_type("q4_k_s"), model.metadata, model.tensors);
    REQUIRE(choices.ok());
    for (size_t i = 0; i < choices->size(); ++i) {
        CAPTURE(model.tensors[i].name);
        // The rules themselves give an output matrix of such rows q8_0.
        const bool matrix = model.tensors[i].shape.rank() == 2 && model.tensors[i].name != "output.weight";
        CHECK(((*choices)[i].unfit != DType::Undefined) == matrix);
    }
}

TEST_CASE("small and delicate tensors keep their type") {
    Metadata metadata("test", nullptr);
    const std::vector<TensorFacts> tensors = {
        {"blk.0.ffn_gate_inp.weight", DType::F32, {8, 256}},
        {"blk.0.ssm_conv1d.weight", DType::F32, {256, 256}},
        {"blk.0.attn_q.bias", DType::F32, {256}},
        {"token_types.weight", DType::F32, {2, 256}},
        {"blk.0.attn_rel_b.weight", DType::F32, {4, 256}},
        {"row.weight", DType::F32, {1, 256}},
        {"rope_freqs.weight", DType::F32, {64}},
        {"table", DType::I32, {4, 256}},
    };
    const auto choices = choose_types(*find_file_type("q8_0"), metadata, tensors);
    REQUIRE(choices.ok());
    for (size_t i = 0; i < tensors.size(); ++i) {
        CAPTURE(tensors[i].name);
        CHECK((*choices)[i].dtype == tensors[i].dtype);
    }
}

TEST_CASE("keys of the wrong type are refused") {
    Metadata metadata("test.gguf", nullptr);
    metadata.add("general.architecture", std::string_view("llama"));
    metadata.add("llama.block_count", std::string_view("many"));
    const auto choices = choose_types(*find_file_type("q8_0"), metadata, {});
    REQUIRE_FALSE(choices.ok());
    CHECK(choices.status().code() == StatusCode::InvalidModel);
    CHECK_THAT(choices.status().message(), contains("llama.block_count"));
}

TEST_CASE("more layers than tensors, or fewer than none, are refused") {
    for (const int64_t layers : {int64_t{1} << 62, int64_t{2}, int64_t{-1}, std::numeric_limits<int64_t>::min()}) {
        Metadata metadata("test.gguf", nullptr);
        metadata.add("general.architecture", std::string_view("llama"));
        metadata.add("llama.block_count", layers);
        const auto choices =
            choose_types(*find_file_type("q4_k_m"), metadata, {{"blk.0.ffn_down.weight", DType::F32, {256, 256}}});
        CAPTURE(layers);
        REQUIRE_FALSE(choices.ok());
        CHECK(choices.status().code() == StatusCode::InvalidModel);
        CHECK_THAT(choices.status().message(), contains("'llama.block_count' promises " + std::to_string(layers)));
    }
}

}  // namespace
}  // namespace quoin::test
