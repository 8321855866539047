"""Staffed lanes: shop, queue for an open lane, let the cashier scan everything, pay."""

from __future__ import annotations

from typing import Any

import numpy as np
import simpy

from sim.flows.base import goods_usd, lost_margin_usd, per_day_usd, scanned_units
from sim.scenario import Scenario
from sim.shoppers import HOUR_S, itinerary, weekday_hour_rates, weekday_of
from sim.store import Store, Story


class Tills:
    """What staffed lanes and self-checkout share: the walk to the tills, the queue, and who gives up.

    Args:
        places: lanes or stations, at full strength.
        scan_s, weigh_s, pay_s: for a unit, for a line of loose produce, and for paying.
    """

    name = "tills"
    served_by = -1

    def __init__(
        self,
        store: Store,
        seed: np.random.SeedSequence,
        places: int,
        scan_s: float,
        weigh_s: float,
        pay_s: float,
    ) -> None:
        self._store, self.places = store, places
        self._times_s = scan_s, weigh_s, pay_s
        self._rng = np.random.default_rng(seed)

    def opens(self) -> None:
        store, plans = self._store, self._store.plans
        kept = plans.kept("guessed")
        self.trip = itinerary(plans, kept, store.scenario.shoppers.at_shelf_s)
        # At the till the total is seen before paying: what passes the budget stays there.
        self.bought = plans.within_budget(kept, np.ones(len(plans)))
        scan_s, weigh_s, pay_s = self._times_s
        shown = np.where(plans.concealed, 0, self.bought)
        units = plans.sum_by_visit(np.where(plans.concealed, 0, kept))
        weighed = plans.sum_by_visit(plans.weighed & (shown > 0))
        self.service_s = (scan_s * units + weigh_s * weighed + pay_s).tolist()
        self._units = units.tolist()
        self._mean_service_s = float(np.mean(self.service_s)) if len(plans) else pay_s
        self._shops_s = self.trip.shops_s.tolist()
        self._patience_s = plans.patience_s.tolist()
        self._waits_s = [0.0] * len(plans)
        self._came, self._paid, self._gave_up = ([False] * len(plans) for _ in range(3))
        self.tills = simpy.PriorityResource(store.env, capacity=self.places)
        self._open_places = self.places

    def visit(self, number: int) -> Story:
        yield from self.shop(number)
        yield from self.pay(number)

    def shop(self, number: int) -> Story:
        """Come in and walk past all shelves to the tills."""
        store = self._store
        store.enters(number)
        yield store.env.timeout(self._shops_s[number])

    def pay(self, number: int) -> Story:
        """Queue, or give up; be served; leave."""
        store, env = self._store, self._store.env
        self._came[number] = True
        if not self._units[number]:
            store.leaves(number)
            return
        if self.expected_wait_s() > store.scenario.shoppers.balks_at_s:
            self._gave_up[number] = True
            store.leaves(number)
            return
        arrives_s = env.now
        with self.tills.request() as turn:
            patience_s = self._patience_s[number]
            yield turn if turn.triggered or patience_s == float("inf") else turn | env.timeout(patience_s)
            self._waits_s[number] = env.now - arrives_s
            if turn.triggered:
                yield from self.serve(number)
                self._paid[number] = True
            else:
                self._gave_up[number] = True
        store.leaves(number)

    def serve(self, number: int) -> Story:
        """The time at the till."""
        yield self._store.env.timeout(self.service_s[number])

    def expected_wait_s(self) -> float:
        """What somebody who sees the queue expects to wait."""
        return len(self.tills.queue) * self._mean_service_s / max(1, self._open_places)

    def takes(self, number: int) -> bool:
        """Whether the basket is let in."""
        return True

    def closes(self) -> None:
        raise NotImplementedError

    def finishes(self) -> None:
        """Every bill is final when it is paid."""

    def _fill(self, unscanned: float, twice: float) -> None:
        """The rows of those who came to these tills."""
        plans, table = self._store.plans, self._store.table
        came, paid, gave_up = (np.array(x, bool) for x in (self._came, self._paid, self._gave_up))
        bought = np.where(paid[plans.line_visit], self.bought, 0)
        scanned = scanned_units(bought, plans.concealed, unscanned, twice, self._rng)
        usd = plans.price_usd
        true_usd, charged_usd = plans.sum_by_visit(bought * usd), plans.sum_by_visit(scanned * usd)
        units = plans.sum_by_visit(bought)
        only_concealed = came & ~paid & ~gave_up
        hidden = np.where(plans.concealed & (paid | only_concealed)[plans.line_visit], self.trip.kept, 0)
        carried_usd = true_usd + plans.sum_by_visit(
            np.where(only_concealed[plans.line_visit], hidden, 0) * usd
        )
        wait_s = np.array(self._waits_s)
        service_s = np.array(self.service_s)
        for name, values in {
            "served_by": np.full(len(came), self.served_by),
            "lane_wait_s": wait_s,
            "wait_s": wait_s,
            "sale": (carried_usd > 0) | (charged_usd > 0),
            "lost": gave_up,
            "units": units + plans.sum_by_visit(np.where(only_concealed[plans.line_visit], hidden, 0)),
            "shelf_events": np.bincount(self.trip.event_visit, minlength=len(came)),
            "true_usd": carried_usd,
            "charged_usd": charged_usd,
            "wrong": (plans.sum_by_visit(bought != scanned) > 0) | (carried_usd > true_usd),
            "time_to_receipt_s": np.where(paid, wait_s + service_s, 0.0),
            "believed_usd": plans.sum_by_visit(np.where(paid[plans.line_visit], self.trip.kept, 0) * usd)
            * plans.guess,
            "total_known": paid,
            "over_budget": charged_usd > plans.budget_usd + 0.005,
            "stolen_usd": np.minimum(
                plans.sum_by_visit(hidden * usd), np.maximum(0.0, carried_usd - charged_usd)
            ),
            "lost_usd": plans.sum_by_visit(np.where(gave_up[plans.line_visit], self.trip.kept, 0) * usd),
        }.items():
            table.columns[name][came] = values[came]
        table.has.add("lane")
        table.open_hours_s = self._store.closes_s - self._store.opens_s
        t = table.columns
        unpaid_usd = np.maximum(0.0, t["true_usd"] - t["charged_usd"])[came]
        table.costs_usd["shrink"] += goods_usd(self._store, unpaid_usd)
        table.costs_usd["lost_sales"] += lost_margin_usd(self._store, t["lost_usd"][came])

    def _served_s(self) -> float:
        return float(np.array(self.service_s)[np.array(self._paid, bool)].sum())


