#include "core/tensor.h"

#include <string>
#include <vector>

namespace quoin {

Result<Tensor> Tensor::allocate(const std::shared_ptr<Memory>& memory, DType dtype, const Shape& shape,
                                std::string_view what) {
    const std::optional<int64_t> count = shape.element_count();
    const std::optional<size_t> bytes = count ? quoin::byte_size(dtype, *count) : std::nullopt;
    if (!bytes) {
        return error(StatusCode::InvalidArgument, what, ": no tensor of ", dtype_name(dtype), " can have the shape ",
                     to_string(shape));
    }
    if (dtype == DType::String) {
        auto owner = std::make_shared<std::vector<std::string>>(static_cast<size_t>(*count));
        auto* const data = reinterpret_cast<std::byte*>(owner->data());
        return Tensor(dtype, shape, data, *bytes, std::move(owner));
    }
    QUOIN_ASSIGN_OR_RETURN(Buffer buffer, Buffer::allocate(memory, *bytes, what));
    auto owner = std::make_shared<Buffer>(std::move(buffer));
    std::byte* const data = owner->data();
    return Tensor(dtype, shape, data, *bytes, std::move(owner));
}

}  // namespace quoin
