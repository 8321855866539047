"""The report folder: whole or not there, and it needs nothing but itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.evaluation.page import write_page
from checkout.evaluation.plots import wilson
from checkout.evaluation.report import EvaluationReport, evaluate, evaluate_each
from checkout.recording import Recording

ERROR = {"outcome": "wrong_shopper", "perceived_shopper": "<nobody>", "shopper_confidence": 0.97}


@pytest.fixture(scope="module")
def report(shipped: Path) -> EvaluationReport:
    """Plates alone on a filmed recording, with one event made wrong so that there is something to show."""
    found = evaluate([shipped / "clean-01"], sensors=["plates"])
    judged = found.judged.copy()
    judged.loc[0, list(ERROR)] = list(ERROR.values())
    return replace(found, judged=judged)


def test_the_page_shows_each_error_with_its_pictures(report: EvaluationReport, tmp_path: Path) -> None:
    from PIL import Image

    write_page(tmp_path / "page", [report], command="checkout evaluate <videos>")
    html = (tmp_path / "page" / "index.html").read_text()
    assert "Command: <code>checkout evaluate &lt;videos&gt;</code>" in html
    assert html.count('<div class="error">') == int((report.judged["outcome"] != "right").sum()) == 1
    assert "&lt;nobody&gt;" in html
    assert "shopper 0.97" in html
    pictures = re.findall(r'<img[^>]* src="([^"]+)"', html)
    assert [re.sub(r".*-", "", p) for p in pictures] == ["before.jpg", "during.jpg", "after.jpg", "whole.jpg"]
    assert {p.name for p in (tmp_path / "page" / "pictures").iterdir()} == {Path(p).name for p in pictures}
    for file in pictures:
        pixels = np.asarray(Image.open(tmp_path / "page" / file), float)
        assert pixels.std() > 10  # a picture of something


def test_the_page_loads_nothing_from_elsewhere(report: EvaluationReport, tmp_path: Path) -> None:
    write_page(tmp_path / "page", [report])
    html = (tmp_path / "page" / "index.html").read_text()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert loaded
    assert all(x.startswith(("#", "pictures/")) for x in loaded)
    assert "<script" not in html
    assert "@import" not in html


def test_a_page_that_fails_leaves_nothing_behind(report: EvaluationReport, tmp_path: Path) -> None:
    lost = replace(report, paths=dict.fromkeys(report.paths, tmp_path / "gone"))
    with pytest.raises(InputError):
        write_page(tmp_path / "page", [lost])
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_only_replaced_when_told_to(report: EvaluationReport, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "mine").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_page(tmp_path / "page", [report])
    assert (tmp_path / "page" / "mine").read_text() == "mine"
    write_page(tmp_path / "page", [report], force=True)
    assert not (tmp_path / "page" / "mine").exists()


def test_several_sensor_sets_have_a_page_each(weighed: Recording, tmp_path: Path) -> None:
    reports = evaluate_each([weighed.path], [["plates"], ["vision", "plates"]])
    write_page(tmp_path / "page", reports)
    front = (tmp_path / "page" / "index.html").read_text()
    for link in ("plates/index.html", "vision+plates/index.html"):
        assert f'href="{link}"' in front
        assert "What perception gets right" in (tmp_path / "page" / link).read_text()
    # Without cameras both sets rest on the plates alone.
    assert reports[0].events == reports[1].events
    assert reports[0].conditions == reports[1].conditions


def test_a_set_that_a_recording_cannot_serve_fails_alone(weighed: Recording, shipped: Path) -> None:
    with pytest.raises(InputError, match="none of the sensors asked for"):
        evaluate_each([weighed.path], [["plates"], ["vision"]])
    (report,) = evaluate_each([weighed.path, shipped / "nothing"], [["plates"]])
    assert list(report.failed) == [str(shipped / "nothing")]


def test_wilson_interval_by_hand() -> None:
    low, high = wilson(np.array([8.0]), np.array([10.0]))
    assert (low[0], high[0]) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson (1927), n = 10, 8 right
