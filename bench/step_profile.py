#!/usr/bin/env python3
"""Prints where the time of a decode step goes, of all threads together: matrices, attention, the rest, waiting.

    bench/step_profile.py --model M.gguf [--quoin build/release/bin/quoin] [--threads 2] [--isa NAME] [--traces 9]

Each trace is the last of 50 runs of one token with none before it (`quoin run --profile`), so attention is short.
Waiting is what threads stand at barriers for each other, and what else a step spends between its first and its last
node. The shares printed are those of the trace whose rest and waiting together are the median.
"""

import argparse
import collections
import json
import os
import subprocess
import tempfile

MATRICES = {"Linear", "GatedLinear"}
ATTENTION = {"CachedAttention"}
GOAL = 0.06  # of a step outside of matrices and attention


def trace(arguments, path):
    command = [arguments.quoin, "run", "--model", arguments.model, "--input", "tokens=1:1", "--quiet"]
    command += ["--threads", str(arguments.threads), "--runs", "50", "--profile", path]
    if arguments.isa:
        command += ["--isa", arguments.isa]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(path, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    return [event for event in events if event["ph"] == "X" and event["cat"] != "run"]


def shares(events, threads):
    """Parts of the time that all threads have between the first node's begin and the last one's end."""
    begin = min(event["ts"] for event in events)
    end = max(event["ts"] + event["dur"] for event in events)
    sums = collections.Counter()
    for event in events:
        sums[event["cat"]] += event["dur"]
    whole = threads * (end - begin)
    result = collections.Counter({"step_us": end - begin})
    for kind, time in sums.items():
        part = "matrices" if kind in MATRICES else "attention" if kind in ATTENTION else "rest"
        result[part] += time / whole
        if part == "rest":
            result["rest: " + kind] = time / whole
    result["waiting"] = 1 - result["matrices"] - result["attention"] - result["rest"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--quoin", default="build/release/bin/quoin")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa")
    parser.add_argument("--traces", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        samples = [shares(trace(arguments, path), arguments.threads) for _ in range(arguments.traces)]
    samples.sort(key=lambda sample: sample["rest"] + sample["waiting"])
    middle = samples[len(samples) // 2]
    print(f"a step of {middle['step_us']:.0f} us on {arguments.threads} threads")
    for name, part in sorted(middle.items()):
        if name != "step_us":
            print(f"  {name:<28} {part:7.2%}")
    outside = [sample["rest"] + sample["waiting"] for sample in samples]
    mark = "" if outside[len(outside) // 2] <= GOAL else f" > {GOAL:.0%}"
    print(
        f"outside of matrices and attention {outside[len(outside) // 2]:.1%}{mark}"
        f" ({outside[0]:.1%} to {outside[-1]:.1%} in {len(outside)} traces)"
    )


if __name__ == "__main__":
    main()
