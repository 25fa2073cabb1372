#include <algorithm>
#include <utility>
#include <vector>

#include "core/log.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

constexpr size_t kNewData = 1;  // inputs of CacheUpdate
constexpr size_t kUpdateCosines = 5;
constexpr size_t kTokens = 3;  // inputs of CachedAttention: what tells about the tokens

// The value whose bytes this one shows.
ValueId shown(const Graph& graph, ValueId value) {
    for (NodeId producer = graph.value(value).producer; producer != kNoValue; producer = graph.value(value).producer) {
        const Node& node = graph.node(producer);
        if (!op_info(node.op).has(facts::view | facts::updates)) break;
        value = node.inputs[0];
    }
    return value;
}

bool is_updated(const Graph& graph, ValueId value) {
    return std::ranges::any_of(graph.nodes(), [&](const Node& node) {
        return op_info(node.op).has(facts::updates) && shown(graph, node.inputs[0]) == shown(graph, value);
    });
}

// Why attention cannot rotate its queries itself; null when it can.
const char* query_refusal(const Graph& graph, const Node* rotary, const Node& attention) {
    if (rotary == nullptr) return "its query is no RotaryEmbedding with one reader";
    const auto& dims = graph.value(rotary->inputs[0]).dims;
    if (!dims || dims->size() != 3) return "the heads do not lie side by side";
    if (rotary->input(3) != kNoValue) return "the rotation looks its angles up by position id";
    if (rotary->integer("num_heads", 0) != attention.integer("num_heads", 0)) return "the head counts differ";
    if (is_updated(graph, rotary->inputs[0])) return "the query's bytes change";
    return nullptr;
}

// Why attention cannot store the keys and values of a single token itself; null when it can.
const char* update_refusal(const Graph& graph, const Node* keys, const Node* values, const Node& attention) {
    if (keys == nullptr || values == nullptr) return "its keys or values are no CacheUpdate with one reader";
    for (const Node* const update : {keys, values}) {
        for (size_t index = 0; index < 3; ++index) {
            if (update->inputs[2 + index] != attention.inputs[kTokens + index]) return "the tokens differ";
        }
        if (update->integer("kv_num_heads", 0) != attention.integer("kv_num_heads", 0)) return "the head counts differ";
        if (is_updated(graph, update->inputs[kNewData])) return "the new keys' or values' bytes change";
    }
    const bool same_rotation = keys->input(kUpdateCosines) == attention.input(kTokens + 3) &&
                               keys->input(kUpdateCosines + 1) == attention.input(kTokens + 4) &&
                               keys->integer("interleaved", 0) == attention.integer("interleaved", 0);
    if (!same_rotation) return "keys and queries are not rotated by the same angles";
    if (values->input(kUpdateCosines) != kNoValue) return "the values are rotated";
    return nullptr;
}

}  // namespace

Status fuse_attention_inputs(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    const auto leave = [](const Node& node, const char* refusal) {
        log(LogLevel::Debug, "fuse_attention_inputs leaves a part of '", node.name, "' alone: ", refusal);
    };
    for (Node& node : nodes) {
        if (node.op != Op::CachedAttention || node.inputs.size() > 6) continue;
        const Node* const rotary = sole_producer(graph, readers, node.inputs[0], Op::RotaryEmbedding);
        if (const char* const refusal = query_refusal(graph, rotary, node); refusal == nullptr) {
            node.inputs[0] = rotary->inputs[0];
            node.inputs.push_back(rotary->inputs[1]);
            node.inputs.push_back(rotary->inputs[2]);
            node.attributes.emplace_back("interleaved", rotary->integer("interleaved", 0));
        } else {
            leave(node, refusal);
        }
        const Node* const keys = sole_producer(graph, readers, node.inputs[1], Op::CacheUpdate);
        const Node* const values = sole_producer(graph, readers, node.inputs[2], Op::CacheUpdate);
        if (const char* const refusal = update_refusal(graph, keys, values, node); refusal != nullptr) {
            leave(node, refusal);
            continue;
        }
        node.inputs.resize(8, kNoValue);
        node.inputs.push_back(keys->inputs[kNewData]);
        node.inputs.push_back(values->inputs[kNewData]);
        node.outputs.push_back(graph.add_value(node.name + ".partials", DType::F32, std::nullopt));
        for (const Node* const update : {keys, values}) {
            nodes[static_cast<size_t>(graph.value(update->outputs[0]).producer)].attributes.emplace_back("by_reader",
                                                                                                         int64_t{1});
        }
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
