// What all graphs of one ONNX model share while they are built.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "load/onnx_external.h"
#include "load/onnx_node.h"
#include "load/onnx_proto.h"
#include "load/onnx_tensor.h"

namespace quoin::onnx {

// Functions that call functions, or the nodes of a function that is called often: more is an attack or a loop.
inline constexpr int kMostCalls = 64;
// Nodes made of all functions' calls, and attributes in them.
inline constexpr int64_t kMostNodes = int64_t{1} << 19;

// "" for both names of the standard's own domain.
std::string_view canonical_domain(std::string_view domain);

// Versions by canonical domain.
using OperatorSets = std::map<std::string_view, int64_t>;

class ModelContext {
public:
    ModelContext(const ModelProto& model, TensorOrigin origin, bool overridable_initializers);

    // The constant of a tensor; made once, shared by all who ask again.
    Result<Constant> constant(const TensorProto& tensor);
    Result<Constant> constant(const SparseTensorProto& tensor);
    const FunctionProto* function(const NodeProto& node) const;
    // Values that a list of nodes reads and nobody in it makes, found once for each body.
    const std::vector<std::string_view>& free_names(const GraphProto& body);
    // Counts nodes and the like; InvalidModel when they are too many.
    Status charge(int64_t parts);
    const std::shared_ptr<Memory>& memory() const { return origin_.memory; }
    const OperatorSets& opsets() const { return opsets_; }
    // Whether initializers that are also inputs may be given by the caller.
    bool overridable_initializers() const { return overridable_initializers_; }

private:
    using FunctionKey = std::tuple<std::string_view, std::string_view, std::string_view>;

    TensorOrigin origin_;
    OperatorSets opsets_;
    bool overridable_initializers_;
    std::map<FunctionKey, const FunctionProto*> functions_;
    std::map<const void*, Constant> constants_;
    std::map<const GraphProto*, std::vector<std::string_view>> free_names_;
    int64_t charged_ = 0;
};

OperatorSets operator_sets(const std::vector<OperatorSet>& imports);

// The order in which these nodes can run: their own where it is one. InvalidModel names a node of a cycle.
Result<std::vector<size_t>> execution_order(const std::vector<NodeProto>& nodes, ModelContext& model);

}  // namespace quoin::onnx
