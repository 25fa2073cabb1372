"""Trains the tiny story model and writes it as a q8_0 GGUF file.

    pip install jax numpy
    python train.py                                     # the real thing
    python train.py --steps 20 --output /tmp/try.gguf   # a quick check
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gguf
import model
import tokenizer as bpe
from stories import make_stories

SEED = 1
WINDOW = 256       # most windows: packed stories, each seeing only itself
BATCH = 8
LONG_EVERY = 20    # every 20th step: windows of the full context, no story mask
MUON_RATE, MOMENTUM, MUON_DECAY = 0.02, 0.95, 0.01
ADAM_RATE, BETA1, BETA2, EPSILON, CLIP = 3e-3, 0.9, 0.98, 1e-8, 1.0
WARMUP, LAST = 50, 0.02


def pack(stories, length):
    """Fills windows with whole stories, each window starting at BOS; the last
    story of a window is cut at its end. Returns tokens and story numbers."""
    tokens, documents = [], []
    row, numbers, number = [], [], 0
    for story in stories:
        row += story
        numbers += [number] * len(story)
        number += 1
        if len(row) >= length:
            tokens.append(row[:length])
            documents.append(numbers[:length])
            row, numbers, number = [], [], 0
    return np.array(tokens, np.int32), np.array(documents, np.int32)


def rate(step, steps):
    """The share of the peak learning rates: a warm-up, then a cosine."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    progress = (step - WARMUP) / max(1, steps - WARMUP)
    return LAST + (1 - LAST) * 0.5 * (1 + np.cos(np.pi * progress))


