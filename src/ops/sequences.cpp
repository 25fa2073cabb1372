// Sequences and optionals (ONNX): lists of tensors as values, and values that may be nothing.
#include <algorithm>
#include <cstring>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/movement.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;
using Items = std::vector<RuntimeValue>;

// Sequences have no shape; their tensors have the dtype of the first input.
Status infer_as_first(InferContext& context) {
    context.set_output(0, context.input_count() == 0 ? DType::Undefined : context.input(0).dtype, std::nullopt);
    return {};
}

Status require_sequence(ComputeContext& context, size_t index) {
    if (context.value(index).is_sequence()) return {};
    return context.fail("input ", index, " is no sequence");
}

// A position in a list of `count`, negative ones from the end; `limit` is one behind the last that is allowed.
Result<size_t> position_at(ComputeContext& context, size_t index, size_t count, size_t limit) {
    const Tensor& tensor = context.input(index);
    const bool integer = tensor.dtype() == DType::I64 || tensor.dtype() == DType::I32;
    if (!integer || tensor.shape().element_count() != 1) return context.fail("the position is not one integer");
    int64_t position = integer_at(tensor, 0);
    const auto size = static_cast<int64_t>(count);
    if (position < -size || position >= static_cast<int64_t>(limit)) {
        return context.fail("there is no position ", position, " in a sequence of ", count);
    }
    if (position < 0) position += size;
    return static_cast<size_t>(position);
}

// ---- Making and changing ------------------------------------------------------------------------------------------

Status compute_construct(ComputeContext& context) {
    Items items;
    for (size_t index = 0; index < context.input_count(); ++index) {
        const RuntimeValue& value = context.value(index);
        if (!value.is_tensor()) return context.fail("input ", index, " is no tensor");
        if (index > 0 && value.dtype() != items.front().dtype()) {
            return context.fail("the inputs have different element types");
        }
        items.push_back(value);
    }
    const DType dtype = items.empty() ? DType::Undefined : items.front().dtype();
    return context.set_output(0, RuntimeValue(std::move(items), dtype));
}

Result<DType> empty_dtype(const Node& node) {
    const auto found =
        dtype_from_number(static_cast<uint32_t>(node.integer("dtype", static_cast<int64_t>(DType::F32))));
    if (found && *found != DType::Undefined) return *found;
    return error(StatusCode::InvalidModel, "node '", node.name, "' (SequenceEmpty): 'dtype' is no element type");
}

Status infer_empty(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, empty_dtype(context.node()));
    context.set_output(0, dtype, std::nullopt);
    return {};
}

Status compute_empty(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const DType dtype, empty_dtype(context.node()));
    return context.set_output(0, RuntimeValue(Items(), dtype));
}

Status compute_insert(ComputeContext& context) {
    QUOIN_RETURN_IF_ERROR(require_sequence(context, 0));
    Items items = context.value(0).items();
    const RuntimeValue& value = context.value(1);
    if (!value.is_tensor()) return context.fail("input 1 is no tensor");
    if (!items.empty() && items.front().dtype() != value.dtype()) {
        return context.fail("a tensor of ", dtype_name(value.dtype()), " into a sequence of ",
                            dtype_name(items.front().dtype()));
    }
    size_t position = items.size();
    if (context.has_input(2)) {
        QUOIN_ASSIGN_OR_RETURN(position, position_at(context, 2, items.size(), items.size() + 1));
    }
    items.insert(items.begin() + static_cast<std::ptrdiff_t>(position), value);
    return context.set_output(0, RuntimeValue(std::move(items), value.dtype()));
}

Status compute_erase(ComputeContext& context) {
    QUOIN_RETURN_IF_ERROR(require_sequence(context, 0));
    Items items = context.value(0).items();
    if (items.empty()) return context.fail("the sequence is empty");
    size_t position = items.size() - 1;
    if (context.has_input(1)) {
        QUOIN_ASSIGN_OR_RETURN(position, position_at(context, 1, items.size(), items.size()));
    }
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(position));
    return context.set_output(0, RuntimeValue(std::move(items), context.value(0).dtype()));
}

Status compute_at(ComputeContext& context) {
    QUOIN_RETURN_IF_ERROR(require_sequence(context, 0));
    const Items& items = context.value(0).items();
    QUOIN_ASSIGN_OR_RETURN(const size_t position, position_at(context, 1, items.size(), items.size()));
    return context.set_output(0, items[position]);
}

Status infer_length(InferContext& context) {
    context.set_output(0, DType::I64, Dims{});
    return {};
}

