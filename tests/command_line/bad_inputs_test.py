"""Tensors and pictures that an engine cannot take: exit code 2, the reason, and no output."""

import os
import random

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper
from tool import BAD_ARGUMENT, PICTURES, UNSUPPORTED, fails, files_below, fovea, model, save, succeeds, tensor

GOOD = np.zeros((2, 3, 16, 16), np.float32)


def tensors_refused(engine, folder, items, says):
    before = files_below(folder)
    inputs = [text for item in items for text in ("--input", item)]
    fails(BAD_ARGUMENT, "run", engine, *inputs, "--output", "results", cwd=folder, says=says)
    assert files_below(folder) == before


@pytest.mark.parametrize("name, array, says", [
    ("image", GOOD, ["no input 'image'", "its inputs are: x"]),
    ("x", GOOD.astype(np.float64), ["input 'x'", "expected float32, found float64"]),
    ("x", GOOD.astype(np.uint8), ["input 'x'", "expected float32, found uint8"]),
    ("x", GOOD[:, :, :, 1:], ["input 'x'", "expected shape [n,3,16,16], found [2,3,16,15]"]),
    ("x", GOOD[0], ["input 'x'", "expected shape [n,3,16,16], found [3,16,16]"]),
    ("x", GOOD.reshape(2, 3, 16, 16, 1, 1, 1, 1, 1), ["input 'x'", "expected shape [n,3,16,16], found"]),
    ("x", GOOD[:0], ["input 'x'", "found [0,3,16,16]", "1 to 1024"]),
    ("x", np.zeros((1025, 3, 16, 16), np.float32), ["input 'x'", "found [1025,3,16,16]", "1 to 1024"]),
])
def test_tensors_of_the_wrong_kind(two_layer_engine, tmp_path, name, array, says):
    np.save(tmp_path / "x.npy", array)
    tensors_refused(two_layer_engine, tmp_path, [f"{name}=x.npy"], says)


