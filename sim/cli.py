"""The simulator's commands of `checkout`; only the standard library and Typer are imported at the top."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from checkout.command_line import command_line
from sim import dashboard_cli
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
    from sim.experiment import Comparison, FlowResult
    from sim.staffing import StaffNeeded
    from sim.sweeps import Sweep

app = typer.Typer()
app.registered_commands += dashboard_cli.app.registered_commands


class EngineName(StrEnum):
    """Where replications run."""

    LOCAL = "local"
    DASK = "dask"


ReplicationsOption = Annotated[
    int, typer.Option(min=2, max=100_000, help="Independent runs of the calendar's days.")
]
CountOption = Annotated[
    int | None,
    typer.Option("--replications", min=2, max=100_000, help="Independent runs of the days; else 20."),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="Instead: as many as make --metric this precise, for example 5%."),
]
MetricOption = Annotated[str, typer.Option(help="With --precision: the metric that must be precise.")]
LeastOption = Annotated[int, typer.Option(help="With --precision: least number of replications.")]
MostOption = Annotated[int, typer.Option(help="With --precision: most.")]
EngineOption = Annotated[EngineName, typer.Option(help="This machine, or the workers of --scheduler.")]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler, for example tcp://10.0.0.1:8786.")
]
SalesOption = Annotated[
    Path | None, typer.Option("--sales", metavar="DIR", help="Write every visit to this Parquet data set.")
]
IndexOption = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE", envvar="CHECKOUT_INDEX", help="Enter runs here: a SQLite file or a database URL."
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what a stopped command kept.")]


@app.command("simulate")
def simulate_command(
    scenario: ScenarioArgument,
    flow: Annotated[
        str, typer.Option("--flow", help="A flow, or several in one store, joined by +.")
    ] = "just-walk-out",
    profile: ProfileOption = None,
    replications: CountOption = None,
    precision: PrecisionOption = None,
    metric: MetricOption = "reviews_per_1000_sales",
    least: LeastOption = 12,
    most: MostOption = 1000,
    seed: int = 1,
    workers: WorkersOption = 2,
    engine: EngineOption = EngineName.LOCAL,
    scheduler: SchedulerOption = None,
    changes: SetOption = None,
    sales: Annotated[
        Path | None,
        typer.Option("--sales", help="Write every visit to this Parquet data set, or one .parquet file."),
    ] = None,
    index: IndexOption = None,
    to_json: JsonOption = None,
    report: PageOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Simulate one way of selling in a store."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free, new_file
    from sim.experiment import simulate

    store = _scenario(scenario, changes)
    file = sales if sales is not None and sales.suffix == ".parquet" and not sales.is_dir() else None
    for target in (file, report, to_json):
        if target is not None and str(target) != "-":
            check_free(Path(target), force=force)
    perceiving = _profile(profile, [flow])
    with _stops_said(), progress_bar() as tell:
        result = simulate(
            store, flow, perceiving, seed=seed, workers=workers,
            replications=_replications(replications, precision, metric, least, most),
            scheduler=_scheduler(engine, scheduler), keep_sales=file is not None,
            sales=None if file else sales, index=index, resume=resume, force=force, progress=tell,
        )  # fmt: skip
        if file is not None:
            with new_file(file, force=force) as draft:
                result.sales_table().to_parquet(draft, index=False)
    _write_report(report, result, perceiving, force)
    if not write_json(result.to_dict(), to_json, force=force):
        print_result(result)


@app.command("compare")
def compare_command(
    scenario: ScenarioArgument,
    flows: Annotated[str, typer.Option(help="Flows, separated by commas.")] = "just-walk-out,dash-cart",
    profile: ProfileOption = None,
    replications: CountOption = None,
    precision: PrecisionOption = None,
    metric: MetricOption = "reviews_per_1000_sales",
    least: LeastOption = 12,
    most: MostOption = 1000,
    seed: int = 1,
    workers: WorkersOption = 2,
    engine: EngineOption = EngineName.LOCAL,
    scheduler: SchedulerOption = None,
    changes: SetOption = None,
    sales: SalesOption = None,
    index: IndexOption = None,
    to_json: JsonOption = None,
    report: PageOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Put ways of selling side by side, on the same shoppers."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.break_even import break_evens
    from sim.experiment import compare

    store = _scenario(scenario, changes)
    names = _names(flows)
    perceiving = _profile(profile, names)
    for target in (report, to_json):
        if target is not None and str(target) != "-":
            check_free(Path(target), force=force)
    with _stops_said(), progress_bar() as tell:
        result = compare(
            store, names, perceiving, seed=seed, workers=workers,
            replications=_replications(replications, precision, metric, least, most),
            scheduler=_scheduler(engine, scheduler), sales=sales, index=index, resume=resume, force=force,
            progress=tell,
        )  # fmt: skip
    _write_report(report, result, perceiving, force)
    document = result.to_dict() | {"break_even": [even.to_dict() for even in break_evens(result)]}
    if not write_json(document, to_json, force=force):
        print_comparison(store.name, result)


@app.command("sweep")
def sweep_command(
    scenario: ScenarioArgument,
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="FIELD=VALUES",
            help="A field, or the end of its name, and its values: 0.5:0.99:20 (start, stop, count) or 2,5,10; "
            "repeatable, for every combination.",
        ),
    ],
    flow: Annotated[
        str, typer.Option("--flow", help="One flow or several, separated by commas.")
    ] = "just-walk-out",
    profile: ProfileOption = None,
    replications: Annotated[
        int | None,
        typer.Option(
            "--replications",
            min=2,
            max=100_000,
            help="Independent runs a point; else 10.",
        ),
    ] = None,
    precision: PrecisionOption = None,
    metric: MetricOption = "reviews_per_1000_sales",
    least: LeastOption = 12,
    most: MostOption = 1000,
    show: Annotated[
        str, typer.Option(help="Metrics to print, separated by commas.")
    ] = "reviews_per_1000_sales,interventions_per_1000_sales,escapes_per_1000_sales,cost_per_sale_usd",
    seed: int = 1,
    workers: WorkersOption = 2,
    engine: EngineOption = EngineName.LOCAL,
    scheduler: SchedulerOption = None,
    changes: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tidy table to this .csv or .parquet file.")
    ] = None,
    sales: SalesOption = None,
    index: IndexOption = None,
    to_json: JsonOption = None,
    report: PageOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Simulate every combination of some fields' values, as one tidy table."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.sweeps import parse_vary, sweep

    store = _scenario(scenario, changes)
    names, shown = _names(flow), _metrics(show)
    perceiving = _profile(profile, names)
    for target in (report, to_json):
        if target is not None and str(target) != "-":
            check_free(Path(target), force=force)
    with _stops_said(), progress_bar() as tell:
        result = sweep(
            store, names, parse_vary(vary), perceiving, seed=seed, workers=workers,
            replications=_replications(replications, precision, metric, least, most, otherwise=10),
            scheduler=_scheduler(engine, scheduler), out=out, sales=sales, index=index, resume=resume,
            force=force, progress=tell,
        )  # fmt: skip
    if report is not None:
        from sim.report.sweep import write_sweep_page

        write_sweep_page(report, result, shown, profile=perceiving, command=command_line(), force=force)
    if not write_json(result.to_dict(), to_json, force=force):
        print_sweep(store.name, result, shown)


@app.command("staff")
def staff_command(
    scenario: ScenarioArgument,
    role: Annotated[
        str,
        typer.Argument(
            help="reviewers, gates, carts, 'cart attendants', 'cart lanes', stations, 'station attendants', lanes."
        ),
    ],
    limit: Annotated[float, typer.Argument(help="What --metric must not pass, for example 600 seconds.")],
    metric: Annotated[
        str | None,
        typer.Option(help="Service level; else the 95 % quantile of the wait that the role shortens."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Most that are tried.")] = 1000,
    profile: ProfileOption = None,
    replications: ReplicationsOption = 5,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """The fewest people, carts or places that keep a service level, all tried on the same shoppers.

    Exit code 1: not even --most keep it.
    """
    from checkout.cli import write_json
    from checkout.output import check_free
    from sim.staffing import flow_of, staff_needed

    store = _scenario(scenario, changes)
    if to_json is not None and to_json != "-":
        check_free(Path(to_json), force=force)
    found = staff_needed(
        store, role, limit, _profile(profile, [flow_of(role)]), metric=metric, most=most, replications=replications,
        seed=seed, workers=workers,
    )  # fmt: skip
    if not write_json(found.to_dict(), to_json, force=force):
        print_staff(store.name, found)
    if found.needed is None:
        raise typer.Exit(1)


def print_staff(scenario: str, found: StaffNeeded) -> None:
    """The answer, and what each number that was tried gave."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{scenario}: {found.metric} at most {found.limit:g}", title_justify="left")
    for name in (found.role, "mean", "95 % interval"):
        table.add_column(name, justify="right")
    for count, mean, low, high in found.tried.itertuples(index=False):
        table.add_row(str(count), number(mean), f"{number(low)} - {number(high)}")
    console = Console()
    console.print(table)
    console.print(
        f"NOT REACHED with as many as {found.tried[found.role].max()} {found.role}" if found.needed is None
        else f"{found.needed} {found.role} needed, by the mean over replications"
    )  # fmt: skip


