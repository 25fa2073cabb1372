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

TEST_CASE("of metadata alone any operator is read") {
    OnnxModel model = small_model();
    model.nodes = {node_message("NoSuchOperator", {"x"}, {"y"})};
    model.metadata = {{"author", "a test"}};
    const std::string bytes = model.write();
    const Result<LoadedModel> loaded =
        load_model(wrap_memory(std::as_bytes(std::span(bytes))), {.metadata_only = true});
    REQUIRE(loaded.ok());
    CHECK(loaded->kind == ModelKind::Vocabulary);
    CHECK(loaded->metadata.string("author", "").value() == "a test");
}

TEST_CASE("an initializer that is an input, too, can stay an input with a default value") {
    const auto load_overridable = [](const OnnxModel& model) {
        const std::string bytes = model.write();
        return load_model(wrap_memory(std::as_bytes(std::span(bytes))), {.overridable_initializers = true});
    };
    OnnxModel model = small_model();
    model.inputs.push_back(value_message("w", DType::F32, {"n"}));
    const Result<LoadedModel> loaded = load_overridable(model);
    REQUIRE(loaded.ok());
    const Graph& graph = loaded->graph;
    REQUIRE(graph.inputs().size() == 2);
    CHECK(graph.value(graph.inputs()[0]).default_value == nullptr);
    const Value& w = graph.value(graph.inputs()[1]);
    CHECK(w.name == "w");
    CHECK_FALSE(w.constant);
    REQUIRE(w.default_value != nullptr);
    const Result<Tensor> value = w.default_value->load();
    REQUIRE(value.ok());
    CHECK(value->as<float>()[2] == 3);

    SECTION("an initializer that is no input stays a constant") {
        const Result<LoadedModel> plain = load_overridable(small_model());
        REQUIRE(plain.ok());
        CHECK(plain->graph.inputs().size() == 1);
    }
    SECTION("in files of IR version 3 all are constants, for there all had to be inputs") {
        model.ir_version = 3;
        const Result<LoadedModel> old = load_overridable(model);
        REQUIRE(old.ok());
        CHECK(dump(old->graph) == dump_of(small_model()));
    }
    SECTION("a default value of another type or shape than its input is refused") {
        for (const Message& other : {value_message("w", DType::F32, {"4"}), value_message("w", DType::I32, {"3"}),
                                     value_message("w", DType::F32, {"1", "3"})}) {
            model.inputs.back() = other;
            const Status status = load_overridable(model).status();
            CHECK(status.code() == StatusCode::InvalidModel);
            CHECK(status.message().find("'w'") != std::string::npos);
        }
    }
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

// A FunctionProto of domain org.example.
Message function_message(std::string_view name, const std::vector<std::string>& inputs,
                         const std::vector<std::string>& outputs, const std::vector<std::string>& attributes,
                         const std::vector<Message>& nodes) {
    Message function;
    function.text(1, name);
    for (const std::string& each : inputs) function.text(4, each);
    for (const std::string& each : outputs) function.text(5, each);
    for (const std::string& each : attributes) function.text(6, each);
    for (const Message& each : nodes) function.message(7, each);
    return function.message(9, Message().text(1, "").integer(2, 17)).text(10, "org.example");
}

TEST_CASE("functions become their nodes, with the attributes and inputs of the call") {
    OnnxModel model = small_model();
    model.opsets.emplace_back("org.example", 1);
    model.functions = {
        function_message("Leak", {"a"}, {"b"}, {"slope"},
                         {node_message("LeakyRelu", {"a"}, {"b"}, {reference_attribute("alpha", "slope", 1)})}),
        function_message("Twice", {"a", "unused"}, {"c"}, {},
                         {node_message("Leak", {"a"}, {"b"}, {float_attribute("slope", 0.5F)}, "org.example"),
                          node_message("Leak", {"b"}, {"c"}, {}, "org.example")})};
    model.nodes[1] = node_message("Twice", {"sum"}, {"y"}, {}, "org.example");
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    CHECK(verify(loaded->graph).ok());
    const std::vector<Node>& nodes = loaded->graph.nodes();
    REQUIRE(nodes.size() == 3);
    CHECK(nodes[1].op == Op::LeakyRelu);
    CHECK(nodes[1].number("alpha", 0) == 0.5);
    CHECK(nodes[2].op == Op::LeakyRelu);
    CHECK(nodes[2].attribute("alpha") == nullptr);
    CHECK(nodes[2].inputs == nodes[1].outputs);
    CHECK(loaded->graph.value(loaded->graph.outputs()[0]).name == "y");
}

TEST_CASE("functions that call themselves are refused") {
    OnnxModel model = small_model();
    model.opsets.emplace_back("org.example", 1);
    model.functions = {function_message("F", {"a"}, {"b"}, {}, {node_message("F", {"a"}, {"b"}, {}, "org.example")})};
    model.nodes[1] = node_message("F", {"sum"}, {"y"}, {}, "org.example");
    CHECK(refused(model, StatusCode::InvalidModel, "functions call each other more than 64 deep"));

    // Ten calls of the next, twelve times: 10^12 nodes.
    model.functions.clear();
    for (int depth = 0; depth < 12; ++depth) {
        std::vector<Message> calls;
        for (int call = 0; call < 10; ++call) {
            const std::string to = call == 9 ? "b" : "c" + std::to_string(call);
            calls.push_back(node_message(depth == 11 ? "Neg" : "F" + std::to_string(depth + 1), {"a"}, {to}, {},
                                         depth == 11 ? "" : "org.example"));
        }
        model.functions.push_back(function_message("F" + std::to_string(depth), {"a"}, {"b"}, {}, calls));
    }
    model.nodes[1] = node_message("F0", {"sum"}, {"y"}, {}, "org.example");
    CHECK(refused(model, StatusCode::InvalidModel, "more than 524288 nodes"));
}

TEST_CASE("bodies capture values and copy constants of the graph around") {
    OnnxModel model = small_model();
    model.inputs.push_back(value_message("choice", DType::Bool, {}));
    OnnxModel yes;
    yes.nodes = {node_message("Mul", {"sum", "w"}, {"yes"})};
    yes.outputs = {Message().text(1, "yes")};
    OnnxModel no;
    no.nodes = {node_message("Sub", {"x", "sum"}, {"no"})};
    no.outputs = {Message().text(1, "no")};
    model.nodes[1] =
        node_message("If", {"choice"}, {"y"},
                     {graph_attribute("then_branch", yes.graph()), graph_attribute("else_branch", no.graph())});
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    CHECK(verify(loaded->graph).ok());
    const Node& node = loaded->graph.nodes()[1];
    REQUIRE(node.op == Op::If);
    CHECK(node.integer("captures", 0) == 2);
    REQUIRE(node.inputs.size() == 3);
    CHECK(loaded->graph.value(node.inputs[1]).name == "sum");
    CHECK(loaded->graph.value(node.inputs[2]).name == "x");
    for (const std::string_view name : {"then_branch", "else_branch"}) {
        const auto& body = std::get<std::shared_ptr<const Graph>>(*node.attribute(name));
        CHECK(verify(*body).ok());
        REQUIRE(body->inputs().size() == 2);
        CHECK(body->value(body->inputs()[0]).name == "sum");
        CHECK(body->value(body->inputs()[1]).name == "x");
        CHECK(body->outputs().size() == 1);
    }
    const auto& body = std::get<std::shared_ptr<const Graph>>(*node.attribute("then_branch"));
    CHECK(body->value(body->nodes()[0].inputs[1]).constant.has_value());
}

TEST_CASE("a body in a body captures through the one around it") {
    OnnxModel inner;
    inner.nodes = {node_message("Neg", {"sum"}, {"inner"})};
    inner.outputs = {Message().text(1, "inner")};
    OnnxModel outer;
    outer.nodes = {
        node_message("If", {"choice"}, {"outer"},
                     {graph_attribute("then_branch", inner.graph()), graph_attribute("else_branch", inner.graph())})};
    outer.outputs = {Message().text(1, "outer")};
    OnnxModel model = small_model();
    model.inputs.push_back(value_message("choice", DType::Bool, {}));
    model.nodes[1] =
        node_message("If", {"choice"}, {"y"},
                     {graph_attribute("then_branch", outer.graph()), graph_attribute("else_branch", outer.graph())});
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    CHECK(verify(loaded->graph).ok());
    CHECK(loaded->graph.nodes()[1].integer("captures", 0) == 2);
    const auto& body = std::get<std::shared_ptr<const Graph>>(*loaded->graph.nodes()[1].attribute("then_branch"));
    CHECK(verify(*body).ok());
    CHECK(body->nodes()[0].integer("captures", 0) == 1);
}

TEST_CASE("the names of dims are one symbol for all inputs") {
    OnnxModel model = small_model();
    model.inputs.push_back(value_message("z", DType::I64, {"batch", "", "0", "length"}));
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    const std::vector<Dim>& dims = *loaded->graph.value(loaded->graph.inputs()[1]).dims;
    CHECK(loaded->graph.symbols() == std::vector<std::string>{"batch", "length"});
    CHECK(dims == std::vector<Dim>{{.symbol = 0}, {}, {.size = 0}, {.symbol = 1}});
}

TEST_CASE("what the file says about itself is metadata") {
    OnnxModel model = small_model();
    model.metadata = {{"names", "{0: 'cat'}"}, {"task", "detect"}};
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    CHECK(*loaded->metadata.require_integer("onnx.ir_version") == 8);
    CHECK(*loaded->metadata.require_integer("onnx.opset.ai.onnx") == 17);
    CHECK(*loaded->metadata.require_string("names") == "{0: 'cat'}");
    CHECK(*loaded->metadata.require_string("onnx.graph_name") == "test");
}

TEST_CASE("an output that is an input or another output has a value of its own") {
    OnnxModel model = small_model();
    model.outputs.push_back(value_message("y", DType::F32, {}));
    model.outputs.push_back(value_message("x", DType::F32, {}));
    const Result<LoadedModel> loaded = load(model);
    REQUIRE(loaded.ok());
    CHECK(verify(loaded->graph).ok());
    CHECK(loaded->graph.outputs().size() == 3);
    CHECK(loaded->graph.outputs()[0] != loaded->graph.outputs()[1]);
}

TEST_CASE("attributes that the operator does not have, or has of another type, are refused") {
    OnnxModel model = small_model();
    model.nodes[1] = node_message("Relu", {"sum"}, {"y"}, {float_attribute("alpha", 0.1F)});
    CHECK(
        refused(model, StatusCode::InvalidModel, "node 'y' (Relu, version 17): the operator has no attribute 'alpha'"));
    model.nodes[1] = node_message("Softmax", {"sum"}, {"y"}, {float_attribute("axis", 1)});
    CHECK(refused(model, StatusCode::InvalidModel, "the attribute 'axis' is of another type"));
    model.nodes[1] = node_message("Softmax", {"sum"}, {"y"}, {int_attribute("xis", 1)});
    CHECK(refused(model, StatusCode::InvalidModel, "the operator has no attribute 'xis'"));
    model.nodes[1] = node_message("Softmax", {"sum"}, {"y"}, {int_attribute("axis", 1), int_attribute("axis", 1)});
    CHECK(refused(model, StatusCode::InvalidModel, "stands there twice"));
    model.nodes[1] = node_message("Softmax", {"sum"}, {"y"}, {int_attribute("_note", 1)});
    CHECK(load(model).ok());
}

}  // namespace
}  // namespace quoin::test
