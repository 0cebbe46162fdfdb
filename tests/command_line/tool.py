"""What the command-line tests share: the built program run as a user runs it, and small models made on the spot."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SOURCE = Path(os.environ.get("FOVEA_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BINARY = os.environ.get("FOVEA_BINARY", str(SOURCE / "build/release/bin/fovea"))
SMALL_SSD = SOURCE / "models/small_ssd"
PICTURES = SMALL_SSD / "pictures"

BAD_ARGUMENT, BAD_MODEL, UNSUPPORTED, SYSTEM = 2, 3, 4, 5
KINDS = {BAD_ARGUMENT: "invalid argument", BAD_MODEL: "invalid model", UNSUPPORTED: "unsupported", SYSTEM: "system error"}


def evaluate():
    """models/small_ssd/evaluate.py as a module: ONNX Runtime, NumPy and pycocotools, nothing of fovea."""
    if str(SMALL_SSD) not in sys.path:
        sys.path.insert(0, str(SMALL_SSD))
    import evaluate as module

    return module


def fovea(*arguments, cwd=None, file_limit=None):
    """Runs the program; a file_limit in bytes is what a full disk looks like to it."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run([BINARY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300,
                          check=False, preexec_fn=limit if file_limit is not None else None)


def succeeds(*arguments, **options):
    """-> what it printed; nothing that looks like a complaint may stand on stderr"""
    done = fovea(*arguments, **options)
    assert done.returncode == 0, f"fovea {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
    assert "warning" not in done.stderr and "rror" not in done.stderr, done.stderr
    return done.stdout


def fails(code, *arguments, says=(), **options):
    """The run ends with this code, and with one line that begins with the kind of error and holds every text of says."""
    done = fovea(*arguments, **options)
    told = f"fovea {' '.join(map(str, arguments))}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, told
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"fovea: {KINDS[code]}: "), told
    for text in [says] if isinstance(says, str) else says:
        assert text in lines[0], told
    return done


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if not p.is_dir())


def tensor(name, shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def model(nodes, initializers=(), shape=("n", 3, 16, 16), opset=17):
    graph = helper.make_graph(nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def two_layers():
    return model([helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], name="convolution"),
                  helper.make_node("Relu", ["c"], ["y"], name="activation")], [tensor("w", (4, 3, 3, 3))])


def save(proto, path):
    """onnx.save without its checks"""
    Path(path).write_bytes(proto.SerializeToString())
    return path
