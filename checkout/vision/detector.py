"""The shelf-event detector's eyes: a YOLO model that finds hands, items and people.

Finding *an* item is this module's job, naming *which* product is not, so that a product never
seen before is found too. Any Ultralytics detection weights can be used: their class names are
mapped to the three classes here, and what a model cannot see is said by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checkout.errors import InputError, nearest

CLASSES = ("hand", "item", "person")
SHIPPED = Path(__file__).resolve().parents[2] / "models"
SHIPPED_NAME = "shelf-yolo26n"
IMAGE_SIZE = 640
"""Longer side of the picture given to the network, pixels: the scale at which it was trained on windows."""
LOWEST_CONFIDENCE = 0.1
"""Assumed: detections under this score are not reported (trackers use the weak ones, rules do not)."""

ONE_THING_IOU = {"hand": 0.3, "item": 0.5, "person": 0.5}
"""Measured on rendered validation frames: boxes of one class that overlap this much are one thing's, and their mean,
weighted by score, is nearer to it than the surest alone (hands: mAP50 0.47 against 0.43 by suppression at 0.5)."""

COCO_GOODS = (
    "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "book", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush", "cell phone", "remote", "mouse",
)  # fmt: skip
"""COCO classes that a shop sells and a hand carries; they count as items."""


@dataclass(frozen=True)
class Detections:
    """What one picture holds.

    Attributes:
        boxes_xyxy: float32 [n, 4], pixels.
        confidence: float32 [n], the network's score.
        label: index into `CLASSES`, int [n].
    """

    boxes_xyxy: np.ndarray
    confidence: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def of(self, name: str, *, at_least: float = 0.0) -> Detections:
        """Only the detections of one class, with at least this score."""
        keep = (self.label == CLASSES.index(name)) & (self.confidence >= at_least)
        return Detections(self.boxes_xyxy[keep], self.confidence[keep], self.label[keep])

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))


class Detector:
    """YOLO weights ready to look at pictures.

    Args:
        weights: `.pt`, `.onnx` or an OpenVINO folder; None for the shipped weights, of which the
            OpenVINO form is taken where that library is installed because it is the fastest.
        class_map: the model's class (name or number) -> "hand", "item", "person", or "" to leave it out; for names
            not known here.
        imgsz: longer side of the picture given to the network, pixels.

    Raises:
        InputError: the file is missing, is not a model, or has no class that can be used; or the map names a class
            that it does not have.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        class_map: Mapping[str, str] | None = None,
        imgsz: int = IMAGE_SIZE,
    ) -> None:
        self.path = _shipped_weights() if weights is None else Path(weights)
        self._imgsz = imgsz
        self._model = _load(self.path, named=weights is not None)
        names: dict[int, str] = dict(self._model.names)
        given = dict(class_map or {})
        for foreign in given:
            if foreign not in names.values() and foreign not in map(str, names):
                raise InputError(
                    self.path,
                    "--class-map",
                    f"{foreign!r} is not a class of this model: {', '.join(list(names.values())[:8])}",
                    nearest(foreign, names.values()),
                )
        self._label = np.array([_class_of(given.get(str(i), names[i]), given) for i in range(len(names))])
        self.sees = tuple(c for i, c in enumerate(CLASSES) if (self._label == i).any())
        if not self.sees:
            some = ", ".join(list(names.values())[:8])
            raise InputError(
                self.path, "classes", f"none of {some} is a hand, an item or a person", "give a class map"
            )

    @property
    def name(self) -> str:
        return self.path.name

    def detect(
        self, images: Sequence[np.ndarray], *, at_least: float = LOWEST_CONFIDENCE
    ) -> list[Detections]:
        """The detections in each picture, uint8 [height, width, 3], BGR, with at least this score."""
        found = []
        for image in images:
            result = self._model.predict(
                image, imgsz=_network_size(image, self._imgsz), conf=at_least, verbose=False
            )[0]
            boxes = result.boxes
            label = self._label[boxes.cls.cpu().numpy().astype(int)]
            keep = label >= 0
            found.append(
                merged(
                    Detections(
                        boxes.xyxy.cpu().numpy()[keep],
                        boxes.conf.cpu().numpy()[keep],
                        label[keep].astype(int),
                    )
                )
            )
        return found


def merged(found: Detections) -> Detections:
    """One box for each thing: overlapping boxes of a class (`ONE_THING_IOU`) become their mean, weighted by score."""
    order = np.lexsort((-found.confidence, found.label))
    boxes, score, label = found.boxes_xyxy[order], found.confidence[order], found.label[order]
    overlap = _overlaps(boxes)
    least = np.array([ONE_THING_IOU[name] for name in CLASSES])
    taken = np.zeros(len(order), bool)
    kept, means = [], []
    for index in range(len(order)):
        if taken[index]:
            continue
        same = (label == label[index]) & (overlap[index] >= least[label[index]]) & ~taken
        same[index] = True
        taken |= same
        kept.append(index)
        means.append(np.average(boxes[same], axis=0, weights=score[same]))
    if not kept:
        return Detections.empty()
    return Detections(np.array(means, np.float32), score[kept], label[kept])


def _overlaps(boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of boxes [n, 4]; [n, n]."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = np.maximum(high - low, 0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.asarray(inter / np.maximum(area[:, None] + area[None, :] - inter, 1e-9))


def _network_size(image: np.ndarray, longer: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    scale = longer / max(height, width)
    return tuple(int(np.ceil(side * scale / 32) * 32) for side in (height, width))  # type: ignore[return-value]


def _shipped_weights() -> Path:
    import importlib.util

    openvino = SHIPPED / f"{SHIPPED_NAME}_openvino_model"
    if importlib.util.find_spec("openvino") and openvino.is_dir():
        return openvino
    weights = SHIPPED / f"{SHIPPED_NAME}.pt"
    if not weights.is_file():
        raise InputError(
            weights,
            "",
            "the shipped weights are not here",
            "name weights with --detector, or run: checkout train",
        )
    return weights


def _class_of(name: str, class_map: Mapping[str, str]) -> int:
    name = class_map.get(name, name)
    if name in CLASSES:
        return CLASSES.index(name)
    return CLASSES.index("item") if name in COCO_GOODS else -1


def _load(path: Path, *, named: bool) -> Any:
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    known = path.suffix in (".pt", ".onnx", ".engine", ".torchscript") or path.is_dir()
    if path.exists() and not known:
        raise InputError(path, "", "is not a model", "expected .pt, .onnx or an OpenVINO folder")
    if not path.exists() and (path.parent != Path() or path.suffix != ".pt"):
        raise InputError(path, "", "does not exist, expected YOLO weights (.pt, .onnx or an OpenVINO folder)")
    from ultralytics import YOLO

    try:
        model = YOLO(str(path), task="detect")
        _ = model.predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False)
    except Exception as error:  # whatever a broken file makes the loaders raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(path, "", f"is not a YOLO detection model that can be loaded ({why})") from error
    return model
