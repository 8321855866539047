"""Scores by condition, against a table small enough to count."""

from __future__ import annotations

import pandas as pd
import pytest

from checkout.evaluation.conditions import by_condition


def judged(*rows: tuple[str, str, int, float, bool, bool, bool]) -> pd.DataFrame:
    names = (
        "recording",
        "outcome",
        "people_near",
        "occlusion",
        "product_right",
        "quantity_right",
        "shopper_right",
    )
    table = pd.DataFrame(rows, columns=list(names))
    return table.assign(look_alikes=0, same_weight=1, quantity=1, action="pick")


TABLE = judged(
    ("a", "right", 1, 0.0, True, True, True),
    ("a", "wrong_shopper", 2, 0.3, True, True, False),
    ("b", "missed", 2, 0.6, False, False, False),
    ("b", "right", 2, 0.6, True, True, True),
    ("b", "phantom", 0, 0.0, False, False, False),
)


def test_groups_are_counted() -> None:
    scores = {(s.condition, s.group): s for s in by_condition(TABLE)}
    all_of_them = scores["all", ""]
    assert (all_of_them.events, all_of_them.recall, all_of_them.right) == (4, 0.75, 0.5)
    assert all_of_them.shopper == pytest.approx(2 / 3)
    two = scores["people near", "2"]
    assert (two.events, two.right) == (3, pytest.approx(1 / 3))
    assert scores["occlusion", "0.5 and more"].recall == 0.5
    assert ("people near", "3 and more") not in scores
    assert ("quantity", "2 and more") not in scores


def test_the_interval_is_over_recordings() -> None:
    scores = {(s.condition, s.group): s for s in by_condition(TABLE)}
    low, high = scores["all", ""].right_ci95 or (0, 0)
    assert (low, high) == (0.5, 0.5)
    assert scores["people near", "0-1"].right_ci95 is None


def test_nothing_perceived_has_no_share() -> None:
    (score, *_) = by_condition(TABLE[TABLE["outcome"] == "missed"])
    assert (score.recall, score.product) == (0.0, None)
    assert by_condition(TABLE[TABLE["outcome"] == "phantom"]) == []
