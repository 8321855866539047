"""What the size at which the network reads pictures is worth: python -m benchmarks.picture_size [--detector WEIGHTS]

Renders the training's validation frames (640 x 360 pixels, never trained on), and prints for each size the mAP50 and
mAP50-95 of each class, of the network's own boxes, and the frames a second that it reads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from checkout.evaluation.detections import FRAMES_APART, SCORED_FROM, DetectionMetric
from checkout.render.frames import render_training_frames
from checkout.vision.detector import CLASSES, Detector
from checkout.vision.training_data import Boxed, read_yolo


def table(labels: np.ndarray, boxes: np.ndarray, frame: int, score: str, values: np.ndarray) -> pd.DataFrame:
    """Boxes of one picture, as `DetectionMetric` takes them."""
    rows = pd.DataFrame(boxes, columns=["x1", "y1", "x2", "y2"])
    return rows.assign(camera="", frame=frame, label=[CLASSES[i] for i in labels], **{score: values})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--detector", type=Path, help="weights; else the shipped ones")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--seed", type=int, default=41, help="of the frames; 41 is the shipped weights'")
    parser.add_argument("--imgsz", type=int, nargs="+", default=[640, 768, 896])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "frames"
        render_training_frames(out, count=0, val_count=args.frames, seed=args.seed)
        pictures: list[Boxed] = [
            read_yolo(file, out / "labels" / "val" / f"{file.stem}.txt")
            for file in sorted((out / "images" / "val").glob("*.jpg"))
        ]
    true = [
        table(p.labels, p.boxes, FRAMES_APART * i, "visible", np.ones(len(p.labels)))
        for i, p in enumerate(pictures)
    ]
    for size in args.imgsz:
        detector = Detector(args.detector, imgsz=size)
        detector.detect([pictures[0].image])
        begun = time.perf_counter()
        seen = detector.detect([p.image for p in pictures], at_least=SCORED_FROM)
        rate = len(pictures) / (time.perf_counter() - begun)
        found = [
            table(d.label, d.boxes_xyxy, FRAMES_APART * i, "confidence", d.confidence)
            for i, d in enumerate(seen)
        ]
        metric = DetectionMetric()
        metric.update("validation", pd.concat(true), pd.concat(found))
        scores = ", ".join(f"{s.label} {s.map50:.3f} {s.map50_95:.3f}" for s in metric.compute())
        print(f"{size} px: {scores}; {rate:.0f} frames a second", flush=True)


if __name__ == "__main__":
    main()
