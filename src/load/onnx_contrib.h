// Operators of com.microsoft, which exporters and ONNX Runtime's optimizer write, in the words of the standard.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "load/onnx_node.h"

namespace quoin::onnx {

// ---- normalization and activations (onnx_contrib.cpp)

// Also in the standard's own domain, where ONNX Runtime writes it.
Status simplified_layer_normalization(NodeDraft& draft);

// ---- quantized operators (onnx_contrib_quantized.cpp)

Status quantized_binary(NodeDraft& draft);         // QLinearAdd, QLinearMul
Status quantized_activation(NodeDraft& draft);     // QLinearSigmoid, QLinearLeakyRelu
Status quantized_softmax(NodeDraft& draft);        // QLinearSoftmax
Status quantized_concat(NodeDraft& draft);         // QLinearConcat
Status quantized_average_pool(NodeDraft& draft);   // QLinearAveragePool
Status quantized_global_pool(NodeDraft& draft);    // QLinearGlobalAveragePool
Status channels_last_max_pool(NodeDraft& draft);   // NhwcMaxPool
Status integer_matmul_to_float(NodeDraft& draft);  // MatMulIntegerToFloat
Status dynamic_quantize_matmul(NodeDraft& draft);  // DynamicQuantizeMatMul
Status matmul_of_bits(NodeDraft& draft);           // MatMulNBits
Status gather_of_blocks(NodeDraft& draft);         // GatherBlockQuantized

// MatMulInteger of A and B, scaled: f32. Zero points and the bias may be kNoValue.
struct IntegerProduct {
    ValueId a, b, a_scale, b_scale, a_zero_point, b_zero_point, bias;
};
ValueId integer_product(NodeDraft& draft, const IntegerProduct& operands);

// ---- attention (onnx_contrib_attention.cpp)

Status attention(NodeDraft& draft);              // Attention
Status quantized_attention(NodeDraft& draft);    // QAttention
Status multi_head_attention(NodeDraft& draft);   // MultiHeadAttention
Status group_query_attention(NodeDraft& draft);  // GroupQueryAttention (onnx_contrib_group_query.cpp)
Status rotary_embedding(NodeDraft& draft);       // RotaryEmbedding

// ---- what the attention operators share (onnx_contrib_attention.cpp)

// [B, S, N * H] as [B, N, S, H], and back.
ValueId split_heads(NodeDraft& draft, ValueId x, int64_t heads);
ValueId join_heads(NodeDraft& draft, ValueId x);
// 0, 1, ... below the one element of `count`.
ValueId counting(NodeDraft& draft, ValueId count);
// The attribute `key`, which must be a number of heads.
Result<int64_t> heads_of(const NodeDraft& draft, std::string_view key);
// How much of a head turns: the two values of a pair come from one column of the table. 0 when unknown.
int64_t rotary_dim(const NodeDraft& draft, ValueId table);

// ---- what several of them say

// Dims [begin, end) of the shape of a tensor, as i64 [end - begin].
ValueId shape_of(NodeDraft& draft, ValueId tensor, int64_t begin, int64_t end);
ValueId reshape(NodeDraft& draft, ValueId tensor, const std::vector<int64_t>& shape);
ValueId transpose(NodeDraft& draft, ValueId tensor, const std::vector<int64_t>& order);
ValueId unsqueeze(NodeDraft& draft, ValueId tensor, const std::vector<int64_t>& axes);
ValueId concat(NodeDraft& draft, std::vector<ValueId> parts, int64_t axis);
ValueId cast(NodeDraft& draft, ValueId tensor, DType to);
// a + b, or a where there is no b.
ValueId add_optional(NodeDraft& draft, ValueId a, ValueId b);

// InvalidModel unless the inputs below `count` are there.
Status expect_inputs(const NodeDraft& draft, size_t count);
// Unsupported when one of these inputs or outputs is asked for.
Status refuse_inputs(const NodeDraft& draft, std::initializer_list<size_t> inputs);
Status refuse_outputs(const NodeDraft& draft, std::initializer_list<size_t> outputs);
// Unsupported when one of these attributes is there and not 0.
Status refuse_flags(const NodeDraft& draft, std::initializer_list<std::string_view> keys);

}  // namespace quoin::onnx
