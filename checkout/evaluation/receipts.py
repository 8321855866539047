"""Receipts against the truth, as the AutoCheckout competition scored them, and what review made of them.

A unit is a true positive when product and shopper are right, a false positive when it is on a
receipt with a wrong product or shopper, a false negative when a true unit is missing;
F1 = 2 TP / (units on receipts + true units) per case, then averaged; two empty receipts score 1.
Association accuracy is right units / units on receipts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from checkout.events import Receipt
from checkout.review import Reviewer


@dataclass(frozen=True)
class ReceiptScores:
    """Scores of several cases.

    Attributes:
        unit_f1: mean over the cases of the competition's F1.
        association_accuracy: right units over units on receipts, all cases together; None without units.
        fully_right: share of receipts that are right to the unit.
        receipts: how many receipts (one a shopper).
        review_rate: share of them that go to review.
        escape_rate: share of them that are wrong and charged without a review.
        wrong_after_review: share that is wrong in the end, by a reviewer who is right as often as `Reviewer` says.
        review_s: the reviewer's seconds, a receipt.
        escape_rate_at_5_percent: the escape rate, if the 5 % whose contents are least sure went to review instead.
    """

    unit_f1: float
    association_accuracy: float | None
    fully_right: float
    cases_fully_right: float
    receipts: int
    review_rate: float
    escape_rate: float
    wrong_after_review: float
    review_s: float
    escape_rate_at_5_percent: float


@dataclass
class ReceiptMetric:
    """Collects cases (recordings), then scores all of them."""

    reviewer: Reviewer = field(default_factory=Reviewer)
    _f1: list[float] = field(default_factory=list)
    _right_units: int = 0
    _billed_units: int = 0
    _review_s: float = 0.0
    _receipts: list[tuple[bool, bool, float]] = field(default_factory=list)

    def update(self, true: Sequence[Receipt], perceived: Sequence[Receipt]) -> None:
        """Add one case."""
        want = {r.shopper: Counter(r.quantities) for r in true}
        got = {r.shopper: Counter(r.quantities) for r in perceived}
        decision = {r.shopper: r.decision for r in perceived}
        sure = {r.shopper: r.confidence for r in perceived}
        shoppers = [*want, *(s for s in got if s not in want)]
        right = billed = truth = 0
        for shopper in shoppers:
            w, g = want.get(shopper, Counter()), got.get(shopper, Counter())
            right += (w & g).total()
            billed += g.total()
            truth += w.total()
            if shopper in want or g:
                self._receipts.append((w == g, decision.get(shopper) == "review", sure.get(shopper, 1.0)))
        self._review_s += sum(self.reviewer.work_s(r) for r in perceived)
        self._f1.append(2 * right / (billed + truth) if billed + truth else 1.0)
        self._right_units += right
        self._billed_units += billed

    def compute(self) -> ReceiptScores:
        n = max(1, len(self._receipts))
        return ReceiptScores(
            unit_f1=sum(self._f1) / max(1, len(self._f1)),
            association_accuracy=self._right_units / self._billed_units if self._billed_units else None,
            fully_right=sum(right for right, _, _ in self._receipts) / n,
            cases_fully_right=sum(f == 1.0 for f in self._f1) / max(1, len(self._f1)),
            receipts=len(self._receipts),
            review_rate=sum(reviewed for _, reviewed, _ in self._receipts) / n,
            escape_rate=sum(not right and not reviewed for right, reviewed, _ in self._receipts) / n,
            wrong_after_review=sum(
                0 if right else (1 - self.reviewer.accuracy if reviewed else 1)
                for right, reviewed, _ in self._receipts
            )
            / n,
            review_s=self._review_s / n,
            escape_rate_at_5_percent=self.escape_rate_at(0.05),
        )

    def escape_rate_at(self, review_share: float) -> float:
        """Share of receipts that are wrong and not reviewed when this share, the least sure, is reviewed."""
        by_doubt = sorted(self._receipts, key=lambda row: row[2])
        charged = by_doubt[math.ceil(review_share * len(by_doubt)) :]
        return sum(not right for right, _, _ in charged) / max(1, len(by_doubt))
