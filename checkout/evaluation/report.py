"""Evaluates recordings against their truth and fits the perception profile."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from checkout.errors import InputError
from checkout.evaluation.calibration import Calibration, calibration_by_crowd, calibration_of
from checkout.evaluation.conditions import ConditionScore, by_condition, grey_level
from checkout.evaluation.confusions import (
    Accuracy,
    ActionConfusion,
    ActionMetric,
    ProductConfusion,
    accuracies,
    product_confusions,
)
from checkout.evaluation.curves import EventCurve, EventCurveMetric
from checkout.evaluation.detections import SCORED_FROM, DetectionMetric, DetectionScore, looked_at
from checkout.evaluation.events import EventMetric, EventScore, judge_events, judged_table
from checkout.evaluation.floor import LeftMetric, LeftScore
from checkout.evaluation.identities import IdentityMetric, IdentityScore, NamingScore
from checkout.evaluation.receipts import ReceiptMetric, ReceiptScores
from checkout.evaluation.temporal import TemporalMetric, TemporalScore
from checkout.pipeline import (
    SENSORS,
    ConfidenceMap,
    Perceived,
    Watched,
    annotate_recording,
    fuse,
    usable_sensors,
    watch,
    weigh,
)
from checkout.profile import CONFIDENCES, JUDGED_COLUMNS, NAMED_COLUMNS, PerceptionProfile
from checkout.recording import Recording
from checkout.review import ReviewPolicy

if TYPE_CHECKING:
    from checkout.weight.steps import StepResult

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class EvaluationReport:
    """All scores of a set of recordings.

    Attributes:
        judged: one row a judged event (`events.judged_table`).
        naming: None where no person was followed whose name the truth knows.
        hashes, paths: of each recording's folder, by its id.
        failed: recordings that could not be evaluated, with the reason.
    """

    recordings: tuple[str, ...]
    detector: str
    sensors: tuple[str, ...]
    detections: list[DetectionScore]
    events: list[EventScore]
    temporal: list[TemporalScore]
    conditions: list[ConditionScore]
    receipts: ReceiptScores
    left: LeftScore
    calibration: list[Calibration]
    calibration_by_crowd: list[Calibration]
    judged: pd.DataFrame
    identities: list[IdentityScore]
    naming: NamingScore | None
    accuracies: list[Accuracy]
    actions: list[ActionConfusion]
    products: list[ProductConfusion]
    curves: list[EventCurve]
    shopper_minutes: float
    hashes: dict[str, str]
    paths: dict[str, Path]
    failed: dict[str, str]
    warnings: tuple[str, ...]

    def profile(self) -> PerceptionProfile:
        """The perception profile of what was judged."""
        true = self.judged[self.judged["outcome"] != "phantom"]
        phantoms = self.judged[self.judged["outcome"] == "phantom"]
        return PerceptionProfile(
            f"{self.detector} ({'+'.join(self.sensors)}), checkout {version('checkout-simulator')}",
            tuple({"id": name, "sha256": digest} for name, digest in self.hashes.items()),
            true[[*JUDGED_COLUMNS, *NAMED_COLUMNS]].reset_index(drop=True),
            phantoms[["recording", *CONFIDENCES]].reset_index(drop=True),
            self.shopper_minutes,
        )

    def to_dict(self) -> dict[str, Any]:
        """The shape that `evaluate --json` prints."""
        return {
            "recordings": list(self.recordings),
            "detector": self.detector,
            "sensors": list(self.sensors),
            "detections": [asdict(d) for d in self.detections],
            "events": [asdict(e) for e in self.events],
            "temporal_map": [asdict(t) for t in self.temporal],
            "conditions": [asdict(c) for c in self.conditions],
            "receipts": asdict(self.receipts),
            "left_on_floor": asdict(self.left),
            "calibration": [
                {
                    **{k: v for k, v in vars(c).items() if k != "reliability"},
                    "reliability": c.reliability.to_dict("list"),
                }
                for c in (*self.calibration, *self.calibration_by_crowd)
            ],
            "identities": [asdict(i) for i in self.identities],
            "naming": asdict(self.naming) if self.naming else None,
            "accuracies": [asdict(a) for a in self.accuracies],
            "actions": [asdict(a) for a in self.actions],
            "products": [asdict(p) for p in self.products],
            "event_curves": [asdict(c) for c in self.curves],
            "judged": json.loads(self.judged.to_json(orient="records", double_precision=4)),
            "outcomes": {str(k): int(v) for k, v in self.judged["outcome"].value_counts().items()},
            "shopper_minutes": self.shopper_minutes,
            "failed": self.failed,
            "warnings": list(self.warnings),
        }


def evaluate(
    recordings: Sequence[Path],
    *,
    detector: str | Path | None = None,
    class_map: Mapping[str, str] | None = None,
    sensors: Collection[str] = SENSORS,
    policy: ReviewPolicy | None = None,
    confidence: ConfidenceMap | None = None,
    every_frame: bool = False,
    looks_hz: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    annotate: Path | None = None,
    force: bool = False,
) -> EvaluationReport:
    """Perceive every recording and judge it by its truth; as `evaluate_each` with one set of sensors."""
    (report,) = evaluate_each(
        recordings, [sensors], detector=detector, class_map=class_map, policy=policy, confidence=confidence,
        every_frame=every_frame, looks_hz=looks_hz, workers=workers, progress=progress, annotate=annotate, force=force,
    )  # fmt: skip
    return report


def evaluate_each(
    recordings: Sequence[Path],
    sensor_sets: Sequence[Collection[str]],
    *,
    detector: str | Path | None = None,
    class_map: Mapping[str, str] | None = None,
    policy: ReviewPolicy | None = None,
    confidence: ConfidenceMap | None = None,
    every_frame: bool = False,
    looks_hz: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    annotate: Path | None = None,
    force: bool = False,
) -> list[EvaluationReport]:
    """Judge recordings once for each set of sensors, while each is watched and weighed only once.

    A recording that cannot be used is named in `failed` and left out.

    Args:
        every_frame, looks_hz: as in `pipeline.perceive`.
        workers: processes that watch recordings side by side, about 1 GB each; 1 watches in this process.
        annotate: where to write the video of the only recording, with what was perceived by the first set and the
            truth.

    Raises:
        InputError: with one of the sets, none of the recordings can be used.
    """
    judges = [_Judge(tuple(sensors)) for sensors in sensor_sets]
    for path, sensed in _sensed_each(
        recordings,
        [judge.sensors for judge in judges],
        detector,
        class_map,
        every_frame,
        looks_hz,
        workers,
        progress,
    ):
        for judge in judges:
            try:
                seen = judge.update(sensed, policy, confidence)
            except InputError as error:
                judge.failed[str(path)] = str(error)
                continue
            if annotate is not None and judge is judges[0]:
                assert not isinstance(sensed, InputError)
                true = sensed.recording.truth.events
                annotate_recording(
                    annotate, sensed.recording, seen, true=true, force=force, progress=progress
                )
    return [judge.report() for judge in judges]


@dataclass(frozen=True)
class _Sensed:
    """What one recording's sensors say; the fault of one that cannot be used, None of one that nobody asks for."""

    recording: Recording
    watched: Watched | InputError | None
    weighed: StepResult | InputError | None
    grey_level: float


