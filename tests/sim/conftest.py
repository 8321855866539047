"""Small stores, made-up profiles and shoppers written by hand, for the tests of the simulator."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from checkout.profile import CONFIDENCES, PerceptionProfile
from sim.flows import make_flow
from sim.flows.base import Flow
from sim.results import Replication
from sim.scenario import Scenario, load_scenario
from sim.shoppers import Plans, Shopper, plans_of
from sim.store import Store

ONE_DAY = {"calendar.days": 1, "calendar.warm_up_days": 0}
ALWAYS_AT_WORK = {"just_walk_out.review.shifts": dict.fromkeys(range(24), 1.0)}


def small(**changes: object) -> Scenario:
    """A convenience store of 200 visits a day, one day a replication."""
    return load_scenario("convenience").with_values({"shoppers.visits_per_day": 200} | ONE_DAY | changes)


def always(outcome: str, confidence: float = 0.99, *, near: int = 1) -> PerceptionProfile:
    """Perception of which every event comes out in one way."""
    n = 100_000
    table = pd.DataFrame(
        {"recording": "x", "action": ["pick", "put_back"] * (n // 2), "quantity": 1, "people_near": near,
         "look_alikes": 0, "same_weight": 0, "occlusion": 0.0, "outcome": outcome}
    )  # fmt: skip
    first = table.index == 0
    table.loc[first, "outcome"] = "right"
    for name in CONFIDENCES:
        table[name] = np.where((outcome == "missed") & ~first, np.nan, confidence)
    return PerceptionProfile("x", (), table, pd.DataFrame(columns=["recording", *CONFIDENCES]), 1e9)


def two_valued_profile(q: float, size: int = 20_000) -> PerceptionProfile:
    """Every event is right; its confidence is under one half with probability q, whatever the conditions."""
    low = np.arange(size) < q * size
    table = pd.DataFrame(
        {"recording": "law", "action": "pick", "quantity": 1, "people_near": 0, "look_alikes": 0, "same_weight": 0,
         "occlusion": 0.0, "outcome": "right"},
        index=range(size),
    )  # fmt: skip
    for name in CONFIDENCES:
        table[name] = np.where(low, 0.2, 0.99)
    return PerceptionProfile("law", (), table, pd.DataFrame(columns=["recording", *CONFIDENCES]), 1e9)


def flawless_profile() -> PerceptionProfile:
    """Every event is right and sure, under so many conditions' worth of evidence that the prior vanishes."""
    return two_valued_profile(0.0, size=200_000)


def exchanging_profile(events: int = 9) -> PerceptionProfile:
    """Two shoppers who are taken for each other in all of two recordings, and never in many others."""
    rows = []
    for recording in range(40):
        for shopper, other in (("a", "b"), ("b", "a")):
            for at in range(events):
                taken = other if recording < 2 else shopper
                rows.append(
                    (
                        f"r{recording}",
                        at * 4.0,
                        shopper,
                        taken,
                        "right" if taken == shopper else "wrong_shopper",
                    )
                )
    table = pd.DataFrame(
        rows, columns=["recording", "t_s", "shopper", "perceived_shopper", "outcome"]
    ).assign(action="pick", quantity=1, people_near=1, look_alikes=0, same_weight=0, occlusion=0.0)
    for name in CONFIDENCES:
        table[name] = np.where(table["outcome"] == "right", 0.99, 0.8)
    return PerceptionProfile("x", (), table, pd.DataFrame(columns=["recording", *CONFIDENCES]), 40.0)


def sold(
    scenario: Scenario, flow: str, *shoppers: Shopper, profile: PerceptionProfile | None = None
) -> tuple[Replication, Flow]:
    """One day of shoppers written by hand, and the flow that served them."""
    return sold_to(scenario, flow, [plans_of(shoppers)], profile)


def sold_to(
    scenario: Scenario, flow: str, days: Iterable[Plans], profile: PerceptionProfile | None = None
) -> tuple[Replication, Flow]:
    store = Store(scenario)
    selling = make_flow(flow, store, profile, np.random.SeedSequence(1))
    store.run(days, selling)
    return Replication(store.tally, store.person_seconds), selling


def row(result: Replication, number: int = 0) -> dict[str, object]:
    """One visit of the sales table."""
    return {name: column[number] for name, column in result.table.items()}
