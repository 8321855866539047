"""Dash Cart: take a smart cart, scan each unit and see the bill grow, leave through the cart lane."""

from __future__ import annotations

import numpy as np
import simpy

from sim.flows.base import HOUR_S, closing_s, opening_s, per_day_usd
from sim.results import Replication, Visit
from sim.shoppers import Reach, Shopper
from sim.store import Store, Story


class DashCartFlow:
    """One day of a store whose shoppers all take a smart cart from a finite fleet."""

    def __init__(self, store: Store, seed: np.random.SeedSequence) -> None:
        self._store, self._settings = store, store.scenario.dash_cart
        self._rng = np.random.default_rng(seed)
        self._uniforms: list[float] = []
        env, settings = store.env, self._settings
        self._dock = simpy.Resource(env, capacity=settings.carts)
        self._attendants = simpy.Resource(env, capacity=settings.attendants)
        self._lane = simpy.Resource(env, capacity=settings.lanes)
        self._visits: list[Visit] = []

    def visit(self, shopper: Shopper) -> Story:
        env, store, settings = self._store.env, self._store, self._settings
        row = Visit(shopper.number, env.now)
        self._visits.append(row)
        cart = self._dock.request()
        yield cart
        row.wait_s += env.now - row.arrives_s
        yield env.timeout(settings.unlock_s)
        store.enters()

        scanned = [0] * len(shopper.kept_units)
        at_shelf_s = store.scenario.shoppers.at_shelf_s
        scanning_s = 0.0
        for reach in shopper.reaches:
            # One event takes the shopper from shelf to shelf: the scans at the last one, the walk, the shelf.
            yield env.timeout(scanning_s + reach.walk_s + at_shelf_s)
            calls_after_s, scanning_s = self._scan(reach, scanned)
            for busy_s in calls_after_s:
                yield env.timeout(busy_s)
                yield from self._help(row)
        yield env.timeout(scanning_s + shopper.leave_s)

        row.units, row.shelf_events = sum(shopper.kept_units), len(shopper.reaches)
        done_s = env.now
        if row.units or any(scanned):
            row.sale = True
            yield from self._check_out(shopper, scanned, row)
            row.time_to_receipt_s = env.now - done_s
        store.leaves()
        row.leaves_s = env.now
        yield env.timeout(settings.return_s)
        self._dock.release(cart)

    def _scan(self, reach: Reach, scanned: list[int]) -> tuple[list[float], float]:
        """Scan every unit in or out; the cart's scale doubts some scans and notices most missing ones.

        Returns:
            The seconds of work before each call for an attendant, and the seconds after the last.
        """
        settings, uniform = self._settings, self._uniform
        sign = -1 if reach.put_back else 1
        calls_after_s: list[float] = []
        busy_s = settings.scan_s * reach.quantity
        for _ in range(reach.quantity):
            missed = uniform() < settings.unscanned
            alarm = uniform() < (settings.mismatch_seen if missed else settings.false_alarm)
            if alarm:
                busy_s += settings.retry_s
                if uniform() < settings.help_share:
                    calls_after_s.append(busy_s)
                    busy_s = 0.0
            if alarm or not missed:
                scanned[reach.line] = max(0, scanned[reach.line] + sign)
        return calls_after_s, busy_s

    def _help(self, row: Visit) -> Story:
        """Call an attendant, wait, and be helped."""
        env = self._store.env
        row.interventions += 1
        asked = env.now
        with self._attendants.request() as turn:
            yield turn
            row.wait_s += env.now - asked
            yield env.timeout(self._settings.help_s)

    def _check_out(self, shopper: Shopper, scanned: list[int], row: Visit) -> Story:
        """Pass the lane; some carts are audited: N random units, and all of them after any miss."""
        env, settings = self._store.env, self._settings
        asked = env.now
        with self._lane.request() as turn:
            yield turn
            row.wait_s += env.now - asked
            yield env.timeout(settings.exit_s)
            units = row.units
            if units and self._uniform() < settings.audit_share:
                row.audited = True
                looked_at = min(units, settings.audit_units)
                yield env.timeout(looked_at * settings.audit_s_per_unit)
                missing = sum(max(0, k - s) for k, s in zip(shopper.kept_units, scanned, strict=True))
                if missing and self._uniform() < 1 - _all_good(units, missing, looked_at):
                    yield env.timeout(units * settings.audit_s_per_unit)
                    scanned[:] = list(shopper.kept_units)
        prices = shopper.price_usd
        row.true_usd = sum(n * p for n, p in zip(shopper.kept_units, prices, strict=True))
        row.charged_usd = sum(n * p for n, p in zip(scanned, prices, strict=True))
        row.wrong = tuple(scanned) != shopper.kept_units

    def result(self) -> Replication:
        settings = self._settings
        open_s = closing_s(self._store) - opening_s(self._store)
        costs = {
            "hardware": settings.carts * per_day_usd(settings.cart_usd, settings.cart_years),
            "staff": settings.attendants * open_s / HOUR_S * settings.wage_usd_per_hour,
            "errors": sum(max(0.0, v.true_usd - v.charged_usd) for v in self._visits if v.wrong),
        }
        return Replication(self._visits, self._store.person_seconds, costs, False)

    def _uniform(self) -> float:
        if not self._uniforms:
            self._uniforms = self._rng.uniform(size=4096).tolist()
        return self._uniforms.pop()


def _all_good(units: int, missing: int, looked_at: int) -> float:
    """Probability that none of the unscanned units is among those looked at (hypergeometric)."""
    good = 1.0
    for i in range(looked_at):
        good *= max(0, units - missing - i) / (units - i)
    return good
