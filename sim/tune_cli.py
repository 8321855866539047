"""`checkout tune` and `checkout monitor`; only the standard library and Typer are imported at the top."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from checkout.command_line import command_line
from sim.options import ForceOption, JsonOption, PageOption

if TYPE_CHECKING:
    from sim.tuning.choice import Choice, Tuning
    from sim.tuning.drift import Outlook
    from sim.tuning.sales import SalesToTune
    from sim.tuning.staffing import ReviewWork

app = typer.Typer()

NOT_PROMISED, ALARM = 1, 1
SkipBadOption = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave bad lines out and count them, instead of stopping at the first."),
]


@app.command("tune")
def tune_command(
    sales: Annotated[
        str,
        typer.Argument(
            metavar="SALES",
            help="CSV, Parquet file or folder of sales; `checkout evaluate --json` of judged recordings; or a "
            "scenario (supermarket, convenience, another that is shipped, or FILE.yaml), whose sales are simulated.",
        ),
    ],
    max_escapes: Annotated[
        float | None,
        typer.Option(help="Promise at most so many escapes per 1,000 sales; else nothing is promised."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="With this confidence.")] = 0.9,
    thresholds: Annotated[
        str | None,
        typer.Option(help="one (for all aspects), three (one an aspect) or group (one a group of --by)."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Group the sales; numbers of many values are cut into bands."),
    ] = None,
    bands: Annotated[int, typer.Option(min=2, max=1000, help="Bands of a numeric column.")] = 10,
    objective: Annotated[str, typer.Option(help="Least reviews, cost or delay.")] = "reviews",
    max_reviews: Annotated[float | None, typer.Option(min=0.0, help="Reviews per 1,000 sales.")] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0.0, help="Wages and lost money, US dollars per 1,000 sales.")
    ] = None,
    max_delay: Annotated[
        float | None,
        typer.Option(min=0.0, help="95 % quantile of the time to receipt, seconds; sizes the desk."),
    ] = None,
    reviewers: Annotated[
        int | None, typer.Option(help="Size of the desk; else what --max-delay takes.")
    ] = None,
    sales_per_hour: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Sales in each open hour; else read off leaves_s.")
    ] = None,
    work_s: Annotated[
        float | None, typer.Option(help="Mean time of a review, seconds [assumed 240].")
    ] = None,
    wage: Annotated[float | None, typer.Option(help="US dollars an hour of a reviewer [assumed 8].")] = None,
    receipt_s: Annotated[
        float | None, typer.Option(help="Time to receipt without a review, seconds [assumed 60].")
    ] = None,
    confidences: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="One to three columns [item,action,shopper; or confidence]."),
    ] = None,
    wrong: Annotated[
        str | None, typer.Option(help="Column: was the bill wrong, before any review? [wrong]")
    ] = None,
    right: Annotated[str | None, typer.Option(help="Column: was it right? Instead of --wrong.")] = None,
    value: Annotated[
        str | None,
        typer.Option(help="Column: what an escape loses [the gap of true_usd and charged_usd; or value]."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Column of the day or recording [profile_version, replication, recording or day]; none for none."
        ),
    ] = None,
    wrong_before_review: Annotated[
        bool,
        typer.Option(
            "--wrong-before-review", help="The reviewed sales' column tells the bill before the review."
        ),
    ] = False,
    skip_bad: SkipBadOption = False,
    learn_share: Annotated[
        float, typer.Option(help="Share of the sales that three or group thresholds are learnt on.")
    ] = 0.3,
    profile: Annotated[
        Path | None, typer.Option(help="With a scenario: perception profile; else the shipped.")
    ] = None,
    replications: Annotated[
        int, typer.Option(min=2, max=100_000, help="With a scenario: independent replications.")
    ] = 20,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="With a scenario: change a field."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="With a scenario: processes.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the frontier to this CSV.")] = None,
    report: PageOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Choose review thresholds: what they cost, and what they promise.

    Exit code 1: no thresholds keep the promise and the limits that were asked for.
    """
    from checkout.cli import progress_bar, write_json
    from checkout.errors import InputError, nearest
    from checkout.output import check_free, new_file
    from sim.tuning.choice import Limits, tune

    for name, given, known in (
        ("--thresholds", thresholds or "one", ("one", "three", "group")),
        ("--objective", objective, ("reviews", "cost", "delay")),
    ):
        if given not in known:
            raise InputError(name, "", f"{given!r} is not one of {', '.join(known)}", nearest(given, known))
    if thresholds == "group" and by is None:
        raise InputError("--thresholds", "", "group needs groups", "name their column with --by")
    for target in (out, report, None if to_json == "-" else to_json):
        if target is not None:
            check_free(Path(target), force=force)
    columns = {
        "confidences": [c.strip() for c in confidences.split(",")] if confidences else None,
        "wrong": wrong, "right": right, "value": value, "by": by, "bands": bands, "cluster": cluster,
        "wrong_before_review": wrong_before_review, "skip_bad": skip_bad,
    }  # fmt: skip
    given_work = {"work_s": work_s, "wage_usd_per_hour": wage, "receipt_s": receipt_s}
    with progress_bar() as tell:
        tell("sales", 0.0)
        table, assumed = _sales(sales, columns, profile, replications, changes, seed, workers, tell)
        found = tune(
            table,
            max_escapes_per_1000_sales=max_escapes,
            confidence=confidence,
            thresholds=thresholds or ("group" if by else "one"),  # type: ignore[arg-type]
            objective=objective,  # type: ignore[arg-type]
            limits=Limits(max_reviews, max_cost, max_delay),
            work=_work(
                table, sales_per_hour, assumed | {k: v for k, v in given_work.items() if v is not None}
            ),
            reviewers=reviewers,
            learn_share=learn_share,
            seed=seed,
        )
    command = command_line()
    if out is not None:
        with new_file(out, force=force) as draft:
            found.frontier.to_pandas().to_csv(draft, index=False)
    if report is not None:
        from sim.tuning.page import write_tuning_page

        write_tuning_page(report, found, command=command, force=force)
    if not write_json(found.to_dict() | {"command": command}, to_json, force=force):
        print_tuning(found)
    if found.chosen is None:
        raise typer.Exit(NOT_PROMISED)


