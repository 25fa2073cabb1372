"""quoin logits, info and bench."""

import json
import os
import tempfile
import unittest
from pathlib import Path

from tool import STORIES, STORIES_F32, ToolTest, needs_stories, read_floats, read_npy


class Logits(ToolTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "out.npy"

    def logits(self, ids, *arguments):
        out = self.succeed("logits", "--ids", ids, "--output", self.file, *arguments)
        self.assertEqual(out, b"")
        return read_npy(self.file)

    def test_shape(self):
        vocabulary = json.loads(self.succeed("info", "--json"))["model"]["vocabulary_size"]
        shape, values = self.logits("1,300,301")
        self.assertEqual((shape, len(values)), ((3, vocabulary), 3 * vocabulary))
        self.assertTrue(all(value == value and abs(value) < 1e6 for value in values))
        self.assertGreater(len(set(values)), 100)

    def test_rows_do_not_depend_on_what_follows(self):
        (_, vocabulary), long = self.logits("1,300,301,302")
        _, short = self.logits("1,300")
        self.assertEqual(long[:2 * vocabulary], short)

    def test_more_positions_than_are_computed_at_once(self):
        (rows, vocabulary), values = self.logits(",".join(["1"] + ["300"] * 1299), "--context", "1400")
        self.assertEqual(rows, 1300)
        _, first = self.logits("1,300")
        self.assertEqual(values[:2 * vocabulary], first)

    def test_wrong_id_makes_no_file(self):
        self.fail_with(1, "logits", "--ids", "1,99999999", "--output", self.file, says="99999999")
        self.assertFalse(self.file.exists())

    def test_ids_that_do_not_fit_make_no_file(self):
        self.fail_with(1, "logits", "--ids", ",".join(["1"] * 300), "--context", "16", "--output", self.file)
        self.assertFalse(self.file.exists())

    def test_output_that_cannot_be_written(self):
        self.fail_with(1, "logits", "--ids", "1", "--output", self.file.parent / "none" / "out.npy", says="out.npy")
        if os.path.exists("/dev/full"):
            self.fail_with(1, "logits", "--ids", "1", "--output", "/dev/full", says="/dev/full")

    @needs_stories
    def test_references(self):
        for name, reference in json.loads((STORIES / "ref_greedy.json").read_text()).items():
            ids = ",".join(map(str, reference["all_ids"][:reference["positions"]]))
            expected = read_floats(STORIES / reference["file"])
            # The reference has the f32 weights; rounding those to f16 moves 3 of its 128 positions by 0.0113.
            for kind, tolerance in (("f32", 1e-3), ("f16", 1.2e-2)):
                shape, values = self.logits(ids, "--model", STORIES / "derived" / f"stories260K-{kind}.gguf")
                self.assertEqual(shape, (reference["positions"], reference["vocab"]))
                difference = max(abs(a - b) for a, b in zip(values, expected, strict=True))
                self.assertLessEqual(difference, tolerance, (name, kind))


class Info(ToolTest):
    def test_text_has_all_sections(self):
        text = self.succeed("info").decode()
        sections = ["Model", "Metadata", "Tensors", "Graph as loaded", "Graph after optimization", "Memory plan"]
        places = [f"\n{text}".index(f"\n{section}\n") for section in sections]
        self.assertEqual(places, sorted(places))
        self.assertIn("general.architecture", text)

    def test_json(self):
        info = json.loads(self.succeed("info", "--json"))
        self.assertEqual(list(info), ["model", "inputs", "outputs", "metadata", "tensors", "graph_source", "graph",
                                      "plan"])
        self.assertEqual(info["model"]["architecture"], "llama")
        self.assertEqual(info["metadata"]["general.architecture"], "llama")
        self.assertGreater(len(info["tensors"]), 10)
        for tensor in info["tensors"]:
            for key in ("name", "dtype", "dims", "bytes", "kernel"):
                self.assertIn(key, tensor)
        self.assertTrue(any(tensor["kernel"] for tensor in info["tensors"]))
        self.assertNotEqual(info["graph"], info["graph_source"])

    def test_isa_is_what_was_asked_for(self):
        info = json.loads(self.succeed("info", "--json", "--isa", "baseline"))
        self.assertEqual(info["model"]["isa"], "baseline")

    def test_the_variable_limits_the_isa_and_an_unknown_name_in_it_is_refused(self):
        info = json.loads(self.succeed("info", "--json", environment={"QUOIN_ISA": "baseline"}))
        self.assertEqual(info["model"]["isa"], "baseline")
        self.fail_with(2, "info", environment={"QUOIN_ISA": "mmx"}, says="QUOIN_ISA: there is no instruction set 'mmx'")

    @needs_stories
    def test_a_file_with_known_contents(self):
        info = json.loads(self.succeed("info", "--json", "--model", STORIES_F32))
        self.assertEqual(info["model"]["vocabulary_size"], 512)
        self.assertEqual(info["model"]["layers"], 5)
        self.assertEqual(info["model"]["context_length"], 512)
        self.assertEqual(info["model"]["embedding_length"], 64)

    def test_a_vocabulary_alone(self):
        vocabulary = STORIES.parent / "gguf-vocab" / "ggml-vocab-llama-spm.gguf"
        if not vocabulary.exists():
            self.skipTest(f"{vocabulary} is not there")
        self.assertIn("tokenizer.ggml.model", json.loads(self.succeed("info", "--json", "--model", vocabulary))["metadata"])
        self.assertIn(b"tokenizer.ggml.model", self.succeed("info", "--model", vocabulary))


class Bench(ToolTest):
    CALL = ("bench", "--prompt-tokens", "32", "--generate-tokens", "8", "--threads", "2", "--repeat", "1")

    def test_json(self):
        report = json.loads(self.succeed(*self.CALL, "--json"))
        for key in ("dram_gb_per_s", "int8_tops", "f32_tflops", "bf16_tflops"):
            self.assertGreater(report["limits"][key], 0)
        for phase in ("prefill", "decode"):
            self.assertGreater(report[phase]["tokens_per_s"], 0)
            self.assertGreater(report[phase]["fraction_of_limit"], 0)
        self.assertGreater(report["load_s"], 0)
        self.assertGreater(report["peak_rss_bytes"], report["weight_bytes"])
        self.assertEqual(report["threads"], 2)
        self.assertIsInstance(report["isa"], str)
        # The fraction is what the report itself says it is made of.
        history = report["prompt_tokens"] + report["generate_tokens"] / 2
        read = report["active_weight_bytes"] + history * report["kv_bytes_per_token"]
        self.assertAlmostEqual(report["decode"]["fraction_of_limit"],
                               report["decode"]["tokens_per_s"] * read / (report["limits"]["dram_gb_per_s"] * 1e9),
                               delta=1e-6 * report["decode"]["fraction_of_limit"])

    def test_bytes_of_keys_and_values(self):
        size = {name: json.loads(self.succeed(*self.CALL, "--json", "--kv-type", name))["kv_bytes_per_token"]
                for name in ("f32", "q8_0", "q4_0")}
        self.assertEqual(size["q8_0"] * 128, size["f32"] * 34)
        self.assertEqual(size["q4_0"] * 128, size["f32"] * 18)

    def test_table(self):
        text = self.succeed(*self.CALL).decode()
        for word in ("prefill", "decode", "GB/s", "of the limit"):
            self.assertIn(word, text)

    def test_context_that_is_too_small(self):
        self.fail_with(1, "bench", "--prompt-tokens", "64", "--generate-tokens", "64", "--context", "80")


if __name__ == "__main__":
    unittest.main()
