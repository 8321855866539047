"""Laws that the simulation must obey, each with enough customers that an error of 2 % would show."""

from __future__ import annotations

import dataclasses
import heapq
import math

import numpy as np
import pytest
import simpy

from checkout.profile import PerceptionProfile
from sim.experiment import compare, replicate, simulate, threshold_curve
from sim.flows import make_flow
from sim.perception import Crowd, Perception
from sim.reviewers import ReviewDesk
from sim.scenario import Scenario
from sim.shoppers import Plans, Shopper, Take, draw_shoppers, itinerary, plans_of
from sim.store import Store, Story
from tests.sim.conftest import (
    always,
    exchanging_profile,
    flawless_profile,
    small,
    sold_to,
    two_valued_profile,
)

FLOWS = ["just-walk-out", "dash-cart", "self-checkout", "staffed-lanes"]


def many(shopper: Shopper, count: int, every_s: float) -> Plans:
    """The plans of one shopper who comes again and again."""
    one = plans_of([shopper])
    lines, events = len(one.units), len(one.line)
    number, event = np.repeat(np.arange(count), lines), np.repeat(np.arange(count), events)
    tiled = {f.name: np.tile(getattr(one, f.name), count) for f in dataclasses.fields(one) if f.name != "day"}
    tiled["arrives_s"] = shopper.arrives_s + every_s * np.arange(count)
    tiled["line_visit"] = number
    tiled["line"] = tiled["line"] + event * lines
    tiled["at_line"] = tiled["at_line"] + event * lines
    return Plans(0, **tiled)


def perceived(plans: Plans, scenario: Scenario, profile: PerceptionProfile) -> tuple[np.ndarray, np.ndarray]:
    """Lowest confidence and wrongness of each bill, of visits that never wait."""
    trip = itinerary(plans, plans.kept("guessed"), scenario.shoppers.at_shelf_s)
    enters_s = plans.arrives_s[plans.line_visit]
    crowd = Crowd(
        plans.shelf,
        enters_s + trip.stands_from_s,
        enters_s + trip.stands_until_s,
        plans.line_visit,
        1 + plans.beside,
    )
    everybody = np.ones(len(plans), bool)
    seen = Perception(profile, scenario, np.random.SeedSequence(5)).sees(
        plans, trip, plans.arrives_s, everybody, crowd
    )
    return seen.lowest, seen.wrong


@pytest.mark.parametrize(("q", "n"), [(0.106, 3), (0.05, 10)])
def test_reviews_of_independent_items_follow_the_power_law(q: float, n: int) -> None:
    """P(review) = 1 - (1 - q)^n for n shelf events."""
    sales = 100_000
    profile = two_valued_profile(q, size=100_000)
    # Eight seconds at a shelf and ten between shoppers: nobody meets anybody.
    plans = many(Shopper(0.0, tuple(Take(k) for k in range(n))), sales, 10.0)
    lowest, _ = perceived(plans, small(), profile)
    want = 1 - (1 - q) ** n
    assert np.mean(lowest < 0.5) == pytest.approx(want, rel=0.02)


def test_the_store_reviews_what_the_power_law_says() -> None:
    """The same through the whole flow, desk and all."""
    q, n, sales = 0.106, 3, 5_000
    limits = {f"just_walk_out.review.thresholds.{a}": 0.5 for a in ("item", "action", "shopper")}
    scenario = small(**limits, **{"just_walk_out.review.reviewers": 500, "just_walk_out.gates": 500})
    plans = many(Shopper(0.0, tuple(Take(k) for k in range(n))), sales, 30.0)
    result, _ = sold_to(scenario, "just-walk-out", [plans], two_valued_profile(q))
    want = 1 - (1 - q) ** n
    found = result.metrics()["reviews_per_1000_sales"]
    assert found == pytest.approx(1000 * want, abs=4000 * math.sqrt(want * (1 - want) / sales) + 1)


def erlang_c_wait_s(arrivals_per_s: float, work_s: float, servers: int) -> float:
    """Mean wait in an M/M/c queue (Erlang 1917)."""
    load = arrivals_per_s * work_s
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    p_wait = top / (sum(load**k / math.factorial(k) for k in range(servers)) + top)
    return p_wait * work_s / (servers - load)


def first_free(gaps: np.ndarray, work: np.ndarray, servers: int) -> np.ndarray:
    """Waits by the recursion of Kiefer and Wolfowitz (1955): each customer takes the server that is free first."""
    free_at = [0.0] * servers
    waits, now = np.empty(len(gaps)), 0.0
    for i, (gap, works_s) in enumerate(zip(gaps.tolist(), work.tolist(), strict=True)):
        now += gap
        begins = max(now, free_at[0])
        waits[i] = begins - now
        heapq.heapreplace(free_at, begins + works_s)
    return waits


