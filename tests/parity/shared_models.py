"""Trained networks and pictures that are too large for the repository: ../shared beside it. Without them the tests skip."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(os.environ.get("FOVEA_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BINARY = os.environ.get("FOVEA_BINARY", str(SOURCE / "build/release/bin/fovea"))
SHARED = SOURCE.parent / "shared"
VAL = SHARED / "data/shapes80/val"
# Of the 500 in VAL: all for ./run test --full, unless FOVEA_PARITY_PICTURES says how many.
PICTURES = int(os.environ.get("FOVEA_PARITY_PICTURES", "500" if os.environ.get("FOVEA_FULL") else "40"))

PIXELS, SCORE = 0.01, 1e-4  # how far from ONNX Runtime's a box and a score may be


def require(path):
    if not path.exists():
        pytest.skip(f"../shared/{path.relative_to(SHARED)} is not there")
    assert Path(BINARY).exists(), f"{BINARY} is not built"


def filled(graph, folder):
    """../shared/models/GRAPH with its weights put back, as a file in the folder"""
    require(SHARED / "models" / graph)
    path = folder / Path(graph).name
    subprocess.run([sys.executable, SHARED / "models/fill.py", SHARED / "models" / graph, path], check=True, timeout=300)
    return path


def fovea(*arguments, cwd):
    done = subprocess.run([BINARY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"fovea {' '.join(map(str, arguments))}\n{done.stderr}"
    assert "warning" not in done.stderr, done.stderr
    return done.stdout


def run_tensors(engine, inputs, names, folder):
    """-> the outputs of those names, by `fovea run --input`"""
    arguments = []
    for name, array in inputs.items():
        np.save(folder / "input.npy", array)
        arguments += ["--input", f"{name}=input.npy"]
    fovea("run", engine, *arguments, "--output", "outputs", cwd=folder)
    return [np.load(folder / f"outputs/{name}.npy") for name in names]


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def labels():
    return json.loads((SHARED / "data/shapes80/val.json").read_text())


def assert_same_rows(found, expected, pixels, where):
    """Rows (label, score, x0, y0, x1, y1): one for one within the tolerances, in whatever order near-equal scores took."""
    assert len(found) == len(expected), f"{where}: {len(found)} detections, ONNX Runtime has {len(expected)}"
    left = np.ones(len(found), bool)
    for row in expected:
        same = (found[:, 0] == row[0]) & (np.abs(found[:, 1] - row[1]) <= SCORE) & left
        same &= (np.abs(found[:, 2:] - row[2:]) <= pixels).all(1)
        assert same.any(), f"{where}: nothing like label {row[0]:.0f}, score {row[1]}, box {row[2:]}"
        left[np.flatnonzero(same)[0]] = False
