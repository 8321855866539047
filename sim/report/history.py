"""The pages of `calibrate`, `sensitivity`, `learn` and `basket-curve` with `--report`."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from checkout.profile import PerceptionProfile
from sim.basket_curve import ATTENTION, BasketCurve, said
from sim.calibration import Calibration, Fitted
from sim.learning import Learning
from sim.report.flows import COLOURS, how_obtained, profile_rows, versions, write_page
from sim.report.page import COLOURS as FLOW_COLOURS
from sim.report.page import GREY, _chart, _section, bars, table
from sim.sensitivity import Sensitivity


def write_calibration_page(path: Path, found: Calibration, *, command: str, force: bool = False) -> None:
    """Write the page; it loads nothing from anywhere.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    from sim.history_cli import anchor_rows, fitted_rows, told

    here, there = (curve.scenario for curve in found.curves)
    replications = len(found.curves[0].versions)
    sections = [
        f"<h1>{escape(here)}: perception that gives {found.fitted.target:g} reviews per 1,000 sales</h1>",
        _section(
            "One number is fitted",
            "Error odds multiply the odds that a shelf event is wrong, missed or doubtful; 1 is perception as it was "
            "judged. Every value is tried on the same days with the same draws.",
            _odds_chart(found),
            table(
                ("reviews per 1,000", "error odds", "95 % interval", "of single versions", "faulty events"),
                fitted_rows(found),
            ),
        ),
        _section(
            f"Predicted with error odds {found.fitted.error_odds:.3g}",
            "Perception stays as fitted; only the store changes.",
            table(
                ("quantity", "predicted", "95 % interval", "unit", "published", "agrees"), anchor_rows(found)
            ),
            f"<p>{escape(told(found))}</p>",
        ),
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                ("scenarios", f"<code>{escape(here)}</code>, <code>{escape(there)}</code>; every parameter is tagged "
                              "published, measured or assumed in its file and in sim/scenario.py"),
                ("seed", str(found.seed)),
                ("replications", f"{replications} Mondays a point, then {replications} whole weeks a store"),
                ("intervals", "bootstrap over versions of the profile on common random numbers; of weeks a "
                              "random-effects interval"),
                *profile_rows(found.profile),
                ("versions", versions()),
            ],
            found.profile,
        ),
    ]  # fmt: skip
    write_page(path, f"{here}: calibration", sections, force=force)


def _odds_chart(found: Calibration) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, curve in enumerate(found.curves):
        figure.add_scatter(
            x=curve.error_odds.tolist(), y=curve.mean.tolist(), mode="lines+markers", name=curve.scenario,
            line={"color": COLOURS[number]},
        )  # fmt: skip
    for fitted in (found.fitted, *found.required):
        figure.add_scatter(
            x=[fitted.error_odds], y=[fitted.target], mode="markers", name=f"{fitted.target:g} per 1,000",
            marker={"size": 11, "color": GREY, "symbol": "diamond"}, error_x=_bars(fitted),
        )  # fmt: skip
    figure.update_layout(xaxis_title="error odds", yaxis_title="reviews per 1,000 sales")
    figure.update_xaxes(type="log")
    return str(_chart(figure))


def _bars(fitted: Fitted) -> dict[str, Any]:
    low, high = fitted.ci95
    return {
        "type": "data", "symmetric": False, "color": GREY,
        "array": [0.0 if high is None else high - fitted.error_odds],
        "arrayminus": [0.0 if low is None else fitted.error_odds - low],
    }  # fmt: skip


