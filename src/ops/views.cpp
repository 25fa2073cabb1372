// Ops that give the same bytes another shape (Reshape, Squeeze, Unsqueeze, Flatten, Identity) and those that read
// nothing but a shape (Shape, Size). None of them is a step.
#include <algorithm>

#include "ops/axes.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// ---- Reshape --------------------------------------------------------------------------------------------------

// What is left over where a target has one -1 (or one element nobody knows): the dims of the input that do not stand in
// the result too. nullopt when something unknown remains.
std::optional<int64_t> rest_of(const Dims& dims, const Dims& result, size_t inferred) {
    Dims before = dims;
    int64_t after = 1;
    for (size_t axis = 0; axis < result.size(); ++axis) {
        if (axis == inferred) continue;
        const Dim& dim = result[axis];
        if (dim.known()) {
            if (__builtin_mul_overflow(after, dim.size, &after)) return std::nullopt;
            continue;
        }
        const auto same = dim.symbol < 0 ? before.end() : std::ranges::find(before, dim);
        if (same == before.end()) return std::nullopt;
        before.erase(same);
    }
    int64_t count = 1;
    for (const Dim& dim : before) {
        if (!dim.known() || __builtin_mul_overflow(count, dim.size, &count)) return std::nullopt;
    }
    if (after == 0 || count % after != 0) return std::nullopt;
    return count / after;
}

// A target of which some elements are sizes with names, and some not known at all.
void infer_partly_known(InferContext& context, const Dims& wanted) {
    const auto& dims = context.input(0).dims;
    const bool allow_zero = context.node().integer("allowzero", 0) != 0;
    Dims result = wanted;
    std::vector<size_t> open;
    for (size_t axis = 0; axis < wanted.size(); ++axis) {
        if (wanted[axis].size == 0 && !allow_zero) result[axis] = dims && axis < dims->size() ? (*dims)[axis] : Dim{};
        if (!wanted[axis].known() && wanted[axis].symbol < 0) {
            result[axis] = Dim{};
            open.push_back(axis);
        }
    }
    if (dims && open.size() == 1) {
        if (const auto rest = rest_of(*dims, result, open[0])) result[open[0]] = {.size = *rest};
    }
    context.set_output(0, context.input(0).dtype, std::move(result));
}

// 0 copies the input's dim (unless allowzero), -1 takes what is left.
Status infer_reshape(InferContext& context) {
    const DType dtype = context.input(0).dtype;
    const std::optional<Result<Tensor>> target = context.constant(1);
    if (!target) {
        QUOIN_ASSIGN_OR_RETURN(const std::optional<Dims> elements, context.elements(1));
        if (elements && elements->size() <= Shape::kMaxRank) {
            infer_partly_known(context, *elements);
            return {};
        }
        const auto& length = context.input(1).dims;
        const bool rank_known = length && length->size() == 1 && length->front().known();
        if (rank_known && length->front().size > static_cast<int64_t>(Shape::kMaxRank)) {
            return context.fail("the result has ", length->front().size, " dimensions");
        }
        context.set_output(0, dtype,
                           rank_known ? std::optional(Dims(static_cast<size_t>(length->front().size))) : std::nullopt);
        return {};
    }
    if (!target->ok()) return target->status();
    if ((*target)->dtype() != DType::I64) return context.fail("the shape is not i64");
    const std::span<const int64_t> wanted = (*target)->as<int64_t>();
    const bool allow_zero = context.node().integer("allowzero", 0) != 0;
    const auto& dims = context.input(0).dims;
    if (wanted.size() > Shape::kMaxRank) return context.fail("the result has ", wanted.size(), " dimensions");

    Dims result(wanted.size());
    std::optional<size_t> inferred;
    for (size_t axis = 0; axis < wanted.size(); ++axis) {
        if (wanted[axis] == -1) {
            if (inferred) return context.fail("the shape has more than one -1");
            inferred = axis;
        } else if (wanted[axis] == 0 && !allow_zero) {
            if (dims && axis >= dims->size()) return context.fail("dimension ", axis, " to copy does not exist");
            if (dims) result[axis] = (*dims)[axis];
        } else if (wanted[axis] < 0) {
            return context.fail("the shape has the dimension ", wanted[axis]);
        } else {
            result[axis] = {.size = wanted[axis]};
        }
    }
    if (dims && context.input(0).is_static()) {
        int64_t before = 1;
        int64_t after = 1;
        bool overflow = false;
        for (const Dim& dim : *dims) overflow = overflow || __builtin_mul_overflow(before, dim.size, &before);
        for (size_t axis = 0; axis < result.size(); ++axis) {
            if (axis != inferred) overflow = overflow || __builtin_mul_overflow(after, result[axis].size, &after);
        }
        if (overflow) return context.fail("the shape has too many elements");
        if (inferred && after != 0 && before % after == 0) {
            result[*inferred] = {.size = before / after};
        } else if (inferred || before != after) {
            return context.fail("cannot make ", after, " elements of ", before);
        }
    } else if (dims && inferred) {
        if (const auto rest = rest_of(*dims, result, *inferred)) result[*inferred] = {.size = *rest};
    }
    // A scalar made a vector of one, or the other way round, is the same number.
    std::optional<Dims> elements;
    if (result.size() <= 1) {
        QUOIN_ASSIGN_OR_RETURN(elements, context.elements(0));
    }
    context.set_output(0, dtype, std::move(result), std::move(elements));
    return {};
}

