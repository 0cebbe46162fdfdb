#!/usr/bin/env python3
"""fovea beside ONNX Runtime and OpenVINO: same inputs, float32, interleaved runs, medians, ratio to the faster peer.

    python bench/compare.py MODEL.onnx... [--batch 1 --batch 8] [--size h=300 --size w=300] [--threads 2] [--rounds 15]

MODEL.onnx has one float32 input. A first dimension that is open takes the batch, others take --size; a model of a fixed
batch runs at that batch alone.

Every runner is a process of its own, stopped while it is not its turn: thread pools spin for a while after a run, and
would take a core from the next runner. The turns go round robin. fovea's outputs are compared with ONNX Runtime's on
the same input. Behind the times stand the peaks of resident memory (the peers' less what a Python process with their
package imported holds), and for each model which of fovea's kernels hold the time.
"""
import argparse, json, os, resource, signal, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def peak_resident():
    """The most memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def worker(kind, model, threads, x_file):
    """Writes the outputs to a file, says 'ready', then answers each line with the milliseconds of one run; at the end
    of its input it says how many bytes its peak lies above that of the bare imports."""
    import numpy as np
    if kind == "onnxruntime":
        import onnxruntime as ort
        start = peak_resident()
        x = np.load(x_file)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        run = lambda: session.run(None, {name: x})
    else:
        import openvino as ov
        start = peak_resident()
        x = np.load(x_file)
        core = ov.Core()
        # float32 as the others: OpenVINO takes bfloat16 by itself where the processor has it.
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32",
                                                    "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        run = lambda: list(request.infer({0: x}).values())
    out = run()
    np.savez(x_file + f".{kind}.npz", *out)
    print("ready", flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        run()
        print(1e3 * (time.perf_counter() - begin), flush=True)
    print(peak_resident() - start, flush=True)


class Runner:
    """A process that says 'ready' and then answers each line with the milliseconds of one run."""

    def __init__(self, name, command):
        self.times = []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{name} did not start: {' '.join(command)}")
        self.process.send_signal(signal.SIGSTOP)

    def turn(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        self.times.append(float(self.process.stdout.readline()))
        self.process.send_signal(signal.SIGSTOP)

    def close(self):
        """Ends the process; what it says at last."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        last = self.process.stdout.read().strip()
        self.process.wait()
        return last


def peer(kind, model, threads, x_file):
    return Runner(kind, [sys.executable, __file__, "--worker", kind, model, "--threads", str(threads), "--input", x_file])


def where_the_time_goes(a, engine, sizes, folder):
    """The kernels of fovea's run, by `fovea bench --profile`: a Markdown table, the rows, and the peak of resident bytes."""
    report = os.path.join(folder, "profile.json")
    command = [a.fovea, "bench", engine, "--threads", str(a.threads), "--seconds", "1", "--profile", "--json", report]
    subprocess.run(command + (["--shapes", sizes] if sizes else []), check=True, stdout=subprocess.DEVNULL)
    with open(report) as f:
        report = json.load(f)
    rows = report["profile"]
    total = sum(r["ms"] for r in rows)
    lines = [f"| `{r['kernel']}` | {r['ms']:.2f} | {100 * r['ms'] / total:.1f} % | {r['calls']} |" for r in rows if r["ms"] >= total / 1000]
    return "\n".join(["| kernel | ms | share | calls |", "|---|---|---|---|", *lines]), rows, report["peak_resident_bytes"]


