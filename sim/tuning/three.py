"""The efficient choices of three thresholds, one an aspect: a search over the whole three-dimensional space.

A threshold is only worth raising to just above a wrong sale's confidence. So each axis has one level more
than there are distinct confidences of wrong sales, and what a choice reviews and lets pass are sums over a
box of cells. The sweep visits all cells, a slab at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.tuning.frontier import Frontier, just_above
from sim.tuning.sales import SalesToTune

MOST_CELLS = 60_000_000
"""Assumed: cells that are searched; about two seconds of one core."""
_NONE = np.iinfo(np.int64).max


def three_threshold_frontier(sales: SalesToTune, *, most_cells: int = MOST_CELLS) -> Frontier:
    """Efficient choices with a threshold of its own for each aspect (one to three).

    Exact where the levels of all axes together make at most `most_cells` cells. Above that the levels are
    thinned to quantiles of the wrong sales; every point is still what its thresholds do, and
    `best_reviews` bounds from below what any thresholds could reach.
    """
    confidences = _three_columns(sales)
    levels = [np.unique(column[sales.wrong]) for column in confidences.T]
    levels = [values[values < 1.0] for values in levels]
    all_levels = float(np.prod([float(len(v) + 1) for v in levels]))
    exact = all_levels <= most_cells
    if not exact:
        levels = _thinned(confidences[sales.wrong], levels, most_cells)
    # The slab axis is the longest, so that the tables of a slab stay small.
    order = np.argsort([-len(v) for v in levels], kind="stable")
    index = np.column_stack([np.searchsorted(levels[k], confidences[:, k], side="left") for k in order])
    shape = tuple(len(levels[k]) + 1 for k in order)
    reviews, cell, money, bound = _sweep(index.astype(np.int32), sales, shape, exact)

    fewer = np.append(True, reviews[1:] < reviews[:-1])  # than with one escape less
    escapes = np.flatnonzero(fewer & (cell >= 0))[::-1]
    chosen = np.array(np.unravel_index(cell[escapes], shape)).T
    k = len(sales.aspects)
    thresholds = np.empty((len(escapes), 3))
    for place, axis in enumerate(order):
        above = np.append(0.0, just_above(levels[axis], np.unique(confidences[:, axis])))
        thresholds[:, axis] = above[chosen[:, place]]
    found = (
        "exact over all distinct scores"
        if exact
        else f"levels thinned to {' x '.join(str(len(v) + 1) for v in levels)}, with a lower bound"
    )
    return Frontier(
        thresholds[:, :k], sales.aspects, reviews[escapes], escapes,
        None if sales.lost_usd is None else money[escapes], len(sales), f"{k} thresholds; {found}",
        best_reviews=bound[escapes],
    )  # fmt: skip


def _three_columns(sales: SalesToTune) -> np.ndarray:
    spare = np.ones((len(sales), 3 - len(sales.aspects)))
    return np.hstack([sales.confidences, spare])


def _thinned(wrong: np.ndarray, levels: list[np.ndarray], most_cells: int) -> list[np.ndarray]:
    """At most so many cells: quantiles of each aspect's wrong confidences; short axes are kept whole."""
    free, room = list(range(3)), float(most_cells)
    kept: dict[int, np.ndarray] = {}
    while free:
        each = int(room ** (1 / len(free)))
        shortest = min(free, key=lambda k: len(levels[k]))
        if len(levels[shortest]) + 1 <= each:
            kept[shortest] = levels[shortest]
        else:
            column = np.sort(wrong[:, shortest][wrong[:, shortest] < 1.0])
            # From the top, so that the strictest level is always among them: the lower bound needs it.
            places = np.linspace(len(column) - 1, 0, max(1, each - 1)).round().astype(int)
            kept[shortest] = np.unique(column[places])
        room /= len(kept[shortest]) + 1
        free.remove(shortest)
    return [kept[k] for k in range(3)]


