"""Follows shoppers over the floor and hands through the picture, and says whose hand it is.

Everybody inside came through an entry scan, so shoppers are followed in a closed world: each
person box is placed on the floor and assigned to the shopper who was last seen nearby. Hands are followed
through the room (`hands`), or, in a camera that is not calibrated, by Ultralytics' ByteTrack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from checkout.catalog import Facing, Planogram
from checkout.events import ShelfMoment
from checkout.recording import Camera, Entry
from checkout.vision.detector import Detections

BODY_HEIGHT_M = 1.05
"""Assumed: height of the middle of a person box above the floor."""
HAND_SD_M = 0.12
"""Assumed: how far a hand that takes from a facing seems to be from that facing's space."""
HAND_WEIGHT = 0.4
"""Assumed: what a hand near a facing says, compared with one that reaches into it just then."""
REACH_SD_S = 0.25
"""Assumed: how far the middle of a reach is from that of its weight step, as a standard deviation."""
WALK_M_PER_S = 1.6
"""Assumed: how fast a shopper who is out of sight may walk."""
ASIDE_SD_M = 0.22
"""Assumed: how far beside a facing's middle the shopper who takes from it stands, as a standard deviation."""
AT_SHELF_M = 1.0
"""Assumed: who stands farther than this before the shelf does not take from it."""
STANDING_WEIGHT = 0.1
"""Assumed: what standing there says, compared with a hand that is seen there."""
COASTING_S = 0.8
"""Assumed: a shopper out of sight is taken to walk on for this long."""
ONE_BODY_M = 0.3
"""Assumed: two person boxes this close on the floor are one person's."""
LOST_M = 2.5
"""Assumed: nobody is looked for farther than this from where they were last seen."""
STRANGER_M = 0.8
"""Assumed: a person box farther than this from every shopper is nobody who entered."""
LOOK_BINS = (12, 3, 4)
"""Assumed: bins of hue, saturation and value that tell people apart by their clothes."""
LOOK_M = 0.6
"""Assumed: metres that a wholly different look is worth when boxes are given to people."""
UNKNOWN_LIKENESS = 0.6
"""Assumed: likeness where a person's look is not known yet."""
LOOKS_LEARNT = 8
"""Assumed: sightings after which a look is known; the first ones, soon after the entry scan, are the surest."""
EXCHANGE_MEMORY = 0.93
EXCHANGE_DOUBT = 1.5
"""Assumed: two people are exchanged when their looks' summed doubt, fading by that much a frame, exceeds this."""
_BYTETRACK = SimpleNamespace(
    track_high_thresh=0.25,
    track_low_thresh=0.1,
    new_track_thresh=0.3,
    track_buffer=15,
    match_thresh=0.9,
    fuse_score=False,
)


@dataclass(frozen=True)
class HandSighting:
    """One hand in one frame of one camera.

    Attributes:
        track: number of the hand's track within its camera.
        box_xyxy: pixels.
        shopper: probability of each shopper; empty when nobody is known.
        holding: score, 0-1, that the hand holds an item.
        at_m: where the hand is in the room; None in a camera that is not calibrated.
        sd_m: how uncertain that is, as a standard deviation.
    """

    camera: str
    t_s: float
    track: int
    box_xyxy: tuple[float, float, float, float]
    confidence: float
    shopper: Mapping[str, float]
    holding: float
    at_m: tuple[float, float, float] | None = None
    sd_m: float = 0.0

    @property
    def centre_px(self) -> tuple[float, float]:
        x1, y1, x2, y2 = self.box_xyxy
        return 0.5 * (x1 + x2), 0.5 * (y1 + y2)


class Place(NamedTuple):
    """Where a person stood at a time: floor position, metres; and the account they pay with."""

    t_s: float
    person: str
    shopper: str
    x_m: float
    y_m: float


@dataclass
class _Look:
    """Mean of the looks of one person in one camera, and of how many."""

    mean: np.ndarray
    count: int


