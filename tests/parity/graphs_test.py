"""torchvision's SSDs with random weights, postprocessing inside: they compile, run, and give ONNX Runtime's detections.

Random scores of one class lie close together, so that where two are equal to the last bit their order is free."""

import numpy as np
import pytest
from shared_models import PIXELS, assert_same_rows, filled, fovea, run_tensors, session


@pytest.mark.parametrize("graph, side", [("ssd300_vgg16.legacy", 300), ("ssdlite320_mobilenet_v3_large.legacy", 320)])
def test_detections(graph, side, tmp_path):
    model = filled(f"graphs/{graph}.onnx", tmp_path)
    fovea("compile", model, "-o", "model.fov", "--timing", "off", "--threads", 2, cwd=tmp_path)
    reference = session(model)
    names = [o.name for o in reference.get_outputs()]
    for seed in (0, 1):
        x = np.random.default_rng(seed).random((3, side, side), np.float32)
        boxes, scores, classes = run_tensors("model.fov", {"image.1": x}, names, tmp_path)
        expected = reference.run(names, {"image.1": x})
        assert [len(boxes), len(scores), len(classes)] == [len(e) for e in expected]
        assert_same_rows(np.column_stack([classes, scores, boxes]), np.column_stack([expected[2], expected[1], expected[0]]), PIXELS,
                         f"seed {seed}")
