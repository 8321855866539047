"""What was taken for what: actions and products, and how often each aspect of an event that was seen is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from checkout.evaluation.events import ASSOCIATION_S, assign
from checkout.events import ShelfEvent

ACTIONS = ("pick", "put_back")
MISSED, PHANTOM = "missed", "phantom"
RESAMPLES = 1000


@dataclass(frozen=True)
class Accuracy:
    """How often one aspect is right in events that were seen at all, with a bootstrap over recordings.

    Attributes:
        aspect: "action" (of the events whose time and place were found), or "product", "quantity" or "shopper"
            (of those whose action is right too).
        share: None when nothing was seen.
    """

    aspect: str
    right: int
    of: int
    share: float | None
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class ActionConfusion:
    """How many events that truly were `true` ("pick", "put_back" or "phantom") were called `said`.

    `said` is "pick", "put_back" or "missed".
    """

    true: str
    said: str
    events: int


@dataclass(frozen=True)
class ProductConfusion:
    """How many events of one product were taken for another."""

    product: str
    said: str
    events: int


@dataclass
class ActionMetric:
    """Collects recordings, then says which actions were taken for which.

    An event may be found with the wrong action: a true and a perceived event within `ASSOCIATION_S` belong
    together when the action is the same or, if it is not, when the place or the product is (Assumed: otherwise they
    are a miss and a phantom).
    """

    _counts: list[Counter[tuple[str, str]]] = field(default_factory=list)

    def update(self, true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent]) -> None:
        """Add one recording."""
        cost = np.full((len(true), len(perceived)), np.inf)
        for i, t in enumerate(true):
            for j, p in enumerate(perceived):
                apart = abs(t.t_s - p.t_s)
                elsewhere = t.product != p.product and (t.facing != p.facing or not t.facing)
                if apart <= ASSOCIATION_S and not (t.action != p.action and elsewhere):
                    cost[i, j] = apart + 2 * elsewhere + 2 * (t.action != p.action)
        pairs = dict(assign(cost))
        counts: Counter[tuple[str, str]] = Counter(
            (t.action, perceived[pairs[i]].action if i in pairs else MISSED) for i, t in enumerate(true)
        )
        taken = set(pairs.values())
        counts.update((PHANTOM, p.action) for j, p in enumerate(perceived) if j not in taken)
        self._counts.append(counts)

    def compute(self) -> list[ActionConfusion]:
        """Every cell of the table, also the empty ones."""
        total = sum(self._counts, Counter())
        return [
            ActionConfusion(true, said, total[true, said])
            for true in (*ACTIONS, PHANTOM)
            for said in (*ACTIONS, MISSED)
            if (true, said) != (PHANTOM, MISSED)
        ]

    def accuracy(self) -> Accuracy:
        """Share of the events found at their time and place whose action is right."""
        rows = [
            (sum(c[a, a] for a in ACTIONS), sum(c[a, b] for a in ACTIONS for b in ACTIONS))
            for c in self._counts
        ]
        return _accuracy("action", np.array(rows, float).reshape(-1, 2))


def accuracies(judged: pd.DataFrame) -> list[Accuracy]:
    """Product, quantity and shopper accuracy given a matched event (`events.judged_table`)."""
    true = judged[judged["outcome"] != "phantom"]
    found = []
    for aspect in ("product", "quantity", "shopper"):
        rows = [
            (one.loc[one["outcome"] != "missed", f"{aspect}_right"].sum(), (one["outcome"] != "missed").sum())
            for _, one in true.groupby("recording")
        ]
        found.append(_accuracy(aspect, np.array(rows, float).reshape(-1, 2)))
    return found


def product_confusions(judged: pd.DataFrame) -> list[ProductConfusion]:
    """Products that were taken for others in events that were seen, the commonest first."""
    wrong = judged[(judged["outcome"] == "wrong_product")]
    counts = Counter(zip(wrong["product"], wrong["perceived"], strict=True))
    return [
        ProductConfusion(product, said, n)
        for (product, said), n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _accuracy(aspect: str, rows: np.ndarray, seed: int = 1) -> Accuracy:
    """From right and seen of each recording, float64 [n, 2]."""
    right, of = (int(v) for v in rows.sum(axis=0))
    interval = None
    if len(rows) > 1 and of:
        sums = rows[np.random.default_rng(seed).integers(len(rows), size=(RESAMPLES, len(rows)))].sum(axis=1)
        low, high = np.quantile(sums[sums[:, 1] > 0, 0] / sums[sums[:, 1] > 0, 1], [0.025, 0.975])
        interval = (float(low), float(high))
    return Accuracy(aspect, right, of, right / of if of else None, interval)
