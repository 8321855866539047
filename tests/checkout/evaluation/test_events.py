"""Judging shelf events on cases small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.evaluation.events import EventMetric, hits, judge_events, judged_table
from checkout.events import ShelfEvent

PICK = ShelfEvent(5.0, "pick", "cola", 1, "anna", facing="g1.s1.f1")


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, "right"),
        ({"t_s": 5.4}, "right"),
        ({"product": "lemonade"}, "wrong_product"),
        ({"quantity": 2}, "wrong_quantity"),
        ({"shopper": "ben"}, "wrong_shopper"),
    ],
)
def test_what_became_of_a_true_event(change: dict[str, object], outcome: str) -> None:
    judged = judge_events([PICK], [replace(PICK, **change)])  # type: ignore[arg-type]
    assert [j.outcome for j in judged] == [outcome]


def test_another_action_or_a_late_event_is_a_miss_and_a_phantom() -> None:
    for change in ({"action": "put_back"}, {"t_s": 9.0}):
        judged = judge_events([PICK], [replace(PICK, **change)])  # type: ignore[arg-type]
        assert sorted(j.outcome for j in judged) == ["missed", "phantom"]


def test_the_assignment_is_joint_not_greedy() -> None:
    """The nearer event of the wrong product must not take the place of the right one."""
    true = [PICK, replace(PICK, t_s=5.8, product="water")]
    seen = [replace(PICK, t_s=5.5, product="water"), replace(PICK, t_s=4.6)]
    assert [j.outcome for j in judge_events(true, seen)] == ["right", "right"]


def test_precision_recall_and_f1_by_hand() -> None:
    true = [replace(PICK, t_s=float(t)) for t in (1, 3, 5, 7)]
    seen = [replace(PICK, t_s=1.1), replace(PICK, t_s=3.4), replace(PICK, t_s=20.0)]
    metric = EventMetric()
    metric.update(true, seen)
    score = {(s.kind, s.tolerance_s): s for s in metric.compute()}
    tight, loose = score["event", 0.25], score["event", 0.5]
    assert (tight.precision, tight.recall) == (pytest.approx(1 / 3), pytest.approx(1 / 4))
    assert loose.f1 == pytest.approx(2 * 2 / (4 + 3))
    assert loose.f1_ci95 is None


@given(st.lists(st.floats(0, 30), max_size=6), st.lists(st.floats(0, 30), max_size=6))
def test_hits_grow_with_the_tolerance_and_never_exceed_either_side(a: list[float], b: list[float]) -> None:
    true, seen = ([replace(PICK, t_s=t) for t in times] for times in (a, b))
    counts = [hits(true, seen, tolerance, "event") for tolerance in (0.25, 0.5, 1.0)]
    assert counts == sorted(counts)
    assert counts[-1] <= min(len(a), len(b))


def test_the_table_keeps_conditions_and_confidences() -> None:
    true = replace(PICK, conditions={"people_near": 2, "look_alikes": 1, "same_weight": 0, "occlusion": 0.5})
    table = judged_table("rec", judge_events([true], [replace(PICK, item_confidence=0.7, product="water")]))
    row = table.iloc[0]
    assert (row["people_near"], row["item_confidence"], row["item_right"], row["action_right"]) == (
        2,
        0.7,
        False,
        True,
    )
