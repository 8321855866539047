"""Precision and recall of shelf events when only those at least so sure are believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from checkout.evaluation.events import f_score, hits
from checkout.events import ShelfEvent

WITHIN_S = 0.5
"""Assumed: the middle of `events.TOLERANCES_S` stands for all."""
MOST_POINTS = 60
"""Assumed: a curve of so many thresholds looks no different from one of all."""
SCORES: dict[str, Callable[[ShelfEvent], float]] = {
    "event": lambda e: e.item_confidence * e.action_confidence,
    "event and shopper": lambda e: e.item_confidence * e.action_confidence * e.shopper_confidence,
}
"""What must be right besides the time (of `events.KINDS`), and how sure of it perception says it is."""


@dataclass(frozen=True)
class CurvePoint:
    """Scores when events whose confidence is below a threshold are left out."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class EventCurve:
    """Precision over recall of one kind, from the strictest threshold to none."""

    kind: str
    tolerance_s: float
    points: tuple[CurvePoint, ...]


@dataclass
class EventCurveMetric:
    """Collects recordings, then draws one curve of all of them for each kind of `SCORES`."""

    _cases: list[tuple[Sequence[ShelfEvent], Sequence[ShelfEvent]]] = field(default_factory=list)

    def update(self, true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent]) -> None:
        """Add one recording."""
        self._cases.append((true, perceived))

    def compute(self) -> list[EventCurve]:
        return [EventCurve(kind, WITHIN_S, self._points(kind)) for kind in SCORES]

    def _points(self, kind: str) -> tuple[CurvePoint, ...]:
        score = SCORES[kind]
        levels = np.unique([score(e) for _, perceived in self._cases for e in perceived])[::-1]
        if len(levels) > MOST_POINTS:
            levels = levels[np.linspace(0, len(levels) - 1, MOST_POINTS).round().astype(int)]
        points = []
        for level in levels.tolist():
            right = true_count = believed_count = 0
            for true, perceived in self._cases:
                believed = [e for e in perceived if score(e) >= level]
                right += hits(true, believed, WITHIN_S, kind)
                true_count += len(true)
                believed_count += len(believed)
            points.append(CurvePoint(level, *f_score(right, true_count, believed_count)))
        return tuple(points)
