#include "test_case.h"

#include <algorithm>

#include "exec/session.h"
#include "llm/model.h"
#include "value_file.h"

namespace quoin::conformance {
namespace {

namespace fs = std::filesystem;

fs::path value_path(const fs::path& data_set, const char* direction, size_t index) {
    return data_set / (std::string(direction) + "_" + std::to_string(index) + ".pb");
}

Result<std::vector<RuntimeValue>> read_values(const fs::path& data_set, const char* direction, const Graph& graph,
                                              const std::vector<ValueId>& ids) {
    std::vector<RuntimeValue> values(ids.size());
    for (size_t index = 0; index < ids.size(); ++index) {
        const fs::path path = value_path(data_set, direction, index);
        const Value& value = graph.value(ids[index]);
        if (!fs::exists(path)) continue;  // left out
        QUOIN_ASSIGN_OR_RETURN(values[index], read_value(path, value.kind, value.dtype));
    }
    const fs::path beyond = value_path(data_set, direction, ids.size());
    if (fs::exists(beyond)) {
        return error(StatusCode::InvalidModel, "the model has only ", ids.size(), " values for the files beside ",
                     beyond.filename().string());
    }
    return values;
}

std::optional<std::string> run_data_set(Session& session, const fs::path& data_set, const Tolerance& tolerance) {
    const Graph& graph = session.prepared().graph;
    const auto inputs = read_values(data_set, "input", graph, graph.inputs());
    if (!inputs.ok()) return inputs.status().message();
    const auto wanted = read_values(data_set, "output", graph, graph.outputs());
    if (!wanted.ok()) return wanted.status().message();
    for (size_t index = 0; index < inputs.value().size(); ++index) session.set_input(index, inputs.value()[index]);
    if (const Status status = session.run(); !status.ok()) return status.message();
    for (size_t index = 0; index < wanted.value().size(); ++index) {
        const Value& value = graph.value(graph.outputs()[index]);
        if (!fs::exists(value_path(data_set, "output", index))) continue;
        if (const auto found = difference(session.output_value(index), wanted.value()[index], tolerance)) {
            return "output '" + value.name + "': " + *found;
        }
    }
    return std::nullopt;
}

}  // namespace

std::vector<TestCase> find_tests(const fs::path& root) {
    std::vector<TestCase> tests;
    const auto add = [&](const fs::path& folder) {
        if (!fs::exists(folder / "model.onnx")) return;
        const std::string name = folder.lexically_relative(root).generic_string();
        tests.push_back({name == "." ? folder.filename().string() : name, folder});
    };
    add(root);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        if (entry.is_directory()) add(entry.path());
    }
    std::ranges::sort(tests, {}, &TestCase::name);
    return tests;
}

std::optional<std::string> run_test(const TestCase& test, const RuntimePtr& runtime, const Tolerance& tolerance) {
    std::vector<fs::path> data_sets;
    for (const auto& entry : fs::directory_iterator(test.folder)) {
        const bool wanted = entry.path().filename().string().starts_with("test_data_set_");
        if (wanted && entry.is_directory()) data_sets.push_back(entry.path());
    }
    if (data_sets.empty()) return "there is no folder test_data_set_*";
    std::ranges::sort(data_sets);

    const auto source = open_file((test.folder / "model.onnx").string(), true, runtime->memory);
    if (!source.ok()) return source.status().message();
    const auto model = load(source.value(), runtime, {});
    if (!model.ok()) return model.status().message();
    if (model.value()->prepared == nullptr) return "the model holds nothing to run";
    Session session(model.value()->prepared);
    for (const fs::path& data_set : data_sets) {
        if (auto reason = run_data_set(session, data_set, tolerance)) {
            return data_sets.size() == 1 ? *reason : data_set.filename().string() + ": " + *reason;
        }
    }
    return std::nullopt;
}

}  // namespace quoin::conformance