@app.command("runs")
def runs_command(
    where: Annotated[
        str,
        typer.Argument(
            envvar="CHECKOUT_INDEX", help="An index (SQLite file or database URL) or a data set of sales."
        ),
    ],
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """List what was simulated: the runs in an index or in a data set of sales."""
    from checkout.cli import write_json
    from sim.runs_index import list_runs

    runs = list_runs(where)
    known = runs.astype(object).where(runs.notna(), None).to_dict(orient="records")
    rows = [{str(name): value for name, value in row.items()} for row in known]
    if not write_json({"runs": rows}, to_json, force=force):
        print_runs(where, rows)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the report, the profile and the scores.")],
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recordings, all judged; else two of the shipped ones.")
    ] = None,
    replications: ReplicationsOption = 6,
    seed: int = 1,
    workers: WorkersOption = 2,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """The whole way: judge the shipped recordings, simulate both stores with what was learnt, write a report."""
    from checkout.cli import print_evaluation, progress_bar, write_json
    from checkout.output import check_free
    from sim.demo import run_demo

    if to_json is not None and to_json != "-":
        check_free(Path(to_json), force=force)
    with progress_bar() as tell:
        done = run_demo(
            out, recordings, replications=replications, seed=seed, workers=workers, force=force, progress=tell
        )
    if not write_json(done.to_dict(), to_json, force=force):
        print_evaluation(done.evaluation)
        for name, comparison in done.comparisons.items():
            print_comparison(name, comparison)
    typer.echo(f"{done.report} ({done.seconds:.0f} s)", err=True)


