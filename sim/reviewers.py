"""The human review desk: first come first served, and the reviewers stay until the backlog is done."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy


class ReviewDesk:
    """Reviews take an exponential time; the backlog waits in order.

    Args:
        work_s: mean time of one review, seconds.
    """

    def __init__(
        self, env: simpy.Environment, reviewers: int, work_s: float, rng: np.random.Generator
    ) -> None:
        self._env, self._work_s, self._rng = env, work_s, rng
        self._desk = simpy.Resource(env, capacity=max(1, reviewers))
        self.reviewers = reviewers
        self.busy_s = 0.0
        self.last_done_s = 0.0
        self.waits_s: list[float] = []

    def review(self) -> Generator[simpy.Event, Any, None]:
        """Wait for a reviewer and for the review."""
        asked = self._env.now
        with self._desk.request() as turn:
            yield turn
            self.waits_s.append(self._env.now - asked)
            work = float(self._rng.exponential(self._work_s))
            self.busy_s += work
            yield self._env.timeout(work)
            self.last_done_s = self._env.now
