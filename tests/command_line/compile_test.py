"""Compiling as a user does: options, repeatability, what inspect says about the result."""

import json
import re

import pytest
from onnx import helper
from tool import BAD_ARGUMENT, SMALL_SSD, fails, fovea, model, save, succeeds

MODEL, CARD = SMALL_SSD / "small_ssd.onnx", SMALL_SSD / "card.toml"


def compile_small_ssd(folder, *options, card=True):
    """-> what was printed on stdout"""
    return succeeds("compile", MODEL, "-o", "model.fov", "--threads", 2, *(["--card", CARD] if card else []), *options, cwd=folder)


def test_the_same_timing_cache_gives_the_same_engine(tmp_path):
    engines = []
    for _ in range(3):
        assert compile_small_ssd(tmp_path, "--timing-cache", "times") == ""
        engines.append((tmp_path / "model.fov").read_bytes())
        times = (tmp_path / "times").read_bytes()
    assert engines[0] == engines[1] == engines[2]
    assert (tmp_path / "times").read_bytes() == times
    assert times.startswith(b"fovea timing cache 1\n")


def test_a_damaged_timing_cache_is_refused_and_kept(tmp_path):
    (tmp_path / "times").write_bytes(b"these are no times\n")
    done = fovea("compile", MODEL, "-o", "model.fov", "--timing-cache", "times", cwd=tmp_path)
    assert done.returncode == 2 and "times" in done.stderr, done.stderr
    assert (tmp_path / "times").read_bytes() == b"these are no times\n" and not (tmp_path / "model.fov").exists()


def test_estimates_alone_give_the_same_engine_each_time(tmp_path):
    engines = []
    for _ in range(2):
        compile_small_ssd(tmp_path, "--timing", "off", "--shapes", "n=1", "--shapes", "n=8")
        engines.append((tmp_path / "model.fov").read_bytes())
    assert engines[0] == engines[1]


def test_verify_compares_every_pass(tmp_path):
    done = fovea("compile", MODEL, "-o", "model.fov", "--card", CARD, "--timing", "off", "--verify", "-v", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--verify: " in done.stderr and "values compared" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["model.fov"]


@pytest.fixture
def needless(tmp_path):
    """A model that computes the same twice."""
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="once"), helper.make_node("Relu", ["x"], ["b"], name="twice"),
             helper.make_node("Add", ["a", "b"], ["y"], name="sum")]
    return save(model(nodes), tmp_path / "needless.onnx")


def printed(path, *options):
    """-> {pass: text of the graph behind it}"""
    parts = succeeds("compile", path, "-o", path.with_suffix(".fov"), "--timing", "off", *options).split("# after ")
    assert parts[0] == ""
    return dict(part.split("\n", 1) for part in parts[1:])


def test_the_graph_after_a_pass(needless):
    graph = printed(needless, "--print-ir-after", "import")
    assert list(graph) == ["import"]
    assert graph["import"].count("Relu(%x)") == 2 and 'from "sum"' in graph["import"]
    assert list(printed(needless, "--print-ir-after=infer")) == ["infer"]
    assert set(printed(needless, "--print-ir-after", "all")) >= {"import", "infer", "common_subexpressions", "classify"}


def test_a_pass_that_changes_nothing_says_so(needless):
    done = fovea("compile", needless, "-o", needless.with_suffix(".fov"), "--timing", "off", "--print-ir-after", "slices")
    assert done.returncode == 0 and not done.stdout and "the pass 'slices' changed nothing" in done.stderr


def test_a_disabled_pass_does_not_run(needless):
    assert printed(needless, "--print-ir-after", "classify")["classify"].count("Relu(") == 1
    without = printed(needless, "--print-ir-after", "all", "--disable-pass", "common_subexpressions")
    assert "common_subexpressions" not in without and without["classify"].count("Relu(") == 2


def test_profiles_stand_in_the_engine(tmp_path):
    compile_small_ssd(tmp_path, "--timing", "off", "--shapes", "n=1", "--shapes", "n=8")
    found = json.loads(succeeds("inspect", "model.fov", "--json", cwd=tmp_path))
    assert [p for t in found["targets"] for p in t["profiles"]] == [{"n": 1}, {"n": 8}]


