"""quoin run, bench and info on models of tensors: the digits, the LSTM over bytes and others of the shared folder."""

import array
import json
import struct
import tempfile
import unittest
import zipfile
from pathlib import Path

from tool import SHARED, ToolTest, read_floats, read_npy

MODELS = SHARED / "models"
DIGITS = MODELS / "vision-mnist" / "mnist-8.onnx"
LSTM = MODELS / "text-byte-lstm"
SILERO = MODELS / "audio-silero-vad" / "silero_vad.onnx"
needs_models = unittest.skipUnless(DIGITS.exists(), f"{DIGITS} is not there")


def write_npy(path, descr, shape, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}".encode()
    header = header.ljust(-(10 + len(header) + 1) % 64 + len(header)) + b"\n"
    Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


@needs_models
class Run(ToolTest):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def assert_close(self, got, wanted):
        self.assertEqual(len(got), len(wanted))
        for a, b in zip(got, wanted):
            self.assertLessEqual(abs(a - b), 1e-4 + 1e-3 * abs(b))

    def test_a_file_in_and_a_file_out(self):
        references = MODELS / "vision-mnist" / "mnist-8.ref"
        write_npy(self.folder / "in.npy", "<f4", (1, 1, 28, 28),
                  (references / "in_Input3.float32.bin").read_bytes())
        out = self.folder / "new" / "out"
        text = self.succeed("run", "--model", DIGITS, "--input", f"Input3={self.folder / 'in.npy'}", "--output-dir",
                            out).decode()
        self.assertIn("Plus214_Output_0 f32[1, 10]", text)
        shape, values = read_npy(out / "Plus214_Output_0.npy")
        self.assertEqual(shape, (1, 10))
        self.assert_close(values, read_floats(references / "out_Plus214_Output_0.float32.bin"))

    def test_the_arrays_of_somebody_else(self):
        with zipfile.ZipFile(LSTM / "io.npz") as arrays:
            (self.folder / "in.npy").write_bytes(arrays.read("input.npy"))
            (self.folder / "wanted.npy").write_bytes(arrays.read("Add_26.npy"))
        self.succeed("run", "--model", LSTM / "model.onnx", "--input", f"input={self.folder / 'in.npy'}",
                     "--output-dir", self.folder / "out")
        (result,) = (self.folder / "out").iterdir()
        shape, values = read_npy(result)
        wanted_shape, wanted = self.read_any(self.folder / "wanted.npy")
        self.assertEqual(shape, wanted_shape)
        self.assert_close(values, wanted)

    def read_any(self, path):
        data = Path(path).read_bytes()
        (length,) = struct.unpack("<H", data[8:10])
        header = eval(data[10:10 + length], {})
        values = array.array("f")
        values.frombytes(data[10 + length:])
        return header["shape"], values

    def test_dims_and_numbers_in_place_of_files(self):
        text = self.succeed("run", "--model", SILERO, "--input", "input=1x512", "--input", "sr=16000", "--input",
                            "state=2x1x128:0", "--output-dir", self.folder, "--profile",
                            self.folder / "profile.json").decode()
        self.assertIn("output f32[1, 1]", text)
        shape, values = read_npy(self.folder / "stateN.npy")
        self.assertEqual(shape, (2, 1, 128))
        events = json.loads((self.folder / "profile.json").read_text())["traceEvents"]
        self.assertTrue(any(event.get("cat") == "LSTM" for event in events))
        self.assertEqual(sum(event.get("cat") == "run" for event in events), 1)
        for event in events:
            if event["ph"] == "X":
                self.assertGreaterEqual(event["dur"], 0)

    def test_the_same_seed_gives_the_same_numbers(self):
        texts = []
        for seed in ("1", "1", "2"):
            self.succeed("run", "--model", DIGITS, "--seed", seed, "--output-dir", self.folder)
            texts.append((self.folder / "Plus214_Output_0.npy").read_bytes())
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_what_is_wrong_is_named(self):
        self.fail_with(2, "run", "--model", DIGITS, "--input", "Input4=1x1x28x28", says="Input3")
        self.fail_with(2, "run", "--model", DIGITS, "--input", "Input3=1xax28", says="Input3")
        self.fail_with(2, "run", "--model", SILERO, says="input input is")
        self.fail_with(1, "run", "--model", DIGITS, "--input", "Input3=1x1x28x29", says="Input3")
        self.fail_with(1, "run", "--model", DIGITS, "--input", "Input3=/nonexistent/in.npy", says="in.npy")
        (self.folder / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff{")
        self.fail_with(1, "run", "--model", DIGITS, "--input", f"Input3={self.folder / 'bad.npy'}", says="bad.npy")
        write_npy(self.folder / "short.npy", "<f4", (1, 1, 28, 28), b"1234")
        self.fail_with(1, "run", "--model", DIGITS, "--input", f"Input3={self.folder / 'short.npy'}", says="short.npy")
        write_npy(self.folder / "big.npy", ">f4", (1,), b"1234")
        self.fail_with(1, "run", "--model", DIGITS, "--input", f"Input3={self.folder / 'big.npy'}", says=">f4")

    def test_bench(self):
        report = json.loads(self.succeed("bench", "--model", DIGITS, "--input", "Input3=1x1x28x28", "--threads", "2",
                                         "--runs", "20", "--json"))
        self.assertEqual((report["runs"], report["threads"]), (20, 2))
        self.assertGreater(report["minimum_ms"], 0)
        self.assertGreaterEqual(report["median_ms"], report["minimum_ms"])
        self.assertGreater(report["load_s"], 0)
        self.assertGreater(report["peak_rss_bytes"], 0)
        self.assertIn("Input3 f32[1, 1, 28, 28]", report["inputs"])
        self.assertIn("median", self.succeed("bench", "--model", DIGITS, "--runs", "1").decode())
        self.fail_with(2, "bench", "--model", SILERO, "--json", says="input input is")

    def test_compare(self):
        write_npy(self.folder / "in.npy", "<f4", (1, 1, 28, 28),
                  (MODELS / "vision-mnist" / "mnist-8.ref" / "in_Input3.float32.bin").read_bytes())
        given = ("--model", DIGITS, "--input", f"Input3={self.folder / 'in.npy'}")
        report = json.loads(self.succeed("compare", *given, "--provider", "reference", "--json"))["Plus214_Output_0"]
        self.assertEqual((report["elements"], report["same_largest_element"]), (10, 1))
        self.assertLess(report["relative_difference"], 1e-5)
        self.assertGreater(report["largest_value"], report["largest_difference"])
        self.assertIn("cosine 1.0000000", self.succeed("compare", *given, "--provider", "reference").decode())
        self.fail_with(2, "compare", *given, "--arithmetic", "f8", says="f8")
        self.fail_with(1, "compare", *given, "--arithmetic", "bf16", "--isa", "baseline", says="bf16")

    def test_info(self):
        text = self.succeed("info", "--model", DIGITS).decode()
        for part in ("Inputs", "Input3  f32[1, 1, 28, 28]", "Plus214_Output_0", "Graph as loaded",
                     "Graph after optimization", "Memory plan"):
            self.assertIn(part, text)
        self.assertNotIn("\nnone\n", text.split("Memory plan")[1])
        self.assertTrue(self.succeed("info", "--model", SILERO).decode().rstrip().endswith("none"))
        report = json.loads(self.succeed("info", "--model", SILERO, "--json"))
        self.assertEqual([value["name"] for value in report["inputs"]], ["input", "state", "sr"])
        self.assertEqual(report["model"]["kind"], "graph")
        self.assertIsNone(report["plan"])
        report = json.loads(self.succeed("info", "--model", SILERO, "--json", "--input", "input=1x512", "--input",
                                         "state=2x1x128", "--input", "sr=16000"))
        self.assertIn("text", report["plan"])


if __name__ == "__main__":
    unittest.main()
