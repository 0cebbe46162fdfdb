#!/usr/bin/env python3
"""fovea beside PyTorch on an NVIDIA GPU: an SSD300's network, its memory, and the suppression of its boxes.

    python bench/compare_gpu.py --engine SSD.fov --detections FOLDER [--batch 1 --batch 8 --batch 64] [--json FILE]

It runs where PyTorch with CUDA, torchvision, NumPy and onnx are. Parts, all of them unless --part names some:

network         SSD300 with a ResNet-50 trunk. PyTorch: the same network with random weights, batch norms folded, float16,
                channels_last, from float32 pictures to float32 boxes and softmax scores, recorded into one CUDA graph; times
                by CUDA events (the GPU's alone) and by the host's clock. fovea: `fovea bench ENGINE.fov --memory device`, by
                the host's clock: whatever the engine holds, with a card also the suppression. The two take turns.
memory          one eager run of PyTorch at the largest batch after cuDNN has chosen, the most that its allocator gave out
                and held; fovea's arena, packed weights and inputs; and of both what the whole process took of the GPU.
postprocessing  boxes.npy [n,N,4] and scores.npy [n,N,C] of FOLDER (softmax, column 0 background; what `fovea run --output
                FOLDER` writes of a network without card): scores above a threshold, the best 256 a class, IoU 0.5, the best
                256 a picture. PyTorch: topk, then torchvision's batched_nms for the whole batch. fovea: an engine of that
                alone, which this script compiles. What each finds is compared with the other's and with NumPy's.

The programs take turns: PyTorch, fovea, PyTorch, fovea. Each turn has its median, and a figure is the median of those.
"""
import argparse, concurrent.futures, ctypes, importlib.util, json, os, subprocess, sys, tempfile, time, traceback
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PARTS = ["network", "memory", "postprocessing"]
UNSUPPORTED = 4  # as fovea's own exit codes

SIDE, CLASSES = 300, 81
MAPS, STEPS, SIZES = (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300), (21, 45, 99, 153, 207, 261, 315)
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
TOP_K, IOU, DETECTIONS = 256, 0.5, 256
MOST_OFFSET = 60_000  # candidates of one nms, whose mask has a bit for each pair


class Failed(Exception):
    """What a part could not do; the others go on."""


def say(text):
    print(f"[{time.perf_counter() - START:5.1f} s] {text}", file=sys.stderr, flush=True)


START = time.perf_counter()


def table(head, rows):
    return "\n".join("| " + " | ".join(str(c) for c in row) + " |" for row in [head, ["---"] * len(head), *rows])


# ---- fovea

def fovea(a, *words):
    """Runs the program; what it printed."""
    command = [a.fovea, *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=a.timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: still running after {a.timeout} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def bench(a, folder, engine, *options, memory="device"):
    """The figures of `fovea bench`, and the most of the GPU's memory that it held meanwhile beyond what was taken before."""
    report, before, peak = os.path.join(folder, "bench.json"), a.memory.used(), 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run = pool.submit(fovea, a, "bench", engine, "--device", a.device, "--memory", memory, "--warmup", a.warmup,
                          "--json", report, *options)
        while before is not None and not run.done():
            peak = max(peak, (a.memory.used() or 0) - before)
            time.sleep(0.05)
        run.result()
    with open(report) as f:
        found = json.load(f)
    if found["replanned"]:
        say(f"{engine} was compiled elsewhere, and is planned anew: {found['replanned']}")
    return {**found, "process_bytes": peak or None}


class GpuMemory:
    """Bytes of a GPU's memory that are taken, by whomever, as NVML counts them; None where it does not."""

    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]

    def __init__(self, index):
        self.handle, self.nvml = ctypes.c_void_p(), None
        visible = [v.strip() for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v.strip()]
        name = visible[index] if index < len(visible) else str(index)
        try:
            nvml = ctypes.CDLL("libnvidia-ml.so.1")
            if nvml.nvmlInit_v2() == 0:
                found = (nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(self.handle)) if name.isdigit() else
                         nvml.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(self.handle)))
                self.nvml = nvml if found == 0 else None
        except (OSError, AttributeError):
            pass

    def used(self):
        info = self.Info()
        if self.nvml is None or self.nvml.nvmlDeviceGetMemoryInfo(self.handle, ctypes.byref(info)):
            return None
        return info.used


