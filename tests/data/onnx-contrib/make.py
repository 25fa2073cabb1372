#!/usr/bin/env python3
"""make.py: writes the folders beside it: for each operator of com.microsoft that the loader knows small models, inputs,
and what ONNX Runtime computes for them, in the layout of ONNX's own tests (model.onnx, test_data_set_0/*.pb).

Needs the Python packages onnx, onnxruntime (1.32 made what is here) and numpy.
"""
import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
F, I32, I64, U8, I8 = (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8, TensorProto.INT8)
TYPES = {np.dtype("float32"): F, np.dtype("int32"): I32, np.dtype("int64"): I64, np.dtype("uint8"): U8,
         np.dtype("int8"): I8, np.dtype("float16"): TensorProto.FLOAT16}
random = np.random.default_rng(20)


def floats(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(np.float32)


def u8(*shape):
    return random.integers(0, 256, shape, dtype=np.uint8)


def i8(*shape):
    return random.integers(-127, 128, shape, dtype=np.int8)


def scalar(value, dtype=np.float32):
    return np.array(value, dtype=dtype)


def write(name, op, inputs, outputs, constants=(), free=None, domain="com.microsoft", opset=20, **attributes):
    """inputs: (name, array) or None, in the operator's order. constants: names that are initializers of the model.
    outputs: (name, onnx type) or None. free: dims of inputs by name, where they have names instead of sizes."""
    node = helper.make_node(op, ["" if each is None else each[0] for each in inputs],
                            ["" if each is None else each[0] for each in outputs], domain=domain, **attributes)
    given = [each for each in inputs if each is not None]
    graph = helper.make_graph(
        [node], name,
        [helper.make_tensor_value_info(key, TYPES[array.dtype], (free or {}).get(key, array.shape))
         for key, array in given if key not in constants],
        [helper.make_tensor_value_info(each[0], each[1], None) for each in outputs if each is not None],
        [numpy_helper.from_array(array, key) for key, array in given if key in constants])
    model = helper.make_model(graph, producer_name="make.py", ir_version=10, opset_imports=[
        helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fed = [each for each in given if each[0] not in constants]
    results = session.run(None, dict(fed))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "test_data_set_0").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for kind, tensors in (("input", fed), ("output", list(zip([each[0] for each in outputs if each], results)))):
        for index, (key, array) in enumerate(tensors):
            bytes_ = numpy_helper.from_array(array, key).SerializeToString()
            (folder / "test_data_set_0" / f"{kind}_{index}.pb").write_bytes(bytes_)


Y = [("y", F)]

# ---- normalization and activations
x, row = floats(2, 3, 8), lambda: floats(8)
write("skip_layer_normalization", "SkipLayerNormalization",
      [("x", x), ("skip", floats(2, 3, 8)), ("gamma", row()), ("beta", row()), ("bias", row())],
      [("y", F), None, None, ("sum", F)], ["gamma", "beta", "bias"], epsilon=1e-3)
write("skip_layer_normalization_plain", "SkipLayerNormalization", [("x", x), ("skip", floats(3, 8)), ("gamma", row())], Y)
write("skip_simplified_layer_normalization", "SkipSimplifiedLayerNormalization",
      [("x", x), ("skip", floats(2, 3, 8)), ("gamma", row()), ("bias", row())], [("y", F), None, None, ("sum", F)],
      ["gamma"], epsilon=1e-3)
write("simplified_layer_normalization", "SimplifiedLayerNormalization", [("x", x), ("scale", row())], Y, ["scale"],
      domain="", axis=-1, epsilon=1e-2)
ids = np.array([[1, 4, 2], [0, 3, 3]], np.int32)
embedding = [("ids", ids), ("segments", np.array([[0, 0, 1], [1, 0, 1]], np.int32)), ("words", floats(5, 8)),
             ("positions", floats(6, 8)), ("segment_table", floats(2, 8)), ("gamma", row()), ("beta", row())]
write("embed_layer_normalization", "EmbedLayerNormalization",
      embedding + [("mask", np.array([[1, 1, 0], [1, 1, 1]], np.int32))], [("y", F), ("lengths", I32), ("sum", F)])
write("embed_layer_normalization_positions", "EmbedLayerNormalization",
      embedding[:1] + [None] + embedding[2:4] + [None] + embedding[5:] + [None, ("at", np.array([[5, 0, 1]] * 2, np.int32))],
      [("y", F), ("lengths", I32)], free={"ids": ["batch", "length"], "at": ["batch", "length"]})
write("bias_gelu", "BiasGelu", [("a", x), ("b", row())], Y)
write("gelu", "Gelu", [("x", floats(40, scale=3))], Y)
write("fast_gelu", "FastGelu", [("x", floats(40, scale=3))], Y)
write("fast_gelu_bias", "FastGelu", [("x", x), ("bias", row())], Y)
write("quick_gelu", "QuickGelu", [("x", floats(40, scale=3))], Y)
write("quick_gelu_alpha", "QuickGelu", [("x", floats(40, scale=3))], Y, alpha=0.7)

# ---- products and convolutions
a, b = floats(2, 3, 4), floats(2, 4, 5)
write("fused_matmul", "FusedMatMul", [("a", a), ("b", b)], Y, alpha=0.5)
write("fused_matmul_transposed", "FusedMatMul", [("a", a.transpose(0, 2, 1).copy()), ("b", floats(5, 4))], Y, transA=1,
      transB=1, alpha=2.0)
image, kernel = floats(1, 3, 7, 6), floats(4, 3, 3, 3, scale=0.3)
for activation, parameters in (("Relu", None), ("Tanh", None), ("Sigmoid", None), ("LeakyRelu", [0.2]),
                               ("Clip", [-0.5, 0.6]), ("HardSigmoid", [0.3, 0.4])):
    write(f"fused_conv_{activation.lower()}", "FusedConv", [("x", image), ("w", kernel), ("b", floats(4))], Y, ["w", "b"],
          activation=activation, pads=[1, 1, 1, 1], **({"activation_params": parameters} if parameters else {}))
write("fused_conv_residual", "FusedConv", [("x", image), ("w", kernel), ("b", floats(4)), ("z", floats(1, 4, 3, 2))], Y,
      ["w", "b"], activation="Relu", strides=[2, 2])
write("fused_gemm", "FusedGemm", [("a", floats(3, 4)), ("b", floats(5, 4)), ("c", floats(5))], Y, transB=1,
      activation="LeakyRelu", activation_alpha=0.3)

# ---- quantized
q = lambda name, array, scale, zero: [(name, array), (name + "_scale", scalar(scale)),
                                      None if zero is None else (name + "_zero", scalar(zero, array.dtype))]
to = lambda scale, zero, dtype=np.uint8: [("y_scale", scalar(scale)),
                                          None if zero is None else ("y_zero", scalar(zero, dtype))]
for op, scale in (("QLinearAdd", 0.06), ("QLinearMul", 0.05)):
    name = {"QLinearAdd": "qlinear_add", "QLinearMul": "qlinear_mul"}[op]
    write(name, op, q("a", u8(2, 3, 4), 0.03, 120) + q("b", u8(3, 1), 0.02, 100) + to(scale, 128), [("y", U8)])
    write(name + "_signed", op, q("a", i8(2, 3, 4), 0.03, 3) + q("b", i8(2, 3, 4), 0.02, -5) + to(scale, 7, np.int8),
          [("y", I8)])
write("qlinear_sigmoid", "QLinearSigmoid", q("x", u8(4, 16), 0.05, 120) + to(1 / 256, 0), [("y", U8)])
write("qlinear_leaky_relu", "QLinearLeakyRelu", q("x", i8(4, 16), 0.05, -4) + to(0.04, 6, np.int8), [("y", I8)], alpha=0.1)
write("qlinear_concat", "QLinearConcat",
      to(0.05, 110) + q("a", u8(2, 3), 0.03, 120) + q("b", u8(2, 5), 0.06, 90) + q("c", u8(2, 1), 0.05, 110), [("y", U8)],
      axis=1)
write("qlinear_average_pool", "QLinearAveragePool", q("x", u8(1, 3, 6, 5), 0.05, 120) + to(0.04, 100), [("y", U8)],
      kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
write("qlinear_average_pool_last", "QLinearAveragePool", q("x", u8(1, 6, 5, 3), 0.05, 120) + to(0.04, 100), [("y", U8)],
      kernel_shape=[2, 3], channels_last=1, count_include_pad=1, pads=[0, 1, 0, 1])
write("qlinear_global_average_pool", "QLinearGlobalAveragePool", q("x", u8(2, 3, 6, 5), 0.05, 120) + to(0.01, 100),
      [("y", U8)])
write("qlinear_global_average_pool_last", "QLinearGlobalAveragePool", q("x", u8(2, 6, 5, 3), 0.05, 120) + to(0.01, 100),
      [("y", U8)], channels_last=1)
write("nhwc_max_pool", "NhwcMaxPool", [("x", u8(1, 6, 5, 3))], [("y", U8)], kernel_shape=[3, 2], pads=[1, 0, 1, 1],
      strides=[2, 1])
write("matmul_integer_to_float", "MatMulIntegerToFloat",
      [("a", u8(2, 3, 16)), ("b", i8(16, 5)), ("a_scale", scalar(0.02)), ("b_scale", (random.random(5) * 0.01).astype(np.float32)),
       ("a_zero", scalar(120, np.uint8)), ("b_zero", i8(5)), ("bias", floats(5))], Y, ["b", "b_scale", "b_zero", "bias"])
write("matmul_integer_to_float_plain", "MatMulIntegerToFloat",
      [("a", u8(3, 16)), ("b", u8(16, 5)), ("a_scale", scalar(0.02)), ("b_scale", scalar(0.01))], Y)
write("dynamic_quantize_matmul", "DynamicQuantizeMatMul",
      [("a", floats(2, 3, 16)), ("b", i8(16, 5)), ("b_scale", (random.random(5) * 0.01).astype(np.float32)), ("b_zero", i8(5)),
       ("bias", floats(5))], Y, ["b", "b_scale", "b_zero", "bias"])
write("dynamic_quantize_matmul_plain", "DynamicQuantizeMatMul", [("a", floats(3, 16)), ("b", u8(16, 5)), ("b_scale", scalar(0.01))],
      Y, ["b", "b_scale"])


def bits(name, n, k, block, width, zero_points, bias=False):
    blocks = -(-k // block)
    inputs = [("a", floats(3, k)), ("b", u8(n, blocks, block * width // 8)),
              ("scales", (random.random((n, blocks)) * 0.05).astype(np.float32))]
    if zero_points == "packed":
        inputs.append(("zeros", u8(n, -(-blocks * width // 8))))
    elif zero_points == "float":
        inputs.append(("zeros", (random.random((n, blocks)) * (2 ** width - 1)).astype(np.float32)))
    else:
        inputs.append(None)
    if bias:
        inputs += [None, ("bias", floats(n))]
    write(name, "MatMulNBits", inputs, Y, ["b", "scales", "zeros", "bias"], N=n, K=k, block_size=block, bits=width)


bits("matmul_4_bits", 6, 64, 32, 4, None)
bits("matmul_4_bits_zero_points", 6, 64, 16, 4, "packed")
bits("matmul_4_bits_odd_blocks", 5, 48, 16, 4, "packed", bias=True)
bits("matmul_4_bits_open_block", 4, 40, 32, 4, "packed")
bits("matmul_4_bits_float_zero_points", 4, 32, 16, 4, "float")
bits("matmul_8_bits", 4, 32, 32, 8, None)
bits("matmul_8_bits_zero_points", 4, 48, 16, 8, "packed")
bits("matmul_2_bits", 4, 64, 32, 2, None)
bits("matmul_2_bits_zero_points", 4, 48, 16, 2, "packed")

# ---- attention
write("rotary_embedding", "RotaryEmbedding", [("x", floats(2, 3, 16)), ("at", np.array([[0, 1, 2], [4, 5, 6]])),
                                              ("cos", floats(8, 4)), ("sin", floats(8, 4))], Y, ["cos", "sin"])
write("rotary_embedding_offset", "RotaryEmbedding", [("x", floats(2, 2, 3, 8)), ("at", np.array([3])), ("cos", floats(8, 4)),
                                                     ("sin", floats(8, 4))], Y, interleaved=1)
write("rotary_embedding_partial", "RotaryEmbedding", [("x", floats(1, 3, 16)), ("at", np.array([[1, 2, 3]])),
                                                      ("cos", floats(8, 2)), ("sin", floats(8, 2))], Y, ["cos", "sin"],
      num_heads=2, rotary_embedding_dim=4)

merged = [("x", floats(2, 3, 12)), ("w", floats(12, 24, scale=0.4)), ("b", floats(24))]
lengths = {"x": ["batch", "length", 12]}
write("attention", "Attention", merged, Y, ["w", "b"], num_heads=2, free=lengths)
write("attention_causal", "Attention", merged, Y, ["w", "b"], num_heads=2, unidirectional=1, scale=0.3)
write("attention_ends", "Attention", merged + [("mask", np.array([3, 2], np.int32))], Y, ["w", "b"], num_heads=2,
      free={**lengths, "mask": ["batch"]})
write("attention_ends_and_starts", "Attention", merged + [("mask", np.array([3, 3, 0, 1], np.int32))], Y, ["w", "b"],
      num_heads=2)
write("attention_ends_packed", "Attention", merged + [("mask", np.array([3, 2, 0, 3, 5, 0, 3, 5], np.int32))], Y,
      ["w", "b"], num_heads=2, free={**lengths, "mask": ["of lengths"]})
write("attention_mask", "Attention", merged + [("mask", np.array([[1, 1, 0], [0, 1, 1]], np.int32))], Y, ["w", "b"],
      num_heads=2)
write("attention_mask_of_tokens", "Attention", merged + [("mask", random.integers(0, 2, (2, 3, 3)).astype(np.int32))], Y,
      ["w", "b"], num_heads=2)
write("attention_bias", "Attention", merged + [None, None, ("bias", floats(1, 2, 3, 3))], Y, ["w", "b"], num_heads=2)
write("attention_past", "Attention", merged + [("mask", np.array([[1] * 7, [0, 0] + [1] * 5], np.int32)),
                                               ("past", floats(2, 2, 2, 4, 4))], [("y", F), ("present", F)], ["w", "b"],
      num_heads=2, unidirectional=1)
write("attention_present", "Attention", merged, [("y", F), ("present", F)], ["w", "b"], num_heads=2, unidirectional=1)
write("attention_sizes", "Attention", [("x", floats(2, 3, 12)), ("w", floats(12, 28, scale=0.4)), ("b", floats(28))], Y,
      ["w", "b"], num_heads=2, qkv_hidden_sizes=[8, 8, 12])
quantized = [("x", u8(2, 3, 12)), ("w", i8(12, 24)), ("b", floats(24)), ("x_scale", scalar(0.02)), ("w_scale", scalar(0.01))]
write("qattention", "QAttention", quantized + [("mask", np.array([3, 2], np.int32)), ("x_zero", scalar(128, np.uint8)),
                                               ("w_zero", scalar(2, np.int8))], Y, ["w", "b", "w_scale", "w_zero"],
      num_heads=2)
write("qattention_past", "QAttention", quantized + [None, ("x_zero", scalar(128, np.uint8)), ("w_zero", scalar(0, np.int8)),
                                                    ("past", floats(2, 2, 2, 4, 4))], [("y", F), ("present", F)],
      ["w", "b", "w_scale", "w_zero"], num_heads=2, unidirectional=1)

heads = [("q", floats(2, 3, 8)), ("k", floats(2, 5, 8)), ("v", floats(2, 5, 8))]
write("multi_head_attention", "MultiHeadAttention", heads, Y, num_heads=2)
write("multi_head_attention_bias", "MultiHeadAttention", heads + [("b", floats(24))], Y, ["b"], num_heads=2)
write("multi_head_attention_mask", "MultiHeadAttention",
      heads + [None, ("mask", np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.int32))], Y, num_heads=2)
write("multi_head_attention_attention_bias", "MultiHeadAttention", heads + [None, None, ("bias", floats(1, 2, 3, 5))], Y,
      num_heads=2, scale=0.4)
write("multi_head_attention_causal", "MultiHeadAttention", [("q", floats(2, 3, 8)), ("k", floats(2, 3, 8)), ("v", floats(2, 3, 8))],
      [("y", F), ("keys", F), ("values", F)], num_heads=2, unidirectional=1)
write("multi_head_attention_past", "MultiHeadAttention",
      [("q", floats(2, 1, 8)), ("k", floats(2, 1, 8)), ("v", floats(2, 1, 8)), ("b", floats(24)), None, None,
       ("past_k", floats(2, 2, 4, 4)), ("past_v", floats(2, 2, 4, 4))], [("y", F), ("keys", F), ("values", F)], ["b"], num_heads=2)
write("multi_head_attention_apart", "MultiHeadAttention", [("q", floats(2, 3, 8)), ("k", floats(2, 2, 5, 4)),
                                                           ("v", floats(2, 2, 5, 4))], Y, num_heads=2)

tables = [("cos", floats(12, 8)), ("sin", floats(12, 8))]
sizes = dict(num_heads=4, kv_num_heads=2)
outputs = [("y", F), ("keys", F), ("values", F)]
group = lambda length: [("q", floats(2, length, 64)), ("k", floats(2, length, 32)), ("v", floats(2, length, 32))]
cache = lambda length: [("past_k", floats(2, 2, length, 16)), ("past_v", floats(2, 2, length, 16))]
ends = lambda *last: [("last", np.array(last, np.int32))]
total = lambda length: [("total", np.array(length, np.int32))]
write("group_query_prompt", "GroupQueryAttention", group(5) + cache(0) + ends(4, 4) + total(5) + tables, outputs,
      ["cos", "sin", "total"], do_rotary=1, **sizes)
write("group_query_decode", "GroupQueryAttention", group(1) + cache(6) + ends(6, 6) + total(7) + tables, outputs,
      ["cos", "sin", "total"], do_rotary=1, rotary_interleaved=1, **sizes)
ragged = cache(8)
for _, array in ragged:
    array[0, :, 6:] = array[1, :, 4:] = 0  # what lies behind the tokens is nobody's
write("group_query_ragged", "GroupQueryAttention", group(1) + ragged + ends(6, 4) + total(7) + tables, outputs,
      ["cos", "sin", "total"], do_rotary=1, scale=0.4, **sizes)
write("group_query_window", "GroupQueryAttention", group(5) + cache(0) + ends(4, 4) + total(5), outputs, ["total"],
      local_window_size=2, softcap=1.5, **sizes)
write("group_query_chunk", "GroupQueryAttention",
      [("q", floats(1, 3, 128)), None, None, ("past_k", floats(1, 2, 4, 16)), ("past_v", floats(1, 2, 4, 16))] + ends(6) + total(7),
      outputs, ["total"], **sizes)
write("group_query_bias", "GroupQueryAttention",
      group(1) + cache(6) + ends(6, 6) + total(7) + [None, None, None, ("bias", floats(2, 4, 1, 7))], outputs, ["total"], **sizes)

# The operator has an attribute with the name of a parameter of write().

def write_softmax(name, axis, version):
    made = helper.make_node
    helper.make_node = lambda *args, **with_: made(*args, **with_, opset=version)
    try:
        write(name, "QLinearSoftmax", q("x", u8(2, 3, 8), 0.05, 120) + to(1 / 256, 0), [("y", U8)], axis=axis)
    finally:
        helper.make_node = made


write_softmax("qlinear_softmax", -1, 13)
write_softmax("qlinear_softmax_middle", 1, 13)
write_softmax("qlinear_softmax_flat", 1, 12)


def gather_blocks(name, width, zero_points, rows=7, columns=64, block=16):
    blocks = columns // block
    inputs = [("table", u8(rows, columns * width // 8)), ("ids", random.integers(-rows, rows, (2, 3))),
              ("scales", (random.random((rows, blocks)) * 0.05).astype(np.float32)),
              ("zeros", u8(rows, -(-blocks * width // 8))) if zero_points else None]
    write(name, "GatherBlockQuantized", inputs, Y, ["table", "scales", "zeros"], bits=width, block_size=block,
          gather_axis=0, quantize_axis=1)


gather_blocks("gather_block_quantized", 4, False)
gather_blocks("gather_block_quantized_zero_points", 4, True)
gather_blocks("gather_block_quantized_8_bits", 8, True)
write("matmul_4_bits_halves", "MatMulNBits",
      [("a", floats(2, 64).astype(np.float16)), ("b", u8(6, 2, 16)), ("scales", (random.random((6, 2)) * 0.05).astype(np.float16)),
       ("zeros", u8(6, 1))], [("y", TensorProto.FLOAT16)], ["b", "scales", "zeros"], N=6, K=64, block_size=32, bits=4)

# ---- later additions stand here, so that the random numbers of those above stay

# The keys of earlier tokens come from outside of the node.
write("multi_head_attention_causal_step", "MultiHeadAttention",
      [("q", floats(2, 1, 8)), ("k", floats(2, 2, 5, 4)), ("v", floats(2, 2, 5, 4))], Y, num_heads=2, unidirectional=1)
write("multi_head_attention_causal_more_keys", "MultiHeadAttention",
      [("q", floats(2, 3, 8)), ("k", floats(2, 6, 8)), ("v", floats(2, 6, 8)), None, None, ("bias", floats(2, 2, 3, 6))], Y,
      num_heads=2, unidirectional=1)
write("group_query_smooth", "GroupQueryAttention", group(3) + cache(0) + ends(2, 2) + total(3), outputs, ["total"],
      smooth_softmax=1, softcap=2.0, **sizes)
write("group_query_sink", "GroupQueryAttention",
      group(1) + cache(6) + ends(6, 6) + total(7) + [None, None, None, None, ("sink", floats(4, scale=2))], outputs,
      ["total", "sink"], local_window_size=3, **sizes)
write("group_query_sink_bias", "GroupQueryAttention",
      group(1) + cache(6) + ends(6, 6) + total(7) + [None, None, None, ("bias", floats(1, 1, 1, 7)), ("sink", floats(4))],
      outputs, ["total", "sink"], **sizes)
write("fused_matmul_batches", "FusedMatMul", [("a", floats(3, 2, 4)), ("b", floats(5, 2, 4))], Y, transBatchA=1, transBatchB=1,
      transB=1)
