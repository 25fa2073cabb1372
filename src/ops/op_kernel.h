// What an op must provide: infer (types and shapes) and then either prepare (once per node; the prepared node's plan
// and run, cut into tasks) or compute (one call, one thread, tensors in and out). Views need neither.
//
// A node whose output shapes infer() can tell from the shapes of its inputs, and from the bytes of those inputs that
// are known when a program is planned, becomes a step. All others run between the parallel regions, when their inputs
// are there: infer() is asked once more, now with the bytes of every input; if it still cannot tell, compute() makes
// outputs of the shape it finds. So Reshape needs no more than its rule, and NonZero no more than compute().
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/runtime.h"
#include "core/shape.h"
#include "core/status.h"
#include "graph/graph.h"
#include "kernels/kernels.h"
#include "ops/runtime_value.h"

namespace quoin {

// ---- infer ----------------------------------------------------------------------------------------------------

// What is known of a value: at load with symbols, when a program is planned with every dim known.
struct ValueType {
    DType dtype = DType::Undefined;
    std::optional<std::vector<Dim>> dims;
    // What is known of the elements of a small i64 or i32 tensor of rank 0 or 1, as dims: the Shape of something with
    // symbols, and what is gathered, sliced and joined from it. nullopt: nothing.
    std::optional<std::vector<Dim>> elements = std::nullopt;

    // Whether every dim is known, so that rules may compute with sizes.
    bool is_static() const {
        return dims && std::ranges::all_of(*dims, [](const Dim& dim) { return dim.known(); });
    }
};

class InferContext {
public:
    // `known` is empty or has for each input its bytes or null.
    InferContext(const Graph& graph, const Node& node, std::span<const ValueType> inputs, std::span<ValueType> outputs,
                 std::span<const Tensor* const> known = {})
        : graph_(graph), node_(node), inputs_(inputs), outputs_(outputs), known_(known) {}

    const Node& node() const { return node_; }
    size_t input_count() const { return node_.inputs.size(); }
    size_t output_count() const { return node_.outputs.size(); }
    bool wants_output(size_t index) const { return index < node_.outputs.size() && node_.outputs[index] != kNoValue; }
    bool has_input(size_t index) const { return node_.input(index) != kNoValue; }
    const ValueType& input(size_t index) const { return inputs_[index]; }
    // The bytes of an input that is constant, or known by now; nullopt when they are not.
    std::optional<Result<Tensor>> constant(size_t index) const;
    // The elements of an i32 or i64 input of rank 0 or 1, whole (`constant`) or in part (ValueType::elements); nullopt
    // when nothing is known of them, also when the input is left out.
    Result<std::optional<std::vector<Dim>>> elements(size_t index) const;
    // The same where every element is known; nullopt otherwise.
    Result<std::optional<std::vector<int64_t>>> integers(size_t index) const;
    // What was set so far.
    const ValueType& output(size_t index) const { return outputs_[index]; }
    // Nothing happens for an output that the node leaves out.
    void set_output(size_t index, DType dtype, std::optional<std::vector<Dim>> dims,
                    std::optional<std::vector<Dim>> elements = std::nullopt);

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
    std::span<const Tensor* const> known_;
};

using InferFunction = Status (*)(InferContext&);

// ---- prepare, plan, run ---------------------------------------------------------------------------------------

// A tensor as a step sees it: concrete shape, bytes that somebody else owns. While planning they are null but for what
// is known by then: constants and what follows from shapes.
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

// What an op made for the shapes of one plan: primitives of a library and the like. Shared by the tasks of a step.
class PlannedState {
public:
    PlannedState() = default;
    PlannedState(const PlannedState&) = delete;
    PlannedState& operator=(const PlannedState&) = delete;
    virtual ~PlannedState() = default;
};

// How a step is cut into tasks, fixed when the program is planned. Results never depend on it.
struct Work {
    int64_t tasks = 1;
    int64_t scratch_bytes = 0;              // for one thread at a time
    std::array<int64_t, 3> grain{1, 1, 1};  // the op's own measure of a task
    // So little work that every thread had better do all of it for itself than wait for the others at a barrier. A
    // wish: the planner grants it where the results can have a copy for each thread.
    bool replicated = false;
    std::shared_ptr<const PlannedState> state = nullptr;
};

struct Arguments {
    std::span<const TensorView> inputs;  // a left-out input has null data and dtype Undefined
    std::span<const TensorView> outputs;
    const Work& work;
};

// One node made ready: constants packed, implementation chosen. Immutable, run by many threads at once.
class PreparedNode {
public:
    PreparedNode() = default;
    PreparedNode(const PreparedNode&) = delete;
    PreparedNode& operator=(const PreparedNode&) = delete;
    virtual ~PreparedNode() = default;

