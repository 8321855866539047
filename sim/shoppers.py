"""The shoppers of one day, drawn once and served by every flow alike (common random numbers)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sim.scenario import BINOMIAL_MOST, Items, Scenario


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
    """Everybody who comes on one day, in order of arrival."""
    s = scenario.shoppers
    hours = sorted(s.hour_shares)
    shares = np.array([s.hour_shares[h] for h in hours])
    count = int(rng.poisson(s.visits_per_day))
    arrival = (
        np.sort(rng.choice(hours, size=count, p=shares / shares.sum()) + rng.uniform(size=count)) * 3600.0
    )
    units = draw_items(s.items, count, rng)
    units[rng.uniform(size=count) < s.empty_share] = 0
    zone_cdf = np.cumsum(_popularity(scenario.shelves.zones, scenario.shelves.popularity))
    browse = 0.5 * (s.shelf_events_per_line - 1.0)
    shoppers = []
    for number in range(count):
        left = int(units[number])
        lines: list[int] = []
        while left > 0:
            quantity = 1
            if left > 1 and rng.uniform() < s.second_unit_share:
                quantity = 2 if left < 3 or rng.uniform() < 0.7 else 3
            lines.append(quantity)
            left -= quantity
        shoppers.append(_shopper(number, float(arrival[number]), lines, browse, zone_cdf, scenario, rng))
    return shoppers


def _shopper(
    number: int,
    arrives_s: float,
    lines: list[int],
    browse: float,
    zone_cdf: np.ndarray,
    scenario: Scenario,
    rng: np.random.Generator,
) -> Shopper:
    s = scenario.shoppers
    n = len(lines)
    # Browsed products are picked and put back before the line that is kept instead.
    browsed = rng.geometric(1 / (1 + browse), n) - 1 if browse > 0 and n else np.zeros(n, int)
    total = int(browsed.sum()) + n
    zones = np.searchsorted(zone_cdf, rng.uniform(size=n), side="right").tolist()
    walks = (s.per_line_s * rng.gamma(2.0, 0.5, n)).tolist()
    fixed = s.fixed_s * rng.gamma(4.0, 0.25)
    alike = (rng.uniform(size=total) < scenario.shelves.look_alike_share).tolist()
    prices = np.exp(np.log(s.price_usd) - s.price_spread**2 / 2 + s.price_spread * rng.standard_normal(total))
    reaches: list[Reach] = []
    kept: list[int] = []
    line = 0
    for index, quantity in enumerate(lines):
        walk = walks[index] + fixed * 0.8 / n
        for _ in range(browsed[index]):
            reaches.append(Reach(walk, zones[index], False, line, 1, alike[line]))
            reaches.append(Reach(0.0, zones[index], True, line, 1, alike[line]))
            kept.append(0)
            line, walk = line + 1, 0.0
        reaches.append(Reach(walk, zones[index], False, line, quantity, alike[line]))
        kept.append(quantity)
        line += 1
    leave = fixed * (0.2 if n else 1.0)
    return Shopper(
        number, arrives_s, tuple(reaches), tuple(prices.round(2).tolist()), tuple(kept), float(leave)
    )


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
    sigma = _lognormal_sigma(items.mean, items.median)
    return np.maximum(1, np.ceil(items.median * np.exp(sigma * rng.standard_normal(size)))).astype(int)


@lru_cache(maxsize=64)
def _truncated_rate(mean: float) -> float:
    """Rate of a Poisson distribution whose mean, cut off at zero, is `mean`."""
    from scipy.optimize import brentq

    return float(brentq(lambda rate: rate / -np.expm1(-rate) - mean, 1e-6, mean + 1))


@lru_cache(maxsize=64)
def _lognormal_sigma(mean: float, median: float) -> float:
    """Spread for which a lognormal of this median, rounded up, has this mean."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    def rounded_up_mean(sigma: float) -> float:
        k = np.arange(0, 20_000)
        # E[ceil X] = sum over k >= 0 of P(X > k); P(X > 0) = 1.
        return float(1 + norm.sf(np.log(k[1:] / median) / sigma).sum())

    if rounded_up_mean(1e-3) >= mean:
        return 1e-3
    return float(brentq(lambda sigma: rounded_up_mean(sigma) - mean, 1e-3, 3.0, xtol=1e-6))


@lru_cache(maxsize=64)
def _popularity(zones: int, exponent: float) -> np.ndarray:
    weight = np.arange(1, zones + 1, dtype=float) ** -exponent
    return np.asarray(weight / weight.sum())
