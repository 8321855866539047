"""The data set of sales: readable while it grows, never half-written, resumed without loss or repetition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import compare, simulate
from sim.results import COLUMNS
from sim.sales_store import PARTITIONS, read_runs, read_sales
from sim.scenario import Scenario
from tests.sim.conftest import ONE_DAY, small

PROJECT = Path(__file__).resolve().parents[2]


def quick(visits: float = 40) -> Scenario:
    return small(**{"shoppers.visits_per_day": visits})


def rows_of(folder: Path) -> int:
    query = f"select count(*) from read_parquet('{folder}/**/*.parquet', hive_partitioning=true)"
    return int(duckdb.sql(query).fetchall()[0][0])


def test_every_visit_of_every_flow_is_in_the_data_set(profile: PerceptionProfile, tmp_path: Path) -> None:
    flows = ("just-walk-out", "dash-cart")
    found = compare(quick(), flows, profile, replications=3, sales=tmp_path / "sales")
    alone = simulate(quick(), "just-walk-out", profile, replications=3, keep_sales=True).sales_table()
    table = read_sales(tmp_path / "sales")
    assert len(table) == sum(flow.visits for flow in found.flows.values())
    walked = table[table["flow"] == "just-walk-out"].sort_values(["replication", "shopper"])
    wanted = alone.sort_values(["replication", "shopper"])
    for column in set(alone) - {"flow", "replication"}:
        pd.testing.assert_series_equal(
            walked[column].reset_index(drop=True), wanted[column].reset_index(drop=True), check_dtype=False
        )
    runs = read_runs(tmp_path / "sales")
    assert sorted(runs["flow"]) == sorted(flows)
    assert runs["replications"].tolist() == [3, 3]
    assert runs.loc[0, "estimates"]["visit_mean_s"]["method"] == "t-interval"


def test_no_column_of_a_visit_bears_the_name_of_a_folder() -> None:
    assert not set(PARTITIONS) & set(COLUMNS)


def test_duckdb_and_pandas_read_it_while_it_grows(tmp_path: Path) -> None:
    folder = tmp_path / "sales"
    seen: list[int] = []

    def look(what: str, share: float) -> None:
        rows = rows_of(folder)
        assert len(pd.read_parquet(folder)) == len(read_sales(folder, incomplete=True)) == rows
        assert read_runs(folder)["state"].tolist() == ["incomplete"]
        seen.append(rows)

    result = simulate(quick(), "dash-cart", replications=4, sales=folder, progress=look)
    assert len(seen) == 4
    assert seen == sorted(set(seen))
    assert seen[-1] == result.visits
    states = duckdb.sql(f"select state from read_json('{folder}/_runs/*.json')").fetchall()
    assert states == [("complete",)]


def test_a_run_that_is_there_is_neither_repeated_nor_replaced_unless_told(tmp_path: Path) -> None:
    folder = tmp_path / "sales"
    first = simulate(quick(), "dash-cart", replications=3, sales=folder)
    with pytest.raises(
        InputError, match=r"holds this run already \(r[0-9a-f]{12}, complete, 3 repl.*--resume"
    ):
        simulate(quick(), "dash-cart", replications=3, sales=folder)
    written = {f: f.stat().st_mtime_ns for f in folder.rglob("*.parquet")}
    longer = simulate(quick(), "dash-cart", replications=5, sales=folder, resume=True)
    assert longer.metric("visit_mean_s")[:3].tolist() == first.metric("visit_mean_s").tolist()
    assert {f: f.stat().st_mtime_ns for f in written} == written
    assert len(list(folder.rglob("*.parquet"))) == 5
    simulate(quick(), "dash-cart", replications=2, sales=folder, force=True)
    assert len(list(folder.rglob("*.parquet"))) == 2
    simulate(quick(), "dash-cart", replications=2, seed=2, sales=folder)
    assert len(read_runs(folder)) == 2


def test_a_run_killed_at_once_is_incomplete_and_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "sales"
    program = (
        "import os, signal, sim\n"
        f"changes = {ONE_DAY | {'shoppers.visits_per_day': 40}!r}\n"
        "scenario = sim.load_scenario('convenience').with_values(changes)\n"
        "done = []\n"
        "def kill(what, share):\n"
        "    done.append(share)\n"
        "    if len(done) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sim.simulate(scenario, 'dash-cart', replications=6, sales={str(folder)!r}, progress=kill)\n"
    )
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, check=False)
    assert read_runs(folder)[["state", "replications"]].to_numpy().tolist() == [["incomplete", 3]]
    resumed = simulate(quick(), "dash-cart", replications=6, sales=folder, resume=True)
    assert resumed.values == simulate(quick(), "dash-cart", replications=6).values
    assert rows_of(folder) == resumed.visits


def test_a_disk_that_takes_no_more_ends_the_command_with_one_line(tmp_path: Path) -> None:
    """The limit on file size stands in for the disk's: the same write fails with the same kind of error."""
    program = (
        "import resource, sys\n"
        "from checkout.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))\n"
        "sys.argv = ['checkout', 'simulate', 'convenience', '--flow', 'dash-cart', '--replications', '5',\n"
        "            '--workers', '1', '--sales', 'sales', '--set', f'shoppers.visits_per_day={sys.argv[1]}',\n"
        "            '--set', 'calendar.days=1']\n"
        "main()\n"
    )
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program, "500"], env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "error: File too large; 0 of 5 replications are kept in sales, marked incomplete; "
        "run the same command with --resume to go on"
    ]
    assert read_runs(tmp_path / "sales")["state"].tolist() == ["incomplete"]
    assert list((tmp_path / "sales").rglob("*.parquet")) == []
    assert list((tmp_path / "sales" / "_drafts").iterdir()) == []


def test_memory_does_not_grow_with_the_number_of_replications(tmp_path: Path) -> None:
    def peak(replications: int) -> int:
        tracemalloc.start()
        simulate(quick(200), "dash-cart", replications=replications, sales=tmp_path / str(replications))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(24) < 1.2 * peak(6)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    simulate(quick(), "dash-cart", replications=2, sales=tmp_path / "sales")
    next((tmp_path / "sales").rglob("sales.parquet")).write_bytes(b"PAR1 not a table PAR1")
    with pytest.raises(InputError, match=r"sales\.parquet: is damaged .*; delete it and pass --resume"):
        simulate(quick(), "dash-cart", replications=2, sales=tmp_path / "sales", resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        simulate(quick(), "dash-cart", replications=2, sales=tmp_path)
    with pytest.raises(InputError, match="is not a data set of sales"):
        read_sales(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["notes.txt"]


def test_a_data_set_of_another_schema_is_refused(tmp_path: Path) -> None:
    simulate(quick(), "dash-cart", replications=2, sales=tmp_path / "sales")
    manifest = next((tmp_path / "sales" / "_runs").glob("*.json"))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema": 99}))
    with pytest.raises(InputError, match="99 is not the version read here"):
        read_sales(tmp_path / "sales")
