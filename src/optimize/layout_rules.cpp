#include "optimize/layout_rules.h"

#include <algorithm>

#include "optimize/constants.h"

namespace quoin {
namespace {

using AttributeList = std::vector<std::pair<std::string, Attribute>>;

const std::optional<std::vector<Dim>>& dims_of(LayoutForms& forms, ValueId id) {
    return forms.graph().value(id).dims;
}

AttributeList with(const Node& node, std::string_view name, Attribute value) {
    AttributeList attributes = node.attributes;
    std::erase_if(attributes, [&](const auto& entry) { return entry.first == name; });
    attributes.emplace_back(name, std::move(value));
    return attributes;
}

// The first operand in the order, the others as they are.
Result<std::vector<ValueId>> operands(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    std::vector<ValueId> inputs = node.inputs;
    QUOIN_ASSIGN_OR_RETURN(inputs[0], forms.get(node.inputs[0], order));
    for (size_t index = 1; index < inputs.size(); ++index) {
        QUOIN_ASSIGN_OR_RETURN(inputs[index], forms.get(inputs[index]));
    }
    return inputs;
}

// Where an axis of the value stands in the order; negative axes count from the end. nullopt: there is no such axis.
std::optional<int64_t> position(const AxisOrder& order, int64_t axis) {
    const auto rank = static_cast<int64_t>(order.size());
    if (axis < -rank || axis >= rank) return std::nullopt;
    return inverse(order)[static_cast<size_t>(axis < 0 ? axis + rank : axis)];
}

std::optional<std::vector<int64_t>> positions(const AxisOrder& order, const std::vector<int64_t>& axes) {
    std::vector<int64_t> result;
    for (const int64_t axis : axes) {
        const auto found = position(order, axis);
        if (!found) return std::nullopt;
        result.push_back(*found);
    }
    return result;
}

// The order that is left when these axes of the value go, each of them named once.
AxisOrder without(const AxisOrder& order, const std::vector<int64_t>& dropped) {
    AxisOrder result;
    for (const int64_t axis : order) {
        if (std::ranges::find(dropped, axis) != dropped.end()) continue;
        result.push_back(axis - std::ranges::count_if(dropped, [&](int64_t other) { return other < axis; }));
    }
    return result;
}

// ---- Element by element -----------------------------------------------------------------------------------------

// The first operand alone has a shape that matters.
bool is_unary(Op op) {
    switch (op) {
        case Op::Abs:
        case Op::BitwiseNot:
        case Op::Cast:
        case Op::Ceil:
        case Op::Celu:
        case Op::Clip:
        case Op::Cos:
        case Op::Elu:
        case Op::Erf:
        case Op::Exp:
        case Op::Floor:
        case Op::Gelu:
        case Op::HardSigmoid:
        case Op::HardSwish:
        case Op::IsInf:
        case Op::IsNaN:
        case Op::LeakyRelu:
        case Op::Log:
        case Op::Mish:
        case Op::Neg:
        case Op::Not:
        case Op::Reciprocal:
        case Op::Relu:
        case Op::Round:
        case Op::Selu:
        case Op::Shrink:
        case Op::Sigmoid:
        case Op::Sign:
        case Op::Sin:
        case Op::Softplus:
        case Op::Softsign:
        case Op::Sqrt:
        case Op::Swish:
        case Op::Tanh:
        case Op::ThresholdedRelu: return true;
        default: return false;
    }
}

// All operands are broadcast to each other.
bool is_broadcast(Op op) {
    switch (op) {
        case Op::Add:
        case Op::AddQuantized:
        case Op::And:
        case Op::Div:
        case Op::Equal:
        case Op::Greater:
        case Op::GreaterOrEqual:
        case Op::Less:
        case Op::LessOrEqual:
        case Op::Max:
        case Op::Mean:
        case Op::Min:
        case Op::Mod:
        case Op::Mul:
        case Op::Or:
        case Op::Pow:
        case Op::PRelu:
        case Op::Sub:
        case Op::Sum:
        case Op::Where:
        case Op::Xor: return true;
        default: return false;
    }
}

Result<bool> unary(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> inputs, operands(forms, node, order));
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, inputs, node.outputs[0], order, node.attributes));
    return true;
}

