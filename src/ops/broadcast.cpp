#include "ops/broadcast.h"

namespace quoin {
namespace {

// An unknown dim against 1 stays unknown; against n > 1 it can only be 1 or n, so the result is n. Of two different
// unknown dims either may be 1.
std::optional<Dim> common_dim(const Dim& left, const Dim& right) {
    constexpr Dim kOne{.size = 1};
    if (left == right || left == kOne) return right;
    if (right == kOne) return left;
    if (left.known() && right.known()) return std::nullopt;
    if (left.known()) return left;
    return right.known() ? right : Dim{};
}

}  // namespace

Result<std::optional<std::vector<Dim>>> broadcast_dims(const InferContext& context, size_t first, size_t count) {
    std::optional<std::vector<Dim>> result(std::in_place);
    for (size_t index = first; index < first + count; ++index) {
        const auto& dims = context.input(index).dims;
        if (!dims) {
            result.reset();
            continue;
        }
        if (!result) continue;
        if (dims->size() > result->size()) {
            result->insert(result->begin(), dims->size() - result->size(), Dim{.size = 1});
        }
        for (size_t back = 1; back <= dims->size(); ++back) {
            Dim& left = (*result)[result->size() - back];
            const Dim& right = (*dims)[dims->size() - back];
            const std::optional<Dim> common = common_dim(left, right);
            if (!common) {
                return context.fail("dimensions ", left.size, " and ", right.size,
                                    " cannot be broadcast to each other");
            }
            left = *common;
        }
    }
    return result;
}

Result<Shape> broadcast_shape(const ComputeContext& context, std::initializer_list<const Shape*> shapes) {
    std::vector<int64_t> dims;
    for (const Shape* const shape : shapes) {
        if (shape->rank() > dims.size()) dims.insert(dims.begin(), shape->rank() - dims.size(), 1);
        for (size_t back = 1; back <= shape->rank(); ++back) {
            int64_t& left = dims[dims.size() - back];
            const int64_t right = (*shape)[shape->rank() - back];
            if (left != right && left != 1 && right != 1) {
                return context.fail("dimensions ", left, " and ", right, " cannot be broadcast to each other");
            }
            if (left == 1) left = right;
        }
    }
    const Shape result{std::span<const int64_t>(dims)};
    if (!result.element_count()) return context.fail("the result has too many elements");
    return result;
}

}  // namespace quoin
