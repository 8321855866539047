"""What every flow is: one visit told from the door to the final bill, and what the day has cost."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sim.shoppers import HOUR_S
from sim.store import Store, Story


class Flow(Protocol):
    """A way of selling; one instance a replication."""

    def opens(self) -> None:
        """Get ready for the shoppers of `Store.plans`, with the clock at midnight."""

    def visit(self, number: int) -> Story:
        """The visit of one shopper, a SimPy process."""

    def closes(self) -> None:
        """Write the rows and the costs of the day into `Store.table`, after the last shopper has left."""

    def finishes(self) -> None:
        """Settle the bills that are still open after the last day."""


def per_day_usd(price_usd: float, years: float, open_days_per_year: float) -> float:
    """Straight-line depreciation of a day."""
    return price_usd / (years * open_days_per_year)


def staffed(open_s: tuple[float, float], staff: int) -> float:
    """Time that so many people are paid for from opening to closing."""
    return staff * (open_s[1] - open_s[0])


def goods_usd(store: Store, value_usd: np.ndarray | float) -> float:
    """What goods of this price have cost the store."""
    return float(np.sum(value_usd)) * (1.0 - store.scenario.economics.margin_share)


def lost_margin_usd(store: Store, value_usd: np.ndarray | float) -> float:
    """What the store would have earned with goods of this price."""
    return float(np.sum(value_usd)) * store.scenario.economics.margin_share


def hours_open(store: Store) -> int:
    return int((store.closes_s - store.opens_s) / HOUR_S)


def scanned_units(
    units: np.ndarray, concealed: np.ndarray, unscanned: float, twice: float, rng: np.random.Generator
) -> np.ndarray:
    """Units of each line that a scanner counts: none of what is concealed, few missed, few counted twice; int [l]."""
    shown = np.where(concealed, 0, units)
    missed = rng.binomial(shown, unscanned)
    return np.asarray(shown - missed + rng.binomial(shown - missed, twice))
