"""What real shoppers buy and when: figures and baskets of Complete Journey, as shipped in `journey.npz`.

`python -m benchmarks.fit_journey --out sim` makes the file again. It holds 8,869 anonymous baskets (products,
units, prices), how many units a basket has, and the shares of the trips by weekday, hour and month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

PUBLISHED_SHAPES: dict[str, tuple[float, dict[int, float]]] = {
    "supermarket": (10.7, {5: 0.50, 15: 0.85}),
    "convenience": (2.8, {4: 0.96, 10: 1.0}),
}
"""Published mean units of a basket, and the share of baskets with at most so many units.

Supermarket: VideoMining (CSP Daily News) and IRI 2006; convenience: NACS/MSA (weak), and nobody there carries
more than ten units (assumed).
"""


@dataclass(frozen=True)
class Journey:
    """The shipped baskets, sorted by their number of units.

    Attributes:
        sections: names of the store's sections.
        product_section: section of each product, uint8 [products]; products stand in order of section and category.
        product_weighed: whether a product is sold by weight.
        product_units: units sold in the year.
        product_usd: mean price of a unit in the shipped baskets.
        first_line: first line of each basket, int [baskets + 1].
        first_basket: first basket of each number of units, int [units + 2].
        line_product, line_units, line_usd: one entry a line.
        size_shares: share of all baskets of the year with so many units, float [units + 1].
        weekday_hour_shares: share of the trips, float [7 from Monday, 24].
        month_factors: trips of a day against the mean day of the year, float [12].
    """

    sections: tuple[str, ...]
    product_section: np.ndarray
    product_weighed: np.ndarray
    product_units: np.ndarray
    product_usd: np.ndarray
    first_line: np.ndarray
    first_basket: np.ndarray
    line_product: np.ndarray
    line_units: np.ndarray
    line_usd: np.ndarray
    size_shares: np.ndarray
    weekday_hour_shares: np.ndarray
    month_factors: np.ndarray

    @property
    def most_units(self) -> int:
        """Units of the largest basket."""
        return len(self.size_shares) - 1

    @property
    def basket_usd(self) -> np.ndarray:
        """Value of each shipped basket, float [baskets]."""
        return np.add.reduceat(self.line_units * self.line_usd, self.first_line[:-1])


@lru_cache(maxsize=1)
def journey() -> Journey:
    """The shipped figures."""
    with (resources.files("sim") / "journey.npz").open("rb") as file, np.load(file) as data:
        products = len(data["product_section"])
        product, units = data["line_product"].astype(np.int64), data["line_units"].astype(np.int64)
        usd = data["line_cents"] / 100.0
        first_line = np.concatenate([[0], np.cumsum(data["basket_lines"], dtype=np.int64)])
        basket_units = np.add.reduceat(units, first_line[:-1])
        sizes = np.arange(len(data["size_counts"]) + 1)
        sold = np.bincount(product, units, products)
        return Journey(
            tuple(data["sections"].tolist()),
            data["product_section"],
            data["product_weighed"],
            data["product_units"],
            np.bincount(product, units * usd, products) / sold,
            first_line,
            np.searchsorted(basket_units, sizes),
            product,
            units,
            usd,
            data["size_counts"] / data["size_counts"].sum(),
            data["weekday_hour_shares"].astype(float),
            data["month_factors"].astype(float),
        )


@lru_cache(maxsize=64)
def size_shares(shape: str, mean: float) -> np.ndarray:
    """Share of the baskets with so many units, float [units + 1], of a published shape at another mean.

    Of all distributions with the published mean and shares it is the one nearest to the real baskets
    (least relative entropy); another mean multiplies each share by a power of the units, which turns a
    lognormal into a lognormal of the same spread.

    Raises:
        ValueError: no power gives the mean.
    """
    published_mean, at_most = PUBLISHED_SHAPES[shape]
    shares = _raked(journey().size_shares, published_mean, at_most)
    return shares if mean == published_mean else _raked(shares, mean, {})


def _raked(shares: np.ndarray, mean: float, at_most: Mapping[int, float]) -> np.ndarray:
    from scipy.optimize import brentq

    units = np.arange(len(shares))
    edges = [0, *sorted(at_most), len(shares) - 1]
    wanted = np.diff([0.0, *(at_most[k] for k in sorted(at_most)), 1.0])
    group = np.maximum(np.searchsorted(edges, units) - 1, 0)
    logarithm = np.log(np.maximum(units, 1))

    def tilted(power: float) -> np.ndarray:
        weights = np.where(units > 0, shares * np.exp(power * logarithm), 0.0)
        sums = np.bincount(group, weights, len(wanted))
        return np.asarray(weights * np.divide(wanted, sums, out=np.zeros_like(wanted), where=sums > 0)[group])

    def excess(power: float) -> float:
        return float(tilted(power) @ units) - mean

    low, high = -12.0, 12.0
    if excess(low) > 0 or excess(high) < 0:
        raise ValueError(f"no basket shape of real shoppers has a mean of {mean:g} units")
    return tilted(float(brentq(excess, low, high, xtol=1e-10)))