// ---- Squeeze, Unsqueeze, Flatten, Identity ----------------------------------------------------------------------

// The named axes as flags for a tensor of `rank` dims; fails on doubles.
Result<std::vector<bool>> flagged(const InferContext& context, std::span<const int64_t> axes, size_t rank) {
    std::vector<bool> flags(rank);
    for (const int64_t axis : axes) {
        QUOIN_ASSIGN_OR_RETURN(const size_t at, require_axis(context, axis, rank));
        if (flags[at]) return context.fail("axis ", axis, " is named twice");
        flags[at] = true;
    }
    return flags;
}

Result<std::optional<Dims>> elements_of_small(const InferContext& context, const Dims& dims) {
    if (dims.size() > 1) return std::optional<Dims>();
    return context.elements(0);
}

Status infer_squeeze(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const auto axes, context.integers(1));
    if (!input.dims || (context.has_input(1) && !axes)) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    Dims dims;
    if (axes) {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<bool> gone, flagged(context, *axes, input.dims->size()));
        for (size_t axis = 0; axis < gone.size(); ++axis) {
            const Dim& dim = (*input.dims)[axis];
            if (!gone[axis]) {
                dims.push_back(dim);
            } else if (dim.known() && dim.size != 1) {
                return context.fail("dimension ", axis, " is ", dim.size, " and cannot be dropped");
            }
        }
    } else {
        for (const Dim& dim : *input.dims) {
            if (!dim.known()) {
                context.set_output(0, input.dtype, std::nullopt);
                return {};
            }
            if (dim.size != 1) dims.push_back(dim);
        }
    }
    QUOIN_ASSIGN_OR_RETURN(auto elements, elements_of_small(context, dims));
    context.set_output(0, input.dtype, std::move(dims), std::move(elements));
    return {};
}

Status infer_unsqueeze(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const auto axes, context.integers(1));
    if (!input.dims || !axes) {
        const auto& count = context.input(1).dims;
        if (input.dims && count && count->size() == 1 && count->front().known() &&
            count->front().size <= static_cast<int64_t>(Shape::kMaxRank)) {
            context.set_output(0, input.dtype, Dims(input.dims->size() + static_cast<size_t>(count->front().size)));
        } else {
            context.set_output(0, input.dtype, std::nullopt);
        }
        return {};
    }
    const size_t rank = input.dims->size() + axes->size();
    if (rank > Shape::kMaxRank) return context.fail("the result has ", rank, " dimensions");
    QUOIN_ASSIGN_OR_RETURN(const std::vector<bool> added, flagged(context, *axes, rank));
    Dims dims;
    size_t next = 0;
    for (size_t axis = 0; axis < rank; ++axis) dims.push_back(added[axis] ? Dim{.size = 1} : (*input.dims)[next++]);
    QUOIN_ASSIGN_OR_RETURN(auto elements, elements_of_small(context, dims));
    context.set_output(0, input.dtype, std::move(dims), std::move(elements));
    return {};
}

