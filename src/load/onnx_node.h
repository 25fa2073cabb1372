// A node on its way from the file into the graph: upgrades change it in place or replace it by other nodes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "graph/graph.h"

namespace quoin::onnx {

using Attributes = std::vector<std::pair<std::string, Attribute>>;

// Small tensors that a loader makes itself: rank 0 of one element, rank 1 of several. On the ordinary heap.
Tensor tensor_of(int64_t element);
Tensor tensor_of(float element);
Tensor tensor_of(const std::string& element);
Tensor tensor_of(const std::vector<int64_t>& elements);
Tensor tensor_of(const std::vector<float>& elements);
Tensor tensor_of(const std::vector<std::string>& elements);

// Inputs are values of `graph`, attributes are those of the graph's nodes. New nodes are appended to `graph` at once,
// named after this one.
class NodeDraft {
public:
    NodeDraft(Graph& graph, const std::shared_ptr<Memory>& memory) : graph_(graph), memory_(memory) {}

    std::string name;
    std::string op_type;
    std::string domain;             // "" is ai.onnx
    int64_t version = 0;            // of the domain's operator set
    std::vector<ValueId> inputs;    // kNoValue: left out
    std::vector<bool> wanted;       // for each output whether it has a name
    std::vector<ValueId> captures;  // what its bodies read besides their inputs
    Attributes attributes;

    // ---- reading
    const Graph& graph() const { return graph_; }
    Graph& graph() { return graph_; }
    const std::shared_ptr<Memory>& memory() const { return memory_; }
    ValueId input(size_t index) const { return index < inputs.size() ? inputs[index] : kNoValue; }
    bool has_input(size_t index) const { return input(index) != kNoValue; }
    bool wants_output(size_t index) const { return index < wanted.size() && wanted[index]; }
    // Undefined where it is not known while loading.
    DType dtype(ValueId id) const { return id == kNoValue ? DType::Undefined : graph_.value(id).dtype; }
    // Where the file tells it.
    std::optional<size_t> rank(ValueId id) const;
    // The elements of a constant tensor of i64 or i32; nullopt when it is none.
    std::optional<std::vector<int64_t>> constant_integers(ValueId id) const;
    // The same of f32.
    std::optional<std::vector<float>> constant_floats(ValueId id) const;

    const Attribute* attribute(std::string_view key) const;
    int64_t integer(std::string_view key, int64_t fallback) const;
    double number(std::string_view key, double fallback) const;
    std::string string(std::string_view key, std::string_view fallback) const;
    std::optional<std::vector<int64_t>> integers(std::string_view key) const;

    // ---- changing
    void set(std::string_view key, Attribute value);
    // Takes the attribute away.
    std::optional<Attribute> take(std::string_view key);
    // Makes the input at `index` this one; what lies between is left out.
    void set_input(size_t index, ValueId id);

    // ---- making
    ValueId add(Op op, std::vector<ValueId> operands, Attributes with = {});
    // The same with several outputs.
    std::vector<ValueId> add_many(Op op, std::vector<ValueId> operands, size_t outputs, Attributes with = {});
    ValueId constant(Tensor tensor);
    // i64 [n] and i64 [].
    ValueId constant_of(const std::vector<int64_t>& elements) { return constant(tensor_of(elements)); }
    ValueId scalar(int64_t element) { return constant(tensor_of(element)); }
    // One number with the element type of `like`, rank 0.
    ValueId scalar_like(double element, ValueId like);

    // The node is done: these values, made by add(), are its outputs (kNoValue for ones that are not wanted).
    void finish(std::vector<ValueId> outputs) { results_ = std::move(outputs); }
    const std::optional<std::vector<ValueId>>& results() const { return results_; }

    // A status that names the node.
    template <class... Parts>
    Status fail(StatusCode code, const Parts&... parts) const {
        return error(code, "node ", quoted_name(), " (", op_type, domain.empty() ? "" : " of " + domain, ", version ",
                     version, "): ", parts...);
    }
    template <class... Parts>
    Status invalid(const Parts&... parts) const {
        return fail(StatusCode::InvalidModel, parts...);
    }
    template <class... Parts>
    Status unsupported(const Parts&... parts) const {
        return fail(StatusCode::Unsupported, parts...);
    }

private:
    std::string quoted_name() const;

    Graph& graph_;
    const std::shared_ptr<Memory>& memory_;
    std::optional<std::vector<ValueId>> results_;
};

// The element type of a node's first output as far as its operands tell it before shapes are inferred, else Undefined.
DType likely_dtype(const Graph& graph, const Node& node);

}  // namespace quoin::onnx
