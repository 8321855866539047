"""Who comes and what they do: the published shapes, real baskets, and what stays as it is when something changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sim.journey import journey
from sim.scenario import Items, Scenario, load_scenario
from sim.shoppers import Plans, draw_items, draw_shoppers, itinerary, opening_hours, weekday_hour_rates
from tests.sim.conftest import small


def drawn(scenario: Scenario, days: int) -> list[Plans]:
    return [draw_shoppers(scenario, np.random.default_rng(day), day) for day in range(days)]


def test_supermarket_baskets_have_the_published_shape() -> None:
    """Mean 10.7; half at most 5; 15 % over 15."""
    items = draw_items(load_scenario("supermarket").shoppers.items, 400_000, np.random.default_rng(0))
    assert items.mean() == pytest.approx(10.7, rel=0.01)
    assert np.mean(items <= 5) == pytest.approx(0.5, abs=0.004)
    assert np.mean(items > 15) == pytest.approx(0.15, abs=0.003)
    assert items.min() == 1


def test_convenience_baskets_have_the_published_shape() -> None:
    """Mean 2.8; 4 % with 5 or more."""
    items = draw_items(load_scenario("convenience").shoppers.items, 400_000, np.random.default_rng(0))
    assert items.mean() == pytest.approx(2.8, rel=0.01)
    assert np.mean(items >= 5) == pytest.approx(0.04, abs=0.002)
    assert (items.min(), items.max()) == (1, 10)


@pytest.mark.parametrize("mean", [2.0, 5.0, 20.0, 30.0])
def test_a_published_shape_can_have_another_mean(mean: float) -> None:
    items = draw_items(Items(mean=mean), 200_000, np.random.default_rng(0))
    assert items.mean() == pytest.approx(mean, rel=0.02)
    assert items.min() == 1


@pytest.mark.parametrize(("mean", "median"), [(10.7, 5.0), (2.0, 1.1), (30.0, 16.5)])
def test_a_lognormal_basket_has_the_mean_and_median_asked_for(mean: float, median: float) -> None:
    items = draw_items(
        Items(distribution="lognormal", mean=mean, median=median), 300_000, np.random.default_rng(0)
    )
    assert items.mean() == pytest.approx(mean, rel=0.02)
    assert np.mean(items <= np.floor(median)) < 0.51
    assert np.mean(items <= np.ceil(median)) > 0.49


def test_baskets_are_filled_to_the_unit_however_large() -> None:
    scenario = load_scenario("supermarket").with_values(
        {"shoppers.items": {"distribution": "lognormal", "mean": 150, "median": 100}, "shoppers.visits_per_day": 200,
         "shoppers.empty_share": 0.0}
    )  # fmt: skip
    plans = draw_shoppers(scenario, np.random.default_rng(0))
    units = plans.sum_by_visit(plans.units)
    assert units.max() > 3 * journey().most_units
    assert units.mean() == pytest.approx(150, rel=0.15)


def test_shoppers_arrive_and_shop_as_the_scenario_says() -> None:
    scenario = load_scenario("supermarket")
    days = drawn(scenario, 7)
    arrivals = np.concatenate([day.arrives_s for day in days])
    assert len(arrivals) / 7 == pytest.approx(1814, rel=0.03)
    rates = weekday_hour_rates(scenario)
    assert rates.sum() == pytest.approx(7 * 1814)
    # Day 0 is of the warm-up, so the second is a Monday; a Saturday is busier than a Tuesday.
    assert len(days[6]) > len(days[2]) + 100
    assert np.mean(arrivals // 3600 == 17) == pytest.approx(rates[:, 17].sum() / rates.sum(), abs=0.01)
    assert (arrivals.min() // 3600, arrivals.max() // 3600) == (7, 21)
    units = sum(int(day.units.sum()) for day in days)
    assert sum(int((~day.if_dropped).sum()) for day in days) / units == pytest.approx(1.3, abs=0.02)
    value = sum(float((day.units * day.price_usd).sum()) for day in days)
    assert value / units == pytest.approx(2.2, rel=0.05)
    assert np.mean(np.concatenate([day.people for day in days])) == pytest.approx(1.41, abs=0.02)


def test_a_month_makes_the_store_as_busy_as_it_was() -> None:
    scenarios = [load_scenario("supermarket").with_values({"calendar.month": month}) for month in (1, 7)]
    rates = [sum(len(plans) for plans in drawn(scenario, 6)) for scenario in scenarios]
    factors = journey().month_factors
    assert rates[1] / rates[0] == pytest.approx(factors[6] / factors[0], abs=0.03)


def test_prices_can_be_set() -> None:
    days = drawn(load_scenario("convenience"), 10)
    usd = sum(float((d.units * d.price_usd).sum()) for d in days) / sum(int(d.units.sum()) for d in days)
    assert usd == pytest.approx(3.6, rel=0.05)


@pytest.mark.parametrize(
    ("field", "value", "changes"),
    [
        ("shoppers.price_usd", 7.2, {"price_usd", "budget_usd"}),
        ("shoppers.lingers_s", 10.0, {"look_s"}),
        ("shoppers.budget.spread", 0.1, {"budget_usd"}),
        ("shoppers.walk_m_per_s", 1.2, {"walk_s", "leave_s"}),
    ],
)
def test_a_change_of_one_thing_leaves_the_rest_of_the_draw(
    field: str, value: float, changes: set[str]
) -> None:
    before, after = (draw_shoppers(s, np.random.default_rng(7)) for s in (small(), small(**{field: value})))
    different = {
        f.name for f in dataclasses.fields(Plans)
        if f.name != "day" and not np.array_equal(getattr(before, f.name), getattr(after, f.name))
    }  # fmt: skip
    assert different == changes


def test_a_misplaced_unit_is_put_down_at_a_later_shelf_of_the_same_visit() -> None:
    plans = draw_shoppers(
        small(**{"shoppers.misplaced_share": 0.5, "shoppers.shelf_events_per_unit": 1.9}),
        np.random.default_rng(1),
    )
    moved = plans.at_line != plans.line
    assert moved.sum() > 50
    assert plans.back[moved].all()
    assert (plans.at_line[moved] > plans.line[moved]).all()
    assert (plans.line_visit[plans.at_line] == plans.line_visit[plans.line]).all()
    assert (np.diff(plans.at_line) >= 0).all()


def test_visits_last_as_long_as_published() -> None:
    """41 minutes in a supermarket; 12 minutes for two items at Go."""
    for name, only, minutes in (("supermarket", None, 41.0), ("convenience", 2, 12.0)):
        found, units = [], []
        for plans in drawn(load_scenario(name), 7):
            found.append(itinerary(plans, plans.kept("guessed"), 8.0).shops_s / 60)
            units.append(plans.sum_by_visit(plans.units))
        chosen = np.concatenate(units) == only if only else slice(None)
        assert np.concatenate(found)[chosen].mean() == pytest.approx(minutes, rel=0.05)


def test_times_at_the_shelves_follow_each_other() -> None:
    plans = draw_shoppers(small(), np.random.default_rng(1))
    trip = itinerary(plans, plans.kept("guessed"), 8.0, handling_s=np.full(len(plans.line), 3.0))
    same = plans.line_visit[1:] == plans.line_visit[:-1]
    assert (trip.stands_from_s[1:] >= trip.stands_until_s[:-1] - 1e-9)[same].all()
    at_line = plans.at_line[trip.events]
    assert (trip.event_at_s >= trip.stands_from_s[at_line] - 1e-6).all()
    assert (trip.event_at_s + 11.0 <= trip.stands_until_s[at_line] + 1e-6).all()
    ends = trip.stands_until_s + plans.leave_s[plans.line_visit]
    assert (ends <= trip.shops_s[plans.line_visit] + 1e-6).all()


def test_within_a_budget_what_would_pass_it_is_put_back() -> None:
    from sim.shoppers import Shopper, Take, plans_of

    plans = plans_of([Shopper(0.0, tuple(Take(0, 1, usd) for usd in (4.0, 3.0, 2.0)), budget_usd=6.5)])
    assert plans.kept("shown").tolist() == [1, 0, 1]


def test_opening_hours_come_from_the_shares() -> None:
    assert opening_hours(load_scenario("convenience")) == (7, 20)
    assert opening_hours(load_scenario("supermarket")) == (7, 22)
