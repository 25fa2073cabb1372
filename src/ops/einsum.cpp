// Einsum (ONNX): sums of products over named axes, two operands at a time.
#include <algorithm>
#include <map>

#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/spatial_window.h"
#include "ops/widened.h"

namespace quoin {
namespace {

using Label = int;  // a letter, or kEllipsis + the axis from the back of what "..." stands for
constexpr Label kEllipsis = 256;

struct Equation {
    std::vector<std::vector<Label>> inputs;
    std::vector<Label> output;
};

// One term, with "..." as a single kEllipsis.
Result<std::vector<Label>> parse_term(const Node& node, std::string_view term) {
    std::vector<Label> labels;
    bool ellipsis = false;
    for (size_t index = 0; index < term.size(); ++index) {
        const char letter = term[index];
        if (letter == ' ') continue;
        if (letter == '.') {
            if (ellipsis || term.substr(index, 3) != "...") return node_error(node, "the equation has a stray '.'");
            ellipsis = true;
            index += 2;
            labels.push_back(kEllipsis);
        } else if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z')) {
            labels.push_back(letter);
        } else {
            return node_error(node, "the equation has a '", letter, "'");
        }
    }
    return labels;
}

// The equation for operands of these ranks: ellipses spelled out, the output made where it is not given.
Result<Equation> parse(const Node& node, std::span<const size_t> ranks) {
    std::string_view text = node.string("equation", "");
    std::optional<std::string_view> result;
    if (const size_t arrow = text.find("->"); arrow != std::string_view::npos) {
        result = text.substr(arrow + 2);
        text = text.substr(0, arrow);
    }
    Equation equation;
    size_t ellipsis = 0;  // axes of the longest one
    for (size_t index = 0;; ++index) {
        const size_t comma = text.find(',');
        QUOIN_ASSIGN_OR_RETURN(const std::vector<Label> term, parse_term(node, text.substr(0, comma)));
        if (index >= ranks.size()) return node_error(node, "the equation has more terms than there are inputs");
        const bool open = std::ranges::find(term, kEllipsis) != term.end();
        const size_t letters = term.size() - (open ? 1 : 0);
        if (letters > ranks[index] || (!open && letters != ranks[index])) {
            return node_error(node, "term ", index, " has ", letters, " axes, its input ", ranks[index]);
        }
        std::vector<Label> labels;
        for (const Label label : term) {
            if (label != kEllipsis) {
                labels.push_back(label);
                continue;
            }
            const size_t axes = ranks[index] - letters;
            ellipsis = std::max(ellipsis, axes);
            for (size_t axis = axes; axis-- > 0;) labels.push_back(kEllipsis + static_cast<Label>(axis));
        }
        equation.inputs.push_back(std::move(labels));
        if (comma == std::string_view::npos) break;
        text = text.substr(comma + 1);
    }
    if (equation.inputs.size() != ranks.size()) return node_error(node, "the equation has too few terms");
    std::map<Label, int> uses;
    for (const auto& term : equation.inputs) {
        for (const Label label : term) ++uses[label];
    }
    std::vector<Label> term;
    if (result) {
        QUOIN_ASSIGN_OR_RETURN(term, parse_term(node, *result));
    } else {
        term.push_back(kEllipsis);
        for (const auto& [label, count] : uses) {
            if (label < kEllipsis && count == 1) term.push_back(label);
        }
    }
    for (const Label label : term) {
        if (label == kEllipsis) {
            for (size_t axis = ellipsis; axis-- > 0;) equation.output.push_back(kEllipsis + static_cast<Label>(axis));
            continue;
        }
        if (!uses.contains(label) || std::ranges::count(term, label) != 1) {
            return node_error(node, "the result's '", static_cast<char>(label), "' is in no input, or twice");
        }
        equation.output.push_back(label);
    }
    return equation;
}

// The size of each label; 1 is broadcast.
Result<std::map<Label, Dim>> label_dims(const Node& node, const Equation& equation,
                                        std::span<const std::vector<Dim>> operands) {
    std::map<Label, Dim> dims;
    for (size_t index = 0; index < operands.size(); ++index) {
        for (size_t axis = 0; axis < operands[index].size(); ++axis) {
            const Dim dim = operands[index][axis];
            const auto [entry, added] = dims.try_emplace(equation.inputs[index][axis], dim);
            Dim& known = entry->second;
            if (added || known == dim || dim.size == 1) continue;
            if (known.known() && known.size != 1 && dim.known()) {
                return node_error(node, "an axis has the sizes ", known.size, " and ", dim.size);
            }
            if (!known.known() && !dim.known()) {
                known = Dim{};
            } else if (known.size == 1 || dim.known()) {
                known = dim;
            }
        }
    }
    return dims;
}

Status infer_einsum(InferContext& context) {
    const DType dtype = context.input(0).dtype;
    std::vector<size_t> ranks;
    std::vector<std::vector<Dim>> operands;
    for (size_t index = 0; index < context.input_count(); ++index) {
        const ValueType& operand = context.input(index);
        if (operand.dtype != dtype) return context.fail("the inputs have different element types");
        if (!operand.dims) {
            context.set_output(0, dtype, std::nullopt);
            return {};
        }
        ranks.push_back(operand.dims->size());
        operands.push_back(*operand.dims);
    }
    QUOIN_ASSIGN_OR_RETURN(const Equation equation, parse(context.node(), ranks));
    QUOIN_ASSIGN_OR_RETURN(const auto sizes, label_dims(context.node(), equation, operands));
    std::vector<Dim> dims;
    for (const Label label : equation.output) dims.push_back(sizes.at(label));
    if (dims.size() > Shape::kMaxRank) return context.fail("the result has ", dims.size(), " dimensions");
    context.set_output(0, dtype, std::move(dims));
    return {};
}

// ---- compute --------------------------------------------------------------------------------------------------

template <class T>
struct Labelled {
    std::vector<Label> labels;
    std::vector<int64_t> sizes;
    std::vector<T> values;
};

// The elements between neighbours along `label`: the diagonal where it stands twice, 0 where it is broadcast.
template <class T>
int64_t stride_of(const Labelled<T>& operand, Label label) {
    int64_t result = 0;
    int64_t stride = 1;
    for (size_t axis = operand.labels.size(); axis-- > 0;) {
        if (operand.labels[axis] == label && operand.sizes[axis] != 1) result += stride;
        stride *= operand.sizes[axis];
    }
    return result;
}

// The sum over all labels but `kept` of the product of one or two operands.
template <class T>
Result<Labelled<T>> contract(const Node& node, std::span<const Labelled<T>* const> operands, std::vector<Label> kept) {
    std::vector<Label> summed;
    for (const Labelled<T>* const operand : operands) {
        for (const Label label : operand->labels) {
            if (std::ranges::find(kept, label) == kept.end() && std::ranges::find(summed, label) == summed.end()) {
                summed.push_back(label);
            }
        }
    }
    Labelled<T> result{std::move(kept), {}, {}};
    constexpr int64_t kMostElements = int64_t{1} << 40;
    int64_t count = 1;
    const auto sizes_of = [&](const std::vector<Label>& labels) {
        std::vector<int64_t> sizes;
        for (const Label label : labels) {
            // Of these operands: the label may be broadcast among them and wider elsewhere.
            int64_t size = 1;
            for (const Labelled<T>* const operand : operands) {
                for (size_t axis = 0; axis < operand->labels.size(); ++axis) {
                    if (operand->labels[axis] == label && operand->sizes[axis] != 1) size = operand->sizes[axis];
                }
            }
            sizes.push_back(size);
        }
        return sizes;
    };
    result.sizes = sizes_of(result.labels);
    for (const int64_t size : result.sizes) {
        if (__builtin_mul_overflow(count, size, &count) || count > kMostElements) {
            return error(StatusCode::OutOfMemory, "node '", node.name, "' (Einsum): a partial result is too large");
        }
    }
    const std::vector<int64_t> summed_sizes = sizes_of(summed);
    result.values.assign(static_cast<size_t>(count), T{});
    if (count == 0 || std::ranges::find(summed_sizes, 0) != summed_sizes.end()) return result;

    const Labelled<T>& a = *operands[0];
    const Labelled<T>* const b = operands.size() > 1 ? operands[1] : nullptr;
    const auto strides_of = [](const Labelled<T>& operand, const std::vector<Label>& labels) {
        std::vector<int64_t> strides;
        for (const Label label : labels) strides.push_back(stride_of(operand, label));
        return strides;
    };
    const auto dot = [](std::span<const int64_t> place, std::span<const int64_t> strides) {
        int64_t offset = 0;
        for (size_t axis = 0; axis < place.size(); ++axis) offset += place[axis] * strides[axis];
        return offset;
    };
    const std::vector<int64_t> a_outer = strides_of(a, result.labels);
    const std::vector<int64_t> b_outer = b == nullptr ? std::vector<int64_t>() : strides_of(*b, result.labels);
    std::vector<int64_t> a_inner = strides_of(a, summed);
    std::vector<int64_t> b_inner = b == nullptr ? std::vector<int64_t>() : strides_of(*b, summed);
    // The last summed axis is the innermost loop.
    const int64_t run = summed.empty() ? 1 : summed_sizes.back();
    const int64_t a_step = summed.empty() ? 0 : a_inner.back();
    const int64_t b_step = summed.empty() || b == nullptr ? 0 : b_inner.back();
    const std::span<const int64_t> middle = std::span(summed_sizes).first(summed.empty() ? 0 : summed.size() - 1);
    Odometer outer(result.sizes);
    size_t index = 0;
    do {
        const T* const a_base = a.values.data() + dot(outer.place(), a_outer);
        const T* const b_base = b == nullptr ? nullptr : b->values.data() + dot(outer.place(), b_outer);
        T sum{};
        Odometer inner(middle);
        do {
            const T* const x = a_base + dot(inner.place(), a_inner);
            if (b == nullptr) {
                for (int64_t k = 0; k < run; ++k) sum += x[k * a_step];
                continue;
            }
            const T* const y = b_base + dot(inner.place(), b_inner);
            for (int64_t k = 0; k < run; ++k) sum += x[k * a_step] * y[k * b_step];
        } while (inner.next());
        result.values[index++] = sum;
    } while (outer.next());
    return result;
}

// Labels in order of appearance that are in `all` and wanted by somebody outside.
template <class Wanted>
std::vector<Label> select(std::initializer_list<const std::vector<Label>*> lists, Wanted&& wanted) {
    std::vector<Label> kept;
    for (const std::vector<Label>* const list : lists) {
        for (const Label label : *list) {
            if (wanted(label) && std::ranges::find(kept, label) == kept.end()) kept.push_back(label);
        }
    }
    return kept;
}

template <class T>
Result<Labelled<T>> evaluate(const Node& node, const Equation& equation, std::vector<Labelled<T>> operands) {
    const auto wanted_after = [&](size_t index) {
        return [&, index](Label label) {
            if (std::ranges::find(equation.output, label) != equation.output.end()) return true;
            for (size_t other = index; other < operands.size(); ++other) {
                const auto& labels = equation.inputs[other];
                if (std::ranges::find(labels, label) != labels.end()) return true;
            }
            return false;
        };
    };
    std::optional<Labelled<T>> total;
    for (size_t index = 0; index < operands.size(); ++index) {
        // What only this operand has is summed first, so that the product of two never loops over it.
        const auto elsewhere = [&](Label label) {
            if (total && std::ranges::find(total->labels, label) != total->labels.end()) return true;
            return wanted_after(index + 1)(label);
        };
        const Labelled<T>* const alone[] = {&operands[index]};
        QUOIN_ASSIGN_OR_RETURN(Labelled<T> reduced,
                               contract<T>(node, alone, select({&operands[index].labels}, elsewhere)));
        operands[index].values = {};
        if (!total) {
            total = std::move(reduced);
            continue;
        }
        const Labelled<T>* const both[] = {&*total, &reduced};
        QUOIN_ASSIGN_OR_RETURN(
            Labelled<T> product,
            contract<T>(node, both, select({&total->labels, &reduced.labels}, wanted_after(index + 1))));
        total = std::move(product);
    }
    const Labelled<T>* const last[] = {&*total};
    return contract<T>(node, last, equation.output);
}

template <class T, class Element>
void store(const Labelled<T>& result, std::span<Element> elements) {
    for (size_t index = 0; index < std::min(elements.size(), result.values.size()); ++index) {
        if constexpr (FloatElement<Element>) {
            elements[index] = from_arithmetic<Element>(static_cast<Arithmetic<Element>>(result.values[index]));
        } else {
            elements[index] = static_cast<Element>(result.values[index]);
        }
    }
}

Status compute_einsum(ComputeContext& context) {
    const DType dtype = context.input(0).dtype();
    std::vector<size_t> ranks;
    std::vector<std::vector<Dim>> operands;
    for (size_t index = 0; index < context.input_count(); ++index) {
        ranks.push_back(context.input(index).shape().rank());
        operands.push_back(dims_of_shape(context.input(index).shape()));
    }
    QUOIN_ASSIGN_OR_RETURN(const Equation equation, parse(context.node(), ranks));
    QUOIN_ASSIGN_OR_RETURN(const auto sizes, label_dims(context.node(), equation, operands));
    std::vector<int64_t> dims;
    for (const Label label : equation.output) dims.push_back(sizes.at(label).size);
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, dtype, Shape(std::span<const int64_t>(dims))));
    Status status;
    const bool done = visit_numbers(dtype, [&]<class Element>() {
        // Integers wrap: as unsigned ones of the greatest width.
        using T = std::conditional_t<IntegerElement<Element>, uint64_t,
                                     std::conditional_t<std::same_as<Element, double>, double, float>>;
        std::vector<Labelled<T>> values;
        for (size_t index = 0; index < context.input_count(); ++index) {
            const Tensor& tensor = context.input(index);
            Labelled<T> operand{equation.inputs[index], {}, {}};
            operand.sizes.assign(tensor.shape().dims().begin(), tensor.shape().dims().end());
            for (const Element& element : tensor.as<const Element>()) {
                operand.values.push_back(static_cast<T>(to_arithmetic(element)));
            }
            values.push_back(std::move(operand));
        }
        Result<Labelled<T>> result = evaluate<T>(context.node(), equation, std::move(values));
        if (!result.ok()) {
            status = result.status();
            return;
        }
        // A label that is broadcast everywhere has size 1, as the result has.
        store<T, Element>(*result, y.as<Element>());
    });
    return done ? status : context.fail(StatusCode::Unsupported, "no sums of ", dtype_name(dtype));
}

}  // namespace

extern const OpImplementation kEinsumOp{infer_einsum, nullptr, compute_einsum};

}  // namespace quoin
