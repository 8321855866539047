"""`checkout dashboard` and `checkout require`; only the standard library and Typer are imported at the top."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from checkout.command_line import command_line
from sim.options import (
    ForceOption,
    JsonOption,
    PageOption,
    ProfileOption,
    ScenarioArgument,
    SetOption,
    WorkersOption,
)

if TYPE_CHECKING:
    from sim.require import Requirement, Requirements

app = typer.Typer()
OUT_OF_REACH = 1


@app.command("dashboard")
def dashboard_command(
    scenario: ScenarioArgument = "supermarket",
    profile: ProfileOption = None,
    changes: SetOption = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recordings to step through; else the shipped ones.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=1000, help="Simulated days behind the sliders.")] = 10,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    host: Annotated[
        str, typer.Option(help="Address to serve at; only loopback keeps others out.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    show: Annotated[bool, typer.Option("--show", help="Open a browser.")] = False,
) -> None:
    """Serve a page on this machine to look at it all: thresholds, flows, a day in the store, recordings."""
    from checkout.cli import progress_bar
    from checkout.errors import InputError

    _need_extra("nicegui", "dashboard")
    from sim.cli import _profile, _scenario
    from sim.demo import SHIPPED_RECORDINGS

    if recordings is not None and not recordings.is_dir():
        raise InputError(
            "--recordings", "", f"{str(recordings)!r} is not a folder", "name a folder of recordings"
        )
    store, perceiving = _scenario(scenario, changes), _profile(profile, ["just-walk-out"])
    from sim.dashboard.server import check_address, prepared, serve

    check_address(host, port)
    with progress_bar() as tell:
        served = prepared(
            store,
            perceiving,
            recordings=recordings or SHIPPED_RECORDINGS,
            days=days,
            seed=seed,
            progress=tell,
        )
    serve(served, host=host, port=port, show=show, ready=lambda url: typer.echo(f"{url} (stop with Ctrl-C)"))


@app.command("require")
def require_command(
    scenario: ScenarioArgument,
    reviews: Annotated[float, typer.Option(help="The goal: reviews per 1,000 sales.")] = 50.0,
    profile: ProfileOption = None,
    changes: SetOption = None,
    per_halving: Annotated[
        float, typer.Option(help="US dollars a year for halving wrong or doubtful events [assumed].")
    ] = 500_000.0,
    per_point: Annotated[
        float,
        typer.Option(
            help="US dollars a year for setting 1 % of the products apart from look-alikes [assumed]."
        ),
    ] = 2_000.0,
    days: Annotated[
        int, typer.Option(min=2, max=1000, help="Mean weekdays of each step of the search.")
    ] = 12,
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="Combinations that are tried.")] = 80,
    replications: Annotated[int, typer.Option(min=2, max=10_000, help="Of each confirming run.")] = 20,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    workers: WorkersOption = 2,
    to_json: JsonOption = None,
    report: PageOption = None,
    force: ForceOption = False,
) -> None:
    """What would have to change so that a store needs only so many reviews: one lever at a time, and the cheapest mix.

    Exit code 1: not even all levers at their ends reach the goal.
    """
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free

    _need_extra("optuna", "analysis")
    from sim.cli import _profile, _scenario
    from sim.require import FLOW, LeverCosts, require

    for target in (report, None if to_json in (None, "-") else Path(str(to_json))):
        if target is not None:
            check_free(target, force=force)
    store, perceiving = _scenario(scenario, changes), _profile(profile, [FLOW])
    with progress_bar() as tell:
        found = require(
            store, perceiving, reviews, costs=LeverCosts(per_halving, per_point), days=days,
            trials=trials, replications=replications, seed=seed, workers=workers, progress=tell,
        )  # fmt: skip
    command = command_line()
    if report is not None:
        from sim.report.requirements import write_requirements_page

        write_requirements_page(report, found, profile=perceiving, command=command, force=force)
    if not write_json(found.to_dict() | {"command": command}, to_json, force=force):
        print_requirements(found)
    if not found.combination.reached:
        raise typer.Exit(OUT_OF_REACH)


def print_requirements(found: Requirements) -> None:
    """The answers on the terminal."""
    from rich.console import Console
    from rich.table import Table

    from checkout.cli import TABLE_WIDTH

    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    table = Table(
        title=f"{found.scenario}: at most {found.goal:g} reviews per 1,000 sales", title_justify="left"
    )
    for name in ("what is changed", "to", "reviews per 1,000, confirmed", "escapes per 1,000", "$ a year"):
        table.add_column(name, justify="left" if name in ("what is changed", "to") else "right")
    for row in answer_rows(found):
        table.add_row(*row)
    console.print(table)
    for line in said(found):
        console.print(line, markup=False, soft_wrap=True)


def answer_rows(found: Requirements) -> list[tuple[str, str, str, str, str]]:
    """What is changed, to what, the confirmed rates with half of their 95 % intervals, and the cost of each answer."""
    from sim.cli import with_interval

    rows = []
    for answer in (found.now, *found.single, found.combination):
        cost = answer.cost_usd_per_year
        rows.append(
            (
                answer.name.replace("_", "-")
                + ("" if answer.reached or answer is found.now else ": NOT ENOUGH"),
                _stands(answer, found.now),
                with_interval(answer.confirmed),
                with_interval(answer.escapes),
                f"{cost:,.0f}" if math.isfinite(cost) else "without end",
            )
        )
    return rows


def said(found: Requirements) -> list[str]:
    """The answer in sentences."""
    lines = []
    for answer in found.single:
        if not answer.reached:
            lines.append(
                f"{answer.name.replace('_', '-')} alone can never reach {found.goal:g}: at its end "
                f"({_stands(answer, found.now)}) the search still saw {answer.searched:.0f} reviews per 1,000 sales."
            )
    best = found.combination
    if not best.reached:
        lines.append(f"NOT REACHED: with all levers at their ends the search still saw {best.searched:.0f}.")
    for answer in (*found.single, best):
        if answer.reached and not answer.confirms(found.goal):
            lines.append(
                f"{answer.name}: NOT CONFIRMED, the interval of the confirming run lies over {found.goal:g}; "
                "search with more --days."
            )
    lines.append(
        "assumed: what levers cost (--per-halving, --per-point, and the scenario's margin for sales not made); a "
        "profile of few judged events keeps a chance of errors never seen, which no lever removes."
    )
    return lines


def _stands(answer: Requirement, now: Requirement) -> str:
    """What differs from how the store is; everything, where nothing does."""
    shown = {
        "event_f1": ("event F1", "{:.3f}"), "doubtful_share": ("doubtful events", "{:.1%}"),
        "look_alike_share": ("look-alikes", "{:.0%}"), "visits_per_day": ("visits a day", "{:,.0f}"),
        "items_mean": ("items", "{:.1f}"),
    }  # fmt: skip
    moved = [name for name in shown if answer.values[name] != now.values[name]] or list(shown)
    return ", ".join(f"{shown[name][0]} {shown[name][1].format(answer.values[name])}" for name in moved)


def _need_extra(module: str, extra: str) -> None:
    from checkout.errors import InputError

    if find_spec(module) is None:
        raise InputError(module, "", "is not installed", f'run: pip install "checkout-simulator[{extra}]"')
