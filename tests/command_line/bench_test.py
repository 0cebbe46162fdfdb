"""What bench measures: sizes and inputs from the card, the batch that is really run, and flags that would be ignored."""

import json

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper
from tool import BAD_ARGUMENT, PICTURES, fails, save, succeeds, tensor

QUICK = ["--seconds", 0.02, "--warmup", 0, "--threads", 1]
CARD = """
[picture]
input = "image"
{resize}

[[inputs]]
name = "im_shape"
role = "resized_size"

[outputs]
boxes = "boxes"
scores = "scores"
box_format = "xyxy"
normalized = false
"""


def paddle_like(batch="n"):
    """The input that is not the picture comes first, and shares the batch's symbol."""
    inputs = [helper.make_tensor_value_info("im_shape", TensorProto.FLOAT, [batch, 2]),
              helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, "h", "w"])]
    outputs = [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 5, 4]),
               helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5])]
    nodes = [helper.make_node("Conv", ["image", "w0"], ["features"]),
             helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["flat"]),
             helper.make_node("Gemm", ["flat", "w1"], ["raw"]),
             helper.make_node("Reshape", ["raw", "boxes_shape"], ["offsets"]),
             helper.make_node("ReduceMax", ["im_shape"], ["side"], keepdims=0),
             helper.make_node("Mul", ["offsets", "side"], ["boxes"]),
             helper.make_node("Gemm", ["flat", "w2"], ["scores"])]
    constants = [tensor("w0", (4, 3, 3, 3)), tensor("w1", (4, 20)), tensor("w2", (4, 5)),
                 helper.make_tensor("boxes_shape", TensorProto.INT64, [3], [-1, 5, 4])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def compiled(folder, card, *options, batch="n", resize='resize = "stretch"\nsize = [32, 64]'):
    model = save(paddle_like(batch), folder / "model.onnx")
    (folder / "card.toml").write_text(CARD.format(resize=resize))
    succeeds("compile", model, "-o", folder / "model.fov", "--timing", "off", "--threads", 1,
             *(["--card", folder / "card.toml"] if card else []), *options)
    return folder / "model.fov"


def figures(engine, *options):
    succeeds("bench", engine, *QUICK, "--json", engine.with_suffix(".json"), *options)
    return json.loads(engine.with_suffix(".json").read_text())


def profiles(engine):
    return [p for t in json.loads(succeeds("inspect", engine, "--json"))["targets"] for p in t["profiles"]]


def test_sizes_that_nobody_names(tmp_path):
    """The batch is 1 although the first input is of rank 2."""
    assert profiles(compiled(tmp_path, card=False)) == [{"n": 1, "h": 640, "w": 640}]
    assert profiles(compiled(tmp_path, True, "--verify", "--shapes", "n=1", "--shapes", "n=2,w=128")) == [
        {"n": 1, "h": 32, "w": 64}, {"n": 2, "h": 32, "w": 128}]


def test_bench_runs_the_sizes_of_the_card(tmp_path):
    engine = compiled(tmp_path, card=True)
    of_card, large = figures(engine), figures(engine, "--shapes", "h=640,w=640")
    assert of_card["batch"] == large["batch"] == 1
    assert of_card["arena_bytes"] * 50 < large["arena_bytes"]


@pytest.mark.parametrize("card", [False, True])
def test_the_batch_is_the_one_that_is_run(tmp_path, card):
    engine = compiled(tmp_path, card)
    for options in (["--batch", 3], ["--shapes", "n=3"], ["--shapes", "n=3", "--batch", 3]):
        found = figures(engine, *options)
        assert found["batch"] == 3 and found["images_per_second"] == pytest.approx(3 / found["median_ms"] * 1e3)
    fails(BAD_ARGUMENT, "bench", engine, "--batch", 2, "--shapes", "n=3", says=["--batch 2", "--shapes says n=3"])


def test_a_fixed_batch(tmp_path):
    engine = compiled(tmp_path, True, batch=2)
    assert figures(engine)["batch"] == figures(engine, "--batch", 2)["batch"] == 2
    fails(BAD_ARGUMENT, "bench", engine, "--batch", 4, says=["--batch 4", "2 to 2"])


# ---- tensors from files

def picks(folder):
    """y = x[index]: what is made up for index is 0."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
              helper.make_tensor_value_info("index", TensorProto.INT64, ["k"])]
    graph = helper.make_graph([helper.make_node("Gather", ["x", "index"], ["y"])], "graph", inputs,
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["k", 4])])
    model = save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "picks.onnx")
    succeeds("compile", model, "-o", folder / "picks.fov", "--timing", "off", "--threads", 1)
    return folder / "picks.fov"


def given(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [word for name in arrays for word in ("--input", f"{name}={folder / name}.npy")]


def test_sizes_are_those_of_the_files(tmp_path):
    engine = compiled(tmp_path, card=True)
    inputs = given(tmp_path, im_shape=np.ones((3, 2), np.float32), image=np.ones((3, 3, 80, 96), np.float32))
    found, made_up = figures(engine, *inputs), figures(engine, "--shapes", "n=3,h=80,w=96")
    assert found["batch"] == made_up["batch"] == 3 and found["arena_bytes"] == made_up["arena_bytes"]
    assert found["images_per_second"] == pytest.approx(3 / found["median_ms"] * 1e3)
    found = figures(engine, *inputs, "--contexts", 2, "--profile", "--device", "cpu,cpu")
    assert found["contexts"] == 2 and sum(row["calls"] for row in found["profile"]) > 0
    table = succeeds("profile", engine, "--runs", 2, "--threads", 1, "--bandwidth", 10, "--peak", 10, *inputs)
    assert table.startswith("batch 3, ")


def test_what_is_measured_is_what_the_files_hold(tmp_path):
    engine, x = picks(tmp_path), np.ones((2, 4), np.float32)
    figures(engine, *given(tmp_path, x=x, index=np.array([1, 0, 1])))
    beyond = given(tmp_path, x=x, index=np.array([1, 7]))
    for verb in ("bench", "profile"):
        fails(BAD_ARGUMENT, verb, engine, "--threads", 1, *beyond, says=["Gather", "7"])


def test_files_that_are_not_the_inputs(tmp_path):
    engine, x, index = picks(tmp_path), np.ones((2, 4), np.float32), np.array([1, 0])
    for arrays, says in (({"x": x}, ["input 'index'", "is missing", "--input index=FILE.npy"]),
                         ({"x": x, "index": index, "z": x}, ["no input 'z'", "x, index"]),
                         ({"x": x.astype(np.float64), "index": index}, ["input 'x': expected float32, found float64"]),
                         ({"x": x[:, :3], "index": index}, ["input 'x'", "expected", "[2,3]"])):
        for verb in ("bench", "profile"):
            fails(BAD_ARGUMENT, verb, engine, *given(tmp_path, **arrays), says=says)
    fails(BAD_ARGUMENT, "bench", engine, "--input", "x=nowhere.npy", "--input", "index=nowhere.npy", says="nowhere.npy")


# ---- pictures

def test_pictures_to_boxes(tmp_path):
    """The card resizes to 32 x 64; what is made up has that size, what lies in a folder has any."""
    engine = compiled(tmp_path, card=True)
    for options in ([], ["--contexts", 3], ["--pictures", PICTURES], ["--device", "cpu,cpu", "--pictures", PICTURES]):
        found = figures(engine, "--memory", "pictures", "--batch", 2, *options)
        assert found["memory"] == "pictures" and found["batch"] == 2
        assert found["images_per_second"] > 0 and found["median_ms"] > 0


def test_inputs_made_of_pictures(tmp_path):
    found = figures(compiled(tmp_path, card=True), "--pictures", PICTURES, "--batch", 2)
    assert found["batch"] == 2 and "memory" not in found


def test_pictures_that_one_run_cannot_take(tmp_path):
    engine = compiled(tmp_path, card=True, resize='resize = "none"')
    (tmp_path / "pictures").mkdir()
    for i, (height, width) in enumerate([(20, 30), (40, 30)]):
        cv2.imwrite(str(tmp_path / "pictures" / f"{i}.png"), np.zeros((height, width, 3), np.uint8))
    options = ["--memory", "pictures", "--pictures", tmp_path / "pictures"]
    assert figures(engine, *options)["batch"] == 1
    fails(BAD_ARGUMENT, "bench", engine, *QUICK, *options, "--batch", 2, says=["--pictures", "40 x 30", "20 x 30", "--batch 1"])


def test_flags_of_other_modes_are_refused(tmp_path):
    engine = compiled(tmp_path, card=True)
    for options, says in ((["--memory", "pictures", "--profile"], ["--profile", "--memory pictures"]),
                          (["--memory", "pinned"], ["--memory pinned", "CPU"]),
                          (["--batch", 1, "--batch", 2], ["--batch", "expected one, found 2", "--sweep"]),
                          (["--sweep", "--contexts", 2], ["--contexts", "--sweep"]),
                          (["--sweep", "--profile"], ["--profile", "--sweep"]),
                          (["--memory", "pictures", "--pictures", tmp_path / "nowhere"], ["nowhere"])):
        fails(BAD_ARGUMENT, "bench", engine, *QUICK, *options, says=says)
    for flag in (["--sweep"], ["--pictures", PICTURES]):
        fails(BAD_ARGUMENT, "bench", engine, "--turns", *flag, says=[flag[0], "--turns"])
    (tmp_path / "plain").mkdir()
    plain = compiled(tmp_path / "plain", card=False)
    for options in (["--memory", "pictures"], ["--pictures", PICTURES]):
        fails(BAD_ARGUMENT, "bench", plain, *QUICK, *options, says="no model card")


# ---- the table of many

def cost(row):
    return row["batch"] * row["contexts"], row["median_ms"]


@pytest.mark.parametrize("options, batches", [(["--shapes", "n=1", "--shapes", "n=6"], [1, 2, 4, 6]), ([], [1])])
def test_a_sweep_goes_up_to_the_largest_profile(tmp_path, options, batches):
    found = figures(compiled(tmp_path, True, *options), "--sweep")
    assert [(r["batch"], r["contexts"]) for r in found["sweep"]] == [(b, c) for b in batches for c in (1, 2, 3, 4)]
    best = max(found["sweep"], key=lambda row: row["images_per_second"])
    assert found["best"]["images_per_second"] == best["images_per_second"] and found["knee_share"] == 0.9
    enough = [row for row in found["sweep"] if row["images_per_second"] >= 0.9 * best["images_per_second"]]
    assert found["knee"] == min(enough, key=cost)


def test_a_sweep_of_batches_that_were_named(tmp_path):
    engine = compiled(tmp_path, card=True)
    table = succeeds("bench", engine, *QUICK, "--sweep", "--batch", 5, "--batch", 2, "--batch", 5, "--memory", "pictures")
    rows = [line.split() for line in table.splitlines()]
    assert rows[0][:3] == ["batch", "contexts", "images/s"] and rows[-1][0] == "knee:"
    assert [(row[0], row[1]) for row in rows[1:-1]] == [(b, c) for b in "25" for c in "1234"]
    assert table.splitlines()[-1].split(",")[0].startswith("knee: batch ")


def test_a_sweep_of_a_fixed_batch(tmp_path):
    assert [r["batch"] for r in figures(compiled(tmp_path, True, batch=2), "--sweep")["sweep"]] == [2] * 4
