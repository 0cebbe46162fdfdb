#!/usr/bin/env python3
"""fovea beside ONNX Runtime and OpenVINO: same inputs, float32, interleaved runs, medians, ratio to the faster peer.

    python bench/compare.py MODEL.onnx... [--batch 1 --batch 8] [--threads 2] [--rounds 15]

Every runner is a process of its own, stopped while it is not its turn: thread pools spin for a while after a run, and
would take a core from the next runner. The turns go round robin. fovea's outputs are compared with ONNX Runtime's on
the same input. After each model a table says which of fovea's kernels hold the rest of the time.
"""
import argparse, json, os, signal, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def worker(kind, model, threads, x_file):
    """Writes the outputs to a file, says 'ready', then answers each line with the milliseconds of one run."""
    import numpy as np
    x = np.load(x_file)
    if kind == "onnxruntime":
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        run = lambda: session.run(None, {name: x})
    else:
        import openvino as ov
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
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def peer(kind, model, threads, x_file):
    return Runner(kind, [sys.executable, __file__, "--worker", kind, model, "--threads", str(threads), "--input", x_file])


def where_the_time_goes(a, engine, batch, folder):
    """The kernels of fovea's run, by `fovea bench --profile`: a Markdown table, and the rows."""
    report = os.path.join(folder, "profile.json")
    subprocess.run([a.fovea, "bench", engine, "--batch", str(batch), "--threads", str(a.threads), "--seconds", "1", "--profile",
                    "--json", report], check=True, stdout=subprocess.DEVNULL)
    with open(report) as f:
        rows = json.load(f)["profile"]
    total = sum(r["ms"] for r in rows)
    lines = [f"| `{r['kernel']}` | {r['ms']:.2f} | {100 * r['ms'] / total:.1f} % | {r['calls']} |" for r in rows if r["ms"] >= total / 1000]
    return "\n".join(["| kernel | ms | share | calls |", "|---|---|---|---|", *lines]), rows


def picture_input(folder, shape):
    import cv2
    import numpy as np
    files = sorted(f for f in os.listdir(folder) if f.lower().endswith((".jpg", ".png")))[:shape[0]]
    mean, std = np.float32([.485, .456, .406]), np.float32([.229, .224, .225])
    pictures = [cv2.resize(cv2.imread(os.path.join(folder, f)), (shape[3], shape[2]))[..., ::-1] for f in files]
    return np.ascontiguousarray(((np.stack(pictures).astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2), dtype=np.float32)


def median(values):
    return sorted(values)[len(values) // 2]


def compare(a, model, batch, folder):
    import numpy as np
    import onnx
    x_file = os.path.join(folder, f"x{batch}.npy")
    graph = onnx.load(model, load_external_data=False).graph
    shape = [d.dim_value or batch for d in graph.input[0].type.tensor_type.shape.dim]
    shape[0] = batch if graph.input[0].type.tensor_type.shape.dim[0].dim_param else shape[0]
    np.save(x_file, picture_input(a.pictures, shape) if a.pictures else np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    engine = os.path.join(folder, os.path.basename(model) + ".fov")
    if not os.path.exists(engine):
        shapes = [s for b in a.batch for s in ("--shapes", f"n={b}")]
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
    for r in runners.values():
        r.close()
    reference = np.load(x_file + ".onnxruntime.npz")
    worst = 0.0
    for i, o in enumerate(graph.output):
        want, got = reference[f"arr_{i}"], np.load(os.path.join(out, o.name + ".npy"))
        if want.shape != got.shape:  # a box at the threshold, on one side here and on the other there
            print(f"{model}: output {o.name}: ONNX Runtime gives {want.shape}, fovea {got.shape}", file=sys.stderr)
            worst = float("nan")
            break
        worst = max(worst, float(np.abs(want.astype(np.float64) - got).max()) if want.size else 0.0)
    medians = {k: median(r.times) for k, r in runners.items()}
    best = min(medians["onnxruntime"], medians["openvino"])
    print(f"| {os.path.basename(model)} | {batch} | {medians['onnxruntime']:.1f} | {medians['openvino']:.1f} | {medians['fovea']:.1f} | "
          f"{best / medians['fovea']:.2f} | {worst:.1e} |", flush=True)
    table, profile = where_the_time_goes(a, engine, batch, folder)
    return table, {"model": os.path.basename(model), "batch": batch, **medians, "ratio": best / medians["fovea"],
                   "largest_difference": worst, "profile": profile}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", help="ONNX files with one float32 input of a symbolic batch")
    p.add_argument("--batch", type=int, action="append")
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
    a.batch = a.batch or [1, 8]
    print("| model | batch | ONNX Runtime, ms | OpenVINO, ms | fovea, ms | faster peer / fovea | largest difference |\n|---|---|---|---|---|---|---|")
    rows, tables = [], []
    with tempfile.TemporaryDirectory() as folder:
        for model in a.models:
            for batch in a.batch:
                table, row = compare(a, model, batch, folder)
                rows.append(row)
                tables.append(f"\n{row['model']}, batch {batch}: where fovea's time goes\n\n{table}")
    print("\n".join(tables))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