Status infer_flatten(InferContext& context) {
    const ValueType& input = context.input(0);
    if (!input.dims) {
        context.set_output(0, input.dtype, Dims(2));
        return {};
    }
    const auto rank = static_cast<int64_t>(input.dims->size());
    int64_t axis = context.node().integer("axis", 1);
    if (axis < -rank || axis > rank) return context.fail("axis ", axis, " is out of range for rank ", rank);
    if (axis < 0) axis += rank;
    const auto joined = [&](int64_t begin, int64_t end) {
        Dim all{.size = 1};
        for (int64_t at = begin; at < end; ++at) {
            const Dim& dim = (*input.dims)[static_cast<size_t>(at)];
            if (all.size == 1) {
                all = dim;
            } else if (dim.size == 1) {
                continue;
            } else if (!dim.known() || !all.known() || __builtin_mul_overflow(all.size, dim.size, &all.size)) {
                return Dim{};
            }
        }
        return all;
    };
    context.set_output(0, input.dtype, Dims{joined(0, axis), joined(axis, rank)});
    return {};
}

Status infer_identity(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(auto elements, context.elements(0));
    context.set_output(0, context.input(0).dtype, context.input(0).dims, std::move(elements));
    return {};
}

// ---- Shape, Size ------------------------------------------------------------------------------------------------

// [start, end) of the axes that Shape reports.
std::pair<int64_t, int64_t> shape_range(const Node& node, int64_t rank) {
    const auto clamped = [&](int64_t axis) { return std::clamp<int64_t>(axis < 0 ? axis + rank : axis, 0, rank); };
    const int64_t start = clamped(node.integer("start", 0));
    const int64_t end = node.attribute("end") == nullptr ? rank : clamped(node.integer("end", rank));
    return {start, std::max(start, end)};
}

Status infer_shape(InferContext& context) {
    const auto& dims = context.input(0).dims;
    if (!dims) {
        context.set_output(0, DType::I64, Dims{Dim{}});
        return {};
    }
    const auto [start, end] = shape_range(context.node(), static_cast<int64_t>(dims->size()));
    Dims elements(dims->begin() + start, dims->begin() + end);
    context.set_output(0, DType::I64, Dims{{.size = end - start}}, std::move(elements));
    return {};
}

Status compute_shape(ComputeContext& context) {
    const Shape& shape = context.input(0).shape();
    const auto [start, end] = shape_range(context.node(), static_cast<int64_t>(shape.rank()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, DType::I64, {end - start}));
    std::copy(shape.dims().begin() + start, shape.dims().begin() + end, result.as<int64_t>().begin());
    return {};
}

Status infer_size(InferContext& context) {
    const ValueType& input = context.input(0);
    std::optional<Dims> elements;
    if (input.is_static()) {
        int64_t count = 1;
        for (const Dim& dim : *input.dims) {
            if (__builtin_mul_overflow(count, dim.size, &count)) return context.fail("there are too many elements");
        }
        elements = Dims{{.size = count}};
    }
    context.set_output(0, DType::I64, Dims{}, std::move(elements));
    return {};
}

Status compute_size(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, DType::I64, {}));
    result.as<int64_t>()[0] = context.input(0).shape().element_count().value_or(0);
    return {};
}

}  // namespace

extern const OpImplementation kReshapeOp{infer_reshape, nullptr};
extern const OpImplementation kSqueezeOp{infer_squeeze, nullptr};
extern const OpImplementation kUnsqueezeOp{infer_unsqueeze, nullptr};
extern const OpImplementation kFlattenOp{infer_flatten, nullptr};
extern const OpImplementation kIdentityOp{infer_identity, nullptr};
extern const OpImplementation kShapeOp{infer_shape, nullptr, compute_shape};
extern const OpImplementation kSizeOp{infer_size, nullptr, compute_size};

}  // namespace quoin
