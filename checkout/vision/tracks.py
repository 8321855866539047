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

    def places(self, t_s: float) -> dict[str, np.ndarray]:
        """Floor position (x, y), metres, of everybody who has entered by then."""
        while self._entries and self._entries[0].t_s <= t_s + 0.05:
            entry = self._entries.pop(0)
            self._place[entry.person], self._seen_s[entry.person] = np.array(entry.at_m), entry.t_s
            self._speed[entry.person] = np.zeros(2)
        return self._place

    def update(self, camera: Camera, t_s: float, people: Detections) -> None:
        """Move people to the person boxes of one frame."""
        from scipy.optimize import linear_sum_assignment

        names = list(self.places(t_s))
        if not names or not len(people):
            return
        floor = _apart(floor_points(camera, people.boxes_xyxy, BODY_HEIGHT_M), people.confidence)
        unseen_s = np.array([t_s - self._seen_s[n] for n in names])
        ahead = np.minimum(unseen_s, COASTING_S)[:, None] * np.stack([self._speed[n] for n in names])
        expected = np.stack([self._place[n] for n in names]) + ahead
        distance = np.linalg.norm(expected[:, None] - floor[None], axis=2)
        reach = np.minimum(STRANGER_M + WALK_M_PER_S * unseen_s, LOST_M)[:, None]
        for row, column in zip(
            *linear_sum_assignment(np.where(distance < reach, distance, 1e3)), strict=True
        ):
            if distance[row, column] < reach[row, 0]:
                self._move(names[row], floor[column], t_s, unseen_s[row])

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


def _apart(floor: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The surest of floor positions that are too close together to be two people, [n, 2], metres."""
    kept: list[np.ndarray] = []
    for index in np.argsort(-confidence):
        if all(np.linalg.norm(floor[index] - other) > ONE_BODY_M for other in kept):
            kept.append(floor[index])
    return np.array(kept)


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
