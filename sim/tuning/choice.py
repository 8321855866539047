"""The answer to `checkout tune`: the frontier, the promise, the choice, and the desk it takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from checkout.errors import InputError
from sim.tuning.drift import Baseline
from sim.tuning.frontier import PER, Frontier, pareto_frontier
from sim.tuning.groups import group_frontier
from sim.tuning.guarantee import Promise, clusters_of, interval, promise
from sim.tuning.sales import SalesToTune
from sim.tuning.staffing import Desk, ReviewWork, costs_along, desk_for, time_to_receipt_s
from sim.tuning.three import three_threshold_frontier

Thresholds = Literal["one", "three", "group"]
Objective = Literal["reviews", "cost", "delay"]
SHOWN_REVIEWS = (20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0)
"""Published: 20-50 was the target, 700 what Just Walk Out had (The Batch, 2024); the others in between."""


@dataclass(frozen=True)
class Limits:
    """What a choice may not exceed, besides the promise; None for no limit.

    Attributes:
        delay_s: 95 % quantile of the time to receipt.
    """

    reviews_per_1000_sales: float | None = None
    cost_usd_per_1000_sales: float | None = None
    delay_s: float | None = None


@dataclass(frozen=True)
class Choice:
    """Thresholds with what they did on the sales that they were tested on, or read off.

    Attributes:
        thresholds: by aspect or group.
        promised: whether the limit is promised for them.
        reviews_interval: 95 %, likewise; where days or recordings are named, a t-interval over them.
        escapes_interval: 95 % interval (Clopper-Pearson on effective sales) for thresholds named before looking.
        by_cluster: escapes per 1,000 sales that a twentieth of the days or recordings stay under, and go over.
    """

    thresholds: dict[str, float]
    promised: bool
    reviews_per_1000_sales: float
    reviews_interval: tuple[float, float]
    escapes_per_1000_sales: float
    escapes_interval: tuple[float, float]
    lost_usd_per_1000_sales: float | None
    desk: Desk | None
    by_cluster: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"desk": self.desk.to_dict() if self.desk else None}


@dataclass(frozen=True)
class Tuning:
    """All that `tune` found.

    Attributes:
        frontier: efficient choices on all the sales; no promise by itself.
        chosen: the choice of the objective; None where the limits leave none.
        nearest: where there is no choice, the one that comes closest.
        why: why this one, or why none.
        shown: the frontier at `SHOWN_REVIEWS` and without any review.
    """

    sales: SalesToTune = field(repr=False)
    thresholds: Thresholds
    objective: Objective
    limits: Limits
    frontier: Frontier = field(repr=False)
    promise: Promise | None
    chosen: Choice | None
    nearest: Choice | None
    why: str
    shown: tuple[Choice, ...]
    work: ReviewWork | None
    baseline: Baseline | None
    seed: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `tune --json` prints."""
        s = self.sales
        return {
            "source": s.source,
            "sales": len(s),
            "wrong_per_1000_sales": PER * s.wrong_share,
            "aspects": list(s.aspects),
            "group_column": s.group_column,
            "thresholds": self.thresholds,
            "objective": self.objective,
            "limits": vars(self.limits),
            "promise": self.promise.to_dict() if self.promise else None,
            "chosen": self.chosen.to_dict() if self.chosen else None,
            "nearest": self.nearest.to_dict() if self.nearest else None,
            "why": self.why,
            "shown": [c.to_dict() for c in self.shown],
            "frontier": {
                "method": self.frontier.method,
                "exact": self.frontier.exact,
                "points": len(self.frontier),
            },
            "work": vars(self.work) if self.work else None,
            "baseline": self.baseline.to_dict() if self.baseline else None,
            "seed": self.seed,
            "notes": list(self.notes),
        }

    def by_group(self) -> pd.DataFrame:
        """What the choice (or the nearest) does in each group: threshold, sales, reviews and escapes per 1,000."""
        s, choice = self.sales, self.chosen or self.nearest
        if s.group is None or choice is None:
            return pd.DataFrame()
        reviewed = _reviewed(s, choice, self.thresholds)
        table = pd.DataFrame(
            {"group": np.array(s.group_names, dtype=object)[s.group], "sales": 1, "wrong": s.wrong,
             "reviews": reviewed, "escapes": _escapes(s, choice, self.thresholds)}
        )  # fmt: skip
        found = table.groupby("group").sum()
        for name in ("wrong", "reviews", "escapes"):
            found[f"{name}_per_1000_sales"] = PER * found.pop(name) / found["sales"]
        if self.thresholds == "group":
            found.insert(0, "threshold", pd.Series(choice.thresholds))
        return found.reset_index()


