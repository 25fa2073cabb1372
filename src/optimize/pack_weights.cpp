#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/rounding.h"
#include "ops/code_weights.h"
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

// All packed weights lie in one block: the system can give it huge pages, which many small blocks would not get, and a
// step reads it from one end to the other.
class PackedBlock {
public:
    Status plan(const Result<size_t>& size, const std::string& name) {
        QUOIN_ASSIGN_OR_RETURN(const size_t bytes, size);
        if (bytes > largest_bytes_) {
            largest_ = name;
            largest_bytes_ = bytes;
        }
        total_ += align_up(bytes, Memory::kAlignment);
        return {};
    }
    Status allocate(const std::shared_ptr<Memory>& memory) {
        if (total_ == 0) return {};
        QUOIN_ASSIGN_OR_RETURN(Buffer buffer, Buffer::allocate(memory, total_, "weights, the largest " + largest_));
        block_ = std::make_shared<Buffer>(std::move(buffer));
        return {};
    }
    std::shared_ptr<std::byte> take(size_t bytes) {
        std::byte* const place = block_->data() + used_;
        used_ += align_up(bytes, Memory::kAlignment);
        return {block_, place};
    }

private:
    std::string largest_;
    size_t largest_bytes_ = 0;
    size_t total_ = 0;
    size_t used_ = 0;
    std::shared_ptr<Buffer> block_;
};

bool is_packed(const Graph& graph, const std::vector<NodeId>& readers, ValueId id) {
    return graph.value(id).constant->layout() != Layout::Panels && uses_of(graph, readers, id).panels;
}

// Whether a DequantizeBlocks of constants is read by products alone.
bool is_code_weight(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, const Node& node) {
    if (node.op != Op::DequantizeBlocks) return false;
    const ValueId result = node.outputs[0];
    const Uses uses = uses_of(graph, readers[static_cast<size_t>(result)], result);
    return uses.panels && !uses.plain && std::ranges::all_of(node.inputs, [&](ValueId id) {
               return id == kNoValue || graph.value(id).constant.has_value();
           });
}

// What DequantizeBlocks would make becomes panels of its codes, and its operands go.
Status pack_all_codes(Graph& graph, const OptimizeContext& context, PackedBlock& block,
                      const std::function<Status(uint64_t)>& report) {
    std::vector<Node> kept;
    const auto readers = graph.consumers();
    for (const Node& node : graph.nodes()) {
        if (!is_code_weight(graph, readers, node)) {
            kept.push_back(node);
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(const size_t size, packed_code_bytes(graph, node));
        QUOIN_ASSIGN_OR_RETURN(Constant packed, pack_codes(context.runtime, graph, node, block.take(size)));
        uint64_t bytes = 0;
        for (const ValueId id : node.inputs) {
            if (id != kNoValue) bytes += graph.value(id).constant->byte_size();
        }
        Value& result = graph.value(node.outputs[0]);
        result.name = graph.value(node.inputs[0]).name;
        result.dtype = packed.dtype();
        result.constant = std::move(packed);
        QUOIN_RETURN_IF_ERROR(report(bytes));
    }
    if (kept.size() == graph.nodes().size()) return {};
    graph.set_nodes(std::move(kept));
    return remove_dead_nodes(graph, context);
}

}  // namespace

Status pack_weights(Graph& graph, const OptimizeContext& context) {
    auto readers = graph.consumers();
    uint64_t total = 0;
    PackedBlock block;
    for (size_t index = 0; index < readers.size(); ++index) {
        const auto id = static_cast<ValueId>(index);
        const Value& value = graph.value(id);
        if (!value.constant) continue;
        total += value.constant->byte_size();
        if (is_packed(graph, readers[index], id)) {
            QUOIN_RETURN_IF_ERROR(block.plan(packed_bytes(*value.constant, value.name), value.name));
        }
    }
    for (const Node& node : graph.nodes()) {
        if (is_code_weight(graph, readers, node)) {
            QUOIN_RETURN_IF_ERROR(block.plan(packed_code_bytes(graph, node), graph.value(node.inputs[0]).name));
        }
    }
    QUOIN_RETURN_IF_ERROR(block.allocate(context.runtime.memory));
    uint64_t done = 0;
    const auto report = [&](uint64_t bytes) -> Status {
        done += bytes;
        if (!context.progress || context.progress(done, total)) return {};
        return error(StatusCode::Cancelled, "loading was stopped by the progress callback");
    };
    QUOIN_RETURN_IF_ERROR(pack_all_codes(graph, context, block, report));
    readers = graph.consumers();
    for (size_t index = 0; index < readers.size(); ++index) {
        const auto id = static_cast<ValueId>(index);
        if (!graph.value(id).constant || graph.value(id).constant->codes() != nullptr) continue;
        const uint64_t bytes = graph.value(id).constant->byte_size();
        const bool pack = is_packed(graph, readers[index], id);
        const bool plain = !pack || uses_of(graph, readers[index], id).plain;
        if (pack) {
            const ValueId target = plain ? split_off_panels(graph, readers[index], id) : id;
            const Constant& source = *graph.value(id).constant;
            QUOIN_ASSIGN_OR_RETURN(const size_t size, packed_bytes(source, graph.value(id).name));
            QUOIN_ASSIGN_OR_RETURN(Constant packed, pack_weight(context.runtime, source, block.take(size)));
            graph.value(target).constant = std::move(packed);
        }
        if (plain) {
            QUOIN_RETURN_IF_ERROR(graph.value(id).constant->materialize(context.runtime.memory, graph.value(id).name));
        }
        QUOIN_RETURN_IF_ERROR(report(bytes));
    }
    return {};
}

}  // namespace quoin
