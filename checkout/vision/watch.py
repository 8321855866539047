"""Watches a recording's cameras: detections, hands with their shoppers, and shelf moments, in time order.

Work is spent where something happens (`attention`). What is remembered does not grow with the
video's length where only receipts are wanted: only where people stood near an event stays.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from checkout.events import LeftOnFloor, ShelfMoment, WeightStep
from checkout.recording import Camera, Recording
from checkout.vision.attention import LOOKS_HZ, STEP_MARGIN_S, Attention, Motion, shelf_cells
from checkout.vision.detector import CLASSES, LOWEST_CONFIDENCE, Detections, Detector
from checkout.vision.floor import FloorWatch
from checkout.vision.freed_memory import FreedMemory
from checkout.vision.hand_depth import Depth, ShelfFaces
from checkout.vision.hands import BORN_CONFIDENCE, MEMORY_S, HandTrack, HandTracker, Seen
from checkout.vision.people import ShopperTracker
from checkout.vision.picture_memory import PictureMemory
from checkout.vision.plain_video import PlainVideo
from checkout.vision.reach_looks import MOST_FACINGS, ReachLooks, Standing, together
from checkout.vision.reaches import Front, Reach, ReachFinder, moments_of, share_changes
from checkout.vision.second_look import SecondLook, facing_views, refined
from checkout.vision.shelf_moments import (
    HoldingJudge,
    Looks,
    Region,
    Side,
    facing_regions,
    holding_score,
    remember,
)
from checkout.vision.stalls import StallWatch
from checkout.vision.tracks import (
    BoxTracker,
    HandSighting,
    PersonSighting,
    Place,
    stance,
)
from checkout.vision.video import ahead, frames_in_time_order, probe, read_frames

LEAST_FACING = 0.003
"""Assumed: a facing less likely than this to have been reached into is not looked at for changes."""
SIGN_WAIT_S = 4.0
"""Assumed: so long after a reach it is said what changed, because somebody may stand before the facing at first."""
AROUND_REACH_S = 0.3
"""Assumed: where people stood this long before and after a reach counts for whose hand it was."""
NOTICED_AHEAD = 4
"""Assumed: the network is at most so many frames ahead of what is made of them."""
PERSON_SCORE = 0.25
"""Measured on four validation recordings: with the shipped weights people keep their names longest from this on."""
AROUND_S = 1.0
"""Assumed: what was seen this long before and after an event may be asked for."""
DETECTION_COLUMNS = ("camera", "frame", "t_s", "label", "confidence", "x1", "y1", "x2", "y2")
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Sight:
    """All that the cameras saw.

    Attributes:
        sightings: of hands, where all was to be kept.
        places: all of them, or those around the events.
        detections: one row a box, `DETECTION_COLUMNS`, pixels; a frame that the network did not see has the boxes of
            the one before. None where they were not to be kept.
        frames: frames read, of all cameras.
        network_frames: frames that the network looked at.
        people: the box that each person was given in each frame, where one was.
        reaches: what the moments were made of, where they were to be kept.
        left: what was left on the floor.
        looked: numbers of the frames that the network saw, of each camera, where detections were kept.
    """

    sightings: tuple[HandSighting, ...]
    places: tuple[Place, ...]
    moments: tuple[ShelfMoment, ...]
    detections: pd.DataFrame | None
    frames: int
    network_frames: int
    warnings: tuple[str, ...]
    people: tuple[PersonSighting, ...] = ()
    reaches: tuple[Reach, ...] = ()
    left: tuple[LeftOnFloor, ...] = ()
    looked: Mapping[str, np.ndarray] = field(default_factory=dict)


class _PlacesAround:
    """Where people stood, in time order, of which what is around times that matter stays, or all."""

    def __init__(self, spans_s: Iterable[tuple[float, float]] = (), *, keep_all: bool) -> None:
        self._coming, self._all = deque(sorted(spans_s)), keep_all
        self._recent: deque[Place] = deque()
        self._kept: list[Place] = []

    def add(self, rows: Iterable[Place]) -> None:
        if self._all:
            self._kept += rows
            return
        self._recent += rows
        while self._recent and self._recent[0].t_s < self._recent[-1].t_s - MEMORY_S - AROUND_S:
            row = self._recent.popleft()
            while self._coming and self._coming[0][1] + AROUND_S < row.t_s:
                self._coming.popleft()
            if self._coming and self._coming[0][0] - AROUND_S <= row.t_s:
                self._kept.append(row)

    def keep(self, start_s: float, end_s: float) -> None:
        """Keep what was seen around a time that lies at most `hands.MEMORY_S` back."""
        if not self._all:
            self._coming = deque(sorted([*self._coming, (start_s, end_s)]))

    def rows(self) -> tuple[Place, ...]:
        """What stayed, and what was seen last."""
        return (*self._kept, *self._recent)


class DetectionLog:
    """The detections of one camera's frames, 21 bytes a box of each frame that the network saw."""

    def __init__(self) -> None:
        self._frame: list[int] = []
        self._t_s: list[float] = []
        self._shown: list[int] = []
        self._count: list[int] = []
        self._boxes: list[np.ndarray] = []
        self._label: list[np.ndarray] = []

    def looked(self, found: Sequence[Detections]) -> None:
        """The network saw a frame; its boxes hold for the frames from here on."""
        self._count.append(sum(map(len, found)))
        self._boxes.append(
            np.concatenate([np.column_stack([f.confidence, f.boxes_xyxy]) for f in found]).astype(np.float32)
        )
        self._label.append(np.concatenate([f.label for f in found]).astype(np.uint8))

    def frame(self, index: int, t_s: float) -> None:
        """Another frame was read."""
        self._frame.append(index)
        self._t_s.append(t_s)
        self._shown.append(len(self._count) - 1)

    def looked_frames(self) -> np.ndarray:
        """Numbers of the frames that the network saw, [n]."""
        return np.array(self._frame, int)[np.diff(self._shown, prepend=-1) > 0]

    def table(self, camera: str, cameras: Sequence[str]) -> pd.DataFrame:
        """One row a box of a frame, `DETECTION_COLUMNS`, of one of the cameras."""
        count = np.array(self._count, int)
        start = np.cumsum(count) - count
        shown = np.array(self._shown, int)
        of_frame = np.repeat(np.arange(len(shown)), count[shown])
        within = np.arange(len(of_frame)) - np.repeat(np.cumsum(count[shown]) - count[shown], count[shown])
        row = start[shown[of_frame]] + within
        boxes = np.concatenate(self._boxes)[row] if self._boxes else np.zeros((0, 5), np.float32)
        label = np.concatenate(self._label)[row] if self._label else np.zeros(0, np.uint8)
        return pd.DataFrame(
            {
                "camera": pd.Categorical.from_codes(
                    np.full(len(row), cameras.index(camera)), pd.Index(cameras)
                ),
                "frame": np.array(self._frame, np.int32)[of_frame],
                "t_s": np.array(self._t_s)[of_frame],
                "label": pd.Categorical.from_codes(label.astype(np.int8), pd.Index(CLASSES)),
                "confidence": boxes[:, 0],
                **{name: boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"), start=1)},
            }
        )


class CameraWatch:
    """One camera's detector state from frame to frame.

    Args:
        attention: what is worth looking at; by default what moves anywhere in the picture.
        second: looks at hands again; without it an item box at a hand says whether it holds something.
        keep: whether to remember every frame's detections.
        keep_from: those of this score on; weaker than `LOWEST_CONFIDENCE`, they are remembered and nothing else.
    """

    def __init__(
        self,
        camera: Camera,
        detector: Detector,
        attention: Attention | None = None,
        *,
        second: SecondLook | None = None,
        keep: bool = True,
        keep_from: float = LOWEST_CONFIDENCE,
    ) -> None:
        self._keep_from = min(keep_from, LOWEST_CONFIDENCE) if keep else LOWEST_CONFIDENCE
        self.camera, self.attention = camera, attention or Attention()
        self._detector, self._hands, self._holding = detector, BoxTracker(), HoldingJudge()
        self._second, self._full = second, np.zeros(0)
        self._found, self._log = Detections.empty(), DetectionLog() if keep else None
        self.network_frames, self.looked = 0, False

    def look(self, index: int, t_s: float, image: np.ndarray) -> Detections:
        """The detections of one frame, those of the last one that the network saw where that is enough."""
        return self.notice(index, t_s, image)[0]

    def notice(self, index: int, t_s: float, image: np.ndarray) -> tuple[Detections, bool]:
        """The same, and whether the frame is to be taken into account."""
        hands = len(self._found.of("hand", at_least=BORN_CONFIDENCE)) > 0
        looks, counts = self.attention.judge(t_s, image, hands=hands)
        self.looked = looks
        if looks:
            every = self._detector.detect([image], at_least=self._keep_from)[0]
            surely = every.confidence >= LOWEST_CONFIDENCE
            self._found, weak = every.where(surely), every.where(~surely)
            kept = [self._found, weak]
            if self._second is not None:
                again = self._second.hands(image, self._found.of("hand").boxes_xyxy)
                self._full = again.holding
                if self._log is not None and self._detector.shipped:
                    weakly = self._second.hands(image, weak.of("hand").boxes_xyxy)
                    kept = [refined(self._found, again), refined(weak, weakly)]
            if self._log is not None:
                self._log.looked(kept)
            self.network_frames += 1
        if self._log is not None:
            self._log.frame(index, t_s)
        return self._found, counts

    def table(self, cameras: Sequence[str]) -> pd.DataFrame | None:
        """The detections of all frames of this camera, one of some; None when they were not kept."""
        return self._log.table(self.camera.camera, cameras) if self._log is not None else None

    def looked_frames(self) -> np.ndarray:
        """Numbers of the frames that the network saw; none when detections were not kept."""
        return self._log.looked_frames() if self._log is not None else np.zeros(0, int)

    def seen(self, t_s: float, found: Detections) -> list[Seen]:
        """The hands of one frame, each with how surely it holds an item."""
        hands = found.of("hand")
        if self._second is not None:
            holding = self._full.tolist()
        else:
            items = found.of("item", at_least=0.25)
            moving = self._holding.update(t_s, items)
            holding = [holding_score(box, items, moving) for box in hands.boxes_xyxy]
        return [
            Seen(tuple(map(float, box)), float(score), full)  # type: ignore[arg-type]
            for box, score, full in zip(hands.boxes_xyxy, hands.confidence, holding, strict=True)
        ]

    def tracked(self, t_s: float, found: Detections) -> list[HandSighting]:
        """The hands of one frame of a camera that is not calibrated, followed in the picture."""
        hands, seen = found.of("hand"), self.seen(t_s, found)
        return [
            HandSighting(self.camera.camera, t_s, track, *seen[i])
            for track, i in self._hands.update(hands, (self.camera.height, self.camera.width))
        ]


def watch_recording(
    recording: Recording,
    detector: Detector,
    progress: Progress | None = None,
    *,
    steps: Sequence[WeightStep] = (),
    every_frame: bool = False,
    looks_hz: float | None = None,
    keep: bool = True,
    keep_from: float = LOWEST_CONFIDENCE,
) -> Sight:
    """Watch all calibrated cameras of a recording together.

    Args:
        steps: of the plates, when they are known already: the cameras that see a plate look when it steps.
        every_frame: let the network see every frame, whether or not anything moves.
        looks_hz: most looks a second at each camera, evenly spread; None for `LOOKS_HZ`.
        keep: remember all detections, sightings and places, not only what the events need.
        keep_from: detections of this score on are remembered; what is made of them needs `LOWEST_CONFIDENCE`.
    """
    cameras = [c for c in recording.cameras if c.calibrated]
    warnings = [
        f"camera {c.camera} is not calibrated and was left out" for c in recording.cameras if not c.calibrated
    ]
    facings = Front.of(recording.planogram)
    pictures = recording.entry_pictures()
    shoppers = ShopperTracker(recording.entries, cameras, facings.middle, facings.outward, pictures)
    if not recording.entries:
        warnings.append("recording.yaml has no entries: hands cannot be given to shoppers")
    regions = {c.camera: facing_regions(recording.planogram, c) for c in cameras}
    busy = {name: _steps_seen(recording, steps, seen) for name, seen in regions.items()}
    watches, second = {}, SecondLook()
    for camera in cameras:
        margins = [(start - STEP_MARGIN_S, end + STEP_MARGIN_S) for start, end in busy[camera.camera]]
        attention = Attention(
            shelf_cells(recording.planogram, camera),
            margins,
            every_frame=every_frame,
            most_hz=LOOKS_HZ if looks_hz is None else looks_hz,
        )
        watches[camera.camera] = CameraWatch(
            camera, detector, attention, second=second, keep=keep, keep_from=keep_from
        )
    hands, finder = HandTracker(cameras), ReachFinder(recording.planogram)
    memories = {c.camera: PictureMemory(c) for c in cameras}
    looks = {
        c.camera: Looks(regions[c.camera], facing_views(recording.planogram, c), second, memories[c.camera])
        for c in cameras
    }
    faces = {c.camera: ShelfFaces(c, recording.planogram) for c in cameras}
    closer = {c.camera: ReachLooks(c, recording.planogram, second, memories[c.camera]) for c in cameras}
    infos = {c.camera: probe(recording.path / c.file) for c in cameras}
    stalls = StallWatch({name: info.fps for name, info in infos.items()}, busy)
    total = sum(info.frames for info in infos.values())
    spans = [(step.t_start_s, step.t_end_s) for step in steps]
    sightings: list[HandSighting] = []
    places = _PlacesAround(spans, keep_all=keep)
    fronts = {f.facing: np.array(f.front) for f in recording.planogram.values()}
    history: deque[Standing] = deque()
    floor = FloorWatch(cameras, recording.planogram)
    people: list[PersonSighting] = []
    reaches: list[Reach] = []
    waiting: dict[int, list[dict[str, Side]]] = {}
    count, freed = 0, FreedMemory()
    with contextlib.closing(ahead(_noticed(recording, cameras, watches), NOTICED_AHEAD)) as frames:
        for noticed in frames:
            t_s, name, image, found = noticed.t_s, noticed.camera, noticed.image, noticed.found
            stalls.update(name, t_s, noticed.cells, moves=noticed.moves)
            count += 1
            freed.update(t_s)
            if progress and total:
                progress(f"watching {recording.id}", min(1.0, count / total))
            if noticed.looked:
                # Only what the network sees anew says where people are; old boxes would say it twice.
                bodies = found.of("person", at_least=PERSON_SCORE)
                given = shoppers.update(name, t_s, bodies, image)
                if keep:
                    people += [
                        PersonSighting(name, t_s, who, tuple(map(float, bodies.boxes_xyxy[i])))  # type: ignore[arg-type]
                        for who, i in given.items()
                    ]
            if not noticed.counts:
                continue
            where = shoppers.places(t_s)
            places.add(
                Place(t_s, who, shoppers.shopper_of[who], float(x), float(y)) for who, (x, y) in where.items()
            )
            seen = noticed.hands
            depths = partial(_depths, second, image, faces[name], seen)
            ended, tracks = hands.update(name, t_s, seen, where, depths)
            remember(memories[name], t_s, image, found)
            history.append((t_s, {who: (float(x), float(y)) for who, (x, y) in where.items()}))
            floor.update(name, t_s, image, found, history[-1][1])
            while history[0][0] < t_s - MEMORY_S:
                history.popleft()
            for reach in finder.update(t_s, tracks, ended):
                waiting[len(reaches)] = _before(reach, looks)
                reaches.append(_with_looks(reach, closer, history, fronts))
                places.keep(reach.t_start_s, reach.t_end_s)
            due = [i for i in waiting if reaches[i].t_end_s + SIGN_WAIT_S <= t_s]
            for i in due:
                reaches[i] = _with_signs(reaches[i], looks, waiting.pop(i))
            if keep:
                sightings += _sightings(name, t_s, seen, tracks)
    last = finder.update(np.inf, [], hands.flush()) + finder.flush()
    waiting |= {len(reaches) + i: _before(reach, looks) for i, reach in enumerate(last)}
    reaches += [_with_looks(reach, closer, history, fronts) for reach in last]
    for i, before in waiting.items():
        reaches[i] = _with_signs(reaches[i], looks, before)
    reaches = [_named_reach(reach, shoppers) for reach in share_changes(reaches)]
    moments = moments_of(reaches, shoppers.shopper_of)
    warnings += stalls.warnings()
    stood = [_named_place(row, shoppers) for row in places.rows()]
    sight = _sight(sightings, stood, moments, list(watches.values()), count, warnings)
    kept = tuple(reaches) if keep else ()
    return replace(
        sight,
        people=tuple(row._replace(person=shoppers.named(row.person, row.t_s)) for row in people),
        reaches=kept,
        left=tuple(floor.left(lambda person, t_s: shoppers.shopper_of[shoppers.named(person, t_s)])),
    )


class Noticed(NamedTuple):
    """What one camera's detector made of a frame.

    Attributes:
        cells: see `Attention.cells`.
        moves: whether something moved at the shelf.
        looked: whether the network saw this frame.
        counts: whether the frame is to be taken into account; if so, `hands` are its hands.
    """

    t_s: float
    camera: str
    image: np.ndarray
    found: Detections
    cells: np.ndarray
    moves: bool
    looked: bool
    counts: bool
    hands: list[Seen]


def _noticed(
    recording: Recording, cameras: Sequence[Camera], watches: Mapping[str, CameraWatch]
) -> Generator[Noticed, None, None]:
    """The frames of all cameras in time order."""
    videos = [(c.camera, recording.path / c.file) for c in cameras]
    for t_s, index, name, image in frames_in_time_order(videos):
        watch = watches[name]
        found, counts = watch.notice(index, t_s, image)
        hands = watch.seen(t_s, found) if counts else []
        moves = watch.attention.motion is Motion.SHELF
        yield Noticed(t_s, name, image, found, watch.attention.cells, moves, watch.looked, counts, hands)


def _depths(
    second: SecondLook, image: np.ndarray, faces: ShelfFaces, hands: Sequence[Seen], asked: Sequence[int]
) -> list[Depth | None]:
    """How far in some of a frame's hands are, by number."""
    return second.depths(image, faces, np.array([hands[i].centre_px for i in asked]))


def _steps_seen(
    recording: Recording, steps: Sequence[WeightStep], regions: Mapping[str, Region]
) -> list[tuple[float, float]]:
    """When plates stepped that stand under facings in one camera's picture: start and end, seconds."""
    plates = {plate for name in regions for plate in recording.planogram[name].plates}
    return [(step.t_start_s, step.t_end_s) for step in steps if plates & set(step.plate_grams)]


def _before(reach: Reach, looks: Mapping[str, Looks]) -> list[dict[str, Side]]:
    """How the facings that it may have been to looked to each camera before a reach."""
    facings = [facing for facing, probability in reach.facing.items() if probability >= LEAST_FACING]
    return [look.before(facings, reach.t_start_s) for look in looks.values()]


def _with_signs(reach: Reach, looks: Mapping[str, Looks], before: Sequence[Mapping[str, Side]]) -> Reach:
    """The reach with what each camera says of how the facings changed that it may have been to."""
    said = [look.signs(seen, reach.t_end_s) for look, seen in zip(looks.values(), before, strict=True)]
    facings = dict.fromkeys(facing for signs in said for facing in signs)
    return replace(reach, signs={facing: tuple(s[facing] for s in said if facing in s) for facing in facings})


def _with_looks(
    reach: Reach,
    closer: Mapping[str, ReachLooks],
    history: Sequence[Standing],
    fronts: Mapping[str, np.ndarray],
) -> Reach:
    """The reach with where everybody stood just then, and whose and into which facing it seems to be."""
    start_s, end_s = reach.t_start_s, reach.t_end_s
    outward = fronts[max(reach.facing, key=reach.facing.__getitem__)]
    stood: dict[str, list[tuple[float, float]]] = {}
    for t_s, where in history:
        if start_s - AROUND_REACH_S <= t_s <= end_s + AROUND_REACH_S:
            for who, at in where.items():
                stood.setdefault(who, []).append(at)
    standing = {who: stance(reach.at_m[:2] - np.median(at, axis=0), outward) for who, at in stood.items()}
    likeliest = sorted(reach.facing, key=reach.facing.__getitem__, reverse=True)[:MOST_FACINGS]
    whose = together(look.whose(reach.at_m, start_s, end_s, history) for look in closer.values())
    place = together(look.where(reach.at_m, start_s, end_s, likeliest) for look in closer.values())
    return replace(reach, standing=standing, body=whose, place=place)


def _sightings(
    camera: str, t_s: float, seen: Sequence[Seen], tracks: Sequence[HandTrack | None]
) -> list[HandSighting]:
    """The hands of one frame that are followed."""
    return [
        HandSighting(camera, t_s, track.number, *hand)
        for hand, track in zip(seen, tracks, strict=True)
        if track is not None
    ]


def _named_reach(reach: Reach, shoppers: ShopperTracker) -> Reach:
    """The reach with the names that people are known by now to have had."""
    if not shoppers.exchanges:
        return reach
    t_s = 0.5 * (reach.t_start_s + reach.t_end_s)
    owner, standing, body = (
        {shoppers.named(who, t_s): value for who, value in part.items()}
        for part in (reach.owner, reach.standing, reach.body)
    )
    return replace(reach, owner=owner, standing=standing, body=body)


def _named_place(row: Place, shoppers: ShopperTracker) -> Place:
    person = shoppers.named(row.person, row.t_s)
    return row._replace(person=person, shopper=shoppers.shopper_of[person])


def watch_video(
    video: Path,
    detector: Detector,
    progress: Progress | None = None,
    *,
    every_frame: bool = False,
    keep_from: float = LOWEST_CONFIDENCE,
) -> tuple[Sight, dict[str, Region]]:
    """Watch a plain video in one pass; also returns the places that were found in it. `keep_from` as above."""
    info = probe(video)
    camera = Camera("cam0", video.name, info.fps, info.width, info.height)
    watch = CameraWatch(camera, detector, Attention(every_frame=every_frame), keep_from=keep_from)
    plain = PlainVideo(camera.camera, info.width, info.height)
    sightings: list[HandSighting] = []
    count, freed = 0, FreedMemory()
    for index, (t_s, image) in enumerate(read_frames(video)):
        found = watch.look(index, t_s, image)
        hands = watch.tracked(t_s, found)
        plain.update(t_s, image, found, hands)
        sightings += hands
        count += 1
        freed.update(t_s)
        if progress and info.frames:
            progress("watching", min(1.0, count / info.frames))
    moments, places = plain.finish()
    return _sight(sightings, [], moments, [watch], count, plain.warnings), places


def _sight(
    sightings: Sequence[HandSighting],
    places: Sequence[Place],
    moments: Sequence[ShelfMoment],
    watches: Sequence[CameraWatch],
    frames: int,
    warnings: Sequence[str],
) -> Sight:
    names = [watch.camera.camera for watch in watches]
    tables = [table for watch in watches if (table := watch.table(names)) is not None]
    detections = pd.concat(tables, ignore_index=True) if tables else None
    looked = sum(watch.network_frames for watch in watches)
    ordered = tuple(sorted(moments, key=lambda m: m.t_s))
    return Sight(
        tuple(sightings), tuple(places), ordered, detections, frames, looked, tuple(warnings),
        looked={watch.camera.camera: watch.looked_frames() for watch in watches},
    )  # fmt: skip
