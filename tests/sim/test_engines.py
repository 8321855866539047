"""Engines: the same numbers from all of them, and a clear end when the workers are lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.engines import Engine, WorkersLost
from sim.experiment import simulate
from sim.replications import RunStopped
from sim.sales_store import read_runs, read_sales
from sim.scenario import Scenario
from tests.sim.conftest import small

PROJECT = Path(__file__).resolve().parents[2]


def quick() -> Scenario:
    return small(**{"shoppers.visits_per_day": 40})


@contextmanager
def cluster(
    folder: Path, workers: int, allowed_failures: int
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and its workers, each a process of its own on the loopback interface."""
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {
        "PYTHONPATH": path,
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
    }
    found = folder / "scheduler.json"

    def start(module: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", str(found), *words]
        return subprocess.Popen(
            [*command, "--no-dashboard"],
            env=env,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    started = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")]
    started += [
        start("dask_worker", "--nthreads", "1", "--no-nanny", "--memory-limit", "0") for _ in range(workers)
    ]
    try:
        give_up = time.monotonic() + 120
        while not (found.exists() and found.read_text().strip().endswith("}")):
            assert time.monotonic() < give_up, "no scheduler"
            time.sleep(0.05)
        yield json.loads(found.read_text())["address"], started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def after(results: int, do: Callable[[], None]) -> Callable[[str, float], None]:
    """A progress function that does something once, when so many results are in."""
    seen = []

    def tell(what: str, share: float) -> None:
        seen.append(share)
        if len(seen) == results:
            do()

    return tell


@pytest.mark.slow
def test_dask_gives_the_same_numbers_bit_for_bit_though_a_worker_is_killed(
    profile: PerceptionProfile, tmp_path: Path
) -> None:
    """Two local workers give them too: tests/sim/test_laws.py."""
    here = simulate(quick(), "just-walk-out", profile, replications=10, keep_sales=True)
    with cluster(tmp_path, workers=2, allowed_failures=3) as (address, workers):

        def kill_one() -> None:
            workers[0].kill()

        there = simulate(
            quick(), "just-walk-out", profile, replications=10, scheduler=address, keep_sales=True,
            progress=after(2, kill_one),
        )  # fmt: skip
        assert workers[0].wait(10) == -signal.SIGKILL
    assert here.values == there.values
    assert here.sales_table().equals(there.sales_table())


@pytest.mark.slow
def test_a_replication_that_dask_gives_up_ends_the_run(tmp_path: Path) -> None:
    """Also with a single worker, which is where the work is done."""
    with cluster(tmp_path, workers=1, allowed_failures=0) as (address, workers):
        engine = Engine(scheduler=address)
        assert set(engine.run(os.getpid, [()] * 3)) == {workers[0].pid}
        with pytest.raises(WorkersLost):
            list(engine.run(os._exit, [(1,)]))


def test_a_killed_worker_stops_the_run_and_what_is_kept_goes_on(
    profile: PerceptionProfile, tmp_path: Path
) -> None:
    folder = tmp_path / "sales"

    def kill_a_worker() -> None:
        workers = [
            c for c in psutil.Process().children(recursive=True) if "LokyProcess" in " ".join(c.cmdline())
        ]
        assert workers
        workers[0].kill()

    settings = {"replications": 40, "seed": 3, "sales": folder}
    with pytest.raises(
        RunStopped, match=r"a worker process was killed .*of 40 replications are kept in .*--resume"
    ):
        simulate(quick(), "just-walk-out", profile, workers=2, progress=after(4, kill_a_worker), **settings)  # type: ignore[arg-type]
    runs = read_runs(folder)
    assert runs["state"].tolist() == ["incomplete"]
    kept = {f: f.stat().st_mtime_ns for f in folder.rglob("sales.parquet")}
    assert 4 <= len(kept) == runs["replications"].item() < 40
    with pytest.raises(InputError, match="1 of 1 runs are incomplete"):
        read_sales(folder)

    resumed = simulate(quick(), "just-walk-out", profile, resume=True, **settings)  # type: ignore[arg-type]
    whole = simulate(quick(), "just-walk-out", profile, replications=40, seed=3)
    assert resumed.values == whole.values
    assert all(f.stat().st_mtime_ns == t for f, t in kept.items())
    assert len(read_sales(folder)) == whole.visits
    assert read_runs(folder)["state"].tolist() == ["complete"]


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.engines.CONNECT_S", 0.2)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*; start one"):
        simulate(quick(), "dash-cart", replications=2, scheduler="tcp://127.0.0.1:9")


def test_an_engine_needs_a_worker() -> None:
    with pytest.raises(InputError, match="--workers: 0, expected at least 1"):
        simulate(quick(), "dash-cart", replications=2, workers=0)
