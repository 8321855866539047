"""An index of runs in a database, so that a team finds what was simulated, where, and with what result.

A SQLite file by default, or any database that SQLAlchemy reaches (Postgres: `postgresql+psycopg://...`).
The index only points: the sales are in their data sets, and a lost index loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from checkout.errors import InputError

COLUMNS = (
    "run", "state", "scenario", "scenario_hash", "flow", "profile_hash", "detector", "seed", "code_version",
    "replications", "started_at", "updated_at", "folder",
)  # fmt: skip


class RunsIndex:
    """The runs in a database, with the estimates of each.

    Raises:
        InputError: the database cannot be reached or is not an index.
    """

    def __init__(self, where: str) -> None:
        """`where` is the name of a SQLite file or the URL of a database."""
        import sqlalchemy as sql

        self._where = where
        url = where if "://" in where else f"sqlite:///{Path(where).absolute()}"
        if "://" not in where:
            Path(where).absolute().parent.mkdir(parents=True, exist_ok=True)
        facts = sql.MetaData()
        words = [
            sql.Column(name, sql.Text)
            for name in COLUMNS
            if name not in ("run", "seed", "replications")
        ]  # fmt: skip
        self._runs = sql.Table(
            "runs", facts, sql.Column("run", sql.String(13), primary_key=True), *words,
            sql.Column("seed", sql.BigInteger), sql.Column("replications", sql.Integer),
            sql.Column("settings", sql.Text),
        )  # fmt: skip
        numbers = ("mean", "low", "high", "simulation_low", "simulation_high")
        self._estimates = sql.Table(
            "estimates", facts, sql.Column("run", sql.String(13), primary_key=True),
            sql.Column("metric", sql.String(64), primary_key=True),
            *(sql.Column(name, sql.Float(53)) for name in numbers), sql.Column("method", sql.Text),
        )  # fmt: skip
        try:
            self._engine = sql.create_engine(url)
            facts.create_all(self._engine)
        except ModuleNotFoundError as error:
            raise InputError(
                "--index", "", f"the database driver {error.name!r} is missing", "install it with pip"
            ) from None
        except sql.exc.SQLAlchemyError as error:
            raise self._unreachable(error) from None

    def record(self, manifest: Mapping[str, Any]) -> None:
        """Put a run in, or replace what is there of it, in one transaction.

        Args:
            manifest: what `sales_store.describe` says, with "replications" and "estimates" when it is complete.
        """
        import sqlalchemy as sql

        key = manifest["run"]
        row = {name: manifest.get(name) for name in COLUMNS} | {"settings": json.dumps(manifest["settings"])}
        estimates = [
            _estimate_row(key, name, e) for name, e in (manifest.get("estimates") or {}).items() if e
        ]
        try:
            with self._engine.begin() as connection:
                for table in (self._estimates, self._runs):
                    connection.execute(sql.delete(table).where(table.c.run == key))
                connection.execute(sql.insert(self._runs), [row])
                if estimates:
                    connection.execute(sql.insert(self._estimates), estimates)
        except sql.exc.SQLAlchemyError as error:
            raise self._unreachable(error) from None

    def runs(self) -> pd.DataFrame:
        """One row a run, the newest first."""
        import sqlalchemy as sql

        chosen = [self._runs.c[name] for name in COLUMNS]
        return self._read(sql.select(*chosen).order_by(self._runs.c.updated_at.desc(), self._runs.c.run))

    def estimates(self) -> pd.DataFrame:
        """One row a run and metric: mean, low, high, simulation_low, simulation_high, method."""
        import sqlalchemy as sql

        return self._read(sql.select(self._estimates).order_by(self._estimates.c.run))

    def close(self) -> None:
        self._engine.dispose()

    def _read(self, query: Any) -> pd.DataFrame:
        with self._engine.connect() as connection:
            found = connection.execute(query)
            return pd.DataFrame(found.fetchall(), columns=list(found.keys()))

    def _unreachable(self, error: Exception) -> InputError:
        from sqlalchemy.engine import make_url

        place = make_url(self._where).render_as_string() if "://" in self._where else self._where
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        return InputError(
            "--index", "", f"{place} cannot be used ({cause})", "name a SQLite file or a database URL"
        )


def _estimate_row(run: str, metric: str, estimate: Mapping[str, Any]) -> dict[str, Any]:
    low, high = estimate["ci95"] or (None, None)
    simulation_low, simulation_high = estimate["simulation_ci95"] or (None, None)
    return {
        "run": run, "metric": metric, "mean": estimate["mean"], "low": low, "high": high,
        "simulation_low": simulation_low, "simulation_high": simulation_high, "method": estimate["method"],
    }  # fmt: skip


def list_runs(where: str | Path) -> pd.DataFrame:
    """The runs in an index (a SQLite file or a database URL) or in a data set of sales (a folder).

    Returns:
        One row a run: its key, state, scenario, flow, seed, replications and folder.

    Raises:
        InputError: there is neither an index nor a data set.
    """
    from sim.sales_store import read_runs

    if "://" not in str(where):
        if Path(where).is_dir():
            return read_runs(where).drop(columns="estimates", errors="ignore")
        if not Path(where).exists():
            raise InputError(where, "", "does not exist", "name an index (--index) or a data set (--sales)")
    index = RunsIndex(str(where))
    try:
        return index.runs()
    finally:
        index.close()
