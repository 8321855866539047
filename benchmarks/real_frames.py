"""Hands and items in real photos: python -m benchmarks.real_frames DATA [--detector WEIGHTS] [--rendered-only WEIGHTS]

DATA holds mini-amazon-go/ (frames of a real shelf with boxed hands and products), grocery-instances/ (photos with
outlined products) and peer-detectors/ (YOLOX-nano and MediaPipe's palm detector). All detectors look at the same
frames in the same run, and their boxes, weak ones too, are scored by faster-coco-eval. Scored are the frames of
mini-amazon-go/v3, which no training saw, and the fifth of grocery-instances that `checkout train` holds out. Frames a
second are timed apart, with only the boxes that the pipeline would use.

The peers run in OpenVINO. YOLOX-nano knows COCO's classes: those that a shop sells count as items, a person is no
hand. The palm detector boxes palms and not hands, so its boxes are scored three times: as they are, grown to the
region that MediaPipe looks for a hand in, and grown to what fits the boxed hands of v1 and v2 best.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.evaluation.detections import FRAMES_APART, SCORED_FROM, DetectionMetric, DetectionScore
from checkout.vision.detector import CLASSES, COCO_GOODS, IMAGE_SIZE, LOWEST_CONFIDENCE, Detections, Detector
from checkout.vision.second_look import SecondLook, refined
from checkout.vision.training_data import HAND, Boxed, load_real, voc_pictures

YOLOX_SIDE_PX = 416
YOLOX_STRIDES = (8, 16, 32)
YOLOX_GREY = 114
YOLOX_OVERLAP = 0.45
"""Published: as in YOLOX's own demo (Megvii 2021), suppression without regard to class."""
PALM_SIDE_PX = 192
PALM_GRIDS = ((24, 2), (12, 6))
"""Published (MediaPipe's palm_detection options): anchors of strides 8, 16, 16 and 16 pixels, two a cell and layer."""
PALM_OVERLAP = 0.3
PALM_WRIST, PALM_MIDDLE_FINGER = 0, 2
PALM_GROWTH, PALM_SHIFT = 2.6, 0.5
"""Published (MediaPipe's palm_detection_detection_to_roi): how the palm's box grows to a hand's region, and how far
its middle moves from the wrist to the middle finger, as a share of the palm's size."""
PALM_STEPS = 17
DRAWN_FROM = 0.3
COLOURS = ((0, 0, 255), (0, 200, 0), (255, 128, 0))
"""Of hands, items and people; BGR."""


class Looker(Protocol):
    """Anything that finds hands, items or people in a picture, uint8 [height, width, 3], BGR."""

    name: str
    sees: tuple[str, ...]

    def look(self, image: np.ndarray, least: float = LOWEST_CONFIDENCE) -> Detections:
        """What it finds with at least this score."""


class Ours:
    """YOLO weights as the pipeline uses them, if at another size."""

    def __init__(self, weights: Path | None, name: str, imgsz: int = IMAGE_SIZE) -> None:
        self._detector = Detector(weights, imgsz=imgsz)
        self.name, self.sees = name, self._detector.sees

    def look(self, image: np.ndarray, least: float = LOWEST_CONFIDENCE) -> Detections:
        return self._detector.detect([image], at_least=least)[0]


class SecondLooked:
    """The shipped weights with the second look, as calibrated cameras use them."""

    name = "shipped weights, second look"

    def __init__(self) -> None:
        self._detector, self._second = Detector(), SecondLook()
        self.sees = self._detector.sees

    def look(self, image: np.ndarray, least: float = LOWEST_CONFIDENCE) -> Detections:
        found = self._detector.detect([image], at_least=least)[0]
        return refined(found, self._second.hands(image, found.of("hand").boxes_xyxy))


