"""The floor: what is left on it is found, when and by whom; people, shadows and what was there at first are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.events import LeftOnFloor
from checkout.recording import Entry, Recording
from checkout.render.scene import View
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.floor import FloorWatch
from checkout.vision.video import VideoWriter
from checkout.vision.watch import watch_recording

ABOVE = View((0.0, -0.9, 2.7), (0.0, -0.5, 0.0), 62.0).calibration("cam0", "cam0.mp4", 10)
ASIDE = View((1.2, -1.5, 2.3), (0.0, -0.6, 0.0), 55.0).calibration("cam1", "cam1.mp4", 10)
PLANOGRAM = Planogram(
    Facing(f"g1.s1.f{i}", "can", (f"g1.s1.p{i}",), (x, 0.0, 0.3), (x + 0.2, 0.4, 0.6))
    for i, x in enumerate((-0.6, -0.4, -0.2, 0.0, 0.2, 0.4))
)
ITEM, STOOD = (0.4, -0.6), (0.1, -0.7)
Paint = Callable[[np.ndarray, float], None]
NOBODY: Mapping[str, tuple[float, float]] = {}


def floor_picture(camera: object = ABOVE) -> np.ndarray:
    """A floor of two kinds of tiles with a little noise."""
    rng = np.random.default_rng(3)
    tiles = np.add.outer(np.arange(360) // 60, np.arange(640) // 60) % 2
    return np.clip(150 + 14 * tiles[..., None] + rng.normal(0, 2, (360, 640, 3)), 0, 255).astype(np.uint8)


def square(camera: object, at: tuple[float, float], side_m: float) -> tuple[int, int, int, int]:
    low, high = (
        camera.project(np.array([[at[0] + d, at[1] - d, 0.02]]))[0][0]  # type: ignore[attr-defined]
        for d in (-side_m / 2, side_m / 2)
    )
    return (*np.minimum(low, high).astype(int), *np.maximum(low, high).astype(int))  # type: ignore[return-value]


def painted(image: np.ndarray, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    image[box[1] : box[3], box[0] : box[2]] = colour


def people(*boxes: tuple[int, int, int, int]) -> Detections:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(rows, np.full(len(rows), 0.9, np.float32), np.full(len(rows), CLASSES.index("person")))


def watched(
    paint: Callable[[np.ndarray, float, object], None],
    where: Callable[[float], Mapping[str, tuple[float, float]]] = lambda t: NOBODY,
    boxes: Callable[[float], tuple[tuple[int, int, int, int], ...]] = lambda t: (),
    cameras: tuple[object, ...] = (ABOVE,),
    until_s: float = 30.0,
) -> list[LeftOnFloor]:
    watch = FloorWatch(cameras, PLANOGRAM)  # type: ignore[arg-type]
    for t_s in np.arange(0, until_s, 0.4):
        for camera in cameras:
            image = floor_picture()
            paint(image, float(t_s), camera)
            watch.update(camera.camera, float(t_s), image, people(*boxes(float(t_s))), where(float(t_s)))  # type: ignore[attr-defined]
    return watch.left(lambda person, t_s: {"p1": "anna", "p2": "ben"}[person])


def item_from(t_come_s: float) -> Callable[[np.ndarray, float, object], None]:
    def paint(image: np.ndarray, t_s: float, camera: object) -> None:
        if t_s >= t_come_s:
            painted(image, square(camera, ITEM, 0.12), (40, 60, 200))

    return paint


def test_an_item_left_on_the_floor_is_found_where_and_when_it_came() -> None:
    (found,) = watched(item_from(12.0))
    assert found.at_m == pytest.approx(ITEM, abs=0.06)
    assert found.t_start_s == pytest.approx(11.6)
    assert found.t_end_s == pytest.approx(12.0)


def test_two_cameras_see_one_item_and_are_surer() -> None:
    (alone,) = watched(item_from(12.0))
    (both,) = watched(item_from(12.0), cameras=(ABOVE, ASIDE))
    assert both.at_m == pytest.approx(ITEM, abs=0.06)
    assert both.probability > alone.probability


def test_whoever_stood_there_left_it() -> None:
    """ben walks past the place, anna stands at arm's length of it when it comes."""

    def where(t_s: float) -> Mapping[str, tuple[float, float]]:
        return {"p1": STOOD if 8 <= t_s <= 16 else (-0.6, -0.7), "p2": (-1.5 + 0.25 * t_s, -1.4)}

    covering = square(ABOVE, ITEM, 0.5)
    (found,) = watched(item_from(12.0), where, lambda t: (covering,) if 8 <= t <= 16 else ())
    assert sum(found.shopper.values()) == pytest.approx(1)
    assert found.shopper["anna"] > 0.9


