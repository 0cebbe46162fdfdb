"""--device: names that are none, devices that are not there, and pictures spread over several."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tool import BAD_ARGUMENT, BINARY, PICTURES, SMALL_SSD, UNSUPPORTED, fails, files_below, fovea, succeeds

PICTURE = PICTURES / "000001.jpg"


def calls(model, engine, device):
    yield ["compile", model, "-o", "out.fov", "--device", device]
    yield ["run", engine, PICTURE, "--device", device]
    yield ["bench", engine, "--device", device]
    yield ["profile", engine, "--device", device]
    yield ["inspect", engine, "--plan", "--device", device]


@pytest.mark.parametrize("device", ["", "CUDA:0", "cuda:", "cuda:x", "cuda:-1", "cuda:00001", "cpu:0", "7"])
def test_what_is_no_name(two_layer_model, two_layer_engine, tmp_path, device):
    for call in calls(two_layer_model, two_layer_engine, device):
        fails(BAD_ARGUMENT, *call, cwd=tmp_path, says=f"--device: expected 'cpu' or a name like 'cuda:0', found '{device}'")
    assert not files_below(tmp_path)


@pytest.mark.parametrize("device", ["cuda:9999", "quantum:0"])
def test_a_device_that_is_not_there(two_layer_model, two_layer_engine, tmp_path, device):
    """Whether the backend, the driver or the GPU is missing: one sentence that names it."""
    for call in calls(two_layer_model, two_layer_engine, device):
        fails(UNSUPPORTED, *call, cwd=tmp_path, says=f"--device {device}: ")
    assert not files_below(tmp_path)


def test_one_device_where_only_one_can_be(two_layer_model, two_layer_engine, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 16, 16), np.float32))
    for call in (["compile", two_layer_model, "-o", "out.fov"], ["profile", two_layer_engine], ["bench", two_layer_engine, "--turns"],
                 ["run", two_layer_engine, "--input", "x=x.npy", "--output", "results"], ["inspect", two_layer_engine, "--plan"]):
        fails(BAD_ARGUMENT, *call, "--device", "cpu,cpu", cwd=tmp_path, says=["--device", "expected one device, found 'cpu,cpu'"])
    assert files_below(tmp_path) == ["x.npy"]
    fails(BAD_ARGUMENT, "inspect", two_layer_engine, "--device", "cpu", says=["--device", "--plan"])


@pytest.mark.parametrize("batch", [1, 3])
def test_pictures_spread_over_devices_keep_their_order(detector, tmp_path, batch):
    """The processor twice is two devices like any."""
    pictures = sorted(PICTURES.iterdir())[:11]
    tables = [succeeds("run", detector, *pictures, "--threads", 1, "--batch", batch, "--json", tmp_path / f"{i}.json", "--draw", tmp_path / str(i),
                       "--device", device) for i, device in enumerate(["cpu", "cpu,cpu,cpu"])]
    names = [[line.split()[0] for line in table.splitlines()[1:-1]] for table in tables]
    assert names[0] == names[1] == [p.name for p in pictures]
    assert (tmp_path / "0.json").read_text() == (tmp_path / "1.json").read_text()
    assert files_below(tmp_path / "0") == files_below(tmp_path / "1") == [p.name for p in pictures]


def test_the_earliest_failure_is_told(detector, tmp_path):
    for name in ("b.jpg", "d.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    for name in ("a.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(PICTURE.read_bytes())
    for _ in range(3):
        fails(BAD_ARGUMENT, "run", detector, tmp_path, "--device", "cpu,cpu", "--threads", 1, says="b.jpg")


def test_several_devices_are_several_sets_of_contexts(two_layer_engine, tmp_path):
    succeeds("bench", two_layer_engine, "--seconds", 0.02, "--warmup", 0, "--threads", 1, "--contexts", 2, "--device", "cpu,cpu", "--json",
             tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert (found["device"], found["contexts"], found["device_bytes"]) == ("cpu,cpu", 2, 0)
    assert found["runs"] >= 4 * 3 and found["images_per_second"] == pytest.approx(found["runs"] / found["measured_seconds"])


# ---- the device that every machine has (tests/device/fake)

@pytest.fixture(scope="module")
def fake_detector(tmp_path_factory):
    assert (Path(BINARY).parents[1] / "lib/libfovea_fake.so").exists(), "the device for tests is built with them"
    engine = tmp_path_factory.mktemp("fake") / "small_ssd.fov"
    succeeds("compile", SMALL_SSD / "small_ssd.onnx", "-o", engine, "--card", SMALL_SSD / "card.toml", "--timing", "off", "--threads", 1,
             "--device", "fake:0")
    return engine


def test_memory_limit_counts_workspaces(fake_detector, tmp_path):
    """The device's convolution has a way that needs no workspace: it is taken where the better one does not fit, and kept for the run."""

    def compiled(limit):
        succeeds("compile", SMALL_SSD / "small_ssd.onnx", "-o", tmp_path / "m.fov", "--timing", "off", "--threads", 1, "--device", "fake:0",
                 "--memory-limit", limit)
        return json.loads(succeeds("inspect", tmp_path / "m.fov", "--json"))["report"]["profiles"][0]

    free = compiled("4GB")
    assert free["left_out_for_memory"] == [] and free["largest_workspace_bytes"] > 0
    limit = free["total_bytes"] - free["largest_workspace_bytes"] // 4
    tight = compiled(limit)
    assert tight["total_bytes"] <= limit == tight["memory_limit"]
    left_out = tight["left_out_for_memory"]
    assert left_out and all((c["kernel"], c["variant"]) == ("fake_conv", "roomy") and c["bytes"] > 0 for c in left_out)
    assert len([g for g in tight["groups"] if g.get("variant") == "tight"]) == len(left_out)
    assert "fake_conv (roomy)" in succeeds("inspect", tmp_path / "m.fov")
    figures = ["bench", tmp_path / "m.fov", "--device", "fake:0", "--threads", 1, "--seconds", 0.01, "--warmup", 0, "--json", tmp_path / "f.json"]
    succeeds(*figures)
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["device_bytes"] + found["arena_bytes"] + found["packed_weight_bytes"] <= limit
    assert found["device_bytes"] >= tight["device_arena_bytes"] < free["device_arena_bytes"]
    refused = fails(BAD_ARGUMENT, "compile", SMALL_SSD / "small_ssd.onnx", "-o", tmp_path / "n.fov", "--timing", "off", "--device", "fake:0",
                    "--memory-limit", 1000, says=["--memory-limit: expected at least ", "workspaces", "packed weights"])
    least = int(refused.stderr.split("at least ")[1].split()[0])
    assert compiled(least)["total_bytes"] <= least < free["total_bytes"]


