"""Just Walk Out: scan in, take, put back, leave; perception makes the bill, humans check the doubtful ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from checkout.profile import PerceptionProfile
from sim.flows.base import goods_usd, per_day_usd, staffed
from sim.perception import Crowd, Perception, SeenDay
from sim.results import DayTable
from sim.reviewers import ReviewDesk
from sim.scenario import Thresholds
from sim.shoppers import DAY_S, Itinerary, Plans, itinerary
from sim.store import Store, Story


class JustWalkOutFlow:
    """A store that shoppers enter by a gate and leave without paying.

    The shop floor does not depend on the bills, so a day's bills are made when its floor is empty: first who
    stood where, then what perception made of it, then the review desk, whose clock never stops at night.
    """

    name = "just-walk-out"

    def __init__(self, store: Store, profile: PerceptionProfile, seed: np.random.SeedSequence) -> None:
        perceiving, working, correcting, disputing = seed.spawn(4)
        self._store, self._settings = store, store.scenario.just_walk_out
        self._perception = Perception(profile, store.scenario, perceiving)
        self._working, self._correcting, self._disputing = (
            np.random.default_rng(s) for s in (working, correcting, disputing)
        )
        review = self._settings.review
        self.office = simpy.Environment()
        self.desk = ReviewDesk(self.office, review.reviewers, review.shifts)
        self.open_bills = 0

    def opens(self) -> None:
        plans = self._store.plans
        self._gate = simpy.Resource(self._store.env, capacity=self._settings.gates)
        self._waits_s = [0.0] * len(plans)
        self._came = [False] * len(plans)
        self.trip = itinerary(plans, plans.kept("guessed"), self._store.scenario.shoppers.at_shelf_s)
        self._shops_s = self.trip.shops_s.tolist()

    def visit(self, number: int) -> Story:
        store, env = self._store, self._store.env
        arrives_s = env.now
        with self._gate.request() as turn:
            yield turn
            self._waits_s[number] = env.now - arrives_s
            yield env.timeout(self._settings.gate_s)
        store.enters(number)
        self._came[number] = True
        # Nothing on the shop floor makes a shopper wait: one event takes them past all shelves.
        yield env.timeout(self._shops_s[number])
        store.leaves(number)

    def closes(self) -> None:
        plans, table = self._store.plans, self._store.table
        came = np.array(self._came, bool)
        seen = self._perception.sees(plans, self.trip, table.enters_s, came, self.crowd())
        bills = _Bills.of(seen, self._settings.review.thresholds, came)
        self._fill(table, seen, bills, came)
        self._settle(table, seen, bills, came)
        self._start_bills(table, seen, bills, came)
        self.office.run(until=(plans.day + 1) * DAY_S)
        self._pay(table, seen, came)

    def crowd(self) -> Crowd:
        """Everybody who stood at a shelf today."""
        return crowd_of(self._store, self.trip)

    def finishes(self) -> None:
        """The desk works on, day and night as its shifts say, until no bill is open."""
        while self.open_bills:
            self.office.run(until=(self.office.now // DAY_S + 1) * DAY_S)

    def _fill(self, table: DayTable, seen: SeenDay, bills: _Bills, came: np.ndarray) -> None:
        """What is known when a shopper has left."""
        plans, columns = self._store.plans, table.columns
        wait_s = np.array(self._waits_s)
        sale = came & ((seen.true_units > 0) | (seen.charged_units > 0))
        guessed_usd = seen.true_usd * plans.guess
        for name, values in {
            "served_by": np.zeros(len(came)),
            "entry_wait_s": wait_s,
            "wait_s": wait_s,
            "sale": sale,
            "units": seen.true_units,
            "shelf_events": np.bincount(self.trip.event_visit, minlength=len(came)),
            "true_usd": seen.true_usd,
            "charged_usd": seen.charged_usd,
            "wrong": seen.wrong,
            "reviewed": sale & bills.doubted,
            "held": sale & bills.held,
            "confidence": bills.lowest,
            "settled_confidence": bills.settled,
            "believed_usd": guessed_usd,
        }.items():
            columns[name][came] = values[came]

    def _settle(self, table: DayTable, seen: SeenDay, bills: _Bills, came: np.ndarray) -> None:
        """Reviews make most wrong bills right, on both sides; then shoppers dispute what they notice."""
        review, settings, t = self._settings.review, self._settings, table.columns
        done = t["reviewed"] & (self._correcting.uniform(size=len(came)) < review.accuracy)
        spoilt = t["reviewed"] & ~t["wrong"] & (self._correcting.uniform(size=len(came)) < review.spoils)
        lost, kept_lost = np.unique(seen.lost_by), np.unique(seen.lost_by[~done[seen.lost_to]])
        given_back = np.zeros(len(came), bool)
        given_back[np.setdiff1d(lost, kept_lost)] = True
        right = done | (given_back & ~seen.own_fault)
        t["wrong"][came & right] = False
        t["charged_usd"][came & right] = t["true_usd"][came & right]
        # A spoilt bill is one unit of the mean price off, to the shopper's side.
        t["wrong"][spoilt] = True
        units = np.maximum(1, t["units"][spoilt])
        t["charged_usd"][spoilt] = t["true_usd"][spoilt] * (1 + 1 / units)
        over_usd = np.where(t["sale"], t["charged_usd"] - t["true_usd"], 0.0)
        chance = self._disputing.uniform(size=len(came))
        over = over_usd > 0.005
        false_claim = t["sale"] & ~over & (t["units"] > 0) & (chance < settings.false_claim_share)
        t["disputed"][:] = (over & (chance < settings.dispute_share)) | false_claim
        line_usd = t["true_usd"] / np.maximum(1, t["units"])
        t["refunded_usd"][:] = np.where(t["disputed"], np.where(over, over_usd, line_usd), 0.0)
        budget_usd = self._store.plans.budget_usd
        t["over_budget"][came] = (t["charged_usd"] > budget_usd + 0.005)[came]
        hidden_usd = self._store.plans.sum_by_visit(
            self.trip.kept * self._store.plans.price_usd * self._store.plans.concealed
        )
        t["stolen_usd"][came] = np.minimum(hidden_usd, np.maximum(0.0, t["true_usd"] - t["charged_usd"]))[
            came
        ]

    def _start_bills(self, table: DayTable, seen: SeenDay, bills: _Bills, came: np.ndarray) -> None:
        """Charge what nobody doubts; send the rest to the desk, or let it wait for a neighbour's review."""
        t, review = table.columns, self._settings.review
        t["time_to_receipt_s"][came] = self._settings.receipt_s
        ready_s = t["leaves_s"] + self._settings.receipt_s
        reviewed = np.flatnonzero(t["reviewed"])
        self.doubts = bills.doubts
        mean_s = review.work_s + review.work_s_per_doubt * bills.doubts[reviewed]
        work_s = mean_s * _spread(review.work_variation, len(reviewed), self._working)
        order: dict[str, np.ndarray] = {
            "first_come": np.zeros(len(reviewed), np.int64),
            "fewest_doubts": bills.doubts[reviewed],
            "highest_value": -(100 * t["charged_usd"][reviewed]).astype(np.int64),
        }
        self._work_s = float(work_s.sum())
        done = {visit: self.office.event() for visit in reviewed.tolist()}
        waits_for: dict[int, list[simpy.Event]] = {}
        held = t["held"][bills.held_visit]
        for visit, other in zip(bills.held_visit[held].tolist(), bills.held_for[held].tolist(), strict=True):
            if other in done:
                waits_for.setdefault(visit, []).append(done[other])
        work = dict(
            zip(
                reviewed.tolist(),
                zip(work_s.tolist(), order[review.order].tolist(), strict=True),
                strict=True,
            )
        )
        for visit in sorted(work.keys() | waits_for.keys()):
            self.open_bills += 1
            table.open_bills += 1
            self.office.process(
                self._bill(
                    table,
                    visit,
                    float(ready_s[visit]),
                    work.get(visit),
                    done.get(visit),
                    waits_for.get(visit, []),
                )
            )

    def _bill(
        self, table: DayTable, visit: int, ready_s: float, work: tuple[float, int] | None, done: simpy.Event | None,
        waits_for: list[simpy.Event],
    ) -> Story:  # fmt: skip
        """One bill in the office: perceived, reviewed if doubtful, held until the neighbours' reviews are done."""
        office = self.office
        yield office.timeout(ready_s - office.now)
        if work is not None and done is not None:
            yield from self.desk.review(*work)
            done.succeed()
        for other in waits_for:
            if not other.processed:
                yield other
        table["time_to_receipt_s"][visit] = office.now - table["leaves_s"][visit]
        table.open_bills -= 1
        self.open_bills -= 1

    def _pay(self, table: DayTable, seen: SeenDay, came: np.ndarray) -> None:
        """What the day has cost."""
        settings, review, t, store = self._settings, self._settings.review, table.columns, self._store
        year = store.scenario.economics.open_days_per_year
        costs = table.costs_usd
        table.has |= {"reviews", "entry"}
        table.waiting += self.desk.waiting
        table.open_hours_s = store.closes_s - store.opens_s
        costs["hardware"] += per_day_usd(settings.hardware_usd, settings.hardware_years, year)
        costs["remodelling"] += per_day_usd(settings.remodelling_usd, settings.remodelling_years, year)
        costs["cloud"] += settings.cloud_usd_per_sale * int(t["sale"][came].sum())
        table.employs("reviewers", self.desk.paid_s_per_day, self._work_s, review.wage_usd_per_hour)
        table.employs(
            "gate",
            staffed((store.opens_s, store.closes_s), settings.attendants),
            0.0,
            settings.wage_usd_per_hour,
        )
        costs["disputes"] += settings.dispute_usd * int(t["disputed"][came].sum())
        unpaid_usd = np.maximum(0.0, t["true_usd"] - t["charged_usd"] + t["refunded_usd"])[came]
        costs["shrink"] += goods_usd(store, unpaid_usd)


