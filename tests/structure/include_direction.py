#!/usr/bin/env python3
"""include_direction.py SOURCE_DIR: who includes whom. The table is the one of the design: one direction, no way back.

Every #include of every file in src/, capi/, include/, examples/, bench/ and tests/install/ is looked at. Exits with 1
and one line per offence. A folder that no table knows is an offence, too: a new room needs a place in the table.
"""
import pathlib
import re
import sys

# Room -> the rooms it may include, itself aside. "core/half.h" allows that one header.
ROOMS = {
    "core": [],
    "kernels": ["core/half.h", "core/dtype.h", "core/cpu_info.h"],
    "graph": ["core"],
    "ops": ["graph", "kernels", "core"],
    "load": ["graph", "core"],
    "optimize": ["ops", "graph", "core"],
    "exec": ["ops", "graph", "kernels", "core"],
    "text": ["core"],
    "quantize": ["load", "kernels", "core"],
    "llm": ["exec", "optimize", "load", "text", "graph", "core"],
}
PUBLIC = ["quoin/quoin.h", "quoin/quoin.hpp"]

# Where the headers of other projects and of the machine may appear: pattern -> folders or files.
FOREIGN = [
    (r"(pcre2|pcre2posix)\.h", ["src/text/", "src/ops/text_pattern.cpp"]),
    (r"protozero/.*", ["src/load/"]),
    (r"xsimd/.*", ["src/kernels/"]),
    (r"\w*intrin\.h|arm_\w+\.h", ["src/kernels/", "src/core/cpu_info.cpp", "src/core/team.cpp"]),  # team: pause
    (r"cpuid\.h", ["src/kernels/", "src/core/cpu_info.cpp"]),
    (r"omp\.h", ["src/core/team.cpp"]),
    (r"Eigen/.*", ["src/ops/eigen.cpp"]),
    (r"(dnnl|oneapi/dnnl/dnnl)\w*\.(h|hpp)", ["src/ops/onednn.cpp"]),
    (r"nlohmann/.*", ["src/llm/describe.cpp", "examples/"]),
    (r"httplib\.h", ["examples/"]),
    (r"png\.h", ["examples/vision/image.c", "src/ops/image_png.cpp"]),
    (r"jpeglib\.h", ["examples/vision/image.c", "src/ops/image_jpeg.cpp"]),
    (r"openjpeg\.h", ["src/ops/image_jpeg2000.cpp"]),
    (r"tiffio\.h", ["src/ops/image_tiff.cpp"]),
    (r"webp/decode\.h", ["src/ops/image_webp.cpp"]),
    (r"benchmark/benchmark\.h", ["bench/"]),
    (r"quoin/.*", ["capi/", "include/", "examples/", "bench/", "tests/install/"]),
]
# Everything else in angle brackets: the standard library and the system, by their shape.
STANDARD = re.compile(r"[a-z0-9_]+(\.h)?|(sys|linux|mach|asm)/[a-z0-9_]+\.h")
# Containers and what allocates have no place among the numbers.
NOT_IN_KERNELS = {"vector", "string", "map", "set", "unordered_map", "unordered_set", "list", "deque", "memory",
                  "functional", "iostream", "sstream", "fstream", "thread", "mutex", "filesystem", "regex"}

CODE = {".h", ".hpp", ".c", ".cc", ".cpp", ".inc", ".inl"}
INCLUDE = re.compile(r'^\s*#\s*(?:include|import)\b\s*(?:<([^>]+)>|"([^"]+)"|(\w.*))?', re.MULTILINE)


def code_files(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in CODE) if folder.is_dir() else []


def allowed_in_room(room, target):
    """Whether src/<room> may include "target", a path below src/."""
    return any(target.startswith(f"{allowed}/") or target == allowed for allowed in [room, *ROOMS[room]])


def angle_offence(name, place):
    for pattern, folders in FOREIGN:
        if re.fullmatch(pattern, name):
            if any(place.startswith(folder) for folder in folders):
                return None
            return f"<{name}> may appear only in {', '.join(folders)}" if folders else f"<{name}> has no place yet"
    if not STANDARD.fullmatch(name):
        return f"<{name}> is not in the table of foreign headers"
    if place.startswith("src/kernels/") and name in NOT_IN_KERNELS:
        return f"<{name}>: kernels know no containers and no threads"
    return None


def quote_offence(name, path, root):
    place = path.relative_to(root).as_posix()
    top, _, rest = place.partition("/")
    if ".." in pathlib.PurePosixPath(name).parts:
        return f'"{name}": a path upwards hides which room it is'
    if top == "src":
        if not (root / "src" / name).is_file():
            return f'"{name}" is not a file below src/; write the room, as "core/status.h"'
        room = rest.split("/")[0]
        return None if allowed_in_room(room, name) else f'{room} may not include "{name}"'
    if top in ("capi", "bench"):
        below_src = (root / "src" / name).is_file()
        own = (root / top / name).is_file() or (path.parent / name).is_file()
        return None if below_src or own else f'"{name}" is neither below src/ nor in {top}/'
    # include, examples, tests/install: only what stands beside it, never the inside of the library.
    if (path.parent / name).is_file():
        return None
    if top == "examples" and re.fullmatch(r"tiny-model/\w+\.h|tiny_model\.h", name):
        return None
    return f'"{name}": {top} may include only <quoin/...> and files of its own folder'


def offences(root):
    src = root / "src"
    for folder in sorted(path for path in src.iterdir() if path.is_dir()):
        if folder.name not in ROOMS:
            yield f"src/{folder.name}", 1, "a room that the table in tests/structure/include_direction.py does not know"
    for path in sorted(path for path in src.iterdir() if path.is_file() and path.suffix in CODE):
        yield path.relative_to(root), 1, "belongs in a room"
    for room in ROOMS:
        if not code_files(src / room):
            yield f"src/{room}", 1, "the table names this room, but it holds no code"

    folders = [src / room for room in ROOMS]
    folders += [root / name for name in ("capi", "include", "examples", "bench", "tests/install")]
    for path in (path for folder in folders for path in code_files(folder)):
        place = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(0) + len(match.group(0)) - len(match.group(0).lstrip())) + 1
            angle, quote, macro = match.groups()
            if angle:
                offence = f"<{angle}> is public: write it only outside src/" if place.startswith("src/") and \
                    angle.split("/")[0] in ROOMS else angle_offence(angle, place)
            elif quote:
                offence = quote_offence(quote, path, root)
            elif macro and macro.split()[0].startswith("QUOIN_"):
                offence = None  # a list of a room's own, chosen by a macro of the build
            else:
                offence = f"an include that cannot be read: {match.group(0).strip()}"
            if offence:
                yield place, line, offence


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    found = list(offences(root))
    for place, line, offence in found:
        print(f"{place}:{line}: {offence}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
