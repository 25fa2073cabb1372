// NonZero, Compress, Unique, OneHot, ReverseSequence (ONNX): what is picked depends on the elements.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/infer_rules.h"
#include "ops/movement.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

Status no_such_type(ComputeContext& context, DType dtype) {
    return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(dtype));
}

// ---- NonZero ------------------------------------------------------------------------------------------------------

Status infer_non_zero(InferContext& context) {
    const auto& dims = context.input(0).dims;
    context.set_output(0, DType::I64, Dims{dims ? Dim{.size = static_cast<int64_t>(dims->size())} : Dim{}, Dim{}});
    return {};
}

Status compute_non_zero(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const Shape& shape = input.shape();
    std::vector<int64_t> found;
    const bool known = visit_numbers_and_bool(input.dtype(), [&]<class T>() {
        const auto elements = input.as<const T>();
        for (size_t position = 0; position < elements.size(); ++position) {
            if (to_arithmetic(elements[position]) != Arithmetic<T>{}) found.push_back(static_cast<int64_t>(position));
        }
    });
    if (!known) return no_such_type(context, input.dtype());
    const auto count = static_cast<int64_t>(found.size());
    const auto rank = static_cast<int64_t>(shape.rank());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, DType::I64, {rank, count}));
    const auto indices = output.as<int64_t>();
    for (size_t axis = shape.rank(); axis-- > 0;) {
        for (size_t each = 0; each < found.size(); ++each) {
            indices[axis * found.size() + each] = found[each] % shape[axis];
            found[each] /= shape[axis];
        }
    }
    return {};
}

// ---- Compress -----------------------------------------------------------------------------------------------------

Status infer_compress(InferContext& context) {
    const auto& dims = context.input(0).dims;
    const auto& condition = context.input(1).dims;
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::Bool}));
    if (condition && condition->size() != 1) return context.fail("the condition is no vector");
    if (context.node().attribute("axis") == nullptr) {
        context.set_output(0, context.input(0).dtype, Dims{Dim{}});
        return {};
    }
    std::optional<Dims> result = dims;
    if (dims) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, context.node().integer("axis", 0), dims->size()));
        (*result)[axis] = Dim{};
    }
    context.set_output(0, context.input(0).dtype, std::move(result));
    return {};
}

Status compute_compress(ComputeContext& context) {
    const Tensor& input = context.input(0);
    if (!is_movable(input.dtype())) return no_such_type(context, input.dtype());
    const bool flat = context.node().attribute("axis") == nullptr;
    const Shape shape = flat ? Shape{input.shape().element_count().value_or(0)} : input.shape();
    const size_t axis = flat ? 0 : find_axis(context.node().integer("axis", 0), shape.rank()).value_or(0);
    std::vector<int64_t> kept;
    const auto condition = context.input(1).as<const bool>();
    for (size_t index = 0; index < condition.size(); ++index) {
        if (condition[index]) kept.push_back(static_cast<int64_t>(index));
    }
    if (!kept.empty() && kept.back() >= shape[axis]) {
        return context.fail("the condition keeps element ", kept.back(), " of ", shape[axis]);
    }
    Shape result = shape;
    result[axis] = static_cast<int64_t>(kept.size());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), result));
    const int64_t inner = product(shape, axis + 1, shape.rank());
    const int64_t outer = product(shape, 0, axis);
    visit_sizes(input.dtype(), [&]<class T>() {
        T* target = output.as<T>().data();
        for (int64_t row = 0; row < outer; ++row) {
            const T* const source = input.as<const T>().data() + row * shape[axis] * inner;
            for (const int64_t index : kept) target = std::copy_n(source + index * inner, inner, target);
        }
    });
    return {};
}

// ---- Unique -------------------------------------------------------------------------------------------------------

// Less, with NaN behind every number, so that sorting has an order to go by.
template <class T>
bool comes_before(const T& a, const T& b) {
    if constexpr (FloatElement<T>) {
        const auto x = to_arithmetic(a);
        const auto y = to_arithmetic(b);
        if (std::isnan(x)) return false;
        return std::isnan(y) || x < y;
    } else {
        return a < b;
    }
}

struct Groups {
    std::vector<int64_t> first;    // of each group: its first slice
    std::vector<int64_t> inverse;  // of each slice: its group
    std::vector<int64_t> counts;
};

