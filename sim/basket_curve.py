"""Reviews and cost against the size of the basket, for every way of selling, and where the ways cross.

At each size all flows serve the same shoppers, so the point where two cross has a paired interval: a bootstrap over
versions of the profile with their days, all sizes and both flows drawn together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import FlowResult, compare, needs_profile
from sim.flows import FLOWS
from sim.replications import profile_version
from sim.scenario import Scenario

Progress = Callable[[str, float], None]

SIZES = (1.5, 2.8, 5.0, 10.7, 20.0, 30.0)
MEDIAN_SHARE = 0.55
"""Assumed: the median of a lognormal basket over its mean; it is 0.5 in Complete Journey."""
RESAMPLES = 1000
ATTENTION = ("reviews_per_1000_sales", "interventions_per_1000_sales")
SHOWN = (*ATTENTION, "escapes_per_1000_sales", "cost_per_sale_usd")


@dataclass(frozen=True)
class Crossing:
    """Where two flows cost the same.

    Attributes:
        a, b: flows; `a` is cheaper below `items`.
        items: mean items in a basket. ci95: None on the side that lies beyond the sizes simulated.
        share: of the bootstrap draws that cross at all.
    """

    a: str
    b: str
    items: float
    ci95: tuple[float | None, float | None]
    share: float


@dataclass(frozen=True)
class BasketCurve:
    """Metrics of flows against mean items in a basket.

    Attributes:
        sizes: ascending. results: of each flow, one result a size.
    """

    scenario: str
    sizes: tuple[float, ...]
    results: Mapping[str, tuple[FlowResult, ...]]
    seed: int

    def to_pandas(self) -> pd.DataFrame:
        """One row a size, flow and metric of `SHOWN`: mean with low and high (as `FlowResult.estimate`)."""
        rows = []
        for flow, results in self.results.items():
            for size, result in zip(self.sizes, results, strict=True):
                for metric in SHOWN:
                    estimate = result.estimate(metric)
                    if estimate:
                        rows.append((size, flow, metric, estimate.mean, *(estimate.ci95 or (np.nan, np.nan))))
        return pd.DataFrame(rows, columns=["items_mean", "flow", "metric", "mean", "low", "high"])

    def crossings(self, metric: str = "cost_per_sale_usd") -> list[Crossing]:
        """Every pair of flows that cross, by mean items; linear in the logarithm of the size in between."""
        found = []
        for a, b in combinations(self.results, 2):
            gap = self._values(a, metric) - self._values(b, metric)
            for at in _roots(self.sizes, gap.mean(axis=1)):
                found.append(self._crossing(a, b, gap, at))
        return sorted(found, key=lambda c: c.items)

    def _values(self, flow: str, metric: str) -> np.ndarray:
        values = [result.values[metric] for result in self.results[flow]]
        return np.array(values, float)

    def _crossing(self, a: str, b: str, gap: np.ndarray, at: float) -> Crossing:
        rng = np.random.default_rng([self.seed, 17])
        # Days with one version of the profile are alike, so they are drawn together.
        versions = np.array([profile_version(i) for i in range(gap.shape[1])])
        groups = [np.flatnonzero(versions == version) for version in np.unique(versions)]
        nearest, crossed = [], 0
        for picked in rng.integers(len(groups), size=(RESAMPLES, len(groups))):
            drawn = np.concatenate([groups[pick] for pick in picked])
            roots = _roots(self.sizes, gap[:, drawn].mean(axis=1))
            if roots:
                crossed += 1
                nearest.append(min(roots, key=lambda root: abs(np.log(root / at))))
        low, high = np.quantile(nearest, [0.025, 0.975])
        whole = crossed == RESAMPLES
        below = np.interp(0.99 * at, self.sizes, gap.mean(axis=1)) <= 0
        first, second = (a, b) if below else (b, a)
        bounds = (float(low), float(high)) if whole else (None, None)
        return Crossing(first, second, at, bounds, crossed / RESAMPLES)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `basket-curve --json` prints."""
        return {
            "scenario": self.scenario, "seed": self.seed,
            "interval": "as simulate; crossings: paired bootstrap over versions of the profile and their days",
            "points": self.to_pandas().to_dict(orient="records"),
            "crossings": [
                {"cheaper_below": c.a, "cheaper_above": c.b, "items_mean": c.items, "ci95": list(c.ci95),
                 "share_of_draws": c.share}
                for c in self.crossings()
            ],
        }  # fmt: skip


def _roots(sizes: Sequence[float], gap: np.ndarray) -> list[float]:
    """Sizes at which a gap changes its sign."""
    logs = np.log(sizes)
    # A gap of exactly none counts as the sign after it, so that a crossing on a simulated size is found once.
    positive = gap > 0
    at = np.flatnonzero(positive[:-1] != positive[1:])
    return [float(np.exp(logs[i] + (logs[i + 1] - logs[i]) * gap[i] / (gap[i] - gap[i + 1]))) for i in at]


def basket_curve(
    scenario: Scenario,
    profile: PerceptionProfile | None,
    sizes: Sequence[float] = SIZES,
    flows: Sequence[str] = FLOWS,
    *,
    replications: int = 5,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> BasketCurve:
    """Simulate every flow at every size of basket; a replication is one Monday after a day of warm-up.

    Everything else stays as the scenario has it, above all the staff: a desk that is too small for large baskets
    makes receipts late, not dear.

    Raises:
        InputError: fewer than two sizes, or one that cannot be a mean basket.
    """
    ascending = tuple(sorted(set(sizes)))
    if len(ascending) < 2 or ascending[0] <= 1:
        raise InputError("--items", "", f"{list(sizes)}, expected two or more different sizes above 1")
    if profile is None and needs_profile(flows):
        raise InputError("--profile", "", "just-walk-out needs a perception profile")
    results: dict[str, list[FlowResult]] = {flow: [] for flow in flows}
    for index, size in enumerate(ascending):

        def tell(what: str, share: float, index: int = index) -> None:
            if progress:
                progress(f"baskets: {what}", (index + share) / len(ascending))

        items = {"distribution": "lognormal", "mean": size, "median": max(0.51, MEDIAN_SHARE * size)}
        day = scenario.with_values(
            {"shoppers.items": items, "calendar.days": 1, "calendar.warm_up_days": 1,
             "calendar.first_weekday": "monday"}
        )  # fmt: skip
        compared = compare(
            day, flows, profile, replications=replications, seed=seed, workers=workers, progress=tell
        )
        for flow in flows:
            results[flow].append(compared.flows[flow])
    return BasketCurve(scenario.name, ascending, {f: tuple(r) for f, r in results.items()}, seed)


def said(crossing: Crossing) -> str:
    """A crossing in words."""
    low, high = crossing.ci95
    sure = (
        f"95 %: {low:.1f}-{high:.1f}"
        if low is not None and high is not None
        else f"in {100 * crossing.share:.0f} % of the draws"
    )
    return f"{crossing.a} is cheaper than {crossing.b} below {crossing.items:.1f} items ({sure})"
