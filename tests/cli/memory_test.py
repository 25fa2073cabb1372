"""Peak resident size while a model of 600 MB is loaded: what stays, and one tensor more.

The file is made by ../shared/tools/make_gguf.py, which needs numpy; without either the tests are skipped. Linux only:
elsewhere the system does not tell what is resident.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tool import SHARED, TIMEOUT, TOOL

MAKER = SHARED / "tools" / "make_gguf.py"
VOCABULARY = SHARED / "models" / "gguf-vocab" / "ggml-vocab-llama-spm.gguf"
MB = 1 << 20
# The program, the C library and threads, metadata and vocabulary of 32000 tokens, the text of the descriptions. With
# the default model of 2 MB all of it takes about 20 MB.
ALLOWANCE = 24 * MB
# Between peak and what stays: only what the allocator rounds, and the pages of the file that lie across two tensors.
ROUNDING = 6 * MB
# Weights as large as this are used where the file is mapped; nothing of them is resident before they are read.
WORTH_MAPPING = 64 << 10


def python_with_numpy():
    """An interpreter that has numpy; the one that runs the tests need not."""
    found = [shutil.which(name, path=folder) for folder in os.get_exec_path() for name in ("python3", "python")]
    for candidate in [sys.executable, *filter(None, found)]:
        try:
            if subprocess.run([candidate, "-c", "import numpy"], capture_output=True, timeout=60).returncode == 0:
                return candidate
        except (OSError, subprocess.TimeoutExpired):
            pass
    return None


def resident(process):
    """Sizes in bytes from /proc/PID/status."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return {name: int(size) * 1024 for name, size in re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB$", text, re.MULTILINE)}


@unittest.skipUnless(sys.platform == "linux", "only Linux tells the resident size in this way")
@unittest.skipUnless(MAKER.exists() and VOCABULARY.exists(), f"{MAKER} or {VOCABULARY} is not there")
@unittest.skipIf(any(mark in Path(TOOL).read_bytes() for mark in (b"__asan_init", b"__tsan_init")),
                 "a sanitizer takes memory of its own")
class MemoryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        python = python_with_numpy()
        if python is None:
            raise unittest.SkipTest("no python3 here has numpy, which make_gguf.py needs (Debian: python3-numpy)")
        folder = tempfile.TemporaryDirectory(prefix="quoin-memory-")
        cls.addClassCleanup(folder.cleanup)
        if shutil.disk_usage(folder.name).free < 1000 * MB:
            raise unittest.SkipTest(f"less than 1 GB is free in {folder.name}")
        cls.model = Path(folder.name) / "model.gguf"
        subprocess.run([python, MAKER, "tinyllama-1.1b", cls.model, "--type", "q4_0", "--vocab-from", VOCABULARY],
                       check=True, stdout=subprocess.DEVNULL, timeout=600)
        assert 550 * MB < cls.model.stat().st_size < 700 * MB, cls.model.stat().st_size

    def load(self):
        """What the tool tells of the model, and the peak resident size of the process that loaded it."""
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen([TOOL, "info", "--model", self.model, "--json"], stdout=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)  # waited for already
            self.assertEqual(process.returncode, 0)
            output.seek(0)
            return json.load(output), usage.ru_maxrss * 1024

    def test_loading_takes_the_weights_and_one_tensor(self):
        told, peak = self.load()
        tensors = told["tensors"]
        mapped = sum(tensor["bytes"] for tensor in tensors
                     if tensor["layout"] == "plain" and tensor["bytes"] >= WORTH_MAPPING)
        weights = told["model"]["memory_bytes"] - mapped
        largest = max(tensor["bytes"] for tensor in tensors)
        self.assertGreater(weights, 500 * MB)
        self.assertGreater(peak, weights)  # else this measures something else
        print(f"peak {peak / MB:.1f} MB, weights {weights / MB:.1f} MB, largest tensor {largest / MB:.1f} MB")
        self.assertLessEqual(peak, weights + largest + ALLOWANCE)

    def test_what_loading_took_above_is_given_back(self):
        """At the first token of a text: the highest the process ever had, against what it has now."""
        told, _ = self.load()
        largest = max(tensor["bytes"] for tensor in told["tensors"])
        process = subprocess.Popen([TOOL, "generate", "--model", self.model, "--prompt", "Hello", "--tokens", "200",
                                    "--ignore-end", "--context", "256", "--quiet"], stdout=subprocess.PIPE)
        try:
            self.assertTrue(process.stdout.read(1), "no text")
            sizes = resident(process)
        finally:
            process.kill()
            process.communicate(timeout=TIMEOUT)
        print(f"peak {sizes['VmHWM'] / MB:.1f} MB, now {sizes['VmRSS'] / MB:.1f} MB")
        self.assertLessEqual(sizes["VmHWM"], sizes["VmRSS"] + largest + ROUNDING)


if __name__ == "__main__":
    unittest.main()
