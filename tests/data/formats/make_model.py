#!/usr/bin/env python3
"""Writes a small random llama whose weights have all block formats of GGUF, and what exact arithmetic makes of it.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 && venv/bin/python make_model.py all-formats

    NAME.gguf             the model: 3 layers, 256 wide, every block format in one or two of its matrices
    NAME.logits.f32.bin   float32 [prompt, vocabulary], a forward pass in float64 with the weights that the package gguf
                          dequantises
    NAME.json             the prompt, the ids that follow it greedily, the smallest gap between the first two logits

--only FORMAT makes a model of a single format, --seed chooses the weights; a seed is good when the gap is so large that
activations in 8 bits (quoin's kernels) do not change an id.
"""
import argparse
import json

import numpy as np
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from make_blocks import HALVES, set_scales

LAYERS, WIDTH, HEADS, KV_HEADS, VOCABULARY, PROMPT, GREEDY = 3, 256, 4, 2, 128, 40, 12
EPSILON, BASE = 1e-5, 10000.0
# Formats of blocks of 256 stand where K is 256: q, k, v, gate, up. K of o and down is 64.
WIDE = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]
WIDE += ["IQ1_M", "TQ1_0", "TQ2_0"]
NARROW = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4", "Q8_0"]
# What centres the values of formats with a minimum.
MINIMUM = {"Q4_1": -7.5, "Q5_1": -15.5, "Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}


def random_matrix(name, rows, columns, random):
    """Random blocks whose values have a standard deviation of about 1 / sqrt(columns)."""
    kind = GGMLQuantizationType[name]
    values, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows * columns // values, size), dtype=np.uint8)
    scales = random.uniform(0.5, 1.5, len(blocks)) * random.choice([-1, 1], len(blocks))
    unit = 1.0
    for _ in range(2):  # first to see how large values are
        for block, scale in zip(blocks, scales * unit):
            set_scales(name, block, scale, scale * MINIMUM.get(name, 0))
            if name == "MXFP4":
                block[0] = 127 + int(np.floor(np.log2(abs(scale))))
        unit /= dequantize(blocks, kind).astype(np.float64).std() * columns**0.5
    blocks = blocks.reshape(rows, columns // values * size)
    return kind, blocks, dequantize(blocks, kind).astype(np.float64)


def forward(weights, head, ids):
    def norm(x, w):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * w

    n = len(ids)
    angles = np.arange(n)[:, None] * BASE ** (-2.0 * np.arange(head // 2) / head)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def rotate(x):
        a, b = x[..., 0::2], x[..., 1::2]
        return np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)

    x = weights["token_embd"][ids]
    later = np.triu(np.full((n, n), -np.inf), 1)
    for layer in range(LAYERS):
        w = {key.split(".")[2]: value for key, value in weights.items() if key.startswith(f"blk.{layer}.")}
        h = norm(x, w["attn_norm"])
        q = rotate((h @ w["attn_q"].T).reshape(n, HEADS, head))
        k = rotate((h @ w["attn_k"].T).reshape(n, KV_HEADS, head))
        v = (h @ w["attn_v"].T).reshape(n, KV_HEADS, head)
        k, v = (np.repeat(t, HEADS // KV_HEADS, 1) for t in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / head**0.5 + later
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hij,jhd->ihd", p, v).reshape(n, -1) @ w["attn_output"].T
        h = norm(x, w["ffn_norm"])
        gate = h @ w["ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
    return norm(x, weights["output_norm"]) @ weights["output"].T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--only")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    head, ffn = (64, 512) if args.only else (16, 64)
    wide, narrow = iter(WIDE), iter(NARROW)
    plan = [("token_embd", VOCABULARY, WIDTH, args.only or "IQ4_NL")]
    for layer in range(LAYERS):
        for name, rows, columns in [
            ("attn_q", HEADS * head, WIDTH), ("attn_k", KV_HEADS * head, WIDTH), ("attn_v", KV_HEADS * head, WIDTH),
            ("attn_output", WIDTH, HEADS * head), ("ffn_gate", ffn, WIDTH), ("ffn_up", ffn, WIDTH),
            ("ffn_down", WIDTH, ffn),
        ]:  # fmt: skip
            format = args.only or next(wide if columns == WIDTH else narrow)
            plan.append((f"blk.{layer}.{name}", rows, columns, format))
    plan.append(("output", VOCABULARY, WIDTH, args.only or "IQ4_NL"))

    writer = GGUFWriter(args.name + ".gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(BASE)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    weights = {}
    for name, rows, columns, format in plan:
        kind, blocks, weights[name] = random_matrix(format, rows, columns, random)
        writer.add_tensor(name + ".weight", blocks, raw_dtype=kind)
    for name in ["output_norm"] + [f"blk.{i}.{n}_norm" for i in range(LAYERS) for n in ("attn", "ffn")]:
        values = (1 + 0.3 * random.standard_normal(WIDTH)).astype(np.float32)
        weights[name] = values.astype(np.float64)
        writer.add_tensor(name + ".weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    prompt = random.integers(1, VOCABULARY, PROMPT).tolist()
    logits = forward(weights, head, prompt)
    logits.astype("<f4").tofile(args.name + ".logits.f32.bin")
    greedy, gap = [], np.inf
    last = logits[-1]
    for _ in range(GREEDY):
        second, first = np.sort(last)[-2:]
        gap = min(gap, first - second)
        greedy.append(int(last.argmax()))
        last = forward(weights, head, prompt + greedy)[-1]
    with open(args.name + ".json", "w") as file:
        json.dump({"prompt": prompt, "greedy": greedy, "smallest_gap": round(float(gap), 4)}, file)
        file.write("\n")
    print(f"{args.name}: logits' standard deviation {logits.std():.3f}, smallest gap {gap:.4f}")


if __name__ == "__main__":
    main()
