"""Each flow's story on a case small enough to compute by hand, and the shapes that scripts rely on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.demo import SHIPPED_PROFILE
from sim.experiment import compare, simulate
from sim.flows.dash_cart import all_good
from sim.results import COST_PARTS, METRICS, Replication
from sim.scenario import Scenario, load_scenario
from sim.shoppers import Shopper, Take
from tests.sim.conftest import ALWAYS_AT_WORK, ONE_DAY, always, row, small, sold

NOON_S = 12 * 3600.0
CAN = Shopper(NOON_S, (Take(0, 2, 1.5, walk_s=10.0),), 20.0)
EMPTY = Shopper(NOON_S, (), 30.0)


def store(**changes: object) -> Scenario:
    base = {
        "just_walk_out.review.accuracy": 1.0,
        "just_walk_out.review.spoils": 0.0,
        "just_walk_out.dispute_share": 0.0,
    }
    return load_scenario("convenience").with_values(ONE_DAY | ALWAYS_AT_WORK | base | changes)


def walk_out(profile: PerceptionProfile, *shoppers: Shopper, **changes: object) -> Replication:
    return sold(store(**changes), "just-walk-out", *shoppers, profile=profile)[0]


def dash(scenario: Scenario, *shoppers: Shopper) -> Replication:
    return sold(scenario, "dash-cart", *shoppers)[0]


def test_walking_out_with_two_cans_by_hand() -> None:
    """Gate 4 s, walk 10 s, shelf 8 s, leave 20 s; receipt after 180 s; 2 x $1.50."""
    visit = row(walk_out(always("right"), CAN))
    assert visit["leaves_s"] - visit["arrives_s"] == pytest.approx(4 + 10 + 8 + 20)
    assert visit["time_to_receipt_s"] == pytest.approx(180)
    assert (visit["true_usd"], visit["charged_usd"], visit["wrong"], visit["reviewed"]) == (
        3.0,
        3.0,
        False,
        False,
    )
    assert not visit["total_known"]


def test_what_is_missed_is_not_on_the_bill() -> None:
    visit = row(walk_out(always("missed"), CAN))
    assert (visit["charged_usd"], visit["wrong"]) == (0.0, True)


def test_a_wrong_product_is_charged_at_the_price_of_one_on_that_shelf() -> None:
    visit = row(walk_out(always("wrong_product"), CAN))
    assert visit["wrong"]
    assert visit["charged_usd"] > 0
    assert visit["charged_usd"] != pytest.approx(3.0)


def test_who_is_alone_is_taken_for_nobody_else() -> None:
    visit = row(walk_out(always("wrong_shopper"), CAN))
    assert (visit["charged_usd"], visit["wrong"]) == (3.0, False)


def test_an_item_given_to_the_neighbour_is_charged_to_the_neighbour() -> None:
    stands_there = Shopper(NOON_S - 5.0, (Take(0, 1, 1.0, walk_s=10.0),), 20.0)
    result = walk_out(always("wrong_shopper"), stands_there, CAN)
    assert result.table["charged_usd"].tolist() == [pytest.approx(1.0 + 2 * 1.5), 0.0]
    assert result.table["true_usd"].tolist() == [1.0, 3.0]


def test_a_companion_pays_on_the_same_bill() -> None:
    pair = walk_out(always("wrong_shopper"), CAN._replace(people=2))
    assert row(pair)["charged_usd"] == 3.0


def test_a_doubtful_sale_is_reviewed_and_put_right() -> None:
    visit = row(walk_out(always("wrong_product", 0.6), CAN))
    assert (visit["reviewed"], visit["wrong"], visit["charged_usd"]) == (True, False, 3.0)
    assert visit["time_to_receipt_s"] > 180


def test_a_review_gives_back_what_was_billed_to_somebody_else() -> None:
    """The neighbour's bill is doubtful, for what it was given; its review finds whose it was."""
    stands_there = Shopper(NOON_S - 5.0, (Take(0, 1, 1.0, walk_s=10.0),), 20.0)
    result = walk_out(always("wrong_shopper", 0.6), stands_there, CAN)
    assert result.table["reviewed"].tolist() == [True, False]
    assert result.table["held"].tolist() == [False, True]
    assert result.table["charged_usd"].tolist() == [1.0, 3.0]
    assert not result.table["wrong"].any()


