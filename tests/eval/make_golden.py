"""Writes golden/*.json: random labels and detections with pycocotools' COCOeval.stats for them.

    python tests/eval/make_golden.py        # needs numpy and pycocotools

src/eval/coco_test.cc reads them and must find the same numbers to 1e-12.
"""
import contextlib
import io
import json
import os

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def random_box(g, side):
    w, h = np.exp(g.uniform(np.log(4), np.log(side / 2), 2))
    x, y = g.uniform(-4, side - w), g.uniform(-4, side - h)
    return [round(float(v), 2) for v in (x, y, w, h)]


def near(g, box, amount):
    x, y, w, h = box
    dx, dy, dw, dh = g.normal(0, amount, 4)
    return [round(float(v), 2) for v in (x + dx * w, y + dy * h, max(w * (1 + dw), 1), max(h * (1 + dh), 1))]


def case(seed, images, categories, objects, extra, crowds, step, noise=0.08, first_id=1):
    """`objects` a picture, each found with some luck; `extra` false alarms a picture; scores on a grid of `step`, for ties."""
    g = np.random.default_rng(seed)
    ids = sorted(int(i) for i in g.choice(10 * images, images, replace=False))
    cats = sorted(int(i) for i in g.choice(90, categories, replace=False))
    annotations, detections = [], []

    def score():
        return round(float(np.ceil(g.uniform() / step) * step), 6)

    def detect(image, category, box):
        detections.append(dict(image_id=image, category_id=category, bbox=box, score=score()))

    for image in ids:
        if g.random() < 0.15:
            continue   # a picture without objects
        for _ in range(int(g.integers(0, 2 * objects + 1))):
            category, box = int(g.choice(cats)), random_box(g, 300)
            crowd = bool(g.random() < crowds)
            area = round(box[2] * box[3] * float(g.uniform(0.5, 1)), 3) if g.random() < 0.5 else box[2] * box[3]
            annotations.append(dict(id=first_id + len(annotations), image_id=image, category_id=category, bbox=box, area=area, iscrowd=int(crowd)))
            for _ in range(int(g.integers(0, 5 if crowd else 3))):
                detect(image, int(g.choice(cats)) if g.random() < 0.1 else category, near(g, box, noise))
    for image in ids:
        for _ in range(int(g.integers(0, 2 * extra + 1))):
            detect(image, int(g.choice(cats)), random_box(g, 300))
    order = g.permutation(len(detections))
    return dict(images=[dict(id=i, file_name=f"{i:06d}.jpg") for i in ids], annotations=[annotations[i] for i in g.permutation(len(annotations))],
                categories=[dict(id=i, name=f"class {i}") for i in cats]), [detections[i] for i in order]


def stats(labels, detections):
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = json.loads(json.dumps(labels))
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(json.loads(json.dumps(detections))), "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    return [float(v) for v in e.stats]


def main():
    cases = dict(
        plain=case(1, 12, 3, 3, 2, 0.0, 1e-6),
        crowds=case(2, 12, 3, 3, 2, 0.4, 1e-6),
        ties=case(3, 12, 2, 4, 4, 0.1, 0.25),
        many=case(4, 2, 1, 8, 160, 0.2, 1e-6),          # more than 100 detections of a class in a picture
        sparse=case(5, 10, 12, 1, 1, 0.1, 1e-6),         # classes without objects
        exact=case(6, 10, 3, 4, 1, 0.1, 0.1, noise=0.0),
        from_zero=case(7, 8, 2, 3, 1, 0.2, 0.1, first_id=0),  # pycocotools loses the match with id 0
    )
    os.makedirs(FOLDER, exist_ok=True)
    for name, (labels, detections) in cases.items():
        with open(os.path.join(FOLDER, name + ".json"), "w") as f:
            json.dump(dict(labels=labels, detections=detections, stats=stats(labels, detections)), f, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    main()
