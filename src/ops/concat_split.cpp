// Concat and Split (ONNX).
#include <algorithm>

#include "ops/axes.h"
#include "ops/infer_rules.h"
#include "ops/movement.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// ---- Concat -----------------------------------------------------------------------------------------------------

// What is known of the elements of all inputs, one behind the other.
Result<std::optional<Dims>> joined_elements(const InferContext& context) {
    Dims joined;
    bool any = false;
    for (size_t index = 0; index < context.input_count(); ++index) {
        QUOIN_ASSIGN_OR_RETURN(const std::optional<Dims> part, context.elements(index));
        const auto& dims = context.input(index).dims;
        if (part) {
            any = true;
            joined.insert(joined.end(), part->begin(), part->end());
        } else if (dims && dims->size() == 1 && dims->front().known() && dims->front().size <= 64) {
            joined.resize(joined.size() + static_cast<size_t>(dims->front().size));
        } else {
            return std::optional<Dims>();
        }
    }
    if (!any) return std::optional<Dims>();
    return std::optional<Dims>(std::move(joined));
}

Status infer_concat(InferContext& context) {
    if (context.node().attribute("axis") == nullptr) return context.fail("the attribute 'axis' is missing");
    DType dtype = DType::Undefined;
    std::optional<Dims> dims;
    bool all_known = true;
    size_t axis = 0;
    for (size_t index = 0; index < context.input_count(); ++index) {
        const ValueType& input = context.input(index);
        if (input.dtype != DType::Undefined) {
            if (dtype != DType::Undefined && dtype != input.dtype) {
                return context.fail("the inputs have different element types, ", dtype_name(dtype), " and ",
                                    dtype_name(input.dtype));
            }
            dtype = input.dtype;
        }
        if (!input.dims) {
            all_known = false;
            continue;
        }
        if (!dims) {
            QUOIN_ASSIGN_OR_RETURN(axis, require_axis(context, context.node().integer("axis", 0), input.dims->size()));
            dims = input.dims;
            continue;
        }
        if (input.dims->size() != dims->size()) {
            return context.fail("the inputs have different ranks, ", dims->size(), " and ", input.dims->size());
        }
        for (size_t each = 0; each < dims->size(); ++each) {
            Dim& dim = (*dims)[each];
            const Dim& other = (*input.dims)[each];
            if (each == axis) {
                const bool known = dim.known() && other.known();
                if (known && __builtin_add_overflow(dim.size, other.size, &dim.size)) {
                    return context.fail("the result is too large");
                }
                if (!known) dim = Dim{};
            } else if (!may_equal(dim, other)) {
                return context.fail("dimension ", each, " is ", dim.size, " in one input and ", other.size,
                                    " in another");
            } else if (!dim.known() && (other.known() || dim.symbol < 0)) {
                dim = other;
            }
        }
    }
    if (dims && !all_known) (*dims)[axis] = Dim{};
    QUOIN_ASSIGN_OR_RETURN(auto elements, joined_elements(context));
    context.set_output(0, dtype, std::move(dims), std::move(elements));
    return {};
}

class Concat final : public PreparedNode {
public:
    explicit Concat(const Node& node) : axis_(node.integer("axis", 0)) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        QUOIN_RETURN_IF_ERROR(require_movable(arguments.outputs[0]));
        Work work{.tasks = 0};
        int64_t offset = 0;
        for (const TensorView& input : arguments.inputs) work.tasks += box(input, arguments.outputs[0], offset).tasks();
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        int64_t offset = 0;
        for (const TensorView& input : arguments.inputs) {
            const BoxCopy each = box(input, arguments.outputs[0], offset);
            if (task < each.tasks()) {
                each.run(task, input.data, arguments.outputs[0].data);
                return {};
            }
            task -= each.tasks();
        }
        return {};
    }

private:
    // The part of the result that is this input, which begins `offset` elements from the start; moves the offset on.
    BoxCopy box(const TensorView& input, const TensorView& output, int64_t& offset) const {
        const size_t axis = find_axis(axis_, output.shape.rank()).value_or(0);
        const int64_t piece = product(input.shape, axis, input.shape.rank());
        BoxCopy box(0, offset);
        box.add(product(output.shape, 0, axis), piece, product(output.shape, axis, output.shape.rank()));
        box.add(piece, 1, 1);
        box.finish(output.dtype);
        offset += piece;
        return box;
    }

    int64_t axis_;
};

// ---- Split ------------------------------------------------------------------------------------------------------

