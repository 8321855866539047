"""Shelf moments: a hand comes to a place, and the place is not as it was.

A *place* is a region of the picture: a facing projected into a calibrated camera, or, in a plain
video, a spot where an item was seen to stand. For every place the finder remembers how it looked
when nothing was in front of it. A hand that passes over places opens an episode; once the places
are clear again, what changed there (look, items, the front item's position) and whether the hand
came or left with an item say which place it was, and whether something was taken or returned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.events import ShelfMoment
from checkout.recording import Camera
from checkout.vision.detector import Detections, overlaps
from checkout.vision.tracks import HandSighting

Region = tuple[float, float, float, float]

EPISODE_GAP_S = 0.5
"""Assumed: a hand that is away from every place for this long has left the shelf."""
CLEAR_WAIT_S = 4.0
"""Assumed: how long to wait for a place to be clear again before its change is given up."""
ITEM_SCORE = 0.35
"""Assumed: an item detection counts as standing at a place from this score on."""
NEAR_HANDS = 1.3
"""Assumed: a hand this many times its own size from a place may hold what stands there by its other end."""
THUMBNAIL = (12, 12)
LOOKS_S = 8.0
LOOKS_EACH = 5
"""Assumed: so many looks on each side of a reach are compared, of the last so many seconds."""
STATIC_AGE_S = 1.0
"""Assumed: an item that is where one stood this long ago is not in a hand."""
WEIGHTS = {"items": 2.5, "front": 1.5, "holding": 1.5, "change": 1.0}
"""Assumed: what each sign is worth as log odds of pick against put-back ("change": of either against touch)."""
TOUCH_BIAS = 1.0
"""Assumed: log odds of a touch when no sign speaks for a pick or a put-back."""


@dataclass
class _Look:
    """A place while nothing is in front of it."""

    t_s: float
    thumbnail: np.ndarray
    items: float
    front_y: float


@dataclass
class _Episode:
    """One hand over places, from coming to leaving."""

    track: int
    t_start_s: float
    t_end_s: float
    dwell: dict[str, float] = field(default_factory=dict)
    before: dict[str, _Look] = field(default_factory=dict)
    after: dict[str, _Look] = field(default_factory=dict)
    when: dict[str, list[float]] = field(default_factory=dict)
    holding: list[float] = field(default_factory=list)
    shopper: dict[str, float] = field(default_factory=dict)


class MomentFinder:
    """Finds the shelf moments of one camera, frame by frame; memory does not grow with the video."""

    def __init__(self, camera: str, places: Mapping[str, Region]) -> None:
        self._camera, self._places = camera, dict(places)
        self._look: dict[str, deque[_Look]] = {name: deque(maxlen=3) for name in places}
        self._open: dict[int, _Episode] = {}
        self._closed: list[_Episode] = []

    def update(
        self, t_s: float, image: np.ndarray, found: Detections, hands: Sequence[HandSighting]
    ) -> list[ShelfMoment]:
        """Take in one frame; returns the moments that are now settled."""
        covered = covered_places(self._places, found)
        for name, region in self._places.items():
            if name not in covered:
                look = look_at(t_s, image, region, found)
                self._look[name].append(look)
                for episode in self._closed:
                    if name in episode.dwell and name not in episode.after:
                        episode.after[name] = look
        for hand in hands:
            self._follow(hand)
        for track, episode in list(self._open.items()):
            if t_s - episode.t_end_s > EPISODE_GAP_S:
                self._closed.append(self._open.pop(track))
        return self._settle(t_s)

    def flush(self) -> list[ShelfMoment]:
        """The moments still open when the video ends."""
        self._closed += self._open.values()
        self._open = {}
        return self._settle(np.inf)

    def _follow(self, hand: HandSighting) -> None:
        at = self._at(hand)
        episode = self._open.get(hand.track)
        if not at:
            if episode is not None:
                episode.holding.append(hand.holding)
            return
        if episode is None:
            episode = self._open[hand.track] = _Episode(hand.track, hand.t_s, hand.t_s)
        episode.holding.append(hand.holding)
        episode.t_end_s = hand.t_s
        for name in at:
            episode.dwell[name] = episode.dwell.get(name, 0.0) + 1.0 / len(at)
            episode.when.setdefault(name, []).append(hand.t_s)
            if name not in episode.before and self._look[name]:
                episode.before[name] = self._look[name][0]
        for who, probability in hand.shopper.items():
            episode.shopper[who] = episode.shopper.get(who, 0.0) + probability

    def _at(self, hand: HandSighting) -> list[str]:
        """The places under the middle of a hand, or else the one that it holds something over or above."""
        x, y = hand.centre_px
        under = [n for n, (x1, y1, x2, y2) in self._places.items() if x1 <= x <= x2 and y1 <= y <= y2]
        if under or not self._places:
            return under
        left, top, right, bottom = hand.box_xyxy
        gaps = {
            name: float(np.hypot(max(x1 - right, left - x2, 0.0), max(y1 - bottom, top - y2, 0.0)))
            for name, (x1, y1, x2, y2) in self._places.items()
        }
        nearest = min(gaps, key=gaps.__getitem__)
        return [nearest] if gaps[nearest] < NEAR_HANDS * max(right - left, bottom - top) else []

    def _settle(self, t_s: float) -> list[ShelfMoment]:
        moments, waiting = [], []
        for episode in self._closed:
            clear = all(name in episode.after for name in episode.dwell)
            if clear or t_s - episode.t_end_s > CLEAR_WAIT_S:
                moments.append(self._judge(episode))
            else:
                waiting.append(episode)
        self._closed = waiting
        return moments

    def _judge(self, episode: _Episode) -> ShelfMoment:
        thirds = max(1, len(episode.holding) // 3)
        held = float(np.mean(episode.holding[-thirds:]) - np.mean(episode.holding[:thirds]))
        score: dict[str, float] = {}
        signs: dict[str, tuple[float, float]] = {}
        for name, dwell in episode.dwell.items():
            before, after = episode.before.get(name), episode.after.get(name)
            change, toward_pick = 0.0, WEIGHTS["holding"] * held
            if before is not None and after is not None:
                change = _difference(before.thumbnail, after.thumbnail)
                toward_pick += WEIGHTS["items"] * float(np.clip(before.items - after.items, -1, 1))
                toward_pick += (
                    WEIGHTS["front"] * 4 * float(np.clip(before.front_y - after.front_y, -0.25, 0.25))
                )
            signs[name] = (change, toward_pick)
            score[name] = np.log(dwell) + WEIGHTS["change"] * min(change, 6.0)
        facing = _softmax(score)
        best = max(facing, key=facing.__getitem__)
        change, toward_pick = signs[best]
        happened = WEIGHTS["change"] * (change - 2.0)
        action = _softmax(
            {
                "pick": happened + toward_pick,
                "put_back": happened - toward_pick,
                "touch": TOUCH_BIAS - abs(toward_pick),
            }
        )
        total = sum(episode.shopper.values())
        when = episode.when[best]
        return ShelfMoment(
            t_start_s=when[0],
            t_end_s=when[-1],
            camera=self._camera,
            facing=facing,
            action=action,
            shopper={who: p / total for who, p in episode.shopper.items()} if total else {},
        )


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


def discover_places(
    frames: Sequence[Detections], times_s: Sequence[float], *, least_s: float = 1.0
) -> dict[str, Region]:
    """Places of a plain video: where an item box stood still for a while, named left to right.

    Args:
        least_s: how long an item must have stood there, seconds.
    """
    clusters: list[list[np.ndarray]] = []
    seen_s: list[float] = []
    step = np.median(np.diff(times_s)) if len(times_s) > 1 else 0.0
    for found in frames:
        items = found.of("item", at_least=ITEM_SCORE)
        for box in items.boxes_xyxy:
            for index, cluster in enumerate(clusters):
                if _iou(box, np.mean(cluster[-5:], axis=0)) > 0.6:
                    cluster.append(box)
                    seen_s[index] += float(step)
                    break
            else:
                clusters.append([box])
                seen_s.append(float(step))
    standing = [np.median(c, axis=0) for c, s in zip(clusters, seen_s, strict=True) if s >= least_s]
    standing.sort(key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]))
    kept: list[np.ndarray] = []
    for box in standing:
        if all(
            _overlap(tuple(box), tuple(other)) < 0.3 and _overlap(tuple(other), tuple(box)) < 0.3
            for other in kept
        ):
            kept.append(box)
    kept.sort(key=lambda b: b[0])
    return {f"place-{i}": tuple(map(float, box)) for i, box in enumerate(kept, start=1)}  # type: ignore[misc]


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


def _softmax(score: Mapping[str, float]) -> dict[str, float]:
    top = max(score.values())
    weight = {name: float(np.exp(value - top)) for name, value in score.items()}
    total = sum(weight.values())
    return {name: w / total for name, w in weight.items()}