bool has_one_element(const Graph& graph, ValueId id) {
    const auto& dims = graph.value(id).dims;
    return dims && std::ranges::all_of(*dims, [](const Dim& dim) { return dim.size == 1; });
}

// A constant with fewer axes, as one with `rank`.
ValueId with_rank(Graph& graph, ValueId id, size_t rank) {
    const Constant& constant = *graph.value(id).constant;
    std::vector<int64_t> dims(rank - constant.shape().rank(), 1);
    for (const int64_t dim : constant.shape().dims()) dims.push_back(dim);
    const Shape shape{std::span<const int64_t>(dims)};
    Result<Tensor> bytes = constant.load();
    if (!bytes.ok()) return kNoValue;
    const auto owner = std::make_shared<Tensor>(std::move(bytes).value());
    return graph.add_constant(graph.value(id).name + ".wide",
                              Constant(Tensor(owner->dtype(), shape, owner->data(), owner->byte_size(), owner)));
}

Result<bool> broadcast(LayoutForms& forms, const Node& node) {
    Graph& graph = forms.graph();
    if (!dims_of(forms, node.outputs[0])) return false;
    const size_t rank = dims_of(forms, node.outputs[0])->size();
    std::optional<AxisOrder> order;
    for (const ValueId input : node.inputs) {
        const auto& dims = dims_of(forms, input);
        if (!dims) return false;
        const bool constant = graph.value(input).constant.has_value();
        if (dims->size() != rank && !constant && !has_one_element(graph, input)) return false;
        const auto preferred = forms.preferred(input);
        if (preferred && dims->size() == rank && (!order || !forms.has(input, same_order(rank)))) order = preferred;
    }
    if (!order) return false;
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) {
        ValueId source = input;
        if (dims_of(forms, input)->size() != rank) {
            if (has_one_element(graph, input)) {
                QUOIN_ASSIGN_OR_RETURN(const ValueId scalar, forms.get(input));
                inputs.push_back(scalar);
                continue;
            }
            source = with_rank(graph, input, rank);
            if (source == kNoValue) return false;
        }
        QUOIN_ASSIGN_OR_RETURN(const ValueId moved, forms.get(source, *order));
        inputs.push_back(moved);
    }
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, inputs, node.outputs[0], *order, node.attributes));
    return true;
}

// Scale and zero point are single numbers or belong to one axis.
Result<bool> quantization(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    if (node.integer("block_size", 0) != 0) return false;
    const auto axis = position(order, node.integer("axis", 1));
    if (!axis && !has_one_element(forms.graph(), node.inputs[1])) return false;
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> inputs, operands(forms, node, order));
    QUOIN_RETURN_IF_ERROR(
        forms.add(node.op, node.name, inputs, node.outputs[0], order, with(node, "axis", axis.value_or(0))));
    return true;
}

// ---- Along axes -------------------------------------------------------------------------------------------------

Result<bool> along_axis(LayoutForms& forms, const Node& node, const AxisOrder& order, int64_t fallback) {
    const auto axis = position(order, node.integer("axis", fallback));
    if (!axis) return false;
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> inputs, operands(forms, node, order));
    Node moved{node.op, node.name, inputs, {}, with(node, "axis", *axis)};
    for (const ValueId output : node.outputs) {
        moved.outputs.push_back(output == kNoValue ? kNoValue : forms.new_form(output, order));
    }
    forms.append(std::move(moved));
    return true;
}

Result<bool> concat(LayoutForms& forms, const Node& node) {
    std::optional<AxisOrder> order;
    for (const ValueId input : node.inputs) {
        if (!dims_of(forms, input)) return false;
        const auto preferred = forms.preferred(input);
        if (preferred && (!order || !forms.has(input, same_order(preferred->size())))) order = preferred;
    }
    if (!order) return false;
    const auto axis = position(*order, node.integer("axis", 0));
    if (!axis) return false;
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) {
        if (dims_of(forms, input)->size() != order->size()) return false;
    }
    for (const ValueId input : node.inputs) {
        QUOIN_ASSIGN_OR_RETURN(const ValueId moved, forms.get(input, *order));
        inputs.push_back(moved);
    }
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, inputs, node.outputs[0], *order, with(node, "axis", *axis)));
    return true;
}

