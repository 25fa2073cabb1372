// quoin info: what a model file holds and how it will run.
#include <array>

#include "commands.h"
#include "graph_inputs.h"
#include "json.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin info [--model FILE] [--input NAME=DIMS ...] [--json] [OPTIONS]";
constexpr std::string_view kDescription =
    "Prints metadata, tensors with the kernel that each weight will use, the graph before and after\n"
    "optimization, and the memory plan, which needs --input where the model leaves dims open; with --json as\n"
    "one object for programs.";

struct Section {
    int32_t what;
    const char* key;
    const char* title;
};
constexpr std::array<Section, 5> kSections = {{
    {QUOIN_DESCRIBE_METADATA, "metadata", "Metadata"},
    {QUOIN_DESCRIBE_TENSORS, "tensors", "Tensors"},
    {QUOIN_DESCRIBE_GRAPH_SOURCE, "graph_source", "Graph as loaded"},
    {QUOIN_DESCRIBE_GRAPH, "graph", "Graph after optimization"},
    {QUOIN_DESCRIBE_PLAN, "plan", "Memory plan"},
}};

const char* kind_name(int32_t kind) {
    switch (kind) {
        case QUOIN_MODEL_GRAPH: return "graph";
        case QUOIN_MODEL_DECODER: return "decoder";
        case QUOIN_MODEL_ENCODER: return "encoder";
        case QUOIN_MODEL_VOCABULARY: return "vocabulary";
        default: return "unknown";
    }
}

JsonObject facts(const quoin::Model& model, const quoin::Runtime& runtime) {
    const quoin::ModelFacts info = model.info();
    JsonObject object;
    object.add("kind", kind_name(model.kind()));
    object.add("architecture", info.architecture == nullptr ? "" : info.architecture);
    object.add("parameters", info.parameter_count).add("memory_bytes", info.memory_bytes);
    if (model.kind() == QUOIN_MODEL_DECODER) {
        object.add("vocabulary_size", info.vocabulary_size).add("context_length", info.context_length);
        object.add("layers", info.layers).add("embedding_length", info.embedding_length);
        object.add("active_weight_bytes", info.active_weight_bytes);
        object.add("prompt_multiply_adds", info.prompt_multiply_adds);
        object.add("logits_multiply_adds", info.logits_multiply_adds);
        object.add("prompt_arithmetic", quoin_dtype_name(info.prompt_arithmetic));
    }
    return object.add("isa", runtime.isa());
}

std::string value_json(const quoin_value_info& info) {
    JsonObject object;
    object.add("name", info.name).add("dtype", quoin_dtype_name(info.dtype)).add("type", describe_value(info));
    object.add("rank", info.rank)
        .add("kind", info.kind)
        .add("optional", info.optional)
        .add("has_default", info.has_default);
    std::string text = object.text();
    text.pop_back();
    text += ", \"dims\": [";
    for (int32_t axis = 0; axis < info.rank; ++axis) text += (axis == 0 ? "" : ", ") + std::to_string(info.dims[axis]);
    text += "], \"dim_names\": [";
    for (int32_t axis = 0; axis < info.rank; ++axis)
        text += (axis == 0 ? "" : ", ") + json_string(info.dim_names[axis]);
    return text + "]}";
}

std::vector<quoin::ValueInfo> inputs_of(const quoin::Model& model) {
    std::vector<quoin::ValueInfo> infos;
    for (size_t index = 0; index < model.input_count(); ++index) infos.push_back(model.input_info(index));
    return infos;
}

std::vector<quoin::ValueInfo> outputs_of(const quoin::Model& model) {
    std::vector<quoin::ValueInfo> infos;
    for (size_t index = 0; index < model.output_count(); ++index) infos.push_back(model.output_info(index));
    return infos;
}

// Of a graph: for the inputs given and those whose shape is known.
void describe_plan(const quoin::Model& model, const std::vector<std::string>& inputs, uint64_t seed, int32_t format) {
    quoin::Session session(model);
    if (!inputs.empty()) GraphInputs(model, inputs, seed).set_on(session);
    write_output(session.plan(format));
}

// A vocabulary has no graph and no plan, a graph of open shapes no plan; that is nothing to fail for.
template <class Describe>
bool describe_if_any(Describe&& describe) {
    try {
        describe();
        return true;
    } catch (const quoin::Error& error) {
        if (error.status() != QUOIN_ERROR_UNSUPPORTED && error.status() != QUOIN_ERROR_INVALID_ARGUMENT) throw;
        return false;
    }
}

void describe_section(const quoin::Model& model, const Section& section, const std::vector<std::string>& inputs,
                      uint64_t seed, int32_t format) {
    if (section.what == QUOIN_DESCRIBE_PLAN && model.kind() == QUOIN_MODEL_GRAPH) {
        describe_plan(model, inputs, seed, format);
    } else {
        model.describe(section.what, format, write_output);
    }
}

void print_json(const quoin::Model& model, const quoin::Runtime& runtime, const std::vector<std::string>& inputs,
                uint64_t seed) {
    write_output("{\"model\": " + facts(model, runtime).text());
    for (const bool input : {true, false}) {
        write_output(input ? ",\n\"inputs\": [" : ",\n\"outputs\": [");
        std::string text;
        for (const quoin::ValueInfo& info : input ? inputs_of(model) : outputs_of(model)) {
            text += (text.empty() ? "" : ", ") + value_json(info);
        }
        write_output(text + "]");
    }
    for (const Section& section : kSections) {
        write_output(std::string(",\n\"") + section.key + "\": ");
        const bool any = describe_if_any([&] { describe_section(model, section, inputs, seed, QUOIN_FORMAT_JSON); });
        if (!any) write_output("null");
    }
    write_output("}\n");
}

void print_text(const quoin::Model& model, const quoin::Runtime& runtime, const std::vector<std::string>& inputs,
                uint64_t seed) {
    write_output("Model\n\n");
    const JsonObject object = facts(model, runtime);
    for (const JsonObject::Member& member : object.members()) {
        std::string name = "  " + member.key;
        name.resize(24, ' ');
        write_output(name + member.plain + "\n");
    }
    for (const bool input : {true, false}) {
        write_output(input ? "\nInputs\n\n" : "\nOutputs\n\n");
        for (const quoin::ValueInfo& info : input ? inputs_of(model) : outputs_of(model)) {
            write_output("  " + std::string(info.name) + "  " + describe_value(info) + "\n");
        }
    }
    for (const Section& section : kSections) {
        write_output(std::string("\n") + section.title + "\n\n");
        const bool any = describe_if_any([&] { describe_section(model, section, inputs, seed, QUOIN_FORMAT_TEXT); });
        if (!any) write_output("none\n");
    }
}

}  // namespace

int run_info(const std::vector<std::string>& arguments) {
    Setup setup;
    bool json = false;
    Options options;
    std::vector<std::string> inputs;
    options.heading("Output");
    options.list("--input", "NAME=VALUE", inputs, kInputHelp);
    options.flag("--json", json, "one JSON object instead of text");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;

    const quoin::Runtime runtime = setup.runtime();
    const quoin::Model model = setup.model(runtime);
    if (json) {
        print_json(model, runtime, inputs, setup.seed());
    } else {
        print_text(model, runtime, inputs, setup.seed());
    }
    flush_output();
    return 0;
}
