#!/usr/bin/env python3
"""Writes grids.inl from the grids that the Python package gguf knows:

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 && venv/bin/python make_grids.py > grids.inl
"""
import numpy as np
from gguf import quants

GRIDS = [  # format, name here, bits of a place of an entry
    ("IQ2_XXS", "kGridIq2Xxs", 2),
    ("IQ2_XS", "kGridIq2Xs", 2),
    ("IQ2_S", "kGridIq2S", 2),
    ("IQ3_XXS", "kGridIq3Xxs", 4),
    ("IQ3_S", "kGridIq3S", 4),
    ("IQ1_S", "kGridIq1", 2),
]

print("""\
// Made by make_grids.py. The grids of the formats with 1 to 3 bits in GGUF files, facts of the formats: which numbers go
// together. An entry has eight places of 2 bits, or four of 4 bits, the first in the lowest bits. A place is the number of
// a magnitude in the codebook (block_format.h), in IQ1 0, 1, 2 for -1, 0, 1.

namespace quoin {
namespace {""")
for format, name, bits in GRIDS:
    kind = getattr(quants, format)
    kind.init_grid()
    magnitudes = np.array(kind.grid_map, np.float32)
    places = np.searchsorted(magnitudes, kind.grid.reshape(kind.grid_shape))
    assert (magnitudes[places] == kind.grid.reshape(kind.grid_shape)).all()
    entries = (places.astype(np.uint32) << (bits * np.arange(places.shape[1], dtype=np.uint32))).sum(axis=1)
    print(f"\n// clang-format off\nconstexpr uint16_t {name}[{len(entries)}] = {{")
    for i in range(0, len(entries), 14):
        print("    " + ", ".join(f"0x{e:04X}" for e in entries[i : i + 14]) + ",")
    print("};\n// clang-format on")
print("""
}  // namespace
}  // namespace quoin""")
