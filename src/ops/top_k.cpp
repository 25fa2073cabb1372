// TopK (ONNX): the k largest or smallest elements along an axis and where they were. Equal ones: the earlier first.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/axes.h"
#include "ops/element_types.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// Below this many, a sorted list of the best so far is faster than a selection from all.
constexpr int64_t kFew = 16;

Status infer_top_k(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    QUOIN_ASSIGN_OR_RETURN(const auto k, context.integers(1));
    if (k && (k->size() != 1 || k->front() < 0)) return context.fail("k is no size");
    std::optional<Dims> dims = input.dims;
    if (dims) {
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, context.node().integer("axis", -1), dims->size()));
        if (k && (*dims)[axis].known() && k->front() > (*dims)[axis].size) {
            return context.fail("k is ", k->front(), " for ", (*dims)[axis].size, " elements");
        }
        (*dims)[axis] = k ? Dim{.size = k->front()} : Dim{};
    }
    context.set_output(0, input.dtype, dims);
    context.set_output(1, DType::I64, std::move(dims));
    return {};
}

// Whether `a` is to stand before `b`, the positions aside. NaN is larger than every number.
template <class T, bool Largest>
bool better(const T& a, const T& b) {
    const auto x = to_arithmetic(a);
    const auto y = to_arithmetic(b);
    if constexpr (FloatElement<T>) {
        if (std::isnan(x) || std::isnan(y)) return Largest ? std::isnan(x) && !std::isnan(y) : !std::isnan(x);
    }
    return Largest ? x > y : x < y;
}

// The positions of the best `k` of `count` elements that lie `stride` apart, best first, to `order`, which has room for
// `count` of them.
template <class T, bool Largest>
void select(const T* elements, int64_t count, int64_t stride, int64_t k, int64_t* order) {
    const auto before = [&](int64_t a, int64_t b) {
        if (better<T, Largest>(elements[a * stride], elements[b * stride])) return true;
        return !better<T, Largest>(elements[b * stride], elements[a * stride]) && a < b;
    };
    if (k <= kFew) {
        int64_t found = 0;
        for (int64_t index = 0; index < count; ++index) {
            const T& element = elements[index * stride];
            if (found == k && (k == 0 || !better<T, Largest>(element, elements[order[k - 1] * stride]))) continue;
            int64_t place = found < k ? found++ : k - 1;
            for (; place > 0 && better<T, Largest>(element, elements[order[place - 1] * stride]); --place) {
                order[place] = order[place - 1];
            }
            order[place] = index;
        }
        return;
    }
    std::iota(order, order + count, int64_t{0});
    if (k < count) std::nth_element(order, order + k - 1, order + count, before);
    std::sort(order, order + k, before);
}

class TopK final : public PreparedNode {
public:
    explicit TopK(const Node& node) : axis_(node.integer("axis", -1)), largest_(node.integer("largest", 1) != 0) {}

    // A task is some lines along the axis; its scratch holds the positions of one.
    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        constexpr int64_t kTaskElements = 8192;
        const Shape& shape = arguments.inputs[0].shape;
        const size_t axis = find_axis(axis_, shape.rank()).value_or(0);
        const int64_t count = shape[axis];
        const int64_t k = arguments.outputs[0].dtype != DType::Undefined ? arguments.outputs[0].shape[axis]
                                                                         : arguments.outputs[1].shape[axis];
        const int64_t lines = k == 0 ? 0 : product(shape, 0, axis) * product(shape, axis + 1, shape.rank());
        const int64_t grain = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, count));
        // At least room for k, which is what there is in either output.
        return Work{.tasks = task_count(lines, grain),
                    .scratch_bytes = std::max<int64_t>(1, count) * static_cast<int64_t>(sizeof(int64_t)),
                    .grain = {grain, lines}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const int64_t begin = task * arguments.work.grain[0];
        const int64_t end = std::min(begin + arguments.work.grain[0], arguments.work.grain[1]);
        auto* const order = reinterpret_cast<int64_t*>(scratch);
        const bool known = visit_numbers(arguments.inputs[0].dtype, [&]<class T>() {
            if (largest_) {
                lines<T, true>(arguments, begin, end, order);
            } else {
                lines<T, false>(arguments, begin, end, order);
            }
        });
        if (known) return {};
        return error(StatusCode::Unsupported, "TopK has no implementation for the element type ",
                     dtype_name(arguments.inputs[0].dtype));
    }

private:
    template <class T, bool Largest>
    void lines(const Arguments& arguments, int64_t begin, int64_t end, int64_t* order) const {
        const Shape& shape = arguments.inputs[0].shape;
        const size_t axis = find_axis(axis_, shape.rank()).value_or(0);
        const TensorView& values = arguments.outputs[0];
        const TensorView& positions = arguments.outputs[1];
        const bool has_values = values.dtype != DType::Undefined;
        const bool has_positions = positions.dtype != DType::Undefined;
        const int64_t k = (has_values ? values : positions).shape[axis];
        const int64_t inner = product(shape, axis + 1, shape.rank());
        for (int64_t line = begin; line < end; ++line) {
            const T* const source =
                arguments.inputs[0].as<const T>() + line / inner * shape[axis] * inner + line % inner;
            const int64_t target = line / inner * k * inner + line % inner;
            select<T, Largest>(source, shape[axis], inner, k, order);
            for (int64_t each = 0; each < k; ++each) {
                if (has_values) values.as<T>()[target + each * inner] = source[order[each] * inner];
                if (has_positions) positions.as<int64_t>()[target + each * inner] = order[each];
            }
        }
    }

    int64_t axis_;
    bool largest_;
};

Result<std::unique_ptr<PreparedNode>> prepare_top_k(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<TopK>(context.node));
}

}  // namespace

extern const OpImplementation kTopKOp{infer_top_k, prepare_top_k};

}  // namespace quoin
