"""An install tree is all that a user needs: examples/ configures, builds and runs against it, and the tool runs from it."""

import json
import os
import re
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
    """What the libraries define is what include/fovea declares, and the typeinfo of standard types that came with it."""
    libraries = {library.name: library for library in prefix.glob("lib/**/libfovea*.so")}
    backend = libraries.pop("libfovea_cuda.so", None)  # there where it was built
    if backend:
        assert run("nm", "-D", "--defined-only", backend).split()[1:] == ["T", "fovea_backend_entry"]
    assert sorted(libraries) == ["libfovea.so", "libfovea_runtime.so"]
    for library in libraries.values():
        exported = [line.split(maxsplit=2)[1:] for line in run("nm", "-DC", "--defined-only", library).splitlines()]
        inner = [name for _, name in exported if re.search(r"fovea::core|onnx::|dnnl::|toml::|google::|fmt::", name)]
        strong = [name for kind, name in exported
                  if kind not in "VWu" and not name.startswith("fovea::") and name != "fovea_version"]
        assert not inner + strong, f"{library}: " + "\n".join((inner + strong)[:20])
        assert any(name.startswith("fovea::") for _, name in exported), library


def overlap(a, b):
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


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

    # It finds what is on the picture, with the engine that the test above left.
    model = SOURCE / "models/small_ssd"
    picture = model / "pictures/000001.jpg"
    lines = run(build / "detect", model / "small_ssd.onnx", model / "card.toml", build / "small_ssd.fov", picture).splitlines()
    assert lines[0] == str(picture)
    found = {}
    for line in lines[1:]:
        name, score, *box = line.rsplit(maxsplit=5)
        if float(score) > 0.5:
            found.setdefault(name.strip(), []).append([float(number) for number in box])
    labels = json.loads((model / "labels.json").read_text())
    names = {category["id"]: category["name"] for category in labels["categories"]}
    wanted = [a for a in labels["annotations"] if a["image_id"] == 1]
    assert wanted
    for a in wanted:
        x, y, width, height = a["bbox"]
        boxes = found.get(names[a["category_id"]], [])
        assert any(overlap(box, (x, y, x + width, y + height)) > 0.5 for box in boxes), f"{a} is not among {lines}"
