"""How many reviewers keep the receipt on time, and what reviews and escapes cost.

Within an hour the desk is an M/M/c queue (Erlang 1917); the hours of a day are put together as if each
were in its own steady state (the pointwise stationary approximation, Green and Kolesar 1991). That is
right where reviews are short against an hour and no hour is overloaded, and too dark or too bright where a
backlog runs from one hour into the next; `simulated_desk` plays the same day without that approximation.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from checkout.errors import InputError
from sim.tuning.frontier import PER, Frontier
from sim.tuning.sales import HOUR_S, SalesToTune

DAY_S = 24 * HOUR_S
MOST_REVIEWERS = 100_000
QUANTILE = 0.95


@dataclass(frozen=True)
class ReviewWork:
    """What the desk works with, as in the scenarios.

    Attributes:
        sales_per_hour: mean sales that end in each hour the store is open.
        work_s: mean of an exponential review, seconds; assumed, published bound 5.7-10 minutes.
        wage_usd_per_hour: assumed.
        receipt_s: time to the receipt of a sale that is not reviewed, seconds; assumed.
    """

    sales_per_hour: tuple[float, ...]
    work_s: float = 240.0
    wage_usd_per_hour: float = 8.0
    receipt_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.sales_per_hour or min(self.sales_per_hour) < 0 or not sum(self.sales_per_hour) > 0:
            raise InputError("--sales-per-hour", "", "expected positive numbers, one an open hour")
        for name in ("work_s", "wage_usd_per_hour", "receipt_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0 if name == "work_s" else value >= 0)):
                raise InputError(f"--{name.replace('_', '-')}", "", f"{value!r}, expected a positive number")

    @property
    def sales_per_day(self) -> float:
        return sum(self.sales_per_hour)

    @property
    def open_hours(self) -> int:
        return len(self.sales_per_hour)

    @classmethod
    def of(cls, sales: SalesToTune, **given: Any) -> ReviewWork | None:
        """The work that the sales themselves show, when they say at what time they ended."""
        if sales.leaves_s is None or sales.day is None:
            return None
        days = len(np.unique(sales.day))
        counts = np.bincount((sales.leaves_s // HOUR_S).astype(int) % 24, minlength=24) / days
        used = np.flatnonzero(counts)
        return cls(tuple(counts[used[0] : used[-1] + 1].tolist()), **given)


def erlang_c(load: float, reviewers: int) -> float:
    """Probability that a review has to wait in M/M/c (Erlang 1917); `load` is arrivals x work, under `reviewers`."""
    blocked = 1.0
    for c in range(1, reviewers + 1):
        blocked = load * blocked / (c + load * blocked)
    return reviewers * blocked / (reviewers - load * (1.0 - blocked))


def longer_than(t_s: float, load: float, reviewers: int, work_s: float) -> float:
    """P(wait + work > t) of a review in M/M/c; 1 where the desk cannot keep up.

    The wait is zero, or exponential with rate (c - load) / work; the work is exponential and independent.
    """
    if load >= reviewers:
        return 1.0
    if t_s <= 0:
        return 1.0
    waits = erlang_c(load, reviewers)
    mu, spare = 1.0 / work_s, (reviewers - load) / work_s
    alone = math.exp(-mu * t_s)
    if abs(spare - mu) < 1e-9 * mu:
        both = (1.0 + mu * t_s) * alone
    else:
        both = (spare * alone - mu * math.exp(-spare * t_s)) / (spare - mu)
    return (1.0 - waits) * alone + waits * both


def time_to_receipt_s(
    work: ReviewWork, review_share: float, reviewers: int, quantile: float = QUANTILE
) -> float:
    """Quantile of the time to receipt over all sales of a day, reviewed or not, seconds; infinite in overload."""
    late = 1.0 - quantile
    if review_share <= late:
        return work.receipt_s
    loads = [rate * review_share * work.work_s / HOUR_S for rate in work.sales_per_hour]
    weights = [rate / work.sales_per_day for rate in work.sales_per_hour]
    pairs = [(load, weight) for load, weight in zip(loads, weights, strict=True) if weight > 0]
    if any(load >= reviewers for load, _ in pairs):
        return math.inf

    def over(t_s: float) -> float:
        tail = sum(weight * longer_than(t_s, load, reviewers, work.work_s) for load, weight in pairs)
        return review_share * tail - late

    from scipy.optimize import brentq

    high = work.work_s
    while over(high) > 0:
        high *= 2.0
    return work.receipt_s + float(brentq(over, 0.0, high, xtol=1e-3))


def desk_size(work: ReviewWork, review_share: float, target_s: float) -> int:
    """Fewest reviewers, all day, that keep the 95 % quantile of the time to receipt within the target.

    Raises:
        InputError: the target lies under what a receipt takes when nobody waits.
    """
    if review_share <= 1.0 - QUANTILE and target_s >= work.receipt_s:
        busiest = max(work.sales_per_hour) * review_share * work.work_s / HOUR_S
        return math.floor(busiest) + 1 if review_share > 0 else 0
    if target_s <= unhurried_s(work, review_share):
        raise InputError(
            "--max-delay", "", f"{target_s:g} s, but with {PER * review_share:.0f} reviews per 1,000 sales the 95 % "
            f"quantile is {unhurried_s(work, review_share):.0f} s even when nobody waits",
            "allow more, or review fewer or faster",
        )  # fmt: skip

    def late(reviewers: int) -> bool:
        time_s = time_to_receipt_s(work, review_share, reviewers)
        return math.isinf(time_s) or time_s > target_s

    low, high = 0, 1
    while late(high):
        low, high = high, 2 * high
        if high > MOST_REVIEWERS:
            raise InputError("--max-delay", "", f"more than {MOST_REVIEWERS:,} reviewers would be needed")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if late(middle) else (low, middle)
    return high


def unhurried_s(work: ReviewWork, review_share: float) -> float:
    """95 % quantile of the time to receipt when no review ever waits, seconds."""
    late = 1.0 - QUANTILE
    return work.receipt_s + (work.work_s * math.log(review_share / late) if review_share > late else 0.0)


@dataclass(frozen=True)
class Desk:
    """A number of reviewers for a number of reviews, what it costs and how long receipts take.

    Attributes:
        p95_s: by formula; `simulated_p95_s` by playing days, with its 95 % interval.
        cost_usd_per_1000_sales: wages, and the money that escapes lose where it is known.
    """

    reviews_per_1000_sales: float
    reviewers: int
    utilisation: float
    p95_s: float
    simulated_p95_s: tuple[float, float, float] | None
    wages_usd_per_1000_sales: float
    lost_usd_per_1000_sales: float | None

    @property
    def cost_usd_per_1000_sales(self) -> float:
        return self.wages_usd_per_1000_sales + (self.lost_usd_per_1000_sales or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `tune --json` prints; a desk that is overloaded has no p95."""
        document = vars(self) | {"cost_usd_per_1000_sales": self.cost_usd_per_1000_sales}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in document.items()}


