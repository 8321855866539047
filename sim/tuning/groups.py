"""Reviews against escapes when every group has a threshold of its own.

The groups' reviews and escapes add up, so the best split of so many escapes among the groups is a
(min, +) convolution of their own frontiers: exact, in a time that grows with the square of the wrong sales.
Where that is too much, or money takes the place of escapes, a price for an escape (a Lagrange multiplier)
is swept instead: that finds every point on the lower convex hull exactly, and none between them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from checkout.errors import InputError
from sim.tuning.frontier import Frontier, just_above
from sim.tuning.sales import SalesToTune

MOST_STEPS = 400_000_000
"""Assumed: additions that the exact split may take; about a second of one core."""
_NEVER = np.iinfo(np.int64).max // 4


def group_frontier(
    sales: SalesToTune, *, against: Literal["escapes", "money"] = "escapes", most_steps: int = MOST_STEPS
) -> Frontier:
    """Efficient choices of one threshold a group.

    Exact for escapes where the convolution takes at most `most_steps` additions; else the points are the
    vertices of the lower convex hull: each is efficient, and what lies between two of them is left out.

    Raises:
        InputError: the sales have no groups, or no money is known to go against.
    """
    if sales.group is None:
        raise InputError(sales.source, "", "has no groups", "name a column with --by")
    if against == "money" and sales.lost_usd is None:
        raise InputError(sales.source, "value", "no money is known", "name its column with --value")
    curves = [_curve(s, t, money) for s, t, money in _by_group(sales)]
    wrong = [len(c.reviews) - 1 for c in curves]
    steps = sum(w * t for w, t in zip(wrong, np.cumsum(wrong), strict=True))
    if against == "escapes" and steps <= most_steps:
        found, method = _convolved(curves), "exact over all distinct scores"
    else:
        found, method = _hull(curves, against == "money"), "vertices of the lower convex hull, each exact"
    thresholds, reviews, escapes, lost = found
    return Frontier(
        thresholds, sales.group_names, reviews, escapes, None if sales.lost_usd is None else lost, len(sales),
        f"a threshold for each of {len(curves)} groups by {sales.group_column}; {method}",
    )  # fmt: skip


class _Curve:
    """One group's own frontier, from no escape to all: `reviews[e]` lets at most e of its wrong sales pass."""

    def __init__(self, reviews: np.ndarray, thresholds: np.ndarray, lost: np.ndarray) -> None:
        self.reviews, self.thresholds, self.lost = reviews, thresholds, lost