// Slices of `length` elements that lie one behind the other, equal ones together.
template <class T>
Groups group(std::span<const T> elements, int64_t count, int64_t length, bool sorted) {
    const auto slice = [&](int64_t index) {
        return elements.subspan(static_cast<size_t>(index * length), static_cast<size_t>(length));
    };
    const auto before = [&](int64_t a, int64_t b) {
        return std::ranges::lexicographical_compare(slice(a), slice(b), comes_before<T>);
    };
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, before);
    Groups groups;
    groups.inverse.resize(order.size());
    for (size_t each = 0; each < order.size(); ++each) {
        if (each == 0 || before(order[each - 1], order[each])) {
            groups.first.push_back(order[each]);
            groups.counts.push_back(0);
        }
        ++groups.counts.back();
        groups.inverse[static_cast<size_t>(order[each])] = static_cast<int64_t>(groups.first.size()) - 1;
    }
    if (sorted) return groups;
    // In the order in which they appeared.
    std::vector<size_t> appeared(groups.first.size());
    std::iota(appeared.begin(), appeared.end(), size_t{0});
    std::ranges::sort(appeared, {}, [&](size_t each) { return groups.first[each]; });
    Groups result;
    std::vector<int64_t> renamed(appeared.size());
    for (const size_t each : appeared) {
        renamed[each] = static_cast<int64_t>(result.first.size());
        result.first.push_back(groups.first[each]);
        result.counts.push_back(groups.counts[each]);
    }
    for (const int64_t each : groups.inverse) result.inverse.push_back(renamed[static_cast<size_t>(each)]);
    return result;
}

Status infer_unique(InferContext& context) {
    std::optional<Dims> dims = context.input(0).dims;
    if (context.node().attribute("axis") == nullptr) {
        dims = Dims{Dim{}};
    } else if (dims) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, context.node().integer("axis", 0), dims->size()));
        (*dims)[axis] = Dim{};
    }
    context.set_output(0, context.input(0).dtype, std::move(dims));
    for (const size_t index : {1, 2, 3}) context.set_output(index, DType::I64, Dims{Dim{}});
    return {};
}

Status write_integers(ComputeContext& context, size_t index, const std::vector<int64_t>& values) {
    if (!context.wants_output(index)) return {};
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(index, DType::I64, {static_cast<int64_t>(values.size())}));
    std::ranges::copy(values, output.as<int64_t>().begin());
    return {};
}

template <class T>
Status unique(ComputeContext& context) {
    const Tensor& input = context.input(0);
    const bool flat = context.node().attribute("axis") == nullptr;
    const Shape shape = flat ? Shape{input.shape().element_count().value_or(0)} : input.shape();
    const size_t axis = flat ? 0 : find_axis(context.node().integer("axis", 0), shape.rank()).value_or(0);
    const int64_t outer = product(shape, 0, axis);
    const int64_t inner = product(shape, axis + 1, shape.rank());
    const int64_t length = outer * inner;
    // Slices without elements are all the same, but need an entry each.
    constexpr int64_t kMostEmpty = int64_t{1} << 24;
    if (length == 0 && shape[axis] > kMostEmpty) return context.fail("there are too many slices");
    // Slices behind each other; where they are so already, the bytes as they are.
    std::unique_ptr<T[]> moved;  // not a vector: vector<bool> has no elements to point to
    std::span<const T> elements = input.as<const T>();
    if (outer != 1) {
        moved = std::make_unique<T[]>(elements.size());
        for (int64_t row = 0; row < outer; ++row) {
            for (int64_t each = 0; each < shape[axis]; ++each) {
                std::copy_n(elements.data() + (row * shape[axis] + each) * inner, inner,
                            moved.get() + each * length + row * inner);
            }
        }
        elements = {moved.get(), elements.size()};
    }
    const Groups groups = group(elements, shape[axis], length, context.node().integer("sorted", 1) != 0);
    Shape result = shape;
    result[axis] = static_cast<int64_t>(groups.first.size());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), result));
    T* target = output.as<T>().data();
    for (int64_t row = 0; row < outer; ++row) {
        for (const int64_t each : groups.first) {
            target = std::copy_n(elements.data() + each * length + row * inner, inner, target);
        }
    }
    QUOIN_RETURN_IF_ERROR(write_integers(context, 1, groups.first));
    QUOIN_RETURN_IF_ERROR(write_integers(context, 2, groups.inverse));
    return write_integers(context, 3, groups.counts);
}

Status compute_unique(ComputeContext& context) {
    const DType dtype = context.input(0).dtype();
    if (dtype == DType::String) return unique<std::string>(context);
    Status status;
    if (visit_numbers_and_bool(dtype, [&]<class T>() { status = unique<T>(context); })) return status;
    return no_such_type(context, dtype);
}

// ---- OneHot -------------------------------------------------------------------------------------------------------

// A number of any type as an integer, towards zero; nullopt for what is none.
std::optional<int64_t> whole_number(const Tensor& tensor, size_t position) {
    std::optional<int64_t> number;
    visit_numbers(tensor.dtype(), [&]<class T>() {
        const auto value = to_arithmetic(tensor.as<const T>()[position]);
        if constexpr (FloatElement<T>) {
            if (std::abs(static_cast<double>(value)) < 0x1p62) number = static_cast<int64_t>(value);
        } else {
            number = static_cast<int64_t>(value);
        }
    });
    return number;
}

