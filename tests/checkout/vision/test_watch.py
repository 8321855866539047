"""Watching: what is remembered, which frames the network sees, and what is said of cameras that fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.events import WeightStep
from checkout.recording import Camera, Entry, Recording
from checkout.render.scene import View
from checkout.vision.attention import LOOKS_HZ
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.hands import MEMORY_S
from checkout.vision.people import Exchange, ShopperTracker
from checkout.vision.reaches import Reach
from checkout.vision.second_look import HandLooks
from checkout.vision.tracks import Place
from checkout.vision.video import VideoWriter
from checkout.vision.watch import (
    AROUND_S,
    DETECTION_COLUMNS,
    CameraWatch,
    DetectionLog,
    _named_place,
    _named_reach,
    _PlacesAround,
    watch_recording,
)

FPS, SIZE = 10.0, (160, 96)
FACING = Facing("g1.s1.f1", "can", ("g1.s1.p1",), (-0.3, 0.0, 1.1), (0.3, 0.3, 1.5))


def stood(t_s: float) -> Place:
    return Place(t_s, "anna", "anna", 0.0, -1.0)


class Blind:
    """A detector that finds nothing, and counts how often it was asked."""

    name, sees, shipped = "blind", CLASSES, False

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, images: Sequence[np.ndarray], *, at_least: float = 0.0) -> list[Detections]:
        self.asked += len(images)
        return [Detections.empty() for _ in images]


def film(path: Path, moving: Sequence[bool], *, fps: float = FPS) -> None:
    """A grey picture in which a bright square jumps about before the shelf while something moves."""
    rng = np.random.default_rng(7)
    at = 70
    with VideoWriter(path, *SIZE, fps, crf=10) as writer:
        for moves in moving:
            image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
            at = int(rng.integers(50, 90)) if moves else at
            image[40:60, at : at + 20] = 220
            writer.write(image)


def recording(folder: Path, *cameras: Sequence[bool]) -> Recording:
    """A recording of one facing and cameras straight before it, each moving in those frames."""
    calibrated = []
    for number, moving in enumerate(cameras):
        film(folder / f"cam{number}.mp4", moving)
        view = View((0.0, -1.2, 1.3), (0.0, 0.0, 1.3), 50.0, width=SIZE[0], height=SIZE[1])
        calibrated.append(view.calibration(f"cam{number}", f"cam{number}.mp4", FPS))
    Catalog([Product("can", 350, 2, 1)]).save(folder / "catalog.csv")
    Planogram([FACING]).save(folder / "planogram.yaml")
    made = Recording(folder, "rec", tuple(calibrated), None, (), "made", "CC0-1.0", None)
    made.save_header()
    return Recording.open(folder)


def stills(sight_warnings: Sequence[str]) -> list[str]:
    return [line for line in sight_warnings if line.startswith("camera ")]


def test_only_what_moves_and_what_is_around_a_step_is_looked_at(tmp_path: Path) -> None:
    moving = [20 <= frame < 30 for frame in range(100)]
    watched, blind = recording(tmp_path, moving), Blind()
    sight = watch_recording(watched, blind)  # type: ignore[arg-type]
    assert sight.frames == 100
    assert 11 <= blind.asked == sight.network_frames <= 14
    assert watch_recording(watched, Blind(), every_frame=True).network_frames == 100  # type: ignore[arg-type]
    here = WeightStep(7.0, 7.4, "g1.s1", -350.0, 1.0, {"g1.s1.p1": -350.0})
    elsewhere = WeightStep(7.0, 7.4, "g9.s1", -350.0, 1.0, {"g9.s1.p1": -350.0})
    stepped = watch_recording(watched, Blind(), steps=[here])  # type: ignore[arg-type]
    assert stepped.network_frames - sight.network_frames == 35  # 5.5 s to 8.9 s
    assert watch_recording(watched, Blind(), steps=[elsewhere]).network_frames == sight.network_frames  # type: ignore[arg-type]


def test_a_fast_camera_makes_no_more_work(tmp_path: Path) -> None:
    slow, fast = tmp_path / "slow", tmp_path / "fast"
    for folder, fps in ((slow, LOOKS_HZ), (fast, 4 * LOOKS_HZ)):
        folder.mkdir()
        made = recording(folder, [True] * 5)
        film(folder / "cam0.mp4", [True] * round(3 * fps), fps=fps)
        sight = watch_recording(made, Blind())  # type: ignore[arg-type]
        assert sight.frames == round(3 * fps)
        assert sight.network_frames == pytest.approx(3 * LOOKS_HZ, abs=2)  # by chance nothing may have moved
        assert len(sight.looked["cam0"]) == sight.network_frames
        half = watch_recording(made, Blind(), looks_hz=LOOKS_HZ / 2)  # type: ignore[arg-type]
        assert half.network_frames == pytest.approx(1.5 * LOOKS_HZ, abs=2)
        assert np.diff(half.looked["cam0"]).min() >= 1.5 * fps / LOOKS_HZ
        assert watch_recording(made, Blind(), every_frame=True).network_frames == round(3 * fps)  # type: ignore[arg-type]


def test_a_camera_that_freezes_or_ends_early_is_named(tmp_path: Path) -> None:
    freezes = [frame < 30 or frame >= 60 for frame in range(100)]
    sight = watch_recording(recording(tmp_path, [True] * 100, freezes, [True] * 70), Blind())  # type: ignore[arg-type]
    assert stills(sight.warnings) == [
        "camera cam1 showed no new picture from 2.9 s to 6.0 s",
        "camera cam2 ends at 6.9 s, 3.0 s before cam0",
    ]


def test_an_empty_shelf_before_all_cameras_is_no_fault(tmp_path: Path) -> None:
    sight = watch_recording(recording(tmp_path, [False] * 60, [False] * 60), Blind())  # type: ignore[arg-type]
    assert stills(sight.warnings) == []


def test_cameras_that_are_not_calibrated_are_named(tmp_path: Path) -> None:
    made = recording(tmp_path, [False] * 5)
    plain = Camera("cam9", "cam0.mp4", FPS, *SIZE)
    seen = watch_recording(
        Recording(tmp_path, "rec", (*made.cameras, plain), None, (), "made", "", None), Blind()  # type: ignore[arg-type]
    )  # fmt: skip
    assert "camera cam9 is not calibrated and was left out" in seen.warnings


def test_detections_are_kept_only_when_asked_for(tmp_path: Path) -> None:
    made = recording(tmp_path, [True] * 5)
    kept = watch_recording(made, Blind()).detections  # type: ignore[arg-type]
    assert kept is not None
    assert tuple(kept.columns) == DETECTION_COLUMNS
    assert watch_recording(made, Blind(), keep=False).detections is None  # type: ignore[arg-type]


def test_weak_detections_are_remembered_and_nothing_else() -> None:
    class Seeing(Blind):
        def detect(self, images: Sequence[np.ndarray], *, at_least: float = 0.1) -> list[Detections]:
            every = detections(("hand", 0.8, 10.0), ("hand", 0.02, 40.0))
            return [every.where(every.confidence >= at_least) for _ in images]

    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    camera = Camera("cam0", "cam0.mp4", FPS, *SIZE)
    scores = {}
    for keep_from in (0.1, 0.001):
        watch = CameraWatch(camera, Seeing(), keep_from=keep_from)  # type: ignore[arg-type]
        found = watch.look(0, 0.0, image)
        assert found.confidence.tolist() == pytest.approx([0.8])
        assert len(watch.seen(0.0, found)) == 1
        table = watch.table(["cam0"])
        assert table is not None
        scores[keep_from] = table["confidence"].tolist()
    assert scores[0.1] == pytest.approx([0.8])
    assert scores[0.001] == pytest.approx([0.8, 0.02])


class Shifted:
    """A second look that moves every hand's box by 5 pixels and takes all for hands that hold something."""

    def hands(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> HandLooks:
        sure = np.full(len(boxes_xyxy), 0.9)
        return HandLooks(sure, sure, boxes_xyxy + 5)


class Pointing(Blind):
    """A detector that finds one hand."""

    def detect(self, images: Sequence[np.ndarray], *, at_least: float = 0.0) -> list[Detections]:
        return [detections(("hand", 0.5, 3.0)) for _ in images]


@pytest.mark.parametrize("shipped", [True, False])
def test_hands_are_followed_by_the_first_look_and_scored_by_both(shipped: bool) -> None:
    detector = Pointing()
    detector.shipped = shipped
    camera = Camera("cam0", "cam0.mp4", FPS, *SIZE)
    watch = CameraWatch(camera, detector, second=Shifted())  # type: ignore[arg-type]
    found, _ = watch.notice(0, 0.0, np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    assert found.boxes_xyxy[0].tolist() == [3.0, 0.0, 13.0, 20.0]
    assert watch.seen(0.0, found)[0].holding == 0.9
    table = watch.table(["cam0"])
    assert table is not None
    assert (table["x1"].iloc[0] > 3.0) is np.bool_(shipped)


def test_what_was_seen_of_people_who_were_mixed_up_is_named_anew() -> None:
    """Anna and Ben had each other's names from 2 to 3 s; Ben pays with another account."""
    entries = [Entry("s1", 0.0, (0.0, -1.0), "anna"), Entry("s2", 0.0, (0.5, -1.0), "ben")]
    view = View((0.0, -1.2, 1.3), (0.0, 0.0, 1.3), 50.0, width=SIZE[0], height=SIZE[1])
    shoppers = ShopperTracker(entries, [view.calibration("cam0", "cam0.mp4", FPS)])
    shoppers.exchanges.append(Exchange(2.0, 3.0, "anna", "ben"))
    for t_s, who, account in ((1.9, "anna", "s1"), (2.0, "ben", "s2"), (3.0, "anna", "s1")):
        assert _named_place(Place(t_s, "anna", "s1", 0.0, 0.0), shoppers)[1:3] == (who, account)
        seen = Reach(t_s, t_s, 0.0, np.zeros(3), 0.1, {"f": 1.0}, 0.0, 0.0, {"anna": 1.0}, ("cam0",))
        seen = _named_reach(replace(seen, standing={"anna": 0.9, "ben": 0.1}), shoppers)
        assert seen.owner == {who: 1.0}
        assert max(seen.standing, key=seen.standing.__getitem__) == who


def detections(*boxes: tuple[str, float, float]) -> Detections:
    return Detections(
        np.array([(x, 0, x + 10, 20) for _, _, x in boxes], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in boxes], np.float32),
        np.array([CLASSES.index(label) for label, _, _ in boxes], int),
    )


def test_frames_the_network_did_not_see_have_the_boxes_of_the_one_before() -> None:
    log = DetectionLog()
    for index, found in enumerate(
        [
            detections(("hand", 0.5, 3.0), ("item", 0.75, 7.0)),
            None,
            detections(),
            None,
            detections(("item", 0.25, 1.0)),
        ]
    ):
        if found is not None:
            log.looked([found])
        log.frame(index, index / 10)
    table = log.table("cam1", ["cam0", "cam1"])
    assert tuple(table.columns) == DETECTION_COLUMNS
    assert table[["camera", "frame", "t_s", "label", "confidence", "x1", "x2"]].to_numpy().tolist() == [
        ["cam1", 0, 0.0, "hand", 0.5, 3.0, 13.0],
        ["cam1", 0, 0.0, "item", 0.75, 7.0, 17.0],
        ["cam1", 1, 0.1, "hand", 0.5, 3.0, 13.0],
        ["cam1", 1, 0.1, "item", 0.75, 7.0, 17.0],
        ["cam1", 4, 0.4, "item", 0.25, 1.0, 11.0],
    ]
    assert table.memory_usage(index=False, deep=False).sum() / len(table) < 60
    assert DetectionLog().table("cam0", ["cam0"]).empty


@pytest.mark.parametrize("late", [False, True])
def test_what_was_seen_around_an_event_stays_and_the_rest_goes(late: bool) -> None:
    around = _PlacesAround([] if late else [(100.0, 101.0)], keep_all=False)
    for tick in range(10_000):
        around.add([stood(tick / 10)])
        if late and tick == 1100:
            around.keep(100.0, 101.0)
    rows = [row.t_s for row in around.rows()]
    assert rows[:31] == pytest.approx(np.arange(990, 1021) / 10)
    assert rows[31:] == pytest.approx(np.arange(9999 - 10 * (MEMORY_S + AROUND_S), 10_000) / 10)


def test_all_of_it_stays_when_asked_for() -> None:
    around = _PlacesAround([(1.0, 2.0)], keep_all=True)
    for tick in range(1000):
        around.add([stood(tick / 10)])
        around.keep(tick / 10, tick / 10)
    assert len(around.rows()) == 1000
