"""The network: a small Llama-style decoder (RMSNorm, RoPE, grouped-query
attention, SwiGLU), written with plain JAX arrays."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Config:
    vocab: int = 1536
    dim: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    hidden: int = 512
    context: int = 512
    eps: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_dim(self):
        return self.dim // self.heads


def start_embeddings(cfg, stories, rng):
    """One half of each vector tells the tokens apart (random), the other half
    says what a token is like: principal components of the counts of its
    neighbours, so that names, colours or verbs look alike from the first step."""
    stream = np.concatenate(stories)
    tables = []
    for distance in (1, 2):
        counts = np.zeros((cfg.vocab, cfg.vocab))
        np.add.at(counts, (stream[:-distance], stream[distance:]), 1)
        tables += [counts, counts.T]
    counts = np.concatenate(tables, axis=1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    surprise = np.log(np.maximum(counts, 1e-9) / np.maximum(expected, 1e-9)).clip(0)
    values, vectors = np.linalg.eigh(surprise @ surprise.T)
    like = (vectors * values.clip(0) ** 0.25)[:, -cfg.dim:]
    like /= np.linalg.norm(like, axis=1, keepdims=True) + 1e-9
    like = like @ np.linalg.qr(rng.normal(size=(cfg.dim, cfg.dim)))[0]  # spread over all columns
    return like * (cfg.dim / 2) ** 0.5 + rng.normal(0, 0.5 ** 0.5, (cfg.vocab, cfg.dim))


def init(cfg, stories, seed):
    """Weights to start from; stories: token ids. Matrices are [in, out].

    The start is chosen so that the model soon learns to repeat the names of a
    story: embeddings are large, or they would drown in the sums of the layers;
    the output matrix points along the embeddings, and each head's output
    projection is its value projection turned back, so that a head begins by
    making the tokens it looks at more likely."""
    rng = np.random.default_rng(seed)
    group, kv = cfg.heads // cfg.kv_heads, cfg.kv_heads * cfg.head_dim
    out_scale = (2 * cfg.layers) ** -0.5  # keeps the residual stream bounded

    def matrix(rows, cols, scale=1.0):
        return rng.normal(0, scale * rows ** -0.5, (rows, cols))

    layers = []
    for _ in range(cfg.layers):
        value = matrix(cfg.dim, kv)
        heads = value.T.reshape(cfg.kv_heads, cfg.head_dim, cfg.dim)
        layers.append({
            "attn_norm": np.ones(cfg.dim),
            "attn_q": matrix(cfg.dim, cfg.dim),
            "attn_k": matrix(cfg.dim, kv),
            "attn_v": value,
            "attn_output": out_scale * np.repeat(heads, group, axis=0).reshape(cfg.dim, cfg.dim),
            "ffn_norm": np.ones(cfg.dim),
            "ffn_gate": matrix(cfg.dim, cfg.hidden),
            "ffn_up": matrix(cfg.dim, cfg.hidden),
            "ffn_down": matrix(cfg.hidden, cfg.dim, out_scale),
        })
    embedding = start_embeddings(cfg, stories, rng)
    params = {"token_embd": embedding, "layers": layers, "output_norm": np.ones(cfg.dim),
              "output": 0.25 * cfg.dim ** -0.5 * embedding.T}
    return jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)


def rms_norm(x, weight, eps):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope(x, cos, sin):
    """Rotates the two halves of each head. The GGUF writer reorders the rows
    of Q and K so that the same rotation acts on neighbouring pairs."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def logits(cfg, params, tokens, documents):
    """tokens, documents: [batch, time]. A position sees only earlier
    positions of its own document (story)."""
    batch, time = tokens.shape
    hd, group = cfg.head_dim, cfg.heads // cfg.kv_heads

    frequency = cfg.rope_base ** (-np.arange(0, hd, 2) / hd)
    angle = np.arange(time)[:, None] * frequency[None, :]
    cos = jnp.asarray(np.cos(angle), jnp.float32)
    sin = jnp.asarray(np.sin(angle), jnp.float32)

    causal = np.tril(np.ones((time, time), bool))
    visible = causal[None] & (documents[:, :, None] == documents[:, None, :])
    bias = jnp.tile(jnp.where(visible, 0.0, -1e9), (1, group, 1))[:, None]

    x = params["token_embd"][tokens]
    for layer in params["layers"]:
        h = rms_norm(x, layer["attn_norm"], cfg.eps)
        q = (h @ layer["attn_q"]).reshape(batch, time, cfg.kv_heads, group, hd)
        k = (h @ layer["attn_k"]).reshape(batch, time, cfg.kv_heads, hd)
        v = (h @ layer["attn_v"]).reshape(batch, time, cfg.kv_heads, hd)
        # Fold the query heads of a group into the rows of one product per KV head.
        q = rope(q.transpose(0, 2, 3, 1, 4), cos, sin).reshape(batch, cfg.kv_heads, group * time, hd)
        k = rope(k.transpose(0, 2, 1, 3), cos, sin)
        v = v.transpose(0, 2, 1, 3)
        score = (q @ k.swapaxes(2, 3)) * hd ** -0.5
        weight = jax.nn.softmax(score + bias, axis=-1)
        mixed = (weight @ v).reshape(batch, cfg.kv_heads, group, time, hd)
        mixed = mixed.transpose(0, 3, 1, 2, 4).reshape(batch, time, cfg.dim)
        x = x + mixed @ layer["attn_output"]

        h = rms_norm(x, layer["ffn_norm"], cfg.eps)
        h = jax.nn.silu(h @ layer["ffn_gate"]) * (h @ layer["ffn_up"])
        x = x + h @ layer["ffn_down"]
    x = rms_norm(x, params["output_norm"], cfg.eps)
    return x @ params["output"]


def loss(cfg, params, tokens, documents):
    """Mean next-token cross-entropy inside the documents; document -1 is padding."""
    out = logits(cfg, params, tokens, documents)[:, :-1]
    target = tokens[:, 1:]
    mask = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    chosen = jnp.take_along_axis(out, target[..., None], axis=-1)[..., 0]
    nll = jax.nn.logsumexp(out, axis=-1) - chosen
    return jnp.sum(nll * mask) / jnp.maximum(jnp.sum(mask), 1)
