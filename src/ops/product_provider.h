// Who computes MatMul, and Gemm where it is A x B + a bias: products of two activations.
#pragma once

#include "ops/matmul_rules.h"
#include "ops/op_kernel.h"

namespace quoin {

struct ProductQuery {
    const PrepareContext& context;
    DType dtype = DType::F32;  // f32 or f64
    bool transposed = false;   // B is a matrix [columns, inner]
};

struct ProductProvider {
    Provider provider;
    bool (*takes)(const ProductQuery& query);
    Result<std::unique_ptr<PreparedNode>> (*prepare)(const ProductQuery& query);
};
// Null without an error where nobody takes it.
Result<std::unique_ptr<PreparedNode>> prepare_product(const ProductQuery& query);

inline MatMulBatches product_batches(const Arguments& arguments, bool transposed) {
    const Shape& b = arguments.inputs[1].shape;
    return matmul_batches(arguments.inputs[0].shape, transposed ? Shape{b[1], b[0]} : b);
}

// Of Gemm: [columns].
inline bool has_bias(const Arguments& arguments) {
    return arguments.inputs.size() > 2 && arguments.inputs[2].dtype != DType::Undefined;
}

extern const ProductProvider kNativeProduct;
extern const ProductProvider kOneDnnProduct;
extern const ProductProvider kEigenProduct;

}  // namespace quoin
