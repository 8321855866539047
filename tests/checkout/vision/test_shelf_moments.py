"""How places look before and after, and what hands hold, on pictures drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.vision.detector import CLASSES, Detections
from checkout.vision.second_look import SecondLook
from checkout.vision.shelf_moments import HoldingJudge, Looks, holding_score

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


def test_looks_tell_what_went_away_and_forget() -> None:
    looks = Looks({"left": LEFT}, {"left": LEFT}, SecondLook())
    bright, dark = np.full((360, 640, 3), 230, np.uint8), np.full((360, 640, 3), 230, np.uint8)
    dark[100:200, 100:160] = 60
    for frame in range(40):
        there = frame < 20
        looks.update(frame / 10, dark if there else bright, detections(item=[LEFT] if there else []))
    found = looks.signs(["left", "right"], 1.8, 2.2)
    assert set(found) == {"left"}
    assert found["left"].items_gone == 1
    assert found["left"].change.sum() == pytest.approx(1)
    assert not looks.signs(["left"], 3.0, 9.0)
    for frame in range(40, 160):
        looks.update(frame / 10, bright, detections())
    assert not looks.signs(["left"], 1.8, 2.2)


def test_a_place_behind_a_hand_is_not_looked_at() -> None:
    looks = Looks({"left": LEFT}, {"left": LEFT}, SecondLook())
    image = np.full((360, 640, 3), 230, np.uint8)
    for frame in range(40):
        looks.update(frame / 10, image, detections(hand=[LEFT]))
    assert not looks.signs(["left"], 1.8, 2.2)
