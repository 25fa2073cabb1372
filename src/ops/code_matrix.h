// Elements of a matrix of codes with scales, one by one: what DequantizeBlocks means.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/half.h"
#include "core/rounding.h"
#include "core/tensor.h"
#include "graph/graph.h"
#include "kernels/layout.h"
#include "ops/small_formats.h"

namespace quoin {

// The unsigned type of codes, of which panels are made; Undefined for what are no codes.
constexpr DType unsigned_codes(DType dtype) {
    switch (dtype) {
        case DType::U2:
        case DType::I2: return DType::U2;
        case DType::U4:
        case DType::I4: return DType::U4;
        case DType::U8:
        case DType::I8: return DType::U8;
        default: return DType::Undefined;
    }
}
constexpr bool is_signed_code(DType dtype) {
    return dtype == DType::I2 || dtype == DType::I4 || dtype == DType::I8;
}
constexpr bool is_scale(DType dtype) {
    return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}
// One element of a type that is_scale().
inline float scale_at(DType dtype, const std::byte* data, int64_t index) {
    if (dtype == DType::F32) return reinterpret_cast<const float*>(data)[index];
    const uint16_t half = reinterpret_cast<const uint16_t*>(data)[index];
    return dtype == DType::F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

// A DequantizeBlocks node with its codes as rows x stored values, of which the first `columns` count.
class CodeMatrix {
public:
    // Bits of a code; 0 where the attribute does not go with the type.
    static int bits_of(const Node& node, DType dtype) {
        const auto own = static_cast<int>(code_bits(unsigned_codes(dtype)));
        const int64_t bits = node.integer("bits", own);
        return bits == own || (own == 8 && (bits == 4 || bits == 2)) ? static_cast<int>(bits) : 0;
    }

    // `rows` and `length` are the dims of the codes: those in front of the last one and the last one, or the other way
    // round where the node is `transposed`.
    CodeMatrix(const Node& node, DType dtype, int64_t rows, int64_t length)
        : signed_(is_signed_code(dtype)),
          bits_(bits_of(node, dtype)),
          transposed_(node.integer("transposed", 0) != 0),
          rows_(rows),
          stored_(length * (code_bits(unsigned_codes(dtype)) / bits_)),
          columns_(node.integer("columns", 0)),
          block_(node.integer("block_size", 0)),
          zero_point_(node.integer("zero_point", 0)) {}

    int64_t rows() const { return rows_; }
    int64_t stored() const { return stored_; }
    int64_t columns() const { return columns_; }
    int64_t block() const { return block_; }
    int64_t blocks() const { return divide_up(stored_, block_); }
    int64_t row_bits() const { return stored_ * bits_; }
    bool transposed() const { return transposed_; }
    int bits() const { return bits_; }
    DType packed_dtype() const { return bits_ == 2 ? DType::U2 : bits_ == 4 ? DType::U4 : DType::U8; }
    // What is added to signed codes.
    int offset() const { return signed_ ? 1 << (bits_ - 1) : 0; }
    // Of unsigned codes.
    int32_t zero_point() const { return static_cast<int32_t>(zero_point_) + offset(); }

    // The unsigned code of an element.
    uint8_t code(const std::byte* codes, int64_t row, int64_t column) const {
        const int64_t index = transposed_ ? column * rows_ + row : row * stored_ + column;
        const uint8_t bits = bits_ == 8 ? static_cast<uint8_t>(codes[index]) : load_packed(codes, index, bits_);
        return static_cast<uint8_t>(bits ^ offset());
    }
    // Where its scale and zero point are.
    int64_t parameter(int64_t row, int64_t column) const {
        const int64_t block = column / block_;
        return transposed_ ? block * rows_ + row : row * blocks() + block;
    }
    // The zero point there, of unsigned codes.
    float zero_point_at(const Tensor& zeros, int64_t parameter) const {
        if (zeros.dtype() == DType::Undefined) return static_cast<float>(zero_point());
        if (is_scale(zeros.dtype())) return scale_at(zeros.dtype(), zeros.data(), parameter);
        // Bytes, i8 for signed codes: not yet raised.
        const int value = signed_ ? zeros.as<const int8_t>()[static_cast<size_t>(parameter)]
                                  : zeros.as<const uint8_t>()[static_cast<size_t>(parameter)];
        return static_cast<float>(value + offset());
    }

private:
    bool signed_;
    int bits_;
    bool transposed_;
    int64_t rows_;
    int64_t stored_;
    int64_t columns_;
    int64_t block_;
    int64_t zero_point_;
};

}  // namespace quoin
