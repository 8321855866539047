"""Shoppers on the floor and hands at facings, with cameras whose geometry is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from checkout.catalog import Facing, Planogram
from checkout.events import ShelfMoment
from checkout.recording import Camera
from checkout.render.scene import View
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.tracks import (
    BoxTracker,
    HandSighting,
    Place,
    PositionsNearness,
    SightingsNearness,
    stance,
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


def test_who_stands_right_for_a_reach_is_closer_and_closest_when_seen_to_reach() -> None:
    places = [Place(5.0, "anna", "anna", -0.5, -0.55), Place(5.0, "ben", "ben", 0.9, -0.5)]
    near = SightingsNearness(PLANOGRAM, [], [], places).closeness("g1.s1.f1", 4.9, 5.1)
    assert near["ben"] < 0.01 * near["anna"]
    reach = ShelfMoment(4.8, 5.2, "cam0", {"g1.s1.f1": 1.0}, {"pick": 1.0}, {"anna": 1.0})
    seen = SightingsNearness(PLANOGRAM, [], [reach], places).closeness("g1.s1.f1", 4.9, 5.1)
    assert seen["anna"] > 3 * near["anna"]
    assert seen["ben"] == near["ben"]


def test_a_reach_goes_ahead_and_rather_to_the_right_than_to_the_left() -> None:
    """Of a body that faces the shelf, whichever way the shelf looks."""
    for outward in (np.array([0.0, -1.0]), np.array([1.0, 0.0]), np.array([-0.6, 0.8])):
        inward, right = -outward, np.array([-outward[1], outward[0]])
        best = stance(0.6 * inward + 0.2 * right, outward)
        assert best == pytest.approx(0.8, abs=0.05)
        assert 0.1 < stance(0.6 * inward - 0.2 * right, outward) < 0.5 * best
        assert stance(0.6 * inward + 0.9 * right, outward) < 0.01 * best
        assert stance(-0.6 * inward, outward) < 0.01 * best
        assert stance(1.8 * inward + 0.2 * right, outward) < 0.01 * best


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
