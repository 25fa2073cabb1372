// The passes and the little they share. Each keeps the graph valid and its types inferred.
#pragma once

#include "optimize/optimize.h"

namespace quoin {

// Computes nodes whose inputs are all constant.
Status fold_constants(Graph& graph, const OptimizeContext& context);
// Between DequantizeLinear and QuantizeLinear, and in QLinearConv and QLinearMatMul, integers are computed with:
// ChannelsLastIntegerConv, AddQuantized and what only moves elements.
Status fuse_quantized(Graph& graph, const OptimizeContext& context);
// MatMul and Gemm with a DequantizeLinear of a constant matrix become Linear over its codes (DequantizeBlocks); rows
// gathered from one are gathered as codes.
Status keep_codes(Graph& graph, const OptimizeContext& context);
// Cast(MatMulInteger(x, w)) * scale of x * scale of w, x from DynamicQuantizeLinear, becomes ChannelsLastIntegerConv.
Status fuse_dynamic_quantization(Graph& graph, const OptimizeContext& context);
// Integer vectors of which shape inference knows every element become constants: the Shape of known dims, and the one
// known dim that is gathered from a shape with symbols.
Status fold_shapes(Graph& graph, const OptimizeContext& context);
// An If whose condition is constant becomes the nodes of its branch.
Status inline_conditions(Graph& graph, const OptimizeContext& context);
// Nodes that hand on their input as it is (Identity, a Cast to the same type, a Reshape to the same shape, Dropout,
// ...) are passed by.
Status remove_no_ops(Graph& graph, const OptimizeContext& context);
// Of nodes that compute the same from the same, one is left; so of small constants with equal bytes.
Status remove_duplicates(Graph& graph, const OptimizeContext& context);
// The bodies of If, Loop, Scan and SequenceMap go through all passes. They learn the types of what they are given;
// captured constants become their own, and captures that nobody reads are dropped.
Status optimize_bodies(Graph& graph, const OptimizeContext& context);
// Chains of arithmetic that compute Swish, HardSwish, HardSigmoid, Mish or Gelu become that op.
Status fuse_activations(Graph& graph, const OptimizeContext& context);
// Chains that divide by the root of a mean square become LayerNormalization or RMSNormalization, with the constant
// scale and bias behind them.
Status fuse_normalization(Graph& graph, const OptimizeContext& context);
// MatMul(Softmax(scale * MatMul(q, transposed k) + mask), v) becomes Attention, with the Transposes and Reshapes of its
// heads where they can go.
Status fuse_attention(Graph& graph, const OptimizeContext& context);
// BatchNormalization, and Mul or Add of a constant per channel, go into the weight and bias of the Conv or
// ConvTranspose in front; a BatchNormalization without one becomes a Conv with one tap per channel.
Status fold_batch_norm(Graph& graph, const OptimizeContext& context);
// A Pad with zeros around spatial axes becomes padding of the Conv behind it.
Status fold_padding(Graph& graph, const OptimizeContext& context);
// Conv and pools become ChannelsLastConv and ChannelsLastPool; Transposes go where they are fewest.
Status channels_last(Graph& graph, const OptimizeContext& context);
// ChannelsLastConv takes the activation and the residual Add that follow it.
Status fuse_convolution(Graph& graph, const OptimizeContext& context);
// Weights of ChannelsLastConv and ChannelsLastIntegerConv in the order their kernels read.
Status pack_convolutions(Graph& graph, const OptimizeContext& context);
// MatMul and Gemm with a constant f32 matrix become Linear, with the constant row that is added to their result; so
// does such a row behind a Linear without a bias.
Status matmul_to_linear(Graph& graph, const OptimizeContext& context);
// Mul(Swish(Linear(x, a)), Linear(x, b)) becomes GatedLinear(x, a, b).
Status fuse_gated_linear(Graph& graph, const OptimizeContext& context);
// Add(Linear(x, w, bias), y) becomes Linear(x, w, bias, y).
Status fuse_residual(Graph& graph, const OptimizeContext& context);
// Gelu(Linear(x, w, ...)), and other activations, become Linear(x, w, ...) {activation}.
Status fuse_linear_activation(Graph& graph, const OptimizeContext& context);
// Puts one QuantizeActivation before the readers of a value whose weights want integer operands.
Status quantize_activations(Graph& graph, const OptimizeContext& context);
// QuantizeActivation(RMSNormalization(x, scale)) becomes QuantizeActivation(x, scale).
Status fuse_norm_quantization(Graph& graph, const OptimizeContext& context);
// QuantizeActivation(GatedLinear(x, a, b)) becomes GatedLinear(x, a, b) {to = q8_row}.
Status fuse_gate_quantization(Graph& graph, const OptimizeContext& context);
// CacheUpdate(cache, RotaryEmbedding(x, cos, sin), ...) becomes CacheUpdate(cache, x, ..., cos, sin).
Status fuse_rotary_update(Graph& graph, const OptimizeContext& context);
// CachedAttention rotates its queries itself and, where a step has one token, stores that one's keys and values.
Status fuse_attention_inputs(Graph& graph, const OptimizeContext& context);
// With bf16 arithmetic, f32 weights of Linear and GatedLinear become bf16 ones.
Status round_weights(Graph& graph, const OptimizeContext& context);
// Drops nodes that no output needs, then the values of constants that nobody reads any more.
Status remove_dead_nodes(Graph& graph, const OptimizeContext& context);
// Brings every constant into memory; weights of Linear and GatedLinear into panels. Reports progress.
Status pack_weights(Graph& graph, const OptimizeContext& context);

// The node that makes this value if it is `op` and the value has no other reader and is no graph output; else null.
const Node* sole_producer(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, ValueId value, Op op);

// Whether some storage changes between two nodes: a read that moved from the first to the second could see new bytes.
bool updates_between(const Graph& graph, const Node& first, const Node& second);

}  // namespace quoin
