#include "ops/infer_rules.h"

#include <algorithm>

namespace quoin {

Status infer_same_as_first(InferContext& context) {
    context.set_output(0, context.input(0).dtype, context.input(0).dims);
    return {};
}

Status infer_broadcast(InferContext& context) {
    const ValueType& a = context.input(0);
    const ValueType& b = context.input(1);
    if (a.dtype != b.dtype) {
        return context.fail("the inputs have different element types, ", dtype_name(a.dtype), " and ",
                            dtype_name(b.dtype));
    }
    if (!a.dims || !b.dims) {
        context.set_output(0, a.dtype, std::nullopt);
        return {};
    }
    const size_t rank = std::max(a.dims->size(), b.dims->size());
    std::vector<Dim> dims(rank);
    for (size_t back = 1; back <= rank; ++back) {
        const Dim left = back <= a.dims->size() ? (*a.dims)[a.dims->size() - back] : Dim{.size = 1};
        const Dim right = back <= b.dims->size() ? (*b.dims)[b.dims->size() - back] : Dim{.size = 1};
        if (left.known() && right.known() && left.size != right.size && left.size != 1 && right.size != 1) {
            return context.fail("dimensions ", left.size, " and ", right.size, " cannot be broadcast to each other");
        }
        // An unknown dim against 1 stays unknown; against n > 1 it can only be 1 or n, so the result is n. Of two
        // different unknown dims either may be 1.
        if (left == right || left.size == 1) {
            dims[rank - back] = right;
        } else if (right.size == 1 || left.known()) {
            dims[rank - back] = left;
        } else {
            dims[rank - back] = right.known() ? right : Dim{};
        }
    }
    context.set_output(0, a.dtype, std::move(dims));
    return {};
}

}  // namespace quoin
