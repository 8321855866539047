"""Selling: a store, its shoppers and its flows, simulated with what perception was measured to do.

What the command line does is here too: `simulate`, `compare`, `sweep` and `run_demo` return objects that
go `to_pandas()` and `to_dict()`; `read_sales` and `list_runs` return DataFrames.

>>> import sim
>>> day = sim.load_scenario("convenience").with_values({"shoppers.visits_per_day": 50})
>>> sim.compare(day, ["dash-cart"], replications=2).to_pandas().columns[:4].tolist()
['flow', 'metric', 'mean', 'low']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.demo import run_demo
    from sim.estimates import Estimate
    from sim.experiment import Comparison, FlowResult, compare, simulate
    from sim.replications import Precision, RunStopped
    from sim.runs_index import list_runs
    from sim.sales_store import read_sales
    from sim.scenario import Scenario, load_scenario
    from sim.sweeps import Sweep, sweep

_PUBLIC = {
    "Comparison": "sim.experiment",
    "Estimate": "sim.estimates",
    "FlowResult": "sim.experiment",
    "Precision": "sim.replications",
    "RunStopped": "sim.replications",
    "Scenario": "sim.scenario",
    "Sweep": "sim.sweeps",
    "compare": "sim.experiment",
    "list_runs": "sim.runs_index",
    "load_scenario": "sim.scenario",
    "read_sales": "sim.sales_store",
    "run_demo": "sim.demo",
    "simulate": "sim.experiment",
    "sweep": "sim.sweeps",
}
__all__ = [
    "Comparison",
    "Estimate",
    "FlowResult",
    "Precision",
    "RunStopped",
    "Scenario",
    "Sweep",
    "compare",
    "list_runs",
    "load_scenario",
    "read_sales",
    "run_demo",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
