// Convolutions and pools on channels-last tensors. In one walk over the nodes every value is kept in the orders of axes
// in which it is at hand (LayoutForms). What slides a window asks for channels last and makes channels last; what does
// not care about the order of axes works on the one that is there; all others ask for the value as it was. So a
// Transpose stands only where somebody needs it, and those of the model dissolve where they undo each other.
#include <algorithm>
#include <array>

#include "core/log.h"
#include "ops/channels_last_conv.h"
#include "optimize/constants.h"
#include "optimize/layout_forms.h"
#include "optimize/layout_rules.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

using AttributeList = std::vector<std::pair<std::string, Attribute>>;

AttributeList copied(const Node& node, std::initializer_list<std::string_view> names) {
    AttributeList result;
    for (const auto& [name, value] : node.attributes) {
        if (std::ranges::find(names, name) != names.end()) result.emplace_back(name, value);
    }
    return result;
}

// Why a window does not slide over channels-last x; null when it does.
const char* window_refusal(const Graph& graph, const Node& node) {
    const Value& x = graph.value(node.inputs[0]);
    if (!x.dims || x.dims->size() < 3 || x.dims->size() > 5) return "its input has not one to three spatial axes";
    if (!graph.value(node.outputs[0]).dims) return "the rank of its result is not known";
    return nullptr;
}

const char* convolution_refusal(const Graph& graph, const Node& node) {
    if (const char* const refusal = window_refusal(graph, node)) return refusal;
    if (graph.value(node.inputs[0]).dtype != DType::F32) return "its input is not f32";
    const auto& weight = graph.value(node.inputs[1]).constant;
    if (!weight) return "its weight is no constant";
    if (weight->dtype() != DType::F32 || weight->shape().rank() != graph.value(node.inputs[0]).dims->size()) {
        return "its weight is no f32 tensor of the rank of its input";
    }
    return nullptr;
}

const char* pool_refusal(const Graph& graph, const Node& node) {
    if (const char* const refusal = window_refusal(graph, node)) return refusal;
    const DType dtype = graph.value(node.inputs[0]).dtype;
    const bool maximum = node.op == Op::MaxPool || node.op == Op::GlobalMaxPool;
    if (dtype != DType::F32 && !(maximum && (dtype == DType::U8 || dtype == DType::I8))) {
        return "its input has an element type that no pool takes";
    }
    if (node.outputs.size() > 1 && node.outputs[1] != kNoValue) return "its indices are wanted";
    if (node.integer("storage_order", 0) != 0) return "its storage order is by columns";
    return nullptr;
}

class ChannelsLast {
public:
    ChannelsLast(Graph& graph, const OptimizeContext& context) : graph_(graph), forms_(graph, context) {}

    Status run() {
        const std::vector<Node> nodes = graph_.nodes();
        for (const Node& node : nodes) {
            QUOIN_ASSIGN_OR_RETURN(const bool done, rewrite(node));
            if (done) continue;
            Node kept = node;
            for (ValueId& input : kept.inputs) {
                QUOIN_ASSIGN_OR_RETURN(input, forms_.get(input));
            }
            forms_.append(std::move(kept));
        }
        const std::vector<ValueId> outputs = graph_.outputs();
        for (const ValueId output : outputs) {
            QUOIN_ASSIGN_OR_RETURN(const ValueId made, forms_.get(output));
            if (made == output) continue;
            forms_.append({Op::Identity, graph_.value(output).name, {made}, {output}, {}});
            forms_.declare(output, output, same_order(graph_.value(output).dims->size()));
        }
        graph_.set_nodes(forms_.take_nodes());
        return {};
    }

private:
    Result<bool> rewrite(const Node& node) {
        switch (node.op) {
            case Op::Conv: return convolution(node);
            case Op::ConvTranspose: return transposed_convolution(node);
            case Op::MaxPool:
            case Op::GlobalMaxPool: return pool(node, "max");
            case Op::AveragePool:
            case Op::GlobalAveragePool: return pool(node, "average");
            case Op::ReduceMean:
                if (is_global_mean(node)) return pool(node, "average");
                break;
            default: break;
        }
        return move_through(forms_, node);
    }

    bool leave(const Node& node, const char* why) const {
        log(LogLevel::Debug, "channels_last leaves '", node.name, "' alone: ", why);
        return false;
    }

