#include "core/tensor.h"

#include <memory>
#include <string>

namespace quoin {
namespace {

// The empty strings of a tensor, in memory that the budget counts; the text of long ones lies elsewhere.
class Strings {
public:
    Strings(Buffer buffer, size_t count) : buffer_(std::move(buffer)), count_(count) {
        std::uninitialized_default_construct_n(data(), count_);
    }
    Strings(const Strings&) = delete;
    Strings& operator=(const Strings&) = delete;
    ~Strings() { std::destroy_n(data(), count_); }

private:
    std::string* data() const { return reinterpret_cast<std::string*>(buffer_.data()); }

    Buffer buffer_;
    size_t count_;
};

}  // namespace

Result<Tensor> Tensor::allocate(const std::shared_ptr<Memory>& memory, DType dtype, const Shape& shape,
                                std::string_view what) {
    const std::optional<int64_t> count = shape.element_count();
    const std::optional<size_t> bytes = count ? quoin::byte_size(dtype, *count) : std::nullopt;
    if (!bytes) {
        return error(StatusCode::InvalidArgument, what, ": no tensor of ", dtype_name(dtype), " can have the shape ",
                     to_string(shape));
    }
    QUOIN_ASSIGN_OR_RETURN(Buffer buffer, Buffer::allocate(memory, *bytes, what));
    if (dtype == DType::String) {
        std::byte* const data = buffer.data();
        auto owner = std::make_shared<Strings>(std::move(buffer), static_cast<size_t>(*count));
        return Tensor(dtype, shape, data, *bytes, std::move(owner));
    }
    auto owner = std::make_shared<Buffer>(std::move(buffer));
    std::byte* const data = owner->data();
    return Tensor(dtype, shape, data, *bytes, std::move(owner));
}

}  // namespace quoin
