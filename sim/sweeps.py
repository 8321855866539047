"""Sweeps: the same flows in every combination of some fields' values, as one tidy table.

All points use the same seed, so they have the same shoppers as far as the varied fields let them
(common random numbers), and a curve over them is smoother than its intervals.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError, nearest
from checkout.output import check_free, new_file
from checkout.profile import PerceptionProfile
from sim.engines import Engine
from sim.experiment import Comparison, RunsKept, collected
from sim.replications import Fixed, Outcome, Precision, Progress, Run, run_all, runs_of
from sim.results import METRICS
from sim.scenario import Scenario, fields_of

MOST_POINTS = 100_000


@dataclass(frozen=True)
class Sweep:
    """The flows at every point of a sweep.

    Attributes:
        points: of each point the varied fields, by their full names, and their values.
        results: of each point the flows on the same shoppers.
    """

    points: tuple[Mapping[str, Any], ...]
    results: tuple[Comparison, ...] = field(repr=False)

    def to_pandas(self) -> pd.DataFrame:
        """One row a point, flow and metric: the varied fields, then as `FlowResult.to_pandas`, and replications."""
        tables = []
        for point, comparison in zip(self.points, self.results, strict=True):
            for result in comparison.flows.values():
                table = result.to_pandas().assign(replications=result.replications, run=result.run.key)
                for place, (name, value) in enumerate(point.items()):
                    table.insert(place, name, value)
                tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `sweep --json` prints."""
        return {
            "points": [
                {"values": dict(point), **comparison.to_dict()}
                for point, comparison in zip(self.points, self.results, strict=True)
            ]
        }


