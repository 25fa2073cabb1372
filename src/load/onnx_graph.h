// Builds a Graph from a GraphProto: names become values, functions their nodes, bodies graphs in attributes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "load/model.h"
#include "load/onnx_model.h"

namespace quoin::onnx {

struct BuiltGraph {
    Graph graph;
    std::vector<StatedElements> stated;
};

// The graph of the model, with the inputs and outputs of the file, and what that says of the values in between.
Result<BuiltGraph> build_graph(const GraphProto& proto, ModelContext& model);

// What stands around nodes: the model itself, or the call of a function.
struct Call {
    const OperatorSets& opsets;
    std::string prefix{};     // of the names of nodes and values
    Attributes attributes{};  // that the function's nodes may refer to
    int depth = 0;
};

class GraphBuilder;

// What the file says of a value, for conversions that want to know it early. Shape inference finds the truth later.
struct StatedType {
    DType dtype = DType::Undefined;
    std::optional<std::vector<Dim>> dims;
};

// Names of one graph or of one call of a function, and the scope around a body.
struct Scope {
    GraphBuilder& builder;
    const Call& call;
    Scope* outer = nullptr;
    std::map<std::string_view, ValueId> names{};                    // kNoValue: an input that a call leaves out
    std::map<std::string_view, const TensorProto*> initializers{};  // those that nobody has read yet
    std::map<std::string_view, const SparseTensorProto*> sparse_initializers{};
    std::map<std::string_view, StatedType> stated{};  // of values, by the file
};

// Builds one graph. A body has a builder of its own.
class GraphBuilder {
public:
    explicit GraphBuilder(ModelContext& model, const GraphBuilder* outer = nullptr)
        : model_(model), depth_(outer == nullptr ? 0 : outer->depth_ + 1) {}

    Status build_model(const GraphProto& proto);
    // A body: its inputs may lack types, and it may read values of `outer`.
    Status build_body(const GraphProto& proto, Scope& outer);

    Graph& graph() { return graph_; }
    // Of the outputs and of tensors that nodes make.
    std::vector<StatedElements>& stated() { return stated_; }
    // Values of the graph around that this body reads, and their names here.
    const std::vector<std::pair<ValueId, ValueId>>& captures() const { return captures_; }

private:
    Status build(const GraphProto& proto, Scope& scope, bool is_body);
    Status add_inputs(const GraphProto& proto, Scope& scope, bool is_body);
    // The default value of an input, which is then no constant any more; null for inputs that must be given.
    Result<std::shared_ptr<const Constant>> take_default(std::string_view name, Scope& scope);
    Result<std::vector<Dim>> dims_of(const std::vector<DimensionProto>& shape, std::string_view name);
    Status add_outputs(const GraphProto& proto, Scope& scope);
    Status add_initializers(const GraphProto& proto, Scope& scope);
    Status add_nodes(const std::vector<NodeProto>& nodes, Scope& scope);
    Status add_node(const NodeProto& proto, Scope& scope);
    // Binds the names of the node's outputs; values from `values_before` on are the node's own and take the names.
    Status finish_node(const NodeProto& proto, Scope& scope, const std::vector<ValueId>& results, size_t values_before);

    // Everything but bodies.
    Result<Attributes> attributes_of(const NodeProto& proto, const Scope& scope);
    Result<Attributes> attribute_of(const AttributeProto& proto);
    Result<std::vector<ValueId>> add_constant(const NodeProto& proto, NodeDraft& draft);
    // The nodes of a function in place of the node that calls it; its outputs.
    Result<std::vector<ValueId>> add_call(const FunctionProto& function, Scope& scope, NodeDraft& call);
    // The nodes of a graph with one input and one output in place; `x` itself where there is no such attribute.
    Result<ValueId> inline_body(const NodeProto& proto, std::string_view name, ValueId x, Scope& scope);
    // FlexAttention of ai.onnx.preview, whose attributes are nodes to put into an attention.
    Result<std::vector<ValueId>> add_flex_attention(const NodeProto& proto, Scope& scope, NodeDraft& draft);
    // Makes the attributes that are graphs and what they read of this one.
    Status add_bodies(const NodeProto& proto, Scope& scope, NodeDraft& draft);

    // The value of a name, made known here if it is an initializer or belongs to a graph around.
    Result<ValueId> resolve(std::string_view name, Scope& scope);
    Status define(std::string_view name, ValueId id, Scope& scope);
    // nullopt when nobody makes it.
    Result<std::optional<ValueId>> find(std::string_view name, Scope& scope);
    ValueId import(ValueId outer, const Graph& from);

    ModelContext& model_;
    int depth_;
    Graph graph_;
    std::vector<StatedElements> stated_;
    std::map<std::string_view, int32_t> symbols_;
    std::map<ValueId, ValueId> imported_;
    std::vector<std::pair<ValueId, ValueId>> captures_;
};

}  // namespace quoin::onnx
