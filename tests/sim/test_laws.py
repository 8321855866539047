"""Laws that the simulation must obey, each with enough customers that a real error would show."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import simpy

from checkout.profile import CONFIDENCES, PerceptionProfile
from sim.experiment import compare, replicate, simulate, threshold_curve
from sim.reviewers import ReviewDesk
from sim.scenario import Scenario, load_scenario
from sim.shoppers import Reach, Shopper
from sim.store import Store, Story


def flawless_profile() -> PerceptionProfile:
    """Every event is right and sure, under so many conditions' worth of evidence that the prior vanishes."""
    return two_valued_profile(0.0, size=200_000)


def small(**changes: object) -> Scenario:
    """A convenience store of 200 visits a day."""
    return load_scenario("convenience").with_values({"shoppers.visits_per_day": 200} | changes)


def two_valued_profile(q: float, size: int = 20_000) -> PerceptionProfile:
    """Every event is right; its confidence is under one half with probability q, whatever the conditions."""
    low = np.arange(size) < q * size
    table = pd.DataFrame(
        {
            "recording": "law",
            "action": "pick",
            "quantity": 1,
            "people_near": 0,
            "look_alikes": 0,
            "same_weight": 0,
            "occlusion": 0.0,
            "outcome": "right",
        },
        index=range(size),
    )
    for name in CONFIDENCES:
        table[name] = np.where(low, 0.2, 0.99)
    ghosts = pd.DataFrame(columns=["recording", *CONFIDENCES])
    return PerceptionProfile("law", (), table, ghosts, 1e9)


@pytest.mark.parametrize(("q", "n"), [(0.106, 3), (0.05, 10)])
def test_reviews_of_independent_items_follow_the_power_law(q: float, n: int) -> None:
    """P(review) = 1 - (1 - q)^n for n shelf events."""
    from sim.flows.just_walk_out import JustWalkOutFlow

    scenario = small(
        **{"shelves.zones": 100_000, "just_walk_out.review.reviewers": 500, "just_walk_out.gates": 500}
    )
    scenario = scenario.with_values(
        {f"just_walk_out.review.thresholds.{a}": 0.5 for a in ("item", "action", "shopper")}
    )
    store = Store(scenario)
    flow = JustWalkOutFlow(store, two_valued_profile(q), np.random.SeedSequence(5))
    shoppers = [
        Shopper(i, 36_000.0 + i, tuple(Reach(1.0, (i * n + k) % 100_000, False, k, 1, False) for k in range(n)),
                (2.0,) * n, (1,) * n, 5.0)
        for i in range(20_000)
    ]  # fmt: skip
    store.run(shoppers, flow.visit)
    reviewed = flow.result().metrics()["reviews_per_1000_sales"]
    want = 1 - (1 - q) ** n
    # 20,000 sales: 4 standard errors, and the 0.0025 % prior of other outcomes.
    assert reviewed == pytest.approx(1000 * want, abs=4000 * math.sqrt(want * (1 - want) / 20_000) + 1)


def erlang_c_wait_s(arrivals_per_s: float, work_s: float, servers: int) -> float:
    """Mean wait in an M/M/c queue (Erlang 1917)."""
    load = arrivals_per_s * work_s
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    p_wait = top / (sum(load**k / math.factorial(k) for k in range(servers)) + top)
    return p_wait * work_s / (servers - load)


@pytest.mark.parametrize(("servers", "use"), [(1, 0.6), (3, 0.8), (8, 0.85)])
def test_the_review_desk_waits_as_erlang_c_says(servers: int, use: float) -> None:
    work_s = 100.0
    rate = use * servers / work_s
    env = simpy.Environment()
    desk = ReviewDesk(env, servers, work_s, np.random.default_rng(1))
    gaps = np.random.default_rng(2).exponential(1 / rate, 120_000).tolist()

    def arrivals() -> Story:
        for gap in gaps:
            yield env.timeout(gap)
            env.process(desk.review())

    env.process(arrivals())
    env.run()
    assert np.mean(desk.waits_s[2000:]) == pytest.approx(erlang_c_wait_s(rate, work_s, servers), rel=0.08)
    assert desk.busy_s / (servers * env.now) == pytest.approx(use, rel=0.02)


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_each_review_waits_exactly_for_the_first_reviewer_who_is_free(servers: int) -> None:
    """The recursion of Kiefer and Wolfowitz (1955) on the same work and arrivals, wait by wait."""
    env, work_s, customers = simpy.Environment(), 100.0, 4000
    gaps = np.random.default_rng(2).exponential(work_s / (0.9 * servers), customers).tolist()
    desk = ReviewDesk(env, servers, work_s, np.random.default_rng(1))

    def arrivals() -> Story:
        for gap in gaps:
            yield env.timeout(gap)
            env.process(desk.review())

    env.process(arrivals())
    env.run()
    work = np.random.default_rng(1)
    free_at, now, want = [0.0] * servers, 0.0, []
    for gap in gaps:
        now += gap
        first = min(range(servers), key=free_at.__getitem__)
        want.append(max(0.0, free_at[first] - now))
        free_at[first] = now + want[-1] + work.exponential(work_s)
    assert max(want) > work_s
    assert desk.waits_s == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("flow", ["just-walk-out", "dash-cart"])
def test_littles_law_holds_for_the_people_inside(flow: str, profile: PerceptionProfile) -> None:
    """Time-average of the people inside x the time span = the sum of their times inside."""
    day = replicate(small(), flow, profile, seed=1, replication=0)
    t = day.table
    scenario = small()
    entry = scenario.just_walk_out.gate_s if flow == "just-walk-out" else scenario.dash_cart.unlock_s
    # Forty carts for 200 visits: nobody waits at the dock; the other waits of a cart trip are inside.
    waits_before = 0.0 if flow == "dash-cart" else float(t["wait_s"].sum())
    inside = float((t["leaves_s"] - t["arrives_s"]).sum()) - waits_before - entry * len(t["units"])
    assert day.person_seconds == pytest.approx(inside, rel=1e-6)


def test_flawless_perception_bills_exactly_what_was_carried_out() -> None:
    """Conservation through the whole flow: units picked less put back are the units billed."""
    day = replicate(
        small(**{"shoppers.shelf_events_per_line": 1.9}), "just-walk-out", flawless_profile(), 1, 0
    )
    picked_more = day.table["shelf_events"].sum() > 1.5 * (day.table["units"] > 0).sum()
    assert picked_more
    assert day.table["charged_usd"].tolist() == day.table["true_usd"].tolist()
    assert not day.table["wrong"].any()
    assert not day.table["reviewed"].any()


def test_the_same_seed_gives_the_same_numbers_on_any_number_of_workers(profile: PerceptionProfile) -> None:
    one = simulate(small(), "just-walk-out", profile, replications=4, seed=3, workers=1)
    two = simulate(small(), "just-walk-out", profile, replications=4, seed=3, workers=2)
    other = simulate(small(), "just-walk-out", profile, replications=4, seed=4, workers=1)
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


def test_the_threshold_curve_agrees_with_a_simulation_at_that_threshold(profile: PerceptionProfile) -> None:
    curve = threshold_curve(small(), profile, [0.9], replications=4, seed=2)
    result = simulate(small(), "just-walk-out", profile, replications=4, seed=2)
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