def test_who_stands_near_a_doubtful_event_waits_for_its_review() -> None:
    """All are doubtful. The first stands at the shelf when the neighbour comes; the third is elsewhere."""
    near = Shopper(NOON_S + 2, (Take(0, 1, 1.0, walk_s=9.0),), 300.0)
    far = Shopper(NOON_S + 2, (Take(5, 1, 1.0, walk_s=9.0),), 300.0)
    held = walk_out(always("right", 0.6), CAN, near, far, **{"just_walk_out.review.work_variation": 0.0})
    assert held.table["reviewed"].tolist() == [True, True, True]
    assert held.table["held"].tolist() == [True, False, False]
    alone_s, _, far_s = held.table["time_to_receipt_s"].tolist()
    assert far_s == pytest.approx(180 + 180 + 20)
    # The first has left 280 s before the neighbour, whose review ends last.
    assert alone_s > far_s + 250


def test_a_sale_that_a_review_empties_stays_a_sale() -> None:
    """A can picked and put back, both read as some other product: charged, doubted, reviewed, charged nothing."""
    browser = Shopper(NOON_S, (Take(0, 1, 1.5, walk_s=10.0, put_back=True),), 20.0)
    result = walk_out(always("wrong_product", 0.6), browser, EMPTY)
    visit = row(result)
    assert (visit["reviewed"], visit["charged_usd"], visit["units"]) == (True, 0.0, 0)
    assert result.is_sale.tolist() == [True, False]
    assert result.metrics()["reviews_per_1000_sales"] == 1000


def test_an_empty_visit_is_no_sale() -> None:
    result = walk_out(always("right"), CAN, EMPTY)
    assert result.is_sale.tolist() == [True, False]
    assert result.metrics()["empty_visits_per_1000_visits"] == pytest.approx(500)


def test_a_review_asked_for_at_night_is_done_when_the_desk_opens() -> None:
    late = CAN._replace(arrives_s=19.5 * 3600)
    changes = {
        "just_walk_out.review.shifts": dict.fromkeys(range(8, 19), 1.0),
        "just_walk_out.review.work_variation": 0,
    }
    visit = row(walk_out(always("right", 0.6), late, **changes))
    done_s = visit["leaves_s"] + visit["time_to_receipt_s"]
    assert done_s == pytest.approx((24 + 8) * 3600 + 180 + 20)


def test_an_overcharge_is_disputed_and_refunded() -> None:
    result = walk_out(
        always("wrong_quantity"),
        CAN._replace(takes=(Take(0, 1, 1.5),)),
        **{"just_walk_out.dispute_share": 1.0},
    )
    visit = row(result)
    assert (visit["charged_usd"], visit["disputed"], visit["refunded_usd"]) == (3.0, True, 1.5)
    assert result.metrics()["disputes_per_1000_sales"] == 1000
    assert result.metrics()["shrink_share_of_value"] == 0


def test_an_item_handed_over_is_carried_out_by_the_neighbour_and_charged_to_the_taker() -> None:
    giver = Shopper(NOON_S, (Take(0, 2, 1.5, walk_s=10.0, handed=True),), 20.0)
    stands_there = Shopper(NOON_S - 5.0, (Take(0, 1, 1.0, walk_s=10.0),), 20.0)
    result = walk_out(always("right"), stands_there, giver)
    assert result.table["true_usd"].tolist() == [4.0, 0.0]
    assert result.table["charged_usd"].tolist() == [1.0, 3.0]
    alone = walk_out(always("right"), giver)
    assert alone.table["true_usd"].tolist() == [3.0]


def test_a_guess_over_the_budget_makes_a_shopper_put_back_and_a_bill_shown_does_not() -> None:
    """Two cans of $1.50 and a cake of $4, $8 in mind: in all $7, which this shopper guesses to be $10.50."""
    careful = Shopper(NOON_S, (Take(0, 2, 1.5), Take(1, 1, 4.0)), 20.0, budget_usd=8.0, guess=1.5)
    walked = row(walk_out(always("right"), careful))
    assert (walked["true_usd"], walked["shelf_events"], walked["believed_usd"]) == (3.0, 3, 4.5)
    carted = row(dash(perfect_scanning(), careful))
    assert (carted["true_usd"], carted["shelf_events"], carted["believed_usd"]) == (7.0, 2, 7.0)


