#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

#include "optimize/passes.h"

namespace quoin {
namespace {

constexpr uint64_t kSmallConstant = 1024;  // bytes; larger ones are rarely equal and dear to compare

bool same_bytes(const Tensor& a, const Tensor& b) {
    if (a.dtype() != b.dtype() || !(a.shape() == b.shape()) || a.byte_size() != b.byte_size()) return false;
    return a.byte_size() == 0 || std::memcmp(a.data(), b.data(), a.byte_size()) == 0;
}

bool same_attribute(const Attribute& a, const Attribute& b) {
    if (a.index() != b.index()) return false;
    if (const auto* const tensor = std::get_if<Tensor>(&a)) {
        return tensor->dtype() != DType::String && same_bytes(*tensor, std::get<Tensor>(b));
    }
    return std::visit(
        [&]<class T>(const T& value) {
            if constexpr (std::is_same_v<T, Tensor>) {
                return false;
            } else {
                return value == std::get<T>(b);
            }
        },
        a);
}

bool same_attributes(const Node& a, const Node& b) {
    return a.attributes.size() == b.attributes.size() && std::ranges::all_of(a.attributes, [&](const auto& entry) {
               const Attribute* const other = b.attribute(entry.first);
               return other != nullptr && same_attribute(entry.second, *other);
           });
}

// Running it twice gives the same, and nobody can tell the results apart.
bool may_be_shared(const Node& node) {
    const OpInfo& info = op_info(node.op);
    return !info.has(facts::random) && info.has(facts::folds);
}

std::vector<ValueId> key_of(const Node& node) {
    std::vector<ValueId> inputs = node.inputs;
    if (op_info(node.op).has(facts::commutative) && inputs.size() == 2) std::ranges::sort(inputs);
    // A left-out input at the end is the same as none.
    while (!inputs.empty() && inputs.back() == kNoValue) inputs.pop_back();
    return inputs;
}

// Small constants of equal bytes: the first stands for all.
Status merge_constants(const Graph& graph, std::vector<ValueId>& renamed) {
    std::unordered_map<std::string, std::vector<std::pair<ValueId, Tensor>>> seen;
    for (size_t index = 0; index < graph.values().size(); ++index) {
        const Value& value = graph.values()[index];
        if (!value.constant || value.constant->layout() != Layout::Plain || value.dtype == DType::String ||
            value.constant->byte_size() > kSmallConstant) {
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(const Tensor tensor, value.constant->load());
        std::string key(reinterpret_cast<const char*>(tensor.data()), tensor.byte_size());
        auto& candidates = seen[std::move(key)];
        const auto same =
            std::ranges::find_if(candidates, [&](const auto& each) { return same_bytes(each.second, tensor); });
        if (same != candidates.end()) {
            renamed[index] = same->first;
        } else {
            candidates.emplace_back(static_cast<ValueId>(index), tensor);
        }
    }
    return {};
}

}  // namespace

Status remove_duplicates(Graph& graph, const OptimizeContext& context) {
    // Of two equal values one may be changed in place, and what reads storage twice may read it before and after.
    if (std::ranges::any_of(graph.nodes(), [](const Node& node) { return op_info(node.op).has(facts::updates); })) {
        return {};
    }
    std::vector<ValueId> renamed(graph.values().size());
    for (size_t id = 0; id < renamed.size(); ++id) renamed[id] = static_cast<ValueId>(id);
    QUOIN_RETURN_IF_ERROR(merge_constants(graph, renamed));
    std::vector<bool> is_output(graph.values().size());
    for (const ValueId id : graph.outputs()) is_output[static_cast<size_t>(id)] = true;

    std::map<std::pair<Op, std::vector<ValueId>>, std::vector<size_t>> seen;
    std::vector<Node> nodes = graph.nodes();
    for (size_t index = 0; index < nodes.size(); ++index) {
        Node& node = nodes[index];
        for (ValueId& input : node.inputs) {
            if (input != kNoValue) input = renamed[static_cast<size_t>(input)];
        }
        if (!may_be_shared(node)) continue;
        auto& candidates = seen[{node.op, key_of(node)}];
        const auto same = std::ranges::find_if(candidates, [&](size_t other) {
            return nodes[other].outputs.size() == node.outputs.size() && same_attributes(nodes[other], node);
        });
        if (same == candidates.end()) {
            candidates.push_back(index);
            continue;
        }
        // What the first left out, the second may want; what the graph returns keeps its own value and name.
        const Node& first = nodes[*same];
        bool covered = true;
        for (size_t output = 0; output < node.outputs.size(); ++output) {
            const ValueId id = node.outputs[output];
            if (id == kNoValue) continue;
            covered = covered && first.outputs[output] != kNoValue && !is_output[static_cast<size_t>(id)];
        }
        if (!covered) continue;
        for (size_t output = 0; output < node.outputs.size(); ++output) {
            if (node.outputs[output] == kNoValue) continue;
            renamed[static_cast<size_t>(node.outputs[output])] = first.outputs[output];
        }
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
