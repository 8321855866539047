"""Thresholds with a promise: escapes per 1,000 sales stay within a limit, with a stated confidence.

Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021): each choice of thresholds is a hypothesis
"its escapes are over the limit", tested exactly with the binomial distribution; the choices are tested in
an order that the tested sales had no part in, from the strictest on, until one test fails. With confidence
1 - delta *every* choice that passed keeps the limit, so any of them may be taken, for whatever reason.

The promise is about a sale drawn like those that were tested: escapes are counted over all sales, reviewed
or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from checkout.errors import InputError
from sim.tuning.frontier import PER, Frontier, pareto_frontier
from sim.tuning.groups import group_frontier
from sim.tuning.sales import SalesToTune
from sim.tuning.three import escapes_along, losses_along, reviews_along, three_threshold_frontier

FEW_CLUSTERS = 10
"""Assumed: with fewer days or recordings, how much they differ is hardly known."""
STRICTER_STEPS = 24
"""Assumed: choices between the strictest efficient one and the strictest of all that open a sequence."""

SEQUENCE = 400
"""Assumed: choices that are tested where the sequence is learnt; every one that is tested may end it."""


@dataclass(frozen=True)
class Clusters:
    """How much sales of one day or recording go together.

    Attributes:
        count: days or recordings.
        design_effect: variance of the count of escapes at the limit, as a multiple of independent sales'.
        effective_sales: independent sales that tell as much as these.
    """

    name: str
    count: int
    design_effect: float
    effective_sales: float


@dataclass(frozen=True)
class Promise:
    """What was promised, on what evidence.

    Attributes:
        limit_per_1000_sales, confidence: escapes stay at or under the limit with this confidence.
        sales, effective_sales: tested sales, and independent sales that they are worth.
        allowed_escapes: the most escapes among the tested sales with which the test passes; -1 if not even none.
        sequence: the choices in the order in which they are tested, on the tested sales.
        passed: how many of the sequence passed; the last of them is the laxest.
        needed_sales: sales without a single escape that the promise needs at least.
        learnt_on: sales that the sequence was chosen on, none of them tested; 0 where it needs none.
    """

    limit_per_1000_sales: float
    confidence: float
    sales: int
    effective_sales: float
    allowed_escapes: int
    sequence: Frontier = field(repr=False)
    passed: int
    needed_sales: int
    learnt_on: int = 0
    clusters: Clusters | None = None
    warnings: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether any choice is promised to keep the limit."""
        return self.passed > 0

    @property
    def chosen(self) -> int | None:
        """Index in `sequence` of the choice of fewest reviews that is promised to keep the limit; None without one."""
        if not self.kept:
            return None
        return int(np.argmin(self.sequence.reviews[: self.passed]))

    def bound_per_1000_sales(self, index: int) -> float:
        """What one choice, named before looking, could promise: the exact upper bound of its escapes."""
        share = self.effective_sales / self.sales
        return PER * upper_bound(
            float(self.sequence.escapes[index]) * share, self.effective_sales, self.confidence
        )

    @property
    def nearest(self) -> int:
        """The choice of the sequence with the fewest escapes: the closest one may come to the limit."""
        return int(np.argmin(self.sequence.escapes))

    def to_dict(self) -> dict[str, Any]:
        """The shape that `tune --json` prints."""
        return {
            "limit_per_1000_sales": self.limit_per_1000_sales,
            "confidence": self.confidence,
            "kept": self.kept,
            "tested_sales": self.sales,
            "effective_sales": self.effective_sales,
            "allowed_escapes": self.allowed_escapes,
            "learnt_on_sales": self.learnt_on,
            "needed_sales": self.needed_sales,
            "clusters": vars(self.clusters) if self.clusters else None,
            "nearest_bound_per_1000_sales": self.bound_per_1000_sales(self.nearest),
            "warnings": list(self.warnings),
        }


def p_value(escapes: float, sales: float, limit: float) -> float:
    """P(at most so many escapes | each sale escapes with probability `limit`), 0-1.

    The binomial distribution function, written as an incomplete beta function so that an effective
    number of sales need not be whole.
    """
    from scipy.special import betainc

    return 1.0 if escapes >= sales else float(betainc(sales - escapes, escapes + 1.0, 1.0 - limit))


