"""Dash Cart: take a smart cart, scan each unit and see the bill grow, leave through the cart lane."""

from __future__ import annotations

import numpy as np
import simpy

from sim.flows.base import goods_usd, lost_margin_usd, per_day_usd, staffed
from sim.flows.staffed_lanes import StaffedLanesFlow
from sim.shoppers import Plans, itinerary
from sim.store import Store, Story


class DashCartFlow:
    """A store whose shoppers take a smart cart from a finite fleet; those without one pay at a lane, or go."""

    name = "dash-cart"
    served_by = 1

    def __init__(self, store: Store, seed: np.random.SeedSequence) -> None:
        scanning, auditing, paying = seed.spawn(3)
        self._store, self._settings = store, store.scenario.dash_cart
        self._scanning, self._auditing = np.random.default_rng(scanning), np.random.default_rng(auditing)
        lanes = self._settings.fallback_lanes
        self.lanes = StaffedLanesFlow(store, paying, lanes) if lanes else None

    def opens(self) -> None:
        store, settings, plans = self._store, self._settings, self._store.plans
        env = store.env
        self._dock = simpy.Store(env)
        self._dock.items.extend(range(settings.carts))
        self._chargers = simpy.Resource(env, capacity=settings.docks or settings.carts)
        self._attendants = simpy.Resource(env, capacity=settings.attendants)
        self._lane = simpy.Resource(env, capacity=settings.lanes)
        wanted = plans.units
        self._too_large = (plans.sum_by_visit(wanted) > self.capacity).tolist()
        kept = plans.kept("shown")
        if settings.too_large == "trim":
            kept = _within(kept, plans, self.capacity)
        self._scan(plans, kept)
        self._audit(plans)
        size = len(plans)
        self._dock_waits_s, self._lane_waits_s, self._help_waits_s = ([0.0] * size for _ in range(3))
        self._helped, self._refused, self._carted = [0] * size, [False] * size, [False] * size
        self._receipt_s = [0.0] * size
        if self.lanes is not None:
            self.lanes.opens()

    @property
    def capacity(self) -> int:
        """Units that a cart's bags hold."""
        return self._settings.bags * self._settings.units_per_bag

    def visit(self, number: int) -> Story:
        store, env, settings = self._store, self._store.env, self._settings
        if self._too_large[number] and settings.too_large != "trim":
            yield from self._without_cart(number, settings.too_large)
            return
        arrives_s = env.now
        cart = self._dock.get()
        if settings.no_cart == "wait" or cart.triggered:
            yield cart
        else:
            yield cart | env.timeout(settings.dock_patience_s)
        self._dock_waits_s[number] = env.now - arrives_s
        if not cart.triggered:
            cart.cancel()
            yield from self._without_cart(number, settings.no_cart)
            return
        taken_s = env.now
        self._carted[number] = True
        yield env.timeout(settings.unlock_s)
        store.enters(number)

        walked_s = 0.0
        for call_s in self._calls.get(number, ()):
            yield env.timeout(call_s - walked_s)
            walked_s = call_s
            yield from self._help(number)
        yield env.timeout(self._shops_s[number] - walked_s)

        if self._units[number]:
            yield from self._check_out(number)
        store.leaves(number)
        yield env.timeout(settings.return_s)
        used_s = env.now - taken_s
        with self._chargers.request() as plug:
            yield plug
            yield env.timeout(settings.charge_share * used_s)
        self._dock.put(cart.value)

    def _help(self, number: int) -> Story:
        """Call an attendant, wait, and be helped."""
        env = self._store.env
        asked = env.now
        self._helped[number] += 1
        with self._attendants.request() as turn:
            yield turn
            self._help_waits_s[number] += env.now - asked
            yield env.timeout(self._settings.help_s)

    def _check_out(self, number: int) -> Story:
        """Pass the cart lane; some are audited there."""
        env = self._store.env
        asked = env.now
        with self._lane.request() as turn:
            yield turn
            self._lane_waits_s[number] = env.now - asked
            yield env.timeout(self._exit_s[number])
        self._receipt_s[number] = env.now - asked

    def _without_cart(self, number: int, instead: str) -> Story:
        """Take a plain basket and pay at a lane, or go away."""
        if instead == "lane" and self.lanes is not None:
            yield from self.lanes.visit(number)
        else:
            self._refused[number] = True
            self._store.turns_away(number)

    def _scan(self, plans: Plans, kept: np.ndarray) -> None:
        """Scan every unit in, and out again what the shown bill makes too much; the scale notices most mistakes.

        Browsed products are looked at and put back without a scan; what is concealed is never scanned.
        """
        settings, rng = self._settings, self._scanning
        dropped = plans.units > kept
        scans = (
            (plans.units[plans.line] > 0)
            & ~plans.concealed[plans.line]
            & (~plans.if_dropped | dropped[plans.line])
        )
        quantity = np.where(scans, plans.quantity, 0)
        missed = rng.binomial(quantity, settings.unscanned)
        seen = rng.binomial(missed, settings.mismatch_seen)
        alarms = seen + rng.binomial(quantity - missed, settings.false_alarm)
        retries = alarms + rng.binomial(quantity, settings.scan_fails)
        helps = rng.binomial(alarms, settings.help_share)
        first = (
            np.concatenate([[True], plans.line[1:] != plans.line[:-1]])
            if len(plans.line)
            else np.zeros(0, bool)
        )
        handling_s = settings.scan_s * quantity + settings.retry_s * retries
        handling_s += settings.weigh_s * (plans.weighed[plans.line] & first & scans)
        net = np.where(plans.back, -1, 1) * (quantity - missed + seen)
        self.scanned = np.maximum(0, np.bincount(plans.line, net, len(plans.units)).astype(np.int64))
        self.trip = itinerary(plans, kept, self._store.scenario.shoppers.at_shelf_s, handling_s)
        self._shops_s = self.trip.shops_s.tolist()
        self._units = plans.sum_by_visit(np.where(plans.concealed, 0, kept)).tolist()
        calling = np.flatnonzero(helps[self.trip.events])
        self._calls: dict[int, list[float]] = {}
        done_s = (
            self.trip.event_at_s + self._store.scenario.shoppers.at_shelf_s + handling_s[self.trip.events]
        )
        for at in calling.tolist():
            calls = self._calls.setdefault(int(self.trip.event_visit[at]), [])
            calls += [float(done_s[at])] * int(helps[self.trip.events[at]])
        for calls in self._calls.values():
            calls.sort()

    def _audit(self, plans: Plans) -> None:
        """Some carts are audited: N random units of the cart, and all of them after any miss."""
        settings, rng = self._settings, self._auditing
        shown = np.where(plans.concealed, 0, self.trip.kept)
        units = plans.sum_by_visit(shown).astype(np.int64)
        missing = plans.sum_by_visit(np.maximum(0, shown - self.scanned)).astype(np.int64)
        self.audited = (units > 0) & (rng.uniform(size=len(plans)) < settings.audit_share)
        looked_at = np.minimum(units, settings.audit_units)
        failed = self.audited & (rng.uniform(size=len(plans)) >= all_good(units, missing, looked_at))
        counted = np.where(self.audited, looked_at, 0) + np.where(failed, units, 0)
        self._exit_s = (settings.exit_s + settings.audit_s_per_unit * counted).tolist()
        self.scanned = np.where(failed[plans.line_visit], shown, self.scanned)

    def closes(self) -> None:
        settings, table, plans = self._settings, self._store.table, self._store.plans
        if self.lanes is not None:
            self.lanes.closes()
        carted, refused = np.array(self._carted, bool), np.array(self._refused, bool)
        kept, usd = self.trip.kept, plans.price_usd
        true_usd, charged_usd = plans.sum_by_visit(kept * usd), plans.sum_by_visit(self.scanned * usd)
        dock_s, lane_s, help_s = (
            np.array(x) for x in (self._dock_waits_s, self._lane_waits_s, self._help_waits_s)
        )
        trimmed = np.maximum(0, plans.kept("shown") - kept) if settings.too_large == "trim" else 0
        hidden_usd = plans.sum_by_visit(kept * plans.concealed * usd)
        rows = {
            "served_by": np.full(len(plans), self.served_by),
            "entry_wait_s": dock_s,
            "lane_wait_s": lane_s,
            "help_wait_s": help_s,
            "wait_s": dock_s + lane_s + help_s,
            "sale": (true_usd > 0) | (charged_usd > 0),
            "units": plans.sum_by_visit(kept),
            "shelf_events": np.bincount(self.trip.event_visit, minlength=len(plans)),
            "true_usd": true_usd,
            "charged_usd": charged_usd,
            "wrong": plans.sum_by_visit(kept != self.scanned) > 0,
            "interventions": np.array(self._helped),
            "audited": self.audited,
            "time_to_receipt_s": np.array(self._receipt_s),
            "believed_usd": charged_usd,
            "total_known": np.ones(len(plans), bool),
            "over_budget": charged_usd > plans.budget_usd + 0.005,
            "stolen_usd": np.minimum(hidden_usd, np.maximum(0.0, true_usd - charged_usd)),
            "lost_usd": plans.sum_by_visit(trimmed * usd),
        }
        t = table.columns
        for name, values in rows.items():
            t[name][carted] = values[carted]
        waited = ~carted & (dock_s > 0)
        t["entry_wait_s"][waited] = dock_s[waited]
        t["wait_s"][waited] += dock_s[waited]
        t["served_by"][refused] = self.served_by
        t["lost"][refused] = plans.sum_by_visit(plans.units)[refused] > 0
        t["lost_usd"][refused] = plans.sum_by_visit(plans.units * usd)[refused]
        self._pay(carted | refused)

    def _pay(self, mine: np.ndarray) -> None:
        """What the day has cost."""
        store, settings, table = self._store, self._settings, self._store.table
        t, costs, year = table.columns, table.costs_usd, store.scenario.economics.open_days_per_year
        table.has |= {"interventions", "audits", "entry", "lane"}
        table.open_hours_s = store.closes_s - store.opens_s
        costs["carts"] += settings.carts * per_day_usd(settings.cart_usd, settings.cart_years, year)
        costs["remodelling"] += per_day_usd(settings.remodelling_usd, settings.remodelling_years, year)
        costs["cloud"] += settings.cloud_usd_per_sale * int(t["sale"][mine].sum())
        helped_s = sum(self._helped) * settings.help_s
        paid_s = staffed((store.opens_s, store.closes_s), settings.attendants)
        table.employs("attendants", paid_s, helped_s, settings.wage_usd_per_hour)
        costs["shrink"] += goods_usd(store, np.maximum(0.0, t["true_usd"] - t["charged_usd"])[mine])
        costs["lost_sales"] += lost_margin_usd(store, t["lost_usd"][mine])

    def finishes(self) -> None:
        """Every bill is final when the cart has passed the lane."""


def all_good(units: np.ndarray, missing: np.ndarray, looked_at: np.ndarray) -> np.ndarray:
    """Probability that none of the unscanned units is among those looked at (hypergeometric), float [n]."""
    good = np.ones(len(units))
    for i in range(int(looked_at.max(initial=0))):
        left = np.maximum(1, units - i)
        good *= np.where(i < looked_at, np.maximum(0, units - missing - i) / left, 1.0)
    return good


def _within(kept: np.ndarray, plans: Plans, capacity: int) -> np.ndarray:
    """Units of each line that fit into the cart, in the order in which they are taken."""
    total = np.cumsum(kept)
    before = np.concatenate([[0], total])[np.searchsorted(plans.line_visit, plans.line_visit)]
    return np.where(total - before <= capacity, kept, 0)
