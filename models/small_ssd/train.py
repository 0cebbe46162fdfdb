"""Trains the small SSD on one GPU in a few minutes.

    python train.py --out weights.pt

All pictures are drawn first, by every CPU core, and then kept in GPU memory as 256 x 256 bytes.
"""
import argparse
import math
import mmap
import multiprocessing
import os
import time

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import data
from network import SIZE, VARIANCES, SmallSSD, default_boxes

MOST = 8   # objects a picture


# ---------------------------------------------------------------------------------------------------------------------
# The set

def draw(job):
    """one picture, through JPEG as the labelled ones go, squeezed to the network's size, into the shared arrays"""
    split, i, count, buffers = job[0], job[1], job[2], shared
    img, boxes, labels = data.render(split, i)
    h, w = img.shape[:2]
    quality = int(np.random.default_rng([i, 7]).integers(80, 97))
    img = cv2.imdecode(cv2.imencode(".jpg", img, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    pictures, truth = views(buffers, count)
    pictures[i] = cv2.resize(img, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    truth[i] = 0
    for k, (b, c) in enumerate(zip(boxes, labels)):
        truth[i, k] = (b[0] / w, b[1] / h, (b[0] + b[2]) / w, (b[1] + b[3]) / h, c + 1)


def views(buffers, count):
    """pictures [N,3,256,256] and truth [N,8,5]: x0 y0 x1 y1 class, class 0 where there is no object"""
    return (np.frombuffer(buffers[0], np.uint8).reshape(count, 3, SIZE, SIZE), np.frombuffer(buffers[1], np.float32).reshape(count, MOST, 5))


def drawn(split, count, device):
    global shared   # memory that the forked workers write and this process reads
    shared = mmap.mmap(-1, count * 3 * SIZE * SIZE), mmap.mmap(-1, count * MOST * 5 * 4)
    with multiprocessing.get_context("fork").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for _ in pool.imap_unordered(draw, ((split, i, count) for i in range(count)), 64):
            pass
    pictures, truth = views(shared, count)
    return torch.from_numpy(pictures).to(device), torch.from_numpy(truth).to(device)


# ---------------------------------------------------------------------------------------------------------------------
# Matching and loss

def corners(b):
    return torch.cat([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1)


def areas(a, b):
    """intersection and union of boxes that broadcast, and the box around both"""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inside
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return inside, union, hull


def match(truth, anchors):
    """-> for each default box its object's corners [B,A,4], its class [B,A] (0 background, -1 not to be judged)"""
    there = truth[..., 4] > 0
    inside, union, _ = areas(corners(anchors)[None, :, None], truth[:, None, :, :4])
    iou = torch.where(there[:, None], inside / union, -1.0)
    best, which = iou.max(2)
    # Each object also takes the default box that fits it best, however badly.
    favourite = iou.argmax(1)
    taken = torch.zeros_like(best, dtype=torch.bool)
    for k in range(MOST):
        row = there[:, k].nonzero()[:, 0]
        which[row, favourite[row, k]] = k
        taken[row, favourite[row, k]] = True
    label = truth[..., 4].long().gather(1, which)
    label = torch.where(taken | (best > .5), label, torch.where(best > .4, -1, 0))
    return truth[..., :4].gather(1, which[..., None].expand(-1, -1, 4)), label


def loss_of(deltas, logits, truth, anchors, quality):
    target, label = match(truth, anchors)
    positive, count = label > 0, (label > 0).sum().clamp(min=1)
    v = torch.tensor(VARIANCES, device=deltas.device)
    a = anchors.expand(len(deltas), -1, -1)[positive]
    t, d, c = target[positive], deltas.float()[positive], label[positive]

    encoded = torch.cat([((t[:, :2] + t[:, 2:]) / 2 - a[:, :2]) / a[:, 2:], torch.log((t[:, 2:] - t[:, :2]) / a[:, 2:])], 1) / v
    box = F.smooth_l1_loss(d, encoded, reduction="sum", beta=.5) / count
    found = corners(torch.cat([a[:, :2] + d[:, :2] * v[:2] * a[:, 2:], a[:, 2:] * torch.exp((d[:, 2:] * v[2:]).clamp(max=4))], 1))
    inside, union, hull = areas(found, t)
    iou = inside / union
    giou = (1 - iou + (hull - union) / hull).sum() / count

    # A positive's score shall say how well its box fits, so that NMS keeps the best box: softmax towards the IoU.
    p = F.log_softmax(logits.float(), -1)
    q = 1 - quality * (1 - iou.detach())
    pp = p[positive]
    hit = -(q * pp.gather(1, c[:, None])[:, 0] + (1 - q) * pp[:, 0]).sum() / count
    # Of the background the three hardest for each positive.
    miss = torch.where(label == 0, -p[..., 0], 0.0)
    k = (3 * positive.sum(1)).clamp(min=8)
    order = miss.detach().argsort(1, descending=True).argsort(1)
    missed = (miss * (order < k[:, None])).sum() / count
    return hit + missed + .5 * box + 2 * giou, dict(hit=hit, miss=missed, box=box, giou=giou, iou=iou.mean())


# ---------------------------------------------------------------------------------------------------------------------

def normalised(pictures):
    mean, std = (torch.tensor(v, device=pictures.device).view(1, 3, 1, 1) for v in ((.485, .456, .406), (.229, .224, .225)))
    # The arrays hold OpenCV's order of colours; the network takes RGB.
    return ((pictures.flip(1).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(pictures, truth):
    """mirrors, and changes brightness, contrast and colour a little"""
    n, dev = len(pictures), pictures.device
    flip = torch.rand(n, device=dev) < .5
    x = torch.where(flip[:, None, None, None], pictures.flip(3), pictures).float()
    gain = (torch.rand(n, 1, 1, 1, device=dev) * .3 + .85) * (torch.rand(n, 3, 1, 1, device=dev) * .16 + .92)
    x = ((x - 128) * gain + 128 + torch.randn(n, 1, 1, 1, device=dev) * 8).clamp(0, 255)
    mirrored = torch.stack([1 - truth[..., 2], truth[..., 1], 1 - truth[..., 0], truth[..., 3], truth[..., 4]], -1)
    truth = torch.where((flip[:, None] & (truth[..., 4] > 0))[..., None], mirrored, truth)
    return normalised(x), truth


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="weights.pt")
    p.add_argument("--pictures", type=int, default=64000)
    p.add_argument("--minutes", type=float, default=4.5, help="of training, after the pictures are drawn")
    p.add_argument("--steps", type=int, default=7500, help="as many as the minutes allow, at most this")
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--rate", type=float, default=3e-3)
    a = p.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True

    start = time.time()
    pictures, truth = drawn("train", a.pictures, device)
    val_pictures, val_truth = drawn("val", min(512, a.pictures), device)
    print(f"{a.pictures} pictures drawn in {time.time() - start:.0f} s on {os.cpu_count()} cores", flush=True)

    net = SmallSSD(len(data.NAMES)).to(device, memory_format=torch.channels_last)
    mean = SmallSSD(len(data.NAMES)).to(device)   # exponential moving average of the weights, what is kept
    mean.load_state_dict(net.state_dict())
    kept, fresh = ([t for t in n.state_dict().values() if t.is_floating_point()] for n in (mean, net))
    print(f"{sum(w.numel() for w in net.parameters()) / 1e6:.2f} M parameters, {len(default_boxes())} default boxes")
    anchors = torch.from_numpy(default_boxes()).to(device)
    decay = [w for w in net.parameters() if w.dim() > 1]
    plain = [w for w in net.parameters() if w.dim() == 1]
    adam = torch.optim.AdamW([dict(params=decay, weight_decay=.02), dict(params=plain, weight_decay=0)], lr=a.rate)

    # The clock decides how far the cosine has come, so that a slower GPU trains less instead of longer.
    start, seconds, step, order, at = time.time(), a.minutes * 60, 0, None, 0
    while True:
        done = max((time.time() - start) / seconds, step / a.steps)
        if done >= 1:
            break
        rate = a.rate * min(1, (step + 1) / 200) * (.5 + .5 * math.cos(math.pi * done))
        for group in adam.param_groups:
            group["lr"] = rate
        if order is None or at + a.batch > len(order):
            order, at = torch.randperm(len(pictures), device=device), 0
        pick = order[at:at + a.batch]
        at += a.batch
        x, t = augment(pictures[pick], truth[pick])
        with torch.autocast(device, torch.bfloat16):
            deltas, logits = net(x)
        loss, parts = loss_of(deltas, logits, t, anchors, quality=min(1, max(0, (done - .1) * 5)))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10)
        adam.step()
        step += 1
        with torch.no_grad():
            keep = min(.9985, step / (step + 20))
            torch._foreach_lerp_(kept, fresh, 1 - keep)
        if step % 250 == 0 or step == 1:
            mean.eval()
            with torch.no_grad():
                outputs = [mean(normalised(c)) for c in val_pictures.split(256)]
                _, val = loss_of(*(torch.cat(o) for o in zip(*outputs)), val_truth, anchors, quality=1)
            show = lambda d: " ".join(f"{k} {float(v.detach()):.3f}" for k, v in d.items())
            print(f"{time.time() - start:5.0f} s step {step} {done:.0%} rate {rate:.5f} | train {show(parts)} | val {show(val)}", flush=True)

    torch.save({k: v.contiguous().cpu() for k, v in mean.state_dict().items()}, a.out)
    print(f"{step} steps in {time.time() - start:.0f} s, {a.out} written")


if __name__ == "__main__":
    main()
