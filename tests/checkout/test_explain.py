"""The account of a receipt: every change with its evidence, hypotheses and what became of the sale."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from checkout.cli import app
from checkout.contact_sheet import PlateTrace
from checkout.errors import InputError
from checkout.events import LeftOnFloor, Receipt, ReceiptLine
from checkout.explain import explained_changes, explanation_lines, sparkline, write_explanation
from checkout.formats.receipts import write_competition_receipts, write_receipts_csv
from checkout.pipeline import Perceived, perceive
from checkout.recording import Recording


@pytest.fixture(scope="module")
def seen(weighed: Recording) -> Perceived:
    return perceive(weighed, sensors=["plates"])


def test_every_event_is_explained_by_what_the_sensors_said(weighed: Recording, seen: Perceived) -> None:
    changes = explained_changes(weighed, seen)
    assert sum(len(c.events) for c in changes) == len(seen.events)
    for change in changes:
        assert change.evidence[0].startswith("plates of g1.")
        assert 0.9 < sum(p for _, p in change.hypotheses) <= 1 + 1e-9
        assert [p for _, p in change.hypotheses] == sorted((p for _, p in change.hypotheses), reverse=True)
        if change.events:
            assert change.trace is not None
            assert change.verdicts


def test_a_reviewed_sale_says_which_event_sent_it(weighed: Recording, seen: Perceived) -> None:
    """Without cameras nobody knows who it was, so every sale is reviewed for the shopper."""
    text = "\n".join(explanation_lines(explained_changes(weighed, seen)))
    assert "to review, for shopper" in text
    assert "may have made the" in text


def test_what_was_left_on_the_floor_is_told_and_exported(weighed: Recording, tmp_path: Path) -> None:
    left = LeftOnFloor(3.0, 5.25, (0.4, -0.35), {"s2": 0.25, "s1": 0.75}, 0.9)
    said = "left on the floor between 3.0 and 5.2 s at (0.40, -0.35) m, sure to 0.90, by: s1 0.75, s2 0.25"
    assert explanation_lines([], [left]) == [said]
    told = Perceived("rec", (), (), left=(left,))
    write_explanation(tmp_path / "why.html", weighed, told)
    assert said in (tmp_path / "why.html").read_text(encoding="utf-8")
    (row,) = told.to_dict()["left_on_floor"]
    assert row == {
        "t_start_s": 3.0,
        "t_end_s": 5.25,
        "at_m": [0.4, -0.35],
        "shopper": {"s2": 0.25, "s1": 0.75},
        "probability": 0.9,
    }


def test_the_sparkline_falls_with_the_load() -> None:
    t_s = np.arange(0.0, 4.0, 1 / 60)
    line = sparkline(PlateTrace(t_s, {}, (), np.where(t_s < 2, 0.0, -350.0)), width=10)
    assert line.startswith("█████▁▁▁▁▁")
    assert line.endswith("-350 to +0 g")
    assert sparkline(PlateTrace(t_s, {}, (), np.zeros(len(t_s))), width=4).startswith("▁▁▁▁")


def test_the_page_needs_nothing_from_elsewhere(weighed: Recording, seen: Perceived, tmp_path: Path) -> None:
    write_explanation(tmp_path / "why.html", weighed, seen, command="checkout receipts rec --report why.html")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "<code>checkout receipts rec --report why.html</code>" in page
    assert weighed.sha256()[:12] in page
    assert page.count('class="change"') == len(explained_changes(weighed, seen))
    assert page.count("<svg") >= len(seen.explanations) - 1
    assert 'src="http' not in page
    assert "<script" not in page
    with pytest.raises(InputError, match="exists already"):
        write_explanation(tmp_path / "why.html", weighed, seen)


def test_the_exports_hold_the_receipts(weighed: Recording, seen: Perceived, tmp_path: Path) -> None:
    write_receipts_csv(tmp_path / "r.csv", seen.receipts, weighed.catalog)
    with (tmp_path / "r.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [(r.shopper, x.product, x.quantity) for r in seen.receipts for x in r.lines]
    assert [(r["shopper"], r["product"], int(r["quantity"])) for r in rows if r["product"]] == lines
    write_competition_receipts(tmp_path / "r.json", seen.receipts, weighed.catalog)
    answer = json.loads((tmp_path / "r.json").read_text())["receipts"]
    assert [row["target_id"] for row in answer] == [r.shopper for r in seen.receipts]
    units = sum(p["quantity"] for row in answer for p in row["products"])
    assert units == sum(quantity for _, _, quantity in lines)
    assert all(p["barcode"] for row in answer for p in row["products"])


def test_a_product_without_a_barcode_is_named(weighed: Recording, tmp_path: Path) -> None:
    import dataclasses

    from checkout.catalog import Catalog

    name = next(iter(weighed.catalog))
    bare = Catalog([dataclasses.replace(weighed.catalog[name], barcode="")])
    with pytest.raises(InputError, match="has none"):
        write_competition_receipts(tmp_path / "r.json", [Receipt("s1", (ReceiptLine(name, 1, 1.0),))], bare)
    assert not (tmp_path / "r.json").exists()


def test_the_command_prints_and_writes_it(weighed: Recording, tmp_path: Path) -> None:
    report, table = tmp_path / "why.html", tmp_path / "bills.csv"
    call = [
        "receipts",
        str(weighed.path),
        "--sensors",
        "plates",
        "--explain",
        "--report",
        str(report),
        "--csv",
        str(table),
    ]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "plates of g1." in result.output
    assert report.is_file()
    assert table.is_file()
    refused = CliRunner().invoke(app, ["receipts", "--video", "x.mp4", "--explain"])
    assert isinstance(refused.exception, InputError)
    assert "--explain" in str(refused.exception)
