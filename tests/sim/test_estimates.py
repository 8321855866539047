"""Intervals: they cover what they say they cover, and say how they were made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sim.estimates import METHODS, PROFILE_METHOD, T_METHOD, Estimate
from sim.replications import profile_version

numbers = st.lists(st.floats(-1000, 1000), min_size=2, max_size=30)


def versions(replications: int) -> list[int]:
    return [profile_version(i) for i in range(replications)]


def test_without_a_profile_the_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(5, 2, 15)
    low, high = stats.t.interval(0.95, 14, values.mean(), stats.sem(values))
    found = Estimate.of(values.tolist())
    assert found.ci95 == pytest.approx((low, high))
    assert (found.simulation_ci95, found.method) == (found.ci95, T_METHOD)


def test_one_replication_has_no_interval() -> None:
    assert Estimate.of([3.0]).to_dict() == {
        "mean": 3.0, "ci95": None, "simulation_ci95": None, "method": None
    }  # fmt: skip


@pytest.mark.parametrize("profile_sd", [0.0, 1.0, 4.0])
def test_the_interval_covers_the_mean_under_the_true_profile(profile_sd: float) -> None:
    """95 % is meant; between 92 % and all, whatever share of the spread is the profile's.

    A t-interval over the same replications covers less than half where the profile decides.
    """
    rng = np.random.default_rng(1)
    version = np.array(versions(20))
    covered = covered_by_t = 0
    trials = 400
    for _ in range(trials):
        values = profile_sd * rng.normal(size=10)[version] + rng.normal(size=20)
        true_mean = profile_sd * rng.normal()
        found = Estimate.of(values.tolist(), version.tolist())
        assert found.ci95 is not None
        covered += found.ci95[0] <= true_mean <= found.ci95[1]
        covered_by_t += abs(true_mean - found.mean) <= Estimate.of(values.tolist()).half_width
    assert covered / trials > 0.92
    if profile_sd == 4.0:
        assert covered / trials < 0.98
        assert covered_by_t / trials < 0.5


def test_more_replications_narrow_what_simulating_adds_and_not_what_the_profile_adds() -> None:
    rng = np.random.default_rng(2)

    def found(replications: int) -> Estimate:
        version = versions(replications)
        effect = 3 * rng.normal(size=max(version) + 1)
        return Estimate.of((effect[version] + rng.normal(size=replications)).tolist(), version)

    few, many = found(40), found(4000)
    assert many.simulation_half_width < 0.2 * few.simulation_half_width
    assert many.half_width == pytest.approx(1.96 * 3, rel=0.1)


@given(numbers, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_intervals_hold_the_mean_and_go_with_the_unit(
    values: list[float], scale: float, shift: float
) -> None:
    version = versions(len(values))
    found = Estimate.of(values, version)
    moved = Estimate.of([scale * v + shift for v in values], version)
    assert found.ci95 is not None
    assert found.ci95[0] <= found.mean <= found.ci95[1]
    assert found.half_width >= found.simulation_half_width >= 0
    assert moved.half_width == pytest.approx(scale * found.half_width, rel=1e-6, abs=1e-6)
    assert found.method in METHODS


def test_versions_that_change_nothing_add_nothing() -> None:
    found = Estimate.of([2.0] * 8, versions(8))
    assert (found.mean, found.ci95, found.method) == (2.0, (2.0, 2.0), PROFILE_METHOD)


def test_an_interval_ends_where_the_metric_does() -> None:
    found = Estimate.of([0.0, 0.0, 3.0, 0.0], within=(0.0, 2.0))
    assert found.ci95 is not None
    assert found.ci95 == (0.0, 2.0)
    assert found.half_width == pytest.approx(found.ci95[1] - found.mean)
