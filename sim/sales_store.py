"""Every sale of every run in one Parquet data set that can be read while it grows.

    DIR/scenario=NAME/flow=FLOW/run=KEY/replication=N/sales.parquet    one row a visit
    DIR/_runs/KEY.json                                                 what the run is, and its state

A replication's file appears whole or not at all (written under `DIR/_drafts`, then moved), and its
metrics travel in the file's own metadata, so a run that was stopped goes on from its files alone.
A run's state is "incomplete" from its first moment until all its replications are there.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from checkout.catalog import check_schema
from checkout.errors import InputError
from sim.replications import Outcome, Run, code_version

SALES_SCHEMA = 1
RUNS, DRAFTS, FILE = "_runs", "_drafts", "sales.parquet"
METADATA = b"checkout"
PARTITIONS = ("scenario", "flow", "run", "replication")


class SalesStore:
    """A data set of sales, open for a set of runs."""

    with_tables = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, str(folder)

    @classmethod
    def open(
        cls, folder: str | Path, runs: Iterable[Run], *, resume: bool = False, force: bool = False
    ) -> SalesStore:
        """A new data set, or one that is there, made ready for these runs; other runs in it are left alone.

        Args:
            resume: go on with what is there of these runs.
            force: drop what is there of these runs; `resume` goes first.

        Raises:
            InputError: the folder is something else, or holds one of the runs and neither is set.
        """
        store, runs = cls(Path(folder)), list(runs)
        path = store.folder
        if path.exists() and not path.is_dir():
            raise InputError(path, "", "is a file, expected a folder", "end a single file's name in .parquet")
        if path.is_dir() and any(path.iterdir()) and not (path / RUNS).is_dir():
            raise InputError(path, "", "holds other files", "choose another folder")
        there = [run for run in runs if store._manifest_file(run.key).exists()]
        if there and not resume and not force:
            state = store._manifest(there[0].key)
            raise InputError(
                path,
                "",
                f"holds this run already ({there[0].key}, {state['state']}, {store.count(there[0].key)} replications)",
                "pass --resume to go on with it or --force to replace it",
            )
        if not resume:
            for run in there:
                shutil.rmtree(store._run_folder(run), ignore_errors=True)
                store._manifest_file(run.key).unlink()
        (path / RUNS).mkdir(parents=True, exist_ok=True)
        for run in runs:
            store._write_manifest(run, "incomplete", None)
        return store

    def kept(self, run: Run) -> Iterator[Outcome]:
        """What is there of a run, read from the files' metadata; raises `InputError` for a damaged file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for file in sorted(self._run_folder(run).glob(f"replication=*/{FILE}")):
            try:
                document = json.loads(pq.read_schema(file).metadata[METADATA])
                yield Outcome(
                    document["replication"], document["metrics"], document["visits"], document["sales"]
                )  # fmt: skip
            except (pa.ArrowInvalid, KeyError, TypeError, json.JSONDecodeError) as error:
                raise InputError(
                    file, "", f"is damaged ({type(error).__name__})", "delete it and pass --resume"
                ) from None

    def keep(self, run: Run, outcome: Outcome) -> None:
        """Write one replication's file, whole or not at all; raises `OSError`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert outcome.table is not None
        document = {
            "schema": SALES_SCHEMA, "run": run.key, "replication": outcome.replication,
            "metrics": dict(outcome.metrics), "visits": outcome.visits, "sales": outcome.sales,
        }  # fmt: skip
        table = pa.table({name: pa.array(column) for name, column in outcome.table.items()})
        table = table.replace_schema_metadata({METADATA: json.dumps(document)})
        file = self._run_folder(run) / f"replication={outcome.replication}" / FILE
        with _draft(self.folder / DRAFTS) as draft:
            pq.write_table(table, draft)
            _move(draft, file)

    def finish(self, run: Run, estimates: Mapping[str, Any]) -> dict[str, Any]:
        """Mark a run complete, with what was read off it; returns its manifest."""
        return self._write_manifest(run, "complete", estimates)

    def manifest(self, run: Run) -> dict[str, Any]:
        """What the run is and its state."""
        return self._manifest(run.key)

    def count(self, key: str) -> int:
        """How many replications of a run are there."""
        return sum(1 for _ in self.folder.glob(f"scenario=*/flow=*/run={key}/replication=*/{FILE}"))

    def _run_folder(self, run: Run) -> Path:
        return (
            self.folder
            / f"scenario={quote(run.scenario.name, safe=' ')}"
            / f"flow={quote(run.flow, safe=' ')}"
            / f"run={run.key}"
        )

    def _manifest_file(self, key: str) -> Path:
        return self.folder / RUNS / f"{key}.json"

    def _manifest(self, key: str) -> dict[str, Any]:
        return _read_manifest(self._manifest_file(key))

    def _write_manifest(self, run: Run, state: str, estimates: Mapping[str, Any] | None) -> dict[str, Any]:
        document = describe(run, state, self.folder) | {
            "replications": self.count(run.key) if estimates else None,
            "estimates": estimates,
        }
        file = self._manifest_file(run.key)
        if file.exists():
            document["started_at"] = self._manifest(run.key)["started_at"]
        with _draft(self.folder / DRAFTS) as draft:
            draft.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            _move(draft, file)
        return document


def describe(run: Run, state: str, folder: Path | None) -> dict[str, Any]:
    """What a run is, as its manifest and the index tell it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "schema": SALES_SCHEMA,
        "run": run.key,
        "state": state,
        "scenario": run.scenario.name,
        "scenario_hash": run.scenario_hash,
        "flow": run.flow,
        "profile_hash": run.profile_hash,
        "detector": run.profile.detector if run.profile else None,
        "seed": run.seed,
        "code_version": code_version(),
        "started_at": now,
        "updated_at": now,
        "folder": str(folder.resolve()) if folder else None,
        "settings": run.settings,
    }


