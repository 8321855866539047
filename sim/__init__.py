"""Selling: a store, its shoppers and its flows, simulated with what perception was measured to do.

`load_scenario`, `simulate` and `compare` are all that a notebook needs; everything they return
prints itself as a table, goes `to_pandas()` and `to_dict()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Comparison": "sim.experiment",
    "FlowResult": "sim.experiment",
    "Scenario": "sim.scenario",
    "compare": "sim.experiment",
    "load_scenario": "sim.scenario",
    "simulate": "sim.experiment",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
