// What the decoder builder makes of keys and tensors, true and false ones.
#include "load/decoder.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/layout.h"
#include "load/model.h"
#include "support/catch.h"
#include "support/gguf_writer.h"

namespace quoin::test {
namespace {

static_assert(kCachePageTokens == kPageTokens, "the cache inputs must have the shape of the kernels' pages");

// Loads, or leaves the status. Holds the bytes, which the graph's constants refer to.
struct Loaded {
    explicit Loaded(const GgufWriter& writer) : bytes(writer.write()), model(load_model(wrap_memory(bytes))) {}

    StatusCode code() const { return model.status().code(); }
    bool says(std::string_view text) const {
        UNSCOPED_INFO(model.status().message());
        return model.status().message().find(text) != std::string::npos;
    }
    const Graph& graph() const { return model->graph; }
    const Node* node(std::string_view name) const {
        for (const Node& each : model->graph.nodes()) {
            if (each.name == name) return &each;
        }
        return nullptr;
    }
    std::string input_name(std::string_view node_name, size_t index) const {
        return graph().value(node(node_name)->input(index)).name;
    }

    std::vector<std::byte> bytes;
    Result<LoadedModel> model;
};

GgufWriter llama() {
    return make_model({});
}

// ---- what is honoured

TEST_CASE("an output matrix of its own is used before the embedding table") {
    CHECK(Loaded(make_model({.tied = false})).input_name("logits", 1) == "output.weight");
    CHECK(Loaded(make_model({.tied = true})).input_name("logits", 1) == "token_embd.weight");
}

TEST_CASE("weights stay in the source") {
    const Loaded loaded(llama());
    const Value& weight = loaded.graph().value(loaded.node("blk.0.attn_q")->input(1));
    REQUIRE(weight.constant);
    CHECK(weight.constant->source() != nullptr);
    CHECK(weight.constant->resident_bytes() == 0);
    CHECK(weight.constant->byte_size() == 64 * 64 * 4);
}

TEST_CASE("biases are used wherever the file has them") {
    GgufWriter writer = make_model({.tied = false});
    writer.tensor("blk.0.attn_output.bias", {64}).tensor("blk.0.ffn_down.bias", {64}).tensor("output.bias", {32});
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.input_name("blk.0.attn_output", 2) == "blk.0.attn_output.bias");
    CHECK(loaded.input_name("blk.0.ffn_down", 2) == "blk.0.ffn_down.bias");
    CHECK(loaded.input_name("logits", 2) == "output.bias");
    CHECK(loaded.node("blk.0.ffn_up")->inputs.size() == 2);
}

TEST_CASE("norms and biases of 16 bits are cast to f32") {
    GgufWriter writer = make_model({.architecture = "qwen2"});
    for (GgufWriter::Tensor& tensor : writer.tensors) {
        if (tensor.ne.size() != 1) continue;
        tensor.type = tensor.name.ends_with("bias") ? kGgmlBF16 : kGgmlF16;
        tensor.data_bytes /= 2;
    }
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(verify(loaded.graph()).ok());
    const Node* const cast = loaded.node("blk.0.attn_norm.weight.f32");
    REQUIRE(cast != nullptr);
    CHECK(cast->op == Op::Cast);
    CHECK(cast->integer("to", 0) == 1);
    CHECK(loaded.input_name("blk.0.attn_norm", 1) == "blk.0.attn_norm.weight.f32");
    CHECK(loaded.input_name("blk.0.attn_q", 2) == "blk.0.attn_q.bias.f32");
}

TEST_CASE("a vector may be stored as a matrix of one row") {
    GgufWriter writer = llama();
    writer.find_tensor("output_norm.weight").ne = {64, 1};
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.graph().value(loaded.node("output_norm")->input(1)).dims->size() == 1);
}

TEST_CASE("key/value heads may differ from layer to layer") {
    GgufWriter writer = make_model({.layers = 2});
    writer.array("llama.attention.head_count_kv", std::vector<uint32_t>{2, 1});
    writer.find_tensor("blk.1.attn_k.weight").ne = {64, 16};
    writer.find_tensor("blk.1.attn_v.weight").ne = {64, 16};
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.model->decoder->layers[0].kv_heads == 2);
    CHECK(loaded.model->decoder->layers[1].kv_heads == 1);
    CHECK(loaded.node("blk.1.attention")->integer("kv_num_heads", 0) == 1);
}

