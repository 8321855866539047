"""Shoppers on the floor and hands at facings, with cameras whose geometry is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from checkout.catalog import Facing, Planogram
from checkout.events import ShelfMoment
from checkout.recording import Camera, Entry
from checkout.render.scene import View
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.tracks import (
    BODY_HEIGHT_M,
    BoxTracker,
    HandSighting,
    Place,
    PositionsNearness,
    ShopperTracker,
    SightingsNearness,
    floor_points,
)

ABOVE = View((0.0, -0.9, 2.7), (0.0, -0.2, 1.0), 50.0, k1=-0.06).calibration("cam0", "cam0.mp4", 12)
ASIDE = View((1.0, -1.5, 2.3), (0.0, 0.0, 1.0), 45.0).calibration("cam1", "cam1.mp4", 12)
PLANOGRAM = Planogram(
    [
        Facing("g1.s1.f1", "cola", ("g1.s1.p1",), (-0.4, 0.0, 1.2), (-0.2, 0.4, 1.5)),
        Facing("g1.s1.f2", "tea", ("g1.s1.p2",), (0.2, 0.0, 1.2), (0.4, 0.4, 1.5)),
    ]
)


def boxes(label: str, *centres: tuple[float, float], size: float = 40.0) -> Detections:
    xyxy = np.array([(x - size, y - size, x + size, y + size) for x, y in centres], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(xyxy), 0.9, np.float32), np.full(len(xyxy), CLASSES.index(label)))


def seen_at(camera: Camera, x: float, y: float, z: float) -> tuple[float, float]:
    pixels, _ = camera.project(np.array([[x, y, z]]))
    return float(pixels[0, 0]), float(pixels[0, 1])


def test_a_person_box_is_placed_on_the_floor() -> None:
    for camera in (ABOVE, ASIDE):
        box = boxes("person", seen_at(camera, 0.3, -0.5, BODY_HEIGHT_M))
        assert floor_points(camera, box.boxes_xyxy, BODY_HEIGHT_M)[0] == pytest.approx([0.3, -0.5], abs=0.01)


def test_shoppers_keep_their_names_while_they_walk_past_each_other() -> None:
    tracker = ShopperTracker([Entry("anna", 0.0, (-1.0, -0.5)), Entry("ben", 0.0, (1.0, -1.0))])
    for frame in range(49):
        t_s = frame / 12
        x = -1.0 + 0.5 * t_s
        people = boxes(
            "person", seen_at(ABOVE, x, -0.5, BODY_HEIGHT_M), seen_at(ABOVE, -x, -1.0, BODY_HEIGHT_M)
        )
        tracker.update(ABOVE, t_s, people)
    places = tracker.places(4.0)
    assert places["anna"] == pytest.approx([1.0, -0.5], abs=0.15)
    assert places["ben"] == pytest.approx([-1.0, -1.0], abs=0.15)


def test_a_box_that_stands_on_another_is_given_to_nobody() -> None:
    tracker = ShopperTracker([Entry("anna", 0.0, (0.0, -0.5))])
    middle = seen_at(ABOVE, 0.0, -0.5, BODY_HEIGHT_M)
    people = boxes("person", seen_at(ABOVE, 2.0, -0.5, BODY_HEIGHT_M), middle, middle)
    given = tracker.update(ABOVE, 0.1, people)
    assert given in ({"anna": 1}, {"anna": 2})


def test_nobody_is_known_before_the_entry_scan() -> None:
    tracker = ShopperTracker([Entry("anna", 5.0, (0.0, -0.5))])
    assert tracker.places(1.0) == {}
    assert set(tracker.places(5.0)) == {"anna"}


def sighting(shopper: dict[str, float], at: tuple[float, float, float], t_s: float) -> HandSighting:
    return HandSighting("cam0", t_s, 1, (0.0, 0.0, 16.0, 16.0), 0.9, shopper, 0.0, at, 0.03)


def test_the_hand_that_was_at_the_facing_is_the_closest() -> None:
    sightings = [
        sighting({who: 1.0}, at, 5.0) for who, at in (("anna", (-0.3, 0.05, 1.3)), ("ben", (0.3, 0.05, 1.3)))
    ]
    near = SightingsNearness(PLANOGRAM, sightings)
    at_cola = near.closeness("g1.s1.f1", 4.8, 5.2)
    assert at_cola["anna"] > 0.35
    assert at_cola["ben"] < 0.1 * at_cola["anna"]
    assert near.closeness("g1.s1.f1", 8.0, 9.0) == {}


def test_who_reached_in_at_that_time_counts_more_than_who_was_near() -> None:
    sightings = [sighting({who: 1.0}, (-0.3, 0.05, 1.3), 5.0) for who in ("anna", "ben")]
    reach = ShelfMoment(4.8, 5.2, "cam0", {"g1.s1.f1": 0.9, "g1.s1.f2": 0.1}, {"pick": 1.0}, {"ben": 1.0})
    near = SightingsNearness(PLANOGRAM, sightings, [reach]).closeness("g1.s1.f1", 4.8, 5.2)
    assert near["ben"] == pytest.approx(0.9)
    assert near["ben"] > 2 * near["anna"]
    later = SightingsNearness(PLANOGRAM, sightings, [reach]).closeness("g1.s1.f1", 5.8, 6.2)
    assert later.get("ben", 0.0) < 0.01


def test_who_stands_there_counts_a_little_where_no_hand_is_seen() -> None:
    places = [Place(5.0, "anna", "anna", -0.3, -0.5), Place(5.0, "ben", "ben", 0.9, -0.5)]
    near = SightingsNearness(PLANOGRAM, [], [], places).closeness("g1.s1.f1", 4.9, 5.1)
    assert 0.05 < near["anna"] <= 0.1
    assert near["ben"] < 0.3 * near["anna"]


def test_tracked_positions_say_the_same() -> None:
    rows = [(5.0, "anna", "left_hand", -0.3, 0.1, 1.3), (5.0, "ben", "right_hand", 0.3, -0.4, 1.3)]
    near = PositionsNearness(
        PLANOGRAM, pd.DataFrame(rows, columns=["t_s", "shopper", "part", "x_m", "y_m", "z_m"])
    )
    found = near.closeness("g1.s1.f1", 4.9, 5.1)
    assert found["anna"] == pytest.approx(1.0)
    assert found["ben"] < 0.01


def test_a_hand_keeps_its_track() -> None:
    tracker = BoxTracker()
    tracks = set()
    for frame in range(10):
        found = tracker.update(boxes("hand", (100.0 + 6 * frame, 100.0), size=15.0), (360, 640))
        tracks |= {track for track, _ in found}
    assert len(tracks) == 1


def scene(*people: tuple[tuple[float, float], tuple[int, int, int]]) -> tuple[Detections, np.ndarray]:
    """Boxes of people who stand at floor positions in clothes of some colour, as the camera above sees them."""
    image = np.full((360, 640, 3), 120, np.uint8)
    centres = [seen_at(ABOVE, x, y, BODY_HEIGHT_M) for (x, y), _ in people]
    for (x, y), (_, colour) in zip(centres, people, strict=True):
        image[max(0, int(y) - 40) : int(y) + 40, max(0, int(x) - 40) : int(x) + 40] = colour
    return boxes("person", *centres), image


RED, BLUE = (20, 20, 200), (200, 40, 20)


def test_people_who_were_mixed_up_get_their_names_back_by_their_clothes() -> None:
    entries = [Entry("anna", 0.0, (-0.5, -0.6)), Entry("ben", 0.0, (0.5, -0.6))]
    last: dict[bool, dict[str, np.ndarray]] = {}
    for with_picture in (True, False):
        tracker = ShopperTracker(entries)
        for frame in range(60):
            # Half way they change places while nobody looks.
            side = -0.5 if frame < 30 else 0.5
            found, image = scene(((side, -0.6), RED), ((-side, -0.6), BLUE))
            given = tracker.update(ABOVE, frame / 10, found, image if with_picture else None)
            assert frame >= 30 or given == {"anna": 0, "ben": 1}
        last[with_picture] = tracker.places(6.0)
        assert given == ({"anna": 0, "ben": 1} if with_picture else {"anna": 1, "ben": 0})
    assert last[True]["anna"] == pytest.approx([0.5, -0.6], abs=0.1)
    assert last[True]["ben"] == pytest.approx([-0.5, -0.6], abs=0.1)
    assert last[False]["anna"] == pytest.approx([-0.5, -0.6], abs=0.1)


def test_people_dressed_alike_are_not_exchanged() -> None:
    tracker = ShopperTracker([Entry("anna", 0.0, (-0.5, -0.6)), Entry("ben", 0.0, (0.5, -0.6))])
    for frame in range(60):
        found, image = scene(((-0.5, -0.6), RED), ((0.5, -0.6), RED))
        tracker.update(ABOVE, frame / 10, found, image)
    assert tracker.places(6.0)["anna"] == pytest.approx([-0.5, -0.6], abs=0.1)