// Slice and Pad name their axes in an input; without it they mean the first ones.
Result<bool> listed_axes(LayoutForms& forms, const Node& node, const AxisOrder& order, size_t axes_input,
                         size_t implied) {
    std::optional<std::vector<int64_t>> axes;
    if (node.input(axes_input) != kNoValue) {
        axes = integer_values(forms.graph(), node.inputs[axes_input]);
    } else if (implied <= order.size()) {
        axes = same_order(implied);
    }
    const auto moved = axes ? positions(order, *axes) : std::nullopt;
    if (!moved) return false;
    QUOIN_ASSIGN_OR_RETURN(std::vector<ValueId> inputs, operands(forms, node, order));
    inputs.resize(std::max(inputs.size(), axes_input + 1), kNoValue);
    QUOIN_ASSIGN_OR_RETURN(inputs[axes_input],
                           add_integers(forms.graph(), forms.context(), node.name + ".axes", *moved));
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, inputs, node.outputs[0], order, node.attributes));
    return true;
}

Result<bool> slice(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    const auto& starts = dims_of(forms, node.inputs[1]);
    if (!starts || starts->size() != 1 || !(*starts)[0].known()) return false;
    return listed_axes(forms, node, order, 3, static_cast<size_t>((*starts)[0].size));
}

// Reduce*, Squeeze: axes go or become 1.
Result<bool> drop_axes(LayoutForms& forms, const Node& node, const AxisOrder& order, bool keeps) {
    if (node.input(1) == kNoValue) return false;
    auto axes = integer_values(forms.graph(), node.inputs[1]);
    if (!axes || axes->empty()) return false;
    const auto moved = positions(order, *axes);
    if (!moved) return false;
    for (int64_t& axis : *axes) axis += axis < 0 ? static_cast<int64_t>(order.size()) : 0;
    // A reduction may name an axis twice.
    std::ranges::sort(*axes);
    axes->erase(std::unique(axes->begin(), axes->end()), axes->end());
    const AxisOrder left = keeps ? order : without(order, *axes);
    std::vector<ValueId> inputs = node.inputs;
    QUOIN_ASSIGN_OR_RETURN(inputs[0], forms.get(node.inputs[0], order));
    QUOIN_ASSIGN_OR_RETURN(inputs[1], add_integers(forms.graph(), forms.context(), node.name + ".axes", *moved));
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, inputs, node.outputs[0], left, node.attributes));
    return true;
}

// New axes stand behind the axis that precedes them in the value.
Result<bool> unsqueeze(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    auto axes = integer_values(forms.graph(), node.inputs[1]);
    if (!axes) return false;
    const auto rank = static_cast<int64_t>(order.size() + axes->size());
    for (int64_t& axis : *axes) axis += axis < 0 ? rank : 0;
    std::ranges::sort(*axes);
    const bool sound = std::ranges::all_of(*axes, [&](int64_t axis) { return axis >= 0 && axis < rank; }) &&
                       std::ranges::adjacent_find(*axes) == axes->end();
    if (!sound) return false;
    AxisOrder result;
    for (const int64_t axis : order) {
        int64_t shifted = axis;
        for (const int64_t added : *axes) shifted += added <= shifted ? 1 : 0;
        result.push_back(shifted);
    }
    for (const int64_t added : *axes) {
        const auto before = std::ranges::find(result, added - 1);
        result.insert(added == 0 ? result.begin() : before + 1, added);
    }
    const auto moved = positions(result, *axes);
    QUOIN_ASSIGN_OR_RETURN(const ValueId x, forms.get(node.inputs[0], order));
    QUOIN_ASSIGN_OR_RETURN(const ValueId list,
                           add_integers(forms.graph(), forms.context(), node.name + ".axes", *moved));
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, {x, list}, node.outputs[0], result, {}));
    return true;
}

