"""Remakes the reference used by the tests, or prints a sample.

    python reference.py                      # writes quoin-tiny-reference.json
    python reference.py --prompt "One day"   # prints a greedy continuation
    python reference.py --prompt "One day" --temperature 0.8 --seed 3

Independent of the training code: it reads the GGUF file itself, dequantises
the weights and runs a float64 forward pass in NumPy.
"""

import argparse
import hashlib
import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
MODEL = HERE / "quoin-tiny.gguf"
REFERENCE = HERE.parents[1] / "tests" / "data" / "quoin-tiny-reference.json"
PROMPTS = ["", "Once upon a time", "One day", "There was a little fox", "Lily was a kind girl",
           "They learned that",
           # Long continuations, with margins that quantised activations do not cross.
           "Once upon a time, there lived a small girl. Her name was Rosie. She had a pink cup, but she wanted something "
           "new. Early one morning, she took the cup to the market. There she met Gus, a silly robin with a purple wagon.",
           "Hopper was a little mole who lived near the valley. Every morning, Hopper liked to dance. All his friends "
           "could whistle, but Hopper could not. On a warm morning, he went to Penny, a brave squirrel. \"Can you teach me "
           "to whistle?\" he asked.",
           "Once upon a time, a careful girl named Ivy lived near the garden. She had big dark eyes and a happy smile. "
           "Rolo the squirrel was her best friend. Early one morning, Ivy and Rolo wanted to have a picnic in the garden. "
           "Ivy packed ripe pears, and Rolo brought a striped paint box."]
TEXTS = ["", " ", "Hello, world!", "a  b", "Line one\nline two", "caf\u00e9 na\u00efve", "\u65e5\u672c", "\U0001f98a fox",
         "Once upon a time, there was a little fox named Pip.", "</s>", "UPPER lower 12345", " leading and trailing "]
TOKENS, MARGIN = 48, 0.1


