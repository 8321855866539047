"""Each flow's story on a case small enough to compute by hand, and the shapes that scripts rely on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.profile import CONFIDENCES, PerceptionProfile
from sim.experiment import compare, simulate
from sim.flows.dash_cart import DashCartFlow, _all_good
from sim.flows.just_walk_out import JustWalkOutFlow
from sim.results import METRICS, Replication
from sim.scenario import Scenario, load_scenario
from sim.shoppers import Reach, Shopper
from sim.store import Store

CAN = Shopper(0, 1000.0, (Reach(10.0, 0, False, 0, 2, False),), (1.5,), (2,), 20.0)
EMPTY = Shopper(1, 1000.0, (), (), (), 30.0)


def always(outcome: str, confidence: float = 0.99) -> PerceptionProfile:
    """Perception of which every event comes out in one way."""
    n = 100_000
    table = pd.DataFrame(
        {"recording": "x", "action": ["pick", "put_back"] * (n // 2), "quantity": 1, "people_near": 0,
         "look_alikes": 0, "same_weight": 0, "occlusion": 0.0, "outcome": outcome}
    )  # fmt: skip
    first = table.index == 0
    table.loc[first, "outcome"] = "right"
    for name in CONFIDENCES:
        table[name] = np.where((outcome == "missed") & ~first, np.nan, confidence)
    return PerceptionProfile("x", (), table, pd.DataFrame(columns=["recording", *CONFIDENCES]), 1e9)


def walk_out(profile: PerceptionProfile, *shoppers: Shopper, **changes: object) -> Replication:
    scenario = load_scenario("convenience").with_values({"just_walk_out.review.accuracy": 1.0} | changes)
    store = Store(scenario)
    flow = JustWalkOutFlow(store, profile, np.random.SeedSequence(1))
    store.run(shoppers, flow.visit)
    return flow.result()


def dash(scenario: Scenario, *shoppers: Shopper) -> Replication:
    store = Store(scenario)
    flow = DashCartFlow(store, np.random.SeedSequence(1))
    store.run(shoppers, flow.visit)
    return flow.result()


def test_walking_out_with_two_cans_by_hand() -> None:
    """Gate 4 s, walk 10 s, shelf 8 s, leave 20 s; receipt after 180 s; 2 x $1.50."""
    visit = walk_out(always("right"), CAN).visits[0]
    assert visit.leaves_s - visit.arrives_s == pytest.approx(4 + 10 + 8 + 20)
    assert visit.time_to_receipt_s == pytest.approx(180)
    assert (visit.true_usd, visit.charged_usd, visit.wrong, visit.reviewed) == (3.0, 3.0, False, False)


@pytest.mark.parametrize(
    ("outcome", "charged_usd"), [("missed", 0.0), ("wrong_product", 2 * 3.6), ("wrong_shopper", 0.0)]
)
def test_what_perception_gets_wrong_is_on_the_bill(outcome: str, charged_usd: float) -> None:
    visit = walk_out(always(outcome), CAN).visits[0]
    assert visit.charged_usd == pytest.approx(charged_usd)
    assert visit.wrong


def test_an_item_given_to_the_neighbour_is_charged_to_the_neighbour() -> None:
    stands_there = Shopper(1, 995.0, (Reach(10.0, 0, False, 0, 1, False),), (1.0,), (1,), 20.0)
    result = walk_out(always("wrong_shopper"), stands_there, CAN)
    assert result.visits[0].charged_usd == pytest.approx(2 * 1.5)
    assert result.visits[1].charged_usd == 0.0


def test_a_doubtful_sale_is_reviewed_and_put_right() -> None:
    visit = walk_out(always("wrong_product", 0.6), CAN).visits[0]
    assert (visit.reviewed, visit.wrong, visit.charged_usd) == (True, False, 3.0)
    assert visit.time_to_receipt_s > 180


def test_who_stands_near_a_doubtful_event_is_held_too() -> None:
    near = Shopper(1, 1000.0, (Reach(11.0, 0, False, 0, 1, False),), (1.0,), (1,), 20.0)
    far = Shopper(2, 1000.0, (Reach(11.0, 5, False, 0, 1, False),), (1.0,), (1,), 20.0)
    result = walk_out(always("right", 0.6), CAN, near, far)
    assert [v.reviewed for v in result.visits] == [True, True, True]
    candidate = JustWalkOutFlow(
        Store(load_scenario("convenience")), always("right", 0.6), np.random.SeedSequence(1)
    )
    store = candidate._store
    store.run((CAN, near, far), candidate.visit)
    held = {seen.shopper.number: seen.lowest_candidate for seen in candidate.seen}
    assert held == {0: pytest.approx(0.6), 1: 1.0, 2: 1.0}


def test_who_has_left_the_shelf_is_nobodys_neighbour() -> None:
    store = Store(load_scenario("convenience"))
    assert store.stands_at(3, "first", 8.0) == []
    assert store.stands_at(3, "second", 20.0) == ["first"]
    assert store.stands_at(4, "elsewhere", 8.0) == []
    store.env.run(until=8.0)
    assert store.stands_at(3, "third", 8.0) == ["second"]


def test_a_sale_that_a_review_empties_stays_a_sale() -> None:
    """A can picked and put back, both read as some other product: charged, doubted, reviewed, charged nothing."""
    back = (Reach(10.0, 0, False, 0, 1, False), Reach(0.0, 0, True, 0, 1, False))
    browser = Shopper(0, 1000.0, back, (1.5,), (0,), 20.0)
    result = walk_out(always("wrong_product", 0.6), browser, EMPTY)
    visit = result.visits[0]
    assert (visit.reviewed, visit.charged_usd, visit.units) == (True, 0.0, 0)
    assert result.is_sale.tolist() == [True, False]
    assert result.metrics()["reviews_per_1000_sales"] == 1000


def test_an_empty_visit_is_no_sale() -> None:
    result = walk_out(always("right"), CAN, EMPTY)
    assert result.is_sale.tolist() == [True, False]
    assert result.metrics()["empty_visits_per_1000_visits"] == pytest.approx(500)


def perfect_scanning(**changes: object) -> Scenario:
    return load_scenario("convenience").with_values(
        {"dash_cart.unscanned": 0.0, "dash_cart.false_alarm": 0.0, "dash_cart.audit_share": 0.0} | changes
    )


def test_a_cart_trip_by_hand() -> None:
    """Unlock 15 s, walk 10 s, shelf 8 s, scan 2 x 4 s, leave 20 s, lane 8 s."""
    visit = dash(perfect_scanning(), CAN).visits[0]
    assert visit.leaves_s - visit.arrives_s == pytest.approx(15 + 10 + 8 + 8 + 20 + 8)
    assert visit.time_to_receipt_s == pytest.approx(8)
    assert (visit.charged_usd, visit.wrong, visit.interventions) == (3.0, False, 0)


def test_the_second_shopper_waits_for_the_only_cart() -> None:
    second = Shopper(1, 1000.0, CAN.reaches, CAN.price_usd, CAN.kept_units, 20.0)
    result = dash(perfect_scanning(**{"dash_cart.carts": 1}), CAN, second)
    assert result.visits[1].wait_s == pytest.approx(69 + 240)


def test_an_unscanned_unit_is_undercharged_unless_the_scale_sees_it() -> None:
    blind = dash(
        perfect_scanning(**{"dash_cart.unscanned": 1.0, "dash_cart.mismatch_seen": 0.0}), CAN
    ).visits[0]
    assert (blind.charged_usd, blind.wrong) == (0.0, True)
    seen = dash(
        perfect_scanning(
            **{"dash_cart.unscanned": 1.0, "dash_cart.mismatch_seen": 1.0, "dash_cart.help_share": 1.0}
        ),
        CAN,
    ).visits[0]
    assert (seen.charged_usd, seen.wrong, seen.interventions) == (3.0, False, 2)


def test_an_audit_of_all_units_finds_what_was_not_scanned() -> None:
    changes = {"dash_cart.unscanned": 1.0, "dash_cart.mismatch_seen": 0.0, "dash_cart.audit_share": 1.0}
    visit = dash(perfect_scanning(**changes), CAN).visits[0]
    assert (visit.audited, visit.charged_usd, visit.wrong) == (True, 3.0, False)


def test_the_chance_that_an_audit_sees_nothing_is_hypergeometric() -> None:
    assert _all_good(10, 2, 5) == pytest.approx(math.comb(8, 5) / math.comb(10, 5))
    assert _all_good(5, 1, 5) == 0.0


def test_an_unknown_flow_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'dash-cart'"):
        simulate(load_scenario("convenience"), "dashcart")


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
    scenario = load_scenario("convenience").with_values({"shoppers.visits_per_day": 0.3})
    result = simulate(scenario, "dash-cart", replications=30, keep_sales=True)
    assert len(result.tables) == 30
    days = [day for day, table in enumerate(result.tables) if len(table)]
    assert 0 < len(days) < 30
    assert sorted(result.sales_table()["replication"].unique()) == days


def test_walking_out_needs_a_profile() -> None:
    with pytest.raises(InputError, match="needs a perception profile"):
        simulate(load_scenario("convenience"), "just-walk-out")


def test_the_json_that_scripts_rely_on(profile: PerceptionProfile) -> None:
    scenario = load_scenario("convenience").with_values({"shoppers.visits_per_day": 60})
    found = compare(scenario, ("just-walk-out", "dash-cart"), profile, replications=3)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    walk, cart = document["flows"]["just-walk-out"], document["flows"]["dash-cart"]
    assert set(walk) == {"scenario", "flow", "seed", "replications", "visits", "sales", "metrics"}
    assert set(walk["metrics"]) == set(METRICS)
    assert walk["metrics"]["interventions_per_1000_sales"] is None
    assert cart["metrics"]["reviews_per_1000_sales"] is None
    assert cart["metrics"]["reviewer_utilisation"] is None
    low, high = walk["metrics"]["reviews_per_1000_sales"]["ci95"]
    assert low <= walk["metrics"]["reviews_per_1000_sales"]["mean"] <= high
    assert set(document["differences"][0]) == {"metric", "a", "b", "mean", "ci95"}
    assert "reviews_per_1000_sales" not in {d["metric"] for d in document["differences"]}


def test_every_sale_can_be_kept(profile: PerceptionProfile) -> None:
    scenario = load_scenario("convenience").with_values({"shoppers.visits_per_day": 60})
    result = simulate(scenario, "just-walk-out", profile, replications=2, keep_sales=True)
    table = result.sales_table()
    assert len(table) == result.visits
    assert table.groupby("replication").size().tolist() == [len(t) for t in result.tables]


def test_the_report_holds_everything_itself(profile: PerceptionProfile, tmp_path: Path) -> None:
    from sim.experiment import basket_curve, threshold_curve
    from sim.report.page import write_report

    scenario = load_scenario("convenience").with_values({"shoppers.visits_per_day": 60})
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
