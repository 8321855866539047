"""Quantiles from a histogram, sums that do not grow, and where two flows cost the same."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.profile import PerceptionProfile
from sim.experiment import replicate
from sim.results import Histogram
from tests.sim.conftest import small


def test_quantiles_are_right_within_a_tenth_of_a_percent() -> None:
    values = np.random.default_rng(0).lognormal(4, 2, 50_000)
    histogram = Histogram()
    for part in np.array_split(values, 7):
        histogram.update(part)
    for share in (0.05, 0.5, 0.95, 0.99):
        assert histogram.quantile(share) == pytest.approx(
            np.quantile(values, share, method="inverted_cdf"), rel=0.0011
        )


def test_no_wait_at_all_is_exactly_none() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    histogram.update(np.array([0.0, 0.0, 0.0, 100.0]))
    assert histogram.quantile(0.5) == 0.0
    assert histogram.quantile(0.99) == pytest.approx(100.0, rel=0.001)


def test_what_is_kept_of_a_day_does_not_grow_with_the_days(profile: PerceptionProfile) -> None:
    import pickle

    sizes = [
        len(pickle.dumps(replicate(small(**{"calendar.days": days}), "just-walk-out", profile, 1, 0).tally))
        for days in (2, 20)
    ]
    assert sizes[1] < 1.6 * sizes[0]


def test_metrics_are_the_same_whether_the_rows_are_kept(profile: PerceptionProfile) -> None:
    kept, summed = (
        replicate(small(**{"calendar.days": 3}), "dash-cart", profile, 1, 0, keep_sales=keep)
        for keep in (True, False)
    )
    assert kept.metrics() == summed.metrics()
    assert len(kept.table["sale"]) == kept.visits
    assert len(summed.table["sale"]) == 0
    wait_s = kept.table["wait_s"]
    assert kept.metrics()["wait_mean_s"] == pytest.approx(wait_s.mean())
