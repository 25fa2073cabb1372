"""What the tests of the tool share: running it, the references, a reader for .npy. Standard library only.

    python3 generate_test.py BINARY [OPTIONS OF unittest]

QUOIN_SHARED names the folder with reference models; tests that need it are skipped without it.
"""

import array
import ast
import os
import struct
import subprocess
import sys
import unittest
from pathlib import Path

if len(sys.argv) < 2:
    sys.exit(f"usage: {sys.argv[0]} BINARY [OPTIONS OF unittest]")
TOOL = os.path.abspath(sys.argv.pop(1))
SHARED = Path(os.environ.get("QUOIN_SHARED") or Path(__file__).resolve().parents[3] / "shared")
STORIES = SHARED / "models" / "llm-stories260k"
STORIES_F32 = STORIES / "derived" / "stories260K-f32.gguf"
TIMEOUT = 300


def quoin(*arguments, stdin=b"", environment=None):
    """The finished process, with bytes in stdout and stderr."""
    return subprocess.run([TOOL, *map(os.fspath, arguments)], input=stdin, capture_output=True, timeout=TIMEOUT,
                          env={**os.environ, **(environment or {})})


def read_npy(path):
    """Shape and values of a little-endian float32 array."""
    data = Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (length,) = struct.unpack("<H", data[8:10])
    assert (10 + length) % 64 == 0, "the header must be padded to a multiple of 64"
    header = ast.literal_eval(data[10:10 + length].decode("ascii"))
    assert header["descr"] == "<f4" and header["fortran_order"] is False, header
    values = array.array("f")
    values.frombytes(data[10 + length:])
    if sys.byteorder == "big":
        values.byteswap()
    return header["shape"], values


def read_floats(path):
    values = array.array("f")
    values.frombytes(Path(path).read_bytes())
    if sys.byteorder == "big":
        values.byteswap()
    return values


needs_stories = unittest.skipUnless(STORIES_F32.exists(), f"{STORIES_F32} is not there")


class ToolTest(unittest.TestCase):
    def succeed(self, *arguments, stdin=b"", environment=None):
        """Runs, demands exit code 0 and silence on standard error (which is no terminal here); gives stdout."""
        result = quoin(*arguments, stdin=stdin, environment=environment)
        self.assertEqual((result.returncode, result.stderr), (0, b""), arguments)
        return result.stdout

    def fail_with(self, code, *arguments, stdin=b"", environment=None, says=""):
        """Runs, demands the exit code, nothing on standard output and one line on standard error."""
        result = quoin(*arguments, stdin=stdin, environment=environment)
        message = result.stderr.decode("utf-8", "replace")
        self.assertEqual(result.returncode, code, (arguments, message))
        self.assertEqual(result.stdout, b"", arguments)
        self.assertEqual(message.count("\n"), 1, message)
        self.assertTrue(message.startswith("quoin"), message)
        self.assertIn(says, message)
