"""Mean average precision of shelf events at temporal intersection over union, as ActivityNet defines it.

Source of the definition: Caba Heilbron et al., "ActivityNet: a large-scale video benchmark for human
activity understanding", CVPR 2015, and the evaluation protocol of its detection task: perceived
segments in order of score; each goes to the true segment of its class and recording that it overlaps
best and that nobody took yet, if that overlap reaches the threshold; the area under the interpolated
precision-recall curve; the mean over the classes that occur in the truth.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from checkout.events import ShelfEvent

TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
CLASSES: dict[str, Callable[[ShelfEvent], str]] = {
    "action": lambda e: e.action,
    "action and facing": lambda e: f"{e.action} {e.facing}",
}
"""What makes two events of one class."""


class Segment(NamedTuple):
    """A stretch of one recording, seconds, with the score of what was perceived."""

    recording: str
    t_start_s: float
    t_end_s: float
    score: float = 1.0


@dataclass(frozen=True)
class TemporalScore:
    """Mean average precision of one kind of class at one temporal intersection over union."""

    kind: str
    tiou: float
    map: float


@dataclass
class TemporalMetric:
    """Collects recordings, then scores all of them together.

    Attributes:
        left_out: events that could not be scored because they have no beginning or no end.
    """

    left_out: int = 0
    _true: list[tuple[ShelfEvent, Segment]] = field(default_factory=list)
    _found: list[tuple[ShelfEvent, Segment]] = field(default_factory=list)

    def update(self, recording: str, true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent]) -> None:
        """Add one recording."""
        for events, into in ((true, self._true), (perceived, self._found)):
            for event in events:
                if math.isnan(event.t_start_s) or math.isnan(event.t_end_s):
                    self.left_out += 1
                    continue
                score = event.item_confidence * event.action_confidence
                into.append((event, Segment(recording, event.t_start_s, event.t_end_s, score)))

    def compute(self) -> list[TemporalScore]:
        """A score for each kind of class and each of `TIOUS`; none when there is no true event."""
        scores = []
        for kind, class_of in CLASSES.items():
            true: dict[str, list[Segment]] = defaultdict(list)
            found: dict[str, list[Segment]] = defaultdict(list)
            for events, into in ((self._true, true), (self._found, found)):
                for event, segment in events:
                    into[class_of(event)].append(segment)
            for tiou in TIOUS if true else ():
                each = [average_precision(true[name], found[name], tiou) for name in sorted(true)]
                scores.append(TemporalScore(kind, tiou, float(np.mean(each))))
        return scores


def average_precision(true: Sequence[Segment], found: Sequence[Segment], tiou: float) -> float:
    """Average precision of one class."""
    taken: set[int] = set()
    hit = np.zeros(len(found))
    ordered = sorted(found, key=lambda s: -s.score)
    for rank, segment in enumerate(ordered):
        overlaps = [(overlap(segment, other), i) for i, other in enumerate(true)]
        free = [(share, i) for share, i in overlaps if share >= tiou and i not in taken]
        if free:
            hit[rank] = 1
            taken.add(max(free)[1])
    if not true:
        return 0.0
    hits = np.cumsum(hit)
    recall = np.concatenate([[0.0], hits / len(true), [1.0]])
    precision = np.concatenate([[0.0], hits / np.arange(1, len(found) + 1), [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def overlap(a: Segment, b: Segment) -> float:
    """Intersection over union of two segments; 0 in different recordings."""
    if a.recording != b.recording:
        return 0.0
    both = min(a.t_end_s, b.t_end_s) - max(a.t_start_s, b.t_start_s)
    either = max(a.t_end_s, b.t_end_s) - min(a.t_start_s, b.t_start_s)
    return max(0.0, both) / either if either > 0 else 0.0
