"""Simulate one way of selling, or compare several on the same shoppers.

How replications are made, counted, run and kept: `sim.replications`; the intervals: `sim.estimates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.engines import Engine
from sim.estimates import Estimate
from sim.flows import FLOWS, PERCEIVING, flows_of
from sim.replications import (
    Fixed,
    Outcomes,
    Precision,
    Progress,
    Run,
    Stopping,
    bounds,
    estimate,
    profile_version,
    replicate,
    run_all,
    runs_of,
)
from sim.results import METRICS
from sim.runs_index import RunsIndex
from sim.sales_store import SalesStore, describe
from sim.scenario import Scenario

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "FlowResult",
    "Precision",
    "basket_curve",
    "compare",
    "needs_profile",
    "replicate",
    "simulate",
    "threshold_curve",
]
COLUMNS = ("mean", "low", "high", "simulation_low", "simulation_high", "method")


@dataclass(frozen=True)
class FlowResult:
    """One flow in one scenario: each metric's value in every replication, and the estimates.

    Attributes:
        stopping: by which rule the number of replications was found.
        tables: the sales table of each replication, when they were kept in memory.
    """

    run: Run = field(repr=False)
    outcomes: Outcomes = field(repr=False)
    replications: int
    stopping: Mapping[str, Any]
    tables: tuple[pd.DataFrame, ...] = field(default=(), repr=False)

    @property
    def scenario(self) -> str:
        return self.run.scenario.name

    @property
    def flow(self) -> str:
        return self.run.flow

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def visits(self) -> int:
        return self.outcomes.totals(self.replications)[0]

    @property
    def sales(self) -> int:
        return self.outcomes.totals(self.replications)[1]

    @property
    def without_sales(self) -> int:
        """How many replications sold nothing, and so have no rates."""
        return sum(self.outcomes.sales(i) == 0 for i in range(self.replications))

    @property
    def values(self) -> dict[str, list[float | None]]:
        """Each metric's value in every replication; None where there is none."""
        found = {name: self.metric(name).tolist() for name in METRICS}
        return {name: [None if v != v else v for v in values] for name, values in found.items()}

    def metric(self, name: str) -> np.ndarray:
        """A metric's value in every replication, float [replications]; NaN where there is none."""
        return self.outcomes.metric(name, self.replications)

    def estimate(self, metric: str) -> Estimate | None:
        """The estimate of a metric; None when the flow does not have it."""
        depends = self.run.depends_on_profile(metric)
        return estimate(self.metric(metric), depends, within=bounds(metric))

    def estimates(self) -> dict[str, Any]:
        """Every metric's estimate as JSON has it; None for a metric that the flow does not have."""
        found = {name: self.estimate(name) for name in METRICS}
        return {name: e.to_dict() if e else None for name, e in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """The shape that `simulate --json` prints."""
        return {
            "scenario": self.scenario,
            "flow": self.flow,
            "seed": self.seed,
            "replications": self.replications,
            "stopping": dict(self.stopping),
            "visits": self.visits,
            "sales": self.sales,
            "metrics": self.estimates(),
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a metric: flow, metric, mean, low, high, simulation_low, simulation_high, method."""
        rows = [
            (self.flow, name, *_numbers(found))
            for name in METRICS
            if (found := self.estimate(name)) is not None
        ]
        return pd.DataFrame(rows, columns=["flow", "metric", *COLUMNS])

    def sales_table(self) -> pd.DataFrame:
        """Every visit of every replication, when the tables were kept."""
        if not self.tables:
            raise ValueError("the visits were not kept; simulate with keep_sales=True")
        return pd.concat(
            [table.assign(flow=self.flow, replication=i) for i, table in enumerate(self.tables)],
            ignore_index=True,
        )


def _numbers(found: Estimate) -> tuple[Any, ...]:
    none = (np.nan, np.nan)
    return found.mean, *(found.ci95 or none), *(found.simulation_ci95 or none), found.method


@dataclass(frozen=True)
class Difference:
    """Flow `a` less flow `b` on the same shoppers: the estimate of the differences by replication."""

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
                    difference = self.difference(metric, a, b)
                    if difference is not None:
                        found.append(difference)
        return found

    def difference(self, metric: str, a: str, b: str) -> Difference | None:
        """The paired difference of one metric; None unless both flows have it."""
        x, y = self.flows[a], self.flows[b]
        depends = x.run.depends_on_profile(metric) or y.run.depends_on_profile(metric)
        found = estimate(x.metric(metric) - y.metric(metric), depends)
        return None if found is None else Difference(metric, a, b, found)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `compare --json` prints."""
        return {
            "flows": {name: result.to_dict() for name, result in self.flows.items()},
            "differences": [d.to_dict() for d in self.differences],
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a flow and metric, as `FlowResult.to_pandas`."""
        return pd.concat([r.to_pandas() for r in self.flows.values()], ignore_index=True)

    def differences_to_pandas(self) -> pd.DataFrame:
        """One row a metric and pair of flows: metric, a, b, mean (of a less b) and its intervals."""
        rows = [(d.metric, d.a, d.b, *_numbers(d.estimate)) for d in self.differences]
        return pd.DataFrame(rows, columns=["metric", "a", "b", *COLUMNS])


def simulate(
    scenario: Scenario,
    flow: str,
    profile: PerceptionProfile | None = None,
    *,
    replications: int | Precision = 20,
    seed: int = 1,
    workers: int = 1,
    scheduler: str | None = None,
    keep_sales: bool = False,
    sales: str | Path | None = None,
    index: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> FlowResult:
    """Simulate one flow of a scenario.

    Args:
        profile: what perception does; only flows that perceive need it.
        replications: how many, or how precise the result must be.
        workers: processes; the numbers are the same for any number of them.
        scheduler: address of a Dask scheduler whose workers run the replications instead.
        keep_sales: keep every visit in memory (`FlowResult.sales_table`).
        sales: folder of a data set to which every visit is written (`sim.read_sales`).
        index: SQLite file or database URL where the run is entered (`sim.list_runs`).
        resume: go on with what `sales` holds of this run.
        force: replace what `sales` holds of this run.

    Raises:
        InputError: the flow is unknown, or lacks its profile, or a setting cannot be.
        RunStopped: the workers were lost or the disk is full; what was done is in `sales`.
    """
    if keep_sales and sales is not None:
        raise InputError("keep_sales", "", "is for memory, sales for the disk", "choose one")
    runs = runs_of([scenario], [flow], profile, seed)[0]
    results = _run_group(
        runs, _stopping(replications), Engine(workers, scheduler), keep_sales=keep_sales, sales=sales,
        index=index, resume=resume, force=force, progress=progress,
    )  # fmt: skip
    return results[0]


def compare(
    scenario: Scenario,
    flows: Sequence[str] = FLOWS,
    profile: PerceptionProfile | None = None,
    *,
    replications: int | Precision = 20,
    seed: int = 1,
    workers: int = 1,
    scheduler: str | None = None,
    sales: str | Path | None = None,
    index: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Simulate several flows with the same shoppers, as often each; arguments as for `simulate`."""
    runs = runs_of([scenario], flows, profile, seed)[0]
    results = _run_group(
        runs, _stopping(replications), Engine(workers, scheduler), sales=sales, index=index, resume=resume,
        force=force, progress=progress,
    )  # fmt: skip
    return Comparison({result.flow: result for result in results})


def _stopping(replications: int | Precision) -> Stopping:
    return Fixed(replications) if isinstance(replications, int) else replications


def _run_group(
    runs: Sequence[Run],
    stopping: Stopping,
    engine: Engine,
    *,
    keep_sales: bool = False,
    sales: str | Path | None = None,
    index: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> list[FlowResult]:
    with RunsKept(runs, sales, index, resume=resume, force=force) as kept:
        tables: dict[tuple[str, int], Mapping[str, np.ndarray]] | None = {} if keep_sales else None
        what = f"{runs[0].scenario.name}: {', '.join(run.flow for run in runs)}"
        ((replications, outcomes),) = run_all(
            [runs], stopping, engine, keeper=kept.store, tables=tables, progress=progress, what=what
        )
        results = collected(runs, outcomes, replications, stopping, tables)
        kept.finish(results)
    return results


def collected(
    runs: Sequence[Run],
    outcomes: Sequence[Outcomes],
    replications: int,
    stopping: Stopping,
    tables: Mapping[tuple[str, int], Mapping[str, np.ndarray]] | None = None,
) -> list[FlowResult]:
    """The results of runs that have the same shoppers."""
    rule = stopping.to_dict(replications, list(zip(runs, outcomes, strict=True)))
    return [
        FlowResult(
            run,
            found,
            replications,
            rule,
            tuple(pd.DataFrame(dict(tables[run.flow, i])) for i in range(replications)) if tables else (),
        )
        for run, found in zip(runs, outcomes, strict=True)
    ]


class RunsKept:
    """The data set and the index of some runs, while they are simulated."""

    def __init__(
        self, runs: Sequence[Run], sales: str | Path | None, index: str | None, *, resume: bool, force: bool
    ) -> None:
        if resume and sales is None:
            raise InputError("--resume", "", "goes on with a data set", "name it with --sales DIR")
        self._index = RunsIndex(index) if index else None
        self.store = SalesStore.open(sales, runs, resume=resume, force=force) if sales is not None else None
        for run in runs if self._index else ():
            self._record(describe(run, "incomplete", self.store.folder if self.store else None))

    def __enter__(self) -> RunsKept:
        return self

    def finish(self, results: Sequence[FlowResult]) -> None:
        """Mark the runs complete."""
        for result in results:
            manifest = self.store.finish(result.run, result.estimates()) if self.store else None
            if self._index:
                manifest = manifest or describe(result.run, "complete", None)
                read = {"replications": result.replications, "estimates": result.estimates()}
                self._record(manifest | read)

    def _record(self, manifest: Mapping[str, Any]) -> None:
        assert self._index is not None
        self._index.record(manifest)

    def __exit__(self, *_: object) -> None:
        if self._index:
            self._index.close()


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
    result = simulate(
        never,
        "just-walk-out",
        profile,
        replications=replications,
        seed=seed,
        workers=workers,
        keep_sales=True,
    )
    days = [(i, table) for i, table in enumerate(result.tables) if table["sale"].any()]
    if not days:
        raise InputError(scenario.name, "shoppers.visits_per_day", "no day has a sale to review")
    rows = []
    for threshold in thresholds:
        reviews, escapes = [], []
        for _, table in days:
            sale = table[table["sale"]]
            reviews.append(1000 * float((sale["confidence"] < threshold).mean()))
            escapes.append(1000 * float((sale["wrong"] & (sale["settled_confidence"] >= threshold)).mean()))
        row: dict[str, float] = {"threshold": threshold}
        for name, values in (("reviews_per_1000_sales", reviews), ("escapes_per_1000_sales", escapes)):
            found = Estimate.of(values, [profile_version(i) for i, _ in days])
            low, high = found.ci95 or (np.nan, np.nan)
            row |= {name: found.mean, f"{name}_low": max(0.0, low), f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def needs_profile(flows: Sequence[str]) -> bool:
    """Whether any of the flows perceives."""
    return any(single in PERCEIVING for flow in flows for single in flows_of(flow))
