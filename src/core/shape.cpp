#include "core/shape.h"

namespace quoin {

std::optional<int64_t> Shape::element_count() const {
    int64_t count = 1;
    for (const int64_t dim : dims()) {
        if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) return std::nullopt;
    }
    return count;
}

std::string to_string(const Shape& shape) {
    std::string text = "[";
    for (size_t axis = 0; axis < shape.rank(); ++axis) {
        text += (axis == 0 ? "" : ", ") + std::to_string(shape[axis]);
    }
    return text + "]";
}

}  // namespace quoin
