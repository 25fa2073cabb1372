#!/usr/bin/env python3
"""Writes blocks.bin: blocks of every block format of GGUF and the values they stand for.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 && venv/bin/python make_blocks.py blocks.bin

The values come from the package gguf (numpy), which shares no code with Quoin. Little-endian, for each format:

    uint32  100 + number of the ggml type (the number of DType)
    uint32  blocks
    uint32  values of a block
    uint32  bytes of an expected value: 4 or 1
    blocks  as they lie in a file
    [blocks, values of a block]   float32, or int8 in eighths

Of each format first the edges, then random blocks; of those with a grid also each of its entries once, in eighths. A block is random bytes with scales overwritten, since random
halves would be infinite or not a number now and then; every other pattern of bits means something in every format.
"""
import struct
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Where the f16 scales of a block stand. IQ1_M has its one spread over the high nibbles of four words, MXFP4 has an
# exponent in its first byte.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
    "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [],
    "TQ1_0": [52], "TQ2_0": [64],
}  # fmt: skip


def set_scales(name, block, scale, minimum):
    for at, value in zip(HALVES[name], (scale, minimum)):
        block[at : at + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
    if name == "IQ1_M":
        bits = int(np.float16(scale).view(np.uint16))
        for i in range(4):
            at = 48 + 2 * i + 1
            block[at] = (block[at] & 0x0F) | ((bits >> (4 * i) & 15) << 4)


def blocks_of(name, size, random):
    def filled(byte):
        return np.full(size, byte, np.uint8)

    def noise():
        return random.integers(0, 256, size, dtype=np.uint8)

    if name == "MXFP4":
        for exponent in (0, 1, 2, 127, 128, 254):  # 2^-128 and 2^-127 are subnormal, 254 overflows for large numbers
            block = noise()
            block[0] = exponent
            yield block
        codes = np.arange(16, dtype=np.uint8)
        yield np.concatenate([[np.uint8(120)], codes | (15 - codes) << 4])
    edges = [
        (filled(0), 0.75, -0.125),
        (filled(255), 1.5, 0.5),  # the largest sub-scales and codes, every sign and high bit
        (filled(255), -0.3, 3.0),
        (filled(0xAA), 6e-8, -6e-8),  # subnormal halves
        (filled(0x55), 65504.0, 65504.0),
    ]
    for block, scale, minimum in edges:
        set_scales(name, block, scale, minimum)
        yield block
    for _ in range(8 if size < 50 else 4):
        block = noise()
        set_scales(name, block, random.normal() * 0.01, random.normal() * 0.01)
        if name == "MXFP4":
            block[0] = random.integers(100, 140)
        yield block


# Blocks that name each entry of the format's grid, with the smallest sub-scale and no sign set.
def grid_blocks(name, size):
    if name == "IQ1_M" or not name.startswith(("IQ1", "IQ2", "IQ3")):
        return
    entries = {"IQ2_XXS": 256, "IQ2_XS": 512, "IQ2_S": 1024, "IQ3_XXS": 256, "IQ3_S": 512, "IQ1_S": 2048}[name]
    per_block = 64 if name.startswith("IQ3") else 32
    for first in range(0, entries, per_block):
        block = np.zeros(size, np.uint8)
        set_scales(name, block, 1.0, 0.0)
        for i in range(per_block):
            entry = first + i
            low, high = entry & 255, entry >> 8
            if name == "IQ2_XXS":
                block[2 + i // 4 * 8 + i % 4] = low
            elif name == "IQ2_XS":
                block[2 + 2 * i : 4 + 2 * i] = (low, high)
            else:
                block[2 + i] = low
            if name == "IQ2_S":
                block[66 + i // 4] |= high << (i % 4 * 2)
            elif name == "IQ3_S":
                block[66 + i // 8] |= high << (i % 8)
            elif name == "IQ1_S":
                word = 34 + i // 4 * 2
                bits = int(block[word]) | int(block[word + 1]) << 8 | high << (i % 4 * 3)
                block[word : word + 2] = (bits & 255, bits >> 8)
        yield block


def write(out, kind, blocks, dtype):
    values, size = GGML_QUANT_SIZES[kind]
    with np.errstate(over="ignore"):
        expected = np.stack([dequantize(block, kind) for block in blocks])
    if dtype == "i1":
        expected = expected * 8
        assert np.abs(expected).max() < 128 and (expected == np.rint(expected)).all()
    expected = expected.astype(dtype)
    assert expected.shape == (len(blocks), values) and not np.isnan(expected).any()
    out.write(struct.pack("<IIII", 100 + int(kind), len(blocks), values, expected.itemsize))
    out.write(np.stack(blocks).tobytes())
    out.write(expected.tobytes())


def main():
    random = np.random.default_rng(22)
    with open(sys.argv[1], "wb") as out:
        for name in HALVES:
            kind = GGMLQuantizationType[name]
            size = GGML_QUANT_SIZES[kind][1]
            write(out, kind, list(blocks_of(name, size, random)), "<f4")
            if grid := list(grid_blocks(name, size)):
                write(out, kind, grid, "i1")


if __name__ == "__main__":
    main()