Status compute_length(ComputeContext& context) {
    QUOIN_RETURN_IF_ERROR(require_sequence(context, 0));
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, DType::I64, {}));
    result.as<int64_t>()[0] = static_cast<int64_t>(context.value(0).items().size());
    return {};
}

// ---- Tensors to sequences and back --------------------------------------------------------------------------------

// The sizes of the parts along an axis of this size.
Result<std::vector<int64_t>> part_sizes(ComputeContext& context, int64_t dim) {
    if (!context.has_input(1)) return std::vector<int64_t>(static_cast<size_t>(dim), 1);
    const Tensor& split = context.input(1);
    if (split.dtype() != DType::I64 && split.dtype() != DType::I32) return context.fail("the sizes are no integers");
    std::vector<int64_t> sizes;
    if (split.shape().rank() == 0) {
        const int64_t size = integer_at(split, 0);
        if (size <= 0) return context.fail("parts of ", size, " elements");
        for (int64_t rest = dim; rest > 0; rest -= std::min(rest, size)) sizes.push_back(std::min(rest, size));
        return sizes;
    }
    int64_t rest = dim;
    for (int64_t index = 0; index < split.shape().element_count().value_or(0); ++index) {
        sizes.push_back(integer_at(split, index));
        if (sizes.back() < 0 || sizes.back() > rest) return context.fail("the parts do not make up ", dim, " elements");
        rest -= sizes.back();
    }
    if (rest != 0) return context.fail("the parts do not make up ", dim, " elements");
    return sizes;
}

Status compute_split_to_sequence(ComputeContext& context) {
    const Tensor& input = context.input(0);
    if (!context.value(0).is_tensor() || !is_movable(input.dtype())) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ",
                            dtype_name(input.dtype()));
    }
    const Shape& shape = input.shape();
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, require_axis(context, context.node().integer("axis", 0), shape.rank()));
    // Parts need memory of their own even where they have no elements.
    constexpr int64_t kMostParts = int64_t{1} << 24;
    if (shape[axis] > kMostParts && shape.element_count() == 0) return context.fail("there are too many parts");
    QUOIN_ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, part_sizes(context, shape[axis]));
    const bool drop = !context.has_input(1) && context.node().integer("keepdims", 1) == 0;
    const int64_t inner = product(shape, axis + 1, shape.rank());
    const int64_t outer = product(shape, 0, axis);
    Items items;
    int64_t offset = 0;
    for (const int64_t size : sizes) {
        Shape part;
        for (size_t each = 0; each < shape.rank(); ++each) {
            if (each != axis) part.push_back(shape[each]);
            if (each == axis && !drop) part.push_back(size);
        }
        QUOIN_ASSIGN_OR_RETURN(Tensor tensor,
                               Tensor::allocate(context.runtime().memory, input.dtype(), part, context.node().name));
        BoxCopy box(offset);
        box.add(outer, shape[axis] * inner, size * inner);
        box.add(size * inner, 1, 1);
        box.finish(input.dtype());
        box.run_all(input.data(), tensor.data());
        offset += size * inner;
        items.emplace_back(std::move(tensor));
    }
    return context.set_output(0, RuntimeValue(std::move(items), input.dtype()));
}

Status compute_concat_from_sequence(ComputeContext& context) {
    QUOIN_RETURN_IF_ERROR(require_sequence(context, 0));
    const Items& items = context.value(0).items();
    if (items.empty()) return context.fail("the sequence is empty");
    const DType dtype = items.front().dtype();
    if (!is_movable(dtype)) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(dtype));
    }
    const bool new_axis = context.node().integer("new_axis", 0) != 0;
    const Shape& first = items.front().tensor().shape();
    const size_t rank = first.rank() + (new_axis ? 1 : 0);
    if (rank > Shape::kMaxRank) return context.fail("the result has ", rank, " dimensions");
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, require_axis(context, context.node().integer("axis", 0), rank));
    int64_t sum = 0;
    for (const RuntimeValue& item : items) {
        const Shape& shape = item.tensor().shape();
        bool fits = item.dtype() == dtype && shape.rank() == first.rank();
        for (size_t each = 0; fits && each < first.rank(); ++each) {
            fits = shape[each] == first[each] || (each == axis && !new_axis);
        }
        if (!fits) return context.fail("the tensors of the sequence have different shapes or types");
        if (__builtin_add_overflow(sum, new_axis ? 1 : shape[axis], &sum))
            return context.fail("the result is too large");
    }
    Shape result;
    for (size_t each = 0, from = 0; each < rank; ++each) {
        const bool skip = new_axis && each == axis;
        result.push_back(each == axis ? sum : first[from]);
        from += skip ? 0 : 1;
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, dtype, result));
    const int64_t inner = product(result, axis + 1, rank);
    int64_t offset = 0;
    for (const RuntimeValue& item : items) {
        const int64_t piece = new_axis ? inner : item.tensor().shape()[axis] * inner;
        BoxCopy box(0, offset);
        box.add(product(result, 0, axis), piece, sum * inner);
        box.add(piece, 1, 1);
        box.finish(dtype);
        box.run_all(item.tensor().data(), output.data());
        offset += piece;
    }
    return {};
}

