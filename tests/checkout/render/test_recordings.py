"""Rendered recordings: one seed, one truth; and the plates, the truth and the pictures agree."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from checkout.catalog import shelf_of
from checkout.errors import InputError
from checkout.recording import Recording
from checkout.render.recordings import STRETCH_FRAMES, render_all, render_recording
from checkout.render.specs import SETS, CameraSpec, PlateFaults, RecordingSpec
from checkout.validation import validate
from checkout.vision.video import VideoWriter, decoded_times_s, indexed_times_s, join_videos, read_frames

PROJECT = Path(__file__).resolve().parents[3]
TINY = RecordingSpec(id="tiny", seed=7, people=("s1",), duration_s=9.0, fps=6)
THUMBNAIL = CameraSpec(position_m=(0.0, -0.6, 2.6), width=160, height=90)
SENSED = ("truth.json", "plates.parquet", "catalog.csv", "planogram.yaml")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return render_recording(TINY, tmp_path_factory.mktemp("tiny") / "tiny")


def test_truth_and_plates_do_not_depend_on_the_pictures(tiny: Recording, tmp_path: Path) -> None:
    again = render_recording(TINY, tmp_path / "again", video=False)
    for name in SENSED:
        assert (again.path / name).read_bytes() == (tiny.path / name).read_bytes()


def test_everybody_is_photographed_at_the_entry(tiny: Recording) -> None:
    assert [entry.picture for entry in tiny.entries] == ["entry-p1.jpg"]
    height, width, _ = tiny.entry_pictures()["p1"].shape
    assert height > 150
    assert height > 1.5 * width


def test_truth_and_plates_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    specs = [
        RecordingSpec(id="one", seed=31, duration_s=8.0),
        RecordingSpec(id="two", seed=32, people=("s1", "s2"), duration_s=8.0, confusing=0.5,
                      plates=PlateFaults(dropping=0.1, stuck=0.1, overloaded=0.1)),
    ]  # fmt: skip
    folders = [
        render_all(specs, tmp_path / f"by-{workers}", workers=workers, video=False) for workers in (1, 2)
    ]
    assert [f.name for f in folders[0]] == ["one", "two"]
    for one, two in zip(*folders, strict=True):
        for name in (*SENSED, "recording.yaml"):
            assert (one / name).read_bytes() == (two / name).read_bytes()


def test_what_is_complete_is_not_rendered_again(tmp_path: Path) -> None:
    spec = RecordingSpec(id="one", seed=33, duration_s=6.0)
    (folder,) = render_all([spec], tmp_path, workers=1, video=False)
    before = {f.name: f.stat().st_ino for f in folder.iterdir()}
    render_all([spec], tmp_path, workers=1, video=False)
    assert {f.name: f.stat().st_ino for f in folder.iterdir()} == before
    render_all([spec], tmp_path, workers=1, video=False, force=True)
    assert {f.name: f.stat().st_ino for f in folder.iterdir()} != before


KILLED = RecordingSpec(id="killed", seed=34, duration_s=7.0, fps=8, cameras=(THUMBNAIL,))


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {f.name: (f.stat().st_ino, f.stat().st_mtime_ns) for f in folder.iterdir()}


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    out, workshop = tmp_path / "killed", tmp_path / ".killed.stretches"
    code = (
        "from pathlib import Path; from checkout.render.recordings import render_recording\n"
        "from checkout.render.specs import RecordingSpec\n"
        f"render_recording(RecordingSpec.model_validate({KILLED.model_dump()!r}), Path({str(out)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT) as run:
        deadline = time.monotonic() + 120
        while not (workshop / "0000").is_dir() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    assert not out.exists()
    finished = {name: files_of(workshop / name) for name in ("0000", "0001") if (workshop / name).is_dir()}
    assert "0000" in finished
    assert len(list(tmp_path.iterdir())) == 2, "the workshop and the draft of the killed run"

    def look(_: str, share: float) -> None:
        kept.append({name: files_of(workshop / name) for name in finished})

    kept: list[dict[str, dict[str, tuple[int, int]]]] = []
    recording = render_recording(KILLED, out, progress=look)
    assert len(kept) == 2
    assert all(files == finished for files in kept)
    assert list(tmp_path.iterdir()) == [out]
    assert decoded_times_s(out / "cam0.mp4") == pytest.approx(np.arange(56) / 8, abs=1e-6)
    assert recording.boxes["frame"].max() == 55
    assert [str(f) for f in validate(out).faults] == []


DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = ["checkout", "render", "--spec", sys.argv[2], "--out", sys.argv[3], "--workers", "1"]
from checkout.cli import main
main()
"""


