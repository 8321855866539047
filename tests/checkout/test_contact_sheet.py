"""The contact sheet: which rows it has, when its frames are taken, what its plates say, what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from checkout.cli import app
from checkout.contact_sheet import (
    BEFORE_S,
    GAP,
    HEADER,
    LATE_S,
    ROW,
    TILE,
    TITLE,
    contact_sheet,
    parse_numbers,
    plate_trace,
    save_sheet,
    sheet_rows,
)
from checkout.errors import InputError
from checkout.recording import Recording

Edit = Callable[[dict[str, Any]], None]
FPS, SECONDS = 10, 12


@pytest.fixture
def one(shipped: Path) -> Recording:
    return Recording.open(shipped / "clean-01")


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    """A recording folder that the test may change."""
    return Path(shutil.copytree(shipped / "clean-01", tmp_path / "copy"))


def edit_truth(folder: Path, edit: Edit) -> Recording:
    document = json.loads((folder / "truth.json").read_text())
    edit(document)
    (folder / "truth.json").write_text(json.dumps(document))
    return Recording.open(folder)


def edit_header(folder: Path, edit: Edit) -> Recording:
    document = yaml.safe_load((folder / "recording.yaml").read_text())
    edit(document)
    (folder / "recording.yaml").write_text(yaml.safe_dump(document))
    return Recording.open(folder)


def add_acts(document: dict[str, Any]) -> None:
    first, second = document["events"][:2]
    document["events"][1]["conditions"]["behaviour"] = "change_of_mind"
    span = {"t_start_s": second["t_end_s"] + 0.5, "t_end_s": second["t_end_s"] + 1.0, "person": "p1"}
    document["acts"] = [
        {"kind": "hide", "product": first["product"], **span},
        {"kind": "touch", "product": second["product"], "facing": second["facing"], **span},
    ]


def brightening(folder: Path) -> Recording:
    """Turn a copy into an uncalibrated recording whose picture brightens by 2 levels a frame."""
    from checkout.vision.video import VideoWriter

    with VideoWriter(folder / "cam0.mp4", 64, 48, FPS, crf=1) as writer:
        for frame in range(FPS * SECONDS):
            writer.write(np.full((48, 64, 3), 2 * frame, np.uint8))
    for name in ("boxes.parquet", "cam1.mp4"):
        (folder / name).unlink()
    camera = {"camera": "cam0", "file": "cam0.mp4", "fps": FPS, "width": 64, "height": 48}
    return edit_header(folder, lambda d: d.update(cameras=[camera]))


def tile_middle(sheet: Image.Image, tile: int) -> float:
    x, y = GAP + tile * (TILE[0] + GAP) + TILE[0] // 2, TITLE + HEADER + TILE[1] // 2
    return float(np.asarray(sheet.crop((x - 5, y - 5, x + 5, y + 5))).mean())


def test_a_row_for_each_event_and_act(copy: Path) -> None:
    recording = edit_truth(copy, add_acts)
    rows = sheet_rows(recording)
    assert sorted(r.number for r in rows) == sorted(
        [*map(str, range(1, len(recording.truth.events) + 1)), "A1", "A2"]
    )
    middles = [0.5 * (r.t_start_s + r.t_end_s) for r in rows]
    assert middles == sorted(middles)
    acts = {r.number: r for r in rows if r.kind == "act"}
    assert acts["A1"].title.startswith("p1  HIDE")
    assert acts["A2"].expected_g == 0.0
    assert all(r.details.startswith("no shelf event") for r in acts.values())


def test_chosen_events_alone_make_the_sheet(one: Recording) -> None:
    assert [r.number for r in sheet_rows(one, [3, 1, 3])] == ["1", "3"]
    sheet = contact_sheet(one, [1, 2])
    assert sheet.size == (ROW[0], TITLE + 2 * (ROW[1] + GAP))
    assert sheet.mode == "RGB"


def test_many_rows_stand_in_two_columns(copy: Path) -> None:
    recording = brightening(copy)
    sheet = contact_sheet(recording)
    rows = len(recording.truth.events)
    assert rows > 6
    assert sheet.size == (2 * ROW[0] + 2 * GAP, TITLE + (rows + 1) // 2 * (ROW[1] + GAP))
    assert sheet.width <= 2400


def test_header_names_shopper_action_quantity_product_and_conditions(one: Recording) -> None:
    row, event = sheet_rows(one, [1])[0], one.truth.events[0]
    name = one.catalog[event.product].name
    assert row.title == f"{event.shopper}  PICK  {event.quantity} × {name}"
    assert row.details.startswith(f"facing {event.facing}: ")
    assert "people near 0" in row.details


def test_key_frames_are_taken_around_the_event(copy: Path) -> None:
    recording = brightening(copy)
    row, event = sheet_rows(recording, [1])[0], recording.truth.events[0]
    assert row.times_s == pytest.approx(
        {
            "before": event.t_start_s - BEFORE_S,
            "during": event.t_s,
            "after": event.t_end_s + 0.5,
            "late": event.t_end_s + LATE_S,
        }
    )
    assert row.times_s["late"] < SECONDS
    sheet = contact_sheet(recording, [1])
    brightness = {t_s: float(image.mean()) for t_s, image in recording.frames("cam0")}
    for tile, name in ((0, "before"), (1, "during"), (3, "after"), (4, "late")):
        nearest = min(brightness, key=lambda t: abs(t - row.times_s[name]))
        assert abs(nearest - row.times_s[name]) <= 0.5 / FPS
        assert tile_middle(sheet, tile) == pytest.approx(brightness[nearest], abs=0.5)


def test_in_hand_is_before_a_put_back_and_after_a_pick(one: Recording) -> None:
    for row in sheet_rows(one):
        begin, end = row.in_hand_s
        assert begin < end
        if row.kind == "put_back":
            assert end < row.times_s["during"]
        else:
            assert begin > row.times_s["during"]


@pytest.mark.parametrize("name", ["clean-01", "clean-02", "clean-05"])
def test_the_trace_changes_by_the_weight_of_the_event(shipped: Path, name: str) -> None:
    recording = Recording.open(shipped / name)
    for row in sheet_rows(recording):
        trace = plate_trace(recording, row)
        assert trace is not None
        assert row.expected_g is not None
        assert trace.own == recording.planogram[row.facing].plates
        assert set(trace.own) & set(trace.plates)
        for plate in set(trace.own) & set(trace.plates):
            assert len(trace.plates[plate]) == len(trace.t_s) == len(trace.total)
        loose = max(12.0, 0.02 * abs(row.expected_g))
        assert trace.change_g(row.t_start_s, row.t_end_s) == pytest.approx(row.expected_g, abs=loose)
        assert trace.t_s[0] >= row.t_start_s - 2.0
        assert trace.t_s[-1] <= row.t_end_s + 3.0


def test_another_shoppers_event_on_the_shelf_stays_out_of_the_sum(shipped: Path) -> None:
    """Two shoppers reach into one shelf at the same time, one to take, one to put back."""
    recording = Recording.open(shipped / "clean-08")
    events = recording.truth.events
    rows = sheet_rows(recording, [9, 10])
    assert {e.shopper for e in events[8:10]} == {"s1", "s2"}
    assert rows[0].t_end_s > rows[1].t_start_s
    for row in rows:
        trace = plate_trace(recording, row)
        assert trace is not None
        assert row.expected_g is not None
        assert set(trace.plates) - set(trace.own)
        assert trace.change_g(row.t_start_s, row.t_end_s) == pytest.approx(row.expected_g, abs=12)


def test_a_recording_without_plates_has_no_trace(copy: Path) -> None:
    (copy / "plates.parquet").unlink()
    recording = edit_header(copy, lambda d: d.pop("plates"))
    assert plate_trace(recording, sheet_rows(recording, [1])[0]) is None
    assert contact_sheet(recording, [1]).size == (ROW[0], TITLE + ROW[1] + GAP)


def test_a_recording_without_cameras_shows_its_plates(weighed: Recording) -> None:
    sheet = contact_sheet(weighed, [1])
    tile = np.asarray(sheet.crop((GAP + 20, TITLE + HEADER + 100, GAP + 120, TITLE + HEADER + 200)))
    assert np.ptp(tile) == 0
    trace = np.asarray(sheet.crop((ROW[0] - 200, TITLE + 60, ROW[0] - 20, TITLE + 300)))
    assert np.ptp(trace) == 255


def test_neither_cameras_nor_plates_is_refused(copy: Path) -> None:
    def strip(document: dict[str, Any]) -> None:
        del document["cameras"], document["plates"]

    with pytest.raises(InputError, match="plates: this recording has none"):
        contact_sheet(edit_header(copy, strip))


def test_acts_are_drawn_with_boxes_and_without(copy: Path) -> None:
    recording = edit_truth(copy, add_acts)
    height = TITLE + ROW[1] + GAP
    with_box = contact_sheet(recording, behaviour="hide")
    (copy / "boxes.parquet").unlink()
    without = contact_sheet(Recording.open(copy), behaviour="hide")
    assert with_box.size == without.size == (ROW[0], height)
    assert np.asarray(with_box).tobytes() != np.asarray(without).tobytes()


def test_the_hand_box_of_the_person_is_what_an_act_is_cut_out_around(copy: Path) -> None:
    """One bright spot in a dark picture, where the truth says that the hand is."""
    from checkout.vision.video import VideoWriter

    recording = brightening(edit_truth(copy, add_acts).path)
    image = np.zeros((360, 640, 3), np.uint8)
    image[100:120, 500:520] = 255
    with VideoWriter(copy / "cam0.mp4", 640, 360, FPS, crf=10) as writer:
        for _ in range(FPS * 20):
            writer.write(image)
    frames = range(0, FPS * 20, 3)
    boxes = pd.DataFrame({"camera": "cam0", "frame": frames, "label": "hand", "id": "p1.left"})
    boxes[["x1", "y1", "x2", "y2", "visible"]] = (500.0, 100.0, 520.0, 120.0, 1.0)
    boxes.to_parquet(copy / "boxes.parquet")
    sheet = contact_sheet(Recording.open(recording.path), behaviour="hide")
    assert [tile_middle(sheet, i) > 200 for i in range(5)] == [True] * 5


def test_a_behaviour_picks_its_events_and_acts(copy: Path) -> None:
    recording = edit_truth(copy, add_acts)
    assert [r.number for r in sheet_rows(recording, behaviour="change_of_mind")] == ["2"]
    assert [r.number for r in sheet_rows(recording, behaviour="touch")] == ["A2"]
    with pytest.raises(InputError, match=r"'chang_of_mind' does not occur.*did you mean 'change_of_mind'"):
        sheet_rows(recording, behaviour="chang_of_mind")
    with pytest.raises(InputError, match="none to show"):
        sheet_rows(recording, [1], behaviour="change_of_mind")


def test_an_unknown_event_number_is_refused(one: Recording) -> None:
    last = len(one.truth.events)
    for number in (0, last + 1):
        with pytest.raises(InputError, match=f"no event {number}, its events are 1 to {last}"):
            contact_sheet(one, [number])


def test_a_recording_without_truth_is_refused(copy: Path) -> None:
    (copy / "truth.json").unlink()
    with pytest.raises(InputError, match="truth: this recording has none"):
        contact_sheet(Recording.open(copy))


def test_what_exists_is_replaced_only_by_force(copy: Path, tmp_path: Path) -> None:
    recording, out = brightening(copy), tmp_path / "sheet.png"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        save_sheet(recording, out, [1])
    assert out.read_text() == "mine"
    sheet = save_sheet(recording, out, [1], force=True)
    with Image.open(out) as written:
        assert (written.format, written.size) == ("PNG", sheet.size)
        assert np.array_equal(np.asarray(written), np.asarray(sheet))


def test_the_suffix_says_the_format(copy: Path, tmp_path: Path) -> None:
    recording = brightening(copy)
    save_sheet(recording, tmp_path / "sheet.JPG", [1])
    with Image.open(tmp_path / "sheet.JPG") as written:
        assert written.format == "JPEG"
    with pytest.raises(InputError, match=r"ends with none of \.png, \.jpg, \.jpeg"):
        save_sheet(recording, tmp_path / "sheet.gif", [1])
    assert not (tmp_path / "sheet.gif").exists()


def test_the_command_names_its_picture_after_the_recording(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = brightening(copy)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = CliRunner().invoke(app, ["show", str(copy), "--events", "1-2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{recording.id}.jpg: {ROW[0]} x ")
    assert [p.name for p in Path().iterdir()] == [f"{recording.id}.jpg"]


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9)), min_size=1, max_size=6))
def test_number_lists_hold_each_number_of_each_range_once(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(f"{a}-{a + n}" if n else str(a) for a, n in ranges)
    numbers = parse_numbers(text)
    assert set(numbers) == {i for a, n in ranges for i in range(a, a + n + 1)}
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("text", ["", "a", "1,,2", "5-3", "-1", "1.5", "1-", "A1"])
def test_number_lists_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--events"):
        parse_numbers(text)
