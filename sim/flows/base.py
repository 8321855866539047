"""What every flow is: one visit told from the door to the final bill, and what the day has cost."""

from __future__ import annotations

from typing import Protocol

from sim.results import Replication
from sim.shoppers import Shopper
from sim.store import Store, Story

HOUR_S = 3600.0
DAYS_PER_YEAR = 365.0


class Flow(Protocol):
    """A way of selling; one instance a replication."""

    def visit(self, shopper: Shopper) -> Story:
        """The visit of one shopper, a SimPy process."""

    def result(self) -> Replication:
        """What came of it, after the store has run."""


def opening_s(store: Store) -> float:
    """When the first shopper may come, seconds since midnight."""
    return HOUR_S * min(hour for hour, share in store.scenario.shoppers.hour_shares.items() if share > 0)


def closing_s(store: Store) -> float:
    """When the doors close, seconds since midnight."""
    return HOUR_S * (
        1 + max(hour for hour, share in store.scenario.shoppers.hour_shares.items() if share > 0)
    )


def per_day_usd(price_usd: float, years: float) -> float:
    """Straight-line depreciation of a day."""
    return price_usd / (years * DAYS_PER_YEAR)
