"""runner_test.py RUNNER FOLDER: that quoin-onnx-conformance can fail, and that its lists are held to.

FOLDER holds ONNX tests; those of Abs are copied and spoilt. Exit code 77, "skipped", where it is absent.
"""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

if len(sys.argv) < 3:
    sys.exit(f"usage: {sys.argv[0]} RUNNER FOLDER [OPTIONS OF unittest]")
RUNNER, SOURCE = sys.argv.pop(1), Path(sys.argv.pop(1)) / "node"
if not SOURCE.is_dir():
    print(f"skipped: {SOURCE} is not there; it comes with the package libonnx-testdata")
    sys.exit(77)


class Runner(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        shutil.copytree(SOURCE / "test_abs", self.folder / "good")
        shutil.copytree(SOURCE / "test_abs", self.folder / "deep" / "bad")
        self.bad = self.folder / "deep" / "bad"

    def run_tests(self, code, *arguments):
        result = subprocess.run([RUNNER, self.folder, *arguments], capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout

    def spoil_output(self):
        file = self.bad / "test_data_set_0" / "output_0.pb"
        data = bytearray(file.read_bytes())
        data[-1] ^= 0x40  # the exponent of the last float
        file.write_bytes(data)

    def expect(self, text):
        file = self.folder / "expected.txt"
        file.write_text(text)
        return ("--expected", file)

    def test_good_ones_pass(self):
        self.assertEqual(self.run_tests(0), "2 passed, 0 failed\n")
        self.assertIn("passed  deep/bad\n", self.run_tests(0, "--list-passing"))
        self.assertEqual(self.run_tests(0, "--filter", "deep"), "1 passed, 0 failed\n")

    def test_a_wrong_element_fails(self):
        self.spoil_output()
        text = self.run_tests(1)
        self.assertRegex(text, r"FAILED  deep/bad: output 'y': at \[.*\] .* is right, 1 of 60 elements differ\n")
        self.assertTrue(text.endswith("1 passed, 1 failed\n"))

    def test_what_cannot_be_loaded_fails(self):
        (self.bad / "model.onnx").write_bytes(b"\x08\x08 no model")
        self.assertIn("FAILED  deep/bad: ", self.run_tests(1))
        shutil.rmtree(self.bad / "test_data_set_0")
        self.assertIn("FAILED  deep/bad: there is no folder", self.run_tests(1))

    def test_the_list_is_held_to(self):
        self.run_tests(1, *self.expect("deep/bad: it is spoilt\n"))  # it passes
        self.run_tests(0, *self.expect("# a comment\n\n? deep/bad: chance\n"))
        self.run_tests(1, *self.expect("gone: no such test\n"))
        self.spoil_output()
        self.assertIn("(expected: it is spoilt)", self.run_tests(0, *self.expect("deep/bad: it is spoilt\n")))
        self.run_tests(0, *self.expect("? deep/bad: chance\n"))
        self.run_tests(1, *self.expect(""))
        self.run_tests(2, *self.expect("deep/bad\n"))  # without a reason

    def test_usage(self):
        self.run_tests(2, "--loud")
        self.run_tests(2, "--threads", "none")
        self.folder /= "nowhere"
        self.run_tests(2)


if __name__ == "__main__":
    unittest.main()
