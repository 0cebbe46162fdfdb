"""Toybox: a synthetic detection set of twelve toys on cluttered backgrounds, in pictures of many sizes.

Every picture is a pure function of (split, index), so any machine can draw the same set again.

    python data.py                       # writes pictures/ and labels.json, the 64 labelled pictures
    python data.py OUT --split val --count 500
"""
import argparse
import json
import math
import os

import cv2
import numpy as np

SPLITS = {"train": 1, "val": 2, "demo": 3}


# ---------------------------------------------------------------------------------------------------------------------
# Glyphs. Each draws itself with a Pen in a frame of about -1..1, y down. The colours vary, the construction does not.

class Pen:
    """Draws polygons on a premultiplied RGBA canvas that is `zoom` times too large; the caller shrinks it."""

    def __init__(self, size, angle, squeeze, flip, ink, g):
        self.canvas = np.zeros((size, size, 4), np.uint8)
        self.half = size / 2
        self.ink = ink          # outline width as a fraction of the frame, 0 for none
        self.g = g
        self.flip = flip
        c, s = math.cos(angle), math.sin(angle)
        sx, sy = squeeze[0] * (-1 if flip else 1), squeeze[1]
        self.m = np.array([[c * sx, -s * sy], [s * sx, c * sy]]) * 0.66   # the corners stay inside when turned

    def place(self, points):
        p = np.asarray(points, float) @ self.m.T
        return (p * self.half + self.half).round().astype(np.int32)

    def poly(self, points, colour):
        q = self.place(points)
        cv2.fillPoly(self.canvas, [q], (*colour, 255))
        if self.ink:
            cv2.polylines(self.canvas, [q], True, (30, 26, 34, 255), max(1, round(self.ink * self.half)))

    def line(self, points, width, colour):
        cv2.polylines(self.canvas, [self.place(points)], False, (*colour, 255), max(1, round(width * 0.66 * self.half)))

    def disc(self, x, y, rx, ry, colour, start=0.0, end=360.0):
        self.poly(arc(x, y, rx, ry, start, end), colour)

    def shade(self, colour, low=0.85, high=1.15):
        """the colour, a little lighter or darker and shifted, so that no two toys match"""
        c = np.array(colour, float) * self.g.uniform(low, high) + self.g.normal(0, 10, 3)
        return tuple(int(v) for v in np.clip(c, 0, 255))

    def one_of(self, *colours):
        return self.shade(colours[int(self.g.integers(len(colours)))])


def arc(x, y, rx, ry, start=0.0, end=360.0, n=40):
    t = np.radians(np.linspace(start, end, n, endpoint=end - start < 360))
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def apple(p):
    skin = p.one_of((214, 40, 40), (200, 30, 60), (120, 180, 50), (230, 190, 60))
    p.line([(0, -.5), (.05, -.72), (.14, -.92)], .12, p.shade((95, 60, 30)))
    p.poly([(.1, -.68), (.3, -.95), (.65, -.98), (.5, -.72), (.28, -.62)], p.shade((70, 150, 60)))
    p.poly(np.concatenate([[(0, .84)], arc(-.3, .12, .6, .72, 70, 290), [(0, -.42)], arc(.3, .12, .6, .72, -110, 110)]), skin)
    p.disc(-.48, -.16, .12, .2, tuple(min(255, v + 70) for v in skin))


def mushroom(p):
    p.poly([(-.28, .05), (.28, .05), (.36, .9), (-.36, .9)], p.shade((240, 225, 200)))
    p.poly(np.concatenate([arc(0, .12, .95, 1.0, 180, 360), [(.95, .22), (-.95, .22)]]), p.one_of((205, 40, 40), (190, 70, 40), (150, 50, 130)))
    dot = p.shade((245, 240, 230), .95, 1.0)
    for x, y, r in ((-.5, -.2, .17), (.05, -.5, .2), (.52, -.12, .16), (-.02, .02, .12)):
        p.disc(x, y, r, r, dot)


