// Operators of com.microsoft become standard ones; tests/data/onnx-contrib holds what another runtime computes for
// them.
#include <filesystem>

#include "load/model.h"
#include "support/catch.h"
#include "support/onnx_writer.h"

namespace quoin::test {
namespace {

TEST_CASE("every operator of com.microsoft in the test data becomes a sound graph of standard operators") {
    const auto memory = std::make_shared<Memory>();
    int models = 0;
    for (const auto& folder : std::filesystem::directory_iterator(QUOIN_SOURCE_DIR "/tests/data/onnx-contrib")) {
        if (!folder.is_directory()) continue;
        CAPTURE(folder.path().string());
        const Result<SourcePtr> source = open_file((folder.path() / "model.onnx").string(), true, memory);
        REQUIRE(source.ok());
        const Result<LoadedModel> model = load_model(*source);
        CHECK(model.status().message().empty());
        if (!model.ok()) continue;
        CHECK(verify(model->graph).ok());
        for (const Node& node : model->graph.nodes()) {
            const bool codes = node.op == Op::DequantizeBlocks || node.op == Op::Linear;  // of MatMulNBits
            CHECK((op_info(node.op).domain == "onnx" || codes));
        }
        ++models;
    }
    CHECK(models > 60);
}

TEST_CASE("4-bit weights stay as they are in the file") {
    OnnxModel model;
    model.opsets = {{"", 20}, {"com.microsoft", 1}};
    model.inputs = {value_message("a", DType::F32, {"1", "32"})};
    const std::string packed(std::string(8, '\x21') + std::string(24, '\x43'));
    model.initializers = {tensor_message("b", DType::U8, {2, 1, 16}, packed), floats_message("s", {2}, {1, 2})};
    model.nodes = {node_message(
        "MatMulNBits", {"a", "b", "s"}, {"y"},
        {int_attribute("N", 2), int_attribute("K", 32), int_attribute("block_size", 32), int_attribute("bits", 4)},
        "com.microsoft")};
    model.outputs = {value_message("y", DType::F32, {"1", "2"})};
    const std::string bytes = model.write();
    const Result<LoadedModel> loaded = load_model(wrap_memory(std::as_bytes(std::span(bytes))));
    REQUIRE(loaded.ok());
    const Graph& graph = loaded->graph;
    const auto dequantize = std::ranges::find(graph.nodes(), Op::DequantizeBlocks, &Node::op);
    REQUIRE(dequantize != graph.nodes().end());
    const Constant& weights = *graph.value(dequantize->inputs[0]).constant;
    CHECK(weights.dtype() == DType::U4);
    CHECK(weights.shape() == Shape{2, 32});
    const Result<Tensor> tensor = weights.load();
    REQUIRE(tensor.ok());
    const auto held = tensor->as<const char>();
    CHECK(std::string_view(held.data(), held.size()) == packed);
    CHECK(dequantize->inputs.size() == 2);
    CHECK(dequantize->integer("zero_point", 0) == 8);
    CHECK(dequantize->integer("byte_activations", 0) == 0);
}

TEST_CASE("what a com.microsoft operator asks for beyond the standard is refused by name") {
    OnnxModel model;
    model.opsets = {{"", 20}, {"com.microsoft", 1}};
    model.inputs = {value_message("a", DType::F32, {"1", "32"}), value_message("b", DType::U8, {"2", "1", "16"})};
    model.initializers = {floats_message("s", {2}, {1, 2})};
    model.outputs = {value_message("y", DType::F32, {"1", "2"})};
    const auto refusal = [&](const Message& node) {
        model.nodes = {node};
        const std::string bytes = model.write();
        return load_model(wrap_memory(std::as_bytes(std::span(bytes)))).status().message();
    };
    const std::vector<Message> sizes{int_attribute("N", 2), int_attribute("K", 32), int_attribute("block_size", 32)};
    const auto with = [&](const Message& attribute) {
        std::vector<Message> attributes = sizes;
        attributes.push_back(attribute);
        return attributes;
    };
    CHECK_THAT(refusal(node_message("MatMulNBits", {"a", "b", "s"}, {"y"}, sizes, "com.microsoft")),
               contains("input 1 must be a constant"));
    CHECK_THAT(
        refusal(node_message("MatMulNBits", {"a", "s", "s"}, {"y"}, with(int_attribute("bits", 3)), "com.microsoft")),
        contains("weights of 3 bits"));
    CHECK_THAT(refusal(node_message("MatMulNBits", {"a", "s", "s"}, {"y"}, {}, "com.microsoft")),
               contains("describe no matrix"));
    CHECK_THAT(refusal(node_message("MatMulNBits", {"a", "s", "s"}, {"y"}, sizes, "com.microsoft")),
               contains("in u8 is needed"));
    CHECK_THAT(refusal(node_message("GatherBlockQuantized", {"b", "b", "s"}, {"y"}, {}, "com.microsoft")),
               contains("input 0 must be a constant"));
    CHECK_THAT(refusal(node_message("GatherBlockQuantized", {"s", "b", "s"}, {"y"}, {}, "com.microsoft")),
               contains("only rows of a matrix"));
    CHECK_THAT(refusal(node_message("FusedConv", {"a", "s"}, {"y"}, {string_attribute("activation", "Swirl")},
                                    "com.microsoft")),
               contains("'Swirl'"));
    CHECK_THAT(refusal(node_message("GroupQueryAttention", {"a"}, {"y"}, {}, "com.microsoft")),
               contains("lengths of the sequences"));
    CHECK_THAT(refusal(node_message("MoE", {"a"}, {"y"}, {}, "com.microsoft")),
               contains("'MoE' of 'com.microsoft', version 1, is not known here"));
    // A mask of one dimension means something else than one of two: where their number is unknown, nobody guesses.
    model.inputs = {value_message("q", DType::F32, {"1", "2", "8"}),
                    Message().text(1, "mask").message(2, Message().message(1, Message().integer(1, 6)))};
    CHECK_THAT(refusal(node_message("MultiHeadAttention", {"q", "q", "q", "", "mask"}, {"y"},
                                    {int_attribute("num_heads", 2)}, "com.microsoft")),
               contains("how many dimensions the mask has"));
}

}  // namespace
}  // namespace quoin::test