// The sizes of the parts of a dim of this size; from input 1 or in equal parts, of which the last may be smaller.
Result<std::optional<std::vector<int64_t>>> part_sizes(const InferContext& context, Dim dim) {
    std::optional<std::vector<int64_t>> sizes;
    const auto parts = static_cast<int64_t>(context.output_count());
    if (context.has_input(1)) {
        QUOIN_ASSIGN_OR_RETURN(sizes, context.integers(1));
        if (!sizes) return sizes;
        if (static_cast<int64_t>(sizes->size()) != parts) {
            return context.fail(sizes->size(), " sizes are given for ", parts, " parts");
        }
        int64_t sum = 0;
        for (const int64_t size : *sizes) {
            if (size < 0) return context.fail("a part has the size ", size);
            if (__builtin_add_overflow(sum, size, &sum)) return context.fail("the parts are too large");
        }
        if (dim.known() && sum != dim.size) return context.fail("parts of ", sum, " elements are cut from ", dim.size);
        return sizes;
    }
    const int64_t wanted = context.node().integer("num_outputs", parts);
    if (wanted != parts) return context.fail("'num_outputs' is ", wanted, ", but there are ", parts, " outputs");
    if (!dim.known()) return sizes;
    sizes.emplace();
    const int64_t most = dim.size / parts + (dim.size % parts != 0 ? 1 : 0);
    int64_t rest = dim.size;
    for (int64_t part = 0; part < parts; ++part) {
        sizes->push_back(std::min(most, rest));
        rest -= sizes->back();
    }
    return sizes;
}

Status infer_split(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    std::optional<size_t> axis;
    if (input.dims) {
        QUOIN_ASSIGN_OR_RETURN(axis, require_axis(context, context.node().integer("axis", 0), input.dims->size()));
    }
    QUOIN_ASSIGN_OR_RETURN(const auto sizes, part_sizes(context, axis ? (*input.dims)[*axis] : Dim{}));
    QUOIN_ASSIGN_OR_RETURN(const std::optional<Dims> elements, context.elements(0));
    size_t first = 0;
    for (size_t part = 0; part < context.output_count(); ++part) {
        if (!input.dims) {
            context.set_output(part, input.dtype, std::nullopt);
            continue;
        }
        Dims dims = *input.dims;
        dims[*axis] = sizes ? Dim{.size = (*sizes)[part]} : Dim{};
        std::optional<Dims> own;
        if (elements && sizes) {
            const auto count = static_cast<size_t>((*sizes)[part]);
            if (first + count > elements->size()) return context.fail("the parts are larger than the input");
            own.emplace(elements->begin() + static_cast<std::ptrdiff_t>(first),
                        elements->begin() + static_cast<std::ptrdiff_t>(first + count));
            first += count;
        }
        context.set_output(part, input.dtype, std::move(dims), std::move(own));
    }
    return {};
}

class Split final : public PreparedNode {
public:
    explicit Split(const Node& node) : axis_(node.integer("axis", 0)) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        QUOIN_RETURN_IF_ERROR(require_movable(arguments.inputs[0]));
        Work work{.tasks = 0};
        int64_t offset = 0;
        for (size_t part = 0; part < arguments.outputs.size(); ++part)
            work.tasks += box(arguments, part, offset).tasks();
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        int64_t offset = 0;
        for (size_t part = 0; part < arguments.outputs.size(); ++part) {
            const BoxCopy each = box(arguments, part, offset);
            if (task < each.tasks()) {
                each.run(task, arguments.inputs[0].data, arguments.outputs[part].data);
                return {};
            }
            task -= each.tasks();
        }
        return {};
    }

private:
    BoxCopy box(const Arguments& arguments, size_t part, int64_t& offset) const {
        const TensorView& input = arguments.inputs[0];
        const size_t axis = find_axis(axis_, input.shape.rank()).value_or(0);
        const int64_t inner = product(input.shape, axis + 1, input.shape.rank());
        const bool wanted = arguments.outputs[part].dtype != DType::Undefined;
        const int64_t piece = inner * (wanted ? arguments.outputs[part].shape[axis] : skipped(arguments, part, axis));
        BoxCopy box(offset);
        box.add(wanted ? product(input.shape, 0, axis) : 0, input.shape[axis] * inner, piece);
        box.add(piece, 1, 1);
        box.finish(input.dtype);
        offset += piece;
        return box;
    }

    // The size of a part that nobody asked for. While planning there are no bytes, but then offsets do not matter.
    static int64_t skipped(const Arguments& arguments, size_t part, size_t axis) {
        if (arguments.inputs.size() > 1 && arguments.inputs[1].dtype != DType::Undefined) {
            return arguments.inputs[1].data == nullptr ? 0
                                                       : integer_at(arguments.inputs[1], static_cast<int64_t>(part));
        }
        const auto parts = static_cast<int64_t>(arguments.outputs.size());
        const int64_t dim = arguments.inputs[0].shape[axis];
        const int64_t most = task_count(dim, parts);
        return std::clamp<int64_t>(dim - most * static_cast<int64_t>(part), 0, most);
    }

    int64_t axis_;
};

}  // namespace

extern const OpImplementation kConcatOp{infer_concat, prepare_movable<Concat>};
extern const OpImplementation kSplitOp{infer_split, prepare_movable<Split>};

}  // namespace quoin