def desk_for(
    work: ReviewWork,
    reviews_per_1000_sales: float,
    lost_usd_per_1000_sales: float | None,
    *,
    reviewers: int | None = None,
    target_s: float | None = None,
    rng: np.random.Generator | None = None,
) -> Desk:
    """The desk for so many reviews: as many reviewers as given, or as the target takes, or as keep up at all.

    With `rng`, days are simulated too.
    """
    share = reviews_per_1000_sales / PER
    if reviewers is None:
        reviewers = desk_size(work, share, math.inf if target_s is None else target_s)
    mean_load = work.sales_per_day * share * work.work_s / HOUR_S / work.open_hours
    played = None
    if rng is not None and reviewers > 0 and share > 0:
        played = simulated_desk(work, share, reviewers, rng)
    return Desk(
        reviews_per_1000_sales, reviewers, mean_load / reviewers if reviewers else 0.0,
        time_to_receipt_s(work, share, reviewers), played,
        PER * reviewers * work.open_hours * work.wage_usd_per_hour / work.sales_per_day, lost_usd_per_1000_sales,
    )  # fmt: skip


def costs_along(frontier: Frontier, work: ReviewWork, target_s: float | None) -> np.ndarray:
    """Cost of every choice with the desk it needs, US dollars per 1,000 sales [m]; infinite where no desk will do.

    The desk grows in steps, so it is worked out once for each number of reviewers, by bisection.
    """
    shares = frontier.reviews / frontier.sales
    size = np.empty(len(shares))
    order = np.argsort(shares)
    at = 0
    while at < len(order):
        reviewers = _size_or_none(work, float(shares[order[at]]), target_s)
        if reviewers is None:
            size[order[at:]] = np.inf
            break
        low, high = at, len(order)
        while high - low > 1:
            middle = (low + high) // 2
            if _size_or_none(work, float(shares[order[middle]]), target_s) == reviewers:
                low = middle
            else:
                high = middle
        size[order[at : low + 1]] = reviewers
        at = low + 1
    wages = PER * size * work.open_hours * work.wage_usd_per_hour / work.sales_per_day
    lost = frontier.lost_usd_per_1000_sales
    return np.asarray(wages if lost is None else wages + lost)


