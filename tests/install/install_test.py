"""An install tree is all that a user needs: examples/ configures, builds and runs against it, and the tool runs from it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ["FOVEA_SOURCE_DIR"])
BUILD = Path(os.environ["FOVEA_BUILD_DIR"])


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    if not list((BUILD / "lib").glob("libfovea_runtime.so*")):
        pytest.skip("the shared libraries are not built")
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BUILD, "--prefix", folder)
    return folder


def test_the_tool_runs_from_its_install_tree(prefix):
    assert "fovea" in run(prefix / "bin/fovea", "--version")


def test_only_the_public_api_is_exported(prefix):
    """Symbols of fovea's own that the libraries define are those of include/fovea; the rest is hidden."""
    exported = run("nm", "-DC", "--defined-only", *sorted(prefix.glob("lib/**/libfovea*.so")))
    inner = [line for line in exported.splitlines() if "onnx::" in line or "dnnl::" in line or "toml::" in line]
    assert not inner, "\n".join(inner[:20])


def test_examples_build_and_run_against_it(prefix, tmp_path):
    if not (SOURCE / "examples/CMakeLists.txt").exists():
        pytest.skip("no examples yet")
    # A copy elsewhere: an example must not find the source tree by being in it.
    shutil.copytree(SOURCE / "examples", tmp_path / "examples")
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path / "examples", "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DFOVEA_MODELS={SOURCE / 'models'}")
    run("cmake", "--build", build)
    run("ctest", "--test-dir", build, "--output-on-failure", "--no-tests=error")
