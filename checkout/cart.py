"""Virtual carts: shelf events add up to what each shopper holds, and to a receipt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from checkout.events import Receipt, ReceiptLine, ShelfEvent
from checkout.review import ReviewPolicy


class Carts:
    """What every shopper is believed to hold, updated event by event."""

    def __init__(self) -> None:
        self._units: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, event: ShelfEvent) -> None:
        """Put the event's units into the shopper's cart, or take them out; a cart never holds less than none."""
        cart = self._units[event.shopper]
        cart[event.product] = max(0, cart[event.product] + event.units)

    def units(self, shopper: str, product: str) -> int:
        """Units of a product in a shopper's cart."""
        return self._units[shopper][product] if shopper in self._units else 0

    def contents(self, shopper: str) -> Mapping[str, int]:
        """Everything that a shopper holds, without empty lines."""
        return {product: n for product, n in self._units.get(shopper, {}).items() if n > 0}


def receipts(
    shoppers: Iterable[str],
    events: Sequence[ShelfEvent],
    policy: ReviewPolicy,
    *,
    staff: Collection[str] = (),
) -> tuple[Receipt, ...]:
    """One receipt a shopper, also for those who took nothing; none for staff.

    A line's confidence is the probability that all its events are right, taken as independent:
    the product over the line's events of item x action x shopper confidence.
    """
    carts = Carts()
    sure: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for event in sorted(events, key=lambda e: e.t_s):
        carts.add(event)
        sure[event.shopper, event.product] *= (
            event.item_confidence * event.action_confidence * event.shopper_confidence
        )
    everyone = dict.fromkeys([*shoppers, *(e.shopper for e in events)])
    made = []
    for shopper in everyone:
        if shopper in staff:
            continue
        lines = tuple(ReceiptLine(p, n, sure[shopper, p]) for p, n in sorted(carts.contents(shopper).items()))
        decision, reasons = policy.decide(shopper, events)
        made.append(Receipt(shopper, lines, decision, reasons))
    return tuple(made)
