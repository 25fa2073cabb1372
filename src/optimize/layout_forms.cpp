#include "optimize/layout_forms.h"

#include <algorithm>
#include <numeric>

#include "optimize/constants.h"

namespace quoin {

AxisOrder same_order(size_t rank) {
    AxisOrder order(rank);
    std::iota(order.begin(), order.end(), 0);
    return order;
}

AxisOrder channels_last_order(size_t rank) {
    AxisOrder order = same_order(rank);
    if (rank > 2) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
    return order;
}

AxisOrder inverse(const AxisOrder& order) {
    AxisOrder result(order.size());
    for (size_t axis = 0; axis < order.size(); ++axis) {
        result[static_cast<size_t>(order[axis])] = static_cast<int64_t>(axis);
    }
    return result;
}

AxisOrder then(const AxisOrder& first, const AxisOrder& second) {
    AxisOrder result;
    for (const int64_t axis : second) result.push_back(first[static_cast<size_t>(axis)]);
    return result;
}

bool is_same(const AxisOrder& order) {
    return order == same_order(order.size());
}

std::vector<LayoutForms::Form>& LayoutForms::forms(ValueId value) {
    if (static_cast<size_t>(value) >= forms_.size()) forms_.resize(graph_.values().size());
    std::vector<Form>& result = forms_[static_cast<size_t>(value)];
    if (result.empty() && graph_.value(value).dims)
        result.push_back({value, same_order(graph_.value(value).dims->size())});
    return result;
}

void LayoutForms::declare(ValueId value, ValueId form, AxisOrder order) {
    if (static_cast<size_t>(value) >= forms_.size()) forms_.resize(graph_.values().size());
    forms_[static_cast<size_t>(value)].push_back({form, std::move(order)});
}

std::vector<std::pair<ValueId, AxisOrder>> LayoutForms::at_hand(ValueId value) const {
    std::vector<std::pair<ValueId, AxisOrder>> result;
    if (static_cast<size_t>(value) >= forms_.size() || forms_[static_cast<size_t>(value)].empty()) {
        if (graph_.value(value).dims) result.emplace_back(value, same_order(graph_.value(value).dims->size()));
        return result;
    }
    for (const Form& form : forms_[static_cast<size_t>(value)]) result.emplace_back(form.id, form.order);
    return result;
}

bool LayoutForms::has(ValueId value, const AxisOrder& order) const {
    return std::ranges::any_of(at_hand(value), [&](const auto& form) { return form.second == order; });
}

std::optional<AxisOrder> LayoutForms::preferred(ValueId value) const {
    if (graph_.value(value).constant || !graph_.value(value).dims) return std::nullopt;
    const size_t rank = graph_.value(value).dims->size();
    if (rank >= 3 && has(value, channels_last_order(rank))) return channels_last_order(rank);
    const auto all = at_hand(value);
    if (std::ranges::any_of(all, [](const auto& form) { return is_same(form.second); })) return std::nullopt;
    return all.front().second;
}

ValueId LayoutForms::new_form(ValueId value, const AxisOrder& order) {
    const Value original = graph_.value(value);
    std::vector<Dim> dims;
    for (const int64_t axis : order) dims.push_back((*original.dims)[static_cast<size_t>(axis)]);
    const ValueId form = graph_.add_value(original.name + (is_same(order) ? ".same" : ".moved"), original.dtype, dims);
    declare(value, form, order);
    return form;
}

Status LayoutForms::add(Op op, const std::string& name, std::vector<ValueId> inputs, ValueId value,
                        const AxisOrder& order, std::vector<std::pair<std::string, Attribute>> attributes) {
    const ValueId result = new_form(value, order);
    append({op, name, std::move(inputs), {result}, std::move(attributes)});
    return {};
}

// Where only axes of size 1 change places, the bytes stay and a Reshape says the new shape.
Status LayoutForms::move_axes(ValueId from, const AxisOrder& order, ValueId to) {
    const std::vector<Dim> dims = *graph_.value(from).dims;
    AxisOrder large;
    for (const int64_t axis : order) {
        if (dims[static_cast<size_t>(axis)].size != 1) large.push_back(axis);
    }
    std::vector<int64_t> shape;
    size_t unknown = 0;
    for (const int64_t axis : order) {
        const Dim& dim = dims[static_cast<size_t>(axis)];
        if (!dim.known()) ++unknown;
        shape.push_back(dim.known() ? dim.size : -1);
    }
    const std::string name = graph_.value(to).name + ".order";
    const bool has_zero = std::ranges::find(shape, 0) != shape.end();
    if (std::ranges::is_sorted(large) && unknown <= 1 && !has_zero) {
        QUOIN_ASSIGN_OR_RETURN(const ValueId target, add_integers(graph_, context_, name + ".shape", shape));
        append({Op::Reshape, name, {from, target}, {to}, {}});
    } else {
        append({Op::Transpose, name, {from}, {to}, {{"perm", order}}});
    }
    return {};
}

Result<ValueId> LayoutForms::get(ValueId value, const AxisOrder& order) {
    const std::vector<Form> known = forms(value);
    for (const Form& form : known) {
        if (form.order == order) return form.id;
    }
    const Form& source = known.front();
    ValueId target = value;
    if (is_same(order)) {
        declare(value, value, order);
    } else {
        target = new_form(value, order);
    }
    QUOIN_RETURN_IF_ERROR(move_axes(source.id, then(inverse(source.order), order), target));
    return target;
}

Result<ValueId> LayoutForms::get(ValueId value) {
    if (value == kNoValue || !graph_.value(value).dims) return value;
    return get(value, same_order(graph_.value(value).dims->size()));
}

}  // namespace quoin
