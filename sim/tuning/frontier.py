"""Reviews against escapes for thresholds that move together: exact over all distinct scores.

With the sales sorted by their lowest confidence, a threshold t reviews those below it; only a
threshold just above a wrong sale's score can be worth its reviews, so the efficient points are at most
one more than the wrong sales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from checkout.errors import InputError
from sim.tuning.sales import SalesToTune

PER = 1000.0


@dataclass(frozen=True)
class Outcome:
    """What one choice of thresholds comes to on the sales that it was read off."""

    reviews_per_1000_sales: float
    escapes_per_1000_sales: float
    lost_usd_per_1000_sales: float | None


@dataclass(frozen=True)
class Frontier:
    """Choices of thresholds from lax to strict: reviews rise, escapes fall.

    Attributes:
        thresholds: float64 [m, k]; a sale is reviewed when any confidence is under its threshold.
        columns: names of the k thresholds (aspects, or groups).
        reviews, escapes: int64 [m], sales.
        lost_usd: float64 [m], of the escapes; None where no money is known.
        best_reviews: int64 [m], a lower bound of the reviews that any thresholds need for as few escapes;
            equal to `reviews` where the frontier is exact.
        method: how it was found, in words.
    """

    thresholds: np.ndarray
    columns: tuple[str, ...]
    reviews: np.ndarray
    escapes: np.ndarray
    lost_usd: np.ndarray | None
    sales: int
    method: str
    best_reviews: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if not len(self.best_reviews):
            object.__setattr__(self, "best_reviews", self.reviews)

    def __len__(self) -> int:
        return len(self.reviews)

    @property
    def exact(self) -> bool:
        return bool((self.best_reviews == self.reviews).all())

    @property
    def reviews_per_1000_sales(self) -> np.ndarray:
        return np.asarray(self.reviews * (PER / self.sales))

    @property
    def escapes_per_1000_sales(self) -> np.ndarray:
        return np.asarray(self.escapes * (PER / self.sales))

    @property
    def lost_usd_per_1000_sales(self) -> np.ndarray | None:
        return None if self.lost_usd is None else np.asarray(self.lost_usd * (PER / self.sales))

    def at_reviews(self, reviews_per_1000_sales: float) -> int:
        """Index of the strictest choice within so many reviews per 1,000 sales."""
        return max(
            0, int(np.searchsorted(self.reviews_per_1000_sales, reviews_per_1000_sales, side="right")) - 1
        )

    def at_escapes(self, escapes: int) -> int | None:
        """Index of the laxest choice with at most so many escapes (sales); None where there is none."""
        within = np.flatnonzero(self.escapes <= escapes)
        return int(within[0]) if len(within) else None

    def to_pandas(self) -> pd.DataFrame:
        """One row a choice: thresholds, then reviews, escapes and money per 1,000 sales."""
        table = pd.DataFrame(self.thresholds, columns=[f"threshold_{name}" for name in self.columns])
        table["reviews_per_1000_sales"] = self.reviews_per_1000_sales
        table["escapes_per_1000_sales"] = self.escapes_per_1000_sales
        if self.lost_usd_per_1000_sales is not None:
            table["lost_usd_per_1000_sales"] = self.lost_usd_per_1000_sales
        if not self.exact:
            table["least_reviews_per_1000_sales"] = self.best_reviews * (PER / self.sales)
        return table


def threshold_curve(sales: SalesToTune) -> Frontier:
    """Every distinct threshold, efficient or not: 0, each distinct lowest confidence, and 1."""
    ordered, caught, lost = _sorted(sales)
    distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    thresholds = np.append(distinct, 1.0) if distinct[-1] < 1.0 else distinct
    thresholds[0] = 0.0
    return _at_thresholds(sales, thresholds, ordered, caught, lost, "all distinct thresholds")


def pareto_frontier(sales: SalesToTune) -> Frontier:
    """The efficient thresholds when all aspects share one: exact, none is left out."""
    ordered, caught, lost = _sorted(sales)
    thresholds = np.append(0.0, just_above(np.unique(caught), ordered))
    if caught.size and caught[0] < ordered[0]:
        thresholds = thresholds[1:]  # under the lowest score of all, a bill is made right without any review
    return _at_thresholds(
        sales, np.unique(thresholds), ordered, caught, lost,
        "one threshold for all aspects; exact over all distinct scores",
    )  # fmt: skip


def just_above(scores: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """For each score under 1 the next higher of the sorted scores, or 1: the threshold that reviews it."""
    reachable = scores[scores < 1.0]
    after = np.searchsorted(ordered, reachable, side="right")
    return np.append(ordered, 1.0)[after]


def _sorted(sales: SalesToTune) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Scores of all sales and what catches the wrong ones, both ascending, and the money that the latter lose."""
    lowest = sales.lowest
    wrong = np.flatnonzero(sales.wrong)
    caught_by = lowest[wrong] if sales.settled is None else np.minimum(lowest[wrong], sales.settled[wrong])
    order = np.argsort(caught_by, kind="stable")
    lost = None if sales.lost_usd is None else sales.lost_usd[wrong][order]
    return np.sort(lowest), caught_by[order], lost


