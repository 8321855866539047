"""Detection quality: mAP50 and mAP50-95 of each class, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from checkout.vision.detector import CLASSES

COUNTED_FROM = {"hand": 0.25, "item": 0.35, "person": 0.15}
"""Assumed: true boxes that show less than this share are neither asked for nor held against a detection."""

SCORED_FROM = 0.001
"""Published: as Ultralytics and YOLOX score mAP. From the 0.1 on that events are made of, YOLOX-nano would lose 0.17
on real frames (`benchmarks.real_frames`): a recall that is never reached counts as precision 0."""

FRAMES_APART = 4
"""Assumed: frames nearer than this show much the same, and are scored once."""


@dataclass(frozen=True)
class DetectionScore:
    """Average precision of one class: at IoU 0.5, over IoU 0.5-0.95, and how many true boxes counted.

    Attributes:
        precision_at_recall: at IoU 0.5, the precision at recall 0, 0.01, ... 1, as COCO interpolates it.
    """

    label: str
    map50: float
    map50_95: float
    boxes: int
    precision_at_recall: tuple[float, ...] = ()


@dataclass
class DetectionMetric:
    """Collects recordings' true boxes and detections on the same frames, then scores all of them."""

    _images: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _true: list[dict[str, Any]] = field(default_factory=list)
    _found: list[dict[str, Any]] = field(default_factory=list)

    def update(
        self,
        recording: str,
        true: pd.DataFrame,
        found: pd.DataFrame,
        looked: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Add one recording.

        Args:
            true: as `Recording.boxes`.
            found: as `Perceived.detections`.
            looked: frames that the network saw, see `Sight.looked`; all of them without it. Which frames are scored
                does not hang on it otherwise, so that the same are scored however often is looked.
        """
        true = _apart(true) if looked is None else looked_at(_apart(true), looked)
        for camera, frame, label, visible, box in _rows(true, "visible"):
            image = self._images.setdefault((recording, camera, frame), len(self._images) + 1)
            self._true.append(
                {
                    "id": len(self._true) + 1,
                    "image_id": image,
                    "category_id": CLASSES.index(label) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(visible < COUNTED_FROM[label]),
                }
            )
        for camera, frame, label, score, box in _rows(found, "confidence"):
            known = self._images.get((recording, camera, frame))
            if known is not None:
                self._found.append(
                    {"image_id": known, "category_id": CLASSES.index(label) + 1, "bbox": box, "score": score}
                )

    def compute(self) -> list[DetectionScore]:
        """A score for each class that occurs; classes without true boxes are left out."""
        from faster_coco_eval import COCO, COCOeval_faster

        if not self._true:
            return []
        scores = []
        truth = {
            "images": [{"id": i} for i in self._images.values()],
            "annotations": self._true,
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(truth)
            found = coco.loadRes(self._found) if self._found else None
            for index, label in enumerate(CLASSES, start=1):
                counted = sum(a["category_id"] == index and not a["iscrowd"] for a in self._true)
                if not counted:
                    continue
                if found is None:
                    scores.append(DetectionScore(label, 0.0, 0.0, counted))
                    continue
                judge = COCOeval_faster(coco, found, iouType="bbox")
                judge.params.catIds = [index]
                judge.params.maxDets = [1, 10, 300]
                judge.evaluate()
                judge.accumulate()
                precision = judge.eval["precision"][:, :, 0, 0, -1]
                curve = tuple(round(float(p), 4) for p in precision[0])
                scores.append(
                    DetectionScore(label, float(precision[0].mean()), float(precision.mean()), counted, curve)
                )
        return scores


def looked_at(true: pd.DataFrame, looked: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The true boxes of the frames that the network saw, see `Sight.looked`: others show where things were before."""
    seen = np.zeros(len(true), bool)
    for camera, frames in looked.items():
        seen |= ((true["camera"] == camera) & true["frame"].isin(frames)).to_numpy(bool)
    return true[seen]


def _apart(true: pd.DataFrame) -> pd.DataFrame:
    """The rows of each camera's frames that lie at least `FRAMES_APART` apart."""
    kept = np.zeros(len(true), bool)
    cameras, frames = true["camera"].astype(str).to_numpy(), true["frame"].to_numpy(int)
    for camera in np.unique(cameras):
        own, chosen = cameras == camera, [-FRAMES_APART]
        for frame in np.unique(frames[own]):
            if frame - chosen[-1] >= FRAMES_APART:
                chosen.append(int(frame))
        kept |= own & np.isin(frames, chosen)
    return true[kept]


def _rows(table: pd.DataFrame, value: str) -> Iterator[tuple[str, int, str, float, list[float]]]:
    """Camera, frame, label, a value and the box (x, y, width, height; pixels) of each row."""
    corners = table[["x1", "y1", "x2", "y2"]].to_numpy(float)
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in corners.tolist()]
    names = (table[name].tolist() for name in ("camera", "frame", "label", value))
    yield from zip(*names, boxes, strict=True)
