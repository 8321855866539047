"""Evaluates recordings against their truth and fits the perception profile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from checkout.errors import InputError
from checkout.evaluation.calibration import Calibration, calibration_of
from checkout.evaluation.conditions import ConditionScore, by_condition
from checkout.evaluation.detections import DetectionMetric, DetectionScore
from checkout.evaluation.events import EventMetric, EventScore, judge_events, judged_table
from checkout.evaluation.receipts import ReceiptMetric, ReceiptScores
from checkout.evaluation.temporal import TemporalMetric, TemporalScore
from checkout.pipeline import SENSORS, ConfidenceMap, Perceived, perceive
from checkout.profile import CONFIDENCES, JUDGED_COLUMNS, PerceptionProfile
from checkout.recording import Recording
from checkout.review import ReviewPolicy


@dataclass(frozen=True)
class EvaluationReport:
    """All scores of a set of recordings.

    Attributes:
        judged: one row a judged event (`events.judged_table`).
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
    calibration: list[Calibration]
    judged: pd.DataFrame
    shopper_minutes: float
    hashes: dict[str, str]
    failed: dict[str, str]
    warnings: tuple[str, ...]

    def profile(self) -> PerceptionProfile:
        """The perception profile of what was judged."""
        true = self.judged[self.judged["outcome"] != "phantom"]
        phantoms = self.judged[self.judged["outcome"] == "phantom"]
        return PerceptionProfile(
            f"{self.detector} ({'+'.join(self.sensors)}), checkout {version('checkout-simulator')}",
            tuple({"id": name, "sha256": digest} for name, digest in self.hashes.items()),
            true[list(JUDGED_COLUMNS)].reset_index(drop=True),
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
            "calibration": [
                {
                    **{k: v for k, v in vars(c).items() if k != "reliability"},
                    "reliability": c.reliability.to_dict("list"),
                }
                for c in self.calibration
            ],
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
    progress: Callable[[str, float], None] | None = None,
) -> EvaluationReport:
    """Perceive every recording and judge it by its truth.

    A recording that cannot be used is named in `failed` and left out.

    Raises:
        InputError: none of the recordings can be used.
    """
    detections, events, receipts = DetectionMetric(), EventMetric(), ReceiptMetric()
    temporal = TemporalMetric()
    tables: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    hashes: dict[str, str] = {}
    warnings: dict[str, None] = {}
    minutes, eye = 0.0, "none"
    for index, path in enumerate(recordings):

        def tell(what: str, share: float, index: int = index) -> None:
            if progress:
                progress(what, (index + share) / len(recordings))

        try:
            recording = Recording.open(path)
            truth = recording.truth
            seen: Perceived = perceive(
                recording,
                detector=detector,
                class_map=class_map,
                sensors=sensors,
                policy=policy,
                confidence=confidence,
                every_frame=every_frame,
                progress=tell,
            )
        except InputError as error:
            failed[str(path)] = str(error)
            continue
        eye = seen.detector if seen.detector != "none" else eye
        if seen.detections is not None and (recording.path / "boxes.parquet").is_file():
            detections.update(recording.id, recording.boxes, seen.detections)
        events.update(truth.events, seen.events)
        temporal.update(recording.id, truth.events, seen.events)
        receipts.update(truth.receipts, seen.receipts)
        tables.append(judged_table(recording.id, judge_events(truth.events, seen.events)))
        hashes[recording.id] = recording.sha256()
        minutes += seen.shopper_minutes
        warnings |= dict.fromkeys(seen.warnings)
        tell(f"judged {recording.id}", 1.0)
    if not tables:
        reason = next(iter(failed.values()))
        raise InputError("evaluate", "", f"none of the recordings can be used; the first: {reason}")
    if temporal.left_out:
        warnings[
            f"{temporal.left_out} events have no beginning or no end and are not in the temporal mAP"
        ] = None
    judged = pd.concat([t for t in tables if len(t)] or tables, ignore_index=True)
    return EvaluationReport(
        tuple(hashes),
        eye,
        tuple(sensors),
        detections.compute(),
        events.compute(),
        temporal.compute(),
        by_condition(judged),
        receipts.compute(),
        calibration_of(judged),
        judged,
        minutes,
        hashes,
        failed,
        tuple(warnings),
    )
