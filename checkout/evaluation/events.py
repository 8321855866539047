"""Perceived shelf events against the true ones: outcomes, precision, recall and F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from checkout.events import ShelfEvent

ASSOCIATION_S = 1.5
"""Assumed: a perceived event this close to a true one may be it, when asking what became of each true event."""
TOLERANCES_S = (0.25, 0.5, 1.0)
KINDS = ("event", "place", "event and shopper", "event, quantity and shopper")
"""What must be right besides the time: action and product; action and facing; and more."""


_NOTHING = ShelfEvent(0.0, "pick", "", 1, "")


class Judged(NamedTuple):
    """One true event (or none, for a phantom) and the perceived event that was taken for it (or none)."""

    true: ShelfEvent | None
    perceived: ShelfEvent | None

    @property
    def outcome(self) -> str:
        """One of "right", "missed", "wrong_product", "wrong_quantity", "wrong_shopper" or "phantom"."""
        if self.true is None:
            return "phantom"
        if self.perceived is None:
            return "missed"
        for name in ("product", "quantity", "shopper"):
            if getattr(self.true, name) != getattr(self.perceived, name):
                return f"wrong_{name}"
        return "right"


def judge_events(true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent]) -> list[Judged]:
    """What became of every true event, and the phantoms: a one-to-one assignment of least disagreement.

    Only events of the same action within `ASSOCIATION_S` are ever taken for each other.
    """
    cost = np.full((len(true), len(perceived)), np.inf)
    for i, t in enumerate(true):
        for j, p in enumerate(perceived):
            apart = abs(t.t_s - p.t_s)
            if t.action == p.action and apart <= ASSOCIATION_S:
                wrong = (
                    2 * (t.product != p.product) + (t.shopper != p.shopper) + 0.5 * (t.quantity != p.quantity)
                )
                cost[i, j] = apart + 2 * wrong
    pairs = dict(assign(cost))
    taken = set(pairs.values())
    judged = [Judged(t, perceived[pairs[i]] if i in pairs else None) for i, t in enumerate(true)]
    return judged + [Judged(None, p) for j, p in enumerate(perceived) if j not in taken]


def hits(true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent], tolerance_s: float, kind: str) -> int:
    """The largest number of pairs that agree within the tolerance in what `kind` (of `KINDS`, or "action") asks for."""
    names = {
        "action": ("action",),
        "event": ("action", "product"),
        "place": ("action", "facing"),
        "event and shopper": ("action", "product", "shopper"),
        "event, quantity and shopper": ("action", "product", "quantity", "shopper"),
    }[kind]
    cost = np.full((len(true), len(perceived)), np.inf)
    for i, t in enumerate(true):
        for j, p in enumerate(perceived):
            if abs(t.t_s - p.t_s) <= tolerance_s and all(getattr(t, n) == getattr(p, n) for n in names):
                cost[i, j] = abs(t.t_s - p.t_s)
    return len(assign(cost))


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of least summed cost [n, m]; infinite costs are never paired."""
    from scipy.optimize import linear_sum_assignment

    if cost.size == 0:
        return []
    big = 1e6
    rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, big))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if np.isfinite(cost[i, j])]


@dataclass(frozen=True)
class EventScore:
    """Precision, recall and F1 of one kind at one tolerance, with a bootstrap interval over recordings."""

    kind: str
    tolerance_s: float
    precision: float
    recall: float
    f1: float
    f1_ci95: tuple[float, float] | None


@dataclass
class EventMetric:
    """Collects recordings, then scores all of them together.

    The interval is a percentile bootstrap over recordings (`resamples`, seeded); with a single
    recording there is none.
    """

    resamples: int = 1000
    seed: int = 1
    _counts: list[dict[tuple[str, float], tuple[int, int, int]]] = field(default_factory=list)

    def update(self, true: Sequence[ShelfEvent], perceived: Sequence[ShelfEvent]) -> None:
        """Add one recording."""
        self._counts.append(
            {
                (kind, tolerance): (hits(true, perceived, tolerance, kind), len(true), len(perceived))
                for kind in KINDS
                for tolerance in TOLERANCES_S
            }
        )

    def compute(self) -> list[EventScore]:
        rng = np.random.default_rng(self.seed)
        draws = rng.integers(len(self._counts), size=(self.resamples, len(self._counts)))
        scores = []
        for kind in KINDS:
            for tolerance in TOLERANCES_S:
                counts = np.array([c[kind, tolerance] for c in self._counts], float)
                precision, recall, f1 = f_score(*counts.sum(axis=0))
                interval = None
                if len(counts) > 1:
                    sums = counts[draws].sum(axis=1)
                    low, high = np.quantile([f_score(*row)[2] for row in sums], [0.025, 0.975])
                    interval = (float(low), float(high))
                scores.append(EventScore(kind, tolerance, precision, recall, f1, interval))
        return scores


def f_score(hit: float, true: float, perceived: float) -> tuple[float, float, float]:
    """Precision, recall and F1; what was asked for nothing and found nothing is perfect."""
    precision = hit / perceived if perceived else float(true == 0)
    recall = hit / true if true else float(perceived == 0)
    f1 = 2 * hit / (true + perceived) if true + perceived else 1.0
    return float(precision), float(recall), float(f1)


def judged_table(recording: str, judged: Sequence[Judged], grey_level: float = float("nan")) -> pd.DataFrame:
    """One row a judged event: outcome, conditions of the truth, what was perceived and its confidences.

    Args:
        grey_level: how bright the recording is, `conditions.grey_level`; NaN where no camera was used.
    """
    rows = [_row(recording, item, grey_level) for item in judged]
    return pd.DataFrame(rows or [_row("", Judged(_NOTHING, None), grey_level)]).iloc[: len(rows)]


def _row(recording: str, item: Judged, grey_level: float) -> dict[str, Any]:
    event, said = item.true or item.perceived, item.perceived
    assert event is not None
    conditions = item.true.conditions if item.true else {}
    return {
        "recording": recording,
        "t_s": event.t_s,
        "action": event.action,
        "product": event.product,
        "quantity": event.quantity,
        "shopper": event.shopper,
        "facing": event.facing,
        "t_start_s": event.t_start_s,
        "t_end_s": event.t_end_s,
        "grey_level": grey_level,
        "people_near": int(conditions.get("people_near", 0)),
        "look_alikes": int(conditions.get("look_alikes", 0)),
        "same_weight": int(conditions.get("same_weight", 0)),
        "occlusion": float(conditions.get("occlusion", 0.0)),
        "outcome": item.outcome,
        "perceived": said.product if said else "",
        "perceived_action": said.action if said else "",
        "perceived_t_s": said.t_s if said else np.nan,
        "perceived_quantity": said.quantity if said else 0,
        "perceived_shopper": said.shopper if said else "",
        "perceived_facing": said.facing if said else "",
        "shoppers": max(1, len(said.candidates)) if said else 0,
        "item_confidence": said.item_confidence if said else np.nan,
        "action_confidence": said.action_confidence if said else np.nan,
        "shopper_confidence": said.shopper_confidence if said else np.nan,
        "item_right": _agree(item, "product", "quantity"),
        "action_right": item.true is not None and said is not None,
        "shopper_right": _agree(item, "shopper"),
        "product_right": _agree(item, "product"),
        "quantity_right": _agree(item, "quantity"),
    }


def _agree(item: Judged, *names: str) -> bool:
    if item.true is None or item.perceived is None:
        return False
    return all(getattr(item.true, n) == getattr(item.perceived, n) for n in names)