// ---- SequenceMap --------------------------------------------------------------------------------------------------

Status infer_map(InferContext& context) {
    const Attribute* const found = context.node().attribute("body");
    const auto* const body = found == nullptr ? nullptr : std::get_if<std::shared_ptr<const Graph>>(found);
    if (body == nullptr || *body == nullptr) return context.fail("the attribute 'body' is missing");
    if ((*body)->outputs().size() < context.output_count()) return context.fail("the body has too few outputs");
    for (size_t index = 0; index < context.output_count(); ++index) {
        context.set_output(index, (*body)->value((*body)->outputs()[index]).dtype, std::nullopt);
    }
    return {};
}

// The body sees one element of each sequence at a time; tensors are the same for all.
Status compute_map(ComputeContext& context) {
    QUOIN_RETURN_IF_ERROR(require_sequence(context, 0));
    const size_t count = context.value(0).items().size();
    const auto captures = static_cast<size_t>(context.node().integer("captures", 0));
    const std::span<const RuntimeValue> own = context.inputs().first(context.input_count() - captures);
    for (const RuntimeValue& value : own) {
        if (value.is_sequence() && value.items().size() != count) {
            return context.fail("sequences of ", count, " and ", value.items().size(), " elements");
        }
    }
    std::vector<Items> results(context.output_count());
    std::vector<RuntimeValue> inputs(own.size());
    for (size_t each = 0; each < count; ++each) {
        for (size_t index = 0; index < own.size(); ++index) {
            inputs[index] = own[index].is_sequence() ? own[index].items()[each] : own[index];
        }
        QUOIN_ASSIGN_OR_RETURN(std::vector<RuntimeValue> made, context.run_body("body", inputs));
        if (made.size() < results.size()) return context.fail("the body has too few outputs");
        for (size_t index = 0; index < results.size(); ++index) results[index].push_back(std::move(made[index]));
    }
    const auto* const body = std::get_if<std::shared_ptr<const Graph>>(context.node().attribute("body"));
    for (size_t index = 0; index < results.size(); ++index) {
        const DType dtype =
            results[index].empty() ? (*body)->value((*body)->outputs()[index]).dtype : results[index].front().dtype();
        QUOIN_RETURN_IF_ERROR(context.set_output(index, RuntimeValue(std::move(results[index]), dtype)));
    }
    return {};
}

// ---- Optionals ----------------------------------------------------------------------------------------------------

// An optional is the value that it holds, or nothing.
Status compute_optional(ComputeContext& context) {
    return context.set_output(0, context.value(0));
}

Status compute_get_element(ComputeContext& context) {
    if (!context.has_input(0)) return context.fail("the optional holds nothing");
    return context.set_output(0, context.value(0));
}

Status infer_has_element(InferContext& context) {
    context.set_output(0, DType::Bool, Dims{});
    return {};
}

Status compute_has_element(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, DType::Bool, {}));
    result.as<bool>()[0] = context.has_input(0);
    return {};
}

}  // namespace

extern const OpImplementation kSequenceConstructOp{infer_as_first, nullptr, compute_construct};
extern const OpImplementation kSequenceEmptyOp{infer_empty, nullptr, compute_empty};
extern const OpImplementation kSequenceInsertOp{infer_as_first, nullptr, compute_insert};
extern const OpImplementation kSequenceEraseOp{infer_as_first, nullptr, compute_erase};
extern const OpImplementation kSequenceAtOp{infer_as_first, nullptr, compute_at};
extern const OpImplementation kSequenceLengthOp{infer_length, nullptr, compute_length};
extern const OpImplementation kSplitToSequenceOp{infer_as_first, nullptr, compute_split_to_sequence};
extern const OpImplementation kConcatFromSequenceOp{infer_as_first, nullptr, compute_concat_from_sequence};
extern const OpImplementation kSequenceMapOp{infer_map, nullptr, compute_map};
extern const OpImplementation kOptionalOp{infer_as_first, nullptr, compute_optional};
extern const OpImplementation kOptionalGetElementOp{infer_as_first, nullptr, compute_get_element};
extern const OpImplementation kOptionalHasElementOp{infer_has_element, nullptr, compute_has_element};

}  // namespace quoin