def test_inspect_tells_everything(detector):
    found = json.loads(succeeds("inspect", detector, "--json"))
    assert found["format"] == 1 and found["source"] == "small_ssd.onnx" and int(found["source_hash"], 16)
    assert found["fovea_version"] and found["git_hash"]
    assert found["file_bytes"] == detector.stat().st_size
    assert [(v["name"], v["type"], v["shape"]) for v in found["inputs"]] == [("image", "float32", "[n,3,256,256]")]
    assert {"name": "n", "lo": 1, "hi": 1024, "data_dependent": False} in found["sizes"]
    assert "stop sign" in found["card"]
    assert found["targets"][0]["threads"] == 2 and "oneDNN" in found["targets"][0]["libraries"]
    profile = found["report"]["profiles"][0]
    assert profile["groups"] and profile["arena_bytes"] > 0
    assert all(group["kernel"] and group["ops"] for group in profile["groups"])
    text = succeeds("inspect", detector)
    for words in ("small_ssd.onnx", "image: float32[n,3,256,256]", "n: 1 to 1024", "stop sign", "Conv"):
        assert words in text


def test_inspect_tells_bytes_and_operations(detector):
    """The first convolution of the small SSD by hand; the processor's best is not known, so there is no floor."""
    found = json.loads(succeeds("inspect", detector, "--json"))
    groups = found["report"]["profiles"][0]["groups"]
    assert "limits" not in found["targets"][0] and all(g["place"] == "host" and "floor_ms" not in g for g in groups)
    assert all(g["bytes"] >= 0 and g["arithmetic"] == "fp32" for g in groups)
    convolutions = [g for g in groups if g["ops"][0] == "Conv"]
    for g in convolutions:
        assert g["operations"] > 2 * g["other_operations"] and g["bytes"] > 0
    pools = [g for g in groups if g["ops"] == ["MaxPool"]]
    assert all(g["operations"] == 0 and g["other_operations"] > 0 for g in pools)
    moves = [g for g in groups if set(g["ops"]) <= {"Transpose", "Concat", "Slice"}]
    assert all(g["operations"] == g["other_operations"] == 0 and g["bytes"] > 0 for g in moves)
    shown = succeeds("inspect", detector, "--kernels")
    assert f"{convolutions[0]['onnx_nodes'][0]}: {convolutions[0]['bytes'] / 1e6:.3f} MB, " in shown and "floor" not in shown


@pytest.mark.parametrize("view, words", [("--graph", "graph @"), ("--plan", "image"), ("--kernels", "->")])
def test_inspect_shows_graph_plan_and_kernels(detector, view, words):
    assert words in succeeds("inspect", detector, view)


def test_memory_limit_trades_time_for_room(tmp_path):
    """Winograd's large weights give way, the report says why, and what cannot fit is refused."""

    def compiled(*limit):
        succeeds("compile", SMALL_SSD / "small_ssd.onnx", "-o", tmp_path / "m.fov", "--shapes", "n=1", "--threads", 2,
                 "--timing-cache", tmp_path / "times", *limit)
        profile = json.loads(succeeds("inspect", tmp_path / "m.fov", "--json"))["report"]["profiles"][0]
        parts = ("arena_bytes", "device_arena_bytes", "packed_weight_bytes", "staging_bytes", "shape_tensor_bytes")
        assert profile["total_bytes"] == sum(profile[p] for p in parts)
        assert all(c["kernel"] and c["onnx_node"] and c["bytes"] > 0 for c in profile.get("left_out_for_memory", []))
        return profile["total_bytes"]

    free = compiled()
    if "winograd" not in succeeds("inspect", tmp_path / "m.fov"):
        pytest.skip("no Winograd on this processor")
    limit = int(free * 0.8)
    assert compiled("--memory-limit", limit) <= limit
    succeeds("bench", tmp_path / "m.fov", "--threads", 2, "--seconds", 0.01, "--warmup", 0, "--json", tmp_path / "f.json")
    found = json.loads((tmp_path / "f.json").read_text())
    assert 0 < found["arena_bytes"] + found["packed_weight_bytes"] <= limit
    assert "do not fit --memory-limit" in succeeds("inspect", tmp_path / "m.fov", "--kernels")
    assert re.search(r"at most [\d.]+ MB; left out for it: [1-9]\d*\n +onednn_conv_winograd\S* +\d+ bytes  \S",
                     succeeds("inspect", tmp_path / "m.fov"))
    assert compiled("--memory-limit", "4GB") == free
    fails(BAD_ARGUMENT, "compile", SMALL_SSD / "small_ssd.onnx", "-o", tmp_path / "n.fov", "--timing", "off", "--memory-limit", "1MB",
          says=["--memory-limit", "at least", "packed weights"])
    assert not (tmp_path / "n.fov").exists()
