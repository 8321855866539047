"""The shoppers of one day, drawn once and served by every flow alike (common random numbers)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sim.scenario import BINOMIAL_MOST, Items, Scenario

DOUBLE_SHARE = 0.7
"""Assumed: of the lines of several units, those of two; the others have three."""


class Reach(NamedTuple):
    """One shelf event to be: which line of the basket, where, what, and how long it takes.

    Attributes:
        walk_s: time before it, spent walking and looking.
        line: number of the basket line; lines that are put back again are not kept.
        look_alike: whether a look-alike stands on the same shelf.
    """

    walk_s: float
    zone: int
    put_back: bool
    line: int
    quantity: int
    look_alike: bool


@dataclass(frozen=True, slots=True)
class Shopper:
    """One visit as the shopper plans it.

    Attributes:
        arrives_s: seconds since midnight.
        price_usd: price of a unit of each line.
        kept_units: units of each line that are carried out (0 for a line that is put back).
    """

    number: int
    arrives_s: float
    reaches: tuple[Reach, ...]
    price_usd: tuple[float, ...]
    kept_units: tuple[int, ...]
    leave_s: float


def draw_shoppers(scenario: Scenario, rng: np.random.Generator) -> list[Shopper]:
    """Everybody who comes on one day, in order of arrival.

    Arrivals, baskets, browsing, walking and prices each have a stream of their own, so a change of
    one leaves the draws of the others as they are, as far as the sizes of the baskets allow.
    """
    s = scenario.shoppers
    arriving, filling, browsing, walking, pricing = rng.spawn(5)
    arrival_s = _arrivals_s(s.hour_shares, int(arriving.poisson(s.visits_per_day)), arriving)
    units = draw_items(s.items, len(arrival_s), filling)
    units[filling.uniform(size=len(units)) < s.empty_share] = 0
    lines = _lines(units.tolist(), s.second_unit_share, filling)
    line_count = sum(map(len, lines))

    browse = 0.5 * (s.shelf_events_per_line - 1.0)
    browsed = browsing.geometric(1 / (1 + browse), line_count) - 1
    zone_cdf = np.cumsum(_popularity(scenario.shelves.zones, scenario.shelves.popularity))
    zones = np.searchsorted(zone_cdf[:-1], browsing.uniform(size=line_count), side="right").tolist()
    products = line_count + int(browsed.sum())
    alike = iter((browsing.uniform(size=products) < scenario.shelves.look_alike_share).tolist())
    walks_s = (s.per_line_s * walking.gamma(2.0, 0.5, line_count)).tolist()
    fixed_s = (s.fixed_s * walking.gamma(4.0, 0.25, len(units))).tolist()
    logarithm = (
        np.log(s.price_usd) - s.price_spread**2 / 2 + s.price_spread * pricing.standard_normal(products)
    )
    prices = np.exp(logarithm).round(2).tolist()

    shoppers = []
    at_line = at_product = 0
    for number, (arrives_s, basket, fixed) in enumerate(zip(arrival_s.tolist(), lines, fixed_s, strict=True)):
        until = at_line + len(basket)
        plan = zip(
            basket, browsed[at_line:until].tolist(), zones[at_line:until], walks_s[at_line:until], strict=True
        )
        reaches, kept = _reaches(plan, 0.8 * fixed / max(1, len(basket)), alike)
        leave_s = fixed * (0.2 if basket else 1.0)
        price_usd = tuple(prices[at_product : at_product + len(kept)])
        shoppers.append(Shopper(number, arrives_s, tuple(reaches), price_usd, tuple(kept), leave_s))
        at_line, at_product = until, at_product + len(kept)
    return shoppers


def _arrivals_s(hour_shares: Mapping[int, float], count: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted seconds since midnight, float [count]."""
    hours = sorted(hour_shares)
    shares = np.array([hour_shares[h] for h in hours])
    return np.sort(rng.choice(hours, size=count, p=shares / shares.sum()) + rng.uniform(size=count)) * 3600.0


