// Operators of older versions in the words of the newest, node by node. Their numbers are checked by ONNX's own tests.
#include "load/onnx.h"
#include "support/catch.h"
#include "support/onnx_writer.h"

namespace quoin::test {
namespace {

// The nodes that one node of version `version` becomes, "Op(inputs) {attributes}" each. Inputs are a and b, f32; the
// constants i, f and s, integers and floats.
std::vector<std::string> upgraded(int64_t version, const Message& node) {
    OnnxModel model;
    model.opsets = {{"", version}};
    model.inputs = {value_message("a", DType::F32, {"n", "3", "4"}), value_message("b", DType::F32, {"3"})};
    model.initializers = {integers_message("i", {2}, {1, 2}), floats_message("f", {3}, {1, 2, 3}),
                          floats_message("s", {3}, {1, 0.5F, 0.25F})};
    model.nodes = {node};
    model.outputs = {Message().text(1, "y")};
    const std::string bytes = model.write();
    const Result<LoadedModel> loaded = load_model(wrap_memory(std::as_bytes(std::span(bytes))));
    if (!loaded.ok()) return {loaded.status().message()};
    CHECK(verify(loaded->graph).ok());
    const Graph& graph = loaded->graph;
    std::vector<std::string> lines;
    for (const Node& each : graph.nodes()) {
        std::string line(op_info(each.op).name);
        for (const ValueId id : each.inputs) {
            line += ' ';
            if (id == kNoValue) {
                line += "none";
            } else if (graph.value(id).constant) {
                const Tensor tensor = *graph.value(id).constant->load();
                std::string text = "[";
                if (tensor.dtype() == DType::I64) {
                    for (const int64_t element : tensor.as<int64_t>()) text += std::to_string(element) + ";";
                } else if (tensor.dtype() == DType::F32) {
                    for (const float element : tensor.as<float>()) text += std::to_string(element).substr(0, 4) + ";";
                }
                line += text + "]";
            } else {
                line += graph.value(id).producer == kNoValue ? graph.value(id).name : "%";
            }
        }
        for (const auto& [name, value] : each.attributes) {
            line += " " + name;
            if (const auto* integer = std::get_if<int64_t>(&value)) line += "=" + std::to_string(*integer);
            if (const auto* text = std::get_if<std::string>(&value)) line += "=" + *text;
        }
        lines.push_back(line);
    }
    return lines;
}

using Lines = std::vector<std::string>;

TEST_CASE("attributes of old versions become inputs") {
    CHECK(upgraded(6, node_message("Clip", {"a"}, {"y"}, {float_attribute("min", 0), float_attribute("max", 6)})) ==
          Lines{"Clip a [0.00;] [6.00;]"});
    CHECK(upgraded(1, node_message("Clip", {"a"}, {"y"}, {float_attribute("max", 6)})) == Lines{"Clip a none [6.00;]"});
    CHECK(upgraded(11, node_message("Clip", {"a", "", "b"}, {"y"})) == Lines{"Clip a none b"});
    CHECK(upgraded(9, node_message("Slice", {"a"}, {"y"},
                                   {ints_attribute("starts", {1}), ints_attribute("ends", {2}),
                                    ints_attribute("axes", {2})})) == Lines{"Slice a [1;] [2;] [2;]"});
    CHECK(upgraded(9,
                   node_message("Slice", {"a"}, {"y"}, {ints_attribute("starts", {1}), ints_attribute("ends", {2})})) ==
          Lines{"Slice a [1;] [2;]"});
    CHECK(upgraded(12, node_message("Squeeze", {"a"}, {"y"}, {ints_attribute("axes", {0})})) ==
          Lines{"Squeeze a [0;]"});
    CHECK(upgraded(12, node_message("Squeeze", {"a"}, {"y"})) == Lines{"Squeeze a"});
    CHECK(upgraded(12, node_message("Unsqueeze", {"a"}, {"y"}, {ints_attribute("axes", {0, 2})})) ==
          Lines{"Unsqueeze a [0;2;]"});
    CHECK(upgraded(13, node_message("ReduceMean", {"a"}, {"y"},
                                    {ints_attribute("axes", {1}), int_attribute("keepdims", 0)})) ==
          Lines{"ReduceMean a [1;] keepdims=0"});
    CHECK(upgraded(13, node_message("ReduceSum", {"a", "i"}, {"y"})) == Lines{"ReduceSum a [1;2;]"});
    CHECK(upgraded(11, node_message("Split", {"a"}, {"y", "z"},
                                    {int_attribute("axis", 1), ints_attribute("split", {1, 2})})) ==
          Lines{"Split a [1;2;] axis=1"});
    CHECK(upgraded(1, node_message("Split", {"a", "f"}, {"x", "y", "z"}, {int_attribute("axis", 0)})) ==
          Lines{"Cast [1.00;2.00;3.00;] to=7", "Split a % axis=0"});
    CHECK(upgraded(13, node_message("Split", {"a"}, {"y", "z"})) == Lines{"Split a num_outputs=2"});
    CHECK(upgraded(2, node_message("Pad", {"a"}, {"y"},
                                   {ints_attribute("pads", {0, 1, 0, 1}), float_attribute("value", 2)})) ==
          Lines{"Pad a [0;1;0;1;] [2.00;]"});
    CHECK(upgraded(1, node_message("Pad", {"a"}, {"y"}, {ints_attribute("paddings", {0, 1, 0, 1})})) ==
          Lines{"Pad a [0;1;0;1;]"});
    CHECK(upgraded(4, node_message("Reshape", {"a"}, {"y"}, {ints_attribute("shape", {0, -1})})) ==
          Lines{"Reshape a [0;-1;]"});
    CHECK(upgraded(9, node_message("TopK", {"a"}, {"y", "z"}, {int_attribute("k", 2), int_attribute("axis", 1)})) ==
          Lines{"TopK a [2;] axis=1"});
    CHECK(upgraded(17, node_message("DFT", {"a"}, {"y"}, {int_attribute("axis", 1)})) == Lines{"DFT a none [1;]"});
}

TEST_CASE("attributes that must be there are missed by name") {
    CHECK_THAT(upgraded(9, node_message("Slice", {"a"}, {"y"})).front(), contains("'starts' and 'ends' are missing"));
    CHECK_THAT(upgraded(9, node_message("TopK", {"a"}, {"y", "z"})).front(), contains("'k' is missing"));
    CHECK_THAT(upgraded(12, node_message("Unsqueeze", {"a"}, {"y"})).front(), contains("'axes' is missing"));
}

TEST_CASE("softmax over a matrix keeps the shape around it") {
    CHECK(upgraded(11, node_message("Softmax", {"a"}, {"y"}, {int_attribute("axis", 2)})) ==
          Lines{"Softmax a axis=-1"});
    CHECK(upgraded(11, node_message("LogSoftmax", {"a"}, {"y"})) ==
          Lines{"Shape a", "Flatten a axis=1", "LogSoftmax % axis=-1", "Reshape % % allowzero=1"});
    CHECK(upgraded(13, node_message("Softmax", {"a"}, {"y"}, {int_attribute("axis", 1)})) == Lines{"Softmax a axis=1"});
}

TEST_CASE("old broadcasting puts ones behind the second operand") {
    CHECK(upgraded(6, node_message("Add", {"a", "b"}, {"y"}, {int_attribute("broadcast", 1)})) == Lines{"Add a b"});
    CHECK(upgraded(6,
                   node_message("Add", {"a", "b"}, {"y"}, {int_attribute("broadcast", 1), int_attribute("axis", 1)})) ==
          Lines{"Shape b", "Sub [3;] [1;]", "Sub % [1;]", "Reshape % [1;]", "ConstantOfShape % value",
                "Concat % % axis=0", "Reshape b % allowzero=1", "Add a %"});
}

TEST_CASE("sizes of pictures change as they did in the version of the file") {
    CHECK(upgraded(9, node_message("Upsample", {"a", "f"}, {"y"}, {string_attribute("mode", "linear")})) ==
          Lines{"Resize a none [1.00;2.00;3.00;] mode=linear coordinate_transformation_mode=asymmetric "
                "nearest_mode=floor"});
    CHECK(upgraded(10, node_message("Resize", {"a", "f"}, {"y"}, {string_attribute("mode", "nearest")})) ==
          Lines{"Resize a none [1.00;2.00;3.00;] mode=nearest coordinate_transformation_mode=asymmetric "
                "nearest_mode=floor"});
    const std::string shrinking = "mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=ceil";
    CHECK(upgraded(10, node_message("Resize", {"a", "s"}, {"y"})) ==
          Lines{"Resize a none [1.00;0.50;0.25;] " + shrinking});
    CHECK(upgraded(10, node_message("Resize", {"a", "b"}, {"y"})) ==
          Lines{"Min b [1.00;]", "Resize a none % " + shrinking, "Max b [1.00;]",
                "Resize % none % mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor"});
    CHECK_THAT(upgraded(10, node_message("Resize", {"", "b"}, {"y"})).front(), contains("input 0 is left out"));
    CHECK(upgraded(13, node_message("Resize", {"a", "", "", "i"}, {"y"})) == Lines{"Resize a none none [1;2;]"});
}

TEST_CASE("training is forgotten, unless its results are asked for") {
    CHECK(upgraded(7, node_message("Dropout", {"a"}, {"y"}, {float_attribute("ratio", 0.3F)})) == Lines{"Dropout a"});
    CHECK(upgraded(8, node_message("BatchNormalization", {"a", "b", "b", "b", "b"}, {"y"},
                                   {int_attribute("spatial", 1)})) == Lines{"BatchNormalization a b b b b"});
    CHECK(upgraded(
              8, node_message("BatchNormalization", {"a", "b", "b", "b", "b"}, {"y"}, {int_attribute("spatial", 0)})) ==
          Lines{"Add b [0.00;]", "Sqrt %", "Sub a b", "Div % %", "Mul % b", "Add % b"});
    CHECK_THAT(upgraded(9, node_message("BatchNormalization", {"a", "b", "b", "b", "b"}, {"y", "m"})).front(),
               contains("outputs of training"));
}

TEST_CASE("names of old versions are those of today") {
    CHECK(upgraded(5, node_message("Cast", {"a"}, {"y"}, {string_attribute("to", "INT64")})) == Lines{"Cast a to=7"});
    CHECK(upgraded(3, node_message("Concat", {"a", "a"}, {"y"})) == Lines{"Concat a a axis=1"});
    CHECK(upgraded(10, node_message("Scatter", {"a", "i", "a"}, {"y"})) == Lines{"ScatterElements a [1;2;] a"});
    CHECK(upgraded(16, node_message("GridSample", {"a", "a"}, {"y"})) == Lines{"GridSample a a mode=linear"});
    CHECK(upgraded(10, node_message("RoiAlign", {"a", "a", "i"}, {"y"})) ==
          Lines{"RoiAlign a a [1;2;] coordinate_transformation_mode=output_half_pixel"});
    CHECK(upgraded(18, node_message("GroupNormalization", {"a", "b", "b"}, {"y"}, {int_attribute("num_groups", 3)}))
              .back() == "GroupNormalization a % % num_groups=3");
}

}  // namespace
}  // namespace quoin::test