@pytest.mark.parametrize("room_bytes", [8_000, 48_000], ids=["for-no-plates", "for-no-video"])
def test_a_full_disk_is_said_in_one_line(tmp_path: Path, room_bytes: int) -> None:
    spec = {"id": "full", "seed": 3, "duration_s": 6, "fps": 5, "shelves": 3, "products": 4}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"schema": 1, "recordings": [spec]}))
    words = [str(room_bytes), str(tmp_path / "mine.yaml"), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", DISK, *words], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert f"{tmp_path / 'out' / 'full'}: cannot be written" in last
    assert "make room and run it again" in last
    assert "Traceback" not in done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {".full.stretches"}


@pytest.mark.parametrize("rest", [1, 2, 3, 4, 20])
@pytest.mark.parametrize("fps", [1, 6, 7, 10, 30])
def test_joined_videos_show_every_frame_at_its_time(tmp_path: Path, fps: int, rest: int) -> None:
    """Frame k at k / fps, in order, whatever is left for the last part."""
    parts, lengths = [], (20, 20, rest)
    count = sum(lengths)
    for number, length in enumerate(lengths):
        parts.append(tmp_path / f"{number}.mp4")
        with VideoWriter(parts[-1], 64, 48, fps, crf=4) as writer:
            for frame in range(20 * number, 20 * number + length):
                writer.write(np.full((48, 64, 3), 20 + 3 * frame, np.uint8))
    join_videos(parts, tmp_path / "all.mp4", fps)
    frames = list(read_frames(tmp_path / "all.mp4"))
    assert [t for t, _ in frames] == pytest.approx(np.arange(count) / fps, abs=1e-6)
    assert indexed_times_s(tmp_path / "all.mp4") == pytest.approx(np.arange(count) / fps, abs=1e-6)
    levels = np.array([image.mean() for _, image in frames])
    assert np.diff(levels) == pytest.approx(np.full(count - 1, 3.0), abs=1.5)


def test_header_videos_boxes_and_truth_agree(tiny: Recording) -> None:
    assert round(TINY.duration_s * TINY.fps) > STRETCH_FRAMES, "two stretches, to be joined"
    validation = validate(tiny.path)
    assert [str(f) for f in validation.faults] == []
    assert [(c.camera, c.fps) for c in tiny.cameras] == [("cam0", 6), ("cam1", 6)]
    for camera in tiny.cameras:
        assert decoded_times_s(tiny.path / camera.file) == pytest.approx(np.arange(54) / 6, abs=1e-6)
    boxes = tiny.boxes
    assert set(boxes["camera"]) == {"cam0", "cam1"}
    assert boxes["frame"].min() >= 0
    assert boxes["frame"].max() == 53
    assert not boxes.duplicated(["camera", "frame", "label", "id"]).any()
    assert {entry.person for entry in tiny.entries} == {"p1"}
    assert set(boxes.loc[boxes["label"] == "hand", "id"]) <= {"p1.left", "p1.right"}
    assert set(boxes.loc[boxes["label"] == "person", "id"]) == {"p1"}
    assert boxes.loc[boxes["label"] == "item", "id"].str.fullmatch(r"u\d+").all()


@pytest.mark.parametrize("name", ["test-clean", "test-hard"])
def test_shipped_recordings_are_what_their_seeds_make(shipped: Path, tmp_path: Path, name: str) -> None:
    spec = SETS[name][0]
    again = render_recording(spec, tmp_path / spec.id, video=False)
    assert (again.path / "truth.json").read_bytes() == (shipped / spec.id / "truth.json").read_bytes()
    pd.testing.assert_frame_equal(again.plates, Recording.open(shipped / spec.id).plates)


def test_shipped_recordings_hold_what_the_readme_says(shipped: Path) -> None:
    specs = [*SETS["test-clean"], *SETS["test-hard"]]
    recordings = [Recording.open(shipped / spec.id) for spec in specs]
    events = [e for r in recordings for e in r.truth.events]
    shoppers = Counter(len(r.truth.shoppers) for r in recordings)
    assert shoppers[1] >= 2
    assert shoppers[2] >= 2
    assert len(events) >= 300
    assert 0.20 <= np.mean([e.action == "put_back" for e in events]) <= 0.33
    assert sum(e.quantity > 1 for e in events) >= 20
    assert all(len(r.catalog) >= 12 for r in recordings)
    for spec, recording in zip(specs, recordings, strict=True):
        assert recording.seed == spec.seed
        assert len(recording.entries) == len(spec.people)
        assert len(recording.cameras) == 2


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
