"""Replications: what one is, how many it takes, and how they are run and kept.

A replication is the days of the scenario's calendar; those of the warm-up are simulated and not counted.
Its random numbers come from `SeedSequence(seed, spawn_key=(replication, source, ...))`: the shoppers of each
day, the flow, and the version of the profile have streams of their own, so every flow serves the same
shoppers (common random numbers) and no number depends on who computes it or in which order.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from checkout.errors import InputError, nearest
from checkout.profile import PerceptionProfile, ResampledProfile
from sim.engines import Engine, WorkersLost
from sim.estimates import Estimate
from sim.flows import PERCEIVING, flows_of, make_flow
from sim.results import METRICS, ONCE_A_SALE, Replication
from sim.scenario import Scenario
from sim.shoppers import Plans, draw_shoppers
from sim.store import Store

SHOPPERS, PROFILE, FLOW = 0, 1, 2
Progress = Callable[[str, float], None]
PROFILE_FREE = (
    "visit_mean_s", "visit_p95_s", "wait_mean_s", "wait_p95_s", "entry_wait_mean_s", "entry_wait_p95_s",
    "lane_wait_mean_s", "lane_wait_p95_s", "lost_visits_per_1000_visits", "people_inside_mean",
)  # fmt: skip
"""Metrics that perception cannot change: nobody in the store waits for it."""
BLOCK = 4
"""Replications that share two versions of the profile; replications are added in blocks."""


def profile_version(replication: int) -> int:
    """Which drawn version of the profile a replication uses: 0 1 0 1, 2 3 2 3, ...

    Each version serves two independent days, so that the spread between versions (too few judged
    events) can be told from the spread between days (too few replications).
    """
    return 2 * (replication // BLOCK) + replication % 2


def stream(seed: int, *key: int) -> np.random.SeedSequence:
    """The random stream of one source in one replication: `key` is (replication, source, ...)."""
    return np.random.SeedSequence(seed, spawn_key=key)


class _DrawnProfile:
    """A profile whose version is drawn from a stream of its own, not from the flow's."""

    def __init__(self, profile: PerceptionProfile, version: np.random.SeedSequence) -> None:
        self._profile, self._version = profile, version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._profile, name)

    def resample(self, rng: np.random.Generator) -> ResampledProfile:
        """The version that the replication was given; `rng` is not used."""
        return self._profile.resample(np.random.default_rng(self._version))


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
    if profile is not None:
        drawn = _DrawnProfile(profile, stream(seed, profile_version(replication), PROFILE))
        profile = cast(PerceptionProfile, drawn)
    selling = make_flow(flow, store, profile, stream(seed, replication, FLOW))
    store.run(_days(scenario, seed, replication), selling)
    return Replication(store.tally, store.person_seconds, scenario.economics.open_days_per_year)


def _days(scenario: Scenario, seed: int, replication: int) -> Iterator[Plans]:
    """The shoppers of each day, warm-up first; a day's do not depend on how many days there are."""
    calendar = scenario.calendar
    for day in range(calendar.warm_up_days + calendar.days):
        own = np.random.default_rng(stream(seed, replication, SHOPPERS, day))
        yield draw_shoppers(scenario, own, day)


@dataclass(frozen=True)
class Run:
    """All replications of one flow in one scenario with one seed; the key says what it is to the bit."""

    scenario: Scenario
    flow: str
    profile: PerceptionProfile | None
    seed: int
    profile_hash: str | None

    @cached_property
    def key(self) -> str:
        """Name made from the hashes of scenario and profile, the seed, the flow, and the code version."""
        parts = [self.scenario_hash, self.flow, self.profile_hash, self.seed, code_version()]
        return "r" + _digest(json.dumps(parts))

    @cached_property
    def scenario_hash(self) -> str:
        layout = self.settings["shelves"]["layout"]
        file = Path(layout)
        content = file.read_text(encoding="utf-8") if file.suffix else ""
        return _digest(json.dumps([self.settings, content], sort_keys=True))

    @property
    def settings(self) -> dict[str, Any]:
        """The whole scenario, as in its file."""
        return self.scenario.model_dump(mode="json", by_alias=True)

    def depends_on_profile(self, metric: str) -> bool:
        """Whether another version of the perception profile can change the metric."""
        return self.profile is not None and metric not in PROFILE_FREE


