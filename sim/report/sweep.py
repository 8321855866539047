"""The page of `sweep --report`: each metric against the varied field, and every number."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from numbers import Real
from pathlib import Path

import pandas as pd

from checkout.profile import PerceptionProfile
from sim.experiment import Estimate
from sim.report.flows import COLOURS, how_obtained, profile_rows, versions, write_page
from sim.report.page import _chart, _section, bars, table
from sim.sweeps import Sweep


def write_sweep_page(
    path: Path,
    swept: Sweep,
    metrics: Sequence[str],
    *,
    profile: PerceptionProfile | None,
    command: str,
    force: bool = False,
) -> None:
    """Write the page; it loads nothing from anywhere.

    Args:
        metrics: those that are drawn and listed; a flow may lack some.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    from sim.cli import with_interval

    first = next(iter(swept.results[0].flows.values()))
    fields = list(swept.points[0])
    flows = [(p, f) for p, c in zip(swept.points, swept.results, strict=True) for f in c.flows.values()]
    shown = [m for m in metrics if any(f.estimate(m) for _, f in flows)]

    def cell(found: Estimate | None) -> str:
        return "–" if found is None else with_interval(found)

    rows = [
        (*(str(v) for v in point.values()), f.flow, *(cell(f.estimate(m)) for m in shown))
        for point, f in flows
    ]
    data = swept.to_pandas()
    sections = [
        f"<h1>{escape(first.scenario)}: {len(swept.points)} points of {escape(', '.join(fields))}</h1>",
        *(
            _section(
                metric.replace("_", " "),
                "Means over replications; bars are 95 % intervals.",
                _metric_chart(data[data["metric"] == metric], fields, metric),
            )
            for metric in shown
        ),
        _section(
            "Numbers",
            "Mean ± half of the 95 % interval. A dash: the flow does not have it.",
            table((*fields, "flow", *(m.replace("_", " ") for m in shown)), rows),
        ),
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                (
                    "scenario",
                    f"<code>{escape(first.scenario)}</code>, with the fields above changed at each point",
                ),
                ("seed", f"{first.seed}, the same at every point"),
                ("replications", f"{min(f.replications for _, f in flows)} or more a point"),
                *profile_rows(profile),
                ("versions", versions()),
            ],
            profile,
        ),
    ]
    write_page(path, f"{first.scenario}: sweep", sections, force=force)


def _metric_chart(rows: pd.DataFrame, fields: Sequence[str], metric: str) -> str:
    """Against the field with most values that is a number; a line for each flow and all other values."""
    import plotly.graph_objects as go

    along = max(fields, key=lambda f: (all(isinstance(v, Real) for v in rows[f]), rows[f].nunique()))
    others = ["flow", *(f for f in fields if f != along)]
    figure = go.Figure()
    for number, (values, part) in enumerate(rows.groupby(others, sort=False)):
        ordered = part.sort_values(along)
        named = [f"{f.rpartition('.')[2]} {v}" for f, v in zip(others[1:], values[1:], strict=True)]
        figure.add_scatter(
            name=", ".join([str(values[0]), *named]), x=ordered[along].tolist(), y=ordered["mean"].tolist(),
            error_y=bars(ordered["mean"], ordered["low"], ordered["high"], color=None),
            mode="lines+markers", line={"color": COLOURS[number % len(COLOURS)]},
        )  # fmt: skip
    figure.update_layout(xaxis_title=along, yaxis_title=metric.replace("_", " "))
    return str(_chart(figure))