@pytest.mark.parametrize("array", [np.array("text"), GOOD.astype(">f4")])
def test_arrays_that_fovea_does_not_read(two_layer_engine, tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    fails(UNSUPPORTED, "run", two_layer_engine, "--input", "x=x.npy", "--output", "results", cwd=tmp_path,
          says=["x.npy", "expected a", f"found type '{array.dtype.str}'"])


@pytest.mark.parametrize("contents, says", [(b"", "an empty file"), (b"\x93NUMPY", "6 bytes"), (b"no array", ".npy")])
def test_files_that_are_no_arrays(two_layer_engine, tmp_path, contents, says):
    (tmp_path / "x.npy").write_bytes(contents)
    tensors_refused(two_layer_engine, tmp_path, ["x=x.npy"], ["x.npy", says])


def test_a_truncated_array(two_layer_engine, tmp_path):
    np.save(tmp_path / "whole.npy", GOOD)
    (tmp_path / "x.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-1])
    tensors_refused(two_layer_engine, tmp_path, ["x=x.npy"], ["x.npy", "6144 bytes", "6143"])


def test_an_input_given_twice(two_layer_engine, tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    tensors_refused(two_layer_engine, tmp_path, ["x=x.npy", "x=x.npy"], ["--input", "one tensor for 'x', found two"])


def test_an_array_that_is_not_there(two_layer_engine, tmp_path):
    tensors_refused(two_layer_engine, tmp_path, ["x=absent.npy"], ["absent.npy", "No such file"])
    tensors_refused(two_layer_engine, tmp_path, ["x"], ["--input", "NAME=FILE.npy", "'x'"])


def pictures_refused(detector, folder, says, pictures=("picture.jpg",)):
    before = files_below(folder)
    fails(BAD_ARGUMENT, "run", detector, *pictures, "--json", "boxes.json", "--draw", "drawn", cwd=folder, says=says)
    assert files_below(folder) == before


def test_a_picture_that_is_not_there(detector, tmp_path):
    pictures_refused(detector, tmp_path, ["picture.jpg", "No such file"])


def test_an_empty_picture(detector, tmp_path):
    (tmp_path / "picture.jpg").touch()
    pictures_refused(detector, tmp_path, ["picture.jpg", "an empty file"])


def test_a_picture_below_a_file(detector, tmp_path):
    (tmp_path / "file").touch()
    pictures_refused(detector, tmp_path, ["file/picture.jpg", "Not a directory"], ["file/picture.jpg"])


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_an_unreadable_picture(detector, tmp_path):
    (tmp_path / "picture.jpg").write_bytes((PICTURES / "000001.jpg").read_bytes())
    (tmp_path / "picture.jpg").chmod(0)
    pictures_refused(detector, tmp_path, ["picture.jpg", "Permission denied"])


@pytest.mark.parametrize("picture", ["000001.jpg", "000012.png"])
@pytest.mark.parametrize("part", [0.01, 0.3, 0.9])
def test_a_truncated_picture(detector, tmp_path, picture, part):
    whole = (PICTURES / picture).read_bytes()
    (tmp_path / "picture.jpg").write_bytes(whole[:int(len(whole) * part)])
    pictures_refused(detector, tmp_path, ["picture.jpg", "expected a whole", "cut off" if part > 0.1 else ""])


@pytest.mark.parametrize("contents", [b"Dear reader, this is no picture.\n", b"\0" * 1000, b"P6 1 1 255 abc", b"GIF89a" + b"\1" * 50])
def test_not_a_picture(detector, tmp_path, contents):
    (tmp_path / "picture.jpg").write_bytes(contents)
    pictures_refused(detector, tmp_path, ["picture.jpg", "expected a JPEG or PNG picture"])


@pytest.mark.parametrize("picture", ["000001.jpg", "000012.png"])
def test_garbage_behind_the_signature(detector, tmp_path, picture):
    garbage = random.Random(5).randbytes(3000)
    (tmp_path / "picture.jpg").write_bytes((PICTURES / picture).read_bytes()[:8] + garbage)
    pictures_refused(detector, tmp_path, ["picture.jpg", "expected a whole"])


@pytest.mark.parametrize("picture", ["000001.jpg", "000012.png"])
def test_damaged_pictures_never_crash(detector, tmp_path, picture):
    """Decoders repair some damage; then there are boxes. Otherwise the call is refused."""
    whole = (PICTURES / picture).read_bytes()
    seed = 9
    pick = random.Random(seed)
    for i in range(12):
        damaged = bytearray(whole)
        for _ in range(1 + i):
            damaged[pick.randrange(len(damaged))] ^= pick.randrange(1, 256)
        (tmp_path / "picture.jpg").write_bytes(damaged)
        done = fovea("run", detector, tmp_path / "picture.jpg")
        assert done.returncode in (0, BAD_ARGUMENT), f"seed {seed}, round {i}: {done.returncode} {done.stderr}"
        if done.returncode:
            assert "picture.jpg: " in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_folder_without_pictures(detector, tmp_path):
    (tmp_path / "empty").mkdir()
    pictures_refused(detector, tmp_path, ["empty", "found none"], ["empty"])


def test_one_bad_picture_among_good_ones(detector, tmp_path):
    (tmp_path / "bad.jpg").touch()
    fails(BAD_ARGUMENT, "run", detector, PICTURES / "000003.jpg", "bad.jpg", "--json", "boxes.json", cwd=tmp_path, says="bad.jpg")
    assert files_below(tmp_path) == ["bad.jpg"]


@pytest.mark.parametrize("batch, says", [(1, "small.png: "), (2, "right.png, small.png: ")])
def test_a_picture_that_the_network_does_not_take_is_named(tmp_path, batch, says):
    """Without resizing a network of fixed size takes no other."""
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["row"]),
             helper.make_node("Reshape", ["row", "boxes_shape"], ["boxes"]),
             helper.make_node("ReduceMax", ["boxes"], ["y"], axes=[2], keepdims=0)]
    proto = model(nodes, [tensor("w", (768, 20)), helper.make_tensor("boxes_shape", TensorProto.INT64, [3], [-1, 5, 4])])
    proto.graph.output.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, None))
    save(proto, tmp_path / "model.onnx")
    (tmp_path / "card.toml").write_text('[picture]\ninput = "x"\nresize = "none"\n[outputs]\nboxes = "boxes"\nscores = "y"\n'
                                        'box_format = "xyxy"\nnormalized = false\n')
    succeeds("compile", "model.onnx", "-o", "model.fov", "--card", "card.toml", "--timing", "off", cwd=tmp_path)
    for name, sides in (("right.png", (16, 16)), ("small.png", (8, 8))):
        cv2.imwrite(str(tmp_path / name), np.zeros((*sides, 3), np.uint8))
    fails(BAD_ARGUMENT, "run", "model.fov", "right.png", "small.png", "--batch", batch, cwd=tmp_path, says=says)