def runs_of(
    scenarios: Sequence[Scenario], flows: Sequence[str], profile: PerceptionProfile | None, seed: int
) -> list[list[Run]]:
    """For each scenario the runs of all flows, checked before anything is simulated.

    Raises:
        InputError: the seed is negative, or a flow is unknown, named twice, or lacks its profile.
    """
    if seed < 0:
        raise InputError("--seed", "", f"{seed} is negative, expected 0 or more")
    if not flows or len(set(flows)) < len(flows):
        raise InputError(
            "--flows", "", f"{', '.join(flows) or 'nothing'!r}, expected different flows", "name each once"
        )
    perceiving = [any(single in PERCEIVING for single in flows_of(flow)) for flow in flows]
    hashed = profile_digest(profile) if profile is not None and any(perceiving) else None
    for scenario in scenarios:
        for flow in flows:
            make_flow(flow, Store(scenario), profile, np.random.SeedSequence(seed))
    return [
        [
            Run(scenario, flow, profile if sees else None, seed, hashed if sees else None)
            for flow, sees in zip(flows, perceiving, strict=True)
        ]
        for scenario in scenarios
    ]


def profile_digest(profile: PerceptionProfile) -> str:
    """Hash of everything in a profile that a simulation draws from."""
    tables = (profile.judged.to_csv(index=False), profile.phantoms.to_csv(index=False))
    numbers = (repr(profile.shopper_minutes), repr(profile.error_odds))
    return _digest(json.dumps([profile.detector, *numbers, *tables]))


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version and a hash of the code that shapes a replication, with what it stands on."""
    import simpy

    import checkout

    here, there = Path(__file__).parent, Path(checkout.__file__).parent
    inputs = (f for f in here.rglob("*") if f.is_file() and f.suffix != ".pyc")
    code = hashlib.sha256()
    for file in [*sorted(inputs), *sorted(there.glob("*.py"))]:
        code.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    stands_on = f"{platform.python_version()} {np.__version__} {simpy.__version__}"
    return f"{checkout.__version__}+{_digest(code.hexdigest() + stands_on)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Outcome:
    """What came of one replication.

    Attributes:
        table: the sales table, when it was asked for, with the column `profile_version`.
    """

    replication: int
    metrics: Mapping[str, float | None]
    visits: int
    sales: int
    table: Mapping[str, np.ndarray] | None = field(default=None, repr=False)


def run_replication(run: Run, replication: int, with_table: bool, code: str) -> Outcome:
    """One replication wherever the engine puts it.

    Raises:
        InputError: this machine runs other code than the one that asks.
    """
    if code_version() != code:
        raise InputError(
            "--scheduler",
            "",
            f"a worker runs code {code_version()}, this machine {code}",
            "install the same versions of checkout-simulator, numpy, simpy and Python there",
        )
    done = replicate(run.scenario, run.flow, run.profile, run.seed, replication, keep_sales=with_table)
    table = None
    if with_table:
        version = np.full(len(done.table["sale"]), profile_version(replication), np.int32)
        table = done.table | {"profile_version": version}
    return Outcome(replication, done.metrics(), done.visits, done.sales, table)


class Outcomes:
    """The metrics of a run's replications as they come in, in any order; memory of one row each."""

    def __init__(self) -> None:
        self._metrics = np.full((BLOCK, len(METRICS)), np.nan)
        self._counts = np.full((BLOCK, 2), -1)

    def add(self, outcome: Outcome) -> None:
        while outcome.replication >= len(self._counts):
            self._metrics = np.vstack([self._metrics, np.full_like(self._metrics, np.nan)])
            self._counts = np.vstack([self._counts, np.full_like(self._counts, -1)])
        values = [outcome.metrics[name] for name in METRICS]
        self._metrics[outcome.replication] = [np.nan if v is None else v for v in values]
        self._counts[outcome.replication] = outcome.visits, outcome.sales

    def has(self, replication: int) -> bool:
        return replication < len(self._counts) and self._counts[replication, 0] >= 0

    def done(self, wanted: int) -> int:
        """How many of the first `wanted` replications are here."""
        return int((self._counts[:wanted, 0] >= 0).sum())

    def metric(self, name: str, replications: int) -> np.ndarray:
        """Values of the first replications, float [replications]; NaN where there is none."""
        return self._metrics[:replications, METRICS.index(name)]

    def sales(self, replication: int) -> int:
        return int(self._counts[replication, 1])

    def totals(self, replications: int) -> tuple[int, int]:
        """Visits and sales of the first replications."""
        visits, sales = self._counts[:replications].sum(axis=0).tolist()
        return visits, sales


