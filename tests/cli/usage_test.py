"""Help, exit codes and messages: what a user meets before any model runs."""

import unittest

from tool import ToolTest

MODEL_COMMANDS = ("generate", "tokenize", "logits", "run", "compare", "info", "bench")
COMMANDS = (*MODEL_COMMANDS, "quantize")
COMMON = ("--model", "--threads", "--context", "--isa", "--provider", "--arithmetic", "--kv-type", "--seed", "--quiet",
          "--help")


class Usage(ToolTest):
    def test_help_lists_the_commands(self):
        for flag in ("--help", "-h", "help"):
            text = self.succeed(flag).decode()
            for command in COMMANDS:
                self.assertIn(command, text)

    def test_every_command_has_help_with_the_common_options(self):
        for command in COMMANDS:
            text = self.succeed(command, "--help").decode()
            self.assertTrue(text.startswith(f"Usage: quoin {command}"), text)
            for option in COMMON if command in MODEL_COMMANDS else ("--model", "--threads", "--quiet", "--help"):
                self.assertIn(option, text)
            self.assertTrue(all(len(line) <= 120 for line in text.splitlines()), text)

    def test_version(self):
        self.assertRegex(self.succeed("--version").decode(), r"\Aquoin \d+\.\d+\.\d+\n.+\n\Z")

    def test_usage_errors_exit_with_2(self):
        self.fail_with(2, says="command")
        self.fail_with(2, "sing", says="'sing'")
        for command in COMMANDS:
            self.fail_with(2, command, "--loud", says="'--loud'")
            self.fail_with(2, command, "--model", says="--model")
            self.fail_with(2, command, "--threads", says="--threads")
            self.fail_with(2, command, "--model", "--quiet", says="--model")
            self.fail_with(2, command, "story.gguf", says="'story.gguf'")
            self.fail_with(2, command, "--quiet=1", says="--quiet")
            for number in ("two", "", "1.5", "1x", "-1", " 1", "0x10", "99999999999999999999"):
                self.fail_with(2, command, "--threads", number, says="--threads")

    def test_bad_numbers(self):
        for value in ("hot", "-0.1", "nan", "inf", "0.5x", "", "0,5"):
            self.fail_with(2, "generate", "--temperature", value, says="--temperature")
        self.fail_with(2, "generate", "--top-p", "1.5", says="--top-p")
        self.fail_with(2, "generate", "--tokens", "-3", says="--tokens")
        self.fail_with(2, "bench", "--prompt-tokens", "0", says="--prompt-tokens")

    def test_names_that_do_not_exist(self):
        self.fail_with(2, "generate", "--isa", "mmx", says="mmx")
        self.fail_with(2, "generate", "--kv-type", "q99", says="q99")
        self.fail_with(2, "generate", "--provider", "abacus", says="abacus")

    def test_required_options(self):
        self.fail_with(2, "logits", "--output", "x.npy", says="--ids")
        self.fail_with(2, "logits", "--ids", "1,2", says="--output")
        self.fail_with(2, "quantize", "--type", "q4_0", "--output", "x.gguf", says="--model")
        self.fail_with(2, "quantize", "--model", "x.gguf", "--output", "y.gguf", says="--type")
        self.fail_with(2, "quantize", "--model", "x.gguf", "--type", "q4_0", says="--output")
        for ids in ("", "1,,2", "1,a", "1,", "-1", "99999999999"):
            self.fail_with(2, "logits", "--ids", ids, "--output", "x.npy", says="--ids")

    def test_a_file_that_is_no_model_exits_with_1(self):
        for command in (("generate",), ("tokenize", "--text", "a"), ("run",), ("info",), ("bench",),
                        ("logits", "--ids", "1", "--output", "never-made.npy"),
                        ("quantize", "--type", "q4_0", "--output", "never-made.gguf")):
            self.fail_with(1, *command, "--model", "/nonexistent/story.gguf", says="story.gguf")
            self.fail_with(1, *command, "--model", __file__, says="usage_test.py")


if __name__ == "__main__":
    unittest.main()
