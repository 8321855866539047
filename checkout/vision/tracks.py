"""What is known of hands and people in time, and what it says of who was at a facing.

Hands are followed through the room (`hands`), or, in a camera that is not calibrated, by Ultralytics'
ByteTrack; people over the floor (`people`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from checkout.catalog import Facing, Planogram
from checkout.events import ShelfMoment
from checkout.vision.detector import Detections

HAND_SD_M = 0.12
"""Assumed: how far a hand that takes from a facing seems to be from that facing's space."""
REACH_SD_S = 0.25
"""Assumed: how far the middle of a reach is from that of its weight step, as a standard deviation."""
ARM_SIDES = ((0.9, 0.195), (0.1, -0.195))
"""Share of reaches with the right and the left arm (assumed: as many as people are right-handed, about nine in ten),
and how far to the right of the body's middle the hand then is, metres."""
ASIDE_SD_M = 0.157
"""How far from there it is, as a standard deviation."""
ARM_AHEAD_M, ARM_AHEAD_SD_M = 0.275, 0.092
"""How far ahead of the body's middle a facing is that somebody reaches into, and its standard deviation. Less than an
arm: who reaches leans, and is then seen nearer to the shelf than they stand."""
STANCE_FLOOR = 0.001
"""How likely somebody did it who seemed to stand wrong, beside `stance`."""
# The distances and the floor above were measured together: a softmax fit to the shoppers of the 128 true events of six
# crowded validation recordings, from where the shipped detector saw everybody (right for 0.91 of them, and for 0.89 of
# each half when fitted to the other).
UNSEEN = 0.05
"""Chosen among 0.02, 0.05, 0.15 and 0.4 on 24 validation recordings: how likely a weight step is of a hand that no
reach shows, beside one that reached into that facing just then."""
_BYTETRACK = SimpleNamespace(
    track_high_thresh=0.25,
    track_low_thresh=0.1,
    new_track_thresh=0.3,
    track_buffer=15,
    match_thresh=0.9,
    fuse_score=False,
)


MISTAKEN = 0.034
"""Measured (`benchmarks.fit_vision`, see `reaches.STANCE_TRUST`): how often neither where people stand nor what is seen
of them says anything of who reached, as where they were taken for each other."""


def with_mistakes(weight: Mapping[str, float]) -> dict[str, float]:
    """Probability of each person from their weights, where any of them is as likely in a share `MISTAKEN`."""
    total = sum(weight.values())
    return {who: (1 - MISTAKEN) * w / total + MISTAKEN / len(weight) for who, w in weight.items()}


@dataclass(frozen=True)
class HandSighting:
    """One hand in one frame of one camera.

    Attributes:
        track: number of the hand's track: of all calibrated cameras, or within one that is not.
        box_xyxy: pixels.
        holding: score, 0-1, that the hand holds an item.
    """

    camera: str
    t_s: float
    track: int
    box_xyxy: tuple[float, float, float, float]
    confidence: float
    holding: float


class Place(NamedTuple):
    """Where a person stood at a time: floor position, metres; and the account they pay with."""

    t_s: float
    person: str
    shopper: str
    x_m: float
    y_m: float


class PersonSighting(NamedTuple):
    """The box, pixels, that was taken for a person in one frame of one camera."""

    camera: str
    t_s: float
    person: str
    box_xyxy: tuple[float, float, float, float]


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


class ReachesNearness:
    """`fusion.Nearness` from reaches that were seen, and, where none was, from who stood there."""

    def __init__(
        self, planogram: Planogram, moments: Sequence[ShelfMoment] = (), places: Sequence[Place] = ()
    ) -> None:
        self._planogram = planogram
        self._places = sorted(places)
        self._shopper_of = {p.person: p.shopper for p in self._places}
        self._place_times = np.array([p.t_s for p in self._places])
        self._moments = sorted(moments, key=lambda m: m.t_s)
        self._moment_times = np.array([m.t_s for m in self._moments])

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        """Whose a reach into the facing was that was seen then, or, as far as none was, who stood for one.

        A probability of each shopper; where it is not known who stood where, how surely each reached.
        """
        stood = self._standing(facing, t_start_s, t_end_s)
        reached = self._reaching(facing, 0.5 * (t_start_s + t_end_s))
        if not stood:
            return reached
        might = with_mistakes({who: standing + STANCE_FLOOR for who, standing in stood.items()})
        weight = {
            who: reached.get(who, 0.0) + UNSEEN * might.get(who, 0.0) for who in sorted({*might, *reached})
        }
        total = sum(weight.values())
        return {who: value / total for who, value in weight.items()}

    def _reaching(self, facing: str, t_s: float) -> dict[str, float]:
        first, last = np.searchsorted(self._moment_times, [t_s - 4 * REACH_SD_S, t_s + 4 * REACH_SD_S])
        found: dict[str, float] = {}
        for moment in self._moments[first:last]:
            timely = float(np.exp(-0.5 * ((moment.t_s - t_s) / REACH_SD_S) ** 2))
            there = moment.facing.get(facing, 0.0)
            for who, probability in moment.shopper.items():
                found[who] = found.get(who, 0.0) + timely * there * probability
        return found

    def _standing(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        place = self._planogram[facing]
        points = facing_points(place)
        if not len(points) or not len(self._places):
            return {}
        first, last = np.searchsorted(self._place_times, [t_start_s, t_end_s + 1e-9])
        offsets: dict[str, list[np.ndarray]] = defaultdict(list)
        for at in self._places[first:last]:
            offsets[at.person].append(np.array([at.x_m, at.y_m]) - points[0, :2])
        found: dict[str, float] = {}
        for person, seen in offsets.items():
            who = self._shopper_of[person]
            standing = stance(-np.median(seen, axis=0), np.array(place.front))
            found[who] = max(found.get(who, 0.0), standing)
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


def stance(offset_m: np.ndarray, outward: np.ndarray) -> float:
    """How well a body that faces a shelf stands for a reach, 0-1.

    Args:
        offset_m: from the body's middle to the hand, floor [2], metres.
        outward: the way out of the shelf, floor [2], unit length.
    """
    ahead = -float(offset_m @ outward)
    right = float(offset_m @ np.array([-outward[1], outward[0]]))
    arms = sum(share * np.exp(-0.5 * ((right - side) / ASIDE_SD_M) ** 2) for share, side in ARM_SIDES)
    return float(arms * np.exp(-0.5 * ((ahead - ARM_AHEAD_M) / ARM_AHEAD_SD_M) ** 2))


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