def cat(p):
    fur = p.one_of((230, 140, 50), (90, 90, 100), (60, 55, 60), (225, 205, 180))
    inner = p.shade((240, 170, 170))
    for s in (-1, 1):
        p.poly([(s * .85, -.95), (s * .8, .05), (s * .15, -.5)], fur)
        p.poly([(s * .72, -.7), (s * .7, -.2), (s * .38, -.45)], inner)
    p.disc(0, .15, .9, .75, fur)
    eye = p.one_of((150, 200, 60), (240, 210, 60), (90, 180, 220))
    for s in (-1, 1):
        p.disc(s * .4, .02, .2, .2, eye)
        p.disc(s * .4, .02, .07, .17, (15, 15, 15))
        for y in (.3, .42):
            p.line([(s * .2, y), (s * .78, y + (y - .36) * 1.2)], .035, (250, 250, 250))
    p.poly([(-.12, .25), (.12, .25), (0, .4)], inner)
    p.line([(-.2, .58), (0, .42), (.2, .58)], .05, (40, 25, 25))


def fish(p):
    body = p.one_of((250, 140, 30), (60, 130, 210), (240, 200, 50), (220, 80, 120))
    fin = tuple(int(v * .75) for v in body)
    p.poly([(.45, 0), (1, -.55), (.85, 0), (1, .55)], fin)
    p.poly([(-.2, -.4), (.15, -.78), (.4, -.3)], fin)
    p.disc(-.2, 0, .8, .5, body)
    band = p.shade((250, 245, 235), .95, 1.0)
    p.poly([(-.15, -.49), (.05, -.47), (.08, 0), (.05, .47), (-.15, .49), (-.1, 0)], band)
    p.disc(-.62, -.12, .13, .13, (250, 250, 250))
    p.disc(-.65, -.12, .065, .065, (15, 15, 20))
    p.line([(-.95, .13), (-.78, .18)], .05, (60, 20, 20))


def ladybird(p):
    black = p.shade((30, 28, 32))
    for s in (-1, 1):
        for y in (-.3, .1, .5):
            p.line([(s * .5, y), (s * .95, y + (y - .1) * .5)], .09, black)
        p.line([(s * .1, -.7), (s * .35, -.98)], .06, black)
    p.disc(0, -.58, .4, .32, black)
    p.disc(0, .15, .75, .78, p.one_of((215, 35, 35), (235, 120, 30), (240, 190, 40)))
    p.line([(0, -.6), (0, .92)], .07, black)
    for s in (-1, 1):
        for x, y, r in ((.32, -.2, .15), (.45, .25, .15), (.22, .6, .13)):
            p.disc(s * x, y, r, r, black)
        p.disc(s * .17, -.68, .08, .08, (245, 245, 245))


def flower(p):
    green = p.shade((70, 150, 60))
    p.line([(0, -.2), (.03, .4), (0, .98)], .11, green)
    p.poly([(0, .8), (.25, .45), (.62, .38), (.4, .7)], green)
    petal = p.one_of((240, 110, 170), (250, 250, 250), (150, 90, 210), (250, 170, 60), (90, 140, 240))
    for i in range(6):
        a = i * math.pi / 3
        p.disc(.38 * math.cos(a), -.38 + .38 * math.sin(a), .27, .27, petal)
    p.disc(0, -.38, .24, .24, p.one_of((250, 210, 50), (130, 80, 30)))


def boat(p):
    p.line([(0, .4), (0, -.97)], .08, p.shade((110, 75, 40)))
    sail = p.one_of((250, 248, 240), (250, 220, 120), (240, 130, 110))
    p.poly([(.07, -.9), (.07, .28), (.8, .28)], sail)
    p.poly([(-.07, -.7), (-.07, .28), (-.62, .28)], tuple(int(v * .9) for v in sail))
    p.poly([(-.95, .4), (.95, .4), (.62, .9), (-.6, .9)], p.one_of((160, 60, 40), (50, 80, 140), (60, 120, 110)))
    p.line([(-.84, .56), (.84, .56)], .07, (245, 245, 240))


