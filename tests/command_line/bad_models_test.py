"""Models that cannot be compiled: the exit code, a message that names the place, and no engine file."""

import onnx
import pytest
from onnx import TensorProto, helper
from tool import BAD_ARGUMENT, BAD_MODEL, UNSUPPORTED, fails, files_below, model, save, succeeds, two_layers


def refused(folder, code, says):
    before = files_below(folder)
    fails(code, "compile", "model.onnx", "-o", "model.fov", "--timing", "off", says=says, cwd=folder)
    assert files_below(folder) == before


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path, BAD_ARGUMENT, ["model.onnx", "No such file"])


def test_a_folder(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    refused(tmp_path, BAD_ARGUMENT, ["model.onnx", "expected a regular file"])


@pytest.mark.parametrize("contents", [b"Dear reader, this is no model.\n", b"\0" * 1000, bytes(range(256)) * 4,
                                      b"PK\x03\x04" + b"\0" * 60, b"version https://git-lfs.github.com/spec/v1\n"])
def test_not_an_onnx_file(tmp_path, contents):
    (tmp_path / "model.onnx").write_bytes(contents)
    refused(tmp_path, BAD_MODEL, ["model.onnx", "not an ONNX file"])


def test_an_empty_file(tmp_path):
    (tmp_path / "model.onnx").touch()
    refused(tmp_path, BAD_MODEL, ["model.onnx", "empty"])


@pytest.mark.parametrize("part", [0.25, 0.5, 0.9])
def test_a_truncated_file(tmp_path, part):
    whole = two_layers().SerializeToString()
    (tmp_path / "model.onnx").write_bytes(whole[:int(len(whole) * part)])
    refused(tmp_path, BAD_MODEL, ["model.onnx", "truncated"])


def test_every_length_of_a_truncated_file(tmp_path):
    """Cut between two fields the file is still protobuf, but no model: some reason or other is given."""
    whole = two_layers().SerializeToString()
    for size in [*range(0, 20), *range(len(whole) - 20, len(whole))]:
        (tmp_path / "model.onnx").write_bytes(whole[:size])
        refused(tmp_path, BAD_MODEL, ["model.onnx"])


def test_a_cyclic_graph(tmp_path):
    cycle = model([helper.make_node("Add", ["x", "b"], ["a"], name="first"),
                   helper.make_node("Relu", ["a"], ["b"], name="second"),
                   helper.make_node("Relu", ["b"], ["y"], name="third")])
    save(cycle, tmp_path / "model.onnx")
    refused(tmp_path, BAD_MODEL, ["model.onnx", "cycle", "first", "second"])


def test_a_value_from_nowhere(tmp_path):
    save(model([helper.make_node("Relu", ["absent"], ["y"], name="odd")]), tmp_path / "model.onnx")
    refused(tmp_path, BAD_MODEL, ["Relu 'odd'", "'absent'"])


def test_an_unknown_operator_is_named_with_the_nearest(tmp_path):
    save(model([helper.make_node("Reluu", ["x"], ["y"], name="odd")]), tmp_path / "model.onnx")
    refused(tmp_path, UNSUPPORTED, ["Reluu 'odd'", "did you mean Relu?"])


def test_an_operator_of_a_foreign_domain(tmp_path):
    proto = model([helper.make_node("Gizmo", ["x"], ["y"], name="odd", domain="org.example")])
    proto.opset_import.append(helper.make_opsetid("org.example", 1))
    save(proto, tmp_path / "model.onnx")
    refused(tmp_path, UNSUPPORTED, ["org.example:Gizmo", "'odd'"])


def test_shapes_that_contradict_each_other(tmp_path):
    proto = two_layers()
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    save(proto, tmp_path / "model.onnx")
    refused(tmp_path, BAD_MODEL, ["convolution"])


def external(folder, location="weights.bin", offset=0, length=None, write=True):
    """The two layers with their weights in a file of 432 bytes, described as told."""
    proto = two_layers()
    weights = proto.graph.initializer[0]
    data = weights.raw_data
    if write:
        (folder / "weights.bin").write_bytes(data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    place = {"location": location, "offset": offset, "length": len(data) if length is None else length}
    weights.external_data.extend(onnx.StringStringEntryProto(key=k, value=str(v)) for k, v in place.items())
    save(proto, folder / "model.onnx")


def test_external_data_is_read(tmp_path):
    external(tmp_path)
    succeeds("compile", "model.onnx", "-o", "model.fov", "--timing", "off", cwd=tmp_path)


def test_missing_external_data(tmp_path):
    external(tmp_path, write=False)
    refused(tmp_path, BAD_MODEL, ["'w'", "weights.bin", "No such file"])


@pytest.mark.parametrize("offset", [64, 432, 433, 1 << 40, (1 << 63) - 1])
def test_external_data_past_the_end(tmp_path, offset):
    external(tmp_path, offset=offset)
    refused(tmp_path, BAD_MODEL, ["'w'", "weights.bin", "past the end"])


@pytest.mark.parametrize("offset", [-4, 1 << 63, "much"])
def test_external_data_at_no_offset(tmp_path, offset):
    external(tmp_path, offset=offset)
    refused(tmp_path, BAD_MODEL, ["'w'", "offset", str(offset)])


def test_external_data_of_another_length(tmp_path):
    external(tmp_path, length=428)
    refused(tmp_path, BAD_MODEL, ["'w'", "432", "428"])


@pytest.mark.parametrize("location", ["../weights.bin", "folder/../../weights.bin", "/etc/passwd", "..\\weights.bin"])
def test_external_data_outside_the_models_folder(tmp_path, location):
    folder = tmp_path / "folder"
    folder.mkdir()
    external(folder, location=location)
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    refused(folder, BAD_MODEL, ["'w'", "inside the model's folder"])
