"""The page of `checkout tune --report`: the frontier with the choice and its band, and how each number came about."""

from __future__ import annotations

import platform
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from checkout.output import new_file
from sim.report.page import GREY, STYLE, _chart, _plotly_js, _section
from sim.tune_cli import details, told
from sim.tuning.choice import Tuning
from sim.tuning.frontier import PER, Frontier, pareto_frontier
from sim.tuning.guarantee import interval

POINTS = 600
"""Points of a frontier that the chart draws; the CSV of --out has all."""
NAMES = {"one": "one threshold", "three": "one threshold an aspect", "group": "one threshold a group"}
ACCENT, SECOND = "#d9772b", "#2f7fb8"


def write_tuning_page(path: Path, found: Tuning, *, command: str, force: bool = False) -> None:
    """Write the page; it loads nothing from anywhere.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    sections = [
        _headline(found),
        _frontier(found),
        _money(found),
        _shown(found),
        _groups(found),
        _provenance(found, command),
    ]
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width,initial-scale=1"><title>Review thresholds and what they promise</title>'
        f"<style>{STYLE}</style><script>{_plotly_js()}</script></head><body><main>{''.join(sections)}</main></body>"
        "</html>"
    )
    with new_file(path, force=force) as draft:
        draft.write_text(html, encoding="utf-8")


def _headline(found: Tuning) -> str:
    choice = found.chosen or found.nearest
    rows = "" if choice is None else "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in details(found, choice)
    )  # fmt: skip
    title = "Chosen" if found.chosen else "The nearest, which is not a choice"
    return (
        "<h1>Which review thresholds, and what do they promise?</h1>"
        f'<p class="soft">{escape(found.sales.source)}: {len(found.sales):,} sales, '
        f"{PER * found.sales.wrong_share:.1f} wrong bills per 1,000 before any review.</p>"
        f"<p><b>{escape(told(found))}</b></p><h2>{title}</h2>"
        f'<div class="wide"><table>{rows}</table></div>'
    )


def _frontier(found: Tuning) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    effective = 1.0 if found.promise is None else found.promise.effective_sales / found.promise.sales
    main = found.frontier
    rows = _places(main)
    x = main.reviews_per_1000_sales[rows]
    band = PER * np.array(
        [interval(e * effective, main.sales * effective) for e in main.escapes[rows].tolist()]
    )
    figure.add_scatter(
        x=x, y=band[:, 1], mode="lines", line={"width": 0, "shape": "hv"}, showlegend=False, hoverinfo="skip"
    )
    figure.add_scatter(
        x=x, y=band[:, 0], mode="lines", line={"width": 0, "shape": "hv"}, fill="tonexty",
        fillcolor="rgba(217,119,43,.18)", name="95 % interval at each point", hoverinfo="skip",
    )  # fmt: skip
    if found.thresholds != "one":
        together = pareto_frontier(found.sales)
        places = _places(together)
        figure.add_scatter(
            x=together.reviews_per_1000_sales[places], y=together.escapes_per_1000_sales[places],
            mode="lines", line={"color": SECOND, "dash": "dot", "shape": "hv"}, name="one threshold for all",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=main.escapes_per_1000_sales[rows], mode="lines", line={"color": ACCENT, "shape": "hv"},
        name=NAMES[found.thresholds],
    )  # fmt: skip
    choice = found.chosen or found.nearest
    if choice is not None:
        low, high = choice.escapes_interval
        y = choice.escapes_per_1000_sales
        figure.add_scatter(
            x=[choice.reviews_per_1000_sales], y=[y], mode="markers",
            error_y={"type": "data", "symmetric": False, "array": [high - y], "arrayminus": [y - low], "color": GREY},
            marker={"size": 12, "color": ACCENT, "symbol": "circle" if found.chosen else "circle-open"},
            name="chosen" if found.chosen else "nearest",
        )  # fmt: skip
    if found.promise is not None:
        figure.add_hline(
            y=found.promise.limit_per_1000_sales, line={"color": GREY, "dash": "dash"},
            annotation_text=f"limit {found.promise.limit_per_1000_sales:g}",
        )  # fmt: skip
    figure.update_layout(xaxis_title="reviews per 1,000 sales", yaxis_title="escapes per 1,000 sales")
    said = (
        "Every point of the line is a choice of thresholds that no other beats on these sales "
        f"({found.frontier.method}). The line itself promises nothing: it was read off the same "
        "sales that it describes. The marked choice is shown as it did on the sales that it was tested on."
    )
    return _section("Reviews against escapes", said, _chart(figure, 440))


def _places(frontier: Frontier) -> np.ndarray:
    return np.unique(np.linspace(0, len(frontier) - 1, min(POINTS, len(frontier))).round().astype(int))


def _money(found: Tuning) -> str:
    lost = found.frontier.lost_usd_per_1000_sales
    if lost is None:
        return ""
    import plotly.graph_objects as go

    rows = _places(found.frontier)
    x = found.frontier.reviews_per_1000_sales[rows]
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=lost[rows], mode="lines", line={"color": ACCENT, "shape": "hv"}, name="lost by escapes"
    )
    if found.work is not None:
        from sim.tuning.staffing import costs_along

        cost = costs_along(found.frontier, found.work, found.limits.delay_s)[rows]
        kept = np.isfinite(cost)
        figure.add_scatter(x=x[kept], y=(cost - lost[rows])[kept], mode="lines", line={"color": SECOND, "shape": "hv"},
                           name="wages of the desk")  # fmt: skip
        figure.add_scatter(x=x[kept], y=cost[kept], mode="lines", line={"color": GREY, "dash": "dash", "shape": "hv"},
                           name="together")  # fmt: skip
    figure.update_layout(xaxis_title="reviews per 1,000 sales", yaxis_title="US dollars per 1,000 sales")
    return _section(
        "Money",
        "What escapes lose, and the wages of the smallest desk that keeps up (or keeps the limit of the delay). The "
        "desk grows by whole reviewers.",
        _chart(figure),
    )


def _shown(found: Tuning) -> str:
    from sim.tune_cli import _row

    head = ("reviews per 1,000", "escapes per 1,000", "95 % interval", "$ lost per 1,000", "reviewers",
            "p95 to receipt", "thresholds")  # fmt: skip
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in _row(choice)) + "</tr>" for choice in found.shown
    )
    table = f'<div class="wide"><table><tr>{"".join(f"<th>{h}</th>" for h in head)}</tr>{body}</table></div>'
    return _section(
        "At given numbers of reviews",
        "The strictest efficient choice within each number of reviews, on these sales. Published: 20 to 50 was the "
        "target, 700 what Just Walk Out had in mid-2022 (The Batch, 2024).",
        table,
    )


def _groups(found: Tuning) -> str:
    groups = found.by_group()
    if not len(groups):
        return ""
    head = "".join(f"<th>{escape(str(c).replace('_', ' '))}</th>" for c in groups.columns)
    body = "".join(
        "<tr>" + "".join(
            f"<td>{v:.6f}</td>" if n == "threshold" else f"<td>{v:.2f}</td>" if isinstance(v, float) else
            f"<td>{escape(str(v))}</td>"
            for n, v in zip(groups.columns, row, strict=True)
        ) + "</tr>"
        for row in groups.itertuples(index=False)
    )  # fmt: skip
    return _section(
        f"By {found.sales.group_column}",
        "What the choice does in each group, on all these sales. The promise is for all groups together.",
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>',
    )


def _provenance(found: Tuning, command: str) -> str:
    p, w = found.promise, found.work
    rows: list[tuple[str, str]] = [
        ("command", f"<code>{escape(command)}</code>"),
        ("sales", f"{escape(found.sales.source)}: {len(found.sales):,}"),
        ("seed", str(found.seed)),
        ("frontier", escape(found.frontier.method)),
    ]
    if p is not None:
        rows.append(("promise", escape(
            "Learn then Test: exact binomial tests in a fixed sequence from the strictest choice on; "
            f"{p.sales:,} sales tested, {p.learnt_on:,} others learnt on; {p.allowed_escapes:,} escapes allowed; "
            f"{p.passed:,} choices passed"
        )))  # fmt: skip
        if p.clusters:
            c = p.clusters
            rows.append(("dependence", escape(
                f"{c.count:,} {c.name}s, design effect {c.design_effect:.2f} at the limit: worth "
                f"{c.effective_sales:,.0f} independent sales (Kish; Korn and Graubard; approximate)"
            )))  # fmt: skip
    if w is not None:
        rows.append(("desk", escape(
            f"Erlang C by hour, hours taken as steady (pointwise stationary); review {w.work_s:g} s, wage "
            f"${w.wage_usd_per_hour:g} an hour, receipt {w.receipt_s:g} s (assumed unless given), "
            f"{w.sales_per_day:,.0f} sales a day in {w.open_hours} hours"
        )))  # fmt: skip
    rows.append(("interval", "Clopper-Pearson, 95 %, for thresholds named before looking"))
    packages = ("checkout-simulator", "numpy", "scipy", "pandas", "plotly")
    rows.append(
        (
            "versions",
            ", ".join(f"{n} {version(n)}" for n in packages) + f", Python {platform.python_version()}",
        )
    )
    body = "".join(
        f"<tr><td>{name}</td><td style='white-space:normal;text-align:left'>{text}</td></tr>"
        for name, text in rows
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    said: Any = _section(
        "How each number was obtained",
        "The promise holds for sales drawn like those that were tested. More crowding, new products, another planogram "
        "or another camera make other sales; checkout monitor says when.",
        f'<div class="wide"><table>{body}</table></div><ul>{notes}</ul>',
    )
    return str(said)