def test_an_engine_for_a_device(fake_detector, tmp_path):
    shown = succeeds("inspect", fake_detector)
    assert "a device made of host memory" in shown and "  device: arena " in shown and "fake_conv" in shown
    report = json.loads(succeeds("inspect", fake_detector, "--json"))["report"]["profiles"][0]
    assert f"{report['transfers']} transfers, {report['size_reads']} times the host waits for sizes" in shown
    assert f" waits for sizes, {report['segments']} segments, {len(report['synchronisations'])} synchronisations\n" in shown
    assert report["segments"] > 0 and any(s["op"] == "Transpose" for s in report["synchronisations"])
    for s in report["synchronisations"]:
        assert f"    the host waits for {s['op']}" in shown and f": {s['why']}\n" in shown and all(name in shown for name in s["onnx_nodes"])
    assert "transfer" in succeeds("inspect", fake_detector, "--plan", "--device", "fake:0")
    assert len(succeeds("run", fake_detector, PICTURE, "--device", "fake:0").splitlines()) == 2
    planned_anew = fovea("run", fake_detector, PICTURE)
    assert planned_anew.returncode == 0 and "warning: planning anew for this machine: " in planned_anew.stderr


def test_bench_and_profile_on_a_device(fake_detector, tmp_path):
    quick = ["--device", "fake:0", "--threads", 1, "--json", tmp_path / "found.json"]
    printed = succeeds("bench", fake_detector, *quick, "--seconds", 0.01, "--warmup", 0.01)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["device_bytes"] > 0
    assert found["made_in_measured_runs"] == {"allocations": 0, "streams": 0, "events": 0, "graphs": 0}
    assert f"made in {found['runs']} runs: 0 allocations, 0 streams, 0 events, 0 graphs" in printed
    succeeds("profile", fake_detector, *quick, "--runs", 2)
    found = json.loads((tmp_path / "found.json").read_text())
    # What the device says of itself: 100 GB/s, 1 TFLOP/s in float32.
    assert found["bandwidth_gb_per_s"] == 100 and found["peaks_gflop_per_s"] == {"fp32": 1000, "tf32": 2000, "fp16": 4000}
    convolutions = [s for s in found["steps"] if s["ops"] == ["Conv"]]
    for s in convolutions:
        floors = {"memory": s["bytes"] / 100e6, "compute": max(s["operations"], s["other_operations"]) / 1e9}
        assert s["place"] == "device" and s["arithmetic"] == "fp32" and s["operations"] > 0
        assert s["bound"] == max(floors, key=floors.get) and s["floor_ms"] == pytest.approx(max(floors.values()))
        assert s["floor_share"] == pytest.approx(s["floor_ms"] / s["ms"]) and s["gb_per_s"] == pytest.approx(s["bytes"] / s["ms"] / 1e6)
    assert convolutions and all("floor_ms" not in s for s in found["steps"] if s["place"] == "host")
    table = succeeds("profile", fake_detector, *quick, "--runs", 2, "--roofline")
    assert "bytes / 100.0 GB/s or operations / 1.0 (fp32), 2.0 (tf32) or 4.0 (fp16) TFLOP/s" in table
    rows = table[table.index("ONNX nodes"):].splitlines()[1:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row.split()[0] for row in rows] == [f"{s['ms']:.4f}" for s in found["steps"]]
    succeeds("profile", fake_detector, *quick, "--runs", 2, "--bandwidth", 10, "--peak", 50)
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["bandwidth_gb_per_s"], found["peak_gflop_per_s"]) == (10, 50)


