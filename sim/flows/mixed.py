"""Several flows in one store: shoppers choose at the door by taste, and at the tills by what they see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from checkout.errors import InputError
from sim.flows.base import Flow
from sim.flows.just_walk_out import JustWalkOutFlow, crowd_of
from sim.flows.staffed_lanes import Tills
from sim.perception import Crowd
from sim.store import Store, Story


class MixedFlow:
    """Flows side by side on one shop floor; whoever stands at a shelf is near whoever else does."""

    name = "mixed"

    def __init__(self, store: Store, flows: Mapping[str, Flow], seed: np.random.SeedSequence) -> None:
        self._store, self._flows = store, flows
        self._rng = np.random.default_rng(seed)
        likes = store.scenario.choice.likes
        self._weights = [likes.get(name, 0.0) for name in flows]
        if sum(self._weights) <= 0:
            raise InputError(
                store.scenario.name,
                "choice.likes",
                f"none of {', '.join(flows)} has a weight above 0",
                "give it one",
            )
        self._tills = [flow for flow in flows.values() if isinstance(flow, Tills)]
        for flow in flows.values():
            if isinstance(flow, JustWalkOutFlow):
                flow.crowd = self._crowd  # type: ignore[method-assign]

    def opens(self) -> None:
        size = len(self._store.plans)
        shares = np.cumsum(self._weights) / sum(self._weights)
        self._wish = np.searchsorted(shares[:-1], self._rng.uniform(size=size), side="right").tolist()
        self._mood = self._rng.uniform(size=size).tolist()
        for flow in self._flows.values():
            flow.opens()

    def visit(self, number: int) -> Story:
        flow = list(self._flows.values())[self._wish[number]]
        if not isinstance(flow, Tills):
            yield from flow.visit(number)
            return
        yield from flow.shop(number)
        yield from self._chosen(number).pay(number)

    def _chosen(self, number: int) -> Tills:
        """A till by its appeal: liked for itself, less so the longer it is expected to take (a logit)."""
        choice = self._store.scenario.choice
        tills = [till for till in self._tills if till.takes(number)] or self._tills[-1:]
        takes_s = [till.expected_wait_s() + till.service_s[number] for till in tills]
        least = min(takes_s)
        appeal = [
            choice.likes.get(till.name, 0.0) * np.exp(-choice.wait_matters * (seconds - least))
            for till, seconds in zip(tills, takes_s, strict=True)
        ]
        if sum(appeal) <= 0:
            return tills[takes_s.index(least)]
        left = self._mood[number] * sum(appeal)
        for till, weight in zip(tills, appeal, strict=True):
            left -= weight
            if left < 0:
                return till
        return tills[-1]

    def _crowd(self) -> Crowd:
        """Everybody on the floor, each on the way of the flow that they chose."""
        trips = [flow.trip for flow in self._flows.values()]  # type: ignore[attr-defined]
        chosen = np.array(self._wish)[self._store.plans.line_visit]
        first = trips[0]
        return crowd_of(
            self._store,
            replace(
                first,
                stands_from_s=np.choose(chosen, [trip.stands_from_s for trip in trips]),
                stands_until_s=np.choose(chosen, [trip.stands_until_s for trip in trips]),
            ),
        )

    def closes(self) -> None:
        for flow in self._flows.values():
            flow.closes()

    def finishes(self) -> None:
        for flow in self._flows.values():
            flow.finishes()
