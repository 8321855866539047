"""Virtual carts: what each shopper holds, as the likeliest contents and as a probability over all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from checkout.events import LeftOnFloor, Receipt, ReceiptLine, ShelfEvent
from checkout.review import LeftBehind, ReviewPolicy

MOST_UNITS = 40
"""Assumed: no cart holds more units of one product; what would be more counts as this many."""


class Carts:
    """What every shopper is believed to hold, updated event by event.

    Each cart has a distribution over the units of each product. A pick by somebody with a probability adds its
    units with that probability; a put-back takes units out with it, and only where there are any: so a put-back also
    says that somebody held what came back. Events are taken as independent given the carts.
    """

    def __init__(self) -> None:
        self._units: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._belief: dict[tuple[str, str], np.ndarray] = {}

    def add(self, event: ShelfEvent) -> None:
        """Put the event's units into the shopper's cart, or take them out; a cart never holds less than none."""
        cart = self._units[event.shopper]
        cart[event.product] = max(0, cart[event.product] + event.units)
        happened = event.item_confidence * event.action_confidence
        who = event.candidates or {event.shopper: event.shopper_confidence}
        for shopper, probability in who.items():
            if probability > 0:
                belief = self._belief.get((shopper, event.product), _nothing())
                self._belief[shopper, event.product] = _moved(belief, event.units, happened * probability)

    def leave(self, left: LeftOnFloor) -> LeftBehind:
        """Take what somebody left on the floor out of their cart, where that is likelier than not.

        It is a unit that they held: each is as likely as the others. Somebody who holds nothing left nothing.

        Returns:
            how sure each shopper's cart is about it.
        """
        held = {
            (who, product): left.shopper[who] * float(np.arange(len(belief)) @ belief)
            for (who, product), belief in self._belief.items()
            if left.shopper.get(who, 0.0) > 0
        }
        total = sum(held.values())
        if total <= 0:
            return LeftBehind(left.t_end_s, {})
        probability = {key: left.probability * weight / total for key, weight in held.items()}
        for key, p in probability.items():
            self._belief[key] = _moved(self._belief[key], -1, p)
        wrong: dict[str, float] = defaultdict(float)
        for (who, _), p in probability.items():
            wrong[who] += p
        who, product = max(probability, key=probability.__getitem__)
        if (named := probability[who, product]) > 0.5:
            self._units[who][product] = max(0, self._units[who][product] - 1)
            wrong[who] = 1 - named
        return LeftBehind(left.t_end_s, {who: 1 - p for who, p in wrong.items()})

    def units(self, shopper: str, product: str) -> int:
        """Units of a product in a shopper's cart."""
        return self._units[shopper][product] if shopper in self._units else 0

    def contents(self, shopper: str) -> Mapping[str, int]:
        """Everything that a shopper holds, without empty lines."""
        return {product: n for product, n in self._units.get(shopper, {}).items() if n > 0}

    def posterior(self, shopper: str, product: str) -> np.ndarray:
        """Probability of 0, 1, 2 ... units of a product in a shopper's cart; sums to one."""
        return self._belief.get((shopper, product), _nothing())

    def probability(self, shopper: str, product: str, units: int) -> float:
        """Probability that a shopper holds exactly so many units of a product."""
        belief = self.posterior(shopper, product)
        return float(belief[units]) if units < len(belief) else 0.0

    def all_right(self, shopper: str) -> float:
        """Probability that everything in a cart is as it is believed to be, and nothing is missing."""
        products = {product for who, product in self._belief if who == shopper}
        return float(np.prod([self.probability(shopper, p, self.units(shopper, p)) for p in products]))


def receipts(
    shoppers: Iterable[str],
    events: Sequence[ShelfEvent],
    policy: ReviewPolicy,
    *,
    staff: Collection[str] = (),
    left: Sequence[LeftOnFloor] = (),
) -> tuple[Receipt, ...]:
    """One receipt a shopper, also for those who took nothing; none for staff.

    What lies on the floor in the end is charged to nobody.

    A line's confidence is the cart's probability of exactly so many units of the product.
    """
    carts, behind = Carts(), []
    everything: list[ShelfEvent | LeftOnFloor] = [*events, *left]
    for happened in sorted(everything, key=_known_s):
        if isinstance(happened, ShelfEvent):
            carts.add(happened)
        else:
            behind.append(carts.leave(happened))
    everyone = dict.fromkeys([*shoppers, *(e.shopper for e in events)])
    made = []
    for shopper in everyone:
        if shopper in staff:
            continue
        lines = tuple(
            ReceiptLine(p, n, carts.probability(shopper, p, n))
            for p, n in sorted(carts.contents(shopper).items())
        )
        decision, reasons = policy.decide(shopper, events, behind)
        made.append(Receipt(shopper, lines, decision, reasons, carts.all_right(shopper)))
    return tuple(made)


def _known_s(happened: ShelfEvent | LeftOnFloor) -> float:
    """When something had surely happened, seconds."""
    return happened.t_s if isinstance(happened, ShelfEvent) else happened.t_end_s


def _nothing() -> np.ndarray:
    return np.ones(1)


def _moved(belief: np.ndarray, units: int, probability: float) -> np.ndarray:
    """A cart's belief after units went in (or out, when negative) with a probability."""
    quantity = abs(units)
    if units > 0:
        size = min(len(belief) + quantity, MOST_UNITS + 1)
        after = np.zeros(size)
        after[: len(belief)] = (1 - probability) * belief
        for n, p in enumerate(belief):
            after[min(n + quantity, size - 1)] += probability * p
        return after
    after = (1 - probability) * belief
    if len(belief) > quantity:
        after[: len(belief) - quantity] += probability * belief[quantity:]
    elif probability >= 1:
        return _nothing()
    total = after.sum()
    return after / total if total > 0 else _nothing()