def _sensed_each(
    recordings: Sequence[Path],
    sensor_sets: Sequence[tuple[str, ...]],
    detector: str | Path | None,
    class_map: Mapping[str, str] | None,
    every_frame: bool,
    looks_hz: float | None,
    workers: int,
    progress: Progress | None,
) -> Iterator[tuple[Path, _Sensed | InputError]]:
    """What each recording's sensors say, in the order given; a recording that cannot be used is a fault.

    Raises:
        InputError: a worker process was killed.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    def within(index: int) -> Progress | None:
        return progress and (lambda what, share: progress(what, (index + share) / len(recordings)))

    workers = min(workers, len(recordings))
    several = workers > 1
    jobs = [
        delayed(_sensed)(
            path,
            sensor_sets,
            detector,
            class_map,
            every_frame,
            looks_hz,
            None if several else within(index),
            workers,
        )
        for index, path in enumerate(recordings)
    ]
    if several:
        if progress:
            progress(f"watching {len(recordings)} recordings", 0.0)
        found = Parallel(n_jobs=workers, return_as="generator")(jobs)
    else:
        found = (function(*given, **named) for function, given, named in jobs)
    try:
        for index, (path, sensed) in enumerate(zip(recordings, found, strict=True)):
            yield path, sensed
            if progress:
                progress(f"judged {path.name}", (index + 1) / len(recordings))
    except TerminatedWorkerError:
        raise InputError(
            "--workers", "", f"one of {workers} processes was killed (memory ran out?)", "use fewer"
        ) from None


def _sensed(
    path: Path,
    sensor_sets: Sequence[tuple[str, ...]],
    detector: str | Path | None,
    class_map: Mapping[str, str] | None,
    every_frame: bool,
    looks_hz: float | None,
    progress: Progress | None,
    workers: int = 1,
) -> _Sensed | InputError:
    """What one recording's sensors say, as far as one of the sets asks; cameras are woken by plates if all sets do.

    Args:
        workers: so many processes do this side by side.
    """
    _keep_to_own_cores(workers)
    try:
        recording = Recording.open(path)
        recording.require("truth")
    except InputError as error:
        return error
    asked: set[str] = set()
    for sensors in sensor_sets:
        # A set of which none is there fails when it is judged.
        with contextlib.suppress(InputError):
            asked.update(usable_sensors(recording, sensors))
    weighed: StepResult | InputError | None = None
    if "plates" in asked:
        try:
            weighed = weigh(recording, progress)
        except InputError as error:
            weighed = error
    watched: Watched | InputError | None = None
    light = float("nan")
    if "vision" in asked:
        blind = any("vision" in sensors and "plates" not in sensors for sensors in sensor_sets)
        steps = () if blind or weighed is None or isinstance(weighed, InputError) else weighed.steps
        try:
            watched = watch(
                recording, detector=detector, class_map=class_map, steps=steps, every_frame=every_frame,
                looks_hz=looks_hz, keep_from=SCORED_FROM, progress=progress,
            )  # fmt: skip
            light = grey_level(recording)
        except InputError as error:
            watched = error
    return _Sensed(recording, watched, weighed, light)


def _keep_to_own_cores(workers: int) -> None:
    """Keep one of several worker processes to its share of the cores, where the system can.

    A network takes all cores that it may use, and two that take the same ones are slower than each on its own.
    """
    worker = re.fullmatch(r"LokyProcess-(\d+)", multiprocessing.current_process().name)
    if worker is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, own_cores(_free_cores(), int(worker[1]), workers))


def own_cores(free: Sequence[int], worker: int, workers: int) -> set[int]:
    """The share that one of some numbered workers has of the free cores; all of them where they do not go round."""
    return set(free[worker % workers :: workers]) or set(free)


@cache
def _free_cores() -> tuple[int, ...]:
    """The cores that this process might use when it first asked, before it kept to some of them."""
    return tuple(sorted(os.sched_getaffinity(0)))


_Given = TypeVar("_Given")


def _usable(given: _Given | InputError | None) -> _Given:
    """What was given; raises the fault that it is."""
    if isinstance(given, InputError):
        raise given
    assert given is not None
    return given


class _Judge:
    """Collects what one set of sensors makes of recordings, then reports on all of them."""

    def __init__(self, sensors: tuple[str, ...]) -> None:
        self.sensors, self.failed, self._eye, self._minutes = sensors, dict[str, str](), "none", 0.0
        self._detections, self._events, self._receipts = DetectionMetric(), EventMetric(), ReceiptMetric()
        self._left = LeftMetric()
        self._temporal, self._identities = TemporalMetric(), IdentityMetric()
        self._actions, self._curves = ActionMetric(), EventCurveMetric()
        self._tables: list[pd.DataFrame] = []
        self._hashes: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        self._warnings: dict[str, None] = {}

    def update(
        self, sensed: _Sensed | InputError, policy: ReviewPolicy | None, confidence: ConfidenceMap | None
    ) -> Perceived:
        """Judge one recording; raises `InputError` when it cannot be used."""
        sensed = _usable(sensed)
        recording = sensed.recording
        usable, truth = usable_sensors(recording, self.sensors), recording.truth
        watched = _usable(sensed.watched) if "vision" in usable else None
        weighed = _usable(sensed.weighed) if "plates" in usable else None
        seen = fuse(recording, watched, weighed, sensors=self.sensors, policy=policy, confidence=confidence)
        light = float("nan")
        if watched is not None:
            self._eye, light = watched.detector, sensed.grey_level
            sight, detections = watched.sight, watched.sight.detections
            if (recording.path / "boxes.parquet").is_file() and detections is not None:
                fps = {c.camera: c.fps for c in recording.cameras if c.calibrated}
                self._detections.update(recording.id, recording.boxes, detections, sight.looked)
                self._identities.update(
                    looked_at(recording.boxes, sight.looked),
                    detections,
                    sight.sightings,
                    sight.people,
                    fps,
                    recording.entries,
                )
        for metric in (self._events, self._actions, self._curves):
            metric.update(truth.events, seen.events)
        self._temporal.update(recording.id, truth.events, seen.events)
        self._receipts.update(truth.receipts, seen.receipts)
        accounts = {entry.person: entry.shopper for entry in recording.entries}
        self._left.update(truth.acts, seen.left, accounts)
        self._tables.append(judged_table(recording.id, judge_events(truth.events, seen.events), light))
        self._hashes[recording.id] = recording.sha256()
        self._paths[recording.id] = recording.path
        self._minutes += seen.shopper_minutes
        self._warnings |= dict.fromkeys(seen.warnings)
        return seen

    def report(self) -> EvaluationReport:
        """All scores; raises `InputError` when no recording could be used."""
        if not self._tables:
            reason = next(iter(self.failed.values()), "there are none")
            raise InputError("evaluate", "", f"none of the recordings can be used; the first: {reason}")
        if left_out := self._temporal.left_out:
            self._warnings[
                f"{left_out} events have no beginning or no end and are not in the temporal mAP"
            ] = None
        judged = pd.concat([t for t in self._tables if len(t)] or self._tables, ignore_index=True)
        return EvaluationReport(
            recordings=tuple(self._hashes),
            detector=self._eye,
            sensors=self.sensors,
            detections=self._detections.compute(),
            events=self._events.compute(),
            temporal=self._temporal.compute(),
            conditions=by_condition(judged),
            receipts=self._receipts.compute(),
            left=self._left.compute(),
            calibration=calibration_of(judged),
            calibration_by_crowd=calibration_by_crowd(judged),
            judged=judged,
            identities=self._identities.compute(),
            naming=self._identities.naming(),
            accuracies=[self._actions.accuracy(), *accuracies(judged)],
            actions=self._actions.compute(),
            products=product_confusions(judged),
            curves=self._curves.compute(),
            shopper_minutes=self._minutes,
            hashes=self._hashes,
            paths=self._paths,
            failed=self.failed,
            warnings=tuple(self._warnings),
        )
