"""The commands that simulate: what they print, what they refuse, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from checkout.errors import InputError
from sim.cli import app
from sim.scenario import shipped_scenarios

ONE_DAY = ("--set", "calendar.days=1", "--set", "calendar.warm_up_days=0")
QUICK = (*ONE_DAY, "--set", "shoppers.visits_per_day=40", "--workers", "1")
CART = ("--flow", "dash-cart")


def printed(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, words)
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_a_precision_says_whether_it_was_reached() -> None:
    rule = ("--precision", "1%", "--metric", "visit_mean_s", "--least", "4", "--most", "8")
    text = printed("simulate", "convenience", *CART, *QUICK, *rule)
    assert "visit_mean_s to 1 %: NOT reached within 8 replications" in text
    assert "t-interval: 95 %, over independent replications" in text


def test_a_sweep_prints_and_writes_its_points(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    vary = ("--vary", "carts=5:15:3", "--vary", "dash_cart.lanes=1,2")
    text = printed("sweep", "convenience", *CART, *QUICK, *vary, "--replications", "2", "--out", str(out))
    assert "convenience: 6 points" in text
    table = pd.read_csv(out)
    assert len(table[["dash_cart.carts", "dash_cart.lanes"]].drop_duplicates()) == 6


def test_runs_are_entered_in_an_index_and_listed(tmp_path: Path) -> None:
    index, sales = str(tmp_path / "runs.sqlite"), str(tmp_path / "sales")
    printed(
        "compare", "convenience", "--flows", "dash-cart", *QUICK, "--replications", "2", "--index", index,
        "--sales", sales, "--json", str(tmp_path / "result.json"),
    )  # fmt: skip
    for where in (index, sales):
        (run,) = json.loads(printed("runs", where, "--json", "-"))["runs"]
        assert (run["state"], run["replications"], run["folder"]) == ("complete", 2, sales)
    estimates = json.loads((tmp_path / "result.json").read_text())["flows"]["dash-cart"]["metrics"]
    assert estimates["visit_mean_s"]["method"] == "t-interval"


def test_one_parquet_file_of_sales_may_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "visits.parquet"
    printed("simulate", "convenience", *CART, *QUICK, "--replications", "2", "--sales", str(file))
    assert sorted(pd.read_parquet(file)["replication"].unique()) == [0, 1]


def test_replications_without_a_sale_are_said() -> None:
    nobody = (*QUICK, "--set", "shoppers.visits_per_day=0.01")
    text = printed("simulate", "convenience", *CART, *nobody, "--replications", "2")
    assert "0 sales in 2 replications" in text
    assert "note: dash-cart: 2 of 2 replications had no sale" in text


def test_a_command_names_every_store_that_is_shipped() -> None:
    for command in ("simulate", "compare", "require", "calibrate", "basket-curve"):
        text = printed(command, "--help")
        assert all(name in text.replace(" ", "") for name in shipped_scenarios())


def test_no_interval_of_a_cost_reaches_under_nothing(tmp_path: Path) -> None:
    file = str(tmp_path / "found.json")
    printed("simulate", "convenience", *QUICK, "--replications", "2", "--json", file)
    metrics = json.loads(Path(file).read_text())["metrics"]
    assert min(e["ci95"][0] for e in metrics.values() if e) >= 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--engine", "dask"), "--engine: dask needs a scheduler"),
        (("--scheduler", "tcp://127.0.0.1:1"), "--scheduler: goes with --engine dask"),
        (("--precision", "little"), "--precision: 'little' is not a share, for example 5%"),
        (("--precision", "5"), "--precision: 5, expected a share between 0 and 1; for example 5%"),
        (("--precision", "5%", "--replications", "9"), "leave --replications out"),
        (("--resume",), "--resume: goes on with a data set; name it with --sales DIR"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        printed("simulate", "convenience", *CART, *words)


def test_the_fewest_lanes_for_a_service_level_are_printed_with_what_was_tried() -> None:
    busy = (*ONE_DAY, "--set", "shoppers.visits_per_day=900", "--workers", "1", "--replications", "2")
    text = printed("staff", "convenience", "lanes", "60", *busy)
    assert "lane_wait_p95_s at most 60" in text
    assert int(text.split(" lanes needed")[0].split()[-1]) > 1
    assert "NOT REACHED with as many as 1 lanes" in printed(
        "staff", "convenience", "lanes", "60", "--most", "1", *busy, code=1
    )
    with pytest.raises(InputError, match="did you mean 'lanes'"):
        printed("staff", "convenience", "lane", "60")


@pytest.mark.parametrize("option", ["--report", "--json"])
def test_a_full_disk_is_said_in_one_line_and_leaves_no_half_of_a_file(option: str, tmp_path: Path) -> None:
    target = tmp_path / "result"
    words = ("simulate", "convenience", *CART, *QUICK, "--replications", "2", option, str(target))
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"{full}from checkout.cli import main; main()", *words],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: File too large; nothing half-written is left\n"
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_names_the_metrics_that_it_can_show() -> None:
    with pytest.raises(InputError, match="did you mean 'cost_per_sale_usd'"):
        printed("sweep", "convenience", *CART, "--vary", "carts=5,6", "--show", "cost_per_sale")