class BoxTracker:
    """ByteTrack for the boxes of one class in one camera."""

    def __init__(self) -> None:
        from ultralytics.trackers.byte_tracker import BYTETracker

        self._tracker = BYTETracker(_BYTETRACK)

    def update(self, boxes: Detections, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Advance by one frame of `size` (height, width); returns (track, index into `boxes`) pairs."""
        from ultralytics.engine.results import Boxes

        rows = np.column_stack([boxes.boxes_xyxy, boxes.confidence, boxes.label]).astype(np.float32)
        tracked = self._tracker.update(Boxes(rows.reshape(-1, 6), size))
        return [(int(row[4]), int(row[7])) for row in tracked]


class ShopperTracker:
    """Where each person stands, from the person boxes of all calibrated cameras.

    A box goes to the person who should be there by now, all boxes of a frame together.

    Attributes:
        shopper_of: the account each person pays with.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = sorted(entries, key=lambda e: e.t_s)
        self.shopper_of = {e.person: e.shopper for e in entries}
        self._place: dict[str, np.ndarray] = {}
        self._speed: dict[str, np.ndarray] = {}
        self._seen_s: dict[str, float] = {}
        self._looks: dict[tuple[str, str], _Look] = {}
        self._doubt: dict[tuple[str, str], float] = {}

    def places(self, t_s: float) -> dict[str, np.ndarray]:
        """Floor position (x, y), metres, of everybody who has entered by then."""
        while self._entries and self._entries[0].t_s <= t_s + 0.05:
            entry = self._entries.pop(0)
            self._place[entry.person], self._seen_s[entry.person] = np.array(entry.at_m), entry.t_s
            self._speed[entry.person] = np.zeros(2)
        return self._place

    def update(self, camera: Camera, t_s: float, people: Detections, image: np.ndarray | None = None) -> None:
        """Move people to the person boxes of one frame; with the picture, also by how they look."""
        from scipy.optimize import linear_sum_assignment

        names = list(self.places(t_s))
        if not names or not len(people):
            return
        floor = floor_points(camera, people.boxes_xyxy, BODY_HEIGHT_M)
        kept = _apart(floor, people.confidence)
        boxes, floor = people.boxes_xyxy[kept], floor[kept]
        unseen_s = np.array([t_s - self._seen_s[n] for n in names])
        ahead = np.minimum(unseen_s, COASTING_S)[:, None] * np.stack([self._speed[n] for n in names])
        expected = np.stack([self._place[n] for n in names]) + ahead
        distance = np.linalg.norm(expected[:, None] - floor[None], axis=2)
        reach = np.minimum(STRANGER_M + WALK_M_PER_S * unseen_s, LOST_M)[:, None]
        looks = None if image is None else [_look_of(image, box) for box in boxes]
        cost = distance.copy()
        if looks is not None:
            cost += LOOK_M * np.array([[1 - self._alike(n, camera.camera, x) for x in looks] for n in names])
        given = {
            names[row]: int(column)
            for row, column in zip(*linear_sum_assignment(np.where(distance < reach, cost, 1e3)), strict=True)
            if distance[row, column] < reach[row, 0]
        }
        for name, column in given.items():
            self._move(name, floor[column], t_s, t_s - self._seen_s[name])
        if looks is not None:
            alone = _alone(boxes)
            clear = {name: looks[column] for name, column in given.items() if alone[column]}
            self._exchange(camera.camera, clear)
            self._learn(camera.camera, clear)

    def _alike(self, name: str, camera: str, look: np.ndarray) -> float:
        """How much a look is like that of a person in a camera, 0-1; middling when that is not known yet."""
        known = self._looks.get((name, camera))
        return UNKNOWN_LIKENESS if known is None or known.count < LOOKS_LEARNT else float(known.mean @ look)

    def _learn(self, camera: str, clear: dict[str, np.ndarray]) -> None:
        """Remember how people look; once learnt, only what is like it changes it, slowly."""
        for name, look in clear.items():
            known = self._looks.setdefault((name, camera), _Look(np.zeros_like(look), 0))
            if known.count < LOOKS_LEARNT:
                known.mean = (known.mean * known.count + look) / (known.count + 1)
                known.count += 1
            elif all(
                self._alike(name, camera, look) >= self._alike(other, camera, look) for other in self._place
            ):
                known.mean = 0.98 * known.mean + 0.02 * look

    def _exchange(self, camera: str, clear: dict[str, np.ndarray]) -> None:
        """Give two people each other's place when their looks have said so for long enough."""
        names = list(self._place)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                if any(
                    (known := self._looks.get((n, camera))) is None or known.count < LOOKS_LEARNT
                    for n in (a, b)
                ):
                    continue
                word = sum(
                    self._alike(other, camera, clear[name]) - self._alike(name, camera, clear[name])
                    for name, other in ((a, b), (b, a))
                    if name in clear
                )
                doubt = EXCHANGE_MEMORY * self._doubt.get((a, b), 0.0) + word
                self._doubt[a, b] = doubt
                if doubt > EXCHANGE_DOUBT:
                    books: tuple[dict[str, Any], ...] = (self._place, self._speed, self._seen_s)
                    for book in books:
                        book[a], book[b] = book[b], book[a]
                    self._doubt = {}

    def _move(self, name: str, to: np.ndarray, t_s: float, unseen_s: float) -> None:
        gain = 0.5 if unseen_s < 0.5 else 0.9
        before = self._place[name]
        self._place[name] = (1 - gain) * before + gain * to
        if unseen_s > 0:
            speed = np.clip((self._place[name] - before) / unseen_s, -WALK_M_PER_S, WALK_M_PER_S)
            self._speed[name] = 0.7 * self._speed[name] + 0.3 * speed
        self._seen_s[name] = t_s


class SightingsNearness:
    """`fusion.Nearness` from hands in the room and their reaches, and, where none was seen, from who stood there."""

    def __init__(
        self,
        planogram: Planogram,
        sightings: Iterable[HandSighting],
        moments: Sequence[ShelfMoment] = (),
        places: Sequence[Place] = (),
    ) -> None:
        self._planogram = planogram
        self._places = sorted(places)
        self._shopper_of = {p.person: p.shopper for p in self._places}
        self._place_times = np.array([p.t_s for p in self._places])
        self._moments = sorted(moments, key=lambda m: m.t_s)
        self._moment_times = np.array([m.t_s for m in self._moments])
        known = sorted((s for s in sightings if s.at_m is not None and s.shopper), key=lambda s: s.t_s)
        self._sightings = known
        self._times = np.array([s.t_s for s in known])
        self._at = np.array([s.at_m for s in known], float).reshape(-1, 3)
        self._variance = np.array([HAND_SD_M**2 + s.sd_m**2 for s in known])

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        """The best of three: a reach to the facing at that time, a hand near it, and standing before it."""
        views = [
            self._reaching(facing, 0.5 * (t_start_s + t_end_s)),
            self._hands(facing, t_start_s, t_end_s),
            self._standing(facing, t_start_s, t_end_s),
        ]
        return {who: max(view.get(who, 0.0) for view in views) for who in set().union(*views)}

    def _reaching(self, facing: str, t_s: float) -> dict[str, float]:
        first, last = np.searchsorted(self._moment_times, [t_s - 4 * REACH_SD_S, t_s + 4 * REACH_SD_S])
        found: dict[str, float] = {}
        for moment in self._moments[first:last]:
            timely = float(np.exp(-0.5 * ((moment.t_s - t_s) / REACH_SD_S) ** 2))
            there = moment.facing.get(facing, 0.0)
            for who, probability in moment.shopper.items():
                found[who] = max(found.get(who, 0.0), timely * there * probability)
        return found

    def _hands(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        points = facing_points(self._planogram[facing])
        first, last = np.searchsorted(self._times, [t_start_s, t_end_s + 1e-9])
        if first == last or not len(points):
            return {}
        apart = np.linalg.norm(self._at[first:last, None] - points[None], axis=2).min(axis=1)
        likelihood = HAND_WEIGHT * np.exp(-0.5 * apart**2 / self._variance[first:last])
        found: dict[str, float] = {}
        for sighting, value in zip(self._sightings[first:last], likelihood.tolist(), strict=True):
            for who, probability in sighting.shopper.items():
                found[who] = max(found.get(who, 0.0), value * probability)
        return found

    def _standing(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        place = self._planogram[facing]
        points = facing_points(place)
        if not len(points) or not len(self._places):
            return {}
        first, last = np.searchsorted(self._place_times, [t_start_s, t_end_s + 1e-9])
        outward = np.array(place.front)
        offsets: dict[str, list[np.ndarray]] = defaultdict(list)
        for at in self._places[first:last]:
            offsets[at.person].append(np.array([at.x_m, at.y_m]) - points[0, :2])
        found: dict[str, float] = {}
        for person, seen in offsets.items():
            offset = np.median(seen, axis=0)
            before = float(offset @ outward)
            aside = float(np.linalg.norm(offset - before * outward))
            if before < AT_SHELF_M:
                who = self._shopper_of[person]
                weight = STANDING_WEIGHT * float(np.exp(-0.5 * (aside / ASIDE_SD_M) ** 2))
                found[who] = max(found.get(who, 0.0), weight)
        return found


class PositionsNearness:
    """`fusion.Nearness` from hands that another system tracked in space (`Recording.positions`)."""

    def __init__(self, planogram: Planogram, positions: Any) -> None:
        self._planogram = planogram
        hands = positions[positions["part"].isin(["left_hand", "right_hand"])]
        self._t = hands["t_s"].to_numpy(float)
        self._at = hands[["x_m", "y_m", "z_m"]].to_numpy(float)
        self._who = hands["shopper"].astype(str).to_numpy()

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        """From the distance of each hand to the facing's box, at its closest in the time."""
        place = self._planogram[facing]
        if place.box_min_m is None or place.box_max_m is None:
            return {}
        inside = (self._t >= t_start_s - 0.2) & (self._t <= t_end_s + 0.2)
        found: dict[str, float] = {}
        for who in np.unique(self._who[inside]):
            at = self._at[inside & (self._who == who)]
            outside = np.maximum(
                np.maximum(np.array(place.box_min_m) - at, at - np.array(place.box_max_m)), 0.0
            )
            distance = float(np.linalg.norm(outside, axis=1).min())
            found[str(who)] = float(np.exp(-0.5 * (distance / HAND_SD_M) ** 2))
        return found


def _apart(floor: np.ndarray, confidence: np.ndarray) -> list[int]:
    """Which of floor positions [n, 2], metres, to keep: the surest of those too close together to be two people."""
    kept: list[int] = []
    for index in np.argsort(-confidence):
        if all(np.linalg.norm(floor[index] - floor[other]) > ONE_BODY_M for other in kept):
            kept.append(int(index))
    return kept


def _look_of(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Square root of the colour histogram of a box's middle; the product of two is Bhattacharyya's coefficient."""
    import cv2

    x1, y1, x2, y2 = box
    wide, high = x2 - x1, y2 - y1
    left, right = int(max(x1 + 0.15 * wide, 0)), int(max(x2 - 0.15 * wide, 1))
    top, bottom = int(max(y1 + 0.1 * high, 0)), int(max(y2 - 0.15 * high, 1))
    part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    if not part.size:
        return np.zeros(np.prod(LOOK_BINS))
    hsv = cv2.cvtColor(part, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, LOOK_BINS, (0, 180, 0, 256, 0, 256))
    return np.asarray(np.sqrt(counts.ravel().astype(float) / hsv[..., 0].size))


def _alone(boxes: np.ndarray) -> list[bool]:
    """Whether each box [n, 4] overlaps no other by more than a tenth of itself."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = np.maximum(high - low, 0).prod(axis=2)
    np.fill_diagonal(inter, 0)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return [bool(shared <= 0.1 * own) for shared, own in zip(inter.max(axis=1), area, strict=True)]


def floor_points(camera: Camera, boxes_xyxy: np.ndarray, height_m: float) -> np.ndarray:
    """Floor positions [n, 2], metres, of box centres taken to be at a height above the floor."""
    centres = 0.5 * (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:])
    rays, origin = camera.rays(centres), camera.position_m
    down = np.minimum(rays[:, 2], -1e-3)
    return np.asarray(origin[:2] + rays[:, :2] * ((height_m - origin[2]) / down)[:, None])


def facing_points(facing: Facing) -> np.ndarray:
    """Points in a facing's space where a hand takes hold: at its middle, from its front inwards; [n, 3], metres."""
    if facing.box_min_m is None or facing.box_max_m is None:
        return np.zeros((0, 3))
    low, high = np.array(facing.box_min_m), np.array(facing.box_max_m)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    outward = np.array([*facing.front, 0.0])
    depth = float(np.abs(outward) @ half)
    centre = middle + outward * depth
    return np.array([centre - outward * step * 2 * depth for step in (-0.1, 0.1, 0.3, 0.5)])