def upper_bound(escapes: float, sales: float, confidence: float) -> float:
    """One-sided upper bound of a probability (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    return 1.0 if escapes >= sales else float(betaincinv(escapes + 1.0, sales - escapes, confidence))


def interval(count: float, sales: float, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a probability (Clopper and Pearson 1934)."""
    tail = 0.5 + confidence / 2
    return 1.0 - upper_bound(sales - count, sales, tail), upper_bound(count, sales, tail)


def allowed_escapes(sales: int, limit: float, confidence: float, effective_sales: float | None = None) -> int:
    """The most escapes among so many sales with which the exact test passes; -1 where not even none will do.

    Args:
        limit: escapes a sale, 0-1.
        effective_sales: independent sales that these are worth; default all of them.
    """
    share = 1.0 if effective_sales is None else effective_sales / sales
    low, high = -1, sales
    while high - low > 1:
        middle = (low + high) // 2
        if p_value(middle * share, sales * share, limit) <= 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def needed_sales(limit: float, confidence: float) -> int:
    """Sales without an escape that the promise takes at least; about 3 / limit for 95 % (the rule of three)."""
    return math.ceil(math.log(1.0 - confidence) / math.log1p(-limit))


def fixed_sequence(escapes: np.ndarray, allowed: int) -> int:
    """How many choices pass, tested in this order until the first that fails.

    Args:
        escapes: int [m], escapes of each choice among the tested sales.
        allowed: `allowed_escapes`.
    """
    failed = np.flatnonzero(escapes > allowed)
    return int(failed[0]) if len(failed) else len(escapes)


def clusters_of(sales: SalesToTune, limit: float, confidence: float) -> Clusters | None:
    """Effective number of sales where days or recordings differ; None where the sales name none.

    The design effect is estimated from all wrong sales (Kish 1965: variance of a ratio over that of
    independent sales) and carried over to the limit: if days multiply the error rate and thresholds do
    not change by how much, the excess falls in proportion to the rate. The few clusters' own uncertainty is
    met with a t-quantile (Korn and Graubard 1998). Approximate, unlike the test itself.
    """
    if sales.cluster is None:
        return None
    from scipy.special import ndtri, stdtrit

    size = np.bincount(sales.cluster).astype(float)
    count = int(np.count_nonzero(size))
    n, rate = len(sales), sales.wrong_share
    if count < 2:
        return Clusters(sales.cluster_name, count, float("nan"), 1.0)
    effect = 1.0
    if 0 < rate < 1:
        wrong = np.bincount(sales.cluster, weights=sales.wrong)
        spread = count / (count - 1) * float(((wrong - rate * size) ** 2).sum()) / n
        excess = max(0.0, spread / (rate * (1 - rate)) - 1.0)
        effect += excess * min(1.0, limit / rate)
    tail = ndtri(confidence) / stdtrit(count - 1, confidence) if confidence > 0.5 else 1.0
    return Clusters(sales.cluster_name, count, effect, min(float(n), n / effect * float(tail) ** 2))


def promise(
    sales: SalesToTune,
    limit_per_1000_sales: float,
    *,
    confidence: float = 0.9,
    thresholds: str = "one",
    learn_share: float = 0.3,
    rng: np.random.Generator | None = None,
) -> Promise:
    """Test choices of thresholds in a fixed sequence on the sales.

    Args:
        thresholds: "one" for all aspects: all sales are tested, along every distinct score; "three" (one an
            aspect) or "group" (one a group): the sequence is the frontier of a random `learn_share` of the
            sales (whole days or recordings, where they are named), and the others are tested.
        rng: draws the sales that are learnt on; needed for "three" and "group".

    Raises:
        InputError: a number is out of range, or there are too few sales to split.
    """
    if not 0 < limit_per_1000_sales < PER:
        raise InputError(
            "--max-escapes",
            "",
            f"{limit_per_1000_sales:g}, expected escapes per 1,000 sales, over 0 and under 1,000",
        )
    if not 0 < confidence < 1:
        raise InputError("--confidence", "", f"{confidence:g}, expected a probability between 0 and 1")
    limit = limit_per_1000_sales / PER
    if thresholds == "one":
        tested, learnt_on = sales, 0
        # Escapes only fall with the threshold, so the sequence of all thresholds is fixed by itself.
        sequence = _reversed(pareto_frontier(sales))
    else:
        if rng is None:
            raise ValueError("the sales to learn on are drawn: pass rng")
        learnt, tested = _split(sales, learn_share, rng)
        learnt_on = len(learnt)
        learn = group_frontier if thresholds == "group" else three_threshold_frontier
        sequence = _on_tested(
            tested, _stricter_first(_thinned(learn(learnt).thresholds)), thresholds == "group"
        )
    clusters = clusters_of(tested, limit, confidence)
    effective = clusters.effective_sales if clusters else float(len(tested))
    allowed = allowed_escapes(len(tested), limit, confidence, effective)
    return Promise(
        limit_per_1000_sales, confidence, len(tested), effective, allowed, sequence,
        fixed_sequence(sequence.escapes, allowed),
        math.ceil(needed_sales(limit, confidence) * len(tested) / effective),
        learnt_on, clusters, tuple(_warnings(tested, clusters)),
    )  # fmt: skip


