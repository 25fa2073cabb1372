// ONNX files become graphs: names, initializers, order, functions, bodies, versions.
#include "load/onnx.h"

#include "support/catch.h"
#include "support/onnx_writer.h"

namespace quoin::test {
namespace {

Result<LoadedModel> load(const OnnxModel& model) {
    const std::string bytes = model.write();
    return load_model(wrap_memory(std::as_bytes(std::span(bytes))));
}

std::string dump_of(const OnnxModel& model) {
    const Result<LoadedModel> loaded = load(model);
    if (!loaded.ok()) return loaded.status().message();
    CHECK(verify(loaded->graph).ok());
    return dump(loaded->graph);
}

bool refused(const OnnxModel& model, StatusCode code, std::string_view words) {
    const Status status = load(model).status();
    UNSCOPED_INFO(status.message());
    return status.code() == code && status.message().find(words) != std::string::npos;
}

// y = Relu(x + w), x f32 [batch, 3].
OnnxModel small_model() {
    OnnxModel model;
    model.inputs = {value_message("x", DType::F32, {"batch", "3"})};
    model.initializers = {floats_message("w", {3}, {1, 2, 3})};
    model.nodes = {node_message("Add", {"x", "w"}, {"sum"}), node_message("Relu", {"sum"}, {"y"})};
    model.outputs = {value_message("y", DType::F32, {"batch", "3"})};
    return model;
}

TEST_CASE("an ONNX file becomes a graph with the file's names") {
    const Result<LoadedModel> model = load(small_model());
    REQUIRE(model.ok());
    CHECK(model->kind == ModelKind::Graph);
    CHECK(!model->decoder);
    CHECK(dump(model->graph) ==
          "input x f32[batch, 3]\n"
          "constant w f32[3]\n"
          "%2 f32[?] = Add(x, w)  # sum\n"
          "%3 f32[?] = Relu(%2)  # y\n"
          "output %3\n");
    CHECK(model->graph.value(model->graph.outputs()[0]).name == "y");
}

TEST_CASE("an initializer that is an input, too, is a constant") {
    OnnxModel model = small_model();
    model.inputs.push_back(value_message("w", DType::F32, {"3"}));
    CHECK(dump_of(model) == dump_of(small_model()));
}

TEST_CASE("nodes out of order are sorted, and cycles refused") {
    OnnxModel model = small_model();
    std::swap(model.nodes[0], model.nodes[1]);
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    CHECK(loaded->graph.nodes()[0].op == Op::Add);
    CHECK(verify(loaded->graph).ok());

    model = small_model();
    model.nodes[0] = node_message("Add", {"x", "y"}, {"sum"});
    CHECK(refused(model, StatusCode::InvalidModel, "cycle"));
}

TEST_CASE("names that stand for nothing or for two things are refused") {
    OnnxModel model = small_model();
    model.nodes[0] = node_message("Add", {"x", "nowhere"}, {"sum"});
    CHECK(refused(model, StatusCode::InvalidModel, "'nowhere' is read, but no node, input or initializer makes it"));

    model = small_model();
    model.nodes.push_back(node_message("Neg", {"x"}, {"sum"}));
    CHECK(refused(model, StatusCode::InvalidModel, "the name 'sum' is given to two values"));
    model.nodes.back() = node_message("Neg", {"x"}, {"w"});
    CHECK(refused(model, StatusCode::InvalidModel, "the name 'w' is given to two values"));
    model.nodes.back() = node_message("Neg", {"x"}, {"x"});
    CHECK(refused(model, StatusCode::InvalidModel, "cycle"));  // x is made of what x makes

    model = small_model();
    model.initializers.push_back(model.initializers.front());
    CHECK(refused(model, StatusCode::InvalidModel, "two initializers"));

    model = small_model();
    model.outputs.push_back(value_message("nowhere", DType::F32, {}));
    CHECK(refused(model, StatusCode::InvalidModel, "'nowhere'"));
}

TEST_CASE("unknown operators are refused with name, domain, version and node") {
    OnnxModel model = small_model();
    model.opsets.emplace_back("org.example", 3);
    model.nodes[1] = node_message("Frobnicate", {"sum"}, {"y"}, {}, "org.example");
    CHECK(refused(model, StatusCode::Unsupported,
                  "node 'y': the operator 'Frobnicate' of 'org.example', version 3, is not known here"));
    model.nodes[1] = node_message("Frobnicate", {"sum"}, {"y"});
    CHECK(refused(model, StatusCode::Unsupported, "'Frobnicate' of ai.onnx, version 17"));
    model.opsets = {{"", 29}};
    CHECK(refused(model, StatusCode::Unsupported, "version 29 of ai.onnx"));
    model.opsets.clear();
    CHECK(refused(model, StatusCode::InvalidModel, "which version of ai.onnx"));
    model = small_model();
    model.ir_version = 14;
    CHECK(refused(model, StatusCode::Unsupported, "IR version 14"));
}

TEST_CASE("a wrong number of inputs or outputs is refused with the node") {
    OnnxModel model = small_model();
    model.nodes[0] = node_message("Add", {"x"}, {"sum"});
    CHECK(refused(model, StatusCode::InvalidModel, "node 'sum' (Add, version 17): has 1 inputs"));
    model.nodes[0] = node_message("Add", {"x", "w", "w"}, {"sum"});
    CHECK(refused(model, StatusCode::InvalidModel, "has 3 inputs"));
    model.nodes[0] = node_message("Add", {"x", ""}, {"sum"});
    CHECK(refused(model, StatusCode::InvalidModel, "input 1 is left out"));
    model.nodes[0] = node_message("Add", {"", "x"}, {"sum"});
    CHECK(refused(model, StatusCode::InvalidModel, "input 0 is left out"));
    model.nodes[0] = node_message("Add", {"x", "w"}, {"sum", "more"});
    CHECK(refused(model, StatusCode::InvalidModel, "has 2 outputs"));
}

}  // namespace
}  // namespace quoin::test
