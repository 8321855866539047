"""One HTML page that holds everything it shows: tables, charts and how each number was obtained."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from checkout.output import new_file
from checkout.profile import PerceptionProfile
from sim.experiment import Comparison, Estimate
from sim.results import METRICS

if TYPE_CHECKING:
    from checkout.evaluation.report import EvaluationReport

COLOURS = {
    "just-walk-out": "#d9772b", "dash-cart": "#2f7fb8", "self-checkout": "#3d9970", "staffed-lanes": "#7a5bb0",
}  # fmt: skip
GREY = "#8a8f98"
HEADLINES = (
    "reviews_per_1000_sales", "interventions_per_1000_sales", "escapes_per_1000_sales", "overcharges_per_1000_sales",
    "undercharges_per_1000_sales", "time_to_receipt_p50_s", "time_to_receipt_p95_s", "visit_mean_s", "wait_mean_s",
    "reviewer_utilisation", "cost_per_sale_usd",
)  # fmt: skip
STYLE = """
:root{color-scheme:light dark;--ground:#fbfaf8;--ink:#22252a;--soft:#666c75;--line:#dcd9d3;--panel:#fff}
@media (prefers-color-scheme:dark){:root{--ground:#16181c;--ink:#e6e7ea;--soft:#9aa0aa;--line:#32363d;--panel:#1d2025}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .4rem}h2{font-size:1.25rem;margin:2.6rem 0 .4rem}
p,li{max-width:46rem}.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{text-align:right;padding:.32rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.wide{overflow-x:auto;background:var(--panel);border:1px solid var(--line);border-radius:6px}
.wide{margin:.8rem 0;padding:.3rem}
code{font-size:.9em}
"""


def write_report(
    path: Path,
    *,
    comparisons: Mapping[str, Comparison],
    baskets: pd.DataFrame,
    thresholds: Mapping[str, pd.DataFrame],
    evaluation: EvaluationReport | None,
    profile: PerceptionProfile,
    command: str,
    force: bool = False,
) -> None:
    """Write the report; it loads nothing from anywhere.

    Args:
        comparisons: by scenario, the flows on the same shoppers.
        baskets: `experiment.basket_curve`.
        thresholds: by scenario, `experiment.threshold_curve`.
        evaluation: the scores of perception, when they were measured in the same run.
        command: the command that makes this page again.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    sections = [
        _headline(comparisons),
        *(_flow_table(name, comparison) for name, comparison in comparisons.items()),
        _section(
            "Basket size",
            "A sale is reviewed when any of its events is doubtful, so reviews grow with the basket. The "
            "supermarket with 600 visits a day; means over replications, the bars are 95 % intervals.",
            _basket_chart(baskets),
        ),
        _section(
            "Review threshold",
            "One threshold for all three confidences, read off the same draws: a stricter one sends more sales to a "
            "human and lets fewer wrong bills pass. What perception misses altogether has no confidence, and no "
            "threshold catches it.",
            _threshold_chart(thresholds),
        ),
    ]
    if evaluation is not None:
        sections.append(_perception(evaluation))
    sections.append(_provenance(comparisons, profile, command))
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width,initial-scale=1"><title>Human reviews per 1,000 sales</title>'
        f"<style>{STYLE}</style><script>{_plotly_js()}</script></head><body><main>{''.join(sections)}</main></body></html>"
    )
    with new_file(path, force=force) as draft:
        draft.write_text(html, encoding="utf-8")


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _chart(figure: Any, height: int = 380) -> str:
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 13},
        legend={"orientation": "h", "y": 1.12},
    )
    figure.update_xaxes(gridcolor="rgba(138,143,152,.25)", zeroline=False)
    figure.update_yaxes(gridcolor="rgba(138,143,152,.25)", zeroline=False, rangemode="tozero")
    config = {"displayModeBar": False, "responsive": True}
    return f'<div class="wide">{figure.to_html(full_html=False, include_plotlyjs=False, config=config)}</div>'


def bars(mean: pd.Series, low: pd.Series, high: pd.Series, **more: Any) -> dict[str, Any]:
    """Plotly's error bars from an interval to each mean."""
    up, down = (high - mean).tolist(), (mean - low).tolist()
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": GREY, **more}


def bars_of(found: Sequence[Estimate]) -> dict[str, Any]:
    """The same of estimates."""
    none = (float("nan"), float("nan"))
    rows = pd.DataFrame([(e.mean, *(e.ci95 or none)) for e in found], columns=["mean", "low", "high"])
    return bars(rows["mean"], rows["low"], rows["high"])


def _section(title: str, text: str, *content: str) -> str:
    said = f"<p>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(content)}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; the first column is to the left, the others to the right."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _headline(comparisons: Mapping[str, Comparison]) -> str:
    import plotly.graph_objects as go

    said = []
    for name, comparison in comparisons.items():
        parts = []
        for flow, metric, word in (
            ("just-walk-out", "reviews_per_1000_sales", "reviews"),
            ("dash-cart", "interventions_per_1000_sales", "interventions"),
            ("self-checkout", "interventions_per_1000_sales", "interventions"),
        ):
            estimate = comparison.flows[flow].estimate(metric) if flow in comparison.flows else None
            if estimate:
                parts.append(f"{_shown(estimate)} {word} per 1,000 sales with {flow}")
        said.append(f"<li><b>{escape(name)}</b>: {escape('; '.join(parts))}</li>")
    figure = go.Figure()
    for flow in next(iter(comparisons.values())).flows:
        for metric, pattern in (
            ("reviews_per_1000_sales", ""),
            ("interventions_per_1000_sales", ""),
            ("escapes_per_1000_sales", "/"),
        ):
            found = [(name, c.flows[flow].estimate(metric)) for name, c in comparisons.items()]
            kept = [(name, e) for name, e in found if e]
            if kept:
                figure.add_bar(
                    name=f"{flow}: {metric.split('_')[0]}",
                    x=[name for name, _ in kept],
                    y=[e.mean for _, e in kept],
                    error_y=bars_of([e for _, e in kept]),
                    marker={"color": COLOURS.get(flow, GREY), "pattern": {"shape": pattern}},
                )
    figure.update_layout(barmode="group", yaxis_title="per 1,000 sales")
    return (
        "<h1>How many of 1,000 sales does a human have to look at?</h1>"
        '<p class="soft">Simulated from what perception did on recorded video and load cells. In mid-2022 Just '
        "Walk Out needed about 700 reviews per 1,000 sales, against a target of 20-50 (The Batch, after The "
        "Information).</p>"
        f"<ul>{''.join(said)}</ul>{_chart(figure)}"
        '<p class="soft">Reviews happen before a sale is charged; interventions are an attendant\'s help at a cart or '
        "station; escapes are wrong bills that nobody looked at. Bars: 95 % intervals.</p>"
    )


def _flow_table(name: str, comparison: Comparison) -> str:
    flows = list(comparison.flows)
    differences = {d.metric: d.estimate for d in comparison.differences} if len(flows) == 2 else {}
    head = "".join(f"<th>{escape(flow)}</th>" for flow in flows) + (
        "<th>difference</th>" if differences else ""
    )
    rows = []
    for metric in METRICS:
        estimates = [comparison.flows[flow].estimate(metric) for flow in flows]
        if not any(estimates):
            continue
        cells = "".join(f"<td>{_shown(e) if e else '–'}</td>" for e in estimates)
        if differences:
            cells += f"<td>{_shown(differences[metric]) if metric in differences else ''}</td>"
        label = metric.replace("_", " ")
        rows.append(f"<tr><td>{'<b>' + label + '</b>' if metric in HEADLINES else label}</td>{cells}</tr>")
    first = comparison.flows[flows[0]]
    table = f'<div class="wide"><table><tr><th>metric</th>{head}</tr>{"".join(rows)}</table></div>'
    return _section(
        f"Side by side: {name}",
        f"{first.visits:,} visits in {first.replications} independent replications, the same shoppers in every flow; "
        "mean and half of the 95 % interval, differences paired by replication; where perception has a part, the "
        "interval holds the profile's own sampling error (docs/engines.md). A dash: the flow does not have it.",
        table,
    )


def _basket_chart(baskets: pd.DataFrame) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for flow, metric, dash in (
        ("just-walk-out", "reviews_per_1000_sales", "solid"),
        ("just-walk-out", "escapes_per_1000_sales", "dot"),
        ("dash-cart", "interventions_per_1000_sales", "solid"),
        ("dash-cart", "escapes_per_1000_sales", "dot"),
    ):
        rows = baskets[(baskets["flow"] == flow) & (baskets["metric"] == metric)].sort_values("items_mean")
        figure.add_scatter(
            name=f"{flow}: {metric.split('_')[0]}",
            x=rows["items_mean"].tolist(),
            y=rows["mean"].tolist(),
            error_y=bars(rows["mean"], rows["low"], rows["high"]),
            mode="lines+markers",
            line={"color": COLOURS[flow], "dash": dash},
        )
    figure.update_layout(xaxis_title="mean items in a basket", yaxis_title="per 1,000 sales")
    return _chart(figure)


def _threshold_chart(thresholds: Mapping[str, pd.DataFrame]) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, (name, table) in enumerate(thresholds.items()):
        for metric, dash in (("reviews_per_1000_sales", "solid"), ("escapes_per_1000_sales", "dot")):
            mean = table[metric]
            figure.add_scatter(
                name=f"{name}: {metric.split('_')[0]}",
                x=table["threshold"].tolist(),
                y=mean.tolist(),
                error_y=bars(mean, table[f"{metric}_low"], table[f"{metric}_high"]),
                mode="lines+markers",
                line={"color": ("#d9772b", "#7a5bb0", "#3d9970")[index % 3], "dash": dash},
            )
    figure.update_layout(
        xaxis_title="threshold for item, action and shopper confidence", yaxis_title="per 1,000 sales"
    )
    return _chart(figure)


def _perception(evaluation: EvaluationReport) -> str:
    r = evaluation.receipts
    association = "–" if r.association_accuracy is None else f"{r.association_accuracy:.3f}"
    outcomes = ", ".join(
        f"{n} {str(name).replace('_', ' ')}"
        for name, n in evaluation.judged["outcome"].value_counts().items()
    )
    return _section(
        "What perception does",
        f"{len(evaluation.recordings)} recordings, {len(evaluation.judged)} judged events ({outcomes}), "
        f"{evaluation.shopper_minutes:.1f} shopper-minutes. These recordings are rendered, not filmed: see the README.",
        table(
            ("detections", "true boxes", "mAP50", "mAP50-95"),
            [(d.label, str(d.boxes), f"{d.map50:.3f}", f"{d.map50_95:.3f}") for d in evaluation.detections],
        ),
        table(
            ("shelf events, right in", "within", "precision", "recall", "F1"),
            [
                (e.kind, f"{e.tolerance_s:g} s", f"{e.precision:.3f}", f"{e.recall:.3f}", f"{e.f1:.3f}")
                for e in evaluation.events
            ],
        ),
        table(
            ("receipts", "value"),
            [
                ("unit-level F1 (competition)", f"{r.unit_f1:.3f}"),
                ("association accuracy", association),
                (f"fully right, of {r.receipts}", f"{r.fully_right:.3f}"),
            ],
        ),
        table(
            ("confidence", "events", "ECE", "Brier"),
            [(c.aspect, str(c.events), f"{c.ece:.3f}", f"{c.brier:.3f}") for c in evaluation.calibration],
        ),
    )


def _provenance(comparisons: Mapping[str, Comparison], profile: PerceptionProfile, command: str) -> str:
    any_flow = next(iter(next(iter(comparisons.values())).flows.values()))
    packages = ("checkout-simulator", "numpy", "pandas", "simpy", "plotly")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    recordings = "".join(
        f"<li><code>{escape(r['id'])}</code> sha256 <code>{escape(r['sha256'][:16])}</code></li>"
        for r in profile.recordings
    )
    rows = [
        ("command", f"<code>{escape(command)}</code>"),
        ("scenarios", ", ".join(f"<code>{escape(name)}</code> (sim/scenarios)" for name in comparisons)),
        ("seed", str(any_flow.seed)),
        (
            "replications",
            f"{any_flow.replications} a flow and scenario, each of the days of the scenario's calendar",
        ),
        (
            "profile",
            f"{escape(profile.detector)}; {len(profile.judged)} judged events, {len(profile.phantoms)} phantoms",
        ),
        ("versions", f"{escape(versions)}, Python {platform.python_version()}"),
    ]
    body = "".join(
        f"<tr><td>{name}</td><td style='white-space:normal;text-align:left'>{text}</td></tr>"
        for name, text in rows
    )
    return (
        "<section><h2>How each number was obtained</h2>"
        "<p>Perception was measured on the recordings below; the profile's own sampling error is part of every "
        "interval where perception has a part (a Bayesian bootstrap, one version for every two replications; a "
        "random-effects interval), the others are t-intervals. Every parameter of a scenario is tagged published or "
        "assumed in its file and in sim/scenario.py.</p>"
        f'<div class="wide"><table>{body}</table></div><ul>{recordings}</ul></section>'
    )


def _shown(estimate: Estimate) -> str:
    from sim.cli import with_interval

    return str(with_interval(estimate))
