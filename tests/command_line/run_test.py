"""Running as a user does: boxes on the repository's pictures and raw outputs, held against ONNX Runtime."""

import json
from copy import deepcopy

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tool import BAD_ARGUMENT, PICTURES, SMALL_SSD, evaluate, fails, files_below, fovea, model, save, succeeds, two_layers

PIXELS, SCORE = 0.01, 1e-4  # how far from ONNX Runtime's a box and a score may be
RAW = 1e-4                  # and a network's raw output, relative where it is above 1


@pytest.fixture(scope="module")
def session():
    return onnxruntime.InferenceSession(SMALL_SSD / "small_ssd.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def images():
    return json.loads((SMALL_SSD / "labels.json").read_text())["images"]


@pytest.fixture(scope="module")
def expected(session, images):
    """What ONNX Runtime's outputs give."""
    module = evaluate()
    return module.detect(session, str(PICTURES), images, module.load_card())


@pytest.fixture(scope="module")
def found(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    table = succeeds("run", detector, PICTURES, "--json", "boxes.json", "--draw", "drawn", "--labels", SMALL_SSD / "labels.json",
                     cwd=folder)
    return folder, table, json.loads((folder / "boxes.json").read_text())


def by_picture(results):
    pictures = {}
    for r in results:
        pictures.setdefault(r["image_id"], []).append(r)
    return pictures


def assert_same_detections(found, expected):
    """One for one: detections within the tolerances of one another may stand in another order, nothing may be left over."""
    found, expected = by_picture(found), by_picture(expected)
    assert found.keys() == expected.keys()
    for image_id, want in expected.items():
        left = list(found[image_id])
        assert len(left) == len(want), f"picture {image_id}: {len(left)} detections, ONNX Runtime has {len(want)}"
        for w in want:
            near = [f for f in left if f["category_id"] == w["category_id"] and abs(f["score"] - w["score"]) <= SCORE
                    and np.abs(np.subtract(corners(f), corners(w))).max() <= PIXELS]
            assert near, f"picture {image_id}: nothing like {w}"
            left.remove(near[0])


def corners(r):
    x, y, w, h = r["bbox"]
    return x, y, x + w, y + h


def test_boxes_are_those_of_onnx_runtime(found, expected):
    assert_same_detections(found[2], expected)


def test_mean_average_precision_is_that_of_onnx_runtime(found, expected):
    module = evaluate()
    labels = str(SMALL_SSD / "labels.json")
    # pycocotools writes into what it is given.
    reference = module.mean_average_precision(labels, deepcopy(expected))
    assert module.mean_average_precision(labels, deepcopy(found[2]))[:3] == pytest.approx(reference[:3], abs=1e-3)
    printed = dict(zip(["mAP", "AP50", "AP75"], [float(word) for word in found[1].splitlines()[-1].split()[1:6:2]]))
    assert [printed["mAP"], printed["AP50"], printed["AP75"]] == pytest.approx(reference[:3], abs=1e-3)
    assert reference[0] > 0.9


def test_the_json_is_cocos_result_format(found, images):
    names = {image["id"]: image["file_name"] for image in images}
    for r in found[2]:
        assert r.keys() == {"image_id", "category_id", "bbox", "score", "file_name"}
        assert names[r["image_id"]] == r["file_name"] and 1 <= r["category_id"] <= 12
        assert len(r["bbox"]) == 4 and min(r["bbox"][2:]) > 0 and 0.05 < r["score"] <= 1
    for one in by_picture(found[2]).values():
        scores = [r["score"] for r in one]
        assert scores == sorted(scores, reverse=True)


def test_the_table_has_a_line_for_each_picture(found, images):
    lines = found[1].splitlines()
    assert lines[0].split()[:3] == ["picture", "objects", "ms"] and len(lines) == len(images) + 3
    assert [line.split()[0] for line in lines[1:-2]] == sorted(image["file_name"] for image in images)
    count, _, _, seconds, _, rate, *rest = lines[-2].split()
    assert int(count) == len(images) and rest == ["a", "second"]
    least, most = len(images) / (float(rate) + 0.051), len(images) / (float(rate) - 0.051)  # printed with one digit
    assert least - 0.006 <= float(seconds) <= most + 0.006


def test_every_picture_is_drawn(found, images):
    import cv2

    folder = found[0] / "drawn"
    assert files_below(folder) == sorted(image["file_name"] for image in images)
    for image in images:
        drawn, plain = cv2.imread(str(folder / image["file_name"])), cv2.imread(str(PICTURES / image["file_name"]))
        assert drawn.shape == plain.shape == (image["height"], image["width"], 3)
        assert np.abs(drawn.astype(int) - plain).max() > 60, f"{image['file_name']}: nothing is drawn on it"


@pytest.mark.parametrize("batch", [3, 16])
def test_the_batch_does_not_change_the_boxes(detector, expected, images, tmp_path, batch):
    some = images[:20]  # the last run is not full
    ids = {image["id"] for image in some}
    succeeds("run", detector, *[PICTURES / image["file_name"] for image in some], "--batch", batch, "--json", tmp_path / "boxes.json")
    assert_same_detections(json.loads((tmp_path / "boxes.json").read_text()), [r for r in expected if r["image_id"] in ids])


def test_a_picture_without_a_number_is_counted(detector, tmp_path):
    (tmp_path / "street.jpg").write_bytes((PICTURES / "000003.jpg").read_bytes())
    succeeds("run", detector, PICTURES / "000007.jpg", "street.jpg", "--json", "boxes.json", cwd=tmp_path)
    results = json.loads((tmp_path / "boxes.json").read_text())
    assert {(r["image_id"], r["file_name"]) for r in results} == {(7, "000007.jpg"), (1, "street.jpg")}


def test_the_least_score_is_that_of_the_table_only(detector, tmp_path):
    strict = succeeds("run", detector, PICTURES / "000003.jpg", "--min-score", 1, "--json", tmp_path / "boxes.json")
    assert strict.splitlines()[1].split()[1] == "0"
    assert json.loads((tmp_path / "boxes.json").read_text())


# ---- labels

def labels_of(folder, images, **renamed):
    """labels.json with only these images; renamed: new fields of each"""
    labels = json.loads((SMALL_SSD / "labels.json").read_text())
    ids = {image["id"] for image in images}
    labels["images"] = [image for image in labels["images"] if image["id"] in ids]
    for image in labels["images"]:
        image.update({key: change(image) for key, change in renamed.items()})
    (folder / "labels.json").write_text(json.dumps(labels))


def printed_precision(table):
    line = table.splitlines()[-1]
    return [float(word) for word in line.split()[1:6:2]], line


def test_only_pictures_that_were_run_are_evaluated(found, detector, images, expected, tmp_path):
    some = images[:5]
    paths = [PICTURES / image["file_name"] for image in some]
    part, line = printed_precision(succeeds("run", detector, *paths, "--labels", SMALL_SSD / "labels.json"))
    assert f"(5 of {len(images)} labelled pictures, " in line
    labels_of(tmp_path, some)
    module, ids = evaluate(), {image["id"] for image in some}
    reference = module.mean_average_precision(str(tmp_path / "labels.json"), [deepcopy(r) for r in expected if r["image_id"] in ids])
    assert part == pytest.approx(reference[:3], abs=1e-3)


def test_image_ids_are_those_of_the_labels(detector, images, tmp_path):
    """Names decide, not the numbers in them; without a name in the labels the number does."""
    (tmp_path / "val").mkdir()
    one, other = images[0], images[1]
    (tmp_path / "val/street.jpg").write_bytes((PICTURES / one["file_name"]).read_bytes())
    labels_of(tmp_path, [one, other], file_name=lambda image: "val/street.jpg" if image["id"] == one["id"] else "")
    table = succeeds("run", detector, tmp_path / "val/street.jpg", PICTURES / other["file_name"], "--labels", "labels.json", "--json",
                     "boxes.json", cwd=tmp_path)
    assert "(2 of 2 labelled pictures, " in table and printed_precision(table)[0][0] > 0.5
    results = json.loads((tmp_path / "boxes.json").read_text())
    assert {(r["image_id"], r["file_name"]) for r in results} == {(one["id"], "street.jpg"), (other["id"], other["file_name"])}


def test_labels_are_read_before_anything_is_detected(detector, images, tmp_path):
    pictures = [PICTURES / images[0]["file_name"], "absent.jpg"]
    fails(BAD_ARGUMENT, "run", detector, *pictures, "--labels", "absent.json", cwd=tmp_path, says="absent.json")
    labels_of(tmp_path, images[:1])
    fails(BAD_ARGUMENT, "run", detector, PICTURES, "--labels", "labels.json", cwd=tmp_path, says=["labels.json", "has no picture"])


def test_equal_image_ids_are_warned_of(detector, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "7.jpg").write_bytes((PICTURES / "000001.jpg").read_bytes())
    done = fovea("run", detector, "a", "b", "--json", "boxes.json", cwd=tmp_path)
    assert done.returncode == 0 and "warning: image_id 7 stands for several pictures: a/7.jpg and b/7.jpg" in done.stderr
    assert "warning" not in fovea("run", detector, "a", "b", cwd=tmp_path).stderr


# ---- drawings

def test_a_drawing_never_overwrites_a_picture(detector, tmp_path):
    before = (PICTURES / "000001.jpg").read_bytes()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(before)
    (tmp_path / "link").symlink_to("a")
    for pictures, drawn in ((["a/1.jpg"], "a"), (["a/1.jpg"], "link"), (["b/1.jpg", "a"], "a"), (["a", "b"], "b")):
        fails(BAD_ARGUMENT, "run", detector, *pictures, "--draw", drawn, cwd=tmp_path, says=[f"--draw {drawn}", "/1.jpg", "overwrite"])
    assert (tmp_path / "a/1.jpg").read_bytes() == (tmp_path / "b/1.jpg").read_bytes() == before
    succeeds("run", detector, "a", "b", "--draw", "drawn", cwd=tmp_path)
    assert files_below(tmp_path / "drawn") == ["1.jpg", "1_2.jpg"]


# ---- tensors

def test_outputs_whose_names_make_one_file_name(tmp_path):
    proto = model([helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["a/b"]), helper.make_node("Abs", ["x"], ["a_b"])])
    proto.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a/b", "a_b"))
    save(proto, tmp_path / "model.onnx")
    succeeds("compile", "model.onnx", "-o", "model.fov", "--timing", "off", cwd=tmp_path)
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    succeeds("run", "model.fov", "--input", "x=x.npy", "--output", "results", cwd=tmp_path)
    assert files_below(tmp_path / "results") == ["a_b.npy", "a_b_2.npy", "y.npy"]
    assert np.array_equal(np.load(tmp_path / "results/a_b.npy"), -x) and np.array_equal(np.load(tmp_path / "results/a_b_2.npy"), abs(x))


def test_raw_outputs_are_those_of_onnx_runtime(session, tmp_path):
    """One engine, profile n=1, and batches of 1 and 3."""
    engine = tmp_path / "raw.fov"
    succeeds("compile", SMALL_SSD / "small_ssd.onnx", "-o", engine, "--timing", "off", "--threads", 2)
    names = [o.name for o in session.get_outputs()]
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, 3, 256, 256)).astype(np.float32)
        np.save(tmp_path / "x.npy", x)
        assert succeeds("run", engine, "--input", "image=x.npy", "--output", f"batch_{batch}", "--check", cwd=tmp_path) == ""
        assert files_below(tmp_path / f"batch_{batch}") == sorted(f"{name}.npy" for name in names)
        for name, want in zip(names, session.run(names, {"image": x})):
            got = np.load(tmp_path / f"batch_{batch}/{name}.npy")
            assert got.dtype == want.dtype and got.shape == want.shape
            assert (np.abs(got - want) / np.maximum(1, np.abs(want))).max() < RAW


