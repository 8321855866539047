"""Bills of a simulated store before any review, prepared so that any thresholds are answered at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.dashboard.day import shop_floor
from sim.perception import Perception, SeenDay
from sim.scenario import Scenario
from sim.tuning.frontier import PER, Frontier, Slider, pareto_frontier
from sim.tuning.sales import ErrorCost, SalesToTune
from sim.tuning.staffing import ReviewWork, time_to_receipt_s

ASPECTS = ("item", "action", "shopper")
PERCEIVING = 3
"""Keeps the draws of the bills apart from those of the shoppers and the flow."""


@dataclass(frozen=True)
class Answer:
    """What thresholds and a desk come to.

    Attributes:
        p95_s: 95 % quantile of the time to receipt, seconds; infinite where the desk cannot keep up.
        cost_usd_per_1000_sales: wages of the desk and what the escapes lose.
    """

    reviews_per_1000_sales: float
    escapes_per_1000_sales: float
    lost_usd_per_1000_sales: float
    wages_usd_per_1000_sales: float
    p95_s: float

    @property
    def cost_usd_per_1000_sales(self) -> float:
        return self.lost_usd_per_1000_sales + self.wages_usd_per_1000_sales


@dataclass(frozen=True)
class Bills:
    """Sales as perception bills them.

    Attributes:
        doubts_per_review: doubtful events of a bill that the scenario's own thresholds send to a human, mean.
    """

    sales: SalesToTune
    doubts_per_review: float


class Desk:
    """Sales and the work of their review desk, ready for any thresholds and any number of reviewers.

    The work of a review is that at the scenario's own thresholds, whatever the thresholds asked for.
    """

    def __init__(self, bills: Bills, scenario: Scenario) -> None:
        sales, settings = bills.sales, scenario.just_walk_out
        work = ReviewWork.of(
            sales,
            work_s=settings.review.work_s + settings.review.work_s_per_doubt * bills.doubts_per_review,
            wage_usd_per_hour=settings.review.wage_usd_per_hour,
            receipt_s=settings.receipt_s,
        )
        assert work is not None
        self.sales, self.work = sales, work
        self.frontier: Frontier = pareto_frontier(sales)
        self._slider = Slider(sales)

    def at(self, thresholds: tuple[float, float, float], reviewers: int) -> Answer:
        """Reviews, escapes, money and delay for three thresholds and so many reviewers, all day."""
        found = self._slider.at(*thresholds)
        work = self.work
        return Answer(
            found.reviews_per_1000_sales,
            found.escapes_per_1000_sales,
            found.lost_usd_per_1000_sales or 0.0,
            PER * reviewers * work.open_hours * work.wage_usd_per_hour / work.sales_per_day,
            time_to_receipt_s(work, found.reviews_per_1000_sales / PER, reviewers),
        )


def bills_before_review(
    scenario: Scenario,
    profile: PerceptionProfile,
    *,
    days: int,
    seed: int = 1,
    progress: Callable[[str, float], None] | None = None,
) -> Bills:
    """Sales of so many days as perception bills them, with the lowest confidence of each aspect.

    Every day has shoppers and a version of the profile of its own. A sale without events has confidences of 1.
    """
    cost = ErrorCost(scenario.just_walk_out.dispute_usd, scenario.just_walk_out.dispute_share)
    review = scenario.just_walk_out.review.thresholds
    limits = np.array([getattr(review, aspect) for aspect in ASPECTS])
    parts = []
    doubts = reviews = 0
    for number in range(days):
        floor = shop_floor(scenario, "just-walk-out", profile, seed=seed, day=number)
        came = ~np.isnan(floor.enters_s)
        drawn = np.random.SeedSequence(seed, spawn_key=(number, PERCEIVING))
        seen = Perception(profile, scenario, drawn).sees(
            floor.plans, floor.trip, floor.enters_s, came, floor.crowd
        )
        doubted = np.bincount(seen.account[(seen.confidence < limits).any(axis=1)], minlength=len(came))
        doubts, reviews = doubts + int(doubted.sum()), reviews + int((doubted > 0).sum())
        sale = came & ((seen.true_units > 0) | (seen.charged_units > 0))
        lost = np.where(seen.wrong, cost.lost_usd(seen.true_usd, seen.charged_usd), 0.0)
        parts.append(
            (_lowest(seen)[sale], seen.wrong[sale], lost[sale], _settled(seen)[sale], floor.leaves_s[sale])
        )
        if progress:
            progress("bills", (number + 1) / days)
    confidences, wrong, lost_usd, settled, leaves_s = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    if not len(wrong):
        raise InputError(
            scenario.name, "shoppers.visits_per_day", f"{days} days have no sale", "give more visits"
        )
    day = np.repeat(np.arange(days), [len(part[1]) for part in parts])
    sales = SalesToTune(
        f"{scenario.name}, {days} simulated days (seed {seed})", confidences, ASPECTS, wrong, lost_usd,
        cluster=day, cluster_name="day", leaves_s=leaves_s, day=day, settled=settled,
    )  # fmt: skip
    return Bills(sales, doubts / reviews if reviews else 0.0)


def _lowest(seen: SeenDay) -> np.ndarray:
    """Lowest item, action and shopper confidence on each bill, float [n, 3]."""
    found = np.ones((len(seen.true_usd), len(ASPECTS)))
    np.minimum.at(found, seen.account, seen.confidence)
    return found


def _settled(seen: SeenDay) -> np.ndarray:
    """Highest threshold at which nobody makes a bill right: by its own review, or by that of a neighbour's bill."""
    lowest = seen.lowest
    by_others = np.full(len(lowest), -np.inf)
    np.maximum.at(by_others, seen.lost_by, lowest[seen.lost_to])
    return np.where(seen.own_fault | np.isinf(by_others), lowest, np.minimum(lowest, by_others))
