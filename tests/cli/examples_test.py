"""The example programs: that they run, and say what their comments promise. They lie beside the tool."""

import json
import os
import re
import struct
import subprocess
import tempfile
import unittest
import zlib
from pathlib import Path

from tool import SHARED, STORIES, STORIES_F32, TIMEOUT, TOOL, needs_stories

EXAMPLES = Path(TOOL).parent
MODELS = SHARED / "models"
needs_models = unittest.skipUnless((MODELS / "images").exists(), f"{MODELS / 'images'} is not there")


def field(number, payload):
    """A field of a protocol-buffer message: a whole number, or bytes (text, or another message)."""
    def varint(value):
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def write_static_embedding(path, safetensors):
    """The ONNX file of a table of embeddings in the form of model2vec: the mean of the rows of the ids."""
    data = safetensors.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    table = json.loads(data[8:8 + length])["embeddings"]
    assert table["dtype"] == "F32", table
    begin, end = table["data_offsets"]

    def value(name, elements, *dims):
        shape = b"".join(field(1, field(1 if isinstance(dim, int) else 2, dim)) for dim in dims)
        return field(1, name) + field(2, field(1, field(1, elements) + field(2, shape)))

    def node(op, inputs, output, *attributes):
        return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, op) + b"".join(attributes)

    f32, i64 = 1, 7
    axes = field(5, field(1, "axes") + field(20, 7) + field(8, 0))
    weight = (b"".join(field(1, dim) for dim in table["shape"]) + field(2, f32) + field(8, "embeddings") +
              field(9, data[8 + length + begin:8 + length + end]))
    graph = (field(1, node("Gather", ["embeddings", "input_ids"], "rows")) +
             field(1, node("ReduceMean", ["rows"], "sentence", axes)) + field(2, "static embedding") + field(5, weight) +
             field(11, value("input_ids", i64, "tokens")) + field(11, value("offsets", i64, "sentences")) +
             field(12, value("sentence", f32, 1, table["shape"][1])))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))


