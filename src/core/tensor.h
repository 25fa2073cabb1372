// A dense tensor: dtype, shape and bytes that somebody owns.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/dtype.h"
#include "core/memory.h"
#include "core/shape.h"
#include "core/status.h"

namespace quoin {

// A value type: copies share the bytes. Row-major, no padding; block formats run along the last dimension.
class Tensor {
public:
    Tensor() = default;
    // New bytes from `memory`, contents undefined; strings are std::string, empty, on the heap. Fails when the shape's
    // byte size overflows or memory is short.
    static Result<Tensor> allocate(const std::shared_ptr<Memory>& memory, DType dtype, const Shape& shape,
                                   std::string_view what);
    // Bytes kept alive by `owner` (null: the caller keeps them). `data` must hold byte_size(dtype, elements) bytes.
    Tensor(DType dtype, const Shape& shape, std::byte* data, size_t bytes, std::shared_ptr<const void> owner)
        : dtype_(dtype), shape_(shape), data_(data), byte_size_(bytes), owner_(std::move(owner)) {}

    // The same bytes as elements of another type; the sizes must agree.
    Tensor with_type(DType dtype, const Shape& shape) const { return {dtype, shape, data_, byte_size_, owner_}; }

    DType dtype() const { return dtype_; }
    const Shape& shape() const { return shape_; }
    size_t byte_size() const { return byte_size_; }
    std::byte* data() const { return data_; }
    // Null: somebody else keeps the bytes, for as long as it was agreed.
    const std::shared_ptr<const void>& owner() const { return owner_; }
    template <class T>
    std::span<T> as() const {
        return {reinterpret_cast<T*>(data_), byte_size_ / sizeof(T)};
    }

private:
    DType dtype_ = DType::Undefined;
    Shape shape_;
    std::byte* data_ = nullptr;
    size_t byte_size_ = 0;
    std::shared_ptr<const void> owner_;
};

}  // namespace quoin
