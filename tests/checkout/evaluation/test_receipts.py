"""The competition's metric on hand-computed cases."""

from __future__ import annotations

import pytest

from checkout.evaluation.receipts import ReceiptMetric
from checkout.events import Receipt, ReceiptLine


def receipt(shopper: str, decision: str = "charge", **units: int) -> Receipt:
    return Receipt(shopper, tuple(ReceiptLine(p, n, 1.0) for p, n in units.items()), decision)  # type: ignore[arg-type]


def test_a_unit_on_the_wrong_shopper_is_a_false_positive_and_a_false_negative() -> None:
    metric = ReceiptMetric()
    metric.update(
        [receipt("anna", cola=2), receipt("ben")], [receipt("anna", cola=1), receipt("ben", cola=1)]
    )
    scores = metric.compute()
    assert scores.unit_f1 == pytest.approx(2 * 1 / (2 + 2))
    assert scores.association_accuracy == pytest.approx(1 / 2)
    assert scores.fully_right == 0.0


def test_the_average_is_over_cases() -> None:
    metric = ReceiptMetric()
    metric.update([receipt("anna", cola=1)], [receipt("anna", cola=1)])
    metric.update([receipt("anna", cola=3, tea=1)], [receipt("anna", cola=1)])
    assert metric.compute().unit_f1 == pytest.approx((1.0 + 2 * 1 / (4 + 1)) / 2)


def test_two_empty_receipts_score_one() -> None:
    metric = ReceiptMetric()
    metric.update([receipt("anna")], [receipt("anna")])
    scores = metric.compute()
    assert (scores.unit_f1, scores.fully_right, scores.association_accuracy) == (1.0, 1.0, None)


def test_a_wrong_receipt_escapes_only_when_nobody_reviews_it() -> None:
    metric = ReceiptMetric()
    metric.update(
        [receipt("anna", cola=1), receipt("ben", tea=1), receipt("cleo", tea=1)],
        [receipt("anna", cola=2), receipt("ben", "review", tea=2), receipt("cleo", tea=1)],
    )
    scores = metric.compute()
    assert scores.escape_rate == pytest.approx(1 / 3)
    assert scores.review_rate == pytest.approx(1 / 3)
