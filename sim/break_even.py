"""How many sales a day make two ways of selling cost the same, with a paired interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sim.experiment import Comparison, FlowResult
from sim.replications import profile_version
from sim.results import COST_PARTS, FIXED_PARTS

RESAMPLES = 1000


@dataclass(frozen=True)
class BreakEven:
    """Where the costs of two flows cross, were fixed parts to stay and the others to grow with the sales.

    Attributes:
        cheaper_below, cheaper_above: flows.
        sales_per_day: at which they cost the same.
        ci95: paired bootstrap over versions of the profile with their replications; None where not all draws cross.
        share: of the draws that cross.
    """

    cheaper_below: str
    cheaper_above: str
    sales_per_day: float
    ci95: tuple[float, float] | None
    share: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def break_evens(comparison: Comparison) -> list[BreakEven]:
    """Every pair of flows whose costs cross at some number of sales; a straight line for each flow.

    The number may lie far beyond what staff and fleet of the scenario could serve.
    """
    found = []
    for a, b in combinations(comparison.flows, 2):
        (fixed_a, each_a), (fixed_b, each_b) = (_line(comparison.flows[name]) for name in (a, b))
        fixed, each = fixed_b - fixed_a, each_a - each_b
        there = ~np.isnan(fixed + each)
        if not there.any():
            continue
        at = _crossing(fixed[there].mean(), each[there].mean())
        if np.isnan(at):
            continue
        below, above = (a, b) if fixed[there].mean() > 0 else (b, a)
        draws = _drawn(fixed, each, there, comparison.flows[a].seed)
        crossed = draws[~np.isnan(draws)]
        low, high = np.quantile(crossed, [0.025, 0.975]) if len(crossed) else (np.nan, np.nan)
        whole = len(crossed) == len(draws)
        interval = (float(low), float(high)) if whole else None
        found.append(BreakEven(below, above, float(at), interval, len(crossed) / len(draws)))
    return found


def said(found: BreakEven) -> str:
    """A break-even in words."""
    sure = (
        f"95 %: {found.ci95[0]:,.0f}-{found.ci95[1]:,.0f}"
        if found.ci95
        else f"in {100 * found.share:.0f} % of the draws"
    )
    return (
        f"break-even: {found.cheaper_below} costs less below {found.sales_per_day:,.0f} sales a day ({sure}), "
        f"{found.cheaper_above} above"
    )


def _line(result: FlowResult) -> tuple[np.ndarray, np.ndarray]:
    """Of each replication the US dollars a day that are paid anyway, and those that each sale adds."""
    parts = {part: np.nan_to_num(result.metric(f"cost_{part}_per_sale_usd")) for part in COST_PARTS}
    sales = result.metric("sales_per_day")
    fixed = np.sum([parts[part] for part in FIXED_PARTS], axis=0) * sales
    each = np.sum([usd for part, usd in parts.items() if part not in FIXED_PARTS], axis=0)
    return fixed, each + 0 * sales


def _crossing(fixed: np.ndarray, each: np.ndarray) -> np.ndarray:
    """Sales at which what is paid anyway and what each sale adds are even; NaN where they never are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sales = np.asarray(fixed) / np.asarray(each)
    return np.where(np.isfinite(sales) & (sales > 0), sales, np.nan)


def _drawn(fixed: np.ndarray, each: np.ndarray, there: np.ndarray, seed: int) -> np.ndarray:
    """Crossings of a bootstrap; replications of one version of the profile are alike, so they are drawn together."""
    kept = np.flatnonzero(there)
    _, version = np.unique([profile_version(int(i)) for i in kept], return_inverse=True)
    groups = version.max() + 1
    sums = (np.bincount(version, values[kept], groups) for values in (fixed, each))
    picked = np.random.default_rng([seed, 19]).integers(groups, size=(RESAMPLES, groups))
    # Sums of both over the same draws: their ratio is that of the means.
    of_fixed, of_each = (total[picked].sum(axis=1) for total in sums)
    return _crossing(of_fixed, of_each)