def test_an_item_hidden_by_a_body_came_while_it_was_hidden() -> None:
    covering = square(ABOVE, ITEM, 0.5)

    def paint(image: np.ndarray, t_s: float, camera: object) -> None:
        item_from(12.0)(image, t_s, camera)
        if 8 <= t_s <= 16:
            painted(image, covering, (90, 30, 30))

    (found,) = watched(paint, boxes=lambda t: (covering,) if 8 <= t <= 16 else ())
    assert found.t_start_s == pytest.approx(7.6)
    assert found.t_end_s == pytest.approx(16.4, abs=0.41)


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "taken away again",
        "shadow",
        "brighter light",
        "as large as a cart",
        "there at first",
        "body at rest",
    ],
)
def test_what_is_not_left_is_not_found(name: str) -> None:
    covering = square(ABOVE, ITEM, 0.5)

    def paint(image: np.ndarray, t_s: float, camera: object) -> None:
        box = square(camera, ITEM, 0.12)
        if name == "taken away again" and 8 <= t_s <= 20:
            painted(image, box, (40, 60, 200))
        elif name == "shadow" and t_s >= 8:
            image[box[1] : box[3], box[0] : box[2]] = 0.6 * image[box[1] : box[3], box[0] : box[2]]
        elif name == "brighter light" and t_s >= 8:
            image[:] = np.clip(1.05 * image.astype(float), 0, 255)
        elif name == "as large as a cart" and t_s >= 8:
            painted(image, square(camera, ITEM, 0.7), (40, 60, 200))
        elif name == "there at first" and t_s <= 8:
            painted(image, box, (40, 60, 200))
        elif name == "body at rest" and t_s >= 8:
            painted(image, covering, (90, 30, 30))

    hidden = (lambda t: (covering,) if t >= 8 else ()) if name == "body at rest" else (lambda t: ())
    assert watched(paint, boxes=hidden) == []


def test_the_light_may_change_slowly() -> None:
    def paint(image: np.ndarray, t_s: float, camera: object) -> None:
        item_from(22.0)(image, t_s, camera)
        image[:] = np.clip((1 + 0.02 * t_s) * image.astype(float), 0, 255)

    (found,) = watched(paint)
    assert found.t_start_s <= 22.0 <= found.t_end_s
    assert found.at_m == pytest.approx(ITEM, abs=0.06)


def test_memory_is_bounded() -> None:
    watch = FloorWatch((ABOVE,), PLANOGRAM)
    image = floor_picture()
    for t_s in np.arange(0, 400, 0.4):
        watch.update("cam0", float(t_s), image, people(), {"p1": STOOD})
    (floor,) = watch._floors.values()
    assert len(floor._seen) == len(watch._stood) < 460


class Blind:
    """A detector that finds nothing."""

    name, sees, shipped = "blind", CLASSES, False

    def detect(self, images: Sequence[np.ndarray], *, at_least: float = 0.0) -> list[Detections]:
        return [Detections.empty() for _ in images]


def test_watching_a_recording_tells_what_was_left(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "cam0.mp4", 640, 360, 10.0, crf=10) as writer:
        for t_s in np.arange(0, 9, 0.1):
            image = floor_picture()
            item_from(4.0)(image, float(t_s), ABOVE)
            writer.write(image)
    Catalog([Product("can", 350, 2, 1)]).save(tmp_path / "catalog.csv")
    PLANOGRAM.save(tmp_path / "planogram.yaml")
    entries = (Entry("anna", 0.5, STOOD, "p1"),)
    Recording(tmp_path, "rec", (ABOVE,), None, entries, "made", "CC0-1.0", None).save_header()
    (found,) = watch_recording(Recording.open(tmp_path), Blind()).left  # type: ignore[arg-type]
    assert found.at_m == pytest.approx(ITEM, abs=0.06)
    assert found.t_start_s <= 4.0 <= found.t_end_s + 0.05
    assert found.shopper == {"anna": 1.0}


def test_without_a_floor_in_sight_nothing_is_found() -> None:
    up = View((0.0, -0.9, 1.2), (0.0, -0.2, 2.4), 40.0).calibration("cam0", "cam0.mp4", 10)
    assert watched(item_from(5.0), cameras=(up,), until_s=8.0) == []