    // Cuts the work for these shapes and this many threads. `arguments.work` is not read. No more threads than these
    // run tasks of one plan at the same time.
    virtual Result<Work> plan(const Arguments& arguments, int threads) const = 0;
    // Does one task. `scratch` has work.scratch_bytes bytes, aligned to 64, contents undefined. What the standard
    // library throws in it ends in the session.
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

// Null without an error: nothing better than compute() for these operands.
using PrepareFunction = Result<std::unique_ptr<PreparedNode>> (*)(const PrepareContext&);

// ---- compute --------------------------------------------------------------------------------------------------

// One call of a node: its inputs as values, its outputs to be made.
class ComputeContext {
public:
    virtual ~ComputeContext() = default;
    ComputeContext(const ComputeContext&) = delete;
    ComputeContext& operator=(const ComputeContext&) = delete;

    const Node& node() const { return node_; }
    const Runtime& runtime() const { return runtime_; }
    const KernelTable& kernels() const { return quoin::kernels(runtime_.isa); }

    size_t input_count() const { return inputs_.size(); }
    // False also for an optional that holds nothing.
    bool has_input(size_t index) const { return index < inputs_.size() && !inputs_[index].is_none(); }
    // A left-out input is None; its tensor has no bytes and the dtype Undefined.
    const RuntimeValue& value(size_t index) const {
        static const RuntimeValue kNone;
        return index < inputs_.size() ? inputs_[index] : kNone;
    }
    const Tensor& input(size_t index) const { return value(index).tensor(); }
    std::span<const RuntimeValue> inputs() const { return inputs_; }

    size_t output_count() const { return node_.outputs.size(); }
    bool wants_output(size_t index) const { return index < node_.outputs.size() && node_.outputs[index] != kNoValue; }
    // Memory for this output, contents undefined (strings are empty). Also for outputs that nobody wants.
    virtual Result<Tensor> output(size_t index, DType dtype, const Shape& shape) = 0;
    // An output that is there already: an input passed on, a sequence, nothing (an empty optional).
    virtual Status set_output(size_t index, RuntimeValue value) = 0;
    // Runs the body in this attribute on its inputs, captures aside: those are added. The results own their memory.
    virtual Result<std::vector<RuntimeValue>> run_body(std::string_view attribute,
                                                       std::span<const RuntimeValue> inputs) = 0;

    template <class... Parts>
    Status fail(StatusCode code, const Parts&... parts) const {
        return error(code, "node '", node_.name, "' (", op_info(node_.op).name, "): ", parts...);
    }
    // InvalidArgument: the values of an input make no sense to this op (an index out of range, a negative length).
    template <class... Parts>
    Status fail(const Parts&... parts) const
        requires(!std::is_same_v<std::tuple_element_t<0, std::tuple<Parts..., int>>, StatusCode>) {
        return fail(StatusCode::InvalidArgument, parts...);
    }

protected:
    ComputeContext(const Node& node, const Runtime& runtime, std::span<const RuntimeValue> inputs)
        : node_(node), runtime_(runtime), inputs_(inputs) {}

private:
    const Node& node_;
    const Runtime& runtime_;
    std::span<const RuntimeValue> inputs_;
};

// Thread-safe: the same node may be computed by several sessions at once.
using ComputeFunction = Status (*)(ComputeContext&);

// A value that shares nothing with `value`.
Result<RuntimeValue> deep_copy(const RuntimeValue& value, const Runtime& runtime);

struct OpImplementation {
    InferFunction infer;
    PrepareFunction prepare;  // null: compute, or a view
    ComputeFunction compute = nullptr;
};

const OpImplementation& op_implementation(Op op);

// prepare(), or a single task that calls compute(). Null for views and for ops that are never steps.
Result<std::unique_ptr<PreparedNode>> prepare_node(const PrepareContext& context);

// Fills dtype and dims of every value that a node makes. InvalidModel names the node that cannot be right. `types`, if
// asked for, becomes what is known of each value, small elements included.
Status infer_types(Graph& graph, std::vector<ValueType>* types = nullptr);

}  // namespace quoin