def _at_thresholds(
    sales: SalesToTune,
    thresholds: np.ndarray,
    ordered: np.ndarray,
    caught: np.ndarray,
    lost: np.ndarray | None,
    method: str,
) -> Frontier:
    reviewed_wrong = np.searchsorted(caught, thresholds, side="left")
    money = None
    if lost is not None:
        money = np.append(np.cumsum(lost[::-1])[::-1], 0.0)[reviewed_wrong]
    k = len(sales.aspects)
    return Frontier(
        np.repeat(thresholds[:, None], k, axis=1),
        sales.aspects,
        np.searchsorted(ordered, thresholds, side="left"),
        len(caught) - reviewed_wrong,
        money,
        len(sales),
        method,
    )


class Slider:
    """Sales prepared once, so that any thresholds are answered at once.

    Confidences are kept as ranks among the distinct ones, four bytes each, which compares exactly and
    faster; a million sales with three confidences answer in a few milliseconds.
    """

    def __init__(self, sales: SalesToTune) -> None:
        self._levels, self._ranks = [], []
        for column in sales.confidences.T:
            levels, ranks = np.unique(column, return_inverse=True)
            self._levels.append(levels)
            self._ranks.append(ranks.astype(np.int32))
        wrong = np.flatnonzero(sales.wrong)
        self._wrong = [ranks[wrong] for ranks in self._ranks]
        self._lost = None if sales.lost_usd is None else sales.lost_usd[wrong]
        self._lowest = np.sort(sales.lowest)
        self._settled = None if sales.settled is None else sales.caught_by[wrong]
        self.sales, self.aspects = len(sales), sales.aspects

    def at(self, *thresholds: float) -> Outcome:
        """Reviews, escapes and money lost for one threshold, or for one an aspect.

        Raises:
            InputError: another number of thresholds, or one outside 0-1.
        """
        if len(thresholds) not in (1, len(self.aspects)) or not all(0 <= t <= 1 for t in thresholds):
            raise InputError(
                "thresholds", "", f"{thresholds!r}, expected one, or {len(self.aspects)}, from 0 to 1"
            )
        if len(thresholds) == 1:
            reviews = int(np.searchsorted(self._lowest, thresholds[0], side="left"))
            thresholds = thresholds * len(self.aspects)
            limits = self._limits(thresholds)
        else:
            limits = self._limits(thresholds)
            reviews = int(np.count_nonzero(_doubted(self._ranks, limits)))
        escapes = ~_doubted(self._wrong, limits)
        if self._settled is not None:
            # Another's bill that makes this one right is reviewed for sure under the lowest threshold.
            escapes &= self._settled >= min(thresholds)
        return Outcome(
            PER * reviews / self.sales,
            PER * int(np.count_nonzero(escapes)) / self.sales,
            None if self._lost is None else PER * float(self._lost[escapes].sum()) / self.sales,
        )

    def _limits(self, thresholds: Sequence[float]) -> list[int]:
        return [
            int(np.searchsorted(v, t, side="left")) for v, t in zip(self._levels, thresholds, strict=True)
        ]


def _doubted(ranks: Sequence[np.ndarray], limits: Sequence[int]) -> np.ndarray:
    doubted = ranks[0] < limits[0]
    for column, limit in zip(ranks[1:], limits[1:], strict=True):
        doubted |= column < limit
    return doubted
