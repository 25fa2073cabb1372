#include <vector>

#include "graph/graph.h"

namespace quoin {
namespace {

Status defect(const Node& node, const char* what) {
    return error(StatusCode::Internal, "graph: node '", node.name, "' (", op_info(node.op).name, ") ", what);
}

}  // namespace

Status verify(const Graph& graph) {
    const auto count = static_cast<ValueId>(graph.values().size());
    const auto in_range = [&](ValueId id) { return id >= 0 && id < count; };
    std::vector<bool> available(graph.values().size());
    for (const ValueId input : graph.inputs()) {
        if (!in_range(input)) return error(StatusCode::Internal, "graph: an input is no value");
        available[static_cast<size_t>(input)] = true;
    }
    for (size_t id = 0; id < graph.values().size(); ++id) {
        if (graph.values()[id].constant) available[id] = true;
    }
    for (size_t id = 0; id < graph.nodes().size(); ++id) {
        const Node& node = graph.nodes()[id];
        const OpInfo& info = op_info(node.op);
        const auto inputs = static_cast<int32_t>(node.inputs.size());
        if (inputs < info.least_inputs || inputs > info.most_inputs)
            return defect(node, "has a wrong number of inputs");
        const auto outputs = static_cast<int32_t>(node.outputs.size());
        if (outputs < info.least_outputs || outputs > info.most_outputs)
            return defect(node, "has a wrong number of outputs");
        for (size_t index = 0; index < node.inputs.size(); ++index) {
            const ValueId input = node.inputs[index];
            if (input == kNoValue && static_cast<int32_t>(index) >= info.least_inputs) continue;
            if (!in_range(input)) return defect(node, "reads a value that does not exist");
            if (!available[static_cast<size_t>(input)]) return defect(node, "reads a value before it is made");
        }
        for (const ValueId output : node.outputs) {
            if (output == kNoValue) continue;
            if (!in_range(output)) return defect(node, "makes a value that does not exist");
            if (available[static_cast<size_t>(output)]) return defect(node, "makes a value that exists already");
            if (graph.value(output).producer != static_cast<NodeId>(id))
                return defect(node, "is not its value's producer");
            available[static_cast<size_t>(output)] = true;
        }
    }
    for (const ValueId output : graph.outputs()) {
        if (!in_range(output) || !available[static_cast<size_t>(output)]) {
            return error(StatusCode::Internal, "graph: an output is made by no node");
        }
    }
    return {};
}

}  // namespace quoin
