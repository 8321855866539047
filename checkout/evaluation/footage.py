"""Evaluates what a detector makes of a plain video: against events in JSON, CVAT's XML or MOTChallenge's text.

A plain video has no planogram: the pipeline finds the places where items stand by itself. Truth in
JSON names positions by where they are in the picture, so that an event's position is judged too;
events drawn in CVAT are judged by action and time; boxes of CVAT and MOT by mean average precision.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from checkout.errors import InputError, nearest
from checkout.evaluation.detections import SCORED_FROM, DetectionMetric, DetectionScore
from checkout.evaluation.events import TOLERANCES_S, f_score, hits
from checkout.evaluation.temporal import TemporalMetric, TemporalScore
from checkout.events import ShelfEvent
from checkout.footage import Footage
from checkout.pipeline import perceive_video

KINDS = {"action": "action", "action and position": "place"}
"""What must be right besides the time, and what `events.hits` calls it."""
TOUCHING_S = 0.05
"""Two events of one position and action nearer than this are the same event, written twice."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Pixels = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Position(_Part):
    """Where something stands in the picture, pixels; the height may be left out, or be that of a bottle's cap."""

    x_px: Pixels
    y_px: Pixels | None = Field(None, validation_alias=AliasChoices("y_px", "cap_y_px"))


