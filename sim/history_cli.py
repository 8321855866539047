"""Commands of `checkout` that look back and ahead: calibrate, sensitivity, learn and basket-curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.cli import ForceOption, JsonOption, ProfileOption, SetOption, WorkersOption, app, number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sim.calibration import Calibration
    from sim.sensitivity import Sensitivity

DaysOption = Annotated[
    int,
    typer.Option(
        "--replications", min=2, max=100_000, help="Independent days with their own profile version."
    ),
]


@app.command("calibrate")
def calibrate_command(
    scenario: Annotated[
        str, typer.Argument(help="The store whose reviews are known: a shipped scenario or a YAML file.")
    ] = "fresh-supermarket-2022",
    target: Annotated[
        float,
        typer.Option(min=0.0, max=1000.0, help="Its reviews per 1,000 sales; 700 is published for mid-2022."),
    ] = 700.0,
    elsewhere: Annotated[
        str, typer.Option(help="The store that is predicted with perception unchanged.")
    ] = "go-convenience",
    required: Annotated[
        str, typer.Option(help="Reviews per 1,000 sales whose perception is wanted, separated by commas.")
    ] = "50,20",
    profile: ProfileOption = None,
    replications: DaysOption = 20,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the profile with the fitted error odds to this file.")
    ] = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Fit perception to a store's known reviews, then predict another store, the receipts and the staff."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.calibration import calibrate
    from sim.cli import _profile, _scenario

    store, other = _scenario(scenario, changes), _scenario(elsewhere, None)
    wanted = numbers("--required", required)
    for path in (out, to_json):
        if path is not None and str(path) != "-":
            check_free(Path(path), force=force)
    with progress_bar() as tell:
        found = calibrate(
            store, _profile(profile, ["just-walk-out"]), other, target=target, required=wanted,
            replications=replications, seed=seed, workers=workers, progress=tell,
        )  # fmt: skip
    if out is not None:
        found.calibrated_profile.save(out, force=force)
    if not write_json(found.to_dict(), to_json, force=force):
        print_calibration(found)


def numbers(option: str, text: str) -> list[float]:
    """Numbers separated by commas; raises `InputError` when one is none."""
    from checkout.errors import InputError

    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError:
            raise InputError(option, "", f"{part.strip()!r} is not a number", "separate by commas") from None
    return found


def print_calibration(found: Calibration) -> None:
    """The fitted odds and the predictions as tables."""
    curve = found.curves[0]
    here, there = (c.scenario for c in found.curves)
    columns = ("reviews per 1,000", "error odds", "95 % interval", "of single versions", "faulty events")
    table = _table(f"{here}: perception that gives so many reviews", columns)
    table.add_row(
        number(float(curve.reviews(1.0))),
        "1",
        "",
        "",
        f"{100 * found.profile.faulty_share:.2f} % (as judged)",
    )
    for f in (found.fitted, *found.required):
        table.add_row(
            number(f.target), f"{f.error_odds:.3g}", _between(f.ci95), _between(f.versions95),
            f"{100 * found.faulty_share(f.error_odds):.2f} %",
        )  # fmt: skip
    _console().print(table)
    columns = ("quantity", "predicted", "95 % interval", "unit", "published", "agrees")
    table = _table(f"predicted with error odds {found.fitted.error_odds:.3g}", columns)
    for a in found.anchors:
        interval = "" if a.ci95 is None else f"{number(a.ci95[0])} - {number(a.ci95[1])}"
        verdict = "cannot say" if a.agrees is None else "yes" if a.agrees else "no"
        table.add_row(a.quantity, number(a.predicted), interval, a.unit, a.published, verdict)
    _console().print(table)
    low, high = found.elsewhere95
    _console().print(
        f"{there}, under each version of the profile made to give {found.fitted.target:g} in {here}: "
        f"{number(low)}-{number(high)} reviews per 1,000 sales"
    )
    _console().print(
        f"error odds multiply the odds that an event is wrong, missed or doubtful; intervals: bootstrap over "
        f"{curve.reviews_per_1000_sales.shape[1]} days on common random numbers, and t over weeks"
    )


def _console() -> Console:
    """The terminal; a file is as wide as the widest table."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=200)


def _table(title: str, columns: tuple[str, ...]) -> Table:
    """An empty table whose text columns are those that hold no numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    words = ("quantity", "unit", "published", "agrees", "parameter", "range is", "flow")
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right")
    return table


def _between(interval: tuple[float | None, float | None]) -> str:
    low, high = interval
    return f"{'<' if low is None else f'{low:.3g}'} - {'>' if high is None else f'{high:.3g}'}"


@app.command("sensitivity")
def sensitivity_command(
    scenario: Annotated[
        str, typer.Argument(help="A shipped scenario or a YAML file.")
    ] = "fresh-supermarket-2022",
    profile: ProfileOption = None,
    trajectories: Annotated[int, typer.Option(min=2, max=10_000, help="Morris trajectories.")] = 8,
    replications: DaysOption = 2,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Which assumption moves reviews and cost of Just Walk Out most (Morris' elementary effects)."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.cli import _profile, _scenario
    from sim.sensitivity import sensitivity

    store = _scenario(scenario, changes)
    if to_json is not None and to_json != "-":
        check_free(Path(to_json), force=force)
    with progress_bar() as tell:
        found = sensitivity(
            store, _profile(profile, ["just-walk-out"]), trajectories=trajectories, replications=replications,
            seed=seed, workers=workers, progress=tell,
        )  # fmt: skip
    if not write_json(found.to_dict(), to_json, force=force):
        print_sensitivity(found)


def print_sensitivity(found: Sensitivity) -> None:
    """The effects as a table for each answer."""
    for answer, rows in found.effects.groupby("answer", sort=False):
        table = _table(
            f"{found.scenario}: what moves {answer}",
            ("parameter", "range", "mu*", "±", "mu", "sigma", "range is"),
        )
        for row in rows.to_dict(orient="records"):
            table.add_row(
                row["parameter"], f"{row['low']:g} - {row['high']:g}", number(row["mu_star"]),
                number(row["mu_star_conf95"]), signed(row["mu"]), number(row["sigma"]), row["tag"],
            )  # fmt: skip
        _console().print(table)
    _console().print(
        f"mu*: mean absolute change when the parameter crosses its range, ± its 95 % bootstrap interval over "
        f"{found.trajectories} trajectories; {found.runs} runs of {found.replications} days on common random numbers"
    )


def signed(value: float) -> str:
    """A number with its sign."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"