@dataclass(frozen=True)
class _Bills:
    """Which bills of a day need a human.

    Attributes:
        lowest: lowest confidence on each bill; settled: highest threshold at which nobody makes it right; float [n].
        doubts: doubtful events on each bill, int [n]. doubted, held: bool [n].
        held_visit, held_for: pairs of a visit and the neighbour for whose review its bill is held.
    """

    lowest: np.ndarray
    settled: np.ndarray
    doubts: np.ndarray
    doubted: np.ndarray
    held: np.ndarray
    held_visit: np.ndarray
    held_for: np.ndarray

    @classmethod
    def of(cls, seen: SeenDay, thresholds: Thresholds, came: np.ndarray) -> _Bills:
        limits = np.array([thresholds.item, thresholds.action, thresholds.shopper])
        under = seen.confidence < limits
        visits = len(came)
        doubts = np.bincount(seen.account[under.any(axis=1)], minlength=visits)
        open_shopper = under[seen.candidate_event, 2]
        pairs = np.unique(
            np.column_stack([seen.candidate[open_shopper], seen.account[seen.candidate_event[open_shopper]]]),
            axis=0,
        )
        held = np.zeros(visits, bool)
        held[pairs[:, 0]] = True
        lowest = seen.lowest
        by_others = np.full(visits, -np.inf)
        np.maximum.at(by_others, seen.lost_by, lowest[seen.lost_to])
        settled = np.where(seen.own_fault | np.isinf(by_others), lowest, np.minimum(lowest, by_others))
        return cls(lowest, settled, doubts, doubts > 0, held, pairs[:, 0], pairs[:, 1])


def crowd_of(store: Store, trip: Itinerary) -> Crowd:
    """Everybody who came in, at the shelves of their way."""
    plans: Plans = store.plans
    enters_s = store.table.enters_s[plans.line_visit]
    inside = np.flatnonzero(~np.isnan(enters_s))
    return Crowd(
        plans.shelf[inside],
        (enters_s + trip.stands_from_s)[inside],
        (enters_s + trip.stands_until_s)[inside],
        plans.line_visit[inside],
        1 + plans.beside[inside],
    )


def _spread(variation: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Factors of mean 1 whose standard deviation is `variation`: Gamma, which is exponential at 1."""
    if variation == 0:
        return np.ones(size)
    shape = 1 / variation**2
    return rng.gamma(shape, 1 / shape, size)
