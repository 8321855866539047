"""What every flow is: one visit told from the door to the final bill, and what the day has cost."""

from __future__ import annotations

from typing import Protocol

from sim.results import Replication
from sim.shoppers import Shopper
from sim.store import Store, Story

DAY_S = 86_400.0
DAYS_PER_YEAR = 365.0


class Flow(Protocol):
    """A way of selling; one instance a replication."""

    def visit(self, shopper: Shopper) -> Story:
        """The visit of one shopper, a SimPy process."""

    def result(self) -> Replication:
        """What came of it, after the store has run."""


def open_hours(store: Store) -> float:
    """Hours in which shoppers arrive."""
    return float(sum(share > 0 for share in store.scenario.shoppers.hour_shares.values()))


def per_day_usd(price_usd: float, years: float) -> float:
    """Straight-line depreciation of a day."""
    return price_usd / (years * DAYS_PER_YEAR)
