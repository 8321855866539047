"""Rendered recordings: one seed, one truth; and the plates, the truth and the pictures agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.catalog import shelf_of
from checkout.errors import InputError
from checkout.recording import Recording
from checkout.render.recordings import SETS, RecordingSpec, render_recording, render_set

TINY = RecordingSpec("tiny", 7, 1, duration_s=9.0, fps=6)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return render_recording(TINY, tmp_path_factory.mktemp("tiny") / "tiny")


def test_truth_and_plates_do_not_depend_on_the_pictures(tiny: Recording, tmp_path: Path) -> None:
    again = render_recording(TINY, tmp_path / "again", video=False)
    for name in ("truth.json", "plates.parquet", "catalog.csv", "planogram.yaml"):
        assert (again.path / name).read_bytes() == (tiny.path / name).read_bytes()


def test_shipped_recordings_are_what_their_seeds_make(shipped: Path, tmp_path: Path) -> None:
    spec = SETS["shipped"][0]
    again = render_recording(spec, tmp_path / spec.id, video=False)
    assert (again.path / "truth.json").read_bytes() == (shipped / spec.id / "truth.json").read_bytes()
    pd.testing.assert_frame_equal(again.plates, Recording.open(shipped / spec.id).plates)


def test_shipped_recordings_hold_what_the_readme_says(shipped: Path) -> None:
    recordings = [Recording.open(shipped / spec.id) for spec in SETS["shipped"]]
    events = [e for r in recordings for e in r.truth.events]
    shoppers = Counter(len(r.truth.shoppers) for r in recordings)
    assert shoppers[1] >= 2
    assert shoppers[2] >= 2
    assert len(events) >= 40
    assert sum(e.action == "put_back" for e in events) >= 10
    assert sum(e.quantity > 1 for e in events) >= 5
    assert all(len(r.catalog) >= 12 for r in recordings)


def test_units_taken_off_the_shelves_are_on_the_receipts(weighed: Recording) -> None:
    for receipt in weighed.truth.receipts:
        units: Counter[str] = Counter()
        for event in weighed.truth.events:
            if event.shopper == receipt.shopper:
                units[event.product] += event.units
        assert {p: n for p, n in units.items() if n} == receipt.quantities


def test_each_shelf_loses_the_weight_that_was_taken(weighed: Recording) -> None:
    plates = weighed.plates
    moved: dict[str, float] = {}
    for event in weighed.truth.events:
        shelf = shelf_of(event.facing)
        moved[shelf] = moved.get(shelf, 0.0) - event.units * weighed.catalog[event.product].weight_g
    for shelf in {shelf_of(p) for p in plates}:
        columns = [p for p in plates if shelf_of(p) == shelf]
        change = float((plates[columns].iloc[-30:].mean() - plates[columns].iloc[:30].mean()).sum())
        # A unit's own weight spreads by about 0.4 %, and a dozen plates drift by a gram or two each.
        assert change == pytest.approx(moved.get(shelf, 0.0), abs=25.0)


def test_events_are_inside_the_recording_and_ordered(weighed: Recording) -> None:
    for event in weighed.truth.events:
        assert 0 < event.t_start_s < event.t_end_s < 30.0
        assert event.t_end_s - event.t_start_s < 3.0
        assert 0 <= event.conditions["occlusion"] <= 1


def test_true_boxes_are_where_the_projection_says(tiny: Recording) -> None:
    """A unit on the top shelf is seen where its facing is projected to."""
    boxes = tiny.boxes
    assert set(boxes["label"]) == {"hand", "item", "person"}
    for camera in tiny.cameras:
        seen = boxes[(boxes["camera"] == camera.camera) & (boxes["frame"] == 0) & (boxes["label"] == "item")]
        inside = 0
        for facing in tiny.planogram.values():
            low, high = np.array(facing.box_min_m), np.array(facing.box_max_m)
            corners = np.array(
                [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
            )
            pixels, _ = camera.project(corners)
            x1, y1 = pixels.min(axis=0) - 3
            x2, y2 = pixels.max(axis=0) + 3
            inside += int(
                ((seen["x1"] > x1) & (seen["y1"] > y1) & (seen["x2"] < x2) & (seen["y2"] < y2)).any()
            )
        assert inside >= 6
        assert ((boxes["x1"] >= 0) & (boxes["x2"] <= 640) & (boxes["y1"] >= 0) & (boxes["y2"] <= 360)).all()


def test_the_video_shows_the_time_that_it_claims(tiny: Recording) -> None:
    for camera in tiny.cameras:
        times = [t for t, _ in tiny.frames(camera.camera)]
        assert len(times) == 54
        assert times[-1] == pytest.approx(53 / 6, abs=1e-3)


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        render_recording(TINY, tmp_path / "there", video=False)


def test_an_unknown_set_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'shipped'"):
        render_set("shiped", tmp_path)