def desk_waits(gaps: np.ndarray, work: np.ndarray, servers: int) -> np.ndarray:
    env = simpy.Environment()
    desk = ReviewDesk(env, servers)

    def arrivals() -> Story:
        for gap, work_s in zip(gaps.tolist(), work.tolist(), strict=True):
            yield env.timeout(gap)
            env.process(desk.review(work_s))

    env.process(arrivals())
    env.run()
    assert desk.busy_s == pytest.approx(work.sum())
    return np.array(desk.waits_s)


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_each_review_waits_exactly_for_the_first_reviewer_who_is_free(servers: int) -> None:
    rng, work_s, customers = np.random.default_rng(2), 100.0, 4000
    gaps, work = rng.exponential(work_s / (0.9 * servers), customers), rng.exponential(work_s, customers)
    want = first_free(gaps, work, servers)
    assert want.max() > work_s
    assert desk_waits(gaps, work, servers) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(("servers", "use"), [(1, 0.5), (2, 0.6), (4, 0.7)])
def test_the_review_desk_waits_as_erlang_c_says(servers: int, use: float) -> None:
    """By the recursion that the desk follows wait by wait (test above), for enough customers to see 2 %."""
    rng, work_s, customers = np.random.default_rng(1), 100.0, 1_000_000
    rate = use * servers / work_s
    waits = first_free(rng.exponential(1 / rate, customers), rng.exponential(work_s, customers), servers)
    assert waits.mean() == pytest.approx(erlang_c_wait_s(rate, work_s, servers), rel=0.02)


@pytest.mark.parametrize("flow", FLOWS)
def test_littles_law_holds_for_the_people_inside(flow: str, profile: PerceptionProfile) -> None:
    """Time-average of the people inside x the time = the sum of their times inside."""
    scenario = small(**{"shoppers.group_sizes": {1: 1.0}})
    day = replicate(scenario, flow, profile, 1, 0, keep_sales=True)
    t = day.table
    entry_s = {"just-walk-out": scenario.just_walk_out.gate_s, "dash-cart": scenario.dash_cart.unlock_s}.get(
        flow, 0.0
    )
    inside_s = t["leaves_s"] - t["arrives_s"] - t["entry_wait_s"] - entry_s
    assert day.person_seconds == pytest.approx(float(inside_s.sum()), rel=1e-6)
    mean = day.metrics()["people_inside_mean"]
    assert mean == pytest.approx(inside_s.sum() / (13 * 3600), rel=1e-6)


def test_units_taken_are_kept_or_put_back() -> None:
    """Conservation on the shelves: what is picked less what is put back is carried to the exit, line by line."""
    scenario = small(**{"shoppers.shelf_events_per_unit": 1.9, "shoppers.misplaced_share": 0.5})
    for bill in ("guessed", "shown"):
        plans = draw_shoppers(scenario, np.random.default_rng(3))
        trip = itinerary(plans, plans.kept(bill), 8.0)
        moved = np.where(plans.back, -plans.quantity, plans.quantity)[trip.events]
        assert np.bincount(plans.line[trip.events], moved, len(plans.units)).tolist() == trip.kept.tolist()


def test_flawless_perception_bills_exactly_what_was_carried_out() -> None:
    quiet = {"shoppers.hand_over_share": 0.0, "just_walk_out.review.spoils": 0.0}
    scenario = small(**quiet, **{"shoppers.shelf_events_per_unit": 1.9})
    day = replicate(scenario, "just-walk-out", flawless_profile(), 1, 0, keep_sales=True)
    assert day.table["shelf_events"].sum() > 1.5 * day.table["units"].sum()
    assert day.table["charged_usd"].tolist() == day.table["true_usd"].tolist()
    assert not day.table["wrong"].any()
    assert not day.table["reviewed"].any()


