"""The review policy: which sales a human looks at before they are charged, and what comes of it.

As the public patents describe it (US 11,030,541; US 11,443,275): an event has three confidences,
and any one under its threshold sends the sale to an associate; so does being a candidate in
somebody else's event whose shopper is not settled. Thresholds may differ by aspect, and here also by
product and by price.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from checkout.errors import InputError
from checkout.events import Decision, Receipt, ShelfEvent

CANDIDATE_PROBABILITY = 0.05
"""Assumed: a shopper who may have caused an unsettled event with at least this probability is held too."""


class Thresholds(NamedTuple):
    """The least confidence of each aspect, 0-1, with which an event needs no review."""

    item: float
    action: float
    shopper: float


class LeftBehind(NamedTuple):
    """Something was left on the floor.

    Attributes:
        t_s: by when, seconds.
        right: of each shopper who may have left it, the probability that their cart is right about it.
    """

    t_s: float
    right: Mapping[str, float]


@dataclass(frozen=True)
class ReviewPolicy:
    """One threshold, 0-1, for each of the three confidences; an event under any of them needs a review.

    The defaults are assumed, not tuned.

    Attributes:
        by_product: other thresholds for events of these products.
        from_price, prices: other thresholds where the event's units cost this much or more.
        prices: of the products, for `from_price`.
    """

    item: float = 0.9
    action: float = 0.9
    shopper: float = 0.9
    by_product: Mapping[str, Thresholds] = field(default_factory=dict)
    from_price: Sequence[tuple[float, Thresholds]] = ()
    prices: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sets = [("", Thresholds(self.item, self.action, self.shopper))]
        sets += [(f" of {name!r}", t) for name, t in self.by_product.items()]
        sets += [(f" from price {price:g}", t) for price, t in self.from_price]
        for what, thresholds in sets:
            for name, value in thresholds._asdict().items():
                if not 0.0 <= value <= 1.0:
                    raise InputError(
                        "review policy",
                        f"{name} threshold{what}",
                        f"{value!r}, expected a probability from 0 to 1",
                    )
        for price, _ in self.from_price:
            if not (math.isfinite(price) and price >= 0):
                raise InputError("review policy", "from_price", f"{price!r}, expected a price")

    def thresholds(self, event: ShelfEvent) -> Thresholds:
        """Those that hold for an event: its product's, else those of the highest price it reaches, else the usual."""
        if event.product in self.by_product:
            return self.by_product[event.product]
        worth = event.quantity * self.prices.get(event.product, 0.0)
        reached = [(price, t) for price, t in self.from_price if worth >= price]
        if reached:
            return max(reached, key=lambda row: row[0])[1]
        return Thresholds(self.item, self.action, self.shopper)

    def doubts(self, event: ShelfEvent) -> tuple[str, ...]:
        """The aspects of an event that are under their threshold, said in words."""
        least = self.thresholds(event)
        return tuple(
            f"{aspect} {confidence:.2f} < {threshold:.2f} at {event.t_s:.1f} s ({event.action} of {event.product})"
            for aspect, confidence, threshold in (
                ("item", event.item_confidence, least.item),
                ("action", event.action_confidence, least.action),
                ("shopper", event.shopper_confidence, least.shopper),
            )
            if confidence < threshold
        )

    def decide(
        self, shopper: str, events: Iterable[ShelfEvent], left: Iterable[LeftBehind] = ()
    ) -> tuple[Decision, tuple[str, ...]]:
        """Charge or review one shopper, given everybody's events and what was left; with the reasons for a review.

        What was left on the floor is held to the threshold of items.
        """
        reasons: list[str] = []
        for event in events:
            if event.shopper == shopper:
                reasons.extend(self.doubts(event))
            elif event.shopper_confidence < self.thresholds(event).shopper:
                probability = event.candidates.get(shopper, 0.0)
                if probability >= CANDIDATE_PROBABILITY:
                    reasons.append(
                        f"may have made the {event.action} of {event.product} at {event.t_s:.1f} s ({probability:.2f})"
                    )
        for row in left:
            if (right := row.right.get(shopper, 1.0)) < self.item:
                reasons.append(
                    f"item {right:.2f} < {self.item:.2f}: something was left on the floor by {row.t_s:.1f} s"
                )
        return ("review" if reasons else "charge"), tuple(reasons)


@dataclass(frozen=True)
class Reviewer:
    """A human who looks at sales.

    Attributes:
        accuracy: probability that a reviewed receipt comes out right; assumed.
        seconds: of work for each event that was doubtful; assumed.
    """

    accuracy: float = 0.98
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.accuracy <= 1.0:
            raise InputError("reviewer", "accuracy", f"{self.accuracy!r}, expected a probability from 0 to 1")
        if not self.seconds >= 0.0:
            raise InputError("reviewer", "seconds", f"{self.seconds!r}, expected seconds, none or more")

    def work_s(self, receipt: Receipt) -> float:
        """Seconds that a receipt takes: none when it is charged without a look."""
        return 0.0 if receipt.decision == "charge" else self.seconds * max(1, len(receipt.reasons))
