"""Sales to tune on from a scenario: Just Walk Out without any review, so that `wrong` is what perception made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from checkout.profile import PerceptionProfile
from sim.experiment import Progress, simulate
from sim.scenario import Scenario
from sim.tuning.sales import ErrorCost, SalesToTune, read_sales


def simulated_sales(
    scenario: Scenario,
    profile: PerceptionProfile,
    *,
    replications: int = 20,
    seed: int = 1,
    workers: int = 1,
    columns: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> SalesToTune:
    """Simulate and read the sales; replications that share a drawn version of the profile are a cluster.

    Args:
        columns: arguments of `read_sales`.
    """
    never = scenario.with_values(
        {f"just_walk_out.review.thresholds.{name}": 0.0 for name in ("item", "action", "shopper")}
    )
    result = simulate(
        never, "just-walk-out", profile, replications=replications, seed=seed, workers=workers, keep_sales=True,
        progress=progress,
    )  # fmt: skip
    errors = scenario.just_walk_out
    cost = ErrorCost(errors.dispute_usd, errors.dispute_share)
    sales = read_sales(result.sales_table(), error_cost=cost, **(columns or {}))
    caveat = (
        "simulated sales: what is promised is promised for the simulated store. Every two replications share a drawn "
        f"version of the profile ({len(profile.judged):,} judged events); more replications do not make that profile "
        "surer"
    )
    return replace(
        sales,
        source=f"{scenario.name}, {replications} simulated replications (seed {seed})",
        notes=(caveat, *sales.notes),
    )