def _by_group(sales: SalesToTune) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each group: all scores ascending, scores of its wrong sales descending, and what those lose."""
    assert sales.group is not None
    groups = len(sales.group_names)
    lowest, code = sales.lowest, sales.group.astype(np.int16 if groups < 2**15 else np.int64)
    order = np.argsort(code, kind="stable")
    ends = np.searchsorted(code[order], np.arange(groups + 1))
    scores = lowest[order]
    rows = np.flatnonzero(sales.wrong)
    falling = rows[np.lexsort((-lowest[rows], code[rows]))]
    wrong_ends = np.searchsorted(code[falling], np.arange(groups + 1))
    lost = np.zeros(len(falling)) if sales.lost_usd is None else sales.lost_usd[falling]
    return [
        (
            np.sort(scores[ends[g] : ends[g + 1]]),
            lowest[falling[wrong_ends[g] : wrong_ends[g + 1]]],
            lost[wrong_ends[g] : wrong_ends[g + 1]],
        )
        for g in range(groups)
    ]


def _curve(ordered: np.ndarray, wrong: np.ndarray, lost: np.ndarray) -> _Curve:
    """To let at most e pass, review up to the (e + 1)-th highest wrong score, ties and all."""
    above = np.ones(len(wrong))
    above[wrong < 1.0] = just_above(wrong, ordered)
    thresholds = np.append(above, 0.0)
    reviews = np.append(np.searchsorted(ordered, wrong, side="right"), 0)
    reviews[:-1][wrong >= 1.0] = _NEVER  # a confidence of 1 is under no threshold
    return _Curve(reviews, thresholds, np.append(0.0, np.cumsum(lost)))


_Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _convolved(curves: list[_Curve]) -> _Found:
    total = np.zeros(1, dtype=np.int64)
    choices: list[np.ndarray] = []
    for curve in curves:
        longer = np.full(len(total) + len(curve.reviews) - 1, _NEVER)
        choice = np.zeros(len(longer), dtype=np.int32)
        for escapes, reviews in enumerate(curve.reviews):
            if reviews >= _NEVER:
                continue
            here = longer[escapes : escapes + len(total)]
            better = total + reviews < here
            np.copyto(here, total + reviews, where=better)
            np.copyto(choice[escapes : escapes + len(total)], np.int32(escapes), where=better)
        total = longer
        choices.append(choice)
    running = np.minimum.accumulate(total)
    kept = np.flatnonzero(np.append(True, running[1:] < running[:-1]) & (running < _NEVER))[::-1]
    split = np.empty((len(kept), len(curves)), dtype=np.int64)
    left = kept.copy()
    for g in range(len(curves) - 1, -1, -1):
        split[:, g] = choices[g][left]
        left -= split[:, g]
    return _picked(curves, split)


def _picked(curves: list[_Curve], split: np.ndarray) -> _Found:
    """Thresholds, reviews, escapes and money of choices that let `split` [m, groups] wrong sales pass."""
    columns = list(zip(curves, split.T, strict=True))
    thresholds = np.column_stack([c.thresholds[e] for c, e in columns])
    reviews = np.sum([c.reviews[e] for c, e in columns], axis=0)
    # Ties: what truly passes is counted at the threshold, not the number that was allowed.
    passed = [_at_least(c, e) for c, e in columns]
    lost = np.sum([c.lost[e] for (c, _), e in zip(columns, passed, strict=True)], axis=0)
    return thresholds, reviews, np.sum(passed, axis=0), np.asarray(lost)


def _at_least(curve: _Curve, escapes: np.ndarray) -> np.ndarray:
    """The fewest escapes that come with the same threshold."""
    first = np.searchsorted(-curve.reviews, -curve.reviews, side="left")
    return np.asarray(first[escapes])


def _hull(curves: list[_Curve], money: bool) -> _Found:
    """Minkowski sum of the groups' lower hulls: their edges, steepest saving of reviews first."""
    edges: list[tuple[float, int, int]] = []
    start = np.zeros(len(curves), dtype=np.int64)
    for g, curve in enumerate(curves):
        x = curve.lost if money else np.arange(len(curve.reviews), dtype=float)
        corners = _lower_hull(x, curve.reviews)
        start[g] = corners[0]
        for a, b in pairwise(corners):
            edges.append(((curve.reviews[b] - curve.reviews[a]) / (x[b] - x[a]), g, int(b)))
    edges.sort()
    split = np.empty((len(edges) + 1, len(curves)), dtype=np.int64)
    split[0] = start
    for row, (_, g, to) in enumerate(edges, 1):
        split[row] = split[row - 1]
        split[row, g] = to
    return _picked(curves, split[::-1])


def _lower_hull(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the vertices of the lower convex hull (Andrew's monotone chain); x never falls."""
    chain: list[int] = []
    for i in np.flatnonzero(y < _NEVER).tolist():
        if chain and x[i] == x[chain[-1]]:
            if y[i] >= y[chain[-1]]:
                continue
            chain.pop()
        while len(chain) > 1:
            a, b = chain[-2], chain[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) >= (y[i] - y[a]) * (x[b] - x[a]):
                chain.pop()
            else:
                break
        chain.append(i)
    while len(chain) > 1 and y[chain[-1]] >= y[chain[-2]]:
        chain.pop()
    return chain