def bounds(metric: str) -> tuple[float, float]:
    """What a metric cannot be under or over: none is negative, and what a sale can be once is at most 1,000."""
    return 0.0, 1000.0 if metric in ONCE_A_SALE else math.inf


def estimate(
    values: np.ndarray, depends_on_profile: bool, *, within: tuple[float, float] = (-math.inf, math.inf)
) -> Estimate | None:
    """The estimate from one value a replication, in their order; None when all are NaN."""
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        return None
    versions = [profile_version(int(i)) for i in there] if depends_on_profile else None
    return Estimate.of(values[there].tolist(), versions, within=within)


@dataclass(frozen=True)
class Fixed:
    """A number of replications named beforehand."""

    replications: int

    def __post_init__(self) -> None:
        if self.replications < 1:
            raise InputError("--replications", "", f"{self.replications}, expected at least 1")

    def first(self) -> int:
        return self.replications

    def more(self, replications: int, found: Sequence[tuple[Run, Outcomes]]) -> int:
        return replications

    def to_dict(self, replications: int, found: Sequence[tuple[Run, Outcomes]]) -> dict[str, Any]:
        return {"rule": "fixed number of replications", "replications": self.replications}


@dataclass(frozen=True)
class Precision:
    """Replications until a metric's simulation interval is narrow enough: sequential stopping.

    With g the precision, replications are added until the half-width of `simulation_ci95` is at most
    g / (1 + g) of the mean, so that the mean lies within g of the true one (Law 2015, Simulation
    Modeling and Analysis, 9.4.1). After each look the number still needed is foreseen from the
    half-width, at most doubled, and rounded up to whole blocks; it never depends on the engine. The
    profile's own sampling error is no part of the rule: no number of replications makes it smaller.
    Looking repeatedly makes the final interval a little too narrow; `least` keeps that small.

    Attributes:
        relative: the precision, for example 0.05.
        metric: of every flow that has it, the metric that must be precise.
    """

    relative: float
    metric: str = "reviews_per_1000_sales"
    least: int = 12
    most: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.relative < 1:
            raise InputError(
                "--precision", "", f"{self.relative:.6g}, expected a share between 0 and 1", "for example 5%"
            )
        if self.metric not in METRICS:
            raise InputError(
                "--metric", "", f"{self.metric!r} is not a metric", nearest(self.metric, METRICS)
            )
        if not BLOCK <= self.least <= self.most:
            raise InputError(
                "--least", "", f"{self.least}, expected at least {BLOCK} and at most --most ({self.most})"
            )

    def first(self) -> int:
        return self.least

    def more(self, replications: int, found: Sequence[tuple[Run, Outcomes]]) -> int:
        """How many replications are wanted now that so many are done."""
        shares = self._shares(replications, found)
        wanted = replications
        for share in shares.values():
            if share > self._allowed:
                foreseen = replications * (share / self._allowed) ** 2
                wanted = max(wanted, replications + BLOCK, math.ceil(min(foreseen, 2 * replications)))
        return min(self.most, BLOCK * math.ceil(wanted / BLOCK)) if wanted > replications else replications

    @property
    def _allowed(self) -> float:
        return self.relative / (1 + self.relative)

    def _shares(self, replications: int, found: Sequence[tuple[Run, Outcomes]]) -> dict[str, float]:
        """Of each flow that has the metric, the half-width as a share of the mean."""
        shares = {}
        for run, outcomes in found:
            known = estimate(
                outcomes.metric(self.metric, replications),
                run.depends_on_profile(self.metric),
            )
            if known is not None:
                half = known.simulation_half_width
                # No share of zero is known, however many zeros there are.
                shares[run.flow] = half / abs(known.mean) if known.mean else math.inf
        if not shares:
            outcomes = found[0][1]
            had = [m for m in METRICS if not np.isnan(outcomes.metric(m, replications)).all()]
            raise InputError(
                "--metric",
                "",
                f"{', '.join(run.flow for run, _ in found)} has no {self.metric}",
                f"choose one of {', '.join(had)}" if had else "no replication has a sale",
            )
        return shares

    def to_dict(self, replications: int, found: Sequence[tuple[Run, Outcomes]]) -> dict[str, Any]:
        shares = self._shares(replications, found)
        return {
            "rule": "sequential, half-width of simulation_ci95 at most g / (1 + g) of the mean (Law 2015, 9.4.1)",
            "metric": self.metric,
            "precision": self.relative,
            "least": self.least,
            "most": self.most,
            "half_width_share": {
                flow: share if np.isfinite(share) else None for flow, share in shares.items()
            },
            "reached": all(share <= self._allowed for share in shares.values()),
        }


