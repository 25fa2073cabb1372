"""A small GGUF v3 writer (f32 and q8_0 tensors)."""

import struct

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_Q8_0 = 0, 8
ALIGNMENT = 32


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind, value):
    if kind == STRING:
        return _string(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def _entry(key, kind, value):
    """kind is a scalar type, or (ARRAY, element type)."""
    if isinstance(kind, tuple):
        body = struct.pack("<IIQ", ARRAY, kind[1], len(value))
        body += b"".join(_value(kind[1], item) for item in value)
    else:
        body = struct.pack("<I", kind) + _value(kind, value)
    return _string(key) + body


def quantize_q8_0(matrix):
    """Blocks of 32 along a row: an f16 scale, then 32 signed bytes."""
    blocks = np.asarray(matrix, np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    packed = np.empty(len(blocks), np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    packed["d"] = scale[:, 0]
    packed["q"] = np.round(blocks * inverse)
    return packed.tobytes()


def write(path, metadata, tensors):
    """metadata: (key, kind, value) triples; tensors: (name, array) pairs with
    row-major arrays. Matrices become q8_0, vectors stay f32."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    head += b"".join(_entry(*item) for item in metadata)
    blob = b""
    for name, array in tensors:
        blob += bytes(-len(blob) % ALIGNMENT)
        kind = TENSOR_F32 if array.ndim == 1 else TENSOR_Q8_0
        head += _string(name) + struct.pack("<I", array.ndim)
        head += struct.pack(f"<{array.ndim}Q", *reversed(array.shape))
        head += struct.pack("<IQ", kind, len(blob))
        blob += np.asarray(array, "<f4").tobytes() if kind == TENSOR_F32 else quantize_q8_0(array)
    blob += bytes(-len(blob) % ALIGNMENT)
    head += bytes(-len(head) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(head + blob)
