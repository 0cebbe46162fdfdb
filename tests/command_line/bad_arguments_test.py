"""Calls that cannot work: exit code 2 and a message that says what was expected."""

import re

import numpy as np
import pytest
from tool import BAD_ARGUMENT, PICTURES, SMALL_SSD, fails, files_below, succeeds


@pytest.mark.parametrize("arguments, says", [
    ([], "compile, run, bench, profile or inspect"),
    (["compile"], "model"),
    (["compile", "model.onnx"], "--output"),
    (["run"], "engine"),
    (["bench"], "engine"),
    (["profile"], "engine"),
    (["inspect"], "engine"),
    (["polish"], "polish"),
    (["compile", "model.onnx", "-o", "model.fov", "--polish"], "--polish"),
    (["compile", "model.onnx", "-o", "model.fov", "--timing", "maybe"], "--timing"),
    (["compile", "model.onnx", "-o", "model.fov", "--threads", "0"], "--threads"),
    (["compile", "model.onnx", "-o", "model.fov", "--threads", "two"], "--threads"),
    (["bench", "engine.fov", "--batch", "0"], "--batch"),
    (["bench", "engine.fov", "--seconds", "0"], "--seconds"),
    (["bench", "engine.fov", "--contexts", "0"], "--contexts"),
    (["run", "engine.fov", "picture.jpg", "--min-score", "2"], "--min-score"),
])
def test_wrong_or_missing_arguments(tmp_path, arguments, says):
    done = fails(BAD_ARGUMENT, *arguments, cwd=tmp_path, says=[says, "--help' says more"])
    assert not done.stdout and len(done.stderr) < 250, done.stderr


def test_version():
    first, libraries, device = succeeds("--version").splitlines()
    assert re.fullmatch(r"fovea \d+\.\d+\.\d+ \([0-9a-f]+\+?\)", first), first
    assert "oneDNN" in libraries and device


@pytest.mark.parametrize("verb", [[], ["compile"], ["run"], ["bench"], ["profile"], ["inspect"]])
def test_help(verb):
    assert "Usage" in succeeds(*verb, "--help")


@pytest.mark.parametrize("shapes, says", [
    ("m=1", ["no size 'm'", "its sizes are: n"]),
    ("n=0", ["NAME=SIZE", "'n=0'"]),
    ("n=100000", ["n = 100000", "1 to 1024"]),
    ("n", ["NAME=SIZE", "'n'"]),
    ("=1", ["NAME=SIZE"]),
    ("n=1,", ["NAME=SIZE"]),
    ("n=99999999999999999999", ["NAME=SIZE"]),
])
def test_shapes_that_do_not_fit(two_layer_model, tmp_path, shapes, says):
    fails(BAD_ARGUMENT, "compile", two_layer_model, "-o", tmp_path / "model.fov", "--shapes", shapes, says=["--shapes", *says])
    assert not files_below(tmp_path)


def test_passes_that_do_not_exist(two_layer_model, tmp_path):
    command = ["compile", two_layer_model, "-o", tmp_path / "model.fov", "--timing", "off"]
    fails(BAD_ARGUMENT, *command, "--disable-pass", "tidy", says=["no pass 'tidy'", "fold_constants"])
    fails(BAD_ARGUMENT, *command, "--print-ir-after", "tidy", says=["--print-ir-after", "'tidy'"])
    assert not files_below(tmp_path)


def test_an_output_that_cannot_be_written(two_layer_model, tmp_path):
    for output in (tmp_path / "absent/model.fov", tmp_path):
        fails(BAD_ARGUMENT, "compile", two_layer_model, "-o", output, "--timing", "off", says=str(output))
    assert not files_below(tmp_path)


def test_what_cannot_be_written_is_said_before_the_work(two_layer_model, two_layer_engine, detector, tmp_path):
    """The file that is missing besides is not looked at any more."""
    (tmp_path / "file").write_text("a plain file")
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 16, 16), np.float32))
    before = files_below(tmp_path)
    absent = "absent/file"
    for command in (["compile", "absent.onnx", "-o", absent], ["run", "absent.fov", PICTURES / "000001.jpg", "--json", absent],
                    ["bench", "absent.fov", "--json", absent]):
        fails(BAD_ARGUMENT, *command, cwd=tmp_path, says=[absent, "No such file"])
    for folder in ("file", "file/below"):
        fails(BAD_ARGUMENT, "run", detector, PICTURES / "000001.jpg", "--draw", folder, cwd=tmp_path, says=[folder, "expected a folder"])
        fails(BAD_ARGUMENT, "run", two_layer_engine, "--input", "x=x.npy", "--output", folder, cwd=tmp_path,
              says=[folder, "expected a folder"])
    assert files_below(tmp_path) == before


def test_a_size_or_batch_that_the_engine_does_not_have(two_layer_engine):
    fails(BAD_ARGUMENT, "bench", two_layer_engine, "--shapes", "m=1", says=["'m'", "its sizes are: n"])
    fails(BAD_ARGUMENT, "bench", two_layer_engine, "--batch", 2000, says=["--batch 2000", "1 to 1024"])