@pytest.mark.parametrize("profile_of", [lambda: always("wrong_shopper"), exchanging_profile])
def test_what_one_bill_lacks_another_has(profile_of: object) -> None:
    """Conservation over the bills: when only shoppers are mistaken, all units are charged, to somebody."""
    profile = profile_of()  # type: ignore[operator]
    quiet = {"shoppers.shelf_events_per_unit": 0.3, "shoppers.budget.share": 0.0, "shoppers.visits_per_day": 3000,
             "shoppers.hand_over_share": 0.1}  # fmt: skip
    scenario = small(
        **quiet, **{f"just_walk_out.review.thresholds.{a}": 0.0 for a in ("item", "action", "shopper")}
    )
    plans = draw_shoppers(scenario, np.random.default_rng(1))
    result, _ = sold_to(scenario, "just-walk-out", [plans], profile)
    t = result.table
    assert t["wrong"].sum() > 30
    assert t["true_usd"].sum() == pytest.approx((plans.units * plans.price_usd).sum())
    # The prior of the profile keeps a few other errors possible.
    assert t["charged_usd"].sum() == pytest.approx(t["true_usd"].sum(), rel=0.01)


def test_an_exchange_of_two_shoppers_has_one_cause_and_touches_two_bills() -> None:
    """Two stand together for long, then each takes three cans alone: all six are billed to the other."""
    together = [Take(0, walk_s=0.0)] * 30
    apart = [[Take(shelf, price_usd=price, walk_s=60.0) for shelf in (1, 2, 3)] for price in (1.0, 10.0)]
    scenario = small(**{"just_walk_out.exchange_minutes": 10_000.0, "just_walk_out.gates": 10})
    limits = {f"just_walk_out.review.thresholds.{a}": 0.0 for a in ("item", "action", "shopper")}
    first = Shopper(36_000.0, (*together, *apart[0]))
    second = Shopper(36_000.0, (*together, *(t._replace(shelf=t.shelf + 10) for t in apart[1])))
    profile, exchanged = exchanging_profile(), []
    for seed in range(24):
        store = Store(scenario.with_values(limits))
        flow = make_flow("just-walk-out", store, profile, np.random.SeedSequence(seed))
        store.run([plans_of([first, second])], flow)
        rows = store.tally.rows
        assert rows is not None
        gain = rows[0]["charged_usd"] - rows[0]["true_usd"]
        if abs(gain[0]) > 20:
            exchanged.append(gain)
    assert 3 < len(exchanged) < 24
    assert all(a * b < 0 for a, b in exchanged)
    # Of single errors, which the prior keeps possible, the middle one is free.
    assert np.median(np.abs(np.sum(exchanged, axis=1))) <= 1.0


@pytest.mark.parametrize("flow", ["just-walk-out", "self-checkout+staffed-lanes"])
def test_the_same_seed_gives_the_same_numbers_on_any_number_of_workers(
    flow: str, profile: PerceptionProfile
) -> None:
    one = simulate(small(), flow, profile, replications=4, seed=3, workers=1)
    two = simulate(small(), flow, profile, replications=4, seed=3, workers=2)
    other = simulate(small(), flow, profile, replications=4, seed=4, workers=1)
    assert one.values == two.values
    assert one.values != other.values


def test_flows_serve_the_same_shoppers_and_the_paired_interval_is_narrower(
    profile: PerceptionProfile,
) -> None:
    found = compare(small(), ("just-walk-out", "dash-cart"), profile, replications=8, seed=1)
    walk, dash = found.flows["just-walk-out"], found.flows["dash-cart"]
    assert walk.visits == dash.visits
    assert walk.values["items_per_sale"] != [None] * 8
    paired = next(d for d in found.differences if d.metric == "visit_mean_s").estimate
    a, b = walk.estimate("visit_mean_s"), dash.estimate("visit_mean_s")
    assert a is not None
    assert b is not None
    assert paired.mean == pytest.approx(a.mean - b.mean)
    assert paired.half_width < 0.7 * math.hypot(a.half_width, b.half_width)


def test_a_longer_calendar_leaves_the_first_days_as_they_are(profile: PerceptionProfile) -> None:
    short, long = (
        replicate(small(**{"calendar.days": days}), "dash-cart", profile, 1, 0, keep_sales=True).table
        for days in (1, 2)
    )
    assert long["charged_usd"][: len(short["charged_usd"])].tolist() == short["charged_usd"].tolist()


def test_a_warm_up_is_simulated_and_not_counted(profile: PerceptionProfile) -> None:
    """A desk that needs two days for one: the counted day begins with the backlog of those before."""
    slow = {"just_walk_out.review.reviewers": 1, "just_walk_out.review.work_s": 1000.0}
    sure = {f"just_walk_out.review.thresholds.{a}": 1.0 for a in ("item", "action", "shopper")}
    cold = replicate(small(**slow, **sure), "just-walk-out", profile, 1, 0, keep_sales=True)
    warm = replicate(
        small(**slow, **sure, **{"calendar.warm_up_days": 2}), "just-walk-out", profile, 1, 0, keep_sales=True
    )
    assert cold.table["day"].tolist() == [0] * cold.visits
    assert warm.table["day"].tolist() == [2] * warm.visits
    times_s = [r.metrics()["time_to_receipt_p50_s"] for r in (cold, warm)]
    assert None not in times_s
    assert times_s[1] > 1.5 * times_s[0]