@contextmanager
def _stops_said() -> Iterator[None]:
    """A run that could not go on, or a file that could not be written, ends with one line and exit code 1."""
    from sim.replications import RunStopped

    try:
        yield
    except RunStopped as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        why = os.strerror(error.errno) if error.errno else str(error)
        typer.echo(f"error: {where}{why}; what is not complete is marked so", err=True)
        raise typer.Exit(1) from None


def _write_report(path: Path | None, result: FlowResult | Comparison, profile: Any, force: bool) -> None:
    if path is not None:
        from sim.report.flows import write_flows_page

        write_flows_page(path, result, profile=profile, command=command_line(), force=force)


def _replications(
    replications: int | None, precision: str | None, metric: str, least: int, most: int, otherwise: int = 20
) -> Any:
    """A number of replications, or the precision that they must reach."""
    from checkout.errors import InputError
    from sim.replications import Precision

    if precision is None:
        return otherwise if replications is None else replications
    if replications is not None:
        raise InputError("--precision", "", "decides the number of replications", "leave --replications out")
    try:
        share = float(precision.removesuffix("%")) / (100 if precision.endswith("%") else 1)
    except ValueError:
        raise InputError("--precision", "", f"{precision!r} is not a share, for example 5%") from None
    return Precision(share, metric, least, most)


