"""How many people a service level needs: the fewest for which a metric stays within a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from checkout.errors import InputError, nearest
from checkout.profile import PerceptionProfile
from sim.experiment import simulate
from sim.results import METRICS
from sim.scenario import Scenario

ROLES = {
    "reviewers": ("just-walk-out", "just_walk_out.review.reviewers", "time_to_receipt_p95_s"),
    "gates": ("just-walk-out", "just_walk_out.gates", "entry_wait_p95_s"),
    "carts": ("dash-cart", "dash_cart.carts", "entry_wait_p95_s"),
    "cart attendants": ("dash-cart", "dash_cart.attendants", "wait_p95_s"),
    "cart lanes": ("dash-cart", "dash_cart.lanes", "lane_wait_p95_s"),
    "stations": ("self-checkout", "self_checkout.stations", "lane_wait_p95_s"),
    "station attendants": ("self-checkout", "self_checkout.attendants", "wait_p95_s"),
    "lanes": ("staffed-lanes", "staffed_lanes.lanes", "lane_wait_p95_s"),
}
"""Of what there can be more: the flow, the field of the scenario, and the metric that it shortens."""


@dataclass(frozen=True)
class StaffNeeded:
    """The fewest that keep the metric within the limit; None when even the most tried do not.

    Attributes:
        tried: metric against number, each with its 95 % interval over replications.
    """

    role: str
    metric: str
    limit: float
    needed: int | None
    tried: pd.DataFrame

    def to_pandas(self) -> pd.DataFrame:
        return self.tried

    def to_dict(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "metric": self.metric,
            "limit": self.limit,
            "needed": self.needed,
            "tried": self.tried.to_dict("records"),
        }


def flow_of(role: str) -> str:
    """The flow in which a role works; raises `InputError` when it is unknown."""
    if role not in ROLES:
        hint = nearest(role, ROLES) or f"roles are {', '.join(ROLES)}"
        raise InputError("role", "", f"{role!r} is not a role", hint)
    return ROLES[role][0]


def staff_needed(
    scenario: Scenario,
    role: str,
    limit: float,
    profile: PerceptionProfile | None = None,
    *,
    metric: str | None = None,
    most: int = 1000,
    replications: int = 5,
    seed: int = 1,
    workers: int = 1,
) -> StaffNeeded:
    """Find the fewest of a role (`ROLES`) for which the mean of a metric over replications is at most `limit`.

    More of them never lengthen a wait on the same draws, so a bisection finds the number; all are tried on the
    same shoppers.

    Raises:
        InputError: the role or the metric is unknown, the flow lacks the metric, or `limit` or `most` cannot be.
    """
    flow = flow_of(role)
    _, field, usual = ROLES[role]
    name = metric or usual
    if name not in METRICS:
        raise InputError("metric", "", f"{name!r} is not a metric", nearest(name, METRICS))
    if not limit >= 0 or most < 1:
        raise InputError("limit", "", f"{limit:g} with at most {most}, expected 0 or more, and at least one")
    tried: dict[int, tuple[float, float, float]] = {}

    def within(number: int) -> bool:
        result = simulate(
            scenario.with_values({field: number}),
            flow,
            profile,
            replications=replications,
            seed=seed,
            workers=workers,
        )
        estimate = result.estimate(name)
        if estimate is None:
            raise InputError("metric", "", f"the flow {flow} has no {name}")
        low, high = estimate.ci95 or (float("nan"), float("nan"))
        tried[number] = (estimate.mean, low, high)
        return bool(estimate.mean <= limit)

    return StaffNeeded(role, name, limit, _fewest(within, most), _table(role, tried))


def _fewest(within: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 1 to `most` that is within the limit: doubled until it is, then bisected."""
    low, high = 0, 1
    while not within(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return high


def _table(role: str, tried: Mapping[int, Sequence[float]]) -> pd.DataFrame:
    rows = [(number, *tried[number]) for number in sorted(tried)]
    return pd.DataFrame(rows, columns=[role, "mean", "low", "high"])