def perfect_scanning(**changes: object) -> Scenario:
    perfect = dict.fromkeys(
        ("dash_cart.unscanned", "dash_cart.false_alarm", "dash_cart.scan_fails", "dash_cart.audit_share"), 0.0
    )
    return load_scenario("convenience").with_values(ONE_DAY | perfect | changes)


def test_a_cart_trip_by_hand() -> None:
    """Unlock 15 s, walk 10 s, shelf 8 s, scan 2 x 4 s, leave 20 s, lane 8 s."""
    visit = row(dash(perfect_scanning(), CAN))
    assert visit["leaves_s"] - visit["arrives_s"] == pytest.approx(15 + 10 + 8 + 8 + 20 + 8)
    assert visit["time_to_receipt_s"] == pytest.approx(8)
    assert (visit["charged_usd"], visit["wrong"], visit["interventions"], visit["total_known"]) == (
        3.0,
        False,
        0,
        True,
    )


def test_loose_produce_is_weighed() -> None:
    apples = CAN._replace(takes=(Take(0, 2, 1.5, walk_s=10.0, weighed=True),))
    visit = row(dash(perfect_scanning(), apples))
    assert visit["leaves_s"] - visit["arrives_s"] == pytest.approx(15 + 10 + 8 + 8 + 9 + 20 + 8)


def test_the_second_shopper_waits_for_the_only_cart_to_come_back_and_charge() -> None:
    changes = {"dash_cart.carts": 1, "dash_cart.no_cart": "wait", "dash_cart.charge_share": 0.5}
    result = dash(perfect_scanning(**changes), CAN, CAN)
    assert result.table["entry_wait_s"][1] == pytest.approx(69 + 240 + 0.5 * (69 + 240))


def test_a_dock_that_is_taken_keeps_the_cart_waiting() -> None:
    """Two carts come back at the same time to one charger."""
    changes = {
        "dash_cart.carts": 2,
        "dash_cart.docks": 1,
        "dash_cart.no_cart": "wait",
        "dash_cart.charge_share": 1.0,
    }
    scenario = perfect_scanning(**changes, **{"dash_cart.lanes": 2})
    result = dash(scenario, CAN, CAN, CAN, CAN)
    away_s = 69 + 240
    assert result.table["entry_wait_s"].tolist() == pytest.approx([0, 0, 2 * away_s, 3 * away_s])


@pytest.mark.parametrize(("instead", "served_by", "lost"), [("lane", 3, False), ("leave", 1, True)])
def test_who_finds_no_cart_goes_to_a_lane_or_away(instead: str, served_by: int, lost: bool) -> None:
    changes = {"dash_cart.carts": 1, "dash_cart.no_cart": instead, "dash_cart.dock_patience_s": 30.0}
    visit = row(dash(perfect_scanning(**changes), CAN, CAN), 1)
    assert (visit["served_by"], visit["lost"], visit["entry_wait_s"]) == (served_by, lost, 30.0)
    assert visit["lost_usd"] == (3.0 if lost else 0.0)


@pytest.mark.parametrize(
    ("too_large", "units", "lost_usd"), [("lane", 9, 0.0), ("leave", 0, 9.0), ("trim", 6, 3.0)]
)
def test_a_list_over_the_bags_is_downgraded_refused_or_cut(
    too_large: str, units: int, lost_usd: float
) -> None:
    """Nine units in three lines, two bags of four."""
    large = Shopper(NOON_S, tuple(Take(shelf, 3, 1.0) for shelf in range(3)), 20.0)
    changes = {"dash_cart.bags": 2, "dash_cart.units_per_bag": 4, "dash_cart.too_large": too_large}
    visit = row(dash(perfect_scanning(**changes), large))
    assert (visit["units"], visit["lost_usd"]) == (units, lost_usd)


def test_an_unscanned_unit_is_undercharged_unless_the_scale_sees_it() -> None:
    blind = row(dash(perfect_scanning(**{"dash_cart.unscanned": 1.0, "dash_cart.mismatch_seen": 0.0}), CAN))
    assert (blind["charged_usd"], blind["wrong"]) == (0.0, True)
    changes = {"dash_cart.unscanned": 1.0, "dash_cart.mismatch_seen": 1.0, "dash_cart.help_share": 1.0}
    seen = row(dash(perfect_scanning(**changes), CAN))
    assert (seen["charged_usd"], seen["wrong"], seen["interventions"]) == (3.0, False, 2)
    assert seen["leaves_s"] - seen["arrives_s"] == pytest.approx(69 + 2 * 8 + 2 * 45)