def _lines(units: Sequence[int], several_share: float, rng: np.random.Generator) -> list[list[int]]:
    """Each basket's units split into lines of one to three."""
    uniforms = iter(rng.uniform(size=2 * sum(units)).tolist())
    baskets = []
    for left in units:
        lines = []
        while left > 0:
            quantity = 1
            if left > 1 and next(uniforms) < several_share:
                quantity = 2 if left < 3 or next(uniforms) < DOUBLE_SHARE else 3
            lines.append(quantity)
            left -= quantity
        baskets.append(lines)
    return baskets


def _reaches(
    plan: Iterable[tuple[int, int, int, float]], more_walk_s: float, alike: Iterator[bool]
) -> tuple[list[Reach], list[int]]:
    """The shelf events of a visit, and the units kept of each product touched.

    Args:
        plan: of each line its quantity, how many products are browsed before it, its zone, and the walk to it.
        more_walk_s: added to each walk.
        alike: whether the next product has a look-alike on its shelf.
    """
    reaches: list[Reach] = []
    kept: list[int] = []
    for quantity, browsed, zone, walk_s in plan:
        walk_s += more_walk_s
        # Browsed products are picked and put back before the one that is kept instead.
        for _ in range(browsed):
            look_alike = next(alike)
            reaches.append(Reach(walk_s, zone, False, len(kept), 1, look_alike))
            reaches.append(Reach(0.0, zone, True, len(kept), 1, look_alike))
            kept.append(0)
            walk_s = 0.0
        reaches.append(Reach(walk_s, zone, False, len(kept), quantity, next(alike)))
        kept.append(quantity)
    return reaches, kept


def draw_items(items: Items, size: int, rng: np.random.Generator) -> np.ndarray:
    """Units of each basket, int [size], at least one."""
    if items.distribution == "poisson":
        # Inverse of the distribution cut off at zero: draw above the mass at zero.
        from scipy.stats import poisson

        rate = _truncated_rate(items.mean)
        return np.asarray(poisson.ppf(rng.uniform(np.exp(-rate), 1.0, size), rate), dtype=int)
    if items.distribution == "binomial":
        more = BINOMIAL_MOST - 1
        return np.asarray(1 + rng.binomial(more, (items.mean - 1) / more, size))
    assert items.median is not None
    sigma = lognormal_sigma(items.mean, items.median)
    return np.maximum(1, np.ceil(items.median * np.exp(sigma * rng.standard_normal(size)))).astype(int)


@lru_cache(maxsize=64)
def _truncated_rate(mean: float) -> float:
    """Rate of a Poisson distribution whose mean, cut off at zero, is `mean`."""
    from scipy.optimize import brentq

    return float(brentq(lambda rate: rate / -np.expm1(-rate) - mean, 1e-6, mean + 1))


@lru_cache(maxsize=64)
def lognormal_sigma(mean: float, median: float) -> float:
    """Spread for which a lognormal of this median, rounded up, has this mean.

    Raises:
        ValueError: no spread up to 3 gives it.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    logarithm = np.log(np.arange(1, 20_000) / median)

    def excess(sigma: float) -> float:
        # E[ceil X] = sum over k >= 0 of P(X > k); P(X > 0) = 1.
        return float(1 + ndtr(-logarithm / sigma).sum()) - mean

    # Rounding makes the mean fall before it rises with the spread; the widest solution is the basket's.
    spreads = np.linspace(0.05, 3.0, 60).tolist()
    too_small = [index for index, sigma in enumerate(spreads[:-1]) if excess(sigma) < 0]
    if not too_small or excess(spreads[-1]) < 0:
        raise ValueError(f"no lognormal basket in whole units has mean {mean:g} and median {median:g}")
    low = too_small[-1]
    return float(brentq(excess, spreads[low], spreads[low + 1], xtol=1e-6))


@lru_cache(maxsize=64)
def _popularity(zones: int, exponent: float) -> np.ndarray:
    weight = np.arange(1, zones + 1, dtype=float) ** -exponent
    return np.asarray(weight / weight.sum())
