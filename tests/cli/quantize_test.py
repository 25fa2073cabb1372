"""quoin quantize."""

import json
import os
import resource
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from tool import STORIES_F32, TIMEOUT, TOOL, ToolTest, needs_stories, quoin


def write_gguf(path, rows, columns=2048):
    """A GGUF file with one f32 matrix."""
    def string(text):
        return struct.pack("<Q", len(text)) + text.encode()
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    header += string("general.architecture") + struct.pack("<I", 8) + string("llama")
    header += string("blk.0.ffn_up.weight") + struct.pack("<IQQIQ", 2, columns, rows, 0, 0)
    header += bytes(-len(header) % 32)
    row = struct.pack(f"<{columns}f", *(((i * 2654435761) % 65536) / 65536 - 0.5 for i in range(columns)))
    with open(path, "wb") as file:
        file.write(header)
        for _ in range(rows):
            file.write(row)


class Quantize(ToolTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="quoin-quantize-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model = self.folder / "in.gguf"
        self.output = self.folder / "out.gguf"

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def quantize(self, *arguments, type="q4_k_m"):
        return self.succeed("quantize", "--model", self.model, "--type", type, "--output", self.output, *arguments)

    def test_reports(self):
        write_gguf(self.model, 64)
        report = json.loads(self.quantize("--json"))
        self.assertEqual(report["source_bytes"], self.model.stat().st_size)
        self.assertEqual(report["output_bytes"], self.output.stat().st_size)
        self.assertEqual((report["tensors"], report["converted"], report["unfit"]), (1, 1, 0))
        self.assertEqual(report["dtypes"], {"q4_k": {"tensors": 1, "bytes": 64 * 2048 // 256 * 144}})
        text = self.quantize(type="Q8_0").decode()
        self.assertIn("q8_0", text)
        self.assertEqual(self.names(), ["in.gguf", "out.gguf"])

    def test_the_same_bytes_for_any_threads(self):
        write_gguf(self.model, 64)
        made = set()
        for threads in ("1", "2", "3"):
            self.quantize("--threads", threads)
            made.add(self.output.read_bytes())
        self.quantize("--isa", "baseline")
        made.add(self.output.read_bytes())
        self.assertEqual(len(made), 1)

    def test_refuses(self):
        write_gguf(self.model, 2)
        arguments = ("quantize", "--model", self.model, "--output", self.output)
        self.fail_with(2, *arguments, "--type", "q4_k_xl", says="q4_k_m")
        self.fail_with(2, "quantize", "--model", self.model, "--type", "q4_0", "--output", self.model, says="is read")
        self.fail_with(1, "quantize", "--model", self.model, "--type", "q4_0", "--output", self.folder / "no" / "x.gguf",
                       says="x.gguf")
        self.quantize(type="q4_0")
        self.fail_with(1, "quantize", "--model", self.output, "--type", "q8_0", "--output", self.folder / "x.gguf",
                       says="q4_0")
        self.assertEqual(self.names(), ["in.gguf", "out.gguf"])

    def stop(self, number):
        """Sends a signal in the middle of the work; gives the exit code and standard error."""
        write_gguf(self.model, 8192)
        self.output.write_bytes(b"before")
        command = [TOOL, "quantize", "--model", self.model, "--type", "q2_k", "--output", self.output, "--threads", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(0.3)
            self.assertIsNone(process.poll(), "the work must not be done yet")
            process.send_signal(number)
            _, errors = process.communicate(timeout=TIMEOUT)
            return process.returncode, errors

    def test_killed_leaves_nothing(self):
        code, _ = self.stop(signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL)
        self.assertEqual(self.output.read_bytes(), b"before")
        # On file systems without nameless files a partial one may be left, but never under the output's name.
        self.assertEqual([name for name in self.names() if ".partial-" not in name], ["in.gguf", "out.gguf"])

    def test_interrupted_leaves_nothing(self):
        self.assertEqual(self.stop(signal.SIGINT), (130, b""))
        self.assertEqual(self.output.read_bytes(), b"before")
        self.assertEqual(self.names(), ["in.gguf", "out.gguf"])

    def test_no_room(self):
        """A limit of the process's files stands for a disk that is full."""
        write_gguf(self.model, 4096)

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        result = subprocess.run([TOOL, "quantize", "--model", self.model, "--type", "q8_0", "--output", self.output],
                                capture_output=True, timeout=TIMEOUT, preexec_fn=limit, restore_signals=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"out.gguf", result.stderr)
        self.assertEqual(self.names(), ["in.gguf"])

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "only Linux tells the resident size in this way")
    @unittest.skipIf(any(mark in Path(TOOL).read_bytes() for mark in (b"__asan_init", b"__tsan_init")),
                     "a sanitizer takes memory of its own")
    def test_memory_does_not_grow_with_the_tensor(self):
        write_gguf(self.model, 32768)  # 256 MB
        pid = os.posix_spawn(TOOL, [TOOL, "quantize", "--model", str(self.model), "--type", "q8_0", "--output",
                                    str(self.output), "--quiet"], os.environ,
                             file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
        _, status, usage = os.wait4(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertLess(usage.ru_maxrss, 64 << 10)  # in KB

    @needs_stories
    def test_a_story_model_still_tells_the_story(self):
        tell = ("--prompt", "Once upon a time", "--tokens", "24", "--temperature", "0")
        wanted = self.succeed("generate", "--model", STORIES_F32, *tell)
        result = quoin("quantize", "--model", STORIES_F32, "--type", "q8_0", "--output", self.output)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.succeed("generate", "--model", self.output, *tell), wanted)


if __name__ == "__main__":
    unittest.main()
