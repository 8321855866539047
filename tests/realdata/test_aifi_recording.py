"""The real store: the one pick comes out right, and so do other products' steps added to its noise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.formats.aifi import import_aifi
from checkout.pipeline import perceive
from checkout.recording import Recording
from checkout.weight.noise import DISTURBED, QUIET, convert, draw_plate_noise, fit_plate_noise
from checkout.weight.plates import shelf_stretches
from checkout.weight.steps import detect_steps

pytestmark = pytest.mark.realdata
SHOPPER, WATER = "3325379692103139202", "071142008582"


@pytest.fixture(scope="module")
def nanostore(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return import_aifi(real_data / "aifi-nanostore", tmp_path_factory.mktemp("aifi") / "rec")


def test_the_real_pick_is_charged_to_the_real_shopper(nanostore: Recording) -> None:
    seen = perceive(nanostore)
    assert [(r.shopper, r.quantities) for r in seen.receipts] == [(SHOPPER, {WATER: 1})]
    event = seen.events[0]
    assert len(seen.events) == 1
    assert 12.0 <= event.t_s <= 13.0
    assert event.action == "pick"
    assert min(event.item_confidence, event.action_confidence, event.shopper_confidence) > 0.9


def test_the_command_line_prints_the_promised_json(real_data: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "checkout.cli", *words], capture_output=True, text=True, check=True
        )

    run("import", "aifi", str(real_data / "aifi-nanostore"), "--out", str(tmp_path / "rec"))
    printed = json.loads(run("receipts", str(tmp_path / "rec"), "--json", "-").stdout)
    assert printed["receipts"][0]["lines"][0]["product"] == WATER
    assert set(printed["events"][0]) >= {
        "t_s", "action", "product", "quantity", "shopper", "item_confidence", "action_confidence", "shopper_confidence",
    }  # fmt: skip


def test_the_plates_have_one_step(nanostore: Recording) -> None:
    steps = detect_steps(nanostore.plates).steps
    assert len(steps) == 1
    assert steps[0].shelf == "g1.s5"
    assert steps[0].grams == pytest.approx(-623, abs=12)


def test_rendered_noise_is_like_the_real_noise(nanostore: Recording) -> None:
    quiet = [
        s.grams[(s.t_s > 1) & (s.t_s < 10)]
        for s in shelf_stretches(nanostore.plates)[0]
        if not s.shelf.startswith("g1.")
    ]
    real = fit_plate_noise(quiet)
    rng = np.random.default_rng(0)
    drawn = fit_plate_noise(
        [np.round(draw_plate_noise(540, 12, rng) / MEASURED.step_g) * MEASURED.step_g for _ in range(20)]
    )
    assert drawn.sd_median_g == pytest.approx(real.sd_median_g, rel=0.25)
    assert drawn.sd_spread == pytest.approx(real.sd_spread, rel=0.35)
    assert drawn.common == pytest.approx(real.common, abs=0.15)
    assert real.step_g == pytest.approx(MEASURED.step_g, abs=0.002)


def test_other_products_steps_in_the_real_noise_are_named(nanostore: Recording) -> None:
    """A small form of `python -m benchmarks.injected_steps`."""
    from benchmarks.injected_steps import study

    found = study(nanostore, variants=20, seed=3)
    assert found.right >= 0.9 * found.injected
    assert found.extra == 0


def test_a_broken_line_is_named(real_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "case"
    source.mkdir()
    for name in ("plate_data", "planogram", "products", "full_targets"):
        lines = (real_data / "aifi-nanostore" / f"{name}.json").read_text().splitlines()[:40]
        (source / f"{name}.json").write_text("\n".join(lines))
    with (source / "plate_data.json").open("a") as file:
        file.write('\n{"broken\n')
    (source / "products.json").write_text((real_data / "aifi-nanostore" / "products.json").read_text())
    with pytest.raises(InputError, match=r"plate_data\.json: line 41: is not JSON"):
        import_aifi(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