def write_sensitivity_page(
    path: Path, found: Sensitivity, *, profile: PerceptionProfile, command: str, force: bool = False
) -> None:
    """Write the page; it loads nothing from anywhere.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    from sim.history_cli import effect_rows, method_of

    charts = [
        _section(
            f"What moves {str(answer).replace('_', ' ')}",
            "Bars: mu*, the mean absolute change when the parameter crosses its range, with its 95 % interval.",
            _effects_chart(rows, str(answer)),
            table(("parameter", "range", "mu*", "±", "mu", "sigma", "range is"), effect_rows(rows)),
        )
        for answer, rows in found.effects.groupby("answer", sort=False)
    ]
    sections = [
        f"<h1>{escape(found.scenario)}: which assumption moves the answer most?</h1>",
        *charts,
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                ("scenario", f"<code>{escape(found.scenario)}</code>"),
                ("seed", str(found.seed)),
                ("method", escape(method_of(found))),
                *profile_rows(profile),
                ("versions", versions("SALib")),
            ],
            profile,
        ),
    ]
    write_page(path, f"{found.scenario}: sensitivity", sections, force=force)


def _effects_chart(rows: Any, answer: str) -> str:
    import plotly.graph_objects as go

    ascending = rows[::-1]
    figure = go.Figure(
        go.Bar(
            x=ascending["mu_star"].tolist(), y=ascending["parameter"].tolist(), orientation="h",
            error_x={"type": "data", "array": ascending["mu_star_conf95"].tolist(), "color": GREY},
            marker={"color": COLOURS[0]},
        )
    )  # fmt: skip
    figure.update_layout(xaxis_title=answer.replace("_", " "))
    figure.update_yaxes(automargin=True)
    return str(_chart(figure, 140 + 24 * len(rows)))


def write_learning_page(
    path: Path,
    found: Learning,
    *,
    scenario: str,
    profile: PerceptionProfile,
    seed: int,
    command: str,
    force: bool = False,
) -> None:
    """Write the page; it loads nothing from anywhere.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    from sim.history_cli import month_rows, reached_lines

    plan = found.programme
    sections = [
        f"<h1>{escape(scenario)}: {plan.stores} stores that learn from their reviews</h1>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in reached_lines(found)) + "</ul>",
        _section(
            "Reviews month by month",
            "The line follows the law as fitted; the band holds the middle 95 % of its draws and of the profile's.",
            _band_chart(found, "reviews_per_1000_sales", "reviews per 1,000 sales"),
        ),
        _section(
            "What it has cost by then",
            "Reviews and labels of all stores together.",
            _band_chart(found, "spent_usd", "US dollars until then"),
        ),
        _section(
            "Months",
            "",
            table(
                ("month", "pictures", "error", "reviews per 1,000", "95 % band", "$ this month", "$ until then"),
                month_rows(found, every=1),
            ),
        ),
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                ("scenario", f"<code>{escape(scenario)}</code>"),
                ("seed", str(seed)),
                ("assumed", escape(
                    f"{plan.pictures_per_review:g} pictures a review at ${plan.usd_per_picture:g}, "
                    f"{100 * plan.new_products_share:g} % new products a month, every "
                    f"{plan.planogram_every_months} months {100 * plan.planogram_share:g} % of the pictures worthless; "
                    f"a review takes {plan.work_s:g} s at ${plan.wage_usd_per_hour:g} an hour"
                )),
                *profile_rows(profile),
                ("versions", versions()),
            ],
            profile,
            *found.notes,
        ),
    ]  # fmt: skip
    write_page(path, f"{scenario}: learning from reviews", sections, force=force)


def _band_chart(found: Learning, name: str, title: str) -> str:
    import plotly.graph_objects as go

    months = found.months
    x = months["month"].tolist()
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=months[f"{name}_high"].tolist(), mode="lines", line={"width": 0}, showlegend=False
    )
    figure.add_scatter(
        x=x, y=months[f"{name}_low"].tolist(), mode="lines", line={"width": 0}, fill="tonexty", name="95 % band",
        fillcolor="rgba(217,119,43,.18)",
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=months[name].tolist(), mode="lines", line={"color": COLOURS[0]}, name="as fitted"
    )
    figure.update_layout(xaxis_title="month", yaxis_title=title)
    return str(_chart(figure))


def write_baskets_page(
    path: Path, curve: BasketCurve, *, profile: PerceptionProfile | None, command: str, force: bool = False
) -> None:
    """Write the page; it loads nothing from anywhere.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    rows = curve.to_pandas()
    crossings = "".join(f"<li>{escape(said(c))}</li>" for c in curve.crossings())
    replications = next(iter(curve.results.values()))[0].replications
    numbers = [
        (
            r["flow"],
            r["metric"].replace("_", " "),
            f"{r['items_mean']:g}",
            f"{r['mean']:.2f}",
            f"{r['low']:.2f} to {r['high']:.2f}",
        )
        for r in rows.to_dict(orient="records")
    ]
    sections = [
        f"<h1>{escape(curve.scenario)}: reviews and cost by basket size</h1>",
        _section(
            "What a human has to look at",
            f"{replications} days a size, the same shoppers in every flow; bars are 95 % intervals.",
            _baskets_chart(rows, ATTENTION, "reviews or interventions per 1,000 sales"),
        ),
        _section(
            "What a sale costs",
            "Cost of the way of selling alone, without the goods. Staff and lanes stay as the scenario has them.",
            _baskets_chart(rows, ("cost_per_sale_usd",), "US dollars a sale"),
            f"<ul>{crossings or '<li>costs cross nowhere between these sizes</li>'}</ul>",
        ),
        _section("Numbers", "", table(("flow", "metric", "items", "mean", "95 % interval"), numbers)),
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                ("scenario", f"<code>{escape(curve.scenario)}</code>; every parameter is tagged published, measured "
                             "or assumed in its file and in sim/scenario.py"),
                ("seed", str(curve.seed)),
                ("replications", f"{replications} Mondays a size, each after a day of warm-up"),
                ("crossings", "paired bootstrap over versions of the profile and their days"),
                *profile_rows(profile),
                ("versions", versions()),
            ],
            profile,
        ),
    ]  # fmt: skip
    write_page(path, f"{curve.scenario}: basket size", sections, force=force)


def _baskets_chart(rows: Any, metrics: tuple[str, ...], title: str) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for (flow, metric), part in rows[rows["metric"].isin(metrics)].groupby(["flow", "metric"], sort=False):
        word = "" if len(metrics) == 1 else f": {str(metric).split('_')[0]}"
        figure.add_scatter(
            name=f"{flow}{word}", x=part["items_mean"].tolist(), y=part["mean"].tolist(), mode="lines+markers",
            error_y=bars(part["mean"], part["low"], part["high"], color=None),
            line={"color": FLOW_COLOURS.get(str(flow), GREY)},
        )  # fmt: skip
    figure.update_layout(xaxis_title="mean items in a basket", yaxis_title=title)
    return str(_chart(figure, 420))
