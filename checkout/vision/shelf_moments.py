"""How places of a calibrated camera look, and whether a hand holds something.

A *place* is a facing projected into the camera. `Looks` remembers how it looked when nothing was in
front of it, and says what changed there (look, items, the front item's position) over a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import Camera
from checkout.vision.detector import Detections, overlaps

Region = tuple[float, float, float, float]

ITEM_SCORE = 0.35
"""Assumed: an item detection counts as standing at a place from this score on."""
THUMBNAIL = (12, 12)
LOOKS_S = 8.0
LOOKS_EACH = 5
"""Assumed: so many looks on each side of a reach are compared, of the last so many seconds."""
STATIC_AGE_S = 1.0
"""Assumed: an item that is where one stood this long ago is not in a hand."""


@dataclass
class _Look:
    """A place while nothing is in front of it."""

    t_s: float
    thumbnail: np.ndarray
    items: float
    front_y: float


class Sign(NamedTuple):
    """How a place changed over a time: its look, in units of flicker, and items and their front that went away."""

    change: float
    items_gone: float
    front_back: float


class Looks:
    """How each facing looked to one camera in the last seconds, whenever no hand was before it."""

    def __init__(self, places: Mapping[str, Region]) -> None:
        self._places = dict(places)
        self._seen: dict[str, deque[_Look]] = {name: deque() for name in places}

    def update(self, t_s: float, image: np.ndarray, found: Detections) -> None:
        """Take in one frame."""
        covered, items = covered_places(self._places, found), _standing(found)
        for name, region in self._places.items():
            seen = self._seen[name]
            if name not in covered:
                seen.append(_look_at(t_s, image, region, items))
            while seen and seen[0].t_s < t_s - LOOKS_S:
                seen.popleft()

    def sign(self, place: str, t_start_s: float, t_end_s: float) -> Sign | None:
        """What changed from before to after a time; None when the place was not seen on one side of it."""
        seen = self._seen.get(place, ())
        before = [look for look in seen if look.t_s < t_start_s - 0.1][-LOOKS_EACH:]
        after = [look for look in seen if look.t_s > t_end_s + 0.1][-LOOKS_EACH:]
        if not before or not after:
            return None
        change = _difference(
            np.median([look.thumbnail for look in before], axis=0),
            np.median([look.thumbnail for look in after], axis=0),
        )
        items = float(np.median([look.items for look in before]) - np.median([look.items for look in after]))
        front = float(
            np.median([look.front_y for look in before]) - np.median([look.front_y for look in after])
        )
        return Sign(change, items, front)


class HoldingJudge:
    """Says whether a hand holds an item: an item box at the hand that did not stand there before."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, np.ndarray]] = deque()

    def update(self, t_s: float, items: Detections) -> np.ndarray:
        """Take in one frame's item boxes; returns which of them move, bool [n]."""
        while len(self._past) > 1 and self._past[1][0] <= t_s - STATIC_AGE_S:
            self._past.popleft()
        stood = (
            self._past[0][1] if self._past and self._past[0][0] <= t_s - STATIC_AGE_S else np.zeros((0, 4))
        )
        self._past.append((t_s, items.boxes_xyxy))
        return np.asarray((overlaps(items.boxes_xyxy, stood) < 0.5).all(axis=1))


def covered_places(places: Mapping[str, Region], found: Detections) -> set[str]:
    """Places that a hand is in front of, with some room around it."""
    covered = set()
    for box in found.of("hand", at_least=0.2).boxes_xyxy.tolist():
        grow = 0.4 * max(box[2] - box[0], box[3] - box[1])
        wide = (box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow)
        covered |= {name for name, region in places.items() if _overlap(wide, region) > 0}
    return covered


def look_at(t_s: float, image: np.ndarray, region: Region, found: Detections) -> _Look:
    """How a region of a picture looks, and the items that stand there."""
    return _look_at(t_s, image, region, _standing(found))


class _Standing(NamedTuple):
    """The middle [n, 2] and lower border [n] of each item of one picture, pixels."""

    centre: np.ndarray
    bottom: np.ndarray


def _standing(found: Detections) -> _Standing:
    boxes = found.of("item", at_least=ITEM_SCORE).boxes_xyxy
    return _Standing(0.5 * (boxes[:, :2] + boxes[:, 2:]), boxes[:, 3])


def _look_at(t_s: float, image: np.ndarray, region: Region, items: _Standing) -> _Look:
    import cv2

    height, width = image.shape[:2]
    x1, y1 = max(0, int(region[0])), max(0, int(region[1]))
    x2, y2 = min(width, int(np.ceil(region[2]))), min(height, int(np.ceil(region[3])))
    thumbnail = cv2.resize(image[y1:y2, x1:x2], THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = ((items.centre > region[:2]) & (items.centre < region[2:])).all(axis=1)
    bottom = float(items.bottom[inside].max()) if inside.any() else region[1]
    return _Look(t_s, thumbnail, float(inside.sum()), (bottom - region[1]) / (region[3] - region[1]))


def holding_score(hand_box: np.ndarray, items: Detections, moving: np.ndarray) -> float:
    """Score, 0-1, that the hand in a box holds one of the moving items."""
    grow = 0.3 * max(hand_box[2] - hand_box[0], hand_box[3] - hand_box[1])
    wide = (hand_box[0] - grow, hand_box[1] - grow, hand_box[2] + grow, hand_box[3] + grow)
    scores = [
        float(score)
        for box, score, moves in zip(items.boxes_xyxy, items.confidence, moving, strict=True)
        if moves and _overlap(wide, tuple(box)) > 0.1
    ]
    return max(scores, default=0.0)


def facing_regions(planogram: Planogram, camera: Camera) -> dict[str, Region]:
    """Where each facing's front half appears in a calibrated camera; facings out of the picture are left out."""
    regions: dict[str, Region] = {}
    for facing in planogram.values():
        if facing.box_min_m is None or facing.box_max_m is None:
            continue
        low, high = np.array(facing.box_min_m), np.array(facing.box_max_m)
        outward = np.array([*facing.front, 0.0])
        back = outward != 0
        middle = 0.5 * (low + high)
        low[back & (outward > 0)] = middle[back & (outward > 0)]
        high[back & (outward < 0)] = middle[back & (outward < 0)]
        high[2] = low[2] + 0.75 * (high[2] - low[2])
        corners = np.array(
            [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
        )
        pixels, depth = camera.project(corners)
        if (depth <= 0.1).any():
            continue
        x1, y1 = np.maximum(pixels.min(axis=0), 0.0)
        x2, y2 = np.minimum(pixels.max(axis=0), (camera.width, camera.height))
        if x2 - x1 >= 8 and y2 - y1 >= 8:
            regions[facing.facing] = (float(x1), float(y1), float(x2), float(y2))
    return regions


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Share of box b that box a covers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    area = (b[2] - b[0]) * (b[3] - b[1])
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    return float(inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter))


def _difference(before: np.ndarray, after: np.ndarray) -> float:
    """How much a place's look changed, in units of ordinary flicker; brightness alone does not count."""
    shift = np.median(after - before, axis=(0, 1))
    return float(np.mean(np.abs(after - before - shift)) / 4.0)
