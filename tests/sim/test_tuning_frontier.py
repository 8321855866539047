"""The frontiers against brute force and scikit-learn, and the laws they obey."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkout.errors import InputError
from sim.tuning import (
    SalesToTune,
    Slider,
    group_frontier,
    pareto_frontier,
    three_threshold_frontier,
    threshold_curve,
)
from sim.tuning.frontier import Frontier
from sim.tuning.sales import ASPECTS
from sim.tuning.three import escapes_along, losses_along, reviews_along

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LEVELS = st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 1.0])


@st.composite
def few_sales(draw: st.DrawFn, aspects: int = 3, most: int = 9) -> SalesToTune:
    """A handful of sales with many ties, three groups, and money."""
    n = draw(st.integers(1, most))
    rows = draw(st.lists(st.tuples(*[LEVELS] * aspects), min_size=n, max_size=n))
    wrong = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    lost = np.where(wrong, draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), 0.0)
    group = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    return SalesToTune(
        "made up", np.array(rows), ASPECTS[:aspects], wrong, lost, group, ("a", "b", "c"), "shelf"
    )


def many_sales(n: int, seed: int = 0, groups: int = 5) -> SalesToTune:
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.05
    sure = np.where(wrong[:, None], rng.beta(4, 2, (n, 3)), rng.beta(12, 1, (n, 3)))
    return SalesToTune(
        "made up", sure.round(3), ASPECTS, wrong, np.where(wrong, rng.gamma(2, 3, n), 0.0),
        rng.integers(0, groups, n), tuple(f"g{i}" for i in range(groups)), "shelf",
    )  # fmt: skip


def efficient(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (reviews, x) that no other beats in both."""
    kept: list[tuple[float, float]] = []
    for reviews, x in sorted(set(points)):
        if not kept or x < kept[-1][1]:
            kept.append((reviews, x))
    return kept


def points(frontier: Frontier) -> list[tuple[float, float]]:
    return list(zip(frontier.reviews.tolist(), frontier.escapes.tolist(), strict=True))


def brute(sales: SalesToTune, choices: np.ndarray) -> list[tuple[float, float]]:
    reviews, escapes = reviews_along(sales, choices), escapes_along(sales, choices)
    return efficient(list(zip(reviews.tolist(), escapes.tolist(), strict=True)))


def candidates(scores: np.ndarray) -> list[float]:
    return sorted({0.0, 1.0, *scores.tolist()})


@PATIENT
@given(few_sales())
def test_one_threshold_is_as_good_as_trying_every_threshold(sales: SalesToTune) -> None:
    choices = np.array([[t] * 3 for t in candidates(sales.lowest)])
    assert points(pareto_frontier(sales)) == brute(sales, choices)


@PATIENT
@given(few_sales())
def test_three_thresholds_are_as_good_as_trying_all_triples(sales: SalesToTune) -> None:
    choices = np.array(list(itertools.product(*(candidates(column) for column in sales.confidences.T))))
    found = three_threshold_frontier(sales)
    assert points(found) == brute(sales, choices)
    assert found.exact
    assert reviews_along(sales, found.thresholds).tolist() == found.reviews.tolist()
    assert escapes_along(sales, found.thresholds).tolist() == found.escapes.tolist()
    assert losses_along(sales, found.thresholds) == pytest.approx(found.lost_usd)


@PATIENT
@given(few_sales(aspects=2))
def test_two_thresholds_are_as_good_as_trying_all_pairs(sales: SalesToTune) -> None:
    choices = np.array(list(itertools.product(*(candidates(column) for column in sales.confidences.T))))
    assert points(three_threshold_frontier(sales)) == brute(sales, choices)


@PATIENT
@given(few_sales(), st.integers(8, 40))
def test_thinned_levels_bound_the_true_frontier_from_both_sides(sales: SalesToTune, cells: int) -> None:
    true = three_threshold_frontier(sales)
    thinned = three_threshold_frontier(sales, most_cells=cells)
    assert reviews_along(sales, thinned.thresholds).tolist() == thinned.reviews.tolist()
    for reviews, escapes, least in zip(thinned.reviews, thinned.escapes, thinned.best_reviews, strict=True):
        best = true.reviews[true.at_escapes(escapes) or 0]
        assert least <= best <= reviews