def frontier_of(sales: SalesToTune, thresholds: Thresholds) -> Frontier:
    """The efficient choices of one threshold, one an aspect, or one a group."""
    if thresholds == "one":
        return pareto_frontier(sales)
    if thresholds == "group":
        return group_frontier(sales)
    if len(sales.aspects) < 2:
        raise InputError(
            "--thresholds", "", f"three, but the sales have a single confidence ({sales.aspects[0]})",
            "name a column an aspect with --confidences",
        )  # fmt: skip
    return three_threshold_frontier(sales)


def tune(
    sales: SalesToTune,
    *,
    max_escapes_per_1000_sales: float | None = None,
    confidence: float = 0.9,
    thresholds: Thresholds = "one",
    objective: Objective = "reviews",
    limits: Limits | None = None,
    work: ReviewWork | None = None,
    reviewers: int | None = None,
    learn_share: float = 0.3,
    seed: int = 1,
) -> Tuning:
    """Choose thresholds: least of the objective among those that are promised to keep the limit of escapes.

    Without a limit of escapes the choice is the strictest that the other limits allow (the cheapest, for the
    objective cost), and nothing is promised.

    Args:
        thresholds: one for all aspects, one an aspect, or one a group.
        objective: "reviews"; "cost": wages of the desk and money that escapes lose; "delay": 95 % quantile of the
            time to receipt with a given number of `reviewers`.
        work: what the desk works with; needed for cost and delay.
        reviewers: size of the desk; else as many as the limit of the delay takes.

    Raises:
        InputError: a number is out of range, or what an objective or limit needs is not known.
    """
    limits = limits or Limits()
    _check(sales, objective, limits, work, reviewers)
    split, playing = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    frontier = frontier_of(sales, thresholds)
    promised = None
    if max_escapes_per_1000_sales is not None:
        promised = promise(
            sales, max_escapes_per_1000_sales, confidence=confidence, thresholds=thresholds,
            learn_share=learn_share, rng=split,
        )  # fmt: skip
    tested = frontier if promised is None else promised.sequence
    among = np.arange(len(tested)) if promised is None else np.arange(promised.passed)
    picked, why = _pick(tested, among, objective, limits, work, reviewers, promised)
    effective = _effective(sales, promised)

    def choice(of: Frontier, index: int, *, kept: bool, play: bool = False) -> Choice:
        return _choice(
            of, index, effective, kept=kept, work=work, reviewers=reviewers, delay_s=limits.delay_s,
            rng=playing if play else None,
        )  # fmt: skip

    chosen = None if picked is None else choice(tested, picked, kept=promised is not None, play=True)
    nearest = None
    if chosen is None:
        closest = _closest(tested, limits, promised)
        nearest = choice(tested, closest, kept=promised is not None and closest < promised.passed, play=True)
    places = dict.fromkeys(frontier.at_reviews(reviews) for reviews in (0.0, *SHOWN_REVIEWS))
    shown = tuple(choice(frontier, place, kept=False) for place in places)
    if chosen:
        chosen = _with_clusters(chosen, sales, thresholds)
    if nearest:
        nearest = _with_clusters(nearest, sales, thresholds)
    told = chosen or nearest
    return Tuning(
        sales, thresholds, objective, limits, frontier, promised, chosen, nearest, why, shown, work,
        _baseline(sales, told, thresholds) if told else None, seed,
        (
            *sales.notes,
            *(promised.warnings if promised else ()),
            *_cluster_note(sales, promised, chosen, thresholds),
        ),
    )  # fmt: skip


def _check(
    sales: SalesToTune, objective: Objective, limits: Limits, work: ReviewWork | None, reviewers: int | None
) -> None:
    asked = {
        "--objective cost": objective == "cost",
        "--objective delay": objective == "delay",
        "--max-cost": limits.cost_usd_per_1000_sales is not None,
        "--max-delay": limits.delay_s is not None,
        "--reviewers": reviewers is not None,
    }
    name = next((name for name, is_asked in asked.items() if is_asked), None)
    if name and work is None:
        raise InputError(
            name,
            "",
            "needs to know how many sales end in an hour",
            "add a column leaves_s, or --sales-per-hour",
        )
    if (asked["--objective cost"] or asked["--max-cost"]) and sales.lost_usd is None:
        raise InputError(
            sales.source, "value", "no money is known", "name the column of what an escape loses with --value"
        )
    if objective == "delay" and reviewers is None:
        raise InputError("--objective", "", "delay needs a size of the desk", "give --reviewers")
    if reviewers is not None and reviewers < 1:
        raise InputError("--reviewers", "", f"{reviewers}, expected at least 1")