def _sweep(
    index: np.ndarray, sales: SalesToTune, shape: tuple[int, ...], exact: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each number of escapes: the fewest reviews, their cell, the money lost, and a bound of the reviews.

    Args:
        index: int32 [n, 3], the highest level of each axis at which the sale is still not reviewed.
        shape: levels of each axis.
    """
    n, wrong = len(index), sales.wrong
    by_slab = np.argsort(index[:, 0], kind="stable")
    ends = np.searchsorted(index[by_slab, 0], np.arange(shape[0] + 1))
    flat = index[by_slab, 1] * np.int64(shape[2]) + index[by_slab, 2]
    is_wrong = wrong[by_slab]
    lost = np.zeros(n) if sales.lost_usd is None else sales.lost_usd[by_slab]

    # Sales that are not reviewed, of these the wrong, and their money, by level of the other two axes.
    passed, escaped = np.zeros(shape[1:], dtype=np.int32), np.zeros(shape[1:], dtype=np.int32)
    money = np.zeros(shape[1:])
    size = int(wrong.sum()) + 1
    best = _Best(np.full(size, _NONE), np.full(size, -1), np.zeros(size))
    bound = np.full(size, _NONE)
    for level in range(shape[0] - 1, -1, -1):
        rows = slice(ends[level], ends[level + 1])
        stricter = escaped.copy() if level < shape[0] - 1 else None
        if rows.stop > rows.start:
            passed += _upward(flat[rows], shape)
            caught = flat[rows][is_wrong[rows]]
            if len(caught):
                escaped += _upward(caught, shape)
                if sales.lost_usd is not None:
                    money += _upward(caught, shape, lost[rows][is_wrong[rows]])
        reviews = (n - passed).ravel()
        best.update(escaped.ravel(), reviews, level * len(reviews), money.ravel())
        if not exact:
            least = _next_level(escaped if stricter is None else stricter).ravel()
            better = np.flatnonzero(reviews < bound[least])
            np.minimum.at(bound, least[better], reviews[better])
            np.minimum.accumulate(bound, out=bound)
    return best.reviews, best.cell, best.money, best.reviews if exact else bound


@dataclass
class _Best:
    """The fewest reviews found so far for each number of escapes or fewer, the cell, and its money."""

    reviews: np.ndarray
    cell: np.ndarray
    money: np.ndarray

    def update(self, escapes: np.ndarray, reviews: np.ndarray, first_cell: int, money: np.ndarray) -> None:
        better = np.flatnonzero(reviews < self.reviews[escapes])
        if not len(better):
            return
        # The last of several assignments to one place stands: order them so that it is the fewest reviews.
        better = better[np.argsort(-reviews[better], kind="stable")]
        place = escapes[better]
        self.reviews[place], self.cell[place], self.money[place] = (
            reviews[better],
            first_cell + better,
            money[better],
        )
        running = np.minimum.accumulate(self.reviews)
        fallen = running < self.reviews
        self.reviews[fallen], self.cell[fallen] = running[fallen], -1


def _upward(flat: np.ndarray, shape: tuple[int, ...], weights: np.ndarray | None = None) -> np.ndarray:
    """Sales of a slab that are not reviewed at each level of the other two axes: sums from the top."""
    counts = np.bincount(flat, weights, minlength=shape[1] * shape[2]).reshape(shape[1:])
    kind = np.int32 if weights is None else np.float64
    return np.asarray(counts[::-1, ::-1].cumsum(axis=0, dtype=kind).cumsum(axis=1)[::-1, ::-1])


def _next_level(table: np.ndarray) -> np.ndarray:
    """The table one level stricter on both axes; the last level has none stricter."""
    return np.asarray(np.pad(table, ((0, 1), (0, 1)), mode="edge")[1:, 1:])


def reviews_along(sales: SalesToTune, thresholds: np.ndarray) -> np.ndarray:
    """Sales that each choice reviews, int64 [m]; thresholds are [m, k]."""
    return np.array([len(sales) - np.count_nonzero((sales.confidences >= t).all(axis=1)) for t in thresholds])


def escapes_along(sales: SalesToTune, thresholds: np.ndarray) -> np.ndarray:
    """Escapes of each choice, int64 [m]; thresholds are [m, k]."""
    confidences = sales.confidences[sales.wrong]
    return np.array([np.count_nonzero((confidences >= t).all(axis=1)) for t in thresholds])


def losses_along(sales: SalesToTune, thresholds: np.ndarray) -> np.ndarray:
    """Money that the escapes of each choice lose, float64 [m]; thresholds are [m, k]."""
    assert sales.lost_usd is not None
    confidences, lost = sales.confidences[sales.wrong], sales.lost_usd[sales.wrong]
    return np.array([lost[(confidences >= t).all(axis=1)].sum() for t in thresholds])
