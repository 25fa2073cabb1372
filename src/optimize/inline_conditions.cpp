#include <algorithm>
#include <string>

#include "core/log.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// The branch that a constant condition chooses; null with the reason where there is none.
const Graph* chosen_branch(const Graph& graph, const Node& node, const char*& refusal) {
    const Value& condition = graph.value(node.inputs[0]);
    if (!condition.constant) {
        refusal = "its condition is not constant";
        return nullptr;
    }
    const Result<Tensor> tensor = condition.constant->load();
    if (!tensor.ok() || tensor->dtype() != DType::Bool || tensor->byte_size() != 1) {
        refusal = "its condition is not one bool";
        return nullptr;
    }
    const Attribute* const found = node.attribute(tensor->as<const bool>()[0] ? "then_branch" : "else_branch");
    const auto* const branch = found == nullptr ? nullptr : std::get_if<std::shared_ptr<const Graph>>(found);
    if (branch == nullptr || *branch == nullptr) {
        refusal = "the branch is missing";
        return nullptr;
    }
    const auto captures = static_cast<size_t>(std::max<int64_t>(0, node.integer("captures", 0)));
    if ((*branch)->inputs().size() != captures || node.inputs.size() < captures + 1 ||
        (*branch)->outputs().size() < node.outputs.size()) {
        refusal = "the branch takes or makes something else";
        return nullptr;
    }
    return branch->get();
}

// Puts the nodes of a branch behind those in `nodes`, its values into the graph around it.
class Inliner {
public:
    Inliner(Graph& graph, const Graph& branch)
        : graph_(graph), branch_(branch), ids_(branch.values().size(), kNoValue) {}

    void run(const Node& condition, std::vector<Node>& nodes) {
        const size_t first = condition.inputs.size() - branch_.inputs().size();
        for (size_t index = 0; index < branch_.inputs().size(); ++index) {
            ids_[static_cast<size_t>(branch_.inputs()[index])] = condition.inputs[first + index];
        }
        // What the branch makes takes the place of the result. What it only passes on is named anew.
        std::vector<std::pair<ValueId, ValueId>> passed_on;
        for (size_t index = 0; index < condition.outputs.size(); ++index) {
            const ValueId result = condition.outputs[index];
            if (result == kNoValue) continue;
            const ValueId inner = branch_.outputs()[index];
            ValueId& id = ids_[static_cast<size_t>(inner)];
            if (branch_.value(inner).producer != kNoValue && id == kNoValue) {
                id = result;
            } else {
                passed_on.emplace_back(inner, result);
            }
        }
        for (const Node& node : branch_.nodes()) {
            Node copy = node;
            for (std::vector<ValueId>* const list : {&copy.inputs, &copy.outputs}) {
                for (ValueId& id : *list) id = outer(id);
            }
            nodes.push_back(std::move(copy));
        }
        for (const auto& [inner, result] : passed_on) {
            nodes.push_back({Op::Identity, condition.name, {outer(inner)}, {result}, {}});
        }
    }

private:
    ValueId outer(ValueId inner) {
        if (inner == kNoValue) return kNoValue;
        ValueId& id = ids_[static_cast<size_t>(inner)];
        if (id != kNoValue) return id;
        const Value& value = branch_.value(inner);
        if (value.constant) {
            id = graph_.add_constant(value.name, *value.constant);
        } else {
            id = graph_.add_value(value.name, value.dtype, std::nullopt);  // inference finds the dims again
            graph_.value(id).kind = value.kind;
        }
        return id;
    }

    Graph& graph_;
    const Graph& branch_;
    std::vector<ValueId> ids_;  // of the branch's values, in the graph
};

}  // namespace

Status inline_conditions(Graph& graph, const OptimizeContext& /*context*/) {
    std::vector<Node> nodes;
    bool changed = false;
    const std::vector<Node> before = graph.nodes();
    for (const Node& node : before) {
        if (node.op != Op::If) {
            nodes.push_back(node);
            continue;
        }
        const char* refusal = nullptr;
        const Graph* const branch = chosen_branch(graph, node, refusal);
        if (branch == nullptr) {
            log(LogLevel::Debug, "inline_conditions leaves '", node.name, "' alone: ", refusal);
            nodes.push_back(node);
            continue;
        }
        Inliner(graph, *branch).run(node, nodes);
        changed = true;
    }
    if (changed) graph.set_nodes(std::move(nodes));
    return {};
}

}  // namespace quoin
