"""Boxes and mean average precision of small_ssd.onnx through ONNX Runtime, with nothing of fovea in it: the reference.

    python evaluate.py                          # mAP on pictures/ against labels.json
    python evaluate.py --json FILE              # ... and the detections in COCO's result form
    python evaluate.py --detections FILE        # mAP of detections that something else wrote
    python evaluate.py --draw FOLDER            # ... and the pictures with the boxes drawn

It follows card.toml as far as this network uses it. Boxes are not clipped to the picture.
"""
import argparse
import contextlib
import io
import json
import os
import tomllib

import cv2
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def load_card(file=os.path.join(HERE, "card.toml")):
    with open(file, "rb") as f:
        card = tomllib.load(f)
    card["anchors"] = np.load(os.path.join(os.path.dirname(file), card["postprocess"]["anchors"]))
    return card


def preprocess(bgr, card):
    """(h, w, 3) uint8 as OpenCV reads it -> [1,3,H,W] float32; resized in float32, so that nothing is rounded to bytes"""
    p = card["picture"]
    assert p["resize"] == "stretch" and not p["antialias"] and p["color"] == "rgb" and p["layout"] == "nchw"
    height, width = p["size"]
    x = cv2.resize(bgr[..., ::-1].astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    x = (x * np.float32(p["scale"]) - np.float32(p["mean"])) / np.float32(p["std"])
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def decode(deltas, anchors, variances):
    """SSD's encoding -> [A, 4] x0 y0 x1 y1 in 0..1 of the picture (and a little outside of it)"""
    v = np.float32(variances)
    centre = anchors[:, :2] + deltas[:, :2] * v[:2] * anchors[:, 2:]
    size = anchors[:, 2:] * np.exp(deltas[:, 2:] * v[2:])
    return np.concatenate([centre - size / 2, centre + size / 2], 1)


def nms(boxes, scores, iou_threshold):
    """greedy, boxes already sorted by falling score -> indices kept"""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive, keep = np.ones(len(boxes), bool), []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        keep.append(i)
        low, high = np.maximum(boxes[:, :2], boxes[i, :2]), np.minimum(boxes[:, 2:], boxes[i, 2:])
        inside = np.clip(high - low, 0, None).prod(1)
        alive &= ~(inside / (area + area[i] - inside) > iou_threshold)
    return keep


def postprocess(deltas, logits, card):
    """one picture's outputs -> boxes [K,4] x0 y0 x1 y1 in 0..1, scores [K], classes [K], best first"""
    p = card["postprocess"]
    assert p["activation"] == "softmax" and p["decode"] == "ssd"
    boxes = decode(deltas, card["anchors"], p["variances"])
    e = np.exp(logits - logits.max(1, keepdims=True))
    prob = e / e.sum(1, keepdims=True)
    rows = []
    for c in range(prob.shape[1]):
        if c == p["background"]:
            continue
        index = np.where(prob[:, c] > p["score_threshold"])[0]
        index = index[np.argsort(-prob[index, c], kind="stable")][:p["top_k"]]
        rows += [(prob[i, c], c, i) for i in index[nms(boxes[index], prob[index, c], p["iou_threshold"])]]
    rows.sort(key=lambda r: (-r[0], r[1], r[2]))
    rows = rows[:p["max_detections"]]
    return (boxes[[r[2] for r in rows]].reshape(-1, 4), np.array([r[0] for r in rows], np.float32), np.array([r[1] for r in rows], np.int64))


def detect(session, folder, images, card):
    """-> COCO results: boxes x, y, w, h in pixels of the picture as it was"""
    results = []
    for image in images:
        bgr = cv2.imread(os.path.join(folder, image["file_name"]), cv2.IMREAD_COLOR)
        h, w = bgr.shape[:2]
        names = [card["outputs"]["boxes"], card["outputs"]["scores"]]
        deltas, logits = session.run(names, {card["picture"]["input"]: preprocess(bgr, card)})
        for b, s, c in zip(*postprocess(deltas[0], logits[0], card)):
            x0, y0, x1, y1 = (float(v) for v in b * np.float32([w, h, w, h]))
            results.append(dict(image_id=image["id"], category_id=int(c), bbox=[x0, y0, x1 - x0, y1 - y0], score=float(s)))
    return results


def mean_average_precision(labels_file, results):
    """-> pycocotools' twelve numbers; the first is mAP@[.5:.95], the second AP50"""
    if not results:   # pycocotools has no answer to an empty list
        return np.zeros(12)
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(labels_file)
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


def draw(folder, pictures, images, results, names, least=.4):
    os.makedirs(folder, exist_ok=True)
    for image in images:
        bgr = cv2.imread(os.path.join(pictures, image["file_name"]), cv2.IMREAD_COLOR)
        for r in results:
            if r["image_id"] == image["id"] and r["score"] > least:
                x, y, w, h = (round(v) for v in r["bbox"])
                cv2.rectangle(bgr, (x, y), (x + w, y + h), (60, 255, 60), 2)
                cv2.putText(bgr, f"{names[r['category_id'] - 1]} {r['score']:.2f}", (x, max(12, y - 4)), cv2.FONT_HERSHEY_SIMPLEX, .45, (255, 255, 255), 1, cv2.LINE_AA)
        cv2.imwrite(os.path.join(folder, image["file_name"]), bgr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default=os.path.join(HERE, "small_ssd.onnx"))
    p.add_argument("--card", default=os.path.join(HERE, "card.toml"))
    p.add_argument("--pictures", default=os.path.join(HERE, "pictures"))
    p.add_argument("--labels", default=os.path.join(HERE, "labels.json"))
    p.add_argument("--detections", help="evaluate this COCO result file instead of running the network")
    p.add_argument("--json", help="write the detections here")
    p.add_argument("--draw", help="write pictures with boxes into this folder")
    a = p.parse_args()
    card = load_card(a.card)
    with open(a.labels) as f:
        images = json.load(f)["images"]
    if a.detections:
        with open(a.detections) as f:
            results = json.load(f)
    else:
        import onnxruntime
        session = onnxruntime.InferenceSession(a.model, providers=["CPUExecutionProvider"])
        results = detect(session, a.pictures, images, card)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f)
    if a.draw:
        draw(a.draw, a.pictures, images, results, card["classes"]["names"])
    stats = mean_average_precision(a.labels, results)
    print(f"{len(images)} pictures, {len(results)} detections: mAP@[.5:.95] {stats[0]:.4f}, AP50 {stats[1]:.4f}, AP75 {stats[2]:.4f}")


if __name__ == "__main__":
    main()
