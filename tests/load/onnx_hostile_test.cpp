// ONNX files made to break a loader: cut short, nested without end, reaching for files that are not theirs.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <unistd.h>

#include "load/model.h"
#include "support/catch.h"
#include "support/onnx_writer.h"

namespace quoin::test {
namespace {

namespace fs = std::filesystem;

Result<LoadedModel> load(const std::string& bytes) {
    return load_model(wrap_memory(std::as_bytes(std::span(bytes))));
}

// Reads every part of the format at least once.
OnnxModel rich_model() {
    OnnxModel body;
    body.nodes = {node_message("Add", {"x", "w"}, {"in_body"})};
    body.outputs = {value_message("in_body", DType::F32, {"batch", "3"})};
    OnnxModel model;
    model.opsets.emplace_back("org.example", 1);
    model.inputs = {value_message("x", DType::F32, {"batch", "3"}), value_message("c", DType::Bool, {})};
    model.initializers = {floats_message("w", {3}, {1, 2, 3})};
    model.sparse_initializers = {Message()
                                     .message(1, floats_message("s", {1}, {5}))
                                     .message(2, integers_message("", {1}, {2}))
                                     .integers(3, {3})};
    model.functions = {Message()
                           .text(1, "F")
                           .text(4, "a")
                           .text(5, "b")
                           .message(7, node_message("Softmax", {"a"}, {"b"}, {int_attribute("axis", 1)}))
                           .text(10, "org.example")};
    model.nodes = {
        node_message("If", {"c"}, {"if"},
                     {graph_attribute("then_branch", body.graph()), graph_attribute("else_branch", body.graph())}),
        node_message("F", {"if"}, {"f"}, {}, "org.example"),
        node_message("Constant", {}, {"k"}, {tensor_attribute("value", floats_message("", {}, {1}))}),
        node_message("Sum", {"f", "s", "k"}, {"y"})};
    model.outputs = {value_message("y", DType::F32, {"batch", "3"})};
    model.metadata = {{"key", "value"}};
    return model;
}

TEST_CASE("an ONNX file that ends too early is a status at every byte") {
    const std::string whole = rich_model().write();
    const Result<LoadedModel> loaded = load(whole);
    CHECK(loaded.status().message().empty());
    int good = 0;
    for (size_t size = 0; size < whole.size(); ++size) {
        const std::string part(whole.data(), size);  // of its own, so that a sanitizer sees its end
        const Result<LoadedModel> model = load(part);
        if (model.ok()) {  // what is cut off was not needed
            ++good;
            CHECK(verify(model->graph).ok());
        } else {
            const StatusCode code = model.status().code();
            CHECK((code == StatusCode::InvalidModel || code == StatusCode::Unsupported));
        }
    }
    CHECK(good < 20);
}

TEST_CASE("an ONNX file with any byte changed loads or gives a status") {
    std::string bytes = rich_model().write();
    for (size_t index = 0; index < bytes.size(); ++index) {
        const char before = bytes[index];
        for (const int change : {1, 0x80, 0xFF}) {
            bytes[index] = static_cast<char>(before ^ change);
            const Result<LoadedModel> model = load(bytes);
            if (model.ok()) CHECK(verify(model->graph).ok());
        }
        bytes[index] = before;
    }
}

TEST_CASE("bodies and types nested without end are refused") {
    OnnxModel model = rich_model();
    OnnxModel body;
    body.nodes = {node_message("Neg", {"x"}, {"z"})};
    body.outputs = {value_message("z", DType::F32, {})};
    for (int depth = 0; depth < 200; ++depth) {
        OnnxModel around;
        around.nodes = {
            node_message("If", {"c"}, {"z"},
                         {graph_attribute("then_branch", body.graph()), graph_attribute("else_branch", Message())})};
        around.outputs = body.outputs;
        body = around;
    }
    model.nodes[0] = node_message("If", {"c"}, {"if"}, {graph_attribute("then_branch", body.graph())});
    CHECK_THAT(load(model.write()).status().message(), contains("nested deeper than 32 levels"));

    model = rich_model();
    Message type;
    for (int depth = 0; depth < 10000; ++depth) type = Message().message(4, Message().message(1, type));
    model.inputs.push_back(Message().text(1, "deep").message(2, type));
    CHECK_THAT(load(model.write()).status().message(), contains("nested deeper than 32 levels"));
}

TEST_CASE("more nodes than any model has are refused before they are kept") {
    OnnxModel model = rich_model();
    std::string graph = model.graph().bytes();
    for (int count = 0; count < (1 << 20); ++count) graph += std::string("\x0A\0", 2);  // an empty node
    const std::string bytes = Message().integer(1, 8).text(7, graph).bytes();
    CHECK_THAT(load(bytes).status().message(), contains("more than 1048576 nodes"));
}

TEST_CASE("long names and lists in functions that are called often are refused before they fill the memory") {
    OnnxModel model;
    model.opsets.emplace_back("org.example", 1);
    model.inputs = {value_message("x", DType::F32, {"3"})};
    const std::vector<int64_t> list(100000, 1);
    std::vector<Message> nodes;
    for (int count = 0; count < 1000; ++count) {
        nodes.push_back(
            node_message("Neg", {"a"}, {"n" + std::to_string(count)}, {reference_attribute("_l", "list", 7)}));
    }
    Message function = Message().text(1, "F").text(4, "a").text(5, "n0").text(6, "list").text(10, "org.example");
    for (const Message& each : nodes) function.message(7, each);
    model.functions = {function};
    model.nodes = {node_message("F", {"x"}, {"y"}, {ints_attribute("list", list)}, "org.example")};
    model.outputs = {value_message("y", DType::F32, {"3"})};
    CHECK_THAT(load(model.write()).status().message(), contains("more than 524288 nodes"));

    // Every node's name begins with the name of the call.
    model.nodes = {node_message("F", {"x"}, {"y"}, {}, "org.example").text(3, std::string(1 << 18, 'n'))};
    CHECK_THAT(load(model.write()).status().message(), contains("more than 524288 nodes"));
}

// ---- external data

class Folder {
public:
    Folder() : path_(fs::temp_directory_path() / ("quoin-onnx-" + std::to_string(getpid()))) {
        fs::remove_all(path_);
        fs::create_directories(path_ / "model" / "deep");
    }
    ~Folder() { fs::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    fs::path model() const { return path_ / "model"; }
    void write(const fs::path& place, const std::string& bytes) const {
        std::ofstream(path_ / place, std::ios::binary) << bytes;
    }

private:
    fs::path path_;
};

OnnxModel external_model(std::string_view location, const std::vector<std::pair<std::string, std::string>>& more = {}) {
    OnnxModel model;
    model.inputs = {value_message("x", DType::F32, {"3"})};
    Message tensor;
    tensor.integers(1, {3}).integer(2, 1).text(8, "w").integer(14, 1);
    tensor.message(13, Message().text(1, "location").text(2, location));
    for (const auto& [key, value] : more) tensor.message(13, Message().text(1, key).text(2, value));
    model.initializers = {tensor};
    model.nodes = {node_message("Add", {"x", "w"}, {"y"})};
    model.outputs = {value_message("y", DType::F32, {"3"})};
    return model;
}

Result<LoadedModel> load_beside(const OnnxModel& model, const Folder& folder, bool use_mmap = true) {
    const std::string bytes = model.write();
    const auto memory = std::make_shared<Memory>();
    return load_model(wrap_memory(std::as_bytes(std::span(bytes))),
                      {.folder = ModelFolder{folder.model().string(), use_mmap, memory}});
}

const std::string kThree = [] {
    const float values[] = {1, 2, 3};
    return std::string(reinterpret_cast<const char*>(values), sizeof values);
}();

TEST_CASE("weights lie in files below the model's folder, each at its offset") {
    const Folder folder;
    folder.write("model/weights.bin", "....." + kThree);
    folder.write("model/deep/more.bin", kThree);
    for (const bool use_mmap : {true, false}) {
        const Result<LoadedModel> model =
            load_beside(external_model("weights.bin", {{"offset", "5"}, {"length", "12"}}), folder, use_mmap);
        CHECK(model.status().message().empty());
        REQUIRE(model.ok());
        const Node& add = model->graph.nodes()[0];
        const Result<Tensor> tensor = model->graph.value(add.inputs[1]).constant->load();
        REQUIRE(tensor.ok());
        CHECK(tensor->as<float>()[2] == 3);
    }
    CHECK(load_beside(external_model("deep/more.bin"), folder).ok());
    CHECK(load_beside(external_model("./deep//more.bin"), folder).ok());
}

// CVE-2022-25882, CVE-2024-27318, CVE-2026-27489, CVE-2026-34446, CVE-2026-34447 were such places in other loaders.
TEST_CASE("external data anywhere else is refused") {
    const Folder folder;
    folder.write("secret.bin", kThree);
    folder.write("model/weights.bin", kThree);
    fs::create_symlink("../secret.bin", folder.model() / "link.bin");
    fs::create_symlink("weights.bin", folder.model() / "inner_link.bin");
    fs::create_directory_symlink("..", folder.model() / "up");
    fs::create_hard_link(folder.model() / "../secret.bin", folder.model() / "hard.bin");
    const auto refused = [&](std::string_view location, std::string_view words) {
        const Status status = load_beside(external_model(location), folder).status();
        UNSCOPED_INFO(status.message());
        return status.code() == StatusCode::InvalidModel && status.message().find(words) != std::string::npos &&
               status.message().find("tensor 'w'") != std::string::npos;
    };
    CHECK(refused("../secret.bin", "no path below"));
    CHECK(refused("deep/../../secret.bin", "no path below"));
    CHECK(refused("deep/..", "no path below"));
    CHECK(refused((folder.model() / "weights.bin").string(), "no path below"));
    CHECK(refused("/etc/passwd", "no path below"));
    CHECK(refused("", "names no file"));
    CHECK(refused("deep/", "no path below"));
    CHECK(refused(std::string_view("weights.bin\0.txt", 16), "no path below"));
    CHECK(refused("link.bin", "symbolic link"));
    CHECK(refused("inner_link.bin", "symbolic link"));
    CHECK(refused("up/secret.bin", "symbolic link"));
    CHECK(refused("hard.bin", "hard links"));
    CHECK(refused("deep", "not a regular file"));
    CHECK(load_beside(external_model("nowhere.bin"), folder).status().code() == StatusCode::Io);
}

TEST_CASE("external data must be there in full, and of the size of its shape") {
    const Folder folder;
    folder.write("model/weights.bin", kThree);
    const auto message = [&](const std::vector<std::pair<std::string, std::string>>& more) {
        return load_beside(external_model("weights.bin", more), folder).status().message();
    };
    CHECK(message({}).empty());
    CHECK_THAT(message({{"offset", "1"}}), contains("reach past the end"));
    CHECK_THAT(message({{"offset", "18446744073709551615"}}), contains("reach past the end"));
    CHECK_THAT(message({{"offset", "-4"}}), contains("no number of bytes"));
    CHECK_THAT(message({{"offset", "99999999999999999999999"}}), contains("no number of bytes"));
    CHECK_THAT(message({{"length", "8"}}), contains("where its shape needs 12"));
}

TEST_CASE("a model without a folder has no external data") {
    const Status status = load(external_model("weights.bin").write()).status();
    CHECK(status.code() == StatusCode::Unsupported);
    CHECK_THAT(status.message(), contains("this model has no folder; load it from a file"));
}

}  // namespace
}  // namespace quoin::test