def _pick(
    tested: Frontier,
    among: np.ndarray,
    objective: Objective,
    limits: Limits,
    work: ReviewWork | None,
    reviewers: int | None,
    promised: Promise | None,
) -> tuple[int | None, str]:
    """Index of the choice, and why; None where nothing is left."""
    if promised is not None and not len(among):
        return None, _why_no_promise(promised)
    reviews = tested.reviews_per_1000_sales[among]
    allowed = np.ones(len(among), dtype=bool)
    if limits.reviews_per_1000_sales is not None:
        allowed &= reviews <= limits.reviews_per_1000_sales
    cost = delay = None
    if work is not None and (objective == "cost" or limits.cost_usd_per_1000_sales is not None):
        cost = _costs(tested, work, reviewers, limits.delay_s)[among]
        if limits.cost_usd_per_1000_sales is not None:
            allowed &= cost <= limits.cost_usd_per_1000_sales
        allowed &= np.isfinite(cost)
    if work is not None and reviewers is not None and (objective == "delay" or limits.delay_s is not None):
        delay = _delays(reviews, work, reviewers)
        allowed &= np.isfinite(delay) if limits.delay_s is None else delay <= limits.delay_s
    if not allowed.any():
        least = float(reviews.min())
        kept = "promised choices need" if promised else "choices need"
        return (
            None,
            f"nothing is left within the other limits: the {kept} at least {least:.1f} reviews per 1,000 sales",
        )
    rows = np.flatnonzero(allowed)
    escapes = tested.escapes[among]
    if objective == "cost" and cost is not None:
        order = np.lexsort((reviews[rows], cost[rows]))
        why = "cheapest"
    elif objective == "delay" and delay is not None:
        order = np.lexsort((reviews[rows], escapes[rows], delay[rows]))
        why = "soonest receipts"
    elif promised is None:
        order = np.lexsort((reviews[rows], escapes[rows]))
        why = "fewest escapes"
    else:
        order = np.lexsort((escapes[rows], reviews[rows]))
        why = "fewest reviews"
    of = (
        "choices that are promised to keep the limit"
        if promised
        else "choices within the limits; nothing is promised"
    )
    return int(among[rows[order[0]]]), f"{why} of the {len(rows):,} {of}"


def _why_no_promise(promised: Promise) -> str:
    limit = f"{promised.limit_per_1000_sales:g} escapes per 1,000 sales with {100 * promised.confidence:g} % confidence"
    if promised.allowed_escapes < 0:
        return (
            f"{promised.sales:,} sales are too few to promise at most {limit}: that takes at least "
            f"{promised.needed_sales:,} without a single escape"
        )
    nearest = promised.nearest
    return (
        f"no threshold can be promised to keep to {limit}: the test allows {promised.allowed_escapes:,} escapes among "
        f"{promised.sales:,} sales, and the strictest choice lets {int(promised.sequence.escapes[nearest]):,} pass; "
        f"named beforehand it could promise {promised.bound_per_1000_sales(nearest):.2f} per 1,000"
    )


def _costs(tested: Frontier, work: ReviewWork, reviewers: int | None, delay_s: float | None) -> np.ndarray:
    if reviewers is None:
        return costs_along(tested, work, delay_s)
    wages = PER * reviewers * work.open_hours * work.wage_usd_per_hour / work.sales_per_day
    lost = tested.lost_usd_per_1000_sales
    return np.full(len(tested), wages) if lost is None else wages + lost


def _delays(reviews: np.ndarray, work: ReviewWork, reviewers: int) -> np.ndarray:
    distinct, back = np.unique(reviews, return_inverse=True)
    # The delay only grows with the reviews: once the desk is overloaded it stays so.
    found = np.full(len(distinct), np.inf)
    for place, rate in enumerate(distinct.tolist()):
        found[place] = time_to_receipt_s(work, rate / PER, reviewers)
        if np.isinf(found[place]):
            break
    return np.asarray(found[back])


def _effective(sales: SalesToTune, promised: Promise | None) -> float:
    """Independent sales that one of these is worth, for the intervals."""
    if promised is not None:
        return promised.effective_sales / promised.sales
    rate = max(sales.wrong_share, 1.0 / len(sales))
    clusters = clusters_of(sales, rate, 0.975)
    return 1.0 if clusters is None else clusters.effective_sales / len(sales)


def _closest(tested: Frontier, limits: Limits, promised: Promise | None) -> int:
    if promised is not None and not promised.kept:
        return promised.nearest
    if promised is not None and promised.chosen is not None:
        return promised.chosen
    return tested.at_reviews(limits.reviews_per_1000_sales or 0.0)


