"""What was taken for what, and curves over confidence, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from checkout.evaluation.confusions import ActionMetric, accuracies, product_confusions
from checkout.evaluation.curves import EventCurveMetric
from checkout.evaluation.events import judge_events, judged_table
from checkout.evaluation.gallery import with_wrong_actions, worst
from checkout.events import Action, ShelfEvent


def event(
    t_s: float, action: Action = "pick", product: str = "tea", shopper: str = "anna", sure: float = 1.0
) -> ShelfEvent:
    return ShelfEvent(t_s, action, product, 1, shopper, facing=f"f-{product}", item_confidence=sure)


TRUE = [event(1.0), event(5.0, "put_back"), event(9.0, product="jam"), event(15.0, product="oil")]
SAID = [
    event(1.2, sure=0.9),
    event(5.1, "pick", sure=0.8),  # a put-back that was called a pick
    event(9.3, product="oil", shopper="ben", sure=0.7),  # another product, another shopper
    event(20.0, "put_back", sure=0.6),  # nothing was there
]


def table(
    true: Sequence[ShelfEvent] = TRUE, said: Sequence[ShelfEvent] = SAID, name: str = "one"
) -> pd.DataFrame:
    return judged_table(name, judge_events(true, said))


def test_actions_are_counted_whatever_was_said() -> None:
    metric = ActionMetric()
    metric.update(TRUE, SAID)
    counts = {(c.true, c.said): c.events for c in metric.compute()}
    assert counts == {
        ("pick", "pick"): 2, ("pick", "put_back"): 0, ("pick", "missed"): 1,
        ("put_back", "pick"): 1, ("put_back", "put_back"): 0, ("put_back", "missed"): 0,
        ("phantom", "pick"): 0, ("phantom", "put_back"): 1,
    }  # fmt: skip
    accuracy = metric.accuracy()
    assert (accuracy.right, accuracy.of, accuracy.ci95) == (2, 3, None)


def test_another_action_elsewhere_is_a_miss_and_a_phantom() -> None:
    metric = ActionMetric()
    metric.update([event(1.0)], [event(1.0, "put_back", product="jam")])
    counts = {(c.true, c.said): c.events for c in metric.compute() if c.events}
    assert counts == {("pick", "missed"): 1, ("phantom", "put_back"): 1}
    assert metric.accuracy().share is None


def test_the_right_action_goes_to_the_right_event() -> None:
    metric = ActionMetric()
    metric.update([event(1.0), event(2.0, "put_back")], [event(1.6, "put_back"), event(1.4)])
    counts = {(c.true, c.said): c.events for c in metric.compute() if c.events}
    assert counts == {("pick", "pick"): 1, ("put_back", "put_back"): 1}


def test_accuracies_are_of_the_events_that_were_seen() -> None:
    product, quantity, shopper = accuracies(table())
    assert (product.aspect, product.right, product.of) == ("product", 1, 2)
    assert (quantity.right, quantity.of) == (2, 2)
    assert (shopper.right, shopper.of, shopper.share) == (1, 2, 0.5)


def test_their_interval_is_over_recordings() -> None:
    judged = pd.concat([table(name="one"), table(TRUE[:1], SAID[:1], name="two")], ignore_index=True)
    product = accuracies(judged)[0]
    assert (product.right, product.of) == (2, 3)
    assert product.ci95 == pytest.approx((0.5, 1.0))  # all of either recording


def test_products_that_were_confused_are_named() -> None:
    (only,) = product_confusions(table())
    assert (only.product, only.said, only.events) == ("jam", "oil", 1)


def test_a_recording_in_which_nothing_happens_has_no_rows_but_all_columns() -> None:
    empty = table([], [])
    assert len(empty) == 0
    assert list(empty) == list(table())


def test_the_curve_starts_with_the_surest_and_ends_with_all() -> None:
    metric = EventCurveMetric()
    metric.update(TRUE, SAID)
    (curve, _) = metric.compute()
    assert [(p.threshold, p.precision, p.recall) for p in curve.points] == [
        (0.9, 1.0, 0.25),
        (0.8, 0.5, 0.25),
        (0.7, 1 / 3, 0.25),
        (0.6, 0.25, 0.25),
    ]


def test_a_missed_event_and_the_phantom_of_the_other_action_there_are_one_error() -> None:
    merged = with_wrong_actions(table())
    assert sorted(merged["outcome"]) == ["missed", "phantom", "right", "wrong_action", "wrong_product"]
    wrong = merged[merged["outcome"] == "wrong_action"].iloc[0]
    assert (wrong["action"], wrong["perceived_action"], wrong["item_confidence"]) == ("put_back", "pick", 0.8)


def test_the_surest_errors_are_shown_and_all_kinds_in_turn() -> None:
    true = [event(10.0 * i) for i in range(1, 6)]
    said = [event(10.0 * i, product="jam", sure=0.1 * i) for i in range(1, 5)] + [event(99.0)]
    shown = worst(table(true, said), most=4)
    assert list(shown["kind"]) == ["missed", "phantom", "wrong item", "wrong item"]
    assert list(shown["item_confidence"])[2:] == pytest.approx([0.4, 0.3])
