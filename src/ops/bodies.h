// What the ops with bodies (If, Loop, Scan) share.
#pragma once

#include <memory>
#include <string_view>

#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

// The graph in this attribute, or null.
const Graph* find_body(const Node& node, std::string_view attribute);

// The same; a missing one is an error that names the node.
template <class Context>
Result<const Graph*> require_body(const Context& context, std::string_view attribute) {
    const Graph* const body = find_body(context.node(), attribute);
    if (body != nullptr) return body;
    return context.fail("it has no body '", attribute, "'");
}

// What is known of a body's output, without the names of sizes: those are the body's own.
ValueType output_type(const Graph& body, size_t index);

// What is certain of a value that is one or the other.
ValueType common_type(const ValueType& a, const ValueType& b);

// A scalar i64 or bool of its own memory.
Result<RuntimeValue> scalar_value(ComputeContext& context, DType dtype, int64_t value);

// Tensors of one shape and type, gathered along a new first axis. Memory grows with what is pushed.
class Stack {
public:
    // InvalidArgument for what is no tensor or unlike those before.
    Status push(ComputeContext& context, const RuntimeValue& value);
    // All of them. When there are none, unknown dims of `type` are 0.
    Result<Tensor> take(ComputeContext& context, const ValueType& type);

private:
    Tensor buffer_;  // [room, ...]
    int64_t count_ = 0;
};

}  // namespace quoin