Result<bool> gather(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    const auto& indices = dims_of(forms, node.inputs[1]);
    if (!indices || indices->size() > 1) return false;
    const auto axis = position(order, node.integer("axis", 0));
    if (!axis) return false;
    const AxisOrder left = indices->empty() ? without(order, {order[static_cast<size_t>(*axis)]}) : order;
    QUOIN_ASSIGN_OR_RETURN(const ValueId x, forms.get(node.inputs[0], order));
    QUOIN_ASSIGN_OR_RETURN(const ValueId index, forms.get(node.inputs[1]));
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, {x, index}, node.outputs[0], left, with(node, "axis", *axis)));
    return true;
}

// Region, scales and sizes belong to the axes that the node lists, or to all of them in turn.
Result<bool> resize(LayoutForms& forms, const Node& node, const AxisOrder& order) {
    std::vector<int64_t> axes = same_order(order.size());
    if (const Attribute* const listed = node.attribute("axes")) {
        const auto* const list = std::get_if<std::vector<int64_t>>(listed);
        if (list == nullptr) return false;
        axes = *list;
    }
    const auto moved = positions(order, axes);
    if (!moved) return false;
    QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> inputs, operands(forms, node, order));
    QUOIN_RETURN_IF_ERROR(forms.add(node.op, node.name, inputs, node.outputs[0], order, with(node, "axes", *moved)));
    return true;
}

// ---- Reshape ----------------------------------------------------------------------------------------------------

// Runs of axes of the old and of the new shape that hold the same elements: first axis and count of each.
struct Run {
    size_t from, from_count, to, to_count;
};

std::optional<std::vector<Run>> runs_of(const std::vector<Dim>& from, const std::vector<Dim>& to) {
    std::vector<Run> runs;
    size_t i = 0;
    size_t j = 0;
    while (i < from.size() || j < to.size()) {
        Run run{i, 1, j, 1};
        const Dim left = i < from.size() ? from[i] : Dim{.size = -2};
        const Dim right = j < to.size() ? to[j] : Dim{.size = -2};
        if (left == right && (left.known() || left.symbol >= 0)) {
            // one axis that stays
        } else if (left.size == 1) {
            run.to_count = 0;
        } else if (right.size == 1) {
            run.from_count = 0;
        } else {
            int64_t product = left.size;
            int64_t wanted = right.size;
            if (product < 1 || wanted < 1) return std::nullopt;
            while (product != wanted) {
                const bool extend_from = product < wanted;
                const auto& dims = extend_from ? from : to;
                const size_t next = extend_from ? i + run.from_count++ : j + run.to_count++;
                int64_t& total = extend_from ? product : wanted;
                if (next >= dims.size() || dims[next].size < 1) return std::nullopt;
                if (__builtin_mul_overflow(total, dims[next].size, &total)) return std::nullopt;
            }
        }
        i += run.from_count;
        j += run.to_count;
        runs.push_back(run);
    }
    return runs;
}