class StaffedLanesFlow(Tills):
    """A store with cashiers; as many lanes are open as the hour needs.

    Args:
        lanes: instead of the scenario's number.
    """

    name = "staffed-lanes"
    served_by = 3

    def __init__(self, store: Store, seed: np.random.SeedSequence, lanes: int | None = None) -> None:
        settings = self._settings = store.scenario.staffed_lanes
        super().__init__(
            store, seed, lanes or settings.lanes, settings.scan_s, settings.weigh_s, settings.pay_s
        )

    def opens(self) -> None:
        super().opens()
        self.at_work = lanes_open(
            self._store.scenario, self.places, weekday_of(self._store.scenario, self._store.plans.day)
        )
        self._store.env.process(self._shifts())

    def _shifts(self) -> Story:
        """Closed lanes are places that are taken before any shopper; a cashier serves the last one first."""
        env, store = self._store.env, self._store
        closed: list[Any] = []
        yield env.timeout(store.opens_s)
        while env.now < store.closes_s:
            self._open_places = self.at_work[int(env.now // HOUR_S)]
            wanted = self.places - self._open_places
            while len(closed) < wanted:
                closed.append(self.tills.request(priority=-1))
            while len(closed) > wanted:
                place = closed.pop()
                if place.triggered:
                    self.tills.release(place)
                else:
                    place.cancel()
            yield env.timeout(HOUR_S)

    def closes(self) -> None:
        settings, store, table = self._settings, self._store, self._store.table
        self._fill(settings.unscanned, settings.charged_twice)
        hours = range(int(store.opens_s // HOUR_S), int(store.closes_s // HOUR_S))
        paid_s = sum(self.at_work[hour] for hour in hours) * HOUR_S
        table.employs("cashiers", paid_s, self._served_s(), settings.wage_usd_per_hour)
        year = store.scenario.economics.open_days_per_year
        table.costs_usd["hardware"] += self.places * per_day_usd(settings.lane_usd, settings.lane_years, year)


def lanes_open(scenario: Scenario, lanes: int, weekday: int) -> list[int]:
    """Open lanes in each hour of a day, at least one; as the shoppers come where no shifts are given."""
    shifts = scenario.staffed_lanes.shifts
    if shifts is not None:
        shares = [shifts.get(hour, 0.0) for hour in range(24)]
    else:
        rates = weekday_hour_rates(scenario)
        shares = (rates[weekday] / rates.max()).tolist()
    return [max(1, round(lanes * share)) for share in shares]
