"""quoin generate."""

import json
import os
import pty
import signal
import subprocess
import time
import unittest

from tool import STORIES, STORIES_F32, TIMEOUT, TOOL, ToolTest, needs_stories, quoin

STORY = ("generate", "--prompt", "Once upon a time", "--tokens", "24")


class Generate(ToolTest):
    def test_the_text_alone(self):
        text = self.succeed(*STORY, "--temperature", "0").decode("utf-8")
        self.assertGreater(len(text), 20)
        self.assertFalse(text.startswith("Once upon a time"), "the prompt is not part of the generated text")

    def test_greedy_text_does_not_depend_on_seed_threads_or_context(self):
        texts = {self.succeed(*STORY, "--temperature", "0", *more)
                 for more in ((), ("--seed", "5"), ("--threads", "1"), ("--context", "256"), ("--quiet",))}
        self.assertEqual(len(texts), 1)

    def test_every_type_of_keys_and_values(self):
        for name in ("f32", "f16", "bf16", "q8_0", "q4_0"):
            texts = {self.succeed(*STORY, "--temperature", "0", "--kv-type", name, "--threads", threads)
                     for threads in ("1", "2")}
            self.assertEqual(len(texts), 1, name)
            self.assertGreater(len(texts.pop()), 20, name)
        self.fail_with(1, *STORY, "--kv-type", "q4_1", says="q8_0 and q4_0")

    def test_same_seed_same_text(self):
        def text(seed):
            return self.succeed(*STORY, "--temperature", "1.5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed",
                                seed)
        self.assertEqual(text("1"), text("1"))
        self.assertGreater(len({text(str(seed)) for seed in range(4)}), 1)

    def test_top_k_1_is_greedy(self):
        self.assertEqual(self.succeed(*STORY, "--temperature", "2", "--top-k", "1"),
                         self.succeed(*STORY, "--temperature", "0"))

    def test_penalties_change_the_text(self):
        greedy = self.succeed("generate", "--tokens", "80", "--ignore-end", "--temperature", "0")
        for penalty in ("--repetition-penalty", "--frequency-penalty", "--presence-penalty"):
            other = self.succeed("generate", "--tokens", "80", "--ignore-end", "--temperature", "0", penalty, "3",
                                 "--penalty-window", "-1")
            self.assertNotEqual(other, greedy, penalty)

    def test_without_a_prompt_the_model_begins(self):
        self.assertGreater(len(self.succeed("generate", "--tokens", "20", "--temperature", "0")), 20)

    def test_tokens_is_a_limit(self):
        one = self.succeed("generate", "--prompt", "Once", "--tokens", "1", "--temperature", "0")
        more = self.succeed("generate", "--prompt", "Once", "--tokens", "8", "--temperature", "0")
        self.assertTrue(more.startswith(one) and len(more) > len(one), (one, more))

    def test_a_long_prompt_gives_the_same_as_its_pieces_would(self):
        """Prompts are computed in pieces; the border must not show."""
        prompt = "The dog ran to the house. " * 90
        wide = self.succeed("generate", "--prompt", prompt, "--tokens", "8", "--temperature", "0", "--context", "4096")
        tight = self.succeed("generate", "--prompt", prompt, "--tokens", "8", "--temperature", "0", "--threads", "1",
                             "--context", "4096")
        self.assertEqual(wide, tight)

    def test_a_prompt_that_does_not_fit(self):
        self.fail_with(1, "generate", "--prompt", "word " * 2000, "--context", "64", says="64")

    def test_stats(self):
        result = quoin(*STORY, "--stats")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), r"\Aprompt: \d+ tokens, .* tokens/s; text: 24 tokens, .* tokens/s; .*\n\Z")

    def test_text_comes_as_it_is_made(self):
        with subprocess.Popen([TOOL, "generate", "--prompt", "Once", "--tokens", "200000", "--ignore-end",
                               "--context", "200100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertNotEqual(process.stdout.read(1), b"")
            self.assertIsNone(process.poll(), "the first character must not wait for the last")
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=TIMEOUT)
            self.assertEqual((process.returncode, errors), (130, b""))
            rest.decode("utf-8")  # whole characters up to the end

    def test_a_closed_pipe_ends_quietly(self):
        with subprocess.Popen([TOOL, "generate", "--tokens", "200000", "--ignore-end", "--context", "200100"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.read(10)
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.wait(TIMEOUT), 0)

    @unittest.skipUnless(os.path.exists("/dev/full"), "/dev/full is a device of Linux")
    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([TOOL, *STORY], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"cannot write", result.stderr)

    def on_terminal(self, *arguments):
        """What appears on a terminal that is both standard output and standard error."""
        master, slave = pty.openpty()
        process = subprocess.Popen([TOOL, *arguments], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
        os.close(slave)
        shown = b""
        try:
            while piece := os.read(master, 4096):
                shown += piece
        except OSError:  # Linux says so when the last writer has gone
            pass
        os.close(master)
        self.assertEqual(process.wait(TIMEOUT), 0)
        return shown

    def test_on_a_terminal(self):
        text = self.succeed(*STORY, "--temperature", "0").replace(b"\n", b"\r\n")
        shown = self.on_terminal(*STORY, "--temperature", "0")
        self.assertIn(text, shown)
        self.assertIn(b"tokens/s", shown)
        quiet = self.on_terminal(*STORY, "--temperature", "0", "--quiet")
        self.assertEqual(quiet.rstrip(b"\r\n"), text.rstrip(b"\r\n"))
        self.assertTrue(quiet.endswith(b"\r\n"))

    @needs_stories
    def test_greedy_text_of_llama_cpp(self):
        compared = 0
        for file, prompts in json.loads((STORIES / "llamacpp_greedy_all.json").read_text()).items():
            model = STORIES / "derived" / file
            if not model.exists() or not ("f32" in file or "f16" in file):
                continue
            for prompt, expected in prompts.items():
                text = self.succeed("generate", "--model", model, "--prompt", prompt, "--tokens",
                                    str(len(expected["gen"])), "--temperature", "0").decode()
                # The reference was decoded by itself, which drops the space that its first token begins with.
                self.assertEqual(text.removeprefix(" "), expected["text"], (file, prompt))
                compared += 1
        self.assertGreaterEqual(compared, 4)


if __name__ == "__main__":
    unittest.main()
