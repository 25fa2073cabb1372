#include <algorithm>
#include <vector>

#include "ops/linear.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

bool reads_panels(const Node& node, ValueId value) {
    if (node.op != Op::Linear && node.op != Op::GatedLinear) return false;
    return node.inputs[1] == value || (node.op == Op::GatedLinear && node.inputs[2] == value);
}

}  // namespace

Status pack_weights(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    uint64_t total = 0;
    for (const Value& value : graph.values()) total += value.constant ? value.constant->byte_size() : 0;
    uint64_t done = 0;
    for (size_t id = 0; id < graph.values().size(); ++id) {
        Value& value = graph.value(static_cast<ValueId>(id));
        if (!value.constant) continue;
        done += value.constant->byte_size();
        const bool packed = std::ranges::any_of(
            readers[id], [&](NodeId reader) { return reads_panels(graph.node(reader), static_cast<ValueId>(id)); });
        if (packed && value.constant->layout() == Layout::Plain) {
            QUOIN_ASSIGN_OR_RETURN(value.constant, pack_weight(context.runtime, *value.constant, value.name));
        } else {
            QUOIN_RETURN_IF_ERROR(value.constant->materialize(context.runtime.memory, value.name));
        }
        if (context.progress && !context.progress(done, total)) {
            return error(StatusCode::Cancelled, "loading was stopped by the progress callback");
        }
    }
    return {};
}

}  // namespace quoin