def test_an_audit_of_all_units_finds_what_was_not_scanned() -> None:
    changes = {"dash_cart.unscanned": 1.0, "dash_cart.mismatch_seen": 0.0, "dash_cart.audit_share": 1.0}
    visit = row(dash(perfect_scanning(**changes), CAN))
    assert (visit["audited"], visit["charged_usd"], visit["wrong"]) == (True, 3.0, False)
    assert visit["time_to_receipt_s"] == pytest.approx(8 + 2 * 4 + 2 * 4)


def test_what_is_concealed_is_on_no_cart_bill_and_no_audit_finds_it() -> None:
    thief = CAN._replace(takes=(Take(0, 2, 1.5), Take(1, 1, 4.0, concealed=True)))
    visit = row(dash(perfect_scanning(**{"dash_cart.audit_share": 1.0}), thief))
    assert (visit["true_usd"], visit["charged_usd"], visit["stolen_usd"], visit["wrong"]) == (
        7.0,
        3.0,
        4.0,
        True,
    )


def test_the_chance_that_an_audit_sees_nothing_is_hypergeometric() -> None:
    chances = all_good(np.array([10, 5, 3]), np.array([2, 1, 0]), np.array([5, 5, 3]))
    assert chances.tolist() == pytest.approx([math.comb(8, 5) / math.comb(10, 5), 0.0, 1.0])


def till(flow: str, *shoppers: Shopper, **changes: object) -> Replication:
    honest = {
        f"{name}.{field}": 0.0
        for name in ("self_checkout", "staffed_lanes")
        for field in ("unscanned", "charged_twice")
    }
    return sold(
        load_scenario("convenience").with_values(ONE_DAY | honest | {"self_checkout.help_share": 0.0} | changes),
        flow, *shoppers,
    )[0]  # fmt: skip


def test_a_cashier_serves_two_who_come_together_one_after_the_other() -> None:
    """Walk 10 s, shelf 8 s, to the lane 20 s; scan 2 x 3 s and pay 30 s; one lane."""
    result = till("staffed-lanes", CAN, CAN, **{"staffed_lanes.lanes": 1})
    times_s = result.table["leaves_s"] - result.table["arrives_s"]
    assert times_s.tolist() == pytest.approx([38 + 36, 38 + 72])
    assert result.table["lane_wait_s"].tolist() == pytest.approx([0, 36])
    assert result.table["time_to_receipt_s"].tolist() == pytest.approx([36, 72])


def test_a_station_scans_slower_and_may_call_for_help() -> None:
    """Scan 2 x 10 s and pay 30 s; each of the two units calls an attendant for 30 s."""
    alone = row(till("self-checkout", CAN))
    assert alone["leaves_s"] - alone["arrives_s"] == pytest.approx(38 + 50)
    helped = row(till("self-checkout", CAN, **{"self_checkout.help_share": 1.0}))
    assert helped["interventions"] == 2
    assert helped["leaves_s"] - helped["arrives_s"] == pytest.approx(38 + 50 + 60)


def test_who_expects_to_wait_too_long_leaves_everything() -> None:
    changes = {"staffed_lanes.lanes": 1, "shoppers.balks_at_s": 30.0}
    result = till("staffed-lanes", CAN, CAN, CAN, **changes)
    assert result.table["lost"].tolist() == [False, False, True]
    assert result.table["lost_usd"].tolist() == [0.0, 0.0, 3.0]
    assert result.metrics()["lost_visits_per_1000_visits"] == pytest.approx(1000 / 3)


def test_who_has_waited_too_long_leaves_the_queue() -> None:
    result = till("staffed-lanes", CAN, CAN._replace(patience_s=20.0), **{"staffed_lanes.lanes": 1})
    assert result.table["lost"].tolist() == [False, True]
    assert result.table["lane_wait_s"].tolist() == pytest.approx([0, 20])


