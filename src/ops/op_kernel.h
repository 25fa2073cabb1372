// What an op must provide: infer (types and shapes), prepare (once per node), and the prepared node's plan and run.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/runtime.h"
#include "core/shape.h"
#include "core/status.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace quoin {

// ---- infer ----------------------------------------------------------------------------------------------------

// What is known of a value: at load with symbols, when a program is planned with every dim known.
struct ValueType {
    DType dtype = DType::Undefined;
    std::optional<std::vector<Dim>> dims;
};

class InferContext {
public:
    InferContext(const Graph& graph, const Node& node, std::span<const ValueType> inputs, std::span<ValueType> outputs)
        : graph_(graph), node_(node), inputs_(inputs), outputs_(outputs) {}

    const Node& node() const { return node_; }
    bool has_input(size_t index) const { return node_.input(index) != kNoValue; }
    const ValueType& input(size_t index) const { return inputs_[index]; }
    // The bytes of an input that is constant; nullopt when it is not.
    std::optional<Result<Tensor>> constant(size_t index) const;
    // What was set so far.
    const ValueType& output(size_t index) const { return outputs_[index]; }
    void set_output(size_t index, DType dtype, std::optional<std::vector<Dim>> dims);

    // InvalidModel that names the node and its op.
    template <class... Parts>
    Status fail(const Parts&... parts) const {
        return error(StatusCode::InvalidModel, "node '", node_.name, "' (", op_info(node_.op).name, "): ", parts...);
    }
    // Fails unless the input is left out, its dtype unknown yet, or one of those listed.
    Status expect_dtype(size_t index, std::initializer_list<DType> allowed) const;

private:
    const Graph& graph_;
    const Node& node_;
    std::span<const ValueType> inputs_;
    std::span<ValueType> outputs_;
};

using InferFunction = Status (*)(InferContext&);

// ---- prepare, plan, run ---------------------------------------------------------------------------------------

// A tensor as a step sees it: concrete shape, bytes that somebody else owns (null while planning).
struct TensorView {
    std::byte* data = nullptr;
    DType dtype = DType::Undefined;
    Shape shape;

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
    // Product of all dims but the last: ops of the last axis see [rows, columns].
    int64_t rows() const {
        int64_t count = 1;
        for (size_t axis = 0; axis + 1 < shape.rank(); ++axis) count *= shape[axis];
        return count;
    }
    int64_t columns() const { return shape.rank() == 0 ? 1 : shape.back(); }
    int64_t elements() const { return rows() * columns(); }
};

// How a step is cut into tasks, fixed when the program is planned. Results never depend on it.
struct Work {
    int64_t tasks = 1;
    int64_t scratch_bytes = 0;              // for one thread at a time
    std::array<int64_t, 3> grain{1, 1, 1};  // the op's own measure of a task
    // So little work that every thread had better do all of it for itself than wait for the others at a barrier. A
    // wish: the planner grants it where the results can have a copy for each thread.
    bool replicated = false;
};

struct Arguments {
    std::span<const TensorView> inputs;  // a left-out input has null data and dtype Undefined
    std::span<const TensorView> outputs;
    Work work;
};

// One node made ready: constants packed, implementation chosen. Immutable, run by many threads at once.
class PreparedNode {
public:
    PreparedNode() = default;
    PreparedNode(const PreparedNode&) = delete;
    PreparedNode& operator=(const PreparedNode&) = delete;
    virtual ~PreparedNode() = default;

    // Cuts the work for these shapes and this many threads. `arguments.work` is not read.
    virtual Result<Work> plan(const Arguments& arguments, int threads) const = 0;
    // Does one task. `scratch` has work.scratch_bytes bytes, aligned to 64, contents undefined.
    virtual Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const = 0;
    // What runs, for listings and profiles: "linear_q4_0 [avx512vnni]".
    virtual std::string label() const { return {}; }
};

struct PrepareContext {
    const Graph& graph;
    const Node& node;
    const Runtime& runtime;
    Provider provider;

    const KernelTable& kernels() const { return quoin::kernels(runtime.isa); }
    // The constant behind an input, or null.
    const Constant* constant(size_t index) const {
        const ValueId id = node.input(index);
        if (id == kNoValue || !graph.value(id).constant) return nullptr;
        return &*graph.value(id).constant;
    }
    template <class... Parts>
    Status fail(StatusCode code, const Parts&... parts) const {
        return error(code, "node '", node.name, "' (", op_info(node.op).name, "): ", parts...);
    }
};

using PrepareFunction = Result<std::unique_ptr<PreparedNode>> (*)(const PrepareContext&);

struct OpImplementation {
    InferFunction infer;
    PrepareFunction prepare;  // null for views: they are no steps
};

const OpImplementation& op_implementation(Op op);

// Fills dtype and dims of every value that a node makes. InvalidModel names the node that cannot be right.
Status infer_types(Graph& graph);

}  // namespace quoin
