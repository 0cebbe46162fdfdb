"""The network: a small residual trunk, five feature maps, one pair of 3x3 heads on each, nothing behind them."""
import math

import numpy as np
import torch
from torch import nn

SIZE = 256
# Side of each map, and the sizes in pixels of the square-ish default boxes centred on each of its cells.
LEVELS = [(32, (17, 24)), (16, (34, 48)), (8, (66, 88, 118)), (4, (118, 158)), (2, (200,))]
RATIOS = (1.0, 1.8, 1 / 1.8)
VARIANCES = (0.1, 0.1, 0.2, 0.2)


def default_boxes():
    """-> [A, 4] float32 cx, cy, w, h in 0..1, in the order of the network's outputs: map, row, column, size, ratio"""
    rows = []
    for side, sizes in LEVELS:
        for y in range(side):
            for x in range(side):
                for s in sizes:
                    for r in RATIOS:
                        rows.append(((x + .5) / side, (y + .5) / side, s * math.sqrt(r) / SIZE, s / math.sqrt(r) / SIZE))
    return np.array(rows, np.float32)


def conv(i, o, k=3, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.a = conv(i, o, 3, stride)
        self.b = nn.Sequential(nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        self.skip = nn.Identity() if i == o and stride == 1 else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return torch.relu(self.b(self.a(x)) + self.skip(x))


class Depthwise(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a = conv(c, c, 3, 1, groups=c)
        self.b = nn.Sequential(nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        return torch.relu(self.b(self.a(x)) + x)


class SmallSSD(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.columns = classes + 1   # column 0 is the background
        self.trunk = nn.ModuleList([
            nn.Sequential(conv(3, 24, 3, 2), Residual(24, 40, 2), Residual(40, 40), Residual(40, 72, 2), Residual(72, 72), Residual(72, 72)),
            nn.Sequential(Residual(72, 112, 2), Residual(112, 112)),
            nn.Sequential(conv(112, 128, 3, 2), Depthwise(128), Depthwise(128)),
            nn.Sequential(conv(128, 64, 1), conv(64, 128, 3, 2), Depthwise(128)),
            nn.Sequential(conv(128, 64, 1), conv(64, 128, 3, 2)),
        ])
        self.boxes, self.scores = nn.ModuleList(), nn.ModuleList()
        for c, (side, sizes) in zip((72, 112, 128, 128, 128), LEVELS):
            k = len(sizes) * len(RATIOS)
            # The small maps have wide layers and few cells: there the 3x3 is split into a depthwise and a 1x1 convolution.
            head = (lambda o: nn.Conv2d(c, o, 3, 1, 1)) if side > 8 else (lambda o: nn.Sequential(conv(c, c, 3, 1, groups=c), nn.Conv2d(c, o, 1)))
            self.boxes.append(head(k * 4))
            self.scores.append(head(k * self.columns))

    def forward(self, image):
        deltas, logits = [], []
        x = image
        for stage, boxes, scores in zip(self.trunk, self.boxes, self.scores):
            x = stage(x)
            deltas.append(boxes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
            logits.append(scores(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.columns))
        return torch.cat(deltas, 1), torch.cat(logits, 1)
