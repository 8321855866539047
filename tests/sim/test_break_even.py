"""Break-even: where two straight lines of cost meet, by hand."""

from __future__ import annotations

import pytest

from sim.break_even import break_evens, said
from sim.experiment import Comparison, FlowResult
from sim.replications import Outcome, Outcomes, Run
from sim.results import METRICS
from tests.sim.conftest import small


def costing(flow: str, *replications: dict[str, float]) -> FlowResult:
    """A flow with the costs of a sale by part and the sales a day of each replication."""
    outcomes = Outcomes()
    for number, values in enumerate(replications):
        metrics: dict[str, float | None] = dict.fromkeys(METRICS)
        named = {f"cost_{part}_per_sale_usd": usd for part, usd in values.items() if part != "sales"}
        outcomes.add(Outcome(number, metrics | named | {"sales_per_day": values["sales"]}, 1, 1, None))
    return FlowResult(Run(small(), flow, None, 1, None), outcomes, len(replications), {})


def both(walk: FlowResult, lane: FlowResult) -> Comparison:
    return Comparison({"just-walk-out": walk, "staffed-lanes": lane})


def test_the_dear_hardware_pays_off_above_the_sales_where_the_lines_meet() -> None:
    """$1,000 a day and $0.50 a sale against $500 a day and $1 a sale: even at 1,000 sales, whatever the days sold."""
    walk = [{"hardware": 1000 / sales, "cloud": 0.5, "sales": sales} for sales in (500, 1000)]
    lane = [{"staff": 500 / sales, "shrink": 1.0, "sales": sales} for sales in (400, 1000)]
    (found,) = break_evens(both(costing("just-walk-out", *walk), costing("staffed-lanes", *lane)))
    assert found.sales_per_day == pytest.approx(1000)
    assert (found.cheaper_below, found.cheaper_above) == ("staffed-lanes", "just-walk-out")
    assert found.ci95 == pytest.approx((1000, 1000))
    assert said(found) == (
        "break-even: staffed-lanes costs less below 1,000 sales a day (95 %: 1,000-1,000), just-walk-out above"
    )


def test_lines_that_never_meet_have_none() -> None:
    dear, cheap = ({"hardware": usd, "cloud": 1.0, "sales": 500.0} for usd in (2.0, 1.0))
    assert (
        break_evens(both(costing("just-walk-out", dear, dear), costing("staffed-lanes", cheap, cheap))) == []
    )
    worse = cheap | {"cloud": 0.5}
    assert (
        break_evens(both(costing("just-walk-out", dear, dear), costing("staffed-lanes", worse, worse))) == []
    )


def test_the_interval_covers_the_days_and_says_when_some_never_cross() -> None:
    lane = [{"staff": 1.0, "shrink": 1.0, "sales": 500.0}] * 8
    varied = [{"hardware": 2.0 + 0.2 * (i % 2), "cloud": 0.5, "sales": 500.0} for i in range(8)]
    (found,) = break_evens(both(costing("just-walk-out", *varied), costing("staffed-lanes", *lane)))
    assert found.ci95 is not None
    assert 1000 <= found.ci95[0] < found.sales_per_day < found.ci95[1] <= 1200
    wild = [{"hardware": 2.0, "cloud": 0.5 + 0.9 * (i % 2), "sales": 500.0} for i in range(8)]
    (loose,) = break_evens(both(costing("just-walk-out", *wild), costing("staffed-lanes", *lane)))
    assert loose.ci95 is None
    assert 0.5 < loose.share < 1


def test_a_flow_without_a_sale_breaks_even_nowhere() -> None:
    nothing = costing("staffed-lanes", {"sales": float("nan")})
    walk = costing("just-walk-out", {"hardware": 2.0, "cloud": 0.5, "sales": 500})
    assert break_evens(both(walk, nothing)) == []
