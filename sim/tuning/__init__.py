"""Thresholds: what they cost, what they promise, how many reviewers they need, and when the promise is off.

`tune` answers for a table of sales; `Slider` answers for any thresholds within milliseconds;
`Monitor` watches the sales that follow.

>>> import numpy as np
>>> from sim.tuning import SalesToTune, Slider
>>> sales = SalesToTune("made up", np.array([[0.2], [0.9], [0.6]]), ("confidence",), np.array([True, False, True]))
>>> Slider(sales).at(0.5).reviews_per_1000_sales
333.3333333333333
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.tuning.choice import Tuning, tune
    from sim.tuning.drift import Monitor
    from sim.tuning.frontier import Frontier, Slider, pareto_frontier, threshold_curve
    from sim.tuning.groups import group_frontier
    from sim.tuning.guarantee import Promise, promise
    from sim.tuning.sales import SalesToTune, read_sales
    from sim.tuning.staffing import ReviewWork, desk_size
    from sim.tuning.three import three_threshold_frontier

_PUBLIC = {
    "Frontier": "sim.tuning.frontier",
    "Monitor": "sim.tuning.drift",
    "Promise": "sim.tuning.guarantee",
    "ReviewWork": "sim.tuning.staffing",
    "SalesToTune": "sim.tuning.sales",
    "Slider": "sim.tuning.frontier",
    "Tuning": "sim.tuning.choice",
    "desk_size": "sim.tuning.staffing",
    "group_frontier": "sim.tuning.groups",
    "pareto_frontier": "sim.tuning.frontier",
    "promise": "sim.tuning.guarantee",
    "read_sales": "sim.tuning.sales",
    "three_threshold_frontier": "sim.tuning.three",
    "threshold_curve": "sim.tuning.frontier",
    "tune": "sim.tuning.choice",
}
__all__ = [
    "Frontier",
    "Monitor",
    "Promise",
    "ReviewWork",
    "SalesToTune",
    "Slider",
    "Tuning",
    "desk_size",
    "group_frontier",
    "pareto_frontier",
    "promise",
    "read_sales",
    "three_threshold_frontier",
    "threshold_curve",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sim.tuning' has no attribute {name!r}")
