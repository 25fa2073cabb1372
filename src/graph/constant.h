// A weight of the graph: bytes in a source that are read when they are needed, or a tensor in memory.
#pragma once

#include <cstdint>
#include <string>

#include "core/source.h"
#include "core/tensor.h"

namespace quoin {

// How a constant's elements are arranged; `dtype` and `shape` always speak of the elements themselves.
enum class Layout : uint8_t {
    Plain,       // row-major, as in the file
    Panels,      // packed for Linear, see kernels/layout.h
    Transposed,  // row-major as in the file, but of the matrix with rows and columns exchanged; only until it is packed
    Foreign,     // packed by another library, which alone knows how
};

// Cheap to copy; copies share the bytes. Exactly one of `source` and `tensor` holds them.
class Constant {
public:
    Constant() = default;
    // `shape` must be the true element shape of `tensor`, whose own shape is opaque for packed layouts.
    Constant(Tensor tensor, const Shape& shape, Layout layout)
        : dtype_(tensor.dtype()), shape_(shape), layout_(layout), tensor_(std::move(tensor)) {}
    // Panels of the codes of a matrix (u2, u4, u8) with their scales.
    Constant(Tensor tensor, const Shape& shape, const CodeBlocks& codes)
        : dtype_(tensor.dtype()), shape_(shape), layout_(Layout::Panels), codes_(codes), tensor_(std::move(tensor)) {}
    explicit Constant(Tensor tensor) : dtype_(tensor.dtype()), shape_(tensor.shape()), tensor_(std::move(tensor)) {}
    // `bytes` at `offset` of the source; the loader has checked that they are all there.
    Constant(DType dtype, const Shape& shape, SourcePtr source, uint64_t offset, uint64_t bytes)
        : dtype_(dtype), shape_(shape), source_(std::move(source)), offset_(offset), bytes_(bytes) {}

    DType dtype() const { return dtype_; }
    const Shape& shape() const { return shape_; }
    Layout layout() const { return layout_; }
    // How panels of codes are scaled; null for all other constants.
    const CodeBlocks* codes() const { return codes_.block == 0 ? nullptr : &codes_; }
    // The same bytes as those of the transposed matrix. This must be a plain matrix.
    Constant transposed() const;
    // Null once the bytes are in memory.
    const SourcePtr& source() const { return source_; }
    uint64_t byte_size() const { return source_ ? bytes_ : tensor_.byte_size(); }
    // Bytes of ordinary memory it occupies now: none while it lies in a file or is used from its mapping.
    uint64_t resident_bytes() const { return source_ || mapped_ ? 0 : tensor_.byte_size(); }

    // The bytes: a view of the mapping, copied where its address suits no element, or read into memory of the source's
    // choice. Not kept.
    Result<Tensor> load() const;
    // The same bytes as elements of another type. Plain layout only; the sizes must agree.
    Constant with_type(DType dtype, const Shape& shape) const;
    // From now on this constant holds them. Large mapped bytes stay where they are; small or badly aligned ones are
    // copied into `memory`, so that kernels may rely on the alignment of 64 or, in a mapping, 16 bytes.
    Status materialize(const std::shared_ptr<Memory>& memory, std::string_view name);
    // Tells the source that `count` bytes from `first` on were copied elsewhere.
    void release_source(uint64_t first, uint64_t count) const;

private:
    DType dtype_ = DType::Undefined;
    Shape shape_;
    Layout layout_ = Layout::Plain;
    bool mapped_ = false;
    CodeBlocks codes_;
    Tensor tensor_;
    SourcePtr source_;
    uint64_t offset_ = 0;
    uint64_t bytes_ = 0;
};

}  // namespace quoin