def house(p):
    p.poly([(.35, -.9), (.6, -.9), (.6, -.3), (.35, -.3)], p.shade((130, 70, 60)))
    p.poly([(-.75, -.15), (.75, -.15), (.75, .92), (-.75, .92)], p.one_of((240, 225, 190), (220, 150, 120), (170, 200, 220), (200, 215, 160)))
    p.poly([(-1, -.1), (0, -.95), (1, -.1)], p.one_of((170, 50, 40), (100, 60, 50), (60, 80, 110)))
    p.poly([(-.18, .3), (.2, .3), (.2, .92), (-.18, .92)], p.shade((110, 65, 35)))
    pane = p.one_of((255, 235, 140), (120, 180, 220))
    for x in (-.6, .34):
        p.poly([(x, .12), (x + .27, .12), (x + .27, .4), (x, .4)], pane)


def car(p):
    paint = p.one_of((205, 40, 45), (40, 90, 190), (245, 195, 40), (50, 150, 90), (235, 235, 240))
    p.poly([(-.6, -.1), (-.38, -.55), (.3, -.55), (.62, -.1)], paint)
    p.poly(np.concatenate([[(-.98, .4), (-.98, .02), (-.8, -.12), (.68, -.12)], arc(.8, .08, .18, .18, -90, 0, 8), [(.98, .4)]]), paint)
    glass = p.shade((150, 205, 230))
    p.poly([(-.46, -.12), (-.3, -.44), (-.04, -.44), (-.04, -.12)], glass)
    p.poly([(.06, -.12), (.06, -.44), (.25, -.44), (.46, -.12)], glass)
    for x in (-.52, .52):
        p.disc(x, .4, .25, .25, (28, 28, 32))
        p.disc(x, .4, .11, .11, (190, 190, 195))
    p.disc(.9, .12, .07, .09, (255, 240, 150))


def umbrella(p):
    p.line(np.concatenate([[(0, -.85), (0, .7)], arc(.18, .7, .18, .22, 180, 0, 12)]), .1, p.shade((100, 65, 40)))
    a = p.one_of((210, 40, 60), (50, 100, 200), (120, 60, 160), (30, 140, 130))
    b = p.one_of((250, 245, 235), (250, 205, 70))
    edges = np.linspace(-.95, .95, 6)
    for i in range(5):
        l, r = edges[i], edges[i + 1]
        up = [(x, .05 - .9 * math.sqrt(max(0.0, 1 - (x / .95) ** 2))) for x in np.linspace(l, r, 8)]
        rim = arc((l + r) / 2, .05, (r - l) / 2, .12, 360, 180, 8)
        p.poly(np.concatenate([up, rim]), a if i % 2 == 0 else b)


def rocket(p):
    p.poly([(-.2, .55), (.2, .55), (.1, .8), (0, 1), (-.1, .8)], p.one_of((255, 170, 40), (255, 210, 70)))
    fin = p.one_of((210, 40, 45), (40, 90, 190), (240, 150, 30))
    for s in (-1, 1):
        p.poly([(s * .3, .05), (s * .68, .4), (s * .62, .78), (s * .28, .55)], fin)
    hull = p.shade((230, 232, 238), .9, 1.05)
    p.poly(np.concatenate([[(-.3, .6)], arc(.25, .1, .6, 1.08, 180, 245, 12), [(0, -1)], arc(-.25, .1, .6, 1.08, 295, 360, 12), [(.3, .6)]]), hull)
    p.poly([(-.22, -.52), (-.12, -.8), (0, -1), (.12, -.8), (.22, -.52)], fin)
    p.disc(0, -.15, .19, .19, fin)
    p.disc(0, -.15, .12, .12, p.shade((130, 200, 235)))


def stop_sign(p):
    p.poly([(-.06, .3), (.06, .3), (.06, 1), (-.06, 1)], p.shade((130, 130, 135)))
    def octagon(r): return arc(0, -.3, r, r, 22.5, 382.5 - 45, 8)
    p.poly(octagon(.7), p.shade((245, 245, 245), .95, 1.0))
    p.poly(octagon(.62), p.shade((200, 25, 35)))
    letters = ([(.9, .1), (.1, 0), (.1, .5), (.9, .5), (.9, 1), (.1, .9)], [(.5, 1), (.5, 0), (0, 0), (1, 0)],
               [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], [(0, 1), (0, 0), (1, 0), (1, .55), (0, .55)])
    for i, strokes in enumerate(letters):
        left = -.46 + .245 * i
        points = [((left + .18 * x) * (-1 if p.flip else 1), -.5 + .4 * y) for x, y in strokes]   # letters are never mirrored
        p.line(points, .06, (250, 250, 250))


