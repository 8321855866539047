"""The value objects that every part speaks: sensor evidence, shelf events and receipts.

Evidence (`WeightStep`, `ShelfMoment`) goes into the fusion; `ShelfEvent`s come out of it and
make carts and `Receipt`s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd

Action = Literal["pick", "put_back"]
Decision = Literal["charge", "review"]


@dataclass(frozen=True)
class WeightStep:
    """A lasting change of the load on one shelf, as its plates saw it.

    Attributes:
        t_start_s, t_end_s: when the load began and ceased to change, seconds.
        shelf: for example "g1.s5".
        grams: signed change of the shelf's load; negative when something was taken.
        grams_sd: standard error of `grams`.
        plate_grams: signed change of each plate that took part, grams.
        steepest_s: when the plate that changed most changed most at once; None where only start and end are known.
    """

    t_start_s: float
    t_end_s: float
    shelf: str
    grams: float
    grams_sd: float
    plate_grams: Mapping[str, float]
    steepest_s: float | None = None

    @property
    def t_s(self) -> float:
        return 0.5 * (self.t_start_s + self.t_end_s) if self.steepest_s is None else self.steepest_s


@dataclass(frozen=True)
class ShelfMoment:
    """A hand at a shelf, as one camera saw it: when, where, who, and what it seemed to do.

    Every mapping holds probabilities that sum to one.

    Attributes:
        t_start_s, t_end_s: when the hand was in the facing's space, seconds.
        camera: the camera's id.
        facing: probability of each facing id.
        action: probability of "pick", "put_back" and "touch" (nothing taken or returned).
        shopper: probability of each shopper id; empty when nobody could be told.
        product: probability of each product as it looked; empty when looks say nothing.
        quantity: units seen to move.
    """

    t_start_s: float
    t_end_s: float
    camera: str
    facing: Mapping[str, float]
    action: Mapping[str, float]
    shopper: Mapping[str, float] = field(default_factory=dict)
    product: Mapping[str, float] = field(default_factory=dict)
    quantity: int = 1

    @property
    def t_s(self) -> float:
        return 0.5 * (self.t_start_s + self.t_end_s)


@dataclass(frozen=True)
class LeftOnFloor:
    """Something that was not on the floor at first, and lies there in the end.

    Attributes:
        t_start_s, t_end_s: between when it was left there, seconds.
        at_m: where, floor (x, y), metres.
        shopper: probability of each shopper that they left it; empty when nobody was known to be there.
        probability: that it is something of the shop.
    """

    t_start_s: float
    t_end_s: float
    at_m: tuple[float, float]
    shopper: Mapping[str, float]
    probability: float

    def __str__(self) -> str:
        who = ", ".join(
            f"{name} {p:.2f}" for name, p in sorted(self.shopper.items(), key=lambda row: -row[1])
        )
        return (
            f"left on the floor between {self.t_start_s:.1f} and {self.t_end_s:.1f} s at ({self.at_m[0]:.2f},"
            f" {self.at_m[1]:.2f}) m, sure to {self.probability:.2f}, by: {who or 'nobody known'}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As `receipts --json` prints it."""
        return {
            "t_start_s": round(self.t_start_s, 3),
            "t_end_s": round(self.t_end_s, 3),
            "at_m": [round(v, 2) for v in self.at_m],
            "shopper": {who: round(p, 4) for who, p in self.shopper.items()},
            "probability": self.probability,
        }


@dataclass(frozen=True)
class ShelfEvent:
    """A pick or put-back of a quantity of one product by one shopper.

    The truth uses the same object with all confidences at one; `conditions` is what made the
    event easy or hard (`people_near`, `look_alikes`, `same_weight`, `occlusion`, ...), and
    `candidates` the probability of each shopper who may have done it.
    """

    t_s: float
    action: Action
    product: str
    quantity: int
    shopper: str
    facing: str = ""
    t_start_s: float = float("nan")
    t_end_s: float = float("nan")
    item_confidence: float = 1.0
    action_confidence: float = 1.0
    shopper_confidence: float = 1.0
    candidates: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Signed units that enter the shopper's cart."""
        return self.quantity if self.action == "pick" else -self.quantity

    @property
    def lowest_confidence(self) -> float:
        return min(self.item_confidence, self.action_confidence, self.shopper_confidence)

    def to_dict(self) -> dict[str, Any]:
        """The event as `receipts --json` prints it."""
        return {
            "t_s": round(self.t_s, 3),
            "action": self.action,
            "product": self.product,
            "quantity": self.quantity,
            "shopper": self.shopper,
            "facing": self.facing,
            "item_confidence": round(self.item_confidence, 4),
            "action_confidence": round(self.action_confidence, 4),
            "shopper_confidence": round(self.shopper_confidence, 4),
        }


@dataclass(frozen=True)
class ReceiptLine:
    """`quantity` units of `product`, with the probability that exactly this line is right."""

    product: str
    quantity: int
    confidence: float


@dataclass(frozen=True)
class Receipt:
    """What one shopper is charged for, and whether a human looks at it first.

    `reasons` says, one clause each, why the sale goes to review; empty when it is charged. `confidence` is the
    probability that all of it is right and nothing is missing; nobody sees what is handed over.
    """

    shopper: str
    lines: tuple[ReceiptLine, ...]
    decision: Decision = "charge"
    reasons: tuple[str, ...] = ()
    confidence: float = 1.0

    @property
    def quantities(self) -> dict[str, int]:
        return {line.product: line.quantity for line in self.lines}

    def to_dict(self) -> dict[str, Any]:
        """The receipt as `receipts --json` prints it."""
        return {
            "shopper": self.shopper,
            "lines": [
                {"product": line.product, "quantity": line.quantity, "confidence": round(line.confidence, 4)}
                for line in self.lines
            ],
            "confidence": round(self.confidence, 4),
            "decision": self.decision,
            "reasons": list(self.reasons),
        }


def events_table(events: Iterable[ShelfEvent]) -> pd.DataFrame:
    """One row a shelf event, in time order; `conditions` become columns of their own."""
    rows = []
    for event in sorted(events, key=lambda e: e.t_s):
        row = asdict(event)
        row.pop("candidates")
        row.update(row.pop("conditions"))
        rows.append(row)
    columns = [name for name in ShelfEvent.__dataclass_fields__ if name not in ("candidates", "conditions")]
    return pd.DataFrame(rows, columns=None if rows else columns)


def receipts_table(receipts: Iterable[Receipt]) -> pd.DataFrame:
    """One row a receipt line."""
    rows = [
        {"shopper": r.shopper, **asdict(line), "decision": r.decision} for r in receipts for line in r.lines
    ]
    return pd.DataFrame(rows, columns=["shopper", "product", "quantity", "confidence", "decision"])
