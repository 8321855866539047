"""The simulator's commands of `checkout`; only the standard library and Typer are imported at the top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim import dashboard_cli

if TYPE_CHECKING:
    from sim.experiment import Comparison, FlowResult

app = typer.Typer()
app.registered_commands += dashboard_cli.app.registered_commands

ScenarioArgument = Annotated[
    str, typer.Argument(help="A shipped scenario (supermarket, convenience) or a YAML file.")
]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Perception profile; else the one of the shipped recordings.")
]
ReplicationsOption = Annotated[int, typer.Option(min=2, max=100_000, help="Independent days.")]
WorkersOption = Annotated[
    int, typer.Option(min=1, max=1024, help="Processes; the numbers do not depend on it.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field; repeatable.")
]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - prints it.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what exists.")]


@app.command("simulate")
def simulate_command(
    scenario: ScenarioArgument,
    flow: Annotated[str, typer.Option("--flow", help="just-walk-out or dash-cart.")] = "just-walk-out",
    profile: ProfileOption = None,
    replications: ReplicationsOption = 20,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    sales: Annotated[
        Path | None, typer.Option("--sales", help="Write every visit to this Parquet file.")
    ] = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Simulate one way of selling in a store."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free, new_file
    from sim.experiment import simulate

    store = _scenario(scenario, changes)
    for target in (sales, to_json):
        if target is not None and str(target) != "-":
            check_free(Path(target), force=force)
    with progress_bar() as tell:
        result = simulate(
            store, flow, _profile(profile, [flow]), replications=replications, seed=seed, workers=workers,
            keep_sales=sales is not None, progress=tell,
        )  # fmt: skip
    if sales is not None:
        with new_file(sales, force=force) as draft:
            result.sales_table().to_parquet(draft, index=False)
    if not write_json(result.to_dict(), to_json, force=force):
        print_result(result)


@app.command("compare")
def compare_command(
    scenario: ScenarioArgument,
    flows: Annotated[str, typer.Option(help="Flows, separated by commas.")] = "just-walk-out,dash-cart",
    profile: ProfileOption = None,
    replications: ReplicationsOption = 20,
    seed: int = 1,
    workers: WorkersOption = 2,
    changes: SetOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Put ways of selling side by side, on the same shoppers."""
    from checkout.cli import progress_bar, write_json
    from checkout.output import check_free
    from sim.experiment import compare

    store = _scenario(scenario, changes)
    names = [name.strip() for name in flows.split(",") if name.strip()]
    if to_json is not None and to_json != "-":
        check_free(Path(to_json), force=force)
    with progress_bar() as tell:
        result = compare(
            store,
            names,
            _profile(profile, names),
            replications=replications,
            seed=seed,
            workers=workers,
            progress=tell,
        )
    if not write_json(result.to_dict(), to_json, force=force):
        print_comparison(store.name, result)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the report, the profile and the scores.")],
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recordings, all judged; else six of the shipped ones.")
    ] = None,
    replications: ReplicationsOption = 10,
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
    return PerceptionProfile.load(path)


def print_result(result: FlowResult) -> None:
    """One flow as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    from sim.results import METRICS

    table = Table(
        title=f"{result.scenario}, {result.flow}: {result.sales} sales in {result.replications} days",
        title_justify="left",
    )
    table.add_column("metric")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    for metric in METRICS:
        estimate = result.estimate(metric)
        if estimate:
            low, high = estimate.ci95 or (float("nan"), float("nan"))
            table.add_row(metric, number(estimate.mean), f"{number(low)} - {number(high)}")
    Console().print(table)


def print_comparison(scenario: str, comparison: Comparison) -> None:
    """Flows side by side with paired differences, as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    from sim.results import METRICS

    names = list(comparison.flows)
    first = comparison.flows[names[0]]
    table = Table(
        title=f"{scenario}: {first.visits} visits in {first.replications} days, the same shoppers in every flow",
        title_justify="left",
    )
    table.add_column("metric")
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
    console.print("mean and 95 % t-interval over independent days; the difference is paired by day")


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
