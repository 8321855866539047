"""The ways of selling, by name."""

from __future__ import annotations

import numpy as np

from checkout.errors import InputError, nearest
from checkout.profile import PerceptionProfile
from sim.flows.base import Flow
from sim.flows.dash_cart import DashCartFlow
from sim.flows.just_walk_out import JustWalkOutFlow
from sim.store import Store

FLOWS = ("just-walk-out", "dash-cart")
PERCEIVING = ("just-walk-out",)
"""Flows that need a perception profile."""


def make_flow(
    name: str, store: Store, profile: PerceptionProfile | None, seed: np.random.SeedSequence
) -> Flow:
    """A flow in a store; raises `InputError` when it is unknown or lacks the profile that it needs."""
    if name not in FLOWS:
        raise InputError("--flow", "", f"{name!r} is not one of {', '.join(FLOWS)}", nearest(name, FLOWS))
    if name in PERCEIVING:
        if profile is None:
            raise InputError(
                "--profile",
                "",
                f"the flow {name} needs a perception profile",
                "make one with: checkout evaluate",
            )
        return JustWalkOutFlow(store, profile, seed)
    return DashCartFlow(store, seed)