def sweep(
    scenario: Scenario,
    flows: str | Sequence[str],
    vary: Mapping[str, Sequence[Any]],
    profile: PerceptionProfile | None = None,
    *,
    replications: int | Precision = 10,
    seed: int = 1,
    workers: int = 1,
    scheduler: str | None = None,
    out: str | Path | None = None,
    sales: str | Path | None = None,
    index: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Sweep:
    """Simulate flows at every combination of values; every value is checked before anything runs.

    Args:
        vary: of each field, by its name or the end of it, the values.
        out: the tidy table as a .csv or .parquet file; until it is whole, a journal stands beside it.
        resume: go on with the data set `sales`, or else with the journal.
        force: replace what is there.

    The other arguments are those of `sim.simulate`.

    Raises:
        InputError: a field is unknown or not unique, or a value is refused by the scenario.
        RunStopped: the workers were lost or the disk is full; what was done is kept.
    """
    points = _points(scenario, vary)
    scenarios = [_changed(scenario, point) for point in points]
    groups = runs_of(scenarios, (flows,) if isinstance(flows, str) else flows, profile, seed)
    stopping = Fixed(replications) if isinstance(replications, int) else replications
    engine = Engine(workers, scheduler)
    table = None if out is None else _table_file(Path(out), force=force)
    if resume and table is None and sales is None:
        raise InputError("--resume", "", "goes on with kept replications", "name them with --out or --sales")
    runs = [run for group in groups for run in group]
    with RunsKept(runs, sales, index, resume=resume and sales is not None, force=force) as kept:
        journal = (
            None if kept.store or table is None else Journal.open(table, runs, resume=resume, force=force)
        )
        found = run_all(
            groups, stopping, engine, keeper=kept.store or journal, progress=progress,
            what=f"{scenario.name}: {len(points)} points",
        )  # fmt: skip
        results = []
        for group, (n, outcomes) in zip(groups, found, strict=True):
            at_point = collected(group, outcomes, n, stopping)
            kept.finish(at_point)
            results.append(Comparison({result.flow: result for result in at_point}))
    swept = Sweep(tuple(points), tuple(results))
    if table is not None:
        _save(swept, table, force=force)
    if journal is not None:
        journal.file.unlink()
    return swept


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Fields and values from `FIELD=START:STOP:COUNT` (evenly spaced, both ends in) or `FIELD=V,V,...`.

    >>> parse_vary(["review.thresholds.item=0.5:0.9:3", "shoppers.items.mean=2,5"])
    {'review.thresholds.item': [0.5, 0.7, 0.9], 'shoppers.items.mean': [2, 5]}
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values.strip():
            raise InputError("--vary", "", f"{text!r} is not FIELD=START:STOP:COUNT or FIELD=VALUE,VALUE,...")
        name = name.strip()
        if name in found:
            raise InputError("--vary", name, "is varied twice")
        found[name] = _range(name, values) if values.count(":") == 2 else _listed(name, values)
    return found


def _range(name: str, text: str) -> list[Any]:
    start, stop, count = text.split(":")
    try:
        ends, number = (float(start), float(stop)), int(count)
    except ValueError:
        raise InputError(
            "--vary", name, f"{text!r} is not START:STOP:COUNT, for example 0.5:0.99:20"
        ) from None
    if not 2 <= number <= MOST_POINTS:
        raise InputError("--vary", name, f"{text!r} counts {number} values, expected 2 to {MOST_POINTS:,}")
    # Twelve digits: 0.7 and not 0.7000000000000001.
    return [float(f"{value:.12g}") for value in np.linspace(*ends, number).tolist()]


def _listed(name: str, text: str) -> list[Any]:
    import yaml

    if ":" in text:
        raise InputError("--vary", name, f"{text!r} is not START:STOP:COUNT, for example 0.5:0.99:20")
    try:
        return [yaml.safe_load(part) for part in text.split(",")]
    except yaml.YAMLError:
        raise InputError("--vary", name, f"{text!r} is not a list of values") from None


def _points(scenario: Scenario, vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of values, the last field changing fastest."""
    if not vary:
        raise InputError("--vary", "", "nothing is varied", "for example --vary shoppers.items.mean=2,5,10")
    document = scenario.model_dump(by_alias=True)
    fields = dict(fields_of(document))
    named: dict[str, Sequence[Any]] = {}
    for name, values in vary.items():
        path = _path(name, fields)
        if path in named:
            raise InputError("--vary", path, "is varied twice")
        if not values or len({repr(v) for v in values}) < len(values):
            raise InputError("--vary", path, "expected different values, at least one")
        named[path] = values
    count = int(np.prod([len(values) for values in named.values()]))
    if count > MOST_POINTS:
        raise InputError("--vary", "", f"{count:,} points, expected at most {MOST_POINTS:,}")
    points = [dict(zip(named, values, strict=True)) for values in itertools.product(*named.values())]
    return points


def _path(name: str, fields: Mapping[str, Any]) -> str:
    """The full name of a field given by its name or the end of it."""
    if name in fields:
        return name
    ends = [path for path in fields if path.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise InputError("--vary", name, "is the end of several fields", f"choose one of {', '.join(ends)}")
    shorter = {path.split(".", cut)[-1]: path for path in fields for cut in range(path.count(".") + 1)}
    raise InputError("--vary", name, "unknown field", nearest(name, shorter))


def _changed(scenario: Scenario, point: Mapping[str, Any]) -> Scenario:
    try:
        return scenario.with_values(point)
    except InputError as error:
        at = ", ".join(f"{name}={value}" for name, value in point.items())
        raise InputError("--vary", error.field, f"{error.problem} (at {at})", error.remedy) from None


def _table_file(path: Path, *, force: bool) -> Path:
    if path.suffix not in (".csv", ".parquet"):
        raise InputError("--out", "", f"{path.name!r} ends in neither .csv nor .parquet")
    check_free(path, force=force)
    return path


def _save(swept: Sweep, path: Path, *, force: bool) -> None:
    table = swept.to_pandas()
    with new_file(path, force=force) as draft:
        if path.suffix == ".csv":
            table.to_csv(draft, index=False)
        else:
            table.to_parquet(draft, index=False)


class Journal:
    """The metrics of the replications of an unfinished sweep: one line of JSON each, beside its table."""

    with_tables = False

    def __init__(self, file: Path) -> None:
        self.file, self.place = file, str(file)
        self._kept: dict[str, list[Outcome]] = {}

    @classmethod
    def open(cls, table: Path, runs: Sequence[Run], *, resume: bool, force: bool) -> Journal:
        """The journal of a table's sweep; raises `InputError` when one is there and neither flag is set."""
        journal = cls(table.with_name(f"{table.name}.incomplete.jsonl"))
        if journal.file.exists() and not resume and not force:
            raise InputError(
                journal.file, "", "is left of an unfinished sweep",
                "pass --resume to go on with it or --force to drop it",
            )  # fmt: skip
        if resume and journal.file.exists():
            journal._read({run.key for run in runs})
        else:
            journal.file.parent.mkdir(parents=True, exist_ok=True)
            journal.file.write_text("", encoding="utf-8")
        return journal

    def kept(self, run: Run) -> Sequence[Outcome]:
        return self._kept.get(run.key, [])

    def keep(self, run: Run, outcome: Outcome) -> None:
        line = {
            "run": run.key, "replication": outcome.replication, "visits": outcome.visits, "sales": outcome.sales,
            "metrics": outcome.metrics,
        }  # fmt: skip
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self, keys: set[str]) -> None:
        whole = self.file.read_bytes()
        # What follows the last line's end was being written when the sweep was stopped.
        whole = whole[: whole.rfind(b"\n") + 1]
        with self.file.open("rb+") as file:
            file.truncate(len(whole))
        lines = whole.decode().splitlines()
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
                if line["run"] in keys:
                    values = {name: line["metrics"][name] for name in METRICS}
                    outcome = Outcome(line["replication"], values, line["visits"], line["sales"])
                    self._kept.setdefault(line["run"], []).append(outcome)
            except (json.JSONDecodeError, KeyError, TypeError):
                raise InputError(
                    self.file, f"line {number}", "is damaged", "pass --force to start again"
                ) from None
        if lines and not self._kept:
            raise InputError(
                self.file, "", "is of another sweep: scenario, values, profile, seed or code differ",
                "pass --force without --resume to start again",
            )  # fmt: skip
