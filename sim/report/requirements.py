"""The page of `require --report`: what would have to change, how far each lever goes, and how it was found."""

from __future__ import annotations

from html import escape
from pathlib import Path

from checkout.profile import PerceptionProfile
from sim.dashboard_cli import answer_rows, said
from sim.report.flows import COLOURS, how_obtained, profile_rows, versions, write_page
from sim.report.page import GREY, _chart, _section
from sim.require import WHAT, Requirements


def write_requirements_page(
    path: Path,
    found: Requirements,
    *,
    profile: PerceptionProfile | None = None,
    command: str,
    force: bool = False,
) -> None:
    """Write the page; it loads nothing from anywhere.

    Args:
        profile: what perception does as it is, for the list of its recordings.
        command: the command that makes this page again.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    head = "".join(
        f"<th>{name}</th>"
        for name in ("what is changed", "to", "reviews per 1,000", "escapes per 1,000", "$ a year")
    )
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in answer_rows(found)
    )
    sections = [
        f"<h1>{escape(found.scenario)}: what would have to change for {found.goal:g} reviews per 1,000 sales?</h1>",
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>',
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in said(found)) + "</ul>",
        _section(
            "How far each lever goes",
            "One lever at a time, from as it is (0) to its end (1), on the same shoppers and the same random numbers "
            f"in every point; {found.days} mean weekdays a point. The dashed line is the goal.",
            _curve(found),
            "<ul>" + "".join(f"<li><b>{k.replace('_', '-')}</b>: {escape(v)}</li>" for k, v in WHAT.items()) + "</ul>",
        ),
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                ("scenario", f"<code>{escape(found.scenario)}</code>; every parameter is tagged published, measured or "
                             "assumed in its file and in sim/scenario.py"),
                ("seed", str(found.seed)),
                ("search", f"bisection for one lever; {found.trials} combinations by Optuna (TPE), then each lever "
                           "moved back as far as the goal allows"),
                ("costs", f"assumed: ${found.costs.per_halving_usd:,.0f} a year to halve wrong or doubtful events, "
                          f"${found.costs.per_point_usd:,.0f} a year for 1 % of the products; sales not made cost the "
                          "scenario's margin"),
                ("confirmed", "simulated again with the scenario's own calendar and other random numbers; 95 % "
                              "intervals"),
                *profile_rows(profile),
                ("versions", versions()),
            ],
            profile,
        ),
    ]  # fmt: skip
    write_page(path, f"{found.scenario}: what would have to change", sections, force=force)


def _curve(found: Requirements) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, (lever, rows) in enumerate(found.curve.groupby("lever")):
        figure.add_scatter(
            x=rows["moved"], y=rows["reviews_per_1000_sales"], mode="lines+markers",
            name=str(lever).replace("_", "-"), line={"color": COLOURS[number % len(COLOURS)]},
        )  # fmt: skip
    figure.add_hline(
        y=found.goal, line={"color": GREY, "dash": "dash"}, annotation_text=f"goal {found.goal:g}"
    )
    figure.update_layout(xaxis_title="lever", yaxis_title="reviews per 1,000 sales")
    return str(_chart(figure))
