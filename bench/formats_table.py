#!/usr/bin/env python3
"""Prints the speed of a language model in every weight format, as fractions of what the machine can do.

    bench/formats_table.py --source F16.gguf [--quoin build/release/bin/quoin] [--types q4_0,q8_0,...]
                           [--peer NAME=LLAMA_BENCH ...] [--threads 2] [--rounds 3] [--json FILE]

Each format is quantised from the source (f16, bf16 or f32 weights) into a temporary file, measured in alternation with
the peers (programs that take the arguments of llama.cpp's llama-bench) and deleted. All figures are medians over the
rounds. The fraction is what `quoin bench` reports: for the prompt, multiply-adds per second over the peak of the
arithmetic in use; for generation, bytes of weights and cache over the bandwidth of memory; both limits are measured in
the same process as the speed. A fraction below the goal is marked with <.
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


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def measure_quoin(arguments, model):
    command = [arguments.quoin, "bench", "--model", model, "--json", "--quiet", "--repeat", "1"]
    command += ["--prompt-tokens", str(arguments.prompt), "--generate-tokens", str(arguments.generate)]
    report = json.loads(run(command + ["--threads", str(arguments.threads), *arguments.quoin_option]))
    return {
        "prompt": report["prefill"]["tokens_per_s"],
        "prompt_fraction": report["prefill"]["fraction_of_limit"],
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="GGUF file with f16, bf16 or f32 weights")
    parser.add_argument("--quoin", default="build/release/bin/quoin")
    parser.add_argument("--quoin-option", action="append", default=[], help="passed on, e.g. --isa=avx2")
    parser.add_argument("--types", default=",".join(GOALS))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--folder", help="for the temporary files")
    parser.add_argument("--json", help="also write all samples to this file")
    arguments = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in arguments.peer)

    columns = ["prompt t/s", "of limit", "generation t/s", "of limit"]
    for name in peers:
        columns += [f"{name} prompt", "ratio", f"{name} generation", "ratio"]
    print("| format | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")

    everything = {}
    missed = 0
    last = None
    for kind in arguments.types.split(","):
        goal_prompt, goal_generation = GOALS.get(kind, (0.0, 0.0))
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            model = os.path.join(folder, f"{kind}.gguf")
            run([arguments.quoin, "quantize", "--model", arguments.source, "--type", kind, "--output", model, "--quiet"])
            samples = []
            peer_samples = {name: [] for name in peers}
            for _ in range(arguments.rounds):
                samples.append(measure_quoin(arguments, model))
                for name, program in peers.items():
                    try:
                        peer_samples[name].append(measure_peer(arguments, program, model))
                    except (RuntimeError, json.JSONDecodeError) as problem:
                        print(f"{name}, {kind}: {str(problem).splitlines()[-1]}", file=sys.stderr)
        ours = medians(samples)
        last = samples[-1]
        everything[kind] = {"quoin": samples, "peers": peer_samples}
        cells = []
        for phase, goal, digits in (("prompt", goal_prompt, 0), ("generation", goal_generation, 1)):
            fraction = ours[f"{phase}_fraction"]
            short = fraction < goal
            missed += short
            cells += [f"{ours[phase]:.{digits}f}", f"{fraction:.2f}" + (f" < {goal:.2f}" if short else "")]
        for name in peers:
            if not peer_samples[name]:
                cells += ["-"] * 4
                continue
            theirs = medians(peer_samples[name])
            for phase, digits in (("prompt", 0), ("generation", 1)):
                cells += [f"{theirs[phase]:.{digits}f}", f"{ours[phase] / theirs[phase]:.2f}"]
        print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)

    if last:
        limits = ", ".join(f"{name} {value:.3g}" for name, value in last["limits"].items())
        print(f"\n{datetime.date.today()}, {last['cpu']}, {last['isa']}, {arguments.threads} threads, prompt of "
              f"{arguments.prompt} tokens, {arguments.rounds} rounds; limits of the last run: {limits}")
        for name in peers:
            versions = {s["version"] for kind in everything.values() for s in kind["peers"][name]}
            print(f"{name}: {', '.join(sorted(versions))}")
        print(f"{missed} figures below their goal")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)


if __name__ == "__main__":
    main()
