"""A disk that is full while fovea writes (to the program a file-size limit is the same): exit code 5, the file named, nothing
half-written and nothing temporary left, and a file of that name that was there before stays as it was."""

import os
import subprocess
import threading

import numpy as np
import pytest
from tool import BINARY, PICTURES, SMALL_SSD, SYSTEM, fails, files_below, fovea, succeeds


def full(folder, limit, target, *command):
    before = files_below(folder)
    fails(SYSTEM, *command, cwd=folder, file_limit=limit, says=[target, "File too large"])
    assert files_below(folder) == before


@pytest.mark.parametrize("limit", [0, 10, 1000, 100_000, 5_000_000])
def test_while_compiling(tmp_path, limit):
    command = ["compile", SMALL_SSD / "small_ssd.onnx", "-o", "model.fov", "--timing", "off"]
    full(tmp_path, limit, "model.fov", *command)
    (tmp_path / "model.fov").write_bytes(b"the old one")
    full(tmp_path, limit, "model.fov", *command)
    assert (tmp_path / "model.fov").read_bytes() == b"the old one"


def test_while_writing_the_timing_cache(two_layer_model, tmp_path):
    command = ["compile", two_layer_model, "-o", "model.fov", "--timing-cache", "times"]
    full(tmp_path, 100, "times", *command)
    succeeds(*command, cwd=tmp_path)
    times = (tmp_path / "times").read_bytes()
    assert len(times) > 100
    # With a cache that knows everything there is nothing to write.
    succeeds(*command, cwd=tmp_path)
    assert (tmp_path / "times").read_bytes() == times


def test_while_writing_boxes(detector, tmp_path):
    before = files_below(tmp_path)
    done = fovea("run", detector, PICTURES / "000001.jpg", "--json", "boxes.json", cwd=tmp_path, file_limit=100)
    assert done.returncode == SYSTEM and "boxes.json: cannot write" in done.stderr, done.stderr
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("picture", ["000001.jpg", "000012.png"])
def test_while_drawing(detector, tmp_path, picture):
    full(tmp_path, 1000, picture, "run", detector, PICTURES / picture, "--draw", "drawn")


@pytest.mark.parametrize("limit", [10, 200])
def test_while_writing_tensors(two_layer_engine, tmp_path, limit):
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 16, 16), np.float32))
    full(tmp_path, limit, "y.npy", "run", two_layer_engine, "--input", "x=x.npy", "--output", "results")


def test_while_writing_figures(two_layer_engine, tmp_path):
    done = fovea("bench", two_layer_engine, "--seconds", "0.05", "--warmup", "0", "--threads", "1", "--json", "figures.json",
                 cwd=tmp_path, file_limit=100)
    assert done.returncode == SYSTEM and "figures.json: cannot write" in done.stderr, done.stderr
    assert not files_below(tmp_path)


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["inspect"], ["inspect", "--graph"], ["run"], ["bench"]])
def test_while_printing_results(two_layer_engine, detector, command):
    verb, *options = command
    arguments = {"inspect": [two_layer_engine], "run": [detector, PICTURES / "000001.jpg"],
                 "bench": [two_layer_engine, "--seconds", 0.01, "--warmup", 0]}.get(verb, [])
    with open("/dev/full", "w") as disk:
        done = subprocess.run([BINARY, verb, *map(str, arguments), *options], stdout=disk, stderr=subprocess.PIPE, text=True,
                              timeout=300, check=False)
    assert (done.returncode, done.stderr) == (SYSTEM, "fovea: system error: standard output: cannot write the results\n")


def test_a_reader_that_leaves_is_no_error(two_layer_engine):
    with subprocess.Popen([BINARY, "inspect", two_layer_engine, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(60) == 0


def test_a_link_stays_a_link(two_layer_model, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/model.fov").write_bytes(b"the old one")
    (tmp_path / "model.fov").symlink_to("real/model.fov")
    succeeds("compile", two_layer_model, "-o", "model.fov", "--timing", "off", cwd=tmp_path)
    assert (tmp_path / "model.fov").is_symlink() and (tmp_path / "real/model.fov").stat().st_size > 1000
    assert files_below(tmp_path) == ["model.fov", "real/model.fov"]


def test_a_pipe_is_written_through(detector, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    succeeds("run", detector, PICTURES / "000001.jpg", "--json", "pipe", cwd=tmp_path)
    assert (tmp_path / "pipe").is_fifo()
    reader.join(10)
    assert read and read[0].lstrip().startswith(b"[") and files_below(tmp_path) == ["pipe"]