Status infer_one_hot(InferContext& context) {
    const auto& indices = context.input(0).dims;
    std::optional<int64_t> depth;
    if (const std::optional<Result<Tensor>> known = context.constant(1)) {
        if (!known->ok()) return known->status();
        if ((*known)->shape().element_count() != 1) return context.fail("the depth is not one number");
        depth = whole_number(**known, 0);
        if (!depth || *depth < 0) return context.fail("the depth is no size");
    }
    const DType dtype = context.input(2).dtype;
    if (!indices) {
        context.set_output(0, dtype, std::nullopt);
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                           require_axis(context, context.node().integer("axis", -1), indices->size() + 1));
    if (indices->size() + 1 > Shape::kMaxRank)
        return context.fail("the result has ", indices->size() + 1, " dimensions");
    Dims dims = *indices;
    dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), depth ? Dim{.size = *depth} : Dim{});
    context.set_output(0, dtype, std::move(dims));
    return {};
}

Status compute_one_hot(ComputeContext& context) {
    const Tensor& indices = context.input(0);
    const Tensor& values = context.input(2);
    if (values.shape().element_count() != 2) return context.fail("there are not two values");
    if (!is_movable(values.dtype())) return no_such_type(context, values.dtype());
    const size_t axis = find_axis(context.node().integer("axis", -1), indices.shape().rank() + 1).value_or(0);
    const int64_t depth = whole_number(context.input(1), 0).value_or(0);
    Shape shape;
    for (size_t each = 0; each <= indices.shape().rank(); ++each) {
        shape.push_back(each == axis ? depth : indices.shape()[each < axis ? each : each - 1]);
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, values.dtype(), shape));
    const int64_t inner = product(shape, axis + 1, shape.rank());
    const int64_t count = indices.shape().element_count().value_or(0);
    visit_sizes(values.dtype(), [&]<class T>() {
        const T off = values.as<const T>()[0];
        const T on = values.as<const T>()[1];
        const auto target = output.as<T>();
        std::ranges::fill(target, off);
        for (int64_t each = 0; each < count; ++each) {
            int64_t index = whole_number(indices, static_cast<size_t>(each)).value_or(depth);
            if (index < -depth || index >= depth) continue;
            if (index < 0) index += depth;
            target[static_cast<size_t>((each / inner * depth + index) * inner + each % inner)] = on;
        }
    });
    return {};
}

// ---- ReverseSequence ----------------------------------------------------------------------------------------------

Status infer_reverse_sequence(InferContext& context) {
    const int64_t batch = context.node().integer("batch_axis", 1);
    const int64_t time = context.node().integer("time_axis", 0);
    if (batch + time != 1 || batch * time != 0) return context.fail("batch and time are not the first two axes");
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    const auto& dims = context.input(0).dims;
    const auto& lengths = context.input(1).dims;
    if (dims && dims->size() < 2) return context.fail("the input has rank ", dims->size(), " instead of 2 or more");
    if (dims && lengths && (lengths->size() != 1 || !may_equal((*lengths)[0], (*dims)[static_cast<size_t>(batch)]))) {
        return context.fail("there is not one length for each batch entry");
    }
    return infer_same_as_first(context);
}

Status compute_reverse_sequence(ComputeContext& context) {
    const Tensor& input = context.input(0);
    if (!is_movable(input.dtype())) return no_such_type(context, input.dtype());
    const Shape& shape = input.shape();
    const bool batch_first = context.node().integer("batch_axis", 1) == 0;
    const int64_t batches = shape[batch_first ? 0 : 1];
    const int64_t steps = shape[batch_first ? 1 : 0];
    const int64_t inner = product(shape, 2, shape.rank());
    const auto lengths = context.input(1).as<const int64_t>();
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), shape));
    for (const int64_t length : lengths) {
        if (length < 0 || length > steps) return context.fail("a length of ", length, " of ", steps, " steps");
    }
    if (inner == 0) return {};
    visit_sizes(input.dtype(), [&]<class T>() {
        for (int64_t batch = 0; batch < batches; ++batch) {
            const int64_t length = lengths[static_cast<size_t>(batch)];
            for (int64_t step = 0; step < steps; ++step) {
                const int64_t from = step < length ? length - 1 - step : step;
                const auto row = [&](int64_t time) {
                    return (batch_first ? batch * steps + time : time * batches + batch) * inner;
                };
                std::copy_n(input.as<const T>().data() + row(from), inner, output.as<T>().data() + row(step));
            }
        }
    });
    return {};
}

}  // namespace

extern const OpImplementation kNonZeroOp{infer_non_zero, nullptr, compute_non_zero};
extern const OpImplementation kCompressOp{infer_compress, nullptr, compute_compress};
extern const OpImplementation kUniqueOp{infer_unique, nullptr, compute_unique};
extern const OpImplementation kOneHotOp{infer_one_hot, nullptr, compute_one_hot};
extern const OpImplementation kReverseSequenceOp{infer_reverse_sequence, nullptr, compute_reverse_sequence};

}  // namespace quoin