class YoloxNano:
    """YOLOX-nano; the best score of COCO's goods is the item's.

    Args:
        label: what it is asked for, "item" or "person".
    """

    name = "YOLOX-nano (COCO)"

    def __init__(self, path: Path, label: str = "item") -> None:
        from ultralytics.utils import ROOT, YAML

        names = YAML.load(ROOT / "cfg" / "datasets" / "coco.yaml")["names"]
        self._network = _compiled(path)
        self.sees: tuple[str, ...] = (label,)
        wanted = COCO_GOODS if label == "item" else (label,)
        self._wanted = [5 + i for i, name in names.items() if name in wanted]
        grids = [(_cells(YOLOX_SIDE_PX // stride), stride) for stride in YOLOX_STRIDES]
        self._cell = np.concatenate([cells for cells, _ in grids])
        self._stride = np.concatenate([np.full((len(cells), 1), stride) for cells, stride in grids])

    def look(self, image: np.ndarray, least: float = LOWEST_CONFIDENCE) -> Detections:
        import cv2

        scale = YOLOX_SIDE_PX / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        padded = np.full((YOLOX_SIDE_PX, YOLOX_SIDE_PX, 3), YOLOX_GREY, np.float32)
        padded[: small.shape[0], : small.shape[1]] = small
        found = self._network([padded.transpose(2, 0, 1)[None]])[0][0]
        centre, half = (found[:, :2] + self._cell) * self._stride, 0.5 * np.exp(found[:, 2:4]) * self._stride
        score = found[:, 4] * found[:, self._wanted].max(axis=1)
        boxes = np.hstack([centre - half, centre + half]) / scale
        return _detections(boxes, score, self.sees[0], YOLOX_OVERLAP, least, image)


class PalmDetector:
    """MediaPipe's palm detector (BlazePalm, 192 pixels).

    Args:
        growth: how far the palm's box grows: 0 not at all, 1 to the region MediaPipe looks for the hand in.
    """

    sees: tuple[str, ...] = ("hand",)

    def __init__(self, path: Path, growth: float, name: str) -> None:
        self.name, self.growth = name, growth
        self._network = _compiled(path)
        self._anchor = np.concatenate(
            [np.repeat((_cells(side) + 0.5) / side, anchors, axis=0) for side, anchors in PALM_GRIDS]
        )

    def look(self, image: np.ndarray, least: float = LOWEST_CONFIDENCE) -> Detections:
        boxes, points, score = self.palms(image, least)
        return _detections(grown(boxes, points, self.growth), score, "hand", PALM_OVERLAP, least, image)

    def palms(self, image: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [n, 4] and seven points each [n, 7, 2], pixels, and scores [n]; nothing is suppressed yet."""
        import cv2

        height, width = image.shape[:2]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        square = np.zeros((side, side, 3), np.uint8)
        square[top : top + height, left : left + width] = image
        small = cv2.resize(square, (PALM_SIDE_PX, PALM_SIDE_PX), interpolation=cv2.INTER_AREA)
        out = self._network([small[None, :, :, ::-1].astype(np.float32) / 255])
        raw, logit = out[0][0], out[1][0][:, 0]
        score = 1 / (1 + np.exp(-np.clip(logit, -100, 100)))
        keep = score >= least
        pairs = raw[keep].reshape(-1, 9, 2) / PALM_SIDE_PX
        centre, size = pairs[:, 0] + self._anchor[keep], pairs[:, 1]
        points = (pairs[:, 2:] + self._anchor[keep][:, None]) * side - (left, top)
        boxes = np.hstack([centre - 0.5 * size, centre + 0.5 * size]) * side - (left, top, left, top)
        return boxes, points, score[keep]


def grown(boxes: np.ndarray, points: np.ndarray, growth: float) -> np.ndarray:
    """Palms' boxes [n, 4] as upright squares, grown and moved towards the fingers a share of MediaPipe's way."""
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    fingers = points[:, PALM_MIDDLE_FINGER] - points[:, PALM_WRIST]
    fingers /= np.maximum(np.linalg.norm(fingers, axis=1, keepdims=True), 1e-9)
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:]) + growth * PALM_SHIFT * side * fingers
    half = 0.5 * side * (1 + growth * (PALM_GROWTH - 1))
    return np.hstack([centre - half, centre + half])


def best_growth(path: Path, pictures: Sequence[Boxed]) -> float:
    """How far palms' boxes must grow, 0 to 1, to fit boxed hands best: by mAP50."""
    palm = PalmDetector(path, 0.0, "")
    found = [palm.palms(picture.image, SCORED_FROM) for picture in pictures]
    scores = []
    for growth in np.linspace(0, 1, PALM_STEPS):
        rows = [
            _detections(grown(boxes, points, growth), score, "hand", PALM_OVERLAP, SCORED_FROM, picture.image)
            for (boxes, points, score), picture in zip(found, pictures, strict=True)
        ]
        scores.append((_score(pictures, rows)["hand"].map50, float(growth)))
    return max(scores)[1]


class Result(NamedTuple):
    """A detector's scores of each class, and the seconds that it took for a frame (median)."""

    name: str
    sees: tuple[str, ...]
    scores: dict[str, DetectionScore]
    frame_s: float


def results(lookers: Sequence[Looker], pictures: Sequence[Boxed]) -> list[Result]:
    """What each detector makes of pictures, taking turns frame by frame, so that load on the machine is shared."""
    found: list[list[Detections]] = [[] for _ in lookers]
    took: list[list[float]] = [[] for _ in lookers]
    for looker in lookers:
        looker.look(pictures[0].image)
    for picture in pictures:
        for index, looker in enumerate(lookers):
            started = time.perf_counter()
            looker.look(picture.image)
            took[index].append(time.perf_counter() - started)
            found[index].append(looker.look(picture.image, SCORED_FROM))
    return [
        Result(looker.name, looker.sees, _score(pictures, rows), float(np.median(times)))
        for looker, rows, times in zip(lookers, found, took, strict=True)
    ]


def _score(pictures: Sequence[Boxed], found: Sequence[Detections]) -> dict[str, DetectionScore]:
    true = _table((p.boxes, p.labels, np.ones(len(p.labels))) for p in pictures)
    seen = _table((d.boxes_xyxy, d.label, d.confidence) for d in found)
    metric = DetectionMetric()
    metric.update(
        "real", true.rename(columns={"value": "visible"}), seen.rename(columns={"value": "confidence"})
    )
    return {score.label: score for score in metric.compute()}


def _table(pictures: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Boxes as rows; single pictures are numbered so far apart that the metric takes every one."""
    rows = [
        ("cam0", FRAMES_APART * number, CLASSES[int(label)], float(value), *map(float, box))
        for number, (boxes, labels, values) in enumerate(pictures)
        for box, label, value in zip(boxes, labels, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["camera", "frame", "label", "value", "x1", "y1", "x2", "y2"])


def _compiled(path: Path) -> Any:
    import openvino

    if not path.is_file():
        raise InputError(path, "", "does not exist, expected a peer detector")
    return openvino.Core().compile_model(path, "CPU")


def _cells(side: int) -> np.ndarray:
    """Column and row of each cell of a square grid, row by row, [side x side, 2]."""
    rows, columns = np.mgrid[:side, :side]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)


def _detections(
    boxes: np.ndarray, score: np.ndarray, label: str, overlap: float, least: float, image: np.ndarray
) -> Detections:
    """What is left of one class's boxes after suppression, cut to the picture."""
    import cv2

    height, width = image.shape[:2]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    sizes = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    kept = np.array(cv2.dnn.NMSBoxes(sizes.tolist(), score.tolist(), least, overlap), int).ravel()
    return Detections(
        boxes[kept].astype(np.float32),
        score[kept].astype(np.float32),
        np.full(len(kept), CLASSES.index(label)),
    )


def draw(folder: Path, lookers: Sequence[Looker], pictures: Sequence[Boxed]) -> None:
    """Write a picture a frame with what each detector finds in it, to see that each is run as it is meant to be."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        panels = []
        for looker in lookers:
            panel, seen = picture.image.copy(), looker.look(picture.image)
            for box, score, label in zip(seen.boxes_xyxy, seen.confidence, seen.label, strict=True):
                if score >= DRAWN_FROM:
                    x1, y1, x2, y2 = (int(v) for v in box)
                    cv2.rectangle(panel, (x1, y1), (x2, y2), COLOURS[label], 2)
                    cv2.putText(panel, f"{score:.2f}", (x1, y1 + 14), 0, 0.5, COLOURS[label], 1)
            cv2.putText(panel, looker.name, (6, 20), 0, 0.6, (255, 255, 255), 2)
            panels.append(panel)
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), np.hstack(panels))


def print_results(title: str, found: Sequence[Result], classes: Sequence[str]) -> None:
    """One table: mAP50 and mAP50-95 of each class; a dash where a detector does not know the class."""
    boxes = {c: max((r.scores[c].boxes for r in found if c in r.scores), default=0) for c in classes}
    print(title)
    heads = "".join(f"{f'{c} ({boxes[c]}) mAP50':>22s}{'mAP50-95':>10s}" for c in classes)
    print(f"{'detector':44s}{heads}{'frames/s':>10s}")
    for r in found:
        cells = ""
        for c in classes:
            known = c in r.sees and c in r.scores
            cells += (
                f"{r.scores[c].map50:22.3f}{r.scores[c].map50_95:10.3f}" if known else f"{'-':>22s}{'-':>10s}"
            )
        print(f"{r.name:44s}{cells}{1 / r.frame_s:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--detector", type=Path, action="append", default=[], metavar="WEIGHTS")
    parser.add_argument(
        "--rendered-only", type=Path, metavar="WEIGHTS", help="trained on rendered frames alone"
    )
    parser.add_argument("--imgsz", type=int, action="append", default=[], metavar="PIXELS")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="draw what is found in six frames of v3")
    options = parser.parse_args()
    data: Path = options.data
    ours: list[Looker] = [Ours(None, "shipped weights"), SecondLooked()]
    ours += [Ours(None, f"shipped weights at {size} px", size) for size in options.imgsz]
    ours += [Ours(path, f"{path.parent.name}/{path.name}") for path in options.detector]
    if options.rendered_only:
        name = "trained on rendered frames alone"
        ours.append(Ours(options.rendered_only, name))
        ours += [Ours(options.rendered_only, f"{name}, at {size} px", size) for size in options.imgsz]
    peers = data / "peer-detectors"
    shelf = data / "mini-amazon-go"
    growth = best_growth(
        peers / "hand_detector.xml", [p for v in ("v1", "v2") for p in voc_pictures(shelf / v)]
    )
    yolox = YoloxNano(peers / "yolox_nano.onnx")
    palms = [
        PalmDetector(peers / "hand_detector.xml", share, f"MediaPipe palm, {name}")
        for share, name in (
            (0.0, "its box"),
            (1.0, f"its hand region (x {PALM_GROWTH})"),
            (growth, f"fitted to v1, v2 (x {1 + growth * (PALM_GROWTH - 1):.1f})"),
        )
    ]
    frames = voc_pictures(shelf / "v3")
    lookers: list[Looker] = [*ours, yolox, *palms]
    if options.draw:
        draw(options.draw, lookers, [p for p in frames if (p.labels == HAND).any()][:6])
    print_results(f"mini-amazon-go/v3: {len(frames)} frames", results(lookers, frames), ("hand", "item"))
    photos = load_real([data / "grocery-instances"]).held_out
    title = f"grocery-instances, the fifth held out: {len(photos)} photos"
    print_results(title, results([*ours, yolox], photos), ("item",))


if __name__ == "__main__":
    main()