Stopping = Fixed | Precision


class Keeper(Protocol):
    """Where replications are kept as they are done, so that a stopped run can go on."""

    with_tables: bool
    place: str

    def kept(self, run: Run) -> Iterable[Outcome]:
        """What was kept of a run before, without the tables."""

    def keep(self, run: Run, outcome: Outcome) -> None:
        """Keep one replication, whole or not at all; raises `OSError` when it cannot be written."""


class RunStopped(Exception):
    """A run that could not go on; the message says why and what is kept."""


def run_all(
    groups: Sequence[Sequence[Run]],
    stopping: Stopping,
    engine: Engine,
    *,
    keeper: Keeper | None = None,
    tables: dict[tuple[str, int], Mapping[str, np.ndarray]] | None = None,
    progress: Progress | None = None,
    what: str = "replications",
) -> list[tuple[int, list[Outcomes]]]:
    """Run what is not kept yet; the runs of a group have the same number of replications.

    Args:
        tables: filled with the sales tables by flow and replication, for a single group.

    Returns:
        Of each group the number of replications, and the outcomes of each of its runs.

    Raises:
        InputError: an input cannot be used.
        RunStopped: the workers were lost or the disk is full; what was done is kept.
    """
    found = [[_kept(keeper, run) for run in group] for group in groups]
    wanted = [stopping.first() for _ in groups]
    while True:
        _run_missing(groups, found, wanted, engine, keeper, tables, progress, what)
        more = [
            stopping.more(n, list(zip(group, outcomes, strict=True)))
            for n, group, outcomes in zip(wanted, groups, found, strict=True)
        ]
        if more == wanted:
            return list(zip(wanted, found, strict=True))
        wanted = more


def _kept(keeper: Keeper | None, run: Run) -> Outcomes:
    outcomes = Outcomes()
    for outcome in keeper.kept(run) if keeper else ():
        outcomes.add(outcome)
    return outcomes


def _run_missing(
    groups: Sequence[Sequence[Run]],
    found: Sequence[Sequence[Outcomes]],
    wanted: Sequence[int],
    engine: Engine,
    keeper: Keeper | None,
    tables: dict[tuple[str, int], Mapping[str, np.ndarray]] | None,
    progress: Progress | None,
    what: str,
) -> None:
    total = sum(n * len(group) for n, group in zip(wanted, groups, strict=True))
    done = sum(o.done(n) for n, outcomes in zip(wanted, found, strict=True) for o in outcomes)
    if done == total:
        return
    with_table = tables is not None or (keeper is not None and keeper.with_tables)
    code = code_version()

    def jobs() -> Iterator[tuple[int, int, Run, int, bool, str]]:
        for g, (n, group) in enumerate(zip(wanted, groups, strict=True)):
            for replication in range(n):
                for r, run in enumerate(group):
                    if not found[g][r].has(replication):
                        yield g, r, run, replication, with_table, code

    try:
        for g, r, outcome in engine.run(_placed, jobs()):
            if keeper is not None:
                keeper.keep(groups[g][r], outcome)
            if tables is not None and outcome.table is not None:
                tables[groups[g][r].flow, outcome.replication] = outcome.table
            found[g][r].add(outcome)
            done += 1
            if progress:
                progress(what, done / total)
    except (WorkersLost, OSError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        kept = (
            f"{done} of {total} replications are kept in {keeper.place}, marked incomplete; "
            "run the same command with --resume to go on"
            if keeper
            else f"{done} of {total} replications were done and none is kept; --sales DIR keeps them"
        )
        raise RunStopped(f"{why}; {kept}") from error


def _placed(
    group: int, place: int, run: Run, replication: int, with_table: bool, code: str
) -> tuple[int, int, Outcome]:
    return group, place, run_replication(run, replication, with_table, code)