class _Event(_Part):
    t_s: Seconds
    action: Literal["pick", "put_back"]
    position: str = ""
    quantity: int = Field(1, ge=1)
    t_start_s: Seconds | None = None
    t_end_s: Seconds | None = None

    @field_validator("position", mode="before")
    @classmethod
    def _number_is_a_name(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class _Document(_Part):
    video: str = ""
    note: str = ""
    positions: dict[str, Position] = Field(default_factory=dict)
    events: tuple[_Event, ...]


@dataclass(frozen=True)
class FootageTruth:
    """What truly happens in a plain video.

    Attributes:
        events: in time order; `facing` is the position.
        boxes: as `Recording.boxes`; None when none were drawn.
        has_events: whether events were annotated at all.
    """

    positions: Mapping[str, Position]
    events: tuple[ShelfEvent, ...]
    boxes: pd.DataFrame | None
    has_events: bool


@dataclass(frozen=True)
class FootageEventScore:
    """Precision, recall and F1 of events that agree in `kind` (of `KINDS`) within a tolerance."""

    kind: str
    tolerance_s: float
    right: int
    true: int
    perceived: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class FootageReport:
    """All scores of one plain video.

    Attributes:
        perceived: the events found; `facing` is the true position that the found place stands at, or the place's
            own name where it stands at none.
    """

    video: str
    detector: str
    detections: list[DetectionScore]
    events: list[FootageEventScore]
    temporal: list[TemporalScore]
    true: tuple[ShelfEvent, ...]
    perceived: tuple[ShelfEvent, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `evaluate --truth ... --json` prints."""
        return {
            "video": self.video,
            "detector": self.detector,
            "detections": [asdict(d) for d in self.detections],
            "events": [asdict(e) for e in self.events],
            "temporal_map": [asdict(t) for t in self.temporal],
            "true_events": [e.to_dict() for e in self.true],
            "perceived_events": [e.to_dict() for e in self.perceived],
            "warnings": list(self.warnings),
        }


def read_truth(path: Path, video: Path, *, classes: str | None = None) -> FootageTruth:
    """Read a video's truth: `.json` (events), `.xml` (CVAT), `.txt` or a folder (MOTChallenge).

    Args:
        classes: foreign classes in our words, as in "bottle=item,1=person"; for CVAT and MOT.

    Raises:
        InputError: a fault, with file, field, value and what was expected.
    """
    if not path.exists():
        raise InputError(path, "", "does not exist, expected events in JSON, CVAT's XML or MOT's gt.txt")
    if path.suffix == ".json":
        return _read_events(path, Footage.open("cam0", video))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "recording"
        if path.suffix == ".xml":
            from checkout.formats.cvat import import_cvat

            recording = import_cvat([path], [video], out, classes=classes)
        elif path.suffix == ".txt" or path.is_dir():
            from checkout.formats.mot import import_mot

            recording = import_mot(path, video, out, classes=classes)
        else:
            raise InputError(
                path, "", "is no truth that can be read, expected .json (events), .xml (CVAT) or .txt (MOT)"
            )
        truth = recording.truth if recording.has_truth else None
        boxes = recording.boxes if (recording.path / "boxes.parquet").is_file() else None
    return FootageTruth({}, truth.events if truth else (), boxes, truth is not None)


def _read_events(path: Path, footage: Footage) -> FootageTruth:
    try:
        document = _Document.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _fault(path, error) from None
    length_s = float(footage.times_s[-1]) + 1.0 / footage.fps
    for name, position in document.positions.items():
        if not 0 <= position.x_px <= footage.width or not 0 <= (position.y_px or 0.0) <= footage.height:
            raise InputError(
                path,
                f"positions.{name}",
                f"lies outside the picture of {footage.width} x {footage.height} pixels",
                "give pixels of the full-size video",
            )
    events: list[ShelfEvent] = []
    for index, row in enumerate(document.events):
        where = f"events[{index}]"
        if row.position and row.position not in document.positions:
            raise InputError(
                path,
                f"{where}.position",
                f"{row.position!r} is not one of {', '.join(document.positions) or 'positions, which are missing'}",
                nearest(row.position, document.positions),
            )
        for key in ("t_s", "t_start_s", "t_end_s"):
            value = getattr(row, key)
            if value is not None and value > length_s:
                raise InputError(
                    path,
                    f"{where}.{key}",
                    f"{value:g} s is after the video's end at {length_s:.2f} s",
                    f"give times of {footage.file.name}, uncut",
                )
        if (row.t_start_s is not None and row.t_start_s > row.t_s) or (
            row.t_end_s is not None and row.t_end_s < row.t_s
        ):
            raise InputError(path, where, "t_s does not lie between t_start_s and t_end_s")
        for other, before in enumerate(events):
            same = before.facing == row.position and before.action == row.action
            if row.position and same and abs(before.t_s - row.t_s) < TOUCHING_S:
                raise InputError(
                    path,
                    where,
                    f"is the same {row.action} as events[{other}] at {row.t_s:g} s",
                    "take one out, or count both in quantity",
                )
        start, end = (math.nan if v is None else v for v in (row.t_start_s, row.t_end_s))
        events.append(
            ShelfEvent(
                t_s=row.t_s, action=row.action, product="", quantity=row.quantity, shopper="", facing=row.position,
                t_start_s=start, t_end_s=end,
            )
        )  # fmt: skip
    return FootageTruth(document.positions, tuple(sorted(events, key=lambda e: e.t_s)), None, True)


def _fault(path: Path, error: ValidationError) -> InputError:
    fault = error.errors()[0]
    keys = ["".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in fault["loc"]).lstrip(".")]
    if fault["type"] == "json_invalid":
        return InputError(path, "", f"is not JSON ({fault['msg'].removeprefix('Invalid JSON: ')})")
    if fault["type"] == "extra_forbidden":
        parts: tuple[type[_Part], ...] = (_Document, Position, _Event)
        model = parts[0] if len(fault["loc"]) == 1 else parts[1 if fault["loc"][0] == "positions" else 2]
        return InputError(path, keys[0], "unknown field", nearest(str(fault["loc"][-1]), model.model_fields))
    value = f"{fault['input']!r}: " if isinstance(fault["input"], int | float | str) else ""
    return InputError(path, keys[0], f"{value}{fault['msg'][0].lower()}{fault['msg'][1:]}")


def evaluate_video(
    video: Path,
    truth: FootageTruth,
    *,
    detector: str | Path | None = None,
    class_map: Mapping[str, str] | None = None,
    every_frame: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> FootageReport:
    """Perceive a plain video and judge it by its truth.

    Raises:
        InputError: the video or the weights cannot be used.
    """
    seen = perceive_video(
        video, detector=detector, class_map=class_map, every_frame=every_frame, keep_from=SCORED_FROM,
        progress=progress,
    )  # fmt: skip
    regions = {place.facing: place.region for place in seen.regions}
    at = {name: _position_of(region, truth.positions) for name, region in regions.items()}
    perceived = tuple(replace(e, facing=at.get(e.facing, "") or e.facing) for e in seen.events)
    warnings = list(seen.warnings)
    missing = [name for name in truth.positions if name not in at.values()]
    if missing:
        warnings.append(f"no place was found at position {', '.join(missing)}: events there cannot be right")
    detections = DetectionMetric()
    if truth.boxes is not None and seen.detections is not None:
        detections.update(video.name, truth.boxes, seen.detections)
    temporal, scores = TemporalMetric(), []
    if truth.has_events:
        spans = [e for e in truth.events if not math.isnan(e.t_start_s + e.t_end_s)]
        if len(spans) == len(truth.events):
            temporal.update(video.name, truth.events, perceived)
        scores = score_events(truth.events, perceived, positions=bool(truth.positions))
    return FootageReport(
        video.name, seen.detector, detections.compute(), scores, temporal.compute(), truth.events, perceived,
        tuple(warnings),
    )  # fmt: skip


def score_events(
    true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent], *, positions: bool
) -> list[FootageEventScore]:
    """Scores of each kind that the truth can judge, at each of `events.TOLERANCES_S`."""
    scores = []
    for kind, called in KINDS.items():
        if kind != "action" and not positions:
            continue
        for tolerance in TOLERANCES_S:
            right = hits(true, perceived, tolerance, called)
            scores.append(
                FootageEventScore(
                    kind, tolerance, right, len(true), len(perceived), *f_score(right, len(true), len(perceived))
                )
            )  # fmt: skip
    return scores


def _position_of(region: Sequence[float], positions: Mapping[str, Position]) -> str:
    """The position that a found place stands at: the nearest, if it lies in the region or half of it beside."""
    x1, y1, x2, y2 = region
    best, nearest_px = "", math.inf
    for name, position in positions.items():
        y = position.y_px if position.y_px is not None else 0.5 * (y1 + y2)
        aside = abs(position.x_px - 0.5 * (x1 + x2))
        apart = math.hypot(aside, max(y1 - y, 0.0, y - y2))
        if aside <= x2 - x1 and apart < nearest_px:
            best, nearest_px = name, apart
    return best
