"""What was left on the floor, judged by hand."""

from __future__ import annotations

from checkout.evaluation.floor import LeftMetric, LeftScore
from checkout.events import LeftOnFloor
from checkout.recording import Act

ACCOUNTS = {"p1": "anna", "p2": "anna", "p3": "ben"}


def act(person: str, t_end_s: float, kind: str = "leave_on_floor") -> Act:
    return Act(kind, t_end_s - 1, t_end_s, person, "can", 1)  # type: ignore[arg-type]


def left(start_s: float, end_s: float, **shopper: float) -> LeftOnFloor:
    return LeftOnFloor(start_s, end_s, (0.0, -0.4), shopper, 0.9)


def test_found_missed_and_false_by_hand() -> None:
    metric = LeftMetric()
    # 10 s is found with the right account, 20 s with the wrong one, 30 s not at all; 50 s is false.
    acts = [act("p1", 10), act("p3", 20), act("p3", 30), act("p1", 15, "hand_over")]
    said = [left(9, 12, anna=0.7, ben=0.3), left(18, 22, anna=0.6, ben=0.4), left(48, 52, ben=1.0)]
    metric.update(acts, said, ACCOUNTS)
    assert metric.compute() == LeftScore(true=3, found=2, shopper_right=1, false=1)
    metric.update([], [], ACCOUNTS)
    metric.update([act("p2", 5)], [left(4.5, 5.5, anna=1.0)], ACCOUNTS)
    assert metric.compute() == LeftScore(true=4, found=3, shopper_right=2, false=1)


def test_each_item_is_found_once_and_the_narrowest_times_come_first() -> None:
    """The wide one could be either; the narrow one can only be the first."""
    metric = LeftMetric()
    said = [left(0, 40, ben=1.0), left(9, 11, anna=1.0), left(0, 40, ben=1.0)]
    metric.update([act("p1", 10), act("p3", 20)], said, ACCOUNTS)
    assert metric.compute() == LeftScore(true=2, found=2, shopper_right=2, false=1)