def test_run_needs_pictures_or_inputs(two_layer_engine, detector):
    fails(BAD_ARGUMENT, "run", detector, says=["pictures", "--input"])
    fails(BAD_ARGUMENT, "run", two_layer_engine, PICTURES / "000001.jpg", says=["no model card", "--card"])
    fails(BAD_ARGUMENT, "run", two_layer_engine, PICTURES / "000001.jpg", "--input", "x=x.npy", says="not both")
    fails(BAD_ARGUMENT, "run", two_layer_engine, "--input", "x=x.npy", says="--output DIR")


PICTURE, TENSOR = ["picture.jpg"], ["--input", "x=x.npy", "--output", "results"]


@pytest.mark.parametrize("command, flag", [
    *[(["run", "engine.fov", *TENSOR], flag) for flag in
      (["--json", "a"], ["--draw", "a"], ["--labels", "a"], ["--batch", 2], ["--min-score", 0.5])],
    (["run", "engine.fov", *PICTURE], ["--output", "results"]),
    *[(["bench", "engine.fov", "--turns"], flag) for flag in
      (["--json", "a"], ["--profile"], ["--batch", 2], ["--shapes", "n=1"], ["--contexts", 2], ["--seconds", 1], ["--warmup", 1])],
    (["bench", "engine.fov"], ["--output", "results"]),
    *[(["bench", "engine.fov", "--input", "x=x.npy"], flag) for flag in
      (["--batch", 2], ["--shapes", "n=1"], ["--sweep"], ["--pictures", "folder"], ["--memory", "pictures"])],
    *[(["profile", "engine.fov", "--input", "x=x.npy"], flag) for flag in (["--batch", 2], ["--shapes", "n=1"])],
])
def test_a_flag_of_the_other_mode_is_not_ignored(tmp_path, command, flag):
    fails(BAD_ARGUMENT, *command, *flag, cwd=tmp_path, says=[f"invalid argument: {flag[0]} ", "with"])
    assert not files_below(tmp_path)


def test_a_list_flag_takes_one_value(two_layer_model, two_layer_engine, tmp_path):
    """What follows it may be the file."""
    for flag in (["--shapes", "n=1"], ["--disable-pass", "slices"], ["--print-ir-after", "import"]):
        succeeds("compile", "--timing", "off", *flag, *flag, two_layer_model, "-o", tmp_path / "model.fov")
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 16, 16), np.float32))
    succeeds("run", "--input", "x=x.npy", two_layer_engine, "--output", "results", cwd=tmp_path)
    succeeds("bench", "--seconds", 0.01, "--warmup", 0, "--shapes", "n=1", two_layer_engine)


# ---- cards

def card_refused(tmp_path, code, says, **replace):
    text = (SMALL_SSD / "card.toml").read_text()
    for old, new in replace.get("texts", []):
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "card.toml").write_text(text)
    if "anchors" not in replace:
        (tmp_path / "anchors.npy").write_bytes((SMALL_SSD / "anchors.npy").read_bytes())
    before = files_below(tmp_path)
    fails(code, "compile", SMALL_SSD / "small_ssd.onnx", "-o", "model.fov", "--card", "card.toml", "--timing", "off", cwd=tmp_path,
          says=says)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("old, new, says", [
    ("iou_threshold", "iou_treshold", ["card.toml:25", "postprocess.iou_treshold", "did you mean 'iou_threshold'?"]),
    ("color", "colour", ["card.toml:7", "picture.colour", "did you mean 'color'?"]),
    ("[postprocess]", "[postproces]", ["card.toml:18", "postproces", "did you mean 'postprocess'?"]),
    ('"stretch"', '"strech"', ["card.toml:5", "picture.resize", "did you mean \"stretch\"?"]),
    ("[256, 256]", "256", ["card.toml:4", "picture.size"]),
    ("[256, 256]", "[256, 0]", ["card.toml:4", "picture.size"]),
    ("iou_threshold = 0.5", "iou_threshold = \"half\"", ["card.toml:25", "postprocess.iou_threshold"]),
    ("[picture]", "[picture", ["card.toml:2", "expected TOML"]),
    ('"deltas"', '"delta"', ["outputs.boxes", "no output 'delta'", "did you mean 'deltas'?"]),
    ('"logits"', '"loggits"', ["outputs.scores", "no output 'loggits'", "did you mean 'logits'?"]),
    ('"image"', '"images"', ["picture.input", "no input 'images'", "did you mean 'image'?"]),
    ("anchors.npy", "absent.npy", ["absent.npy", "No such file"]),
])
def test_cards_that_are_wrong(tmp_path, old, new, says):
    card_refused(tmp_path, BAD_ARGUMENT, says, texts=[(old, new)])


def test_a_card_that_is_not_there(tmp_path):
    fails(BAD_ARGUMENT, "compile", SMALL_SSD / "small_ssd.onnx", "-o", tmp_path / "model.fov", "--card", tmp_path / "card.toml",
          says=["card.toml", "No such file"])


def test_anchors_that_are_damaged(tmp_path):
    (tmp_path / "anchors.npy").write_bytes((SMALL_SSD / "anchors.npy").read_bytes()[:1000])
    card_refused(tmp_path, BAD_ARGUMENT, ["anchors.npy", "expected"], anchors=False)