@PATIENT
@given(few_sales(aspects=1))
def test_a_threshold_a_group_is_as_good_as_trying_all_combinations(sales: SalesToTune) -> None:
    assert sales.group is not None
    tried = []
    for choice in itertools.product(*(candidates(sales.lowest[sales.group == g]) for g in range(3))):
        reviewed = sales.lowest < np.array(choice)[sales.group]
        tried.append((int(reviewed.sum()), int((sales.wrong & ~reviewed).sum())))
    found = group_frontier(sales)
    assert points(found) == efficient(tried)
    for thresholds, reviews, escapes, lost in zip(
        found.thresholds, found.reviews, found.escapes, np.asarray(found.lost_usd), strict=True
    ):
        reviewed = sales.lowest < thresholds[sales.group]
        assert (reviewed.sum(), (sales.wrong & ~reviewed).sum()) == (reviews, escapes)
        assert np.asarray(sales.lost_usd)[sales.wrong & ~reviewed].sum() == pytest.approx(lost)


@PATIENT
@given(few_sales(aspects=1), st.sampled_from(["escapes", "money"]))
def test_a_price_for_an_escape_finds_the_hull_of_all_combinations(sales: SalesToTune, against: str) -> None:
    """Every vertex is efficient, and at every price the best vertex is the best of all combinations."""
    assert sales.group is not None
    tried = []
    for choice in itertools.product(*(candidates(sales.lowest[sales.group == g]) for g in range(3))):
        reviewed = sales.lowest < np.array(choice)[sales.group]
        passed = sales.wrong & ~reviewed
        cost = passed.sum() if against == "escapes" else np.asarray(sales.lost_usd)[passed].sum()
        tried.append((float(reviewed.sum()), float(cost)))
    found = group_frontier(sales, against=against, most_steps=-1)  # type: ignore[arg-type]
    costs = found.escapes.astype(float) if against == "escapes" else np.asarray(found.lost_usd)
    vertices = list(zip(found.reviews.astype(float).tolist(), costs.tolist(), strict=True))
    assert set(vertices) <= set(efficient(tried))
    for price in (0.1, 0.37, 0.9, 1.7, 4.2, 30.0):
        assert min(r + price * c for r, c in vertices) == pytest.approx(min(r + price * c for r, c in tried))


def test_the_curve_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    sales = many_sales(3000)
    curve = threshold_curve(sales)
    false_share, true_share, cuts = metrics.roc_curve(sales.wrong, -sales.lowest, drop_intermediate=False)
    wrong = int(sales.wrong.sum())
    right = len(sales) - wrong
    # scikit-learn's cut takes the scores at it too: "review up to this confidence".
    theirs = {
        (round(f * right) + round(t * wrong), wrong - round(t * wrong))
        for f, t, c in zip(false_share, true_share, cuts, strict=True)
        if -c < 1.0
    }
    assert set(points(curve)) == theirs
    precision, recall, _ = metrics.precision_recall_curve(sales.wrong, -sales.lowest)
    caught = wrong - curve.escapes
    ours = {(round(c / r, 9), round(c / wrong, 9)) for c, r in zip(caught, curve.reviews, strict=True) if r}
    assert ours <= {(round(p, 9), round(r, 9)) for p, r in zip(precision, recall, strict=True)}


def test_more_freedom_never_costs_reviews() -> None:
    sales = many_sales(1500)
    one, three, groups = pareto_frontier(sales), three_threshold_frontier(sales), group_frontier(sales)
    for reviews, escapes in points(one):
        for freer in (three, groups):
            index = freer.at_escapes(int(escapes))
            assert index is not None
            assert freer.reviews[index] <= reviews


@PATIENT
@given(few_sales(), st.tuples(LEVELS, LEVELS, LEVELS))
def test_the_slider_counts_what_the_thresholds_do(sales: SalesToTune, thresholds: tuple[float, ...]) -> None:
    found = Slider(sales).at(*thresholds)
    doubted = (sales.confidences < np.array(thresholds)).any(axis=1)
    n = len(sales)
    assert found.reviews_per_1000_sales == pytest.approx(1000 * doubted.sum() / n)
    assert found.escapes_per_1000_sales == pytest.approx(1000 * (sales.wrong & ~doubted).sum() / n)
    assert found.lost_usd_per_1000_sales == pytest.approx(
        1000 * np.asarray(sales.lost_usd)[sales.wrong & ~doubted].sum() / n
    )
    assert Slider(sales).at(thresholds[0]) == Slider(sales).at(*[thresholds[0]] * 3)


def test_the_slider_refuses_what_is_no_threshold() -> None:
    with pytest.raises(InputError, match="expected one, or 3, from 0 to 1"):
        Slider(many_sales(50)).at(0.5, 1.2, 0.5)


def test_the_frontiers_points_are_what_the_slider_says() -> None:
    sales = many_sales(800)
    slider, found = Slider(sales), three_threshold_frontier(sales)
    table = found.to_pandas()
    assert list(table)[:3] == ["threshold_item", "threshold_action", "threshold_shopper"]
    for row in table.itertuples(index=False):
        said = slider.at(*row[:3])
        assert (said.reviews_per_1000_sales, said.escapes_per_1000_sales) == pytest.approx(row[3:5])
