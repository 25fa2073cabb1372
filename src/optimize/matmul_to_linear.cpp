// MatMul and Gemm with a constant f32 matrix become Linear, whose weight is packed once.
#include <algorithm>
#include <map>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// What Linear needs, or why the node stays.
struct LinearForm {
    ValueId weight = kNoValue;  // as it stands in the graph
    bool transpose = false;     // [K, N], where Linear wants [N, K]
    ValueId bias = kNoValue;    // Gemm's C, where it is a vector already
    std::optional<std::vector<float>> bias_values;
    int64_t columns = 0;
};

Status read_gemm(const Graph& graph, const Node& node, LinearForm& form) {
    const auto refuse = [&](const char* why) {
        return error(StatusCode::Unsupported, "matmul_to_linear leaves '", node.name, "' alone: ", why);
    };
    if (node.integer("transA", 0) != 0) return refuse("A is transposed");
    if (node.number("alpha", 1.0) != 1) return refuse("alpha is not 1");
    form.transpose = node.integer("transB", 0) == 0;
    form.columns = graph.value(form.weight).constant->shape()[form.transpose ? 1 : 0];
    const double beta = node.number("beta", 1.0);
    const ValueId c = node.input(2);
    if (c == kNoValue || beta == 0) return {};
    const auto& dims = graph.value(c).dims;
    if (!dims) return refuse("the shape of C is not known");
    const bool row = dims->size() == 1 || (dims->size() == 2 && dims->front().size == 1);
    if (const auto values = float_values(graph, c)) {
        if (values->size() != 1 && !(row && values->size() == static_cast<size_t>(form.columns))) {
            return refuse("C is no row");
        }
        form.bias_values.emplace(static_cast<size_t>(form.columns), 0.0F);
        for (size_t index = 0; index < form.bias_values->size(); ++index) {
            (*form.bias_values)[index] = static_cast<float>(beta) * (*values)[values->size() == 1 ? 0 : index];
        }
        return {};
    }
    if (beta != 1 || dims->size() != 1 || dims->front().size != form.columns) return refuse("C is no constant");
    form.bias = c;
    return {};
}

Result<LinearForm> linear_form(const Graph& graph, const Node& node) {
    const auto refuse = [&](const char* why) {
        return error(StatusCode::Unsupported, "matmul_to_linear leaves '", node.name, "' alone: ", why);
    };
    LinearForm form;
    const Value& x = graph.value(node.inputs[0]);
    form.weight = node.inputs[1];
    if (node.op == Op::Linear) {
        const auto& dims = graph.value(form.weight).dims;
        if (node.inputs.size() > 2 || !node.attributes.empty() || !dims || !x.dims)
            return refuse("it is no plain Linear");
        form.columns = dims->front().size;
        return form;
    }
    const auto& weight = graph.value(form.weight).constant;
    if (!weight || weight->layout() != Layout::Plain) return refuse("the right operand is no constant");
    if (weight->dtype() != DType::F32) return refuse("the element type is not f32");
    if (weight->shape().rank() != 2) return refuse("the right operand is no matrix");
    if (weight->shape()[0] == 0 || weight->shape()[1] == 0) return refuse("the matrix is empty");
    if (!x.dims || x.dims->size() < 2) return refuse("the left operand is a vector, or its rank is not known");
    if (node.op == Op::Gemm) {
        QUOIN_RETURN_IF_ERROR(read_gemm(graph, node, form));
        return form;
    }
    form.transpose = true;
    form.columns = weight->shape()[1];
    return form;
}

// Readers of the transposed weight share it.
class Weights {
public:
    explicit Weights(Graph& graph) : graph_(graph) {}

    ValueId take(const LinearForm& form) {
        if (!form.transpose) return form.weight;
        const auto [entry, added] = transposed_.try_emplace(form.weight, kNoValue);
        if (added) {
            // Copies: adding a value moves the others.
            const std::string name = graph_.value(form.weight).name + ".transposed";
            const Constant constant = graph_.value(form.weight).constant->transposed();
            entry->second = graph_.add_constant(name, constant);
        }
        return entry->second;
    }

private:
    Graph& graph_;
    std::map<ValueId, ValueId> transposed_;
};

// The values of a constant that is added to every row of `columns`.
std::optional<std::vector<float>> row_values(const Graph& graph, ValueId id, int64_t columns, size_t rank) {
    const auto& dims = graph.value(id).dims;
    if (!dims || dims->empty() || dims->size() > rank || dims->back().size != columns) return std::nullopt;
    if (std::any_of(dims->begin(), dims->end() - 1, [](const Dim& dim) { return dim.size != 1; })) return std::nullopt;
    return float_values(graph, id);
}

struct BiasAdd {
    const Node* product;
    LinearForm form;
};

// Add(MatMul(x, w), constant row) whose product has no other reader.
std::optional<BiasAdd> match_bias(const Graph& graph, const std::vector<std::vector<NodeId>>& readers,
                                  const Node& add) {
    for (const size_t side : {size_t{0}, size_t{1}}) {
        for (const Op op : {Op::MatMul, Op::Gemm, Op::Linear}) {
            const Node* const product = sole_producer(graph, readers, add.inputs[side], op);
            if (product == nullptr || updates_between(graph, *product, add)) continue;
            Result<LinearForm> form = linear_form(graph, *product);
            if (!form.ok() || form->bias != kNoValue || form->bias_values) continue;
            form->bias_values =
                row_values(graph, add.inputs[1 - side], form->columns, graph.value(product->inputs[0]).dims->size());
            if (form->bias_values) return BiasAdd{product, *std::move(form)};
        }
    }
    return std::nullopt;
}

}  // namespace

Status matmul_to_linear(Graph& graph, const OptimizeContext& context) {
    const auto readers = graph.consumers();
    std::vector<Node> nodes = graph.nodes();
    Weights weights(graph);
    for (Node& node : nodes) {
        LinearForm form;
        ValueId x = kNoValue;
        if (node.op == Op::Add) {
            const std::optional<BiasAdd> match = match_bias(graph, readers, node);
            if (!match) continue;
            form = match->form;
            x = match->product->inputs[0];
        } else if (node.op == Op::MatMul || node.op == Op::Gemm) {
            const Result<LinearForm> found = linear_form(graph, node);
            if (!found.ok()) {
                log(LogLevel::Debug, found.status().message());
                continue;
            }
            form = *found;
            x = node.inputs[0];
        } else {
            continue;
        }
        if (form.bias_values) {
            QUOIN_ASSIGN_OR_RETURN(
                form.bias, add_floats(graph, context, node.name + ".bias", Shape{form.columns}, *form.bias_values));
        }
        node.op = Op::Linear;
        node.attributes.clear();
        node.inputs = {x, weights.take(form)};
        if (form.bias != kNoValue) node.inputs.push_back(form.bias);
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
