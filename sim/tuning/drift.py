"""Whether a promise still stands: a sequential test over the sales that follow, looked at after each of them.

Only audited sales tell. A sale that was reviewed is no escape; one that was not may be, and nobody knows
unless somebody looks. If that somebody looks at the doubtful ones, escapes seem commoner than they are, if at
the easy ones, rarer: so the audit must draw sales at random among those that were not reviewed, with a known
probability. Each audited escape then stands for 1 / probability sales.

The test bets against the promise (Waudby-Smith and Ramdas 2024). Its capital multiplies by
1 + b (x - limit) for every sale, x being 1 / probability for an audited escape and 0 otherwise, and cannot
grow on average while escapes stay within the limit; by Ville's inequality (1939) it ever reaches 1 / a
with probability at most a. Capital is spread over several bets and over the times at which a change may
begin, so that a good first year does not delay the alarm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from checkout.errors import InputError

RATIOS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Assumed: multiples of the limit that the bets are made for; one that is best for each of these changes."""
BASELINE_CONFIDENCE = 0.999
"""Assumed: how surely a baseline share lies inside the interval that a changed share must leave."""
SHARE_FOR_HINTS = 0.5
"""Assumed: part of the false-alarm probability, over and above, that the hints on what changed may use."""

BLOCK = 200
"""Assumed: sales between two looks at what may have changed; the alarm itself looks at every sale."""


class Betting:
    """Evidence that a rate is over a limit: an e-process that may be read after every observation.

    Args:
        limit: most mean per observation under the promise, over 0.
        weight: what an observation counts that is not zero.
        least_interval: observations between two starts, at least; else as many as hold one that is not zero.

    `evidence` is the largest capital so far; at 1 / a it contradicts the limit with false-alarm probability a.
    """

    def __init__(self, limit: float, weight: float = 1.0, least_interval: int = 1) -> None:
        rate = limit / weight  # the probability of an observation that is not zero
        ratios = [r for r in RATIOS if r * rate < 1.0] or [(1.0 + 1.0 / rate) / 2.0]
        self._win = [math.log(r) for r in ratios]
        self._lose = [math.log((1.0 - r * rate) / (1.0 - rate)) for r in ratios]
        self._interval = max(least_interval, math.ceil(1.0 / rate))
        self._begun = [0.0] * len(ratios)  # capital of the bets that have begun
        self._starts = self._seen = self._pending = 0
        self.evidence = 1.0
        self._begin()

    def _begin(self) -> None:
        """Put the next part of the capital to work: 1/2, 1/6, 1/12 ... add up to one."""
        self._starts += 1
        part = 1.0 / (self._starts * (self._starts + 1))
        self._begun = [b + part / len(self._begun) for b in self._begun]

    @property
    def capital(self) -> float:
        """What is held now, from 1 at the start."""
        self._settle()
        return sum(self._begun) + 1.0 / (self._starts + 1)

    def miss(self) -> None:
        """An observation of zero; capital only falls, so it is worked out when it is needed."""
        self._pending += 1

    def hit(self) -> None:
        """An observation of `weight`."""
        self._settle()
        self._multiply(1, 0)

    def block(self, hits: int, misses: int) -> None:
        """Several observations at once, in any order; what capital rises to between them is not seen."""
        self._settle()
        self._multiply(hits, misses)

    def _settle(self) -> None:
        while self._pending:
            step = min(self._pending, self._starts * self._interval - self._seen)
            self._pending -= step
            self._multiply(0, step)

    def _multiply(self, hits: int, misses: int) -> None:
        self._begun = [
            b * math.exp(min(500.0, hits * win + misses * lose))
            for b, win, lose in zip(self._begun, self._win, self._lose, strict=True)
        ]
        self._begun = [min(b, 1e100) for b in self._begun]
        self._seen += hits + misses
        self.evidence = max(self.evidence, sum(self._begun) + 1.0 / (self._starts + 1))
        while self._seen >= self._starts * self._interval:
            self._begin()


@dataclass(frozen=True)
class Baseline:
    """Shares as they were when the promise was made; a monitor tells what has changed since.

    Attributes:
        sales: sales they were counted on.
        thresholds: by aspect.
        doubted: by aspect, sales with that confidence under its threshold.
        groups: by group, its sales and its escapes.
    """

    sales: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    doubted: Mapping[str, int] = field(default_factory=dict)
    group_column: str = ""
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"groups": {name: list(pair) for name, pair in self.groups.items()}}


