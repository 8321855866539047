"""What perception makes of a day: events drawn from a profile under the conditions of their moments.

Crowding is who stands at that shelf at that moment in the simulated store, so it raises errors as it did in
the recordings. Two causes of a wrong shopper are kept apart: an event of its own that is given to somebody who
stands there, and two shoppers who are taken for each other from some moment on. Either way, what one bill
lacks the other has: a unit is lost to nobody.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from checkout.profile import OUTCOMES, PerceptionProfile, ResampledProfile, cell_codes
from sim.journey import journey
from sim.layout import load_layout
from sim.scenario import Scenario
from sim.shoppers import DAY_S, Itinerary, Plans, price_level

MINUTE_S = 60.0
SPAN_S = 100 * DAY_S
"""Longer than any visit lasts; keeps the shelves apart in one sorted list."""
TOUCH_S = 1e-6
"""Rounding of times: who arrives at a shelf at that moment stands there."""
MISSED, WRONG_PRODUCT, WRONG_QUANTITY, WRONG_SHOPPER = (
    OUTCOMES.index(name) for name in ("missed", "wrong_product", "wrong_quantity", "wrong_shopper")
)


class Crowd:
    """Who stands at which shelf when, for one day.

    Args:
        shelf, from_s, until_s, visit, persons: one entry for each time that a visit stands at a shelf.
    """

    def __init__(
        self,
        shelf: np.ndarray,
        from_s: np.ndarray,
        until_s: np.ndarray,
        visit: np.ndarray,
        persons: np.ndarray,
    ) -> None:
        order = np.argsort(shelf * SPAN_S + from_s, kind="stable")
        self.shelf, self.from_s, self.until_s = shelf[order], from_s[order], until_s[order]
        self.visit, self.persons = visit[order], persons[order]
        self._starts = self.shelf * SPAN_S + self.from_s
        ends = self.shelf * SPAN_S + self.until_s
        by_end = np.argsort(ends, kind="stable")
        self._ends = ends[by_end]
        self._came = np.concatenate([[0], np.cumsum(self.persons)])
        self._left = np.concatenate([[0], np.cumsum(self.persons[by_end])])

    def persons_at(self, shelf: np.ndarray, at_s: np.ndarray) -> np.ndarray:
        """Persons at the shelves at these moments, int, shape of `shelf`."""
        came, left = self._passed(shelf, at_s)
        return np.asarray(self._came[came] - self._left[left])

    def others_at(
        self, shelf: np.ndarray, at_s: np.ndarray, visit: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a moment asked for and a stand of somebody else there, sorted by the moment.

        Args:
            visit: who asks, and stands there too.

        Returns:
            Numbers of the moments, and numbers of the stands in this crowd.
        """
        came, left = self._passed(shelf, at_s)
        missing = came - left - 1
        asking = np.flatnonzero(missing > 0)
        at, missing, back = came[asking] - 1, missing[asking], 0
        moments, stands = [], []
        while len(asking):
            here = at - back
            there = (self.until_s[here] > at_s[asking] + TOUCH_S) & (self.visit[here] != visit[asking])
            moments.append(asking[there])
            stands.append(here[there])
            missing = missing - there
            more = (missing > 0) & (here > 0)
            asking, at, missing, back = asking[more], at[more], missing[more], back + 1
        if not moments:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        moment, stand = np.concatenate(moments), np.concatenate(stands)
        order = np.argsort(moment, kind="stable")
        return moment[order], stand[order]

    def _passed(self, shelf: np.ndarray, at_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moment = shelf * SPAN_S + at_s + TOUCH_S
        return np.searchsorted(self._starts, moment, side="right"), np.searchsorted(
            self._ends, moment, side="right"
        )


class Accounts:
    """For whom each shopper is taken: themselves, until two are exchanged.

    Args:
        at_s, first, second: when two visits are exchanged; ends_s: when they are put right again.
    """

    def __init__(self, at_s: np.ndarray, first: np.ndarray, second: np.ndarray, ends_s: np.ndarray) -> None:
        account: dict[int, int] = {}
        log: list[tuple[float, int, int, int]] = []
        due = [
            (t, number, a, b)
            for number, (t, a, b) in enumerate(
                zip(at_s.tolist(), first.tolist(), second.tolist(), strict=True)
            )
        ]
        heapq.heapify(due)
        ends = ends_s.tolist()
        while due:
            t, number, a, b = heapq.heappop(due)
            account[a], account[b] = account.get(b, b), account.get(a, a)
            log += [(t, a, account[a], number), (t, b, account[b], number)]
            if ends[number] > t:
                heapq.heappush(due, (ends[number], number, a, b))
                ends[number] = t
        log.sort(key=lambda row: (row[1], row[0]))
        self._visit = np.array([row[1] for row in log], np.int64)
        self._keys = np.array([row[1] * SPAN_S + row[0] for row in log])
        self._account = np.array([row[2] for row in log], np.int64)
        self._exchange = np.array([row[3] for row in log], np.int64)

    def at(self, visit: np.ndarray, at_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For whom each visit is taken at these moments, and by which exchange (-1: for itself)."""
        if not len(self._visit):
            return visit, np.full(len(visit), -1)
        last = np.searchsorted(self._keys, visit * SPAN_S + at_s, side="right") - 1
        known = (last >= 0) & (self._visit[last] == visit)
        account = np.where(known, self._account[last], visit)
        return account, np.where(known & (account != visit), self._exchange[last], -1)


@dataclass(frozen=True)
class SeenDay:
    """The bills of one day as perception makes them, before any review.

    Attributes:
        true_usd, charged_usd: value carried out, and on the bill, float [n].
        true_units, charged_units: likewise, in units.
        wrong: whether a bill differs from what was carried out.
        own_fault: whether it differs by more than events that were billed to others.
        lost_by, lost_to: pairs of visits: events of the first that were billed to the second.
        account: the bill on which each perceived event is (or phantom), int [k].
        confidence: of item, action and shopper of each perceived event, float [k, 3].
        candidate, candidate_event: pairs of a visit that stood near and the perceived event, by its number.
        wrong_shoppers: events billed to another, by single events and by exchanges.
    """

    true_usd: np.ndarray
    charged_usd: np.ndarray
    true_units: np.ndarray
    charged_units: np.ndarray
    wrong: np.ndarray
    own_fault: np.ndarray
    lost_by: np.ndarray
    lost_to: np.ndarray
    account: np.ndarray
    confidence: np.ndarray
    candidate: np.ndarray
    candidate_event: np.ndarray
    wrong_shoppers: tuple[int, int]

    @property
    def lowest(self) -> np.ndarray:
        """Lowest confidence on each bill, float [n]; 1 on a bill without events."""
        found = np.ones(len(self.true_usd))
        np.minimum.at(found, self.account, self.confidence.min(axis=1))
        return found


class Perception:
    """Perception in one replication: one drawn version of the profile, with its own random streams."""

    def __init__(self, profile: PerceptionProfile, scenario: Scenario, seed: np.random.SeedSequence) -> None:
        version, *sources = (np.random.default_rng(s) for s in seed.spawn(5))
        self.profile: ResampledProfile = profile.resample(version)
        self._events, self._whose, self._exchanging, self._ghosts = sources
        self._scenario, self._layout = scenario, load_layout(scenario.shelves.layout)
        minutes = scenario.just_walk_out.exchange_minutes
        self._exchange_ends = self.profile.exchange_ends_per_minute if minutes is None else 1.0 / minutes

    def sees(
        self, plans: Plans, trip: Itinerary, enters_s: np.ndarray, watched: np.ndarray, crowd: Crowd
    ) -> SeenDay:
        """The bills of the visits that are `watched` (bool [n]), who entered at these times (float [n])."""
        at_shelf_s, level = self._scenario.shoppers.at_shelf_s, price_level(self._scenario)
        mine = np.flatnonzero(watched[trip.event_visit])
        event, visit = trip.events[mine], trip.event_visit[mine]
        at_s = enters_s[visit] + trip.event_at_s[mine]
        line, shelf = plans.line[event], plans.shelf[plans.at_line[event]]
        near = np.maximum(0, crowd.persons_at(shelf, at_s) - 1)
        moment, stand = crowd.others_at(shelf, at_s, visit)
        accounts = self._exchanges(crowd, watched)
        account, exchange = accounts.at(visit, at_s)

        strange = plans.at_line[event] != line
        codes = cell_codes(
            plans.back[event], plans.quantity[event] > 1, near, plans.look_alike[line] | strange
        )
        seen = self.profile.draw(codes, self._events)
        exchanged = np.flatnonzero(exchange >= 0)
        if len(exchanged):
            in_run = self.profile.draw_in_runs(self._run_of[exchange[exchanged]], self._exchanging)
            seen.outcome[exchanged], seen.confidence[exchanged] = in_run
        single = (seen.outcome == WRONG_SHOPPER) & (exchange < 0)
        beside = plans.beside[plans.at_line[event]]
        taken_for = account
        account = self._misgiven(account, single, moment, crowd.visit[stand], beside, near, at_s, accounts)

        bills = _Bills(plans, trip, watched)
        bills.hand_over(event, line, moment, crowd.visit[stand], watched, self._whose)
        quantity = self._counted(plans.quantity[event], seen.outcome == WRONG_QUANTITY)
        bills.bill(line, account, np.where(plans.back[event], -quantity, quantity), seen.outcome, visit)
        wrong_product = np.flatnonzero((seen.outcome == WRONG_PRODUCT) & ~plans.back[event])
        bills.bill_other(
            account[wrong_product], quantity[wrong_product], self._other_usd(shelf[wrong_product]) * level
        )
        ghost_visit, ghost_shelf = self._phantoms(plans, event, at_shelf_s)
        bills.bill_other(
            ghost_visit, np.ones(len(ghost_visit), np.int64), self._other_usd(ghost_shelf) * level
        )

        perceived = np.flatnonzero(seen.outcome != MISSED)
        number = np.full(len(event), -1)
        number[perceived] = np.arange(len(perceived))
        candidate, _ = accounts.at(crowd.visit[stand], at_s[moment])
        asked = (number[moment] >= 0) & (candidate != account[moment]) & watched[crowd.visit[stand]]
        # Whose event it was stands there as well, when somebody else is charged for it.
        owners = np.flatnonzero((number >= 0) & (taken_for != account))
        return bills.settled(
            np.concatenate([account[perceived], ghost_visit]),
            np.concatenate(
                [seen.confidence[perceived], self.profile.draw_phantoms(len(ghost_visit), self._ghosts)]
            ),
            np.concatenate([candidate[asked], taken_for[owners]]),
            np.concatenate([number[moment][asked], number[owners]]),
            (int((single & (account != visit)).sum()), int((exchange[perceived] >= 0).sum())),
        )

    def _exchanges(self, crowd: Crowd, watched: np.ndarray) -> Accounts:
        """Pairs that stand together are exchanged at the measured rate for as long as they do."""
        rate = self.profile.exchanges_per_pair_minute / MINUTE_S
        own = np.flatnonzero(watched[crowd.visit])
        if rate <= 0 or not len(own):
            return Accounts(*(np.zeros(0) for _ in range(4)))
        later, earlier = crowd.others_at(crowd.shelf[own], crowd.from_s[own], crowd.visit[own])
        later = own[later]
        both = watched[crowd.visit[earlier]]
        later, earlier = later[both], earlier[both]
        after_s = self._exchanging.exponential(1.0 / rate, len(later))
        together_s = np.minimum(crowd.until_s[later], crowd.until_s[earlier]) - crowd.from_s[later]
        happens = np.flatnonzero(after_s < together_s)
        at_s = crowd.from_s[later[happens]] + after_s[happens]
        lasts_s = self._exchanging.exponential(1.0, len(happens)) * MINUTE_S
        ends_s = (
            at_s + lasts_s / self._exchange_ends if self._exchange_ends > 0 else np.full(len(at_s), np.inf)
        )
        self._run_of = self.profile.draw_runs(len(happens), self._exchanging)
        # Nobody is inside the next day: what does not end by then never does.
        ends_s = np.where(ends_s < 2 * DAY_S, ends_s, -np.inf)
        return Accounts(at_s, crowd.visit[later[happens]], crowd.visit[earlier[happens]], ends_s)

    def _misgiven(
        self, account: np.ndarray, single: np.ndarray, moment: np.ndarray, other: np.ndarray, beside: np.ndarray,
        near: np.ndarray, at_s: np.ndarray, accounts: Accounts,
    ) -> np.ndarray:  # fmt: skip
        """Give single events to somebody who stands there; a companion's bill is the shopper's own."""
        wrong = np.flatnonzero(single)
        if not len(wrong):
            return account
        first = np.searchsorted(moment, wrong)
        count = np.searchsorted(moment, wrong, side="right") - first
        to_companion = self._whose.uniform(size=len(wrong)) * np.maximum(near[wrong], 1) < beside[wrong]
        chosen = (self._whose.uniform(size=len(wrong)) * count).astype(np.int64)
        given = np.flatnonzero(~to_companion & (count > 0))
        found = account.copy()
        found[wrong[given]], _ = accounts.at(other[(first + chosen)[given]], at_s[wrong[given]])
        return found

    def _counted(self, quantity: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """The perceived quantity: one more or one fewer where it is wrong, at least one."""
        found = quantity.copy()
        at = np.flatnonzero(wrong)
        more = (quantity[at] == 1) | (self._whose.uniform(size=len(at)) < 0.5)
        found[at] += np.where(more, 1, -1)
        return found

    def _phantoms(self, plans: Plans, event: np.ndarray, at_shelf_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Visits and shelves of events that never happened, at the profile's rate for the time of real events.

        Recorded shoppers handle things nearly all the time; who only walks or looks makes no phantom.
        """
        count = self._ghosts.poisson(
            self.profile.phantoms_per_shopper_minute * at_shelf_s / MINUTE_S, len(event)
        )
        at = np.repeat(plans.at_line[event], count)
        return plans.line_visit[at], plans.shelf[at]

    def _other_usd(self, shelf: np.ndarray) -> np.ndarray:
        """Price of some product of the shelf, before the store's price level."""
        return np.asarray(
            journey().product_usd[self._layout.beside(shelf, self._whose.uniform(size=len(shelf)))]
        )


class _Bills:
    """Units on each bill against units carried out, line by line."""

    def __init__(self, plans: Plans, trip: Itinerary, watched: np.ndarray) -> None:
        self._plans, self._lines, self._visits = plans, len(plans.units), len(plans)
        self._carried = np.where(watched[plans.line_visit], trip.kept, 0)
        self._own: np.ndarray = np.zeros(self._lines)
        self._given: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._foreign: list[tuple[np.ndarray, np.ndarray]] = []
        self._other_usd, self._other_units = np.zeros(self._visits), np.zeros(self._visits)
        self._own_fault = np.zeros(self._visits, bool)
        self._lost: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def hand_over(
        self, event: np.ndarray, line: np.ndarray, moment: np.ndarray, other: np.ndarray, watched: np.ndarray,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Lines that are handed to somebody of another group who stands there are carried out by that one."""
        plans = self._plans
        handed = plans.handed[line] & ~plans.back[event] & (self._carried[line] > 0)
        pairs = np.flatnonzero(handed[moment] & watched[other]) if len(moment) else np.zeros(0, np.int64)
        if not len(pairs):
            return
        pairs = rng.permutation(pairs)
        lines, first = np.unique(line[moment[pairs]], return_index=True)
        receiver = other[pairs[first]]
        units = self._carried[lines]
        self._given = (receiver * self._lines + lines, units)
        self._carried = self._carried.copy()
        self._carried[lines] = 0
        self._own_fault[receiver] = True
        self._own_fault[plans.line_visit[lines]] = True

    def bill(
        self, line: np.ndarray, account: np.ndarray, units: np.ndarray, outcome: np.ndarray, visit: np.ndarray
    ) -> None:
        """Put perceived events on bills; `units` is negative for a put-back."""
        fault = (outcome == MISSED) | (outcome == WRONG_PRODUCT) | (outcome == WRONG_QUANTITY)
        self._own_fault[visit[fault]] = True
        named = (outcome != MISSED) & (outcome != WRONG_PRODUCT)
        own = named & (account == visit)
        self._own = np.bincount(line[own], units[own], self._lines)
        elsewhere = np.flatnonzero(named & (account != visit))
        self._foreign.append((account[elsewhere] * self._lines + line[elsewhere], units[elsewhere]))
        self._own_fault[account[account != visit]] = True
        self._lost = (visit[elsewhere], account[elsewhere])

    def bill_other(self, account: np.ndarray, units: np.ndarray, price_usd: np.ndarray) -> None:
        """Put products that nobody took on bills."""
        self._other_usd += np.bincount(account, units * price_usd, self._visits)
        self._other_units += np.bincount(account, units, self._visits)
        self._own_fault[account] = True

    def settled(
        self, account: np.ndarray, confidence: np.ndarray, candidate: np.ndarray, candidate_event: np.ndarray,
        wrong_shoppers: tuple[int, int],
    ) -> SeenDay:  # fmt: skip
        """The bills as they stand; a put-back of what is not on a bill takes nothing off it."""
        plans = self._plans
        own = np.maximum(0, self._own)
        keys, place = np.unique(
            np.concatenate([self._given[0], *(k for k, _ in self._foreign)]), return_inverse=True
        )
        given = np.bincount(place[: len(self._given[0])], self._given[1], len(keys))
        billed = np.bincount(
            place[len(self._given[0]) :],
            np.concatenate([np.zeros(0), *(u for _, u in self._foreign)]),
            len(keys),
        )
        billed = np.maximum(0, billed)
        whose, line = np.divmod(keys, max(1, self._lines))

        def by_visit(own_units: np.ndarray, foreign_units: np.ndarray, usd: bool) -> np.ndarray:
            price = plans.price_usd if usd else np.ones(self._lines)
            return plans.sum_by_visit(own_units * price) + np.bincount(
                whose, foreign_units * price[line], self._visits
            )

        wrong: np.ndarray = plans.sum_by_visit(own != self._carried) > 0
        wrong |= self._other_units > 0
        wrong[whose[given != billed]] = True
        return SeenDay(
            by_visit(self._carried, given, True),
            by_visit(own, billed, True) + self._other_usd,
            by_visit(self._carried, given, False),
            by_visit(own, billed, False) + self._other_units,
            wrong,
            self._own_fault,
            *self._lost,
            account,
            confidence,
            candidate,
            candidate_event,
            wrong_shoppers,
        )
