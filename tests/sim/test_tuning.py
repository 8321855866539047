"""`checkout tune` from file to answer: what it reads, what it refuses, what it chooses and writes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from checkout.errors import InputError
from sim.tune_cli import app
from sim.tuning import ReviewWork, Slider, pareto_frontier, read_sales, tune
from sim.tuning.choice import Limits
from sim.tuning.sales import POOLED, ErrorCost, rebuilt_sales


def table(n: int = 2000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.05
    frame = pd.DataFrame(
        np.where(wrong[:, None], rng.beta(4, 2, (n, 3)), rng.beta(30, 1, (n, 3))),
        columns=["item", "action", "shopper"],
    )
    frame["wrong"] = wrong.astype(int)
    frame["value"] = rng.gamma(2, 10, n).round(2)
    frame["product_group"] = rng.choice(["dairy", "fruit", "snacks"], n)
    frame["leaves_s"] = rng.uniform(8 * 3600, 20 * 3600, n)
    return frame


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    table().to_csv(path, index=False)
    return path


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["tune", *map(str, arguments)])


def test_csv_parquet_and_a_folder_of_parquet_hold_the_same_sales(tmp_path: Path, csv: Path) -> None:
    frame = table()
    frame.to_parquet(tmp_path / "sales.parquet")
    for part in (0, 1):
        folder = tmp_path / "parts" / f"store={part}"
        folder.mkdir(parents=True)
        frame.iloc[part::2].to_parquet(folder / "part.parquet")
    read = [read_sales(p) for p in (csv, tmp_path / "sales.parquet", tmp_path / "parts")]
    for sales in read:
        assert sorted(sales.lowest.tolist()) == pytest.approx(
            sorted(frame[["item", "action", "shopper"]].min(axis=1))
        )
        assert sales.wrong.sum() == frame["wrong"].sum()
        assert np.asarray(sales.lost_usd).sum() == pytest.approx(frame["value"][frame["wrong"] == 1].sum())


def test_columns_may_have_other_names_and_tell_what_is_right(tmp_path: Path) -> None:
    frame = table().assign(ok=lambda f: np.where(f["wrong"] == 1, "no", "yes")).drop(columns="wrong")
    frame = frame.rename(columns={"item": "p_item", "value": "eur"})
    frame.to_csv(tmp_path / "own.csv", index=False)
    sales = read_sales(tmp_path / "own.csv", confidences=["p_item"], right="ok", value="eur")
    assert sales.aspects == ("p_item",)
    assert sales.wrong.sum() == table()["wrong"].sum()


def test_a_simulated_table_loses_the_gap_or_the_dispute() -> None:
    frame = pd.DataFrame(
        {"sale": [True] * 3 + [False], "wrong": [True, True, False, False], "reviewed": False,
         "true_usd": [10.0, 5.0, 3.0, 0.0], "charged_usd": [4.0, 9.0, 3.0, 0.0], "confidence": [0.3, 0.6, 0.9, 1.0],
         "replication": [0, 0, 1, 1]}
    )  # fmt: skip
    sales = read_sales(frame, error_cost=ErrorCost(dispute_usd=3.0, dispute_share=0.5))
    assert np.asarray(sales.lost_usd).tolist() == [6.0, 3.5, 0.0]
    assert sales.cluster_name == "replication"
    assert np.asarray(sales.cluster).tolist() == [0, 0, 1]
    assert "1 visits without a sale" in sales.notes[0]


def judged_row(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "recording": "r1", "t_s": 1.0, "action": "pick", "product": "milk", "quantity": 1, "shopper": "s1",
        "outcome": "right", "perceived": "milk", "perceived_quantity": 1, "perceived_shopper": "s1",
        "item_confidence": 0.9, "action_confidence": 0.95, "shopper_confidence": 0.8,
    }  # fmt: skip
    return row | changes


def test_judged_recordings_become_one_sale_a_shopper(tmp_path: Path) -> None:
    rows = [
        judged_row(),
        judged_row(t_s=2.0, product="tea", perceived="tea", item_confidence=0.6),
        judged_row(t_s=3.0, shopper="s2", outcome="missed", perceived="", perceived_quantity=0, perceived_shopper="",
                   item_confidence=None, action_confidence=None, shopper_confidence=None),
        judged_row(recording="r2", outcome="wrong_shopper", perceived_shopper="s9", shopper_confidence=0.4),
        # A pick and a put-back that are both missed leave the cart as it is: the bill is right.
        judged_row(recording="r2", shopper="s3"),
        judged_row(recording="r2", t_s=4.0, shopper="s3", product="tea", outcome="missed", perceived_shopper=""),
        judged_row(recording="r2", t_s=5.0, shopper="s3", product="tea", action="put_back", outcome="missed",
                   perceived_shopper=""),
    ]  # fmt: skip
    sales = rebuilt_sales("made up", rows)
    found = {tuple(c): w for c, w in zip(sales.confidences.tolist(), sales.wrong.tolist(), strict=True)}
    assert len(sales) == 5
    assert found[(0.6, 0.95, 0.8)] is False  # r1 s1
    assert found[(1.0, 1.0, 1.0)] is True  # missed, and robbed of the event: nothing doubts them
    assert found[(0.9, 0.95, 0.4)] is True  # r2 s9 is billed what s1 took
    assert len(np.unique(np.asarray(sales.cluster))) == 2
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"judged": rows}))
    assert read_sales(path).wrong.sum() == 3
    path.write_text(json.dumps({"judged": [{"recording": "r1", "outcome": "right"}]}))
    with pytest.raises(InputError, match="do not say whose they are"):
        read_sales(path)


def test_a_profile_that_names_its_shoppers_makes_sales_too(tmp_path: Path) -> None:
    keep = ("recording", "outcome", "shopper", "perceived_shopper", "item_confidence", "action_confidence",
            "shopper_confidence")  # fmt: skip
    rows = [
        {name: judged_row(**changes)[name] for name in keep}
        for changes in (
            {},
            {
                "shopper": "s2",
                "outcome": "wrong_shopper",
                "perceived_shopper": "s3",
                "shopper_confidence": 0.4,
            },
            {"shopper": "s2", "perceived_shopper": "s2", "item_confidence": 0.7},
            {"shopper": "s4", "outcome": "missed", "perceived_shopper": None, "item_confidence": None},
        )
    ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"judged": rows, "phantoms": [{"recording": "r1"}]}))
    sales = read_sales(path)
    found = {tuple(c): w for c, w in zip(sales.confidences.tolist(), sales.wrong.tolist(), strict=True)}
    assert found == {
        (0.9, 0.95, 0.8): False, (0.7, 0.95, 0.8): True, (0.9, 0.95, 0.4): True, (1.0, 1.0, 1.0): True
    }  # fmt: skip
    assert "1 events that never happened" in " ".join(sales.notes)


def test_a_bill_that_anothers_review_makes_right_is_no_escape() -> None:
    frame = pd.DataFrame(
        {
            "confidence": [0.3, 0.5, 0.8, 0.9],
            "settled_confidence": [0.3, 0.5, 0.4, 0.9],
            "wrong": [1, 0, 1, 1],
        }
    )
    sales = read_sales(frame)
    frontier = pareto_frontier(sales)
    assert frontier.thresholds[:, 0].tolist() == [0.0, 0.5, 1.0]
    assert frontier.reviews.tolist() == [0, 1, 4]
    assert frontier.escapes.tolist() == [3, 1, 0]
    assert Slider(sales).at(0.5).escapes_per_1000_sales == 250.0
    found = tune(sales, limits=Limits(reviews_per_1000_sales=300)).chosen
    assert found
    assert found.escapes_per_1000_sales == 250.0


def spoilt(frame: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: spoilt(f, 1234, "item", 1.7), r"line 1236: item: 1.7, expected a number from 0 to 1"),
        (lambda f: spoilt(f, 5, "shopper", "high"), r"line 7: shopper: 'high'"),
        (lambda f: spoilt(f, 5, "action", ""), r"line 7: action: empty"),
        (lambda f: spoilt(f, 9, "wrong", "perhaps"), r"line 11: wrong: 'perhaps', expected 0 or 1"),
        (lambda f: spoilt(f, 9, "value", -3), r"line 11: value: -3"),
        (lambda f: f.assign(item=f["item"] * 100), "per cent"),
        (lambda f: f.rename(columns={"wrong": "wrnog"}), "wrong: is not a column; did you mean 'wrnog'"),
        (lambda f: f.drop(columns=["item", "action", "shopper"]), "nor is confidence"),
        (lambda f: f.assign(item=0.9, action=0.9, shopper=0.9), "no threshold can tell sales apart"),
        (lambda f: f.iloc[:0], "holds no sale"),
        (lambda f: f.assign(reviewed=[1] * 20 + [0] * 1980), "20 of 2,000 sales were reviewed"),
        (lambda f: f.assign(flow=["a", "b"] * 1000), "several ways of selling"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(tmp_path: Path, change: Any, told: str) -> None:
    path = tmp_path / "sales.csv"
    change(table()).to_csv(path, index=False)
    with pytest.raises(InputError, match=told):
        read_sales(path)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ragged.csv").write_text("item,wrong\n0.5,1\n\n0.5,1,7\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.csv").write_bytes("confidence,wrong\n0.5,1\né,0\n".encode("latin-1"))
    (tmp_path / "not.parquet").write_text("hello")
    for name, told in (
        ("none.csv", "does not exist"),
        ("ragged.csv", "line 4: has 3 fields, expected 2"),
        ("empty.csv", "is empty"),
        ("latin.csv", "UTF-?8"),
        ("not.parquet", "is not a Parquet table"),
        ("sales.xlsx", "does not exist"),
    ):
        with pytest.raises(InputError, match=told):
            read_sales(tmp_path / name, confidences=["item"] if name == "ragged.csv" else None)


def test_bad_lines_are_left_out_when_asked_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    spoilt(spoilt(table(), 3, "item", "x"), 8, "item", 2).to_csv(path, index=False)
    sales = read_sales(path, skip_bad=True)
    assert len(sales) == 1998
    assert "2 bad lines were left out, the first: line 5: item: 'x'" in sales.notes[0]


def test_one_constant_confidence_is_noted_and_a_wrong_sale_beyond_reach_too() -> None:
    frame = table().assign(item=1.0)
    frame.loc[0, ["action", "shopper", "wrong"]] = [1.0, 1.0, 1]
    notes = " ".join(read_sales(frame).notes)
    assert "the item confidence is 1 in every sale" in notes
    assert "1 wrong sales have a confidence of 1" in notes


def test_groups_of_one_are_pooled_bands_are_cut_and_hours_read_off_the_clock() -> None:
    frame = table()
    frame.loc[0, "product_group"] = "caviar"
    frame.loc[1, "product_group"] = "truffle"
    sales = read_sales(frame, by="product_group")
    assert set(sales.group_names) == {"dairy", "fruit", "snacks", POOLED}
    assert "2 groups of fewer than 30 sales (2 sales in all)" in " ".join(sales.notes)
    prices = read_sales(frame, by="value", bands=4)
    assert len(prices.group_names) == 4
    assert np.bincount(np.asarray(prices.group)).min() > 450
    assert set(read_sales(frame, by="hour").group_names) == {f"{h:02d} h" for h in range(8, 20)}
    with pytest.raises(InputError, match="did you mean 'product_group'"):
        read_sales(frame, by="product_grup")
    with pytest.raises(InputError, match="has a single group"):
        read_sales(frame.assign(product_group="dairy"), by="product_group")


WORK = ReviewWork((60.0,) * 12)


def test_each_objective_is_least_among_what_is_promised() -> None:
    sales = read_sales(table(6000))
    found = {
        objective: tune(
            sales, max_escapes_per_1000_sales=8, objective=objective, work=WORK, reviewers=3,  # type: ignore[arg-type]
        ).chosen
        for objective in ("reviews", "cost", "delay")
    }  # fmt: skip
    reviews, cost, delay = (found[name] for name in ("reviews", "cost", "delay"))
    assert reviews
    assert cost
    assert delay
    assert reviews.reviews_per_1000_sales == min(c.reviews_per_1000_sales for c in (reviews, cost, delay))
    assert cost.desk
    assert reviews.desk
    assert cost.desk.cost_usd_per_1000_sales <= reviews.desk.cost_usd_per_1000_sales
    assert delay.desk
    assert delay.desk.p95_s <= min(cost.desk.p95_s, reviews.desk.p95_s)
    assert all(c.promised and c.escapes_per_1000_sales < 8 for c in (reviews, cost, delay))


def test_limits_that_leave_nothing_name_what_there_is() -> None:
    sales = read_sales(table(6000))
    found = tune(sales, max_escapes_per_1000_sales=2, limits=Limits(reviews_per_1000_sales=1))
    assert found.chosen is None
    assert found.nearest
    assert found.nearest.promised
    assert f"at least {found.nearest.reviews_per_1000_sales:.1f} reviews" in found.why


def test_an_objective_says_what_it_lacks() -> None:
    sales = read_sales(table(500).drop(columns=["value"]))
    for objective, given, told in (
        ("cost", {}, "how many sales end in an hour"),
        ("cost", {"work": WORK}, "no money is known"),
        ("delay", {"work": WORK}, "delay needs a size of the desk"),
    ):
        with pytest.raises(InputError, match=told):
            tune(sales, objective=objective, **given)  # type: ignore[arg-type]


def test_the_command_writes_all_it_found(tmp_path: Path, csv: Path) -> None:
    out, page, scores = tmp_path / "frontier.csv", tmp_path / "page.html", tmp_path / "tuned.json"
    done = run(csv, "--max-escapes", "12", "--by", "product_group", "--max-delay", "900", "--out", out,
               "--report", page, "--json", scores)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "PROMISED: at most 12 escapes" in done.output
    found = json.loads(scores.read_text())
    assert found["chosen"]["promised"] is True
    assert set(found["chosen"]["thresholds"]) == {"dairy", "fruit", "snacks"}
    assert found["promise"]["learnt_on_sales"] + found["promise"]["tested_sales"] == 2000
    assert sum(n for n, _ in found["baseline"]["groups"].values()) == 2000
    frontier = pd.read_csv(out)
    assert frontier["reviews_per_1000_sales"].is_monotonic_increasing
    assert frontier["escapes_per_1000_sales"].is_monotonic_decreasing
    html = page.read_text()
    assert "PROMISED: at most 12 escapes" in html
    assert "Learn then Test" in html
    assert not [part for part in html.split("<script") if 'src="http' in part[:200]]
    again = run(csv, "--out", out)
    assert isinstance(again.exception, InputError)
    assert "exists already" in str(again.exception)


def test_the_same_seed_tunes_the_same(csv: Path) -> None:
    told = [
        run(csv, "--max-escapes", "12", "--thresholds", "three", "--seed", seed, "--json", "-").stdout
        for seed in "112"
    ]
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_a_promise_that_cannot_be_made_ends_with_1_and_shows_the_nearest(csv: Path) -> None:
    done = run(csv, "--max-escapes", "0.5", "--json", "-")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["chosen"] is None
    assert "too few" in found["why"]
    assert f"{found['promise']['needed_sales']:,}" in found["why"]
    assert found["nearest"]["promised"] is False
    assert run(csv, "--max-escapes", "0.5").output.count("NO CHOICE") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--thresholds", "thre"], "did you mean 'three'"),
        (["--objective", "money"], "is not one of reviews, cost, delay"),
        (["--thresholds", "group"], "name their column with --by"),
        (["--sales-per-hour", "a,b"], "expected numbers like"),
        (["--thresholds", "three", "--confidences", "item", "--max-escapes", "9"], "a single confidence"),
        (["--right", "wrong", "--wrong", "wrong"], "name one column"),
    ],
)
def test_options_that_do_not_fit_are_refused(csv: Path, arguments: list[str], told: str) -> None:
    done = run(csv, *arguments)
    assert isinstance(done.exception, InputError)
    assert told in str(done.exception)


def test_a_scenario_is_simulated_without_reviews() -> None:
    done = run(
        "convenience",
        "--replications",
        "3",
        "--set",
        "shoppers.visits_per_day=120",
        "--workers",
        "1",
        "--json",
        "-",
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["wrong_per_1000_sales"] > 0
    assert any("more replications do not make that profile" in note for note in found["notes"])
    assert found["work"]["receipt_s"] == 180


def test_a_promise_is_monitored_with_what_tune_wrote(tmp_path: Path, csv: Path) -> None:
    scores = tmp_path / "tuned.json"
    assert run(csv, "--max-escapes", "12", "--json", scores).exit_code == 0
    threshold = json.loads(scores.read_text())["chosen"]["thresholds"]["item"]
    later = table(3000, seed=5)
    reviewed = later[["item", "action", "shopper"]].min(axis=1) < threshold
    audited = ~reviewed & (np.random.default_rng(0).random(3000) < 0.3)
    stream = tmp_path / "later.csv"
    later.assign(
        reviewed=reviewed.astype(int), audited=audited.astype(int), shopper=later["shopper"] * 0.7
    ).to_csv(stream, index=False)  # fmt: skip
    done = CliRunner().invoke(
        app, ["monitor", str(stream), "--promise", str(scores), "--audit-share", "0.3", "--json", "-"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["stands"] is True
    assert found["limit_per_1000_sales"] == 12
    assert "sales with a doubtful shopper confidence" in [h["what"] for h in found["hints"]]


@pytest.mark.slow
def test_one_bad_line_in_a_million_is_named(tmp_path: Path) -> None:
    path = tmp_path / "million.csv"
    with path.open("w") as file:
        file.write("confidence,wrong\n")
        file.writelines(f"0.{i % 9 + 1},{int(i % 90 == 0)}\n" for i in range(1_000_000))
    text = path.read_bytes()
    at = text.index(b"\n", 5_000_000) + 1
    line = text[:at].count(b"\n") + 1
    path.write_bytes(text[:at] + b"1.0x" + text[at + 3 :])
    started = time.process_time()
    with pytest.raises(InputError, match=f"line {line}: confidence"):
        read_sales(path)
    assert time.process_time() - started < 20


def test_the_example_in_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(example, "docs/tuning.md", "exec"), names)
    assert names["found"].chosen.promised
    assert names["slider"].at(0.7).escapes_per_1000_sales > 0
    assert "confidence" in capsys.readouterr().out
