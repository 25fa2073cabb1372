// Writes the seed corpus of onnx_fuzz into a folder: onnx_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>

#include "support/onnx_writer.h"

namespace {

using namespace quoin;
using namespace quoin::test;

// x f32 [batch, 3], c bool; y is made by the nodes. Weights w f32 [3], i i64 [2].
OnnxModel model_of(const std::vector<Message>& nodes, int64_t version = 20) {
    OnnxModel model;
    model.opsets = {{"", version}, {"com.microsoft", 1}, {"org.example", 1}};
    model.inputs = {value_message("x", DType::F32, {"batch", "3"}), value_message("c", DType::Bool, {})};
    model.initializers = {floats_message("w", {3}, {1, 2, 3}), integers_message("i", {2}, {3, -1})};
    model.nodes = nodes;
    model.outputs = {value_message("y", DType::F32, {"batch", "3"})};
    return model;
}

OnnxModel control_flow() {
    OnnxModel body;
    body.nodes = {node_message("Add", {"x", "w"}, {"inner"})};
    body.outputs = {value_message("inner", DType::F32, {"batch", "3"})};
    OnnxModel loop;
    loop.inputs = {value_message("n", DType::I64, {}), value_message("again", DType::Bool, {}),
                   value_message("state", DType::F32, {"batch", "3"})};
    loop.nodes = {node_message("Mul", {"state", "w"}, {"next"}), node_message("Identity", {"again"}, {"go"})};
    loop.outputs = {value_message("go", DType::Bool, {}), value_message("next", DType::F32, {"batch", "3"})};
    OnnxModel model = model_of(
        {node_message("If", {"c"}, {"if"},
                      {graph_attribute("then_branch", body.graph()), graph_attribute("else_branch", body.graph())}),
         node_message("Constant", {}, {"trips"}, {tensor_attribute("value", integers_message("", {}, {3}))}),
         node_message("Loop", {"trips", "c", "if"}, {"y"}, {graph_attribute("body", loop.graph())})});
    return model;
}

OnnxModel functions() {
    OnnxModel model = model_of({node_message("F", {"x"}, {"y"}, {float_attribute("slope", 0.5F)}, "org.example")});
    model.functions = {
        Message()
            .text(1, "F")
            .text(4, "a")
            .text(5, "b")
            .text(6, "slope")
            .message(7, node_message("LeakyRelu", {"a"}, {"b"}, {reference_attribute("alpha", "slope", 1)}))
            .message(9, Message().text(1, "").integer(2, 17))
            .text(10, "org.example")};
    model.sparse_initializers = {Message()
                                     .message(1, floats_message("s", {1}, {5}))
                                     .message(2, integers_message("", {1}, {2}))
                                     .integers(3, {3})};
    return model;
}

OnnxModel four_bits() {
    OnnxModel model =
        model_of({node_message("Concat", {"x", "x", "x", "x", "x", "x"}, {"wide"}, {int_attribute("axis", 1)}),
                  node_message("MatMulNBits", {"wide", "b", "s"}, {"y"},
                               {int_attribute("N", 3), int_attribute("K", 18), int_attribute("block_size", 32),
                                int_attribute("bits", 4)},
                               "com.microsoft")});
    model.initializers = {tensor_message("b", DType::U8, {3, 1, 16}, std::string(48, '\x79')),
                          floats_message("s", {3}, {1, 2, 3})};
    return model;
}

// Initializers that are inputs, too.
OnnxModel defaults() {
    OnnxModel model = model_of({node_message("Mul", {"x", "w"}, {"a"}), node_message("Add", {"a", "v"}, {"y"})});
    model.inputs.push_back(value_message("w", DType::F32, {"3"}));
    model.inputs.push_back(value_message("v", DType::F32, {"n"}));
    model.initializers.push_back(floats_message("v", {1}, {0.5F}));
    return model;
}

// Its bytes are in the file, where they are changed.
OnnxModel decoding(const std::string& picture) {
    std::ifstream file(std::string(QUOIN_SOURCE_DIR "/tests/data/pictures/") + picture, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    OnnxModel model = model_of({node_message("ImageDecoder", {"picture"}, {"pixels"})});
    model.initializers = {tensor_message("picture", DType::U8, {static_cast<int64_t>(bytes.size())}, bytes)};
    model.outputs = {value_message("pixels", DType::U8, {"height", "width", "3"})};
    return model;
}

bool save(const std::string& path, const OnnxModel& model) {
    std::ofstream file(path, std::ios::binary);
    file << model.write();
    return file.good();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: onnx_seeds FOLDER\n");
        return 2;
    }
    const std::string folder = std::string(argv[1]) + "/onnx-";
    bool saved = save(folder + "control-flow", control_flow()) && save(folder + "functions", functions()) &&
                 save(folder + "four-bits", four_bits()) && save(folder + "defaults", defaults());
    saved = saved &&
            save(folder + "shapes", model_of({node_message("Reshape", {"x", "i"}, {"r"}),
                                              node_message("Gather", {"r", "i"}, {"g"}, {int_attribute("axis", 1)}),
                                              node_message("ReduceSum", {"g"}, {"y"})}));
    saved =
        saved && save(folder + "old", model_of({node_message("Add", {"x", "w"}, {"a"},
                                                             {int_attribute("broadcast", 1), int_attribute("axis", 1)}),
                                                node_message("Softmax", {"a"}, {"b"}),
                                                node_message("Clip", {"b"}, {"y"}, {float_attribute("max", 0.5F)})},
                                               6));
    saved = saved && save(folder + "pieces",
                          model_of({node_message("Split", {"x"}, {"p", "q"},
                                                 {int_attribute("axis", 1), int_attribute("num_outputs", 2)}),
                                    node_message("Concat", {"q", "p"}, {"j"}, {int_attribute("axis", 1)}),
                                    node_message("NonZero", {"j"}, {"z"}), node_message("Transpose", {"z"}, {"y"})}));
    for (const char* const picture :
         {"rgb.jpg", "rgb-444-progressive.jpg", "cmyk.jpg", "palette.png", "interlaced.png", "rgb.jp2", "rgba.j2k",
          "lossy.webp", "alpha.webp", "rgba-lzw.tif", "orientation-6.tif", "ycbcr-jpeg.tif", "palette.bmp", "runs4.bmp",
          "text.ppm", "bits.pbm"}) {
        saved = saved && save(folder + picture, decoding(picture));
    }
    return saved ? 0 : 1;
}