TEST_CASE("without head_count_kv every head has its own keys") {
    GgufWriter writer = make_model({.kv_heads = 4});
    writer.remove_key("llama.attention.head_count_kv");
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.model->decoder->layers[0].kv_heads == 4);
}

TEST_CASE("without key_length the heads share the width") {
    GgufWriter writer = llama();
    writer.remove_key("llama.attention.key_length");
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.model->decoder->layers[0].head_size == 16);
}

TEST_CASE("without feed_forward_length the tensors tell the inner width") {
    GgufWriter writer = llama();
    writer.remove_key("llama.feed_forward_length");
    CHECK(Loaded(writer).code() == StatusCode::Ok);
}

TEST_CASE("heads may be wider together than the embedding") {
    const Loaded loaded(make_model({.architecture = "qwen3", .heads = 4, .head_size = 32}));
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.model->decoder->layers[0].head_size == 32);
    CHECK(std::abs(loaded.node("blk.0.attention")->number("scale", 0) - 1 / std::sqrt(32.0)) < 1e-15);
}

TEST_CASE("a part of each head may rotate") {
    GgufWriter writer = llama();
    writer.key("llama.rope.dimension_count", uint32_t{8});
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(loaded.node("blk.0.attn_q.rotated")->integer("rotary_embedding_dim", 0) == 8);
    CHECK(loaded.graph().value(loaded.node("rotary_cache")->input(1)).constant->shape() == Shape{4});
}

TEST_CASE("rope_freqs.weight divides the frequencies") {
    GgufWriter writer = llama();
    writer.floats("rope_freqs.weight", {1, 2, 4, 8, 8, 8, 8, 8});
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    const Result<Tensor> found = loaded.graph().value(loaded.node("rotary_cache")->input(1)).constant->load();
    REQUIRE(found.ok());
    const std::span<float> frequencies = found->as<float>();
    CHECK(frequencies[0] == 1);
    CHECK(std::abs(frequencies[2] - 0.1F / 4) < 1e-8F);
    CHECK(std::abs(frequencies[4] - 0.01F / 8) < 1e-9F);
}

TEST_CASE("yarn reaches the rotary cache as frequencies and scale") {
    GgufWriter writer = llama();
    writer.key("llama.rope.scaling.type", "yarn").key("llama.rope.scaling.factor", 4.0F);
    const Loaded loaded(writer);
    REQUIRE(loaded.code() == StatusCode::Ok);
    CHECK(std::abs(loaded.node("rotary_cache")->number("scale", 0) - 1.138629436111989) < 1e-12);
}

TEST_CASE("a reader gives the same graph as a mapping and is not asked for weights") {
    const GgufWriter writer = make_model({.layers = 2, .vocabulary = 4096});
    const Loaded mapped(writer);
    uint64_t asked = 0;
    const auto read_at = [&](uint64_t offset, std::span<std::byte> to) {
        asked += to.size();
        std::memcpy(to.data(), mapped.bytes.data() + offset, to.size());
        return true;
    };
    const SourcePtr source = wrap_reader(mapped.bytes.size(), read_at, std::make_shared<Memory>());
    const Result<LoadedModel> read = load_model(source);
    REQUIRE(read.ok());
    CHECK(dump(read->graph) == dump(mapped.graph()));
    CHECK(asked < mapped.bytes.size() / 8);
}

// ---- what is refused