def test_check_names_the_node_that_gives_infinity(two_layer_engine, tmp_path):
    x = np.random.default_rng(1).choice(np.float32([-3e38, 3e38]), (1, 3, 16, 16))
    np.save(tmp_path / "x.npy", x)
    command = ["run", two_layer_engine, "--input", "x=x.npy", "--output", "results"]
    succeeds(*command, cwd=tmp_path)
    done = fovea(*command, "--check", cwd=tmp_path)
    assert done.returncode == 2 and ("convolution" in done.stderr or "activation" in done.stderr), done.stderr


def test_check_names_the_input_and_the_weights(two_layer_engine, tmp_path):
    x = np.zeros((1, 3, 16, 16), np.float32)
    np.save(tmp_path / "x.npy", x)
    x[0, 1, 5, 5] = np.inf
    np.save(tmp_path / "infinite.npy", x)
    done = fovea("run", two_layer_engine, "--input", "x=infinite.npy", "--output", "results", "--check", cwd=tmp_path)
    assert done.returncode == 2 and "input 'x' holds infinity (element 341 of 768)" in done.stderr, done.stderr
    # The activation makes 0 of NaN.
    proto = two_layers()
    weights = np.frombuffer(proto.graph.initializer[0].raw_data, np.float32).copy()
    weights[7] = np.nan
    proto.graph.initializer[0].raw_data = weights.tobytes()
    engine = tmp_path / "nan.fov"
    succeeds("compile", save(proto, tmp_path / "nan.onnx"), "-o", engine, "--timing", "off")
    succeeds("run", engine, "--input", "x=x.npy", "--output", "results", cwd=tmp_path)
    done = fovea("run", engine, "--input", "x=x.npy", "--output", "checked", "--check", cwd=tmp_path)
    assert done.returncode == 3 and "Conv 'convolution': its constant 'w' holds NaN (element 7" in done.stderr, done.stderr


def test_bench_writes_its_figures(detector, tmp_path):
    printed = succeeds("bench", detector, "--batch", 2, "--threads", 1, "--contexts", 2, "--seconds", 0.3, "--warmup", 0.05, "--json",
                       "figures.json", "--profile", cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["batch"] == 2 and figures["threads"] == 1 and figures["contexts"] == 2 and figures["runs"] >= 6
    assert 0 < figures["min_ms"] <= figures["median_ms"] <= figures["p90_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert figures["images_per_second"] == pytest.approx(2 * figures["runs"] / figures["measured_seconds"])
    assert figures["peak_resident_bytes"] > figures["arena_bytes"] > 0 and figures["open_to_first_result_ms"] > 0
    assert figures["replanned"] == "" and figures["profile"][0]["ms"] > 0
    assert f"median {figures['median_ms']:.2f} ms" in printed
