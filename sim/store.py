"""The store while it runs: its clock, its doors, who is inside, and the rows of each day.

Every day has a clock of its own that starts at midnight and runs until the last shopper has left: a store
empties overnight. What lasts longer, such as a backlog of reviews, belongs to the flow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from sim.layout import load_layout
from sim.results import DayTable, Tally
from sim.scenario import Scenario
from sim.shoppers import HOUR_S, Plans, opening_hours

if TYPE_CHECKING:
    from sim.flows.base import Flow

Story = Generator[simpy.Event, Any, None]


class Store:
    """What all flows share; one instance a replication.

    Args:
        keep_rows: keep the rows of every counted day (`Tally.rows`); without it memory does not grow with the days.

    Attributes:
        env: today's clock, in seconds since midnight.
        plans: today's shoppers. table: today's rows.
        enters_s: when each visit came in, NaN for one that did not.
        person_seconds: time that persons spent inside, all days.
    """

    def __init__(self, scenario: Scenario, *, keep_rows: bool = True) -> None:
        self.scenario = scenario
        self.layout = load_layout(scenario.shelves.layout)
        opens, closes = opening_hours(scenario)
        self.opens_s, self.closes_s = opens * HOUR_S, closes * HOUR_S
        self.tally = Tally(keep_rows=keep_rows)
        self.env = simpy.Environment()
        self.person_seconds, self.inside, self._changed_s = 0.0, 0, 0.0
        self._unsettled: deque[DayTable] = deque()

    @property
    def counted(self) -> bool:
        """Whether today comes after the warm-up."""
        return self.plans.day >= self.scenario.calendar.warm_up_days

    def enters(self, number: int) -> None:
        """Count a visit's persons in."""
        self.enters_s[number] = self.env.now
        self._count(self._people[number])

    def leaves(self, number: int) -> None:
        """Count a visit's persons out."""
        self.leaves_s[number] = self.env.now
        self._count(-self._people[number])

    def turns_away(self, number: int) -> None:
        """Let go a visit that never came in."""
        self.leaves_s[number] = self.env.now

    def _count(self, change: int) -> None:
        now = self.env.now
        self.person_seconds += self.inside * (now - self._changed_s)
        self._changed_s = now
        self.inside += change

    def run(self, days: Iterable[Plans], flow: Flow) -> None:
        """Sell day after day, and finish what is left when the last is over."""
        for plans in days:
            self._opens(plans)
            flow.opens()
            self.env.process(self._doors(flow))
            self.env.run()
            self._closes(flow)
        flow.finishes()
        self._count_settled()

    def _opens(self, plans: Plans) -> None:
        self.env = simpy.Environment()
        self.plans = plans
        self.table = DayTable(plans)
        self._people = plans.people.tolist()
        self.enters_s = [float("nan")] * len(plans)
        self.leaves_s = [float("nan")] * len(plans)
        self.inside, self._changed_s = 0, 0.0

    def _doors(self, flow: Flow) -> Story:
        env, visit = self.env, flow.visit
        for number, arrives_s in enumerate(self.plans.arrives_s.tolist()):
            yield env.timeout(arrives_s - env.now)
            env.process(visit(number))

    def _closes(self, flow: Flow) -> None:
        self.table.times(np.array(self.enters_s), np.array(self.leaves_s))
        self._unsettled.append(self.table)
        flow.closes()
        self._count_settled()

    def _count_settled(self) -> None:
        """Count the days of which no bill is open any more, in order."""
        while self._unsettled and self._unsettled[0].open_bills == 0:
            table = self._unsettled.popleft()
            if table.day >= self.scenario.calendar.warm_up_days:
                self.tally.update(table)