def read_runs(folder: str | Path) -> pd.DataFrame:
    """The runs of a data set: one row a run with its key, state, scenario, flow, seed and replications.

    Raises:
        InputError: the folder is not a data set of sales.
    """
    store = SalesStore(Path(folder))
    if not (store.folder / RUNS).is_dir():
        raise InputError(
            folder, "", "is not a data set of sales", "make one with: checkout simulate --sales DIR"
        )
    rows = []
    for file in sorted((store.folder / RUNS).glob("*.json")):
        document = _read_manifest(file)
        document["replications"] = store.count(document["run"])
        rows.append({name: value for name, value in document.items() if name not in ("schema", "settings")})
    return pd.DataFrame(rows, columns=None if rows else ["run", "state"])


def read_sales(
    folder: str | Path, columns: Sequence[str] | None = None, *, incomplete: bool = False
) -> pd.DataFrame:
    """Every visit in a data set, with the columns scenario, flow, run and replication.

    Args:
        columns: only these columns.
        incomplete: also the runs that are still going on or were stopped.

    Raises:
        InputError: the folder is not a data set, or a run in it is incomplete and `incomplete` is not set.
    """
    runs = read_runs(folder)
    unfinished = runs.loc[runs["state"] != "complete", "run"].tolist()
    if len(unfinished) and not incomplete:
        raise InputError(
            folder, "", f"{len(unfinished)} of {len(runs)} runs are incomplete ({unfinished[0]}, ...)",
            "finish them with --resume, or read with incomplete=True",
        )  # fmt: skip
    import pyarrow.dataset as ds

    partitioning = ds.partitioning(flavor="hive")
    found: pd.DataFrame = ds.dataset(
        folder, format="parquet", partitioning=partitioning, exclude_invalid_files=False
    ).to_table(columns=list(columns) if columns else None).to_pandas()  # fmt: skip
    return found


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(file, "", "is damaged", "delete it and run the same command with --resume") from None
    check_schema(file, document, SALES_SCHEMA)
    return document


class _draft:
    """A file name under which something is written before it is moved to its place."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".draft-", dir=folder)
        os.close(handle)
        self._path = Path(name)

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def _move(draft: Path, file: Path) -> None:
    """Put a whole draft in its place, on the disk before under its name."""
    with draft.open("rb+") as written:
        os.fsync(written.fileno())
    file.parent.mkdir(parents=True, exist_ok=True)
    draft.chmod(0o644)
    draft.replace(file)
