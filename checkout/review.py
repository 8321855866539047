"""The review policy: which sales a human looks at before they are charged.

As the public patents describe it (US 11,030,541; US 11,443,275): an event has three confidences,
and any one under its threshold sends the sale to an associate; so does being a candidate in
somebody else's event whose shopper is not settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from checkout.errors import InputError
from checkout.events import Decision, ShelfEvent

CANDIDATE_PROBABILITY = 0.05
"""Assumed: a shopper who may have caused an unsettled event with at least this probability is held too."""


@dataclass(frozen=True)
class ReviewPolicy:
    """One threshold, 0-1, for each of the three confidences; an event under any of them needs a review.

    The defaults are assumed, not tuned.
    """

    item: float = 0.9
    action: float = 0.9
    shopper: float = 0.9

    def __post_init__(self) -> None:
        for name in ("item", "action", "shopper"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InputError(
                    "review policy", f"{name} threshold", f"{value!r}, expected a probability from 0 to 1"
                )

    def doubts(self, event: ShelfEvent) -> tuple[str, ...]:
        """The aspects of an event that are under their threshold, said in words."""
        return tuple(
            f"{aspect} {confidence:.2f} < {threshold:.2f} at {event.t_s:.1f} s ({event.action} of {event.product})"
            for aspect, confidence, threshold in (
                ("item", event.item_confidence, self.item),
                ("action", event.action_confidence, self.action),
                ("shopper", event.shopper_confidence, self.shopper),
            )
            if confidence < threshold
        )

    def decide(self, shopper: str, events: Iterable[ShelfEvent]) -> tuple[Decision, tuple[str, ...]]:
        """Charge or review one shopper, given everybody's events; with the reasons for a review."""
        reasons: list[str] = []
        for event in events:
            if event.shopper == shopper:
                reasons.extend(self.doubts(event))
            elif event.shopper_confidence < self.shopper:
                probability = event.candidates.get(shopper, 0.0)
                if probability >= CANDIDATE_PROBABILITY:
                    reasons.append(
                        f"may have made the {event.action} of {event.product} at {event.t_s:.1f} s ({probability:.2f})"
                    )
        return ("review" if reasons else "charge"), tuple(reasons)