TEST_CASE("each key that a model needs is missed by name") {
    for (const char* const key : {"llama.block_count", "llama.context_length", "llama.embedding_length",
                                  "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}) {
        GgufWriter writer = llama();
        writer.remove_key(key);
        const Loaded loaded(writer);
        CHECK(loaded.code() == StatusCode::InvalidModel);
        CHECK(loaded.says(std::string("'") + key + "'"));
    }
}

TEST_CASE("a key of a wrong type is refused by name") {
    for (const char* const key :
         {"llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
          "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.key_length",
          "llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base", "llama.rope.scaling.type",
          "llama.rope.scaling.factor", "llama.expert_count"}) {
        GgufWriter writer = llama();
        writer.key(key, true);
        const Loaded loaded(writer);
        CHECK(loaded.code() == StatusCode::InvalidModel);
        CHECK(loaded.says(key));
    }
}

TEST_CASE("each tensor of a model is missed by name and shape") {
    for (const char* const architecture : {"llama", "qwen2", "qwen3"}) {
        const GgufWriter whole = make_model({.architecture = architecture, .layers = 2});
        for (const GgufWriter::Tensor& tensor : whole.tensors) {
            GgufWriter writer = whole;
            writer.remove_tensor(tensor.name);
            const Loaded loaded(writer);
            CHECK(loaded.code() == StatusCode::InvalidModel);
            CHECK(loaded.says("'" + tensor.name + "'"));
            CHECK(loaded.says("missing"));
        }
    }
}

TEST_CASE("a tensor of a wrong shape is refused with both shapes") {
    const GgufWriter whole = make_model({.architecture = "qwen3", .tied = false});
    for (const GgufWriter::Tensor& tensor : whole.tensors) {
        GgufWriter writer = whole;
        GgufWriter::Tensor& wrong = writer.find_tensor(tensor.name);
        wrong.ne[0] += 32;
        wrong.data_bytes = 4;
        for (const int64_t dim : wrong.ne) wrong.data_bytes *= static_cast<uint64_t>(dim);
        const Loaded loaded(writer);
        CHECK(loaded.code() == StatusCode::InvalidModel);
        CHECK(loaded.says("has shape ["));
        CHECK(loaded.says("is needed"));
        CHECK(loaded.says("'" + tensor.name + "'"));
    }
}

TEST_CASE("integer weights are refused") {
    for (const char* const name : {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.attn_norm.weight"}) {
        GgufWriter writer = llama();
        writer.find_tensor(name).type = kGgmlI32;
        const Loaded loaded(writer);
        CHECK(loaded.code() == StatusCode::InvalidModel);
        CHECK(loaded.says(name));
        CHECK(loaded.says("i32"));
    }
}

TEST_CASE("norms in a block format are refused") {
    GgufWriter writer = llama();
    writer.remove_tensor("output_norm.weight");
    writer.tensor("output_norm.weight", {64}, kGgmlQ8_0);
    const Loaded loaded(writer);
    CHECK(loaded.code() == StatusCode::InvalidModel);
    CHECK(loaded.says("output_norm.weight"));
}

TEST_CASE("a tensor that nothing uses is refused by name") {
    GgufWriter writer = llama();
    writer.tensor("blk.0.attn_sinks.weight", {4});
    const Loaded loaded(writer);
    CHECK(loaded.code() == StatusCode::Unsupported);
    CHECK(loaded.says("'blk.0.attn_sinks.weight'"));
}

TEST_CASE("layers beyond block_count are not left out in silence") {
    GgufWriter writer = make_model({.layers = 2});
    writer.key("llama.block_count", uint32_t{1});
    CHECK(Loaded(writer).code() == StatusCode::Unsupported);
    CHECK(Loaded(writer).says("'blk.1."));
}

TEST_CASE("experts are refused by key or tensor") {
    GgufWriter key = llama();
    key.key("llama.expert_count", uint32_t{8});
    CHECK(Loaded(key).code() == StatusCode::Unsupported);
    CHECK(Loaded(key).says("llama.expert_count"));
    for (const char* const name : {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_gate_inp.weight"}) {
        GgufWriter tensor = llama();
        tensor.remove_tensor("blk.0.ffn_gate.weight");
        tensor.tensor(name, {64, 96, 8});
        CHECK(Loaded(tensor).code() == StatusCode::Unsupported);
        CHECK(Loaded(tensor).says(name));
    }
}

TEST_CASE("values of another size than keys are not supported") {
    GgufWriter writer = llama();
    writer.key("llama.attention.value_length", uint32_t{32});
    CHECK(Loaded(writer).code() == StatusCode::Unsupported);
    CHECK(Loaded(writer).says("value_length"));
}

TEST_CASE("numbers no model can have are refused by key") {
    struct Case {
        const char* key;
        std::vector<int64_t> values;
    };
    const int64_t huge = std::numeric_limits<int64_t>::max();
    const Case cases[] = {
        {"llama.block_count", {0, -1, 2, 1000, int64_t{1} << 31, huge}},
        {"llama.context_length", {0, -1, int64_t{1} << 31, huge}},
        {"llama.embedding_length", {0, -64, 32, 128, huge}},
        {"llama.feed_forward_length", {0, -1, 95, 97, huge}},
        {"llama.attention.head_count", {0, -4, 2, 3, 5, 8, 1 << 30, huge}},
        {"llama.attention.head_count_kv", {0, -1, 1, 3, 4, 8, huge}},
        {"llama.attention.key_length", {0, -16, 8, 17, 32, 1 << 30, (int64_t{1} << 31) - 1, huge}},
        {"llama.rope.dimension_count", {0, -2, 7, 18, huge}},
    };
    for (const Case& each : cases) {
        for (const int64_t value : each.values) {
            GgufWriter writer = llama();
            writer.key(each.key, value);
            const Loaded loaded(writer);
            INFO(each.key << " = " << value);
            CHECK((loaded.code() == StatusCode::InvalidModel || loaded.code() == StatusCode::Unsupported));
            CHECK(!loaded.model.status().message().empty());
        }
    }
}

TEST_CASE("an epsilon that is no small number is refused") {
    for (const float epsilon :
         {-1e-5F, 1.0F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        GgufWriter writer = llama();
        writer.key("llama.attention.layer_norm_rms_epsilon", epsilon);
        CHECK(Loaded(writer).code() == StatusCode::InvalidModel);
        CHECK(Loaded(writer).says("epsilon"));
    }
}

TEST_CASE("heads that cannot share key/value heads evenly are refused") {
    GgufWriter writer = llama();
    writer.key("llama.attention.head_count_kv", uint32_t{3});
    CHECK(Loaded(writer).says("cannot share 3"));
}

TEST_CASE("heads that do not divide the width need a key_length") {
    GgufWriter writer = llama();
    writer.remove_key("llama.attention.key_length");
    writer.key("llama.attention.head_count", uint32_t{6});
    CHECK(Loaded(writer).code() == StatusCode::InvalidModel);
    CHECK(Loaded(writer).says("key_length"));
}

TEST_CASE("arrays by layer of another length, or with an impossible element, are refused") {
    for (const std::vector<int32_t>& values : {std::vector<int32_t>{}, {2}, {2, 2, 2}, {2, 0}, {2, -1}}) {
        GgufWriter writer = make_model({.layers = 2});
        writer.array("llama.attention.head_count_kv", values);
        CHECK(Loaded(writer).code() == StatusCode::InvalidModel);
        CHECK(Loaded(writer).says("head_count_kv"));
    }
}

TEST_CASE("frequency factors that divide nothing are refused") {
    for (const float factor : {0.0F, -1.0F, 1e-30F, 1e30F, std::numeric_limits<float>::quiet_NaN()}) {
        GgufWriter writer = llama();
        writer.floats("rope_freqs.weight", {1, 1, 1, 1, 1, 1, 1, factor});
        CHECK(Loaded(writer).code() == StatusCode::InvalidModel);
        CHECK(Loaded(writer).says("rope_freqs.weight"));
    }
    GgufWriter few = llama();
    few.floats("rope_freqs.weight", {1, 1});
    CHECK(Loaded(few).code() == StatusCode::InvalidModel);
}

TEST_CASE("a vocabulary larger than the embedding table is refused") {
    GgufWriter writer = llama();
    writer.strings("tokenizer.ggml.tokens", std::vector<std::string>(33, "a"));
    CHECK(Loaded(writer).code() == StatusCode::InvalidModel);
    CHECK(Loaded(writer).says("tokenizer.ggml.tokens"));
    writer.strings("tokenizer.ggml.tokens", std::vector<std::string>(32, "a"));
    CHECK(Loaded(writer).code() == StatusCode::Ok);
}

}  // namespace
}  // namespace quoin::test
