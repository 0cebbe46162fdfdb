"""Writes ONNX's own operator tests as files for conformance_test: generate_cases.py OUTPUT_DIR

One folder a case: model.onnx, input_K.pb and output_K.pb (TensorProto) of its first data set, and tolerance.txt. Cases
with sequences, maps or optionals among inputs and outputs get a file 'skip' that says so instead of tensors.
"""

import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def tensor_proto(value, name):
    if isinstance(value, onnx.TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value), name)


def write_case(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "tolerance.txt").write_text(f"{case.rtol} {case.atol}\n")
    graph = case.model.graph
    kinds = {v.type.WhichOneof("value") for v in [*graph.input, *graph.output]}
    if kinds - {"tensor_type"}:
        (folder / "skip").write_text("inputs or outputs that are no tensors\n")
        return
    inputs, outputs = case.data_sets[0]
    for k, (value, info) in enumerate(zip(inputs, graph.input)):
        (folder / f"input_{k}.pb").write_bytes(tensor_proto(value, info.name).SerializeToString())
    for k, (value, info) in enumerate(zip(outputs, graph.output)):
        (folder / f"output_{k}.pb").write_bytes(tensor_proto(value, info.name).SerializeToString())


def main():
    out = pathlib.Path(sys.argv[1])
    stamp = out / "complete"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    np.random.seed(0)
    cases = [c for c in collect_testcases() if c.kind == "node"]
    for case in cases:
        write_case(case, out / case.name)
    stamp.write_text(f"onnx {onnx.__version__} opset {onnx.defs.onnx_opset_version()} cases {len(cases)}\n")


if __name__ == "__main__":
    main()