GLYPHS = [apple, mushroom, cat, fish, ladybird, flower, boat, house, car, umbrella, rocket, stop_sign]
NAMES = [f.__name__.replace("_", " ") for f in GLYPHS]


def toy(g, kind, size):
    """-> (n, n, 4) float32 premultiplied RGBA in 0..255, cut tight around what is visible, longest side about `size`"""
    zoom = 4 if size < 80 else 2
    n = int(size * 1.5 * zoom)     # the frame is 1.5 times the glyph
    pen = Pen(n, g.normal(0, .18), (g.uniform(.75, 1.0), g.uniform(.75, 1.0)), g.random() < .5, g.choice([0.0, 0.025, 0.04]), g)
    GLYPHS[kind](pen)
    c = pen.canvas
    ys, xs = np.where(c[..., 3].any(1))[0], np.where(c[..., 3].any(0))[0]
    c = c[ys[0]:ys[-1] + 1, xs[0]:xs[-1] + 1]
    h, w = max(4, round(c.shape[0] / zoom)), max(4, round(c.shape[1] / zoom))
    return cv2.resize(c, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures

def backdrop(g, w, h):
    """a sky-to-ground gradient, hills, and things that are no toys"""
    def colour(low=60, high=235):
        c = g.uniform(low, high, 3)
        return c + (c.mean() - c) * .35   # calmer than the toys
    top, bottom = colour(90, 245), colour(60, 220)
    t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    img = (top * (1 - t) + bottom * t) * np.ones((1, w, 1), np.float32)
    cloud = g.normal(0, 1, (int(g.integers(3, 9)), int(g.integers(3, 9)), 3)).astype(np.float32)
    img = img + cv2.resize(cloud, (w, h), interpolation=cv2.INTER_CUBIC) * float(g.uniform(0, 16))
    img = np.ascontiguousarray(np.clip(img, 0, 255).astype(np.uint8))
    side = min(w, h)
    for level in np.sort(g.uniform(.35, 1.0, int(g.integers(0, 4)))):
        x = np.linspace(0, w, 40)
        y = h * level + side * .06 * (np.sin(x / w * g.uniform(3, 14) + g.uniform(0, 6)) + g.uniform(.2, 1) * np.sin(x / w * g.uniform(9, 30)))
        cv2.fillPoly(img, [np.concatenate([np.stack([x, y], 1), [(w, h), (0, h)]]).astype(np.int32)], colour().tolist(), cv2.LINE_AA)
    for _ in range(int(g.integers(0, 16))):
        x, y, r = g.uniform(0, w), g.uniform(0, h), side * math.exp(g.uniform(math.log(.015), math.log(.16)))
        at, col, kind = (int(x), int(y)), colour(20, 250).tolist(), g.integers(5)
        if kind == 0:
            cv2.circle(img, at, int(r), col, -1 if g.random() < .6 else max(1, int(r * .2)), cv2.LINE_AA)
        elif kind == 1:
            end = (int(x + g.normal(0, 4 * r)), int(y + g.normal(0, 4 * r)))
            cv2.line(img, at, end, col, int(g.integers(1, 6)), cv2.LINE_AA)
        elif kind == 2:
            q = cv2.boxPoints(((x, y), (r * 2, r * g.uniform(.5, 2)), g.uniform(0, 90)))
            cv2.fillPoly(img, [q.astype(np.int32)], col, cv2.LINE_AA)
        elif kind == 3:
            a = g.uniform(0, 360) + np.sort(g.uniform(0, 360, 3))
            cv2.fillPoly(img, [np.stack([x + r * np.cos(np.radians(a)), y + r * np.sin(np.radians(a))], 1).astype(np.int32)], col, cv2.LINE_AA)
        else:
            steps = g.normal(0, r * .7, (8, 2)).cumsum(0) + (x, y)
            cv2.polylines(img, [steps.astype(np.int32)], False, col, int(g.integers(1, 4)), cv2.LINE_AA)
    return img.astype(np.float32)


def overlap(a, b):
    """intersection over the smaller of two x, y, w, h boxes"""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return 0.0 if w <= 0 or h <= 0 else w * h / min(a[2] * a[3], b[2] * b[3])


def render(split, index):
    """-> (h, w, 3) uint8 RGB picture, (n, 4) float32 boxes as x, y, w, h in pixels, (n,) int classes 0..11"""
    g = np.random.default_rng([SPLITS[split], index])
    area, ratio = g.uniform(290, 480) ** 2, math.exp(g.uniform(math.log(.55), math.log(1.8)))
    w, h = (int(np.clip(round(v), 240, 640)) for v in (math.sqrt(area * ratio), math.sqrt(area / ratio)))
    img = backdrop(g, w, h)
    smallest, largest = max(16, .07 * max(w, h)), .7 * min(w, h)
    boxes, labels = [], []
    for _ in range(int(g.integers(1, 9))):
        kind = int(g.integers(len(GLYPHS)))
        sprite = toy(g, kind, math.exp(g.uniform(math.log(smallest), math.log(largest))))
        for _ in range(4):   # a few tries to find it a free place, a little of it may leave the picture
            sh, sw = sprite.shape[:2]
            x, y = int(g.integers(-sw // 10, w - sw + sw // 10 + 1)), int(g.integers(-sh // 10, h - sh + sh // 10 + 1))
            x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + sw, w), min(y + sh, h)
            part = sprite[y0 - y:y1 - y, x0 - x:x1 - x]
            seen = part[..., 3] > 127
            ys, xs = np.where(seen.any(1))[0], np.where(seen.any(0))[0]
            if not len(ys):
                continue
            box = (x0 + xs[0], y0 + ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1)
            if min(box[2:]) < 8 or any(overlap(box, o) > .2 for o in boxes):
                continue
            img[y0:y1, x0:x1] = img[y0:y1, x0:x1] * (1 - part[..., 3:] / 255) + part[..., :3]
            boxes.append(box)
            labels.append(kind)
            break
    if g.random() < .25:
        img = cv2.GaussianBlur(img, (3, 3), float(g.uniform(.3, 1.0)))
    img = (img - 128) * g.uniform(.75, 1.1) + 128 + g.uniform(-25, 20)
    if g.random() < .5:
        img = img + g.normal(0, g.uniform(1, 6), img.shape)
    return np.clip(img, 0, 255).astype(np.uint8), np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64)


def write(folder, labels_file, split, count, png_every=12):
    """JPEG pictures, every 12th a PNG, and their labels in COCO's form"""
    os.makedirs(folder, exist_ok=True)
    images, annotations = [], []
    for i in range(1, count + 1):
        img, boxes, labels = render(split, i)
        name = f"{i:06d}.png" if i % png_every == 0 else f"{i:06d}.jpg"
        how = [cv2.IMWRITE_PNG_COMPRESSION, 9] if name.endswith("png") else [cv2.IMWRITE_JPEG_QUALITY, 90]
        cv2.imwrite(os.path.join(folder, name), np.ascontiguousarray(img[..., ::-1]), how)
        images.append(dict(id=i, file_name=name, width=img.shape[1], height=img.shape[0]))
        for box, label in zip(boxes.tolist(), labels.tolist()):
            annotations.append(dict(id=len(annotations) + 1, image_id=i, category_id=label + 1, bbox=box, area=box[2] * box[3], iscrowd=0))
    categories = [dict(id=i + 1, name=n) for i, n in enumerate(NAMES)]
    with open(labels_file, "w") as f:   # one entry a line, so that a diff can be read
        for key, rows in dict(images=images, annotations=annotations, categories=categories).items():
            f.write("{" if key == "images" else ",\n")
            f.write(f'"{key}": [\n' + ",\n".join(json.dumps(r) for r in rows) + "]")
        f.write("}\n")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", nargs="?", help="OUT/pictures and OUT/labels.json; this folder when left out")
    p.add_argument("--split", choices=SPLITS, default="demo")
    p.add_argument("--count", type=int, default=64)
    a = p.parse_args()
    out = a.out or here
    write(os.path.join(out, "pictures"), os.path.join(out, "labels.json"), a.split, a.count)