def _choice(
    of: Frontier,
    index: int,
    effective: float,
    *,
    kept: bool,
    work: ReviewWork | None,
    reviewers: int | None,
    delay_s: float | None,
    rng: np.random.Generator | None,
) -> Choice:
    reviews, escapes = float(of.reviews_per_1000_sales[index]), float(of.escapes_per_1000_sales[index])
    lost = None if of.lost_usd_per_1000_sales is None else float(of.lost_usd_per_1000_sales[index])

    def band(count: int) -> tuple[float, float]:
        low, high = interval(count * effective, of.sales * effective)
        return PER * low, PER * high

    desk = None
    if work is not None:
        try:
            desk = desk_for(work, reviews, lost, reviewers=reviewers, target_s=delay_s, rng=rng)
        except InputError:
            # The target is out of reach for so many reviews: there is no such desk, and the table shows a dash.
            desk = None
    return Choice(
        dict(zip(of.columns, of.thresholds[index].tolist(), strict=True)), kept, reviews,
        band(int(of.reviews[index])), escapes, band(int(of.escapes[index])), lost, desk,
    )  # fmt: skip


def _reviewed(sales: SalesToTune, choice: Choice, thresholds: Thresholds) -> np.ndarray:
    given = np.array(list(choice.thresholds.values()))
    if thresholds == "group":
        assert sales.group is not None
        return np.asarray(sales.lowest < given[sales.group])
    return np.asarray((sales.confidences < given).any(axis=1))


def _escapes(sales: SalesToTune, choice: Choice, thresholds: Thresholds) -> np.ndarray:
    if thresholds == "one":
        return np.asarray(sales.wrong & (sales.caught_by >= next(iter(choice.thresholds.values()))))
    return np.asarray(sales.wrong & ~_reviewed(sales, choice, thresholds))


def _with_clusters(choice: Choice, sales: SalesToTune, thresholds: Thresholds) -> Choice:
    """The choice with what it does in each day or recording, and an interval of the reviews that knows of them."""
    if sales.cluster is None:
        return choice
    size, escapes = _by_cluster(sales, _escapes(sales, choice, thresholds))
    low, high = np.quantile(PER * escapes / size, (0.05, 0.95)).tolist()
    _, reviews = _by_cluster(sales, _reviewed(sales, choice, thresholds))
    band = choice.reviews_interval
    if len(size) > 1:
        from scipy.special import stdtrit

        rate, k = reviews.sum() / size.sum(), len(size)
        spread = np.sqrt(k / (k - 1) * ((reviews - rate * size) ** 2).sum()) / size.sum()
        half = float(stdtrit(k - 1, 0.975) * spread)
        middle = choice.reviews_per_1000_sales / PER
        band = (PER * max(0.0, middle - half), PER * min(1.0, middle + half))
    return replace(choice, by_cluster=(low, high), reviews_interval=band)


def _by_cluster(sales: SalesToTune, marked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sales of each day or recording, and how many of them are marked."""
    assert sales.cluster is not None
    size = np.bincount(sales.cluster)
    counts = np.bincount(sales.cluster, weights=marked, minlength=len(size))
    return size[size > 0], counts[size > 0]


def _cluster_note(
    sales: SalesToTune, promised: Promise | None, chosen: Choice | None, thresholds: Thresholds
) -> list[str]:
    if sales.cluster is None or promised is None or chosen is None:
        return []
    size, escapes = _by_cluster(sales, _escapes(sales, chosen, thresholds))
    over = int((PER * escapes / size > promised.limit_per_1000_sales).sum())
    return [
        f"the promise is for the mean over such {sales.cluster_name}s: {over:,} of {len(size):,} go over the limit by "
        "themselves"
    ]


def _baseline(sales: SalesToTune, choice: Choice, thresholds: Thresholds) -> Baseline:
    """What `checkout monitor` compares with later."""
    doubted = {}
    if thresholds != "group":
        given = choice.thresholds
        doubted = {
            name: int((column < given[name]).sum())
            for name, column in zip(sales.aspects, sales.confidences.T, strict=True)
        }
    groups = {}
    if sales.group is not None:
        sizes = np.bincount(sales.group, minlength=len(sales.group_names))
        escapes = np.bincount(sales.group, weights=_escapes(sales, choice, thresholds), minlength=len(sizes))
        groups = {
            name: (int(n), int(e)) for name, n, e in zip(sales.group_names, sizes, escapes, strict=True)
        }
    return Baseline(
        float(len(sales)), dict(choice.thresholds) if doubted else {}, doubted, sales.group_column, groups
    )
