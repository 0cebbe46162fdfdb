"""What profile measures: every step with its ONNX nodes, bytes and operations; shares that add up; floors from given figures."""

import json

import pytest
from onnx import TensorProto, helper
from tool import BAD_ARGUMENT, fails, files_below, model, save, succeeds, tensor

QUICK = ["--runs", 3, "--threads", 1]


def profiled(engine, folder, *options, bandwidth=10, peak=50):
    table = succeeds("profile", engine, *QUICK, "--bandwidth", bandwidth, "--peak", peak, "--json", folder / "profile.json", *options)
    return table, json.loads((folder / "profile.json").read_text())


def test_a_convolution(two_layer_engine, tmp_path):
    """Conv 3->4, 3x3, on n x 3 x 16 x 16, the Relu in the same group."""
    table, found = profiled(two_layer_engine, tmp_path, "--shapes", "n=2")
    assert (found["batch"], found["threads"], found["runs"], found["device"]) == (2, 1, 3, "cpu")
    convolution, = [s for s in found["steps"] if "Conv" in s["ops"]]
    assert convolution["operations"] == 2 * (2 * 4 * 16 * 16) * (3 * 3 * 3)
    assert {"convolution", "activation"} <= {n for s in found["steps"] for n in s["onnx_nodes"]}
    if convolution["ops"] == ["Conv", "Relu"]:
        assert convolution["onnx_nodes"] == ["convolution", "activation"]
    # Blocked layouts pad channels: at least what the tensors hold.
    assert convolution["bytes"] >= 4 * (2 * 3 * 16 * 16 + 4 * 3 * 3 * 3 + 2 * 4 * 16 * 16)
    floors = {"memory": convolution["bytes"] / 10e6, "compute": convolution["operations"] / 50e6}
    assert convolution["floor_ms"] == pytest.approx(max(floors.values()))
    assert convolution["bound"] == max(floors, key=floors.get)
    assert "batch 2, cpu, 1 threads" in table and "10.0 GB/s or operations / 50.0 GFLOP/s" in table


def test_figures_decide_what_bounds(two_layer_engine, tmp_path):
    for bandwidth, peak, bound in ((1e-3, 1e6, "memory"), (1e6, 1e-3, "compute")):
        found = profiled(two_layer_engine, tmp_path, bandwidth=bandwidth, peak=peak)[1]
        assert [s["bound"] for s in found["steps"] if "Conv" in s["ops"]] == [bound]


def test_shares_of_network_and_postprocessing(detector, tmp_path):
    table, found = profiled(detector, tmp_path)
    steps = found["steps"]
    assert found["steps_ms"] == pytest.approx(sum(s["ms"] for s in steps))
    assert sum(s["share"] for s in steps) == pytest.approx(1)
    assert found["network"]["ms"] + found["postprocessing"]["ms"] == pytest.approx(found["steps_ms"])
    for part in ("network", "postprocessing"):
        assert found[part]["ms"] == pytest.approx(sum(s["ms"] for s in steps if s["part"] == part))
        assert found[part]["share"] == pytest.approx(found[part]["ms"] / found["steps_ms"])
        assert f"{part} {found[part]['ms']:.3f} ms" in table
    first = next(i for i, s in enumerate(steps) if {"DecodeBoxes", "Nms"} & set(s["ops"]))
    assert [s["part"] for s in steps] == ["network"] * first + ["postprocessing"] * (len(steps) - first)
    assert first > 10 and all(s["ms"] >= s["min_ms"] >= 0 and s["place"] == "host" for s in steps)
    assert all(s["onnx_nodes"] for s in steps if "Conv" in s["ops"])


def test_a_network_alone_has_no_postprocessing(two_layer_engine, tmp_path):
    found = profiled(two_layer_engine, tmp_path)[1]
    assert found["postprocessing"] == {"ms": 0, "share": 0} and found["network"]["share"] == pytest.approx(1)


def test_the_table_begins_with_the_slowest(detector, tmp_path):
    table, found = profiled(detector, tmp_path)
    rows = table[table.index("operators (ONNX nodes)"):].splitlines()[1:]
    times = [float(row.split()[0]) for row in rows]
    assert times == sorted(times, reverse=True) and len(times) == len(found["steps"])


def test_matrix_products(tmp_path):
    """y = Reshape(x) @ w: 2 x 768 with 768 x 5."""
    nodes = [helper.make_node("Reshape", ["x", "flat"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"], name="product")]
    save(model(nodes, [tensor("w", (768, 5)), helper.make_tensor("flat", TensorProto.INT64, [2], [0, -1])]), tmp_path / "model.onnx")
    succeeds("compile", tmp_path / "model.onnx", "-o", tmp_path / "model.fov", "--timing", "off", "--threads", 1)
    found = profiled(tmp_path / "model.fov", tmp_path, "--batch", 2)[1]
    product, = [s for s in found["steps"] if "product" in s["onnx_nodes"]]
    assert product["operations"] == 2 * 2 * 768 * 5


def test_figures_that_nobody_gives_are_measured(two_layer_engine, tmp_path):
    succeeds("profile", two_layer_engine, "--runs", 2, "--threads", 1, "--json", tmp_path / "profile.json")
    found = json.loads((tmp_path / "profile.json").read_text())
    assert 0.1 < found["bandwidth_gb_per_s"] < 1e4 and 0.1 < found["peak_gflop_per_s"] < 1e5


def test_calls_that_cannot_work(two_layer_engine, tmp_path):
    fails(BAD_ARGUMENT, "profile", two_layer_engine, "--batch", 2000, says=["--batch 2000", "1 to 1024"])
    fails(BAD_ARGUMENT, "profile", "absent.fov", "--json", "absent/file", cwd=tmp_path, says=["absent/file", "No such file"])
    fails(BAD_ARGUMENT, "profile", two_layer_engine, "--runs", 0, says="--runs")
    assert not files_below(tmp_path)
