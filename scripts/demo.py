#!/usr/bin/env python3
"""The demo: compiles the repository's small SSD, finds toys in its 64 pictures and says how well.

Called by `./run demo` once the program is built; needs nothing but it and the files of the repository.
"""
import argparse, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MODEL = os.path.join(ROOT, "models", "small_ssd")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--fovea", default=os.path.join(ROOT, "build", "release", "bin", "fovea"), help="the program")
    p.add_argument("--out", default=os.path.join(ROOT, "build", "demo"), help="folder for the engine and the pictures")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    engine, drawn = os.path.join(a.out, "small_ssd.fov"), os.path.join(a.out, "pictures")

    def fovea(*args):
        print("$ fovea " + " ".join(os.path.relpath(x) if os.sep in x else x for x in args), flush=True)
        done = subprocess.run([a.fovea, *args])
        if done.returncode:
            sys.exit(done.returncode)

    fovea("compile", os.path.join(MODEL, "small_ssd.onnx"), "-o", engine, "--card", os.path.join(MODEL, "card.toml"),
          "--timing-cache", os.path.join(a.out, "timing.txt"))
    fovea("run", engine, os.path.join(MODEL, "pictures"), "--draw", drawn, "--json", os.path.join(a.out, "detections.json"),
          "--labels", os.path.join(MODEL, "labels.json"))
    print(f"\nPictures with boxes: {os.path.relpath(drawn)}")
    print(f"Detections, COCO format: {os.path.relpath(os.path.join(a.out, 'detections.json'))}")


if __name__ == "__main__":
    main()