def _reversed(frontier: Frontier) -> Frontier:
    return Frontier(
        frontier.thresholds[::-1], frontier.columns, frontier.reviews[::-1], frontier.escapes[::-1],
        None if frontier.lost_usd is None else frontier.lost_usd[::-1], frontier.sales, frontier.method,
    )  # fmt: skip


def _split(sales: SalesToTune, share: float, rng: np.random.Generator) -> tuple[SalesToTune, SalesToTune]:
    if not 0 < share < 1:
        raise InputError("--learn-share", "", f"{share:g}, expected a share between 0 and 1")
    units = np.arange(len(sales)) if sales.cluster is None else sales.cluster
    names = np.unique(units)
    take = round(share * len(names))
    if not 0 < take < len(names):
        raise InputError(
            sales.source, "", f"{len(names)} {sales.cluster_name or 'sale'}s are too few to learn on some and test on "
            "others", "give more sales, or use one threshold for all",
        )  # fmt: skip
    learnt = np.isin(units, rng.choice(names, take, replace=False))
    return sales.take(learnt), sales.take(~learnt)


def _thinned(thresholds: np.ndarray) -> np.ndarray:
    """At most `SEQUENCE` of the choices, the ends among them."""
    places = np.linspace(0, len(thresholds) - 1, min(SEQUENCE, len(thresholds))).round().astype(int)
    return np.asarray(thresholds[places])


def _stricter_first(thresholds: np.ndarray) -> np.ndarray:
    """The choices from strict to lax, opened by steps from all at one to the strictest."""
    lax_last = thresholds[::-1]
    steps = np.linspace(0.0, 1.0, STRICTER_STEPS, endpoint=False)[:, None]
    return np.vstack([1.0 - steps * (1.0 - lax_last[0]), lax_last])


def _on_tested(tested: SalesToTune, thresholds: np.ndarray, by_group: bool) -> Frontier:
    if by_group:
        assert tested.group is not None
        scores, group = tested.lowest, tested.group
        wrong = np.flatnonzero(tested.wrong)
        reviews = np.zeros(len(thresholds), dtype=np.int64)
        passed = np.zeros(len(thresholds), dtype=np.int64)
        lost = np.zeros(len(thresholds))
        for g in range(len(tested.group_names)):
            mine = wrong[group[wrong] == g]
            order = np.argsort(scores[mine])
            money = np.zeros(len(mine)) if tested.lost_usd is None else tested.lost_usd[mine][order]
            below = np.searchsorted(scores[mine][order], thresholds[:, g], side="left")
            reviews += np.searchsorted(np.sort(scores[group == g]), thresholds[:, g], side="left")
            passed += len(mine) - below
            lost += np.append(np.cumsum(money[::-1])[::-1], 0.0)[below]
        columns: Sequence[str] = tested.group_names
    else:
        reviews, passed = reviews_along(tested, thresholds), escapes_along(tested, thresholds)
        lost = np.zeros(0) if tested.lost_usd is None else losses_along(tested, thresholds)
        columns = tested.aspects
    return Frontier(
        thresholds, tuple(columns), reviews, passed, None if tested.lost_usd is None else lost, len(tested),
        "the frontier of other sales, tested on these",
    )  # fmt: skip


def _warnings(tested: SalesToTune, clusters: Clusters | None) -> list[str]:
    said = []
    if not tested.wrong.any():
        said.append(
            f"none of the {len(tested):,} sales is wrong: all that can be promised comes from their number (the rule "
            "of three)"
        )
    if clusters is None:
        said.append(
            "the sales are taken as independent; if several come from one recording or one bad day, name its column "
            "with --cluster, or the promise is worth less than it says"
        )
    elif clusters.count < FEW_CLUSTERS:
        said.append(
            f"only {clusters.count} {clusters.name}s: how much they differ is hardly known, so the promise is rough"
        )
    return said