class Examples(unittest.TestCase):
    def run_example(self, name, *arguments):
        result = subprocess.run([EXAMPLES / f"example_{name}", *map(os.fspath, arguments)], capture_output=True,
                                timeout=TIMEOUT)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode("utf-8")

    def test_hello(self):
        text = self.run_example("hello")
        self.assertTrue(text.startswith("Once upon a time"), text)
        self.assertGreater(len(text), 60)

    def test_tensors(self):
        text = self.run_example("tensors")
        self.assertIn("input tokens: i32", text)
        self.assertIn("output logits: f32", text)
        self.assertEqual(text.count("most likely"), 4)

    @needs_stories
    def test_tensors_with_a_known_answer(self):
        # The greedy reference continues 1 403 407 261 378 ("Once upon a time") with 432.
        text = self.run_example("tensors", STORIES_F32, "1", "403", "407", "261", "378")
        self.assertRegex(text, r"after token 378 most likely: token 432,")

    def test_many_sequences(self):
        text = self.run_example("many_sequences")
        self.assertEqual(text.count("Once upon a time"), 8)
        steps, shared = map(int, re.search(r"in (\d+) steps, (\d+) of them shared", text).groups())
        self.assertGreater(shared, 0)
        self.assertLess(steps, 8 * 60)

    def test_streaming_is_stopped(self):
        self.assertRegex(self.run_example("streaming"), r"\((stopped|ended) after \d+ tokens\)")

    def run_on_picture(self, name, *arguments):
        """As run_example; skips where the example was built without the decoder of the picture."""
        result = subprocess.run([EXAMPLES / f"example_{name}", *map(os.fspath, arguments)], capture_output=True,
                                timeout=TIMEOUT)
        if b"was built to read" in result.stderr:
            self.skipTest(result.stderr.decode())
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode("utf-8")

    @needs_models
    def test_classify_image(self):
        folder = MODELS / "vision-shufflenet-int8"
        text = self.run_on_picture("classify_image", folder / "shufflenet-v2-12-int8.onnx",
                                   MODELS / "images" / "grace_hopper.jpg", folder / "synset.txt")
        lines = text.splitlines()
        self.assertEqual(len(lines), 5)
        self.assertTrue(any("suit" in line or "military uniform" in line for line in lines), text)

    @needs_models
    def test_classify_image_reads_every_format_alike(self):
        folder = MODELS / "vision-shufflenet-int8"
        width, height = 37, 23
        pixels = [bytes((x * 7 % 256, y * 11 % 256, (x + y) * 5 % 256)) for y in range(height) for x in range(width)]
        with tempfile.TemporaryDirectory() as temporary:
            ppm, bmp, png = (Path(temporary) / name for name in ("a.ppm", "a.bmp", "a.png"))
            ppm.write_bytes(b"P6\n# a comment\n%d %d\n255\n" % (width, height) + b"".join(pixels))
            rows = [b"".join(pixel[::-1] for pixel in pixels[y * width:(y + 1) * width]) for y in range(height)]
            data = b"".join(row + bytes(-len(row) % 4) for row in reversed(rows))
            bmp.write_bytes(struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(data), 0, 0, 54, 40, width, height, 1, 24, 0,
                                        len(data), 2835, 2835, 0, 0) + data)
            raw = b"".join(b"\0" + b"".join(pixels[y * width:(y + 1) * width]) for y in range(height))
            chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)),
                      (b"IEND", b"")]
            png.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
                struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
                for kind, body in chunks))
            model = folder / "shufflenet-v2-12-int8.onnx"
            text = self.run_on_picture("classify_image", model, ppm)
            self.assertEqual(text, self.run_on_picture("classify_image", model, bmp))
            self.assertEqual(text, self.run_on_picture("classify_image", model, png))

    @needs_models
    def test_detect_objects(self):
        # A person and a frisbee (classes 0 and 29), as the reference run of the model found.
        text = self.run_on_picture("detect_objects", MODELS / "vision-yolox-nano" / "yolox_nano.onnx",
                                   MODELS / "images" / "fastestdet_3.jpg")
        found = dict(re.findall(r"class (\d+)  (\d\.\d+)", text)[::-1])
        self.assertAlmostEqual(float(found["0"]), 0.886, delta=0.05)
        self.assertAlmostEqual(float(found["29"]), 0.847, delta=0.05)

    @needs_models
    def test_speech_activity(self):
        # 233 of 343 chunks of 32 ms are speech.
        text = self.run_example("speech_activity", MODELS / "audio-silero-vad" / "silero_vad.onnx",
                                MODELS / "audio-samples" / "jfk.wav")
        stretches = [tuple(map(float, line.split(" - "))) for line in text.splitlines()]
        self.assertAlmostEqual(sum(end - begin for begin, end in stretches), 233 * 0.032, delta=0.1)

    @needs_models
    def test_sentence_similarity(self):
        # model2vec-rs gives "hello world" and many times "hello" the vectors in these files.
        folder = MODELS / "embed-model2vec"
        (both,) = json.loads((folder / "embeddings_short.json").read_text())
        (hello,) = json.loads((folder / "embeddings_long.json").read_text())
        expected = sum(a * b for a, b in zip(both, hello))
        with tempfile.TemporaryDirectory() as temporary:
            model, vocabulary = Path(temporary) / "model.onnx", Path(temporary) / "vocab.txt"
            write_static_embedding(model, folder / "test-model-float32" / "model.safetensors")
            tokenizer = json.loads((folder / "test-model-float32" / "tokenizer.json").read_text(encoding="utf-8"))
            pieces = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
            vocabulary.write_text("\n".join(piece for piece, _ in pieces) + "\n", encoding="utf-8")
            text = self.run_example("sentence_similarity", model, vocabulary, "Hello world", "hello",
                                    "HELLO World")
        lines = text.splitlines()
        self.assertEqual([line.split("  ")[1] for line in lines], ["hello", "HELLO World"])
        self.assertAlmostEqual(float(lines[0].split()[0]), expected, delta=1e-4)
        self.assertAlmostEqual(float(lines[1].split()[0]), 1.0, delta=1e-4)

    def test_a_threshold_that_is_no_number_is_an_error(self):
        for name in ("detect_objects", "speech_activity"):
            for threshold in ("abc", "0.5x", "2", "nan"):
                result = subprocess.run([EXAMPLES / f"example_{name}", "/nonexistent", "/nonexistent", threshold],
                                        capture_output=True, timeout=TIMEOUT)
                self.assertEqual(result.returncode, 2, name)
                self.assertIn(f"the threshold '{threshold}'".encode(), result.stderr)

    def test_a_missing_file_is_an_error(self):
        for name in ("hello", "tensors", "many_sequences", "streaming"):
            result = subprocess.run([EXAMPLES / f"example_{name}", "/nonexistent/story.gguf"], capture_output=True,
                                    timeout=TIMEOUT)
            self.assertEqual(result.returncode, 1, name)
            self.assertIn(b"story.gguf", result.stderr)


if __name__ == "__main__":
    unittest.main()
