"""How places of a calibrated camera look, and whether a hand holds something.

A *place* is a facing projected into the camera. `Looks` compares how it looked before and after a reach when no hand
was in front of it, and says what changed there (whether a unit went or came, and items).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import Camera
from checkout.vision.detector import Detections, overlaps
from checkout.vision.picture_memory import PictureMemory, Remembered
from checkout.vision.second_look import FacingView, SecondLook, cut_facing

ITEM_SCORE = 0.35
"""Assumed: an item detection counts as standing at a place from this score on."""
LEAST_REGION_PX = 8.0
"""Assumed: items are not counted at a facing that a camera sees smaller than this."""
LOOKS_EACH = 5
"""Assumed: so many looks on each side of a reach are compared."""
COVERING_SCORE = 0.2
"""Assumed: a hand detection is before what lies under it from this score on."""
CLEAR_S = 0.1
"""Assumed: a place is clear this long before and after a reach."""
STATIC_AGE_S = 1.0
"""Assumed: an item that is where one stood this long ago is not in a hand."""


Region = tuple[float, float, float, float]


class Sign(NamedTuple):
    """How a place changed over a time.

    Attributes:
        change: probability of each of `second_look.CHANGES` [3].
        items_gone: items that went away.
        t_before_s, t_after_s: the mean times of the looks that were compared.
    """

    change: np.ndarray
    items_gone: float
    t_before_s: float
    t_after_s: float

    def shared(self, share: float) -> Sign:
        """What it says of one reach that it is about with a probability, as others are that were there in that time.

        A change, if there was one, is this reach's in that share. That there was none says as much less, as what one
        reach took, another may have put back.
        """
        items = share * self.items_gone
        if self.change[0] < 0.5:
            gone, came = share * self.change[1:]
            return self._replace(change=np.array([1 - gone - came, gone, came]), items_gone=items)
        changed = max(1.0 - self.change[0], 1e-9)
        none = 1 / (1 + (changed / self.change[0]) ** share)
        rest = (1 - none) * self.change[1:] / changed
        return self._replace(change=np.array([none, *rest]), items_gone=items)


class Side(NamedTuple):
    """How a place looked on one side of a reach, at a mean time: its cut-out (see `second_look`), and items there."""

    t_s: float
    cut: np.ndarray
    items: float


class Looks:
    """How each facing looked to one camera whenever no hand was before it.

    Args:
        places: where items of each facing are counted.
        views: what is cut out of the picture, for the same facings or some.
    """

    def __init__(
        self,
        places: Mapping[str, Region],
        views: Mapping[str, FacingView],
        second: SecondLook,
        memory: PictureMemory,
    ) -> None:
        self._places = {name: region for name, region in places.items() if name in views}
        self._views, self._second, self._memory = dict(views), second, memory
        self._shapes = {name: view.shape() for name, view in views.items()}
        self._regions = {name: around(view) for name, view in views.items()}

    def before(self, places: Collection[str], t_start_s: float) -> dict[str, Side]:
        """How those of some places that were seen looked last before a reach began."""
        seen = self._memory.between(-np.inf, t_start_s - CLEAR_S)[::-1]
        return self._sides(places, seen)

    def signs(self, before: Mapping[str, Side], t_end_s: float) -> dict[str, Sign]:
        """What changed from before a reach to after its end, of those places that were seen since."""
        after = self._sides(before, self._memory.between(t_end_s + CLEAR_S, np.inf))
        if not after:
            return {}
        first, last = (np.stack([side[name].cut for name in after]) for side in (before, after))
        changes = self._second.facings(first, last, np.stack([self._shapes[name] for name in after]))
        return {
            name: Sign(change, before[name].items - side.items, before[name].t_s, side.t_s)
            for (name, side), change in zip(after.items(), changes, strict=True)
        }

    def _sides(self, places: Collection[str], pictures: Sequence[Remembered]) -> dict[str, Side]:
        """Of each place the first `LOOKS_EACH` pictures in which no hand is before it."""
        wanted = {name: self._regions[name] for name in places if name in self._places}
        clear: dict[str, list[Remembered]] = {name: [] for name in wanted}
        for picture in pictures:
            missing = {name: region for name, region in wanted.items() if len(clear[name]) < LOOKS_EACH}
            for name in set(missing) - covered_by(missing, picture.hands_xyxy):
                clear[name].append(picture)
        asked = {p.t_s: p for kept in clear.values() for p in kept}
        images = {t_s: self._memory.image(picture) for t_s, picture in sorted(asked.items())}
        return {name: self._side(name, kept, images) for name, kept in clear.items() if kept}

    def _side(self, name: str, pictures: Sequence[Remembered], images: Mapping[float, np.ndarray]) -> Side:
        view, region = self._views[name], self._places[name]
        cuts = [cut_facing(images[p.t_s], view, shrunk=self._memory.shrunk) for p in pictures]
        return Side(
            float(np.mean([p.t_s for p in pictures])),
            np.median(cuts, axis=0).astype(np.uint8),
            float(np.median([_items_in(region, p.items_xy) for p in pictures])),
        )


def around(view: FacingView) -> Region:
    """The rectangle around a facing in the picture, pixels."""
    low, high = view.space.whole.min(axis=0), view.space.whole.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


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


def covered_by(places: Mapping[str, Region], hands_xyxy: np.ndarray) -> set[str]:
    """Places that one of the hands' boxes, pixels [n, 4], is in front of, with some room around it."""
    covered: set[str] = set()
    for box in hands_xyxy.tolist():
        grow = 0.4 * max(box[2] - box[0], box[3] - box[1])
        wide = (box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow)
        covered |= {name for name, region in places.items() if _overlap(wide, region) > 0}
    return covered


def remember(memory: PictureMemory, t_s: float, image: np.ndarray, found: Detections) -> None:
    """Remember a picture where one is due, with the hands and items that were found in it."""
    if memory.due(t_s):
        memory.add(t_s, image, found.of("hand", at_least=COVERING_SCORE).boxes_xyxy, _item_middles(found))


def _item_middles(found: Detections) -> np.ndarray:
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
