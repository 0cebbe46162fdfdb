"""Damaged engine files: exit code 3 and the reason, never a crash."""

import random
import struct

import pytest
from tool import BAD_ARGUMENT, BAD_MODEL, fails, succeeds

HEADER = 64
FORMAT = struct.Struct("<I")
FORMAT_AT = 8


def test_the_engine_is_good_before_anyone_damages_it(two_layer_engine):
    assert "two_layers.onnx" in succeeds("inspect", two_layer_engine)


def refused(contents, path, says=()):
    path.write_bytes(contents)
    fails(BAD_MODEL, "inspect", path, says=[str(path), *says])


def flipped(contents, at, bits=0xFF):
    return contents[:at] + bytes([contents[at] ^ bits]) + contents[at + 1:]


def test_every_byte_of_the_header_flipped_in_turn(two_layer_engine, tmp_path):
    contents = two_layer_engine.read_bytes()
    for at in range(HEADER):
        for bits in (0xFF, 1 << at % 8):
            refused(flipped(contents, at, bits), tmp_path / f"byte_{at}.fov")


def test_random_bytes_elsewhere_flipped(two_layer_engine, tmp_path):
    contents = two_layer_engine.read_bytes()
    seed = 20
    pick = random.Random(seed)
    for _ in range(200):
        at = pick.randrange(HEADER, len(contents))
        refused(flipped(contents, at, pick.randrange(1, 256)), tmp_path / f"seed_{seed}_byte_{at}.fov")


def test_random_bytes_of_a_larger_engine_flipped(detector, tmp_path):
    contents = detector.read_bytes()
    pick = random.Random(21)
    for _ in range(20):
        at = pick.randrange(HEADER, len(contents))
        refused(flipped(contents, at), tmp_path / f"byte_{at}.fov", ["checksum"])
        (tmp_path / f"byte_{at}.fov").unlink()


def test_run_and_bench_refuse_it_too(detector, tmp_path):
    contents = detector.read_bytes()
    damaged = tmp_path / "damaged.fov"
    damaged.write_bytes(flipped(contents, len(contents) // 2))
    for command in (["run", damaged, "picture.jpg"], ["run", damaged, "--input", "x=x.npy", "--output", tmp_path],
                    ["bench", damaged]):
        fails(BAD_MODEL, *command, says=["damaged.fov", "checksum"])


@pytest.mark.parametrize("newer", [2, 3, 1000, 0xFFFFFFFF])
def test_an_engine_of_a_newer_format(two_layer_engine, tmp_path, newer):
    """The format is looked at before the header's checksum, which a newer format may compute otherwise."""
    contents = bytearray(two_layer_engine.read_bytes())
    assert FORMAT.unpack_from(contents, FORMAT_AT) == (1,)
    FORMAT.pack_into(contents, FORMAT_AT, newer)
    refused(bytes(contents), tmp_path / "newer.fov", [f"engine format {newer}", "reads up to 1", "use a newer fovea"])


def test_a_truncated_engine(two_layer_engine, tmp_path):
    contents = two_layer_engine.read_bytes()
    for size in [0, 1, 7, 8, 63, 64, 65, len(contents) // 2, len(contents) - 64, len(contents) - 1]:
        refused(contents[:size], tmp_path / f"first_{size}.fov")


def test_bytes_behind_the_end(two_layer_engine, tmp_path):
    refused(two_layer_engine.read_bytes() + b"\0" * 64, tmp_path / "longer.fov")


def test_another_kind_of_file(two_layer_model, tmp_path):
    refused(two_layer_model.read_bytes(), tmp_path / "model.fov", ["signature"])
    refused(b"a line of text\n" * 10, tmp_path / "text.fov", ["signature"])


def test_no_file(tmp_path):
    fails(BAD_ARGUMENT, "inspect", tmp_path / "absent.fov", says="No such file")
    fails(BAD_ARGUMENT, "inspect", tmp_path, says="expected a regular file")
