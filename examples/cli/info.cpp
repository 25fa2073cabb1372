// quoin info: what a model file holds and how it will run.
#include <array>

#include "commands.h"
#include "json.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin info [--model FILE] [--json] [OPTIONS]";
constexpr std::string_view kDescription =
    "Prints metadata, tensors with the kernel that each weight will use, the graph before and after\n"
    "optimization, and the memory plan; with --json as one object for programs.";

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
        object.add("prompt_arithmetic", quoin_dtype_name(info.prompt_arithmetic));
    }
    return object.add("isa", runtime.isa());
}

// A vocabulary has no graph and no plan; that is nothing to fail for.
template <class Describe>
bool describe_if_any(Describe&& describe) {
    try {
        describe();
        return true;
    } catch (const quoin::Error& error) {
        if (error.status() != QUOIN_ERROR_UNSUPPORTED) throw;
        return false;
    }
}

void print_json(const quoin::Model& model, const quoin::Runtime& runtime) {
    write_output("{\"model\": " + facts(model, runtime).text());
    for (const Section& section : kSections) {
        write_output(std::string(",\n\"") + section.key + "\": ");
        const bool any = describe_if_any([&] { model.describe(section.what, QUOIN_FORMAT_JSON, write_output); });
        if (!any) write_output("null");
    }
    write_output("}\n");
}

void print_text(const quoin::Model& model, const quoin::Runtime& runtime) {
    write_output("Model\n\n");
    const JsonObject object = facts(model, runtime);
    for (const JsonObject::Member& member : object.members()) {
        std::string name = "  " + member.key;
        name.resize(24, ' ');
        write_output(name + member.plain + "\n");
    }
    for (const Section& section : kSections) {
        write_output(std::string("\n") + section.title + "\n\n");
        const bool any = describe_if_any([&] { model.describe(section.what, QUOIN_FORMAT_TEXT, write_output); });
        if (!any) write_output("none\n");
    }
}

}  // namespace

int run_info(const std::vector<std::string>& arguments) {
    Setup setup;
    bool json = false;
    Options options;
    options.heading("Output");
    options.flag("--json", json, "one JSON object instead of text");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;

    const quoin::Runtime runtime = setup.runtime();
    const quoin::Model model = setup.model(runtime);
    if (json) {
        print_json(model, runtime);
    } else {
        print_text(model, runtime);
    }
    flush_output();
    return 0;
}
