"""The index of runs: what was simulated, in which state, with what result."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import compare, simulate
from sim.replications import RunStopped
from sim.runs_index import RunsIndex, list_runs
from sim.scenario import Scenario
from tests.sim.conftest import small


def quick() -> Scenario:
    return small(**{"shoppers.visits_per_day": 40})


def test_runs_of_several_commands_are_listed_with_their_results(
    profile: PerceptionProfile, tmp_path: Path
) -> None:
    index = str(tmp_path / "team" / "runs.sqlite")
    found = compare(quick(), ("just-walk-out", "dash-cart"), profile, replications=3, index=index)
    simulate(quick(), "dash-cart", replications=2, seed=7, index=index, sales=tmp_path / "sales")
    simulate(quick(), "dash-cart", replications=2, seed=7, index=index)  # the same run again
    runs = list_runs(index)
    assert len(runs) == 3
    assert set(runs["state"]) == {"complete"}
    assert sorted(zip(runs["flow"], runs["seed"], runs["replications"], strict=True)) == [
        ("dash-cart", 1, 3),
        ("dash-cart", 7, 2),
        ("just-walk-out", 1, 3),
    ]
    database = RunsIndex(index)
    table = database.estimates().set_index(["run", "metric"])
    database.close()
    walk = found.flows["just-walk-out"]
    reviews = walk.estimate("reviews_per_1000_sales")
    assert reviews is not None
    row = table.loc[(walk.run.key, "reviews_per_1000_sales")]
    assert (row["mean"], (row["low"], row["high"]), row["method"]) == (
        reviews.mean, reviews.ci95, "random-effects interval"
    )  # fmt: skip


def test_a_run_that_stopped_stays_incomplete(tmp_path: Path) -> None:
    def fail(what: str, share: float) -> None:
        raise OSError(28, "No space left on device")

    index = str(tmp_path / "runs.sqlite")
    with pytest.raises(RunStopped, match="No space left on device; 1 of 3 replications are kept in"):
        simulate(quick(), "dash-cart", replications=3, index=index, sales=tmp_path / "sales", progress=fail)
    runs = list_runs(index)
    assert runs["state"].tolist() == ["incomplete"]
    assert runs["folder"].tolist() == [str(tmp_path / "sales")]


def test_a_data_set_lists_its_own_runs(tmp_path: Path) -> None:
    result = simulate(quick(), "dash-cart", replications=2, sales=tmp_path / "sales")
    runs = list_runs(tmp_path / "sales")
    assert runs[["run", "state", "replications"]].to_numpy().tolist() == [[result.run.key, "complete", 2]]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nowhere.sqlite", "does not exist; name an index"),
        ("nothing://host/runs", "cannot be used"),
        ("text.txt", "cannot be used .*file is not a database"),
    ],
)
def test_what_is_no_index_is_refused(
    where: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("these are notes, long enough not to be taken for an empty database " * 20)
    with pytest.raises(InputError, match=message):
        list_runs(where)
