"""Writes small_ssd.onnx and anchors.npy from the trained weights, and compares ONNX Runtime with PyTorch on them.

    python export.py weights.pt [--older] [--out FOLDER]
"""
import argparse
import os

import numpy as np
import onnxruntime
import torch

import data
from network import SIZE, SmallSSD, default_boxes


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights")
    p.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    p.add_argument("--older", action="store_true", help="PyTorch's older exporter (opset 17), written beside as small_ssd.older.onnx")
    a = p.parse_args()
    net = SmallSSD(len(data.NAMES)).eval()
    net.load_state_dict(torch.load(a.weights, map_location="cpu", weights_only=True))
    np.save(os.path.join(a.out, "anchors.npy"), default_boxes())

    file = os.path.join(a.out, "small_ssd.older.onnx" if a.older else "small_ssd.onnx")
    names = dict(input_names=["image"], output_names=["deltas", "logits"])
    x = torch.randn(2, 3, SIZE, SIZE)
    if a.older:
        axes = {name: {0: "n"} for name in ("image", "deltas", "logits")}
        torch.onnx.export(net, (x,), file, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    else:
        program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
        for node in program.graph.nodes:   # else the file would tell where PyTorch is installed on this machine
            node.meta.pop("stack_trace", None)
        torch.onnx.export(program, (x,), file, dynamo=True, opset_version=20, external_data=False, dynamic_shapes=({0: "n"},), **names)

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for n in (1, 3):
        x = torch.randn(n, 3, SIZE, SIZE)
        with torch.no_grad():
            theirs = net(x)
        for name, ours, t in zip(("deltas", "logits"), session.run(["deltas", "logits"], {"image": x.numpy()}), theirs):
            print(f"n={n} {name} {ours.shape}: largest difference {np.abs(ours - t.numpy()).max():.2e}")
    print(f"{file}: {os.path.getsize(file) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
