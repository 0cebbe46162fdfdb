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


# ---- pictures

def test_pictures_to_boxes(tmp_path):
    """The card resizes to 32 x 64; what is made up has that size, what lies in a folder has any."""
    engine = compiled(tmp_path, card=True)
    for options in ([], ["--contexts", 3], ["--pictures", PICTURES], ["--device", "cpu,cpu", "--pictures", PICTURES]):
        found = figures(engine, "--memory", "pictures", "--batch", 2, *options)
        assert found["memory"] == "pictures" and found["batch"] == 2
        assert found["images_per_second"] > 0 and found["median_ms"] > 0


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
    for options, says in ((["--pictures", PICTURES], ["--pictures", "--memory pictures"]),
                          (["--memory", "pictures", "--profile"], ["--profile", "--memory pictures"]),
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
    fails(BAD_ARGUMENT, "bench", plain, *QUICK, "--memory", "pictures", says="no model card")


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
