#include "load/onnx_model.h"

#include <algorithm>
#include <queue>
#include <set>
#include <utility>

#include "load/quoted.h"

namespace quoin::onnx {

std::string_view canonical_domain(std::string_view domain) {
    return domain == "ai.onnx" ? std::string_view() : domain;
}

OperatorSets operator_sets(const std::vector<OperatorSet>& imports) {
    OperatorSets sets;
    for (const OperatorSet& each : imports) sets.insert_or_assign(canonical_domain(each.domain), each.version);
    return sets;
}

ModelContext::ModelContext(const ModelProto& model, TensorOrigin origin, bool overridable_initializers)
    : origin_(origin),
      opsets_(operator_sets(model.opset_imports)),
      // In older files every initializer had to be an input.
      overridable_initializers_(overridable_initializers && model.ir_version >= 4) {
    for (const FunctionProto& each : model.functions) {
        functions_.emplace(FunctionKey{canonical_domain(each.domain), each.name, each.overload}, &each);
    }
}

Result<Constant> ModelContext::constant(const TensorProto& tensor) {
    const auto found = constants_.find(&tensor);
    if (found != constants_.end()) return found->second;
    QUOIN_ASSIGN_OR_RETURN(Constant made, constant_of(tensor, origin_));
    return constants_.emplace(&tensor, std::move(made)).first->second;
}

Result<Constant> ModelContext::constant(const SparseTensorProto& tensor) {
    const auto found = constants_.find(&tensor);
    if (found != constants_.end()) return found->second;
    QUOIN_ASSIGN_OR_RETURN(Tensor dense, decode_sparse_tensor(tensor, origin_.memory));
    return constants_.emplace(&tensor, Constant(std::move(dense))).first->second;
}

const FunctionProto* ModelContext::function(const NodeProto& node) const {
    const auto found = functions_.find({canonical_domain(node.domain), node.op_type, node.overload});
    return found == functions_.end() ? nullptr : found->second;
}

Status ModelContext::charge(int64_t parts) {
    charged_ += parts;
    if (charged_ <= kMostNodes) return {};
    return error(StatusCode::InvalidModel, "the model makes more than ", kMostNodes,
                 " nodes; does a function call itself many times?");
}

const std::vector<std::string_view>& ModelContext::free_names(const GraphProto& body) {
    const auto found = free_names_.find(&body);
    if (found != free_names_.end()) return found->second;
    std::set<std::string_view> own;
    for (const ValueInfoProto& each : body.inputs) own.insert(each.name);
    for (const TensorProto& each : body.initializers) own.insert(each.name);
    for (const SparseTensorProto& each : body.sparse_initializers) own.insert(each.values.name);
    for (const NodeProto& node : body.nodes) own.insert(node.outputs.begin(), node.outputs.end());
    std::set<std::string_view> read;
    const auto add = [&](std::string_view name) {
        if (!name.empty() && !own.contains(name)) read.insert(name);
    };
    for (const NodeProto& node : body.nodes) {
        std::ranges::for_each(node.inputs, add);
        for (const AttributeProto& attribute : node.attributes) {
            if (attribute.g != nullptr) std::ranges::for_each(free_names(*attribute.g), add);
        }
    }
    for (const ValueInfoProto& each : body.outputs) add(each.name);
    return free_names_.emplace(&body, std::vector<std::string_view>(read.begin(), read.end())).first->second;
}

Result<std::vector<size_t>> execution_order(const std::vector<NodeProto>& nodes, ModelContext& model) {
    std::map<std::string_view, size_t> producers;
    for (size_t index = 0; index < nodes.size(); ++index) {
        for (const std::string_view output : nodes[index].outputs) {
            if (!output.empty()) producers.emplace(output, index);
        }
    }
    bool sorted = true;
    std::vector<std::vector<size_t>> readers(nodes.size());
    std::vector<size_t> missing(nodes.size());
    for (size_t index = 0; index < nodes.size(); ++index) {
        const auto needs = [&](std::string_view name) {
            const auto producer = producers.find(name);
            if (producer == producers.end()) return;
            readers[producer->second].push_back(index);
            ++missing[index];
            sorted = sorted && producer->second < index;
        };
        std::ranges::for_each(nodes[index].inputs, needs);
        for (const AttributeProto& attribute : nodes[index].attributes) {
            if (attribute.g != nullptr) std::ranges::for_each(model.free_names(*attribute.g), needs);
        }
    }
    std::vector<size_t> order;
    order.reserve(nodes.size());
    if (sorted) {
        for (size_t index = 0; index < nodes.size(); ++index) order.push_back(index);
        return order;
    }
    // The earliest in the file among those that are ready.
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
    for (size_t index = 0; index < nodes.size(); ++index) {
        if (missing[index] == 0) ready.push(index);
    }
    while (!ready.empty()) {
        order.push_back(ready.top());
        ready.pop();
        for (const size_t reader : readers[order.back()]) {
            if (--missing[reader] == 0) ready.push(reader);
        }
    }
    if (order.size() == nodes.size()) return order;
    const auto waiting = std::ranges::find_if(missing, [](size_t count) { return count != 0; });
    const NodeProto& node = nodes[static_cast<size_t>(waiting - missing.begin())];
    return error(StatusCode::InvalidModel, "node ", quoted(node.name), " (", quoted(node.op_type),
                 ") needs its own result: the graph has a cycle");
}

}  // namespace quoin::onnx