def orthogonal(matrix):
    """Newton-Schulz iteration: about the nearest matrix whose singular values are all 1."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def make_update(cfg):
    """One training step: Muon for the matrices of the layers, AdamW for the
    embeddings, the output matrix and the norms. Muon learns rare
    associations, such as the single names, in far fewer steps."""
    def update(params, mean, square, tokens, documents, progress, step):
        value, grad = jax.value_and_grad(lambda p: model.loss(cfg, p, tokens, documents))(params)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grad)))
        grad = jax.tree.map(lambda g: g * jnp.minimum(1.0, CLIP / (norm + 1e-6)), grad)
        fix1, fix2 = 1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1)

        def apply(path, p, g, m, s):
            if p.ndim == 2 and path[0].key == "layers":
                m = MOMENTUM * m + g
                change = orthogonal(g + MOMENTUM * m) * max(1, p.shape[1] / p.shape[0]) ** 0.5
                return p - progress * MUON_RATE * (change + MUON_DECAY * p), m, s
            m = BETA1 * m + (1 - BETA1) * g
            s = BETA2 * s + (1 - BETA2) * g * g
            return p - progress * ADAM_RATE * (m / fix1 / (jnp.sqrt(s / fix2) + EPSILON)), m, s

        result = jax.tree_util.tree_map_with_path(apply, params, grad, mean, square)
        params, mean, square = (jax.tree.map(lambda _, r: r[i], params, result) for i in range(3))
        return params, mean, square, value
    return jax.jit(update, donate_argnums=(0, 1, 2))


def interleave(weight, heads):
    """Reorders rows from rotated halves to the neighbouring pairs of GGUF."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def export(path, cfg, params, tok):
    p = jax.tree.map(np.asarray, params)
    tensors = [("token_embd.weight", p["token_embd"])]
    for i, layer in enumerate(p["layers"]):
        for name, weight in layer.items():
            weight = weight.T  # GGUF rows run over the inputs
            if name == "attn_q":
                weight = interleave(weight, cfg.heads)
            elif name == "attn_k":
                weight = interleave(weight, cfg.kv_heads)
            tensors.append((f"blk.{i}.{name}.weight", weight))
    tensors += [("output_norm.weight", p["output_norm"]), ("output.weight", p["output"].T)]
    u32, f32, string, yes_no = gguf.U32, gguf.F32, gguf.STRING, gguf.BOOL
    gguf.write(path, [
        ("general.architecture", string, "llama"),
        ("general.name", string, "Quoin Tiny Stories"),
        ("general.license", string, "MIT"),
        ("general.alignment", u32, gguf.ALIGNMENT),
        ("general.file_type", u32, 7),
        ("llama.block_count", u32, cfg.layers),
        ("llama.context_length", u32, cfg.context),
        ("llama.embedding_length", u32, cfg.dim),
        ("llama.feed_forward_length", u32, cfg.hidden),
        ("llama.attention.head_count", u32, cfg.heads),
        ("llama.attention.head_count_kv", u32, cfg.kv_heads),
        ("llama.attention.layer_norm_rms_epsilon", f32, cfg.eps),
        ("llama.rope.freq_base", f32, cfg.rope_base),
        ("llama.rope.dimension_count", u32, cfg.head_dim),
        ("llama.vocab_size", u32, cfg.vocab),
        ("tokenizer.ggml.model", string, "llama"),
        ("tokenizer.ggml.tokens", (gguf.ARRAY, string), tok.tokens),
        ("tokenizer.ggml.scores", (gguf.ARRAY, f32), tok.scores),
        ("tokenizer.ggml.token_type", (gguf.ARRAY, gguf.I32), tok.types),
        ("tokenizer.ggml.bos_token_id", u32, bpe.BOS),
        ("tokenizer.ggml.eos_token_id", u32, bpe.EOS),
        ("tokenizer.ggml.unknown_token_id", u32, bpe.UNK),
        ("tokenizer.ggml.add_bos_token", yes_no, True),
        ("tokenizer.ggml.add_eos_token", yes_no, False),
        ("tokenizer.ggml.add_space_prefix", yes_no, True),
    ], tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("quoin-tiny.gguf"))
    args = parser.parse_args()

    cfg = model.Config()
    # Every story is used once: a step takes at most 2 stories per 256 tokens.
    texts = make_stories(400 + args.steps * BATCH * 2, SEED)
    tok = bpe.train(texts[:6000], cfg.vocab)
    encoded = [tok.encode(text, cache=True) + [bpe.EOS] for text in texts]
    longest = max(map(len, encoded))
    held_out, encoded = encoded[:400], encoded[400:]
    share = len(encoded) // LONG_EVERY
    long_tokens, _ = pack(encoded[:share], cfg.context)
    short_tokens, short_documents = pack(encoded[share:], WINDOW)
    test = [jnp.asarray(a[:128]) for a in pack(held_out, WINDOW)]
    print(f"{len(texts)} stories, longest {longest} tokens, "
          f"{len(short_tokens)} windows of {WINDOW}, {len(long_tokens)} of {cfg.context}", flush=True)

    params = model.init(cfg, encoded[:6000], SEED)
    print(sum(p.size for p in jax.tree.leaves(params)), "parameters", flush=True)
    mean = jax.tree.map(jnp.zeros_like, params)
    square = jax.tree.map(jnp.zeros_like, params)
    update = make_update(cfg)
    evaluate = jax.jit(lambda p, t, d: model.loss(cfg, p, t, d))

    def held_out_loss():
        return np.mean([float(evaluate(params, test[0][i:i + 8], test[1][i:i + 8]))
                        for i in range(0, len(test[0]) - 7, 8)])

    start, shorts, longs, recent = time.time(), 0, 0, []
    for step in range(args.steps):
        if step % LONG_EVERY == LONG_EVERY - 1:
            pick = np.arange(longs, longs + BATCH // 2) % len(long_tokens)
            tokens, documents = long_tokens[pick], np.zeros_like(long_tokens[pick])
            longs += BATCH // 2
        else:
            pick = np.arange(shorts, shorts + BATCH) % len(short_tokens)
            tokens, documents = short_tokens[pick], short_documents[pick]
            shorts += BATCH
        params, mean, square, value = update(params, mean, square, tokens, documents,
                                             jnp.float32(rate(step, args.steps)), jnp.float32(step))
        recent.append(value)
        if step % 50 == 49 or step == args.steps - 1:
            print(f"step {step + 1}  loss {np.mean([float(v) for v in recent]):.4f}  "
                  f"{time.time() - start:.0f} s", flush=True)
            recent = []
        if step % 200 == 199 or step == args.steps - 1:
            print(f"step {step + 1}  held-out loss {held_out_loss():.4f}", flush=True)
            export(args.output, cfg, params, tok)
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
