// The one representation of a model between loader and executor: a list of nodes in topological order over values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/status.h"
#include "core/tensor.h"
#include "graph/constant.h"
#include "graph/op.h"

namespace quoin {

class Graph;

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t kNoValue = -1;  // an optional input or output that is left out

// A dimension: a known size, a named size that is known when the model runs, or unknown.
struct Dim {
    int64_t size = -1;    // >= 0 when known
    int32_t symbol = -1;  // index into Graph::symbols() when size < 0 and it has a name

    constexpr bool known() const { return size >= 0; }
    bool operator==(const Dim&) const = default;
};

// What a value is at run time. Sequences and optionals hold tensors of `dtype`; their shape is not known.
enum class ValueKind : uint8_t { Tensor, Sequence, Optional, OptionalSequence, Map };

struct Value {
    std::string name;
    ValueKind kind = ValueKind::Tensor;
    DType dtype = DType::Undefined;
    std::optional<std::vector<Dim>> dims;  // nullopt: not even the rank is known
    NodeId producer = kNoValue;            // kNoValue: graph input or constant
    std::optional<Constant> constant;
    std::shared_ptr<const Constant> default_value = nullptr;  // of an input that need not be given
};

// Integers, floats, strings, lists of them, a tensor, or the body of a control-flow op. A body sees nothing of the
// graph around it but its inputs: those the op defines, then what it captures, in the order of the node's last inputs.
// All bodies of a node have the same captures; the node's attribute "captures" counts them.
using Attribute = std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>, Tensor, std::shared_ptr<const Graph>>;

struct Node {
    Op op;
    std::string name;  // for messages and profiles
    std::vector<ValueId> inputs;
    std::vector<ValueId> outputs;
    std::vector<std::pair<std::string, Attribute>> attributes;

    ValueId input(size_t index) const { return index < inputs.size() ? inputs[index] : kNoValue; }
    const Attribute* attribute(std::string_view key) const;
    // The attribute, or the fallback where it is absent or of another type.
    int64_t integer(std::string_view key, int64_t fallback) const;
    double number(std::string_view key, double fallback) const;
    std::string_view string(std::string_view key, std::string_view fallback) const;
};

// Not thread-safe while it is built and optimized; immutable and shared afterwards.
class Graph {
public:
    // ---- building
    int32_t add_symbol(std::string_view name);  // the existing index if the name is known
    ValueId add_value(std::string name, DType dtype, std::optional<std::vector<Dim>> dims);
    ValueId add_input(std::string name, DType dtype, std::vector<Dim> dims);
    // Makes a value that no node produces the next input.
    void make_input(ValueId value) { inputs_.push_back(value); }
    ValueId add_constant(std::string name, Constant constant);
    // Appends a node whose outputs are values of this graph or kNoValue.
    void append_node(Node node);
    // Appends a node; makes as many output values as the op has at least (one if none), named after the node. Their
    // dtype and shape are filled by shape inference (infer_types). Returns the first output.
    ValueId add_node(Op op, std::string name, std::vector<ValueId> inputs,
                     std::vector<std::pair<std::string, Attribute>> attributes = {});
    void add_output(ValueId value) { outputs_.push_back(value); }

    // ---- reading
    const std::vector<Value>& values() const { return values_; }
    const std::vector<Node>& nodes() const { return nodes_; }
    const std::vector<ValueId>& inputs() const { return inputs_; }
    const std::vector<ValueId>& outputs() const { return outputs_; }
    const std::vector<std::string>& symbols() const { return symbols_; }
    const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
    const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
    // For each value the nodes that read it, in order (twice if they read it twice).
    std::vector<std::vector<NodeId>> consumers() const;

    // ---- changing (passes)
    Value& value(ValueId id) { return values_[static_cast<size_t>(id)]; }
    Node& node(NodeId id) { return nodes_[static_cast<size_t>(id)]; }
    // Puts the new list in place (it must be in topological order) and sets every value's producer.
    void set_nodes(std::vector<Node> nodes);
    // The input at this place becomes an ordinary value: nobody may read it any more, unless it is constant now.
    void remove_input(size_t index) { inputs_.erase(inputs_.begin() + static_cast<std::ptrdiff_t>(index)); }
    // Every reader of `from`, graph outputs included, reads `to` instead.
    void replace_uses(ValueId from, ValueId to);

private:
    std::vector<std::string> symbols_;
    std::vector<Value> values_;
    std::vector<Node> nodes_;
    std::vector<ValueId> inputs_;
    std::vector<ValueId> outputs_;
};

// Internal when the graph breaks a rule of its own: ids out of range, arity against the op table, a value with two
// producers or read before it is made, a constant that is also produced, an output nobody makes.
Status verify(const Graph& graph);

// Readable text, one line per input, constant (without data) and node:
//   %12 f32[1, tokens, 64] = RMSNormalization(%11, blk.0.attn_norm.weight) {epsilon = 1e-05}
std::string dump(const Graph& graph);

// "f32[1, tokens, 64]"
std::string describe(const Graph& graph, const Value& value);

}  // namespace quoin
