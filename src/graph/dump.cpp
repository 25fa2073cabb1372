#include <sstream>

#include "graph/graph.h"

namespace quoin {
namespace {

struct AttributePrinter {
    std::ostream& out;

    void operator()(int64_t value) const { out << value; }
    void operator()(double value) const { out << value; }
    void operator()(const std::string& value) const { out << '"' << value << '"'; }
    void operator()(const Tensor& value) const {
        out << "tensor " << dtype_name(value.dtype()) << to_string(value.shape());
    }
    void operator()(const std::shared_ptr<const Graph>& value) const { out << "{\n" << dump(*value) << "}"; }
    template <class T>
    void operator()(const std::vector<T>& values) const {
        out << '[';
        for (size_t index = 0; index < values.size(); ++index) {
            if (index != 0) out << ", ";
            (*this)(values[index]);
        }
        out << ']';
    }
};

// Constants and inputs by name, intermediate values by number.
std::string reference(const Graph& graph, ValueId id) {
    if (id == kNoValue) return "none";
    const Value& value = graph.value(id);
    return value.producer == kNoValue ? value.name : "%" + std::to_string(id);
}

std::string_view layout_name(Layout layout) {
    switch (layout) {
        case Layout::Plain: return "";
        case Layout::Panels: return " panels";
        case Layout::Transposed: return " transposed";
        case Layout::Foreign: return " foreign";
    }
    return "";
}

}  // namespace

std::string describe(const Graph& graph, const Value& value) {
    std::string text(dtype_name(value.dtype));
    if (!value.dims) return text + "[?]";
    text += '[';
    for (size_t axis = 0; axis < value.dims->size(); ++axis) {
        const Dim dim = (*value.dims)[axis];
        if (axis != 0) text += ", ";
        if (dim.known()) {
            text += std::to_string(dim.size);
        } else {
            text += dim.symbol >= 0 ? graph.symbols()[static_cast<size_t>(dim.symbol)] : "?";
        }
    }
    return text + ']';
}

std::string dump(const Graph& graph) {
    std::ostringstream out;
    for (const ValueId id : graph.inputs()) {
        out << "input " << graph.value(id).name << ' ' << describe(graph, graph.value(id)) << '\n';
    }
    const auto readers = graph.consumers();
    for (size_t id = 0; id < graph.values().size(); ++id) {
        const Value& value = graph.values()[id];
        if (!value.constant || readers[id].empty()) continue;
        out << "constant " << value.name << ' ' << describe(graph, value) << layout_name(value.constant->layout())
            << '\n';
    }
    for (const Node& node : graph.nodes()) {
        for (size_t index = 0; index < node.outputs.size(); ++index) {
            const ValueId id = node.outputs[index];
            if (index != 0) out << ", ";
            if (id == kNoValue) {
                out << "nothing";
            } else {
                out << '%' << id << ' ' << describe(graph, graph.value(id));
            }
        }
        out << " = " << op_info(node.op).name << '(';
        for (size_t index = 0; index < node.inputs.size(); ++index) {
            out << (index == 0 ? "" : ", ") << reference(graph, node.inputs[index]);
        }
        out << ')';
        for (size_t index = 0; index < node.attributes.size(); ++index) {
            out << (index == 0 ? " {" : ", ") << node.attributes[index].first << " = ";
            std::visit(AttributePrinter{out}, node.attributes[index].second);
        }
        out << (node.attributes.empty() ? "" : "}") << "  # " << node.name << '\n';
    }
    for (const ValueId id : graph.outputs()) out << "output " << reference(graph, id) << '\n';
    return out.str();
}

}  // namespace quoin