def picture_input(folder, shape):
    import cv2
    import numpy as np
    if len(shape) == 3:
        return picture_input(folder, [1, *shape])[0]
    files = sorted(f for f in os.listdir(folder) if f.lower().endswith((".jpg", ".png")))[:shape[0]]
    mean, std = np.float32([.485, .456, .406]), np.float32([.229, .224, .225])
    pictures = [cv2.resize(cv2.imread(os.path.join(folder, f)), (shape[3], shape[2]))[..., ::-1] for f in files]
    return np.ascontiguousarray(((np.stack(pictures).astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2), dtype=np.float32)


def median(values):
    return sorted(values)[len(values) // 2]


def input_sizes(graph, batch, sizes):
    """The shape of a graph's one input, and its open sizes as --shapes wants them; no shape where it has another batch."""
    dims = graph.input[0].type.tensor_type.shape.dim
    shape, open_sizes = [], {}
    for i, d in enumerate(dims):
        value = d.dim_value or (batch if i == 0 and len(dims) == 4 else sizes.get(d.dim_param))
        if value is None:
            raise SystemExit(f"input {graph.input[0].name}: size {d.dim_param or i} is open: say --size {d.dim_param or i}=SIZE")
        shape.append(value)
        if not d.dim_value:
            open_sizes[d.dim_param] = value
    pictures = shape[0] if len(shape) == 4 else 1  # one picture without a batch axis, as torchvision's detectors take it
    return (shape if pictures == batch else None), ",".join(f"{k}={v}" for k, v in open_sizes.items())


def compare(a, model, batch, folder):
    """One row: times of the three programs on one model and batch. None where the model is not of that batch."""
    import numpy as np
    import onnx
    x_file = os.path.join(folder, f"x{batch}.npy")
    graph = onnx.load(model, load_external_data=False).graph
    weights = {w.name for w in graph.initializer}
    if len([i for i in graph.input if i.name not in weights]) != 1:
        raise SystemExit(f"{model}: has more than one input; this script feeds one")
    shape, sizes = input_sizes(graph, batch, a.size)
    if shape is None:
        print(f"{model}: its batch is fixed, and not {batch}: left out", file=sys.stderr)
        return None
    np.save(x_file, picture_input(a.pictures, shape) if a.pictures else np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    engine = os.path.join(folder, os.path.basename(model) + ".fov")
    if not os.path.exists(engine):
        profiles = {s for b in a.batch for x, s in [input_sizes(graph, b, a.size)] if x and s}
        shapes = [w for s in sorted(profiles) for w in ("--shapes", s)]
        subprocess.run([a.fovea, "compile", model, "-o", engine, "--threads", str(a.threads), *shapes, "--timing-cache", os.path.join(folder, "timing.txt")], check=True)
    out = os.path.join(folder, "fovea_out")
    runners = {"onnxruntime": peer("onnxruntime", model, a.threads, x_file), "openvino": peer("openvino", model, a.threads, x_file),
               "fovea": Runner("fovea", [a.fovea, "bench", engine, "--threads", str(a.threads), "--turns", "--input",
                                         f"{graph.input[0].name}={x_file}", "--output", out])}
    for _ in range(2):
        for r in runners.values():
            r.turn()
    for r in runners.values():
        r.times.clear()
    for _ in range(a.rounds):
        for r in runners.values():
            r.turn()
    peaks = {k: r.close() for k, r in runners.items()}
    reference = np.load(x_file + ".onnxruntime.npz")
    worst = 0.0
    for i, o in enumerate(graph.output):
        want, got = reference[f"arr_{i}"], np.load(os.path.join(out, o.name + ".npy"))
        if want.shape != got.shape:  # a box at the threshold, on one side here and on the other there
            print(f"{model}: output {o.name}: ONNX Runtime gives {want.shape}, fovea {got.shape}", file=sys.stderr)
            worst = float("nan")
            break
        worst = max(worst, float(np.abs(want.astype(np.float64) - got).max()) if want.size else 0.0)
    table, profile, peaks["fovea"] = where_the_time_goes(a, engine, sizes, folder)
    row = {"model": os.path.basename(model), "batch": batch, **{k: median(r.times) for k, r in runners.items()},
           "largest_difference": worst, "peak_resident_bytes": {k: int(v) for k, v in peaks.items()}, "profile": profile}
    row["ratio"] = min(row["onnxruntime"], row["openvino"]) / row["fovea"]
    mb = {k: v / 1e6 for k, v in row["peak_resident_bytes"].items()}
    print(f"| {row['model']} | {batch} | {row['onnxruntime']:.1f} | {row['openvino']:.1f} | {row['fovea']:.1f} | {row['ratio']:.2f} | {worst:.1e} | "
          f"{mb['onnxruntime']:.0f} | {mb['openvino']:.0f} | {mb['fovea']:.0f} |", flush=True)
    return table, row


def size(text):
    name, equals, value = text.partition("=")
    if not (name and equals and value.isdigit() and int(value) > 0):
        raise argparse.ArgumentTypeError(f"'{text}': must be NAME=SIZE, h=300 for example")
    return name, int(value)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", help="ONNX files with one float32 input; the small SSD of the repository if none is given")
    p.add_argument("--batch", type=int, action="append", help="pictures in a run; may be given several times (1 and 8)")
    p.add_argument("--size", type=size, action="append", default=[], help="NAME=SIZE: an open size other than the batch")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--fovea", default=os.path.join(ROOT, "build", "release", "bin", "fovea"))
    p.add_argument("--json", help="write the figures to a file")
    p.add_argument("--pictures", help="folder of pictures to make the input of (stretched, ImageNet normalisation); without it the input is noise")
    p.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    p.add_argument("--input", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker:
        return worker(*a.worker, a.threads, a.input)
    if not a.models:
        a.models = [os.path.join(ROOT, "models", "small_ssd", "small_ssd.onnx")]
    a.batch, a.size = a.batch or [1, 8], dict(a.size)
    print("| model | batch | ONNX Runtime, ms | OpenVINO, ms | fovea, ms | faster peer / fovea | largest difference | "
          "peak MB: ONNX Runtime | OpenVINO | fovea |\n|---|---|---|---|---|---|---|---|---|---|")
    rows, tables = [], []
    with tempfile.TemporaryDirectory() as folder:
        for model in a.models:
            for batch in a.batch:
                result = compare(a, model, batch, folder)
                if result is None:
                    continue
                table, row = result
                rows.append(row)
                tables.append(f"\n{row['model']}, batch {batch}: where fovea's time goes\n\n{table}")
    print("\n".join(tables))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
