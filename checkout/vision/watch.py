"""Watches a recording's cameras: detections, hands with their shoppers, and shelf moments, in time order.

Work is spent where something happens: a frame that looks like the last one the network saw takes
over its detections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from checkout.events import ShelfMoment
from checkout.recording import Camera, Recording
from checkout.vision.detector import CLASSES, Detections, Detector
from checkout.vision.hands import HandTrack, HandTracker, Seen
from checkout.vision.plain_video import PlainVideo
from checkout.vision.reaches import Reach, ReachFinder, moments_of
from checkout.vision.shelf_moments import HoldingJudge, Looks, Region, facing_regions, holding_score
from checkout.vision.tracks import BoxTracker, HandSighting, Place, ShopperTracker
from checkout.vision.video import frames_in_time_order, probe, read_frames

STILL_GREY_LEVELS = 2.5
"""Assumed: a block of the picture that changed by less than this, of 255, has not moved."""
PERSON_SCORE = 0.25
"""Measured on four validation recordings: with the shipped weights people keep their names longest from this on."""
DETECTION_COLUMNS = ("camera", "frame", "t_s", "label", "confidence", "x1", "y1", "x2", "y2")
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Sight:
    """All that the cameras saw.

    Attributes:
        detections: one row a box, `DETECTION_COLUMNS`, pixels.
        frames: frames read, of all cameras.
        network_frames: frames that the network looked at.
    """

    sightings: tuple[HandSighting, ...]
    places: tuple[Place, ...]
    moments: tuple[ShelfMoment, ...]
    detections: pd.DataFrame
    frames: int
    network_frames: int
    warnings: tuple[str, ...]


class StillGate:
    """Whether a picture shows what the last one that passed showed."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def is_still(self, image: np.ndarray) -> bool:
        import cv2

        small = cv2.resize(image, (80, 45), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
        if self._last is not None and float(np.abs(small - self._last).max()) < STILL_GREY_LEVELS:
            return True
        self._last = small
        return False


class CameraWatch:
    """One camera's detector state from frame to frame."""

    def __init__(self, camera: Camera, detector: Detector) -> None:
        self.camera = camera
        self._detector, self._gate, self._hands, self._holding = (
            detector,
            StillGate(),
            BoxTracker(),
            HoldingJudge(),
        )
        self._found = Detections.empty()
        self.network_frames = 0
        self.rows: list[tuple[object, ...]] = []

    def look(self, index: int, t_s: float, image: np.ndarray) -> Detections:
        """The detections of one frame, from the network only when the picture moved."""
        if not self._gate.is_still(image):
            self._found = self._detector.detect([image])[0]
            self.network_frames += 1
        found = self._found
        for box, score, label in zip(
            found.boxes_xyxy.tolist(), found.confidence.tolist(), found.label, strict=True
        ):
            self.rows.append((self.camera.camera, index, t_s, CLASSES[label], score, *box))
        return found

    def seen(self, t_s: float, found: Detections) -> list[Seen]:
        """The hands of one frame, each with how surely it holds an item."""
        hands, items = found.of("hand"), found.of("item", at_least=0.25)
        moving = self._holding.update(t_s, items)
        return [
            Seen(tuple(map(float, box)), float(score), holding_score(box, items, moving))  # type: ignore[arg-type]
            for box, score in zip(hands.boxes_xyxy, hands.confidence, strict=True)
        ]

    def tracked(self, t_s: float, found: Detections) -> list[HandSighting]:
        """The hands of one frame of a camera that is not calibrated, followed in the picture."""
        hands, seen = found.of("hand"), self.seen(t_s, found)
        return [
            HandSighting(
                self.camera.camera, t_s, track, seen[i].box_xyxy, seen[i].confidence, {}, seen[i].holding
            )
            for track, i in self._hands.update(hands, (self.camera.height, self.camera.width))
        ]


def watch_recording(recording: Recording, detector: Detector, progress: Progress | None = None) -> Sight:
    """Watch all calibrated cameras of a recording together."""
    cameras = [c for c in recording.cameras if c.calibrated]
    warnings = [
        f"camera {c.camera} is not calibrated and was left out" for c in recording.cameras if not c.calibrated
    ]
    shoppers = ShopperTracker(recording.entries)
    if not recording.entries:
        warnings.append("recording.yaml has no entries: hands cannot be given to shoppers")
    watches = {c.camera: CameraWatch(c, detector) for c in cameras}
    hands, finder = HandTracker(cameras), ReachFinder(recording.planogram)
    looks = {c.camera: Looks(facing_regions(recording.planogram, c)) for c in cameras}
    total = sum(probe(recording.path / c.file).frames for c in cameras)
    sightings: list[HandSighting] = []
    reaches: list[Reach] = []
    places: list[Place] = []
    count = 0
    for t_s, index, name, image in frames_in_time_order(
        [(c.camera, recording.path / c.file) for c in cameras]
    ):
        watch = watches[name]
        found = watch.look(index, t_s, image)
        shoppers.update(watch.camera, t_s, found.of("person", at_least=PERSON_SCORE), image)
        where = shoppers.places(t_s)
        places += [
            Place(t_s, who, shoppers.shopper_of[who], float(x), float(y)) for who, (x, y) in where.items()
        ]
        seen = watch.seen(t_s, found)
        ended, tracks = hands.update(name, t_s, seen, where)
        looks[name].update(t_s, image, found)
        reaches += [_with_signs(reach, looks) for reach in finder.update(t_s, tracks, ended)]
        sightings += _sightings(name, t_s, seen, tracks, shoppers.shopper_of)
        count += 1
        if progress and total:
            progress(f"watching {recording.id}", min(1.0, count / total))
    last = finder.update(np.inf, [], hands.flush()) + finder.flush()
    reaches += [_with_signs(reach, looks) for reach in last]
    moments = moments_of(reaches, shoppers.shopper_of)
    return _sight(sightings, places, moments, list(watches.values()), count, warnings)


def _with_signs(reach: Reach, looks: Mapping[str, Looks]) -> Reach:
    """The reach with what each camera says of how its likeliest facing changed."""
    facing = max(reach.facing, key=reach.facing.__getitem__)
    signs = {name: look.sign(facing, reach.t_start_s, reach.t_end_s) for name, look in looks.items()}
    return replace(reach, signs=tuple((name, sign) for name, sign in signs.items() if sign is not None))


def _sightings(
    camera: str,
    t_s: float,
    seen: Sequence[Seen],
    tracks: Sequence[HandTrack | None],
    shopper_of: Mapping[str, str],
) -> list[HandSighting]:
    """The hands of one frame with their place in the room and their shopper."""
    found = []
    for hand, track in zip(seen, tracks, strict=True):
        if track is None:
            continue
        shopper: dict[str, float] = {}
        for person, share in track.owner.items():
            shopper[shopper_of[person]] = shopper.get(shopper_of[person], 0.0) + share
        state = track.states[-1]
        x, y, z = map(float, state.mean[:3])
        sd = float(np.sqrt(np.trace(state.cov[:3, :3]) / 3))
        found.append(
            HandSighting(
                camera,
                t_s,
                track.number,
                hand.box_xyxy,
                hand.confidence,
                shopper,
                hand.holding,
                (x, y, z),
                sd,
            )
        )
    return found


def watch_video(
    video: Path, detector: Detector, progress: Progress | None = None
) -> tuple[Sight, dict[str, Region]]:
    """Watch a plain video in one pass; also returns the places that were found in it."""
    info = probe(video)
    camera = Camera("cam0", video.name, info.fps, info.width, info.height)
    watch = CameraWatch(camera, detector)
    plain = PlainVideo(camera.camera, info.width, info.height)
    sightings: list[HandSighting] = []
    count = 0
    for index, (t_s, image) in enumerate(read_frames(video)):
        found = watch.look(index, t_s, image)
        hands = watch.tracked(t_s, found)
        plain.update(t_s, image, found, hands)
        sightings += hands
        count += 1
        if progress and info.frames:
            progress("watching", min(1.0, count / info.frames))
    moments, places = plain.finish()
    return _sight(sightings, [], moments, [watch], count, []), places


def _sight(
    sightings: Sequence[HandSighting],
    places: Sequence[Place],
    moments: Sequence[ShelfMoment],
    watches: Sequence[CameraWatch],
    frames: int,
    warnings: Sequence[str],
) -> Sight:
    rows = [row for watch in watches for row in watch.rows]
    table = pd.DataFrame(rows, columns=list(DETECTION_COLUMNS))
    looked = sum(watch.network_frames for watch in watches)
    ordered = tuple(sorted(moments, key=lambda m: m.t_s))
    return Sight(tuple(sightings), tuple(places), ordered, table, frames, looked, tuple(warnings))
