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
from checkout.weight.noise import DISTURBED, QUIET, PlateNoise, convert, draw_plate_noise, fit_plate_noise
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


@pytest.mark.parametrize(("near", "noise"), [(False, QUIET), (True, DISTURBED)], ids=["quiet", "disturbed"])
def test_rendered_noise_is_like_the_real_noise(nanostore: Recording, near: bool, noise: PlateNoise) -> None:
    """Spread, common part and spectrum; on the gondola with the shopper, and on the three without."""
    idle = [
        s.grams[(s.t_s > 1) & (s.t_s < 10)]
        for s in shelf_stretches(nanostore.plates)[0]
        if s.shelf.startswith("g1.") == near
    ]
    real = fit_plate_noise(idle)
    rng = np.random.default_rng(0)
    drawn = fit_plate_noise(
        [convert(draw_plate_noise(540, 12, rng, noise=noise), rng, noise) for _ in range(20)]
    )
    assert drawn.sd_median_g == pytest.approx(real.sd_median_g, rel=0.25)
    assert drawn.sd_spread == pytest.approx(real.sd_spread, rel=0.35)
    assert drawn.common == pytest.approx(real.common, abs=0.15)
    assert drawn.held == pytest.approx(real.held, abs=0.03)
    assert real.step_g == pytest.approx(noise.step_g, abs=0.002)
    # Each band within a factor of 1.6 of the real one, and together much closer than white noise is.
    apart = np.abs(np.log(np.array(drawn.spectrum) / np.array(real.spectrum)))
    assert apart.max() < np.log(1.6)
    assert apart.mean() < 0.5 * np.abs(np.log(np.array(real.spectrum))).mean()


def fall(t_s: np.ndarray, grams: np.ndarray, around_s: float) -> tuple[float, float, float]:
    """A pick's shape: seconds from 90 % to 10 % of the fall, and share of it pressed before and rung after."""
    near = (t_s > around_s - 1.2) & (t_s < around_s + 1.2)
    t_s, grams = t_s[near], grams[near]
    before, after = np.median(grams[t_s < around_s - 0.7]), np.median(grams[t_s > around_s + 0.7])
    size = before - after
    left = (grams - after) / size
    last_full = t_s[np.flatnonzero(left > 0.9)[-1]]
    first_empty = t_s[np.flatnonzero((left < 0.1) & (t_s > last_full))[0]]
    return first_empty - last_full, float(left.max() - 1.0), float(-left.min())


def test_rendered_picks_fall_like_the_real_pick(nanostore: Recording, weighed: Recording) -> None:
    """One real pick: pressed with 8 % of the weight before, gone within a tenth of a second, hardly ringing."""
    columns = ["g1.s5.p11", "g1.s5.p12"]
    table = nanostore.plates[columns].dropna()
    took_s, pressed, rung = fall(table.index.to_numpy(float), table.sum(axis=1).to_numpy(), 12.53)
    shapes = []
    for event in weighed.truth.events:
        if event.action == "pick" and weighed.catalog[event.product].weight_g > 200:
            plates = weighed.plates[list(weighed.planogram[event.facing].plates)]
            shapes.append(fall(plates.index.to_numpy(float), plates.sum(axis=1).to_numpy(), event.t_s))
    assert len(shapes) >= 3
    times, presses, rings = (np.array(values) for values in zip(*shapes, strict=True))
    assert times.min() / 3 < took_s < 3 * times.max()
    assert presses.min() - 0.05 < pressed < presses.max() + 0.05
    assert rings.min() - 0.03 < rung < rings.max() + 0.03


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