def _scheduler(engine: EngineName, scheduler: str | None) -> str | None:
    from checkout.errors import InputError

    if engine is EngineName.DASK and scheduler is None:
        raise InputError("--engine", "", "dask needs a scheduler", "name it: --scheduler tcp://HOST:8786")
    if engine is EngineName.LOCAL and scheduler is not None:
        raise InputError("--scheduler", "", "goes with --engine dask")
    return scheduler


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _metrics(text: str) -> list[str]:
    from checkout.errors import InputError, nearest
    from sim.results import METRICS

    names = _names(text)
    for name in names:
        if name not in METRICS:
            raise InputError("--show", "", f"{name!r} is not a metric", nearest(name, METRICS))
    return names


def _scenario(name: str, changes: list[str] | None) -> Any:
    import yaml

    from checkout.errors import InputError
    from sim.scenario import load_scenario

    values = {}
    for change in changes or []:
        field, equals, text = change.partition("=")
        if not equals:
            raise InputError("--set", "", f"{change!r} is not FIELD=VALUE, for example shoppers.items.mean=5")
        try:
            values[field.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError("--set", field, f"{text!r} is not a value") from None
    scenario = load_scenario(name)
    return scenario.with_values(values) if values else scenario


def _profile(path: Path | None, flows: list[str]) -> Any:
    from checkout.profile import PerceptionProfile
    from sim.experiment import needs_profile

    if path is None:
        if not needs_profile(flows):
            return None
        from sim.demo import SHIPPED_PROFILE

        path = SHIPPED_PROFILE
    profile = PerceptionProfile.load(path)
    for warning in profile.warnings() if needs_profile(flows) else ():
        typer.echo(f"warning: {warning}", err=True)
    return profile


def print_result(result: FlowResult) -> None:
    """One flow as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    from sim.results import METRICS

    table = Table(
        title=f"{result.scenario}, {result.flow}: {result.sales} sales in {result.replications} replications",
        title_justify="left",
    )
    for name in ("metric", "mean", "95 % interval", "of simulating"):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=name == "metric")
    found = [(metric, e) for metric in METRICS if (e := result.estimate(metric)) is not None]
    for metric, estimate in found:
        low, high = estimate.ci95 or (float("nan"), float("nan"))
        simulating = f"± {number(estimate.simulation_half_width)}"
        table.add_row(metric, number(estimate.mean), f"{number(low)} - {number(high)}", simulating)
    console = Console()
    console.print(table)
    _print_methods(console, {e.method for _, e in found}, result.stopping)
    _print_without_sales(console, [result])


def _print_without_sales(console: Any, results: Iterable[FlowResult]) -> None:
    """Replications in which nothing was sold have no rates, and are said."""
    for result in results:
        if count := result.without_sales:
            console.print(
                f"note: {result.flow}: {count} of {result.replications} replications had no sale, so they are in no "
                "rate and no time", highlight=False, soft_wrap=True,
            )  # fmt: skip


def print_comparison(scenario: str, comparison: Comparison) -> None:
    """Flows side by side with paired differences, as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    from sim.results import METRICS

    names = list(comparison.flows)
    first = comparison.flows[names[0]]
    table = Table(
        title=f"{scenario}: {first.visits} visits in {first.replications} replications, the same for every flow",
        title_justify="left",
    )
    table.add_column("metric", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    paired = len(names) == 2
    if paired:
        table.add_column("difference", justify="right")
    differences = {d.metric: d.estimate for d in comparison.differences} if paired else {}
    for metric in METRICS:
        estimates = [comparison.flows[name].estimate(metric) for name in names]
        if not any(estimates):
            continue
        row = [metric, *("-" if e is None else with_interval(e) for e in estimates)]
        if paired:
            row.append(with_interval(differences[metric]) if metric in differences else "")
        table.add_row(*row)
    console = Console()
    console.print(table)
    used = {e.method for flow in comparison.flows.values() for m in METRICS if (e := flow.estimate(m))}
    _print_methods(console, used, first.stopping)
    _print_without_sales(console, comparison.flows.values())
    from sim.break_even import break_evens, said

    evens = break_evens(comparison)
    for even in evens:
        console.print(said(even), highlight=False, soft_wrap=True)
    if len(names) > 1 and not evens:
        console.print("break-even: at no number of sales a day do two of these ways cost the same")
    if paired:
        console.print(
            "difference: the same methods, on the differences by replication (same shoppers)", soft_wrap=True
        )


def print_sweep(scenario: str, swept: Sweep, metrics: list[str]) -> None:
    """One row a point and flow, with some metrics, as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    flows = [
        (point, f) for point, c in zip(swept.points, swept.results, strict=True) for f in c.flows.values()
    ]
    metrics = [m for m in metrics if any(f.estimate(m) for _, f in flows)]
    table = Table(title=f"{scenario}: {len(swept.points)} points", title_justify="left")
    for name in _short(list(swept.points[0])):
        table.add_column(name, justify="right")
    for name in ("flow", *metrics):
        table.add_column(name.replace("_", " "), justify="left" if name == "flow" else "right")
    methods = set()
    for point, result in flows:
        estimates = [result.estimate(m) for m in metrics]
        methods |= {e.method for e in estimates if e}
        cells = ["-" if e is None else with_interval(e) for e in estimates]
        table.add_row(
            *(f"{v:g}" if isinstance(v, float) else str(v) for v in point.values()), result.flow, *cells
        )
    console = Console()
    console.print(table)
    _print_methods(console, methods, flows[0][1].stopping)
    _print_without_sales(console, [result for _, result in flows])


def print_runs(where: str, rows: list[dict[str, Any]]) -> None:
    """The runs of an index or a data set as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{_public(where)}: {len(rows)} runs", title_justify="left")
    shown = ("run", "state", "scenario", "flow", "seed", "replications", "updated_at")
    for name in shown:
        table.add_column(name.removesuffix("_at"), overflow="fold", no_wrap=name == "run")
    for row in rows:
        cells = ["" if row.get(name) is None else str(row[name]) for name in shown]
        table.add_row(*cells[:-1], cells[-1][:16].replace("T", " "))
    console = Console()
    console.print(table)
    for folder in sorted({row["folder"] for row in rows if row.get("folder")}):
        console.print(f"sales in {folder}", highlight=False, soft_wrap=True)


def _public(where: str) -> str:
    """The name of an index without the password in its URL."""
    if "://" not in where:
        return where
    from sqlalchemy.engine import make_url

    return make_url(where).render_as_string()


def _short(names: list[str]) -> list[str]:
    """Dotted names without the parts that are not needed to tell them apart."""
    for parts in range(1, 1 + max(name.count(".") + 1 for name in names)):
        short = [".".join(name.split(".")[-parts:]) for name in names]
        if len(set(short)) == len(names):
            return short
    return names


def _print_methods(console: Any, used: set[str | None], stopping: Any) -> None:
    """What the intervals are and how the number of replications was found."""
    from sim.estimates import METHODS

    for name, text in METHODS.items():
        if name in used:
            console.print(f"{name}: {text}", highlight=False, soft_wrap=True)
    if "reached" in stopping:
        shares = ", ".join(
            f"{flow} {'-' if share is None else f'{share:.1%}'}"
            for flow, share in stopping["half_width_share"].items()
        )
        state = "reached" if stopping["reached"] else f"NOT reached within {stopping['most']} replications"
        console.print(
            f"{stopping['metric']} to {100 * stopping['precision']:g} %: {state} (half-width of simulating: {shares}); "
            f"{stopping['rule']}",
            highlight=False,
            soft_wrap=True,
        )


def with_interval(estimate: Any) -> str:
    """A mean with half the width of its interval."""
    return f"{number(estimate.mean)} ± {number(estimate.half_width)}"


def number(value: float) -> str:
    """A number with about three significant digits."""
    if value != value:
        return "-"
    if abs(value) < 0.005:
        return "0.00"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


import sim.history_cli  # noqa: E402, F401 (its commands join `app`, which must be there first)
