"""Pages of the commands that compute: what each holds, that it loads nothing, and that it is not overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sim.history_cli  # noqa: F401 (joins its commands to `app`)
from checkout.cli import main
from checkout.errors import InputError
from checkout.vision.learning_curve import ERRORS, LearningCurve, PowerLaw
from sim.cli import app

FEW = ("--replications", "2", "--workers", "1", "--seed", "7")
DAY = ("--set", "calendar.days=1", "--set", "calendar.warm_up_days=0")
QUICK = (*FEW, *DAY, "--set", "shoppers.visits_per_day=60")
COMMANDS = {
    "simulate": ("simulate", "convenience", *QUICK),
    "compare": ("compare", "convenience", *QUICK),
    "sweep": ("sweep", "convenience", "--vary", "thresholds.item=0.5,0.9", "--vary", "review.order=first_come", *QUICK),
    "calibrate": ("calibrate", "convenience", "--target", "400", "--required", "200", *QUICK),
    "basket-curve": ("basket-curve", "convenience", "--items", "2,8", *QUICK),
    "learn": ("learn", "convenience", "--curve", "LAW", "--months", "2", *QUICK),
    "monitor": ("monitor", "SALES", "--audit-share", "0.5", "--max-escapes", "10"),
}  # fmt: skip


def words_of(name: str, folder: Path) -> list[str]:
    """A command with the files that it needs."""
    sales, law = folder / "sales.csv", folder / "law.json"
    sales.write_text("reviewed,audited,wrong\n" + "0,1,0\n0,0,\n" * 30)
    fitted = PowerLaw(2.0, 0.3, (0.2, 0.4), None, 100, 2000)
    LearningCurve((), {"plates+vision": dict.fromkeys(ERRORS, fitted)}, {}).save(law)
    return [{"SALES": str(sales), "LAW": str(law)}.get(word, word) for word in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_says_how_to_make_it_again_and_loads_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = [*words_of(name, tmp_path), "--report", str(page)]
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 0
    text = page.read_text(encoding="utf-8")
    said = text[text.index("How each number was obtained") :]
    assert f"checkout {' '.join(words)}" in said
    assert re.search(r"checkout-simulator \d", said)
    assert "Python 3" in said
    if name != "monitor":
        assert "Plotly.newPlot(" in text
        assert re.search(r"<td>seed</td><td[^>]*>7", said)
        assert "convenience" in said
        assert said.count("sha256") > 5
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?(https?:)?//", text)

    with pytest.raises(SystemExit) as again:
        main(words)
    assert again.value.code == 2
    assert "exists already" in capsys.readouterr().err


def test_the_ranges_of_the_sensitivity_do_not_fit_every_store(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sensitivity", "go-convenience", "--trajectories", "2", *FEW])
    assert isinstance(done.exception, InputError)
    assert "the ranges are those of a supermarket: choose one" in str(done.exception)
