#!/usr/bin/env python3
"""quoin beside ONNX Runtime on ONNX models, as a Markdown table.

    python3 bench/onnx_table.py --quoin build/release/bin/quoin [--shared ../shared] [--threads 1,2] [--rounds 3]
                                [--only PART,PART] [--work FOLDER]

Both run in processes of their own, in alternation, on the same inputs and with the same number of threads; the table has
the median of the rounds' medians. Needs the Python packages numpy, onnx (it writes the large models, with random weights)
and onnxruntime. Run it on a machine that does nothing else.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

# ---- The models: name -> (file, or the function that writes it; inputs as name -> dims, or (dims, dtype, value))

F32, I64, I32, U8 = numpy.float32, numpy.int64, numpy.int32, numpy.uint8
CACHE = {f"past_key_values.{layer}.{part}": (1, 4, 64, 16) for layer in range(5) for part in ("key", "value")}
LLAMA = {"input_ids": ((1, 1), I64, 3), "position_ids": ((1, 1), I64, 64), **CACHE}
GTCRN = {"mix": (1, 257, 1, 2), "conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16),
         "inter_cache": (2, 1, 33, 16)}
SILERO = {"input": (1, 512), "state": (2, 1, 128), "sr": ((), I64, 16000)}
BERT_TOKENS = 128


def random_weights(random, *dims):
    """Scaled so that activations keep their size from layer to layer."""
    fan_in = math.prod(dims[1:]) if len(dims) > 2 else dims[0]
    return random.standard_normal(dims, dtype=F32) * F32(math.sqrt(1.0 / max(1, fan_in)))


class Builder:
    """A graph under construction; every call gives the name of its result."""

    def __init__(self):
        import onnx
        self.onnx = onnx
        self.nodes, self.weights, self.random = [], [], numpy.random.default_rng(1)

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x, channels_in, channels_out, size, stride=1, pad=None):
        pad = size // 2 if pad is None else pad
        weight = self.constant(random_weights(self.random, channels_out, channels_in, size, size) * F32(1.4))
        return self.node("Conv", x, weight, kernel_shape=[size, size], strides=[stride, stride], pads=[pad] * 4)

    def norm(self, x, channels):
        draw = self.random.uniform
        values = [draw(0.5, 1.5, channels), draw(-0.1, 0.1, channels), draw(-0.1, 0.1, channels),
                  draw(0.5, 1.5, channels)]
        return self.node("BatchNormalization", x, *(self.constant(value.astype(F32)) for value in values))

    def linear(self, x, columns_in, columns_out):
        weight = self.constant(random_weights(self.random, columns_in, columns_out))
        bias = self.constant(self.random.uniform(-0.1, 0.1, columns_out).astype(F32))
        return self.node("Add", self.node("MatMul", x, weight), bias)

    def save(self, path, inputs, output):
        helper, types = self.onnx.helper, self.onnx.TensorProto
        graph = helper.make_graph(
            self.nodes, "random",
            [helper.make_tensor_value_info(name, dtype, dims) for name, dtype, dims in inputs],
            [helper.make_tensor_value_info(output, types.FLOAT, None)], self.weights)
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=8)
        self.onnx.save(model, path)


def write_resnet50(path):
    b = Builder()
    x = b.node("Relu", b.norm(b.conv("x", 3, 64, 7, 2), 64))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            y = b.node("Relu", b.norm(b.conv(x, channels, width, 1), width))
            y = b.node("Relu", b.norm(b.conv(y, width, width, 3, stride), width))
            y = b.norm(b.conv(y, width, 4 * width, 1), 4 * width)
            if block == 0:
                x = b.norm(b.conv(x, channels, 4 * width, 1, stride), 4 * width)
            channels = 4 * width
            x = b.node("Relu", b.node("Add", y, x))
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    weight = b.constant(random_weights(b.random, 2048, 1000))
    x = b.node("Gemm", x, weight, b.constant(numpy.zeros(1000, F32)))
    b.save(path, [("x", b.onnx.TensorProto.FLOAT, [1, 3, 224, 224])], x)


def write_densenet121(path):
    b = Builder()
    x = b.node("Relu", b.norm(b.conv("x", 3, 64, 7, 2), 64))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, layers in enumerate((6, 12, 24, 16)):
        for _ in range(layers):
            y = b.conv(b.node("Relu", b.norm(x, channels)), channels, 128, 1)
            y = b.conv(b.node("Relu", b.norm(y, 128)), 128, 32, 3)
            x = b.node("Concat", x, y, axis=1)
            channels += 32
        if stage < 3:
            x = b.conv(b.node("Relu", b.norm(x, channels)), channels, channels // 2, 1)
            x = b.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            channels //= 2
    x = b.node("Flatten", b.node("GlobalAveragePool", b.node("Relu", b.norm(x, channels))))
    weight = b.constant(random_weights(b.random, channels, 1000))
    x = b.node("Gemm", x, weight, b.constant(numpy.zeros(1000, F32)))
    b.save(path, [("x", b.onnx.TensorProto.FLOAT, [1, 3, 224, 224])], x)


def write_bert_base(path, layers=12, width=768, heads=12, inner=3072, vocabulary=30522):
    b = Builder()
    tokens = BERT_TOKENS
    norm = lambda x: b.node("LayerNormalization", x, b.constant(numpy.ones(width, F32)),
                            b.constant(numpy.zeros(width, F32)), axis=-1, epsilon=1e-12)
    split = b.constant(numpy.array([0, 0, heads, width // heads], I64))
    merge = b.constant(numpy.array([0, 0, width], I64))
    x = b.node("Gather", b.constant(random_weights(b.random, vocabulary, width)), "input_ids")
    x = norm(b.node("Add", x, b.constant(random_weights(b.random, tokens, width))))
    mask = b.node("Cast", b.node("Unsqueeze", "attention_mask", b.constant(numpy.array([1, 2], I64))), to=1)
    mask = b.node("Mul", b.node("Sub", b.constant(numpy.array(1, F32)), mask), b.constant(numpy.array(-1e4, F32)))
    for _ in range(layers):
        parts = [b.node("Transpose", b.node("Reshape", b.linear(x, width, width), split), perm=perm)
                 for perm in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))]
        scores = b.node("Div", b.node("MatMul", parts[0], parts[1]),
                        b.constant(numpy.array(math.sqrt(width // heads), F32)))
        y = b.node("MatMul", b.node("Softmax", b.node("Add", scores, mask), axis=-1), parts[2])
        y = b.node("Reshape", b.node("Transpose", y, perm=(0, 2, 1, 3)), merge)
        x = norm(b.node("Add", b.linear(y, width, width), x))
        y = b.linear(x, width, inner)
        gate = b.node("Erf", b.node("Div", y, b.constant(numpy.array(math.sqrt(2), F32))))
        gate = b.node("Mul", y, b.node("Add", gate, b.constant(numpy.array(1, F32))))
        y = b.linear(b.node("Mul", gate, b.constant(numpy.array(0.5, F32))), inner, width)
        x = norm(b.node("Add", y, x))
    integer = b.onnx.TensorProto.INT64
    b.save(path, [("input_ids", integer, [1, tokens]), ("attention_mask", integer, [1, tokens])], x)


def write_int4_layers(path, layers=15, width=2048, inner=5632, block=32, accuracy_level=0):
    """The three largest matrices of each layer of a 1.1 B llama, in 4 bits: 204 MB of codes."""
    b = Builder()
    x = "x"
    for _ in range(layers):
        for columns_in, columns_out in ((width, width), (width, inner), (inner, width)):
            blocks = columns_in // block
            codes = b.constant(b.random.integers(0, 256, (columns_out, blocks, block // 2), U8))
            scales = b.random.uniform(0.5, 1.5, (columns_out, blocks)) / math.sqrt(21 * columns_in)
            x = b.node("MatMulNBits", x, codes, b.constant(scales.astype(F32)), domain="com.microsoft", K=columns_in,
                       N=columns_out, bits=4, block_size=block, accuracy_level=accuracy_level)
    b.save(path, [("x", b.onnx.TensorProto.FLOAT, ["tokens", width])], x)


def write_int4_layers_int8(path):
    """The same where the model allows both to round activations to 8 bits."""
    write_int4_layers(path, accuracy_level=4)


MODELS = {
    "resnet50 shape": (write_resnet50, {"x": (1, 3, 224, 224)}),
    "densenet121 shape": (write_densenet121, {"x": (1, 3, 224, 224)}),
    "BERT-base shape, 128 tokens": (write_bert_base, {"input_ids": ((1, BERT_TOKENS), I64, 7),
                                                      "attention_mask": ((1, BERT_TOKENS), I64, 1)}),
    "int4 layers, 1 token": (write_int4_layers, {"x": (1, 2048)}),
    "int4 layers, 128 tokens": (write_int4_layers, {"x": (128, 2048)}),
    "int4 layers, accuracy_level 4, 1 token": (write_int4_layers_int8, {"x": (1, 2048)}),
    "int4 layers, accuracy_level 4, 128 tokens": (write_int4_layers_int8, {"x": (128, 2048)}),
    "version-RFB-640": ("vision-ultraface/version-RFB-640.onnx", {"input": (1, 3, 480, 640)}),
    "yolox_nano": ("vision-yolox-nano/yolox_nano.onnx", {"images": (1, 3, 416, 416)}),
    "super_resolution": ("vision-superres/super_resolution.onnx", {"input": (1, 1, 224, 224)}),
    "PP-OCRv3 det 640x640": ("vision-ppocr-det/ch_PP-OCRv3_det_infer.onnx", {"x": (1, 3, 640, 640)}),
    "mobilenet_v2 int8": ("vision-mobilenetv2-int8/mobilenet_v2_int8_A.onnx", {"image": (1, 3, 224, 224)}),
    "shufflenet int8": ("vision-shufflenet-int8/shufflenet-v2-12-int8.onnx", {"input": (1, 3, 224, 224)}),
    "magika": ("cls-magika/model.onnx", {"bytes": ((1, 2048), I32, 65)}),
    "basic-pitch": ("audio-basic-pitch/nmp.onnx", {"serving_default_input_2:0": (1, 43844, 1)}),
    "silero_vad": ("audio-silero-vad/silero_vad.onnx", SILERO),
    "gtcrn": ("audio-gtcrn/gtcrn.onnx", GTCRN),
    "gtcrn_simple": ("audio-gtcrn/gtcrn_simple.onnx", GTCRN),
    "babyllama fp32": ("llm-onnx-babyllama/model_fp32.onnx", LLAMA),
    "babyllama int8": ("llm-onnx-babyllama/model_int8_dynamic.onnx", LLAMA),
    "babyllama q4": ("llm-onnx-babyllama/model_q4_matmulnbits.onnx", LLAMA),
}


def make_inputs(inputs, folder):
    """Writes .npy files; gives name -> file."""
    random = numpy.random.default_rng(2)
    files = {}
    for index, (name, spec) in enumerate(inputs.items()):
        if len(spec) == 3 and isinstance(spec[0], tuple):
            dims, dtype, value = spec
            array = numpy.full(dims, value, dtype)
        else:
            array = random.random(spec, dtype=F32)
        files[name] = str(folder / f"in{index}.npy")
        numpy.save(files[name], array)
    return files


# ---- One measurement of each

def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def run_onnxruntime(model, files, threads, seconds):
    """In a process of its own; prints JSON."""
    import onnxruntime
    before = resident_bytes()  # Python and the libraries are not the model's
    began = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - began
    feeds = {name: numpy.load(file) for name, file in files.items()}
    for _ in range(3):
        session.run(None, feeds)
    times, began = [], time.perf_counter()
    while len(times) < 10 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - start)
    # Not getrusage: its maximum survives exec, so it would be that of the process that wrote the models.
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(json.dumps({"median_ms": statistics.median(times) * 1e3, "minimum_ms": min(times) * 1e3, "load_s": load,
                      "peak_bytes": peak - before}))


def measure_onnxruntime(model, files, threads, seconds):
    arguments = [sys.executable, __file__, "--worker", json.dumps([str(model), files, threads, seconds])]
    return json.loads(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout)


def measure_quoin(quoin, model, files, threads, runs):
    arguments = [quoin, "bench", "--model", str(model), "--threads", str(threads), "--json", "--quiet"]
    if runs:
        arguments += ["--runs", str(runs)]
    for name, file in files.items():
        arguments += ["--input", f"{name}={file}"]
    finished = subprocess.run(arguments, capture_output=True, text=True)
    if finished.returncode != 0:
        return finished.stderr.strip()
    report = json.loads(finished.stdout)
    return {**report, "peak_bytes": report["peak_rss_bytes"]}


def median_of(reports, key):
    return statistics.median(report[key] for report in reports)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quoin", default="build/release/bin/quoin")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--only", default="", help="parts of names, with commas")
    parser.add_argument("--work", type=Path, help="keeps the models that are written")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        run_onnxruntime(*json.loads(options.worker))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for threads in map(int, options.threads.split(",")):
            table(options, threads, work)


def table(options, threads, work):
    print(f"\n{threads} thread{'s' if threads > 1 else ''}\n")
    print("| model | quoin ms | ONNX Runtime ms | times as fast | load s | | peak MB | |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    ratios = []
    for name, (source, inputs) in MODELS.items():
        if not any(part in name for part in options.only.split(",")):
            continue
        if callable(source):
            model = work / (source.__name__.removeprefix("write_") + ".onnx")
            if not model.exists():
                source(model)
        else:
            model = options.shared / "models" / source
            if not model.exists():
                print(f"| {name} | {model} is not there | | | | | | |")
                continue
        with tempfile.TemporaryDirectory() as temporary:
            files = make_inputs(inputs, Path(temporary))
            own, other, runs = [], [], 10
            for _ in range(options.rounds):
                report = measure_quoin(options.quoin, model, files, threads, runs)
                if isinstance(report, str):
                    print(f"| {name} | {report} | | | | | | |", flush=True)
                    break
                if not own:  # the first was short and tells how many runs fill the time
                    runs = max(10, int(options.seconds * 1e3 / report["median_ms"]))
                    report = measure_quoin(options.quoin, model, files, threads, runs)
                own.append(report)
                other.append(measure_onnxruntime(model, files, threads, options.seconds))
            if len(own) < options.rounds:
                continue
        ratio = median_of(other, "median_ms") / median_of(own, "median_ms")
        ratios.append(ratio)
        print(f"| {name} | {median_of(own, 'median_ms'):.3f} | {median_of(other, 'median_ms'):.3f} | {ratio:.2f} "
              f"| {median_of(own, 'load_s'):.3f} | {median_of(other, 'load_s'):.3f} "
              f"| {median_of(own, 'peak_bytes') / 1e6:.0f} | {median_of(other, 'peak_bytes') / 1e6:.0f} |", flush=True)
    if ratios:
        print(f"\ngeometric mean {statistics.geometric_mean(ratios):.2f}, least {min(ratios):.2f}, of {len(ratios)} models")


if __name__ == "__main__":
    main()
