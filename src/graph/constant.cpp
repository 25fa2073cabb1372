#include "graph/constant.h"

#include <cstring>
#include <memory>
#include <vector>

namespace quoin {
namespace {

constexpr uintptr_t kMappedAlignment = 16;
constexpr uintptr_t kElementAlignment = 8;              // of any element
constexpr uint64_t kWorthMapping = uint64_t{64} << 10;  // below, a copy costs less than keeping a page of the file

}  // namespace

Result<Tensor> Constant::load() const {
    if (!source_) return tensor_;
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes source, source_->read(offset_, bytes_));
    // Constants are never written; Tensor's pointer is mutable because arenas and outputs use the same type.
    auto* const data = const_cast<std::byte*>(source.bytes.data());    // NOLINT(cppcoreguidelines-pro-type-const-cast)
    if (reinterpret_cast<uintptr_t>(data) % kElementAlignment != 0) {  // protocol buffers begin anywhere
        const auto copy = std::make_shared<std::vector<std::byte>>(source.bytes.begin(), source.bytes.end());
        return Tensor(dtype_, shape_, copy->data(), copy->size(), copy);
    }
    return Tensor(dtype_, shape_, data, source.bytes.size(), source.owner);
}

Constant Constant::with_type(DType dtype, const Shape& shape) const {
    Constant other = *this;
    other.dtype_ = dtype;
    other.shape_ = shape;
    if (!source_) other.tensor_ = tensor_.with_type(dtype, shape);
    return other;
}

Status Constant::materialize(const std::shared_ptr<Memory>& memory, std::string_view name) {
    if (!source_) return {};
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes source, source_->read(offset_, bytes_));
    const bool aligned = reinterpret_cast<uintptr_t>(source.bytes.data()) % kMappedAlignment == 0;
    if (source_->is_mapped() && aligned && bytes_ >= kWorthMapping) {
        QUOIN_ASSIGN_OR_RETURN(tensor_, load());
        mapped_ = true;
    } else {
        QUOIN_ASSIGN_OR_RETURN(tensor_, Tensor::allocate(memory, dtype_, shape_, name));
        if (bytes_ != 0) std::memcpy(tensor_.data(), source.bytes.data(), bytes_);
        release_source(0, bytes_);
    }
    source_.reset();
    return {};
}

Constant Constant::transposed() const {
    Constant result = *this;
    result.shape_ = Shape{shape_[1], shape_[0]};
    result.layout_ = Layout::Transposed;
    return result;
}

void Constant::release_source(uint64_t first, uint64_t count) const {
    if (source_) source_->release(offset_ + first, count);
}

}  // namespace quoin
