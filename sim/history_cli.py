"""Commands of `checkout` that look back and ahead: calibrate, sensitivity, learn and basket-curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from checkout.command_line import command_line
from sim.cli import app, number
from sim.options import (
    SHIPPED,
    ForceOption,
    JsonOption,
    PageOption,
    ProfileOption,
    ScenarioArgument,
    SetOption,
    WorkersOption,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from sim.basket_curve import BasketCurve
    from sim.calibration import Calibration
    from sim.learning import Learning
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
        str,
        typer.Argument(
            help=f"The store whose reviews are known: a shipped scenario ({SHIPPED}) or a YAML file."
        ),
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
    report: PageOption = None,
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
    for path in (out, report, to_json):
        if path is not None and str(path) != "-":
            check_free(Path(path), force=force)
    with progress_bar() as tell:
        found = calibrate(
            store, _profile(profile, ["just-walk-out"]), other, target=target, required=wanted,
            replications=replications, seed=seed, workers=workers, progress=tell,
        )  # fmt: skip
    if out is not None:
        found.calibrated_profile.save(out, force=force)
    if report is not None:
        from sim.report.history import write_calibration_page

        write_calibration_page(report, found, command=command_line(), force=force)
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
    here = found.curves[0].scenario
    columns = ("reviews per 1,000", "error odds", "95 % interval", "of single versions", "faulty events")
    table = _table(f"{here}: perception that gives so many reviews", columns)
    for row in fitted_rows(found):
        table.add_row(*row)
    _console().print(table)
    table = _table(
        f"predicted with error odds {found.fitted.error_odds:.3g}",
        ("quantity", "predicted", "95 % interval", "unit", "published", "agrees"),
    )
    for row in anchor_rows(found):
        table.add_row(*row)
    _console().print(table)
    _console().print(told(found))
    _console().print(
        f"error odds multiply the odds that an event is wrong, missed or doubtful; intervals: bootstrap over "
        f"{len(found.curves[0].by_version)} versions of the profile on common random numbers, and random effects over "
        "weeks"
    )


def fitted_rows(found: Calibration) -> list[tuple[str, ...]]:
    """Reviews, error odds, their intervals and the share of faulty events: as judged, then as fitted."""
    judged = (number(float(found.curves[0].reviews(1.0))), "1", "", "")
    return [
        (*judged, f"{100 * found.profile.faulty_share:.2f} % (as judged)"),
        *(
            (number(f.target), f"{f.error_odds:.3g}", _between(f.ci95), _between(f.versions95),
             f"{100 * found.faulty_share(f.error_odds):.2f} %")
            for f in (found.fitted, *found.required)
        ),
    ]  # fmt: skip


def anchor_rows(found: Calibration) -> list[tuple[str, ...]]:
    """Each published figure beside what is predicted."""
    rows: list[tuple[str, ...]] = []
    for a in found.anchors:
        interval = "" if a.ci95 is None else f"{number(a.ci95[0])} - {number(a.ci95[1])}"
        verdict = "cannot say" if a.agrees is None else "yes" if a.agrees else "no"
        rows.append((a.quantity, number(a.predicted), interval, a.unit, a.published, verdict))
    return rows


def told(found: Calibration) -> str:
    """What the other store needs under each version of the profile."""
    here, there = (curve.scenario for curve in found.curves)
    low, high = found.elsewhere95
    return (
        f"{there}, under each version of the profile made to give {found.fitted.target:g} in {here}: "
        f"{number(low)}-{number(high)} reviews per 1,000 sales"
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
    words = ("quantity", "unit", "published", "agrees", "parameter", "range is", "flow", "metric")
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right")
    return table


def _between(interval: tuple[float | None, float | None]) -> str:
    low, high = interval
    return f"{'<' if low is None else f'{low:.3g}'} - {'>' if high is None else f'{high:.3g}'}"


@app.command("sensitivity")
def sensitivity_command(
    scenario: ScenarioArgument = "fresh-supermarket-2022",
    profile: ProfileOption = None,
    trajectories: Annotated[int, typer.Option(min=2, max=10_000, help="Morris trajectories.")] = 8,
    replications: DaysOption = 2,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    report: PageOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Which assumption moves reviews and cost of Just Walk Out most (Morris' elementary effects)."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.cli import _profile, _scenario
    from sim.sensitivity import sensitivity

    store, perceiving = _scenario(scenario, changes), _profile(profile, ["just-walk-out"])
    for path in (report, to_json):
        if path is not None and str(path) != "-":
            check_free(Path(path), force=force)
    with progress_bar() as tell:
        found = sensitivity(
            store, perceiving, trajectories=trajectories, replications=replications, seed=seed, workers=workers,
            progress=tell,
        )  # fmt: skip
    if report is not None:
        from sim.report.history import write_sensitivity_page

        write_sensitivity_page(report, found, profile=perceiving, command=command_line(), force=force)
    if not write_json(found.to_dict(), to_json, force=force):
        print_sensitivity(found)


def print_sensitivity(found: Sensitivity) -> None:
    """The effects as a table for each answer."""
    for answer, rows in found.effects.groupby("answer", sort=False):
        table = _table(
            f"{found.scenario}: what moves {answer}",
            ("parameter", "range", "mu*", "±", "mu", "sigma", "range is"),
        )
        for row in effect_rows(rows):
            table.add_row(*row)
        _console().print(table)
    _console().print(method_of(found))


def effect_rows(effects: pd.DataFrame) -> list[tuple[str, ...]]:
    """Parameter, range, mu*, its half width, mu, sigma and where the range comes from."""
    return [
        (row["parameter"], f"{row['low']:g} - {row['high']:g}", number(row["mu_star"]),
         number(row["mu_star_conf95"]), signed(row["mu"]), number(row["sigma"]), row["tag"])
        for row in effects.to_dict(orient="records")
    ]  # fmt: skip


def method_of(found: Sensitivity) -> str:
    """What the columns mean and how often was simulated."""
    return (
        "mu*: mean absolute change when the parameter crosses its range, ± its 95 % bootstrap interval over "
        f"{found.trajectories} trajectories; {found.runs} runs of {found.replications} days on common random numbers"
    )


def signed(value: float) -> str:
    """A number with its sign."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"


