"""The ways of selling, by name."""

from __future__ import annotations

import numpy as np

from checkout.errors import InputError, nearest
from checkout.profile import FEWEST_EVENTS, PerceptionProfile
from sim.flows.base import Flow
from sim.flows.dash_cart import DashCartFlow
from sim.flows.just_walk_out import JustWalkOutFlow
from sim.flows.mixed import MixedFlow
from sim.flows.self_checkout import SelfCheckoutFlow
from sim.flows.staffed_lanes import StaffedLanesFlow
from sim.scenario import FLOWS as FLOWS
from sim.store import Store

PERCEIVING = ("just-walk-out",)
"""Flows that need a perception profile."""
BESIDE = "+"
"""Joins the flows that one store sells by at once, as in `self-checkout+staffed-lanes`."""


def flows_of(name: str) -> tuple[str, ...]:
    """The single flows in a name; raises `InputError` when one is unknown or named twice."""
    names = tuple(name.split(BESIDE))
    for single in names:
        if single not in FLOWS:
            hint = nearest(single, FLOWS)
            raise InputError("--flow", "", f"{single!r} is not one of {', '.join(FLOWS)}", hint)
    if len(set(names)) < len(names):
        raise InputError("--flow", "", f"{name!r} names a flow twice", "name each once")
    return names


def make_flow(
    name: str, store: Store, profile: PerceptionProfile | None, seed: np.random.SeedSequence
) -> Flow:
    """A flow in a store, or several joined by `+`; raises `InputError` when it is unknown or lacks its profile."""
    names = flows_of(name)
    # One stream for each flow whatever stands beside it, and one for the choice.
    *streams, choosing = seed.spawn(len(FLOWS) + 1)
    flows = {single: _single(single, store, profile, streams[FLOWS.index(single)]) for single in names}
    return next(iter(flows.values())) if len(flows) == 1 else MixedFlow(store, flows, choosing)


def _single(name: str, store: Store, profile: PerceptionProfile | None, seed: np.random.SeedSequence) -> Flow:
    if name == "dash-cart":
        return DashCartFlow(store, seed)
    if name == "self-checkout":
        return SelfCheckoutFlow(store, seed)
    if name == "staffed-lanes":
        return StaffedLanesFlow(store, seed)
    if profile is None:
        raise InputError(
            "--profile", "", f"the flow {name} needs a perception profile", "make one with: checkout evaluate"
        )
    if len(profile.judged) < FEWEST_EVENTS:
        raise InputError(
            "--profile", "judged", f"{len(profile.judged)} judged events, expected at least {FEWEST_EVENTS}",
            "judge more recordings",
        )  # fmt: skip
    return JustWalkOutFlow(store, profile, seed)
