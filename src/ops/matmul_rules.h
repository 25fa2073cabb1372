// Shapes of numpy's matmul and a plain product, shared by the matrix products of every element type.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

// The shape of numpy.matmul(a, b): batch dims broadcast, vectors become matrices whose added dim goes again. Fails with
// the node's name where the operands cannot be multiplied.
Result<std::vector<Dim>> matmul_dims(const Node& node, const std::vector<Dim>& a, const std::vector<Dim>& b);

// A product of concrete operands as batches of matrices.
struct MatMulBatches {
    int64_t rows = 1;
    int64_t inner = 1;
    int64_t columns = 1;
    int64_t batches = 1;

    struct Offsets {
        int64_t a;
        int64_t b;
    };
    // In elements, of the batch's operands. The result's matrices lie one behind the other.
    Offsets offsets(int64_t batch) const;

    Shape batch_shape;  // of the result
    std::array<int64_t, Shape::kMaxRank> a_strides{};
    std::array<int64_t, Shape::kMaxRank> b_strides{};
};
// The shapes must be valid operands (matmul_dims).
MatMulBatches matmul_batches(const Shape& a, const Shape& b);

// Two strides of a matrix, in elements.
struct MatrixStrides {
    int64_t row;
    int64_t column;
};

// dst[rows][columns] += a[rows][inner] x b[inner][columns]; sums run over inner in rising order. Integers wrap.
template <class T>
void add_product(const T* a, MatrixStrides a_strides, const T* b, MatrixStrides b_strides, int64_t rows, int64_t inner,
                 int64_t columns, T* dst) {
    for (int64_t row = 0; row < rows; ++row) {
        T* const out = dst + row * columns;
        if (b_strides.column == 1) {
            for (int64_t k = 0; k < inner; ++k) {
                const T factor = a[row * a_strides.row + k * a_strides.column];
                const T* const source = b + k * b_strides.row;
                for (int64_t column = 0; column < columns; ++column) out[column] += factor * source[column];
            }
            continue;
        }
        for (int64_t column = 0; column < columns; ++column) {
            const T* const source = b + column * b_strides.column;
            T sum = out[column];
            for (int64_t k = 0; k < inner; ++k) {
                sum += a[row * a_strides.row + k * a_strides.column] * source[k * b_strides.row];
            }
            out[column] = sum;
        }
    }
}

}  // namespace quoin
