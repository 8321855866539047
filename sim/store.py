"""The store while it runs: its clock, who stands at which shelf, and how many are inside."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

import simpy

from sim.scenario import Scenario
from sim.shoppers import Shopper

Story = Generator[simpy.Event, Any, None]


class Store:
    """What all flows share; one instance a replication."""

    def __init__(self, scenario: Scenario) -> None:
        self.env = simpy.Environment()
        self.scenario = scenario
        self._at_zone: list[list[tuple[float, Any]]] = [[] for _ in range(scenario.shelves.zones)]
        self.inside = 0
        self.person_seconds = 0.0
        self._changed_s = 0.0

    def stands_at(self, zone: int, who: Any, for_s: float) -> list[Any]:
        """Let somebody stand at a stretch of shelf from now on for so long; returns the others who do."""
        now, here = self.env.now, self._at_zone[zone]
        here[:] = [(until, other) for until, other in here if until > now and other is not who]
        others = [other for _, other in here]
        here.append((now + for_s, who))
        return others

    def enters(self) -> None:
        """Count one more person inside."""
        self._count(1)

    def leaves(self) -> None:
        """Count one person fewer inside."""
        self._count(-1)

    def _count(self, change: int) -> None:
        now = self.env.now
        self.person_seconds += self.inside * (now - self._changed_s)
        self._changed_s = now
        self.inside += change

    def run(self, shoppers: Iterable[Shopper], visit: Callable[[Shopper], Story]) -> None:
        """Let every shopper arrive and run until the last of them, and all work for them, is done."""

        def doors() -> Story:
            for shopper in shoppers:
                yield self.env.timeout(max(0.0, shopper.arrives_s - self.env.now))
                self.env.process(visit(shopper))

        self.env.process(doors())
        self.env.run()
