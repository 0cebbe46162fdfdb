"""Graphs as exporters write them, sizes left open, beside ONNX Runtime on several sizes from one engine."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tool import BAD_MODEL, fails, save, succeeds

N = helper.make_node
F, I = TensorProto.FLOAT, TensorProto.INT64


def graph(nodes, inputs, outputs, constants=(), opset=17):
    """inputs, outputs: (name, type, shape)"""
    made = helper.make_graph(nodes, "graph", [helper.make_tensor_value_info(*i) for i in inputs],
                             [helper.make_tensor_value_info(*o) for o in outputs],
                             [numpy_helper.from_array(np.asarray(v), k) for k, v in dict(constants).items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def agrees(folder, model, feeds, shapes=()):
    """One engine, compiled without timing, gives what ONNX Runtime gives for each of the feeds."""
    engine = save(model, folder / "model.onnx").with_suffix(".fov")
    profiles = [a for s in shapes for a in ("--shapes", s)]
    succeeds("compile", folder / "model.onnx", "-o", engine, "--timing", "off", "--threads", 2, *profiles)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for i, feed in enumerate(feeds):
        inputs = []
        for name, value in feed.items():
            np.save(folder / f"{name}.npy", value)
            inputs += ["--input", f"{name}={folder / name}.npy"]
        out = folder / f"out{i}"
        succeeds("run", engine, *inputs, "--output", out)
        for o, want in zip(session.get_outputs(), session.run(None, feed)):
            got = np.load(out / f"{o.name}.npy")
            assert got.dtype == want.dtype and got.shape == want.shape, (feed.keys(), o.name, got.shape, want.shape)
            size = np.sqrt(np.mean(np.square(want, dtype=np.float64))) if want.dtype == np.float32 and want.size else 0
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * size)


def head(i, source, channels):
    """conv -> view(n, -1, 4, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, 4), the sizes by Shape and Gather"""
    p = f"head{i}_"
    nodes = [N("Conv", [source, p + "weights"], [p + "c"], pads=[1] * 4), N("Shape", [source], [p + "s"]),
             N("Gather", [p + "s", "i0"], [p + "n"]), N("Shape", [p + "c"], [p + "s2"])]
    for axis in "hw":
        nodes.append(N("Gather", [p + "s2", "i2" if axis == "h" else "i3"], [p + axis]))
    nodes += [N("Unsqueeze", [p + k, "a0"], [p + k + "u"]) for k in "nhw"]
    nodes += [N("Concat", [p + "nu", "m1", "four", p + "hu", p + "wu"], [p + "to"], axis=0),
              N("Reshape", [p + "c", p + "to"], [p + "r"]), N("Transpose", [p + "r"], [p + "t"], perm=[0, 3, 4, 1, 2]),
              N("Concat", [p + "nu", "m1", "four"], [p + "to2"], axis=0), N("Reshape", [p + "t", p + "to2"], [p + "o"])]
    return nodes, {p + "weights": noise(8, channels, 3, 3, seed=i) / 10}


def test_pyramid_whose_levels_shrink_by_unpadded_convolutions(tmp_path):
    nodes, outs, source, channels = [], [], "x", 3
    constants = {"i0": np.int64(0), "i2": np.int64(2), "i3": np.int64(3), "a0": [0], "m1": [-1], "four": [4]}
    for i, (stride, pad) in enumerate([(2, 1), (2, 1), (1, 0), (1, 0)]):
        constants[f"w{i}"] = noise(8, channels, 3, 3, seed=10 + i) / 5
        nodes += [N("Conv", [source, f"w{i}"], [f"y{i}"], strides=[stride] * 2, pads=[pad] * 4), N("Relu", [f"y{i}"], [f"z{i}"])]
        source, channels = f"z{i}", 8
        made, weights = head(i, source, channels)
        nodes += made
        constants |= weights
        outs.append(f"head{i}_o")
    nodes += [N("Concat", outs, ["all"], axis=1), N("Softmax", ["all"], ["y"], axis=-1)]
    model = graph(nodes, [("x", F, ["n", 3, "h", "w"])], [("y", F, None)], constants)
    agrees(tmp_path, model, [{"x": noise(1, 3, 32, 40)}, {"x": noise(2, 3, 33, 47)}, {"x": noise(3, 3, 160, 200)}])


def branch(name, nodes, output):
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(output, F, None)])


def test_branches_that_do_not_fit_the_sizes_they_are_guarded_against(tmp_path):
    squeeze = branch("squeeze", [N("Squeeze", ["x", "a0"], ["b1"])], "b1")
    total = branch("total", [N("ReduceMax", ["x"], ["b2"], axes=[0], keepdims=0)], "b2")
    sixth = branch("sixth", [N("Gather", ["x", "five"], ["b3"])], "b3")
    total2 = branch("total2", [N("ReduceMax", ["x"], ["b4"], axes=[0], keepdims=0)], "b4")
    nodes = [N("Shape", ["x"], ["s"]), N("Gather", ["s", "zero"], ["n"]), N("Equal", ["n", "one"], ["alone"]),
             N("If", ["alone"], ["y"], then_branch=squeeze, else_branch=total), N("Greater", ["n", "five"], ["many"]),
             N("If", ["many"], ["z"], then_branch=sixth, else_branch=total2)]
    constants = {"a0": [0], "zero": np.int64(0), "one": np.int64(1), "five": np.int64(5)}
    model = graph(nodes, [("x", F, ["n", 4])], [("y", F, None), ("z", F, None)], constants)
    agrees(tmp_path, model, [{"x": noise(n, 4)} for n in (1, 3, 5, 6, 7)])


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten_of_open_sizes(tmp_path, axis):
    model = graph([N("Flatten", ["x"], ["y"], axis=axis)], [("x", F, ["n", "h", "w"])], [("y", F, None)])
    agrees(tmp_path, model, [{"x": noise(2, 3, 5)}, {"x": noise(1, 4, 1)}, {"x": noise(3, 1, 2)}])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_before_opset_13_over_open_sizes(tmp_path, op):
    model = graph([N(op, ["x"], ["y"], axis=2)], [("x", F, ["n", "a", "b", 3])], [("y", F, None)], opset=11)
    agrees(tmp_path, model, [{"x": noise(2, 3, 5, 3)}, {"x": noise(1, 1, 4, 3)}])


def test_casts_of_what_does_not_fit(tmp_path):
    types = [TensorProto.INT32, TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8]
    model = graph([N("Cast", ["x"], [f"y{t}"], to=t) for t in types], [("x", F, ["n"])], [(f"y{t}", t, None) for t in types])
    values = np.array([3e9, -3e9, 2147483520, -2147483648, 1.9, -1.9, 300, np.inf, -np.inf, np.nan], np.float32)
    # Beyond 64 bits ONNX Runtime's int64 is whatever its compiler made of it: not compared.
    agrees(tmp_path, model, [{"x": values[:7]}])
    folded = graph([N("Cast", ["c"], ["y"], to=TensorProto.INT32), N("Identity", ["x"], ["z"])], [("x", F, ["n"])],
                   [("y", TensorProto.INT32, None), ("z", F, None)], {"c": values})
    agrees(tmp_path, folded, [{"x": noise(2)}])


def test_views_by_strides(tmp_path):
    """Transpose, Split, Slice, Expand and Concat as looks at memory, read and read again"""
    nodes = [N("Relu", ["x"], ["r"]), N("Split", ["r", "parts"], ["p", "q", "s"], axis=1),
             N("Transpose", ["q"], ["qt"], perm=[0, 2, 1]), N("Gather", ["qt", "places"], ["g"], axis=1),
             N("Unsqueeze", ["p", "a1"], ["pu"]), N("Expand", ["pu", "wide"], ["e"]),
             N("GatherElements", ["e", "index"], ["ge"], axis=3), N("Slice", ["s", "one", "end", "a2"], ["sl"]),
             N("TopK", ["s", "two"], ["tv", "ti"], axis=1), N("Concat", ["sl", "sl"], ["twice"], axis=2)]
    constants = {"parts": [2, 3, 5], "places": [3, 0, 1], "a1": [1], "a2": [2], "wide": [1, 3, 2, 6], "one": [1], "end": [9],
                 "index": np.random.default_rng(0).integers(0, 6, (1, 3, 2, 4)), "two": [2]}
    outputs = [("g", F, None), ("ge", F, None), ("sl", F, None), ("tv", F, None), ("ti", I, None), ("twice", F, None)]
    model = graph(nodes, [("x", F, [1, 10, 6])], outputs, constants)
    agrees(tmp_path, model, [{"x": noise(1, 10, 6)}])


def test_concat_of_pieces_that_are_made_in_place(tmp_path):
    nodes = [N("Relu", ["x"], ["a"]), N("Mul", ["a", "two"], ["b"]), N("Add", ["b", "y"], ["c"]), N("Reshape", ["c", "flat"], ["f"]),
             N("Reshape", ["a", "flat"], ["g"]), N("Concat", ["f", "g", "f2"], ["z"], axis=0), N("Sigmoid", ["y"], ["s"]),
             N("Reshape", ["s", "flat"], ["f2"]), N("Add", ["f2", "g"], ["w"]), N("Exp", ["b"], ["v"])]
    nodes = nodes[:5] + nodes[6:8] + [nodes[5]] + nodes[8:]
    model = graph(nodes, [("x", F, ["n", 5]), ("y", F, ["n", 5])], [("z", F, None), ("w", F, None), ("v", F, None)],
                  {"two": np.float32(2), "flat": [-1]})
    agrees(tmp_path, model, [{"x": noise(n, 5), "y": noise(n, 5, seed=1)} for n in (1, 7, 4)])


@pytest.mark.parametrize("chain", [["Slice"], ["Reshape", "Slice"], ["If"]])
def test_what_data_decides_cannot_be_reshaped_to_anything(tmp_path, chain):
    nodes, last = [N("NonZero", ["m"], ["nz"]), N("Reshape", ["nz", "shape"], ["r0"])], "r0"
    for i, op in enumerate(chain):
        inputs = {"Slice": [last, "from", "to"], "Reshape": [last, "other"], "If": ["yes"]}[op]
        taken = helper.make_graph([N("Add", [last, "one"], ["t"])], "t", [], [helper.make_tensor_value_info("t", I, None)])
        other = helper.make_graph([N("Sub", [last, "one"], ["e"])], "e", [], [helper.make_tensor_value_info("e", I, None)])
        branches = {"then_branch": taken, "else_branch": other} if op == "If" else {}
        nodes.append(N(op, inputs, [f"r{i + 1}"], **branches))
        last = f"r{i + 1}"
    nodes.append(N("Add", [last, "one"], ["y"]))
    if "If" in chain:
        nodes.insert(0, N("ReduceMax", ["m"], ["top"], keepdims=0))
        nodes.insert(1, N("Greater", ["top", "zero"], ["yes"]))
    shape = [2, 4] if "If" in chain else [2, 100000]
    constants = {"shape": shape, "from": [1], "to": [2], "other": [shape[1], 2], "one": np.int64(1), "zero": np.float32(0)}
    model = save(graph(nodes, [("m", F, ["a", "b"])], [("y", I, None)], constants), tmp_path / "m.onnx")
    succeeds("compile", model, "-o", tmp_path / "m.fov", "--timing", "off")
    mask = np.zeros((3, 3), np.float32)
    mask[0, 0] = mask[2, 1] = 1
    np.save(tmp_path / "m.npy", mask)
    fails(2, "run", tmp_path / "m.fov", "--input", f"m={tmp_path / 'm.npy'}", "--output", tmp_path / "o", says=["cannot be reshaped", "4 elements"])


def test_hostile_convolutions_and_pads(tmp_path):
    wide = graph([N("Conv", ["x", "w"], ["y"], group=1 << 62)], [("x", F, [1, 0, 4, 4])], [("y", F, None)],
                 {"w": np.zeros((0, 4, 1, 1), np.float32)})
    fails(BAD_MODEL, "compile", save(wide, tmp_path / "a.onnx"), "-o", tmp_path / "a.fov", says="group")
    nothing = graph([N("Pad", ["x", "pads", "value"], ["y"])], [("x", F, [2])], [("y", F, None)],
                    {"pads": [1, 1], "value": np.zeros(0, np.float32)})
    fails(BAD_MODEL, "compile", save(nothing, tmp_path / "b.onnx"), "-o", tmp_path / "b.fov", says="one constant")
    far = graph([N("Conv", ["x", "w"], ["y"], pads=[1 << 20] * 4, strides=[1 << 17] * 2)], [("x", F, [1, 4, 8, 8])],
                [("y", F, None)], {"w": noise(4, 4, 3, 3)})
    agrees(tmp_path, far, [{"x": noise(1, 4, 8, 8)}])


def test_a_long_chain_compiles_quickly(tmp_path):
    count = 1500
    nodes = [N("LeakyRelu", [f"v{i}"], [f"v{i + 1}"], alpha=0.999) for i in range(count)]
    model = graph(nodes, [("v0", F, ["n", 7])], [(f"v{count}", F, None)])
    agrees(tmp_path, model, [{"v0": noise(2, 7)}])


def test_sizes_that_only_some_inputs_have(tmp_path):
    """Anchors baked in: the model takes pictures of 20 pixels alone, and says --shapes where nobody names them."""
    model = graph([N("Reshape", ["x", "flat"], ["f"]), N("Add", ["f", "anchors"], ["y"])], [("x", F, ["n", 1, "h", "w"])],
                  [("y", F, None)], {"flat": [0, -1], "anchors": noise(20)})
    fails(2, "compile", save(model, tmp_path / "m.onnx"), "-o", tmp_path / "m.fov", says=["cannot broadcast", "--shapes"])
    agrees(tmp_path, model, [{"x": noise(2, 1, 4, 5)}, {"x": noise(1, 1, 10, 2)}], shapes=["n=1,h=4,w=5"])
