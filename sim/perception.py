"""What perception makes of a visit: events drawn from a profile under the conditions of the moment.

Crowding is what the simulated store shows at that shelf at that time, so it raises errors as it
did in the recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from checkout.profile import Cell, Judgement, PerceptionProfile, ResampledProfile
from sim.scenario import Thresholds
from sim.shoppers import Reach, Shopper

PHANTOM_LINE = -1
MINUTE_S = 60.0


@dataclass(slots=True)
class SeenVisit:
    """One shopper's virtual cart and how sure its events were.

    Attributes:
        charged: units charged of each line of the shopper's own.
        foreign_usd: value charged of things that were never in the basket.
        lowest: lowest item, action and shopper confidence of the shopper's events.
        lowest_candidate: lowest shopper confidence of others' events in which the shopper is a candidate.
    """

    shopper: Shopper
    charged: list[int]
    foreign_usd: float = 0.0
    lowest: list[float] = field(default_factory=lambda: [1.0, 1.0, 1.0])
    lowest_candidate: float = 1.0

    def doubted(self, thresholds: Thresholds) -> bool:
        """Whether any confidence is under its threshold, or the shopper is held for somebody else's event."""
        item, action, shopper = self.lowest
        return (
            item < thresholds.item
            or action < thresholds.action
            or shopper < thresholds.shopper
            or self.lowest_candidate < thresholds.shopper
        )

    @property
    def true_usd(self) -> float:
        return sum(n * p for n, p in zip(self.shopper.kept_units, self.shopper.price_usd, strict=True))

    @property
    def charged_usd(self) -> float:
        return self.foreign_usd + sum(
            n * p for n, p in zip(self.charged, self.shopper.price_usd, strict=True)
        )

    @property
    def wrong(self) -> bool:
        return self.foreign_usd > 0 or tuple(self.charged) != self.shopper.kept_units


class Perception:
    """Perception in one replication: one drawn version of the profile, with its own random stream."""

    def __init__(
        self, profile: PerceptionProfile, mean_price_usd: float, seed: np.random.SeedSequence
    ) -> None:
        version, events = (np.random.default_rng(s) for s in seed.spawn(2))
        self._profile: ResampledProfile = profile.resample(version)
        self._rng, self._price = events, mean_price_usd
        self._uniforms: list[float] = []

    def sees(self, visit: SeenVisit, reach: Reach, others: Sequence[SeenVisit], at_shelf_s: float) -> None:
        """Let perception judge one shelf event; `others` stand at the same shelf."""
        cell = Cell(reach.put_back, reach.quantity > 1, min(len(others), 2), reach.look_alike)
        seen = self._profile.draw(cell, self._rng)
        if seen.outcome != "missed":
            self._bill(visit, reach, others, seen.outcome)
            self._doubt(visit, seen, others)
        if self._uniform() < self._profile.phantoms_per_shopper_minute * at_shelf_s / MINUTE_S:
            phantom = self._profile.draw_phantom(self._rng)
            visit.foreign_usd += self._price
            self._doubt(visit, phantom, others)

    def _bill(self, visit: SeenVisit, reach: Reach, others: Sequence[SeenVisit], outcome: str) -> None:
        charged, line, quantity = visit.charged, reach.line, reach.quantity
        if outcome == "wrong_quantity":
            quantity += 1 if quantity == 1 or self._uniform() < 0.5 else -1
        if outcome == "right" or outcome == "wrong_quantity":
            charged[line] = max(0, charged[line] - quantity) if reach.put_back else charged[line] + quantity
        elif reach.put_back:
            return  # credited to somebody or something else: the unit stays on this bill
        elif outcome == "wrong_product":
            visit.foreign_usd += quantity * self._price
        elif others:
            others[int(self._uniform() * len(others))].foreign_usd += quantity * visit.shopper.price_usd[line]

    def _doubt(self, visit: SeenVisit, seen: Judgement, others: Sequence[SeenVisit]) -> None:
        lowest = visit.lowest
        if seen.item_confidence < lowest[0]:
            lowest[0] = seen.item_confidence
        if seen.action_confidence < lowest[1]:
            lowest[1] = seen.action_confidence
        if seen.shopper_confidence < lowest[2]:
            lowest[2] = seen.shopper_confidence
        for other in others:
            if seen.shopper_confidence < other.lowest_candidate:
                other.lowest_candidate = seen.shopper_confidence

    def _uniform(self) -> float:
        if not self._uniforms:
            self._uniforms = self._rng.uniform(size=4096).tolist()
        return self._uniforms.pop()