def test_inspect_tells_what_the_device_could_do(fake_detector, tmp_path):
    """Bytes, operations and the floor of every group on the device; nothing where the processor's limits are not known."""
    succeeds("compile", SMALL_SSD / "small_ssd.onnx", "-o", tmp_path / "timed.fov", "--threads", 1, "--device", "fake:0")
    found = json.loads(succeeds("inspect", tmp_path / "timed.fov", "--json"))
    limits = found["targets"][0]["limits"]
    assert limits == {"bytes_per_second": 100e9, "flops_fp32": 1e12, "flops_tf32": 2e12, "flops_fp16": 4e12}
    groups = found["report"]["profiles"][0]["groups"]
    on_device = [g for g in groups if g["place"] == "device"]
    for g in on_device:
        floors = {"memory": g["bytes"] / 100e6, "compute": max(g["operations"], g["other_operations"]) / 1e9}
        assert g["bound"] == max(floors, key=floors.get) and g["floor_ms"] == pytest.approx(max(floors.values()))
        if g.get("ms", 0) > 0:
            assert g["floor_share"] == pytest.approx(g["floor_ms"] / g["ms"])
    assert any(g["operations"] > 0 and "floor_share" in g for g in on_device)
    assert all("floor_ms" not in g for g in groups if g["place"] == "host")
    convolution = next(g for g in on_device if g["ops"] == ["Conv"])
    shown = succeeds("inspect", tmp_path / "timed.fov", "--kernels")
    assert f"{convolution['onnx_nodes'][0]}: {convolution['bytes'] / 1e6:.3f} MB, " in shown
    assert f"floor {convolution['floor_ms']:.4f} ms ({convolution['bound']}), {100 * convolution['floor_share']:.0f}% of the measured time" in shown
    assert "floor ms" in succeeds("inspect", tmp_path / "timed.fov")


def boxes(*arguments, json_file):
    succeeds("run", *arguments, "--json", json_file)
    return [(b["image_id"], b["category_id"], b["score"], b["bbox"]) for b in json.loads(json_file.read_text())]


def test_batches_in_flight_give_what_one_after_the_other_gives(fake_detector, detector, tmp_path):
    """Nothing is done on this device before somebody waits for it; the last batch is not full."""
    pictures = [*sorted(PICTURES.iterdir())[:7], "--threads", 2]
    want = boxes(detector, *pictures, json_file=tmp_path / "cpu.json")
    for i, options in enumerate((["--contexts", 1], ["--batch", 2], ["--batch", 2, "--contexts", 2, "--draw", tmp_path / "drawn"])):
        device = "fake:0,fake:0" if i == 2 else "fake:0"
        found = boxes(fake_detector, *pictures, *options, "--device", device, json_file=tmp_path / "found.json")
        assert [b[:2] for b in found] == [b[:2] for b in want]
        assert np.abs(np.subtract([b[3] for b in found], [b[3] for b in want])).max() < 0.01
        assert np.abs(np.subtract([b[2] for b in found], [b[2] for b in want])).max() < 1e-4
    assert files_below(tmp_path / "drawn") == [p.name for p in pictures[:7]]
    fails(BAD_ARGUMENT, "run", detector, PICTURE, "--contexts", 2, says=["--contexts", "CPU"])


def test_how_long_a_device_waited_for_pictures_is_told(fake_detector, detector):
    pictures = sorted(PICTURES.iterdir())[:5]
    told = re.compile(r"5 pictures in [\d.]+ s: [\d.]+ a second \(waiting for decoded pictures: (\d+) %\)$")
    last = succeeds("run", fake_detector, *pictures, "--device", "fake:0", "--batch", 2).splitlines()[-1]
    assert 0 <= int(told.match(last)[1]) <= 100
    assert "waiting" not in succeeds("run", detector, *pictures)


def test_a_broken_picture_among_batches_in_flight(fake_detector, tmp_path):
    for name in "abcdefg":
        (tmp_path / f"{name}.jpg").write_bytes(b"no picture" if name in "df" else PICTURE.read_bytes())
    fails(BAD_ARGUMENT, "run", fake_detector, tmp_path, "--device", "fake:0", "--threads", 2, "--draw", tmp_path / "drawn", says="d.jpg")
    assert files_below(tmp_path / "drawn") == ["a.jpg", "b.jpg", "c.jpg"]


def test_bench_from_pictures_to_boxes_on_a_device(fake_detector, tmp_path):
    succeeds("bench", fake_detector, "--device", "fake:0", "--threads", 1, "--memory", "pictures", "--pictures", PICTURES, "--contexts", 2,
             "--seconds", 0.01, "--warmup", 0, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["memory"] == "pictures" and found["runs"] >= 6 and found["device_bytes"] > 0
