"""How places look before and after, and what hands hold, on pictures drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.recording import Camera
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.picture_memory import EVERY_S, KEPT_S, PictureMemory
from checkout.vision.reach_looks import Space, Window
from checkout.vision.second_look import FacingView, SecondLook
from checkout.vision.shelf_moments import HoldingJudge, Looks, holding_score, remember

LEFT = (100.0, 100.0, 160.0, 200.0)
Box = tuple[float, float, float, float]


def detections(**found: list[Box]) -> Detections:
    rows = [(box, CLASSES.index(label)) for label, boxes in found.items() for box in boxes]
    xyxy = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(rows), 0.9, np.float32), np.array([label for _, label in rows], int))


def test_a_moving_item_at_the_hand_is_held_and_a_standing_one_is_not() -> None:
    judge = HoldingJudge()
    hand = np.array([200.0, 200.0, 230.0, 230.0])
    for frame in range(30):
        x = 10.0 * frame
        items = detections(item=[(205.0, 215.0, 235.0, 245.0), (x, 10.0, x + 30, 40.0)])
        moving = judge.update(frame / 10, items)
    assert moving.tolist() == [False, True]
    assert holding_score(hand, items, moving) == 0.0
    assert holding_score(np.array([x, 5.0, x + 30, 35.0]), items, moving) == pytest.approx(0.9)


def looks_at(region: Box) -> tuple[Looks, PictureMemory]:
    """Looks at a place that fills a rectangle of the picture."""
    x1, y1, x2, y2 = region
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    view = FacingView(Window(0.5 * (x1 + x2), 0.5 * (y1 + y2), 110.0), Space(corners, corners, corners))
    memory = PictureMemory(Camera("cam0", "", 10.0, 640, 360))
    return Looks({"left": region}, {"left": view}, SecondLook(), memory), memory


def test_looks_tell_what_went_away_and_forget() -> None:
    looks, memory = looks_at(LEFT)
    bright, dark = np.full((360, 640, 3), 230, np.uint8), np.full((360, 640, 3), 230, np.uint8)
    dark[100:200, 100:160] = 60
    for frame in range(40):
        there = frame < 20
        items = detections(item=[LEFT] if there else [])
        remember(memory, frame / 10, dark if there else bright, items)
    before = looks.before(["left", "right"], 1.8)
    assert set(before) == {"left"}
    assert np.median(before["left"].cut[40:56, 40:56]) == 60
    found = looks.signs(before, 2.2)
    assert found["left"].items_gone == 1
    assert found["left"].change.sum() == pytest.approx(1)
    assert not looks.signs(before, 9.0)
    for frame in range(40, 160):
        remember(memory, frame / 10, bright, detections())
    assert not looks.before(["left"], 1.8)
    # What was seen before is remembered by whoever asked in time.
    assert looks.signs(before, 2.2)["left"].items_gone == 1


def test_a_place_behind_a_hand_is_not_looked_at() -> None:
    looks, memory = looks_at(LEFT)
    image = np.full((360, 640, 3), 230, np.uint8)
    for frame in range(40):
        remember(memory, frame / 10, image, detections(hand=[LEFT] if frame > 10 else []))
    before = looks.before(["left"], 1.8)
    assert set(before) == {"left"}
    assert not looks.signs(before, 2.2)


def test_a_sharper_camera_is_remembered_smaller() -> None:
    memory = PictureMemory(Camera("cam0", "", 10.0, 1920, 1080))
    for frame in range(300):
        if memory.due(frame / 10):
            image = np.full((1080, 1920, 3), frame % 256, np.uint8)
            memory.add(frame / 10, image, np.zeros((0, 4)), np.zeros((0, 2)))
    kept = memory.between(0.0, 30.0)
    assert all((np.abs(memory.image(p).astype(int) - round(10 * p.t_s) % 256) <= 1).all() for p in kept)
    assert memory.image(kept[0]).shape == (360, 640, 3)
    assert memory.shrunk == 3
    assert kept[-1].t_s - kept[0].t_s <= KEPT_S
    assert 40 <= len(kept) <= KEPT_S / EVERY_S + 1