def _size_or_none(work: ReviewWork, share: float, target_s: float | None) -> int | None:
    try:
        return desk_size(work, share, math.inf if target_s is None else target_s)
    except InputError:
        return None


def simulated_desk(
    work: ReviewWork,
    review_share: float,
    reviewers: int,
    rng: np.random.Generator,
    *,
    runs: int = 10,
    least_reviews: int = 20_000,
    quantile: float = QUANTILE,
) -> tuple[float, float, float]:
    """The same quantile by playing days in a row: mean of the runs and its 95 % t-interval, seconds.

    Reviews arrive as a Poisson process whose rate changes by the hour, wait in order, and take an
    exponential time; the desk works through its backlog after closing.
    """
    if review_share <= 1.0 - quantile:
        return work.receipt_s, work.receipt_s, work.receipt_s
    days = max(1, math.ceil(least_reviews / (work.sales_per_day * review_share * runs)))
    found = [
        float(
            np.quantile(
                _play(work, review_share, reviewers, days, rng), 1.0 - (1.0 - quantile) / review_share
            )
        )
        for _ in range(runs)
    ]
    from scipy.special import stdtrit

    mean = float(np.mean(found))
    half = float(stdtrit(runs - 1, 0.975) * np.std(found, ddof=1) / math.sqrt(runs))
    return work.receipt_s + mean, work.receipt_s + mean - half, work.receipt_s + mean + half


def _play(
    work: ReviewWork, review_share: float, reviewers: int, days: int, rng: np.random.Generator
) -> np.ndarray:
    """Wait and work of every review of some days, seconds."""
    taken: list[float] = []
    for _ in range(days):
        arrivals = _arrivals_s(work.sales_per_hour, review_share, rng)
        works = rng.exponential(work.work_s, len(arrivals)).tolist()
        free = [0.0] * reviewers
        for asked, needs in zip(arrivals.tolist(), works, strict=True):
            begins = max(asked, free[0])
            heapq.heapreplace(free, begins + needs)
            taken.append(begins + needs - asked)
    return np.array(taken)


def _arrivals_s(sales_per_hour: Sequence[float], share: float, rng: np.random.Generator) -> np.ndarray:
    counts = rng.poisson(np.array(sales_per_hour) * share)
    hours = np.repeat(np.arange(len(counts)), counts)
    return np.sort((hours + rng.uniform(size=len(hours))) * HOUR_S)
