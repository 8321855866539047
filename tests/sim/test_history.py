"""Calibration: the odds that are fitted, and what is predicted from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.calibration import Calibration, ReviewCurve, calibrate, review_curve
from sim.experiment import simulate
from sim.scenario import load_scenario, shipped_scenarios
from tests.sim.conftest import small, two_valued_profile

HISTORY = ("dash-supermarket", "fresh-supermarket-2022", "fresh-target", "go-convenience", "small-uk")
LIMITS = {f"just_walk_out.review.thresholds.{name}": 0.5 for name in ("item", "action", "shopper")}


@pytest.fixture(scope="module")
def doubtful() -> PerceptionProfile:
    """Independent events of which one in twenty is doubtful."""
    return two_valued_profile(0.05, size=2_000)


@pytest.fixture(scope="module")
def found(doubtful: PerceptionProfile) -> Calibration:
    store = small(**LIMITS, **{"shoppers.items.mean": 4.0})
    return calibrate(
        store,
        doubtful,
        small(**LIMITS),
        target=300.0,
        required=(50.0,),
        error_odds=(0.1, 0.5, 2.0, 8.0),
        replications=3,
    )


@pytest.mark.parametrize("name", HISTORY)
def test_the_stores_of_the_history_are_shipped(name: str) -> None:
    assert name in shipped_scenarios()
    assert load_scenario(name).name == name


@given(odds=st.floats(0.01, 100), q=st.floats(0.01, 0.5))
@settings(max_examples=5, deadline=None)
def test_error_odds_multiply_the_odds_of_a_faulty_event(odds: float, q: float) -> None:
    profile = replace(two_valued_profile(q, size=4_000), error_odds=odds)
    share = np.mean(two_valued_profile(q, size=4_000).faulty)
    want = odds * share / (1 - share + odds * share)
    assert profile.faulty_share == pytest.approx(want)
    drawn = profile.expected().draw(np.zeros(50_000, int), np.random.default_rng(1))
    low = np.mean(~(drawn.confidence.min(axis=1) >= 0.5))
    # The weak prior of never-seen errors adds a little.
    assert low == pytest.approx(want, abs=4 * np.sqrt(want * (1 - want) / 50_000) + 2e-3)


def test_error_odds_are_kept_in_the_file_and_said(tmp_path: Path) -> None:
    doubtful = two_valued_profile(0.05, size=100)
    replace(doubtful, error_odds=0.25).save(tmp_path / "p.json")
    doubtful.save(tmp_path / "as-judged.json")
    loaded = PerceptionProfile.load(tmp_path / "p.json")
    assert loaded.error_odds == 0.25
    assert any("0.25" in line for line in loaded.warnings())
    assert "error_odds" not in (tmp_path / "as-judged.json").read_text()


@pytest.mark.parametrize("odds", [0.0, -1.0, float("inf"), float("nan")])
def test_odds_that_cannot_be_are_refused(doubtful: PerceptionProfile, odds: float) -> None:
    with pytest.raises(InputError, match="error_odds"):
        replace(doubtful, error_odds=odds)


@given(
    steps=st.lists(st.floats(1.0, 100.0), min_size=4, max_size=8),
    share=st.floats(0.01, 0.99),
    replications=st.integers(2, 5),
)
def test_the_root_gives_the_target(steps: list[float], share: float, replications: int) -> None:
    rows = np.cumsum(steps)[:, None] + np.arange(replications)
    curve = ReviewCurve("x", np.geomspace(0.1, 10, len(steps)), rows, np.arange(replications))
    target = float(curve.mean[0] + share * (curve.mean[-1] - curve.mean[0]))
    root = curve.root(target)
    assert root is not None
    assert float(curve.reviews(root)) == pytest.approx(target)


def test_a_target_out_of_reach_is_refused_with_what_can_be_reached() -> None:
    curve = ReviewCurve("x", np.array([0.5, 2.0]), np.array([[10.0, 12.0], [90.0, 95.0]]), np.arange(2))
    with pytest.raises(InputError, match="700 reviews per 1,000 sales, expected 11-92"):
        curve.fitted(700.0)


def test_a_bound_beyond_the_curve_is_none() -> None:
    """One version never comes down to the target and one never up to it."""
    curve = ReviewCurve(
        "x", np.array([0.5, 1.0, 2.0]), np.array([[60.0, 0.0], [65.0, 20.0], [100.0, 40.0]]), np.arange(2)
    )
    assert curve.fitted(50.0).versions95 == (None, None)


def test_days_of_one_version_of_the_profile_are_drawn_together() -> None:
    versions = np.array([0, 1, 0, 1])
    curve = ReviewCurve("x", np.array([1.0, 2.0]), np.ones((2, 4)), versions)
    for drawn in curve.drawn(20, np.random.default_rng(1)):
        assert len(drawn) == 4
        assert drawn.count(0) == drawn.count(2)
        assert drawn.count(1) == drawn.count(3)


def test_calibration_hits_its_target(found: Calibration, doubtful: PerceptionProfile) -> None:
    fitted = found.fitted
    low, high = fitted.ci95
    assert low is not None
    assert high is not None
    assert low <= fitted.error_odds <= high
    store = small(**LIMITS, **{"shoppers.items.mean": 4.0})
    again = review_curve(store, found.calibrated_profile, [1.0], replications=3)
    assert again.mean[0] == pytest.approx(300.0, abs=5.0)
    # Other shoppers: the target lies in the interval of a fresh run.
    fresh = simulate(store, "just-walk-out", found.calibrated_profile, replications=5, seed=9)
    interval = fresh.estimate("reviews_per_1000_sales")
    assert interval is not None
    assert interval.ci95 is not None
    assert interval.ci95[0] - 10 <= 300 <= interval.ci95[1] + 10


def test_fewer_reviews_need_better_perception_and_smaller_baskets_fewer_reviews(found: Calibration) -> None:
    assert found.required[0].error_odds < found.fitted.error_odds
    assert found.faulty_share(found.required[0].error_odds) < found.faulty_share(found.fitted.error_odds)
    here, there = found.curves
    assert float(there.reviews(found.fitted.error_odds)) < 300
    assert np.all(np.diff(here.mean) >= -1.0)


def test_reviews_rise_with_shelf_events_as_for_independent_items(doubtful: PerceptionProfile) -> None:
    """Summed over baskets of every size: P(review) = 1 - (1 - q)^n."""
    store = small(
        **LIMITS,
        **{"shoppers.items": {"distribution": "supermarket", "mean": 10.7}, "shoppers.visits_per_day": 600},
    )
    table = simulate(store, "just-walk-out", doubtful, replications=3, keep_sales=True).sales_table()
    sale = table[table["sale"]]
    events = sale["shelf_events"].to_numpy(float)
    q = 0.05
    for low, high in ((1, 3), (4, 9), (10, 20), (21, 400)):
        some = (events >= low) & (events <= high)
        want = float(np.mean(1 - (1 - q) ** events[some]))
        se = np.sqrt(want * (1 - want) / some.sum())
        assert sale["reviewed"][some].mean() == pytest.approx(want, abs=4 * se + 0.01)


def test_the_calibration_says_all_it_found(found: Calibration) -> None:
    document = found.to_dict()
    assert document["fitted"]["target_reviews_per_1000_sales"] == 300
    assert [row["target_reviews_per_1000_sales"] for row in document["required"]] == [50]
    units = {row["unit"] for row in document["predictions"]}
    assert units == {"reviews per 1,000 sales", "minutes", "hours"}
    check, *others = document["predictions"]
    assert {(row["published"], row["agrees"]) for row in others} == {("not public", None)}
    assert check["agrees"] == (291 <= check["predicted"] <= 309)
