#include <algorithm>
#include <vector>

#include "ops/linear.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

bool wants_panels(const Node& node, size_t input) {
    return (node.op == Op::Linear && input == 1) || (node.op == Op::GatedLinear && (input == 1 || input == 2));
}

struct Uses {
    bool panels = false;
    bool plain = false;  // Embedding is neither: it reads both
};

Uses uses_of(const Graph& graph, const std::vector<NodeId>& readers, ValueId value) {
    Uses uses;
    uses.plain = std::ranges::find(graph.outputs(), value) != graph.outputs().end();
    for (const NodeId reader : readers) {
        const Node& node = graph.node(reader);
        for (size_t input = 0; input < node.inputs.size(); ++input) {
            if (node.inputs[input] != value) continue;
            const bool panels = wants_panels(node, input);
            uses.panels = uses.panels || panels;
            uses.plain = uses.plain || (!panels && node.op != Op::Embedding);
        }
    }
    return uses;
}

// Projections read the new value; whoever wants the file's layout keeps the old one.
ValueId split_off_panels(Graph& graph, const std::vector<NodeId>& readers, ValueId value) {
    const Value original = graph.value(value);
    const ValueId panels = graph.add_value(original.name + ".panels", original.dtype, original.dims);
    for (const NodeId reader : readers) {
        Node& node = graph.node(reader);
        for (size_t input = 0; input < node.inputs.size(); ++input) {
            if (node.inputs[input] == value && wants_panels(node, input)) node.inputs[input] = panels;
        }
    }
    return panels;
}

}  // namespace

Status pack_weights(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    uint64_t total = 0;
    for (const Value& value : graph.values()) total += value.constant ? value.constant->byte_size() : 0;
    uint64_t done = 0;
    for (size_t index = 0; index < readers.size(); ++index) {
        const auto id = static_cast<ValueId>(index);
        if (!graph.value(id).constant) continue;
        done += graph.value(id).constant->byte_size();
        const Uses uses = uses_of(graph, readers[index], id);
        const bool pack = uses.panels && graph.value(id).constant->layout() == Layout::Plain;
        if (pack) {
            const ValueId target = uses.plain ? split_off_panels(graph, readers[index], id) : id;
            const Value& source = graph.value(id);
            QUOIN_ASSIGN_OR_RETURN(Constant packed, pack_weight(context.runtime, *source.constant, source.name));
            graph.value(target).constant = std::move(packed);
        }
        if (!pack || uses.plain) {
            QUOIN_RETURN_IF_ERROR(graph.value(id).constant->materialize(context.runtime.memory, graph.value(id).name));
        }
        if (context.progress && !context.progress(done, total)) {
            return error(StatusCode::Cancelled, "loading was stopped by the progress callback");
        }
    }
    return {};
}

}  // namespace quoin