# ---- postprocessing without PyTorch

def write_postprocessing(folder, boxes, classes, threshold):
    """model.onnx, which hands boxes and scores through, and card.toml, which suppresses; a card wants a picture: one pixel."""
    import onnx
    from onnx import TensorProto, helper
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
    shapes = {"boxes": (boxes, 4), "scores": (boxes, classes)}
    graph = helper.make_graph([helper.make_node("Identity", [f"all_{k}"], [k]) for k in shapes], "postprocessing",
                              [value("picture", 1, 1, 1), *(value(f"all_{k}", *s) for k, s in shapes.items())],
                              [value(k, *s) for k, s in shapes.items()])
    model, card = os.path.join(folder, "model.onnx"), os.path.join(folder, "card.toml")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    roles = "".join(f'[[inputs]]\nname = "all_{k}"\nrole = "constant"\nvalue = 0.5\n\n' for k in shapes)
    with open(card, "w") as f:
        f.write(f"""[picture]
input = "picture"
resize = "stretch"
size = [1, 1]
color = "gray"

{roles}[outputs]
boxes = "boxes"
scores = "scores"
box_format = "xyxy"
normalized = true
label_offset = -1

[postprocess]
background = 0
score_threshold = {threshold}
iou_threshold = {IOU}
top_k = {TOP_K}
max_detections = {DETECTIONS}
""")
    return model, card


def suppression_engine(a, folder, boxes_file, scores_file, threshold):
    """An engine of the suppression alone, its inputs as `fovea bench` wants them, and what it finds."""
    import numpy as np
    os.makedirs(folder)
    shape = np.load(scores_file, mmap_mode="r").shape
    model, card = write_postprocessing(folder, *shape[1:], threshold)
    engine, picture, out = (os.path.join(folder, name) for name in ("post.fov", "picture.npy", "out"))
    np.save(picture, np.zeros((shape[0], 1, 1, 1), np.float32))
    fovea(a, "compile", model, "-o", engine, "--card", card, "--device", a.device, "--shapes", f"n={shape[0]}")
    inputs = [w for name, file in (("picture", picture), ("all_boxes", boxes_file), ("all_scores", scores_file))
              for w in ("--input", f"{name}={file}")]
    fovea(a, "run", engine, "--device", a.device, *inputs, "--output", out)
    found = [np.load(os.path.join(out, f"{name}.npy")) for name in ("images", "labels", "scores", "boxes")]
    return engine, inputs, rows_by_image(*found, shape[0])


def rows_by_image(images, labels, scores, boxes, count):
    """Rows of float32 label, score and corners, for each picture."""
    import numpy as np
    rows = np.column_stack([labels, scores, boxes]).astype(np.float32).reshape(-1, 6)
    return [rows[images == i] for i in range(count)]


