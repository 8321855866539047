"""Sweeps: every combination, refused before anything runs, resumed without repetition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import simulate
from sim.replications import RunStopped
from sim.scenario import Scenario
from sim.sweeps import parse_vary, sweep
from tests.sim.conftest import small

ITEM = "just_walk_out.review.thresholds.item"


def quick() -> Scenario:
    return small(**{"shoppers.visits_per_day": 40})


def stop_after(results: int) -> Any:
    seen: list[float] = []

    def tell(what: str, share: float) -> None:
        seen.append(share)
        if len(seen) == results:
            raise OSError(28, "No space left on device")

    return tell


def test_ranges_have_both_ends_and_lists_their_values() -> None:
    assert parse_vary(["review.thresholds.item=0.5:0.9:5", "a.b= 2,5,poisson"]) == {
        "review.thresholds.item": [0.5, 0.6, 0.7, 0.8, 0.9],
        "a.b": [2, 5, "poisson"],
    }


def test_a_sweep_is_one_row_a_point_flow_and_metric(profile: PerceptionProfile, tmp_path: Path) -> None:
    vary = {"thresholds.item": [0.5, 0.99], "reviewers": [1, 3]}
    swept = sweep(
        quick(), ["just-walk-out", "dash-cart"], vary, profile, replications=2, workers=2,
        out=tmp_path / "table.csv",
    )  # fmt: skip
    table = swept.to_pandas()
    points = table[[ITEM, "just_walk_out.review.reviewers"]].drop_duplicates()
    assert points.to_numpy().tolist() == [[0.5, 1], [0.5, 3], [0.99, 1], [0.99, 3]]
    assert not table.duplicated([*points.columns, "flow", "metric"]).any()
    assert set(table["replications"]) == {2}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table, check_dtype=False)
    assert [f.name for f in tmp_path.iterdir()] == ["table.csv"]

    alone = simulate(
        quick().with_values({ITEM: 0.99, "just_walk_out.review.reviewers": 3}), "just-walk-out", profile,
        replications=2,
    )  # fmt: skip
    assert swept.results[3].flows["just-walk-out"].values == alone.values
    # A cart has no review desk: the same shoppers, the same day at every point.
    assert len({str(c.flows["dash-cart"].values) for c in swept.results}) == 1
    json.dumps(swept.to_dict(), allow_nan=False)


@pytest.mark.parametrize("keeps", ["out", "sales"])
def test_a_stopped_sweep_goes_on_without_loss_or_repetition(
    profile: PerceptionProfile, tmp_path: Path, keeps: str
) -> None:
    vary = {"thresholds.item": [0.5, 0.9, 0.99]}
    place = {"out": tmp_path / "table.parquet"} if keeps == "out" else {"sales": tmp_path / "sales"}
    with pytest.raises(
        RunStopped, match=r"No space left on device; 5 of 9 replications are kept in .*--resume"
    ):
        sweep(quick(), "just-walk-out", vary, profile, replications=3, progress=stop_after(5), **place)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--resume"):
        sweep(quick(), "just-walk-out", vary, profile, replications=3, **place)  # type: ignore[arg-type]

    shares: list[float] = []
    resumed = sweep(
        quick(), "just-walk-out", vary, profile, replications=3, resume=True,
        progress=lambda what, share: shares.append(share), **place,
    )  # type: ignore[arg-type]  # fmt: skip
    assert len(shares) == 4
    whole = sweep(quick(), "just-walk-out", vary, profile, replications=3)
    pd.testing.assert_frame_equal(resumed.to_pandas(), whole.to_pandas())
    if keeps == "out":
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), whole.to_pandas())
        assert [f.name for f in tmp_path.iterdir()] == ["table.parquet"]


def test_a_line_cut_short_is_simulated_again_and_a_foreign_journal_refused(tmp_path: Path) -> None:
    vary, out = {"dash_cart.carts": [5, 40]}, tmp_path / "table.csv"
    with pytest.raises(RunStopped):
        sweep(quick(), "dash-cart", vary, replications=2, out=out, progress=stop_after(3))
    journal = tmp_path / "table.csv.incomplete.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    with pytest.raises(InputError, match="is of another sweep"):
        sweep(quick(), "dash-cart", vary, replications=2, out=out, seed=2, resume=True)
    resumed = sweep(quick(), "dash-cart", vary, replications=2, out=out, resume=True)
    assert resumed.to_pandas().equals(sweep(quick(), "dash-cart", vary, replications=2).to_pandas())


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"review.threshold.item": [0.5]}, "unknown field; did you mean 'review.thresholds.item'"),
        ({"wage_usd_per_hour": [5]}, "is the end of several fields; choose one of just_walk_out.review.wage"),
        ({"thresholds.item": [0.5, 1.5]}, r"thresholds.item: 1.5: input should be .*\(at just_walk_out"),
        ({"shoppers.hour_shares": [1]}, "unknown field"),
        ({"carts": [5, 5]}, "expected different values"),
        ({"carts": [5], "dash_cart.carts": [6]}, "is varied twice"),
        ({}, "nothing is varied"),
        (
            {"carts": list(range(1, 2000)), "dash_cart.lanes": list(range(1, 900))},
            "1,797,101 points, expected at most",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_runs(
    vary: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        sweep(quick(), "dash-cart", vary, out=tmp_path / "table.csv", progress=stop_after(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("carts", "is not FIELD=START:STOP:COUNT"),
        ("carts=", "is not FIELD=START:STOP:COUNT"),
        ("carts=1:2", "'1:2' is not START:STOP:COUNT"),
        ("carts=1:x:3", "'1:x:3' is not START:STOP:COUNT"),
        ("carts=1:9:1", "counts 1 values"),
        ("carts=[,2", "is not a list of values"),
    ],
)
def test_values_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_vary([text])
