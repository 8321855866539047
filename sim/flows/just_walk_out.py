"""Just Walk Out: scan in, take, put back, leave; perception makes the bill, humans check the doubtful ones."""

from __future__ import annotations

import numpy as np
import simpy

from checkout.profile import PerceptionProfile
from sim.flows.base import HOUR_S, closing_s, opening_s, per_day_usd
from sim.perception import Perception, SeenVisit
from sim.results import Replication, Visit
from sim.reviewers import ReviewDesk
from sim.shoppers import Shopper
from sim.store import Store, Story


class JustWalkOutFlow:
    """One day of a Just Walk Out store."""

    def __init__(self, store: Store, profile: PerceptionProfile, seed: np.random.SeedSequence) -> None:
        perceiving, reviewing, correcting = seed.spawn(3)
        self._store, self._settings = store, store.scenario.just_walk_out
        self._perception = Perception(profile, store.scenario.shoppers.price_usd, perceiving)
        review = self._settings.review
        self.desk = ReviewDesk(store.env, review.reviewers, review.work_s, np.random.default_rng(reviewing))
        self._gate = simpy.Resource(store.env, capacity=self._settings.gates)
        self._correcting = np.random.default_rng(correcting)
        self._visits: list[Visit] = []
        self.seen: list[SeenVisit] = []

    def visit(self, shopper: Shopper) -> Story:
        env, store, settings = self._store.env, self._store, self._settings
        row = Visit(shopper.number, env.now)
        cart = SeenVisit(shopper, [0] * len(shopper.kept_units))
        self._visits.append(row)
        self.seen.append(cart)
        with self._gate.request() as turn:
            yield turn
            row.wait_s = env.now - row.arrives_s
            yield env.timeout(settings.gate_s)
        store.enters()

        at_shelf_s = store.scenario.shoppers.at_shelf_s
        near_s = at_shelf_s + store.scenario.shoppers.lingers_s
        stood_s = 0.0
        for reach in shopper.reaches:
            # One event takes the shopper from shelf to shelf: the time at the last one, then the walk.
            yield env.timeout(stood_s + reach.walk_s)
            self._perception.sees(cart, reach, store.stands_at(reach.zone, cart, near_s), at_shelf_s)
            stood_s = at_shelf_s
        yield env.timeout(stood_s + shopper.leave_s)

        store.leaves()
        row.leaves_s = env.now
        row.units, row.shelf_events = sum(shopper.kept_units), len(shopper.reaches)
        if row.units or cart.foreign_usd > 0 or any(cart.charged):
            row.sale = True
            yield from self._bill(row, cart)

    def _bill(self, row: Visit, cart: SeenVisit) -> Story:
        """The receipt: charged as it is, or looked at by a human first."""
        env, review = self._store.env, self._settings.review
        row.confidence = min(*cart.lowest, cart.lowest_candidate)
        row.true_usd, row.wrong = cart.true_usd, cart.wrong
        row.charged_usd = cart.charged_usd if row.wrong else row.true_usd
        yield env.timeout(self._settings.receipt_s)
        if cart.doubted(review.thresholds):
            row.reviewed = True
            yield from self.desk.review()
            if row.wrong and self._correcting.uniform() < review.accuracy:
                row.wrong, row.charged_usd = False, row.true_usd
        row.time_to_receipt_s = env.now - row.leaves_s

    def result(self) -> Replication:
        settings, review = self._settings, self._settings.review
        paid_s = max(closing_s(self._store), self.desk.last_done_s) - opening_s(self._store)
        sales = [v for v in self._visits if v.sale]
        costs = {
            "hardware": per_day_usd(settings.hardware_usd, settings.hardware_years),
            "staff": review.reviewers * paid_s / HOUR_S * review.wage_usd_per_hour,
            "cloud": settings.cloud_usd_per_sale * len(sales),
            "errors": sum(_error_usd(v, settings.dispute_share, settings.dispute_usd) for v in sales),
        }
        busy = self.desk.busy_s / (self.desk.reviewers * paid_s) if self.desk.reviewers else None
        return Replication(self._visits, self._store.person_seconds, costs, True, busy)


def _error_usd(visit: Visit, dispute_share: float, dispute_usd: float) -> float:
    """What a wrong final bill costs: goods not charged, or the refund and handling of what is disputed."""
    if not visit.wrong:
        return 0.0
    gap = visit.true_usd - visit.charged_usd
    return gap if gap > 0 else dispute_share * (dispute_usd - gap)