def suppress(boxes, scores, threshold):
    """One picture's rows, greedily, all classes side by side."""
    import numpy as np
    by_class = np.ascontiguousarray(scores[:, 1:].T)
    order = np.argsort(-by_class, axis=1, kind="stable")[:, :TOP_K]
    best = np.take_along_axis(by_class, order, 1)
    alive = best > threshold
    most = int(alive.sum(1).max(initial=0))
    order, best, alive = order[:, :most], best[:, :most], alive[:, :most].copy()
    b = boxes[order]
    area = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    low, high = np.maximum(b[:, :, None, :2], b[:, None, :, :2]), np.minimum(b[:, :, None, 2:], b[:, None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(3)
    with np.errstate(invalid="ignore", divide="ignore"):
        over = inside / (area[:, :, None] + area[:, None] - inside) > np.float32(IOU)
    for i in range(most):
        alive[:, i + 1:] &= ~(alive[:, i, None] & over[:, i, i + 1:])
    c, k = np.nonzero(alive)
    rows = np.column_stack([c + 1, best[c, k], b[c, k]]).astype(np.float32).reshape(-1, 6)
    return rows[np.argsort(-rows[:, 1], kind="stable")[:DETECTIONS]]


def suppress_all(boxes, scores, threshold):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(suppress, boxes, scores, [threshold] * len(boxes)))


def agreement(a, b):
    """Of two lists of rows by picture: pictures with as many rows, and rows that both have, to the bit."""
    both = sum(len({r.tobytes() for r in x} & {r.tobytes() for r in y}) for x, y in zip(a, b))
    return {"rows": [sum(map(len, a)), sum(map(len, b))], "equal_rows": both,
            "pictures_with_equal_counts": sum(len(x) == len(y) for x, y in zip(a, b)), "pictures": len(a)}


# ---- PyTorch

def default_boxes():
    """Centres and sizes in 0..1, in the order map, shape, row, column."""
    import numpy as np
    boxes = []
    for side, step, size, larger, ratios in zip(MAPS, STEPS, SIZES, SIZES[1:], RATIOS):
        s, t = size / SIDE, (size * larger) ** 0.5 / SIDE
        shapes = [(s, s), (t, t)]
        for r in ratios:
            shapes += [(s * r ** 0.5, s / r ** 0.5), (s / r ** 0.5, s * r ** 0.5)]
        centres = (np.arange(side) + 0.5) * step / SIDE
        y, x = np.meshgrid(centres, centres, indexing="ij")
        boxes += [np.stack([x.ravel(), y.ravel(), np.full(side * side, w), np.full(side * side, h)], 1) for w, h in shapes]
    return np.clip(np.concatenate(boxes), 0, 1).astype(np.float32)


def fold_norms(torch, module):
    """A batch norm right behind a convolution becomes part of it."""
    children = list(module.named_children())
    for (name, first), (norm_name, second) in zip(children, children[1:]):
        if isinstance(first, torch.nn.Conv2d) and isinstance(second, torch.nn.BatchNorm2d):
            setattr(module, name, torch.nn.utils.fusion.fuse_conv_bn_eval(first, second))
            setattr(module, norm_name, torch.nn.Identity())
    for _, child in module.named_children():
        fold_norms(torch, child)


def make_ssd(torch, torchvision):
    """A function from float32 pictures [n,3,300,300] to boxes [n,8732,4] and scores [n,8732,81], and its parameters' bytes."""
    nn = torch.nn
    torch.manual_seed(0)
    r = torchvision.models.resnet50(weights=None)
    first = r.layer3[0]
    first.conv1.stride = first.conv2.stride = first.downsample[0].stride = (1, 1)
    trunk = nn.Sequential(r.conv1, r.bn1, r.relu, r.maxpool, r.layer1, r.layer2, r.layer3)
    channels = (1024, 512, 512, 256, 256, 256)
    extras = nn.ModuleList()
    for i, middle in enumerate((256, 256, 128, 128, 128)):
        place = {"padding": 1, "stride": 2} if i < 3 else {}
        extras.append(nn.Sequential(nn.Conv2d(channels[i], middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU(True),
                                    nn.Conv2d(middle, channels[i + 1], 3, bias=False, **place),
                                    nn.BatchNorm2d(channels[i + 1]), nn.ReLU(True)))
    shapes = [2 + 2 * len(r) for r in RATIOS]
    heads = [nn.ModuleList(nn.Conv2d(c, s * numbers, 3, padding=1) for c, s in zip(channels, shapes)) for numbers in (4, CLASSES)]
    model = nn.ModuleList([trunk, extras, *heads]).eval()
    with torch.no_grad():  # random features are larger than trained ones
        for convolution in [c for h in heads for c in h]:
            convolution.weight.mul_(0.02)
    fold_norms(torch, model)
    model = model.half().to("cuda", memory_format=torch.channels_last)
    anchors = torch.from_numpy(default_boxes()).to("cuda")

    def run(pictures):
        maps = [trunk(pictures.to(dtype=torch.float16, memory_format=torch.channels_last))]
        for extra in extras:
            maps.append(extra(maps[-1]))
        n = len(pictures)
        deltas, logits = (torch.cat([head(m).reshape(n, numbers, -1) for head, m in zip(of, maps)], 2).transpose(1, 2)
                          for of, numbers in zip(heads, (4, CLASSES)))
        deltas = deltas.float()
        centre = deltas[..., :2] * 0.1 * anchors[:, 2:] + anchors[:, :2]
        half = torch.exp(deltas[..., 2:] * 0.2) * anchors[:, 2:] / 2
        return torch.cat([centre - half, centre + half], 2), torch.softmax(logits, 2, dtype=torch.float32)

    return run, sum(p.numel() * p.element_size() for p in model.parameters())


def recorded(torch, function, x):
    """A function that replays a CUDA graph of function(x)."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function(x)
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(x)
    graph.replay()
    torch.cuda.synchronize()
    if not all(bool(torch.isfinite(o).all()) for o in outputs):
        say("PyTorch's random weights give values that are not finite; times are not affected")
    return graph.replay


def timed(torch, function, seconds, warmup, least=3):
    """Medians of runs one by one, each waited for, in milliseconds: by the GPU's events, and by the host's clock."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    by_events, by_host, start = [], [], time.perf_counter()
    while (now := time.perf_counter()) < start + warmup + seconds or len(by_host) < least:
        begin.record()
        function()
        end.record()
        end.synchronize()
        took = 1e3 * (time.perf_counter() - now)
        if now >= start + warmup:
            by_host.append(took)
            by_events.append(begin.elapsed_time(end))
    return {"median_ms": median(by_events), "host_ms": median(by_host), "runs": len(by_host)}


def detect(torch, boxes, scores, threshold, nms):
    """As one writes it: the best of each class, those above the threshold, one batched NMS, the best of each picture."""
    n, classes = scores.shape[0], scores.shape[2] - 1
    best, order = scores[..., 1:].topk(min(TOP_K, scores.shape[1]), dim=1)
    image, rank, label = torch.nonzero(best > threshold, as_tuple=True)
    score, box = best[image, rank, label], boxes[image, order[image, rank, label]]
    keep = nms(box, score, image * classes + label, IOU)  # best first
    image, by_image = image[keep].sort(stable=True)
    keep = keep[by_image]
    counts = torch.bincount(image, minlength=n)
    place = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    image, keep = image[place < DETECTIONS], keep[place < DETECTIONS]
    return image, label[keep] + 1, score[keep], box[keep]


def offset_nms(torchvision, box, score, group, iou):
    """What batched_nms does with few boxes: each group moved to where no other is."""
    return torchvision.ops.nms(box + (group.to(box) * (box.max() + 1))[:, None], score, iou)


# ---- the parts

class Turns:
    """The medians of each program's turns. What fails is noted, and has no further turn."""

    def __init__(self, a, what):
        self.a, self.what, self.programs, self.found = a, what, {}, {}

    def add(self, name, make):
        """make() gives the function of a turn, which gives figures."""
        try:
            self.programs[name] = make()
        except Exception as e:  # whatever it is: others have their turns
            self.a.fail(f"{self.what}: {name}", e)

    def take(self):
        for i in range(self.a.rounds):
            if i > 0 and self.a.limit and time.perf_counter() - START > self.a.limit:
                say(f"{self.what}: no further turn after {self.a.limit} s")
                break
            for name, turn in list(self.programs.items()):
                try:
                    self.found.setdefault(name, []).append(turn())
                except Exception as e:
                    self.a.fail(f"{self.what}: {name}", e)
                    del self.programs[name]
                else:
                    say(f"{self.what}, turn {i + 1}: {name} {self.found[name][-1]['median_ms']:.3f} ms")

    def figure(self, name, key):
        """Of a program's turns; None if it had none."""
        return median(turn[key] for turn in self.found[name]) if self.found.get(name) else None

    def figures(self):
        return {f"{name}_{key}": self.figure(name, key) for name, turns in self.found.items() if turns
                for key in ("median_ms", "host_ms") if key in turns[0]}


def measure_network(a, torch, run, pictures, folder, rows):
    """Times at every batch; fovea's own figures stay in the row for the memory."""
    for batch in a.batch:
        row, x = {"batch": batch, "turns": {}}, pictures(batch)
        rows.append(row)
        turns = Turns(a, f"network, batch {batch}")
        turn = lambda function: lambda: timed(torch, function, a.seconds, a.warmup)
        turns.add("pytorch", lambda: turn(recorded(torch, run, x)))
        if a.compile:
            say("torch.compile")
            turns.add("compiled", lambda: turn(recorded(torch, torch.compile(run, mode="max-autotune-no-cudagraphs", dynamic=False), x)))
        if a.engine:
            turns.add("fovea", lambda: lambda: bench(a, folder, a.engine, "--batch", batch, "--seconds", a.seconds))
        turns.take()
        row.update(turns.figures())
        row["turns"] = turns.found
        theirs = [row[k] for k in ("pytorch_median_ms", "compiled_median_ms") if k in row]
        if theirs and "fovea_median_ms" in row:
            row["ratio"] = min(theirs) / row["fovea_median_ms"]


def measure_pytorch_memory(a, torch, run, weights, pictures):
    """Before anything is recorded: recorded graphs keep their memory."""
    batch = max(a.batch)
    x = pictures(batch)
    run(x)  # cuDNN tries its ways, which takes more than they do
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    outputs = run(x)
    torch.cuda.synchronize()
    used = a.memory.used()
    return {"batch": batch, "allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved(),
            "weights": weights, "input": x.numel() * x.element_size(),
            "outputs": sum(o.numel() * o.element_size() for o in outputs),
            "process": used - a.memory_before if used is not None and a.memory_before is not None else None}


def fovea_memory(a, folder, batch, network):
    """Of the figures that the times have left, or of a short run."""
    turns = [turn for row in network if row["batch"] == batch for turn in row["turns"].get("fovea", [])]
    short = ("--batch", batch, "--seconds", 0.2)
    figures = turns[0] if turns else bench(a, folder, a.engine, *short)
    from_host = bench(a, folder, a.engine, *short, memory="pinned")
    found = {"arena": figures["device_bytes"] * figures["contexts"], "weights": figures["packed_weight_bytes"],
             "input": batch * 3 * SIDE * SIDE * 4, "process": figures["process_bytes"]}
    return {**found, "sum": found["arena"] + found["weights"] + found["input"],
            "from_host": from_host["device_bytes"] * from_host["contexts"] + from_host["packed_weight_bytes"],
            "process_from_host": from_host["process_bytes"]}


def measure_postprocessing(a, torch, torchvision, folder, made, boxes, scores, rows):
    """`made`: for each threshold the engine and what it finds, and what NumPy finds, both begun at the start."""
    b, s = torch.from_numpy(boxes).to("cuda"), torch.from_numpy(scores).to("cuda")
    for threshold, (engine, reference) in made.items():
        row = {"threshold": threshold, "pictures": len(boxes), "agreement": {}}
        rows.append(row)
        found = {"NumPy": reference.result()}
        row["candidates"] = int((s[..., 1:].topk(min(TOP_K, s.shape[1]), dim=1)[0] > threshold).sum())
        turns = Turns(a, f"postprocessing above {threshold}")

        def pytorch(name, nms):
            run = lambda: detect(torch, boxes=b, scores=s, threshold=threshold, nms=nms)
            found[name] = rows_by_image(*(t.cpu().numpy() for t in run()), len(boxes))
            return lambda: timed(torch, run, a.seconds / 2, a.warmup / 2)

        def fovea_turn():
            path, inputs, found["fovea"] = engine.result()
            return lambda: bench(a, folder, path, *inputs, "--seconds", a.seconds / 2, "--profile")

        turns.add("batched_nms", lambda: pytorch("batched_nms", torchvision.ops.batched_nms))
        if 0 < row["candidates"] <= MOST_OFFSET:
            turns.add("offset_nms", lambda: pytorch("offset_nms", lambda *args: offset_nms(torchvision, *args)))
        turns.add("fovea", fovea_turn)
        names = list(found)
        row["agreement"] = {f"{x}, {y}": agreement(found[x], found[y]) for i, x in enumerate(names) for y in names[:i]}
        turns.take()
        row.update(turns.figures())
        row["turns"] = turns.found
        if "fovea" in turns.found:
            steps = {r["kernel"]: r["ms"] for r in turns.found["fovea"][-1]["profile"]}
            row["fovea_steps_ms"], row["fovea_suppression_ms"] = steps, sum(v for k, v in steps.items() if k != "transfer")
        theirs = [row[k] for k in ("batched_nms_median_ms", "offset_nms_median_ms") if k in row]
        if theirs and "fovea_median_ms" in row:
            row["ratio"] = min(theirs) / row["fovea_median_ms"]


# ---- what is printed

def mb(value):
    return "" if value is None else f"{value / 1e6:.0f}"


def ms(value):
    return "" if value is None else f"{value:.3f}"


def ratio(row):
    return f"{row['ratio']:.2f}" if "ratio" in row else ""


def network_report(rows, engine_holds):
    compiled = any("compiled_median_ms" in r for r in rows)
    head = ["batch", "PyTorch: the GPU, ms", "and the host", *(["torch.compile, ms"] if compiled else []), "fovea, ms", "PyTorch / fovea"]
    body = [[r["batch"], ms(r.get("pytorch_median_ms")), ms(r.get("pytorch_host_ms")), *([ms(r.get("compiled_median_ms"))] if compiled else []),
             ms(r.get("fovea_median_ms")), ratio(r)] for r in rows]
    return ("Network, milliseconds a run. PyTorch: float16, channels_last, batch norms folded, one CUDA graph; float32 pictures on the "
            "GPU to float32 boxes and softmax scores, without suppression. fovea: by the host's clock, with the launch and a "
            f"copy of the pictures within the GPU; {engine_holds}. The ratio is of PyTorch's time on the GPU.\n\n{table(head, body)}")


def memory_report(found):
    p, f = found["pytorch"], found.get("fovea")
    body = [["PyTorch: allocated at the most", mb(p["allocated"]), f"weights {mb(p['weights'])}, pictures {mb(p['input'])}, outputs {mb(p['outputs'])} of it"],
            ["PyTorch: held by its allocator", mb(p["reserved"]), ""], ["PyTorch: the whole process", mb(p["process"]), "with the CUDA context and libraries"]]
    if f:
        body += [["fovea", mb(f["sum"]), f"arena with outputs {mb(f['arena'])}, packed weights {mb(f['weights'])}, pictures {mb(f['input'])}"],
                 ["fovea: the whole process", mb(f["process"]), "with the CUDA context and libraries"],
                 ["fovea, pictures in the host's memory", mb(f["from_host"]), "no pictures"],
                 ["fovea, pictures in the host's memory: the whole process", mb(f["process_from_host"]), "with the CUDA context and libraries"]]
    text = f"Memory on the GPU at batch {p['batch']}, MB (10^6 bytes). PyTorch: one eager run.\n\n{table(['what', 'MB', 'of which'], body)}"
    if f:
        verdict = lambda r: f"{r:.2f} ({'within' if r <= 0.5 else 'not within'} one half)"
        for where, bytes_, process in (("on the GPU", f["sum"], f["process"]), ("in the host's memory", f["from_host"], f["process_from_host"])):
            text += (f"\n\nfovea / PyTorch, fovea's pictures {where}: {verdict(bytes_ / p['allocated'])} of what was allocated, "
                     f"{verdict(bytes_ / p['reserved'])} of what was held")
            if p["process"] and process:
                text += f", {process / p['process']:.2f} of the whole process"
    return text


def postprocessing_report(rows):
    head = ["score above", "candidates", "batched_nms: the GPU, ms", "and the host", "nms with offsets: the GPU, ms", "fovea, ms", "its suppression alone",
            "faster of PyTorch's / fovea"]
    body = [[r["threshold"], r.get("candidates", ""), ms(r.get("batched_nms_median_ms")), ms(r.get("batched_nms_host_ms")), ms(r.get("offset_nms_median_ms")),
             ms(r.get("fovea_median_ms")), ms(r.get("fovea_suppression_ms")), ratio(r)] for r in rows]
    text = (f"Postprocessing of {rows[0]['pictures']} pictures, milliseconds a batch. PyTorch: topk, mask, NMS, the best of each picture, from boxes and "
            "scores on the GPU to detections there; by CUDA events, with what the GPU waits for the host between kernels. fovea: by the host's clock, with "
            "the launch and a copy of boxes and scores within the GPU; its suppression alone is the sum of its other steps by the GPU's clock.\n\n"
            + table(head, body))
    body = [[r["threshold"], pair, *g["rows"], g["equal_rows"], f"{g['pictures_with_equal_counts']} of {g['pictures']}"]
            for r in rows for pair, g in r["agreement"].items()]
    text += "\n\n" + table(["score above", "who", "detections of the first", "of the second", "equal to the bit", "pictures with as many"], body)
    for r in rows:
        if "fovea_steps_ms" in r:
            text += f"\n\nfovea's steps above {r['threshold']}: " + ", ".join(f"{k} {v:.3f} ms" for k, v in r["fovea_steps_ms"].items())
    return text


def engine_outputs(a):
    """What the engine gives, in words."""
    if not a.engine:
        return "its engine was not given"
    try:
        outputs = json.loads(fovea(a, "inspect", a.engine, "--json"))["outputs"]
        return "its engine gives " + ", ".join(f"{o['name']} {o['shape']}" for o in outputs)
    except (Failed, KeyError, ValueError) as e:
        return f"what its engine gives could not be read: {e}"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--engine", metavar="SSD.fov", help="SSD300 with a ResNet-50 trunk, compiled for this GPU and these batches; PyTorch alone without it")
    p.add_argument("--detections", metavar="FOLDER", help="boxes.npy and scores.npy, for the postprocessing")
    p.add_argument("--part", action="append", choices=PARTS, help="may be given several times; all of them if not given")
    p.add_argument("--batch", type=int, action="append", help="pictures in a run; may be given several times (1, 8 and 64)")
    p.add_argument("--threshold", type=float, action="append", help="scores must be above; may be given several times (0.05 and 0)")
    p.add_argument("--rounds", type=int, default=2, help="turns of each program (2)")
    p.add_argument("--seconds", type=float, default=1, help="of a turn (1); half of that for postprocessing")
    p.add_argument("--warmup", type=float, default=0.3, help="seconds before each turn that do not count (0.3)")
    p.add_argument("--limit", type=float, default=0, help="seconds after which no second turn begins; 0: none")
    p.add_argument("--timeout", type=float, default=120, help="seconds that one call of fovea may take (120)")
    p.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes")
    p.add_argument("--device", default="cuda:0", help="fovea's name of the GPU; PyTorch takes the one of the same number")
    p.add_argument("--fovea", default=os.path.join(ROOT, "build", "release", "bin", "fovea"))
    p.add_argument("--json", metavar="FILE", help="write the figures to a file, after each part")
    a = p.parse_args()
    a.part, a.batch, a.threshold = a.part or PARTS, a.batch or [1, 8, 64], a.threshold or [0.05, 0.0]
    kind, _, number = a.device.partition(":")
    if kind != "cuda" or not number.isdigit():
        p.error(f"--device {a.device}: must be a GPU, cuda:0 for example")
    a.index = int(number)
    if min(a.batch) < 1 or a.rounds < 1 or a.seconds <= 0 or a.warmup < 0:
        p.error("--batch and --rounds must be at least 1, --seconds above 0, --warmup at least 0")
    if not os.access(a.fovea, os.X_OK):
        p.error(f"{a.fovea}: no such program; say where it is with --fovea")
    for file in [a.engine] if a.engine else []:
        if not os.path.isfile(file):
            p.error(f"--engine {file}: no such file")
    if "postprocessing" in a.part and not a.detections:
        if a.part == ["postprocessing"]:
            p.error("--part postprocessing wants --detections FOLDER")
        say("without --detections FOLDER the postprocessing is left out")
        a.part = [part for part in a.part if part != "postprocessing"]
    for name in ("boxes.npy", "scores.npy") if "postprocessing" in a.part else ():
        if not os.path.isfile(os.path.join(a.detections, name)):
            p.error(f"--detections {a.detections}: holds no {name}")
    return a


def load_detections(folder):
    import numpy as np
    boxes, scores = (np.load(os.path.join(folder, name)) for name in ("boxes.npy", "scores.npy"))
    if boxes.dtype != np.float32 or scores.dtype != np.float32 or boxes.ndim != 3 or scores.ndim != 3 or boxes.shape != (*scores.shape[:2], 4):
        raise SystemExit(f"--detections {folder}: expected float32 boxes [n,N,4] and scores [n,N,C], found {boxes.dtype} {list(boxes.shape)} and "
                         f"{scores.dtype} {list(scores.shape)}")
    return boxes, scores


def import_pytorch(index):
    try:
        import torch
        import torchvision
        import torch.nn.utils.fusion
    except (ImportError, OSError, RuntimeError) as e:
        unsupported(f"PyTorch with CUDA and torchvision are needed: {e}")
    if not torch.cuda.is_available() or torch.cuda.device_count() <= index:
        unsupported(f"PyTorch {torch.__version__} sees no GPU {index}")
    torch.cuda.set_device(index)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = True
    return torch, torchvision


def unsupported(why):
    print(f"compare_gpu.py: unsupported: {why}", file=sys.stderr)
    sys.exit(UNSUPPORTED)


def main():
    a = arguments()
    missing = [name for name in ("numpy", "onnx", "torch", "torchvision") if importlib.util.find_spec(name) is None]
    if missing:
        unsupported(f"PyTorch with CUDA, torchvision, NumPy and onnx are needed: no module {', '.join(missing)}")
    a.memory, failures = GpuMemory(a.index), []
    a.memory_before = a.memory.used()
    result, reports = {"network": [], "memory": {}, "postprocessing": [], "failures": failures}, []

    def fail(what, error):
        failures.append(f"{what}: {error if isinstance(error, Failed) else repr(error)}")
        say(f"failed: {failures[-1]}")
        if not isinstance(error, Failed):
            traceback.print_exception(error)

    def attempt(what, part, report):
        """Whatever happens, the other parts are measured, and what there is is written and printed."""
        for step in (part, report):
            try:
                if text := step():
                    reports.append(text)
            except Exception as e:
                fail(what, e)
        if a.json:
            with open(a.json, "w") as f:
                json.dump(result, f, indent=1)

    a.fail = fail
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(4) as pool:
        made, network, memory = {}, result["network"], result["memory"]
        if "postprocessing" in a.part:  # while PyTorch is being imported
            boxes, scores = load_detections(a.detections)
            files = [os.path.join(a.detections, name) for name in ("boxes.npy", "scores.npy")]
            for i, t in enumerate(dict.fromkeys(a.threshold)):
                made[t] = (pool.submit(suppression_engine, a, os.path.join(folder, str(i)), *files, t), pool.submit(suppress_all, boxes, scores, t))
        torch, torchvision = import_pytorch(a.index)
        result["versions"] = {"gpu": torch.cuda.get_device_name(), "pytorch": torch.__version__, "torchvision": torchvision.__version__,
                              "cudnn": torch.backends.cudnn.version()}
        say(str(result["versions"]))
        concurrent.futures.wait([f for pair in made.values() for f in pair])
        say("measuring begins")
        pictures = lambda n: torch.randn(n, 3, SIDE, SIDE, device="cuda")
        if "network" in a.part or "memory" in a.part:
            ssd = []
            attempt("network", lambda: ssd.extend(make_ssd(torch, torchvision)), lambda: None)
            if ssd and "memory" in a.part:
                attempt("memory", lambda: memory.update(pytorch=measure_pytorch_memory(a, torch, *ssd, pictures)), lambda: None)
            if ssd and "network" in a.part:
                attempt("network", lambda: measure_network(a, torch, ssd[0], pictures, folder, network),
                        lambda: network_report(network, engine_outputs(a)) if network else None)
            if "pytorch" in memory:
                attempt("memory", lambda: a.engine and memory.update(fovea=fovea_memory(a, folder, max(a.batch), network)), lambda: memory_report(memory))
        if made:
            rows = result["postprocessing"]
            attempt("postprocessing", lambda: measure_postprocessing(a, torch, torchvision, folder, made, boxes, scores, rows),
                    lambda: postprocessing_report(rows) if rows else None)
    print("\n\n".join([f"{', '.join(f'{k} {v}' for k, v in result['versions'].items())}", *reports, *(f"failed: {f}" for f in failures)]))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