@app.command("learn")
def learn_command(
    scenario: ScenarioArgument = "fresh-supermarket-2022",
    curve: Annotated[
        Path | None,
        typer.Option("--curve", help="Learning curve; else the shipped models/learning-curve.json."),
    ] = None,
    error: Annotated[
        str, typer.Option(help="Which error of the curve: event, product or low_confidence.")
    ] = "low_confidence",
    sensors: Annotated[str, typer.Option(help="vision or plates+vision.")] = "plates+vision",
    profile: ProfileOption = None,
    stores: Annotated[
        int, typer.Option(min=1, max=100_000, help="Stores that one detector learns from.")
    ] = 47,
    months: Annotated[int, typer.Option(min=1, max=600)] = 36,
    pictures_per_review: Annotated[float, typer.Option(min=0.0, help="Pictures labelled in a review.")] = 1.0,
    usd_per_picture: Annotated[
        float, typer.Option(min=0.0, help="Price of a label, beside the review.")
    ] = 0.1,
    most_pictures: Annotated[
        float | None, typer.Option("--most-pictures", min=0.0, help="Pictures labelled a month at most.")
    ] = None,
    new_products: Annotated[
        float,
        typer.Option("--new-products", min=0.0, max=1.0, help="Share of products that are new each month."),
    ] = 0.02,
    planogram_every: Annotated[
        int, typer.Option("--planogram-every", min=0, help="Months between rearrangements; 0 for none.")
    ] = 6,
    planogram_share: Annotated[
        float, typer.Option("--planogram-share", min=0.0, max=1.0, help="Pictures that one makes worthless.")
    ] = 0.1,
    targets: Annotated[str, typer.Option(help="Reviews per 1,000 sales to wait for.")] = "50,20",
    replications: DaysOption = 10,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    report: PageOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Months in which reviewers label, perception learns, and reviews fall; what that has cost, and whether it ends."""
    from checkout.cli import progress_bar, write_json
    from checkout.errors import InputError
    from checkout.output import check_free
    from checkout.vision.learning_curve import LearningCurve
    from sim.calibration import review_curve
    from sim.cli import _profile, _scenario
    from sim.demo import SHIPPED_PROFILE
    from sim.learning import Programme, law_of, learn

    measured = curve or SHIPPED_PROFILE.parent / "learning-curve.json"
    if not measured.exists():
        raise InputError(
            measured, "", "does not exist: it says how the error falls with labelled pictures",
            "measure it with: checkout learning-curve REC... --data DIR --out FILE, or name one with --curve FILE",
        )  # fmt: skip
    law = law_of(LearningCurve.load(measured), error, sensors)
    store, wanted = _scenario(scenario, changes), numbers("--targets", targets)
    perceiving = _profile(profile, ["just-walk-out"])
    for path in (report, to_json):
        if path is not None and str(path) != "-":
            check_free(Path(path), force=force)
    review = store.just_walk_out.review
    sales_per_day = store.shoppers.visits_per_day * (1 - store.shoppers.empty_share)
    programme = Programme(
        stores, months, pictures_per_review, usd_per_picture, most_pictures, new_products, planogram_every,
        planogram_share, review.work_s, review.wage_usd_per_hour, sales_per_day,
    )  # fmt: skip
    with progress_bar() as tell:
        reviews = review_curve(
            store, perceiving, replications=replications, seed=seed, workers=workers, progress=tell
        )
    found = learn(reviews, law, programme, targets=wanted, seed=seed)
    if report is not None:
        from sim.report.history import write_learning_page

        write_learning_page(
            report,
            found,
            scenario=store.name,
            profile=perceiving,
            seed=seed,
            command=command_line(),
            force=force,
        )
    if not write_json(found.to_dict(), to_json, force=force):
        print_learning(found)


def print_learning(found: Learning) -> None:
    """The first months and every half year as a table, and when each number of reviews is reached."""
    columns = ("month", "pictures", "error", "reviews per 1,000", "95 % band", "$ this month", "$ until then")
    table = _table(f"{found.programme.stores} stores that learn from their reviews", columns)
    for row in month_rows(found, every=6):
        table.add_row(*row)
    console = _console()
    console.print(table)
    for line in reached_lines(found):
        console.print(line)
    for note in found.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def month_rows(found: Learning, every: int) -> list[tuple[str, ...]]:
    """The state before, the first three months, and then one of every so many."""
    shown = found.months[(found.months["month"] <= 3) | (found.months["month"] % every == 0)]
    rows: list[tuple[str, ...]] = []
    for row in shown.to_dict(orient="records"):
        band = f"{number(row['reviews_per_1000_sales_low'])} - {number(row['reviews_per_1000_sales_high'])}"
        rows.append(
            (f"{row['month']:.0f}", f"{row['pictures']:,.0f}", f"{row['error']:.4f}",
             number(row["reviews_per_1000_sales"]), band, f"{row['reviews_usd'] + row['labels_usd']:,.0f}",
             f"{row['spent_usd']:,.0f}")
        )  # fmt: skip
    return rows


def reached_lines(found: Learning) -> list[str]:
    """When each number of reviews is reached, in sentences."""
    lines = []
    for r in found.reached:
        when = "never" if r.month is None else f"in month {r.month}, for ${r.usd:,.0f}"
        low, high = ("later" if m is None else str(m) for m in r.months95)
        lines.append(
            f"{r.reviews_per_1000_sales:g} reviews per 1,000 sales: {when} within {found.programme.months} months; "
            f"{100 * r.share:.0f} % of the draws reach it (95 %: month {low} - {high})"
        )
    return lines


@app.command("basket-curve")
def basket_curve_command(
    scenario: ScenarioArgument = "supermarket",
    items: Annotated[
        str, typer.Option(help="Mean items in a basket, separated by commas.")
    ] = "1.5,2.8,5,10.7,20,30",
    flows: Annotated[
        str, typer.Option(help="Flows, separated by commas.")
    ] = "just-walk-out,dash-cart,self-checkout,staffed-lanes",
    profile: ProfileOption = None,
    replications: DaysOption = 5,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    report: PageOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Reviews and cost per sale against items per basket, and where the ways of selling cross."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.basket_curve import basket_curve
    from sim.cli import _profile, _scenario

    store, sizes = _scenario(scenario, changes), numbers("--items", items)
    names = [name.strip() for name in flows.split(",") if name.strip()]
    perceiving = _profile(profile, names)
    for path in (report, to_json):
        if path is not None and str(path) != "-":
            check_free(Path(path), force=force)
    with progress_bar() as tell:
        found = basket_curve(
            store,
            perceiving,
            sizes,
            names,
            replications=replications,
            seed=seed,
            workers=workers,
            progress=tell,
        )
    if report is not None:
        from sim.report.history import write_baskets_page

        write_baskets_page(report, found, profile=perceiving, command=command_line(), force=force)
    if not write_json(found.to_dict(), to_json, force=force):
        print_basket_curve(found)


def print_basket_curve(found: BasketCurve) -> None:
    """Means by size, a row a flow and metric, and the crossings."""
    from sim.basket_curve import said

    table = _table(
        f"{found.scenario}: by mean items in a basket", ("flow", "metric", *(f"{s:g}" for s in found.sizes))
    )
    for (flow, metric), rows in found.to_pandas().groupby(["flow", "metric"], sort=False):
        cells = [
            f"{number(mean)} ± {number(high - mean)}"
            for mean, high in zip(rows["mean"], rows["high"], strict=True)
        ]
        table.add_row(str(flow), str(metric), *cells)
    _console().print(table)
    crossings = found.crossings()
    for crossing in crossings:
        _console().print(said(crossing))
    if not crossings:
        _console().print("costs cross nowhere between these sizes")
    _console().print(
        "mean ± half of the 95 % interval, the same shoppers in every flow; crossings: paired bootstrap"
    )