@app.command("monitor")
def monitor_command(
    sales: Annotated[
        str, typer.Argument(metavar="CSV", help="Sales in order of time, one a line; - reads a stream.")
    ],
    audit_share: Annotated[
        float, typer.Option(help="Probability with which a sale that is not reviewed is audited, at random.")
    ],
    promise: Annotated[
        Path | None, typer.Option(help="What `checkout tune --json` wrote: the limit, and how things were.")
    ] = None,
    max_escapes: Annotated[
        float | None, typer.Option(help="The limit per 1,000 sales; else the promise's.")
    ] = None,
    false_alarm: Annotated[
        float, typer.Option(help="Probability of ever raising the alarm while the promise stands.")
    ] = 0.05,
    reviewed: Annotated[str, typer.Option(help="Column: was the sale reviewed?")] = "reviewed",
    audited: Annotated[str, typer.Option(help="Column: was it audited, drawn at random?")] = "audited",
    wrong: Annotated[
        str, typer.Option(help="Column: was the bill wrong? May be empty where nobody looked.")
    ] = "wrong",
    every: Annotated[int, typer.Option(min=0, help="Say how things stand after so many sales; 0 never.")] = 0,
    stop: Annotated[bool, typer.Option("--stop", help="Stop at the alarm.")] = False,
    skip_bad: SkipBadOption = False,
    report: PageOption = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Say when a promise no longer stands, from sales as they come.

    Exit code 1: the alarm was raised.
    """
    import json

    from checkout.cli import write_json
    from checkout.errors import InputError
    from checkout.output import check_free
    from sim.tuning.drift import Monitor, baseline_of
    from sim.tuning.stream import StreamColumns, watch

    for target in (report, to_json):
        if target is not None and str(target) != "-":
            check_free(Path(target), force=force)
    baseline = None
    if promise is not None:
        try:
            document = json.loads(promise.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(promise, "", "does not exist") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(promise, "", f"is not JSON ({error})") from None
        baseline = baseline_of(document, str(promise))
        made = document.get("promise")
        if max_escapes is None and made:
            if not made["kept"]:
                raise InputError(
                    promise, "promise.kept", "nothing was promised", "name a limit with --max-escapes"
                )
            max_escapes = float(made["limit_per_1000_sales"])
    if max_escapes is None:
        raise InputError("--max-escapes", "", "is missing", "name the limit, or a --promise that holds one")
    monitor = Monitor(max_escapes, audit_share, false_alarm=false_alarm, baseline=baseline)

    def told(outlook: Outlook, alarm: bool) -> None:
        if alarm:
            typer.echo(_alarm(outlook, max_escapes or 0.0), err=True)
        else:
            typer.echo(_standing(outlook), err=True)

    columns = StreamColumns(reviewed, audited, wrong)
    if sales == "-":
        bad = watch(sys.stdin, "standard input", monitor, columns, baseline, told, every=every, stop=stop,
                    skip_bad=skip_bad)  # fmt: skip
    else:
        path = Path(sales)
        if not path.is_file():
            raise InputError(path, "", "does not exist" if not path.exists() else "is no file")
        with path.open(encoding="utf-8", newline="") as lines:
            bad = watch(
                lines, str(path), monitor, columns, baseline, told, every=every, stop=stop, skip_bad=skip_bad
            )
    outlook = monitor.outlook()
    document = {"limit_per_1000_sales": max_escapes, "false_alarm": false_alarm, "audit_share": audit_share,
                "stands": outlook.alarm_at_sale is None, "bad_lines": bad, **outlook.to_dict()}  # fmt: skip
    if report is not None:
        from sim.report.monitor import write_monitor_page

        write_monitor_page(
            report, outlook, source=sales, limit_per_1000_sales=max_escapes, false_alarm=false_alarm,
            audit_share=audit_share, bad_lines=bad, command=command_line(), force=force,
        )  # fmt: skip
    if not write_json(document, to_json, force=force):
        print_outlook(outlook, max_escapes, false_alarm, bad)
    if outlook.alarm_at_sale is not None:
        raise typer.Exit(ALARM)


def _sales(
    name: str,
    columns: dict[str, Any],
    profile: Path | None,
    replications: int,
    changes: list[str] | None,
    seed: int,
    workers: int,
    tell: Any,
) -> tuple[SalesToTune, dict[str, float]]:
    """The sales to tune on, and what their scenario says about the work of the desk."""
    from sim.tuning.sales import read_sales

    path = Path(name)
    if (path.suffix and path.suffix not in (".yaml", ".yml")) or path.is_dir():
        return read_sales(path, **columns), {}
    from sim.cli import _profile, _scenario
    from sim.tuning.simulated import simulated_sales

    scenario = _scenario(name, changes)
    review = scenario.just_walk_out.review
    found = simulated_sales(
        scenario, _profile(profile, ["just-walk-out"]), replications=replications, seed=seed, workers=workers,
        progress=tell, columns=columns,
    )  # fmt: skip
    return found, {
        "work_s": review.work_s,
        "wage_usd_per_hour": review.wage_usd_per_hour,
        "receipt_s": scenario.just_walk_out.receipt_s,
    }


def _work(sales: SalesToTune, per_hour: str | None, given: dict[str, float]) -> ReviewWork | None:
    from checkout.errors import InputError
    from sim.tuning.staffing import ReviewWork

    if per_hour is None:
        return ReviewWork.of(sales, **given)
    try:
        rates = tuple(float(part) for part in per_hour.split(","))
    except ValueError:
        raise InputError("--sales-per-hour", "", f"{per_hour!r}, expected numbers like 60,80,120") from None
    return ReviewWork(rates, **given)


def print_tuning(found: Tuning) -> None:
    """The frontier, the promise, the choice and its desk on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    s = found.sales
    console.print(
        f"{s.source}: {len(s):,} sales, {1000 * s.wrong_share:.1f} wrong per 1,000; {found.frontier.method}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    table = Table(title="frontier on these sales, nothing promised", title_justify="left")
    for name in ("reviews per 1,000", "escapes per 1,000", "95 % interval", "$ lost per 1,000", "reviewers", "p95",
                 "thresholds"):  # fmt: skip
        table.add_column(name, justify="left" if name == "thresholds" else "right")
    for shown in found.shown:
        table.add_row(*_row(shown))
    console.print(table)
    console.print(told(found), markup=False, soft_wrap=True)
    choice = found.chosen or found.nearest
    if choice is not None:
        table = Table(title="chosen" if found.chosen else "the nearest, not a choice", title_justify="left")
        table.add_column("")
        table.add_column("value", justify="right")
        for name, text in details(found, choice):
            table.add_row(name, text)
        console.print(table)
    groups = found.by_group()
    if len(groups):
        table = Table(title=f"by {s.group_column}, on all these sales", title_justify="left")
        for name in groups.columns:
            table.add_column(name.replace("_", " "), justify="left" if name == "group" else "right")
        for row in groups.itertuples(index=False):
            table.add_row(*(f"{v:.6f}" if n == "threshold" else f"{v:.2f}" if isinstance(v, float) else
                            f"{v:,}" if isinstance(v, int) else str(v)
                            for n, v in zip(groups.columns, row, strict=True)))  # fmt: skip
        console.print(table)
    for note in found.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def told(found: Tuning) -> str:
    """The answer in a sentence."""
    if found.chosen is None:
        return f"NO CHOICE: {found.why}."
    p = found.promise
    if p is None:
        return f"Chosen: {found.why}."
    return (
        f"PROMISED: at most {p.limit_per_1000_sales:g} escapes per 1,000 sales with "
        f"{100 * p.confidence:g} % confidence, for sales drawn like the {p.sales:,} that were tested "
        f"({p.effective_sales:,.0f} independent ones; {p.allowed_escapes:,} escapes allowed). Chosen: {found.why}."
    )


def details(found: Tuning, choice: Choice) -> list[tuple[str, str]]:
    """What is known of a choice, name and value."""
    rows = [(f"threshold {name}", f"{value:.6f}") for name, value in choice.thresholds.items()]
    if found.thresholds == "group":
        rows = []
    rows += [
        (
            "reviews per 1,000 sales",
            f"{choice.reviews_per_1000_sales:.1f} ({_band(choice.reviews_interval)})",
        ),
        (
            "escapes per 1,000 sales",
            f"{choice.escapes_per_1000_sales:.2f} ({_band(choice.escapes_interval)})",
        ),
    ]
    if choice.by_cluster is not None:
        rows.append((f"of each {found.sales.cluster_name}, 5 % to 95 % of them", _band(choice.by_cluster)))
    if choice.lost_usd_per_1000_sales is not None:
        rows.append(("$ lost by escapes per 1,000 sales", f"{choice.lost_usd_per_1000_sales:,.2f}"))
    desk = choice.desk
    if desk is not None:
        rows += [
            ("reviewers, all day", f"{desk.reviewers}, busy {100 * desk.utilisation:.0f} %"),
            ("p95 time to receipt, formula", _seconds(desk.p95_s)),
            ("$ wages per 1,000 sales", f"{desk.wages_usd_per_1000_sales:,.2f}"),
            ("$ wages and losses per 1,000 sales", f"{desk.cost_usd_per_1000_sales:,.2f}"),
        ]
        if desk.simulated_p95_s:
            mean, low, high = desk.simulated_p95_s
            rows.insert(-2, ("p95 time to receipt, simulated", f"{mean:.0f} s ({low:.0f} to {high:.0f})"))
    return rows


def print_outlook(outlook: Outlook, limit: float, false_alarm: float, bad_lines: int) -> None:
    """How a promise stands, on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="promise", title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    for name, value in outlook_rows(outlook, limit, false_alarm):
        table.add_row(name, value)
    console.print(table)
    console.print(outlook_verdict(outlook, limit), markup=False, soft_wrap=True)
    for hint in outlook.hints:
        console.print(
            f"changed: {hint.what}: {hint.now:.4g}, was {hint.baseline:.4g} (evidence {_evidence(hint.evidence)}): "
            f"{hint.advice}", markup=False, soft_wrap=True,
        )  # fmt: skip
    if bad_lines:
        console.print(f"note: {bad_lines:,} bad lines were left out", markup=False)


def outlook_rows(outlook: Outlook, limit: float, false_alarm: float) -> list[tuple[str, str]]:
    """What was counted and how much it says, name and value."""
    return [
        ("sales", f"{outlook.sales:,}"),
        ("reviewed", f"{outlook.reviewed:,}"),
        ("audited, of those not reviewed", f"{outlook.audited:,}"),
        ("of these wrong: escapes", f"{outlook.audited_escapes:,}"),
        ("escapes per 1,000 sales, estimated", f"{outlook.escapes_per_1000_sales:.2f}"),
        ("limit", f"{limit:g}"),
        ("evidence against the promise; alarm at", f"{_evidence(outlook.evidence)}; {1 / false_alarm:.3g}"),
    ]


def outlook_verdict(outlook: Outlook, limit: float) -> str:
    """Whether the promise stands, in a sentence."""
    if outlook.alarm_at_sale is not None:
        return _alarm(outlook, limit)
    return "STANDS: nothing so far contradicts the promise."


def _row(choice: Choice) -> list[str]:
    desk = choice.desk
    values = list(choice.thresholds.values())
    shown = (
        f"{values[0]:.6f}" if len(set(values)) == 1
        else " ".join(f"{v:.6f}" for v in values) if len(values) <= 3
        else f"{min(values):.3f} to {max(values):.3f}"
    )  # fmt: skip
    return [
        f"{choice.reviews_per_1000_sales:.1f}",
        f"{choice.escapes_per_1000_sales:.2f}",
        _band(choice.escapes_interval),
        "-" if choice.lost_usd_per_1000_sales is None else f"{choice.lost_usd_per_1000_sales:,.2f}",
        "-" if desk is None else str(desk.reviewers),
        "-" if desk is None else _seconds(desk.p95_s),
        shown,
    ]


def _band(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2f} to {pair[1]:.2f}" if pair[1] < 100 else f"{pair[0]:.0f} to {pair[1]:.0f}"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if math.isfinite(value) else "overloaded"


def _evidence(value: float) -> str:
    return f"{value:.3g}" if value < 1e6 else "over 1e6"


def _alarm(outlook: Outlook, limit: float) -> str:
    return (
        f"ALARM at sale {outlook.alarm_at_sale:,}: escapes are over {limit:g} per 1,000 sales (estimated "
        f"{outlook.escapes_per_1000_sales:.2f} up to sale {outlook.sales:,}). The promise no longer stands: raise the "
        "thresholds now, and tune again on audited sales from the change on."
    )


def _standing(outlook: Outlook) -> str:
    return (
        f"{outlook.sales:,} sales: {outlook.escapes_per_1000_sales:.2f} escapes per 1,000, evidence "
        f"{_evidence(outlook.evidence)}, {'the promise stands' if outlook.alarm_at_sale is None else 'ALARM'}"
    )
