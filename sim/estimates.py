"""Means over replications and the intervals around them, each with its method.

Two things make a mean uncertain: too few simulated days, which more replications cure, and too few
judged events in the perception profile, which no replication cures. `Estimate.ci95` holds both;
`Estimate.simulation_ci95` only the first. To tell them apart, several replications share one drawn
version of the profile (`sim.replications.profile_version`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

CONFIDENCE = 0.95
T_METHOD = "t-interval"
PROFILE_METHOD = "random-effects interval"
METHODS = {
    T_METHOD: "95 %, over independent replications",
    PROFILE_METHOD: (
        "95 %, generalised (Weerahandi 1993): versions of the profile drawn from its sampling error, and "
        "replications within them"
    ),
}
_QUANTILES = 24


@dataclass(frozen=True)
class Estimate:
    """A mean over replications; with a single one there is no interval.

    Attributes:
        ci95: where the true mean lies, the profile's own sampling error included.
        simulation_ci95: where the mean would settle with ever more replications of the same profile.
        method: how `ci95` was obtained, a key of `METHODS`; None without an interval.
    """

    mean: float
    ci95: tuple[float, float] | None
    simulation_ci95: tuple[float, float] | None = None
    method: str | None = None

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        versions: Sequence[int] | None = None,
        *,
        within: tuple[float, float] = (-math.inf, math.inf),
    ) -> Estimate:
        """The estimate from one value a replication.

        Args:
            versions: the version of the profile in each replication, when the values depend on it.
            within: what the mean cannot be under and over; the intervals end there.
        """
        y = np.asarray(values, dtype=float)
        mean = float(y.mean())
        if len(y) < 2:
            return cls(mean, None)
        if versions is None or len(set(versions)) < 2:
            around = _around(mean, _t_half_width(y), within)
            return cls(mean, around, around, T_METHOD)
        simulation, total = _random_effects(y, np.asarray(versions))
        return cls(mean, _around(mean, total, within), _around(mean, simulation, within), PROFILE_METHOD)

    @property
    def half_width(self) -> float:
        """How far `ci95` reaches from the mean at most; infinite without one."""
        return _reach(self.mean, self.ci95)

    @property
    def simulation_half_width(self) -> float:
        """How far `simulation_ci95` reaches from the mean at most; infinite without one."""
        return _reach(self.mean, self.simulation_ci95)

    def to_dict(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "ci95": list(self.ci95) if self.ci95 else None,
            "simulation_ci95": list(self.simulation_ci95) if self.simulation_ci95 else None,
            "method": self.method,
        }


def _reach(mean: float, interval: tuple[float, float] | None) -> float:
    return math.inf if interval is None else max(interval[1] - mean, mean - interval[0])


def _around(mean: float, half: float, within: tuple[float, float]) -> tuple[float, float]:
    return max(mean - half, within[0]), min(mean + half, within[1])


def _t_half_width(y: np.ndarray) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(len(y) - 1, 0.5 + CONFIDENCE / 2) * np.std(y, ddof=1) / np.sqrt(len(y)))


def _random_effects(y: np.ndarray, versions: np.ndarray) -> tuple[float, float]:
    """Half-widths without and with the variance between versions of the profile.

    A value is a mean, plus what its version of the profile adds, plus what its day adds. The first
    half-width is a t-interval over versions (over all values where the versions do not differ). The
    second is a generalised interval (Weerahandi 1993, J. Am. Stat. Assoc. 88) for the mean under a
    new version: given the sums of squares, the two variances follow from scaled chi-squares. With
    one replication a version all spread counts as the profile's.
    """
    from scipy.special import stdtrit

    _, version, sizes = np.unique(versions, return_inverse=True, return_counts=True)
    groups, n = len(sizes), len(y)
    means = np.bincount(version, y) / sizes
    between = float((sizes * (means - y.mean()) ** 2).sum())
    within = float(((y - means[version]) ** 2).sum())
    squares = float((sizes**2).sum())
    per_version, reuse = (n - squares / n) / (groups - 1), squares / n**2

    within_ms = within / (n - groups) if n > groups else 0.0
    profile_variance = max(0.0, (between / (groups - 1) - within_ms) / per_version)
    if profile_variance > 0:
        variance = reuse * profile_variance + within_ms / n
        simulation = float(stdtrit(groups - 1, 0.5 + CONFIDENCE / 2) * np.sqrt(variance))
    else:
        simulation = _t_half_width(y)

    within_variances = within / _chi_squares(n - groups) if n > groups else np.zeros(1)
    all_between = between / _chi_squares(groups - 1)
    profile_variances = np.maximum(0.0, (all_between[:, None] - within_variances) / per_version)
    total = _mixture_half_width((1 + reuse) * profile_variances + within_variances / n)
    return simulation, max(simulation, total)


@lru_cache(maxsize=256)
def _chi_squares(degrees: int) -> np.ndarray:
    """Equally likely values of a chi-square."""
    from scipy.special import gammaincinv

    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return np.asarray(2 * gammaincinv(degrees / 2, shares))


def _mixture_half_width(variances: np.ndarray) -> float:
    """The central interval of a mean-zero normal whose variance is one of these, each as likely."""
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    scales = np.sqrt(variances).ravel()
    widest = float(scales.max())
    if widest == 0:
        return 0.0
    scales = np.maximum(scales / widest, 1e-12)
    most = float(ndtri(0.5 + CONFIDENCE / 2))
    return widest * float(brentq(lambda h: (2 * ndtr(h / scales) - 1).mean() - CONFIDENCE, 0.0, most))
