"""Temporal mAP: by hand, and against the protocol written down another way."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.evaluation.temporal import TIOUS, Segment, TemporalMetric, average_precision, overlap
from checkout.events import ShelfEvent


def test_overlap_by_hand() -> None:
    assert overlap(Segment("r", 0, 2), Segment("r", 1, 3)) == pytest.approx(1 / 3)
    assert overlap(Segment("r", 0, 1), Segment("r", 2, 3)) == 0
    assert overlap(Segment("r", 0, 2), Segment("other", 0, 2)) == 0


def test_average_precision_by_hand() -> None:
    true = [Segment("r", 0, 1), Segment("r", 10, 11)]
    found = [Segment("r", 0, 1, 0.9), Segment("r", 5, 6, 0.8), Segment("r", 10, 11, 0.7)]
    # Precision 1 up to recall 0.5, then 2/3 up to recall 1.
    assert average_precision(true, found, 0.5) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(true, [], 0.5) == 0
    assert average_precision(true, [*found, Segment("r", 0, 1, 0.1)], 0.5) == pytest.approx(5 / 6)


def by_the_protocol(true: list[Segment], found: list[Segment], tiou: float) -> float:
    """The protocol segment by segment, and the area under the envelope by its definition at each recall."""
    free = dict(enumerate(true))
    outcome = []
    for segment in sorted(found, key=lambda s: s.score, reverse=True):
        best, best_share = None, 0.0
        for index, other in free.items():
            share = overlap(segment, other)
            if share >= tiou and share > best_share:
                best, best_share = index, share
        outcome.append(best is not None)
        if best is not None:
            del free[best]
    points = [
        (sum(outcome[: k + 1]) / len(true), sum(outcome[: k + 1]) / (k + 1)) for k in range(len(outcome))
    ]
    area = 0.0
    for step in range(len(true)):
        reached = [precision for recall, precision in points if recall >= (step + 1) / len(true) - 1e-12]
        area += max(reached, default=0.0) / len(true)
    return area


def test_it_agrees_with_the_protocol_on_random_segments() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):

        def some(n: int) -> list[Segment]:
            starts = rng.uniform(0, 12, n)
            return [
                Segment(f"r{rng.integers(2)}", float(s), float(s + rng.uniform(0.3, 2)), float(rng.uniform()))
                for s in starts
            ]

        true, found = some(int(rng.integers(1, 8))), some(int(rng.integers(0, 14)))
        for tiou in TIOUS:
            assert average_precision(true, found, tiou) == pytest.approx(by_the_protocol(true, found, tiou))


def event(t_s: float, action: str, facing: str, half_s: float = 0.5) -> ShelfEvent:
    return ShelfEvent(t_s, action, "p", 1, "s1", facing, t_s - half_s, t_s + half_s)  # type: ignore[arg-type]


def test_the_right_events_at_the_wrong_facing_score_by_action_only() -> None:
    metric = TemporalMetric()
    metric.update(
        "r",
        [event(1, "pick", "f1"), event(5, "put_back", "f1")],
        [event(1, "pick", "f2"), event(5, "put_back", "f1")],
    )
    scores = {(s.kind, s.tiou): s.map for s in metric.compute()}
    assert scores["action", 0.5] == pytest.approx(1.0)
    assert scores["action and facing", 0.5] == pytest.approx(0.5)


def test_events_without_a_span_are_counted_out() -> None:
    metric = TemporalMetric()
    metric.update("r", [event(1, "pick", "f1"), ShelfEvent(3.0, "pick", "p", 1, "s1")], [])
    assert metric.left_out == 1
    assert {s.map for s in metric.compute()} == {0.0}
    assert TemporalMetric().compute() == []
