"""The human review desk: shifts, an order of work, and a backlog that waits for the next morning."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import simpy

HOUR_S = 3600.0
ABSENCE = 10**12
"""Comes before any review."""


class ReviewDesk:
    """So many reviewers as each hour has; whoever goes home finishes the review in hand first.

    Args:
        reviewers: at work when the desk is fully staffed.
        shifts: share of them at work in each hour of the day; without it, all of them always.
    """

    def __init__(
        self, env: simpy.Environment, reviewers: int, shifts: Mapping[int, float] | None = None
    ) -> None:
        self._env = env
        self._desk = simpy.PriorityResource(env, capacity=max(1, reviewers))
        self.reviewers = reviewers
        self.at_work = [
            round(reviewers * (1.0 if shifts is None else shifts.get(hour, 0.0))) for hour in range(24)
        ]
        self.busy_s = 0.0
        self.waiting = 0
        self.waits_s: list[float] = []
        if len(set(self.at_work)) > 1:
            env.process(self._shifts())

    @property
    def paid_s_per_day(self) -> float:
        """Time that reviewers are at work in a day."""
        return sum(self.at_work) * HOUR_S

    def review(self, work_s: float, priority: int = 0) -> Generator[simpy.Event, Any, None]:
        """Wait for a reviewer and for the review; the lowest priority comes first, then the oldest."""
        asked = self._env.now
        self.waiting += 1
        with self._desk.request(priority=priority) as turn:
            yield turn
            self.waits_s.append(self._env.now - asked)
            yield self._env.timeout(work_s)
        self.waiting -= 1
        self.busy_s += work_s

    def _shifts(self) -> Generator[simpy.Event, Any, None]:
        """Absent reviewers are places that are taken, before any review, until they come back."""
        absent: list[Any] = []
        while True:
            hour = int(self._env.now // HOUR_S) % 24
            wanted = self.reviewers - self.at_work[hour]
            while len(absent) < wanted:
                absent.append(self._desk.request(priority=-ABSENCE))
            while len(absent) > wanted:
                place = absent.pop()
                if place.triggered:
                    self._desk.release(place)
                else:
                    place.cancel()
            yield self._env.timeout(HOUR_S - self._env.now % HOUR_S)
