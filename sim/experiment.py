"""Replications, intervals and comparisons.

Each replication is the days of the scenario's calendar, with its own shoppers and its own version of the
perception profile. A replication's random numbers come from `SeedSequence(seed, spawn_key=(replication,
source))`, so every flow serves the same shoppers (common random numbers), and the numbers do not depend on
how many workers there are. The days of the warm-up are simulated and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.flows import FLOWS, PERCEIVING, flows_of, make_flow
from sim.results import METRICS, Replication, tally
from sim.scenario import Scenario
from sim.shoppers import Plans, draw_shoppers
from sim.store import Store

SHOPPERS, FLOW = 0, 1
CONFIDENCE = 0.95
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Estimate:
    """A mean over replications and its 95 % t-interval; with one replication the interval is None."""

    mean: float
    ci95: tuple[float, float] | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, None)
        from scipy.special import stdtrit

        half = float(
            stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2) * np.std(values, ddof=1) / np.sqrt(len(values))
        )
        return cls(mean, (mean - half, mean + half))

    @property
    def half_width(self) -> float:
        return float("inf") if self.ci95 is None else 0.5 * (self.ci95[1] - self.ci95[0])

    def to_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "ci95": list(self.ci95) if self.ci95 else None}


@dataclass(frozen=True)
class FlowResult:
    """One flow in one scenario: each metric's value in every replication, and the estimates."""

    scenario: str
    flow: str
    seed: int
    visits: int
    sales: int
    values: Mapping[str, list[float | None]]
    tables: tuple[pd.DataFrame, ...] = field(default=(), repr=False)

    @property
    def replications(self) -> int:
        return len(next(iter(self.values.values())))

    def estimate(self, metric: str) -> Estimate | None:
        """The estimate of a metric; None when the flow does not have it."""
        values = tally(self.values[metric])
        return Estimate.of(values) if values else None

    def to_dict(self) -> dict[str, Any]:
        """The shape that `simulate --json` prints."""
        estimates = {name: self.estimate(name) for name in METRICS}
        return {
            "scenario": self.scenario,
            "flow": self.flow,
            "seed": self.seed,
            "replications": self.replications,
            "visits": self.visits,
            "sales": self.sales,
            "metrics": {name: e.to_dict() if e else None for name, e in estimates.items()},
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a metric: flow, metric, mean, low, high."""
        rows = []
        for name in METRICS:
            estimate = self.estimate(name)
            if estimate:
                low, high = estimate.ci95 or (np.nan, np.nan)
                rows.append((self.flow, name, estimate.mean, low, high))
        return pd.DataFrame(rows, columns=["flow", "metric", "mean", "low", "high"])

    def sales_table(self) -> pd.DataFrame:
        """Every visit of every replication, when the tables were kept."""
        if not self.tables:
            raise ValueError("the visits were not kept; simulate with keep_sales=True")
        return pd.concat(
            [table.assign(flow=self.flow, replication=i) for i, table in enumerate(self.tables)],
            ignore_index=True,
        )


@dataclass(frozen=True)
class Difference:
    """Flow `a` less flow `b` on the same shoppers: the paired estimate."""

    metric: str
    a: str
    b: str
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {"metric": self.metric, "a": self.a, "b": self.b, **self.estimate.to_dict()}


@dataclass(frozen=True)
class Comparison:
    """Several flows with the same shoppers."""

    flows: Mapping[str, FlowResult]

    @property
    def differences(self) -> list[Difference]:
        """Paired differences of every metric that both flows have."""
        found = []
        names = list(self.flows)
        for index, a in enumerate(names):
            for b in names[index + 1 :]:
                for metric in METRICS:
                    x, y = self.flows[a].values[metric], self.flows[b].values[metric]
                    pairs = [(p, q) for p, q in zip(x, y, strict=True) if p is not None and q is not None]
                    if pairs:
                        found.append(Difference(metric, a, b, Estimate.of([p - q for p, q in pairs])))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The shape that `compare --json` prints."""
        return {
            "flows": {name: result.to_dict() for name, result in self.flows.items()},
            "differences": [d.to_dict() for d in self.differences],
        }

    def to_pandas(self) -> pd.DataFrame:
        return pd.concat([r.to_pandas() for r in self.flows.values()], ignore_index=True)


def replicate(
    scenario: Scenario,
    flow: str,
    profile: PerceptionProfile | None,
    seed: int,
    replication: int,
    *,
    keep_sales: bool = False,
) -> Replication:
    """The days of one replication of one flow.

    Args:
        keep_sales: keep every visit (`Replication.table`); without it memory does not grow with the days.
    """
    store = Store(scenario, keep_rows=keep_sales)
    selling = make_flow(flow, store, profile, _stream(seed, replication, FLOW))
    store.run(_days(scenario, seed, replication), selling)
    return Replication(store.tally, store.person_seconds, scenario.economics.open_days_per_year)


def _days(scenario: Scenario, seed: int, replication: int) -> Iterator[Plans]:
    """The shoppers of each day, warm-up first; a day's do not depend on how many days there are."""
    calendar = scenario.calendar
    for day in range(calendar.warm_up_days + calendar.days):
        stream = np.random.SeedSequence(seed, spawn_key=(replication, SHOPPERS, day))
        yield draw_shoppers(scenario, np.random.default_rng(stream), day)


def simulate(
    scenario: Scenario,
    flow: str,
    profile: PerceptionProfile | None = None,
    *,
    replications: int = 20,
    seed: int = 1,
    workers: int = 1,
    keep_sales: bool = False,
    progress: Progress | None = None,
) -> FlowResult:
    """Simulate one flow of a scenario.

    Args:
        profile: what perception does; only Just Walk Out needs it.
        workers: processes; the numbers are the same for any number of them.
        keep_sales: keep every visit (`FlowResult.sales_table`).

    Raises:
        InputError: the flow is unknown, or lacks its profile.
    """
    if seed < 0:
        raise InputError("--seed", "", f"{seed} is negative, expected 0 or more")
    if replications < 1:
        raise InputError("--replications", "", f"{replications}, expected at least 1")
    make_flow(flow, Store(scenario), profile, np.random.SeedSequence(seed))
    found = _run(
        [(scenario, flow, profile, seed, i, keep_sales) for i in range(replications)],
        workers,
        f"{scenario.name}: {flow}",
        progress,
    )
    return _collected(scenario, flow, seed, found)


def compare(
    scenario: Scenario,
    flows: Sequence[str] = FLOWS,
    profile: PerceptionProfile | None = None,
    *,
    replications: int = 20,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Simulate several flows with the same shoppers; arguments as for `simulate`."""
    if not flows or len(set(flows)) < len(flows):
        raise InputError(
            "--flows", "", f"{', '.join(flows) or 'nothing'!r}, expected different flows", "name each once"
        )
    results = {}
    for index, flow in enumerate(flows):

        def tell(what: str, share: float, index: int = index) -> None:
            if progress:
                progress(what, (index + share) / len(flows))

        results[flow] = simulate(
            scenario, flow, profile, replications=replications, seed=seed, workers=workers, progress=tell
        )
    return Comparison(results)


def basket_curve(
    scenario: Scenario,
    profile: PerceptionProfile,
    items: Sequence[float],
    *,
    visits_per_day: float | None = None,
    replications: int = 5,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Metrics of every flow against the mean units in a basket.

    The baskets are lognormal with a median of 0.55 of their mean (assumed).
    """
    tables = []
    for index, mean in enumerate(items):
        changed: dict[str, Any] = {
            "shoppers.items": {"distribution": "lognormal", "mean": mean, "median": max(0.51, 0.55 * mean)}
        }
        if visits_per_day:
            changed["shoppers.visits_per_day"] = visits_per_day

        def tell(what: str, share: float, index: int = index) -> None:
            if progress:
                progress("baskets", (index + share) / len(items))

        compared = compare(
            scenario.with_values(changed),
            FLOWS,
            profile,
            replications=replications,
            seed=seed,
            workers=workers,
            progress=tell,
        )
        tables.append(compared.to_pandas().assign(items_mean=mean))
    return pd.concat(tables, ignore_index=True)


def threshold_curve(
    scenario: Scenario,
    profile: PerceptionProfile,
    thresholds: Sequence[float],
    *,
    replications: int = 5,
    seed: int = 1,
    workers: int = 1,
) -> pd.DataFrame:
    """Reviews and escapes per 1,000 sales when all three confidences share one threshold.

    Read off the same draws for every threshold, so reviews never fall and escapes never rise with
    it; columns threshold, reviews_per_1000_sales, escapes_per_1000_sales, each with low and high.
    """
    never = scenario.with_values(
        {f"just_walk_out.review.thresholds.{name}": 0.0 for name in ("item", "action", "shopper")}
    )
    days = _run(
        [(never, "just-walk-out", profile, seed, i, True) for i in range(replications)],
        workers,
        "thresholds",
        None,
    )
    tables = [table for _, table, _ in days if table is not None and table["sale"].any()]
    if not tables:
        raise InputError(scenario.name, "shoppers.visits_per_day", "no day has a sale to review")
    rows = []
    for threshold in thresholds:
        reviews, escapes = [], []
        for table in tables:
            sale = table[table["sale"]]
            reviews.append(1000 * float((sale["confidence"] < threshold).mean()))
            escapes.append(1000 * float((sale["wrong"] & (sale["settled_confidence"] >= threshold)).mean()))
        row: dict[str, float] = {"threshold": threshold}
        for name, values in (("reviews_per_1000_sales", reviews), ("escapes_per_1000_sales", escapes)):
            estimate = Estimate.of(values)
            low, high = estimate.ci95 or (np.nan, np.nan)
            row |= {name: estimate.mean, f"{name}_low": max(0.0, low), f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def needs_profile(flows: Sequence[str]) -> bool:
    """Whether any of the flows perceives."""
    return any(single in PERCEIVING for flow in flows for single in flows_of(flow))


def _stream(seed: int, replication: int, source: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(replication, source))


_Job = tuple[Scenario, str, PerceptionProfile | None, int, int, bool]
_Found = tuple[dict[str, float | None], pd.DataFrame | None, tuple[int, int]]


def _one(job: _Job) -> _Found:
    scenario, flow, profile, seed, replication, keep = job
    done = replicate(scenario, flow, profile, seed, replication, keep_sales=keep)
    table = pd.DataFrame(done.table) if keep else None
    return done.metrics(), table, (done.visits, done.sales)


def _run(jobs: Sequence[_Job], workers: int, what: str, progress: Progress | None) -> list[_Found]:
    from joblib import Parallel, delayed

    found: list[_Found] = []
    results = Parallel(n_jobs=workers, return_as="generator")(delayed(_one)(job) for job in jobs)
    for done, result in enumerate(results, 1):
        found.append(result)
        if progress:
            progress(what, done / len(jobs))
    return found


def _collected(scenario: Scenario, flow: str, seed: int, found: Sequence[_Found]) -> FlowResult:
    values: dict[str, list[float | None]] = {
        name: [metrics[name] for metrics, _, _ in found] for name in METRICS
    }
    return FlowResult(
        scenario.name,
        flow,
        seed,
        sum(counts[0] for _, _, counts in found),
        sum(counts[1] for _, _, counts in found),
        values,
        tuple(table for _, table, _ in found if table is not None),
    )