@dataclass(frozen=True)
class Hint:
    """One share that has left the interval of its baseline, with the evidence for it."""

    what: str
    rises: bool
    baseline: float
    now: float
    evidence: float
    advice: str

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Outlook:
    """What the sales so far say about the promise."""

    sales: int
    reviewed: int
    audited: int
    audited_escapes: int
    escapes_per_1000_sales: float
    evidence: float
    alarm_at_sale: int | None
    hints: tuple[Hint, ...]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `monitor --json` prints."""
        return vars(self) | {"hints": [h.to_dict() for h in self.hints]}


class Monitor:
    """Watches sales one by one.

    Args:
        limit_per_1000_sales: the promise: escapes per 1,000 sales.
        audit_share: probability with which a sale that is not reviewed is audited.
        false_alarm: probability of ever raising an alarm while the promise stands.
        baseline: what was counted when the promise was made.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        limit_per_1000_sales: float,
        audit_share: float,
        *,
        false_alarm: float = 0.05,
        baseline: Baseline | None = None,
    ) -> None:
        for name, value, most in (
            ("--max-escapes", limit_per_1000_sales, 1000.0),
            ("--audit-share", audit_share, None),
            ("--false-alarm", false_alarm, 1.0),
        ):
            if not 0 < value <= (most or 1.0) or (most and value == most):
                raise InputError(name, "", f"{value:g}, expected more than 0 and {'less than' if most else 'at most'} "
                                 f"{most or 1.0:g}")  # fmt: skip
        self._limit, self._share, self._false_alarm = limit_per_1000_sales / 1000.0, audit_share, false_alarm
        if self._limit * audit_share >= 1.0:
            raise InputError("--max-escapes", "", "is no limit at all")
        self._betting = Betting(self._limit, 1.0 / audit_share)
        self._thresholds = dict(baseline.thresholds) if baseline else {}
        self._watched = _watched(baseline, audit_share)
        self._block: Counter[tuple[str, str]] = Counter()
        self._in_block = 0
        self._hint_level = max(1, 2 * len(self._watched)) / (SHARE_FOR_HINTS * false_alarm)
        self.sales = self.reviewed = self.audited = self.escapes = 0
        self.alarm_at_sale: int | None = None

    def see(
        self,
        *,
        reviewed: bool,
        audited: bool,
        wrong: bool,
        group: str | None = None,
        confidences: Mapping[str, float] | None = None,
    ) -> bool:
        """Take one more sale in; says whether it raised the alarm (once).

        `wrong` only counts where the sale was audited and not reviewed.
        """
        self.sales += 1
        self.reviewed += reviewed
        escape = audited and wrong and not reviewed
        if audited and not reviewed:
            self.audited += 1
            self.escapes += escape
        if escape:
            self._betting.hit()
        else:
            self._betting.miss()
        self._count(group, confidences, escape)
        if self.alarm_at_sale is None and self._betting.evidence >= 1.0 / self._false_alarm:
            self.alarm_at_sale = self.sales
            return True
        return False

    def outlook(self) -> Outlook:
        """What is known now; the hints name changed shares, the strongest first."""
        self._settle_block()
        hints = [hint for watched in self._watched for hint in watched.hints(self._hint_level)]
        return Outlook(
            self.sales, self.reviewed, self.audited, self.escapes,
            1000.0 * self.escapes / self._share / self.sales if self.sales else 0.0,
            self._betting.evidence, self.alarm_at_sale,
            tuple(sorted(hints, key=lambda h: -h.evidence)),
        )  # fmt: skip

    def _count(self, group: str | None, confidences: Mapping[str, float] | None, escape: bool) -> None:
        if not self._watched:
            return
        for aspect, confidence in (confidences or {}).items():
            self._block["seen", aspect] += 1
            self._block["doubted", aspect] += confidence < self._thresholds.get(aspect, 0.0)
        if group is not None:
            self._block["grouped", ""] += 1
            self._block["group", group] += 1
            self._block["escapes", group] += escape
        self._in_block += 1
        if self._in_block == BLOCK:
            self._settle_block()

    def _settle_block(self) -> None:
        for watched in self._watched:
            watched.add(self._block[watched.counts_among], self._block[watched.counts])
        self._block.clear()
        self._in_block = 0

    def audit_doubts(self) -> str:
        """Why the audits cannot have been drawn with the stated probability; empty when they can."""
        from scipy.stats import binomtest

        could = self.sales - self.reviewed
        if not could or binomtest(self.audited, could, self._share).pvalue > 1e-6:
            return ""
        return (
            f"{self.audited:,} of {could:,} sales that were not reviewed were audited ({self.audited / could:.3g}), "
            f"which does not agree with an audit share of {self._share:g}"
        )


