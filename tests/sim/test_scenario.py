"""Scenarios: the shipped ones hold, and faults are said in one line with the nearest field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from checkout.errors import InputError
from sim.scenario import Items, load_scenario, shipped_scenarios
from sim.shoppers import draw_items, draw_shoppers


def test_both_stores_are_shipped() -> None:
    assert {"supermarket", "convenience"} <= set(shipped_scenarios())
    assert all(load_scenario(name).name == name for name in shipped_scenarios())


def test_supermarket_baskets_have_the_published_shape() -> None:
    """Mean 10.7; half at most 5; published 15 % over 15 (the lognormal gives a little more: 18 %)."""
    items = draw_items(load_scenario("supermarket").shoppers.items, 200_000, np.random.default_rng(0))
    assert items.mean() == pytest.approx(10.7, rel=0.02)
    assert np.mean(items <= 5) == pytest.approx(0.5, abs=0.01)
    assert 0.14 < np.mean(items > 15) < 0.19
    assert items.min() == 1


def test_convenience_baskets_have_the_published_shape() -> None:
    items = draw_items(load_scenario("convenience").shoppers.items, 200_000, np.random.default_rng(0))
    assert items.mean() == pytest.approx(2.8, rel=0.01)
    assert np.mean(items >= 5) == pytest.approx(0.04, abs=0.005)
    assert items.min() == 1


def test_shoppers_arrive_and_shop_as_the_scenario_says() -> None:
    scenario = load_scenario("supermarket")
    days = [draw_shoppers(scenario, np.random.default_rng(i)) for i in range(5)]
    shoppers = [s for day in days for s in day]
    assert len(shoppers) / 5 == pytest.approx(1814, rel=0.05)
    hours = np.array([s.arrives_s // 3600 for s in shoppers])
    assert np.mean(hours == 17) == pytest.approx(0.101, abs=0.015)
    kept_lines = sum(sum(k > 0 for k in s.kept_units) for s in shoppers)
    assert sum(len(s.reaches) for s in shoppers) / kept_lines == pytest.approx(1.3, abs=0.03)
    prices = np.concatenate([s.price_usd for s in shoppers])
    assert prices.mean() == pytest.approx(2.2, rel=0.05)


def test_a_change_of_prices_leaves_arrivals_and_routes_as_they_are() -> None:
    scenario = load_scenario("convenience")
    cheap, dear = (
        draw_shoppers(s, np.random.default_rng(7))
        for s in (scenario, scenario.with_values({"shoppers.price_usd": 7.2, "shoppers.price_spread": 0.1}))
    )
    assert [(s.arrives_s, s.reaches, s.leave_s) for s in cheap] == [
        (s.arrives_s, s.reaches, s.leave_s) for s in dear
    ]
    assert [s.price_usd for s in cheap] != [s.price_usd for s in dear]


@pytest.mark.parametrize(("mean", "median"), [(10.7, 5.0), (2.0, 1.1), (30.0, 16.5)])
def test_a_lognormal_basket_has_the_mean_and_median_asked_for(mean: float, median: float) -> None:
    items = draw_items(
        Items(distribution="lognormal", mean=mean, median=median), 300_000, np.random.default_rng(0)
    )
    assert items.mean() == pytest.approx(mean, rel=0.02)
    assert np.mean(items <= np.floor(median)) < 0.51
    assert np.mean(items <= np.ceil(median)) > 0.49


def minutes_inside(scenario_name: str, days: int) -> tuple[np.ndarray, np.ndarray]:
    """How long shoppers mean to walk and stand, minutes, and the units they carry out."""
    scenario = load_scenario(scenario_name)
    shoppers = [s for i in range(days) for s in draw_shoppers(scenario, np.random.default_rng(i))]
    at_shelf_s = scenario.shoppers.at_shelf_s
    seconds = [sum(r.walk_s + at_shelf_s for r in s.reaches) + s.leave_s for s in shoppers]
    return np.array(seconds) / 60, np.array([sum(s.kept_units) for s in shoppers])


def test_visits_last_as_long_as_published() -> None:
    """41 minutes in a supermarket; 12 minutes for two items at Go."""
    minutes, _ = minutes_inside("supermarket", 8)
    assert minutes.mean() == pytest.approx(41, rel=0.05)
    minutes, units = minutes_inside("convenience", 8)
    assert minutes[units == 2].mean() == pytest.approx(12, rel=0.05)


def test_units_taken_are_kept_or_put_back() -> None:
    """Conservation: what a shopper takes off the shelves is kept or put back, line by line."""
    for shopper in draw_shoppers(load_scenario("convenience"), np.random.default_rng(3)):
        units = [0] * len(shopper.kept_units)
        for reach in shopper.reaches:
            units[reach.line] += -reach.quantity if reach.put_back else reach.quantity
        assert tuple(units) == shopper.kept_units


FAULTS = {
    "shoppers.visits_per_day": (-5, "shoppers.visits_per_day: -5: input should be greater than 0"),
    "shoppers.empty_share": (1.5, "shoppers.empty_share: 1.5"),
    "shoppers.items.mean": (1e9, "shoppers.items.mean: 1000000000.0"),
    "shoppers.items.median": (99.0, "a lognormal basket needs a median below its mean"),
    "shoppers.items": (
        {"distribution": "lognormal", "mean": 200, "median": 0.6},
        "no lognormal basket in whole units has mean 200 and median 0.6",
    ),
    "shoppers.hour_shares.9": (0.5, "shoppers.hour_shares has no fields of its own"),
    "shoppers.visits_per_day.mean": (5, "shoppers.visits_per_day has no fields of its own"),
    "shoppers.hour_shares": ({9: 0.5, 10: 0.2}, "hour_shares sum to 0.700, expected 1"),
    "just_walk_out.review.reviewers": (0, "reviewers is 0 while reviews are on"),
    "just_walk_out.review.work_s": ("soon", "just_walk_out.review.work_s: 'soon'"),
    "dash_cart.carts": (0, "dash_cart.carts: 0"),
    "dash_cart.scan_s": (float("nan"), "dash_cart.scan_s"),
}


@pytest.mark.parametrize("field", FAULTS)
def test_a_value_that_cannot_be_is_named(field: str) -> None:
    value, message = FAULTS[field]
    with pytest.raises(InputError) as caught:
        load_scenario("supermarket").with_values({field: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shopers": {}}, "shopers: unknown field; did you mean 'shoppers'?"),
        ({"dash_cart": {"cart": 3}}, "dash_cart.cart: unknown field; did you mean 'carts'?"),
        ({"schema": 7}, "schema: 7 is not the version"),
    ],
)
def test_a_file_with_an_unknown_field_suggests_the_nearest(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    document = {
        "schema": 1,
        "name": "mine",
        "shoppers": {"hour_shares": {9: 1.0}, "items": {"median": 5}},
    } | change
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError) as caught:
        load_scenario(file)
    assert f"mine.yaml: {message}" in str(caught.value)


def test_an_override_of_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'thresholds'"):
        load_scenario("supermarket").with_values({"just_walk_out.review.treshold.item": 0.5})