def test_a_backlog_waits_for_the_morning(profile: PerceptionProfile) -> None:
    """What the day's reviewers cannot do is done the next day, and nothing is lost."""
    slow = {"just_walk_out.review.reviewers": 2, "just_walk_out.review.work_s": 600.0, "calendar.days": 3}
    by_day = {"just_walk_out.review.shifts": dict.fromkeys(range(8, 17), 1.0)}
    sure = {f"just_walk_out.review.thresholds.{a}": 0.99 for a in ("item", "action", "shopper")}
    result = replicate(small(**slow, **by_day, **sure), "just-walk-out", profile, 1, 0, keep_sales=True)
    t = result.table
    waiting = result.metrics()["reviews_waiting_at_midnight"]
    assert waiting is not None
    assert waiting > 10
    assert not np.isnan(t["time_to_receipt_s"]).any()
    done_hour = ((t["leaves_s"] + t["time_to_receipt_s"])[t["reviewed"]] / 3600) % 24
    # Whoever goes home finishes the review in hand.
    assert np.mean((done_hour >= 8) & (done_hour < 17.01)) > 0.97


def test_more_reviewers_never_lengthen_the_wait_for_the_receipt(profile: PerceptionProfile) -> None:
    busy = {"just_walk_out.review.work_s": 300.0, "shoppers.visits_per_day": 400}
    times = []
    for reviewers in (1, 2, 4, 16):
        result = simulate(
            small(**busy, **{"just_walk_out.review.reviewers": reviewers}),
            "just-walk-out",
            profile,
            replications=3,
        )
        estimate = result.estimate("time_to_receipt_mean_s")
        assert estimate is not None
        times.append(estimate.mean)
    assert times == sorted(times, reverse=True)
    assert times[0] > 1.2 * times[-1]


def test_a_stricter_threshold_never_reviews_less_nor_lets_more_escape(profile: PerceptionProfile) -> None:
    curve = threshold_curve(small(), profile, [0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0], replications=3)
    assert curve["reviews_per_1000_sales"].is_monotonic_increasing
    assert curve["escapes_per_1000_sales"].is_monotonic_decreasing
    assert curve["reviews_per_1000_sales"].iloc[0] == 0
    assert curve["reviews_per_1000_sales"].iloc[-1] > 500
    assert curve["escapes_per_1000_sales"].iloc[0] > curve["escapes_per_1000_sales"].iloc[-1]


@pytest.mark.parametrize("exchanging", [False, True])
def test_the_threshold_curve_agrees_with_a_simulation_at_that_threshold(
    profile: PerceptionProfile, exchanging: bool
) -> None:
    """With reviewers who make no mistakes, the curve is the simulation, also where bills are mended by others'."""
    scenario = small(**{"just_walk_out.review.accuracy": 1.0, "just_walk_out.review.spoils": 0.0})
    used = exchanging_profile() if exchanging else profile
    curve = threshold_curve(scenario, used, [0.9], replications=4, seed=2)
    result = simulate(scenario, "just-walk-out", used, replications=4, seed=2)
    for metric in ("reviews_per_1000_sales", "escapes_per_1000_sales"):
        estimate = result.estimate(metric)
        assert estimate is not None
        assert curve[metric].iloc[0] == pytest.approx(estimate.mean)


def test_fewer_judged_events_widen_the_interval() -> None:
    from tests.conftest import make_profile

    widths = []
    for size in (20, 2000):
        estimate = simulate(small(), "just-walk-out", make_profile(size=size), replications=12).estimate(
            "reviews_per_1000_sales"
        )
        assert estimate is not None
        widths.append(estimate.half_width)
    assert widths[0] > 1.5 * widths[1]


def test_bigger_baskets_need_more_reviews(profile: PerceptionProfile) -> None:
    from sim.experiment import basket_curve

    curve = basket_curve(small(), profile, [1.5, 5.0, 15.0], visits_per_day=150, replications=3)
    reviews = curve[(curve["flow"] == "just-walk-out") & (curve["metric"] == "reviews_per_1000_sales")]
    assert reviews.sort_values("items_mean")["mean"].is_monotonic_increasing
