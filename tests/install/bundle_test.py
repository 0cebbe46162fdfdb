"""scripts/bundle.sh: the folder runs from wherever it lies. Here it holds what this build has, with or without CUDA."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(os.environ["FOVEA_SOURCE_DIR"])
BUILD = Path(os.environ["FOVEA_BUILD_DIR"])


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    if not shutil.which("patchelf"):
        pytest.skip("patchelf is not installed: './run bundle' brings it")
    folder = tmp_path_factory.mktemp("bundle")
    script = f'set -euo pipefail; . scripts/bundle.sh; bundled_tests=(device_test); bundle "{BUILD}" "{folder}/made"'
    subprocess.run(["bash", "-c", script], cwd=ROOT, check=True)
    (folder / "made").rename(folder / "moved")
    return folder / "moved"


def run(*command, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"} | environment
    return subprocess.run([str(c) for c in command], cwd="/", env=environment, capture_output=True, text=True, timeout=300)


def test_it_needs_nothing_of_the_build(moved):
    assert moved.with_name("made.tar.gz").stat().st_size > 1_000_000
    for file in [*(moved / "bin").iterdir(), *(moved / "lib").iterdir()]:
        needed = run("ldd", file).stdout
        assert "not found" not in needed and str(BUILD) not in needed, f"{file}\n{needed}"


def test_its_programs_run(moved):
    version = run(moved / "bin/fovea", "--version")
    assert version.returncode == 0 and version.stdout.startswith("fovea "), version
    seen = run(moved / "bin/fovea", "inspect", "/nowhere.fov", "--plan", "--device", "fake:0")
    assert "no backend" not in seen.stderr, seen.stderr
    tests = run(moved / "bin/device_test", "--gtest_filter=Devices.HaveNames", FOVEA_TEST_MODELS="/nowhere")
    assert tests.returncode == 0 and "1 test" in tests.stdout, tests.stdout + tests.stderr


def test_models_go_along(moved, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/model.onnx").write_bytes(b"model")
    (tmp_path / "card.toml").write_text("card")
    subprocess.run(["bash", "-c", f'. scripts/bundle.sh; bundle_models "{tmp_path}/out" "{tmp_path}/own" "{tmp_path}/card.toml"'],
                   cwd=ROOT, check=True)
    for name in ("small_ssd/small_ssd.onnx", "small_ssd/card.toml", "own/model.onnx", "card.toml"):
        assert (tmp_path / "out" / name).is_file(), name