class _Watched:
    """A share of sales that may rise or fall, against the interval of its baseline.

    Args:
        counts, counts_among: what a block counts for it, and among how many.
        count, of: the same in the baseline.
        weight: what one counts.
        falls: advice for a share that has fallen; without it only a rise is watched.
    """

    def __init__(
        self,
        what: str,
        counts: tuple[str, str],
        counts_among: tuple[str, str],
        count: float,
        of: float,
        *,
        rises: str,
        falls: str = "",
        weight: float = 1.0,
    ) -> None:
        from sim.tuning.guarantee import interval

        self.counts, self.counts_among = counts, counts_among
        self._what, self._advice, self._weight = what, (rises, falls), weight
        low, high = interval(count, of, BASELINE_CONFIDENCE)
        self._was, self._seen, self._sum = count / of, 0, 0.0
        self._up = Betting(high, weight, 5 * BLOCK) if high < 1.0 else None
        self._down = Betting(1.0 - low, 1.0, 5 * BLOCK) if falls and low > 0.0 else None

    def add(self, among: int, count: int) -> None:
        """Take a block in."""
        self._seen += among
        self._sum += count * self._weight
        if self._up is not None:
            self._up.block(count, among - count)
        if self._down is not None:
            self._down.block(among - count, count)

    def hints(self, level: float) -> list[Hint]:
        """The rise or fall, where the evidence reaches the level."""
        return [
            Hint(self._what, rises, self._was, self._sum / self._seen, betting.evidence, advice)
            for rises, betting, advice in (
                (True, self._up, self._advice[0]),
                (False, self._down, self._advice[1]),
            )
            if betting is not None and self._seen and betting.evidence >= level
        ]


def _watched(baseline: Baseline | None, audit_share: float) -> list[_Watched]:
    if baseline is None:
        return []
    watched = [
        _Watched(
            f"sales with a doubtful {aspect} confidence", ("doubted", aspect), ("seen", aspect), count, baseline.sales,
            rises=f"look for what makes the {aspect} harder to tell (crowding, cameras, plates, new products); tune "
            "again on sales from now on",
            falls=f"perception is surer of the {aspect} than it was: check that it is right to be; tune again",
        )
        for aspect, count in baseline.doubted.items()
    ]  # fmt: skip
    for name, (sales, escapes) in baseline.groups.items():
        where = f"{baseline.group_column} {name}"
        mix = "the mix of sales has changed: tune again, by this group"
        watched += [
            _Watched(
                f"sales of {where}", ("group", name), ("grouped", ""), sales, baseline.sales, rises=mix, falls=mix
            ),
            _Watched(
                f"escapes in {where}", ("escapes", name), ("group", name), escapes, max(sales, 1),
                weight=1 / audit_share,
                rises=f"raise the threshold of {where}, and tune again by {baseline.group_column}",
            ),
        ]  # fmt: skip
    return watched


def baseline_of(document: Mapping[str, Any], source: str) -> Baseline:
    """The baseline in what `tune --json` wrote; raises `InputError` when it holds none."""
    try:
        found = document["baseline"]
        return Baseline(
            float(found["sales"]), dict(found["thresholds"]), dict(found["doubted"]), str(found["group_column"]),
            {name: (int(a), int(b)) for name, (a, b) in found["groups"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(source, "baseline", f"is missing or malformed ({error!r})", "make it with: checkout tune ... "
                         "--json FILE") from None  # fmt: skip


def missing_audit(columns: Sequence[str]) -> str:
    """Why a table without an audit column cannot be watched."""
    return (
        "is not a column: reviewed sales are never escapes, and whether one of the others is wrong is only known if "
        f"somebody looked at it, drawn at random; it has {', '.join(columns[:12])}"
    )
