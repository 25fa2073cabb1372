#!/usr/bin/env python3
"""exported_symbols.py NM LIBRARY EXPORTS HEADER: the library exports what the list says, each symbol under its release,
and nothing else; and the list and the header name the same functions. Exits with 1 and one line per difference."""
import re
import subprocess
import sys


def read_list(path):
    """Symbol -> release."""
    symbols, release = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.split("#")[0].strip()
        if line.startswith("release "):
            release = line.split()[1]
        elif line:
            if line in symbols:
                sys.exit(f"{path}: {line} stands twice")
            symbols[line] = release
    return symbols


def read_library(nm, path):
    """Symbol -> version node without the prefix QUOIN_, or None where it has no version."""
    output = subprocess.run([nm, "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    symbols = {}
    for line in output.splitlines():
        kind, name = line.split()[-2:]
        symbol, _, version = name.partition("@")
        if kind == "A" and symbol.startswith("QUOIN_"):
            continue  # a version node itself
        symbols[symbol] = version.lstrip("@").removeprefix("QUOIN_") or None
    return symbols


def read_header(path):
    text = re.sub(r"//[^\n]*", "", open(path, encoding="utf-8").read())
    return set(re.findall(r"^QUOIN_API\b[^;(]*?\b(\w+)\s*\(", text, re.MULTILINE))


def main():
    nm, library, exports, header = sys.argv[1:]
    listed, exported, declared = read_list(exports), read_library(nm, library), read_header(header)
    wrong = [f"{name}: exported, but not in the list" for name in exported.keys() - listed.keys()]
    wrong += [f"{name}: in the list, but not exported" for name in listed.keys() - exported.keys()]
    wrong += [f"{name}: exported under {exported[name]}, but listed under {listed[name]}"
              for name in listed.keys() & exported.keys() if listed[name] != exported[name]]
    wrong += [f"{name}: in the header, but not in the list" for name in declared - listed.keys()]
    wrong += [f"{name}: in the list, but not in the header" for name in listed.keys() - declared]
    print("\n".join(sorted(wrong)) or f"{len(listed)} symbols")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