class Reader:
    """Walks over a GGUF file."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def unpack(self, code):
        value, = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        length = self.unpack("Q")
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            kind, count = self.unpack("I"), self.unpack("Q")
            return [self.value(kind) for _ in range(count)]
        return self.unpack({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])


def load(path):
    """The metadata and the tensors, as float64 arrays of shape [rows, columns]."""
    r = Reader(path.read_bytes())
    assert r.unpack("4s") == b"GGUF" and r.unpack("I") == 3
    n_tensors, n_keys = r.unpack("Q"), r.unpack("Q")
    meta = {}
    for _ in range(n_keys):
        key = r.string()
        meta[key] = r.value(r.unpack("I"))
    infos = []
    for _ in range(n_tensors):
        name = r.string()
        shape = [r.unpack("Q") for _ in range(r.unpack("I"))]
        infos.append((name, shape[::-1], r.unpack("I"), r.unpack("Q")))
    align = meta.get("general.alignment", 32)
    base = (r.at + align - 1) // align * align
    tensors = {}
    for name, shape, kind, offset in infos:
        count = int(np.prod(shape))
        if kind == 0:
            array = np.frombuffer(r.data, "<f4", count, base + offset).astype(np.float64)
        else:
            assert kind == 8, f"{name}: only f32 and q8_0 are read here"
            blocks = np.frombuffer(r.data, np.dtype([("d", "<f2"), ("q", "i1", 32)]), count // 32, base + offset)
            array = blocks["d"].astype(np.float64)[:, None] * blocks["q"]
        tensors[name] = array.reshape(shape)
    return meta, tensors


def encode(meta, text):
    """SentencePiece BPE: while some neighbours form a piece, join those with
    the best score, the leftmost of equals; unknown characters become bytes."""
    if not text:
        return [meta["tokenizer.ggml.bos_token_id"]]
    scores = meta["tokenizer.ggml.scores"]
    ids = {t: i for i, (t, kind) in enumerate(zip(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"])) if kind == 1}
    parts = list(" " + text)
    parts = [p.replace(" ", "\u2581") for p in parts]
    while True:
        found = [(-scores[ids[a + b]], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ids]
        if not found:
            break
        i = min(found)[1]
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    out = [meta["tokenizer.ggml.bos_token_id"]]
    for part in parts:
        out += [ids[part]] if part in ids else [3 + b for b in part.encode()]
    return out


def decode(meta, tokens):
    """The text of the tokens, with every space kept, the first one too."""
    data = b""
    for i in tokens:
        kind, piece = meta["tokenizer.ggml.token_type"][i], meta["tokenizer.ggml.tokens"][i]
        if kind == 6:
            data += bytes([int(piece[3:5], 16)])
        elif kind == 1:
            data += piece.replace("\u2581", " ").encode()
    return data.decode(errors="replace")


class Llama:
    def __init__(self, meta, tensors):
        get = lambda key: meta["llama." + key]
        self.w = tensors
        self.layers, self.eps = get("block_count"), get("attention.layer_norm_rms_epsilon")
        self.heads, self.kv_heads = get("attention.head_count"), get("attention.head_count_kv")
        self.hd = get("rope.dimension_count")
        self.freq = get("rope.freq_base") ** (-np.arange(0, self.hd, 2) / self.hd)
        self.keys = [[] for _ in range(self.layers)]
        self.values = [[] for _ in range(self.layers)]

    def norm(self, x, weight):
        return x / np.sqrt(np.mean(x * x) + self.eps) * weight

    def rope(self, x, position):
        """x: [heads, head size]; rotates the pairs (0, 1), (2, 3), ..."""
        c, s = np.cos(position * self.freq), np.sin(position * self.freq)
        out = np.empty_like(x)
        out[:, 0::2] = x[:, 0::2] * c - x[:, 1::2] * s
        out[:, 1::2] = x[:, 0::2] * s + x[:, 1::2] * c
        return out

    def multiply(self, name, x):
        return self.w[name] @ x

    def step(self, token):
        """Feeds one token and returns the logits of the next."""
        position = len(self.keys[0])
        x = self.w["token_embd.weight"][token]
        for i in range(self.layers):
            b = f"blk.{i}."
            h = self.norm(x, self.w[b + "attn_norm.weight"])
            q = self.rope(self.multiply(b + "attn_q.weight", h).reshape(self.heads, self.hd), position)
            k = self.rope(self.multiply(b + "attn_k.weight", h).reshape(self.kv_heads, self.hd), position)
            self.keys[i].append(k)
            self.values[i].append(self.multiply(b + "attn_v.weight", h).reshape(self.kv_heads, self.hd))
            keys, values = np.array(self.keys[i]), np.array(self.values[i])
            mixed = []
            for head in range(self.heads):
                kv = head // (self.heads // self.kv_heads)
                score = keys[:, kv] @ q[head] / np.sqrt(self.hd)
                weight = np.exp(score - score.max())
                mixed.append(weight / weight.sum() @ values[:, kv])
            x = x + self.multiply(b + "attn_output.weight", np.concatenate(mixed))
            h = self.norm(x, self.w[b + "ffn_norm.weight"])
            gate = self.multiply(b + "ffn_gate.weight", h)
            h = gate / (1 + np.exp(-gate)) * self.multiply(b + "ffn_up.weight", h)
            x = x + self.multiply(b + "ffn_down.weight", h)
        x = self.norm(x, self.w["output_norm.weight"])
        return self.multiply("output.weight" if "output.weight" in self.w else "token_embd.weight", x)


def generate(meta, tensors, ids, limit, temperature=0.0, seed=0, margin=0.0):
    """Continues ids. Stops after limit tokens, at EOS (which is not listed), or
    before a step whose two best logits are closer than margin. Returns the new
    ids, why it stopped, and the smallest margin met."""
    rng = np.random.default_rng(seed)
    llama = Llama(meta, tensors)
    for token in ids:
        logits = llama.step(token)
    out, smallest = [], np.inf
    while len(out) < limit:
        if temperature > 0:
            p = np.exp((logits - logits.max()) / temperature)
            token = int(rng.choice(len(p), p=p / p.sum()))
        else:
            token = int(np.argmax(logits))
            second, first = np.sort(logits)[-2:]
            if first - second < margin:
                return out, "margin", smallest
            smallest = min(smallest, first - second)
        if token == meta["tokenizer.ggml.eos_token_id"]:
            return out, "eos", smallest
        out.append(token)
        logits = llama.step(token)
    return out, "length", smallest


def make_reference(meta, tensors):
    cases = []
    for prompt in PROMPTS:
        ids = encode(meta, prompt)
        out, stop, smallest = generate(meta, tensors, ids, TOKENS, margin=MARGIN)
        cases.append({"prompt": prompt, "prompt_ids": ids, "continuation_ids": out,
                      "continuation_text": decode(meta, out), "stop": stop, "smallest_margin": round(float(smallest), 4)})
    llama = Llama(meta, tensors)
    for token in encode(meta, PROMPTS[1]):
        logits = llama.step(token)
    return {
        "about": "Made by examples/tiny-model/reference.py from quoin-tiny.gguf: a float64 NumPy forward pass over the "
                 "dequantised q8_0 weights, without quantised activations; greedy choice (lowest id of equals). "
                 f"A continuation ends after {TOKENS} tokens (stop: length), at EOS (stop: eos; EOS is not listed) or "
                 f"before a step whose two best logits differ by less than {MARGIN} (stop: margin). Token ids start with "
                 "BOS; continuation_text keeps every space, the first one too.",
        "model": MODEL.name,
        "model_sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(),
        "prompts": [case["prompt"] for case in cases],
        "cases": cases,
        "logits": {"prompt": PROMPTS[1], "prompt_ids": encode(meta, PROMPTS[1]), "position": "last",
                   "first_16": [round(float(v), 6) for v in logits[:16]],
                   "argmax": int(np.argmax(logits)), "argmax_value": round(float(logits.max()), 6)},
        "tokenization": [{"text": text, "ids": encode(meta, text)} for text in TEXTS],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=400)
    args = parser.parse_args()
    meta, tensors = load(MODEL)
    if args.prompt is not None:
        ids = encode(meta, args.prompt)
        out, _, _ = generate(meta, tensors, ids, args.tokens, args.temperature, args.seed)
        print(decode(meta, ids + out).strip())
        return
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    REFERENCE.write_text(json.dumps(make_reference(meta, tensors), indent=1, ensure_ascii=True) + "\n")
    print(REFERENCE)


if __name__ == "__main__":
    main()
