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


def field(number, value):
    """A field of a protocol-buffer message: a number below 128, text or a message."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def identity_model(path, dtype, dims):
    """y = x, elements of this number of ONNX."""
    def value(name):
        shape = b"".join(field(1, field(1, dim)) for dim in dims)
        return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))
    node = field(1, "x") + field(2, "y") + field(4, "Identity")
    graph = field(1, node) + field(2, "g") + field(11, value("x")) + field(12, value("y"))
    Path(path).write_bytes(field(1, 10) + field(7, graph) + field(8, field(1, "") + field(2, 21)))


def sum_model(path):
    """y = the sum of the tensors of the sequence q."""
    def tensor(name, dims):
        return field(1, name) + field(2, tensor_type(dims))

    def tensor_type(dims):
        return field(1, field(1, 1) + field(2, b"".join(field(1, field(1, dim)) for dim in dims)))
    attributes = b"".join(field(5, field(1, name) + field(3, value) + bytes([20 << 3 & 127 | 128, 1, 2]))
                          for name, value in [("axis", 0), ("new_axis", 1)])
    nodes = [field(1, "q") + field(2, "all") + field(4, "ConcatFromSequence") + attributes,
             field(1, "all") + field(1, "axes") + field(2, "y") + field(4, "ReduceSum")]
    axes = field(1, 1) + field(2, 7) + field(8, "axes") + field(9, bytes(8))
    sequence = field(1, "q") + field(2, field(4, field(1, tensor_type((1, 2)))))
    graph = b"".join(field(1, node) for node in nodes) + field(2, "g") + field(5, axes) + field(11, sequence) + \
        field(12, tensor("y", (1, 1, 2)))
    Path(path).write_bytes(field(1, 8) + bytes([7 << 3 | 2, len(graph) & 127 | 128, len(graph) >> 7]) + graph +
                           field(8, field(1, "") + field(2, 13)))


class Sequences(ToolTest):
    def test_a_sequence_takes_an_input_for_each_element(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            sum_model(folder / "sum.onnx")
            write_npy(folder / "x.npy", "<f4", (1, 2), struct.pack("<ff", 5, 7))
            self.succeed("run", "--model", folder / "sum.onnx", "--input", f"q={folder / 'x.npy'}", "--input",
                         "q=1x2:2", "--input", "q=1x2:4", "--output-dir", folder)
            self.assertEqual(read_npy(folder / "y.npy")[1].tolist(), [11, 13])
            self.fail_with(2, "run", "--model", folder / "sum.onnx", says="for each of its elements")


class SmallElements(ToolTest):
    def test_elements_that_numpy_does_not_know_are_bytes(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            cases = [(17, "<V1", [0x38, 0x7F, 0x80], "|u1"), (19, "<f1", [1, 2, 250], "|u1"),
                     (22, "<V1", [7, 0xF8, 0xFF], "|i1"), (21, "|u1", [15, 0, 9], "|u1"), (26, "|i1", [1, 0xFE, 0], "|i1")]
            for dtype, descr, elements, written in cases:
                with self.subTest(dtype=dtype, descr=descr):
                    identity_model(folder / "model.onnx", dtype, (1, 3))
                    write_npy(folder / "x.npy", descr, (1, 3), bytes(elements))
                    self.succeed("run", "--model", folder / "model.onnx", "--input", f"x={folder / 'x.npy'}",
                                 "--output-dir", folder)
                    result = (folder / "y.npy").read_bytes()
                    self.assertIn(f"'descr': '{written}'".encode(), result)
                    self.assertEqual(result[-3:], bytes(elements))
            identity_model(folder / "model.onnx", 16, (1, 2))
            write_npy(folder / "x.npy", "<V2", (1, 2), struct.pack("<HH", 0x3F80, 0xC000))
            self.succeed("run", "--model", folder / "model.onnx", "--input", f"x={folder / 'x.npy'}", "--output-dir",
                         folder)
            self.assertEqual(read_npy(folder / "y.npy"), ((1, 2), array.array("f", [1, -2])))


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
