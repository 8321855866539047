"""How places of a calibrated camera look, and whether a hand holds something.

A *place* is a facing projected into the camera. `Looks` remembers how it looked when nothing was in
front of it, and says what changed there (whether a unit went or came, and items) over a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import Camera
from checkout.vision.detector import Detections, overlaps
from checkout.vision.second_look import Region, SecondLook, cut_region

ITEM_SCORE = 0.35
"""Assumed: an item detection counts as standing at a place from this score on."""
LEAST_REGION_PX = 8.0
"""Assumed: items are not counted at a facing that a camera sees smaller than this."""
LOOKS_S = 8.0
LOOKS_EACH = 5
"""Assumed: so many looks on each side of a reach are compared, of the last so many seconds when it is asked. With
`watch.SIGN_WAIT_S` that leaves a reach of nearly 4 s without a look before it."""
LOOK_EVERY_S = 0.15
"""Assumed: looks are remembered this far apart."""
CLEAR_S = 0.1
"""Assumed: a place is clear this long before and after a reach."""
STATIC_AGE_S = 1.0
"""Assumed: an item that is where one stood this long ago is not in a hand."""


@dataclass
class _Look:
    """A place while nothing is in front of it: its cut-out (see `second_look`), and the items that stand there."""

    t_s: float
    cut: np.ndarray
    items: float


class Sign(NamedTuple):
    """How a place changed over a time: probability of each of `second_look.CHANGES` [3], and items that went away."""

    change: np.ndarray
    items_gone: float


class Looks:
    """How each facing looked to one camera in the last seconds, whenever no hand was before it.

    Args:
        places: where items of each facing are counted.
        spaces: what is cut out of the picture, for the same facings or some.
    """

    def __init__(
        self, places: Mapping[str, Region], spaces: Mapping[str, Region], second: SecondLook
    ) -> None:
        self._places = {name: region for name, region in places.items() if name in spaces}
        self._spaces, self._second = dict(spaces), second
        self._seen: dict[str, deque[_Look]] = {name: deque() for name in self._places}

    def update(self, t_s: float, image: np.ndarray, found: Detections) -> None:
        """Take in one frame."""
        covered, items = covered_places(self._spaces, found), _standing(found)
        for name, region in self._places.items():
            seen = self._seen[name]
            if name not in covered and not (seen and t_s - seen[-1].t_s < LOOK_EVERY_S):
                seen.append(_Look(t_s, cut_region(image, self._spaces[name]), _items_in(region, items)))
            while seen and seen[0].t_s < t_s - LOOKS_S:
                seen.popleft()

    def signs(self, places: Collection[str], t_start_s: float, t_end_s: float) -> dict[str, Sign]:
        """What changed from before to after a time, of those places that were seen on both sides of it."""
        pairs = {}
        for place in places:
            seen = self._seen.get(place, ())
            before = [look for look in seen if look.t_s < t_start_s - CLEAR_S][-LOOKS_EACH:]
            after = [look for look in seen if look.t_s > t_end_s + CLEAR_S][:LOOKS_EACH]
            if before and after:
                pairs[place] = before, after
        if not pairs:
            return {}
        cuts = [np.stack([_median_cut(side[i]) for side in pairs.values()]) for i in (0, 1)]
        changes = self._second.facings(*cuts)
        return {
            place: Sign(change, _median_items(before) - _median_items(after))
            for (place, (before, after)), change in zip(pairs.items(), changes, strict=True)
        }


def _median_cut(looks: Sequence[_Look]) -> np.ndarray:
    return np.median([look.cut for look in looks], axis=0).astype(np.uint8)


def _median_items(looks: Sequence[_Look]) -> float:
    return float(np.median([look.items for look in looks]))


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
    return covered_by(places, found.of("hand", at_least=0.2).boxes_xyxy)


def covered_by(places: Mapping[str, Region], hands_xyxy: np.ndarray) -> set[str]:
    """Places that one of the hands' boxes, pixels [n, 4], is in front of, with some room around it."""
    covered: set[str] = set()
    for box in hands_xyxy.tolist():
        grow = 0.4 * max(box[2] - box[0], box[3] - box[1])
        wide = (box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow)
        covered |= {name for name, region in places.items() if _overlap(wide, region) > 0}
    return covered


def _standing(found: Detections) -> np.ndarray:
    """The middle of each item of one picture, pixels [n, 2]."""
    boxes = found.of("item", at_least=ITEM_SCORE).boxes_xyxy
    return np.asarray(0.5 * (boxes[:, :2] + boxes[:, 2:]))


def _items_in(region: Region, centres: np.ndarray) -> float:
    return float(((centres > region[:2]) & (centres < region[2:])).all(axis=1).sum())


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
        seen = camera.box_seen(low, high)
        if seen is not None and (seen[2:] - seen[:2] >= LEAST_REGION_PX).all():
            x1, y1, x2, y2 = seen.tolist()
            regions[facing.facing] = (x1, y1, x2, y2)
    return regions


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Share of box b that box a covers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    area = (b[2] - b[0]) * (b[3] - b[1])
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0