def test_lanes_open_as_the_hours_say() -> None:
    """One of two lanes before noon: the second shopper waits; from noon on both are open."""
    changes = {
        "staffed_lanes.lanes": 2,
        "staffed_lanes.shifts": dict.fromkeys(range(12), 0.5) | dict.fromkeys(range(12, 24), 1.0),
    }
    morning = CAN._replace(arrives_s=NOON_S - 600)
    result = till(
        "staffed-lanes",
        morning,
        morning,
        CAN._replace(arrives_s=NOON_S + 600),
        CAN._replace(arrives_s=NOON_S + 600),
        **changes,
    )
    assert result.table["lane_wait_s"].tolist() == pytest.approx([0, 36, 0, 0])


def test_a_total_over_the_budget_stays_at_the_till() -> None:
    """The guess is too low; the till says $7, so the cake of $4 is left there."""
    careful = Shopper(NOON_S, (Take(0, 2, 1.5), Take(1, 1, 4.0)), 20.0, budget_usd=5.0, guess=0.5)
    visit = row(till("staffed-lanes", careful))
    assert (visit["charged_usd"], visit["wrong"], visit["total_known"]) == (3.0, False, True)
    walked = row(walk_out(always("right"), careful))
    assert (walked["charged_usd"], walked["over_budget"], walked["total_known"]) == (7.0, True, False)


def test_units_not_scanned_are_undercharged() -> None:
    visit = row(till("self-checkout", CAN, **{"self_checkout.unscanned": 1.0}))
    assert (visit["true_usd"], visit["charged_usd"], visit["wrong"]) == (3.0, 0.0, True)


def test_shoppers_choose_the_till_that_is_quicker() -> None:
    """One lane and one station, both liked alike: who finds the lane taken mostly goes to the station."""
    likes = {"self-checkout": 1.0, "staffed-lanes": 1.0}
    changes = {
        "staffed_lanes.lanes": 1,
        "self_checkout.stations": 1,
        "choice.likes": likes,
        "choice.wait_matters": 10.0,
    }
    result = till("self-checkout+staffed-lanes", CAN, CAN, CAN, **changes)
    assert result.table["served_by"].tolist() == [3, 3, 2] or result.table["served_by"].tolist() == [3, 2, 3]
    assert not result.table["lost"].any()


def test_large_baskets_are_not_let_in_at_the_stations() -> None:
    likes = {"self-checkout": 1.0, "staffed-lanes": 0.0}
    changes = {"choice.likes": likes, "self_checkout.most_units": 1}
    result = till("self-checkout+staffed-lanes", CAN, **changes)
    assert result.table["served_by"].tolist() == [3]


def test_flows_beside_each_other_share_the_shelves(profile: PerceptionProfile) -> None:
    """A neighbour who pays at a till is a person near, but nobody's bill is charged to them."""
    likes = {"just-walk-out": 1.0, "staffed-lanes": 1.0}
    scenario = store(**{"choice.likes": likes})
    others = tuple(Shopper(NOON_S, (Take(0, 1, 1.0, walk_s=10.0),), 20.0) for _ in range(200))
    result, _ = sold(scenario, "just-walk-out+staffed-lanes", *others, profile=always("wrong_shopper"))
    served = result.table["served_by"]
    assert 60 < (served == 0).sum() < 140
    assert result.table["charged_usd"][served == 3].max() <= 1.0
    assert result.table["charged_usd"][served == 0].sum() < (served == 0).sum()


def test_an_unknown_flow_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'dash-cart'"):
        simulate(load_scenario("convenience"), "dashcart")
    with pytest.raises(InputError, match="names a flow twice"):
        simulate(load_scenario("convenience"), "dash-cart+dash-cart")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "--seed: -1 is negative"),
        ({"replications": 0}, "--replications: 0, expected at least 1"),
    ],
)
def test_a_run_that_cannot_be_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(load_scenario("convenience"), "dash-cart", **settings)


@pytest.mark.parametrize("flows", [[], ["dash-cart", "dash-cart"]])
def test_a_comparison_needs_different_flows(flows: list[str]) -> None:
    with pytest.raises(InputError, match="expected different flows"):
        compare(load_scenario("convenience"), flows, replications=2)


def test_days_without_a_visit_keep_their_place_in_the_sales_table() -> None:
    scenario = small(**{"shoppers.visits_per_day": 0.3})
    result = simulate(scenario, "dash-cart", replications=30, keep_sales=True)
    assert len(result.tables) == 30
    days = [day for day, table in enumerate(result.tables) if len(table)]
    assert 0 < len(days) < 30
    assert sorted(result.sales_table()["replication"].unique()) == days


