"""Scenarios: the shipped ones hold, and faults are said in one line with the nearest field."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from checkout.errors import InputError
from sim.scenario import load_scenario, shipped_scenarios


def test_the_stores_are_shipped() -> None:
    assert {"supermarket", "convenience"} <= set(shipped_scenarios())
    assert all(load_scenario(name).name == name for name in shipped_scenarios())


FAULTS = {
    "shoppers.visits_per_day": (-5, "shoppers.visits_per_day: -5: input should be greater than 0"),
    "shoppers.empty_share": (1.5, "shoppers.empty_share: 1.5"),
    "shoppers.items.mean": (1e9, "shoppers.items.mean: 1000000000.0"),
    "shoppers.items.distribution": ("lognormal", "a lognormal basket needs a median below its mean"),
    "shoppers.items": (
        {"distribution": "lognormal", "mean": 200, "median": 0.6},
        "no lognormal basket in whole units has mean 200 and median 0.6",
    ),
    "shoppers.group_sizes.2": (0.5, "shoppers.group_sizes has no fields of its own"),
    "shoppers.group_sizes": ({1: 0.5, 2: 0.2}, "group_sizes sum to 0.700, expected 1"),
    "shoppers.weekday_shares": (
        {"monday": 0.5, "funday": 0.5},
        "weekday_shares has 'funday', expected monday",
    ),
    "shoppers.closes_hour": (5, "closes_hour is 5, expected later than opens_hour 7"),
    "shelves.layout": (
        "supermarkt",
        "'supermarkt' is neither a shipped layout nor a .yaml file; did you mean 'supermarket'?",
    ),
    "dash_cart.zone": (
        "tils",
        "dash_cart.zone: 'tils' is not a zone of the layout supermarket; did you mean 'tills'?",
    ),
    "dash_cart.fallback_lanes": (0, "fallback_lanes is 0 while shoppers without a cart go to a lane"),
    "dash_cart.cart_usd": (float("inf"), "dash_cart.cart_usd"),
    "just_walk_out.review.shifts": ({}, "nobody is at work in any hour of shifts, while reviews are on"),
    "staffed_lanes.shifts": ({9: 2.0}, "shifts need a share above 0, none above 1"),
    "choice.likes": ({"dash-cart": -1.0}, "likes has a weight below 0"),
    "choice.likes.dash-carts": (
        0.5,
        "choice.likes.dash-carts: unknown field; did you mean 'choice.likes.dash-cart'?",
    ),
    "shoppers.items_mean": (5, "shoppers.items_mean: unknown field; did you mean 'shoppers.items.mean'?"),
    "thresholds.item": (0.5, "did you mean 'just_walk_out.review.thresholds.item'?"),
    "calendar.days": (0, "calendar.days: 0"),
    "calendar.first_weekday": ("funday", "calendar.first_weekday: 'funday'"),
    "shoppers.visits_per_day.mean": (5, "shoppers.visits_per_day has no fields of its own"),
    "shoppers.hour_shares": ({9: 0.5, 10: 0.2}, "hour_shares sum to 0.700, expected 1"),
    "just_walk_out.review.reviewers": (0, "reviewers is 0 and nobody is at work"),
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
        "shoppers": {"hour_shares": {9: 1.0}, "items": {"mean": 5}},
    } | change
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError) as caught:
        load_scenario(file)
    assert f"mine.yaml: {message}" in str(caught.value)


def test_a_weight_for_a_flow_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"likes has 'dash-carts', which is not a flow; did you mean 'dash-cart'\?"
    ):
        load_scenario("supermarket").with_values({"choice.likes": {"dash-carts": 0.5}})


def test_an_override_of_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean 'just_walk_out\.review\.thresholds\.item'"):
        load_scenario("supermarket").with_values({"just_walk_out.review.treshold.item": 0.5})
