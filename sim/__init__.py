"""Selling: a store, its shoppers and its flows, simulated with what perception was measured to do.

`load_scenario`, `simulate` and `compare` are all that a notebook needs; everything they return
prints itself as a table, goes `to_pandas()` and `to_dict()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.experiment import Comparison, FlowResult, compare, simulate
    from sim.scenario import Scenario, load_scenario

_PUBLIC = {
    "Comparison": "sim.experiment",
    "FlowResult": "sim.experiment",
    "Scenario": "sim.scenario",
    "compare": "sim.experiment",
    "load_scenario": "sim.scenario",
    "simulate": "sim.experiment",
}
__all__ = ["Comparison", "FlowResult", "Scenario", "compare", "load_scenario", "simulate"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
