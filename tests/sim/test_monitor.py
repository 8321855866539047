"""The monitor: false alarms no more often than stated, alarms after a shift, and a name for what changed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from typer.testing import CliRunner

from checkout.errors import InputError
from sim.tune_cli import app
from sim.tuning import Monitor
from sim.tuning.drift import Baseline, Betting


def first_alarm(
    rng: np.random.Generator, rates: np.ndarray, limit: float, weight: float, false_alarm: float
) -> int:
    """Observation of the alarm, or -1; `rates` is the probability of a hit at each."""
    betting, last = Betting(limit, weight), 0
    for hit in np.flatnonzero(rng.random(len(rates)) < rates).tolist():
        for _ in range(hit - last):
            betting.miss()
        betting.hit()
        last = hit + 1
        if betting.evidence >= 1 / false_alarm:
            return hit
    return -1


@pytest.mark.parametrize("audit_share", [1.0, 0.25])
def test_false_alarms_are_no_more_than_stated_when_the_limit_is_just_kept(audit_share: float) -> None:
    """Escapes exactly at the limit for 20,000 sales, looked at after each of them."""
    rng, limit, runs = np.random.default_rng(4), 0.01, 250
    rates = np.full(20_000, limit * audit_share)
    alarms = sum(first_alarm(rng, rates, limit, 1 / audit_share, 0.2) >= 0 for _ in range(runs))
    assert binomtest(alarms, runs, 0.2, alternative="greater").pvalue > 1e-3
    assert alarms > 0  # the test is not idle


@pytest.mark.parametrize("limit", [0.05, 0.3, 0.7])
def test_capital_is_one_on_average_while_the_limit_is_just_kept(limit: float) -> None:
    """A martingale: summed over every course that ten sales can take."""
    mean = 0.0
    for course in itertools.product((False, True), repeat=10):
        betting = Betting(limit)
        for hit in course:
            (betting.hit if hit else betting.miss)()
        mean += betting.capital * limit ** sum(course) * (1 - limit) ** (10 - sum(course))
    assert mean == pytest.approx(1.0)


@pytest.mark.parametrize(("factor", "within"), [(3.0, 30_000), (6.0, 8_000)])
def test_an_alarm_follows_a_shift_even_after_a_long_good_time(factor: float, within: int) -> None:
    rng, limit = np.random.default_rng(7), 0.01
    delays = []
    for _ in range(20):
        rates = np.where(np.arange(60_000) < 20_000, 0.7, factor) * limit * 0.2
        delays.append(first_alarm(rng, rates, limit, 5.0, 0.05) - 20_000)
    assert min(delays) > 0
    assert np.median(delays) < within


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.booleans(), max_size=200), st.floats(0.01, 0.6))
def test_misses_that_wait_to_be_worked_out_change_nothing(hits: list[bool], limit: float) -> None:
    lazy, eager = Betting(limit), Betting(limit)
    for hit in hits:
        (lazy.hit if hit else lazy.miss)()
        (eager.hit if hit else eager.miss)()
        assert eager.capital >= 0
    assert lazy.capital == pytest.approx(eager.capital)
    assert lazy.evidence == pytest.approx(eager.evidence)


def stream(
    rng: np.random.Generator, n: int, escape_share: float, doubted: float, corner: float
) -> Iterator[dict]:
    for _ in range(n):
        shopper = float(0.5 if rng.random() < doubted else 0.97)
        item = 0.5 if rng.random() < 0.02 else 0.99
        reviewed = min(item, shopper) < 0.9
        audited = not reviewed and rng.random() < 0.3
        yield {
            "reviewed": reviewed, "audited": audited, "wrong": bool(rng.random() < escape_share),
            "group": "corner" if rng.random() < corner else "aisle", "confidences": {"shopper": shopper, "item": item},
        }  # fmt: skip


BASELINE = Baseline(
    20_000, {"item": 0.9, "shopper": 0.9}, {"item": 400, "shopper": 4000}, "shelf",
    {"corner": (4000, 8), "aisle": (16_000, 30)},
)  # fmt: skip


def test_the_hints_name_the_aspect_and_the_group_that_changed() -> None:
    rng = np.random.default_rng(9)
    monitor = Monitor(4.0, 0.3, baseline=BASELINE)
    for sale in stream(rng, 6000, 0.03, 0.5, 0.4):
        monitor.see(**sale)
    outlook = monitor.outlook()
    assert outlook.alarm_at_sale is not None
    said = {(h.what, h.rises) for h in outlook.hints}
    assert ("sales with a doubtful shopper confidence", True) in said
    assert ("sales of shelf corner", True) in said
    assert ("sales of shelf aisle", False) in said
    assert any(
        h.what.startswith("escapes in shelf") and "raise the threshold" in h.advice for h in outlook.hints
    )
    assert outlook.escapes_per_1000_sales == pytest.approx(1000 * 0.5 * 0.03, rel=0.4)


def test_nothing_is_said_to_have_changed_while_nothing_has() -> None:
    said = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        monitor = Monitor(4.0, 0.3, false_alarm=0.1, baseline=BASELINE)
        for sale in stream(rng, 3000, 0.002, 0.2, 0.2):
            monitor.see(**sale)
        outlook = monitor.outlook()
        said += outlook.alarm_at_sale is not None or bool(outlook.hints)
    assert binomtest(said, 40, 0.15, alternative="greater").pvalue > 1e-3


def test_only_random_audits_of_sales_that_were_not_reviewed_count() -> None:
    monitor = Monitor(5.0, 0.5)
    for _ in range(500):
        monitor.see(reviewed=True, audited=True, wrong=True)
        monitor.see(reviewed=False, audited=False, wrong=True)
    assert monitor.outlook().audited_escapes == 0
    assert monitor.alarm_at_sale is None


@pytest.mark.parametrize("fields", [(0.0, 0.1), (5.0, 0.0), (5.0, 1.2), (1000.0, 0.1)])
def test_limits_and_shares_out_of_range_are_refused(fields: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="expected more than 0"):
        Monitor(*fields)


def lines(rng: np.random.Generator, n: int, escape_share: float, audit_share: float = 0.2) -> list[str]:
    rows = ["reviewed,audited,wrong"]
    for _ in range(n):
        audited = rng.random() < audit_share
        wrong = str(int(rng.random() < escape_share)) if audited else ""
        rows.append(f"0,{int(audited)},{wrong}")
    return rows


def test_the_command_reads_a_stream_and_ends_with_1_at_the_alarm() -> None:
    text = "\n".join(lines(np.random.default_rng(1), 4000, 0.1)) + "\n"
    done = CliRunner().invoke(
        app,
        ["monitor", "-", "--audit-share", "0.2", "--max-escapes", "5", "--json", "-", "--every", "1000"],
        input=text,
    )
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    assert found["stands"] is False
    assert found["sales"] == 4000
    assert found["alarm_at_sale"] < 1000
    assert "ALARM at sale" in done.stderr
    assert "1,000 sales:" in done.stderr


def test_the_command_says_that_a_promise_stands(tmp_path: Path) -> None:
    file = tmp_path / "audits.csv"
    file.write_text("\n".join(lines(np.random.default_rng(2), 3000, 0.001)) + "\n")
    done = CliRunner().invoke(app, ["monitor", str(file), "--audit-share", "0.2", "--max-escapes", "5"])
    assert done.exit_code == 0, done.output
    assert "STANDS" in done.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [r.replace("audited", "looked_at", 1) for r in rows], "never escapes"),
        (lambda rows: [*rows[:10], "0,maybe,", *rows[10:]], r"line 11: audited: 'maybe', expected 0 or 1"),
        (lambda rows: [*rows[:10], "0,1", *rows[10:]], "line 11: has 2 fields, expected 3"),
        (lambda rows: [*rows[:10], "0,1,", *rows[10:]], "line 11: wrong: ''"),
        (lambda rows: [rows[0], *("0,0," for _ in rows)], "none of the 1,001 sales was audited"),
        (
            lambda rows: [rows[0], *(r for r in rows[1:] if ",1," in r)],
            "does not agree with an audit share of 0.2",
        ),
        (lambda rows: rows[:1], "holds no sale"),
        (lambda rows: [""], "is empty"),
    ],
)
def test_a_stream_that_tells_nothing_is_refused(tmp_path: Path, change: object, told: str) -> None:
    file = tmp_path / "audits.csv"
    rows = change(lines(np.random.default_rng(3), 1000, 0.002))  # type: ignore[operator]
    file.write_text("\n".join(rows) + "\n" if rows != [""] else "")
    done = CliRunner().invoke(app, ["monitor", str(file), "--audit-share", "0.2", "--max-escapes", "5"])
    assert isinstance(done.exception, InputError)
    with pytest.raises(InputError, match=told):
        raise done.exception


def test_bad_lines_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "audits.csv"
    rows = lines(np.random.default_rng(3), 1000, 0.0)
    file.write_text("\n".join([*rows[:10], "0,maybe,", "x", *rows[10:]]) + "\n")
    done = CliRunner().invoke(
        app, ["monitor", str(file), "--audit-share", "0.2", "--max-escapes", "5", "--skip-bad", "--json", "-"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["bad_lines"] == 2
