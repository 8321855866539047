"""The basket-size curve: how reviews rise, and where costs cross."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.errors import InputError
from sim.basket_curve import BasketCurve, basket_curve
from sim.experiment import FlowResult
from sim.replications import Outcome, Outcomes, Run
from sim.results import METRICS
from tests.sim.conftest import small, two_valued_profile


@pytest.fixture(scope="module")
def curve() -> BasketCurve:
    limits = {f"just_walk_out.review.thresholds.{name}": 0.5 for name in ("item", "action", "shopper")}
    store = small(**limits, **{"shoppers.visits_per_day": 100})
    profile = two_valued_profile(0.05, size=1_000)
    return basket_curve(store, profile, (2.0, 12.0), ("just-walk-out", "staffed-lanes"), replications=2)


def made_up(costs: dict[str, list[list[float]]]) -> BasketCurve:
    """Costs by flow, size and replication."""

    def result(flow: str, values: list[float]) -> FlowResult:
        outcomes = Outcomes()
        for number, value in enumerate(values):
            metrics: dict[str, float | None] = dict.fromkeys(METRICS)
            outcomes.add(Outcome(number, metrics | {"cost_per_sale_usd": value}, 1, 1, None))
        return FlowResult(Run(small(), flow, None, 1, None), outcomes, len(values), {})

    return BasketCurve(
        "x", (1.0, 10.0, 100.0), {f: tuple(result(f, v) for v in rows) for f, rows in costs.items()}, 1
    )


def test_larger_baskets_need_more_reviews(curve: BasketCurve) -> None:
    table = curve.to_pandas()
    reviews = table[table["metric"] == "reviews_per_1000_sales"].set_index("items_mean")["mean"]
    assert reviews[12.0] > 1.5 * reviews[2.0]
    assert set(table["flow"]) == {"just-walk-out", "staffed-lanes"}


def test_a_crossing_by_hand() -> None:
    """A flow of a fixed cost and one that costs a dollar for each factor of ten: equal at the middle size."""
    curve = made_up({"a": [[1.1, 0.9], [2.1, 1.9], [3.1, 2.9]], "b": [[2.1, 1.9], [2.1, 1.9], [2.2, 1.8]]})
    shifted = made_up({"a": [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]], "b": [[2.0, 2.0]] * 3})
    crossing = shifted.crossings()[0]
    assert crossing.items == pytest.approx(10**1.5)
    assert (crossing.a, crossing.b) == ("a", "b")
    assert crossing.ci95 == pytest.approx((10**1.5, 10**1.5))
    assert crossing.share == 1.0
    # Paired: both vary together from day to day, so where they meet does not.
    assert all(c.items == pytest.approx(10.0, rel=0.2) for c in curve.crossings())


def test_flows_that_never_cross_say_so() -> None:
    assert made_up({"a": [[1.0, 1.0]] * 3, "b": [[2.0, 2.0]] * 3}).crossings() == []


@pytest.mark.parametrize("sizes", [(5.0,), (0.5, 3.0), (2.0, 2.0)])
def test_sizes_that_make_no_curve_are_refused(sizes: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="--items"):
        basket_curve(small(), two_valued_profile(0.05, size=100), sizes)


def test_the_curve_as_a_table_has_every_number(curve: BasketCurve) -> None:
    document = curve.to_dict()
    assert document["scenario"] == "convenience"
    assert np.isfinite([row["mean"] for row in document["points"]]).all()