def test_walking_out_needs_a_profile_of_some_events() -> None:
    from tests.conftest import make_profile

    with pytest.raises(InputError, match="needs a perception profile"):
        simulate(load_scenario("convenience"), "just-walk-out")
    with pytest.raises(InputError, match="5 judged events, expected at least 10"):
        simulate(load_scenario("convenience"), "just-walk-out", make_profile(size=5))


def test_the_json_that_scripts_rely_on(profile: PerceptionProfile) -> None:
    found = compare(
        small(**{"shoppers.visits_per_day": 60}), ("just-walk-out", "dash-cart"), profile, replications=3
    )
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    walk, cart = document["flows"]["just-walk-out"], document["flows"]["dash-cart"]
    assert set(walk) >= {"scenario", "flow", "seed", "replications", "visits", "sales", "metrics"}
    assert set(walk["metrics"]) == set(METRICS)
    assert walk["metrics"]["interventions_per_1000_sales"] is None
    assert cart["metrics"]["reviews_per_1000_sales"] is None
    assert cart["metrics"]["reviewer_utilisation"] is None
    low, high = walk["metrics"]["reviews_per_1000_sales"]["ci95"]
    assert low <= walk["metrics"]["reviews_per_1000_sales"]["mean"] <= high
    assert set(document["differences"][0]) == {
        "metric", "a", "b", "mean", "ci95", "simulation_ci95", "method"
    }  # fmt: skip
    assert "reviews_per_1000_sales" not in {d["metric"] for d in document["differences"]}


@pytest.mark.parametrize("flow", ["just-walk-out", "dash-cart", "self-checkout", "staffed-lanes"])
def test_the_parts_of_the_cost_sum_to_the_cost(flow: str, profile: PerceptionProfile) -> None:
    from sim.experiment import replicate

    metrics = replicate(small(), flow, profile, 1, 0).metrics()
    parts = [metrics[f"cost_{part}_per_sale_usd"] for part in COST_PARTS]
    assert sum(p for p in parts if p is not None) == pytest.approx(metrics["cost_per_sale_usd"])
    sales = metrics["sales_per_day"]
    assert sales is not None
    assert metrics["cost_per_year_usd"] == pytest.approx(metrics["cost_per_sale_usd"] * sales * 365)


def test_every_sale_can_be_kept(profile: PerceptionProfile) -> None:
    result = simulate(
        small(**{"shoppers.visits_per_day": 60}), "just-walk-out", profile, replications=2, keep_sales=True
    )
    table = result.sales_table()
    assert len(table) == result.visits
    assert table.groupby("replication").size().tolist() == [len(t) for t in result.tables]


def test_the_report_holds_everything_itself(profile: PerceptionProfile, tmp_path: Path) -> None:
    from sim.experiment import basket_curve, threshold_curve
    from sim.report.page import write_report

    scenario = small(**{"shoppers.visits_per_day": 60})
    write_report(
        tmp_path / "report.html",
        comparisons={"convenience": compare(scenario, profile=profile, replications=2)},
        baskets=basket_curve(scenario, profile, [1.5, 5], visits_per_day=50, replications=2),
        thresholds={"convenience": threshold_curve(scenario, profile, [0.5, 0.9], replications=2)},
        evaluation=None,
        profile=profile,
        command="checkout demo",
    )
    page = (tmp_path / "report.html").read_text()
    for part in (
        "Side by side: convenience",
        "Basket size",
        "Review threshold",
        "How each number was obtained",
    ):
        assert part in page
    outside = page.split("</script>", 1)[1]
    assert 'src="http' not in outside
    assert 'href="http' not in outside


def test_a_bill_held_past_the_last_review_is_still_paid() -> None:
    """Where hardly anything is reviewed, a shopper who leaves late may be held for a neighbour reviewed before that."""
    store = load_scenario("fresh-supermarket-2022").with_values(
        {"calendar.days": 1, "calendar.warm_up_days": 0}
    )
    sure = replace(PerceptionProfile.load(SHIPPED_PROFILE), error_odds=1 / 256)
    found = simulate(store, "just-walk-out", sure, replications=4, seed=1)
    assert None not in found.values["reviews_per_1000_sales"]
    assert min(v for v in found.values["sales_per_day"] if v is not None) > 1000
