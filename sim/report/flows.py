"""The page of `simulate --report` and `compare --report`: flows side by side, time to receipt, and costs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checkout.output import new_file
from checkout.profile import PerceptionProfile
from sim.break_even import break_evens, said
from sim.experiment import Comparison, FlowResult
from sim.report.page import GREY, STYLE, _chart, _flow_table, _plotly_js, _section, bars_of
from sim.results import COST_PARTS

COLOURS = ("#d9772b", "#2f7fb8", "#3d9970", "#7a5bb0", "#b8453b", "#7d7a2e")
QUANTILES = {"p50": "half of the sales", "p95": "95 %", "p99": "99 %"}
PACKAGES = ("checkout-simulator", "numpy", "pandas", "simpy", "plotly")


def write_flows_page(
    path: Path,
    flows: Comparison | FlowResult,
    *,
    profile: PerceptionProfile | None,
    command: str,
    force: bool = False,
) -> None:
    """Write the page; it loads nothing from anywhere.

    Args:
        flows: one flow, or several on the same shoppers.
        profile: what perception did, where a flow perceives.
        command: the command that makes this page again.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    comparison = flows if isinstance(flows, Comparison) else Comparison({flows.flow: flows})
    scenario = next(iter(comparison.flows.values())).scenario
    sections = [
        f"<h1>{escape(scenario)}: {escape(' and '.join(comparison.flows))}</h1>",
        _flow_table(scenario, comparison),
        _section(
            "Time to receipt",
            "From the exit to the final bill, over all sales; on a logarithmic axis. Bars: 95 % intervals over "
            "independent replications.",
            _receipt_chart(comparison.flows),
        ),
        *(
            _section(
                f"Where the cost of a sale comes from: {name}",
                "Cost of the way of selling alone, without the goods; every part adds to the one before. The parts "
                "are means over replications; what is assumed is tagged in the scenario.",
                _waterfall(result),
            )
            for name, result in comparison.flows.items()
        ),
        *_break_even(comparison),
        provenance(comparison.flows, profile, command),
    ]
    write_page(path, f"{scenario}: ways of selling", sections, force=force)


def _break_even(comparison: Comparison) -> list[str]:
    if len(comparison.flows) < 2:
        return []
    found = [f"<li>{escape(said(even))}</li>" for even in break_evens(comparison)]
    return [
        _section(
            "Break-even",
            "Sales a day at which two ways cost the same, were hardware, remodelling, carts and staff to stay as they "
            "are and the rest to grow with the sales; a paired bootstrap over versions of the profile.",
            f"<ul>{''.join(found) or '<li>at no number of sales a day do two of these ways cost the same</li>'}</ul>",
        )
    ]


def write_page(path: Path, title: str, sections: list[str], *, force: bool) -> None:
    """Write sections in the house style as one file."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><script>{_plotly_js()}</script></head><body><main>{''.join(sections)}</main></body>"
        "</html>"
    )
    with new_file(path, force=force) as draft:
        draft.write_text(html, encoding="utf-8")


def _receipt_chart(flows: Mapping[str, FlowResult]) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, (name, result) in enumerate(flows.items()):
        found = {text: result.estimate(f"time_to_receipt_{key}_s") for key, text in QUANTILES.items()}
        shown = {text: estimate for text, estimate in found.items() if estimate}
        figure.add_bar(
            name=name, x=list(shown), y=[e.mean for e in shown.values()],
            error_y=bars_of(list(shown.values())),
            marker={"color": COLOURS[number % len(COLOURS)]},
        )  # fmt: skip
    figure.update_layout(
        barmode="group", yaxis_title="seconds", xaxis_title="of the sales have their receipt within"
    )
    figure.update_yaxes(type="log")
    return str(_chart(figure))


def _waterfall(result: FlowResult) -> str:
    import plotly.graph_objects as go

    parts = [(part, result.estimate(f"cost_{part}_per_sale_usd")) for part in COST_PARTS]
    kept = [(part, e.mean) for part, e in parts if e and e.mean]
    figure = go.Figure(
        go.Waterfall(
            x=[*(part.replace("_", " ") for part, _ in kept), "together"],
            y=[*(mean for _, mean in kept), 0.0],
            measure=["relative"] * len(kept) + ["total"],
            text=[*(f"${mean:.2f}" for _, mean in kept), f"${sum(mean for _, mean in kept):.2f}"],
            connector={"line": {"color": GREY}},
            increasing={"marker": {"color": COLOURS[0]}}, decreasing={"marker": {"color": COLOURS[2]}},
            totals={"marker": {"color": COLOURS[1]}},
        )
    )  # fmt: skip
    figure.update_layout(yaxis_title="US dollars a sale", showlegend=False)
    return str(_chart(figure))


def provenance(flows: Mapping[str, FlowResult], profile: PerceptionProfile | None, command: str) -> str:
    """How each number was obtained."""
    first = next(iter(flows.values()))
    rows = [
        ("command", f"<code>{escape(command)}</code>"),
        ("scenario", f"<code>{escape(first.scenario)}</code>; every parameter is tagged published, measured or "
                     "assumed in its file and in sim/scenario.py"),
        ("seed", str(first.seed)),
        ("replications", f"{first.replications} independent ones, {first.visits:,} visits, {first.sales:,} sales"),
        *profile_rows(profile),
        ("versions", versions()),
    ]  # fmt: skip
    return how_obtained(rows, profile)


def how_obtained(rows: list[tuple[str, str]], profile: PerceptionProfile | None, *said: str) -> str:
    """A section of names and HTML texts, with the recordings of the profile."""
    body = "".join(
        f"<tr><td>{name}</td><td style='white-space:normal;text-align:left'>{text}</td></tr>"
        for name, text in rows
    )
    recordings = "" if profile is None else "".join(
        f"<li><code>{escape(r['id'])}</code> sha256 <code>{escape(r['sha256'][:16])}</code></li>"
        for r in profile.recordings
    )  # fmt: skip
    notes = "".join(f"<p>{escape(text)}</p>" for text in said)
    return (
        f"<section><h2>How each number was obtained</h2>{notes}"
        f'<div class="wide"><table>{body}</table></div><ul>{recordings}</ul></section>'
    )


def profile_rows(profile: PerceptionProfile | None) -> list[tuple[str, str]]:
    if profile is None:
        return []
    said = f"{profile.detector}; {len(profile.judged)} judged events, {len(profile.phantoms)} phantoms"
    return [("profile", escape("; ".join([said, *profile.warnings()])))]


def versions(*more: str) -> str:
    """Those of the package, of what it stands on, and of some more packages."""
    found: Any = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *more))
    return escape(f"{found}, Python {platform.python_version()}")
