#!/usr/bin/env python3
"""Prints the speed of a language model as fractions of what the machine can do, and marks what falls short.

    bench/formats_table.py --source F16.gguf [--quoin build/release/bin/quoin] [--types q4_0,q8_0,...]
                           [--tables formats,avx2,long,situations] [--isa NAME]
                           [--peer NAME=LLAMA_BENCH ...] [--avx2-peer NAME=LLAMA_BENCH ...] [--threads 2]
                           [--rounds 3] [--json FILE]

Four tables, each file quantised from the source (f16, bf16 or f32 weights) into a temporary one and deleted:

formats     Prompt and generation in every format, measured in alternation with the peers (programs that take the
            arguments of llama.cpp's llama-bench).
avx2        The same with the instruction set capped, beside peers that were built for AVX2.
long        q4_0 with a prompt of 4,096 tokens and generation after it, for each kind of cache.
situations  q4_0 in quoin_situations: loading, steps of a few rows, 16 sequences, two models, idleness.

All figures are medians over the rounds. The fraction is what `quoin bench` reports: for the prompt, multiply-adds of
the matrices per second over the peak of the arithmetic in use; for generation, bytes of weights and cache over the
bandwidth of memory; both limits are measured in the same process as the speed. Of a long prompt the fraction is also
given with attention counted: the time that the matrices take at the peak of int8 and attention at that of f32, over
the time taken. A figure that misses its goal is marked with < or >.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile

# type of `quoin quantize`: goal for the prompt, goal for generation (of the limits)
GOALS = {
    "q4_0": (0.70, 0.93),
    "q8_0": (0.70, 0.93),
    "iq4_nl": (0.70, 0.93),
    "q4_k_s": (0.60, 0.90),
    "q5_k_s": (0.60, 0.90),
    "q6_k": (0.60, 0.90),
    "q4_1": (0.60, 0.90),
    "q5_0": (0.60, 0.90),
    "q5_1": (0.60, 0.90),
    "q2_k_s": (0.45, 0.85),
    "q3_k_s": (0.45, 0.85),
    "iq4_xs": (0.45, 0.85),
    "mxfp4": (0.45, 0.85),
    "bf16": (0.65, 0.93),
    "f16": (0.75, 0.93),
    "f32": (0.75, 0.93),
}

# Of the limits, with the instruction set capped at AVX2: 0.60 of what vpmaddubsw can do.
GOALS_AVX2 = (0.60, 0.0)
# After 4,096 tokens.
GOALS_LONG = (0.55, 0.85)
CACHES = ("f16", "bf16", "q8_0", "q4_0")


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def measure_quoin(arguments, model, *options, prompt=None):
    command = [arguments.quoin, "bench", "--model", model, "--json", "--quiet", "--repeat", "1"]
    command += ["--prompt-tokens", str(prompt or arguments.prompt), "--generate-tokens", str(arguments.generate)]
    if arguments.isa:
        command += ["--isa", arguments.isa]
    report = json.loads(run(command + ["--threads", str(arguments.threads), *arguments.quoin_option, *options]))
    return {
        "prompt": report["prefill"]["tokens_per_s"],
        "prompt_fraction": report["prefill"]["fraction_of_limit"],
        "prompt_with_attention": report["prefill"]["fraction_with_attention"],
        "generation": report["decode"]["tokens_per_s"],
        "generation_fraction": report["decode"]["fraction_of_limit"],
        "load": report["load_s"],
        "limits": report["limits"],
        "cpu": report["cpu"],
        "isa": report["isa"],
    }


def measure_peer(arguments, program, model):
    command = [*program.split(), "-m", model, "-t", str(arguments.threads), "-r", "1", "-o", "json"]
    tests = json.loads(run(command + ["-p", str(arguments.prompt), "-n", str(arguments.generate)]))
    speed = {("prompt" if test["n_prompt"] else "generation"): test["avg_ts"] for test in tests}
    commit = tests[0].get("build_commit", "unknown")
    return {**speed, "version": commit}


def medians(samples):
    keys = [key for key in samples[0] if isinstance(samples[0][key], float)]
    return {key: statistics.median(sample[key] for sample in samples) for key in keys}


class Table:
    """Prints a table row by row and counts what misses its goal."""

    missed = 0

    def __init__(self, title, columns):
        print(f"\n{title}\n\n| " + " | ".join(columns) + " |")
        print("|---" * len(columns) + "|")

    def row(self, *cells):
        print("| " + " | ".join(cells) + " |", flush=True)

    @staticmethod
    def judge(value, goal, digits=2, at_most=False):
        short = value > goal if at_most else value < goal
        Table.missed += short
        return f"{value:.{digits}f}" + (f" {'>' if at_most else '<'} {goal:.{digits}f}" if short else "")


def quantised(arguments, folder, kind):
    model = os.path.join(folder, f"{kind}.gguf")
    run([arguments.quoin, "quantize", "--model", arguments.source, "--type", kind, "--output", model, "--quiet"])
    return model


def print_formats(arguments, title, options, goals_of, peers, samples_of):
    columns = ["format", "prompt t/s", "of limit", "generation t/s", "of limit"]
    for name in peers:
        columns += [f"{name} prompt", "ratio", f"{name} generation", "ratio"]
    table = Table(title, columns)
    for kind in arguments.types.split(","):
        goals = goals_of.get(kind, (0.0, 0.0))
        samples = []
        peer_samples = {name: [] for name in peers}
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            model = quantised(arguments, folder, kind)
            for _ in range(arguments.rounds):
                samples.append(measure_quoin(arguments, model, *options))
                for name, program in peers.items():
                    try:
                        peer_samples[name].append(measure_peer(arguments, program, model))
                    except (RuntimeError, json.JSONDecodeError) as problem:
                        print(f"{name}, {kind}: {str(problem).splitlines()[-1]}", file=sys.stderr)
        ours = medians(samples)
        samples_of[kind] = {"quoin": samples, "peers": peer_samples}
        cells = [kind]
        for phase, goal, digits in (("prompt", goals[0], 0), ("generation", goals[1], 1)):
            cells += [f"{ours[phase]:.{digits}f}", table.judge(ours[f"{phase}_fraction"], goal)]
        for name in peers:
            if not peer_samples[name]:
                cells += ["-"] * 4
                continue
            theirs = medians(peer_samples[name])
            for phase, digits in (("prompt", 0), ("generation", 1)):
                cells += [f"{theirs[phase]:.{digits}f}", f"{ours[phase] / theirs[phase]:.2f}"]
        table.row(*cells)
    for name in peers:
        versions = {s["version"] for kind in samples_of.values() for s in kind["peers"][name]}
        print(f"\n{name}: {', '.join(sorted(versions))}")


def print_long(arguments, model, everything):
    table = Table("q4_0, prompt of 4,096 tokens and generation after it",
                  ["cache", "prompt t/s", "of limit", "with attention", "generation t/s", "of limit"])
    samples = {cache: [] for cache in CACHES}
    for _ in range(arguments.rounds):
        for cache in CACHES:
            samples[cache].append(measure_quoin(arguments, model, "--kv-type", cache, prompt=4096))
    everything["long"] = samples
    for cache in CACHES:
        ours = medians(samples[cache])
        table.row(cache, f"{ours['prompt']:.0f}", table.judge(ours["prompt_fraction"], GOALS_LONG[0]),
                  f"{ours['prompt_with_attention']:.2f}", f"{ours['generation']:.1f}",
                  table.judge(ours["generation_fraction"], GOALS_LONG[1]))


def print_situations(arguments, model, everything):
    program = arguments.situations or os.path.join(os.path.dirname(arguments.quoin), "quoin_situations")
    command = [program, model, str(arguments.threads)] + ([arguments.isa] if arguments.isa else [])
    rounds = [json.loads(run(command)) for _ in range(arguments.rounds)]
    everything["situations"] = rounds

    def middle(*path):
        def value(report):
            for key in path:
                report = report[key]
            return report

        return statistics.median(value(report) for report in rounds)

    table = Table("q4_0 in other situations", ["what", "measured", "of limit"])
    for index, step in enumerate(rounds[0]["rows"]):
        table.row(f"a step of {step['rows']} rows, over the larger limit",
                  f"{1e3 * middle('rows', index, 'step_s'):.1f} ms",
                  table.judge(middle("rows", index, "of_limit"), 1.25, at_most=True))
    table.row("16 sequences at once, of the int8 peak", f"{middle('sixteen', 'tokens_per_s'):.0f} t/s",
              table.judge(middle("sixteen", "of_peak"), 0.60))
    table.row("two models at once, over one after the other", "",
              table.judge(middle("two_models", "of_one_after_the_other"), 0.95))
    table.row("processor time in 2 s of idleness", "",
              table.judge(1e3 * middle("idle", "processor_s"), 1.0, 1, at_most=True) + " ms")
    load = middle("load_s", "load")
    for name, how, goal in (
        ("read_1_thread", "reading the file into 1 MB, one thread", 1.5),
        ("read_2_threads", "the same, two threads", None),
        ("read_whole_1_thread", "reading the file into memory for all of it, one thread", 1.5),
        ("read_whole_2_threads", "the same, two threads", None),
        ("touch_1_thread", "touching the pages of a mapping, one thread", None),
        ("touch_2_threads", "the same, two threads", None),
    ):
        ratio = load / middle("load_s", name)
        table.row(f"loading, over {how}", f"{load:.3f} s",
                  f"{ratio:.2f}" if goal is None else table.judge(ratio, goal, at_most=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="GGUF file with f16, bf16 or f32 weights")
    parser.add_argument("--quoin", default="build/release/bin/quoin")
    parser.add_argument("--situations", help="quoin_situations; default: beside quoin")
    parser.add_argument("--isa", help="use at most this instruction set; the table avx2 uses its own")
    parser.add_argument("--quoin-option", action="append", default=[],
                        help="passed on to quoin bench, e.g. --kv-type=q8_0; not with the table situations")
    parser.add_argument("--tables", default="formats,avx2,long,situations")
    parser.add_argument("--types", default=",".join(GOALS))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--avx2-peer", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--folder", help="for the temporary files")
    parser.add_argument("--json", help="also write all samples to this file")
    arguments = parser.parse_args()
    tables = arguments.tables.split(",")
    if arguments.quoin_option and "situations" in tables:
        parser.error("quoin_situations takes no --quoin-option: leave situations out of --tables, "
                     "and name an instruction set with --isa")

    everything = {"formats": {}, "avx2": {}}
    title = f"Prompt of {arguments.prompt} tokens and generation"
    for name, addition, options, goals, peers in (
        ("formats", "", (), GOALS, arguments.peer),
        ("avx2", ", with AVX2 only", ("--isa", "avx2"), dict.fromkeys(GOALS, GOALS_AVX2), arguments.avx2_peer),
    ):
        if name in tables:
            print_formats(arguments, title + addition, options, goals, dict(peer.split("=", 1) for peer in peers),
                          everything[name])
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        model = quantised(arguments, folder, "q4_0")
        if "long" in tables:
            print_long(arguments, model, everything)
        if "situations" in tables:
            print_situations(arguments, model, everything)
        last = measure_quoin(arguments, model)
    limits = ", ".join(f"{name} {value:.3g}" for name, value in last["limits"].items())
    print(f"\n{datetime.date.today()}, {last['cpu']}, {last['isa']}, {arguments.threads} threads, "
          f"{arguments.rounds} rounds; limits of the last run: {limits}")
    print(f"{Table.missed} figures miss their goal")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)


if __name__ == "__main__":
    main()
