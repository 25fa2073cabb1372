#include <algorithm>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/passes.h"
#include "optimize/patterns.h"

namespace quoin {
namespace {

struct Padding {
    ValueId source;
    std::vector<int64_t> pads;  // as Conv has them: beginnings of the spatial axes, then ends
};

// What a Pad with zeros adds around spatial axes, or why a convolution cannot do that itself.
Result<Padding> padding_of(const Graph& graph, const Node& pad) {
    const auto refuse = [](const char* why) { return error(StatusCode::Unsupported, why); };
    if (pad.string("mode", "constant") != "constant") return refuse("it does not pad with a constant");
    if (pad.input(2) != kNoValue && scalar_value(graph, pad.inputs[2]) != 0.0F) return refuse("it does not pad with 0");
    const auto& dims = graph.value(pad.inputs[0]).dims;
    if (!dims || dims->size() < 3 || dims->size() > 5) return refuse("it has not one to three spatial axes");
    const auto rank = static_cast<int64_t>(dims->size());
    const auto amounts = integer_values(graph, pad.inputs[1]);
    if (!amounts) return refuse("its amounts are no constants");
    std::vector<int64_t> axes;
    if (pad.input(3) != kNoValue) {
        const auto given = integer_values(graph, pad.inputs[3]);
        if (!given) return refuse("its axes are no constants");
        axes = *given;
    } else {
        for (int64_t axis = 0; axis < rank; ++axis) axes.push_back(axis);
    }
    if (amounts->size() != 2 * axes.size()) return refuse("axes and amounts do not fit");
    Padding result{pad.inputs[0], std::vector<int64_t>(static_cast<size_t>(2 * (rank - 2)))};
    for (size_t index = 0; index < axes.size(); ++index) {
        const int64_t axis = axes[index] < 0 ? axes[index] + rank : axes[index];
        const int64_t begin = (*amounts)[index];
        const int64_t end = (*amounts)[axes.size() + index];
        if (axis < 0 || axis >= rank) return refuse("it has no such axis");
        if (begin < 0 || end < 0) return refuse("it takes something away");
        if (axis < 2) {
            if (begin != 0 || end != 0) return refuse("it pads images or channels");
            continue;
        }
        result.pads[static_cast<size_t>(axis - 2)] += begin;
        result.pads[static_cast<size_t>(axis - 2 + rank - 2)] += end;
    }
    return result;
}

}  // namespace

Status fold_padding(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> nodes = graph.nodes();
    for (Node& node : nodes) {
        if (node.op != Op::Conv) continue;
        const Node* const pad = producer(graph, node.inputs[0], Op::Pad);
        if (pad == nullptr) continue;
        const auto leave = [&](std::string_view why) {
            log(LogLevel::Debug, "fold_padding leaves '", node.name, "' alone: ", why);
        };
        const std::string_view mode = node.string("auto_pad", "NOTSET");
        if (mode != "NOTSET" && mode != "VALID" && !mode.empty()) {
            leave("its own padding follows from its input");
            continue;
        }
        Result<Padding> padding = padding_of(graph, *pad);
        if (!padding.ok()) {
            leave(padding.status().message());
            continue;
        }
        std::vector<int64_t> pads = padding->pads;
        const Attribute* const attribute = mode == "VALID" ? nullptr : node.attribute("pads");
        if (const auto* own = attribute == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(attribute)) {
            if (own->size() != pads.size()) continue;
            bool fits = true;
            for (size_t index = 0; index < pads.size(); ++index) {
                fits = fits && !__builtin_add_overflow(pads[index], (*own)[index], &pads[index]);
            }
            if (!fits) {
                leave("the padding is too large");
                continue;
            }
        }
        std::erase_if(node.attributes,
                      [](const auto& entry) { return entry.first == "pads" || entry.first == "auto_pad"; });
        node.attributes.emplace_back("pads", std::move(pads));
        node.inputs[0] = padding->source;
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
