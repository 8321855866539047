"""The desk: formula against theory and against playing the same days."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

from checkout.errors import InputError
from sim.tuning import ReviewWork, desk_size, pareto_frontier, read_sales
from sim.tuning.staffing import (
    HOUR_S,
    costs_along,
    desk_for,
    erlang_c,
    longer_than,
    simulated_desk,
    time_to_receipt_s,
    unhurried_s,
)
from tests.sim.test_tuning_frontier import many_sales

DAY = (30.0, 60.0, 90.0, 120.0, 100.0, 80.0, 140.0, 180.0, 150.0, 60.0)


@pytest.mark.parametrize(("load", "reviewers"), [(0.6, 1), (2.4, 3), (6.8, 8), (95.0, 100)])
def test_waiting_is_as_erlang_says(load: float, reviewers: int) -> None:
    """Against the sum that Erlang (1917) wrote, and its mean wait and work as the area under the tail."""
    last = load**reviewers / math.factorial(reviewers) * reviewers / (reviewers - load)
    direct = last / (sum(load**k / math.factorial(k) for k in range(reviewers)) + last)
    assert erlang_c(load, reviewers) == pytest.approx(direct)
    work_s = 100.0
    area, _ = quad(lambda t: longer_than(t, load, reviewers, work_s), 0, 200 * work_s, limit=500)
    assert area == pytest.approx(work_s + direct * work_s / (reviewers - load), rel=1e-4)


def test_one_reviewer_is_the_exponential_of_an_m_m_1_queue() -> None:
    for load in (0.1, 0.5, 0.9):
        for t in (10.0, 250.0, 900.0):
            assert longer_than(t, load, 1, 100.0) == pytest.approx(math.exp(-t * (1 - load) / 100.0))
    assert longer_than(5.0, 2.0, 2, 100.0) == 1.0


@pytest.mark.parametrize(("share", "reviewers"), [(0.3, 2), (0.6, 3), (0.9, 5), (0.12, 1)])
def test_formula_and_simulation_agree_when_the_rate_is_steady(share: float, reviewers: int) -> None:
    work = ReviewWork((60.0,) * 300)
    mean, low, high = simulated_desk(work, share, reviewers, np.random.default_rng(1), least_reviews=100_000)
    # The interval holds 95 % of the time; half of its width more leaves 1 in 100.
    slack = 0.5 * (high - mean)
    assert low - slack <= time_to_receipt_s(work, share, reviewers) <= high + slack
    assert high - low < 0.1 * mean


def test_steady_hours_put_together_come_close_to_a_day_that_changes() -> None:
    work = ReviewWork(DAY)
    for share, target in ((0.2, 900.0), (0.5, 900.0), (0.7, 800.0)):
        reviewers = desk_size(work, share, target)
        mean, _, _ = simulated_desk(work, share, reviewers, np.random.default_rng(2))
        assert time_to_receipt_s(work, share, reviewers) == pytest.approx(mean, rel=0.12)


def test_the_desk_is_the_smallest_that_keeps_the_target() -> None:
    work = ReviewWork(DAY)
    for share in (0.06, 0.2, 0.7):
        size = desk_size(work, share, 900.0)
        assert time_to_receipt_s(work, share, size) <= 900.0
        assert time_to_receipt_s(work, share, size - 1) > 900.0 if size > 1 else True
    sizes = [desk_size(work, share, 900.0) for share in (0.1, 0.3, 0.5, 0.9)]
    assert sizes == sorted(sizes)


def test_without_a_target_the_desk_keeps_up_in_the_busiest_hour() -> None:
    work = ReviewWork(DAY)
    size = desk_size(work, 0.5, math.inf)
    assert size - 1 <= max(DAY) * 0.5 * work.work_s / HOUR_S < size


def test_few_reviews_do_not_delay_the_95_per_cent_quantile() -> None:
    work = ReviewWork(DAY, receipt_s=45.0)
    assert time_to_receipt_s(work, 0.05, 1) == 45.0
    assert desk_size(work, 0.0, 60.0) == 0
    desk = desk_for(work, 0.0, None, rng=np.random.default_rng(1))
    assert (desk.reviewers, desk.cost_usd_per_1000_sales) == (0, 0.0)


def test_a_target_that_no_desk_keeps_is_refused_with_what_can_be_had() -> None:
    work = ReviewWork(DAY)
    least = unhurried_s(work, 0.5)
    with pytest.raises(InputError, match=f"{least:.0f} s even when nobody waits"):
        desk_size(work, 0.5, least - 1)
    assert time_to_receipt_s(work, 0.5, 10_000) == pytest.approx(least, rel=1e-4)


def test_costs_along_a_frontier_are_those_of_each_desk() -> None:
    frontier, work = pareto_frontier(many_sales(2000)), ReviewWork(DAY)
    lost = frontier.lost_usd_per_1000_sales
    assert lost is not None
    costs = costs_along(frontier, work, 800.0)
    for index in range(0, len(frontier), 7):
        reviews = float(frontier.reviews_per_1000_sales[index])
        desk = desk_for(work, reviews, float(lost[index]), target_s=800.0)
        assert costs[index] == pytest.approx(desk.cost_usd_per_1000_sales)
    assert not np.isfinite(costs_along(frontier, work, 100.0)[-1])


@pytest.mark.parametrize(
    "fields", [{"sales_per_hour": ()}, {"sales_per_hour": (0.0,)}, {"sales_per_hour": (5.0,), "work_s": 0.0},
               {"sales_per_hour": (5.0,), "wage_usd_per_hour": math.nan}],
)  # fmt: skip
def test_work_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        ReviewWork(**fields)  # type: ignore[arg-type]


def test_the_days_of_replications_that_share_a_version_are_counted_one_by_one() -> None:
    """Two replications of two days, 24 sales each day, the last of them after midnight."""
    hours = np.arange(1, 25)
    rows = [
        {"replication": run, "profile_version": 0, "day": day, "leaves_s": 3600.0 * (24 * day + hour)}
        for run in range(2) for day in range(2) for hour in hours
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(
        sale=True, confidence=np.tile([0.2, 0.9], 48), wrong=np.tile([True, False], 48)
    )
    work = ReviewWork.of(read_sales(table))
    assert work is not None
    assert work.sales_per_day == pytest.approx(24)
    without_day = ReviewWork.of(read_sales(table.drop(columns="day")))
    assert without_day is not None
    assert without_day.sales_per_day == pytest.approx(
        16
    )  # what leaves after midnight is on the third day by the clock
