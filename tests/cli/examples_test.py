"""The example programs: that they run, and say what their comments promise. They lie beside the tool."""

import os
import re
import subprocess
import unittest
from pathlib import Path

from tool import STORIES, STORIES_F32, TIMEOUT, TOOL, needs_stories

EXAMPLES = Path(TOOL).parent


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

    def test_a_missing_file_is_an_error(self):
        for name in ("hello", "tensors", "many_sequences", "streaming"):
            result = subprocess.run([EXAMPLES / f"example_{name}", "/nonexistent/story.gguf"], capture_output=True,
                                    timeout=TIMEOUT)
            self.assertEqual(result.returncode, 1, name)
            self.assertIn(b"story.gguf", result.stderr)


if __name__ == "__main__":
    unittest.main()
