"""The promise is kept at least as often as it claims; picking on the same data is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from checkout.errors import InputError
from sim.tuning import SalesToTune, promise
from sim.tuning.frontier import pareto_frontier
from sim.tuning.guarantee import allowed_escapes, clusters_of, interval, needed_sales, p_value, upper_bound
from sim.tuning.sales import ASPECTS


def draw(rng: np.random.Generator, n: int, wrong_share: float = 0.05) -> SalesToTune:
    """Sales whose wrong ones are a little less sure, all aspects alike; the truth is in `escape_rate`."""
    wrong = rng.random(n) < wrong_share
    score = np.where(wrong, rng.beta(4, 2, n), rng.beta(8, 1, n))
    return SalesToTune("made up", score[:, None], ("confidence",), wrong)


def escape_rate(threshold: float, wrong_share: float = 0.05) -> float:
    """True escapes a sale of `draw`."""
    from scipy.stats import beta

    return wrong_share * float(beta(4, 2).sf(threshold))


def holds_at_least(successes: int, runs: int, probability: float) -> bool:
    """Whether the count agrees with a probability of at least this (exact test at 1 in 10,000)."""
    return float(binomtest(successes, runs, probability, alternative="less").pvalue) > 1e-4


@pytest.mark.parametrize(("sales", "limit"), [(5000, 0.01), (500, 0.004), (2000, 0.05)])
def test_the_exact_test_is_the_binomial_one(sales: int, limit: float) -> None:
    for escapes in (0, 1, 7, 30):
        assert p_value(escapes, sales, limit) == pytest.approx(binom.cdf(escapes, sales, limit))
    most = allowed_escapes(sales, limit, 0.9)
    assert binom.cdf(most, sales, limit) <= 0.1 < binom.cdf(most + 1, sales, limit) if most >= 0 else True
    assert most == -1 or upper_bound(most, sales, 0.9) <= limit < upper_bound(most + 1, sales, 0.9)


def test_the_interval_is_scipys() -> None:
    theirs = binomtest(7, 900).proportion_ci(0.95, "exact")
    assert interval(7, 900) == pytest.approx((theirs.low, theirs.high))
    assert interval(0, 50)[0] == 0.0
    assert interval(50, 50)[1] == 1.0


@pytest.mark.parametrize(("limit", "confidence"), [(0.01, 0.95), (0.001, 0.9), (0.05, 0.99)])
def test_without_an_escape_the_needed_sales_are_the_rule_of_three(limit: float, confidence: float) -> None:
    n = needed_sales(limit, confidence)
    assert allowed_escapes(n, limit, confidence) == 0
    assert allowed_escapes(n - 1, limit, confidence) == -1
    assert needed_sales(0.001, 0.95) == pytest.approx(3 / 0.001, rel=0.01)


def test_the_promise_is_kept_as_often_as_it_claims_and_picking_on_the_same_sales_is_not() -> None:
    rng, limit, runs = np.random.default_rng(11), 0.01, 300
    kept = picked_kept = found = 0
    for _ in range(runs):
        sales = draw(rng, 1500)
        made = promise(sales, 1000 * limit, confidence=0.9)
        if made.chosen is not None:
            found += 1
            kept += escape_rate(float(made.sequence.thresholds[made.chosen, 0])) <= limit
        frontier = pareto_frontier(sales)
        lax = frontier.at_escapes(int(limit * len(sales)))
        assert lax is not None
        picked_kept += escape_rate(float(frontier.thresholds[lax, 0])) <= limit
    assert found > 0.95 * runs
    # Not finding any is no broken promise.
    assert holds_at_least(kept + runs - found, runs, 0.9)
    assert kept < 0.99 * runs  # the promise is not bought with thresholds far too strict
    assert not holds_at_least(picked_kept, runs, 0.9)


def three_aspects(rng: np.random.Generator, n: int) -> SalesToTune:
    """Only the shopper confidence tells wrong from right, so that three thresholds pay; four groups that differ."""
    wrong = rng.random(n) < 0.06
    sure = rng.beta(8, 2, (n, 3))
    sure[:, 2] = np.where(wrong, rng.beta(3, 3, n), rng.beta(14, 1, n))
    return SalesToTune(
        "made up", sure, ASPECTS, wrong, None, rng.integers(0, 4, n), ("a", "b", "c", "d"), "shelf"
    )


@pytest.mark.parametrize("thresholds", ["three", "group"])
def test_a_learnt_sequence_keeps_its_promise_too(thresholds: str) -> None:
    rng, limit, runs = np.random.default_rng(5), 0.02, 100
    world = three_aspects(rng, 100_000)
    kept = found = 0
    for _ in range(runs):
        made = promise(three_aspects(rng, 1200), 1000 * limit, confidence=0.8, thresholds=thresholds, rng=rng)
        if made.chosen is None:
            continue
        found += 1
        given = made.sequence.thresholds[made.chosen]
        assert world.group is not None
        reviewed = (
            world.lowest < given[world.group]
            if thresholds == "group"
            else (world.confidences < given).any(axis=1)
        )
        kept += float((world.wrong & ~reviewed).mean()) <= limit
    assert found > runs // 2
    assert holds_at_least(kept + runs - found, runs, 0.8)


def test_three_thresholds_save_reviews_where_one_aspect_tells() -> None:
    rng = np.random.default_rng(3)
    sales = three_aspects(rng, 6000)
    one = promise(sales, 15.0)
    three = promise(sales, 15.0, thresholds="three", rng=rng)
    assert one.chosen is not None
    assert three.chosen is not None
    reviews = [p.sequence.reviews_per_1000_sales[p.chosen] for p in (one, three)]
    assert reviews[1] < 0.7 * reviews[0]


def bad_days(rng: np.random.Generator, days: int, per_day: int) -> SalesToTune:
    """Days whose error rates differ by a Gamma factor."""
    rate = 0.05 * rng.gamma(2.0, 0.5, days)
    day = np.repeat(np.arange(days), per_day)
    wrong = rng.random(len(day)) < rate[day]
    score = np.where(wrong, rng.beta(4, 2, len(day)), rng.beta(8, 1, len(day)))
    return SalesToTune("made up", score[:, None], ("confidence",), wrong, cluster=day, cluster_name="day")


def test_days_that_differ_need_their_column_named() -> None:
    rng, limit, runs = np.random.default_rng(8), 0.01, 250
    kept = {"named": 0, "unnamed": 0}
    for _ in range(runs):
        sales = bad_days(rng, 25, 300)
        for name, given in (("named", sales), ("unnamed", replace(sales, cluster=None, cluster_name=""))):
            made = promise(given, 1000 * limit, confidence=0.9)
            index = made.chosen
            kept[name] += index is None or escape_rate(float(made.sequence.thresholds[index, 0])) <= limit
    assert holds_at_least(kept["named"], runs, 0.9)
    assert not holds_at_least(kept["unnamed"], runs, 0.9)


def test_independent_days_cost_little() -> None:
    sales = draw(np.random.default_rng(2), 9000)
    named = replace(sales, cluster=np.arange(9000) % 60, cluster_name="day")
    found = clusters_of(named, 0.01, 0.9)
    assert found is not None
    assert found.design_effect < 1.3
    assert 6000 < found.effective_sales <= 9000


def test_too_few_sales_say_how_many_are_needed() -> None:
    made = promise(draw(np.random.default_rng(1), 200), 1.0)
    assert not made.kept
    assert made.allowed_escapes == -1
    assert made.needed_sales == needed_sales(0.001, 0.9) == 2302


def test_no_wrong_sale_promises_what_the_number_of_sales_gives() -> None:
    sales = draw(np.random.default_rng(1), 1000, wrong_share=0.0)
    made = promise(sales, 3.0)
    assert made.kept
    assert made.sequence.thresholds.tolist() == [[0.0]]
    assert made.bound_per_1000_sales(0) == pytest.approx(1000 * (1 - 0.1 ** (1 / 1000)))
    assert "rule of three" in " ".join(made.warnings)
    assert not promise(sales, 2.0).kept


@pytest.mark.parametrize(
    ("change", "told"),
    [({"max": 0.0}, "max-escapes"), ({"max": 1000.0}, "max-escapes"), ({"confidence": 1.0}, "confidence")],
)
def test_numbers_out_of_range_are_refused(change: dict[str, float], told: str) -> None:
    sales = draw(np.random.default_rng(1), 50)
    with pytest.raises(InputError, match=told):
        promise(sales, change.get("max", 5.0), confidence=change.get("confidence", 0.9))
