"""quoin tokenize."""

import json
import subprocess
import unittest

from tool import SHARED, STORIES, STORIES_F32, TIMEOUT, TOOL, ToolTest, needs_stories, quoin

VOCABULARIES = SHARED / "models" / "gguf-vocab"
SEPARATOR = "\n__ggml_vocab_test__\n"


class Tokenize(ToolTest):
    def lines(self, stdin, *arguments):
        return [json.loads(line) for line in self.succeed("tokenize", *arguments, stdin=stdin).splitlines()]

    def test_one_array_per_line(self):
        both = self.lines(b"Once upon a time\nthere was a dog\n")
        self.assertEqual(len(both), 2)
        self.assertEqual(both[0], self.lines(b"Once upon a time")[0])
        self.assertTrue(all(isinstance(id, int) for line in both for id in line))
        self.assertGreater(len(both[1]), 0)

    def test_line_ends(self):
        self.assertEqual(self.lines(b""), [])
        self.assertEqual(len(self.lines(b"\n\n")), 2)
        self.assertEqual(self.lines(b"\n"), [[]])
        # A carriage return belongs to the text; only the line end does not.
        self.assertNotEqual(self.lines(b"dog\r\n"), self.lines(b"dog\n"))

    def test_text_is_one_text_line_ends_and_all(self):
        lines = self.lines(b"ignored\n", "--text", "a dog\na cat")
        self.assertEqual(len(lines), 1)
        self.assertNotEqual(lines[0], self.lines(b"a dog\na cat")[0])
        self.assertEqual(self.lines(b"", "--text", ""), [[]])
        self.assertEqual(self.lines(b"", "--text=--json"), self.lines(b"--json"))

    def test_bytes_that_are_no_text(self):
        lines = self.lines(b"\xff\xfe dog\0cat \xc3\n\x80\n")
        self.assertEqual(len(lines), 2)
        self.assertTrue(all(lines))

    def test_bos(self):
        plain, = self.lines(b"a dog")
        with_bos, = self.lines(b"a dog", "--bos")
        self.assertEqual(with_bos[1:], plain)

    def test_special(self):
        without, = self.lines(b"</s>")
        parsed, = self.lines(b"</s>", "--special")
        self.assertEqual(len(parsed), 1)
        self.assertGreater(len(without), 1)

    def test_answers_line_by_line(self):
        """A program may feed one line, wait for the answer, and feed the next."""
        with subprocess.Popen([TOOL, "tokenize"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for _ in range(3):
                process.stdin.write(b"a dog\n")
                process.stdin.flush()
                self.assertTrue(process.stdout.readline().startswith(b"["))
            process.stdin.close()
            self.assertEqual(process.wait(TIMEOUT), 0)

    @needs_stories
    def test_ids_of_llama_cpp(self):
        cases = json.loads((STORIES / "ref_tokenization.json").read_text("utf-8"))["cases"]
        self.assertGreater(len(cases), 10)
        for case in cases:
            ids, = self.lines(b"", "--model", STORIES_F32, "--text", case["text"])
            self.assertEqual(ids, case["ids_llamacpp_no_bos"], case["text"])

    def test_vocabularies_without_a_model(self):
        for name in ("llama-spm", "phi-3", "gpt-2"):
            model = VOCABULARIES / f"ggml-vocab-{name}.gguf"
            if not model.exists():
                self.skipTest(f"{model} is not there")
            texts = model.with_name(model.name + ".inp").read_bytes().decode().split(SEPARATOR)[:-1]
            expected = model.with_name(model.name + ".out").read_text().splitlines()
            self.assertEqual(len(texts), len(expected))
            for text, line in zip(texts, expected):
                if "\0" in text:
                    continue
                ids, = self.lines(b"", "--model", model, "--text", text)
                self.assertEqual(ids, [int(id) for id in line.split()], (name, text))

    def test_a_closed_pipe_ends_quietly(self):
        command = subprocess.Popen([TOOL, "tokenize"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        command.stdout.close()
        _, errors = command.communicate(b"a dog\n" * 1000, TIMEOUT)
        self.assertEqual((command.returncode, errors), (0, b""))


if __name__ == "__main__":
    unittest.main()