    Result<bool> convolution(const Node& node) {
        if (const char* const refusal = convolution_refusal(graph_, node)) return leave(node, refusal);
        const AxisOrder order = channels_last_order(graph_.value(node.inputs[0]).dims->size());
        QUOIN_ASSIGN_OR_RETURN(const ValueId x, forms_.get(node.inputs[0], order));
        std::vector<ValueId> inputs{x, node.inputs[1]};
        if (node.input(2) != kNoValue) inputs.push_back(node.inputs[2]);
        QUOIN_RETURN_IF_ERROR(forms_.add(Op::ChannelsLastConv, node.name, std::move(inputs), node.outputs[0], order,
                                         copied(node, {"strides", "pads", "dilations", "auto_pad", "group"})));
        return true;
    }

    Result<bool> transposed_convolution(const Node& node) {
        if (const char* const refusal = convolution_refusal(graph_, node)) return leave(node, refusal);
        if (node.attribute("output_shape") != nullptr) return leave(node, "its padding follows from a wanted shape");
        Node moved{Op::ChannelsLastConvTranspose,
                   node.name,
                   node.inputs,
                   {},
                   copied(node, {"strides", "pads", "dilations", "auto_pad", "output_padding", "group"})};
        const Status status = check_transposed_convolution(moved, graph_.value(node.inputs[1]).constant->shape());
        if (!status.ok()) return leave(node, status.message().c_str());
        const AxisOrder order = channels_last_order(graph_.value(node.inputs[0]).dims->size());
        QUOIN_ASSIGN_OR_RETURN(moved.inputs[0], forms_.get(node.inputs[0], order));
        QUOIN_RETURN_IF_ERROR(forms_.add(moved.op, moved.name, moved.inputs, node.outputs[0], order, moved.attributes));
        return true;
    }

    // The mean over all spatial axes that keeps them.
    bool is_global_mean(const Node& node) const {
        const auto& dims = graph_.value(node.inputs[0]).dims;
        auto axes = integer_values(graph_, node.input(1));
        if (!dims || dims->size() < 3 || dims->size() > 5 || !axes || axes->size() + 2 != dims->size()) return false;
        if (node.integer("keepdims", 1) == 0 || graph_.value(node.inputs[0]).dtype != DType::F32) return false;
        for (int64_t& axis : *axes) axis += axis < 0 ? static_cast<int64_t>(dims->size()) : 0;
        std::ranges::sort(*axes);
        AxisOrder spatial = same_order(dims->size());
        spatial.erase(spatial.begin(), spatial.begin() + 2);
        const auto order = forms_.preferred(node.inputs[0]);
        return *axes == spatial && order && *order == channels_last_order(dims->size());
    }

    Result<bool> pool(const Node& node, const char* kind) {
        if (const char* const refusal = pool_refusal(graph_, node)) return leave(node, refusal);
        const AxisOrder order = channels_last_order(graph_.value(node.inputs[0]).dims->size());
        const bool global =
            node.op == Op::GlobalMaxPool || node.op == Op::GlobalAveragePool || node.op == Op::ReduceMean;
        // To move the axes of something large only to take its mean would cost more than it saves.
        if (global && !forms_.has(node.inputs[0], order)) return leave(node, "its input is not at hand channels last");
        QUOIN_ASSIGN_OR_RETURN(const ValueId x, forms_.get(node.inputs[0], order));
        AttributeList attributes{{"kind", std::string(kind)}};
        if (!global) {
            const AttributeList window = copied(
                node, {"kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode", "count_include_pad"});
            attributes.insert(attributes.end(), window.begin(), window.end());
        }
        QUOIN_RETURN_IF_ERROR(forms_.add(Op::ChannelsLastPool, node.name, {x}, node.outputs[0], order, attributes));
        return true;
    }

    Graph& graph_;
    LayoutForms forms_;
};

}  // namespace

Status channels_last(Graph& graph, const OptimizeContext& context) {
    QUOIN_RETURN_IF_ERROR(ChannelsLast(graph, context).run());
    QUOIN_RETURN_IF_ERROR(remove_dead_nodes(graph, context));
    return fold_constants(graph, context);
}

}  // namespace quoin
