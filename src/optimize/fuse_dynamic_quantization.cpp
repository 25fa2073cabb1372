#include <algorithm>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/passes.h"
#include "optimize/patterns.h"
#include "optimize/quantization.h"

namespace quoin {
namespace {

// Mul of Cast(MatMulInteger(x, w)), the scale of x and the scale of w, in any order.
struct DynamicProduct {
    const Node* quantize = nullptr;  // DynamicQuantizeLinear
    const Node* product = nullptr;   // MatMulInteger
    ValueId weight_scale = kNoValue;
    double factor = 1;
};

Result<DynamicProduct> match(const Graph& graph, const Node& node) {
    const auto refuse = [&](const char* why) { return error(StatusCode::Unsupported, why); };
    const Product product = product_of(graph, node.outputs[0]);
    DynamicProduct result;
    result.factor = product.scale;
    ValueId x_scale = kNoValue;
    for (const ValueId factor : product.factors) {
        const Node* const cast = producer(graph, factor, Op::Cast);
        if (cast != nullptr && result.product == nullptr && graph.value(factor).dtype == DType::F32) {
            result.product = producer(graph, cast->inputs[0], Op::MatMulInteger);
            if (result.product == nullptr) return refuse("what is cast is no MatMulInteger");
        } else if (producer(graph, factor, Op::DynamicQuantizeLinear) != nullptr && x_scale == kNoValue) {
            x_scale = factor;
        } else if (graph.value(factor).constant && result.weight_scale == kNoValue) {
            result.weight_scale = factor;
        } else {
            return refuse("a factor is neither an integer product nor a scale");
        }
    }
    if (result.product == nullptr || x_scale == kNoValue) return refuse("it is no integer product with its scales");
    result.quantize = producer(graph, result.product->inputs[0], Op::DynamicQuantizeLinear);
    if (result.quantize == nullptr || result.quantize->outputs[0] != result.product->inputs[0] ||
        result.quantize->outputs[1] != x_scale || result.quantize->outputs[2] != result.product->input(2)) {
        return refuse("operand, scale and zero point are not of one DynamicQuantizeLinear");
    }
    const auto& weight = graph.value(result.product->inputs[1]).constant;
    if (!weight || weight->shape().rank() != 2) return refuse("the weight is no constant matrix");
    return result;
}

}  // namespace

Status fuse_dynamic_quantization(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> nodes = graph.nodes();
    const auto readers = graph.consumers();
    for (Node& node : nodes) {
        const auto leave = [&](std::string_view why) {
            log(LogLevel::Debug, "fuse_dynamic_quantization leaves '", node.name, "' alone: ", why);
        };
        if (node.op == Op::Add) {
            // A constant bias behind the product.
            for (const size_t side : {size_t{0}, size_t{1}}) {
                const NodeId id = graph.value(node.inputs[side]).producer;
                if (id == kNoValue || readers[static_cast<size_t>(node.inputs[side])].size() != 1) continue;
                const Node& product = nodes[static_cast<size_t>(id)];
                if (product.op != Op::ChannelsLastIntegerConv || product.input(5) != kNoValue ||
                    product.input(6) == kNoValue ||
                    std::ranges::find(graph.outputs(), node.inputs[side]) != graph.outputs().end()) {
                    continue;
                }
                const ValueId bias = node.inputs[1 - side];
                const Value& value = graph.value(bias);
                if (!value.constant || value.dtype != DType::F32 || !value.dims || value.dims->size() != 1 ||
                    *value.dims != *graph.value(product.inputs[2]).dims) {
                    continue;
                }
                Node fused = product;
                fused.inputs[5] = bias;
                fused.outputs = node.outputs;
                node = std::move(fused);
                break;
            }
            continue;
        }
        if (node.op != Op::Mul || graph.value(node.outputs[0]).dtype != DType::F32) continue;
        const Result<DynamicProduct> found = match(graph, node);
        if (!found.ok()) {
            leave(found.status().message());
            continue;
        }
        QUOIN_ASSIGN_OR_RETURN(ValueId scale, add_floats(graph, context, node.name + ".scale", {}, {1.0F}));
        if (found->weight_scale != kNoValue) scale = found->weight_scale;
        QUOIN_ASSIGN_OR_RETURN(const ValueId matrix, add_transposed(graph, context, found->product->inputs[1]));
        const auto weight = read_weight(graph, matrix, scale, found->product->input(3));
        if (!weight) {
            leave("the weight is no 8-bit constant with a scale for each column");
            continue;
        }
        std::vector<float> scales = weight->scales;
        for (float& each : scales) each = static_cast<float>(double{each} * found->factor);
        QUOIN_ASSIGN_OR_RETURN(
            std::vector<ValueId> inputs,
            integer_inputs(graph, context, node.name, found->product->inputs[0], *weight, scales, {}));
        inputs.insert(inputs.end(), {kNoValue, found->quantize->outputs[1], found->quantize->outputs[2]});
        node = {Op::ChannelsLastIntegerConv,
                node.name,
                std::move(inputs),
                node.outputs,
                {{"to", static_cast<int64_t>(DType::F32)}}};
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