// Where the order keeps the axes of each run together, the reshaped value has the runs in the same order. Where it does
// not, as behind a shuffle of channels, the axes of a run are brought together first.
Result<bool> reshape(LayoutForms& forms, const Node& node, const AxisOrder& preferred) {
    const auto& from = dims_of(forms, node.inputs[0]);
    const auto& to = dims_of(forms, node.outputs[0]);
    if (!from || !to) return false;
    const auto runs = runs_of(*from, *to);
    if (!runs) return false;
    AxisOrder order;
    AxisOrder result;
    for (const int64_t axis : preferred) {
        if (std::ranges::find(order, axis) != order.end()) continue;
        const auto run = std::ranges::find_if(*runs, [&](const Run& each) {
            const auto own = static_cast<size_t>(axis);
            return own >= each.from && own < each.from + each.from_count;
        });
        for (size_t step = 0; step < run->from_count; ++step) order.push_back(static_cast<int64_t>(run->from + step));
        for (size_t step = 0; step < run->to_count; ++step) result.push_back(static_cast<int64_t>(run->to + step));
    }
    if (order != preferred && forms.has(node.inputs[0], same_order(order.size()))) return false;
    // New axes of size 1 that belong to no axis of the old shape.
    for (const Run& run : *runs) {
        if (run.from_count != 0) continue;
        for (size_t step = 0; step < run.to_count; ++step) {
            const auto axis = static_cast<int64_t>(run.to + step);
            const auto before = std::ranges::find(result, axis - 1);
            result.insert(before == result.end() ? result.begin() : before + 1, axis);
        }
    }
    std::vector<int64_t> shape;
    for (const int64_t axis : result) {
        const Dim& dim = (*to)[static_cast<size_t>(axis)];
        shape.push_back(dim.known() ? dim.size : -1);
    }
    if (std::ranges::count(shape, -1) > 1 || std::ranges::find(shape, 0) != shape.end()) return false;
    QUOIN_ASSIGN_OR_RETURN(const ValueId x, forms.get(node.inputs[0], order));
    QUOIN_ASSIGN_OR_RETURN(const ValueId target,
                           add_integers(forms.graph(), forms.context(), node.name + ".shape", shape));
    QUOIN_RETURN_IF_ERROR(forms.add(Op::Reshape, node.name, {x, target}, node.outputs[0], result, {}));
    return true;
}

// What is there of x is there of y, under other orders.
bool transpose(LayoutForms& forms, const Node& node) {
    const auto& dims = dims_of(forms, node.inputs[0]);
    if (!dims || !dims_of(forms, node.outputs[0])) return false;
    AxisOrder order = same_order(dims->size());
    std::ranges::reverse(order);
    if (const Attribute* const perm = node.attribute("perm")) {
        const auto* const list = std::get_if<std::vector<int64_t>>(perm);
        if (list == nullptr || list->size() != order.size()) return false;
        order = *list;
    }
    for (const auto& [form, at_hand] : forms.at_hand(node.inputs[0])) {
        forms.declare(node.outputs[0], form, then(inverse(order), at_hand));
    }
    return true;
}

}  // namespace

Result<bool> move_through(LayoutForms& forms, const Node& node) {
    if (is_broadcast(node.op)) return broadcast(forms, node);
    if (node.op == Op::Concat) return concat(forms, node);
    if (node.op == Op::Transpose) return transpose(forms, node);
    if (node.inputs.empty() || node.inputs[0] == kNoValue) return false;
    if (!std::ranges::all_of(node.outputs, [&](ValueId id) { return id == kNoValue || dims_of(forms, id); }))
        return false;
    const auto order = forms.preferred(node.inputs[0]);
    if (!order) return false;
    if (is_unary(node.op)) return unary(forms, node, *order);
    switch (node.op) {
        case Op::QuantizeLinear:
        case Op::DequantizeLinear: return quantization(forms, node, *order);
        case Op::Split: return along_axis(forms, node, *order, 0);
        case Op::Softmax:
        case Op::LogSoftmax:
        case Op::Hardmax: return along_axis(forms, node, *order, -1);
        case Op::Slice: return slice(forms, node, *order);
        case Op::Pad: return listed_axes(forms, node, *order, 3, order->size());
        case Op::ReduceL1:
        case Op::ReduceL2:
        case Op::ReduceLogSum:
        case Op::ReduceLogSumExp:
        case Op::ReduceMax:
        case Op::ReduceMean:
        case Op::ReduceMin:
        case Op::ReduceProd:
        case Op::ReduceSum:
        case Op::ReduceSumSquare: return drop_axes(forms, node, *order, node.integer("keepdims", 1) != 0);
        case Op::Squeeze: return drop_axes(forms, node, *order, false);
        case Op::Unsqueeze: return unsqueeze(forms, node, *order);
        case Op::Gather: return gather(forms, node, *order);
        case Op::Resize: return resize(forms, node, *order);
        case Op::Flatten:
        case Op::Reshape: return reshape(forms, node, *order);
        default: return false;
    }
}

}  // namespace quoin
